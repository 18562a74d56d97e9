"""What the API answers, typed. Requests are beside their routes."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from convrec.memory.records import Kind, Polarity
from pydantic import BaseModel, ConfigDict, Field

FieldValue = str | int | float | list[str]


class Out(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ErrorDetail(Out):
    message: str = Field(description="what was given, what was expected, what to do")
    type: str
    param: str | None = Field(None, description="the field that is wrong")
    code: str | None = None


class Error(Out):
    """OpenAI's error object."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "error": {
                        "message": "n: got 2. One answer is given per request: send 1 or leave 'n' out",
                        "type": "invalid_request_error",
                        "param": "n",
                        "code": "invalid_value",
                    }
                }
            ]
        }
    )

    error: ErrorDetail


class Recommended(Out):
    """One recommended item."""

    id: str
    title: str
    year: int | None
    reason: str = Field(description="facts of the record, in words")
    score: float = Field(description="higher is better; comparable within one answer only")
    fields: dict[str, Any] = Field(description="the record's fields that are not empty")
    evidence: list[str] = Field(description="the facts behind the reason")


class Asked(Out):
    """The question beside a list."""

    text: str = Field(description="as it stands in the answer")
    field: str = Field(description="of the catalogue")
    options: list[str] = Field(description="answers that are sure to be understood")
    bits: float = Field(description="expected entropy reduction, weighed")


class Proposed(Out):
    """A plan that waits for approval, in words; no tool has run."""

    looking_for: list[str]
    leaving_out: list[str]
    applied: list[str] = Field(description="likes, dislikes and standing instructions that will be used, with reasons")
    not_applied: list[str] = Field(description="what is remembered and will not be used, with reasons")
    steps: list[str] = Field(description="in the order in which they will run")


class ToolUse(Out):
    tool: str
    summary: str
    candidates_in: int
    candidates_out: int
    seconds: float
    ok: bool


class FallbackUse(Out):
    """A part that did not work, and what took over."""

    stage: str
    reason: str
    instead: str


class TurnFacts(Out):
    """What a turn found and how: the field ``convrec`` of a chat completion, and a recommendation's answer."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "id": "tt0353969",
                            "title": "Memories of Murder",
                            "year": 2003,
                            "reason": "A Korean thriller.",
                            "score": 0.91,
                            "fields": {"genres": ["Thriller"], "languages": ["Korean"]},
                            "evidence": ["language: Korean"],
                        }
                    ],
                    "plan": {"action": "recommend", "calls": [{"tool": "filter", "query": ""}]},
                    "planner": "llm+rules",
                    "tools": [
                        {
                            "tool": "filter",
                            "summary": "kept thrillers",
                            "candidates_in": 17472,
                            "candidates_out": 212,
                            "seconds": 0.012,
                            "ok": True,
                        }
                    ],
                    "timings": {"total": 1.2},
                    "llm": {"calls": 1, "prompt_tokens": 812, "generated_tokens": 96},
                    "llm_model": "qwen2.5-coder-1.5b-instruct",
                    "tier": "embedded",
                    "conditions": ["Korean", "thriller", "under 120 minutes"],
                    "relaxed": [],
                    "question": None,
                    "proposal": None,
                    "applied_preferences": ["always: no horror"],
                    "remembered": [],
                    "fallbacks": [],
                    "user": "alice",
                    "conversation_id": "alice-2026-01-31",
                    "turn": 1,
                    "replayed": 0,
                    "ignored": ["temperature"],
                }
            ]
        }
    )

    items: list[Recommended] = Field(description="best first")
    plan: dict[str, Any] = Field(description="the plan that was run")
    planner: str = Field(description='"llm+rules" or "rules"')
    tools: list[ToolUse]
    timings: dict[str, float] = Field(description="seconds by stage")
    llm: dict[str, int] = Field(description="calls, prompt_tokens, generated_tokens")
    llm_model: str
    tier: str
    conditions: list[str] = Field(description="hard conditions in force")
    relaxed: list[str] = Field(description="hard conditions let go because nothing fitted all")
    question: Asked | None = Field(None, description="what was asked beside the list")
    proposal: Proposed | None = Field(None, description="the plan that waits for approval after this turn")
    applied_preferences: list[str]
    remembered: list[str] = Field(description="what was added to the user's preferences")
    fallbacks: list[FallbackUse]
    user: str
    conversation_id: str
    turn: int
    replayed: int = Field(description="earlier messages that were run again first")
    ignored: list[str] = Field(description="what was sent and had no effect")


class ChatAnswer(Out):
    role: Literal["assistant"]
    content: str
    refusal: None = None


class Choice(Out):
    index: int
    message: ChatAnswer
    logprobs: None = None
    finish_reason: Literal["stop"]


class Usage(Out):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatCompletion(Out):
    """OpenAI's chat completion, with the field ``convrec``."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    convrec: TurnFacts


class Model(Out):
    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "convrec"


class ModelList(Out):
    object: Literal["list"] = "list"
    data: list[Model]


class Recommendation(TurnFacts):
    """The answer to one request for recommendations."""

    object: Literal["recommendation"] = "recommendation"
    text: str = Field(description="the same in words")


class BatchEntry(Out):
    """One of a batch: a recommendation, or the error that this request alone would have been answered with."""

    index: int
    status: int
    recommendation: Recommendation | None = None
    error: ErrorDetail | None = None


class RecommendationBatch(Out):
    object: Literal["list"] = "list"
    data: list[BatchEntry]


class ItemRecord(Out):
    id: str
    object: Literal["item"] = "item"
    title: str
    year: int | None = None
    fields: dict[str, FieldValue] = Field(description="the record's fields that are not empty")


class ItemPage(Out):
    object: Literal["list"] = "list"
    total: int = Field(description="items that match")
    offset: int
    data: list[ItemRecord]


class FieldInfo(Out):
    name: str
    type: str = Field(description="text, integer, number or tags")
    role: str
    unit: str


class FieldList(Out):
    object: Literal["list"] = "list"
    catalogue: str
    data: list[FieldInfo]


class SessionSummary(Out):
    id: str
    object: Literal["session"] = "session"
    created: datetime
    updated: datetime


class SessionList(Out):
    object: Literal["list"] = "list"
    user: str
    data: list[SessionSummary]


class SaidTurn(Out):
    user: str
    assistant: str


class SessionRecord(Out):
    id: str
    object: Literal["session"] = "session"
    user: str
    turns: list[SaidTurn] = Field(description="oldest first; the last 50")


class PreferenceRecord(BaseModel):
    """One statement about a user; may hold more fields than are named here."""

    model_config = ConfigDict(extra="allow")

    id: str
    object: Literal["preference"] = "preference"
    user: str
    kind: Kind
    polarity: Polarity
    subject: str
    text: str
    said: str
    confidence: float
    payload: dict[str, Any]
    source_session: str
    source_turn: int
    created: datetime
    superseded_by: str | None


class PreferenceList(Out):
    object: Literal["list"] = "list"
    user: str
    data: list[PreferenceRecord]


class FoundPreference(Out):
    preference: PreferenceRecord
    score: float = Field(description="cosine similarity to the request, -1..1; 1 for what always applies")
    reason: str


class FoundPreferences(Out):
    object: Literal["list"] = "list"
    user: str
    data: list[FoundPreference]


class Imported(Out):
    user: str
    added: int
    unchanged: int = Field(description="already there, word for word")
    skipped: int = Field(description="already there and corrected since")


class ProfileText(Out):
    """What is made of the preferences, as a summary; not kept apart from them: erasing them erases it."""

    user: str
    text: str = Field(description="a sentence per line; empty when there is none yet")
    built: datetime | None


class Deleted(Out):
    id: str
    object: str
    deleted: bool


class DeletedMany(Out):
    user: str
    deleted: int


class UserErased(Out):
    """What was erased about a user."""

    user: str
    preferences: int
    sessions: int


class FeedbackKept(Out):
    user: str
    remembered: str = Field(description="what was remembered, in words")


class Health(Out):
    status: Literal["ok"] = "ok"
    version: str
    tier: str
    model: str
    catalogue: str
    items: int
    note: str
    turns_running: int


class Readiness(Out):
    status: Literal["ready", "starting", "stopping"]
