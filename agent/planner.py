"""Step 3 of a turn, the plan: rules make one that always works; an LLM's draft is merged in, never trusted alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from convrec.agent.budget import PLAN_SHARE, Budget
from convrec.agent.demonstrations import Demonstration
from convrec.agent.llm.base import LLM, Completion, Message
from convrec.agent.plan import Action, Draft, Plan, ToolCall, draft_schema
from convrec.agent.prompting import render, tagged
from convrec.agent.request import Request
from convrec.core.errors import LLMBadOutput
from convrec.core.text import clean
from convrec.tools.catalogue import Catalogue
from convrec.tools.schema import Role
from convrec.tools.understand import Understanding
from pydantic import ValidationError

DRAFT_TOKENS = 160
"""Longest draft; a plan of this length names every slot."""

BEFORE_CHARS = 200
"""How much of the message before is shown."""


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


def read_whole(reading: Understanding) -> bool:
    """Whether the rules explain all that a wish says: then a draft could add next to nothing that the merge would take,
    and the model's time is saved (docs/planning.md has the count).
    """
    explained = reading.conditions or reading.mentions or reading.people or reading.wants_more
    return bool(explained) and not (reading.query or reading.unknown or reading.reference_unclear)


def to_judge(request: Request) -> bool:
    """Whether a rerank has something to go by: a wish of hard conditions alone leaves a model nothing to judge."""
    return bool(request.references or request.query or request.soft)


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

    def draft(
        self, llm: LLM, text: str, budget: Budget, *, before: str = "", examples: Sequence[Demonstration] = ()
    ) -> tuple[Draft, list[Completion]]:
        """One draft for one message, and the calls it took.

        ``before``: the user's message before it, when a request is running. ``examples``: worked examples, shown after
        the fixed part, so that this stays cached.

        Raises:
            LLMError: the backend failed, or two answers in a row were not a draft.
        """
        schema = draft_schema(self.categories)
        messages = self.prefix()
        for example in examples:
            messages += [("user", _asked(example.text, example.before)), ("assistant", example.answer)]
        messages.append(("user", _asked(text, before)))
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


def _asked(text: str, before: str) -> str:
    said = tagged("message", text)
    return f"{tagged('before', before, BEFORE_CHARS)}{said}" if before else said


def _parse(text: str) -> Draft:
    try:
        return Draft.model_validate(json.loads(text))
    except (ValueError, ValidationError) as error:
        raise LLMBadOutput(f"not a plan: {clean(text, 200)}") from error
