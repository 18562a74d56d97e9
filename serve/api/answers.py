"""What all routes say of their errors, and a turn's result as data."""

from __future__ import annotations

import logging
import time
from dataclasses import fields as fields_of
from typing import Any, NoReturn

from convrec.agent.events import Finished, TurnResult
from convrec.core.errors import ConvrecError
from convrec.serve.api.context import Api
from convrec.serve.api.schemas import Error
from convrec.serve.http_errors import BUG
from convrec.serve.logs import REQUEST_LOG, fields
from convrec.serve.turns import TurnRun
from fastapi import HTTPException, Request

log = logging.getLogger(REQUEST_LOG)

_SAID = {
    400: "The request is wrong; `error.param` names the field",
    401: "No valid key",
    403: "The key lacks the scope",
    404: "No such address, model, item, session or preference",
    405: "The address has no such method",
    408: "The body did not come in time",
    413: "The body is too large",
    429: "Above the key's rate, or too many turns are waiting: see `Retry-After`",
    500: "A bug; the server's log has the details",
    503: "A part the answer needs does not work, the message says which; or the server is going down",
    504: "The turn took too long and was stopped",
}
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": Error, "description": said} for status, said in _SAID.items()
}
_KEPT = "plan planner tier conditions relaxed applied_preferences remembered timings llm".split()  # noqa: SIM905


def turn_facts(result: TurnResult, *, user: str, replayed: int, ignored: tuple[str, ...] = ()) -> dict[str, Any]:
    """:class:`convrec.serve.api.schemas.TurnFacts` as JSON. ``user`` is the id as the caller knows it."""
    return {
        **{name: getattr(result, name) for name in _KEPT},
        **{name: [_flat(part) for part in getattr(result, name)] for name in ("items", "tools", "fallbacks")},
        "question": None if result.question is None else _flat(result.question),
        "proposal": None if result.proposal is None else _flat(result.proposal),
        "llm_model": result.model,
        "user": user,
        "conversation_id": result.session_id,
        "turn": result.turn,
        "replayed": replayed,
        "ignored": list(ignored),
    }


def _flat(part: Any) -> dict[str, Any]:
    """A dataclass as a dictionary, its values shared: ``asdict`` copies every list of every record, which took longer
    than all else that HTTP adds to a turn."""
    return {field.name: getattr(part, field.name) for field in fields_of(part)}


async def result_of(api: Api, run: TurnRun, request: Request, said: str) -> TurnResult:
    """Wait for the end of a turn.

    Raises:
        ConvrecError: what the turn failed with.
        HTTPException: it took too long, was stopped, or failed for a reason nobody foresaw.
    """
    try:
        while (event := await run.next(request)) is not None:
            if isinstance(event, Finished):
                note_turn(api, event.result, request, said)
                return event.result
    finally:
        run.stop()
    raise_failure(api, run)


def raise_failure(api: Api, run: TurnRun) -> NoReturn:
    """Of a turn that ended without a result."""
    failure = run.failure()
    api.metrics.errors.labels("turn").inc()
    if run.timed_out:
        raise HTTPException(504, f"the turn took longer than {api.settings.server.turn_timeout_s:g} s and was stopped")
    if failure is None:  # the client left, or the server is going down
        raise HTTPException(503, "the turn was stopped")
    if isinstance(failure, ConvrecError):
        raise failure
    log.error("a turn failed", exc_info=failure)
    raise HTTPException(500, BUG, {"x-error-code": "internal_error"})


def note_turn(api: Api, result: TurnResult, request: Request, said: str) -> None:
    """A finished turn in the log line of its request and in the traces. Words only where the settings ask for them."""
    request.state.turn = {
        "number": result.turn,
        "seconds": result.timings.get("total"),
        "planner": result.planner,
        "items": len(result.items),
        "llm_calls": result.llm.get("calls", 0),
        "fallbacks": [fallback.stage for fallback in result.fallbacks],
    }
    if api.settings.server.log_text:
        log.info("said", extra=fields(text=said))
    if api.tracer is not None:
        api.tracer.turn(result, time.time_ns())
