"""What a caller of the API sees when something is wrong: OpenAI's error object, never a trace."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

from convrec.core.errors import ConvrecError, RequestError
from convrec.serve import openai_api as wire
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

BUG = "an error inside convrec; the server's log has the details"
NO_ADDRESS = "nothing is at this address: the API is under /v1 (a client's base_url ends in it); see /openapi.json"
_KINDS = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}
_CODES = {
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "request_too_large",
    503: "service_unavailable",
    504: "turn_timeout",
}


class SafeJSONResponse(JSONResponse):
    """JSON in ASCII: half a surrogate pair in a text that is sent back is an escape, not an error."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def error_of(error: Exception) -> tuple[int, dict[str, Any]]:
    """(status, OpenAI's error object). RequestError: 400, another ConvrecError: 503, unforeseen: 500, no details."""
    status, param, message, code = 500, None, BUG, "internal_error"
    match error:
        case RequestError():
            status, param, message, code = 400, error.field, str(error), "invalid_value"
        case ConvrecError():
            status, message, code = 503, str(error), _CODES[503]
        case RequestValidationError():
            param, message = _wrong(error.errors()[0])
            status, code = 400, "invalid_value"
        case StarletteHTTPException():
            status, message = error.status_code, str(error.detail)
            if (status, message) == (404, "Not Found"):  # Starlette's own; the routes say what they have not
                message = NO_ADDRESS
            code = (error.headers or {}).get("x-error-code", _CODES.get(status, "invalid_request"))
    kind = _KINDS.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return status, {"message": message, "type": kind, "param": param, "code": code}


def _wrong(first: dict[str, Any]) -> tuple[str | None, str]:
    """(param, message) of pydantic's first error."""
    if first["type"] == "json_invalid":  # its place is a character, no field
        return None, f"The body is no JSON: {first['ctx']['error']}, at character {first['loc'][-1]}"
    if tuple(first["loc"]) == ("body",) and isinstance(first.get("input"), str | bytes):
        return None, "The body was not read as JSON: send a JSON object and the header Content-Type: application/json"
    param = wire.param_name(first["loc"])
    return param, f"{param or 'body'}: {first['msg']}"


def handle_errors(app: FastAPI) -> None:
    """Every error of a request becomes OpenAI's error object."""

    async def answer(request: Request, error: Exception) -> Response:
        status, detail = error_of(error)
        if isinstance(error, ConvrecError) and status >= 500:
            log.error("%s failed: %s", request.method, error)
        headers = {k: v for k, v in (getattr(error, "headers", None) or {}).items() if k != "x-error-code"}
        return SafeJSONResponse({"error": detail}, status, headers)

    # Starlette logs the trace of what nobody foresaw; the caller gets none of it.
    for kind in (ConvrecError, RequestValidationError, StarletteHTTPException, Exception):
        app.add_exception_handler(kind, answer)


class BodyLimit:
    """Answers 413 to a body larger than ``limit`` bytes, announced or not, and 408 to one that does not come within
    ``timeout_s``. For the page's requests too."""

    def __init__(self, app: ASGIApp, *, limit: int, timeout_s: float) -> None:
        self._app, self._limit, self._timeout_s = app, limit, timeout_s
        self._too_large = f"the body is larger than {limit:,} bytes"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self._limit:
            body = wire.error_body(self._too_large, kind="invalid_request_error", code=_CODES[413])
            await SafeJSONResponse(body, 413)(scope, receive, send)
            return
        size, whole = 0, False
        loop = asyncio.get_running_loop()
        end = loop.time() + self._timeout_s

        async def counted() -> Message:
            nonlocal size, whole
            if whole:  # what comes now says that the client has left, whenever that is
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, end - loop.time()))
            except TimeoutError:
                raise HTTPException(408, f"the body did not come within {self._timeout_s:g} s") from None
            size += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if size > self._limit:
                raise HTTPException(413, self._too_large)
            return message

        await self._app(scope, counted, send)
