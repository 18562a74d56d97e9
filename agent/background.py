"""Work off the path of a turn: one thread for all users, started when it is needed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field


@dataclass(slots=True)
class Background:
    """Does jobs one after the other. Thread-safe. ``name``: of the thread."""

    name: str
    _pool: ThreadPoolExecutor | None = field(init=False, default=None)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)
    _closed: bool = field(init=False, default=False)

    def submit(self, job: Callable[[], None]) -> bool:
        """Have ``job`` done soon; False when this was closed."""
        with self._lock:
            if self._closed:
                return False
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, thread_name_prefix=self.name)
            self._pool.submit(job)
            return True

    def wait(self, timeout_s: float) -> None:
        """Until all that was submitted is done: for tests and measurements."""
        with self._lock:
            last = self._pool.submit(lambda: None) if self._pool is not None and not self._closed else None
        if last is not None:  # one thread: what was submitted before is done when it comes to this
            last.result(timeout_s)

    def close(self) -> None:
        """End the thread; the job under way is finished first, those that wait are dropped."""
        with self._lock:
            self._closed = True
            pool = self._pool
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)
