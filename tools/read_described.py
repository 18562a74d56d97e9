"""Items of the last slate that are pointed at by what is known of them: "the one with Ryan Gosling"."""

from __future__ import annotations

import re

from convrec.core.items import Item
from convrec.core.text import fold
from convrec.tools.catalogue import Catalogue
from convrec.tools.lexicon import FUNCTION_WORDS
from convrec.tools.lexicon_words import STRAY_WORDS
from convrec.tools.linking_titles import Links
from convrec.tools.references import Focus, Pointer
from convrec.tools.schema import Role
from convrec.tools.spans import Message

_THE_ONE = re.compile(
    r"\b(?:the|that) (?:\w+ )?(?:one|film|movie) (?:with|starring|featuring|about|by|from|set in|where|directed by|"
    r"in which)\s+"
    r"(?P<what>[^,.;:!?]*?)(?=\s*(?:[,.;:!?]|$|\b(?:how|when|who|is|was|has|what|why|looks|sounds|seems|instead|please|but|and)\b))"
)
LEAST_LETTERS = 3
"""Shorter words of a description are not looked for in titles."""


def described(message: Message, links: Links, focus: Focus, catalogue: Catalogue) -> tuple[Pointer, int] | None:
    """What of the slate is described, and where the description ends; None when it fits none of it or several."""
    m = _THE_ONE.search(message.low) if focus.slate else None
    if m is None:
        return None
    start, end = m.span("what")
    people = {person.name for person in links.people if start <= person.start < end}
    words = {t.norm for t in message.tokens if start <= t.start < end} - FUNCTION_WORDS - STRAY_WORDS
    rows = [row for row in focus.slate if _fits(catalogue.item(row), people, words, catalogue)]
    if len(rows) != 1:
        return None
    return Pointer(rows[0], message.text[m.start() : end], m.start()), end


def _fits(item: Item, people: set[str], words: set[str], catalogue: Catalogue) -> bool:
    schema = catalogue.schema
    if people:
        return people <= {name for spec in schema.people() for name in item.tags(spec.name)}
    known = [
        fold(value)
        for role in (Role.CATEGORY, Role.COUNTRY, Role.LANGUAGE, Role.KEYWORDS)
        if (spec := schema.by_role(role))
        for value in item.tags(spec.name)
    ]
    plot = schema.by_role(Role.DESCRIPTION)
    text = fold(item.text(plot.name) or "").split() if plot else []
    have = {*fold(item.title).split(), *text, *(word for value in known for word in value.split()), str(item.year)}
    sought = [word for word in words if len(word) >= LEAST_LETTERS]
    return bool(sought) and all(any(own.startswith(word.rstrip("s")) for own in have) for word in sought)
