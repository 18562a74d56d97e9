"""The items already named, newest first: the baseline that shows how much of a figure is repetition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from convrec.core.items import FloatArray
from convrec.tools.recommenders.base import NEVER, AnyArray, Recommender
from convrec.tools.recommenders.data import Context, TrainData


class Echo(Recommender):
    """Score = position of the item's latest mention (1 the oldest); all others are never put forward."""

    name: ClassVar[str] = "echo"

    def _fit(self, train: TrainData) -> None:
        """Nothing to learn."""

    def _score(self, contexts: Sequence[Context]) -> FloatArray:
        scores = np.full((len(contexts), self.n_items), NEVER, dtype=np.float32)
        for line, context in zip(scores, contexts, strict=True):
            line[context.named] = np.arange(1, context.named.size + 1, dtype=np.float32)
        return scores

    def _arrays(self) -> Mapping[str, AnyArray]:
        return {}

    def _restore(self, arrays: Mapping[str, AnyArray]) -> None:
        """Nothing to restore."""
