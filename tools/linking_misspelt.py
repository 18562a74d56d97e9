"""Misspelt names: "slumdog milionaire", "reese witherspon". Tried only on words that nothing is called, and only
towards what is well known."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from convrec.core.items import FloatArray
from convrec.core.text import fold
from convrec.tools.catalogue import Catalogue
from convrec.tools.lexicon_words import FUNCTION_WORDS, REQUEST_WORDS, STRAY_WORDS
from convrec.tools.spans import Message, Token
from rapidfuzz import fuzz, process

LEAST_LETTERS = 5
"""Shorter strange words are left alone."""
LIKENESS = 88.0
"""Least likeness (0-100) of the words to the name."""
KNOWN_TITLE = 0.75
"""Least popularity percentile of a title."""
KNOWN_PERSON = 3.0
"""Least sum of popularity percentiles over a person's items."""
MOST_WORDS = 4


class _Names(NamedTuple):
    titles: list[str]
    rows: list[int]
    people: list[str]
    names: list[str]
    words: frozenset[str]
    """All words of all names and titles."""


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
            if not strange or token.norm in FUNCTION_WORDS | REQUEST_WORDS | STRAY_WORDS:
                continue
            if out and token.start < out[-1].end:
                continue
            guess = self._best(message, tokens, index, names)
            if guess is not None and not any(guess.start < g.end and g.start < guess.end for g in out):
                out.append(guess)
        return out

    def _best(self, message: Message, tokens: tuple[Token, ...], index: int, names: _Names) -> Guess | None:
        best: tuple[float, Guess] | None = None
        for length in range(2, MOST_WORDS + 1):
            for first in range(max(0, index - length + 1), min(index, len(tokens) - length) + 1):
                span = tokens[first : first + length]
                start, end = span[0].start, span[-1].end
                if any(c in ".,;:!?" for c in message.text[start:end]) or span[0].norm in {"a", "an", "to", "of"}:
                    continue
                said = " ".join(t.norm for t in span)
                found = process.extractOne(said, names.titles, scorer=fuzz.ratio, score_cutoff=LIKENESS)
                if found and (best is None or found[1] > best[0]):
                    best = found[1], Guess(start, end, names.rows[found[2]], "")
                if length == 2:
                    found = process.extractOne(said, names.people, scorer=fuzz.ratio, score_cutoff=LIKENESS)
                    if found and (best is None or found[1] > best[0]):
                        best = found[1], Guess(start, end, None, names.names[found[2]])
        return best[1] if best else None

    def _known(self) -> _Names:
        with self._lock:
            if self._names is None:
                norms, rows = self.catalogue.title_norms()
                words = {word for norm in norms for word in norm.split()}
                kept = [(n, int(r)) for n, r in zip(norms, rows, strict=True)
                        if self.fame[r] >= KNOWN_TITLE and len(n.split()) > 1]  # fmt: skip
                people: dict[str, str] = {}
                for spec in self.catalogue.schema.people():
                    tags = self.catalogue.tags(spec.name)
                    weights = np.asarray(tags.matrix.T @ self.fame).ravel()
                    for name, weight in zip(tags.vocabulary, weights.tolist(), strict=True):
                        norm = fold(name)
                        words.update(norm.split())
                        if weight >= KNOWN_PERSON and len(norm.split()) == 2:
                            people.setdefault(norm, name)
                self._names = _Names(
                    [n for n, _ in kept], [r for _, r in kept], list(people), list(people.values()), frozenset(words)
                )
            return self._names
