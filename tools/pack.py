"""The ranking pack: what people who talk about films named together and asked for, learnt from ReDial, by IMDb id.

One file of plain arrays that ships with the package: how often an item is recommended (prior), which items are named in
the same conversations (neighbours), which items are recommended after which words (words), and how much each of these
tells (fusion). It holds no text of any dialogue. :mod:`convrec.tools.pack_build` makes it; this module only reads it.
"""

from __future__ import annotations

import json
import math
import threading
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from convrec.core.errors import ModelError
from convrec.core.items import FloatArray
from numpy.typing import NDArray

FORMAT = 1
"""Version of the layout."""
PACK_FILE = Path(__file__).parent / "packs" / "redial.zip"
"""The shipped pack."""
MANIFEST = "manifest.json"
EXPERTS = ("neighbours", "words", "prior")
"""What the fusion weighs, in this order."""

_ARRAYS = {
    "ids": "<u4",
    "prior": "<u1",
    "neighbour_starts": "<u4",
    "neighbour_items": "<u2",
    "neighbour_weights": "<u1",
    "word_text": "<u1",
    "word_idf": "<f4",
    "word_starts": "<u4",
    "word_items": "<u2",
    "word_weights": "<u2",
}
"""Arrays of the file and their types. ``ids``: the digits of the IMDb ids, ascending; ``word_text``: the words in
UTF-8, sorted, separated by line feeds; what one step of a weight stands for is in the manifest ("units")."""

_Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Lists:
    """Sparse lines: line ``i`` gives ``weights[starts[i]:starts[i + 1]]`` to ``items`` of the same range.

    ``starts``: uint32, shape (n_lines + 1,); ``items``: uint16, 0..n_items-1; ``weights``: uint8 or uint16, a weight of
    w stands for ``w * unit``.
    """

    starts: NDArray[np.uint32]
    items: NDArray[np.uint16]
    weights: NDArray[np.unsignedinteger[Any]]
    unit: float

    def add(self, line: int, factor: float, to: FloatArray) -> None:
        """Add ``factor`` times a line to ``to``, float32, shape (n_items,)."""
        part = slice(int(self.starts[line]), int(self.starts[line + 1]))
        to[self.items[part]] += np.float32(factor * self.unit) * self.weights[part].astype(np.float32)


@dataclass(frozen=True, eq=False)
class Pack:
    """A pack in memory. Immutable and safe to share between threads. Items are rows 0..n-1 of the pack.

    ``numbers``: digits of each item's IMDb id, uint32, ascending. ``prior``: float32, shape (n,), 0..1: log(1 +
    conversations in which it is recommended), the largest 1. ``neighbours``: a line per item. ``words``: sorted, a line
    of ``votes`` and a value of ``idf`` (float32) each. ``fusion``: weight of each expert, see :meth:`features`.
    """

    numbers: NDArray[np.uint32]
    prior: FloatArray
    neighbours: Lists
    words: tuple[str, ...]
    idf: FloatArray
    votes: Lists
    manifest: Mapping[str, Any]

    @property
    def size(self) -> int:
        return int(self.numbers.size)

    @property
    def fusion(self) -> Mapping[str, float]:
        found: Mapping[str, float] = self.manifest["fusion"]
        return found

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """IMDb ids, ``tt`` and at least seven digits."""
        return tuple(f"tt{number:07d}" for number in self.numbers.tolist())

    @cached_property
    def line_of(self) -> dict[str, int]:
        """Line of each word."""
        return {word: line for line, word in enumerate(self.words)}

    def named_with(self, rows: Sequence[int]) -> FloatArray:
        """How much each item is named where ``rows`` are: the sum of their neighbour weights, float32 (n,), >= 0."""
        scores = np.zeros(self.size, dtype=np.float32)
        for row in rows:
            self.neighbours.add(row, 1.0, scores)
        return scores

    def asked_for(self, said: Mapping[str, float]) -> FloatArray:
        """How much each item is recommended after such words, float32 (n,), >= 0; all 0 when no word is known.

        ``said``: how often each word is said. Cosine of log(1 + count) x idf with each item's mean of such vectors.
        """
        scores = np.zeros(self.size, dtype=np.float32)
        known = [(line, count) for word, count in said.items() if (line := self.line_of.get(word)) is not None]
        weights = [math.log1p(count) * float(self.idf[line]) for line, count in known]
        norm = math.sqrt(sum(weight * weight for weight in weights))
        for (line, _), weight in zip(known, weights, strict=True):
            self.votes.add(line, weight / norm, scores)
        return scores

    def scores(self, rows: Sequence[int], said: Mapping[str, float]) -> dict[str, FloatArray]:
        """The scores of each of :data:`EXPERTS`, in that order, float32 (n,), >= 0."""
        return {"neighbours": self.named_with(rows), "words": self.asked_for(said), "prior": self.prior}

    def features(self, rows: Sequence[int], said: Mapping[str, float]) -> FloatArray:
        """What the fusion weighs: the experts' scores, standardised, float32, shape (len(EXPERTS), n).

        Neighbours and words enter by their square root: most are 0 and a few are large.
        """
        scores = self.scores(rows, said)
        return np.stack([standardised(s if name == "prior" else np.sqrt(s)) for name, s in scores.items()])

    def fused(self, rows: Sequence[int], said: Mapping[str, float]) -> FloatArray:
        """The pack's own ranking: its experts' features by the weights of ``fusion``, float32 (n,)."""
        weights = np.array([self.fusion[name] for name in EXPERTS], dtype=np.float32)
        fused: FloatArray = weights @ self.features(rows, said)
        return fused


def standardised(scores: FloatArray) -> FloatArray:
    """Mean 0 and standard deviation 1; zeros when all are equal. float32, shape of ``scores``."""
    spread = float(scores.std())
    return ((scores - scores.mean()) / spread).astype(np.float32) if spread > 0 else np.zeros_like(scores)


def write_pack(arrays: Mapping[str, _Array], manifest: Mapping[str, Any], to: Path) -> None:
    """Write a pack: the same input gives the same bytes everywhere (no compression, no times, sorted names)."""
    described = {name: list(arrays[name].shape) for name in sorted(_ARRAYS)}
    document = json.dumps({**manifest, "format": FORMAT, "arrays": described}, indent=1, sort_keys=True) + "\n"
    parts = {f"{name}.bin": arrays[name].astype(_ARRAYS[name]).tobytes() for name in _ARRAYS}
    parts[MANIFEST] = document.encode()
    with zipfile.ZipFile(to, "w", zipfile.ZIP_STORED) as file:
        for name in sorted(parts):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            file.writestr(entry, parts[name])


def read_pack(path: Path = PACK_FILE) -> Pack:
    """Read a pack and check it.

    Raises:
        ModelError: missing, damaged, or of another format.
    """
    try:
        with zipfile.ZipFile(path) as file:
            manifest = json.loads(file.read(MANIFEST))
            if manifest["format"] != FORMAT:
                raise ModelError(f"{path} is a ranking pack of format {manifest['format']}, expected {FORMAT}. {_FIX}")
            arrays = {
                name: np.frombuffer(file.read(f"{name}.bin"), dtype=dtype).reshape(manifest["arrays"][name])
                for name, dtype in _ARRAYS.items()
            }
        return from_arrays(arrays, manifest)
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing: the ranking pack comes with the package. {_FIX}") from error
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"the ranking pack {path} is damaged ({error}). {_FIX}") from error


_FIX = "Install convrec again, or do without it: CONVREC_RANK_PACK=off"


def from_arrays(arrays: Mapping[str, _Array], manifest: Mapping[str, Any]) -> Pack:
    """A pack of the arrays of its file.

    Raises:
        ValueError: they do not fit together.
        KeyError: one is not there.
    """
    text = arrays["word_text"].tobytes().decode()
    pack = Pack(
        arrays["ids"],
        (arrays["prior"].astype(np.float32) / np.float32(255)),
        Lists(
            arrays["neighbour_starts"],
            arrays["neighbour_items"],
            arrays["neighbour_weights"],
            float(manifest["units"]["neighbours"]),
        ),
        tuple(text.split("\n")) if text else (),
        arrays["word_idf"],
        Lists(arrays["word_starts"], arrays["word_items"], arrays["word_weights"], float(manifest["units"]["words"])),
        manifest,
    )
    for lists, lines in ((pack.neighbours, pack.size), (pack.votes, len(pack.words))):
        whole = lists.starts.size == lines + 1 and int(lists.starts[-1]) == lists.items.size == lists.weights.size
        if not whole or np.any(np.diff(lists.starts.astype(np.int64)) < 0) or int(lists.starts[0]):
            raise ValueError("the lists do not fit their starts")
        if lists.items.size and int(lists.items.max()) >= pack.size:
            raise ValueError(f"an item beyond {pack.size - 1} is listed")
    if pack.prior.shape != (pack.size,) or pack.idf.shape != (len(pack.words),):
        raise ValueError("the prior or the word weights are of a wrong length")
    if np.any(np.diff(pack.numbers.astype(np.int64)) <= 0):
        raise ValueError("the ids are not ascending")
    if missing := [name for name in EXPERTS if not math.isfinite(float(pack.fusion[name]))]:
        raise ValueError(f"no weight of {', '.join(missing)}")
    return pack


_lock = threading.Lock()
_shipped: list[Pack] = []


def shipped_pack() -> Pack:
    """The pack that came with the package, read on first use, once for all threads.

    Raises:
        ModelError: it is missing or damaged.
    """
    with _lock:
        if not _shipped:
            _shipped.append(read_pack())
        return _shipped[0]
