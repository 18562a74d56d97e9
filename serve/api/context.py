"""What every route works with, and who may call it."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

from convrec.agent.api import ConversationalAgent
from convrec.core.settings import Settings
from convrec.serve.api.conversations import Conversations
from convrec.serve.api.identity import Caller
from convrec.serve.api.limiting import RateLimiter
from convrec.serve.keys import KeyRing, Scope
from convrec.serve.metrics import Metrics
from convrec.serve.tracing import Tracer
from convrec.serve.turns import TurnPool
from fastapi import HTTPException, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

BUSY_RETRY_S = 2
"""What a caller is told to wait when all places are taken, seconds."""


@dataclass(slots=True)
class Api:
    """The parts of one server. No state of a user."""

    agent: ConversationalAgent
    settings: Settings
    pool: TurnPool
    metrics: Metrics
    conversations: Conversations
    keys: KeyRing | None
    """None: no key is asked for."""
    limiter: RateLimiter
    tracer: Tracer | None = None
    ready: threading.Event = field(default_factory=threading.Event)
    """Set when models and caches are loaded."""

    def admit(self) -> None:
        """Refuse a turn when there is no place for it: a clear answer now instead of a time-out later."""
        if self.pool.draining:
            raise HTTPException(
                503, "the server is going down", {"Retry-After": str(BUSY_RETRY_S), "Connection": "close"}
            )
        if self.pool.full:
            self.metrics.refused.labels("busy").inc()
            message = f"{self.pool.running} turns are running or waiting, the most this server takes. Try again later"
            raise HTTPException(429, message, {"Retry-After": str(BUSY_RETRY_S), "x-error-code": "server_busy"})


_bearer = HTTPBearer(auto_error=False, description="A key made by `convrec keys create`; no matter if none are in use")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
Authorise = Callable[[Request, HTTPAuthorizationCredentials | None], Awaitable[Caller]]


def caller_with(api: Api, scope: Scope) -> Any:
    """The dependency of a route: the caller, who has a key with ``scope`` if the server asks for keys.

    Raises (in the route): 401 without a valid key, 403 without the scope, 429 above the key's rate.
    """

    async def authorise(request: Request, credentials: Credentials = None) -> Caller:
        if api.keys is None:
            return Caller()
        key = api.keys.find(credentials.credentials) if credentials is not None else None
        if key is None:
            headers = {"WWW-Authenticate": "Bearer", "x-error-code": "invalid_api_key"}
            raise HTTPException(401, "Send a valid key: Authorization: Bearer convrec_...", headers)
        request.state.tenant, request.state.key_id = key.tenant, key.id
        if not key.may(scope):
            raise HTTPException(
                403, f"This key lacks the scope {scope.value!r}", {"x-error-code": "insufficient_scope"}
            )
        rate = key.rate if key.rate is not None else api.settings.server.rate_limit
        wait_s = await api.limiter.take(key.id, rate)
        if wait_s is not None:
            api.metrics.refused.labels("rate").inc()
            headers = {"Retry-After": str(wait_s), "x-error-code": "rate_limit_exceeded"}
            raise HTTPException(429, f"This key may send {rate}; try again in {wait_s} s", headers)
        return Caller.of(key)

    return Security(authorise)
