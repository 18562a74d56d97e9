"""``/v1/recommendations``: one request, one list, no conversation to keep."""

from __future__ import annotations

import asyncio
from typing import Annotated
from uuid import uuid4

from convrec.agent.session import Session
from convrec.core.errors import ConvrecError, RequestError
from convrec.serve.api import schemas
from convrec.serve.api.answers import ERRORS, result_of, turn_facts
from convrec.serve.api.constraints import Constraint, conditions
from convrec.serve.api.context import Api, caller_with
from convrec.serve.api.conversations import MAX_REPLAY
from convrec.serve.api.identity import Caller, WholeText, anonymous, check_user
from convrec.serve.api.items import checked_items
from convrec.serve.http_errors import error_of
from convrec.serve.keys import Scope
from convrec.serve.turns import TurnRun
from convrec.tools.predicates import Condition
from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

MAX_BATCH = 32
MAX_IDS = 200
Id = Annotated[WholeText, Field(min_length=1, max_length=500)]
Ids = list[Id]


class Said(BaseModel):
    """An earlier message."""

    model_config = ConfigDict(extra="forbid")

    role: str = Field(pattern="^(user|assistant)$")
    content: WholeText = Field(max_length=20_000)


class RecommendationRequest(BaseModel):
    """What is wanted: words, items liked and disliked, typed conditions; at least one of them."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "text": "a tense thriller",
                    "liked": ["tt0113277"],
                    "constraints": [{"field": "year", "op": "ge", "values": [1990]}],
                    "limit": 3,
                }
            ]
        },
    )

    text: WholeText = Field("", description="what is wanted, in words; empty: by the rest alone")
    history: list[Said] = Field(default_factory=list, max_length=100, description="earlier messages, oldest first")
    liked: Ids = Field(default_factory=list, max_length=MAX_IDS, description="ids of items to go by; not recommended")
    disliked: Ids = Field(default_factory=list, max_length=MAX_IDS, description="ids of items to keep away from")
    exclude: Ids = Field(default_factory=list, max_length=MAX_IDS, description="ids not to recommend, as seen ones")
    constraints: list[Constraint] = Field(default_factory=list, max_length=20, description="hard; never relaxed")
    user: str | None = Field(None, description="whose preferences are used; none: nobody's")
    limit: int | None = Field(None, ge=1, le=20, description="items at most; none: the server's setting")


class RecommendationBatchRequest(BaseModel):
    """Several requests, answered in order; one that is wrong does not spoil the others."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"requests": [{"text": "a comedy"}, {"liked": ["tt0113277"]}]}]}
    )

    requests: list[RecommendationRequest] = Field(min_length=1, max_length=MAX_BATCH)


def recommendation_routes(api: Api) -> APIRouter:
    """One-shot recommendations by the agent of ``api``."""
    router = APIRouter(prefix="/v1", tags=["recommendations"], responses=ERRORS)
    chat_caller = caller_with(api, Scope.CHAT)

    @router.post("/recommendations", summary="Recommendations for one request")
    async def one(
        request: Request, body: RecommendationRequest, caller: Caller = chat_caller
    ) -> schemas.Recommendation:
        api.admit()
        return await _recommend(api, request, body, caller)

    @router.post("/recommendations/batch", summary=f"Recommendations for up to {MAX_BATCH} requests")
    async def many(
        request: Request, body: RecommendationBatchRequest, caller: Caller = chat_caller
    ) -> schemas.RecommendationBatch:
        api.admit()
        places = asyncio.Semaphore(max(1, api.pool.workers // 2))  # a batch leaves room for others

        async def entry(index: int, wanted: RecommendationRequest) -> schemas.BatchEntry:
            async with places:
                try:
                    api.admit()
                    found = await _recommend(api, request, wanted, caller)
                except (ConvrecError, HTTPException) as error:
                    status, detail = error_of(error)
                    return schemas.BatchEntry(index=index, status=status, error=schemas.ErrorDetail(**detail))
            return schemas.BatchEntry(index=index, status=200, recommendation=found)

        entries = [entry(index, wanted) for index, wanted in enumerate(body.requests)]
        return schemas.RecommendationBatch(data=await asyncio.gather(*entries))

    return router


async def _recommend(api: Api, request: Request, body: RecommendationRequest, caller: Caller) -> schemas.Recommendation:
    session_id = f"once-{uuid4().hex}"
    public = check_user(body.user) if body.user is not None else anonymous(session_id)
    user = caller.stored(public)
    text = _text(api, body)

    def work(run: TurnRun) -> None:
        agent = api.agent
        catalogue = agent.catalogue
        # Wrong ids and conditions are found before anything is run.
        liked = checked_items(catalogue, body.liked, "liked")
        disliked = checked_items(catalogue, body.disliked, "disliked")
        excluded = checked_items(catalogue, body.exclude, "exclude")
        hard = conditions(body.constraints, catalogue)
        try:
            said = [message.content for message in body.history if message.role == "user" and message.content.strip()]
            # A program's one request and one answer: there is nobody who could approve a plan in between.
            api.pool.replay(run, said[-MAX_REPLAY:], user, session_id, "off")
            state = agent.sessions.load(user, session_id)
            session = Session.from_json(user, session_id, state) if state else Session(user, session_id)
            session.wanted = body.limit or 0
            _give(session, liked, disliked, excluded, hard)
            agent.sessions.save(user, session_id, session.to_json())
            if not run.stopped:
                api.pool.turn(run, text, user, session_id, "off")
        finally:
            agent.reset(user=user, session_id=session_id)
            if body.user is None:
                agent.preferences.forget_all(user)

    run = api.pool.submit(work, user, quiet=True)
    result = await result_of(api, run, request, text)
    facts = turn_facts(result, user=public, replayed=run.replayed)
    facts["items"] = facts["items"][: body.limit]  # "five of them", said in the text, may ask for more
    return schemas.Recommendation(text=result.text, **facts)


def _text(api: Api, body: RecommendationRequest) -> str:
    text = body.text.strip()
    limit = api.settings.turn.max_message_chars
    if len(text) > limit:
        raise RequestError("text", f"{len(text)} characters", f"At most {limit} characters are read")
    for index, message in enumerate(body.history):
        if message.role == "user" and len(message.content) > limit:
            shown = f"{len(message.content)} characters"
            raise RequestError(f"history[{index}].content", shown, f"At most {limit} characters are read")
    if text:
        return text
    if not (body.liked or body.disliked or body.constraints or body.user or body.history):
        raise RequestError("text", body.text, "Say what is wanted, or give liked, disliked, constraints or a user")
    return f"recommend {body.limit or api.settings.turn.slate_size} {api.agent.info.item_noun_plural}"


def _give(session: Session, liked: list[str], disliked: list[str], excluded: list[str], hard: list[Condition]) -> None:
    session.given = liked
    session.disliked = list(dict.fromkeys([*session.disliked, *disliked]))
    session.seen = list(dict.fromkeys([*session.seen, *excluded]))
    session.conditions = [*session.conditions, *(c for c in hard if c not in session.conditions)]
