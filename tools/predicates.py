"""Typed conditions on items. They are data: the catalogue compiles them to parameterised SQL, nobody writes SQL.

A missing value makes every test false but ``Test(field, Op.MISSING)``: what is not on record is not claimed to hold.
``Not`` negates the outcome, so that "not rated R" holds for an item without a certificate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, TypeAlias

from convrec.core.errors import ToolRetry
from convrec.core.items import FieldValue, Item
from convrec.tools.schema import FieldType, Schema


class Op(StrEnum):
    ANY = "any"
    """At least one of ``values`` is (among) the field's value(s). Exact, case-sensitive catalogue spellings."""
    ALL = "all"
    """A tags field holds every one of ``values``."""
    LE = "le"
    GE = "ge"
    MISSING = "missing"


Value: TypeAlias = str | int | float


@dataclass(frozen=True, slots=True)
class Test:
    field: str
    op: Op
    values: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True)
class AllOf:
    parts: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Not:
    part: Expr


Expr: TypeAlias = Test | AllOf | AnyOf | Not


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing the user asked for, as an expression and in words."""

    expr: Expr
    label: str
    """Plain words for replies: "under 120 minutes", "not horror"."""
    slot: str
    """What it is about: the field's name, or "audience"; decides the order of relaxation and what replaces what."""
    negative: bool = False
    source: str = "rule"
    """rule | llm | memory | critique"""
    said: str = ""
    """The user's words it was read from."""
    standing: bool = False
    """A standing instruction: never relaxed, kept when the topic changes."""
    hard: bool = True
    """False: a preference for ranking, never a filter."""


def check(expr: Expr, schema: Schema) -> None:
    """Raise :class:`ToolRetry` when ``expr`` names an unknown field or a value of the wrong type."""
    match expr:
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                check(part, schema)
        case Not(part):
            check(part, schema)
        case Test(name, op, values):
            spec = schema.field(name)
            if spec is None:
                known = ", ".join(f.name for f in schema.fields)
                raise ToolRetry(f"unknown field {name!r}; this catalogue has: {known}")
            if op is Op.MISSING:
                return
            if not values:
                raise ToolRetry(f"{name}: {op.value} needs a value")
            numeric = spec.type in (FieldType.INTEGER, FieldType.NUMBER)
            if op in (Op.LE, Op.GE) and (not numeric or len(values) != 1):
                raise ToolRetry(f"{name}: {op.value} takes one number on a numeric field, got {values!r}")
            if op is Op.ALL and spec.type is not FieldType.TAGS:
                raise ToolRetry(f"{name}: 'all' is for tags fields; {name} is {spec.type.value}")
            for value in values:
                if isinstance(value, str) is numeric or isinstance(value, bool):
                    raise ToolRetry(f"{name}: {value!r} is not a {spec.type.value} value")


def holds(expr: Expr, item: Item) -> bool:
    """Whether one record satisfies ``expr``: the check of the final slate, independent of the SQL path."""
    match expr:
        case AllOf(parts):
            return all(holds(part, item) for part in parts)
        case AnyOf(parts):
            return any(holds(part, item) for part in parts)
        case Not(part):
            return not holds(part, item)
        case Test(name, op, values):
            value: FieldValue = item.fields.get(name)
            if value is None or value == ():
                return op is Op.MISSING
            if op is Op.MISSING:
                return False
            if op is Op.LE or op is Op.GE:
                bound = values[0]
                if not isinstance(value, int | float) or isinstance(bound, str):
                    return False
                return value <= bound if op is Op.LE else value >= bound
            have = set(value) if isinstance(value, tuple) else {value}
            return set(values) <= have if op is Op.ALL else bool(have.intersection(values))


def to_json(expr: Expr) -> dict[str, Any]:
    """A JSON form of ``expr`` that :func:`from_json` reads back."""
    match expr:
        case AllOf(parts):
            return {"all": [to_json(part) for part in parts]}
        case AnyOf(parts):
            return {"any": [to_json(part) for part in parts]}
        case Not(part):
            return {"not": to_json(part)}
        case Test(name, op, values):
            return {"field": name, "op": op.value, "values": list(values)}


def from_json(data: Mapping[str, Any]) -> Expr:
    """Read :func:`to_json`'s form back.

    Raises:
        ToolRetry: the data has another form.
    """
    try:
        if "all" in data:
            return AllOf(tuple(from_json(part) for part in data["all"]))
        if "any" in data:
            return AnyOf(tuple(from_json(part) for part in data["any"]))
        if "not" in data:
            return Not(from_json(data["not"]))
        return Test(str(data["field"]), Op(data["op"]), tuple(data["values"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ToolRetry(f"not a condition: {str(data)[:200]}") from error


def condition_to_json(condition: Condition) -> dict[str, Any]:
    return {**{f.name: getattr(condition, f.name) for f in fields(condition)}, "expr": to_json(condition.expr)}


def condition_from_json(data: Mapping[str, Any]) -> Condition:
    """Read :func:`condition_to_json`'s form back; unknown keys are an error."""
    try:
        return Condition(**{**data, "expr": from_json(data["expr"])})
    except (KeyError, TypeError) as error:
        raise ToolRetry(f"not a condition: {str(data)[:200]}") from error
