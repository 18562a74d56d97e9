"""The vector store on disk: Chroma in this process, one SQLite file and one index folder per user under its path.

What is deleted must be gone from the disk too. Chroma 1.5 alone does not do that: the text stays in its log, the table
``embeddings_queue``, and in free pages of its SQLite file; the vector stays in the index file, marked as deleted. So
the log's threshold is set to its least value, a record is overwritten before it is deleted, and the file is compacted.
``tests/test_stores_files.py`` searches the files for what was forgotten.

Chroma 1.5 writes its index files in place: killed meanwhile, it cannot read the user's collection any more, though the
records are safe in SQLite. Such an index is dropped and made anew from the records' words (``tests/test_crash.py``).
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from convrec.core.embedding import Embedder
from convrec.core.errors import MemoryStoreError
from convrec.core.items import FloatArray
from convrec.memory.chroma_client import errors, folder_client
from convrec.memory.chroma_files import ChromaFiles
from convrec.memory.chroma_records import ChromaRecords, T
from convrec.memory.chroma_rows import Row, embed_rows, find_collection, pad_row, record_of
from convrec.memory.embedded import TextOf, embedded_text
from convrec.memory.gate import Gate
from convrec.memory.store import StoredRecord

log = logging.getLogger(__name__)

BROKEN_INDEX = "hnsw"
"""In what Chroma says when it cannot read an index."""
PURGE_EVERY = 100
"""Writes after which Chroma's log is emptied beside."""
CACHED_USERS = 256
"""Users whose records are kept in memory once read, about 200 KiB each at 100 records."""


class ChromaStore(ChromaRecords):
    """A :class:`~convrec.memory.store.VectorStore` that lasts.

    Several processes may have the folder open: each sees what another changed, by opening Chroma anew (about 30 ms).
    That is meant for a command beside a running program; for several servers use
    :class:`~convrec.memory.chroma_server.ChromaServerStore`.

    Args:
        path: folder of the store; created when missing.
        embedder: what makes the vectors; its name and dimension are recorded at creation and compared at every opening.
        text_of: the words whose vector belongs to a record, for making an index anew.

    Raises:
        MemoryStoreError: the store cannot be opened, or was made with another embedder.
        MissingExtraError: chromadb is not installed.
    """

    def __init__(self, path: Path, embedder: Embedder, *, text_of: TextOf = embedded_text) -> None:
        super().__init__(embedder, f"The preference store {path}")
        self._make_vectors, self._text_of = embedder, text_of
        errors()
        self._files = ChromaFiles(path)
        self._change = threading.RLock()
        """Held for a whole change, compacting included; taken before everything else."""
        self._gate = Gate()
        """Shared by reads, had alone by each call of Chroma that changes something and while Chroma is opened or shut:
        reading goes on while the file is compacted."""
        self._writer = 0
        """The thread inside :meth:`_writing`."""
        self._puts = 0
        self._closed = False
        self._seen = -1
        self._cache: OrderedDict[str, dict[str, Row]] = OrderedDict()
        """Replaced, never changed in place: reads go through them without a lock."""
        self._caching = threading.Lock()
        with self._reported(f"cannot be opened. If it is damaged, move {path} away: a new one is made"):
            fresh = not self._files.database.exists()
            self._files.prepare()
            with self._files.exclusive():
                self._open()
                if fresh:
                    self._files.prepare()
                for name in self._files.unmended:  # killed while mending
                    self._embed_anew(name)
                self._blank_unused()
                if self._files.compaction_owed and (problem := self._files.compact()):
                    log.warning("%s still holds erased text; it could not be compacted: %s", path, problem)

    def get(
        self, user: str, *, ids: Sequence[str] | None = None, where: Mapping[str, str] | None = None
    ) -> list[StoredRecord]:
        return self._mending(user, lambda: super(ChromaStore, self).get(user, ids=ids, where=where))

    def query(
        self, user: str, vector: FloatArray, k: int, *, where: Mapping[str, str] | None = None
    ) -> list[tuple[StoredRecord, float]]:
        return self._mending(user, lambda: super(ChromaStore, self).query(user, vector, k, where=where))

    def delete(self, user: str, ids: Sequence[str]) -> int:
        return self._mending(user, lambda: super(ChromaStore, self).delete(user, ids))

    def close(self) -> None:
        with self._change, self._gate.alone():
            if not self._closed:
                self._closed = True
                self._files.settle()
                self._blank_unused()
                self._shut()

    def _mending(self, user: str, act: Callable[[], T]) -> T:
        """``act``, once more when the user's index had to be made anew; all changes can be done twice."""
        try:
            return act()
        except MemoryStoreError as error:
            if (
                not isinstance(error.__cause__, errors().ChromaError)
                or BROKEN_INDEX not in str(error.__cause__).lower()
            ):
                raise
            log.warning("the index of a user was cut off while it was written; it is made anew (%s)", error.__cause__)
        name = self._collection_name(user)
        with self._writing(), self._gate.alone(), self._reported("could not be mended"):
            self._files.unmended = sorted({*self._files.unmended, name})
            identity = str(self._chroma.get_collection(name, embedding_function=None).id)
            self._shut()
            problem = self._files.drop_index(identity)
            if problem:
                raise OSError(problem)
            self._open()
            self._embed_anew(name)
        return act()

    def _embed_anew(self, name: str) -> None:
        """Vectors for all records of a collection, from their words."""
        collection = find_collection(self._chroma, name)
        if collection is not None:
            held = collection.get(include=["metadatas"])
            rows = dict(zip(held["ids"], held["metadatas"], strict=True))
            blank = [key for key, metadata in rows.items() if not metadata.get("record")]
            for start in range(
                0, len(blank), self._batch
            ):  # Chroma reads no row that has no vector, and none beside it
                part = blank[start : start + self._batch]
                collection.upsert(ids=part, embeddings=np.repeat(pad_row(self.dimension)[1], len(part), axis=0))
            kept = [key for key in rows if key not in set(blank)]
            for start in range(0, len(kept), self._batch):
                part = kept[start : start + self._batch]
                embed_rows(collection, {key: rows[key] for key in part}, self._make_vectors, self._text_of)
        self._files.unmended = [other for other in self._files.unmended if other != name]

    def _blank_unused(self) -> None:
        try:
            self._files.blank_unused()
        except OSError as error:
            log.warning("unused room of the index files may hold pieces of texts: %s", error)

    def _open(self) -> None:
        """Open Chroma as the files are now; the caller keeps other processes from writing."""
        self._shut()
        self._seen = self._files.changes()
        client = folder_client(self._files.path)
        try:
            self._attach(client)
        except BaseException:
            self._chroma = None
            client.close()
            raise

    def _rows(self, user: str, keys: Sequence[str] | None, *, vectors: bool) -> Iterator[Row]:
        """From memory, when they were read before: a request asks several times."""
        with self._caching:
            mine = self._cache.get(user)
            if mine is not None:
                self._cache.move_to_end(user)
        if mine is None:  # whoever changes something waits until this is read and kept
            mine = {row[0]: row for row in self._fetched(user, None, vectors=True)}
            with self._caching:
                self._cache[user] = mine
                while len(self._cache) > CACHED_USERS:
                    self._cache.popitem(last=False)
        return iter([mine[key] for key in keys if key in mine] if keys is not None else list(mine.values()))

    def _on(self, user: str, act: Callable[[Any], T], *, make: bool = False) -> T | None:
        if self._writer != threading.get_ident():
            return super()._on(user, act, make=make)
        with self._gate.alone():
            return super()._on(user, act, make=make)

    def put(self, user: str, records: Sequence[StoredRecord], vectors: FloatArray) -> None:
        self._mending(user, lambda: self._put(user, records, vectors))

    def _put(self, user: str, records: Sequence[StoredRecord], vectors: FloatArray) -> None:
        try:
            super().put(user, records, vectors)
        except BaseException:
            with self._caching:
                self._cache.pop(user, None)  # how much of it was written is not known
            raise

    def _wrote(self, user: str, keys: list[str], rows: list[dict[str, Any]], vectors: FloatArray) -> None:
        """What is known of the user stays known, with what was written."""
        with self._caching:
            mine = self._cache.get(user)
            if mine is not None:
                none = np.zeros(self.dimension, np.float32)
                self._cache[user] = mine | {
                    key: (key, record_of(row), none if row["bare"] else vector.copy())
                    for key, row, vector in zip(keys, rows, vectors, strict=True)
                }
        self._puts += 1
        if self._puts % PURGE_EVERY == 0:
            self._files.purge()

    def _shut(self) -> None:
        with self._caching:
            self._cache.clear()
        if self._chroma is not None:
            self._chroma.close()
            self._chroma = None

    def _catch_up(self) -> None:
        """Open Chroma anew if another process changed the store; the caller keeps others from writing."""
        if self._chroma is None or self._files.changes() != self._seen:
            self._open()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise MemoryStoreError(f"the preference store {self._files.path} was closed; open a new one")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        while True:
            with self._gate.shared():
                self._refuse_closed()
                if self._chroma is not None and self._files.changes() == self._seen:
                    yield
                    return
            with self._change, self._reported("cannot be opened"), self._files.exclusive(), self._gate.alone():
                self._refuse_closed()
                self._catch_up()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._change:
            self._refuse_closed()
            with self._files.exclusive():
                with self._gate.alone(), self._reported("cannot be opened"):
                    self._catch_up()
                    self._files.begin()
                    self._seen = self._files.changes()
                self._writer = threading.get_ident()
                try:
                    yield
                finally:
                    self._writer = 0
                    with self._gate.alone():
                        self._seen = self._files.end()

    @contextmanager
    def _calling(self) -> Iterator[None]:
        with self._gate.shared():
            self._refuse_closed()
            yield

    def _overwrite_and_delete(self, collection: Any, keys: list[str]) -> int:
        self._files.owe_compaction()
        try:
            return super()._overwrite_and_delete(collection, keys)
        finally:
            with self._caching:
                self._cache.clear()

    def _erase_traces(self, user: str) -> None:
        with self._reported("cannot be written"):
            name = self._collection_name(user)
            with self._gate.alone():
                if next(self._fetched(user, None, vectors=False), None) is None:
                    self._chroma.delete_collection(name)
                    self._handles.pop(name, None)
                self._files.blank_unused()
        problem = self._files.compact()
        if problem:
            raise MemoryStoreError(
                f"The records were deleted, but {self._files.database} could not be compacted ({problem}); it may "
                "still hold their text. End other programs that use this store, then open it again: that compacts it."
            )
