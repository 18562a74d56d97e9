"""Several worker processes behind one port: uvicorn's supervisor starts them, and starts those anew that die.

What they share is outside of them: conversations in a file or in PostgreSQL, preferences in a Chroma server, and a
folder of this run for what is worth nothing afterwards (the index of unnamed conversations, metrics).
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from convrec.agent.api import ConversationalAgent
from convrec.core.errors import ConvrecError, RequestError
from convrec.core.settings import Settings
from convrec.serve.http import create_app
from convrec.serve.logs import log_requests
from convrec.serve.metrics import MULTIPROCESS
from convrec.serve.run import KEEP_ALIVE_S, address, check_open, guard_host, listen, say_where, warm
from fastapi import FastAPI
from rich.console import Console
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

log = logging.getLogger(__name__)
HEALTH_S = 30
"""A worker that gives no sign of life for so long is replaced, seconds."""


@dataclass(frozen=True, slots=True)
class WorkerApp:
    """Makes the app inside a worker process. Travels there by pickle: settings and the way to an agent, no agent."""

    open_agent: Callable[[Settings], ConversationalAgent]
    settings: Settings
    shared: Path
    host: str

    def __call__(self) -> FastAPI:
        log_requests(self.settings.server.log_format)
        try:
            agent = self.open_agent(self.settings)
            app = create_app(agent, settings=self.settings, shared=self.shared)
        except ConvrecError as error:
            log.error("the worker cannot start: %s", error)
            sys.exit(STARTUP_FAILURE)  # the supervisor then gives up instead of trying for ever
        guard_host(app, self.host)
        inner = app.router.lifespan_context

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            # Connections go to whichever worker takes them: none must go to one that is still loading.
            await asyncio.to_thread(warm, app.state.api)
            async with inner(app):
                yield
            agent.close()

        app.router.lifespan_context = lifespan
        return app


def check_shared(settings: Settings) -> None:
    """Refuse stores that several processes cannot share.

    Raises:
        RequestError: preferences are in one process's memory or in a folder that one process holds.
    """
    if settings.memory.store == "memory":
        raise RequestError("--workers", "memory.store = memory", "Each worker would have its own. Use a Chroma server")
    if settings.memory.url is None:
        raise RequestError(
            "--workers",
            "memory.url is not set",
            "A Chroma folder belongs to one process. Start a server with `chroma run --path FOLDER --port 8100` and "
            "set CONVREC_MEMORY__URL=http://127.0.0.1:8100",
        )


def run_workers(
    open_agent: Callable[[Settings], ConversationalAgent],
    settings: Settings,
    workers: int,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    allow_remote: bool = False,
    console: Console | None = None,
) -> None:
    """Serve the API by ``workers`` processes until SIGINT or SIGTERM; turns under way are finished first.

    ``open_agent`` must be a function of a module, so that another process can be told of it.

    Raises:
        RequestError: as :func:`convrec.serve.run.run_server`, and for stores that cannot be shared.
    """
    check_shared(settings)
    check_open(host, settings, page=False, allow_remote=allow_remote)
    with listen(host, port) as listening, tempfile.TemporaryDirectory(prefix="convrec-workers-") as folder:
        shared = Path(folder)
        (shared / "metrics").mkdir()
        os.environ[MULTIPROCESS] = str(shared / "metrics")  # read by prometheus-client when a worker imports it
        config = uvicorn.Config(
            WorkerApp(open_agent, settings, shared, host),
            factory=True,
            workers=workers,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=settings.server.shutdown_s,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_worker_healthcheck=HEALTH_S,
        )
        say_where(console or Console(), address(host, listening), page=False)
        try:
            Multiprocess(config, sockets=[listening]).run()
        finally:
            del os.environ[MULTIPROCESS]
