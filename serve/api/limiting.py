"""Rates per key: limits' and redis' adapter."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from convrec.core.errors import SettingsError
from convrec.core.extras import require
from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import ConfigurationError, StorageError
from limits.storage import storage_from_string

log = logging.getLogger(__name__)

ANSWER_S = 1.0
"""Longest wait for Redis, to connect and for an answer, seconds."""
RETRY_S = 5.0
"""How long Redis is left alone after it failed, seconds: not every request is to wait for one that is gone."""
_SCHEMES = ("redis", "rediss", "redis+unix")


class RateLimiter:
    """Counts requests per key in a moving window.

    A Redis that does not answer closes nobody out and opens nothing: each process then counts for itself, as with
    ``memory://``, until it answers again. A limit that is off by the number of servers for a while does less harm than
    a service that is down with its counter; who may call is decided by the keys, which are not in Redis.

    Args:
        storage: ``memory://``, where each worker process counts for itself, or ``redis://[:password@]host[:port][/db]``
            (``rediss://`` with TLS, ``redis+unix:///path``), where all count together.
        failed: called each time Redis was asked and did not answer.

    Raises:
        SettingsError: no such storage.
        MissingExtraError: the client library of Redis is not installed.
    """

    def __init__(self, storage: str = "memory://", *, failed: Callable[[], None] = lambda: None) -> None:
        self._own = MovingWindowRateLimiter(MemoryStorage())
        self._shared = None if storage == "memory://" else MovingWindowRateLimiter(_redis(storage))
        self._failed = failed
        self._alone_until = 0.0
        self._alone = False

    async def take(self, key: str, rate: str) -> int | None:
        """Count one request. None when it is within ``rate`` ("120/minute"; "": no limit), else seconds to wait."""
        if not rate:
            return None
        item = parsed(rate)
        if self._shared is not None and time.monotonic() >= self._alone_until:
            try:
                wait_s = await _take(self._shared, item, key)
            except StorageError as error:
                self._alone_until = time.monotonic() + RETRY_S
                self._failed()
                if not self._alone:
                    cause = error.storage_error
                    log.error(
                        "the rates cannot be counted in Redis (%s); this process counts alone until it can", cause
                    )
                self._alone = True
            else:
                if self._alone:
                    log.warning("the rates are counted in Redis again")
                self._alone = False
                return wait_s
        return await _take(self._own, item, key)


async def _take(limiter: MovingWindowRateLimiter, item: RateLimitItem, key: str) -> int | None:
    if await limiter.hit(item, key):
        return None
    stats = await limiter.get_window_stats(item, key)
    return max(1, math.ceil(stats.reset_time - time.time()))


def _redis(storage: str) -> Any:
    if urlsplit(storage).scheme not in _SCHEMES:
        raise SettingsError(f"server.rate_storage = {_shown(storage)!r}: use memory:// or redis://host")
    require("redis", "redis", "counting rates in Redis (server.rate_storage)")
    from redis.asyncio.retry import Retry  # noqa: PLC0415 - not needed with memory://
    from redis.backoff import NoBackoff  # noqa: PLC0415

    # One try more: the first finds out that Redis was started anew since.
    options: Any = {"retry": Retry(NoBackoff(), 1), "socket_timeout": ANSWER_S, "socket_connect_timeout": ANSWER_S}
    try:
        return storage_from_string(
            f"async+{storage}", implementation="redispy", wrap_exceptions=True, key_prefix="convrec", **options
        )
    except (ConfigurationError, ValueError) as error:
        raise SettingsError(
            f"server.rate_storage = {_shown(storage)!r} is no address of Redis; write it as redis://host:6379"
        ) from error


def _shown(storage: str) -> str:
    """The address without its password."""
    head, at, tail = storage.rpartition("@")
    return f"{head.partition('://')[0]}://…@{tail}" if at else storage


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
