"""The HTTP API: OpenAI-compatible chat, recommendations, users' data and the catalogue's items. FastAPI's adapter.

Routes are in ``convrec.serve.api``. The agent's turns block, so they run on a bounded pool of threads; their events are
handed to the event loop as they happen. No recommendation logic here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from convrec.agent.api import ConversationalAgent
from convrec.core.settings import Settings
from convrec.core.version import VERSION
from convrec.serve.api.chat import chat_routes
from convrec.serve.api.context import Api
from convrec.serve.api.conversations import Conversations
from convrec.serve.api.envelope import Envelope
from convrec.serve.api.items import item_routes
from convrec.serve.api.limiting import RateLimiter, parsed
from convrec.serve.api.recommendations import recommendation_routes
from convrec.serve.api.server import server_routes
from convrec.serve.api.users import user_routes
from convrec.serve.http_errors import BodyLimit, SafeJSONResponse, handle_errors
from convrec.serve.keys import KeyRing
from convrec.serve.metrics import Metrics
from convrec.serve.tracing import Tracer
from convrec.serve.turns import TurnPool
from fastapi import FastAPI, HTTPException
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import Response

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def key_ring(settings: Settings) -> KeyRing | None:
    """The keys that callers need, None when none are asked for."""
    ring = KeyRing(settings.keys_path)
    wanted = settings.server.keys == "required" or (settings.server.keys == "auto" and ring.exists)
    return ring if wanted else None


def create_app(
    agent: ConversationalAgent, *, settings: Settings, shared: Path | None = None, tracer: Tracer | None = None
) -> FastAPI:
    """The API over ``agent``. The agent stays the caller's: it is not closed when the app ends.

    Args:
        shared: a folder that the worker processes of one server share.
        tracer: where spans go; None: where the settings say.

    Raises:
        SettingsError: a rate or a storage of rates that is none, or keys that cannot be read.
        MissingExtraError: tracing is set and not installed.
    """
    served = settings.server
    if served.rate_limit:
        parsed(served.rate_limit)
    if tracer is None and served.otlp_endpoint:
        tracer = Tracer(served.otlp_endpoint)
    metrics = Metrics()
    pool = TurnPool(
        agent,
        served.turns_at_once,
        max_waiting=served.max_waiting,
        timeout_s=served.turn_timeout_s,
        observe=metrics.observe,
    )
    metrics.watch_running(lambda: pool.running)
    conversations = Conversations(shared / "conversations.sqlite" if shared else None)
    limiter = RateLimiter(served.rate_storage, failed=metrics.fallbacks.labels("rates").inc)
    api = Api(agent, settings, pool, metrics, conversations, key_ring(settings), limiter, tracer)
    if api.keys is not None:
        api.keys.list()  # a file that cannot be read is found now
    api.ready.set()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        pool.close()
        conversations.close()
        if tracer is not None:
            tracer.close()

    app = FastAPI(
        title="convrec",
        summary="Conversational recommendations, OpenAI-compatible",
        description=f"Recommends {agent.info.item_noun_plural} in conversation. Errors have OpenAI's form.",
        version=VERSION,
        lifespan=lifespan,
        default_response_class=SafeJSONResponse,
        # Swagger's and ReDoc's pages load scripts from the internet; the description itself is at /openapi.json.
        docs_url=None,
        redoc_url=None,
        # Traces are made by `serve.tracing` when the settings ask for them, never because of the environment alone.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.api = api
    app.state.turn_pool = pool  # the page's turns run on it too
    handle_errors(app)
    for routes in (chat_routes, recommendation_routes, item_routes, user_routes, server_routes):
        app.include_router(routes(api))

    @app.api_route("/v1/{path:path}", methods=METHODS, include_in_schema=False)
    async def unknown(path: str) -> Response:
        raise HTTPException(404, f"no address /v1/{path[:100]} with this method; /openapi.json lists all")

    # The last one added is the outermost.
    app.add_middleware(BodyLimit, limit=served.max_body, timeout_s=served.body_timeout_s)
    if served.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(served.cors_origins),
            allow_methods=METHODS,
            allow_headers=["Authorization", "Content-Type", "X-Conversation-Id", "X-Request-ID"],
            expose_headers=["X-Request-ID", "Retry-After"],
        )
    app.add_middleware(Envelope, metrics=metrics, tracer=tracer)
    return app
