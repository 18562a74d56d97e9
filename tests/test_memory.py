"""Preference memory, MiniLM adapter. The stores have test files of their own: test_stores*.py."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from convrec.core.embedding import HashingEmbedder
from convrec.core.errors import MemoryStoreError, ModelError, RequestError
from convrec.core.items import FloatArray
from convrec.core.pull import path
from convrec.core.settings import load_settings
from convrec.memory.chroma_store import ChromaStore
from convrec.memory.embedders import MiniLMEmbedder
from convrec.memory.preferences import PreferenceMemory
from convrec.memory.records import NewPreference
from convrec.memory.store import InMemoryStore, StoredRecord, VectorStore

DIMENSION = 16


def units(count: int, seed: int = 0) -> FloatArray:
    vectors = np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def forbid_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError(f"network access: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def said(text: str, subject: str, **more: Any) -> NewPreference:
    return NewPreference(**{"kind": "attribute", "polarity": "unwanted", "subject": subject, "text": text} | more)


@pytest.fixture(params=["in memory", "chroma"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PreferenceMemory]:
    embedder = HashingEmbedder(64)
    store: VectorStore = InMemoryStore()
    if request.param == "chroma":
        store = ChromaStore(tmp_path / "memory", embedder)
    made = PreferenceMemory(store, embedder)
    yield made
    made.close()


class TestPreferences:
    def test_add_get_list_newest_first(self, memory: PreferenceMemory) -> None:
        first = memory.add("ann", said("no horror", "genres=Horror", payload={"field": "genres"}, source_turn=3))
        second = memory.add("ann", said("no westerns", "genres=Western"))
        assert memory.list("ann") == [second, first]
        assert memory.get("ann", first.id) == first
        assert first.payload == {"field": "genres"}
        assert memory.list("bob") == []

    def test_a_contradiction_supersedes(self, memory: PreferenceMemory) -> None:
        old = memory.add("ann", said("no horror", "genres=Horror"))
        new = memory.add("ann", said("horror is fine", "genres=Horror", polarity="wanted"))
        newest = memory.add("ann", said("loves horror", "genres=Horror", polarity="liked"))
        assert memory.list("ann") == [newest]
        history = memory.list("ann", include_superseded=True)
        assert [(p.id, p.superseded_by) for p in history] == [
            (newest.id, None),
            (new.id, newest.id),
            (old.id, new.id),
        ]

    def test_the_same_again_is_surer_not_twice(self, memory: PreferenceMemory) -> None:
        old = memory.add("ann", said("no horror", "genres=Horror", confidence=0.6))
        new = memory.add("ann", said("No  horror!", "genres=Horror", confidence=0.5))
        assert new.id == old.id
        assert new.confidence == pytest.approx(0.8)
        assert new.created > old.created
        assert memory.list("ann", include_superseded=True) == [new]

    def test_edit_corrects_in_place(self, memory: PreferenceMemory) -> None:
        old = memory.add("ann", said("no horror", "genres=Horror", payload={"exclude": "Horror"}, said="ugh, horror"))
        new = memory.edit("ann", old.id, text="no gory\nhorror")
        assert (new.id, new.text, new.said, new.confidence) == (old.id, "no gory horror", "no gory horror", 1.0)
        assert new.payload == {}, "a condition read from the old words must not go on acting"
        assert memory.list("ann", include_superseded=True) == [new]
        again = memory.edit("ann", old.id, polarity="wanted", payload={"include": "Horror"})
        assert (again.polarity, again.payload) == ("wanted", {"include": "Horror"})
        assert memory.get("ann", old.id) == again

    def test_edit_keeps_which_item(self, memory: PreferenceMemory) -> None:
        old = memory.add("ann", said("liked Heat (1995)", "item:tt1", kind="item", payload={"item": "tt1"}))
        assert memory.edit("ann", old.id, polarity="disliked").payload == {"item": "tt1"}

    @pytest.mark.parametrize(
        ("change", "field"),
        [({}, "edit"), ({"text": " "}, "text"), ({"text": "x" * 501}, "text"), ({"polarity": "meh"}, "polarity")],
    )
    def test_bad_edits(self, memory: PreferenceMemory, change: dict[str, Any], field: str) -> None:
        old = memory.add("ann", said("no horror", "genres=Horror"))
        with pytest.raises(RequestError) as caught:
            memory.edit("ann", old.id, **change)
        assert caught.value.field == field
        assert memory.list("ann") == [old]

    def test_history_is_not_edited(self, memory: PreferenceMemory) -> None:
        old = memory.add("ann", said("no horror", "genres=Horror"))
        new = memory.add("ann", said("horror is fine", "genres=Horror", polarity="wanted"))
        with pytest.raises(RequestError, match=new.id):
            memory.edit("ann", old.id, text="x")

    def test_forget_takes_the_history_along(self, memory: PreferenceMemory) -> None:
        memory.add("ann", said("no horror", "genres=Horror"))
        kept = memory.add("ann", said("no westerns", "genres=Western"))
        new = memory.add("ann", said("horror is fine", "genres=Horror", polarity="wanted"))
        assert memory.forget("ann", new.id) == new
        assert memory.list("ann", include_superseded=True) == [kept]
        with pytest.raises(RequestError):
            memory.forget("ann", new.id)

    def test_forget_one_of_the_history(self, memory: PreferenceMemory) -> None:
        texts = ("no horror", "some horror", "much horror")
        one, two, three = (memory.add("ann", said(text, "genres=Horror")) for text in texts)
        memory.forget("ann", two.id)
        left = memory.list("ann", include_superseded=True)
        assert [(p.id, p.superseded_by) for p in left] == [(three.id, None), (one.id, three.id)]

    def test_other_users_ids_are_unknown(self, memory: PreferenceMemory) -> None:
        mine = memory.add("ann", said("no horror", "genres=Horror"))
        memory.add("bob", said("loves horror", "genres=Horror", polarity="liked"))
        calls: list[Callable[[], object]] = [
            lambda: memory.get("bob", mine.id),
            lambda: memory.edit("bob", mine.id, text="x"),
            lambda: memory.forget("bob", mine.id),
        ]
        for call in calls:
            with pytest.raises(RequestError, match="no preference with that id"):
                call()
        assert memory.forget_all("bob") == 1
        assert memory.list("ann") == [mine]
        assert memory.relevant("bob", "horror") == []

    def test_forget_all_and_export(self, memory: PreferenceMemory) -> None:
        memory.add("ann", said("no horror", "genres=Horror"))
        memory.add("ann", said("horror is fine", "genres=Horror", polarity="wanted"))
        exported = json.loads(json.dumps(memory.export("ann")))
        assert (exported["format"], exported["version"], exported["user"]) == ("convrec-preferences", 1, "ann")
        assert [p["text"] for p in exported["preferences"]] == ["horror is fine", "no horror"]
        assert memory.forget_all("ann") == 2
        assert memory.forget_all("ann") == 0
        assert memory.export("ann")["preferences"] == []

    def test_relevant(self, memory: PreferenceMemory) -> None:
        standing = memory.add("ann", said("films for children only", "audience=children", kind="standing"))
        memory.add("ann", said("no horror films", "genres=Horror"))
        memory.add("ann", said("likes old horror films", "genres=Horror", polarity="liked", said="old horror films"))
        memory.add("ann", said("zither xylophone quartz", "note:1", kind="note"))
        recalled = memory.relevant("ann", "an old horror film please")
        assert [r.preference.text for r in recalled] == ["films for children only", "likes old horror films"]
        assert recalled[0].preference == standing
        assert recalled[0].score == 1.0
        assert "every request" in recalled[0].reason
        assert 0.3 <= recalled[1].score <= 1.0
        assert 'you said: "old horror films"' in recalled[1].reason
        assert [r.preference.kind for r in memory.relevant("ann", "an old horror film please", k=0)] == ["standing"]
        assert [r.preference.kind for r in memory.relevant("ann", "  ")] == ["standing"]

    def test_many_threads_one_subject(self, memory: PreferenceMemory) -> None:
        barrier = threading.Barrier(4)

        def work(number: int) -> None:
            barrier.wait()
            for i in range(5):
                memory.add("ann", said(f"opinion {number} {i}", "genres=Horror"))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        assert len(memory.list("ann")) == 1
        assert len(memory.list("ann", include_superseded=True)) == 20

    def test_a_record_of_another_version(self) -> None:
        store = InMemoryStore()
        store.put("ann", [StoredRecord("x", {"what": "is this"}, {"holds": "yes"})], units(1))
        with pytest.raises(MemoryStoreError, match="another version"):
            PreferenceMemory(store, HashingEmbedder(DIMENSION)).list("ann")


def test_supersession_is_one_write(tmp_path: Path) -> None:
    """Killed at any write, a subject never has two statements that hold."""

    class Failing(InMemoryStore):
        broken = False

        def put(self, user: str, records: Any, vectors: FloatArray) -> None:
            if self.broken:
                raise MemoryStoreError("disk full")
            super().put(user, records, vectors)

    store = Failing()
    memory = PreferenceMemory(store, HashingEmbedder(64))
    old = memory.add("ann", said("no horror", "genres=Horror"))
    store.broken = True
    with pytest.raises(MemoryStoreError):
        memory.add("ann", said("horror is fine", "genres=Horror"))
    assert memory.list("ann", include_superseded=True) == [old]


class TestMiniLM:
    def test_missing_files_say_how_to_get_them(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="convrec models pull all-minilm-l6-v2"):
            MiniLMEmbedder(tmp_path)

    def test_damaged_config(self, tmp_path: Path) -> None:
        for name in ("modules.json", "config.json", "model.safetensors"):
            (tmp_path / name).write_text("[]")
        with pytest.raises(ModelError, match="damaged"):
            MiniLMEmbedder(tmp_path)

    @pytest.mark.models
    def test_vectors_cache_and_precision(self, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = path("all-minilm-l6-v2", load_settings())
        if folder is None:
            pytest.skip("all-minilm-l6-v2 is not pulled")
        forbid_network(monkeypatch)
        embedder = MiniLMEmbedder(folder)
        assert (embedder.name, embedder.dimension) == ("all-minilm-l6-v2", 384)
        embedder.warm()
        assert embedder.embed([]).shape == (0, 384)
        sea, water, tax = embedder.embed(["a film about the sea", "a movie on the ocean", "corporate tax law"])
        assert sea @ water > 0.6 > 0.3 > sea @ tax
        texts = ["", "😀", *(f"film {i} " + "about the sea " * (i % 60) for i in range(300))]
        many = embedder.embed(texts)  # sorted, batched, bfloat16 where there is any
        assert many.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(many, axis=1), 1.0, atol=1e-5)
        for row in (0, 1, 2, 61, 150, 301):
            assert many[row] @ embedder.embed([texts[row]])[0] > 0.9998
        before = embedder.embed(["asked twice"])
        monkeypatch.setattr(embedder, "_encode", lambda _: pytest.fail("embedded again"))
        again = embedder.embed(["asked twice", "asked twice"])
        np.testing.assert_array_equal(again, np.vstack([before, before]))
        again[:] = 0.0  # the caller's own array
        np.testing.assert_array_equal(embedder.embed(["asked twice"]), before)
