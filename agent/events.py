"""What happens in a turn, as it happens. Every surface (terminal, page, API, evaluation) reads these."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Understood:
    """Step 1: what was read from the message."""

    links: tuple[str, ...]
    """Linked items and people, as shown to a user: "Heat (1995)"."""
    conditions: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """Titles not found, ambiguous names, ..."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """Step 2: what memory contributed."""

    applied: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    """Each with the reason."""
    reasons: tuple[str, ...] = ()
    """Why, one for each of ``applied``."""


@dataclass(frozen=True, slots=True)
class Planned:
    """Step 3. ``plan`` is the JSON form of :class:`convrec.agent.plan.Plan`; ``planner`` is "llm+rules" or "rules"."""

    plan: dict[str, Any]
    planner: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class ToolRan:
    """Step 4 to 6: one tool finished."""

    tool: str
    summary: str
    candidates_in: int
    candidates_out: int
    seconds: float
    ok: bool = True


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the reply text, in order. Joined, the tokens are ``TurnResult.text``."""

    text: str


@dataclass(frozen=True, slots=True)
class Fallback:
    """A part did not work and another took over; shown to the user and logged."""

    stage: str
    reason: str
    instead: str


@dataclass(frozen=True, slots=True)
class RecommendedItem:
    """One item of the slate, with its record and a reason that traces to it."""

    id: str
    title: str
    year: int | None
    reason: str
    score: float
    """Fused ranking score, higher is better, comparable within one slate only; a rerank moves items, not scores."""
    fields: dict[str, Any]
    """The record's non-empty fields, JSON-ready."""
    evidence: tuple[str, ...] = ()
    """The facts behind the reason, one per line."""


@dataclass(frozen=True, slots=True)
class Question:
    """What the agent asks beside a list, as data: a surface may show the options as buttons."""

    text: str
    """As it stands in the reply."""
    field: str
    """The field of the catalogue it is about."""
    options: tuple[str, ...]
    """Answers that the agent is sure to understand; others are read as well."""
    bits: float = 0.0
    """Expected entropy reduction over the candidates, weighed by how likely people are to have an answer."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A plan that waits for approval, in plain words. No tool has run; ``TurnResult.plan`` is the same as data."""

    looking_for: tuple[str, ...]
    leaving_out: tuple[str, ...] = ()
    applied: tuple[str, ...] = ()
    """Likes, dislikes and standing instructions that will be used, each with the reason if there is one."""
    not_applied: tuple[str, ...] = ()
    """What is remembered and will not be used, each with the reason."""
    steps: tuple[str, ...] = ()
    """In the order in which they will run."""


@dataclass(frozen=True, slots=True)
class TurnResult:
    """The end of a turn: everything a surface needs, JSON-ready through :meth:`to_json`."""

    session_id: str
    turn: int
    text: str
    items: tuple[RecommendedItem, ...]
    plan: dict[str, Any]
    planner: str
    tier: str
    model: str
    conditions: tuple[str, ...] = ()
    relaxed: tuple[str, ...] = ()
    question: Question | None = None
    """What was asked in this turn, None when nothing was."""
    proposal: Proposal | None = None
    """The plan that waits for a yes after this turn, None when none does."""
    applied_preferences: tuple[str, ...] = ()
    remembered: tuple[str, ...] = ()
    fallbacks: tuple[Fallback, ...] = ()
    tools: tuple[ToolRan, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds by stage; among them, from the start: "first_event", "first_token", "total"."""
    llm: dict[str, int] = field(default_factory=dict)
    """calls; judging_calls (one per candidate and prior of the rerank); prompt_tokens, generated_tokens (of all);
    sentences of the model's remark, sentences_verified."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Finished:
    result: TurnResult


Event: TypeAlias = Understood | Recalled | Planned | ToolRan | Token | Fallback | Finished
