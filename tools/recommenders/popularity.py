"""The same list for everyone: how often an item was recommended in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
from convrec.core.errors import ModelError
from convrec.core.items import FloatArray
from convrec.tools.recommenders.base import AnyArray, Recommender, RecommenderConfig
from convrec.tools.recommenders.data import Context, TrainData
from pydantic import Field


class PopularityConfig(RecommenderConfig):
    """What is counted."""

    count: Literal["recommender", "all"] = Field(
        "recommender", description="mentions by the recommender only, or by both sides"
    )


class Popularity(Recommender):
    """Score = number of training mentions. The conversation plays no part."""

    name: ClassVar[str] = "popularity"
    Config: ClassVar[type[RecommenderConfig]] = PopularityConfig
    config: PopularityConfig

    def _fit(self, train: TrainData) -> None:
        rows = train.rows
        if self.config.count == "recommender":
            rows = rows[train.by_recommender]
            if rows.size == 0 and train.rows.size:
                raise ModelError(
                    "popularity: no training mention is by a recommender, so there is nothing to count. "
                    'Use count = "all" for data without speakers.'
                )
        self._counts: FloatArray = np.bincount(rows, minlength=train.n_items).astype(np.float32)

    def _score(self, contexts: Sequence[Context]) -> FloatArray:
        return np.repeat(self._counts[None, :], len(contexts), axis=0)

    def _arrays(self) -> Mapping[str, AnyArray]:
        return {"counts": self._counts}

    def _restore(self, arrays: Mapping[str, AnyArray]) -> None:
        self._counts = arrays["counts"]
