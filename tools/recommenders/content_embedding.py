"""Nearness of meaning: sentence embeddings (Reimers & Gurevych, "Sentence-BERT", EMNLP 2019) of the conversation and
of the item documents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import numpy as np
from convrec.core.errors import ModelError
from convrec.core.items import FloatArray
from convrec.tools.recommenders.base import AnyArray, Recommender, RecommenderConfig
from convrec.tools.recommenders.data import Context, TrainData, context_matrix
from convrec.tools.recommenders.text import written_out
from convrec.tools.recommenders.words import row_means
from numpy.typing import NDArray
from pydantic import Field

Embed = Callable[[Sequence[str]], FloatArray]
"""Texts to vectors: float32, shape (len(texts), dimension), rows of L2 norm 1 (or 0). As ``Embedder.embed``."""


class ContentEmbeddingConfig(RecommenderConfig):
    """Settings of ContentEmbedding; the defaults were chosen on ReDial's validation split."""

    characters: int = Field(700, ge=1, description="newest characters of the conversation that are embedded")
    named_weight: float = Field(1.5, ge=0, description="weight of the mean cosine to the named items")


class ContentEmbedding(Recommender):
    """Score = cosine(conversation, item document) + named_weight * mean over the named items of cosine(its document,
    the item document); in -(1 + named_weight)..1 + named_weight. What is missing adds 0: no message, nothing named,
    no details.

    ``embed`` is given to the constructor or set later, also after ``load``; it must be the one used in ``fit``. It is
    no part of what is saved.
    """

    name: ClassVar[str] = "content"
    Config: ClassVar[type[RecommenderConfig]] = ContentEmbeddingConfig
    config: ContentEmbeddingConfig

    def __init__(self, config: RecommenderConfig | None = None, *, seed: int = 0, embed: Embed | None = None) -> None:
        super().__init__(config, seed=seed)
        self.embed = embed

    def _fit(self, train: TrainData) -> None:
        details = train.details
        self._names: tuple[str, ...] = details.names if details is not None else ()
        vectors: FloatArray = np.zeros((train.n_items, 0), dtype=np.float32)
        if details is not None:
            vectors = self._embedder()(details.documents)
        # Half precision halves the file and moves a cosine by less than .001.
        self._vectors: NDArray[np.float16] = vectors.astype(np.float16)

    def _score(self, contexts: Sequence[Context]) -> FloatArray:
        items: FloatArray = self._vectors.astype(np.float32)
        if not items.shape[1]:
            return np.zeros((len(contexts), self.n_items), dtype=np.float32)
        named = row_means(context_matrix(contexts, self.n_items)) @ items
        asked = self._asked(contexts) + np.float32(self.config.named_weight) * named
        scores: FloatArray = (asked @ items.T).astype(np.float32)
        return scores

    def _asked(self, contexts: Sequence[Context]) -> FloatArray:
        """The conversations' vectors; 0 for one without a message. float32, shape (len(contexts), dimension)."""
        names = dict(zip(self.item_ids or (), self._names, strict=False))
        out: FloatArray = np.zeros((len(contexts), self._vectors.shape[1]), dtype=np.float32)
        texts = {number: self._text(context, names) for number, context in enumerate(contexts)}
        texts = {number: text for number, text in texts.items() if text}
        if texts:
            vectors = self._embedder()(list(texts.values()))
            if vectors.shape[1] != out.shape[1]:
                raise ModelError(
                    f"{self.name} was fitted with vectors of {out.shape[1]} dimensions, embed gives {vectors.shape[1]}:"
                    " give the embedder it was fitted with, or fit again."
                )
            out[list(texts)] = vectors
        return out

    def _text(self, context: Context, names: Mapping[str, str]) -> str:
        limit, newest, length = self.config.characters, [], 0
        for message in reversed(context.messages):
            newest.append(written_out(message, names))
            length += len(newest[-1]) + 1
            if length > limit:
                break
        return "\n".join(reversed(newest))[-limit:].strip()

    def _embedder(self) -> Embed:
        if self.embed is None:
            raise ModelError(
                f"{self.name} needs the sentence embedder: ContentEmbedding(embed=embedder.embed), or set .embed after "
                "load. MiniLMEmbedder's files come with: convrec models pull all-minilm-l6-v2"
            )
        return self.embed

    def _arrays(self) -> Mapping[str, AnyArray]:
        return {"vectors": self._vectors, "names": np.array(self._names, dtype=np.str_)}

    def _restore(self, arrays: Mapping[str, AnyArray]) -> None:
        self._vectors, self._names = arrays["vectors"], tuple(arrays["names"].tolist())
