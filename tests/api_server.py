"""A real server of the API on a loopback port, for the tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import scripted_agent as scripted
from convrec.core.settings import ServerSettings, Settings


@contextmanager
def serving(folder: Path, agent: Any = None, *, tracer: Any = None, **server: Any) -> Iterator[Any]:
    """``url``, ``agent``, ``api`` and ``web`` (a client) of a server over ``agent``, a scripted one by default."""
    from convrec.serve.http import create_app

    agent = agent or scripted.ScriptedAgent()
    settings = Settings(home=folder, cache=folder, server=ServerSettings(**server))
    app = create_app(agent, settings=settings, tracer=tracer)
    running = scripted.serve_on_thread(app, agent)
    found = next(running)
    found.api = app.state.api
    with httpx.Client(base_url=found.url, timeout=60) as found.web:
        yield found
    next(running, None)


def say(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "convrec", "messages": [{"role": "user", "content": text}], **more}
