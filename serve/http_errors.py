"""What a caller of the API sees when something is wrong: OpenAI's error object, never a trace."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from convrec.core.errors import ConvrecError, RequestError
from convrec.serve import openai_api as wire
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

MAX_BODY = 1 << 20
"""Largest request body, bytes."""
BUG = "an error inside convrec; the server's log has the details"
_KINDS = {400: "invalid_request_error", 404: "invalid_request_error", 429: "rate_limit_error"}
_CODES = {404: "not_found", 405: "method_not_allowed", 413: "request_too_large", 503: "service_unavailable"}
_TOO_LARGE = "the body is larger than 1 MB"


def handle_errors(app: FastAPI) -> None:
    """RequestError: 400, another ConvrecError: 503, anything unforeseen: 500 without details."""
    Handler = Callable[[Request, Any], Awaitable[Response]]

    async def request_error(_: Request, error: RequestError) -> Response:
        body = wire.error_body(str(error), kind="invalid_request_error", param=error.field, code="invalid_value")
        return JSONResponse(body, 400)

    async def convrec_error(request: Request, error: ConvrecError) -> Response:
        log.error("%s %s: %s", request.method, request.url.path, error)
        return JSONResponse(wire.error_body(str(error), kind="server_error", code=_CODES[503]), 503)

    async def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        param = wire.param_name(first["loc"])
        message = f"{param or 'body'}: {first['msg']}"
        body = wire.error_body(message, kind="invalid_request_error", param=param, code="invalid_value")
        return JSONResponse(body, 400)

    async def http_error(_: Request, error: StarletteHTTPException) -> Response:
        status = error.status_code
        kind = _KINDS.get(status, "server_error" if status >= 500 else "invalid_request_error")
        headers = dict(error.headers or {})
        code = headers.pop("x-error-code", _CODES.get(status))
        return JSONResponse(wire.error_body(str(error.detail), kind=kind, code=code), status, headers)

    async def bug(_: Request, error: Exception) -> Response:
        # The server logs the trace; the caller gets none of it.
        return JSONResponse(wire.error_body(BUG, kind="server_error", code="internal_error"), 500)

    handlers: tuple[tuple[type[Exception], Handler], ...] = (
        (RequestError, request_error),
        (ConvrecError, convrec_error),
        (RequestValidationError, invalid),
        (StarletteHTTPException, http_error),
        (Exception, bug),
    )
    for kind, handler in handlers:
        app.add_exception_handler(kind, handler)


class BodyLimit:
    """Answers 413 to a body larger than :data:`MAX_BODY`, announced or not. For the page's requests too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > MAX_BODY:
            body = wire.error_body(_TOO_LARGE, kind="invalid_request_error", code=_CODES[413])
            await JSONResponse(body, 413)(scope, receive, send)
            return
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > MAX_BODY:
                raise HTTPException(413, _TOO_LARGE)
            return message

        await self._app(scope, counted, send)
