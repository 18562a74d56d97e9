"""Names of a catalogue by their folded form, in memory while they are few enough."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from sys import intern
from typing import Any, Literal

IN_MEMORY = 200_000
"""Names up to which all are held; more are asked for by query, 4 ms of CPU each. The 93,310 names of 17,470 films take
.25 s to read once and some 60 MB."""
_COLUMNS = "norm, kind, row, field, value, strength"

Query = Callable[[str, Sequence[object]], list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class NameHit:
    """A folded name that the catalogue knows.

    ``strength``: 1.0 full title, alias or value; .9 a title without its leading article; .8 the part of a title before
    ":" or " - ".
    """

    norm: str
    kind: Literal["title", "value"]
    row: int | None
    """For a title: the item's row."""
    field: str | None
    """For a value: the field it belongs to, e.g. "directors"."""
    value: str | None
    """The catalogue's spelling: the item's title (or alias), or the field's value."""
    strength: float


class Names:
    """Finds names; made once, then read only, so that threads may share it."""

    def __init__(self, query: Query) -> None:
        self._query = query
        ((count,),) = query("SELECT count(*) FROM cat.names", ())
        self._held: dict[str, list[tuple[Any, ...]]] | None = None
        if count <= IN_MEMORY:
            held: dict[str, list[tuple[Any, ...]]] = {}
            for norm, kind, *rest in query(f"SELECT {_COLUMNS} FROM cat.names", ()):  # noqa: S608
                row, field, value, strength = rest
                record = (norm, intern(kind), row, intern(field) if field else field, value, strength)
                held.setdefault(norm, []).append(record)
            self._held = held

    def find(self, wanted: set[str]) -> list[NameHit]:
        """The names whose folded form is one of ``wanted``, in the order of :meth:`Catalogue.find_names`."""
        if self._held is None:
            found: Iterable[tuple[Any, ...]] = self._query(
                f"SELECT {_COLUMNS} FROM cat.names WHERE key IN "  # noqa: S608
                "(SELECT md5_number_lower(norm) FROM (SELECT unnest(?::VARCHAR[]) AS norm))",
                [sorted(wanted)],
            )
            found = (record for record in found if record[0] in wanted)  # two norms may share a key
        else:
            found = (record for norm in wanted for record in self._held.get(norm, ()))
        return [NameHit(*record) for record in sorted(found, key=_order)]


def _order(record: tuple[Any, ...]) -> tuple[float, str, str, int, str, str]:
    norm, kind, row, field, value, strength = record
    return -strength, norm, kind, -1 if row is None else row, field or "", value or ""
