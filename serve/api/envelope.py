"""Around every request: its id, its line in the log, its place in metrics and traces. Plain ASGI, so streams stream."""

from __future__ import annotations

import logging
import time
from contextlib import nullcontext
from typing import Any

from convrec.serve.logs import REQUEST_LOG, fields, new_request_id, request_id
from convrec.serve.metrics import Metrics
from convrec.serve.tracing import Tracer
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(REQUEST_LOG)

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked every few seconds by machines: counted, not logged."""


class Envelope:
    """``X-Request-ID`` in and out; one log line per request with method, route (not the address, which holds ids),
    status, seconds, tenant and key."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, tracer: Tracer | None) -> None:
        self._app, self._metrics, self._tracer = app, metrics, tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        own_id = new_request_id(headers.get("x-request-id"))
        token = request_id.set(own_id)
        state = scope.setdefault("state", {})
        method = scope["method"] if scope["method"] in _METHODS else "other"
        status = 0
        began = time.perf_counter()

        async def with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message["headers"], (b"x-request-id", own_id.encode())]}
            await send(message)

        span: Any = nullcontext() if self._tracer is None else self._tracer.request(method, headers)
        try:
            with span as current:
                try:
                    await self._app(scope, receive, with_id)
                finally:
                    route = _route(scope)
                    if current is not None:
                        current.update_name(f"{method} {route}")
                        current.set_attributes({"http.request.method": method, "http.route": route})
                        current.set_attribute("http.response.status_code", status)
        finally:
            seconds = time.perf_counter() - began
            shown = str(status or 499)  # nginx's "the client left first"
            self._metrics.requests.labels(method, route, shown).inc()
            self._metrics.request_seconds.labels(route).observe(seconds)
            if status >= 500:
                self._metrics.errors.labels("http").inc()
            if route not in _QUIET:
                more = {name: state[name] for name in ("tenant", "key_id", "turn") if name in state}
                said = fields(method=method, route=route, status=int(shown), seconds=round(seconds, 4), **more)
                log.info("request", extra=said)
            request_id.reset(token)


def _route(scope: Scope) -> str:
    """The template of the address, as "/v1/users/{user}/preferences"; a bounded set, and no user's id in it."""
    route = scope.get("route")
    path = getattr(route, "path", None)
    return path if isinstance(path, str) and path else "other"
