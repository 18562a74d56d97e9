"""The collaborative expert: the ranking pack's scores for the items of one catalogue, matched by IMDb id.

The one rule for items that the pack does not know: they get the mean of the candidates that it knows. They are neither
favoured nor punished, and rank by everything else. Scores come from ids and counts alone, never from an item's text.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from convrec.core.errors import ModelError
from convrec.core.items import BoolArray, FloatArray, RowArray
from convrec.tools.catalogue import Catalogue
from convrec.tools.pack import Pack, shipped_pack
from convrec.tools.recommenders.text import content_tokens

logger = logging.getLogger(__name__)
SURE_NEIGHBOUR = 0.1
"""Neighbour weight that counts in full, about five conversations naming two items of twenty each. Below it the square
counts: two items that were named in one conversation, and nowhere else, count a quarter."""
SURE_WORDS = 0.06
"""Votes of words that count in full; weaker ones count in proportion and are not blown up."""


@dataclass(frozen=True, slots=True, eq=False)
class _Bound:
    """``rows``: catalogue row of each pack item, int32, -1 when it has none; ``pack_row_of``: the other way round;
    ``known``: bool, shape (n_items of the catalogue,): whether the pack knows the item."""

    pack: Pack
    rows: RowArray
    pack_row_of: dict[int, int]
    known: BoolArray


@dataclass(slots=True)
class PackExpert:
    """The pack bound to a catalogue on first use, once for all threads. Gives zeros where it has nothing to say."""

    catalogue: Catalogue
    load: Callable[[], Pack] = shipped_pack
    _bound: _Bound | None = field(init=False, default=None)
    _tried: bool = field(init=False, default=False)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def covered(self) -> int:
        """How many items of the catalogue the pack knows; 0: it does not apply, and nothing changes by it."""
        bound = self._get()
        return len(bound.pack_row_of) if bound else 0

    def neighbours(self, rows: Sequence[int]) -> FloatArray | None:
        """How much each item is named where ``rows`` of the catalogue are, float32 (n_items,), >= 0.

        None when the pack does not know any of them.
        """
        bound = self._get()
        asked = [bound.pack_row_of[row] for row in rows if row in bound.pack_row_of] if bound else []
        if bound is None or not asked:
            return None
        return self._spread(bound, (bound.pack.named_with(asked) / np.float32(SURE_NEIGHBOUR * len(asked))) ** 2)

    def words(self, text: str) -> FloatArray | None:
        """How much each item is recommended to who speaks such words, float32 (n_items,), >= 0; None: words unknown."""
        bound = self._get()
        if bound is None:
            return None
        scores = bound.pack.asked_for(Counter(content_tokens(text)))
        return self._spread(bound, scores / np.float32(SURE_WORDS)) if scores.any() else None

    def prior(self) -> FloatArray | None:
        """How often each item is recommended, log-scaled, float32 (n_items,), 0..1."""
        bound = self._get()
        return self._spread(bound, bound.pack.prior) if bound else None

    def among(self, scores: FloatArray, rows: RowArray) -> FloatArray:
        """The scores of some candidates on 0..1, float32 (len(rows),): divided by the largest where that is over 1; the
        unknown ones get the mean of the known."""
        bound = self._get()
        taken = scores[rows]
        known = bound.known[rows] if bound else np.zeros(len(rows), dtype=np.bool_)
        if not known.any():
            return np.zeros(len(rows), dtype=np.float32)
        taken = taken / np.float32(max(float(taken.max()), 1.0))
        return np.where(known, taken, taken[known].mean()).astype(np.float32)

    def _spread(self, bound: _Bound, scores: FloatArray) -> FloatArray:
        """Scores of the pack's items as scores of the catalogue's; 0 for the others."""
        out = np.zeros(self.catalogue.size, dtype=np.float32)
        there = bound.rows >= 0
        out[bound.rows[there]] = scores[there]
        return out

    def _get(self) -> _Bound | None:
        with self._lock:
            if not self._tried:
                try:
                    self._bound = self._bind()
                except ModelError as error:  # a turn goes on without it; `convrec doctor` names it
                    logger.warning("ranking without the pack: %s", error)
                self._tried = True
            return self._bound

    def _bind(self) -> _Bound | None:
        pack = self.load()
        found = self.catalogue.rows_of(pack.ids)
        rows = np.array([-1 if row is None else row for row in found], dtype=np.int32)
        pack_row_of = {row: i for i, row in enumerate(rows.tolist()) if row >= 0}
        known = np.zeros(self.catalogue.size, dtype=np.bool_)
        known[list(pack_row_of)] = True
        return _Bound(pack, rows, pack_row_of, known) if pack_row_of else None
