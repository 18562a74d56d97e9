"""Nearest items by co-mention: shrunk cosine similarity (Deshpande & Karypis, ACM TOIS 2004; shrinkage as in Bell &
Koren, ICDM 2007)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from convrec.core.items import FloatArray
from convrec.tools.recommenders.base import AnyArray, Recommender, RecommenderConfig
from convrec.tools.recommenders.data import Context, TrainData, context_matrix, popularity_prior
from pydantic import Field
from scipy.sparse import csr_array


class ItemKNNConfig(RecommenderConfig):
    """Settings of ItemKNN; the defaults were chosen on ReDial's validation split."""

    neighbours: int = Field(100, ge=1, description="most similar items kept for each item")
    shrinkage: float = Field(20.0, ge=0, description="pairs seen together rarely are drawn towards 0")
    popularity_weight: float = Field(
        0.005, ge=0, description="weight of the popularity prior (0..1): breaks ties, and serves an empty context"
    )


class ItemKNN(Recommender):
    """Score = sum over the named items i of s(i, j), s(i, j) = c_ij / (sqrt(c_i c_j) + shrinkage), where c_ij counts
    the training sequences that name both. Only each item's nearest neighbours count."""

    name: ClassVar[str] = "itemknn"
    Config: ClassVar[type[RecommenderConfig]] = ItemKNNConfig
    config: ItemKNNConfig

    def _fit(self, train: TrainData) -> None:
        pairs = csr_array(train.matrix.T @ train.matrix)
        counts = train.popularity.astype(np.float32)
        lines = np.repeat(np.arange(train.n_items), np.diff(pairs.indptr))
        similar = pairs.data / (np.sqrt(counts[lines] * counts[pairs.indices]) + np.float32(self.config.shrinkage))
        # Sort once by line, then by falling similarity, then by row; an entry's place in its line is its rank.
        off_diagonal = lines != pairs.indices
        lines, columns, similar = lines[off_diagonal], pairs.indices[off_diagonal], similar[off_diagonal]
        order = np.lexsort((columns, -similar, lines))
        lines, columns, similar = lines[order], columns[order], similar[order]
        starts = np.searchsorted(lines, np.arange(train.n_items))
        near = np.arange(lines.size) - starts[lines] < self.config.neighbours
        self._weights: csr_array[np.float32] = csr_array(
            (similar[near].astype(np.float32), (lines[near], columns[near])), shape=(train.n_items, train.n_items)
        )
        self._prior = popularity_prior(train)

    def _score(self, contexts: Sequence[Context]) -> FloatArray:
        summed = (context_matrix(contexts, self.n_items) @ self._weights).toarray()
        scores: FloatArray = (summed + np.float32(self.config.popularity_weight) * self._prior).astype(np.float32)
        return scores

    def _arrays(self) -> Mapping[str, AnyArray]:
        weights = self._weights
        return {"data": weights.data, "indices": weights.indices, "indptr": weights.indptr, "prior": self._prior}

    def _restore(self, arrays: Mapping[str, AnyArray]) -> None:
        size = arrays["prior"].size
        self._weights = csr_array((arrays["data"], arrays["indices"], arrays["indptr"]), shape=(size, size))
        self._prior = arrays["prior"]
