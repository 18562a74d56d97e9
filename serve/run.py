"""Runs the API, with or without the page, on one port. uvicorn's adapter."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import signal
import socket
import threading
import webbrowser
from collections.abc import Callable, Iterator

import uvicorn
from convrec.agent.api import ConversationalAgent
from convrec.core.errors import ConvrecError, RequestError
from convrec.core.settings import Settings
from convrec.serve.api.context import Api
from convrec.serve.http import create_app, key_ring
from fastapi import FastAPI
from rich.console import Console
from starlette.middleware.trustedhost import TrustedHostMiddleware

log = logging.getLogger(__name__)

KEEP_ALIVE_S = 75
"""How long an idle connection is kept, seconds: longer than proxies and clients keep theirs (60 at most, as a rule), so
that none sends a request into a connection that is just being closed."""
PAGE_STREAMS_S = 3
"""How long open streams of the page may go on when all turns have ended, seconds. An open page always has one."""


def run_server(
    agent: ConversationalAgent,
    settings: Settings,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    page: bool = True,
    open_browser: bool = False,
    allow_remote: bool = False,
    console: Console | None = None,
    mcp: Callable[[FastAPI], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; turns under way are finished first. The agent stays the caller's: close it
    afterwards.

    ``port`` 0 takes a free one. ``page`` puts the web page at ``/``; ``mcp`` mounts MCP's tools at ``/mcp``. On a
    loopback address only requests that name this machine are answered (a foreign web page that points its own name
    here is not).

    Raises:
        RequestError: the port is taken or not allowed, the address is not this machine's, or it is open to other
            machines and there are no keys (for the page: ``allow_remote`` was not given).
    """
    check_open(host, settings, page=page, allow_remote=allow_remote)
    listening = listen(host, port)
    with listening:
        app = create_app(agent, settings=settings)
        if page:
            # gradio is heavy and not needed for the API alone.
            from convrec.serve.page import mount_page  # noqa: PLC0415

            mount_page(app, agent, settings=settings)
        if mcp is not None:
            mcp(app)
        guard_host(app, host)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=PAGE_STREAMS_S,
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        where = address(host, listening)
        server = _Server(config, app.state.api, console or Console(), where, page, open_browser, mcp is not None)
        app.state.api.ready.clear()
        threading.Thread(target=warm, args=(app.state.api,), name="convrec-warm", daemon=True).start()
        with _quiet_signals(), contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listening])


class _Server(uvicorn.Server):
    """Says where it is once it answers, and finishes running turns before it goes."""

    def __init__(
        self,
        config: uvicorn.Config,
        api: Api,
        console: Console,
        address: str,
        page: bool,
        open_browser: bool,
        mcp: bool,
    ) -> None:
        super().__init__(config)
        self._api, self._console, self._address = api, console, address
        self._page, self._open, self._mcp = page, open_browser, mcp

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        say_where(self._console, self._address, page=self._page, mcp=self._mcp)
        if self._open and not webbrowser.open(f"{self._address}/"):
            log.warning("no browser could be opened; open %s/ yourself", self._address)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:  # nothing new comes in while what runs is finished
            server.close()
        wait_s = self._api.settings.server.shutdown_s
        if not await self._api.pool.drain(wait_s, lambda: self.force_exit) and not self.force_exit:
            log.warning("%d turns did not end within %d s and are stopped", self._api.pool.running, wait_s)
        await super().shutdown(sockets)


def check_open(host: str, settings: Settings, *, page: bool, allow_remote: bool) -> None:
    """Refuse an address that others can reach when nothing says who they are.

    Raises:
        RequestError: see :func:`run_server`.
    """
    keys = key_ring(settings)
    if keys is not None and not keys.active:
        raise RequestError("server.keys", "none", "No key is valid, so nobody could call: run convrec keys create")
    if is_loopback(host) or allow_remote:
        if keys is None and not is_loopback(host):
            log.warning("%s is open without keys: whoever reaches it can read and erase everybody's data", host)
        return
    if page:
        raise RequestError(
            "--host",
            host,
            "There is no login on the web page: whoever reaches this address can use it. Use 127.0.0.1, `convrec "
            "serve` with keys, or --allow-remote if the network is trusted or a proxy checks who calls",
        )
    if keys is None:
        raise RequestError(
            "--host",
            host,
            "There is no login: whoever reaches this address can read and erase everybody's preferences. Make keys "
            "with convrec keys create, use 127.0.0.1, or give --allow-remote if a proxy checks who calls",
        )


def guard_host(app: FastAPI, host: str) -> None:
    """On a loopback address, answer only requests that name this machine."""
    if is_loopback(host):
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "::1", host])


def address(host: str, listening: socket.socket) -> str:
    """Where the server is, as a person would open it."""
    shown = host if is_loopback(host) else socket.gethostname()
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{listening.getsockname()[1]}"


def say_where(console: Console, address: str, *, page: bool, mcp: bool = False) -> None:
    if page:
        console.print(f"page  {address}/", highlight=False, markup=False)
    console.print(f"API   {address}/v1  (OpenAI-compatible)", highlight=False, markup=False)
    if mcp:
        console.print(f"MCP   {address}/mcp  (streamable HTTP)", highlight=False, markup=False)
    console.print("Stop with Ctrl+C.", highlight=False)


def warm(api: Api) -> None:
    """Load what the first turn needs, then say that the server is ready."""
    try:
        api.agent.warm()
    except ConvrecError as error:  # the first turn will say so again, to the one who asks
        log.warning("not ready yet: %s", error)
    api.ready.set()


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise RequestError("--port", port, "Give a number from 0 to 65535; 0 takes a free one")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(found[0], socket.SOCK_STREAM)
    except OSError as error:
        raise RequestError("--host", host, f"It is no address of this machine ({error}). Use 127.0.0.1") from error
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(found[4])
        listening.listen(socket.SOMAXCONN)
    except PermissionError as error:
        listening.close()
        raise RequestError("--port", port, "This port needs administrator rights. Use one above 1023") from error
    except OSError as error:
        listening.close()
        remedy = f"Cannot listen there: {error.strerror}. Use another, for example --port {port + 1 if port else 8000}"
        raise RequestError("--port", port, remedy) from error
    return listening


@contextlib.contextmanager
def _quiet_signals() -> Iterator[None]:
    """uvicorn raises the signal that stopped it again when it is done. SIGTERM would end the process there and then,
    before the caller has closed the agent; so it is made harmless for that moment."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
