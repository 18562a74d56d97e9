"""Keeps profiles up to date, off the path of a turn: one thread for all users, started when it is needed."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field

from convrec.agent.background import Background
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
    _jobs: Background = field(init=False, default_factory=lambda: Background("convrec-profile"))
    _waiting: set[str] = field(init=False, default_factory=set)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

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
            if user not in self._waiting and self._jobs.submit(lambda: self._make(user)):
                self._waiting.add(user)

    def wait(self, timeout_s: float = 30.0) -> None:
        """Until all that was asked for is made: for tests and measurements."""
        self._jobs.wait(timeout_s)

    def close(self) -> None:
        """End the thread; what is under way is finished first, so that the store is not closed under it."""
        self._jobs.close()

    def _make(self, user: str) -> None:
        with self._lock:
            self._waiting.discard(user)
        try:
            self.preferences.refresh_profile(user)
        except ConvrecError as error:  # the next turns read the records themselves
            logger.warning("the profile of a user could not be made: %s", error)
