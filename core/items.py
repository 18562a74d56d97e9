"""Items and ordered item lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

RowArray: TypeAlias = NDArray[np.int32]
"""Rows of a catalogue: positions 0..n-1, int32, 1-D."""
FloatArray: TypeAlias = NDArray[np.float32]
BoolArray: TypeAlias = NDArray[np.bool_]

FieldValue: TypeAlias = str | int | float | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Item:
    """One record of a catalogue. ``fields`` holds the typed values by field name; missing ones are None or ()."""

    id: str
    title: str
    row: int
    fields: Mapping[str, FieldValue]
    year_field: str = "year"
    """Name of the field that holds the year; the catalogue's schema says which."""

    def tags(self, field: str) -> tuple[str, ...]:
        """Values of a multi-valued field, () when missing."""
        value = self.fields.get(field)
        return value if isinstance(value, tuple) else ()

    def number(self, field: str) -> float | None:
        """Value of a numeric field, None when missing."""
        value = self.fields.get(field)
        return float(value) if isinstance(value, int | float) else None

    def text(self, field: str) -> str | None:
        """Value of a text field, None when missing."""
        value = self.fields.get(field)
        return value if isinstance(value, str) else None

    @property
    def year(self) -> int | None:
        value = self.fields.get(self.year_field)
        return int(value) if isinstance(value, int | float) else None

    @property
    def label(self) -> str:
        """``Title (Year)``, or the title alone when the year is unknown."""
        return f"{self.title} ({self.year})" if self.year is not None else self.title


@dataclass(frozen=True, slots=True, eq=False)
class ItemList:
    """An immutable, explicitly ordered list of catalogue rows, best first.

    ``rows``: int32, shape (n,), no duplicates. ``scores``: float32, shape (n,), any range, higher is better.
    """

    rows: RowArray
    scores: FloatArray

    def __post_init__(self) -> None:
        rows = np.array(self.rows, dtype=np.int32)
        scores = np.array(self.scores, dtype=np.float32)
        if rows.ndim != 1 or rows.shape != scores.shape:
            raise ValueError(f"rows {rows.shape} and scores {scores.shape} must be 1-D and of one length")
        rows.setflags(write=False)
        scores.setflags(write=False)
        object.__setattr__(self, "rows", rows)
        object.__setattr__(self, "scores", scores)

    @classmethod
    def from_scores(cls, rows: RowArray, scores: FloatArray, k: int | None = None) -> ItemList:
        """Order ``rows`` by falling score (ties: lower row first) and keep the first ``k``."""
        order = np.lexsort((rows, -scores))
        if k is not None:
            order = order[:k]
        return cls(rows[order], scores[order])

    def __len__(self) -> int:
        return int(self.rows.shape[0])

    def __iter__(self) -> Iterator[int]:
        return iter(self.rows.tolist())

    def top(self, k: int) -> ItemList:
        return ItemList(self.rows[:k], self.scores[:k])


EMPTY_ROWS: RowArray = np.empty(0, dtype=np.int32)
EMPTY_ROWS.setflags(write=False)
