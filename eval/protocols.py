"""Which cases a data set gives, and what counts as right.

R-full and R-novel are those of Kostric & Balog (SIGIR 2026): walk the messages of a dialogue; a case is a message by
the recommender that names at least one item and has an earlier message. The input is what was said strictly before.
Gold are the items it names (``full``), or those of them that neither side named before (``novel``); in ``novel``,
items already named are also taken out of every prediction. The third protocol is in ``cikm``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from convrec.core.errors import DatasetError
from convrec.core.items import EMPTY_ROWS, RowArray
from convrec.tools.datasets import Dialogue
from convrec.tools.recommenders.data import Context, recommendations
from numpy.typing import NDArray

Protocol = Literal["full", "novel", "cikm"]
PROTOCOLS: tuple[Protocol, ...] = ("novel", "full", "cikm")

OFFICIAL_COUNTS: Mapping[tuple[str, str, Protocol], tuple[int, int, int]] = {
    ("redial", "test", "full"): (1342, 4198, 4975),
    ("redial", "test", "novel"): (1342, 3838, 4472),
    ("redial", "test", "cikm"): (1322, 3285, 4288),
    ("inspired", "test", "cikm"): (91, 191, 211),
}
"""(dialogues, cases, gold mentions) by data set, split and protocol; a run with others does not compare."""


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


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """All cases of one protocol."""

    protocol: Protocol
    n_dialogues: int
    cases: tuple[Case, ...]
    n_items: int

    def first(self, n_dialogues: int) -> Cases:
        """The cases of the first dialogues only."""
        kept = tuple(case for case in self.cases if case.dialogue < n_dialogues)
        return Cases(self.protocol, min(n_dialogues, self.n_dialogues), kept, self.n_items)

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


def walk(dialogues: Iterable[Dialogue], row_of: Mapping[str, int], protocol: Literal["full", "novel"]) -> Cases:
    """All cases of ``dialogues``. ``row_of``: catalogue row by item id.

    Raises:
        DatasetError: a dialogue names an item that the catalogue lacks (a gold mention would be lost in silence).
    """
    cases: list[Case] = []
    number = -1
    for number, dialogue in enumerate(dialogues):
        if missing := sorted({item for m in dialogue.messages for item in m.mentions} - row_of.keys()):
            raise DatasetError(f"dialogue {dialogue.id} names item {missing[0]!r}, which the item list lacks.")
        for found in recommendations(dialogue, row_of, novel=protocol == "novel"):
            excluded = found.context.named if protocol == "novel" else EMPTY_ROWS
            cases.append(Case(number, dialogue.id, found.position, found.context, found.gold, excluded))
    return Cases(protocol, number + 1, tuple(cases), len(row_of))


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
