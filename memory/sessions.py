"""Conversation state that survives a restart, in an SQLite file that the processes of one machine may share."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from convrec.core.errors import MemoryStoreError
from convrec.core.locks import locked
from convrec.memory.session_states import (
    Clock,
    Retention,
    SessionInfo,
    busy,
    from_text,
    key,
    now_utc,
    to_text,
)
from convrec.memory.store import checked_user

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
BUSY_TIMEOUT_S = 5.0
"""How long to wait for another process that writes."""
TURN_POLL_S = 0.02
"""How often one that waits for a turn to end looks again."""

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


def _write_ahead(db: sqlite3.Connection) -> None:
    """Switch a new file to a write-ahead log. SQLite does not wait for another process that does the same just now, as
    it does with everything else: so this does."""
    end = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.02)


class SessionStore:
    """States of conversations, keyed by (user, session id): the id of another user's session finds nothing.

    A ``save`` that returned is on disk (SQLite write-ahead log, full synchronisation): it survives a kill of the
    process at any moment. Thread-safe; several processes may share the file. Implements
    :class:`~convrec.memory.session_states.Sessions`.

    Args:
        path: the SQLite file, created when missing; ``":memory:"`` keeps all in the process.
        retention_days: sessions not saved for so long are erased at opening and once a day; 0 keeps them.
        clock: what time it is, UTC.

    Raises:
        MemoryStoreError: the file cannot be opened, is no session store, or is of a newer version.
    """

    def __init__(self, path: Path | str, *, retention_days: int = 0, clock: Clock = now_utc) -> None:
        self._path = str(path)
        self._clock, self._retention = clock, Retention(retention_days)
        self._turns: dict[tuple[str, str], threading.Lock] = {}  # of ":memory:" alone
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
        self._purge_if_due()

    def load(self, user: str, session_id: str) -> dict[str, Any] | None:
        """The state as it was saved last, None when there is none.

        Raises:
            MemoryStoreError: the store cannot be read, or this state is damaged.
            RequestError: a bad user or session id.
        """
        with self._opened("read") as db:
            row = db.execute(
                "SELECT state FROM sessions WHERE user = ? AND session_id = ?", key(user, session_id)
            ).fetchone()
        return None if row is None else from_text(row[0], session_id, self._path)

    def save(self, user: str, session_id: str, state: dict[str, Any]) -> None:
        """Replace the state in one transaction.

        Raises:
            MemoryStoreError: the store cannot be written, or ``state`` is not JSON.
            RequestError: a bad user or session id.
        """
        owner, text = key(user, session_id), to_text(state, session_id)
        now = self._clock().isoformat()
        with self._opened("written") as db:
            db.execute(
                "INSERT INTO sessions (user, session_id, state, created, updated) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (user, session_id) DO UPDATE SET state = excluded.state, updated = excluded.updated",
                (*owner, text, now, now),
            )
        self._purge_if_due()

    @contextmanager
    def exclusive(self, user: str, session_id: str, wait_s: float) -> Iterator[None]:
        """One turn of a conversation at a time, over all threads and processes that share the file.

        The lock is the operating system's: it is free again when its holder dies.

        Raises:
            RequestError: it was still taken after ``wait_s``.
        """
        owner = key(user, session_id)
        name = hashlib.blake2b(repr(owner).encode(), digest_size=16).hexdigest()
        if self._path == ":memory:":
            with self._lock:
                lock = self._turns.setdefault(owner, threading.Lock())
            if not lock.acquire(timeout=wait_s):
                raise busy(session_id)
            try:
                yield
            finally:
                lock.release()
            return
        held = locked(Path(f"{self._path}.turns") / name, timeout_s=wait_s, poll_s=TURN_POLL_S, remove=True)
        try:
            held.__enter__()
        except TimeoutError as error:
            raise busy(session_id) from error
        except OSError as error:
            raise MemoryStoreError(f"The session store {self._path} cannot be locked: {error}") from error
        try:
            yield
        finally:
            held.__exit__(None, None, None)

    def delete(self, user: str, session_id: str) -> bool:
        """Erase one session for good; whether there was one."""
        owner = key(user, session_id)
        with self._opened("written") as db:
            count = db.execute("DELETE FROM sessions WHERE user = ? AND session_id = ?", owner).rowcount
            self._empty_log(db)
        return count > 0

    def delete_user(self, user: str) -> int:
        """Erase all sessions of a user for good; returns how many."""
        with self._opened("written") as db:
            count = db.execute("DELETE FROM sessions WHERE user = ?", (checked_user(user),)).rowcount
            self._empty_log(db)
        return count

    def purge(self, before: datetime) -> int:
        """Erase for good all sessions, of whichever user, last saved before then (UTC); returns how many."""
        with self._opened("written") as db:
            count = db.execute("DELETE FROM sessions WHERE updated < ?", (before.astimezone(UTC).isoformat(),)).rowcount
            if count:
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

    def _purge_if_due(self) -> None:
        before = self._retention.due(self._clock())
        if before is not None and (count := self.purge(before)):
            log.info("%d conversations not touched since %s were erased", count, before.date())

    def _prepare(self, db: sqlite3.Connection) -> None:
        _write_ahead(db)
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
        db.execute("CREATE INDEX IF NOT EXISTS sessions_updated ON sessions (updated)")
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
