"""Runs the API, with or without the page, on one port. uvicorn's adapter."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import signal
import socket
import threading
import webbrowser
from collections.abc import Iterator

import uvicorn
from convrec.agent.api import ConversationalAgent
from convrec.core.errors import ConvrecError, RequestError
from convrec.core.settings import Settings
from convrec.serve.http import create_app
from rich.console import Console
from starlette.middleware.trustedhost import TrustedHostMiddleware

log = logging.getLogger(__name__)

SHUTDOWN_S = 3
"""How long open streams may go on after a signal to stop, seconds. An open page always has one."""


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
) -> None:
    """Serve until SIGINT or SIGTERM. The agent stays the caller's: close it afterwards.

    ``port`` 0 takes a free one. ``page`` puts the web page at ``/``. On a loopback address only requests that name this
    machine are answered (a foreign web page that points its own name here is not).

    Raises:
        RequestError: the port is taken or not allowed, the address is not this machine's, or it is open to other
            machines and ``allow_remote`` was not given.
    """
    loopback = _is_loopback(host)
    if not loopback and not allow_remote:
        raise RequestError(
            "--host",
            host,
            "There is no login: whoever reaches this address can read and erase everybody's preferences. Use "
            "127.0.0.1, or give --allow-remote if the network is trusted or a proxy checks who calls",
        )
    listening = _listen(host, port)
    with listening:
        app = create_app(agent, settings=settings)
        if page:
            # gradio is heavy and not needed for the API alone.
            from convrec.serve.page import mount_page  # noqa: PLC0415

            mount_page(app, agent, settings=settings)
        if loopback:
            app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "::1", host])
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=SHUTDOWN_S)
        bound = listening.getsockname()[1]
        shown = host if loopback else socket.gethostname()
        address = f"http://{f'[{shown}]' if ':' in shown else shown}:{bound}"
        server = _Server(config, console or Console(), address, page=page, open_browser=open_browser)
        threading.Thread(target=_warm, args=(agent,), name="convrec-warm", daemon=True).start()
        with _quiet_signals(), contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listening])


class _Server(uvicorn.Server):
    """Says where it is once it answers."""

    def __init__(
        self, config: uvicorn.Config, console: Console, address: str, *, page: bool, open_browser: bool
    ) -> None:
        super().__init__(config)
        self._console, self._address, self._page, self._open = console, address, page, open_browser

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._page:
            self._console.print(f"page  {self._address}/", highlight=False, markup=False)
        self._console.print(f"API   {self._address}/v1  (OpenAI-compatible)", highlight=False, markup=False)
        self._console.print("Stop with Ctrl+C.", highlight=False)
        if self._open and not webbrowser.open(f"{self._address}/"):
            log.warning("no browser could be opened; open %s/ yourself", self._address)


def _warm(agent: ConversationalAgent) -> None:
    try:
        agent.warm()
    except ConvrecError as error:  # the first turn will say so again, to the one who asks
        log.warning("not ready yet: %s", error)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(host: str, port: int) -> socket.socket:
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
