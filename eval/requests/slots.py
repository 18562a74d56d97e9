"""Slots as comparable units: of a label, of a reading by rule or merged, of a model's draft."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from convrec.agent.plan import Draft
from convrec.core.text import fold
from convrec.eval.requests.labels import LabelledRequest
from convrec.tools.catalogue import Catalogue
from convrec.tools.predicates import AllOf, AnyOf, Condition, Expr, Not, Op, Test
from convrec.tools.schema import Role
from convrec.tools.understand import Understanding

EXACT = frozenset({"genres", "prefer", "kinds", "not_genres", "certificates"})
"""Slots whose alternatives must be the labelled ones; in the others one common value will do (French, France)."""
KINDS = frozenset({"genres", "prefer"})
TOLERANCE_MINUTES = 1
"""Under two hours: 119 or 120."""
_CRITIQUES = {"violence": "less_violent", "funniness": "funnier"}
_PEOPLE = ("people", "directors", "cast", "writers")
_SAYS_A_TIME = re.compile(r"\d|hour|ies\b")


class Unit(NamedTuple):
    """One thing that was said. Alternatives are one unit."""

    slot: str
    values: frozenset[str]


def labelled(request: LabelledRequest) -> list[Unit]:
    """The units of a label."""
    out: list[Unit] = []
    for slot, value in request.slots.model_dump(exclude_defaults=True).items():
        name = "people" if slot in _PEOPLE else slot
        if slot in ("mood", "certificates"):
            out.append(Unit(name, frozenset(map(str, value))))
        elif isinstance(value, list | tuple):
            out += [Unit(name, frozenset(_plain(slot, part) for part in str(entry).split("|"))) for entry in value]
        else:
            out.append(Unit(name, frozenset({str(value)})))
    return out


def _plain(slot: str, value: str) -> str:
    return fold(value) if slot == "unknown" else value


def same(labelled_unit: Unit, read: Unit) -> bool:
    """Whether a unit that was read is the labelled one."""
    if labelled_unit.slot != read.slot:
        kinds = {labelled_unit.slot, read.slot}
        if "kinds" not in kinds or not kinds <= KINDS | {"kinds"}:
            return False
    if labelled_unit.slot == "mood":
        return _same_words(labelled_unit.values, read.values)
    if labelled_unit.slot in ("runtime_min", "runtime_max"):
        return abs(_number(labelled_unit) - _number(read)) <= TOLERANCE_MINUTES
    if labelled_unit.slot in EXACT:
        return labelled_unit.values == read.values
    return bool(labelled_unit.values & read.values)


def _number(unit: Unit) -> int:
    return int(next(iter(unit.values)))


def _same_words(wanted: frozenset[str], read: frozenset[str]) -> bool:
    """At least half of the labelled words are there, and at least a third of those that are there were labelled."""

    def like(a: str, b: str) -> bool:
        return a[:5] == b[:5]

    found = sum(any(like(w, r) for r in read) for w in wanted)
    right = sum(any(like(w, r) for w in wanted) for r in read)
    return 2 * found >= len(wanted) and 3 * right >= len(read)


class Count(NamedTuple):
    """Of one slot in one request."""

    right: int
    wrong: int
    """Read and not labelled."""
    missed: int


def compare(request: LabelledRequest, read: Sequence[Unit]) -> dict[str, Count]:
    """Counts by slot. In the slots of ``request.may`` only what was labelled and found counts."""
    may = {"people" if slot in _PEOPLE else slot for slot in request.may}
    may |= {"prefer", "genres"} if "kinds" in may else set()
    may |= {"critique"} if may & {"year_min", "year_max", "runtime_min", "runtime_max"} else set()
    left = list(dict.fromkeys(read))
    counts: dict[str, list[int]] = {}
    for unit in labelled(request):
        hit = next((other for other in left if same(unit, other)), None)
        if hit is not None:
            left.remove(hit)
            counts.setdefault(_group(unit.slot), [0, 0, 0])[0] += 1
        elif unit.slot not in may:
            counts.setdefault(_group(unit.slot), [0, 0, 0])[2] += 1
    for unit in left:
        if unit.slot not in may and not (unit.slot == "refines" and not request.history):
            counts.setdefault(_group(unit.slot), [0, 0, 0])[1] += 1
    return {slot: Count(*numbers) for slot, numbers in counts.items()}


def _group(slot: str) -> str:
    """Under which name a slot is reported."""
    return "genres" if slot in KINDS | {"kinds"} else slot


# -- what was read ---------------------------------------------------------------------------------------------------


def of_reading(reading: Understanding, catalogue: Catalogue) -> list[Unit]:
    """The units of a reading."""
    out = [unit for condition in reading.conditions for unit in _of_condition(condition, catalogue)]
    named = "liked" if reading.act == "recommend" and not reading.conditions and reading.person_of is None else "about"
    slot_of = {"liked": "liked", "like": "liked", "disliked": "disliked", "seen": "seen", "asked": "about"}
    for mention in reading.mentions:
        name = named if mention.polarity == "named" and mention.how != "reference" else "about"
        out.append(Unit(slot_of.get(mention.polarity, name), frozenset({catalogue.item(mention.row).label})))
    out += [Unit("unknown", frozenset({fold(unknown.said)})) for unknown in reading.unknown]
    out += [Unit("asked", frozenset({name})) for name in reading.asked_fields]
    if reading.person_of is not None:
        field, rows = reading.person_of
        names = frozenset(name for item in catalogue.items(rows) for name in item.tags(field))
        out.append(Unit("people", names))
    if reading.count is not None:
        out.append(Unit("count", frozenset({str(reading.count)})))
    flags = {
        "more": reading.wants_more,
        "refines": reading.continues and reading.act == "recommend",
        "standing": any(condition.standing for condition in reading.conditions),
        "unclear": bool(reading.reference_unclear),
    }
    out += [Unit(name, frozenset({"True"})) for name, is_set in flags.items() if is_set]
    # A critique that no column records ("darker") is a mood. Only a recommendation searches for words.
    moods = " ".join(
        c.said
        for c in reading.conditions
        if c.source == "critique" and c.slot.removesuffix(" rating") not in _CRITIQUES
    )
    if reading.act == "recommend" and (words := frozenset(fold(f"{reading.query} {moods}").split())):
        out.append(Unit("mood", words))
    return out


def of_draft(draft: Draft, catalogue: Catalogue) -> list[Unit]:
    """The units of a model's draft as it stands; titles and people in the catalogue's spelling where they have one."""
    people = {fold(name): name for spec in catalogue.schema.people() for name in catalogue.tags(spec.name).vocabulary}
    out = [Unit("kinds", frozenset({name})) for name in draft.genres]
    out += [Unit("not_genres", frozenset({name})) for name in draft.exclude]
    out += [Unit("people", frozenset({people.get(fold(name), name)})) for name in draft.people]
    for slot, titles in (("liked", draft.liked), ("disliked", draft.disliked)):
        out += [Unit(slot, _labels(title, catalogue)) for title in titles]
    if draft.action == "recommend" and (words := frozenset(fold(draft.mood).split())):
        out.append(Unit("mood", words))
    return out


def _labels(title: str, catalogue: Catalogue) -> frozenset[str]:
    rows = [hit.row for hit in catalogue.find_names([fold(title)]) if hit.row is not None]
    return frozenset(item.label for item in catalogue.items(rows)) or frozenset({title})


def _of_condition(condition: Condition, catalogue: Catalogue) -> Iterator[Unit]:
    schema = catalogue.schema
    expr, negative = condition.expr, condition.negative
    if isinstance(expr, Not):
        expr, negative = expr.part, True
    if condition.source == "critique":
        if condition.slot in _CRITIQUES:
            yield Unit("critique", frozenset({_CRITIQUES[condition.slot]}))
        return
    if condition.slot == "audience":
        yield Unit("audience", frozenset({"kids"}))
        return
    tests = list(_tests(expr))
    if not tests:
        return
    spec = schema.field(tests[0].field)
    role = spec.role if spec else Role.OTHER
    values = frozenset(str(value) for test in tests for value in test.values)
    if role is Role.PERSON:
        yield Unit("not_people" if negative else "people", values)
    elif role is Role.CATEGORY:
        yield Unit("not_genres" if negative else "genres" if condition.hard else "prefer", values)
    elif role in (Role.LANGUAGE, Role.COUNTRY):
        yield Unit("not_origin" if negative else "origin", values)
    elif role is Role.CERTIFICATE:
        if negative:
            yield from (Unit("not_certificates", frozenset({value})) for value in sorted(values))
        else:
            yield Unit("certificates", values)
    elif role is Role.QUALITY:
        exact = any(character.isdigit() for character in condition.said)
        yield Unit("score_min", values) if exact else Unit("quality", frozenset({"acclaimed"}))
    elif role is Role.POPULARITY:
        well_known = (tests[0].op is Op.GE) is not negative
        yield Unit("quality", frozenset({"popular" if well_known else "hidden"}))
    elif role in (Role.YEAR, Role.DURATION):
        yield from _range(tests, condition, negative, "year" if role is Role.YEAR else "runtime")


def _range(tests: Iterable[Test], condition: Condition, negative: bool, name: str) -> Iterator[Unit]:
    lows = [int(test.values[0]) for test in tests if test.op is Op.GE]
    highs = [int(test.values[0]) for test in tests if test.op is Op.LE]
    if not _SAYS_A_TIME.search(condition.said.lower()):  # relative: "older", "shorter"
        word = {"year": ("older", "newer"), "runtime": ("shorter", "longer")}[name]
        yield Unit("critique", frozenset({word[0 if highs else 1]}))
        return
    if negative and lows and highs:
        yield Unit(f"not_{name}s", frozenset({f"{min(lows)}-{max(highs)}"}))
        return
    if negative:  # not above is at most
        lows, highs = [high + 1 for high in highs], [low - 1 for low in lows]
    if lows:
        yield Unit(f"{name}_min", frozenset({str(min(lows))}))
    if highs:
        yield Unit(f"{name}_max", frozenset({str(max(highs))}))


def _tests(expr: Expr) -> Iterator[Test]:
    match expr:
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from _tests(part)
        case Not(part):
            yield from _tests(part)
        case Test():
            yield expr


def intent_of(act: str) -> str:
    """The labelled intent that an act of a reading, or an action of a plan, amounts to."""
    return act if act in ("recommend", "lookup", "feedback", "profile", "forget", "why") else "chat"
