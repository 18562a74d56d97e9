"""The Python client of convrec's HTTP API: ``convrec.Client``, and ``convrec.AsyncClient`` with the same methods.

    with convrec.Client("http://127.0.0.1:8000", api_key="convrec_...") as client:
        answer = client.chat("a Korean thriller under two hours", user="alice")
        answer = client.chat("something older", user="alice", conversation_id=answer.conversation_id)

All methods raise :class:`~convrec.core.errors.ApiError` when the server refuses or fails (``field`` names what is
wrong), :class:`~convrec.core.errors.ServerUnreachable` when there is none, and
:class:`~convrec.core.errors.RequestError` for an id that cannot be sent. What the server turned away unread (429, or
503 with Retry-After) is sent again as often as ``retries`` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from time import sleep
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from convrec.serve import client_calls as calls
from convrec.serve.api import schemas
from convrec.serve.client_calls import Answer, Call, Constraint, Piece
from convrec.serve.client_http import TIMEOUT_S, connection, reaching, request_of

__all__ = ["Answer", "Client", "Piece"]

T = TypeVar("T")


class Client:
    """The API as blocking calls. Safe to share between threads.

    Args:
        base_url: the server's address, with or without ``/v1``.
        api_key: a key of ``convrec keys create``; None: the environment variable ``CONVREC_API_KEY``, if there is one.
        retries: how often a request that was turned away unread is sent again.
        timeout_s: longest wait for an answer, seconds.
        transport: for tests, or to talk to an app in this process.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        retries: int = 2,
        timeout_s: float = TIMEOUT_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(**connection(base_url, api_key, timeout_s), transport=transport)
        self._retries = retries

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def stream(
        self,
        text: str,
        *,
        user: str | None = None,
        conversation_id: str | None = None,
        ask_approval: bool | None = None,
        approve: bool | None = None,
    ) -> Iterator[Piece]:
        """As :meth:`chat`, piece by piece; the last piece has the whole answer. Leaving early ends the turn."""
        call = calls.chat(text, user, conversation_id, ask_approval=ask_approval, approve=approve, stream=True)
        reader, tried = calls.StreamReader(), 0
        with reaching(self._http.base_url):
            while True:
                with self._http.stream(**request_of(call)) as response:
                    if response.is_success:
                        for line in response.iter_lines():
                            if (piece := reader.feed(line)) is not None:
                                yield piece
                        reader.end()
                        return
                    error = calls.error_from(response.status_code, response.headers, response.read())
                wait = calls.wait_before_retry(error, tried, self._retries)
                if wait is None:
                    raise error
                sleep(wait)
                tried += 1

    def _send(self, call: Call[T]) -> T:
        tried = 0
        while True:
            with reaching(self._http.base_url):
                response = self._http.request(**request_of(call))
            if response.is_success:
                return calls.read(call, response.content)
            error = calls.error_from(response.status_code, response.headers, response.content)
            wait = calls.wait_before_retry(error, tried, self._retries)
            if wait is None:
                raise error
            sleep(wait)
            tried += 1

    def chat(
        self,
        text: str,
        *,
        user: str | None = None,
        conversation_id: str | None = None,
        ask_approval: bool | None = None,
        approve: bool | None = None,
    ) -> Answer:
        """One turn of a conversation.

        Args:
            user: whose preferences are used and added to; None: nobody's.
            conversation_id: names the conversation; None begins a new one, whose name is in the answer.
            ask_approval: whether the plan is shown before a tool runs (``answer.proposal``); None: as the server does.
            approve: True carries out the plan that waits in this conversation, False drops it, whatever ``text`` says.
        """
        return self._send(calls.chat(text, user, conversation_id, ask_approval=ask_approval, approve=approve))

    def recommend(
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
        """One list for one request, without a conversation.

        Args:
            history: earlier messages, ``{"role": "user" | "assistant", "content": ...}``, oldest first.
            liked, disliked, exclude: ids of items to go by, to keep away from, and not to recommend.
            constraints: hard conditions, never relaxed.
            limit: items at most, 1..20; None: the server's setting.
        """
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
        return self._send(call)

    def recommend_many(self, requests: Sequence[Mapping[str, Any]]) -> list[schemas.BatchEntry]:
        """Up to 32 requests with the arguments of :meth:`recommend`; one that is wrong has its error in its entry."""
        return self._send(calls.recommend_many(requests))

    def search_items(
        self, q: str = "", *, constraints: Sequence[Constraint] = (), limit: int = 20, offset: int = 0
    ) -> schemas.ItemPage:
        """Items by words of their title and conditions, best match first, then best known."""
        return self._send(calls.search_items(q, constraints, limit, offset))

    def item(self, item_id: str) -> schemas.ItemRecord:
        """One item's record."""
        return self._send(calls.item(item_id))

    def item_fields(self) -> list[schemas.FieldInfo]:
        """The fields that constraints may name."""
        return self._send(calls.item_fields())

    def preferences(self, user: str, *, history: bool = False) -> list[schemas.PreferenceRecord]:
        """What is believed about a user, newest first; with ``history`` also what was superseded."""
        return self._send(calls.preferences(user, history))

    def search_preferences(self, user: str, q: str, *, limit: int = 8) -> list[schemas.FoundPreference]:
        """Those that hold these words, then the nearest in meaning."""
        return self._send(calls.search_preferences(user, q, limit))

    def add_preference(
        self,
        user: str,
        text: str,
        polarity: str,
        *,
        item: str | None = None,
        constraint: Constraint | None = None,
        standing: bool = False,
    ) -> schemas.PreferenceRecord:
        """Remember a statement on an item, on a field's value, or in words alone; ``standing``: for every request."""
        return self._send(calls.add_preference(user, text, polarity, item, constraint, standing))

    def change_preference(
        self, user: str, preference: str, *, text: str | None = None, polarity: str | None = None
    ) -> schemas.PreferenceRecord:
        """Correct one."""
        return self._send(calls.change_preference(user, preference, text, polarity))

    def forget_preference(self, user: str, preference: str) -> None:
        """Forget one, for good."""
        self._send(calls.forget_preference(user, preference))

    def forget_preferences(self, user: str) -> int:
        """Forget all, for good; how many they were."""
        return self._send(calls.forget_preferences(user)).deleted

    def export_preferences(self, user: str) -> dict[str, Any]:
        """All that is remembered about a user, as :meth:`import_preferences` takes it."""
        return self._send(calls.export_preferences(user))

    def import_preferences(self, user: str, document: Mapping[str, Any]) -> schemas.Imported:
        """Take in what was exported; all or nothing, and twice is as once."""
        return self._send(calls.import_preferences(user, document))

    def profile(self, user: str) -> schemas.ProfileText:
        """What holds at every turn, in plain words."""
        return self._send(calls.profile(user))

    def feedback(self, user: str, conversation_id: str, item: str, kind: str) -> str:
        """Say "liked", "disliked" or "seen": remembered and used at once; what was remembered, in words."""
        return self._send(calls.feedback(user, conversation_id, item, kind)).remembered

    def sessions(self, user: str, *, limit: int = 100) -> list[schemas.SessionSummary]:
        """A user's conversations, last used first."""
        return self._send(calls.sessions(user, limit))

    def session(self, user: str, session_id: str) -> schemas.SessionRecord:
        """What was said in one."""
        return self._send(calls.session(user, session_id))

    def erase_session(self, user: str, session_id: str) -> None:
        """Erase a conversation, for good; preferences stay."""
        self._send(calls.erase_session(user, session_id))

    def erase_user(self, user: str) -> schemas.UserErased:
        """Erase everything about a user, for good."""
        return self._send(calls.erase_user(user))

    def health(self) -> schemas.Health:
        """Whether the server answers, and with what."""
        return self._send(calls.health())
