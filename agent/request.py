"""From a reading, the session and memory to one request: what the tools are bound to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from convrec.agent.session import Session, carry_over, rows_of
from convrec.memory.records import Preference
from convrec.tools.catalogue import Catalogue
from convrec.tools.predicates import Condition, Not, Op, Test, condition_from_json
from convrec.tools.understand import Understanding


@dataclass(slots=True)
class Request:
    """What is to be found. Rows refer to the catalogue."""

    conditions: list[Condition] = field(default_factory=list)
    """Hard and soft; the first ``carried`` come from earlier turns."""
    carried: int = 0
    references: tuple[int, ...] = ()
    """Find something similar to these."""
    profile: tuple[int, ...] = ()
    """Liked in earlier conversations."""
    disliked: tuple[int, ...] = ()
    excluded: frozenset[int] = frozenset()
    """Named, seen, rejected, disliked or already shown: never recommended."""
    query: str = ""
    applied: list[str] = field(default_factory=list)
    """Remembered statements that are used, in words."""
    left_out: list[str] = field(default_factory=list)
    """Remembered statements that are not, with the reason."""

    @property
    def hard(self) -> list[Condition]:
        return [c for c in self.conditions if c.hard]

    @property
    def soft(self) -> list[Condition]:
        return [c for c in self.conditions if not c.hard]


def interpret(
    reading: Understanding, session: Session, catalogue: Catalogue, remembered: Sequence[Preference]
) -> Request:
    """Bind a reading to the running request and to what is remembered; what is said now wins over what was."""
    request = Request()
    new = list(reading.conditions)
    if reading.person_of is not None:
        new += _person_of(reading.person_of, catalogue)
    if reading.continues:
        request.conditions, request.carried = carry_over(session.conditions, new)
    else:
        kept = [c for c in session.conditions if c.standing and c not in new]
        request.conditions, request.carried = [*kept, *new], len(kept)
    request.references = _references(reading, session, catalogue)
    request.query = reading.query or (session.query if reading.continues else "")
    _apply_memory(request, remembered, catalogue, said_now=new)

    excluded = {m.row for m in reading.mentions}
    for ids in (session.named, session.seen, session.rejected, session.disliked):
        excluded.update(rows_of(catalogue, ids))
    if reading.continues or reading.wants_more:
        excluded.update(rows_of(catalogue, session.shown))
    for preference in remembered:
        if preference.kind == "item" and preference.polarity in ("disliked", "seen", "rejected"):
            excluded.update(_item_rows(preference, catalogue))
    request.excluded = frozenset(excluded)
    disliked = {m.row for m in reading.mentions if m.polarity == "disliked"}
    request.disliked = tuple(disliked | set(rows_of(catalogue, session.disliked)))
    return request


def _person_of(person_of: tuple[str, tuple[int, ...]], catalogue: Catalogue) -> list[Condition]:
    name, rows = person_of
    spec = catalogue.schema.field(name)
    people = tuple(dict.fromkeys(p for item in catalogue.items(rows) for p in item.tags(name)))
    if spec is None or not people:
        return []
    label = f"{spec.spoken} {' or '.join(people[:4])}"
    return [Condition(Test(name, Op.ANY, people), label, f"person:{people[0].casefold()}")]


def _references(reading: Understanding, session: Session, catalogue: Catalogue) -> tuple[int, ...]:
    rows = reading.rows("liked", "like")
    if rows:
        return rows
    if reading.continues and session.references:
        return rows_of(catalogue, session.references)
    bare = reading.act == "recommend" and not reading.conditions and reading.person_of is None
    return reading.rows("named") if bare else ()


def _item_rows(preference: Preference, catalogue: Catalogue) -> tuple[int, ...]:
    return rows_of(catalogue, [preference.subject.removeprefix("item:")])


def _apply_memory(
    request: Request, remembered: Sequence[Preference], catalogue: Catalogue, said_now: Sequence[Condition]
) -> None:
    profile: list[int] = []
    wanted_now = {c.expr for c in said_now if not c.negative}
    for preference in remembered:
        if preference.kind == "item":
            if preference.polarity == "liked":
                profile += _item_rows(preference, catalogue)
            continue
        data = preference.payload.get("condition")
        if not isinstance(data, dict):
            continue
        condition = replace(condition_from_json(data), source="memory")
        if any(c.expr == condition.expr for c in request.conditions):
            if condition.expr not in {c.expr for c in said_now}:
                request.applied.append(preference.text)  # in force since it was said in this conversation
            continue
        if isinstance(condition.expr, Not) and condition.expr.part in wanted_now:
            request.left_out.append(f"{preference.text}: you asked for it now")
        elif condition.slot not in ("audience",) and any(c.slot == condition.slot and not c.negative for c in said_now):
            if condition.negative:
                request.conditions.append(condition)
                request.applied.append(preference.text)
            else:
                request.left_out.append(f"{preference.text}: you asked for something else now")
        else:
            if preference.kind != "standing":
                condition = replace(condition, hard=preference.polarity == "unwanted", standing=False)
            request.conditions.append(condition)
            request.applied.append(preference.text)
    request.profile = tuple(dict.fromkeys(profile))
