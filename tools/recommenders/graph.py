"""The untrained graph heuristic: random walk with restart from the named items over items and their tags.

Personalised PageRank (Haveliwala, "Topic-sensitive PageRank", WWW 2002), cut off after a few steps. It reads no
training interaction: what a trained recommender cannot beat, it has not learnt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from convrec.core.items import FloatArray
from convrec.tools.recommenders.base import AnyArray, Recommender, RecommenderConfig
from convrec.tools.recommenders.data import Context, TrainData, context_matrix
from convrec.tools.recommenders.words import (
    empty_matrix,
    row_means,
    sparse_arrays,
    sparse_from,
    with_rows_scaled,
)
from pydantic import Field
from scipy.sparse import csr_array, hstack


class ItemGraphConfig(RecommenderConfig):
    """Settings of ItemGraph; the defaults were chosen on ReDial's validation split."""

    restart: float = Field(0.5, gt=0, lt=1, description="chance to go back to the named items after each step")
    steps: int = Field(2, ge=1, le=10, description="longest walk, in steps item -> tag -> item")
    kinds: dict[str, float] = Field(
        {"genre": 3.0, "person": 1.0, "keyword": 2.0}, description="weight of the edges to each kind of tag; >= 0"
    )


class ItemGraph(Recommender):
    """Score = chance to stand on the item: sum over t = 1..steps of restart * (1 - restart)^t p_0 W^t, where p_0 is
    uniform over the named items and W goes from an item to one of its tags, as likely as the weight of its kind, and on
    to one of that tag's items, each as likely. 0 where it never arrives.

    Without details there are no edges: every score is 0.
    """

    name: ClassVar[str] = "graph"
    Config: ClassVar[type[RecommenderConfig]] = ItemGraphConfig
    config: ItemGraphConfig

    def _fit(self, train: TrainData) -> None:
        details = train.details
        edges = [empty_matrix(train.n_items, 0)]
        if details is not None:
            for kind, weight in sorted(self.config.kinds.items()):
                edges.append(csr_array(np.float32(weight) * details.tag_matrix(kind)))
        weighted = csr_array(hstack(edges, format="csr", dtype=np.float32))
        self._to_tags = _rows_sum_to_one(weighted)
        ones = weighted.copy()
        ones.data[:] = 1.0
        self._to_items = _rows_sum_to_one(csr_array(ones.T))

    def _score(self, contexts: Sequence[Context]) -> FloatArray:
        standing = row_means(context_matrix(contexts, self.n_items))
        restart = np.float32(self.config.restart)
        scores = np.zeros((len(contexts), self.n_items), dtype=np.float32)
        for step in range(1, self.config.steps + 1):
            standing = (standing @ self._to_tags) @ self._to_items
            scores += restart * (1 - restart) ** step * standing.toarray()
        return scores

    def _arrays(self) -> Mapping[str, AnyArray]:
        return {**sparse_arrays("to_tags", self._to_tags), **sparse_arrays("to_items", self._to_items)}

    def _restore(self, arrays: Mapping[str, AnyArray]) -> None:
        self._to_tags, self._to_items = sparse_from(arrays, "to_tags"), sparse_from(arrays, "to_items")


def _rows_sum_to_one(matrix: csr_array[np.float32]) -> csr_array[np.float32]:
    """Rows as chances; a row without entries stays empty."""
    sums = np.asarray(matrix.sum(axis=1), dtype=np.float32).ravel()
    return with_rows_scaled(matrix, np.divide(1, sums, out=np.zeros_like(sums), where=sums > 0))
