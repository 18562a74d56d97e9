"""From a reading, the session and memory to one request: what the tools are bound to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from convrec.agent.conversation import conversation_of
from convrec.agent.remember import for_now
from convrec.agent.session import Session, carry_over, rows_of
from convrec.agent.superseding import opposed
from convrec.core.errors import ToolRetry
from convrec.core.text import clean
from convrec.memory.reading import Recollection
from convrec.memory.records import Preference, RecalledPreference
from convrec.tools.catalogue import Catalogue
from convrec.tools.predicates import AllOf, AnyOf, Condition, Expr, Not, Op, Test, check, condition_from_json
from convrec.tools.ranking_model import Conversation
from convrec.tools.schema import FieldType, Schema
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
    said: Conversation | None = None
    """This session's talk, for a trained recommender; nothing that is remembered."""
    query: str = ""
    query_remembered: str = ""
    """The part of ``query`` that comes from memory: not carried over to the next turn."""
    applied: list[str] = field(default_factory=list)
    """Remembered statements that are used, in words."""
    reasons: list[str] = field(default_factory=list)
    """Why, one for each of ``applied``."""
    left_out: list[str] = field(default_factory=list)
    """Remembered statements that are not, with the reason."""

    def apply(self, text: str, reason: str) -> None:
        self.applied.append(text)
        self.reasons.append(reason)

    @property
    def hard(self) -> list[Condition]:
        return [c for c in self.conditions if c.hard]

    @property
    def soft(self) -> list[Condition]:
        return [c for c in self.conditions if not c.hard]

    def wished(self, schema: Schema) -> str:
        """The words in which it says what is wanted, now or before: the query, and kinds, places and people asked for.
        Nothing that was denied, criticised, remembered or taken back; no titles, no numbers."""
        tags = {spec.name for spec in schema.fields if spec.type is FieldType.TAGS}
        asked = [
            c.said or c.label
            for c in self.conditions
            if not c.negative and c.source in ("rule", "llm") and not tags.isdisjoint(_fields_of(c.expr))
        ]
        return " ".join([*asked, self.query])


LEFT_OUT_SHOWN = 12
"""Remembered statements that do not apply, named in the trace of a turn; more are counted."""


def interpret(reading: Understanding, session: Session, catalogue: Catalogue, recalled: Recollection) -> Request:
    """Bind a reading to the running request and to what is remembered; what is said now wins over what was."""
    request = Request(said=conversation_of(session, catalogue, reading))
    new, put_off = for_now(reading.conditions, reading.text, recalled.now)
    request.left_out += put_off
    if reading.person_of is not None:
        new += _person_of(reading.person_of, catalogue)
    taken_back = {c.expr.part if isinstance(c.expr, Not) else c.expr for c in reading.dropped}
    running = [
        c
        for c in session.conditions
        if _usable(c, catalogue)
        and not _denied(c, new)
        and c.expr not in taken_back
        and not (reading.lifted and c.slot.startswith(reading.lifted))
    ]
    if reading.continues:
        request.conditions, request.carried = carry_over(running, new, reading.adds)
    else:
        kept = [c for c in running if c.standing and c not in new]
        request.conditions, request.carried = [*kept, *new], len(kept)
    request.references = _references(reading, session, catalogue)
    request.query = reading.query or (session.query if reading.continues and not reading.dropped else "")
    _apply_memory(request, recalled, catalogue, said_now=new)

    given = rows_of(catalogue, session.given)
    request.profile = tuple(dict.fromkeys([*given, *request.profile]))
    excluded = {m.row for m in reading.mentions}
    for ids in (session.given, session.named, session.seen, session.rejected, session.disliked):
        excluded.update(rows_of(catalogue, ids))
    if reading.continues or reading.wants_more:
        excluded.update(rows_of(catalogue, session.shown))
    for preference in recalled.known:
        if preference.kind == "item":  # what is liked is known already: it says what to look for, it is no suggestion
            excluded.update(_item_rows(preference, catalogue))
    request.excluded = frozenset(excluded)
    disliked = {m.row for m in reading.mentions if m.polarity == "disliked"}
    request.disliked = tuple(disliked | set(rows_of(catalogue, session.disliked)) | set(request.disliked))
    return request


def _fields_of(expr: Expr) -> set[str]:
    """The fields that are asked for, those that are denied left out."""
    match expr:
        case AllOf(parts) | AnyOf(parts):
            return set().union(*(_fields_of(part) for part in parts))
        case Not():
            return set()
        case Test(name):
            return {name}


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
    # A title named without a word about it ("matrix", "what about Alien?") is what the next list is to be like.
    named = tuple(m.row for m in reading.mentions if m.polarity == "named" and m.how != "reference")
    if named and reading.act == "recommend" and not reading.conditions and reading.person_of is None:
        return named
    return rows_of(catalogue, session.references) if reading.continues else ()


def _item_rows(preference: Preference, catalogue: Catalogue) -> tuple[int, ...]:
    """The row of an item preference; none when it was said of another catalogue."""
    if preference.payload.get("catalogue", catalogue.name) != catalogue.name:
        return ()
    return rows_of(catalogue, [preference.subject.removeprefix("item:")])


def _usable(condition: Condition, catalogue: Catalogue) -> bool:
    """Whether this catalogue has the fields the condition speaks of; it may have been said of another catalogue."""
    try:
        check(condition.expr, catalogue.schema)
    except ToolRetry:
        return False
    return True


def _denied(condition: Condition, said_now: Sequence[Condition]) -> bool:
    """Whether the opposite was said now: "never horror" before, "a horror film" now, or the other way round; "never
    rated R or above" before, "rated R" now."""
    now = {c.expr for c in said_now}
    inner = condition.expr.part if isinstance(condition.expr, Not) else None
    if Not(condition.expr) in now or (inner is not None and inner in now):
        return True
    return any(c.slot == condition.slot and opposed(c.expr, condition.expr) for c in said_now)


def _takes_place(now: Condition, before: Condition) -> bool:
    """Whether a wish said now stands for a remembered one: the same matter and the same field. A country asked for
    leaves "always in English" in force, and "something newer" what it can meet together with "always after 2000"."""
    if now.slot != before.slot or now.negative:
        return False
    if isinstance(now.expr, Test) and isinstance(before.expr, Test) and not any(ch.isdigit() for ch in now.said):
        bounds = {test.op: test.values[0] for test in (now.expr, before.expr) if test.op in (Op.LE, Op.GE)}
        if bounds:  # relative to what was shown: "newer", "shorter"
            low, high = bounds.get(Op.GE), bounds.get(Op.LE)
            return isinstance(low, int | float) and isinstance(high, int | float) and low > high
    fields_now, fields_before = _fields_of(now.expr), _fields_of(before.expr)
    return not (fields_now and fields_before) or not fields_now.isdisjoint(fields_before)


def _apply_memory(
    request: Request, recalled: Recollection, catalogue: Catalogue, said_now: Sequence[Condition]
) -> None:
    profile: list[int] = []
    disliked: list[int] = []
    for preference in recalled.known:
        if preference.kind == "item" and preference.polarity == "liked":
            profile += _item_rows(preference, catalogue)
        elif preference.kind == "item" and preference.polarity in ("disliked", "rejected"):
            disliked += _item_rows(preference, catalogue)
    request.profile = tuple(dict.fromkeys(profile))
    request.disliked = tuple(dict.fromkeys(disliked))
    for entry in recalled.applied:
        _apply_one(request, entry, catalogue, said_now)
    for entry in recalled.left_out[:LEFT_OUT_SHOWN]:
        request.left_out.append(f"{entry.preference.text}: {entry.reason}")
    if len(recalled.left_out) > LEFT_OUT_SHOWN:
        request.left_out.append(f"{len(recalled.left_out) - LEFT_OUT_SHOWN} more that this request does not touch")


def _apply_one(
    request: Request, entry: RecalledPreference, catalogue: Catalogue, said_now: Sequence[Condition]
) -> None:
    preference = entry.preference
    if isinstance(words := preference.payload.get("words"), str) and preference.polarity == "wanted":
        request.query_remembered = clean(f"{request.query_remembered} {words}", 120)
        request.query = clean(f"{request.query} {words}", 200)
        request.apply(preference.text, entry.reason)
        return
    data = preference.payload.get("condition")
    if not isinstance(data, dict):
        request.left_out.append(f"{preference.text}: {entry.reason}, but no field of this catalogue tells")
        return
    try:
        condition = replace(condition_from_json(data), source="memory")
        check(condition.expr, catalogue.schema)
    except ToolRetry as problem:
        request.left_out.append(f"{preference.text}: it does not fit this catalogue ({problem})")
        return
    if any(c.expr == condition.expr for c in request.conditions):
        if condition.expr not in {c.expr for c in said_now}:
            request.apply(preference.text, entry.reason)  # in force since it was said in this conversation
    elif _denied(condition, said_now):
        request.left_out.append(f"{preference.text}: you said otherwise now")
    elif not condition.negative and any(_takes_place(c, condition) for c in said_now):
        request.left_out.append(f"{preference.text}: you asked for something else now")
    else:
        if preference.kind == "attribute":
            condition = replace(condition, hard=preference.polarity == "unwanted", standing=False)
        request.conditions.append(condition)
        request.apply(preference.text, entry.reason)
