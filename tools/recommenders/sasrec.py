"""SASRec: self-attention over the items named so far, in order (Kang & McAuley, ICDM 2018, arXiv:1808.09781).

Differences from the paper, as conversations are short: each item comes with who named it and whether as disliked; the
loss is a softmax over the whole catalogue (one sampled negative makes the model overconfident: Petrov & Macdonald,
gSASRec, arXiv:2308.07192); only items the recommender names for the first time are predicted. For user-item histories
(``targets = "all"``) every item is predicted from those before it, as in the paper. Trained with torch
(``torch_sasrec``), scored with NumPy: asking a trained model needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
from convrec.core.items import FloatArray
from convrec.tools.recommenders.base import AnyArray, Recommender, RecommenderConfig
from convrec.tools.recommenders.data import Context, TrainData
from numpy.typing import NDArray
from pydantic import Field

Events = list[tuple[int, int]]
"""(item row, kind) in order; kinds: 0 by the seeker, 1 by the recommender, 2 as disliked."""
KINDS = 3
_EPSILON = 1e-5
_MASKED = np.float32(-1e9)


class SASRecConfig(RecommenderConfig):
    """Settings of SASRec; the defaults keep training short."""

    dimension: int = Field(64, ge=2, multiple_of=2)
    layers: int = Field(2, ge=1)
    heads: int = Field(2, ge=1)
    length: int = Field(20, ge=1, description="newest items that are read")
    epochs: int = Field(8, ge=1)
    batch: int = Field(256, ge=1)
    learning_rate: float = Field(6e-3, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    dropout: float = Field(0.2, ge=0, lt=1)
    targets: Literal["recommender", "all"] = Field(
        "recommender",
        description="what is predicted: items that the recommender names first, each from a window of its own; or "
        "every item when it first comes, all positions of a window at once",
    )
    negatives: int | None = Field(
        None, ge=1, description="items drawn at random that the softmax is over, beside the right one; None: all items"
    )


class SASRec(Recommender):
    """Score = logit of the item as the next one the recommender names, given the items named, their order and kinds.

    Items in ``Context.named`` that no message holds count as named by the seeker, first of all. Nothing named: the
    learned scores of a beginning.
    """

    name: ClassVar[str] = "sasrec"
    Config: ClassVar[type[RecommenderConfig]] = SASRecConfig
    config: SASRecConfig

    def _fit(self, train: TrainData) -> None:
        from convrec.tools.recommenders.torch_sasrec import fit_sasrec  # noqa: PLC0415 -- torch, for training only

        sequences = []
        for start, end in zip(train.offsets[:-1], train.offsets[1:], strict=True):
            kinds = np.where(train.negative[start:end], 2, train.by_recommender[start:end])
            sequences.append(list(zip(train.rows[start:end].tolist(), kinds.tolist(), strict=True)))
        self._weights: Mapping[str, FloatArray] = fit_sasrec(
            self.config, sequences, train.n_items, seed=self.seed, progress=self.progress
        )

    def _score(self, contexts: Sequence[Context]) -> FloatArray:
        events = [self._events(context)[-self.config.length :] for context in contexts]
        hidden = self._hidden(events)
        scores: FloatArray = hidden @ self._weights["items"].T + self._weights["bias"]
        return scores

    def _events(self, context: Context) -> Events:
        row_of = self.row_of
        said = [
            (row_of[item], int(message.speaker == "recommender"))
            for message in context.messages
            for item in message.mentions
            if item in row_of
        ]
        located = {row for row, _ in said}
        return [(row, 0) for row in context.named.tolist() if row not in located] + said

    def _hidden(self, events: Sequence[Events]) -> FloatArray:
        """The state after the last event; float32, shape (len(events), dimension). Mirrors the network of
        ``torch_sasrec`` without dropout."""
        weights, heads = self._weights, self.config.heads
        length = 1 + max(map(len, events))
        sizes = np.array([1 + len(line) for line in events])
        x = np.zeros((len(events), length, self.config.dimension), dtype=np.float32)
        x[:, 0] = weights["start"]
        for line, found in zip(x, events, strict=True):
            if found:
                rows, kinds = np.array(found).T
                line[1 : 1 + rows.size] = weights["items"][rows] + weights["kinds"][kinds]
        # Positions count back from the newest, so that the newest is always position 0.
        x += weights["positions"][np.maximum(sizes[:, None] - 1 - np.arange(length), 0)]
        blocked = np.triu(np.full((length, length), _MASKED, dtype=np.float32), 1)
        for layer in range(self.config.layers):
            part = {n.removeprefix(f"{layer}."): a for n, a in weights.items() if n.startswith(f"{layer}.")}
            x = x + _attention(_normalised(x, part["norm1"]), part, heads, blocked)
            inner = _normalised(x, part["norm2"]) @ part["up"].T + part["up_bias"]
            x = x + np.maximum(inner, 0) @ part["down"].T + part["down_bias"]
        last = x[np.arange(len(events)), sizes - 1]
        return _normalised(last, weights["norm"])

    def _arrays(self) -> Mapping[str, AnyArray]:
        return self._weights

    def _restore(self, arrays: Mapping[str, AnyArray]) -> None:
        self._weights = arrays


def _normalised(x: FloatArray, scale_shift: FloatArray) -> FloatArray:
    """Layer norm; ``scale_shift``: shape (2, dimension)."""
    centred = x - x.mean(axis=-1, keepdims=True)
    spread = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + np.float32(_EPSILON))
    out: FloatArray = centred / spread * scale_shift[0] + scale_shift[1]
    return out


def _attention(x: FloatArray, part: Mapping[str, NDArray[np.float32]], heads: int, blocked: FloatArray) -> FloatArray:
    """Causal multi-head attention; ``x``: shape (batch, length, dimension)."""
    batch, length, dimension = x.shape
    mixed = x @ part["qkv"].T + part["qkv_bias"]
    query, key, value = mixed.reshape(batch, length, 3, heads, dimension // heads).transpose(2, 0, 3, 1, 4)
    logits = query @ key.transpose(0, 1, 3, 2) / np.float32(np.sqrt(dimension // heads)) + blocked
    logits -= logits.max(axis=-1, keepdims=True)
    share = np.exp(logits)
    share /= share.sum(axis=-1, keepdims=True)
    joined = (share @ value).transpose(0, 2, 1, 3).reshape(batch, length, dimension)
    out: FloatArray = joined @ part["out"].T + part["out_bias"]
    return out
