"""Cold start from a few keywords: what the seeker says, matched against genres, keywords and people.

The idea of KALM4Rec (arXiv:2405.19612): the user is a handful of keywords, items are retrieved by theirs. It learns
nothing of single items, so it serves those that training never names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import numpy as np
from convrec.core.items import FloatArray
from convrec.tools.recommenders.base import AnyArray, Recommender, RecommenderConfig
from convrec.tools.recommenders.data import Context, ItemDetails, TrainData, popularity_prior
from convrec.tools.recommenders.text import STOPWORDS, plain_words, titles_in, titles_of, tokens
from convrec.tools.recommenders.words import Vocabulary, document_frequency, sparse_arrays, sparse_from
from pydantic import Field
from scipy.sparse import csr_array

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "animated": ("animation",),
    "animations": ("animation",),
    "anime": ("animation",),
    "biopic": ("biography",),
    "cartoon": ("animation",),
    "cartoons": ("animation",),
    "child": ("family",),
    "children": ("family",),
    "comedies": ("comedy",),
    "comedic": ("comedy",),
    "creepy": ("horror",),
    "detective": ("mystery",),
    "disney": ("animation", "family"),
    "documentaries": ("documentary",),
    "dramas": ("drama",),
    "dramatic": ("drama",),
    "fantasies": ("fantasy",),
    "funny": ("comedy",),
    "hilarious": ("comedy",),
    "humor": ("comedy",),
    "kid": ("family",),
    "kids": ("family",),
    "laugh": ("comedy",),
    "love story": ("romance",),
    "mysteries": ("mystery",),
    "musicals": ("musical",),
    "pixar": ("animation", "family"),
    "rom com": ("romance", "comedy"),
    "rom-com": ("romance", "comedy"),
    "romcom": ("romance", "comedy"),
    "rom coms": ("romance", "comedy"),
    "rom-coms": ("romance", "comedy"),
    "romcoms": ("romance", "comedy"),
    "romances": ("romance",),
    "romantic": ("romance",),
    "scary": ("horror",),
    "sci fi": ("sci-fi",),
    "science fiction": ("sci-fi",),
    "scifi": ("sci-fi",),
    "si-fi": ("sci-fi",),
    "slasher": ("horror",),
    "sports": ("sport",),
    "spooky": ("horror",),
    "superhero": ("action",),
    "superheroes": ("action",),
    "suspense": ("thriller",),
    "suspenseful": ("thriller",),
    "thrillers": ("thriller",),
    "westerns": ("western",),
}
"""What people say, and the tags it means (in the form of :func:`phrase`)."""

_LONGEST_PHRASE = 4
_SHORTEST_SURNAME = 4
_SURNAME_ITEMS = 3
"""A last name stands for a person of at least so many items..."""
_SURNAME_SHARE = 0.75
"""...who has at least this share of the items of everybody of that name."""
_LOWER = re.compile(r"(?<!\w)[a-z]+(?!\w)")


class KeywordsConfig(RecommenderConfig):
    """Settings of Keywords; the defaults were chosen on ReDial's validation split."""

    last_messages: int = Field(20, ge=1, description="newest messages that are read")
    recommender_weight: float = Field(0.3, ge=0, description="weight of a recommender's word; a seeker's counts 1")
    kinds: dict[str, float] = Field(
        {"genre": 1.0, "person": 1.0, "keyword": 0.25}, description="weight of each kind of tag; >= 0"
    )
    popularity_weight: float = Field(
        1.0, ge=0, description="weight of the popularity prior (0..1) beside the match (0..1): smooths and breaks ties"
    )


class Keywords(Recommender):
    """Score = share of the asked tags' weight that the item has (0..1) + popularity_weight * prior. A tag is asked for
    when its words, or a synonym, are said outside titles; its weight is that of its kind times its IDF,
    log(n_items / count), times who said it, once per tag. Nothing asked, or no details: the prior alone.

    "Nothing scary" asks for horror all the same: negation is left to whoever reads the wishes.
    """

    name: ClassVar[str] = "keywords"
    Config: ClassVar[type[RecommenderConfig]] = KeywordsConfig
    config: KeywordsConfig

    def _fit(self, train: TrainData) -> None:
        details = train.details
        n_items = train.n_items
        self._prior = popularity_prior(train)
        self._titles = titles_in(details)
        lines: list[dict[str, float]] = [{} for _ in range(n_items)]
        surnames: dict[str, str] = {}
        if details is not None:
            for kind, weight in sorted(self.config.kinds.items()):
                for line, values in zip(lines, details.tags.get(kind, ()), strict=False):
                    for key in filter(None, map(phrase, values if weight else ())):
                        line[key] = max(weight, line.get(key, 0.0))
            surnames = unambiguous_surnames(details) if self.config.kinds.get("person") else {}
        self._tags = Vocabulary(key for line in lines for key in line)
        weighted = self._tags.matrix(lines)
        counts = document_frequency(weighted)
        # A value of two kinds counts as the heavier one; the weight belongs to the tag, the items' entries are 0 or 1.
        kind_weight = np.zeros(counts.size, dtype=np.float32)
        np.maximum.at(kind_weight, weighted.indices, weighted.data)
        self._weights = (kind_weight * np.log(n_items / np.maximum(counts, 1))).astype(np.float32)
        weighted.data[:] = 1.0
        self._items = csr_array(weighted.T)  # shape (n_tags, n_items)
        spoken = [(word, tag) for word, tags in SYNONYMS.items() for tag in tags]
        spoken += [item for item in surnames.items() if item[0] not in self._tags.column_of]
        self._spoken = tuple((word, tag) for word, tag in spoken if tag in self._tags.column_of)

    def _score(self, contexts: Sequence[Context]) -> FloatArray:
        titles = titles_of(self.item_ids, self._titles)
        meanings: dict[str, list[str]] = {}
        for word, tag in self._spoken:
            meanings.setdefault(word, []).append(tag)
        asked = self._tags.matrix([self._asked(context, titles, meanings) for context in contexts])
        asked.data *= self._weights[asked.indices]
        total = np.asarray(asked.sum(axis=1), dtype=np.float32).reshape(-1, 1)
        matched = (asked @ self._items).toarray() / np.where(total > 0, total, np.float32(1))
        scores: FloatArray = (matched + np.float32(self.config.popularity_weight) * self._prior).astype(np.float32)
        return scores

    def _asked(
        self, context: Context, titles: Mapping[str, str], meanings: Mapping[str, Sequence[str]]
    ) -> dict[str, float]:
        """Weight by tag: that of the most important one who said it."""
        asked: dict[str, float] = {}
        for message in context.messages[-self.config.last_messages :]:
            weight = 1.0 if message.speaker == "seeker" else self.config.recommender_weight
            for said in _phrases(tokens(plain_words(message, titles))):
                for tag in (said, *meanings.get(said, ())):
                    asked[tag] = max(weight, asked.get(tag, 0.0))
        return {tag: weight for tag, weight in asked.items() if weight}

    def _arrays(self) -> Mapping[str, AnyArray]:
        return {
            "tags": self._tags.to_array(),
            "weights": self._weights,
            "spoken": np.array(self._spoken, dtype=np.str_).reshape(-1, 2),
            "titles": np.array(self._titles, dtype=np.str_),
            "prior": self._prior,
            **sparse_arrays("items", self._items),
        }

    def _restore(self, arrays: Mapping[str, AnyArray]) -> None:
        self._tags = Vocabulary.from_array(arrays["tags"])
        self._weights, self._prior = arrays["weights"], arrays["prior"]
        self._spoken = tuple((word, tag) for word, tag in arrays["spoken"].tolist())
        self._titles = tuple(arrays["titles"].tolist())
        self._items = sparse_from(arrays, "items")


def phrase(tag: str) -> str:
    """A tag as it is looked up: its :func:`tokens`, one space between. "" when it is one stop word or nothing."""
    said = " ".join(tokens(tag))
    return "" if said in STOPWORDS or said.count(" ") >= _LONGEST_PHRASE else said


def _phrases(words: Sequence[str]) -> Iterable[str]:
    """Every run of up to four words."""
    for size in range(1, _LONGEST_PHRASE + 1):
        for start in range(len(words) - size + 1):
            yield " ".join(words[start : start + size])


def unambiguous_surnames(details: ItemDetails) -> dict[str, str]:
    """Person (as :func:`phrase`) by last name, where nearly all items of people of that name are theirs.

    A last name that some document writes in lower case ("young", "love") is an ordinary word and left out.
    """
    ordinary = {word for document in details.documents for word in _LOWER.findall(document)}
    ordinary |= {word for title in details.titles for word in tokens(title)}
    items = Counter(filter(None, (phrase(name) for names in details.tags.get("person", ()) for name in names)))
    of_name: dict[str, list[tuple[int, str]]] = {}
    for person, count in sorted(items.items()):
        _, _, last = person.rpartition(" ")
        if last != person and len(last) >= _SHORTEST_SURNAME and last not in ordinary:
            of_name.setdefault(last, []).append((count, person))
    found = {}
    for last, people in of_name.items():
        count, person = max(people)
        if count >= _SURNAME_ITEMS and count >= _SURNAME_SHARE * sum(number for number, _ in people):
            found[last] = person
    return found
