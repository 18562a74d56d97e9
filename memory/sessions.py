"""Conversation state that survives a restart: one JSON object per user and session, in SQLite."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from convrec.core.errors import MemoryStoreError
from convrec.memory.store import checked_id, checked_user

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
BUSY_TIMEOUT_S = 5.0
"""How long to wait for another process that writes."""

_CREATE = """
CREATE TABLE IF NOT EXISTS sessions (
    user TEXT NOT NULL,
    session_id TEXT NOT NULL,
    state TEXT NOT NULL,
    created TEXT NOT NULL,
    updated TEXT NOT NULL,
    PRIMARY KEY (user, session_id)
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """One stored session of a user."""

    session_id: str
    created: datetime
    updated: datetime
    """Last save; both in UTC."""


class SessionStore:
    """States of conversations, keyed by (user, session id): the id of another user's session finds nothing.

    A ``save`` that returned is on disk (SQLite write-ahead log, full synchronisation): it survives a kill of the
    process at any moment. Thread-safe; several processes may share the file.

    Args:
        path: the SQLite file, created when missing; ``":memory:"`` keeps all in the process.

    Raises:
        MemoryStoreError: the file cannot be opened, is no session store, or is of a newer version.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = str(path)
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        with self._reported("opened"):
            if self._path != ":memory:":
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            # One connection behind one lock; autocommit, each statement below is its own transaction.
            self._db = sqlite3.connect(
                self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            self._prepare(self._db)

    def load(self, user: str, session_id: str) -> dict[str, Any] | None:
        """The state as it was saved last, None when there is none.

        Raises:
            MemoryStoreError: the store cannot be read, or this state is damaged.
            RequestError: a bad user or session id.
        """
        with self._opened("read") as db:
            row = db.execute(
                "SELECT state FROM sessions WHERE user = ? AND session_id = ?", _key(user, session_id)
            ).fetchone()
        if row is None:
            return None
        try:
            state = json.loads(row[0])
        except ValueError:
            state = None
        if not isinstance(state, dict):
            raise MemoryStoreError(
                f"The saved state of session {session_id!r} in {self._path} is damaged. Start a new session, or delete "
                "this one; the user's preferences are not touched by that."
            )
        return state

    def save(self, user: str, session_id: str, state: dict[str, Any]) -> None:
        """Replace the state in one transaction.

        Raises:
            MemoryStoreError: the store cannot be written, or ``state`` is not JSON.
            RequestError: a bad user or session id.
        """
        key = _key(user, session_id)
        try:
            text = json.dumps(state, allow_nan=False, separators=(",", ":"))
        except (TypeError, ValueError) as error:
            raise MemoryStoreError(f"The state of session {session_id!r} cannot be saved as JSON: {error}") from error
        now = datetime.now(UTC).isoformat()
        with self._opened("written") as db:
            db.execute(
                "INSERT INTO sessions (user, session_id, state, created, updated) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (user, session_id) DO UPDATE SET state = excluded.state, updated = excluded.updated",
                (*key, text, now, now),
            )

    def delete(self, user: str, session_id: str) -> bool:
        """Erase one session for good; whether there was one."""
        key = _key(user, session_id)
        with self._opened("written") as db:
            count = db.execute("DELETE FROM sessions WHERE user = ? AND session_id = ?", key).rowcount
            self._empty_log(db)
        return count > 0

    def delete_user(self, user: str) -> int:
        """Erase all sessions of a user for good; returns how many."""
        with self._opened("written") as db:
            count = db.execute("DELETE FROM sessions WHERE user = ?", (checked_user(user),)).rowcount
            self._empty_log(db)
        return count

    def list(self, user: str) -> list[SessionInfo]:
        """The user's sessions, last saved first."""
        with self._opened("read") as db:
            rows = db.execute(
                "SELECT session_id, created, updated FROM sessions WHERE user = ? ORDER BY updated DESC, session_id",
                (checked_user(user),),
            ).fetchall()
            return [SessionInfo(i, datetime.fromisoformat(c), datetime.fromisoformat(u)) for i, c, u in rows]

    def close(self) -> None:
        """Close the file; a second call does nothing, any other later call raises MemoryStoreError."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _prepare(self, db: sqlite3.Connection) -> None:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA secure_delete = ON")  # what is deleted or replaced is overwritten with zeros
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        foreign = version == 0 and db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if version > SCHEMA_VERSION or (foreign and not self._is_ours(db)):
            what = f"of layout {version}" if version else "not a session store"
            db.close()
            self._db = None
            raise MemoryStoreError(
                f"{self._path} is {what}; this convrec reads layout {SCHEMA_VERSION}. Update convrec, or move the "
                "file away: a new one is made."
            )
        db.execute(_CREATE)
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    @staticmethod
    def _is_ours(db: sqlite3.Connection) -> bool:
        """A store whose making was cut off between its two statements, or is being made by another process."""
        return [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")] == ["sessions"]

    def _empty_log(self, db: sqlite3.Connection) -> None:
        """Move the write-ahead log into the file and cut it to zero, so that no old page keeps deleted text."""
        busy = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            log.warning("%s is in use by another process: deleted text leaves its log file later", self._path)

    @contextmanager
    def _opened(self, verb: str) -> Iterator[sqlite3.Connection]:
        with self._lock, self._reported(verb):
            if self._db is None:
                raise MemoryStoreError(f"the session store {self._path} was closed; open a new one")
            yield self._db

    @contextmanager
    def _reported(self, verb: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, UnicodeEncodeError) as error:
            if verb == "opened" and self._db is not None:
                self._db.close()
                self._db = None
            raise MemoryStoreError(
                f"The session store {self._path} cannot be {verb}: {error}. Check that the disk is not full and the "
                "folder is writable; if the file is damaged, move it away: a new one is made."
            ) from error


def _key(user: str, session_id: str) -> tuple[str, str]:
    return checked_user(user), checked_id(session_id, "session_id")
