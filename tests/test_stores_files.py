"""Chroma's files: what is erased is in none of them, what is damaged is said, nothing reaches the network."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from convrec.core.embedding import HashingEmbedder
from convrec.core.errors import MemoryStoreError
from convrec.core.items import FloatArray
from convrec.memory import chroma_files
from convrec.memory.chroma_store import ChromaStore
from convrec.memory.preferences import PreferenceMemory
from convrec.memory.records import NewPreference
from convrec.memory.store import StoredRecord
from convrec.memory.stored import words

DIMENSION = 16
SECRET = "UNSPEAKABLE"


def units(count: int, seed: int = 0) -> FloatArray:
    vectors = np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def record(id_: str, words: str = "kept", **tags: str) -> StoredRecord:
    return StoredRecord(id_, {"words": words}, tags)


def opened(tmp_path: Path) -> ChromaStore:
    return ChromaStore(tmp_path / "memory", HashingEmbedder(DIMENSION))


SEARCH = """
import pathlib, sys
needles = [bytes.fromhex(needle) for needle in sys.argv[2:]]
for file in pathlib.Path(sys.argv[1]).rglob("*"):
    try:
        content = file.read_bytes() if file.is_file() else b""
    except FileNotFoundError:
        continue
    if any(needle in content for needle in needles):
        print(file)
"""


def holding(folder: Path, vector: FloatArray) -> list[str]:
    """Files, of whatever name, that hold the secret word or three numbers in a row of the vector.

    Searched in a process of its own: closing a file drops the locks that Chroma has on it in this one.
    """
    needles = [SECRET.encode(), *(vector[i : i + 3].tobytes() for i in range(len(vector) - 2))]
    command = [sys.executable, "-I", "-S", "-c", SEARCH, str(folder), *(needle.hex() for needle in needles)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def rows_of_log(folder: Path) -> int:
    count = "SELECT COUNT(*) FROM embeddings_queue"
    program = f"import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute('{count}').fetchone())"
    command = [sys.executable, "-I", "-S", "-c", program, str(folder / "memory" / "chroma.sqlite3")]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


class Dense(HashingEmbedder):
    """Vectors without zeros, which could not be told from any other bytes of a file."""

    def embed(self, texts: Sequence[str]) -> FloatArray:
        vectors = [units(1, zlib.crc32(text.encode())) for text in texts]
        return np.concatenate(vectors) if vectors else np.zeros((0, DIMENSION), dtype=np.float32)


class TestErasing:
    @pytest.mark.parametrize("others", [0, 1, 2, 3])
    def test_what_is_deleted_is_in_no_file(self, tmp_path: Path, others: int) -> None:
        """``others``: later writes, since what Chroma's log holds depends on how many there were."""
        vectors = units(6)
        store = opened(tmp_path)
        store.put("ann", [record("secret", SECRET, subject=SECRET), record("other")], vectors[[0, 5]])
        for i in range(others):
            store.put("bob" if i % 2 else "ann", [record(str(i))], vectors[i + 1][None])
        assert holding(tmp_path, vectors[0])  # else the search below proves nothing
        assert store.delete("ann", ["secret"]) == 1
        assert holding(tmp_path, vectors[0]) == []
        store.put("ann", [record("later")], vectors[4][None])
        assert holding(tmp_path, vectors[0]) == []
        store.close()
        again = opened(tmp_path)
        assert "secret" not in [r.id for r in again.get("ann")]
        assert len(again.get("ann")) + len(again.get("bob")) == others + 2
        again.close()
        assert holding(tmp_path, vectors[0]) == []
        with sqlite3.connect(tmp_path / "memory" / "chroma.sqlite3") as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)

    def test_a_user_erased_whole_leaves_no_folder(self, tmp_path: Path) -> None:
        store = opened(tmp_path)
        vectors = units(120)
        store.put("ann", [record(str(i), f"{SECRET} {i}") for i in range(120)], vectors)
        store.put("bob", [record("b")], units(1, seed=2))
        assert store.delete("ann", [str(i) for i in range(120)]) == 120
        assert [file for vector in vectors[::10] for file in holding(tmp_path, vector)] == []
        assert len([entry for entry in (tmp_path / "memory").iterdir() if entry.is_dir()]) == 1
        assert [r.id for r in store.get("bob")] == ["b"]
        store.put("ann", [record("new")], vectors[:1])
        assert [r.id for r, _ in store.query("ann", vectors[0], 3)] == ["new"]
        store.close()

    @pytest.mark.parametrize("whole_user", [False, True])
    def test_a_forgotten_preference_is_in_no_file(self, tmp_path: Path, whole_user: bool) -> None:
        """Its words, what it said before a correction, what it superseded, its sources, and its line in the profile."""
        embedder = Dense(DIMENSION)
        memory = PreferenceMemory(opened(tmp_path), embedder)
        test = {"field": "genres", "op": "any", "values": [SECRET]}
        condition = {"expr": test, "label": SECRET, "slot": "genres", "said": SECRET}
        told: dict[str, Any] = {"kind": "standing", "subject": f"genres={SECRET}", "payload": {"condition": condition}}
        liked = NewPreference(polarity="wanted", text=f"always: {SECRET}", said=f"{SECRET}, please", **told)
        denied = NewPreference(polarity="unwanted", text=f"not {SECRET}", said=f"no {SECRET}", source_turn=3, **told)
        memory.add("bob", NewPreference(kind="note", polarity="neutral", subject="n", text="has a dog"))
        memory.add("ann", NewPreference(kind="note", polarity="neutral", subject="n", text="has a cat"))
        for new in (liked, denied, denied):
            kept = memory.add("ann", new)
        memory.edit("ann", kept.id, text=f"never {SECRET}", payload={"condition": condition})
        assert len(memory.refresh_profile("ann").rules) == 1
        vector = embedder.embed([words(memory.get("ann", kept.id))])[0]
        assert holding(tmp_path, vector)  # else the search below proves nothing
        if whole_user:
            assert memory.forget_all("ann") == 3
        else:
            memory.forget("ann", kept.id)
            assert [p.text for p in memory.list("ann", include_superseded=True)] == ["has a cat"]
        assert holding(tmp_path, vector) == []
        memory.close()
        assert holding(tmp_path, vector) == []
        again = PreferenceMemory(opened(tmp_path), embedder)
        assert [p.text for p in again.list("bob")] == ["has a dog"]
        again.close()

    def test_what_is_replaced_leaves_with_the_next_deletion(self, tmp_path: Path) -> None:
        vectors = units(3)
        store = opened(tmp_path)
        store.put("ann", [record("a", SECRET), record("b")], vectors[:2])
        store.put("ann", [record("a", "harmless")], vectors[2:])
        store.delete("ann", ["b"])
        assert holding(tmp_path, vectors[0]) == []
        store.close()

    def test_what_comes_after_the_log_was_emptied_is_kept(self, tmp_path: Path) -> None:
        """Chroma counts its writes on from its log. Were the newest row to go with its collection, it would take
        the next records for old ones and lose them without a word."""
        for round_ in range(3):
            store = opened(tmp_path)  # empties the log
            store.put("ann", [record(f"ann{round_}")], units(1))
            store.close()
            store = opened(tmp_path)
            store.delete("ann", [f"ann{round_}"])  # her collection goes, with its rows of the log
            store.close()
            store = opened(tmp_path)
            store.put("bob", [record(f"bob{round_}")], units(1, seed=round_))
            store.close()
            store = opened(tmp_path)
            assert [r.id for r in store.get("bob")] == [f"bob{n}" for n in range(round_ + 1)]
            [(best, cosine)] = store.query("bob", units(1, seed=round_)[0], 1)
            assert (best.id, cosine) == (f"bob{round_}", pytest.approx(1.0, abs=1e-5))
            store.close()

    def test_the_log_does_not_grow_with_the_users(self, tmp_path: Path) -> None:
        store = opened(tmp_path)
        for user in range(20):
            store.put(f"user{user}", [record("a", f"word{user}")], units(1))
        assert rows_of_log(tmp_path) > 19
        store._files.purge()
        store.close()
        assert rows_of_log(tmp_path) == 1
        again = opened(tmp_path)
        assert all([r.id for r in again.get(f"user{user}")] == ["a"] for user in range(20))
        again.close()

    def test_a_writer_knows_what_it_wrote(self, tmp_path: Path) -> None:
        """Read from memory after a write, from the disk by another: the same."""
        store, vectors = opened(tmp_path), units(4)
        store.put("ann", [record("a"), record("b")], vectors[:2])
        assert len(store.get("ann")) == 2  # in memory from here on
        store.put("ann", [record("b", "changed")], vectors[2:3])
        store.put("ann", [record("c")], np.zeros((1, DIMENSION), np.float32))
        known = [store.query("ann", wanted, 9) for wanted in vectors]
        store.close()
        again = opened(tmp_path)
        for wanted, mine in zip(vectors, known, strict=True):
            read = again.query("ann", wanted, 9)
            assert len(read) == 3
            assert [r for r, _ in mine] == [r for r, _ in read]
            assert [s for _, s in mine] == pytest.approx([s for _, s in read], abs=1e-6)
        again.close()

    def test_others_read_while_the_file_is_compacted(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        compacting, go_on = threading.Event(), threading.Event()
        real = chroma_files.ChromaFiles.compact

        def slow(self: chroma_files.ChromaFiles) -> str:
            compacting.set()
            assert go_on.wait(60)
            return real(self)

        monkeypatch.setattr(chroma_files.ChromaFiles, "compact", slow)
        store = opened(tmp_path)
        store.put("ann", [record("a", SECRET), record("b")], units(2))
        store.put("bob", [record("b")], units(1, seed=3))
        eraser = threading.Thread(target=store.delete, args=("ann", ["a"]))
        eraser.start()
        try:
            assert compacting.wait(60)
            assert [r.id for r in store.get("bob")] == ["b"]
            assert [r.id for r, _ in store.query("bob", units(1)[0], 3)] == ["b"]
            assert [r.id for r in store.get("ann")] == ["b"]
        finally:
            go_on.set()
            eraser.join()
        assert holding(tmp_path, units(2)[0]) == []
        store.close()

    def test_compacting_that_failed_is_reported_and_made_up_for(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As after a kill between deleting and compacting: the next opening does it."""
        vectors = units(2)
        store = opened(tmp_path)
        store.put("ann", [record("a", f"{SECRET} " * 2000), record("b")], vectors)
        with monkeypatch.context() as patch:
            patch.setattr(chroma_files, "COMPACT", "raise SystemExit('database is locked')")
            with pytest.raises(MemoryStoreError, match=r"could not be compacted \(database is locked"):
                store.delete("ann", ["a"])
        assert [r.id for r in store.get("ann")] == ["b"]
        store.close()
        assert holding(tmp_path, vectors[0])
        opened(tmp_path).close()
        assert holding(tmp_path, vectors[0]) == []

    def test_an_erasure_cut_off_before_deleting(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Overwritten, not yet deleted: it is gone for every reader, and the next erasure sweeps it out."""
        store = opened(tmp_path)
        store.put("ann", [record("a", SECRET), record("b")], units(2))
        handle = store._on("ann", lambda c: c)
        assert handle is not None
        held = handle.get(include=[])["ids"]
        handle.update(ids=[held[0]], metadatas=[{"user": "", "record": ""}])
        assert len(store.get("ann")) == len(store.query("ann", units(1)[0], 5)) == 1
        store.close()


class TestFiles:
    def test_reopening_finds_everything(self, tmp_path: Path) -> None:
        vectors = units(7)
        first = opened(tmp_path)
        for i in range(7):
            first.put("ann", [record(str(i))], vectors[i][None])
        first.close()
        second = opened(tmp_path)
        assert len(second.get("ann")) == 7
        for i in range(7):
            (found, score), *_ = second.query("ann", vectors[i], 1)
            assert found.id == str(i)
            assert score == pytest.approx(1.0, abs=1e-5)
        second.close()

    def test_more_than_one_batch(self, tmp_path: Path) -> None:
        store = opened(tmp_path)
        store.put("ann", [record(str(i)) for i in range(6000)], units(6000))
        assert len(store.get("ann")) == 6000
        assert len(store.get("ann", ids=[str(i) for i in range(5990)])) == 5990
        store.close()

    def test_damaged_file(self, tmp_path: Path) -> None:
        (tmp_path / "memory").mkdir()
        (tmp_path / "memory" / "chroma.sqlite3").write_bytes(b"no database, not at all" * 100)
        with pytest.raises(MemoryStoreError, match="move"):
            opened(tmp_path)

    def test_path_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "memory").write_text("")
        with pytest.raises(MemoryStoreError, match="cannot be opened"):
            opened(tmp_path)

    def test_nothing_reaches_out(self, tmp_path: Path) -> None:
        """Telemetry is off, whatever a .env says; watched by the operating system's own hook, not by Chroma's word.

        In a process of its own, that no patch of this one can have calmed.
        """
        (tmp_path / ".env").write_text("anonymized_telemetry=true\nis_persistent=false\n")
        program = """
import sys
seen = []
def watch(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        seen.append((event, args[-1] if event == "socket.connect" else args[0]))
sys.addaudithook(watch)
import numpy as np, socket, time
from pathlib import Path
from convrec.core.embedding import HashingEmbedder
from convrec.memory.chroma_store import ChromaStore
from convrec.memory.preferences import PreferenceMemory
from convrec.memory.records import NewPreference
from convrec.memory.store import StoredRecord
from convrec.memory.stored import words
store = ChromaStore(Path("memory"), HashingEmbedder(16))
vector = np.eye(1, 16, dtype=np.float32)
store.put("ann", [StoredRecord("a", {})], vector)
assert store.query("ann", vector[0], 1) and store.delete("ann", ["a"])
store.close()
assert not seen, seen
try:
    socket.create_connection(("127.0.0.1", 9), timeout=1)
except OSError:
    pass
assert seen, "the hook sees nothing"
"""
        done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def test_importing_the_modules_is_light(self) -> None:
        code = (
            "import sys, convrec.memory.chroma_store, convrec.memory.chroma_server, convrec.memory.preferences\n"
            "import convrec.memory.embedders, convrec.memory.sessions\n"
            "print([m for m in ('chromadb', 'torch', 'sentence_transformers', 'psycopg') if m in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"
