"""Untrained links between items: the same people, the same franchise. Serves items that training never names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from convrec.core.items import FloatArray
from convrec.core.text import fold
from convrec.tools.recommenders.base import AnyArray, Recommender, RecommenderConfig
from convrec.tools.recommenders.data import Context, ItemDetails, TrainData, context_matrix
from convrec.tools.recommenders.text import STOPWORDS, named_weights
from convrec.tools.recommenders.words import (
    Vocabulary,
    document_frequency,
    empty_matrix,
    sparse_arrays,
    sparse_from,
    with_columns_scaled,
)
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import csr_array

_SUBTITLE = re.compile(r":| [-–—] |\(")
_NUMBERING = re.compile(r"( (part|chapter|episode|volume|vol|[0-9]{1,2}|[ivx]{1,5}|one|two|three|four|five))+$")
_SHORTEST_WORD = 3


class LinksConfig(RecommenderConfig):
    """Settings of Links; the defaults were chosen on ReDial's validation split."""

    person_weight: float = Field(1.0, ge=0, description="weight of the shared people")
    word_weight: float = Field(0.5, ge=0, description="weight of the shared rare title words")
    franchise_weight: float = Field(5.0, ge=0, description="weight of the same title but for number and subtitle")
    rare_word: int = Field(60, ge=2, description="title words of at least so many items link nothing")
    decay: float = Field(0.7, ge=0, le=1, description="a named item counts this much of the one named after it")


class Links(Recommender):
    """Score = sum over the named items i of decay^age(i) * s(i, j), s(i, j) = the IDF, log(n_items / count), of each
    shared person and shared rare title word, plus a constant for the same franchise, each weighted; s(i, i) = 0.

    Without details nothing is linked: every score is 0.
    """

    name: ClassVar[str] = "links"
    Config: ClassVar[type[RecommenderConfig]] = LinksConfig
    config: LinksConfig

    def _fit(self, train: TrainData) -> None:
        linked = empty_matrix(train.n_items, train.n_items)
        if train.details is not None:
            linked = self._linked(train.details)
        lines = np.repeat(np.arange(train.n_items), np.diff(linked.indptr))
        other = (lines != linked.indices) & (linked.data > 0)
        weights: csr_array[np.float32] = csr_array(
            (linked.data[other], (lines[other], linked.indices[other])), shape=linked.shape
        )
        self._weights = weights

    def _linked(self, details: ItemDetails) -> csr_array[np.float32]:
        n_items, config = len(details.titles), self.config
        people = details.tag_matrix("person")
        words = _membership([title_words(title) for title in details.titles])
        franchises = _membership([{franchise(title)} - {""} for title in details.titles])
        counts = document_frequency(words)
        parts = (
            (people, np.float32(config.person_weight) * _idf(document_frequency(people), n_items)),
            (words, np.float32(config.word_weight) * _idf(counts, n_items) * (counts < config.rare_word)),
            (franchises, np.full(franchises.shape[1], config.franchise_weight, dtype=np.float32)),
        )
        linked = empty_matrix(n_items, n_items)
        for matrix, factors in parts:
            held = np.flatnonzero(factors > 0)  # common words would fill the product for nothing
            linked = csr_array(
                linked + with_columns_scaled(matrix[:, held], factors[held].astype(np.float32)) @ matrix[:, held].T
            )
        return linked

    def _score(self, contexts: Sequence[Context]) -> FloatArray:
        named = context_matrix(contexts, self.n_items)
        weights = [weight for context in contexts for weight in named_weights(context.named, self.config.decay)]
        named.data[:] = np.array(weights, dtype=np.float32)
        scores: FloatArray = (named @ self._weights).toarray()
        return scores

    def _arrays(self) -> Mapping[str, AnyArray]:
        return sparse_arrays("weights", self._weights)

    def _restore(self, arrays: Mapping[str, AnyArray]) -> None:
        self._weights = sparse_from(arrays, "weights")


def title_words(title: str) -> set[str]:
    """The words of a title that may tell a franchise: folded, 3+ characters, no numbers, no stop words."""
    words = {word for word in fold(title).split() if len(word) >= _SHORTEST_WORD and not word.isdigit()}
    return words - STOPWORDS


def franchise(title: str) -> str:
    """A title without subtitle and number: "Rocky IV" and "Rocky" are "rocky"; "Alien: Covenant" is "alien"."""
    main = fold(_SUBTITLE.split(title, maxsplit=1)[0])
    return _NUMBERING.sub("", main).strip() or main


def _membership(lines: Sequence[set[str]]) -> csr_array[np.float32]:
    return Vocabulary(word for line in lines for word in line).matrix([dict.fromkeys(line, 1.0) for line in lines])


def _idf(counts: NDArray[np.int64], n_items: int) -> NDArray[np.float32]:
    return np.log(n_items / np.maximum(counts, 1)).astype(np.float32)
