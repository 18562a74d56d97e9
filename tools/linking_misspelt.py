"""Misspelt names: "slumdog milionaire", "reese witherspon", "scorcese". Tried only on words that nothing is called, and
only towards what is well known."""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from convrec.core.items import FloatArray
from convrec.core.text import fold
from convrec.tools.catalogue import Catalogue
from convrec.tools.lexicon import CATEGORY_WORDS, DEMONYMS
from convrec.tools.lexicon_names import EVERYDAY_SURNAMES
from convrec.tools.lexicon_words import FUNCTION_WORDS, REQUEST_WORDS, STRAY_WORDS
from convrec.tools.linking_people import person_cue
from convrec.tools.linking_titles import CUE, NOUN_AFTER
from convrec.tools.spans import Message, Token
from rapidfuzz import fuzz, process
from rapidfuzz.distance import OSA

LEAST_LETTERS = 5
"""Shorter strange words are left alone."""
LIKENESS = 88.0
"""Least likeness (0-100) of the words to the name."""
KNOWN_TITLE = 0.75
"""Least popularity percentile of a title."""
KNOWN_PERSON = 3.0
"""Least sum of popularity percentiles over a person's items."""
BOTH_LIKENESS = 92.0
"""The same for first name and surname of which each is somebody's, the two together nobody's."""
MOST_WORDS = 6
LEAST_SHARED = 4
"""A longer name must share a word of so many letters with what was typed."""
LONG = 9
LEAST_ALONE = 6
"""Letters of a single word that may be a misspelt surname or title."""
KNOWN_SURNAME = 6.0
"""Least sum of popularity percentiles of who is meant by a misspelt surname alone."""

_WORDS = (
    FUNCTION_WORDS
    | REQUEST_WORDS
    | STRAY_WORDS
    | {w for phrase in (*CATEGORY_WORDS, *DEMONYMS) for w in phrase.split()}
)
_SHORTENED = re.compile(r"['’](?:t|re|ve|ll|d|m)$", re.IGNORECASE)
"""The end of "aren't" and "you're", which are no names."""
_IN = re.compile(r"\b(?:who|cast|acts?|plays?|played|stars?|starred)\b[^.;!?]*\b(?:in|of)\s+$")


class _Names(NamedTuple):
    titles: list[str]
    rows: list[int]
    people: list[str]
    names: list[str]
    words: frozenset[str]
    """All words of all names and titles."""
    initials: dict[str, list[int]]
    """Positions of ``people`` by the first letters of both names."""
    by_word: dict[str, list[int]]
    """Positions of ``titles`` by each of their words of four letters or more."""
    alone: dict[str, list[tuple[str, int | None, str]]]
    """By first letter: (surname or title of one word, row of the title, person)."""


class Guess(NamedTuple):
    """``row`` of a title, or ``person``."""

    start: int
    end: int
    row: int | None
    person: str


@dataclass(slots=True)
class Misspelt:
    """Finds them in one catalogue. Thread-safe; keeps only a cache."""

    catalogue: Catalogue
    fame: FloatArray
    _names: _Names | None = field(init=False, default=None)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def find(self, message: Message, tokens: tuple[Token, ...]) -> list[Guess]:
        """Guesses among ``tokens``, which no name has explained; without overlaps, in order."""
        names = self._known()
        out: list[Guess] = []
        for index, token in enumerate(tokens):
            strange = len(token.norm) >= LEAST_LETTERS and token.norm.isalpha() and token.norm not in names.words
            if not strange or token.norm in _WORDS or _SHORTENED.search(token.text):
                continue
            if out and token.start < out[-1].end:
                continue
            guess = self._best(message, tokens, index, names)
            if guess is not None and not any(guess.start < g.end and g.start < guess.end for g in out):
                out.append(guess)
        for one, two in pairwise(tokens):
            if not any(one.start < g.end and g.start < two.end for g in out) and (
                guess := self._both(message, one, two, names)
            ):
                out.append(guess)
        return sorted(out)

    def _both(self, message: Message, one: Token, two: Token, names: _Names) -> Guess | None:
        """Somebody whose names are misspelt as words that others are called: "scarlet johanson"."""
        plain = one.norm in _WORDS or two.norm in _WORDS or min(len(one.norm), len(two.norm)) < LEAST_LETTERS
        if plain or message.text[one.end : two.start] != " ":
            return None
        said = f"{one.norm} {two.norm}"
        near = names.initials.get(_initials(said), [])
        found = process.extractOne(said, [names.people[i] for i in near], scorer=fuzz.ratio, score_cutoff=BOTH_LIKENESS)
        return Guess(one.start, two.end, None, names.names[near[found[2]]]) if found else None

    def _best(self, message: Message, tokens: tuple[Token, ...], index: int, names: _Names) -> Guess | None:
        best: tuple[float, Guess] | None = None
        for length in range(2, MOST_WORDS + 1):
            for first in range(max(0, index - length + 1), min(index, len(tokens) - length) + 1):
                span = tokens[first : first + length]
                start, end = span[0].start, span[-1].end
                if any(c in ".,;:!?" for c in message.text[start:end]) or span[0].norm in {"a", "an", "to", "of"}:
                    continue
                said = " ".join(t.norm for t in span)
                near = range(len(names.titles)) if length == 2 else _sharing(span, names)
                choices = names.titles if length == 2 else [names.titles[i] for i in near]
                found = process.extractOne(said, choices, scorer=fuzz.ratio, score_cutoff=LIKENESS)
                if found and (best is None or found[1] > best[0]):
                    best = found[1], Guess(start, end, names.rows[near[found[2]]], "")
                if length == 2:
                    found = process.extractOne(said, names.people, scorer=fuzz.ratio, score_cutoff=LIKENESS)
                    if found and (best is None or found[1] > best[0]):
                        best = found[1], Guess(start, end, None, names.names[found[2]])
        return best[1] if best else self._alone(message, tokens[index], names)

    def _alone(self, message: Message, token: Token, names: _Names) -> Guess | None:
        """A surname or a title of one word: "by tarentino", "who is in Magnloia". Something must say that it is a name,
        or it must be long: most strange words are words."""
        word, before = token.norm, message.low[: token.start]
        cued = CUE.search(before) is not None or person_cue(before) is not None or _IN.search(before) is not None
        made = NOUN_AFTER.match(message.low, token.end) is not None  # "scorcese films"
        capital = token.text[:1].isupper() and before.strip() != ""
        if len(word) < LEAST_ALONE or not (cued or capital or made or len(word) >= LONG):
            return None
        limit = 1 if len(word) < LONG or not (cued or capital) else 2
        near = [
            (distance, row, person)
            for name, row, person in names.alone.get(word[0], ())
            if (cued or capital or person) and (distance := OSA.distance(word, name, score_cutoff=limit)) <= limit
        ]
        if not near:
            return None
        _, row, person = min(near, key=lambda x: x[0])
        return Guess(token.start, token.end, row, person)

    def _known(self) -> _Names:
        with self._lock:
            if self._names is None:
                norms, rows = self.catalogue.title_norms()
                words = {word for norm in norms for word in norm.split()}
                kept = [(n, int(r)) for n, r in zip(norms, rows, strict=True)
                        if self.fame[r] >= KNOWN_TITLE and len(n.split()) > 1]  # fmt: skip
                people: dict[str, str] = {}
                surnames: dict[str, tuple[float, str]] = {}
                for spec in self.catalogue.schema.people():
                    tags = self.catalogue.tags(spec.name)
                    weights = np.asarray(tags.matrix.T @ self.fame).ravel()
                    for name, weight in zip(tags.vocabulary, weights.tolist(), strict=True):
                        norm = fold(name)
                        words.update(norm.split())
                        if weight >= KNOWN_PERSON and len(norm.split()) == 2:
                            people.setdefault(norm, name)
                        if weight >= KNOWN_SURNAME and weight > surnames.get(norm.split()[-1], (0.0,))[0]:
                            surnames[norm.split()[-1]] = weight, name
                by_word: dict[str, list[int]] = defaultdict(list)
                for position, (norm, _) in enumerate(kept):
                    for word in set(norm.split()):
                        if len(word) >= LEAST_SHARED:
                            by_word[word].append(position)
                initials: dict[str, list[int]] = defaultdict(list)
                for position, norm in enumerate(people):
                    initials[_initials(norm)].append(position)
                alone: dict[str, list[tuple[str, int | None, str]]] = defaultdict(list)
                for norm, row in zip(norms, rows, strict=True):
                    if self.fame[row] >= KNOWN_TITLE and norm.isalpha() and len(norm) >= LEAST_ALONE:
                        alone[norm[0]].append((norm, int(row), ""))
                for surname, (_, name) in surnames.items():
                    if len(surname) >= LEAST_ALONE and surname not in EVERYDAY_SURNAMES:
                        alone[surname[0]].append((surname, None, name))
                self._names = _Names(
                    [n for n, _ in kept],
                    [r for _, r in kept],
                    list(people),
                    list(people.values()),
                    frozenset(words),
                    initials,
                    dict(by_word),
                    dict(alone),
                )
            return self._names


def _initials(name: str) -> str:
    return "".join(word[0] for word in name.split())


def _sharing(span: tuple[Token, ...], names: _Names) -> list[int]:
    """Titles that have a longer word in common with ``span``."""
    return sorted({i for t in span if len(t.norm) >= LEAST_SHARED for i in names.by_word.get(t.norm, ())})
