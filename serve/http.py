"""The HTTP API: OpenAI-compatible chat, users' preferences and the catalogue's items as data. FastAPI's adapter.

The agent's turns block, so they run on a bounded pool of threads; their events are handed to the event loop as they
happen. No recommendation logic here.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import Enum
from typing import Annotated, Any, NoReturn

from convrec.agent.api import ConversationalAgent
from convrec.agent.events import Event, Finished, Token, TurnResult
from convrec.core.errors import ConvrecError, RequestError
from convrec.core.settings import Settings
from convrec.core.version import VERSION
from convrec.memory.records import Polarity, Preference
from convrec.serve import openai_api as wire
from convrec.serve.http_errors import BUG, BodyLimit, handle_errors
from convrec.serve.turns import TurnPool, TurnRun
from fastapi import FastAPI, Header, HTTPException, Path, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

log = logging.getLogger(__name__)

_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "The request is wrong; `error.param` names the field"},
    404: {"description": "No such model, item or preference"},
    413: {"description": "The body is larger than 1 MB"},
    503: {
        "description": "A part the answer needs does not work, or too many turns are waiting; the message says which"
    },
}

UserId = Annotated[str, Path(description="the user's id, as given in `user` of the chat", min_length=1, max_length=200)]
PreferenceId = Annotated[str, Path(description="the preference's `id`", min_length=1, max_length=200)]


class PreferenceChange(BaseModel):
    """What to correct in a preference; what is left out stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"text": "no horror after 9 pm"}]})

    text: str | None = Field(None, min_length=1, max_length=500)
    polarity: Polarity | None = None


def create_app(agent: ConversationalAgent, *, settings: Settings) -> FastAPI:
    """The API over ``agent``. The agent stays the caller's: it is not closed when the app ends."""
    pool = TurnPool(agent)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        pool.close()

    app = FastAPI(
        title="convrec",
        summary="Conversational recommendations, OpenAI-compatible",
        description=f"Recommends {agent.info.item_noun_plural} in conversation. Errors have OpenAI's form.",
        version=VERSION,
        lifespan=lifespan,
        # Swagger's and ReDoc's pages load scripts from the internet; the description itself is at /openapi.json.
        docs_url=None,
        redoc_url=None,
    )
    app.state.turn_pool = pool  # the page's turns run on it too
    app.add_middleware(BodyLimit)
    handle_errors(app)
    _add_chat(app, agent, pool, settings)
    _add_preferences(app, agent)
    _add_catalogue(app, agent)

    @app.api_route("/v1/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
    def unknown(path: str) -> Response:
        raise HTTPException(404, f"no address /v1/{path[:100]} with this method; /openapi.json lists all")

    return app


def _add_chat(app: FastAPI, agent: ConversationalAgent, pool: TurnPool, settings: Settings) -> None:
    conversations = wire.Conversations()

    @app.post(
        "/v1/chat/completions",
        tags=["chat"],
        response_class=JSONResponse,
        summary="One turn of a conversation, in OpenAI's format",
        responses={
            **_ERRORS,
            200: {
                "description": "A chat completion, or with `stream` its chunks as server-sent events. The field "
                "`convrec` holds items, plan, tools and timings.",
                "content": {"application/json": {"example": EXAMPLE}, "text/event-stream": {}},
            },
        },
    )
    async def chat(
        request: Request,
        body: wire.ChatRequest,
        x_conversation_id: Annotated[
            str | None, Header(description="names the conversation, when `metadata.conversation_id` does not")
        ] = None,
    ) -> Response:
        if body.model != wire.MODEL:
            message = f"The model {body.model[:100]!r} does not exist; this server has {wire.MODEL!r}"
            raise HTTPException(404, message, {"x-error-code": "model_not_found"})
        turn = wire.read_turn(body, header_id=x_conversation_id, max_chars=settings.turn.max_message_chars)
        conversation = conversations.resolve(turn)
        if pool.full:
            message = f"{pool.running} turns are running or waiting, the most this server takes. Try again later"
            raise HTTPException(503, message, {"Retry-After": "2"})
        run = pool.start(turn.text, conversation.user, conversation.session_id, conversation.replay)

        def close(result: TurnResult) -> dict[str, Any]:
            conversations.finished(turn, conversation, result.text)
            return wire.extension(result, turn, conversation, run.replayed)

        if not turn.stream:
            result = await _result(run, request)
            return JSONResponse(wire.completion(result, close(result)))
        # A wrong or impossible request fails before the first event: it gets a status, not a stream.
        first = await run.next(request)
        if first is None:
            _raise_failure(run)
        writer = wire.ChunkWriter(include_usage=turn.include_usage)
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return StreamingResponse(
            _stream(run, request, first, writer, close), media_type="text/event-stream", headers=headers
        )

    @app.get("/v1/models", tags=["chat"], summary="The one model: the agent")
    def models() -> dict[str, Any]:
        return {"object": "list", "data": [_model()]}

    @app.get("/v1/models/{model}", tags=["chat"], summary="One model", responses=_ERRORS)
    def one_model(model: str) -> dict[str, Any]:
        if model != wire.MODEL:
            raise HTTPException(404, f"The model {model[:100]!r} does not exist", {"x-error-code": "model_not_found"})
        return _model()

    @app.get("/healthz", tags=["server"], summary="Whether the server answers, and with what")
    def health() -> dict[str, Any]:
        info = agent.info
        return {
            "status": "ok",
            "version": VERSION,
            "tier": info.tier,
            "model": info.model,
            "catalogue": info.catalogue,
            "items": info.items,
            "note": info.note,
            "turns_running": pool.running,
        }


def _model() -> dict[str, Any]:
    return {"id": wire.MODEL, "object": "model", "created": 0, "owned_by": "convrec"}


async def _result(run: TurnRun, request: Request) -> TurnResult:
    """The end of a turn."""
    try:
        while (event := await run.next(request)) is not None:
            if isinstance(event, Finished):
                return event.result
    finally:
        run.stop()
    _raise_failure(run)


def _raise_failure(run: TurnRun) -> NoReturn:
    """Of a turn that ended without a result."""
    failure = run.failure()
    if failure is None:  # the client left, or the server is going down
        raise HTTPException(503, "the turn was stopped")
    if isinstance(failure, ConvrecError):
        raise failure
    log.error("a turn failed", exc_info=failure)
    raise HTTPException(500, BUG, {"x-error-code": "internal_error"})


async def _stream(
    run: TurnRun,
    request: Request,
    first: Event | None,
    writer: wire.ChunkWriter,
    close: Callable[[TurnResult], dict[str, Any]],
) -> AsyncIterator[str]:
    try:
        yield writer.role()
        event = first
        while event is not None:
            if isinstance(event, Token):
                yield writer.delta(event.text)
            elif isinstance(event, Finished):
                yield writer.last(event.result, close(event.result))
            event = await run.next(request)
        if (failure := run.failure()) is not None:
            known = isinstance(failure, ConvrecError)
            if not known:
                log.error("a turn failed", exc_info=failure)
            message = str(failure) if known else BUG
            yield wire.sse(wire.error_body(message, kind="server_error", code="turn_failed"))
        yield wire.DONE
    finally:
        run.stop()


def _add_preferences(app: FastAPI, agent: ConversationalAgent) -> None:
    tags: list[str | Enum] = ["preferences"]

    @app.get("/v1/users/{user}/preferences", tags=tags, summary="What is believed about a user", responses=_ERRORS)
    def all_preferences(user: UserId) -> dict[str, Any]:
        found = agent.preferences.list(wire.check_id("user", user))
        return {"object": "list", "user": user, "data": [_preference(preference) for preference in found]}

    @app.get(
        "/v1/users/{user}/preferences/export",
        tags=tags,
        summary="All that is stored about a user, as a file",
        responses=_ERRORS,
    )
    def export(user: UserId) -> JSONResponse:
        data = agent.preferences.export(wire.check_id("user", user))
        return JSONResponse(data, headers={"Content-Disposition": 'attachment; filename="convrec-preferences.json"'})

    @app.patch("/v1/users/{user}/preferences/{preference}", tags=tags, summary="Correct one", responses=_ERRORS)
    def change(user: UserId, preference: PreferenceId, body: PreferenceChange) -> dict[str, Any]:
        if body.text is None and body.polarity is None:
            raise RequestError("body", {}, "Send 'text', 'polarity' or both")
        _one(agent, user, preference)
        return _preference(agent.preferences.edit(user, preference, text=body.text, polarity=body.polarity))

    @app.delete("/v1/users/{user}/preferences/{preference}", tags=tags, summary="Forget one", responses=_ERRORS)
    def forget(user: UserId, preference: PreferenceId) -> dict[str, Any]:
        _one(agent, user, preference)
        agent.preferences.forget(user, preference)
        return {"id": preference, "object": "preference", "deleted": True}

    @app.delete("/v1/users/{user}/preferences", tags=tags, summary="Forget all", responses=_ERRORS)
    def forget_all(user: UserId) -> dict[str, Any]:
        return {"user": user, "deleted": agent.preferences.forget_all(wire.check_id("user", user))}


def _one(agent: ConversationalAgent, user: str, preference: str) -> None:
    try:
        agent.preferences.get(wire.check_id("user", user), preference)
    except RequestError as error:
        if error.field != "preference":
            raise
        raise HTTPException(404, str(error)) from error


def _preference(preference: Preference) -> dict[str, Any]:
    return preference.model_dump(mode="json")


def _add_catalogue(app: FastAPI, agent: ConversationalAgent) -> None:
    @app.get("/v1/items/{item_id:path}", tags=["items"], summary="One item's record", responses=_ERRORS)
    def item(item_id: Annotated[str, Path(description="the item's id", max_length=500)]) -> dict[str, Any]:
        row = agent.catalogue.row_of(item_id)
        if row is None:
            raise HTTPException(404, f"no item {item_id[:100]!r} in the catalogue {agent.info.catalogue!r}")
        found = agent.catalogue.item(row)
        fields = {name: value for name, value in found.fields.items() if value not in (None, ())}
        return {"id": found.id, "object": "item", "title": found.title, "fields": fields}


EXAMPLE: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1769817600,
    "model": wire.MODEL,
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Two fit. Memories of Murder (2003) ..."},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 812, "completion_tokens": 96, "total_tokens": 908},
    "convrec": {
        "items": [
            {
                "id": "Q484020",
                "title": "Memories of Murder",
                "year": 2003,
                "reason": "A Korean thriller.",
                "score": 0.91,
                "fields": {"genres": ["thriller"], "languages": ["Korean"]},
                "evidence": ["language: Korean"],
            }
        ],
        "planner": "llm+rules",
        "tier": "embedded",
        "conditions": ["Korean", "thriller", "under 120 minutes"],
        "conversation_id": "alice-2026-01-31",
        "user": "alice",
    },
}
