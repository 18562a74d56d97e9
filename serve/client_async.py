"""``convrec.AsyncClient``: as :mod:`convrec.serve.client`, for asyncio."""

from __future__ import annotations

from asyncio import sleep
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from convrec.serve import client_calls as calls
from convrec.serve.api import schemas
from convrec.serve.client_calls import Answer, Call, Constraint, Piece
from convrec.serve.client_http import TIMEOUT_S, connection, reaching, request_of

__all__ = ["Answer", "AsyncClient", "Piece"]

T = TypeVar("T")


class AsyncClient:
    """As :class:`Client`, for asyncio; the methods are documented there."""

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        retries: int = 2,
        timeout_s: float = TIMEOUT_S,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(**connection(base_url, api_key, timeout_s), transport=transport)
        self._retries = retries

    async def aclose(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def stream(
        self,
        text: str,
        *,
        user: str | None = None,
        conversation_id: str | None = None,
        ask_approval: bool | None = None,
        approve: bool | None = None,
    ) -> AsyncIterator[Piece]:
        """As :meth:`chat`, piece by piece; the last piece has the whole answer. Leaving early ends the turn."""
        call = calls.chat(text, user, conversation_id, ask_approval=ask_approval, approve=approve, stream=True)
        reader, tried = calls.StreamReader(), 0
        with reaching(self._http.base_url):
            while True:
                async with self._http.stream(**request_of(call)) as response:
                    if response.is_success:
                        async for line in response.aiter_lines():
                            if (piece := reader.feed(line)) is not None:
                                yield piece
                        reader.end()
                        return
                    error = calls.error_from(response.status_code, response.headers, await response.aread())
                wait = calls.wait_before_retry(error, tried, self._retries)
                if wait is None:
                    raise error
                await sleep(wait)
                tried += 1

    async def _send(self, call: Call[T]) -> T:
        tried = 0
        while True:
            with reaching(self._http.base_url):
                response = await self._http.request(**request_of(call))
            if response.is_success:
                return calls.read(call, response.content)
            error = calls.error_from(response.status_code, response.headers, response.content)
            wait = calls.wait_before_retry(error, tried, self._retries)
            if wait is None:
                raise error
            await sleep(wait)
            tried += 1

    async def chat(
        self,
        text: str,
        *,
        user: str | None = None,
        conversation_id: str | None = None,
        ask_approval: bool | None = None,
        approve: bool | None = None,
    ) -> Answer:
        return await self._send(calls.chat(text, user, conversation_id, ask_approval=ask_approval, approve=approve))

    async def recommend(
        self,
        text: str = "",
        *,
        history: Sequence[Mapping[str, str]] = (),
        liked: Sequence[str] = (),
        disliked: Sequence[str] = (),
        exclude: Sequence[str] = (),
        constraints: Sequence[Constraint] = (),
        user: str | None = None,
        limit: int | None = None,
    ) -> schemas.Recommendation:
        call = calls.recommend(
            text,
            history=history,
            liked=liked,
            disliked=disliked,
            exclude=exclude,
            constraints=constraints,
            user=user,
            limit=limit,
        )
        return await self._send(call)

    async def recommend_many(self, requests: Sequence[Mapping[str, Any]]) -> list[schemas.BatchEntry]:
        return await self._send(calls.recommend_many(requests))

    async def search_items(
        self, q: str = "", *, constraints: Sequence[Constraint] = (), limit: int = 20, offset: int = 0
    ) -> schemas.ItemPage:
        return await self._send(calls.search_items(q, constraints, limit, offset))

    async def item(self, item_id: str) -> schemas.ItemRecord:
        return await self._send(calls.item(item_id))

    async def item_fields(self) -> list[schemas.FieldInfo]:
        return await self._send(calls.item_fields())

    async def preferences(self, user: str, *, history: bool = False) -> list[schemas.PreferenceRecord]:
        return await self._send(calls.preferences(user, history))

    async def search_preferences(self, user: str, q: str, *, limit: int = 8) -> list[schemas.FoundPreference]:
        return await self._send(calls.search_preferences(user, q, limit))

    async def add_preference(
        self,
        user: str,
        text: str,
        polarity: str,
        *,
        item: str | None = None,
        constraint: Constraint | None = None,
        standing: bool = False,
    ) -> schemas.PreferenceRecord:
        return await self._send(calls.add_preference(user, text, polarity, item, constraint, standing))

    async def change_preference(
        self, user: str, preference: str, *, text: str | None = None, polarity: str | None = None
    ) -> schemas.PreferenceRecord:
        return await self._send(calls.change_preference(user, preference, text, polarity))

    async def forget_preference(self, user: str, preference: str) -> None:
        await self._send(calls.forget_preference(user, preference))

    async def forget_preferences(self, user: str) -> int:
        return (await self._send(calls.forget_preferences(user))).deleted

    async def export_preferences(self, user: str) -> dict[str, Any]:
        return await self._send(calls.export_preferences(user))

    async def import_preferences(self, user: str, document: Mapping[str, Any]) -> schemas.Imported:
        return await self._send(calls.import_preferences(user, document))

    async def profile(self, user: str) -> schemas.ProfileText:
        return await self._send(calls.profile(user))

    async def feedback(self, user: str, conversation_id: str, item: str, kind: str) -> str:
        return (await self._send(calls.feedback(user, conversation_id, item, kind))).remembered

    async def sessions(self, user: str, *, limit: int = 100) -> list[schemas.SessionSummary]:
        return await self._send(calls.sessions(user, limit))

    async def session(self, user: str, session_id: str) -> schemas.SessionRecord:
        return await self._send(calls.session(user, session_id))

    async def erase_session(self, user: str, session_id: str) -> None:
        await self._send(calls.erase_session(user, session_id))

    async def erase_user(self, user: str) -> schemas.UserErased:
        return await self._send(calls.erase_user(user))

    async def health(self) -> schemas.Health:
        return await self._send(calls.health())
