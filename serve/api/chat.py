"""``/v1/chat/completions`` and ``/v1/models``: OpenAI's surface."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from convrec.agent.events import Event, Finished, Token, TurnResult
from convrec.core.errors import ConvrecError
from convrec.serve import openai_api as wire
from convrec.serve.api import schemas
from convrec.serve.api.answers import ERRORS, note_turn, raise_failure, result_of, turn_facts
from convrec.serve.api.context import Api, caller_with
from convrec.serve.api.identity import Caller
from convrec.serve.http_errors import BUG, SafeJSONResponse
from convrec.serve.keys import Scope
from convrec.serve.openai_request import MODEL, ChatRequest, read_turn
from convrec.serve.turns import TurnRun
from fastapi import APIRouter, Header, HTTPException, Request
from fastapi.responses import Response, StreamingResponse

log = logging.getLogger(__name__)


def chat_routes(api: Api) -> APIRouter:
    """Chat and models over ``api``."""
    router = APIRouter(prefix="/v1", tags=["chat"], responses=ERRORS)
    chat_caller = caller_with(api, Scope.CHAT)

    @router.post(
        "/chat/completions",
        response_model=schemas.ChatCompletion,
        summary="One turn of a conversation, in OpenAI's format",
        responses={
            200: {
                "description": "A chat completion, or with `stream` its chunks as server-sent events. The field "
                "`convrec` holds items, plan, tools and timings.",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            }
        },
    )
    async def chat(
        request: Request,
        body: ChatRequest,
        caller: Caller = chat_caller,
        x_conversation_id: Annotated[
            str | None, Header(description="names the conversation, when `metadata.conversation_id` does not")
        ] = None,
    ) -> Response:
        if body.model != MODEL:
            raise _no_model(body.model)
        turn = read_turn(body, header_id=x_conversation_id, max_chars=api.settings.turn.max_message_chars)
        api.admit()
        conversation = api.conversations.resolve(turn, caller.tenant)
        user = caller.stored(conversation.user)
        run = api.pool.start(
            turn.text,
            user,
            conversation.session_id,
            conversation.replay,
            quiet=not turn.stream,
            approval=turn.approval,
        )

        def close(result: TurnResult) -> dict[str, Any]:
            api.conversations.finished(turn, conversation, result.text, caller.tenant)
            return turn_facts(result, user=conversation.user, replayed=run.replayed, ignored=turn.ignored)

        if not turn.stream:
            result = await result_of(api, run, request, turn.text)
            return SafeJSONResponse(wire.completion(result, close(result)))
        # A wrong or impossible request fails before the first event: it gets a status, not a stream.
        first = await run.next(request)
        if first is None:
            raise_failure(api, run)

        def finished(result: TurnResult) -> dict[str, Any]:
            note_turn(api, result, request, turn.text)
            return close(result)

        writer = wire.ChunkWriter(include_usage=turn.include_usage)
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        events = _stream(api, run, request, first, writer, finished)
        return StreamingResponse(events, media_type="text/event-stream", headers=headers)

    @router.get("/models", summary="The one model: the agent")
    async def models(caller: Caller = chat_caller) -> schemas.ModelList:
        return schemas.ModelList(data=[schemas.Model(id=MODEL)])

    @router.get("/models/{model}", summary="One model")
    async def one_model(model: str, caller: Caller = chat_caller) -> schemas.Model:
        if model != MODEL:
            raise _no_model(model)
        return schemas.Model(id=MODEL)

    return router


def _no_model(name: str) -> HTTPException:
    message = f"The model {name[:100]!r} does not exist; this server has {MODEL!r}"
    return HTTPException(404, message, {"x-error-code": "model_not_found"})


async def _stream(
    api: Api,
    run: TurnRun,
    request: Request,
    first: Event | None,
    writer: wire.ChunkWriter,
    finished: Callable[[TurnResult], dict[str, Any]],
) -> AsyncIterator[str]:
    try:
        yield writer.role()
        event, whole = first, False
        while event is not None:
            if isinstance(event, Token):
                yield writer.delta(event.text)
            elif isinstance(event, Finished):
                whole = True
                yield writer.last(event.result, finished(event.result))
            event = await run.next(request)
        failure = run.failure()
        if failure is not None or not whole:
            api.metrics.errors.labels("turn").inc()
            known = failure is None or isinstance(failure, ConvrecError)
            if not known:
                log.error("a turn failed", exc_info=failure)
            stopped = "the turn took too long and was stopped" if run.timed_out else "the turn was stopped"
            message = BUG if not known else str(failure or stopped)
            yield wire.sse(wire.error_body(message, kind="server_error", code="turn_failed"))
        yield wire.DONE
    finally:
        run.stop()
