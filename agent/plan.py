"""The plan of a turn: one typed object, whoever made it."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Action = Literal["recommend", "lookup", "chat", "feedback", "profile", "forget", "why"]
ToolName = Literal["lookup", "filter", "similar", "search", "rank", "rerank"]


class ToolCall(BaseModel):
    """One step. Rows and conditions are bound by the executor from the reading; a query is free text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tool: ToolName
    query: str = Field("", max_length=200)


class Plan(BaseModel):
    """What will be done, in order. A tool may appear twice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: Action
    calls: tuple[ToolCall, ...] = ()
    liked: tuple[str, ...] = ()
    """Labels of the items to be similar to."""
    disliked: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    """Hard conditions, in words."""
    preferences: tuple[str, ...] = ()
    """Soft ones."""
    query: str = ""


class Draft(BaseModel):
    """What the LLM is asked for. Every slot is optional but the action, so that a small model can be brief.

    Numbers are not asked for: rules read them, and small models copy those of the examples.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    action: Literal["recommend", "lookup", "chat"]
    liked: tuple[str, ...] = ()
    disliked: tuple[str, ...] = ()
    genres: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    mood: str = ""
    tools: tuple[ToolName, ...] = ()


def draft_schema(categories: tuple[str, ...]) -> dict[str, Any]:
    """JSON schema of :class:`Draft` for constrained decoding; ``categories`` are the catalogue's own values.

    Written out by hand: grammars built from it must be small, and property order is the order of generation.
    """
    name = {"type": "string", "maxLength": 60}
    names = {"type": "array", "items": name, "maxItems": 6}
    kinds = {"type": "array", "items": {"enum": list(categories)}, "maxItems": 4} if categories else names
    return {
        "type": "object",
        "properties": {
            "action": {"enum": ["recommend", "lookup", "chat"]},
            "liked": names,
            "disliked": names,
            "genres": kinds,
            "exclude": kinds,
            "people": names,
            "mood": {"type": "string", "maxLength": 80},
            "tools": {"type": "array", "items": {"enum": list(get_args(ToolName))}, "maxItems": 6},
        },
        "required": ["action"],
        "additionalProperties": False,
    }
