"""What a vector store of user records is, and one that lives in the process."""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from convrec.core.errors import MemoryStoreError, RequestError
from convrec.core.items import FloatArray

MAX_ID_CHARS = 200


def checked_id(value: str, what: str) -> str:
    """``value`` if it may name a user or a session, compared exactly from then on.

    Raises:
        RequestError: empty or blank, longer than 200 characters, or with control characters or half surrogates.
    """
    if not value.strip() or len(value) > MAX_ID_CHARS or any(unicodedata.category(c) in ("Cc", "Cs") for c in value):
        raise RequestError(
            what, value, f"Give 1 to {MAX_ID_CHARS} characters, not only white space, and no control characters."
        )
    return value


def checked_user(user: str) -> str:
    """The one place where a user id is judged; every store call goes through it."""
    return checked_id(user, "user")


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """One record of one user."""

    id: str
    """Unique among the records of that user."""
    body: dict[str, Any]
    """JSON object; the store does not look into it."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """What ``where`` can select by, for equality."""


class VectorStore(Protocol):
    """Records with one vector each, kept apart by user.

    Every call names the user and sees that user's records only: the same record id under two users is two records.
    All calls are thread-safe and raise :class:`MemoryStoreError` when the store cannot be read or written,
    :class:`RequestError` for a user id that :func:`checked_user` refuses.
    """

    def put(self, user: str, records: Sequence[StoredRecord], vectors: FloatArray) -> None:
        """Add or replace records, all in one step for up to 5,000 of them.

        One step, so that "the new statement is there, the old one is marked as superseded" is never half done.
        ``vectors``: float32, shape (len(records), dimension), rows of L2 norm 1 or 0.
        """
        ...

    def get(
        self, user: str, *, ids: Sequence[str] | None = None, where: Mapping[str, str] | None = None
    ) -> list[StoredRecord]:
        """Records with one of ``ids`` (None: any) and all tags of ``where``, by id; unknown ids are left out."""
        ...

    def query(
        self, user: str, vector: FloatArray, k: int, *, where: Mapping[str, str] | None = None
    ) -> list[tuple[StoredRecord, float]]:
        """At most ``k`` records with all tags of ``where`` and their cosine to ``vector`` (-1..1), best first."""
        ...

    def delete(self, user: str, ids: Sequence[str]) -> int:
        """Delete for good, with no copy left in the store's own files; returns how many there were."""
        ...

    def close(self) -> None:
        """Release files and threads; a second call does nothing, any other later call raises MemoryStoreError."""
        ...


def has_tags(record: StoredRecord, where: Mapping[str, str] | None) -> bool:
    """Whether the record has all tags of ``where``, each with that value."""
    return all(record.tags.get(name) == value for name, value in (where or {}).items())


def checked_vectors(records: Sequence[StoredRecord], vectors: FloatArray, dimension: int | None) -> FloatArray:
    """``vectors`` as float32.

    Raises:
        MemoryStoreError: shapes do not fit, a value is not finite, or an id is given twice.
    """
    vectors = np.asarray(vectors, dtype=np.float32)
    width = vectors.shape[1] if dimension is None and vectors.ndim == 2 else dimension
    if vectors.shape != (len(records), width):
        raise MemoryStoreError(f"{len(records)} records need vectors of shape ({len(records)}, {width}), "
                               f"got {vectors.shape}")  # fmt: skip
    if not np.isfinite(vectors).all():
        raise MemoryStoreError("a vector holds NaN or infinity; the embedder that made it is broken")
    if len({record.id for record in records}) != len(records):
        raise MemoryStoreError("the records of one put must have different ids")
    return vectors


class InMemoryStore:
    """A :class:`VectorStore` that forgets everything when the process ends. Exact search."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users: dict[str, dict[str, tuple[StoredRecord, FloatArray]]] = {}
        self._dimension: int | None = None
        self._closed = False

    def put(self, user: str, records: Sequence[StoredRecord], vectors: FloatArray) -> None:
        with self._lock:
            mine = self._mine(user)
            vectors = checked_vectors(records, vectors, self._dimension)
            if records:
                self._dimension = vectors.shape[1]
                self._users[user] = mine | {r.id: (r, v.copy()) for r, v in zip(records, vectors, strict=True)}

    def get(
        self, user: str, *, ids: Sequence[str] | None = None, where: Mapping[str, str] | None = None
    ) -> list[StoredRecord]:
        with self._lock:
            return [record for record, _ in self._selected(user, ids, where)]

    def query(
        self, user: str, vector: FloatArray, k: int, *, where: Mapping[str, str] | None = None
    ) -> list[tuple[StoredRecord, float]]:
        with self._lock:
            scored = [(record, float(own @ vector)) for record, own in self._selected(user, None, where)]
        return sorted(scored, key=lambda pair: (-pair[1], pair[0].id))[:k]

    def delete(self, user: str, ids: Sequence[str]) -> int:
        with self._lock:
            mine = self._mine(user)
            gone = [mine.pop(id_) for id_ in set(ids) if id_ in mine]
            if not mine:
                self._users.pop(user, None)
            return len(gone)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._users.clear()

    def _mine(self, user: str) -> dict[str, tuple[StoredRecord, FloatArray]]:
        if self._closed:
            raise MemoryStoreError("the preference store was closed; open a new one")
        return self._users.get(checked_user(user), {})

    def _selected(
        self, user: str, ids: Sequence[str] | None, where: Mapping[str, str] | None
    ) -> list[tuple[StoredRecord, FloatArray]]:
        mine = self._mine(user)
        names = sorted(mine) if ids is None else sorted(set(ids) & set(mine))
        return [mine[n] for n in names if has_tags(mine[n][0], where)]
