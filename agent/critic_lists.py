"""What a sentence says of a whole list ("these thrillers", "all three"): it must hold for every item of the list.

A small model that is told of two thrillers and a comedy writes "all three are thrillers", each word of which is on
record somewhere. Said of "some" or of "a mix", it need hold for one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from convrec.core.items import Item
from convrec.core.text import fold
from convrec.tools.catalogue import Catalogue
from convrec.tools.lexicon import ALTERNATIVES, CATEGORY_WORDS, NOT_CATEGORY_ALONE
from convrec.tools.schema import Role

_PARTIAL = re.compile(
    r"\b(?:some|several|most|many|few|one of|two of|part|partly|mix|mixes|mixture|blend|blends|range|ranges|ranging|"
    r"variety|various|diverse|different|include|includes|including|or|either|among|between)\b"
)
_COUNT = re.compile(
    r"\b(?:(?:all|these|the|here are) (?P<all>two|three|four|five|six|seven|eight|nine|ten|\d+)|both)\b(?! of the)"
)
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DECADE = re.compile(r"\b((?:18|19|20)\d0)s\b")


def list_problems(sentence: str, slate: Sequence[Item], catalogue: Catalogue) -> Iterator[str]:
    """What is not true of every item of ``slate``, in words. For a sentence that names none of them."""
    said = fold(sentence)
    if (counted := _COUNT.search(said)) is not None:
        word = counted["all"] or "two"
        number = int(word) if word.isdigit() else _NUMBERS.index(word)
        if number != len(slate):
            yield f"there are {len(slate)}, not {word}"
    if _PARTIAL.search(said):
        return
    for fields, value in _values(said, slate, catalogue):
        other = next((item for item in slate if not any(value in item.tags(field) for field in fields)), None)
        if other is not None:
            yield f"“{value}” does not go for {other.title}"
    for decade in _DECADE.findall(sentence):
        if other := next((i for i in slate if i.year is not None and i.year // 10 * 10 != int(decade)), None):
            yield f"{other.title} is not of the {decade}s"


def _values(said: str, slate: Sequence[Item], catalogue: Catalogue) -> Iterator[tuple[tuple[str, ...], str]]:
    """(fields, value) of what the folded sentence speaks of: categories, and people, languages and countries of the
    slate. A person may stand in any part."""
    words = f" {said} "
    schema = catalogue.schema
    category = schema.by_role(Role.CATEGORY)
    if category is not None:
        phrases = [names for phrase, names in CATEGORY_WORDS.items()
                   if phrase not in ALTERNATIVES and f" {phrase} " in words]  # fmt: skip
        named = {name for names in phrases for name in names}
        nouns = (schema.item_noun, schema.item_noun_plural)
        for value in catalogue.tags(category.name).vocabulary:
            norm = fold(value)
            forms = (
                [f"{norm} {noun}" for noun in nouns] if norm in NOT_CATEGORY_ALONE else [norm, f"{norm}s", f"{norm}es"]
            )
            if norm in named or any(f" {form} " in words for form in forms):
                yield (category.name,), value
    people = tuple(spec.name for spec in schema.people())
    for role in (Role.LANGUAGE, Role.COUNTRY, Role.PERSON):
        spec = schema.by_role(role)
        fields = people if role is Role.PERSON else (spec.name,) if spec else ()
        for value in sorted({value for item in slate for field in fields for value in item.tags(field)}):
            if f" {fold(value)} " in words:
                yield fields, value
