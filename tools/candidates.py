"""The candidate bus: the one set of candidates that the tools of a turn read and narrow.

Candidates never travel through a prompt; tools pass them on here. Scores are kept per expert over the whole catalogue,
so that ranking can weigh them whatever the order in which the tools ran.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from convrec.core.items import FloatArray, ItemList, RowArray
from convrec.tools.predicates import Condition


@dataclass(slots=True)
class Candidates:
    """Mutable within one turn of one session, never shared."""

    rows: RowArray
    """Ascending."""
    scores: dict[str, FloatArray] = field(default_factory=dict)
    """Expert name -> float32 (n_items,)."""
    ranked: ItemList | None = None
    relaxed: list[Condition] = field(default_factory=list)
    """Conditions that had to be let go, in the order in which they were."""
    blocked: list[Condition] = field(default_factory=list)
    """Set when nothing fits and nothing more may be relaxed: the conditions that exclude each other."""
    would_fit: list[tuple[Condition, RowArray]] = field(default_factory=list)
    """With ``blocked``: the candidates there would be without one of the conditions."""

    failed: list[tuple[str, str]] = field(default_factory=list)
    """(part of the ranking that could not be used, why); the list was made without it."""

    def narrow(self, rows: RowArray) -> None:
        """Keep what is also in ``rows`` (ascending)."""
        self.rows = np.intersect1d(self.rows, rows, assume_unique=True).astype(np.int32)

    def add_scores(self, expert: str, scores: FloatArray) -> None:
        """Add an expert's scores; a second call (two searches) keeps the better of both."""
        known = self.scores.get(expert)
        self.scores[expert] = scores if known is None else np.maximum(known, scores)
