"""The vector store on disk: the one module that touches chromadb.

Chroma runs in the process and keeps one SQLite file and one index folder under its path. Vectors are ours (its own
embedder would download a model), telemetry is off.

What is deleted must be gone from the disk too. Chroma 1.5 alone does not do that: the text stays in its write-ahead
table ``embeddings_queue`` until ``sync_threshold`` writes later (1,000 by default) and in free pages of its SQLite
file, the vector stays in the index file, marked as deleted. So the threshold is set to its least value, a record is
overwritten before it is deleted, and the file is vacuumed. ``tests/test_memory.py`` searches the files for what was
forgotten.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from convrec.core.embedding import Embedder
from convrec.core.errors import MemoryStoreError
from convrec.core.extras import require
from convrec.core.items import FloatArray
from convrec.memory.store import StoredRecord, checked_user, checked_vectors

log = logging.getLogger(__name__)

COLLECTION = "preferences"
LAYOUT = 1
"""Version of how records lie in the collection."""
SYNC_THRESHOLD = 2
"""Chroma's least: writes until its log is moved into the index and emptied. Costs about 2 ms per write."""
VACUUM_TIMEOUT_S = 60
_TAG = "tag_"

# In a process of its own: two copies of SQLite in one process (Chroma's and Python's) must not open the same file,
# closing one would drop the locks of the other (https://www.sqlite.org/howtocorrupt.html, 2.2.1).
_VACUUM = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=30)
db.execute("VACUUM")
db.close()
"""


def _client(path: Path) -> Any:
    """A Chroma client over the files under ``path``."""
    chromadb = require("chromadb", "memory", "remembering preferences across runs (memory.store = chroma)")
    config = require("chromadb.config", "memory", "remembering preferences across runs (memory.store = chroma)")
    # _env_file=None: Chroma would read settings from any .env in the current folder.
    return chromadb.PersistentClient(path, settings=config.Settings(_env_file=None, anonymized_telemetry=False))


class ChromaStore:
    """A :class:`~convrec.memory.store.VectorStore` that lasts. One process at a time per folder.

    Args:
        path: folder of the store; created when missing.
        embedder: what makes the vectors; its name and dimension are recorded at creation and compared at every opening.

    Raises:
        MemoryStoreError: the store cannot be opened, or was made with another embedder.
        MissingExtraError: chromadb is not installed.
    """

    def __init__(self, path: Path, embedder: Embedder) -> None:
        self._path, self._dimension = path, embedder.dimension
        self._lock = threading.RLock()
        self._closed = False
        with self._reported(f"cannot be opened. If it is damaged, move {path} away: a new one is made"):
            path.mkdir(parents=True, exist_ok=True)
            _refuse_foreign_file(path / "chroma.sqlite3")
            self._chroma = _client(path)
            self._collection = self._chroma.get_or_create_collection(
                COLLECTION,
                embedding_function=None,
                # Only read when the collection is new. Inner product of unit vectors is the cosine, and unlike
                # Chroma's "cosine" it is 0, not NaN, for the zero vector of a text without features.
                metadata={"embedder": embedder.name, "dimension": embedder.dimension, "layout": LAYOUT},
                configuration={"hnsw": {"space": "ip", "sync_threshold": SYNC_THRESHOLD, "batch_size": SYNC_THRESHOLD}},
            )
            self._batch = int(self._chroma.get_max_batch_size())
        made = self._collection.metadata or {}
        found = (made.get("embedder"), made.get("dimension"), made.get("layout"))
        if found != (embedder.name, embedder.dimension, LAYOUT):
            self.close()
            raise MemoryStoreError(
                f"The preference store {path} was made with the embedder {found[0]} ({found[1]} dimensions, layout "
                f"{found[2]}), but {embedder.name} ({embedder.dimension} dimensions, layout {LAYOUT}) is set. "
                f"Set memory.embedder back, or export the preferences with the old setting and move {path} away."
            )

    def put(self, user: str, records: Sequence[StoredRecord], vectors: FloatArray) -> None:
        user, vectors = checked_user(user), checked_vectors(records, vectors, self._dimension)
        metadatas = [
            {"user": user, "id": r.id, "body": _to_json(r.body)} | {_TAG + t: v for t, v in r.tags.items()}
            for r in records
        ]
        with self._reported("cannot be written"):
            for start in range(0, len(records), self._batch):
                part = slice(start, start + self._batch)
                keys = [_key(user, record.id) for record in records[part]]
                # Chroma merges metadata on upsert; None removes the tags that a record no longer has.
                old = self._collection.get(ids=keys, include=["metadatas"])
                held = dict(zip(old["ids"], old["metadatas"], strict=True))
                new = [
                    dict.fromkeys(held.get(key, {})) | metadata
                    for key, metadata in zip(keys, metadatas[part], strict=True)
                ]
                self._collection.upsert(ids=keys, embeddings=vectors[part], metadatas=new)

    def get(
        self, user: str, *, ids: Sequence[str] | None = None, where: Mapping[str, str] | None = None
    ) -> list[StoredRecord]:
        user = checked_user(user)
        keys = None if ids is None else [_key(user, id_) for id_ in dict.fromkeys(ids)]
        found: list[StoredRecord] = []
        with self._reported("cannot be read"):
            starts = [None] if keys is None else range(0, len(keys), self._batch)
            for start in starts:
                part = None if keys is None or start is None else keys[start : start + self._batch]
                answer = self._collection.get(ids=part, where=_where(user, where), include=["metadatas"])
                found += [_record(metadata) for metadata in answer["metadatas"]]
        return sorted(found, key=lambda record: record.id)

    def query(
        self, user: str, vector: FloatArray, k: int, *, where: Mapping[str, str] | None = None
    ) -> list[tuple[StoredRecord, float]]:
        user = checked_user(user)
        if k < 1:
            return []
        with self._reported("cannot be searched"):
            answer = self._collection.query(
                query_embeddings=np.asarray(vector, dtype=np.float32)[None, :],
                n_results=k,
                where=_where(user, where),
                include=["metadatas", "distances"],
            )
            pairs = zip(answer["metadatas"][0], answer["distances"][0], strict=True)
            scored = [(_record(metadata), 1.0 - float(distance)) for metadata, distance in pairs]
        return sorted(scored, key=lambda pair: (-pair[1], pair[0].id))

    def delete(self, user: str, ids: Sequence[str]) -> int:
        user = checked_user(user)
        with self._lock:
            keys = [_key(user, record.id) for record in self.get(user, ids=ids)] if ids else []
            with self._reported("cannot be written"):
                for start in range(0, len(keys), self._batch):
                    part = keys[start : start + self._batch]
                    self._overwrite(part)
                    self._collection.delete(ids=part)
            if keys:
                self._vacuum()
        return len(keys)

    def close(self) -> None:
        with self._lock:
            if not self._closed:
                self._closed = True
                self._chroma.close()

    def _overwrite(self, keys: list[str]) -> None:
        """Put an empty record and a random vector in the place of each; the log is emptied on the way."""
        blank = np.random.default_rng().standard_normal((len(keys), self._dimension)).astype(np.float32)
        blank /= np.linalg.norm(blank, axis=1, keepdims=True)
        held = self._collection.get(ids=keys, include=["metadatas"])
        empty = [dict.fromkeys(metadata, "") for metadata in held["metadatas"]]
        self._collection.update(ids=held["ids"], embeddings=blank, metadatas=empty)

    def _vacuum(self) -> None:
        file = self._path / "chroma.sqlite3"
        command = [sys.executable, "-I", "-S", "-c", _VACUUM, str(file)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=VACUUM_TIMEOUT_S, check=False)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired) as error:
            problem = str(error)
        else:
            if done.returncode == 0:
                return
            problem = done.stderr.strip().rpartition("\n")[2]
        raise MemoryStoreError(
            f"The records were deleted, but {file} could not be compacted ({problem}); it may still hold their text. "
            "End other programs that use this store and forget anything once more: that compacts the whole file."
        )

    @contextmanager
    def _reported(self, what: str) -> Iterator[None]:
        """One call at a time; whatever Chroma raises becomes a MemoryStoreError."""
        errors = require("chromadb.errors", "memory", "remembering preferences across runs (memory.store = chroma)")
        with self._lock:
            if self._closed:
                raise MemoryStoreError(f"the preference store {self._path} was closed; open a new one")
            try:
                yield
            except (errors.ChromaError, sqlite3.Error, OSError, ValueError, RuntimeError, KeyError) as error:
                raise MemoryStoreError(f"The preference store {self._path} {what}: {error}") from error


def _refuse_foreign_file(file: Path) -> None:
    """Say at once that a file is no database; Chroma would try for long seconds."""
    if file.is_file() and file.stat().st_size:
        with file.open("rb") as opened:
            if opened.read(16) != b"SQLite format 3\0":
                raise OSError(f"{file.name} is not a SQLite file")


def _key(user: str, id_: str) -> str:
    """Chroma's id. It holds the user, so that no id of another user can be met, replaced or deleted."""
    return hashlib.blake2b(json.dumps([user, id_]).encode(), digest_size=16).hexdigest()


def _to_json(body: dict[str, Any]) -> str:
    return json.dumps(body, sort_keys=True, allow_nan=False)


def _record(metadata: Mapping[str, Any]) -> StoredRecord:
    tags = {name.removeprefix(_TAG): value for name, value in metadata.items() if name.startswith(_TAG)}
    return StoredRecord(metadata["id"], json.loads(metadata["body"]), tags)


def _where(user: str, tags: Mapping[str, str] | None) -> dict[str, Any]:
    """The one place where a filter is built: it always holds the user."""
    parts: list[dict[str, Any]] = [{"user": {"$eq": user}}]
    parts += [{_TAG + name: {"$eq": value}} for name, value in (tags or {}).items()]
    return parts[0] if len(parts) == 1 else {"$and": parts}
