"""What a text embedder is, and one that needs no model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from convrec.core.items import FloatArray
from convrec.core.text import fold


class Embedder(Protocol):
    """Turns texts into unit vectors. ``name`` and ``dimension`` are recorded with every index made from it."""

    @property
    def name(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """float32, shape (len(texts), dimension), rows of L2 norm 1 (0 for a text without any feature)."""
        ...


class HashingEmbedder:
    """Signed feature hashing of words and character trigrams (Weinberger et al., 2009, arXiv:0902.2206).

    No model, no download: for tests, and for machines where sentence-transformers is not wanted. It sees shared words
    and spellings, not meaning.
    """

    def __init__(self, dimension: int = 256) -> None:
        if dimension < 8:
            raise ValueError(f"dimension must be at least 8, got {dimension}")
        self._dimension = dimension

    @property
    def name(self) -> str:
        return f"hashing-{self._dimension}"

    @property
    def dimension(self) -> int:
        return self._dimension

    def embed(self, texts: Sequence[str]) -> FloatArray:
        out = np.zeros((len(texts), self._dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in fold(text).split():
                padded = f"#{word}#"
                for feature in (word, *(padded[i : i + 3] for i in range(len(padded) - 2))):
                    number = int.from_bytes(hashlib.blake2b(feature.encode(), digest_size=8).digest(), "little")
                    out[row, number % self._dimension] += 1.0 if number >> 63 else -1.0
        norms = np.linalg.norm(out, axis=1, keepdims=True)
        np.divide(out, norms, out=out, where=norms > 0)
        return out
