"""How records lie in a Chroma collection: names, keys, metadata, and the collections themselves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeAlias

import numpy as np
from convrec.core.embedding import Embedder
from convrec.core.items import FloatArray
from convrec.memory.chroma_client import errors
from convrec.memory.embedded import TextOf
from convrec.memory.store import StoredRecord

ROOT = "convrec-memory"
LAYOUT = 2
"""Version of how records lie in Chroma. 1 was one collection for all users, ``preferences``."""
OLD_ROOT = "preferences"
SYNC_THRESHOLD = 2
"""Chroma's least: writes until its log, which holds the text, is moved into the index and emptied."""
PAD = "pad"
"""Chroma's id of a row without a record, written beside a single one so that :data:`SYNC_THRESHOLD` is reached. Each
write and each first read looks through the whole log of all users: a row left there by every second user costs more
than this one does (docs/benchmarks/memory_scale.md)."""

Row: TypeAlias = tuple[str, StoredRecord, FloatArray]
"""Chroma's id, the record, its vector (zeros when it has none or was not asked for)."""


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


def pad_row(dimension: int) -> tuple[str, FloatArray, dict[str, Any]]:
    """Id, vector of shape (1, dimension) and metadata of a row that nobody reads."""
    return PAD, np.eye(1, dimension, dtype=np.float32), {"user": "", "record": ""}


def new_collection(client: Any, name: str) -> Any:
    """The collection of one user; made when missing."""
    hnsw = {"space": "cosine", "sync_threshold": SYNC_THRESHOLD, "batch_size": SYNC_THRESHOLD}
    return client.get_or_create_collection(name, embedding_function=None, configuration={"hnsw": hnsw})


def embed_rows(collection: Any, rows: Mapping[str, dict[str, Any]], embedder: Embedder, text_of: TextOf) -> None:
    """Put records, given by their metadata under Chroma's id, with vectors made from their words."""
    if not rows:
        return
    texts = [text_of(record_of(metadata)) for metadata in rows.values()]
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


def record_of(metadata: Mapping[str, Any]) -> StoredRecord:
    id_, body, tags = json.loads(metadata["record"])
    return StoredRecord(id_, body, tags)
