"""All records embedded anew, when the embedder changes: resumable, and the old vectors hold until the new are complete.

The new vectors go into collections of the next generation. One write, of the root collection's metadata, makes them the
ones that hold; only then the old ones are dropped. Interrupted before that write, the next run goes on where this one
stopped (users that are complete are left alone); interrupted after it, the next opening drops the old ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from convrec.core.embedding import Embedder
from convrec.core.errors import MemoryStoreError
from convrec.memory.chroma_client import folder_client, server_client
from convrec.memory.chroma_files import ChromaFiles
from convrec.memory.chroma_rows import (
    LAYOUT,
    OLD_ROOT,
    PAD,
    ROOT,
    chroma_failures,
    drop_generation,
    embed_rows,
    find_collection,
    hash_of,
    key_of,
    metadata_of,
    names_of,
    new_collection,
    root_metadata,
    root_of,
)
from convrec.memory.embedded import embedded_text
from convrec.memory.store import StoredRecord

Progress = Callable[[int, int], None]
"""(users done, users in all)."""
PAGE = 1000
"""Records read or embedded at once."""


@dataclass(frozen=True, slots=True)
class Migrated:
    """What was done."""

    embedder: str
    dimension: int
    users: int
    records: int
    """Records in the store."""
    embedded: int
    """Records embedded in this run; fewer than ``records`` when it went on with an earlier one."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def migrate_folder(path: Path, embedder: Embedder, progress: Progress = lambda done, total: None) -> Migrated:
    """Embed all records of the store at ``path`` anew; other processes wait with their changes meanwhile.

    Raises:
        MemoryStoreError: the store cannot be read or written, or a record cannot be read.
    """
    with _reported(f"The preference store {path}"):
        files = ChromaFiles(path)
        files.prepare()
        with files.exclusive():
            files.begin()
            client = folder_client(path)
            try:
                done = _migrate(client, embedder, progress)
            finally:
                client.close()
                files.end()
            problem = files.compact()
    if problem:
        raise MemoryStoreError(
            f"All records were embedded anew, but {files.database} could not be compacted: {problem}"
        )
    return done


def migrate_server(url: str, embedder: Embedder, progress: Progress = lambda done, total: None) -> Migrated:
    """Embed all records of the store on a Chroma server anew; programs that have it open refuse changes meanwhile.

    Raises:
        MemoryStoreError: the store cannot be read or written, or a record cannot be read.
    """
    with _reported(f"The preference store at {url}"):
        client = server_client(url)
        try:
            return _migrate(client, embedder, progress)
        finally:
            client.close()


def _migrate(client: Any, embedder: Embedder, progress: Progress) -> Migrated:
    root = root_of(client)
    if root is None and find_collection(client, OLD_ROOT) is None:
        return Migrated(embedder.name, embedder.dimension, 0, 0, 0)
    generation = int(root["generation"]) if root is not None else 0
    target = f"{embedder.name} ({embedder.dimension} dimensions)"
    same = root is not None and (root.get("embedder"), root.get("dimension"), root.get("layout")) == (
        embedder.name,
        embedder.dimension,
        LAYOUT,
    )
    if same or (root is not None and root.get("migrating") not in ("", target)):
        drop_generation(client, generation + 1)  # half of a move to yet another embedder
    embedded = 0
    if same:
        assert root is not None
        _set_root(client, root_metadata(embedder.name, embedder.dimension, generation))
    else:
        before = root or {"embedder": "", "dimension": 0, "layout": 1, "generation": 0}
        _set_root(client, {**before, "migrating": target})
        sources = _sources(client, generation)
        for done, (name, source) in enumerate(sources):
            progress(done, len(sources))
            embedded += _copy(client, source(), f"u{generation + 1}-{name}", embedder)
        for name, source in sources:  # what another process wrote in the moment the move began
            embedded += _copy(client, source(), f"u{generation + 1}-{name}", embedder)
        progress(len(sources), len(sources))
        fresh = root_metadata(embedder.name, embedder.dimension, generation + 1, cleanup=generation)
        _set_root(client, fresh)  # from here on the new vectors hold
        drop_generation(client, generation)
        generation += 1
        _set_root(client, root_metadata(embedder.name, embedder.dimension, generation))
    names = names_of(client, generation)
    count = sum(_count(client.get_collection(name, embedding_function=None)) for name in names)
    return Migrated(embedder.name, embedder.dimension, len(names), count, embedded)


def _count(collection: Any) -> int:
    return int(collection.count()) - len(collection.get(ids=[PAD], include=[])["ids"])


Rows = dict[str, dict[str, Any]]
"""Metadata of layout 2 by Chroma's id."""


def _sources(client: Any, generation: int) -> list[tuple[str, Callable[[], Rows]]]:
    """The users, as hashes, and how to read the records of each."""
    if generation:
        names = names_of(client, generation)
        return [(name.partition("-")[2], partial(_rows_of, client, name)) for name in names]
    users: dict[str, Rows] = {}
    old = client.get_collection(OLD_ROOT, embedding_function=None)
    for metadata in _pages(old):
        if metadata.get("body"):
            tags = {k.removeprefix("tag_"): v for k, v in metadata.items() if k.startswith("tag_")}
            record = StoredRecord(metadata["id"], json.loads(metadata["body"]), tags)
            rows = users.setdefault(metadata["user"], {})
            rows[key_of(metadata["user"], record.id)] = metadata_of(metadata["user"], record, bare=False)
    return [(hash_of(user), partial(dict, rows)) for user, rows in sorted(users.items())]


def _pages(collection: Any) -> Iterator[dict[str, Any]]:
    offset = 0
    while page := collection.get(include=["metadatas"], limit=PAGE, offset=offset)["metadatas"]:
        yield from page
        offset += len(page)


def _rows_of(client: Any, name: str) -> Rows:
    return _rows(client.get_collection(name, embedding_function=None))


def _rows(collection: Any) -> Rows:
    out: Rows = {}
    offset = 0
    while True:
        page = collection.get(include=["metadatas"], limit=PAGE, offset=offset)
        if not page["ids"]:
            return out
        out |= {i: m for i, m in zip(page["ids"], page["metadatas"], strict=True) if m.get("record")}
        offset += len(page["ids"])


def _copy(client: Any, rows: Rows, name: str, embedder: Embedder) -> int:
    """Bring the collection ``name`` to hold just ``rows``; returns how many had to be embedded."""
    target = find_collection(client, name)
    if target is None:
        if not rows:
            return 0
        target = new_collection(client, name)
    there = _rows(target)
    wanted = [i for i, metadata in rows.items() if there.get(i, {}).get("record") != metadata["record"]]
    surplus = [i for i in there if i not in rows]
    for start in range(0, len(surplus), PAGE):
        target.delete(ids=surplus[start : start + PAGE])
    for start in range(0, len(wanted), PAGE):
        part = wanted[start : start + PAGE]
        embed_rows(target, {i: rows[i] for i in part}, embedder, embedded_text)
    return len(wanted)


def _set_root(client: Any, metadata: dict[str, Any]) -> None:
    found = find_collection(client, ROOT)
    if found is None:
        client.create_collection(ROOT, embedding_function=None, metadata=metadata)
    else:
        found.modify(metadata=metadata)


@contextmanager
def _reported(name: str) -> Iterator[None]:
    try:
        yield
    except chroma_failures() as error:
        raise MemoryStoreError(f"{name} could not be migrated: {error}. The old vectors are as they were") from error
