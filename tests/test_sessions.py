"""Session storage: keyed by user and session, durable, honest about damage."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from convrec.core.errors import MemoryStoreError, RequestError
from convrec.memory.sessions import SCHEMA_VERSION, SessionStore


@pytest.fixture(params=["file", ":memory:"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SessionStore]:
    made = SessionStore(":memory:" if request.param == ":memory:" else tmp_path / "home" / "sessions.sqlite")
    yield made
    made.close()


def test_save_load_replace(store: SessionStore) -> None:
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


def test_list_and_delete(store: SessionStore) -> None:
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


def test_a_state_that_is_no_json_changes_nothing(store: SessionStore) -> None:
    store.save("ann", "s", {"ok": 1})
    for state in ({"x": object()}, {"x": float("nan")}):
        with pytest.raises(MemoryStoreError, match="JSON"):
            store.save("ann", "s", state)
    assert store.load("ann", "s") == {"ok": 1}


def test_closed(store: SessionStore) -> None:
    store.close()
    store.close()
    with pytest.raises(MemoryStoreError, match="closed"):
        store.load("ann", "s")


def test_threads(store: SessionStore) -> None:
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


WRITER = """
import sys
from convrec.memory.sessions import SessionStore
store = SessionStore(sys.argv[1])
print("ready", flush=True)
for i in range(10**9):
    store.save("ann", f"s{i % 5}", {"i": i, "pad": "x" * 5000})
    print(i, flush=True)
"""


def test_killed_while_writing_loses_nothing_confirmed(tmp_path: Path) -> None:
    for round_ in range(10):
        file = tmp_path / f"round{round_ % 3}"  # some files meet several kills
        with subprocess.Popen([sys.executable, "-c", WRITER, str(file)], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(20 + 7 * round_)]
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.readlines()
        confirmed = [int(line) for line in lines if line.endswith("\n") and line != "ready\n"]
        assert len(confirmed) >= 19
        store = SessionStore(file)
        for session in range(5):
            last = max(i for i in confirmed if i % 5 == session)
            state = store.load("ann", f"s{session}")
            assert state is not None
            # The one write that was in flight may be there too.
            assert state["i"] in (last, last + 5)
            assert state["pad"] == "x" * 5000
        store.close()
