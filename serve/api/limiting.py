"""Rates per key: limits' adapter."""

from __future__ import annotations

import math
import time
from functools import cache

from convrec.core.errors import SettingsError
from limits import RateLimitItem, parse
from limits.aio.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter
from limits.errors import ConfigurationError
from limits.storage import storage_from_string


class RateLimiter:
    """Counts requests per key in a moving window; in a fixed one where the storage knows no other.

    Args:
        storage: as limits writes it: ``memory://``, ``redis://host``, ``memcached://host``. In memory each worker
            process counts for itself.

    Raises:
        SettingsError: no such storage, or its client library is not installed.
    """

    def __init__(self, storage: str = "memory://") -> None:
        try:
            made = storage_from_string(f"async+{storage}")
        except (ConfigurationError, ValueError) as error:
            raise SettingsError(f"server.rate_storage = {storage!r}: {error}. Use memory:// or redis://host") from error
        self._limiter: MovingWindowRateLimiter | FixedWindowRateLimiter
        try:
            self._limiter = MovingWindowRateLimiter(made)
        except NotImplementedError:
            self._limiter = FixedWindowRateLimiter(made)

    async def take(self, key: str, rate: str) -> int | None:
        """Count one request. None when it is within ``rate`` ("120/minute"; "": no limit), else seconds to wait."""
        if not rate:
            return None
        item = parsed(rate)
        if await self._limiter.hit(item, key):
            return None
        stats = await self._limiter.get_window_stats(item, key)
        return max(1, math.ceil(stats.reset_time - time.time()))


@cache
def parsed(rate: str) -> RateLimitItem:
    """A rate as written in the settings.

    Raises:
        SettingsError: it is no rate.
    """
    try:
        return parse(rate)
    except ValueError as error:
        raise SettingsError(f"server.rate_limit = {rate!r}: write it as 120/minute") from error
