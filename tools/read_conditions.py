"""Hard conditions read by rule from plain words: categories, nationalities, certificates, audience, quality, critiques.

Rules carry what small language models get wrong (negation, numbers, alternatives); the planner's reading is merged
with this one, never trusted over it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from convrec.core.text import fold
from convrec.tools.catalogue import Catalogue
from convrec.tools.lexicon import (
    ALTERNATIVES,
    CATEGORY_WORDS,
    CHILD_CERTIFICATES,
    CHILD_PHRASES,
    CRITIQUES,
    DEMONYMS,
    NOT_CATEGORY_ALONE,
    Critique,
)
from convrec.tools.predicates import AllOf, AnyOf, Condition, Expr, Not, Op, Test
from convrec.tools.read_numbers import YearContext, read_durations, read_years
from convrec.tools.schema import Role
from convrec.tools.spans import Message, Token

GOOD_SCORE = 80
"""What "highly rated" means on a 0-100 quality field."""
CHILD_CATEGORY = "Family"
_NOUN = re.compile(
    r"\s*(?:movies?|films?|flicks?|pictures?|stor(?:y|ies)|titles?|ones?|stuff|things?|genre|drama|epics?)\b"
)
_NOT_POPULAR = re.compile(r"\b(?:not|nothing) (?:so |too |very |that )?(?:popular|famous|well[- ]known|mainstream)\b")
_CHILDREN = re.compile("|".join(f"(?:{phrase})" for phrase in CHILD_PHRASES))
_CERTIFICATE = re.compile(
    r"\b(?i:(?:rated|rating|certificate)\s+(NC-?17|PG-?13|PG|G|R))\b|\b(NC-?17|PG-?13|PG|[Rr])(?=[- ]rated\b)|"
    r"\b(PG-?13|NC-?17|PG)\b"
)
_OR_LOWER = re.compile(
    r"\s*(?:-?rated)?\s*(?:or (?:lower|below|under|less|milder|younger)|max(?:imum)?|at most|and (?:below|under))"
)


@dataclass(frozen=True, slots=True)
class _Found:
    values: tuple[str, ...]
    start: int
    end: int
    negative: bool
    plural: bool


@dataclass(slots=True)
class ConditionReader:
    """Reads conditions for one catalogue: only what its schema has and its vocabulary names."""

    catalogue: Catalogue
    _categories: dict[str, tuple[str, ...]] = field(init=False, default_factory=dict)
    _demonyms: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = field(init=False, default_factory=dict)
    _countries: dict[str, str] = field(init=False, default_factory=dict)
    newest: int = field(init=False, default=0)
    _marks: tuple[int, int] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        schema = self.catalogue.schema
        if spec := schema.by_role(Role.CATEGORY):
            own = {fold(value): value for value in self.catalogue.tags(spec.name).vocabulary}
            for norm, value in own.items():
                for form in (norm, norm + "s", norm[:-1] + "ies" if norm.endswith("y") else norm + "es"):
                    self._categories[form] = (value,)
            for phrase, names in CATEGORY_WORDS.items():
                values = tuple(own[name] for name in names if name in own)
                if values:
                    self._categories.setdefault(phrase, values)
        countries, languages = schema.by_role(Role.COUNTRY), schema.by_role(Role.LANGUAGE)
        have_countries = set(self.catalogue.tags(countries.name).vocabulary) if countries else set()
        have_languages = set(self.catalogue.tags(languages.name).vocabulary) if languages else set()
        for word, (places, tongues) in DEMONYMS.items():
            known = (tuple(p for p in places if p in have_countries), tuple(t for t in tongues if t in have_languages))
            if any(known):
                self._demonyms[word] = known
        self._countries = {fold(name): name for name in have_countries}
        self._countries.update(
            {w: n for w, n in (("uk", "United Kingdom"), ("usa", "United States")) if n in have_countries}
        )
        if year := schema.by_role(Role.YEAR):
            years = self.catalogue.numeric(year.name)
            self.newest = int(max(years[years == years], default=0))

    def read(self, message: Message, context: YearContext) -> list[Condition]:
        """All conditions of one message whose title and people spans are already masked."""
        schema = self.catalogue.schema
        out: list[Condition] = []
        critiques, spans = self._critiques(message)
        out += critiques
        message = message.masked(spans)
        children, spans = self._audience(message)
        out += children
        message = message.masked(spans)
        out += self._quality(message)
        # "not popular comedies" denies the fame, not the comedies.
        message = message.masked([m.span() for m in _NOT_POPULAR.finditer(message.low)])
        out += self._categories_in(message)
        out += self._origins(message)
        if spec := schema.by_role(Role.YEAR):
            out += read_years(message, spec.name, context)
        if (spec := schema.by_role(Role.DURATION)) and spec.unit == "minutes":
            out += read_durations(message, spec.name, context)
        out += self._certificates(message)
        return out

    # -- critiques and audience ---------------------------------------------------------------------------------

    def _critiques(self, message: Message) -> tuple[list[Condition], list[tuple[int, int]]]:
        out: list[Condition] = []
        spans: list[tuple[int, int]] = []
        for critique in CRITIQUES:
            match = re.search(rf"(?<![\w-])(?:{critique.pattern})(?!\w)", message.low)
            if match is None or any(c.slot == critique.slot for c in out):
                continue
            expr = self._critique_expr(critique)
            if expr is None:
                continue
            # What was denied is a span of its own: "not funnier" is rare enough to be read as no wish at all.
            if not critique.avoid and message.negated(match.start()):
                continue
            out.append(
                Condition(expr, critique.label, critique.slot, source="critique", said=match[0], hard=critique.hard)
            )
            spans.append(match.span())
            certificate = self.catalogue.schema.by_role(Role.CERTIFICATE)
            if critique.prefer_certificates and certificate:
                mild = Test(certificate.name, Op.ANY, critique.prefer_certificates)
                label = f"on record as rated {critique.prefer_certificates[-1]} or milder"
                out.append(
                    Condition(mild, label, f"{critique.slot} rating", source="critique", said=match[0], hard=False)
                )
        return out, spans

    def _critique_expr(self, critique: Critique) -> Expr | None:
        schema = self.catalogue.schema
        parts: list[Expr] = []
        if spec := schema.by_role(Role.CATEGORY):
            have = set(self.catalogue.tags(spec.name).vocabulary)
            if want := tuple(v for v in critique.want if v in have):
                parts.append(Test(spec.name, Op.ANY, want))
            if avoid := tuple(v for v in critique.avoid if v in have):
                parts.append(Not(Test(spec.name, Op.ANY, avoid)))
        if critique.avoid_certificates and (spec := schema.by_role(Role.CERTIFICATE)):
            parts.append(Not(Test(spec.name, Op.ANY, critique.avoid_certificates)))
        if not parts:
            return None
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _audience(self, message: Message) -> tuple[list[Condition], list[tuple[int, int]]]:
        match = _CHILDREN.search(message.low)
        if match is None or message.negated(match.start()):
            return [], []
        schema = self.catalogue.schema
        category, certificate = schema.by_role(Role.CATEGORY), schema.by_role(Role.CERTIFICATE)
        parts: list[Expr] = []
        if certificate:
            parts.append(Test(certificate.name, Op.ANY, CHILD_CERTIFICATES))
        if category and CHILD_CATEGORY in self.catalogue.tags(category.name).vocabulary:
            family: Expr = Test(category.name, Op.ANY, (CHILD_CATEGORY,))
            # A family film without a certificate on record counts; one rated R does not.
            parts.append(AllOf((family, Test(certificate.name, Op.MISSING))) if certificate else family)
        if not parts:
            return [], []
        expr = AnyOf(tuple(parts)) if len(parts) > 1 else parts[0]
        label = "suitable for children (rated G or PG, or a family film without a rating)"
        return [Condition(expr, label, "audience", said=match[0])], [match.span()]

    def _on_scale(self, field_name: str, percent: int) -> int:
        """``percent`` on the field's own scale: 80 stays 80 on 0-100 and is 4 on 0-5."""
        values = self.catalogue.numeric(field_name)
        top = float(np.nanmax(values)) if np.isfinite(values).any() else 100.0
        scale = next((limit for limit in (1, 5, 10, 100) if top <= limit), top)
        return round(percent * scale / 100)

    def _popularity_marks(self, field_name: str) -> tuple[int, int]:
        """The median and the 80th percentile of the popularity field; worked out once."""
        if self._marks is None:
            values = self.catalogue.numeric(field_name)
            known = values[np.isfinite(values)]
            median, top = np.percentile(known, [50, 80]) if len(known) else (0.0, 0.0)
            self._marks = int(median), int(top)
        return self._marks

    # -- categories -----------------------------------------------------------------------------------------------

    def _categories_in(self, message: Message) -> list[Condition]:
        spec = self.catalogue.schema.by_role(Role.CATEGORY)
        if spec is None:
            return []
        found = self._find_categories(message)
        out: list[Condition] = []
        index = 0
        while index < len(found):
            group = [found[index]]
            while index + 1 < len(found):
                gap = message.low[found[index].end : found[index + 1].start]
                both_plural = found[index].plural and found[index + 1].plural
                if re.fullmatch(r"\s*(?:,?\s*or|/|,\s*or)\s*(?:an? |some |maybe )?", gap) or (
                    both_plural and re.fullmatch(r"\s*(?:and|,|&)\s*", gap)
                ):
                    index += 1
                    group.append(found[index])
                else:
                    break
            index += 1
            said = message.text[group[0].start : group[-1].end]
            if group[0].negative:  # "no horror or war films" denies each
                for one in group:
                    for value in one.values[:1] if len(one.values) == 1 else (one.values,):
                        out.append(_not_category(spec.name, value, said))
            elif len(group) > 1:
                values = tuple(dict.fromkeys(v for one in group for v in one.values))
                label = " or ".join(v.lower() for v in values)
                out.append(Condition(Test(spec.name, Op.ANY, values), label, spec.name, said=said))
            elif fold(said) in ALTERNATIVES:
                label = " or ".join(v.lower() for v in group[0].values)
                out.append(Condition(Test(spec.name, Op.ANY, group[0].values), label, spec.name, said=said))
            else:
                for value in group[0].values:
                    out.append(Condition(Test(spec.name, Op.ANY, (value,)), value.lower(), spec.name, said=said))
        unique: dict[tuple[Expr, bool], Condition] = {(c.expr, c.negative): c for c in out}
        return list(unique.values())

    def _find_categories(self, message: Message) -> list[_Found]:
        tokens = message.tokens
        found: list[_Found] = []
        index = 0
        while index < len(tokens):
            for length in (3, 2, 1):
                window = tokens[index : index + length]
                phrase = " ".join(t.norm for t in window)
                values = self._categories.get(phrase)
                if len(window) < length or values is None or not _adjacent(message, window):
                    continue
                start, end = window[0].start, window[-1].end
                negative = message.negated(start) or (
                    bool(found) and found[-1].negative and message.inherits_denial(found[-1].end, start, end)
                )
                weak = phrase.rstrip("s") in NOT_CATEGORY_ALONE or phrase in NOT_CATEGORY_ALONE
                if (
                    weak
                    and not negative
                    and not _NOUN.match(message.low[end:])
                    and not _beside(found, message, start, end, self)
                ):
                    continue
                plural = phrase.endswith("s") and values[0].lower() != phrase
                found.append(_Found(values, start, end, negative, plural))
                index += length - 1
                break
            index += 1
        return found

    def reserved_words(self) -> frozenset[str]:
        """Folded category names and nationalities: words that are no titles by themselves."""
        return frozenset(self._categories) | frozenset(self._demonyms)

    # -- origins --------------------------------------------------------------------------------------------------

    def _origins(self, message: Message) -> list[Condition]:
        schema = self.catalogue.schema
        country, language = schema.by_role(Role.COUNTRY), schema.by_role(Role.LANGUAGE)
        positives: list[tuple[str, Expr, str]] = []
        out: list[Condition] = []
        low, denied_until = message.low, -1
        if m := re.search(
            r"\b(?:no|without|hate|can'?t (?:stand|read)|don'?t (?:want|like)(?: to read)?) (?:any )?subtitles\b", low
        ):
            if language and "English" in self.catalogue.tags(language.name).vocabulary:
                out.append(Condition(Test(language.name, Op.ANY, ("English",)), "in English", "origin", said=m[0]))
            return out
        tokens = message.tokens
        index = 0
        while index < len(tokens):
            for length in (2, 1):
                window = tokens[index : index + length]
                word = " ".join(t.norm for t in window)
                if len(window) < length or not _adjacent(message, window):
                    continue
                start, end = window[0].start, window[-1].end
                spoken = re.search(r"\b(?:in|speaks?|speaking|subtitled)\s+$", low[:start]) is not None
                expr: Expr | None = None
                if word in self._demonyms:
                    places, tongues = self._demonyms[word]
                    spoken = spoken or re.match(r"[- ](?:language|spoken|speaking)\b", low[end:]) is not None
                    parts: list[Expr] = []
                    if language and tongues:
                        parts.append(Test(language.name, Op.ANY, tongues))
                    if country and places and not (spoken and tongues):
                        parts.append(Test(country.name, Op.ANY, places))
                    if parts:
                        expr = AnyOf(tuple(parts)) if len(parts) > 1 else parts[0]
                elif (
                    word in self._countries
                    and country
                    and re.search(r"\b(?:from|made in|by|in)\s+(?:the\s+)?$", low[:start])
                ):
                    expr = Test(country.name, Op.ANY, (self._countries[word],))
                if expr is None:
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

    # -- certificates and quality -----------------------------------------------------------------------------------

    def _certificates(self, message: Message) -> list[Condition]:
        spec = self.catalogue.schema.by_role(Role.CERTIFICATE)
        if spec is None or not spec.ordered:
            return []
        out: list[Condition] = []
        for m in _CERTIFICATE.finditer(message.text):
            value = (m[1] or m[2] or m[3]).upper().replace("PG13", "PG-13").replace("NC17", "NC-17")
            if value not in spec.ordered or not message.low[m.start() : m.end()].strip():
                continue
            rank = spec.ordered.index(value)
            if _OR_LOWER.match(message.low[m.end() :]) or re.search(
                r"\b(?:up to|at most|max|no higher than)\s+$", message.low[: m.start()]
            ):
                milder = spec.ordered[: rank + 1]
                out.append(Condition(Test(spec.name, Op.ANY, milder), f"rated {value} or milder", spec.name, said=m[0]))
            elif message.negated(m.start()):
                stricter = spec.ordered[rank:]
                label = f"not rated {' or '.join(stricter)}"
                out.append(
                    Condition(Not(Test(spec.name, Op.ANY, stricter)), label, spec.name, negative=True, said=m[0])
                )
            else:
                out.append(Condition(Test(spec.name, Op.ANY, (value,)), f"rated {value}", spec.name, said=m[0]))
        return out

    def _quality(self, message: Message) -> list[Condition]:
        schema, low = self.catalogue.schema, message.low
        out: list[Condition] = []
        if spec := schema.by_role(Role.QUALITY):
            floor: int | None = None
            if m := re.search(r"(?:at least|over|above|minimum(?: of)?|more than)\s+(\d{2,3})\s*(?:%|percent)", low):
                floor = min(int(m[1]), 100)
            elif m := re.search(
                r"\b(?:highly|top|best|well)[- ](?:rated|reviewed|regarded|received)\b|\b(?:critically )?acclaimed\b|"
                r"\b(?:great|good|excellent) reviews\b|\bcritics (?:loved|liked)\b|\bmasterpieces?\b",
                low,
            ):
                floor = GOOD_SCORE
            if floor is not None and m is not None:
                floor = self._on_scale(spec.name, floor)
                label = f"{spec.spoken} of at least {floor}{spec.unit}"
                out.append(Condition(Test(spec.name, Op.GE, (floor,)), label, spec.name, said=m[0]))
        if spec := schema.by_role(Role.POPULARITY):
            m = re.search(r"\b(?:popular|famous|well[- ]known|blockbusters?|mainstream|big hits?)\b", low)
            well_known = m is not None
            denied = m is not None and message.negated(m.start())
            m = m or re.search(
                r"\b(?:hidden gems?|obscure|lesser[- ]known|under the radar|underrated|overlooked)\b", low
            )
            if m is not None:
                median, top_fifth = self._popularity_marks(spec.name)
                if well_known and not denied:
                    known: Expr = Test(spec.name, Op.GE, (top_fifth,))
                    out.append(Condition(known, "well known", spec.name, said=m[0], hard=False))
                else:
                    little: Expr = Test(spec.name, Op.LE, (median,))
                    out.append(Condition(little, "little known", spec.name, said=m[0], hard=False))
        return out


def _not_category(field_name: str, value: str | tuple[str, ...], said: str) -> Condition:
    """Denial of one category, or of a combination ("no romcoms" denies only films that are both)."""
    if isinstance(value, str):
        return Condition(Not(Test(field_name, Op.ANY, (value,))), f"not {value.lower()}", field_name, True, said=said)
    label = "not " + " and ".join(v.lower() for v in value)
    return Condition(Not(Test(field_name, Op.ALL, value)), label, field_name, True, said=said)


def _adjacent(message: Message, window: tuple[Token, ...]) -> bool:
    return all(re.fullmatch(r"[\s-]+", message.low[a.end : b.start]) is not None for a, b in pairwise(window))


def _beside(found: list[_Found], message: Message, start: int, end: int, reader: ConditionReader) -> bool:
    """Whether another category word stands right before or after, as in "family comedy", "war drama"."""
    if found and re.fullmatch(r"[\s,/&-]*(?:and|or)?[\s-]*", message.low[found[-1].end : start]):
        return True
    following = re.match(r"[\s-]*([\w-]+)", message.low[end:])
    return following is not None and fold(following[1]) in reader._categories
