"""``convrec serve`` and ``convrec app``: from options to a running server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convrec.core.extras import require
from convrec.core.threads import one_thread_each
from convrec.core.version import VERSION
from convrec.serve.logs import log_requests
from convrec.serve.render import opening, plain
from convrec.serve.services import Services
from rich.console import Console

if TYPE_CHECKING:
    from convrec.core.settings import Settings

# The server's libraries are imported when they are known to be there.
# ruff: noqa: PLC0415


def run_several(
    services: Services, settings: Settings, workers: int, *, host: str, port: int, allow_remote: bool
) -> None:
    """Several worker processes, without the page."""
    one_thread_each()
    _require_server()
    from convrec.serve.workers import check_shared, run_workers

    check_shared(settings)
    with services.agent(settings):
        pass  # what is missing is said once, here; a catalogue is prepared once
    run_workers(
        services.open_agent, settings, workers, host=host, port=port, allow_remote=allow_remote, console=Console()
    )


def _require_server(*more: str) -> None:
    for library in ("fastapi", "uvicorn", "limits", "prometheus_client", *more):
        require(library, "app", "The web page" if more else "The HTTP API")


def run_one(
    services: Services,
    settings: Settings,
    *,
    host: str,
    port: int,
    allow_remote: bool,
    page: bool,
    open_browser: bool,
) -> None:
    if not page:  # the page is for one person, who may have to wait for an index to be made
        one_thread_each()
    _require_server(*(("gradio",) if page else ()))
    from convrec.serve.run import run_server

    if not page:  # beside the page, lines of the log would drown what it says on the terminal
        log_requests(settings.server.log_format)
    console = Console()
    with services.agent(settings) as agent:
        for line in opening(agent.info, VERSION):
            plain(console, line)
        run_server(
            agent,
            settings,
            host=host,
            port=port,
            page=page,
            open_browser=open_browser,
            allow_remote=allow_remote,
            console=console,
        )
