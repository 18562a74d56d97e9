"""Plain misspellings of the words that requests are made of, put right before anything is read.

Only words that nothing in the catalogue is called are touched, only towards the reader's own vocabulary, and only when
one such word is near; names are left to the linker, which knows how well known each is.
"""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from dataclasses import dataclass, field

from convrec.core.text import fold
from convrec.tools.catalogue import Catalogue
from convrec.tools.lexicon import CATEGORY_WORDS, DEMONYMS, FUNCTION_WORDS
from convrec.tools.lexicon_words import REQUEST_WORDS, SHORTHAND, STRAY_WORDS
from convrec.tools.schema import Role
from rapidfuzz.distance import OSA

LEAST_LETTERS = 3
"""Shorter words are left alone."""
_WORD = re.compile(r"\bw/(?:o\b|(?=\s))|[^\W\d_]+(?:['’][^\W\d_]+)*")
_THEN = re.compile(
    r"(?:(?<=er )|(?<=more )|(?<=less )|(?<=rather )|(?<=worse ))then(?= (?!please|pls|plz|i'd|ok\b|maybe)\w)",
    re.IGNORECASE,
)
"""After a comparative: "not longer then 100 minutes"."""


@dataclass(slots=True)
class Spelling:
    """Corrections for one catalogue. Thread-safe; keeps only caches."""

    catalogue: Catalogue
    _known: frozenset[str] | None = field(init=False, default=None)
    _targets: dict[str, tuple[str, ...]] = field(init=False, default_factory=dict)
    """Words of the reader's vocabulary by first letter."""
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def correct(self, text: str) -> str:
        """``text`` with misspelt words replaced; the same object when there is nothing to correct."""
        known = self._vocabulary()
        text = _THEN.sub("than", text)
        out: list[str] = []
        last = 0
        for match in _WORD.finditer(text):
            word = match[0]
            following = _WORD.match(text, match.end() + 1)
            better = SHORTHAND.get(word.lower()) or self._near(word, known, following[0].lower() if following else "")
            if better is not None and better != word.lower():
                out += [text[last : match.start()], better]
                last = match.end()
        return "".join([*out, text[last:]]) if out else text

    def _near(self, word: str, known: frozenset[str], following: str) -> str | None:
        """The one vocabulary word that ``word`` may be a slip of."""
        # A capital inside a sentence is a name's; what holds an apostrophe is no plain word.
        if len(word) < LEAST_LETTERS or not word.isascii() or not word.isalpha() or not word.islower():
            return None
        if word in known:
            return None
        near: list[tuple[int, str]] = []
        for target in self._targets.get(word[0], ()):
            limit = _slips(min(len(word), len(target)))
            distance = OSA.distance(word, target, score_cutoff=limit)
            if distance <= limit and not _inflected(word, target):
                near.append((distance, target))
        near.sort()
        phrases = [target for _, target in near if f"{target} {following}" in CATEGORY_WORDS]
        if phrases:  # "sience fiction": science rather than since
            return phrases[0]
        if not near or (len(near) > 1 and near[1][0] == near[0][0] and _stem(near[0][1]) != _stem(near[1][1])):
            return None
        return near[0][1]

    def _vocabulary(self) -> frozenset[str]:
        with self._lock:
            if self._known is None:
                schema = self.catalogue.schema
                words = {*REQUEST_WORDS, *(w for phrase in (*CATEGORY_WORDS, *DEMONYMS) for w in phrase.split())}
                if spec := schema.by_role(Role.CATEGORY):
                    own = {w for value in self.catalogue.tags(spec.name).vocabulary for w in fold(value).split()}
                    words |= own | {f"{w}s" for w in own if len(w) >= LEAST_LETTERS}
                targets: dict[str, list[str]] = defaultdict(list)
                for word in sorted(w for w in words if len(w) >= LEAST_LETTERS and w.isalpha()):
                    targets[word[0]].append(word)
                self._targets = {first: tuple(group) for first, group in targets.items()}
                titles = {word for norm in self.catalogue.title_norms()[0] for word in norm.split()}
                self._known = frozenset(titles | words | FUNCTION_WORDS | STRAY_WORDS)
            return self._known


def _slips(letters: int) -> int:
    """How many slips a word of so many letters may hold."""
    return 1 if letters < 10 else 2


def _inflected(word: str, target: str) -> bool:
    """Whether one is a plain form of the other ("bore", "bored") rather than a slip."""
    shorter, longer = sorted((word, target), key=len)
    return longer[len(shorter) :] in ("d", "s", "r", "st") and longer.startswith(shorter) and shorter.endswith("e")


def _stem(word: str) -> str:
    return word.removesuffix("s")
