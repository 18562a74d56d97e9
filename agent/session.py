"""One conversation's state. It belongs to one user and one session id and is saved after every turn."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from convrec.tools.catalogue import Catalogue
from convrec.tools.predicates import AnyOf, Condition, Test, condition_from_json, condition_to_json
from convrec.tools.references import Focus

MAX_TURNS_KEPT = 50
"""Turns of text kept for the prompt and the history; what was shown and rejected is kept for the whole session."""


@dataclass(slots=True)
class Session:
    """Mutable during a turn. Items are kept by id, so that a rebuilt catalogue does not confuse them."""

    user: str
    session_id: str
    turns: list[tuple[str, str]] = field(default_factory=list)
    """(user text, reply text), oldest first."""
    turn_count: int = 0
    conditions: list[Condition] = field(default_factory=list)
    """What the running request asks for, oldest first."""
    references: list[str] = field(default_factory=list)
    """Items the running request wants something similar to."""
    given: list[str] = field(default_factory=list)
    """Liked items that the caller gave for this conversation alone; they count like liked ones that are remembered."""
    wanted: int = 0
    """Items per slate that the caller asked for; 0: as many as the settings say."""
    liked: list[str] = field(default_factory=list)
    disliked: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    named: list[str] = field(default_factory=list)
    """Everything the user named, in any way."""
    shown: list[str] = field(default_factory=list)
    """Everything recommended so far."""
    rejected: list[str] = field(default_factory=list)
    slate: list[str] = field(default_factory=list)
    """The last slate, in the order shown."""
    last: str | None = None
    people: list[str] = field(default_factory=list)
    people_field: str = ""
    query: str = ""
    began: int = 0
    """Number of the turn with which the talk about the running request began; 0: there is none."""
    listed: int = 0
    """Number of the turn that gave the last list; 0: none did."""
    examples: list[dict[str, Any]] = field(default_factory=list)
    """Good turns of this conversation, as examples for the planner; see :mod:`convrec.agent.demonstrations`."""
    situation: list[str] = field(default_factory=list)
    """Who is there, where, on what occasion, as said so far: facets of :mod:`convrec.memory.situations`."""

    question: dict[str, Any] = field(default_factory=dict)
    """The agent's question that waits for an answer, {} for none; see :mod:`convrec.agent.asking`."""
    asked: list[str] = field(default_factory=list)
    """Fields that were asked about in this conversation: none is asked twice."""
    pending: dict[str, Any] = field(default_factory=dict)
    """A plan that waits for the user's approval, {} for none; see :mod:`convrec.agent.approval_state`."""

    def focus(self, catalogue: Catalogue) -> Focus:
        last = catalogue.row_of(self.last) if self.last else None
        people, people_field = tuple(self.people), self.people_field
        if not people:
            people, people_field = _people_asked_for(self.conditions, catalogue)
        return Focus(
            slate=rows_of(catalogue, self.slate),
            last=last,
            people=people,
            people_field=people_field,
            started=bool(self.conditions),
            references=rows_of(catalogue, self.references),
            asked=bool(self.turns) and self.turns[-1][1].rstrip().endswith("?"),
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "turns": [list(turn) for turn in self.turns[-MAX_TURNS_KEPT:]],
            "turn_count": self.turn_count,
            "wanted": self.wanted,
            "conditions": [condition_to_json(c) for c in self.conditions],
            **{name: list(getattr(self, name)) for name in _ITEM_LISTS},
            "last": self.last,
            "people": self.people,
            "people_field": self.people_field,
            "query": self.query,
            "began": self.began,
            "listed": self.listed,
            "examples": self.examples,
            "situation": self.situation,
            "question": self.question,
            "asked": self.asked,
            "pending": self.pending,
        }

    @classmethod
    def from_json(cls, user: str, session_id: str, data: dict[str, Any]) -> Session:
        return cls(
            user=user,
            session_id=session_id,
            turns=[(turn[0], turn[1]) for turn in data["turns"]],
            turn_count=data["turn_count"],
            wanted=data.get("wanted", 0),
            conditions=[condition_from_json(c) for c in data["conditions"]],
            **{name: list(data.get(name, ())) for name in _ITEM_LISTS},
            last=data["last"],
            people=data["people"],
            people_field=data["people_field"],
            query=data["query"],
            began=data.get("began", 0),
            listed=data.get("listed", 0),
            examples=list(data.get("examples", [])),
            situation=list(data.get("situation", ())),
            question=dict(data.get("question", {})),
            asked=list(data.get("asked", ())),
            pending=dict(data.get("pending", {})),
        )

    def become(self, data: dict[str, Any]) -> None:
        """Take over a changed state of this session."""
        other = Session.from_json(self.user, self.session_id, data)
        for spec in fields(self):
            setattr(self, spec.name, getattr(other, spec.name))


_ITEM_LISTS = ("references", "given", "liked", "disliked", "seen", "named", "shown", "rejected", "slate")


def rows_of(catalogue: Catalogue, ids: Sequence[str]) -> tuple[int, ...]:
    """Rows of those ids that the catalogue still has, in order."""
    return tuple(row for row in catalogue.rows_of(ids) if row is not None)


def take_back(session: Session, item_id: str, polarity: str) -> None:
    """A newer opinion on an item takes the place of an older one."""
    opposite = {"liked": ("disliked", "rejected"), "disliked": ("liked",), "seen": ()}
    for name in opposite.get(polarity, ()):
        ids: list[str] = getattr(session, name)
        if item_id in ids:
            ids.remove(item_id)


def _people_asked_for(conditions: Sequence[Condition], catalogue: Catalogue) -> tuple[tuple[str, ...], str]:
    """Whom the running request asks for, and the field that they are looked for in; ((), "") for nobody."""
    fields = {spec.name for spec in catalogue.schema.people()}
    for condition in reversed(conditions):
        expr = condition.expr
        test = next((part for part in expr.parts if isinstance(part, Test)), None) if isinstance(expr, AnyOf) else expr
        if not condition.negative and isinstance(test, Test) and test.field in fields:
            return tuple(str(value) for value in test.values), test.field
    return (), ""


def add_new(ids: list[str], new: list[str]) -> None:
    """Append what is not there yet, in place, keeping the order."""
    ids.extend(item_id for item_id in dict.fromkeys(new) if item_id not in ids)


def carry_over(old: list[Condition], new: list[Condition], adds: Collection[str] = ()) -> tuple[list[Condition], int]:
    """The conditions of a message that narrows the running request, and how many of them are carried over.

    A new condition replaces an old one on the same slot and of the same sign ("under 90 minutes" after "under two
    hours"); a denial of what was asked for removes it ("no comedies" after "a comedy"). On the slots ``adds`` it comes
    beside the old one: "it should be a romance" after "a comedy" asks for both.
    """
    denied = {c.expr.part for c in new if c.negative and hasattr(c.expr, "part")}
    replaced = {(c.slot, c.negative) for c in new if not c.negative and c.slot not in adds}
    kept = [c for c in old if (c.slot, c.negative) not in replaced and c.expr not in denied and c not in new]
    return [*kept, *new], len(kept)
