"""Nearest items by co-mention: shrunk cosine similarity (Deshpande & Karypis, ACM TOIS 2004; shrinkage as in Bell &
Koren, ICDM 2007)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from convrec.core.items import FloatArray
from convrec.tools.recommenders.base import AnyArray, Recommender, RecommenderConfig
from convrec.tools.recommenders.data import Context, TrainData, context_matrix, popularity_prior
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import csr_array

_BLOCK = 1024
"""Items whose similarities to all others are in memory at once: 20,000 items are 80 MB."""
_NONE = np.empty(0, dtype=np.int64)


class ItemKNNConfig(RecommenderConfig):
    """Settings of ItemKNN; the defaults were chosen on ReDial's validation split."""

    neighbours: int = Field(100, ge=1, description="most similar items kept for each item")
    shrinkage: float = Field(20.0, ge=0, description="pairs seen together rarely are drawn towards 0")
    popularity_weight: float = Field(
        0.005, ge=0, description="weight of the popularity prior (0..1): breaks ties, and serves an empty context"
    )
    half_life: float | None = Field(
        None, gt=0, description="named items after which an item counts half; None: all count the same"
    )
    length_weight: float = Field(
        0.0, ge=0, description="a sequence of n items counts n to minus this: 1 makes all sequences count alike in sum"
    )


class ItemKNN(Recommender):
    """Score = sum over the named items i of s(i, j), s(i, j) = c_ij / (sqrt(c_i c_j) + shrinkage), where c_ij counts
    the training sequences that name both. Only each item's nearest neighbours count.

    ``length_weight`` > 0: a sequence counts less the longer it is, in c_ij and in c_i alike, as who names everything
    says little about what goes together."""

    name: ClassVar[str] = "itemknn"
    Config: ClassVar[type[RecommenderConfig]] = ItemKNNConfig
    config: ItemKNNConfig

    def _fit(self, train: TrainData) -> None:
        matrix = train.matrix
        weights = np.maximum(np.diff(matrix.indptr), 1).astype(np.float32) ** np.float32(-self.config.length_weight)
        weighted = csr_array((np.repeat(weights, np.diff(matrix.indptr)), matrix.indices, matrix.indptr), matrix.shape)
        counts = np.asarray(weighted.sum(axis=0), dtype=np.float32)
        by_item = matrix.T.tocsr()
        blocks = [self._nearest(by_item, weighted, counts, start) for start in range(0, train.n_items, _BLOCK)]
        lines, columns, similar = map(np.concatenate, zip(*blocks, strict=True)) if blocks else (_NONE, _NONE, _NONE)
        self._weights: csr_array[np.float32] = csr_array(
            (similar.astype(np.float32), (lines, columns)), shape=(train.n_items, train.n_items)
        )
        self._prior = popularity_prior(train)

    def _nearest(
        self, by_item: csr_array[np.float32], weighted: csr_array[np.float32], counts: FloatArray, start: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]:
        """(lines, columns, similarities) of the neighbours of a block of items, by line, best first, then by row."""
        together = (by_item[start : start + _BLOCK] @ weighted).toarray()
        own = np.arange(together.shape[0])
        together[own, start + own] = 0
        norm = np.sqrt(counts[start : start + _BLOCK, None] * counts[None, :]) + np.float32(self.config.shrinkage)
        similar = np.divide(together, norm, out=together, where=together > 0)
        keep = min(self.config.neighbours, similar.shape[1])
        border = -np.partition(-similar, keep - 1, axis=1)[:, keep - 1]
        lines, columns = np.nonzero((similar > 0) & (similar >= border[:, None]))
        found = similar[lines, columns]
        # Sort once by line, then by falling similarity, then by row; an entry's place in its line is its rank.
        order = np.lexsort((columns, -found, lines))
        lines, columns, found = lines[order], columns[order], found[order]
        near = np.arange(lines.size) - np.searchsorted(lines, own)[lines] < keep
        return start + lines[near], columns[near], found[near]

    def _score(self, contexts: Sequence[Context]) -> FloatArray:
        summed = (context_matrix(contexts, self.n_items, self.config.half_life) @ self._weights).toarray()
        scores: FloatArray = (summed + np.float32(self.config.popularity_weight) * self._prior).astype(np.float32)
        return scores

    def _arrays(self) -> Mapping[str, AnyArray]:
        weights = self._weights
        return {"data": weights.data, "indices": weights.indices, "indptr": weights.indptr, "prior": self._prior}

    def _restore(self, arrays: Mapping[str, AnyArray]) -> None:
        size = arrays["prior"].size
        self._weights = csr_array((arrays["data"], arrays["indices"], arrays["indptr"]), shape=(size, size))
        self._prior = arrays["prior"]
