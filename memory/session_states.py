"""What a store of conversations is, and what all of them share."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from convrec.core.errors import MemoryStoreError, RequestError
from convrec.memory.store import checked_id, checked_user

Clock = Callable[[], datetime]
PURGE_EVERY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """One stored session of a user."""

    session_id: str
    created: datetime
    updated: datetime
    """Last save; both in UTC."""


class Sessions(Protocol):
    """States of conversations, one JSON object per (user, session id): another user's session id finds nothing.

    All calls are thread-safe, raise :class:`MemoryStoreError` when the store fails and :class:`RequestError` for a bad
    user or session id. A ``save`` that returned survives a kill.
    """

    def load(self, user: str, session_id: str) -> dict[str, Any] | None:
        """The state as it was saved last, None when there is none."""
        ...

    def save(self, user: str, session_id: str, state: dict[str, Any]) -> None:
        """Replace the state in one transaction."""
        ...

    def exclusive(self, user: str, session_id: str, wait_s: float) -> AbstractContextManager[None]:
        """One turn at a time: whoever loads, changes and saves holds this meanwhile, so that no turn is lost.

        Over all threads, processes and machines that share the store; free again when its holder dies.

        Raises:
            RequestError: it was still taken after ``wait_s`` seconds.
        """
        ...

    def delete(self, user: str, session_id: str) -> bool:
        """Erase one session; whether there was one."""
        ...

    def delete_user(self, user: str) -> int:
        """Erase all sessions of a user; returns how many."""
        ...

    def purge(self, before: datetime) -> int:
        """Erase all sessions, of whichever user, last saved before then; returns how many."""
        ...

    def list(self, user: str) -> list[SessionInfo]:
        """The user's sessions, last saved first."""
        ...

    def close(self) -> None:
        """Release what is held; a second call does nothing, any other later call raises MemoryStoreError."""
        ...


class Retention:
    """When old sessions are to be erased: at the first question, then once a day."""

    def __init__(self, days: int) -> None:
        self._days = days
        self._asked: datetime | None = None
        self._lock = threading.Lock()

    def due(self, now: datetime) -> datetime | None:
        """Sessions last saved before this are too old; None when there is nothing to do now."""
        if not self._days:
            return None
        with self._lock:
            if self._asked is not None and now - self._asked < PURGE_EVERY:
                return None
            self._asked = now
        return now - timedelta(days=self._days)


def now_utc() -> datetime:
    return datetime.now(UTC)


def key(user: str, session_id: str) -> tuple[str, str]:
    """The one place where the two ids are judged."""
    return checked_user(user), checked_id(session_id, "session_id")


def busy(session_id: str) -> RequestError:
    return RequestError("session_id", session_id, "A turn of this conversation is still running; stop it first.")


def to_text(state: dict[str, Any], session_id: str) -> str:
    """ASCII JSON, so that any character survives any database."""
    try:
        return json.dumps(state, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise MemoryStoreError(f"The state of session {session_id!r} cannot be saved as JSON: {error}") from error


def from_text(text: str, session_id: str, where: str) -> dict[str, Any]:
    try:
        state = json.loads(text)
    except ValueError:
        state = None
    if not isinstance(state, dict):
        raise MemoryStoreError(
            f"The saved state of session {session_id!r} in {where} is damaged. Start a new session, or delete this "
            "one; the user's preferences are not touched by that."
        )
    return state
