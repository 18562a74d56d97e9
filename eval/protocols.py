"""Which cases a data set gives, and what counts as right.

R-full and R-novel are those of Kostric & Balog (SIGIR 2026): walk the messages of a dialogue; a case is a message by
the recommender that names at least one item and has an earlier message. The input is what was said strictly before.
Gold are the items it names (``full``), or those of them that neither side named before (``novel``); in ``novel``,
items already named are also taken out of every prediction. The others are in ``cikm`` and ``unicrs``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from convrec.core.errors import DatasetError
from convrec.core.items import EMPTY_ROWS, RowArray
from convrec.tools.datasets import Dialogue
from convrec.tools.recommenders.data import Context, recommendations
from numpy.typing import NDArray

Protocol = Literal["full", "novel", "cikm", "unicrs"]
PROTOCOLS: tuple[Protocol, ...] = ("novel", "full", "cikm", "unicrs")

OFFICIAL_COUNTS: Mapping[tuple[str, str, Protocol], tuple[int, int, int]] = {
    ("redial", "test", "full"): (1342, 4198, 4975),
    ("redial", "test", "novel"): (1342, 3838, 4472),
    ("redial", "test", "cikm"): (1322, 3285, 4288),
    ("inspired", "test", "cikm"): (91, 191, 211),
    ("redial", "test", "unicrs"): (1342, 4740, 4740),
    ("inspired", "test", "unicrs"): (99, 256, 256),
}
"""(dialogues, cases, gold mentions) by data set, split and protocol; a run with others does not compare."""

LIKED, SEEN = 1.0, 0.5
"""Rewards of an item that the seeker liked, and of one only seen (Kostric & Balog, 2026)."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One thing to predict. ``dialogue``: number of its dialogue, 0.. in file order; ``position``: index of the message
    whose items are gold; ``gold``: int32 rows, no repeats, in order of mention; ``excluded``: int32 rows taken out of
    every prediction."""

    dialogue: int
    dialogue_id: str
    position: int
    context: Context
    gold: RowArray
    excluded: RowArray


@dataclass(frozen=True, slots=True)
class Answers:
    """What the seeker of one dialogue said afterwards. ``n_messages``: length of the dialogue; ``reward``: by row of
    the item, :data:`LIKED` or :data:`SEEN`, nothing for the others."""

    n_messages: int
    reward: Mapping[int, float]


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """All cases of one protocol. ``answers``: of every dialogue, in order; () where there are no questionnaires."""

    protocol: Protocol
    n_dialogues: int
    cases: tuple[Case, ...]
    n_items: int
    answers: tuple[Answers, ...] = ()

    def first(self, n_dialogues: int) -> Cases:
        """The cases of the first dialogues only."""
        kept = tuple(case for case in self.cases if case.dialogue < n_dialogues)
        number = min(n_dialogues, self.n_dialogues)
        return replace(self, n_dialogues=number, cases=kept, answers=self.answers[:number])

    @property
    def digest(self) -> str:
        """Hex SHA-256 of what is asked and what is right, in order."""
        digest = hashlib.sha256(f"{self.protocol} {self.n_dialogues} {self.n_items}".encode())
        for case in self.cases:
            texts = [[m.speaker, m.text, *m.mentions] for m in case.context.messages]
            rows = [case.context.named.tolist(), case.gold.tolist(), case.excluded.tolist()]
            digest.update(json.dumps([case.dialogue, case.dialogue_id, case.position, rows, texts]).encode())
        return digest.hexdigest()

    @property
    def n_gold(self) -> int:
        return sum(case.gold.size for case in self.cases)

    @property
    def gold_case(self) -> NDArray[np.int64]:
        """Number of the case each gold mention belongs to; int64, shape (n_gold,)."""
        return np.repeat(np.arange(len(self.cases)), [case.gold.size for case in self.cases])

    @property
    def gold_rows(self) -> RowArray:
        """All gold mentions, case after case; int32, shape (n_gold,)."""
        return np.concatenate([np.empty(0, dtype=np.int32), *(case.gold for case in self.cases)])

    @property
    def dialogue_of(self) -> NDArray[np.int64]:
        """Number of the dialogue of each case; int64, shape (n_cases,)."""
        return np.array([case.dialogue for case in self.cases], dtype=np.int64)

    @property
    def n_named(self) -> NDArray[np.int64]:
        """How many different items were named before each case; int64, shape (n_cases,)."""
        return np.array([case.context.named.size for case in self.cases], dtype=np.int64)

    @property
    def n_before(self) -> NDArray[np.int64]:
        """How many messages come before each case; int64, shape (n_cases,)."""
        return np.array([case.position for case in self.cases], dtype=np.int64)


def walk(dialogues: Iterable[Dialogue], row_of: Mapping[str, int], protocol: Literal["full", "novel"]) -> Cases:
    """All cases of ``dialogues``. ``row_of``: catalogue row by item id.

    Raises:
        DatasetError: a dialogue names an item that the catalogue lacks (a gold mention would be lost in silence).
    """
    cases: list[Case] = []
    answers: list[Answers] = []
    for number, dialogue in enumerate(dialogues):
        if missing := sorted({item for m in dialogue.messages for item in m.mentions} - row_of.keys()):
            raise DatasetError(f"dialogue {dialogue.id} names item {missing[0]!r}, which the item list lacks.")
        for found in recommendations(dialogue, row_of, novel=protocol == "novel"):
            excluded = found.context.named if protocol == "novel" else EMPTY_ROWS
            cases.append(Case(number, dialogue.id, found.position, found.context, found.gold, excluded))
        answers.append(_answers(dialogue, row_of))
    asked = any(given.reward for given in answers)
    return Cases(protocol, len(answers), tuple(cases), len(row_of), tuple(answers) if asked else ())


def _answers(dialogue: Dialogue, row_of: Mapping[str, int]) -> Answers:
    reward = {
        row_of[item]: LIKED if answer.liked == 1 else SEEN
        for item, answer in dialogue.seeker_answers.items()
        if item in row_of and (answer.liked == 1 or answer.seen == 1)
    }
    return Answers(len(dialogue.messages), reward)


def check_counts(cases: Cases, dataset: str, split: str) -> None:
    """Compare with :data:`OFFICIAL_COUNTS`, where there are any.

    Raises:
        DatasetError: they differ, so no figure from these cases would compare with a published one.
    """
    expected = OFFICIAL_COUNTS.get((dataset, split, cases.protocol))
    found = (cases.n_dialogues, len(cases.cases), cases.n_gold)
    if expected is not None and found != expected:
        raise DatasetError(
            f"{dataset} {split}, protocol {cases.protocol}: found {found} dialogues, cases and gold mentions, expected "
            f"{expected}. The files are not the standard ones. Run: convrec data fetch {dataset}"
        )
