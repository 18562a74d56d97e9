"""Lets a model read what the rules left unread, after the turn: one thread for all users, started when it is needed."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from convrec.agent.background import Background
from convrec.agent.memory_extract import SOURCE, Extractor, unread
from convrec.core.errors import ConvrecError
from convrec.memory.preferences import PreferenceMemory
from convrec.memory.records import NewPreference, Preference
from convrec.memory.statements import clauses
from convrec.tools.understand import Understanding

logger = logging.getLogger(__name__)
TIMEOUT_S = 20.0
"""Longest time of one call, seconds; nobody waits for it, but the model serves others meanwhile."""


@dataclass(slots=True)
class LearningKeeper:
    """Adds what a model reads in a message to a user's memory, off the turn's path. Thread-safe.

    What was erased meanwhile is not brought back: nothing is added that was asked for before an erasure of that user.
    """

    preferences: PreferenceMemory
    extractor: Extractor
    _jobs: Background = field(init=False, default_factory=lambda: Background("convrec-learning"))
    _erased: Counter[str] = field(init=False, default_factory=Counter)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.preferences.on_erase(self._erasing)

    def after(self, reading: Understanding, user: str, session_id: str, turn: int) -> None:
        """A turn of ``user`` is done, its statements are kept: have the rest of the message read, if there is any."""
        at = self.preferences.clock()
        said = clauses(reading.text, at)
        kept = self.extractor.listener.statements(reading, session_id, turn, at)
        if not unread(reading, said, kept):
            return
        with self._lock:
            erased = self._erased[user]
        self._jobs.submit(lambda: self._learn(reading, kept, user, session_id, turn, erased))

    def wait(self, timeout_s: float = 30.0) -> None:
        """Until all that was asked for is done: for tests and measurements."""
        self._jobs.wait(timeout_s)

    def close(self) -> None:
        """End the thread; a call under way is finished first, those that wait are dropped."""
        self._jobs.close()

    def _erasing(self, user: str, gone: Sequence[Preference] | None) -> None:
        with self._lock:
            self._erased[user] += 1

    def _learn(
        self,
        reading: Understanding,
        kept: Sequence[NewPreference],
        user: str,
        session_id: str,
        turn: int,
        erased: int,
    ) -> None:
        try:
            said = clauses(reading.text, self.preferences.clock())
            for new in self.extractor.statements(reading, said, kept, session_id, turn, timeout_s=TIMEOUT_S):
                self._add(user, new, erased)
        except ConvrecError as error:  # the rules' statements are kept, this one is not
            logger.warning("what a message says beside could not be read by the model: %s", error)

    def _add(self, user: str, new: NewPreference, erased: int) -> None:
        held = [p for p in self.preferences.list(user) if p.subject == new.subject and p.scope.key == new.scope.key]
        if any(p.payload.get("source") != SOURCE for p in held):
            return  # what was said in so many words stands
        kept = self.preferences.add(user, new)
        with self._lock:
            late = self._erased[user] != erased
        if late:  # erased while it was being written
            self.preferences.forget(user, kept.id)
