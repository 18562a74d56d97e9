"""BM25 of what was said against the item documents, with scores computed at indexing (Lù, "BM25S", 2024,
arXiv:2407.03618)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from convrec.core.extras import require
from convrec.core.items import FloatArray
from convrec.tools.recommenders.base import AnyArray, Recommender, RecommenderConfig
from convrec.tools.recommenders.data import Context, TrainData
from convrec.tools.recommenders.text import content_tokens, titles_in, titles_of, weighted_words
from convrec.tools.recommenders.words import Vocabulary, empty_matrix, sparse_arrays, sparse_from
from pydantic import Field
from scipy.sparse import csr_array


class BM25Config(RecommenderConfig):
    """Settings of BM25; the defaults were chosen on ReDial's validation split."""

    last_messages: int = Field(20, ge=1, description="newest messages that make the query")
    seeker_weight: float = Field(2.0, ge=0, description="weight of a seeker's word; a recommender's counts 1")
    k1: float = Field(1.2, ge=0, description="how much a repeated word adds")
    b: float = Field(0.75, ge=0, le=1, description="how much a long document is held back")


class BM25(Recommender):
    """Score = sum over the query's content words of their weight times BM25(word, document), Lucene's variant, which
    is 0 where the document lacks the word. Titles are no part of the query: they name what is known already.

    Without details there is no document: every score is 0.
    """

    name: ClassVar[str] = "bm25"
    Config: ClassVar[type[RecommenderConfig]] = BM25Config
    config: BM25Config

    def _fit(self, train: TrainData) -> None:
        documents = [content_tokens(text) for text in train.details.documents] if train.details is not None else []
        self._titles = titles_in(train.details)
        self._vocabulary = Vocabulary(word for document in documents for word in document)
        shape = (len(self._vocabulary.words), train.n_items)
        self._weights = empty_matrix(*shape)
        if self._vocabulary.words:
            library = require("bm25s", "train", "BM25 over the item documents")
            column_of = self._vocabulary.column_of
            index = library.BM25(k1=self.config.k1, b=self.config.b, method="lucene", dtype="float32")
            ids = [[column_of[word] for word in document] for document in documents]
            # The library gets ids of our own vocabulary, so that its matrix is in our order.
            index.index((ids, column_of), create_empty_token=False, show_progress=False)
            found = index.scores
            self._weights = csr_array((found["data"], found["indices"], found["indptr"]), shape=shape)

    def _score(self, contexts: Sequence[Context]) -> FloatArray:
        titles = titles_of(self.item_ids, self._titles)
        config = self.config
        lines = [
            weighted_words(context, titles, last=config.last_messages, seeker=config.seeker_weight)
            for context in contexts
        ]
        scores: FloatArray = (self._vocabulary.matrix(lines) @ self._weights).toarray()
        return scores

    def _arrays(self) -> Mapping[str, AnyArray]:
        words, titles = self._vocabulary.to_array(), np.array(self._titles, dtype=np.str_)
        return {"words": words, "titles": titles, **sparse_arrays("weights", self._weights)}

    def _restore(self, arrays: Mapping[str, AnyArray]) -> None:
        self._vocabulary = Vocabulary.from_array(arrays["words"])
        self._titles = tuple(arrays["titles"].tolist())
        self._weights = sparse_from(arrays, "weights")
