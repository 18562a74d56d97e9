"""What both Python clients give httpx, and how its errors become convrec's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from convrec.core.errors import RequestError, ServerUnreachable
from convrec.core.version import VERSION
from convrec.serve.client_calls import Call

API_KEY = "CONVREC_API_KEY"
"""Environment variable with the key, when none is given."""
TIMEOUT_S = 150.0
"""Longest wait for an answer, seconds; more than the server gives a turn."""


def connection(base_url: str, api_key: str | None, timeout_s: float) -> dict[str, Any]:
    """The settings of a connection."""
    if not base_url.startswith(("http://", "https://")):
        raise RequestError("base_url", base_url, "Give the server's address, as http://127.0.0.1:8000")
    key = api_key if api_key is not None else os.environ.get(API_KEY)
    if key and not (key.isascii() and key.isprintable()):
        raise RequestError("api_key", "...", "A key has printable ASCII characters only, see: convrec keys create")
    return {
        "base_url": base_url.rstrip("/").removesuffix("/v1"),
        "headers": {"User-Agent": f"convrec/{VERSION}"} | ({"Authorization": f"Bearer {key}"} if key else {}),
        "timeout": timeout_s,
    }


@contextmanager
def reaching(base_url: object) -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise ServerUnreachable(f"{base_url} did not answer in time") from error
    except httpx.HTTPError as error:
        raise ServerUnreachable(f"{base_url} cannot be reached: {error}. Is `convrec serve` running there?") from error


def request_of(call: Call[Any]) -> dict[str, Any]:
    return {"method": call.method, "url": call.path, "json": call.json, "params": dict(call.params) or None}
