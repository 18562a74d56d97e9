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

from convrec.core.embedding import Embedder
from convrec.core.errors import MemoryStoreError
from convrec.core.items import FloatArray
from convrec.memory.chroma_client import errors, folder_client
from convrec.memory.chroma_files import ChromaFiles
from convrec.memory.chroma_records import ChromaRecords, Row, T, embed_rows, find_collection
from convrec.memory.embedded import TextOf, embedded_text
from convrec.memory.store import StoredRecord

log = logging.getLogger(__name__)

BROKEN_INDEX = "hnsw"
"""In what Chroma says when it cannot read an index."""
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
        """Held for a whole change, compacting included; the calls of Chroma have a lock of their own, so that reading
        goes on meanwhile."""
        self._call = threading.RLock()
        self._closed = False
        self._seen = -1
        self._cache: OrderedDict[str, dict[str, Row]] = OrderedDict()
        with self._reported(f"cannot be opened. If it is damaged, move {path} away: a new one is made"):
            self._files.prepare()
            with self._files.exclusive():
                self._open()
                for name in self._files.unmended:  # killed while mending
                    self._embed_anew(name)
                self._blank_unused()
                if self._files.compaction_owed and (problem := self._files.compact()):
                    log.warning("%s still holds erased text; it could not be compacted: %s", path, problem)

    def put(self, user: str, records: Sequence[StoredRecord], vectors: FloatArray) -> None:
        self._mending(user, lambda: super(ChromaStore, self).put(user, records, vectors))

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
        with self._change, self._call:
            if not self._closed:
                self._closed = True
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
        with self._writing(), self._call, self._reported("could not be mended"):
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
            rows = {i: m for i, m in zip(held["ids"], held["metadatas"], strict=True) if m.get("record")}
            for start in range(0, len(rows), self._batch):
                part = dict(list(rows.items())[start : start + self._batch])
                embed_rows(collection, part, self._make_vectors, self._text_of)
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
        """From memory, when they were read since the last change: a request asks several times."""
        with self._call:
            mine = self._cache.get(user)
            if mine is None:
                mine = {row[0]: row for row in self._fetched(user, None, vectors=True)}
                self._cache[user] = mine
                while len(self._cache) > CACHED_USERS:
                    self._cache.popitem(last=False)
            self._cache.move_to_end(user)
        return iter([mine[key] for key in keys if key in mine] if keys is not None else list(mine.values()))

    def _on(self, user: str, act: Callable[[Any], T], *, make: bool = False) -> T | None:
        if make:
            with self._call:
                try:
                    return super()._on(user, act, make=make)
                finally:
                    self._cache.pop(user, None)
        return super()._on(user, act, make=make)

    def _shut(self) -> None:
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
        with self._call:
            self._refuse_closed()
            if self._chroma is None or self._files.changes() != self._seen:
                with self._reported("cannot be opened"), self._files.exclusive():
                    self._catch_up()
            yield

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._change:
            self._refuse_closed()
            with self._files.exclusive():
                with self._call, self._reported("cannot be opened"):
                    self._catch_up()
                    self._files.begin()
                    self._seen = self._files.changes()
                try:
                    yield
                finally:
                    with self._call:
                        self._seen = self._files.end()

    @contextmanager
    def _calling(self) -> Iterator[None]:
        with self._call:
            self._refuse_closed()
            yield

    def _overwrite_and_delete(self, collection: Any, keys: list[str]) -> int:
        self._files.owe_compaction()
        try:
            return super()._overwrite_and_delete(collection, keys)
        finally:
            self._cache.clear()

    def _erase_traces(self, user: str) -> None:
        with self._reported("cannot be written"):
            name = self._collection_name(user)
            if self._on(user, lambda c: c.count()) == 0:
                with self._call:
                    self._chroma.delete_collection(name)
                    self._handles.pop(name, None)
            with self._call:
                self._files.blank_unused()
        problem = self._files.compact()
        if problem:
            raise MemoryStoreError(
                f"The records were deleted, but {self._files.database} could not be compacted ({problem}); it may "
                "still hold their text. End other programs that use this store, then open it again: that compacts it."
            )
