"""``/healthz``, ``/readyz``, ``/metrics``: for those who run the server."""

from __future__ import annotations

from convrec.core.version import VERSION
from convrec.serve.api import schemas
from convrec.serve.api.answers import ERRORS
from convrec.serve.api.context import Api, caller_with
from convrec.serve.keys import Scope
from convrec.serve.metrics import CONTENT_TYPE
from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse, Response

PROBE = "convrec-readiness"
"""A user nobody is: asking for its sessions and preferences shows that the stores answer."""


def server_routes(api: Api) -> APIRouter:
    """Health, readiness and metrics of ``api``. The first two need no key and tell nothing of any user."""
    router = APIRouter(tags=["server"])
    agent = api.agent

    @router.get("/healthz", summary="Whether the server answers, and with what")
    async def health() -> schemas.Health:
        info = agent.info
        return schemas.Health(
            version=VERSION,
            tier=info.tier,
            model=info.model,
            catalogue=info.catalogue,
            items=info.items,
            note=info.note,
            turns_running=api.pool.running,
        )

    @router.get(
        "/readyz",
        summary="Whether it can take turns: models loaded, stores answer, not going down",
        response_model=schemas.Readiness,
        responses={503: {"model": schemas.Readiness | schemas.Error, "description": "Not now"}},
    )
    async def ready() -> Response:
        if api.pool.draining or not api.ready.is_set():
            return JSONResponse({"status": "stopping" if api.pool.draining else "starting"}, 503)
        await run_in_threadpool(lambda: (agent.sessions.list(PROBE), agent.preferences.list(PROBE)))
        return JSONResponse({"status": "ready"})

    @router.get(
        "/metrics",
        summary="Figures in Prometheus' format",
        response_class=PlainTextResponse,
        dependencies=[caller_with(api, Scope.METRICS)],
        responses={**{s: ERRORS[s] for s in (401, 403, 429)}, 200: {"content": {"text/plain": {}}}},
    )
    async def metrics() -> Response:
        return Response(await run_in_threadpool(api.metrics.text), media_type=CONTENT_TYPE)

    return router
