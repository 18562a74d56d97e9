"""The vector store on a Chroma server, for several processes or machines that share one memory."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from convrec.core.embedding import Embedder
from convrec.core.errors import MemoryStoreError
from convrec.memory.chroma_client import server_client
from convrec.memory.chroma_records import ChromaRecords
from convrec.memory.chroma_rows import root_of

CHECK_EVERY_S = 1.0
"""How old the knowledge may be that the store was not migrated when a read finds nothing, seconds; writes ask anew."""


class ChromaServerStore(ChromaRecords):
    """A :class:`~convrec.memory.store.VectorStore` over HTTP (``chroma run``).

    What is deleted is overwritten first and leaves the server's log at once; free pages of the server's SQLite file
    keep it until ``chroma vacuum`` is run where the server is (docs/stores.md).

    Args:
        url: ``http://HOST:PORT``.
        embedder: what makes the vectors; its name and dimension are recorded at creation and compared at every opening.

    Raises:
        MemoryStoreError: no server answers, or its store was made with another embedder.
        SettingsError: ``url`` is no address.
        MissingExtraError: chromadb is not installed.
    """

    def __init__(self, url: str, embedder: Embedder) -> None:
        super().__init__(embedder, f"The preference store at {url}")
        self._lock = threading.Lock()
        self._closed = False
        self._checked = -math.inf
        try:
            with self._reported(f"cannot be opened. Start it with: chroma run --path FOLDER (memory.url = {url})"):
                self._attach(server_client(url))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        with self._lock:
            closed, self._closed = self._closed, True
        if not closed and self._chroma is not None:
            self._chroma.close()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise MemoryStoreError(f"{self._name} was closed; open a new one")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        self._refuse_closed()
        yield

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._refuse_closed()
        yield

    @contextmanager
    def _calling(self) -> Iterator[None]:
        yield

    def _check_root(self) -> None:
        """Another process may have migrated the store, or be about to: then nothing is written here any more."""
        root = root_of(self._chroma)
        if root is None or self._checked_root(root) != self._generation:
            raise MemoryStoreError(f"{self._name} was migrated meanwhile. Start this program again")
        self._checked = time.monotonic()

    def _check_nothing(self) -> None:
        """Most users of a new service have no records, and each of their turns asks: once in a while is enough."""
        if time.monotonic() - self._checked > CHECK_EVERY_S:
            self._check_root()

    def _erase_traces(self, user: str) -> None:
        """Nothing that a client could do; and the empty collection stays, for another process may write to it now."""
