"""Languages and countries read by rule: "French", "in Spanish", "from Japan", "non-English"."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from convrec.core.text import fold
from convrec.tools.catalogue import Catalogue
from convrec.tools.lexicon import DEMONYMS
from convrec.tools.predicates import AnyOf, Condition, Expr, Not, Op, Test
from convrec.tools.schema import Role
from convrec.tools.spans import Message, adjacent

_SETTING = re.compile(
    r"\b(?:set|sets|setting|takes? place|taking place|happens?|plays?|story|stories|about|trip|travell?ing|lost|"
    r"stranded|living|live|lives|"
    r"life|war|wars|adventures?|holiday|vacation) (?:\w+ )?in\s+(?:the\s+)?$"
)
"""Where a story takes place is not where it was made: "set in Japan"."""

_OF_PLACE = re.compile(
    r"\b(?:from|made in|by|in|outside(?: of)?|(?:from|made) any(?:where| country| place) (?:but|except)|apart from|"
    r"other than|aside from|besides|bar|"
    r"except)\s+(?:the\s+)?$"
)
_FOREIGN = re.compile(
    r"\bforeign\b(?:[- ]language\b)?(?! (?:correspondents?|legion|country|lands?|affairs?|office|policy|agents?|"
    r"ministers?|power))"
)
"""In another language than the one spoken here."""
COUNTRY_NAMES = {
    "uk": "United Kingdom",
    "britain": "United Kingdom",
    "great britain": "United Kingdom",
    "england": "United Kingdom",
    "scotland": "United Kingdom",
    "usa": "United States",
    "us": "United States",
    "states": "United States",
    "america": "United States",
    "holland": "Netherlands",
    "korea": "South Korea",
    "russia": "Russia",
}
"""Everyday names of countries, folded, for which the catalogue has another."""


@dataclass(slots=True)
class OriginReader:
    """Reads origins for one catalogue: only those its records name."""

    catalogue: Catalogue
    demonyms: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = field(init=False, default_factory=dict)
    """Folded nationality -> (countries, languages) of the catalogue."""
    countries: dict[str, str] = field(init=False, default_factory=dict)
    """Folded name -> country of the catalogue."""

    def __post_init__(self) -> None:
        schema = self.catalogue.schema
        countries, languages = schema.by_role(Role.COUNTRY), schema.by_role(Role.LANGUAGE)
        have_countries = set(self.catalogue.tags(countries.name).vocabulary) if countries else set()
        have_languages = set(self.catalogue.tags(languages.name).vocabulary) if languages else set()
        for word, (places, tongues) in DEMONYMS.items():
            known = (tuple(p for p in places if p in have_countries), tuple(t for t in tongues if t in have_languages))
            if any(known):
                self.demonyms[word] = known
        self.countries = {fold(name): name for name in have_countries}
        self.countries.update({word: name for word, name in COUNTRY_NAMES.items() if name in have_countries})

    def read(self, message: Message) -> list[Condition]:
        """Origins of one message; several that are asked for are alternatives."""
        schema = self.catalogue.schema
        country, language = schema.by_role(Role.COUNTRY), schema.by_role(Role.LANGUAGE)
        positives: list[tuple[str, Expr, str]] = []
        out: list[Condition] = []
        low, denied_until = message.low, -1
        if m := re.search(
            r"\b(?:no|without|hate|can'?t (?:stand|read)|don'?t (?:want|like|do|watch|read)(?: to read)?) (?:any |"
            r"films with |movies with )?subtitles\b",
            low,
        ):
            if language and "English" in self.catalogue.tags(language.name).vocabulary:
                out.append(Condition(Test(language.name, Op.ANY, ("English",)), "in English", "origin", said=m[0]))
            return out
        if (m := _FOREIGN.search(low)) and language and "English" in self.catalogue.tags(language.name).vocabulary:
            english, negated = Test(language.name, Op.ANY, ("English",)), message.negated(m.start())
            label = "in English" if negated else "not in English"
            out.append(Condition(english if negated else Not(english), label, "origin", not negated, said=m[0]))
        tokens = message.tokens
        index = 0
        while index < len(tokens):
            for length in (2, 1):
                window = tokens[index : index + length]
                word = " ".join(t.norm for t in window)
                if len(window) < length or not adjacent(message, window):
                    continue
                start, end = window[0].start, window[-1].end
                spoken = re.search(r"\b(?:in|speaks?|speaking|subtitled)\s+$", low[:start]) is not None
                expr: Expr | None = None
                if word in self.demonyms:
                    places, tongues = self.demonyms[word]
                    spoken = spoken or re.match(r"[- ](?:language|spoken|speaking)\b", low[end:]) is not None
                    parts: list[Expr] = []
                    if language and tongues:
                        parts.append(Test(language.name, Op.ANY, tongues))
                    if country and places and not (spoken and tongues):
                        parts.append(Test(country.name, Op.ANY, places))
                    if parts:
                        expr = AnyOf(tuple(parts)) if len(parts) > 1 else parts[0]
                elif (
                    word in self.countries
                    and country
                    and _OF_PLACE.search(low[:start])
                    and (word != "us" or low[:start].endswith("the ") or window[0].text == "US")
                ):
                    expr = Test(country.name, Op.ANY, (self.countries[word],))
                if expr is None or (word in self.countries and _SETTING.search(low[:start])):
                    continue
                text = message.text[start:end]
                shown = text if text[:1].isupper() else text.title()
                listed = denied_until >= 0 and message.inherits_denial(denied_until, start, end)
                if message.negated(start) or listed:
                    out.append(Condition(Not(expr), f"not {shown}", "origin", negative=True, said=text))
                    denied_until = end
                else:
                    positives.append((f"in {shown}" if spoken else shown, expr, text))
                index += length - 1
                break
            index += 1
        if positives:  # "French or Italian": several origins are alternatives
            expr = positives[0][1] if len(positives) == 1 else AnyOf(tuple(p[1] for p in positives))
            out.append(
                Condition(
                    expr, " or ".join(p[0] for p in positives), "origin", said=" … ".join(p[2] for p in positives)
                )
            )
        return out
