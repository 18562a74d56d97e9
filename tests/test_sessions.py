"""Session storage: one contract for SQLite and PostgreSQL; keyed by user and session, durable, honest about damage."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from convrec.core.errors import MemoryStoreError, RequestError, SettingsError
from convrec.memory.session_states import Sessions
from convrec.memory.sessions import SCHEMA_VERSION, SessionStore
from convrec.memory.sessions_postgres import LAYOUT, PostgresSessionStore
from postgres_server import WHY_NOT, binaries, running_cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    if binaries() is None:
        pytest.skip(WHY_NOT)
    pytest.importorskip("psycopg_pool")
    with running_cluster() as url:
        yield url


@pytest.fixture
def postgres(cluster: str) -> str:
    """The address of an empty database."""
    import psycopg

    with psycopg.connect(cluster, autocommit=True) as db:
        db.execute("DROP SCHEMA public CASCADE")
        db.execute("CREATE SCHEMA public")
    return cluster


@pytest.fixture(params=["file", "in memory", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store lies, as a word that a process of its own can be given."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres"))
    return ":memory:" if request.param == "in memory" else str(tmp_path / "home" / "sessions.sqlite")


def opened(place: str, **how: Any) -> Sessions:
    return PostgresSessionStore(place, **how) if place.startswith("postgresql:") else SessionStore(place, **how)


@pytest.fixture
def store(place: str) -> Iterator[Sessions]:
    made = opened(place)
    yield made
    made.close()


def test_save_load_replace(store: Sessions) -> None:
    assert store.load("ann", "s1") is None
    store.save("ann", "s1", {"turns": [["hi", "hello"]], "n": 1})
    store.save("ann", "s1", {"turns": [], "text": "é\x00😀\ud800", "none": None})
    assert store.load("ann", "s1") == {"turns": [], "text": "é\x00😀\ud800", "none": None}


@pytest.mark.parametrize("other", ["bob", "ANN", "ann ", "an", "%", "ann' OR '1'='1", "日本"])
def test_another_users_session_is_never_read(store: SessionStore, other: str) -> None:
    store.save("ann", "s1", {"secret": 1})
    assert store.load(other, "s1") is None
    assert not store.delete(other, "s1")
    assert store.delete_user(other) == 0
    assert store.list(other) == []
    store.save(other, "s1", {"mine": 2})
    assert store.load("ann", "s1") == {"secret": 1}
    assert store.load(other, "s1") == {"mine": 2}


def test_list_and_delete(store: Sessions) -> None:
    for session in ("a", "b", "a"):
        store.save("ann", session, {})
    store.save("bob", "c", {})
    assert [info.session_id for info in store.list("ann")] == ["a", "b"]
    info = store.list("ann")[0]
    assert info.created < info.updated
    assert store.delete("ann", "a")
    assert not store.delete("ann", "a")
    assert store.load("ann", "a") is None
    assert store.delete_user("ann") == 1
    assert store.list("ann") == []
    assert store.load("bob", "c") == {}


@pytest.mark.parametrize("bad", ["", " \t", "x" * 201, "a\x00b", "\ud800"])
def test_bad_ids(store: SessionStore, bad: str) -> None:
    calls: list[tuple[str, Callable[[], object]]] = [
        ("user", lambda: store.load(bad, "s")),
        ("user", lambda: store.save(bad, "s", {})),
        ("user", lambda: store.delete_user(bad)),
        ("user", lambda: store.list(bad)),
        ("session_id", lambda: store.load("ann", bad)),
        ("session_id", lambda: store.save("ann", bad, {})),
        ("session_id", lambda: store.delete("ann", bad)),
    ]
    for field, call in calls:
        with pytest.raises(RequestError) as caught:
            call()
        assert caught.value.field == field


def test_a_state_that_is_no_json_changes_nothing(store: Sessions) -> None:
    store.save("ann", "s", {"ok": 1})
    for state in ({"x": object()}, {"x": float("nan")}):
        with pytest.raises(MemoryStoreError, match="JSON"):
            store.save("ann", "s", state)
    assert store.load("ann", "s") == {"ok": 1}


def test_closed(store: Sessions) -> None:
    store.close()
    store.close()
    with pytest.raises(MemoryStoreError, match="closed"):
        store.load("ann", "s")


def test_threads(store: Sessions) -> None:
    def work(user: int) -> None:
        for i in range(20):
            store.save(f"u{user}", "s", {"i": i})
            assert store.load(f"u{user}", "s") == {"i": i}

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


def test_two_stores_on_one_file(tmp_path: Path) -> None:
    first, second = SessionStore(tmp_path / "s"), SessionStore(tmp_path / "s")
    first.save("ann", "s", {"by": 1})
    assert second.load("ann", "s") == {"by": 1}
    second.save("ann", "s", {"by": 2})
    assert first.load("ann", "s") == {"by": 2}
    first.close()
    second.close()


def test_opened_by_several_at_once(tmp_path: Path) -> None:
    barrier = threading.Barrier(6)

    def work(number: int) -> None:
        barrier.wait()
        store = SessionStore(tmp_path / "s")
        store.save("ann", str(number), {})
        store.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    store = SessionStore(tmp_path / "s")
    assert len(store.list("ann")) == 6
    store.close()


@pytest.mark.parametrize("damage", ["{half", "[1, 2]", "null"])
def test_a_damaged_state_is_reported_and_can_be_deleted(tmp_path: Path, damage: str) -> None:
    store = SessionStore(tmp_path / "s")
    store.save("ann", "good", {"n": 1})
    store.save("ann", "bad", {"n": 2})
    with sqlite3.connect(tmp_path / "s") as db:
        db.execute("UPDATE sessions SET state = ? WHERE session_id = 'bad'", (damage,))
    with pytest.raises(MemoryStoreError, match=r"'bad'.*damaged.*[Dd]elete"):
        store.load("ann", "bad")
    assert store.load("ann", "good") == {"n": 1}
    store.save("ann", "bad", {"n": 3})
    assert store.load("ann", "bad") == {"n": 3}
    store.close()


def test_a_file_that_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "junk").write_bytes(b"no database" * 200)
    with pytest.raises(MemoryStoreError, match="move it away"):
        SessionStore(tmp_path / "junk")
    with sqlite3.connect(tmp_path / "other") as db:
        db.execute("CREATE TABLE films (id)")
    with pytest.raises(MemoryStoreError, match="not a session store"):
        SessionStore(tmp_path / "other")
    SessionStore(tmp_path / "newer").close()
    with sqlite3.connect(tmp_path / "newer") as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(MemoryStoreError, match=f"layout {SCHEMA_VERSION + 1}.*[Uu]pdate convrec"):
        SessionStore(tmp_path / "newer")


def test_what_is_deleted_is_in_no_file(tmp_path: Path) -> None:
    store = SessionStore(tmp_path / "s")
    store.save("ann", "s", {"text": "UNSPEAKABLE " * 500})
    store.save("bob", "s", {"text": "kept"})

    def holding() -> list[str]:
        return [f.name for f in tmp_path.iterdir() if b"UNSPEAKABLE" in f.read_bytes()]

    assert holding()
    store.delete("ann", "s")
    assert holding() == []
    assert store.load("bob", "s") == {"text": "kept"}
    store.close()


class TestRetention:
    def test_old_sessions_go_at_opening_and_once_a_day(self, place: str) -> None:
        now = datetime(2026, 1, 1, tzinfo=UTC)
        store = opened(place, retention_days=30, clock=lambda: now)
        store.save("ann", "old", {"n": 1})
        now += timedelta(days=20)
        store.save("bob", "newer", {"n": 2})
        now += timedelta(days=10)
        store.save("bob", "today", {})
        assert store.load("ann", "old") == {"n": 1}, "30 days are not more than 30 days"
        now += timedelta(hours=25)
        store.save("bob", "today", {})
        assert store.load("ann", "old") is None
        assert [info.session_id for info in store.list("bob")] == ["today", "newer"]
        if place != ":memory:":
            store.close()
            now += timedelta(days=30)
            store = opened(place, retention_days=30, clock=lambda: now)
            assert [info.session_id for info in store.list("bob")] == ["today"]
        store.close()

    def test_without_a_limit_nothing_goes(self, place: str) -> None:
        now = datetime(2000, 1, 1, tzinfo=UTC)
        store = opened(place, clock=lambda: now)
        store.save("ann", "old", {})
        now += timedelta(days=9000)
        store.save("ann", "new", {})
        assert len(store.list("ann")) == 2
        assert store.purge(now) == 1
        assert [info.session_id for info in store.list("ann")] == ["new"]
        store.close()


TAKE_TURNS = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_sessions import opened
store = opened(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[2])):
    with store.exclusive("ann", "s", 60):
        state = store.load("ann", "s") or {"turns": []}
        store.save("ann", "s", {"turns": [*state["turns"], sys.argv[4]]})
store.close()
"""

HOLD = """
import sys
sys.path.insert(0, sys.argv[2])
from test_sessions import opened
store = opened(sys.argv[1])
with store.exclusive("ann", "s", 60):
    print("held", flush=True)
    sys.stdin.readline()
"""


def started(program: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


HERE = str(Path(__file__).parent)


class TestTurns:
    def test_a_turn_waits_for_the_one_before(self, store: Sessions) -> None:
        with store.exclusive("ann", "s", 1):
            with store.exclusive("ann", "other", 1), store.exclusive("bob", "s", 1):
                pass
            with pytest.raises(RequestError, match="still running"), store.exclusive("ann", "s", 0.1):
                pass
        with store.exclusive("ann", "s", 1):
            pass

    def test_a_turn_that_fails_lets_go(self, store: Sessions) -> None:
        with pytest.raises(ZeroDivisionError), store.exclusive("ann", "s", 1):
            raise ZeroDivisionError
        with store.exclusive("ann", "s", 1):
            pass

    def test_threads_lose_no_turn(self, store: Sessions) -> None:
        def work(number: int) -> None:
            for _ in range(5):
                with store.exclusive("ann", "s", 60):
                    state = store.load("ann", "s") or {"n": 0}
                    store.save("ann", "s", {"n": state["n"] + 1})

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        assert store.load("ann", "s") == {"n": 20}

    def test_processes_lose_no_turn(self, place: str) -> None:
        if place == ":memory:":
            pytest.skip("a store in memory has one process")
        workers = [started(TAKE_TURNS, place, "20", HERE, name) for name in ("a", "b")]
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            assert worker.communicate("go\n", timeout=120)
            assert worker.returncode == 0
        store = opened(place)
        state = store.load("ann", "s")
        store.close()
        assert state is not None
        assert sorted(state["turns"]) == ["a"] * 20 + ["b"] * 20

    def test_a_killed_holder_lets_go(self, place: str) -> None:
        if place == ":memory:":
            pytest.skip("a store in memory has one process")
        store = opened(place)
        with started(HOLD, place, HERE) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(RequestError), store.exclusive("ann", "s", 0.05):
                pass
            holder.send_signal(signal.SIGKILL)
            holder.wait()
            with store.exclusive("ann", "s", 30):
                pass
        store.close()

    def test_no_lock_files_stay(self, tmp_path: Path) -> None:
        store = SessionStore(tmp_path / "s")
        for i in range(3):
            with store.exclusive("ann", str(i), 1):
                pass
        store.close()
        assert list((tmp_path / "s.turns").iterdir()) == []


class TestPostgres:
    @pytest.mark.parametrize("url", ["mysql://host/db", "host=here", "postgresql://h/db?nonsense=1"])
    def test_bad_addresses(self, url: str) -> None:
        pytest.importorskip("psycopg_pool")
        with pytest.raises(SettingsError, match=r"sessions\.url"):
            PostgresSessionStore(url)

    def test_no_server_and_no_password_in_the_message(self) -> None:
        pytest.importorskip("psycopg_pool")
        with pytest.raises(MemoryStoreError, match="cannot be opened") as caught:
            PostgresSessionStore("postgresql://me:hush@127.0.0.1:9/db")
        assert "hush" not in str(caught.value)

    def test_a_newer_layout_is_refused(self, postgres: str) -> None:
        import psycopg

        PostgresSessionStore(postgres).close()
        with psycopg.connect(postgres, autocommit=True) as db:
            db.execute("INSERT INTO convrec_layout VALUES (%s)", (LAYOUT + 1,))
        with pytest.raises(MemoryStoreError, match=f"layout {LAYOUT + 1}"):
            PostgresSessionStore(postgres)

    def test_opened_by_several_at_once(self, postgres: str) -> None:
        barrier = threading.Barrier(4)

        def work(number: int) -> None:
            barrier.wait()
            store = PostgresSessionStore(postgres)
            store.save("ann", str(number), {})
            store.close()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        store = PostgresSessionStore(postgres)
        assert len(store.list("ann")) == 4
        store.close()

    def test_a_server_that_was_restarted_is_found_again(self, postgres: str) -> None:
        import psycopg

        store = PostgresSessionStore(postgres)
        store.save("ann", "s", {"n": 1})
        with psycopg.connect(postgres, autocommit=True) as db:  # as a restart does to all connections
            db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        assert store.load("ann", "s") == {"n": 1}
        store.save("ann", "s", {"n": 2})
        assert store.load("ann", "s") == {"n": 2}
        store.close()
