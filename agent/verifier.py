"""Step 8 of a turn: the words of an LLM's remark are held against the records.

A sentence of an LLM's reply passes when every number, every name and every content word in it is found in the facts it
was given (who directed or wrote, minutes and ratings in those very words; denials never pass), in the user's own words,
or in a list of neutral words that claim nothing. A sentence that names items may only say what is on record for those
items: the user's wish for a comedy does not make Heat one. What does not pass is dropped. This is a check of words, not
of logic: it cannot see a wrong relation between right words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from convrec.core.items import Item
from convrec.core.text import fold
from convrec.tools.lexicon import CATEGORY_WORDS, FUNCTION_WORDS
from convrec.tools.predicates import Condition, holds

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[\"“‘'(A-Z0-9])")
# Not at "Scientists! being": a title may end in a mark of its own.
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_DENIAL = re.compile(r"\b(?:not|no|never|none|nor|neither|without|less|fewer)\b|n['’]t\b")
_CLAIM = re.compile(
    r"\b(?:[Dd]irected|[Ww]ritten) by [A-Z][\w.'’-]*(?: [A-Z][\w.'’-]*)*|"
    r"\b\d+ ?(?:minutes|reviews)\b|\brated [A-Z0-9-]+\b"
)
NEUTRAL = frozenset(
    """pick picks choice choices option options title titles suggestion suggestions selection list catalogue
    catalog wish wishes request taste tastes preference preferences fit fits fitting match matches matching
    suit suits suitable share shares sharing shared offer offers bring brings blend blends mix mixes combine
    combines feature features featuring include includes including come comes range ranges keep keeps
    perfect ideal strong well reviewed critics critic score scores review reviews similar tone tones spirit
    element elements touch style styles theme themes mood moods evening night watching viewing enjoy hope
    happy check explore consider start try great good nice interesting engaging favourite favorite
    favourites favorites fan fans appeal appeals selected chosen choose based according given because while
    both each among also every without within across from under over between minutes minute year years film
    films movie movies genre genres director directed directors starring cast written rated certificate
    running time audience together look looking respectively being align aligns aligning given language
    languages one two three four five""".split()  # noqa: SIM905 - a word list
)
"""Words of recommendation that state no fact of an item beyond the ones given."""


@dataclass(frozen=True, slots=True)
class Verdict:
    text: str
    """What passed, "" when nothing did."""
    dropped: tuple[str, ...]
    """Sentences that did not, each with the reason."""


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    words: frozenset[str]
    numbers: frozenset[str]
    text: str = ""
    """All of it, folded: what is said of a person's part or with a unit must stand there in those words."""

    @classmethod
    def of(cls, texts: Iterable[str]) -> _Vocabulary:
        words: set[str] = set()
        numbers: set[str] = set()
        whole: list[str] = []
        for text in texts:
            words.update(_stems(text))
            numbers.update(_NUMBER.findall(text))
            whole.append(fold(text))
        return cls(frozenset(words), frozenset(numbers), " | ".join(whole))

    @classmethod
    def union(cls, parts: Sequence[_Vocabulary]) -> _Vocabulary:
        return cls(
            frozenset().union(*(part.words for part in parts)),
            frozenset().union(*(part.numbers for part in parts)),
            " | ".join(part.text for part in parts),
        )


@dataclass(frozen=True, slots=True)
class Verifier:
    """Checks sentences against vocabularies of allowed words and numbers."""

    general: _Vocabulary
    items: tuple[tuple[str, _Vocabulary], ...] = ()
    """(folded title, vocabulary of that item's own facts)."""
    names: tuple[str, ...] = ()
    """The titles as written."""

    @classmethod
    def of(cls, texts: Iterable[str], items: Mapping[str, str] | None = None) -> Verifier:
        """Allow what occurs in ``texts`` (labels, the user's message) and, of each title in ``items``, its own facts.

        A sentence that names no item may use the facts of any.
        """
        own = {title: _Vocabulary.of([title, facts]) for title, facts in (items or {}).items()}
        general = _Vocabulary.of([*texts, *(items or {}).keys(), *(items or {}).values()])
        return cls(general, tuple((fold(title), words) for title, words in own.items()), tuple(own))

    def check(self, text: str) -> Verdict:
        """Keep the sentences that pass, in order."""
        kept, dropped = [], []
        for sentence in sentences(text):
            problem = self.problem(sentence)
            if problem:
                dropped.append(f"{sentence} [{problem}]")
            else:
                kept.append(sentence)
        return Verdict(" ".join(kept), tuple(dropped))

    def problem(self, sentence: str) -> str:
        """What is wrong with one sentence, "" when nothing is."""
        padded = f" {fold(sentence)} "
        named = [words for title, words in self.items if f" {title} " in padded]
        allowed = _Vocabulary.union(named) if named else self.general
        plain = sentence
        for name in self.names:  # "No Country for Old Men" denies nothing
            plain = plain.replace(name, "")
        if _DENIAL.search(plain.lower()):
            return "what an item is not cannot be checked"
        for claim in _CLAIM.finditer(sentence):
            if fold(claim[0]) not in allowed.text:
                return f"“{claim[0]}” is not on record"
        for number in _NUMBER.findall(sentence):
            if number not in allowed.numbers and not (number.isdigit() and int(number) <= 1):
                return f"number {number} is not on record"
        for word in _WORD.findall(sentence):
            for norm in fold(word).split():
                if norm in FUNCTION_WORDS or norm in NEUTRAL or len(norm) < 3:
                    continue
                means = {word for name in CATEGORY_WORDS.get(norm, ()) for word in name.split()}  # comedic: a comedy
                if not (_stems(norm) | means) & (allowed.words | NEUTRAL):
                    return f"“{word}” is not on record"
        return ""


def last_sentence_end(text: str) -> int:
    """Where the last finished sentence of a growing text ends (a blank has followed it), 0 when none has."""
    found = 0
    for found_at in _SENTENCE.finditer(text):
        found = found_at.end()
    return found


def sentences(text: str) -> list[str]:
    """Split at sentence ends; a list marker or a line break ends one too."""
    return [s.strip() for line in text.splitlines() for s in _SENTENCE.split(line) if s.strip()]


def violations(items: Sequence[Item], conditions: Sequence[Condition]) -> list[tuple[Item, Condition]]:
    """Hard conditions that a slate breaks, checked on the records themselves and not by the path that filtered them."""
    return [(item, c) for item in items for c in conditions if c.hard and not holds(c.expr, item)]


def _stems(text: str) -> set[str]:
    """Folded words and a crude stem of each, so that "thrillers" traces to "thriller"."""
    out: set[str] = set()
    for word in fold(text).split():
        out.add(word)
        if word.endswith("ies"):
            out.add(f"{word[:-3]}y")
        for ending in ("s", "es", "ed", "ing", "er", "ly"):
            if word.endswith(ending) and len(word) - len(ending) >= 3:
                out.add(word[: -len(ending)])
    return out
