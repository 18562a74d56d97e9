"""Records in Chroma, one collection per user: what the folder and the server store share.

Layout 2. A collection ``convrec-memory`` says in its metadata with which embedder the vectors were made and which
generation of collections holds. The records of a user are in ``u<generation>-<hash of the user id>``: a read touches
the records of one user only, and takes as long with one user as with a thousand (docs/benchmarks/memory_scale.md).

A user's vectors are compared by NumPy, exactly: there are few, and what is left out by tags must not take a place among
the k best. Chroma's index keeps them. Its space is "cosine", though the distance is never asked for: only then does
Chroma fill the field of lengths of its index, which otherwise is written as it lay in memory, with pieces of text.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, TypeVar

import numpy as np
from convrec.core.embedding import Embedder
from convrec.core.errors import MemoryStoreError
from convrec.core.items import FloatArray
from convrec.memory.chroma_client import errors
from convrec.memory.chroma_rows import (
    LAYOUT,
    OLD_ROOT,
    ROOT,
    Row,
    chroma_failures,
    drop_generation,
    find_collection,
    hash_of,
    key_of,
    metadata_of,
    new_collection,
    pad_row,
    record_of,
    root_metadata,
    root_of,
)
from convrec.memory.store import StoredRecord, checked_user, checked_vectors, has_tags

log = logging.getLogger(__name__)

HANDLES = 4096
"""Collections whose id is remembered."""
MIGRATE = "convrec memory migrate"

T = TypeVar("T")


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
                self._wrote(user, keys, rows[part], vectors[part])

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

    def _check_nothing(self) -> None:  # noqa: B027
        """Before it is said that a user has no records, where that may be because the store was migrated."""

    def _wrote(self, user: str, keys: list[str], rows: list[dict[str, Any]], vectors: FloatArray) -> None:  # noqa: B027
        """After records were put, still inside :meth:`_writing`."""

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
                    self._check_nothing()
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
                    continue  # a pad, or overwritten by an erasure that was cut off before it deleted
                if metadata.get("user") != user:
                    raise MemoryStoreError(f"{self._name} mixes users: a record of another user lies with this one's")
                vector = none
                if vectors and not metadata.get("bare"):
                    vector = np.asarray(answer["embeddings"][row], dtype=np.float32)
                yield key, record_of(metadata), vector

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
    if len(keys) == 1:
        pad, nothing, blank = pad_row(vectors.shape[1])
        keys, vectors, rows = [*keys, pad], np.vstack([vectors, nothing]), [*rows, blank]
    return lambda collection: collection.upsert(ids=keys, embeddings=vectors, metadatas=rows)


def _getting(keys: Sequence[str] | None, include: list[str]) -> Callable[[Any], dict[str, Any]]:
    return lambda collection: dict(collection.get(ids=keys, include=include))
