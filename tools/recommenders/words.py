"""A vocabulary, sparse matrices over it, and their form in a saved folder (plain arrays)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np
from convrec.tools.recommenders.base import AnyArray
from numpy.typing import NDArray
from scipy.sparse import csr_array


class Vocabulary:
    """Words and their columns, 0.. in sorted order."""

    def __init__(self, words: Iterable[str]) -> None:
        self.words = tuple(sorted(set(words)))

    @cached_property
    def column_of(self) -> dict[str, int]:
        return {word: column for column, word in enumerate(self.words)}

    def matrix(self, lines: Sequence[Mapping[str, float]]) -> csr_array[np.float32]:
        """One line per bag of words: float32, shape (len(lines), len(self.words)). Unknown words are left out."""
        column_of = self.column_of
        kept = [[(column_of[word], value) for word, value in line.items() if word in column_of] for line in lines]
        offsets = np.cumsum([0, *map(len, kept)])
        columns = np.array([column for line in kept for column, _ in line], dtype=np.int32)
        values = np.array([value for line in kept for _, value in line], dtype=np.float32)
        matrix: csr_array[np.float32] = csr_array((values, columns, offsets), shape=(len(kept), len(self.words)))
        matrix.sort_indices()  # so that sums over a line do not depend on the order of its words
        return matrix

    def to_array(self) -> NDArray[np.str_]:
        return np.array(self.words, dtype=np.str_)

    @classmethod
    def from_array(cls, array: AnyArray) -> Vocabulary:
        return cls(array.tolist())


def empty_matrix(n_rows: int, n_columns: int) -> csr_array[np.float32]:
    """All zeros: float32, shape (n_rows, n_columns)."""
    nothing = np.empty(0, dtype=np.int32)
    matrix: csr_array[np.float32] = csr_array(
        (np.empty(0, dtype=np.float32), (nothing, nothing)), shape=(n_rows, n_columns)
    )
    return matrix


def row_means(matrix: csr_array[np.float32]) -> csr_array[np.float32]:
    """Every row divided by its number of entries; empty rows stay empty."""
    sizes = np.maximum(np.diff(matrix.indptr), 1)
    return with_rows_scaled(matrix, (1 / sizes).astype(np.float32))


def document_frequency(matrix: csr_array[np.float32]) -> NDArray[np.int64]:
    """In how many lines each column is not 0; int64, shape (n_columns,). A column occurs at most once in a line."""
    return np.bincount(matrix.indices, minlength=matrix.shape[1]).astype(np.int64)


def with_columns_scaled(matrix: csr_array[np.float32], factors: NDArray[np.float32]) -> csr_array[np.float32]:
    """``matrix`` with column ``j`` times ``factors[j]``; factors: shape (n_columns,)."""
    scaled = matrix.copy()
    scaled.data *= factors[scaled.indices]
    return scaled


def with_rows_scaled(matrix: csr_array[np.float32], factors: NDArray[np.float32]) -> csr_array[np.float32]:
    """``matrix`` with row ``i`` times ``factors[i]``; factors: shape (n_rows,)."""
    scaled = matrix.copy()
    scaled.data *= np.repeat(factors, np.diff(scaled.indptr))
    return scaled


def unit_rows(matrix: csr_array[np.float32]) -> csr_array[np.float32]:
    """Every row divided by its L2 norm; empty rows stay empty."""
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1), dtype=np.float32).ravel())
    return with_rows_scaled(matrix, np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0))


def sparse_arrays(name: str, matrix: csr_array[np.float32]) -> dict[str, AnyArray]:
    """A sparse matrix as arrays to save; read back by :func:`sparse_from`."""
    return {
        f"{name}_data": matrix.data,
        f"{name}_indices": matrix.indices,
        f"{name}_indptr": matrix.indptr,
        f"{name}_shape": np.array(matrix.shape, dtype=np.int64),
    }


def sparse_from(arrays: Mapping[str, AnyArray], name: str) -> csr_array[np.float32]:
    n_rows, n_columns = (int(size) for size in arrays[f"{name}_shape"])
    data, indices, indptr = (arrays[f"{name}_{part}"] for part in ("data", "indices", "indptr"))
    matrix: csr_array[np.float32] = csr_array((data, indices, indptr), shape=(n_rows, n_columns))
    return matrix
