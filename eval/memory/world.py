"""A user's memory without the rest of a turn: what is said is written, what is asked is recalled, on its own clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
from convrec.agent.llm.base import LLM
from convrec.agent.memory_extract import Extractor
from convrec.agent.remember import Listener, need_of
from convrec.agent.session import Session
from convrec.agent.superseding import rivals
from convrec.core.embedding import Embedder
from convrec.memory.preferences import PreferenceMemory
from convrec.memory.reading import Recollection
from convrec.memory.records import NewPreference, Preference
from convrec.memory.statements import clauses
from convrec.memory.store import InMemoryStore
from convrec.memory.stored import words
from convrec.tools.catalogue import Catalogue
from convrec.tools.references import Focus
from convrec.tools.understand import Understander, Understanding

START = datetime(2026, 1, 5, 19, 0, tzinfo=UTC)
BETWEEN = timedelta(days=2)
"""From one session to the next."""
USER = "user"


@dataclass(slots=True)
class Ears:
    """Reads messages as a turn does; what one says is read once."""

    catalogue: Catalogue
    llm: LLM | None = None
    """Reads what the rules left unread (memory.llm = extract)."""
    understander: Understander = field(init=False)
    listener: Listener = field(init=False)
    _heard: dict[str, list[NewPreference]] = field(init=False, default_factory=dict)
    _read: dict[str, Understanding] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.understander = Understander(self.catalogue)
        self.listener = Listener(self.catalogue, self.understander.reader)

    def read(self, text: str) -> Understanding:
        if text not in self._read:
            self._read[text] = self.understander.read(text, Focus())
        return self._read[text]

    def hear(self, text: str, at: datetime) -> list[NewPreference]:
        if text not in self._heard:
            reading = self.read(text)
            kept = self.listener.statements(reading, "s", 1, at)
            if self.llm is not None:
                more = Extractor(self.llm, self.listener)
                kept = [*kept, *more.statements(reading, clauses(text, at), kept, "s", 1)]
            self._heard[text] = kept
        return self._heard[text]


class World:
    """One user, one memory in the process, one clock."""

    def __init__(self, ears: Ears, embedder: Embedder) -> None:
        self.ears, self.embedder = ears, embedder
        self.now = START
        self.memory = PreferenceMemory(InMemoryStore(), embedder, clock=lambda: self.now)

    def say(self, text: str, *, turn: int = 1) -> list[Preference]:
        """What is remembered of one message, after ``turn`` messages."""
        out = []
        for new in self.ears.hear(text, self.now):
            new = new.model_copy(update={"source_turn": turn})
            out.append(self.memory.add(USER, new, supersedes=rivals(new, self.memory.list(USER))))
        return out

    def ask(self, text: str, at: datetime | None = None) -> Recollection:
        """What applies to a request. ``at``: the user's clock; this world's by default."""
        reading = self.ears.read(text)
        need = need_of(reading, Session(USER, "s"), at or self.now)
        return self.memory.recall(USER, need)

    def nearest(self, text: str, k: int) -> list[Preference]:
        """The plain way: the ``k`` records nearest to the request by cosine, of all that hold."""
        held = self.memory.list(USER)
        vectors = self.embedder.embed([text, *map(words, held)])
        order = np.argsort(-(vectors[1:] @ vectors[0]), kind="stable")[:k]
        return [held[i] for i in order]


def told_by(statement: str, records: Sequence[Preference]) -> bool:
    """Whether one of the records was read from ``statement``."""
    return any(source.said and source.said in statement for p in records for source in p.origins)
