"""Chroma's clients: the one module that imports chromadb.

Telemetry is off, and no ``.env`` of the current folder is read. Vectors are always given: Chroma's own embedder would
download a model.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from convrec.core.errors import SettingsError
from convrec.core.extras import require

_OPENING = threading.Lock()
"""Chroma keeps its clients of one folder in a shared table that is not made for two threads opening at once."""


def _module(name: str) -> Any:
    return require(name, "memory", "remembering preferences across runs (memory.store = chroma)")


def errors() -> Any:
    """Chroma's module of exceptions."""
    return _module("chromadb.errors")


def _settings(**more: Any) -> Any:
    return _module("chromadb.config").Settings(_env_file=None, anonymized_telemetry=False, **more)


def folder_client(path: Path) -> Any:
    """A client that works in this process over the files under ``path``."""
    with _OPENING:
        return _module("chromadb").PersistentClient(path, settings=_settings())


def server_client(url: str) -> Any:
    """A client of the Chroma server at ``url``, as ``http://127.0.0.1:8001``.

    Raises:
        SettingsError: ``url`` is no http or https address of a host alone.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise SettingsError(f"memory.url = {url!r}: expected http://HOST:PORT of a Chroma server (start: chroma run)")
    secure = parts.scheme == "https"
    with _OPENING:
        return _module("chromadb").HttpClient(
            parts.hostname, port or (443 if secure else 80), ssl=secure, settings=_settings()
        )
