"""Embeddings of a catalogue's search texts: built once, kept beside the catalogue, memory-mapped.

One float32 matrix; scoring the whole catalogue is one matrix-vector product. On disk, in
``<catalogue>/embeddings/<embedder>/``: ``matrix.npy`` and ``manifest.json`` when finished, ``chunk-*.npy`` and
``building.json`` while it is being built. A killed build goes on where it stopped.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from convrec.core.embedding import Embedder
from convrec.core.errors import CatalogueError
from convrec.core.files import replacing, write_json
from convrec.core.items import FloatArray, RowArray
from numpy.typing import NDArray

log = logging.getLogger(__name__)

LAYOUT = 1
CHUNK_ROWS = 1024
"""Texts per chunk file: about 4 s of MiniLM on 2 cores are lost by a kill."""

Progress = Callable[[int, int], None]
"""Called with (texts done, texts in all) after each chunk, and once at the start."""


class SearchTexts(Protocol):
    """What this module needs of a catalogue."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the items do."""
        ...

    @property
    def folder(self) -> Path: ...

    @property
    def size(self) -> int: ...

    def search_texts(self) -> list[str]:
        """One text per row, in row order."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ItemIndex:
    """Embeddings of all items of one catalogue under one embedder."""

    matrix: FloatArray
    """float32, shape (n_items, dimension), rows of L2 norm 1 (0 for an item without text), read only."""
    embedder: str
    fingerprint: str

    def __len__(self) -> int:
        return int(self.matrix.shape[0])

    def scores(self, query_vector: FloatArray) -> FloatArray:
        """Cosine of every item to a unit vector of shape (dimension,): float32, shape (n_items,), -1..1.

        Raises:
            ValueError: a vector of another shape.
        """
        vector = np.asarray(query_vector, dtype=np.float32)
        if vector.shape != (self.matrix.shape[1],):
            raise ValueError(f"the query vector must have shape ({self.matrix.shape[1]},), got {vector.shape}")
        return np.asarray(self.matrix @ vector, dtype=np.float32)

    def similar(
        self,
        rows: RowArray | Sequence[int],
        weights: FloatArray | Sequence[float] | None = None,
        *,
        how: Literal["mean", "max"] = "mean",
    ) -> FloatArray:
        """How near every item is to some given ones: float32, shape (n_items,); all 0 when no row is given.

        ``mean``: cosine to the weighted mean of their vectors, -1..1; a negative weight (a disliked item) pushes away.
        ``max``: the largest weight times cosine to any one of them. Weights default to 1.

        Raises:
            ValueError: rows and weights of different lengths, or a row that is not in the catalogue.
        """
        picked = np.asarray(rows, dtype=np.int64)
        factors = np.ones(picked.shape, np.float32) if weights is None else np.asarray(weights, dtype=np.float32)
        if picked.ndim != 1 or picked.shape != factors.shape:
            raise ValueError(f"rows {picked.shape} and weights {factors.shape} must be 1-D and of one length")
        if picked.size == 0:
            return np.zeros(len(self), dtype=np.float32)
        if picked.min() < 0 or picked.max() >= len(self):
            raise ValueError(f"rows must lie in 0..{len(self) - 1}, got {picked.min()}..{picked.max()}")
        weighted = self.matrix[picked] * factors[:, None]
        if how == "max":
            return np.asarray((self.matrix @ weighted.T).max(axis=1), dtype=np.float32)
        mean = weighted.sum(axis=0)
        norm = float(np.linalg.norm(mean))
        return self.scores(mean / norm if norm > 0 else mean)


def index_folder(catalogue: SearchTexts, embedder: Embedder) -> Path:
    """Where the index of this catalogue under this embedder lies."""
    return catalogue.folder / "embeddings" / re.sub(r"[^a-z0-9._-]+", "-", embedder.name.lower())


def open_index(catalogue: SearchTexts, embedder: Embedder) -> ItemIndex:
    """Memory-map the finished index.

    Raises:
        CatalogueError: there is none, it is damaged, or it was built from other items or by another embedder.
    """
    folder = index_folder(catalogue, embedder)
    remedy = "Build it again (build_index)."
    found, wanted = _read_json(folder / "manifest.json"), _manifest(catalogue, embedder)
    if found is None:
        raise CatalogueError(f"There is no embedding index in {folder}. {remedy}")
    wrong = [
        f"{key} {found.get(key)!r} instead of {value!r}" for key, value in wanted.items() if found.get(key) != value
    ]
    if wrong:
        raise CatalogueError(f"The embedding index in {folder} is out of date: {', '.join(wrong)}. {remedy}")
    matrix = _load(folder / "matrix.npy", (catalogue.size, embedder.dimension), map_it=True)
    if matrix is None:
        raise CatalogueError(f"The embedding index in {folder} is damaged: matrix.npy cannot be read. {remedy}")
    return ItemIndex(matrix, embedder.name, catalogue.fingerprint)


def build_index(catalogue: SearchTexts, embedder: Embedder, progress: Progress | None = None) -> ItemIndex:
    """Embed all search texts and return the index; what is already there and still right is not made again.

    Raises:
        CatalogueError: the catalogue gives another number of texts than it has items, or the embedder vectors of
            another shape or with NaN.
        OSError: the disk is full or not writable.
    """
    report = progress or (lambda done, total: None)
    try:
        index = open_index(catalogue, embedder)
    except CatalogueError as reason:
        log.info("building the embedding index: %s", reason)
    else:
        report(catalogue.size, catalogue.size)
        return index
    texts = catalogue.search_texts()
    if len(texts) != catalogue.size:
        raise CatalogueError(f"the catalogue has {catalogue.size} items but gives {len(texts)} search texts")
    folder, manifest = index_folder(catalogue, embedder), _manifest(catalogue, embedder)
    plan = manifest | {"chunk_rows": CHUNK_ROWS}
    if _read_json(folder / "building.json") != plan:
        if folder.exists():
            shutil.rmtree(folder)  # of other items or another embedder: nothing in it can be used
        write_json(folder / "building.json", plan)
    report(0, len(texts))
    starts = range(0, len(texts), CHUNK_ROWS)
    for start in starts:
        _chunk(folder, texts, start, embedder)
        report(min(start + CHUNK_ROWS, len(texts)), len(texts))
    with replacing(folder / "matrix.npy") as temporary, temporary.open("wb") as file:
        matrix = np.empty((len(texts), embedder.dimension), dtype=np.float32)
        for start in starts:
            matrix[start : start + CHUNK_ROWS] = _chunk(folder, texts, start, embedder)
        np.save(file, matrix)
    write_json(folder / "manifest.json", manifest)
    for leftover in (*folder.glob("chunk-*.npy"), *folder.glob(".*.tmp"), folder / "building.json"):
        leftover.unlink(missing_ok=True)
    return open_index(catalogue, embedder)


def _chunk(folder: Path, texts: Sequence[str], start: int, embedder: Embedder) -> FloatArray:
    """The vectors of one chunk: from its file, or embedded and written to it."""
    file = folder / f"chunk-{start // CHUNK_ROWS:06d}.npy"
    part = texts[start : start + CHUNK_ROWS]
    shape = (len(part), embedder.dimension)
    kept = _load(file, shape, map_it=False)
    if kept is not None:
        return kept
    vectors = np.asarray(embedder.embed(part), dtype=np.float32)
    if vectors.shape != shape or not np.isfinite(vectors).all():
        raise CatalogueError(
            f"the embedder {embedder.name} gave vectors of shape {vectors.shape} for {shape[0]} texts, or NaN among "
            f"them; expected {shape}, all finite"
        )
    with replacing(file) as temporary, temporary.open("wb") as opened:
        np.save(opened, vectors)
    return vectors


def _manifest(catalogue: SearchTexts, embedder: Embedder) -> dict[str, Any]:
    return {
        "layout": LAYOUT,
        "fingerprint": catalogue.fingerprint,
        "embedder": embedder.name,
        "dimension": embedder.dimension,
        "count": catalogue.size,
    }


def _load(file: Path, shape: tuple[int, int], *, map_it: bool) -> FloatArray | None:
    """The array in ``file``; None when it is missing, damaged or of another shape or type."""
    try:
        # An empty array cannot be mapped.
        array: NDArray[Any] = np.load(file, mmap_mode="r" if map_it and shape[0] else None, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return array if array.shape == shape and array.dtype == np.float32 else None


def _read_json(file: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
