"""Which earlier statement a newer one takes the place of, beside the one on its own subject."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convrec.core.errors import ToolRetry
from convrec.memory.records import NewPreference, Preference
from convrec.tools.predicates import Condition, Expr, Not, Op, Test, condition_from_json


def rivals(new: NewPreference, held: Sequence[Preference]) -> list[str]:
    """Ids of records that a new one ends, made for the same circumstances and in another turn: "only comedies" ends
    "only westerns", "always rated R" ends "never anything rated R or above", and the reverse."""
    condition = _condition(new.payload)
    if condition is None:
        return []
    return [
        p.id
        for p in held
        if p.kind in ("standing", "attribute")
        and p.scope.key == new.scope.key
        and p.subject != new.subject
        and (p.source_session, p.source_turn) != (new.source_session, new.source_turn)
        and (before := _condition(p.payload)) is not None
        and before.slot == condition.slot
        and (
            (p.kind == new.kind == "standing" and p.polarity == new.polarity == "wanted")
            or opposed(condition.expr, before.expr)
        )
    ]


def opposed(new: Expr, old: Expr) -> bool:
    """Whether a newer wish or denial on a field of words leaves no room for an older one of the other sign: a wish for
    some of what was denied lifts that, a denial ends a wish of which it leaves nothing."""
    if isinstance(new, Not) == isinstance(old, Not):
        return False
    said, before = _inner(new), _inner(old)
    if not (isinstance(said, Test) and isinstance(before, Test) and said.field == before.field):
        return False
    if said.op is not Op.ANY or before.op is not Op.ANY:
        return False
    if isinstance(new, Not):
        return set(before.values) <= set(said.values)
    return not set(said.values).isdisjoint(before.values)


def _inner(expr: Expr) -> Expr:
    return expr.part if isinstance(expr, Not) else expr


def _condition(payload: dict[str, Any]) -> Condition | None:
    """The condition of a record; None when it has none, or one of another version, which :mod:`.request` reports."""
    data = payload.get("condition")
    try:
        return condition_from_json(data) if isinstance(data, dict) else None
    except ToolRetry:
        return None
