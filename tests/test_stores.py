"""Vector stores: one contract for the store in memory, Chroma's files and a Chroma server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from chroma_server import running_server
from convrec.core.embedding import HashingEmbedder
from convrec.core.errors import MemoryStoreError, RequestError, SettingsError
from convrec.core.items import FloatArray
from convrec.memory.chroma_client import server_client
from convrec.memory.chroma_server import ChromaServerStore
from convrec.memory.chroma_store import ChromaStore
from convrec.memory.store import InMemoryStore, StoredRecord, VectorStore

DIMENSION = 16
ODD_USERS = ["Zoë", "a'; DROP TABLE x; --", '{"$ne": ""}', "*", "日本", "u" * 200, "ann ", "Ann", '["ann", "same id"]']


def units(count: int, seed: int = 0) -> FloatArray:
    vectors = np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def record(id_: str, **tags: str) -> StoredRecord:
    return StoredRecord(id_, {"words": f"record {id_}"}, tags)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_server(tmp_path_factory.mktemp("server")) as url:
        yield url


def emptied(url: str) -> str:
    client = server_client(url)
    for collection in client.list_collections():
        client.delete_collection(collection.name)
    client.close()
    return url


@pytest.fixture(params=["in memory", "chroma", "chroma server"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorStore]:
    made: VectorStore = InMemoryStore()
    if request.param == "chroma":
        made = ChromaStore(tmp_path / "memory", HashingEmbedder(DIMENSION))
    if request.param == "chroma server":
        made = ChromaServerStore(emptied(request.getfixturevalue("server")), HashingEmbedder(DIMENSION))
    yield made
    made.close()


class TestStoreContract:
    def test_put_get_replace(self, store: VectorStore) -> None:
        store.put("ann", [record("b", kind="x"), record("a", kind="y", extra="1")], units(2))
        assert store.get("ann") == [record("a", kind="y", extra="1"), record("b", kind="x")]
        store.put("ann", [StoredRecord("a", {"n": [1, None, "é\x00😀"]}, {"kind": "z"})], units(1))
        assert store.get("ann", ids=["a", "a", "unknown"]) == [
            StoredRecord("a", {"n": [1, None, "é\x00😀"]}, {"kind": "z"})
        ]
        assert store.get("ann", where={"kind": "x"}) == [record("b", kind="x")]
        assert store.get("ann", where={"extra": "1"}) == []
        assert store.get("ann", ids=[]) == []

    def test_query_is_cosine_best_first_and_filtered(self, store: VectorStore) -> None:
        vectors = units(40)
        store.put("ann", [record(f"{i:02}", even=str(i % 2 == 0)) for i in range(40)], vectors)
        wanted = units(1, seed=9)[0]
        cosines = vectors @ wanted
        expected = sorted(range(0, 40, 2), key=lambda i: -cosines[i])[:7]
        found = store.query("ann", wanted, 7, where={"even": "True"})
        assert [r.id for r, _ in found] == [f"{i:02}" for i in expected]
        np.testing.assert_allclose([s for _, s in found], cosines[expected], atol=1e-5)
        assert store.query("ann", wanted, 0) == []
        assert len(store.query("ann", wanted, 1000)) == 40

    def test_zero_vector_scores_zero(self, store: VectorStore) -> None:
        store.put("ann", [record("a")], np.zeros((1, DIMENSION), np.float32))
        [(_, score)] = store.query("ann", units(1)[0], 1)
        assert score == pytest.approx(0.0, abs=1e-6)

    def test_what_looks_like_a_filter_is_a_value(self, store: VectorStore) -> None:
        store.put("ann", [record("a", kind="x", user="ann")], units(1))
        store.put("bob", [record("b", kind="x", user="bob")], units(1))
        for where in ({"user": "ann"}, {"$or": "x"}, {"kind": '{"$ne": "y"}'}, {"kind": {"$ne": "y"}}):
            assert store.get("bob", where=where) == []  # type: ignore[arg-type]
            assert store.query("bob", units(1)[0], 5, where=where) == []  # type: ignore[arg-type]
        for id_ in ('["ann", "a"]', "a", '{"$in": ["a"]}'):
            assert store.get("bob", ids=[id_]) == []
            assert store.delete("bob", [id_]) == 0
        assert [r.id for r in store.get("ann")] == ["a"]

    @pytest.mark.parametrize("other", ODD_USERS)
    def test_users_never_meet(self, store: VectorStore, other: str) -> None:
        vectors = units(2)
        store.put("ann", [record("same id", owner="ann")], vectors[:1])
        store.put(other, [record("same id", owner="other")], vectors[1:])
        for user, owner in (("ann", "ann"), (other, "other")):
            assert [r.tags["owner"] for r in store.get(user)] == [owner]
            assert [r.tags["owner"] for r in store.get(user, ids=["same id"])] == [owner]
            assert [r.tags["owner"] for r, _ in store.query(user, vectors[0], 10)] == [owner]
        assert store.delete(other, ["same id"]) == 1
        assert store.get(other) == []
        assert len(store.get("ann")) == 1

    def test_a_small_user_beside_a_large_one_is_found_whole(self, store: VectorStore) -> None:
        crowd, few = units(3000), units(3, seed=1)
        store.put("crowd", [record(str(i)) for i in range(3000)], crowd)
        store.put("ann", [record(str(i)) for i in range(3)], few)
        assert len(store.query("ann", crowd[0], 3)) == 3
        assert len(store.query("ann", -few[0], 3)) == 3

    def test_delete(self, store: VectorStore) -> None:
        store.put("ann", [record("a"), record("b")], units(2))
        assert store.delete("ann", ["b", "b", "unknown"]) == 1
        assert store.delete("ann", ["b"]) == 0
        assert store.delete("nobody", ["a"]) == 0
        assert store.delete("ann", []) == 0
        assert [r.id for r in store.get("ann")] == ["a"]
        assert [r.id for r, _ in store.query("ann", units(2)[1], 5)] == ["a"]
        store.put("ann", [record("b")], units(1, seed=5))
        assert len(store.query("ann", units(2)[1], 5)) == 2

    @pytest.mark.parametrize("user", ["", "  ", "x" * 201, "a\nb", "a\x00", "\ud800"])
    def test_bad_user(self, store: VectorStore, user: str) -> None:
        calls: list[Callable[[], object]] = [
            lambda: store.put(user, [record("a")], units(1)),
            lambda: store.get(user),
            lambda: store.query(user, units(1)[0], 1),
            lambda: store.delete(user, ["a"]),
        ]
        for call in calls:
            with pytest.raises(RequestError, match="user"):
                call()

    def test_bad_vectors(self, store: VectorStore) -> None:
        store.put("ann", [record("a")], units(1))
        bad = units(1)
        bad[0, 3] = np.nan
        for records, vectors in (
            ([record("b")], units(2)),
            ([record("b")], np.ones((1, DIMENSION + 1), np.float32)),
            ([record("b")], bad),
            ([record("b"), record("b")], units(2)),
        ):
            with pytest.raises(MemoryStoreError):
                store.put("ann", records, vectors)
        assert [r.id for r in store.get("ann")] == ["a"]

    def test_closed(self, store: VectorStore) -> None:
        store.close()
        store.close()
        for call in (lambda: store.get("ann"), lambda: store.put("ann", [record("a")], units(1))):
            with pytest.raises(MemoryStoreError, match="closed"):
                call()

    def test_threads(self, store: VectorStore) -> None:
        vectors = units(80)

        def work(user: int) -> None:
            for i in range(10):
                store.put(f"user{user}", [record(str(i))], vectors[user * 10 + i][None])
                assert len(store.query(f"user{user}", vectors[0], 20)) == i + 1
            store.delete(f"user{user}", ["0"])

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        assert [len(store.get(f"user{user}")) for user in range(8)] == [9] * 8


Opening = Callable[[HashingEmbedder], VectorStore]


class TestShared:
    """What only holds where the store outlives its object."""

    @pytest.fixture(params=["files", "server"])
    def opening(self, request: pytest.FixtureRequest, tmp_path: Path) -> Opening:
        if request.param == "files":
            return lambda embedder: ChromaStore(tmp_path / "memory", embedder)
        url = emptied(request.getfixturevalue("server"))
        return lambda embedder: ChromaServerStore(url, embedder)

    def test_two_at_once_see_each_other(self, opening: Opening) -> None:
        one, two = opening(HashingEmbedder(DIMENSION)), opening(HashingEmbedder(DIMENSION))
        vectors = units(4)
        one.put("ann", [record("a")], vectors[:1])
        assert [r.id for r in two.get("ann")] == ["a"]
        two.put("ann", [record("b")], vectors[1:2])
        assert [r.id for r, _ in one.query("ann", vectors[1], 5)] == ["b", "a"]
        assert one.delete("ann", ["a", "b"]) == 2
        assert two.get("ann") == []
        two.put("ann", [record("c")], vectors[2:3])
        assert [r.id for r in one.get("ann")] == ["c"]
        one.close()
        assert [r.id for r in two.get("ann")] == ["c"]
        two.close()

    def test_another_embedder_is_refused_with_the_command(self, opening: Opening) -> None:
        opening(HashingEmbedder(DIMENSION)).close()
        with pytest.raises(MemoryStoreError, match=r"hashing-16 \(16 .*hashing-8 \(8 .*convrec memory migrate"):
            opening(HashingEmbedder(8))

        class Other(HashingEmbedder):
            name = "other"  # type: ignore[assignment]

        with pytest.raises(MemoryStoreError, match=r"hashing-16 \(16 .*other \(16 .*convrec memory migrate"):
            opening(Other(DIMENSION))
        opening(HashingEmbedder(DIMENSION)).close()

    def test_a_record_of_another_user_is_never_handed_out(
        self, opening: Opening, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Even if two users' collections were one, by a fault or a forged name."""
        store = opening(HashingEmbedder(DIMENSION))
        monkeypatch.setattr(type(store), "_collection_name", lambda self, user: "u1-the-same-for-all")
        store.put("ann", [record("a")], units(1))
        with pytest.raises(MemoryStoreError, match="another user"):
            store.get("bob")
        with pytest.raises(MemoryStoreError, match="another user"):
            store.query("bob", units(1)[0], 3)
        assert store.delete("bob", ["a"]) == 0
        assert len(store.get("ann")) == 1
        store.close()


def test_no_server_no_address() -> None:
    with pytest.raises(MemoryStoreError, match="chroma run"):
        ChromaServerStore("http://127.0.0.1:9", HashingEmbedder(DIMENSION))
    for url in ("127.0.0.1:8000", "ftp://host", "http://", "http://host:port", "http://host/path"):
        with pytest.raises(SettingsError, match=r"memory\.url"):
            ChromaServerStore(url, HashingEmbedder(DIMENSION))
