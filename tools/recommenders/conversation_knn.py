"""Nearest conversations: what was recommended when people talked like this.

k-nearest neighbours over whole sessions (as Jannach & Ludewig, "When recurrent neural networks meet the neighborhood
for session-based recommendation", RecSys 2017), the session being the words and items of the conversation so far, by
TF-IDF (Salton & Buckley, 1988) and cosine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from convrec.core.items import FloatArray
from convrec.tools.recommenders.base import AnyArray, Recommender, RecommenderConfig
from convrec.tools.recommenders.data import Context, TrainData, context_matrix, recommendations
from convrec.tools.recommenders.text import titles_in, titles_of, weighted_words
from convrec.tools.recommenders.words import (
    Vocabulary,
    document_frequency,
    sparse_arrays,
    sparse_from,
    unit_rows,
    with_columns_scaled,
)
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import csr_array, hstack


class ConversationKNNConfig(RecommenderConfig):
    """Settings of ConversationKNN; the defaults were chosen on ReDial's validation split."""

    last_messages: int = Field(20, ge=1, description="newest messages that are compared")
    seeker_weight: float = Field(2.0, ge=0, description="weight of a seeker's word; a recommender's counts 1")
    item_weight: float = Field(1.0, ge=0, description="weight of the named items beside the words, which weigh 1")
    neighbours: int = Field(300, ge=1, description="most similar training contexts that vote")
    power: float = Field(1.0, gt=0, description="a vote is the cosine to this power; larger: the nearest count more")
    min_contexts: int = Field(2, ge=1, description="words in fewer training contexts are left out")


class ConversationKNN(Recommender):
    """Score = sum over the nearest training contexts of cosine^power, for each item recommended there.

    A context is its words and its named items, each part of unit length before its weight is applied. Nothing similar:
    every score is 0. Needs the training dialogues in full; without any, every score is 0.
    """

    name: ClassVar[str] = "convknn"
    Config: ClassVar[type[RecommenderConfig]] = ConversationKNNConfig
    config: ConversationKNNConfig

    def _fit(self, train: TrainData) -> None:
        row_of = {item: row for row, item in enumerate(train.item_ids)}
        found = [case for dialogue in train.dialogues for case in recommendations(dialogue, row_of, novel=True)]
        contexts = [case.context for case in found]
        self._titles = titles_in(train.details)
        lines = self._words(contexts, titles_of(train.item_ids, self._titles))
        everything = Vocabulary(word for line in lines for word in line)
        counts = document_frequency(everything.matrix(lines))
        often = counts >= self.config.min_contexts
        self._vocabulary = Vocabulary(word for word, kept in zip(everything.words, often.tolist(), strict=True) if kept)
        self._word_idf = _idf(counts[often], len(found))
        self._item_idf = _idf(document_frequency(context_matrix(contexts, train.n_items)), len(found))
        self._known = csr_array(self._vectors(contexts, lines, train.n_items).T)  # shape (n_features, n_cases)
        self._votes = context_matrix([Context(case.gold) for case in found], train.n_items)  # shape (n_cases, n_items)

    def _words(self, contexts: Sequence[Context], titles: Mapping[str, str]) -> list[dict[str, float]]:
        last, seeker = self.config.last_messages, self.config.seeker_weight
        return [weighted_words(context, titles, last=last, seeker=seeker) for context in contexts]

    def _vectors(
        self, contexts: Sequence[Context], lines: Sequence[Mapping[str, float]], n_items: int
    ) -> csr_array[np.float32]:
        """Unit vectors: float32, shape (len(contexts), n_words + n_items)."""
        words = self._vocabulary.matrix(lines)
        words.data = np.log1p(words.data)  # the tenth time a word is said tells less than the first
        said = unit_rows(with_columns_scaled(words, self._word_idf))
        named = unit_rows(with_columns_scaled(context_matrix(contexts, n_items), self._item_idf))
        both = csr_array(hstack([said, np.float32(self.config.item_weight) * named], format="csr", dtype=np.float32))
        return unit_rows(both)

    def _score(self, contexts: Sequence[Context]) -> FloatArray:
        lines = self._words(contexts, titles_of(self.item_ids, self._titles))
        similar = (self._vectors(contexts, lines, self.n_items) @ self._known).toarray()
        if similar.shape[1] > self.config.neighbours:
            # Ties with the last neighbour vote too, so that a score does not depend on the order of the contexts.
            least = np.partition(similar, -self.config.neighbours, axis=1)[:, -self.config.neighbours, None]
            similar = np.where(similar >= least, similar, np.float32(0))
        votes = csr_array(np.maximum(similar, 0) ** np.float32(self.config.power))
        scores: FloatArray = (votes @ self._votes).toarray()
        return scores

    def _arrays(self) -> Mapping[str, AnyArray]:
        return {
            "words": self._vocabulary.to_array(),
            "titles": np.array(self._titles, dtype=np.str_),
            "word_idf": self._word_idf,
            "item_idf": self._item_idf,
            **sparse_arrays("known", self._known),
            **sparse_arrays("votes", self._votes),
        }

    def _restore(self, arrays: Mapping[str, AnyArray]) -> None:
        self._vocabulary = Vocabulary.from_array(arrays["words"])
        self._titles = tuple(arrays["titles"].tolist())
        self._word_idf, self._item_idf = arrays["word_idf"], arrays["item_idf"]
        self._known, self._votes = sparse_from(arrays, "known"), sparse_from(arrays, "votes")


def _idf(counts: NDArray[np.int64], n_documents: int) -> NDArray[np.float32]:
    """log((1 + n) / (1 + count)) + 1: never 0, finite for what no document holds; float32, shape of ``counts``."""
    return (np.log((1 + n_documents) / (1 + counts)) + 1).astype(np.float32)
