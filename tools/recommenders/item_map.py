"""Items of one space in another: which model item each asked item is, and scores carried over.

Whoever asks (an evaluation's cases, a catalogue) has items of its own, a recommender has others. What was named and
who named it is translated to the model's items, and the model's scores to the items asked for:

- An item that the model lacks gets ``NEVER``; in a context it is left out.
- An item that is several of the model's (a film that the data set lists twice) gets the best of their scores. In a
  context it is the first of them.
- Items that are one of the model's all get its score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from convrec.core.items import FloatArray, RowArray
from convrec.tools.datasets import Message
from convrec.tools.recommenders.base import NEVER
from convrec.tools.recommenders.data import Context
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class ItemMap:
    """``rows``: model row of each case row, int32, -1 where the model has none. ``further``: more (case row, model row)
    pairs, for case items that are several model items. ``ids``: model item id by case item id. ``n_model``: items of
    the model."""

    rows: RowArray
    further: tuple[tuple[int, int], ...]
    ids: Mapping[str, str]
    n_model: int

    @classmethod
    def between(
        cls, case_items: Sequence[str], known_as: Mapping[str, Sequence[str]], model_items: Sequence[str]
    ) -> ItemMap:
        """``known_as``: the ids a case item may have in models, the preferred first."""
        row_of = {item: row for row, item in enumerate(model_items)}
        rows = np.full(len(case_items), -1, dtype=np.int32)
        further: list[tuple[int, int]] = []
        ids: dict[str, str] = {}
        for case_row, item in enumerate(case_items):
            found = [name for name in dict.fromkeys(known_as.get(item, ())) if name in row_of]
            if found:
                ids[item] = found[0]
                rows[case_row] = row_of[found[0]]
                further += [(case_row, row_of[name]) for name in found[1:]]
        rows.setflags(write=False)
        return cls(rows, tuple(further), ids, len(model_items))

    @property
    def n_known(self) -> int:
        """How many case items the model has."""
        return int((self.rows >= 0).sum())

    @property
    def same(self) -> bool:
        """Whether both spaces are one and the same, so that nothing is to be carried over."""
        return self.n_model == self.rows.size and bool((self.rows == np.arange(self.rows.size)).all())

    def context(self, context: Context) -> Context:
        """The context in the model's items. Of two case items that are one model item the later mention counts."""
        rows: dict[int, None] = {}
        for row in self.rows[context.named].tolist():
            if row >= 0:
                rows.pop(row, None)
                rows[row] = None
        return Context(np.array(list(rows), dtype=np.int32), tuple(self._message(m) for m in context.messages))

    def _message(self, message: Message) -> Message:
        mentions = tuple(dict.fromkeys(self.ids[item] for item in message.mentions if item in self.ids))
        return message if mentions == message.mentions else replace(message, mentions=mentions)

    def scores(self, scores: FloatArray) -> FloatArray:
        """Model scores, shape (n, n_model), as scores of case items: float32, shape (n, n_case_items), a copy."""
        out: FloatArray = scores[:, self.rows]  # -1 takes the last column, which the next line overwrites
        out[:, self.rows < 0] = NEVER
        for case_row, row in self.further:
            np.maximum(out[:, case_row], scores[:, row], out=out[:, case_row])
        return out

    def candidates(self, rows: RowArray) -> RowArray:
        """Model rows as rows of the cases: int32, rising, no repeats; what the cases do not have is left out."""
        offered = np.zeros(self.n_model, dtype=np.bool_)
        offered[rows] = True
        inside = (self.rows >= 0) & offered[self.rows]
        for case_row, row in self.further:
            inside[case_row] |= offered[row]
        return np.flatnonzero(inside).astype(np.int32)

    def counts(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Counts of model items as counts of case items: the sum over those it is, 0 where the model has none."""
        out = np.where(self.rows >= 0, counts[self.rows], 0).astype(np.int64)
        for case_row, row in self.further:
            out[case_row] += counts[row]
        return out
