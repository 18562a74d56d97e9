"""Records in Chroma, one collection per user: what the folder and the server store share.

Layout 2. A collection ``convrec-memory`` says in its metadata with which embedder the vectors were made and which
generation of collections holds. The records of a user are in ``u<generation>-<hash of the user id>``: a read touches
the records of one user only, and takes as long with one user as with a thousand (docs/benchmarks/memory_scale.md).

A user's vectors are compared by NumPy, exactly: there are few, and what is left out by tags must not take a place among
the k best. Chroma's index keeps them. Its space is "cosine", though the distance is never asked for: only then does
Chroma fill the field of lengths of its index, which otherwise is written as it lay in memory, with pieces of text.
"""

from __future__ import annotations

import hashlib
import json
import logging
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import Any, TypeAlias, TypeVar

import numpy as np
from convrec.core.embedding import Embedder
from convrec.core.errors import MemoryStoreError
from convrec.core.items import FloatArray
from convrec.memory.chroma_client import errors
from convrec.memory.embedded import TextOf
from convrec.memory.store import StoredRecord, checked_user, checked_vectors, has_tags

log = logging.getLogger(__name__)

ROOT = "convrec-memory"
LAYOUT = 2
"""Version of how records lie in Chroma. 1 was one collection for all users, ``preferences``."""
OLD_ROOT = "preferences"
SYNC_THRESHOLD = 2
"""Chroma's least: writes until its log, which holds the text, is moved into the index and emptied."""
HANDLES = 4096
"""Collections whose id is remembered."""
MIGRATE = "convrec memory migrate"

T = TypeVar("T")
Row: TypeAlias = tuple[str, StoredRecord, FloatArray]
"""Chroma's id, the record, its vector (zeros when it has none or was not asked for)."""


class ChromaRecords(ABC):
    """A :class:`~convrec.memory.store.VectorStore` over any Chroma client."""

    def __init__(self, embedder: Embedder, name: str) -> None:
        self._embedder, self._dimension, self._name = embedder.name, embedder.dimension, name
        self._generation = 0
        self._handles: OrderedDict[str, Any] = OrderedDict()
        self._chroma: Any = None
        self._batch = 1

    @property
    def dimension(self) -> int:
        """Of the vectors."""
        return self._dimension

    # -- what differs -------------------------------------------------------------------------------------------------

    @abstractmethod
    def _reading(self) -> AbstractContextManager[None]:
        """Around the calls of one read."""

    @abstractmethod
    def _writing(self) -> AbstractContextManager[None]:
        """Around the calls of one change."""

    @abstractmethod
    def _calling(self) -> AbstractContextManager[None]:
        """Around each call of Chroma."""

    @abstractmethod
    def _erase_traces(self, user: str) -> None:
        """After a deletion, still inside :meth:`_writing`."""

    @abstractmethod
    def close(self) -> None: ...

    # -- the contract -------------------------------------------------------------------------------------------------

    def put(self, user: str, records: Sequence[StoredRecord], vectors: FloatArray) -> None:
        user, vectors = checked_user(user), checked_vectors(records, vectors, self._dimension)
        if not records:
            return
        bare = np.asarray(~vectors.any(axis=1))
        rows = [metadata_of(user, record, bare=bool(zero)) for record, zero in zip(records, bare, strict=True)]
        vectors = np.where(bare[:, None], np.eye(1, self._dimension, dtype=np.float32), vectors)
        with self._writing(), self._reported("cannot be written"):
            self._check_root()
            for start in range(0, len(records), self._batch):
                part = slice(start, start + self._batch)
                keys = [key_of(user, record.id) for record in records[part]]
                self._on(user, _upserting(keys, vectors[part], rows[part]), make=True)

    def get(
        self, user: str, *, ids: Sequence[str] | None = None, where: Mapping[str, str] | None = None
    ) -> list[StoredRecord]:
        user = checked_user(user)
        keys = None if ids is None else [key_of(user, id_) for id_ in dict.fromkeys(ids)]
        with self._reading(), self._reported("cannot be read"):
            found = [record for _, record, _ in self._rows(user, keys, vectors=False) if has_tags(record, where)]
        return sorted(found, key=lambda record: record.id)

    def query(
        self, user: str, vector: FloatArray, k: int, *, where: Mapping[str, str] | None = None
    ) -> list[tuple[StoredRecord, float]]:
        user = checked_user(user)
        if k < 1:
            return []
        wanted = np.asarray(vector, dtype=np.float32)
        with self._reading(), self._reported("cannot be searched"):
            rows = [(r, v) for _, r, v in self._rows(user, None, vectors=True) if has_tags(r, where)]
        if not rows:
            return []
        cosines = np.stack([v for _, v in rows]) @ wanted
        scored = [(record, float(cosine)) for (record, _), cosine in zip(rows, cosines, strict=True)]
        return sorted(scored, key=lambda pair: (-pair[1], pair[0].id))[:k]

    def delete(self, user: str, ids: Sequence[str]) -> int:
        user = checked_user(user)
        keys = [key_of(user, id_) for id_ in dict.fromkeys(ids)]
        if not keys:
            return 0
        with self._writing():
            with self._reported("cannot be written"):
                self._check_root()
                count = 0
                for start in range(0, len(keys), self._batch):
                    part = keys[start : start + self._batch]
                    count += self._on(user, partial(self._overwrite_and_delete, keys=part)) or 0
            if count:
                self._erase_traces(user)
        return count

    # -- inside -------------------------------------------------------------------------------------------------------

    def _attach(self, client: Any) -> None:
        """Take a fresh client into use: make or check the root collection."""
        self._chroma = client
        self._handles.clear()
        self._batch = int(client.get_max_batch_size())
        root = root_of(client)
        if root is None:
            if find_collection(client, OLD_ROOT) is not None:
                raise MemoryStoreError(
                    f"{self._name} is of layout 1, this convrec reads layout {LAYOUT}. Run: {MIGRATE}"
                )
            made = root_metadata(self._embedder, self._dimension, 1)
            root = client.get_or_create_collection(ROOT, embedding_function=None, metadata=made).metadata or {}
        self._generation = self._checked_root(root)
        if root.get("cleanup", -1) >= 0:  # a migration was cut off after its last step but one
            drop_generation(client, root["cleanup"])
            fresh = root_metadata(self._embedder, self._dimension, self._generation)
            client.get_collection(ROOT, embedding_function=None).modify(metadata=fresh)

    def _checked_root(self, root: Mapping[str, Any]) -> int:
        if root.get("migrating"):
            raise MemoryStoreError(
                f"{self._name} is being moved to the embedder {root['migrating']}. Wait until that is done; if it was "
                f"interrupted, run it again: {MIGRATE}"
            )
        found = (root.get("embedder"), root.get("dimension"), root.get("layout"))
        if found != (self._embedder, self._dimension, LAYOUT):
            raise MemoryStoreError(
                f"{self._name} was made with the embedder {found[0]} ({found[1]} dimensions, layout {found[2]}), but "
                f"{self._embedder} ({self._dimension} dimensions, layout {LAYOUT}) is set. Set memory.embedder back, "
                f"or embed all records anew: {MIGRATE}"
            )
        return int(root["generation"])

    def _check_root(self) -> None:  # noqa: B027 - not abstract: mostly there is nothing to do
        """Before a write, where other processes could migrate the store meanwhile."""

    def _collection_name(self, user: str) -> str:
        """The one place where a user id becomes the name of what is read and written."""
        return f"u{self._generation}-{hash_of(user)}"

    def _on(self, user: str, act: Callable[[Any], T], *, make: bool = False) -> T | None:
        """``act`` on the collection of the user; None when there is none and none is to be made."""
        name = self._collection_name(user)
        missing = errors().NotFoundError
        while True:
            with self._calling():
                handle = self._handles.get(name)
                remembered = handle is not None
                if handle is None:
                    handle = self._find(name, make)
                if handle is None:
                    self._check_root()
                    return None
                self._handles[name] = handle
                while len(self._handles) > HANDLES:
                    self._handles.popitem(last=False)
                try:
                    return act(handle)
                except missing:  # another process erased this user
                    self._handles.pop(name, None)
                    if not remembered:
                        raise

    def _find(self, name: str, make: bool) -> Any:
        return new_collection(self._chroma, name) if make else find_collection(self._chroma, name)

    def _rows(self, user: str, keys: Sequence[str] | None, *, vectors: bool) -> Iterator[Row]:
        """The user's records, all or those of ``keys``."""
        return self._fetched(user, keys, vectors=vectors)

    def _fetched(self, user: str, keys: Sequence[str] | None, *, vectors: bool) -> Iterator[Row]:
        include = ["metadatas", "embeddings"] if vectors else ["metadatas"]
        none = np.zeros(self._dimension, np.float32)
        starts: Sequence[int] = range(0, len(keys), self._batch) if keys is not None else [0]
        for start in starts:
            part = keys[start : start + self._batch] if keys is not None else None
            answer = self._on(user, _getting(part, include))
            if answer is None:
                return
            for row, (key, metadata) in enumerate(zip(answer["ids"], answer["metadatas"], strict=True)):
                if not metadata.get("record"):
                    continue  # overwritten by an erasure that was cut off before it deleted
                if metadata.get("user") != user:
                    raise MemoryStoreError(f"{self._name} mixes users: a record of another user lies with this one's")
                vector = none
                if vectors and not metadata.get("bare"):
                    vector = np.asarray(answer["embeddings"][row], dtype=np.float32)
                yield key, _record(metadata), vector

    def _overwrite_and_delete(self, collection: Any, keys: list[str]) -> int:
        """Put an empty record and a random vector in the place of each, then delete; Chroma's log is emptied on the
        way, and its index, where deleted vectors stay, holds the random one."""
        held: list[str] = collection.get(ids=keys, include=[])["ids"]
        if held:
            blank = np.random.default_rng().standard_normal((len(held), self._dimension)).astype(np.float32)
            blank /= np.linalg.norm(blank, axis=1, keepdims=True)
            collection.update(ids=held, embeddings=blank, metadatas=[dict.fromkeys(("user", "record"), "")] * len(held))
            collection.delete(ids=held)
        return len(held)

    @contextmanager
    def _reported(self, what: str) -> Iterator[None]:
        """Whatever Chroma raises becomes a MemoryStoreError."""
        try:
            yield
        except chroma_failures() as error:
            raise MemoryStoreError(f"{self._name} {what}: {error}") from error


def _upserting(keys: list[str], vectors: FloatArray, rows: list[dict[str, Any]]) -> Callable[[Any], None]:
    return lambda collection: collection.upsert(ids=keys, embeddings=vectors, metadatas=rows)


def _getting(keys: Sequence[str] | None, include: list[str]) -> Callable[[Any], dict[str, Any]]:
    return lambda collection: dict(collection.get(ids=keys, include=include))


def chroma_failures() -> tuple[type[Exception], ...]:
    """What Chroma's clients raise, the HTTP client's transport errors included (they are ``Exception`` s of httpx)."""
    import httpx  # noqa: PLC0415 - not needed until a store is opened

    return (errors().ChromaError, httpx.HTTPError, OSError, ValueError, RuntimeError, KeyError)


def root_metadata(embedder: str, dimension: int, generation: int, *, cleanup: int = -1) -> dict[str, Any]:
    """``cleanup``: a generation that is still to be dropped, -1 for none."""
    return {
        "embedder": embedder,
        "dimension": dimension,
        "layout": LAYOUT,
        "generation": generation,
        "migrating": "",
        "cleanup": cleanup,
    }


def root_of(client: Any) -> dict[str, Any] | None:
    """The metadata of the root collection, None when there is none."""
    root = find_collection(client, ROOT)
    return None if root is None else dict(root.metadata or {})


def find_collection(client: Any, name: str) -> Any:
    """The collection, None when there is none."""
    try:
        return client.get_collection(name, embedding_function=None)
    except errors().NotFoundError:
        return None


def new_collection(client: Any, name: str) -> Any:
    """The collection of one user; made when missing."""
    hnsw = {"space": "cosine", "sync_threshold": SYNC_THRESHOLD, "batch_size": SYNC_THRESHOLD}
    return client.get_or_create_collection(name, embedding_function=None, configuration={"hnsw": hnsw})


def embed_rows(collection: Any, rows: Mapping[str, dict[str, Any]], embedder: Embedder, text_of: TextOf) -> None:
    """Put records, given by their metadata under Chroma's id, with vectors made from their words."""
    if not rows:
        return
    texts = [text_of(_record(metadata)) for metadata in rows.values()]
    vectors = embedder.embed([text or "" for text in texts])
    bare = np.array([text is None for text in texts]) | ~vectors.any(axis=1)
    vectors = np.where(bare[:, None], np.eye(1, embedder.dimension, dtype=np.float32), vectors)
    metadatas = [dict(metadata) | {"bare": bool(zero)} for metadata, zero in zip(rows.values(), bare, strict=True)]
    collection.upsert(ids=list(rows), embeddings=vectors, metadatas=metadatas)


def names_of(client: Any, generation: int) -> list[str]:
    """Names of the users' collections of one generation, in order."""
    found: list[str] = []
    while page := client.list_collections(limit=1000, offset=len(found)):
        found += [str(collection.name) for collection in page]
    return sorted(name for name in found if name.startswith(f"u{generation}-"))


def drop_generation(client: Any, generation: int) -> None:
    """Drop the users' collections of a generation; 0 is the one collection of layout 1."""
    names = names_of(client, generation) if generation else [OLD_ROOT]
    for name in names:
        with suppress(errors().NotFoundError):
            client.delete_collection(name)


def hash_of(user: str) -> str:
    return hashlib.blake2b(user.encode(), digest_size=16).hexdigest()


def key_of(user: str, id_: str) -> str:
    """Chroma's id of a record; it holds the user, so that it could not be met in another's collection either."""
    return hashlib.blake2b(json.dumps([user, id_]).encode(), digest_size=16).hexdigest()


def metadata_of(user: str, record: StoredRecord, *, bare: bool) -> dict[str, Any]:
    """Always the same fields: Chroma merges metadata on upsert, so a field once there would stay."""
    text = json.dumps([record.id, record.body, dict(record.tags)], allow_nan=False)
    return {"user": user, "record": text, "bare": bare}


def _record(metadata: Mapping[str, Any]) -> StoredRecord:
    id_, body, tags = json.loads(metadata["record"])
    return StoredRecord(id_, body, tags)
