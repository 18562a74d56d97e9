"""A weighted sum of recommenders' standardised scores: the fusion for data without conversations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from convrec.core.errors import ModelError
from convrec.core.items import FloatArray
from convrec.tools.recommenders.base import AnyArray, Recommender, RecommenderConfig
from convrec.tools.recommenders.data import Context, TrainData
from pydantic import Field


class BlendConfig(RecommenderConfig):
    """Weights by name of the part, each at least 0."""

    weights: dict[str, float] = Field({"ease": 0.5, "itemknn": 0.5}, min_length=1)


class Blend(Recommender):
    """Score = sum over the parts of weight * z, z = a part's score less its mean over the catalogue, by its deviation.

    An item that a part does not put forward gets that part's lowest score.
    """

    name: ClassVar[str] = "blend"
    Config: ClassVar[type[RecommenderConfig]] = BlendConfig
    config: BlendConfig

    def __init__(self, config: RecommenderConfig | None = None, *, seed: int = 0) -> None:
        super().__init__(config, seed=seed)
        self._experts: dict[str, Recommender] = {}

    @classmethod
    def of(cls, experts: Mapping[str, Recommender], weights: Mapping[str, float], *, seed: int = 0) -> Blend:
        """A blend of fitted recommenders. Those of weight 0 are left out.

        Raises:
            ModelError: they were not fitted on the same data.
        """
        chosen = {name: weight for name, weight in weights.items() if weight > 0}
        out = cls(BlendConfig(weights=chosen), seed=seed)
        out._experts = {name: experts[name] for name in chosen}
        first = next(iter(out._experts.values()))
        if any(e.data_hash != first.data_hash or e.item_ids != first.item_ids for e in out._experts.values()):
            raise ModelError("blend: its parts were fitted on different data. Train them together.")
        out.item_ids, out.data_hash, out.n_train = first.item_ids, first.data_hash, first.n_train
        return out

    def _fit(self, train: TrainData) -> None:
        from convrec.tools.recommenders.registry import RECOMMENDERS  # noqa: PLC0415 -- the registry names this module

        for name in self.config.weights:
            if name not in RECOMMENDERS:
                raise ModelError(f"weights: {name!r} is no recommender. Choose from: {', '.join(RECOMMENDERS)}")
        self._experts = {name: RECOMMENDERS[name](seed=self.seed).fit(train) for name in self.config.weights}

    def _score(self, contexts: Sequence[Context]) -> FloatArray:
        out = np.zeros((len(contexts), self.n_items), dtype=np.float32)
        for name, weight in self.config.weights.items():
            out += np.float32(weight) * standardised(self._experts[name].score(contexts))
        return out

    def _parts(self) -> Mapping[str, Recommender]:
        return self._experts

    def _restore_parts(self, folder: Path) -> None:
        from convrec.tools.recommenders.registry import load_recommender  # noqa: PLC0415 -- as above

        self._experts = {name: load_recommender(folder / name) for name in self.config.weights}

    def _arrays(self) -> Mapping[str, AnyArray]:
        return {}

    def _restore(self, arrays: Mapping[str, AnyArray]) -> None:
        """Nothing but the parts was learnt."""


def standardised(scores: FloatArray) -> FloatArray:
    """Each line less its mean, by its standard deviation; float32. A line of equal scores becomes 0."""
    put_forward = np.isfinite(scores)
    lowest = np.where(put_forward, scores, np.float32(np.inf)).min(axis=1, keepdims=True, initial=np.inf)
    filled = np.where(put_forward, scores, np.where(np.isfinite(lowest), lowest, 0)).astype(np.float32)
    if filled.shape[1] == 0:
        return filled
    filled -= filled.mean(axis=1, keepdims=True)
    spread = filled.std(axis=1, keepdims=True)
    out: FloatArray = np.divide(filled, spread, out=np.zeros_like(filled), where=spread > np.float32(1e-12))
    return out
