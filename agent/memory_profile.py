"""Keeps profiles up to date, off the path of a turn: one thread for all users, started when it is needed."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from convrec.core.errors import ConvrecError
from convrec.memory.preferences import PreferenceMemory
from convrec.memory.reading import Recollection

logger = logging.getLogger(__name__)
MIN_RECORDS = 8
"""Records from which a profile is worth making; fewer are read as fast as one."""


@dataclass(slots=True)
class ProfileKeeper:
    """Makes the profile of a user again when enough has changed. Thread-safe."""

    preferences: PreferenceMemory
    _pool: ThreadPoolExecutor | None = field(init=False, default=None)
    _waiting: dict[str, Future[None]] = field(init=False, default_factory=dict)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)
    _closed: bool = field(init=False, default=False)

    def after(self, user: str, recalled: Recollection) -> None:
        """A turn of ``user`` recalled this: make the profile if there is none yet or it is out of date."""
        made = recalled.profile
        if made is None:
            due = recalled.retrieved >= MIN_RECORDS
        else:
            due = made.stale(recalled.unmerged, self.preferences.clock())
        if due:
            self.refresh(user)

    def refresh(self, user: str) -> None:
        """Make the profile of ``user`` soon, once, however often this is called meanwhile."""
        with self._lock:
            if self._closed or user in self._waiting:
                return
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, thread_name_prefix="convrec-profile")
            self._waiting[user] = self._pool.submit(self._make, user)

    def wait(self, timeout_s: float = 30.0) -> None:
        """Until all that was asked for is made: for tests and measurements."""
        with self._lock:
            last = self._pool.submit(lambda: None) if self._pool is not None and not self._closed else None
        if last is not None:  # one thread: what was asked for before is done when it comes to this
            last.result(timeout_s)

    def close(self) -> None:
        """End the thread; what is under way is finished first, so that the store is not closed under it."""
        with self._lock:
            self._closed = True
            pool = self._pool
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)

    def _make(self, user: str) -> None:
        with self._lock:
            self._waiting.pop(user, None)
        try:
            self.preferences.refresh_profile(user)
        except ConvrecError as error:  # the next turns read the records themselves
            logger.warning("the profile of a user could not be made: %s", error)
