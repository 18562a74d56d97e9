"""Why an item is on the slate, in facts that each trace to a record or to the user's words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convrec.agent.request import Request
from convrec.core.items import FieldValue, Item
from convrec.tools.catalogue import Catalogue
from convrec.tools.predicates import AllOf, AnyOf, Condition, Expr, Not, Op, Test
from convrec.tools.schema import FieldSpec, Role

FACTS_IN_REASON = 3
WELL_REVIEWED = 70
"""Quality from which on it is worth a mention, on a 0-100 field."""


@dataclass(frozen=True, slots=True)
class Fact:
    text: str
    """The whole fact, for "why?"."""
    field: str
    brief: str = ""
    """What of it goes into a list whose heading names the references already; "" for all."""


def facts(item: Item, references: Sequence[Item], request: Request, catalogue: Catalogue) -> list[Fact]:
    """Facts about ``item`` that bear on the request, the most telling first."""
    schema = catalogue.schema
    makers = [spec for spec in schema.people() if spec.name != "cast"]
    out: list[Fact] = _shared_people(item, references, makers)
    asked = {name for c in request.hard if not c.negative for name in fields_of(c.expr)}
    for spec in schema.people():
        named = [n for n in item.tags(spec.name) if _asked_person(n, spec.name, request.conditions)]
        if named and not any(f.field == spec.name for f in out):
            out.append(Fact(f"{spec.spoken} {join(named[:2])}", spec.name))
    if category := schema.by_role(Role.CATEGORY):
        tags = item.tags(category.name)
        common = [t for t in tags if references and all(t in r.tags(category.name) for r in references)]
        common = common or [t for t in tags if any(t in r.tags(category.name) for r in references)]
        if common:
            like = join([r.label for r in references[:2]])
            shared = join([t.lower() for t in common[:3]])
            out.append(Fact(f"{shared}, like {like}", category.name, f"shares {shared}"))
        elif tags:
            out.append(Fact(join([t.lower() for t in tags[:3]]), category.name))
    out += _shared_people(item, references, [spec for spec in schema.people() if spec not in makers])
    for spec in schema.fields:
        if spec.role in (Role.DURATION, Role.CERTIFICATE, Role.LANGUAGE, Role.COUNTRY) and spec.name in asked:
            text = say(spec, item.fields.get(spec.name))
            if text:
                out.append(Fact(text, spec.name))
    if quality := _quality(item, catalogue):
        out.append(quality)
    return out


def _shared_people(item: Item, references: Sequence[Item], specs: Sequence[FieldSpec]) -> list[Fact]:
    out: list[Fact] = []
    for spec in specs:
        for reference in references:
            shared = [name for name in item.tags(spec.name) if name in reference.tags(spec.name)]
            said = f"{spec.spoken} {join(shared[:2])}"
            # A film by the same person as writer and director is told once.
            if shared and not any(fact.text.endswith(f"{join(shared[:2])}, like {reference.label}") for fact in out):
                out.append(Fact(f"{said}, like {reference.label}", spec.name, said if len(references) == 1 else ""))
                break
    return out


def reason(found: Sequence[Fact]) -> str:
    """One line from the first facts of different fields."""
    picked: list[Fact] = []
    for fact in found:
        if all(fact.field != other.field for other in picked):
            picked.append(fact)
        if len(picked) == FACTS_IN_REASON:
            break
    return "; ".join(f.brief or f.text for f in picked)


def say(spec: FieldSpec, value: FieldValue) -> str:
    """A field's value in words, "" when missing: "109 minutes", "rated PG", "in Korean", "from South Korea"."""
    if value is None or value == ():
        return ""
    shown = join(list(value[:4])) if isinstance(value, tuple) else str(value)
    match spec.role:
        case Role.DURATION:
            return f"{shown} {spec.unit}".strip()
        case Role.LANGUAGE:
            return f"in {shown}"
        case Role.COUNTRY | Role.YEAR:
            return f"from {shown}"
        case Role.CERTIFICATE | Role.PERSON:
            return f"{spec.spoken} {shown}"
        case Role.QUALITY:
            return f"{spec.spoken} of {shown}{spec.unit}"
        case Role.CATEGORY:
            return shown.lower()
        case _:
            return f"{spec.spoken}: {shown}"


def join(parts: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def _quality(item: Item, catalogue: Catalogue) -> Fact | None:
    spec, count = catalogue.schema.by_role(Role.QUALITY), catalogue.schema.by_role(Role.POPULARITY)
    value = item.number(spec.name) if spec else None
    if spec is None or value is None or value < WELL_REVIEWED:
        return None
    reviews = item.number(count.name) if count else None
    of = f" from {reviews:.0f} reviews" if reviews else ""
    return Fact(f"{spec.spoken} of {value:.0f}{spec.unit}{of}", spec.name)


def fields_of(expr: Expr) -> set[str]:
    """The fields an expression speaks of."""
    match expr:
        case AllOf(parts) | AnyOf(parts):
            return set().union(*(fields_of(part) for part in parts))
        case Not(part):
            return fields_of(part)
        case Test(name, op, _):
            return set() if op is Op.MISSING else {name}


def _asked_person(name: str, field_name: str, conditions: Sequence[Condition]) -> bool:
    def within(expr: Expr) -> bool:
        match expr:
            case AllOf(parts) | AnyOf(parts):
                return any(within(part) for part in parts)
            case Not():
                return False
            case Test(tested, _, values):
                return tested == field_name and name in values

    return any(within(c.expr) for c in conditions)
