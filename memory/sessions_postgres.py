"""Conversation state in PostgreSQL, for several machines: the one module that imports psycopg."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeAlias

from convrec.core.errors import MemoryStoreError, SettingsError
from convrec.core.extras import require
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

LAYOUT = 1
CONNECT_S = 10.0
"""Longest wait for a connection, seconds."""
MAX_CONNECTIONS = 4
"""For reading and saving; each turn under way holds one more, for its lock."""
_MAKING = 0x636F6E76
"""Key of the lock under which the tables are made; any fixed number does."""

Rows: TypeAlias = list[tuple[Any, ...]]

_CREATE = """
CREATE TABLE IF NOT EXISTS convrec_sessions (
    user_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    state TEXT NOT NULL,
    created TIMESTAMPTZ NOT NULL,
    updated TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (user_id, session_id)
);
CREATE INDEX IF NOT EXISTS convrec_sessions_updated ON convrec_sessions (updated);
CREATE TABLE IF NOT EXISTS convrec_layout (version INTEGER NOT NULL);
"""


class PostgresSessionStore:
    """A :class:`~convrec.memory.session_states.Sessions` that any number of machines may share.

    A turn's lock is an advisory lock on a connection of its own: the server frees it when the connection ends, however
    that comes about. A pooler in between must keep sessions (PgBouncer: ``pool_mode = session``).

    Args:
        url: ``postgresql://user:password@host:port/database``; the tables are made when missing.
        retention_days: sessions not saved for so long are erased at opening and once a day; 0 keeps them.
        clock: what time it is, UTC.

    Raises:
        SettingsError: ``url`` is no such address.
        MemoryStoreError: no server answers, or the tables are of a newer version.
        MissingExtraError: psycopg is not installed.
    """

    def __init__(self, url: str, *, retention_days: int = 0, clock: Clock = now_utc) -> None:
        what_for = "keeping conversations in PostgreSQL (sessions.url)"
        self._psycopg: Any = require("psycopg", "postgres", what_for)
        pools: Any = require("psycopg_pool", "postgres", what_for)
        self._url, self._clock, self._retention = url, clock, Retention(retention_days)
        self._name = f"The session store {self._shown(url)}"
        self._closed = False
        self._pool = pools.ConnectionPool(
            url,
            min_size=1,
            max_size=MAX_CONNECTIONS,
            timeout=CONNECT_S,
            kwargs={"autocommit": True},
            open=False,
            check=pools.ConnectionPool.check_connection,
        )
        try:
            with self._reported("opened"):
                self._psycopg.connect(url, connect_timeout=int(CONNECT_S)).close()  # says why; the pool only waits
                self._pool.open(wait=True, timeout=CONNECT_S)
                self._prepare()
            self._purge_if_due()
        except BaseException:
            self.close()
            raise

    def load(self, user: str, session_id: str) -> dict[str, Any] | None:
        owner = key(user, session_id)
        rows = self._run("read", "SELECT state FROM convrec_sessions WHERE user_id = %s AND session_id = %s", owner)
        return from_text(rows[0][0], session_id, self._name) if rows else None

    def save(self, user: str, session_id: str, state: dict[str, Any]) -> None:
        owner, text, now = key(user, session_id), to_text(state, session_id), self._clock()
        self._run(
            "written",
            "INSERT INTO convrec_sessions (user_id, session_id, state, created, updated) VALUES (%s, %s, %s, %s, %s) "
            "ON CONFLICT (user_id, session_id) DO UPDATE SET state = excluded.state, updated = excluded.updated",
            (*owner, text, now, now),
        )
        self._purge_if_due()

    @contextmanager
    def exclusive(self, user: str, session_id: str, wait_s: float) -> Iterator[None]:
        owner = key(user, session_id)
        number = int.from_bytes(hashlib.blake2b(repr(owner).encode(), digest_size=8).digest(), "big", signed=True)
        with self._reported("locked"):
            connection = self._psycopg.connect(self._url, autocommit=True, connect_timeout=int(CONNECT_S))
        try:
            with self._reported("locked"):
                connection.execute(
                    "SELECT set_config(%s, %s, false)", ("lock_timeout", f"{max(1, int(wait_s * 1000))}ms")
                )
                try:
                    connection.execute("SELECT pg_advisory_lock(%s)", (number,))
                except self._psycopg.errors.LockNotAvailable as error:
                    raise busy(session_id) from error
            yield
        finally:
            connection.close()

    def delete(self, user: str, session_id: str) -> bool:
        """Erase one session; its text stays on the server's disk until PostgreSQL reuses the room (docs/stores.md)."""
        owner = key(user, session_id)
        return bool(
            self._run(
                "written",
                "DELETE FROM convrec_sessions WHERE user_id = %s AND session_id = %s RETURNING 1",
                owner,
            )
        )

    def delete_user(self, user: str) -> int:
        return len(
            self._run("written", "DELETE FROM convrec_sessions WHERE user_id = %s RETURNING 1", (checked_user(user),))
        )

    def purge(self, before: datetime) -> int:
        return len(self._run("written", "DELETE FROM convrec_sessions WHERE updated < %s RETURNING 1", (before,)))

    def list(self, user: str) -> list[SessionInfo]:
        rows = self._run(
            "read",
            "SELECT session_id, created, updated FROM convrec_sessions WHERE user_id = %s "
            'ORDER BY updated DESC, session_id COLLATE "C"',
            (checked_user(user),),
        )
        return [SessionInfo(*row) for row in rows]

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._pool.close()

    def _prepare(self) -> None:
        with self._pool.connection() as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MAKING,))  # IF NOT EXISTS alone is not safe
            connection.execute(_CREATE)
            row = connection.execute("SELECT max(version) FROM convrec_layout").fetchone()
            if row[0] is None:
                connection.execute("INSERT INTO convrec_layout VALUES (%s)", (LAYOUT,))
            elif row[0] > LAYOUT:
                raise MemoryStoreError(
                    f"{self._name} is of layout {row[0]}; this convrec reads layout {LAYOUT}. Update convrec, or name "
                    "another database in sessions.url."
                )

    def _purge_if_due(self) -> None:
        before = self._retention.due(self._clock())
        if before is not None and (count := self.purge(before)):
            log.info("%d conversations not touched since %s were erased", count, before.date())

    def _run(self, verb: str, statement: str, values: tuple[Any, ...]) -> Rows:
        with self._reported(verb), self._pool.connection() as connection:
            cursor = connection.execute(statement, values)
            return list(cursor.fetchall()) if cursor.description is not None else []

    @contextmanager
    def _reported(self, verb: str) -> Iterator[None]:
        if self._closed:
            raise MemoryStoreError(f"{self._name} was closed; open a new one")
        try:
            yield
        except (self._psycopg.Error, OSError) as error:
            reason = str(error).strip().replace("\n", " ")
            raise MemoryStoreError(
                f"{self._name} cannot be {verb}: {reason}. Check that the server runs and sessions.url is right."
            ) from error

    def _shown(self, url: str) -> str:
        """The address without the password.

        Raises:
            SettingsError: it is none.
        """
        if not url.startswith(("postgresql://", "postgres://")):
            raise SettingsError("sessions.url: expected postgresql://user:password@host:port/database")
        try:
            parts = self._psycopg.conninfo.conninfo_to_dict(url)
        except self._psycopg.Error as error:
            raise SettingsError(f"sessions.url is no address of PostgreSQL: {error}") from error
        return f"postgresql://{parts.get('host', '')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"
