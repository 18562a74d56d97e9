"""EASE: an item-to-item linear model in closed form (Steck, WWW 2019, arXiv:1905.03375)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from convrec.core.errors import ModelError
from convrec.core.items import FloatArray, RowArray
from convrec.tools.recommenders.base import AnyArray, Recommender, RecommenderConfig
from convrec.tools.recommenders.data import Context, TrainData, context_matrix, popularity_prior
from pydantic import Field
from scipy.linalg import lapack


class EASEConfig(RecommenderConfig):
    """Settings of EASE; the defaults were chosen on ReDial's validation split."""

    l2: float = Field(200.0, gt=0, description="ridge penalty lambda; larger: smoother")
    min_sequences: int = Field(1, ge=1, description="items named in fewer training sequences get the prior alone")
    max_items: int = Field(20_000, ge=1, description="largest system solved; memory is 8 bytes times its square")
    popularity_weight: float = Field(
        0.005, ge=0, description="weight of the popularity prior (0..1): breaks ties, and serves an empty context"
    )
    half_life: float | None = Field(
        None, gt=0, description="named items after which an item counts half; None: all count the same"
    )


class EASE(Recommender):
    """Score = sum over the named items i of B[i, j], B = -P / diag(P), P = (X'X + lambda I)^-1, diag(B) = 0.

    X is the binary sequence-by-item matrix. The system is solved for items that are named in training only; for all
    others B would be zero.
    """

    name: ClassVar[str] = "ease"
    Config: ClassVar[type[RecommenderConfig]] = EASEConfig
    config: EASEConfig

    def _fit(self, train: TrainData) -> None:
        self._items: RowArray = np.flatnonzero(train.popularity >= self.config.min_sequences).astype(np.int32)
        size = self._items.size
        if size > self.config.max_items:
            raise ModelError(
                f"ease: {size} items are named in training, more than max_items = {self.config.max_items}. "
                f"Raise min_sequences, or max_items if {8 * size**2 / 2**30:.1f} GiB of memory are free."
            )
        named = train.matrix[:, self._items]
        # float32 is enough: the smallest eigenvalue is at least lambda. Only the lower triangle is filled from here on.
        gram = np.asfortranarray((named.T @ named).toarray(), dtype=np.float32)
        gram[np.diag_indices(size)] += self.config.l2
        if size:
            gram, info = lapack.spotrf(gram, lower=1, overwrite_a=1)
            if info == 0:
                gram, info = lapack.spotri(gram, lower=1, overwrite_c=1)
            if info != 0:
                raise ModelError(
                    f"ease: the system of {size} items is singular in float32; raise l2 ({self.config.l2})."
                )
        inverse = np.tril(gram)
        inverse += np.tril(inverse, -1).T
        self._weights: FloatArray = inverse / -np.diag(inverse)
        self._weights[np.diag_indices(size)] = 0.0
        self._prior = popularity_prior(train)

    def _score(self, contexts: Sequence[Context]) -> FloatArray:
        scores = np.repeat(np.float32(self.config.popularity_weight) * self._prior[None, :], len(contexts), axis=0)
        named = context_matrix(contexts, self.n_items, self.config.half_life)[:, self._items]
        scores[:, self._items] += named @ self._weights
        return scores

    def _arrays(self) -> Mapping[str, AnyArray]:
        return {"items": self._items, "weights": self._weights, "prior": self._prior}

    def _restore(self, arrays: Mapping[str, AnyArray]) -> None:
        self._items, self._weights, self._prior = arrays["items"], arrays["weights"], arrays["prior"]
