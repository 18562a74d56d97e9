"""Hard conditions read by rule from plain words: categories, nationalities, certificates, audience, quality, critiques.

Rules carry what small language models get wrong (negation, numbers, alternatives); the planner's reading is merged
with this one, never trusted over it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from convrec.core.text import fold
from convrec.tools.catalogue import Catalogue
from convrec.tools.lexicon import (
    ALTERNATIVES,
    CATEGORY_WORDS,
    CHILD_CERTIFICATES,
    CHILD_PHRASES,
    CRITIQUES,
    NARROWER,
    NOT_CATEGORY_ALONE,
    Critique,
)
from convrec.tools.predicates import AllOf, AnyOf, Condition, Expr, Not, Op, Test
from convrec.tools.read_durations import read_durations
from convrec.tools.read_numbers import YearContext, read_years
from convrec.tools.read_origins import OriginReader
from convrec.tools.read_ratings import RatingReader
from convrec.tools.schema import Role
from convrec.tools.spans import Message, adjacent

CHILD_CATEGORY = "Family"
_WORLD_WAR = re.compile(r"\b(?:(?:first|second) )?world war(?: (?:1|2|one|two|ii?))?\b|\bww ?(?:1|2|ii?)\b")
_LIVE_ACTION = re.compile(r"\blive[- ]action\b|\breal (?:actors|people)\b")
_NOUN = re.compile(
    r"\s*(?:movies?|films?|flicks?|pictures?|stor(?:y|ies)|titles?|ones?|stuff|things?|genre|drama|epics?)\b"
)
_NOT_POPULAR = re.compile(r"\b(?:not|nothing) (?:so |too |very |that )?(?:popular|famous|well[- ]known|mainstream)\b")
_NO_MORE_BEFORE, _ENDS = (
    re.compile(r"\b(?:absolutely|definitely|certainly|please|just) no\s+$"),
    re.compile(r"\s*(?:$|[.;!,?])"),
)
_CHILDREN = re.compile("|".join(f"(?:{phrase})" for phrase in CHILD_PHRASES))


@dataclass(frozen=True, slots=True)
class _Found:
    values: tuple[str, ...]
    start: int
    end: int
    negative: bool
    plural: bool
    flat: bool = False
    """Denied by nothing but "no", at the end of a clause: what was said of the same before was no wish."""


@dataclass(slots=True)
class ConditionReader:
    """Reads conditions for one catalogue: only what its schema has and its vocabulary names."""

    catalogue: Catalogue
    _categories: dict[str, tuple[str, ...]] = field(init=False, default_factory=dict)
    _origins: OriginReader = field(init=False)
    _ratings: RatingReader = field(init=False)
    newest: int = field(init=False, default=0)

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
        self._origins = OriginReader(self.catalogue)
        self._ratings = RatingReader(self.catalogue)
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
        out += self._ratings.quality(message)
        # "not popular comedies" denies the fame, not the comedies.
        message = message.masked([m.span() for m in _NOT_POPULAR.finditer(message.low)])
        out += self._categories_in(message)
        out += self._origins.read(message)
        if spec := schema.by_role(Role.YEAR):
            out += read_years(message, spec.name, context)
        if (spec := schema.by_role(Role.DURATION)) and spec.unit == "minutes":
            out += read_durations(message, spec.name, context)
        out += self._ratings.certificates(message)
        return out

    # -- critiques and audience ---------------------------------------------------------------------------------

    def _critiques(self, message: Message) -> tuple[list[Condition], list[tuple[int, int]]]:
        out: list[Condition] = []
        spans: list[tuple[int, int]] = []
        for critique in CRITIQUES:
            matches = list(re.finditer(rf"(?<![\w-])(?:{critique.pattern})(?!\w)", message.low))
            if not matches or any(c.slot == critique.slot for c in out):
                continue
            match = matches[0]
            expr = self._critique_expr(critique)
            if expr is None:
                continue
            # What was denied is a span of its own: "not funnier" is rare enough to be read as no wish at all.
            if not critique.avoid and message.negated(match.start()):
                continue
            out.append(
                Condition(expr, critique.label, critique.slot, source="critique", said=match[0], hard=critique.hard)
            )
            spans += [m.span() for m in matches]
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

    # -- categories -----------------------------------------------------------------------------------------------

    def _categories_in(self, message: Message) -> list[Condition]:
        spec = self.catalogue.schema.by_role(Role.CATEGORY)
        if spec is None:
            return []
        message = message.masked([m.span() for m in _WORLD_WAR.finditer(message.low)])
        found = self._find_categories(message)
        flat = {value for one in found if one.flat for value in one.values}
        found = [one for one in found if one.negative or flat.isdisjoint(one.values)] if flat else found
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
            hard = not message.hedged(group[0].start, group[-1].end)
            if group[0].negative:  # "no horror or war films" denies each
                for one in group:
                    for value in one.values[:1] if len(one.values) == 1 else (one.values,):
                        out.append(_not_category(spec.name, value, said))
            elif len(group) > 1:
                values = tuple(dict.fromkeys(v for one in group for v in one.values))
                label = " or ".join(v.lower() for v in values)
                out.append(Condition(Test(spec.name, Op.ANY, values), label, spec.name, said=said, hard=hard))
            elif fold(said) in ALTERNATIVES:
                label = " or ".join(v.lower() for v in group[0].values)
                out.append(Condition(Test(spec.name, Op.ANY, group[0].values), label, spec.name, said=said))
            else:
                for value in group[0].values:
                    out.append(
                        Condition(Test(spec.name, Op.ANY, (value,)), value.lower(), spec.name, said=said, hard=hard)
                    )
        if _LIVE_ACTION.search(message.low) and "Animation" in self.catalogue.tags(spec.name).vocabulary:
            out.append(_not_category(spec.name, "Animation", "live action"))
        unique: dict[tuple[Expr, bool], Condition] = {(c.expr, c.negative): c for c in out}
        wanted = {c.expr for c in unique.values() if not c.negative}
        return [c for c in unique.values() if not (isinstance(c.expr, Not) and c.expr.part in wanted)]

    def _find_categories(self, message: Message) -> list[_Found]:
        tokens = message.tokens
        found: list[_Found] = []
        index = 0
        while index < len(tokens):
            for length in (3, 2, 1):
                window = tokens[index : index + length]
                phrase = " ".join(t.norm for t in window)
                values = self._categories.get(phrase)
                if len(window) < length or values is None or not adjacent(message, window):
                    continue
                start, end = window[0].start, window[-1].end
                negative = message.denied(start, end) or (
                    bool(found) and found[-1].negative and message.inherits_denial(found[-1].end, start, end)
                )
                if negative and phrase.removesuffix("s").removesuffix("e") in {n.removesuffix("e") for n in NARROWER}:
                    continue  # "no mafia" leaves the other crime films
                weak = phrase.rstrip("s") in NOT_CATEGORY_ALONE or phrase in NOT_CATEGORY_ALONE
                if (
                    weak
                    and not negative
                    and not _NOUN.match(message.low[end:])
                    and not _beside(found, message, start, end, self)
                ):
                    continue
                plural = phrase.endswith("s") and values[0].lower() != phrase
                flat = negative and _NO_MORE_BEFORE.search(message.low[:start]) and _ENDS.match(message.low, end)
                found.append(_Found(values, start, end, negative, plural, bool(flat)))
                index += length - 1
                break
            index += 1
        return found

    def reserved_words(self) -> frozenset[str]:
        """Folded category names and nationalities: words that are no titles by themselves."""
        return frozenset(self._categories) | frozenset(self._origins.demonyms)

    def places(self) -> frozenset[str]:
        """Folded names of the catalogue's countries."""
        return frozenset(self._origins.countries)

    def kinds(self) -> frozenset[str]:
        """Folded words for categories."""
        return frozenset(self._categories)


def _not_category(field_name: str, value: str | tuple[str, ...], said: str) -> Condition:
    """Denial of one category, or of a combination ("no romcoms" denies only films that are both)."""
    if isinstance(value, str):
        return Condition(Not(Test(field_name, Op.ANY, (value,))), f"not {value.lower()}", field_name, True, said=said)
    label = "not " + " and ".join(v.lower() for v in value)
    return Condition(Not(Test(field_name, Op.ALL, value)), label, field_name, True, said=said)


def _beside(found: list[_Found], message: Message, start: int, end: int, reader: ConditionReader) -> bool:
    """Whether another category word stands right before or after, as in "family comedy", "war drama"."""
    if found and re.fullmatch(r"[\s,/&-]*(?:and|or)?[\s-]*", message.low[found[-1].end : start]):
        return True
    following = re.match(r"[\s,/&-]*(?:(?:and|or)\b)?[\s-]*([\w-]+)", message.low[end:])
    return following is not None and fold(following[1]) in reader._categories
