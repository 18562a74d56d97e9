"""``convrec mcp``: from options to a running MCP server."""

from __future__ import annotations

import threading

from convrec.core.errors import RequestError
from convrec.core.extras import require
from convrec.core.settings import Settings
from convrec.core.threads import one_thread_each
from convrec.serve.api.identity import check_user
from convrec.serve.logs import log_requests
from convrec.serve.services import Services
from rich.console import Console

# The SDK and the server's libraries are imported when they are known to be there.
# ruff: noqa: PLC0415


def run_mcp(
    services: Services, settings: Settings, *, http: bool, user: str | None, host: str, port: int, allow_remote: bool
) -> None:
    """Serve over standard input and output, or over HTTP beside the API, until the client or a signal ends it.

    Over standard input and output whoever starts the process is the one user, and no key is asked for: that person can
    read the files anyway. Standard output is the protocol's; everything else goes to standard error.

    Raises:
        RequestError: a bad user; over HTTP as :func:`convrec.serve.run.run_server`.
    """
    if http:
        one_thread_each()
    for library in ("mcp", "fastapi", "uvicorn", "limits", "prometheus_client"):
        require(library, "mcp", "The MCP server")
    if user is not None:
        check_user(user)
    log_requests(settings.server.log_format)
    if not http:
        if allow_remote:
            raise RequestError("--allow-remote", True, "It belongs to --http: standard input and output reach nobody")
        _stdio(services, settings, user or settings.user)
        return
    from convrec.serve.http import key_ring
    from convrec.serve.mcp_server import McpServer
    from convrec.serve.run import run_server

    # With keys, the callers are many: none of them may become this machine's user by leaving a header out.
    default = user or (settings.user if key_ring(settings) is None else None)
    with services.agent(settings) as agent:
        run_server(
            agent,
            settings,
            host=host,
            port=port,
            page=False,
            allow_remote=allow_remote,
            console=Console(stderr=True),
            mcp=lambda app: McpServer(app, user=default).mount(host=host),
        )


def _stdio(services: Services, settings: Settings, user: str) -> None:
    from convrec.serve.http import create_app
    from convrec.serve.mcp_server import McpServer
    from convrec.serve.run import warm

    own = settings.model_copy(update={"server": settings.server.model_copy(update={"keys": "off"})})
    with services.agent(own) as agent:
        app = create_app(agent, settings=own)
        threading.Thread(target=warm, args=(app.state.api,), name="convrec-warm", daemon=True).start()
        McpServer(app, user=user).run_stdio()
