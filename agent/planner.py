"""Step 3 of a turn, the plan: rules make one that always works; an LLM's draft is merged in, never trusted alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from convrec.agent.budget import PLAN_SHARE, Budget
from convrec.agent.llm.base import LLM, Completion, Message
from convrec.agent.plan import Action, Draft, Plan, ToolCall, draft_schema
from convrec.agent.prompting import render, tagged
from convrec.agent.request import Request
from convrec.core.errors import LLMBadOutput
from convrec.core.text import clean, fold
from convrec.tools.catalogue import Catalogue
from convrec.tools.lexicon import FUNCTION_WORDS
from convrec.tools.predicates import Condition, Op, Test
from convrec.tools.schema import Role
from convrec.tools.understand import Understanding
from pydantic import ValidationError

DRAFT_TOKENS = 160
"""Longest draft; a plan of this length names every slot."""


def plan_by_rules(reading: Understanding, request: Request, catalogue: Catalogue, *, rerank: bool) -> Plan:
    """The floor: a plan from the rule reading alone."""
    labels = [item.label for item in catalogue.items(request.references)] if request.references else []
    disliked = [item.label for item in catalogue.items(request.disliked)] if request.disliked else []
    action: Action = "chat"
    if reading.act in ("recommend", "lookup", "feedback", "profile", "forget", "why"):
        action = reading.act
    return Plan(
        action=action,
        calls=_calls(action, request, rerank),
        liked=tuple(labels),
        disliked=tuple(disliked),
        conditions=tuple(c.label for c in request.hard),
        preferences=tuple(c.label for c in request.soft),
        query=request.query[:200],
    )


def _calls(action: Action, request: Request, rerank: bool, queries: Sequence[str] = ()) -> tuple[ToolCall, ...]:
    if action == "lookup":
        return (ToolCall(tool="lookup"),)
    if action != "recommend":
        return ()
    calls = [ToolCall(tool="filter")] if request.hard else []
    if request.references:
        calls.append(ToolCall(tool="similar"))
    for query in dict.fromkeys(q for q in (request.query, *queries) if q):
        calls.append(ToolCall(tool="search", query=query[:200]))
    calls.append(ToolCall(tool="rank"))
    if rerank:
        calls.append(ToolCall(tool="rerank"))
    return tuple(calls)


@dataclass(slots=True)
class LLMPlanner:
    """Asks the LLM for a draft under a JSON schema; one repair call when it is not valid."""

    catalogue: Catalogue
    categories: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        spec = self.catalogue.schema.by_role(Role.CATEGORY)
        self.categories = self.catalogue.tags(spec.name).vocabulary if spec else ()

    def prefix(self) -> list[Message]:
        """The fixed part of the prompt, for warming the cache."""
        return [("system", render("planner", self.catalogue.schema))]

    def draft(self, llm: LLM, text: str, budget: Budget) -> tuple[Draft, list[Completion]]:
        """One draft for one message, and the calls it took.

        Raises:
            LLMError: the backend failed, or two answers in a row were not a draft.
        """
        schema = draft_schema(self.categories)
        messages = [*self.prefix(), ("user", tagged("message", text))]
        calls: list[Completion] = []
        try:
            calls.append(
                llm.complete(messages, schema=schema, max_tokens=DRAFT_TOKENS, timeout_s=budget.left(PLAN_SHARE))
            )
            return _parse(calls[0].text), calls
        except LLMBadOutput as problem:
            repair: list[Message] = [
                *messages,
                ("assistant", clean(calls[0].text, 400) if calls else "…"),
                ("user", f"That is not valid: {clean(str(problem), 200)}. Answer again with the JSON object only."),
            ]
            second = llm.complete(repair, schema=schema, max_tokens=DRAFT_TOKENS, timeout_s=budget.left(PLAN_SHARE))
            return _parse(second.text), [*calls, second]


def _parse(text: str) -> Draft:
    try:
        return Draft.model_validate(json.loads(text))
    except (ValueError, ValidationError) as error:
        raise LLMBadOutput(f"not a plan: {clean(text, 200)}") from error


@dataclass(slots=True)
class Merger:
    """Merges a draft into the rule reading.

    Rules keep the last word on numbers, denials, names and what is hard. From the draft come an action where the rules
    saw none; where the rules read no category, categories as preferences for ranking, never as filters; and a mood to
    search for, when at least half of its words are the user's own.
    """

    catalogue: Catalogue

    def merge(
        self, reading: Understanding, request: Request, rules: Plan, draft: Draft, *, rerank: bool
    ) -> tuple[Request, Plan]:
        action = rules.action
        said = set(fold(reading.text).split())
        if reading.act == "other" and draft.action == "recommend" and (draft.mood or draft.genres):
            action = "recommend"
        request = replace(request, conditions=[*request.conditions, *self._wanted(draft, request)])
        mood = self._mood(draft, request, said)
        # A wish of hard conditions alone leaves a model nothing to judge; then its time is better saved.
        soft = bool(request.references or request.query or mood or request.soft or "rerank" in draft.tools)
        calls = _calls(action, request, rerank and soft, [mood] if mood else [])
        plan = rules.model_copy(
            update={
                "action": action,
                "calls": calls,
                "preferences": tuple(c.label for c in request.soft),
                "query": rules.query or mood,
            }
        )
        return request, plan

    def _wanted(self, draft: Draft, request: Request) -> list[Condition]:
        """Categories of the draft that the rules did not read, as preferences for ranking, never as filters."""
        spec = self.catalogue.schema.by_role(Role.CATEGORY)
        if spec is None:
            return []
        known = set(self.catalogue.tags(spec.name).vocabulary)
        taken = {str(v) for c in request.conditions for v in _values(c)}
        denied = set(draft.exclude)
        if any(c.slot == spec.name for c in request.conditions):
            return []
        fresh = [g for g in dict.fromkeys(draft.genres) if g in known and g not in taken and g not in denied]
        return [
            Condition(Test(spec.name, Op.ANY, (g,)), g.lower(), spec.name, source="llm", hard=False) for g in fresh[:2]
        ]

    def _mood(self, draft: Draft, request: Request, said: set[str]) -> str:
        """The draft's mood, when half of its words are the user's own and no condition says it already."""
        words = fold(draft.mood).split()
        conditions = {word for c in request.conditions for word in fold(f"{c.said} {c.label}").split()}
        grounded = sum(word in said for word in words)
        new = [word for word in words if word not in conditions and word not in FUNCTION_WORDS]
        return clean(draft.mood, 80) if new and 2 * grounded >= len(words) else ""


def _values(condition: Condition) -> tuple[object, ...]:
    expr = condition.expr
    inner = getattr(expr, "part", expr)
    return tuple(getattr(inner, "values", ()))
