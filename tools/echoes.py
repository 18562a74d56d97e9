"""Free text must not raise its own rank: what repeats itself counts once, what copies a request counts for nothing.

An item's description is whatever its author wrote. One that repeats a word, or holds the sentences that people ask
with, comes near every query (keyword stuffing and query injection; arXiv 2404.07981, BadRAG arXiv 2406.00083).
"""

from __future__ import annotations

import re
from collections import Counter
from difflib import SequenceMatcher

from convrec.core.text import fold

MOST_REPEATS = 2
"""Times a content word of a description counts."""
ECHO_WORDS = 5
"""Words in a row, taken from the request, that are no chance: "about a family and revenge"."""
ECHO_COVERS = 0.6
"""Share of what is searched for that the copied words must hold; else they are a common phrase ("in a big city")."""
_WORDS = (
    "a an and are as at be been but by can for from had has have he her him his i if in into is it its my no not of on "
    "one or our out over she so than that the their them then they this to up was we were what when where which while "
    "who will with you your"
)
_CLOSED_CLASS = frozenset(_WORDS.split())
"""Words without content, which any text repeats. (The function words of the reading rules hold "family" too.)"""
_SENTENCE = re.compile(r"(?<=[.!?;:\n])\s+")


def saturated(text: str) -> str:
    """The text without repeated sentences, and with no content word more than twice."""
    seen: set[str] = set()
    counts: Counter[str] = Counter()
    out: list[str] = []
    for sentence in _SENTENCE.split(text):
        norm = fold(sentence)
        if norm in seen:
            continue
        seen.add(norm)
        for word in sentence.split():
            key = fold(word)
            counts[key] += 1
            if counts[key] <= MOST_REPEATS or key in _CLOSED_CLASS:
                out.append(word)
    return " ".join(out)


def without_echoes(text: str, message: str, query: str) -> str:
    """The text without the sentences that copy what is searched for, word for word, from the request.

    ``query``: the words of ``message`` that are searched for. An honest description that happens to use the words of
    the request in the same order loses that sentence only; its other sentences and all other fields still count.
    """
    asked, wanted = fold(message).split(), set(fold(query).split())
    if not wanted or len(asked) < ECHO_WORDS:
        return text
    return " ".join(s for s in _SENTENCE.split(text) if not _echoes(fold(s).split(), asked, wanted))


def _echoes(sentence: list[str], asked: list[str], wanted: set[str]) -> bool:
    if len(wanted.intersection(sentence)) < ECHO_COVERS * len(wanted):
        return False
    match = SequenceMatcher(None, sentence, asked, autojunk=False).find_longest_match()
    copied = wanted.intersection(sentence[match.a : match.a + match.size])
    return match.size >= ECHO_WORDS and len(copied) >= ECHO_COVERS * len(wanted)
