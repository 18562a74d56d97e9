"""A keep-alive connection of one simulated user: HTTP/1.1 with as little work as can be.

The load shares the machine with the server it measures, and a full HTTP client takes 2 ms of processor time a request,
half of what the server itself adds to a turn.
"""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from convrec.core.errors import ConvrecError

_HEAD_MOST = 64 * 1024


class Connection:
    """Sends JSON to one server, one request at a time; connects at the first, and again when it was closed.

    Args:
        url: ``http://host:port`` or ``https://...``, with or without a path before ``/v1``.
        key: sent as bearer token.
    """

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        self._tls = parts.scheme == "https"
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or (443 if self._tls else 80)
        self._base = parts.path.rstrip("/")
        self._common = f"Host: {parts.netloc}\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        self._pipe: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, method: str, path: str, body: bytes = b"", *, timeout_s: float) -> tuple[int, bytes]:
        """(status, body of the answer).

        Raises:
            TimeoutError: no whole answer within ``timeout_s``.
            OSError, EOFError, ConvrecError: the connection broke; the answer is no HTTP with a length.
        """
        try:
            return await asyncio.wait_for(self._send(method, path, body), timeout_s)
        except BaseException:
            self.close()  # half an answer may be on its way
            raise

    def close(self) -> None:
        if self._pipe is not None:
            self._pipe[1].close()
            self._pipe = None

    async def _send(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if self._pipe is None or self._pipe[0].at_eof():
            self.close()
            self._pipe = await asyncio.open_connection(self._host, self._port, ssl=self._tls or None, limit=_HEAD_MOST)
        reader, writer = self._pipe
        head = f"{method} {self._base}{path} HTTP/1.1\r\n{self._common}Content-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode("latin-1") + body)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        if not lines[0].startswith("http/1.1 ") or "content-length" not in headers:
            raise ConvrecError(f"no answer of HTTP/1.1 with a length: {lines[0][:80]!r}")
        answer = await reader.readexactly(int(headers["content-length"]))
        if headers.get("connection") == "close":
            self.close()
        return int(lines[0][9:12]), answer
