"""convrec: an LLM-based conversational recommender agent.

Only light names are exported here, and the clients of a server, which are imported when they are asked for; the rooms
(``convrec.agent``, ``convrec.tools``, ...) are imported by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convrec.core.version import VERSION as __version__

if TYPE_CHECKING:
    from convrec.serve.client import Client
    from convrec.serve.client_async import AsyncClient

__all__ = ["AsyncClient", "Client", "__version__"]


def __getattr__(name: str) -> Any:
    # ruff: noqa: PLC0415
    if name == "Client":
        from convrec.serve.client import Client

        return Client
    if name == "AsyncClient":
        from convrec.serve.client_async import AsyncClient

        return AsyncClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
