"""Which conversation a chat request continues."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from convrec.serve.api.identity import anonymous
from convrec.serve.openai_request import ChatTurn

MAX_REPLAY = 10
"""Earlier user messages that are run again, silently, when a conversation is not known; older ones are left out."""
MAX_CONVERSATIONS = 10_000
"""Conversations without an id that are remembered at once; the one that was last touched longest ago goes first."""
BUSY_S = 5.0
"""How long to wait for another worker that writes, seconds."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """Where a turn is run."""

    user: str
    """As the caller names the user; made up for an anonymous one."""
    session_id: str
    replay: tuple[str, ...]
    """Earlier user messages to run first if the agent does not know the session."""
    named: bool
    """The client named it; else it is found again by what was said."""


class Conversations:
    """Finds the conversation that a request continues.

    A named one is taken by its name. OpenAI's clients name none and send the whole history instead: such a
    conversation is found again by a fingerprint of exactly that history, answers included, within its tenant. The
    entry is used up when it is continued, so two callers who happen to have had the same words and answers never come
    to share a session. Holds hashes and random ids only, no words. Used from the event loop of each worker; an entry
    takes microseconds.

    Args:
        path: a file that the workers of one server share; None keeps all in the process.
        limit: entries kept at most.
    """

    def __init__(self, path: Path | None = None, *, limit: int = MAX_CONVERSATIONS) -> None:
        self._limit = limit
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=BUSY_S, check_same_thread=False)
        if path is not None:
            self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")  # worth nothing after a crash
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS said (number INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB, session TEXT)"
        )
        self._db.execute("CREATE INDEX IF NOT EXISTS by_key ON said (key)")

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM said").fetchone()[0])

    def resolve(self, turn: ChatTurn, tenant: str = "") -> Conversation:
        """Where ``turn`` is run. Takes the entry of an unnamed conversation out of the index."""
        replay = tuple(text for role, text in turn.earlier if role == "user")[-MAX_REPLAY:]
        session = turn.conversation
        if session is None and turn.earlier:
            session = self._take(_fingerprint(tenant, turn.user, turn.earlier))
        if session is None:
            session = uuid4().hex
        return Conversation(turn.user or anonymous(session), session, replay, turn.conversation is not None)

    def finished(self, turn: ChatTurn, conversation: Conversation, reply: str, tenant: str = "") -> None:
        """Remember what a request that continues this turn will send as its history."""
        if conversation.named:
            return
        key = _fingerprint(tenant, turn.user, (*turn.earlier, ("user", turn.text), ("assistant", reply)))
        number = self._db.execute("INSERT INTO said (key, session) VALUES (?, ?)", (key, conversation.session_id))
        self._db.execute("DELETE FROM said WHERE number <= ?", ((number.lastrowid or 0) - self._limit,))

    def close(self) -> None:
        self._db.close()

    def _take(self, key: bytes) -> str | None:
        # One statement: two workers cannot both take the same entry.
        found = self._db.execute(
            "DELETE FROM said WHERE number = (SELECT max(number) FROM said WHERE key = ?) RETURNING session", (key,)
        ).fetchall()
        return str(found[0][0]) if found else None


def _fingerprint(tenant: str, user: str | None, messages: Sequence[tuple[str, str]]) -> bytes:
    said = [[role, " ".join(text.split())] for role, text in messages]
    return hashlib.sha256(json.dumps([tenant, user, said]).encode()).digest()
