"""The items of one domain, in one file, read-only.

One DuckDB file per catalogue, ``<settings.catalogues>/<name>/catalogue.duckdb``, written by
:mod:`convrec.tools.catalogue_build`. Several processes may read it at once; within a process each call works on a
cursor of its own, so that threads may share one :class:`Catalogue`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import duckdb
import numpy as np
from convrec.core.errors import CatalogueError
from convrec.core.items import FieldValue, FloatArray, Item, RowArray
from convrec.core.recent import Recent
from convrec.tools.catalogue_file import Manifest, attach, damaged, manifest_in
from convrec.tools.catalogue_names import NameHit, Names
from convrec.tools.catalogue_sql import column, compile_sql, tag_table, utf8
from convrec.tools.predicates import Expr, check
from convrec.tools.schema import FieldSpec, FieldType, Role

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Catalogue", "NameHit", "TagMatrix"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TagMatrix:
    """Which item has which value of a tags field. ``matrix``: float32 CSR, 0 or 1, shape (n_items, n_values)."""

    vocabulary: tuple[str, ...]
    """Value of each column, sorted."""
    matrix: csr_matrix


RECENT_ITEMS, RECENT_ROWS = 4096, 32_768
"""Records and rows of ids that are kept in memory, those used longest ago go first."""
RECENT_FOUND = 8_000_000
"""Rows of recent conditions that are kept in memory at most (32 MB); no more than 256 conditions."""


class Catalogue:
    """Items with typed fields: look-up, hard filters, columns for the recommenders. Safe to share between threads."""

    def __init__(self, folder: Path, connection: duckdb.DuckDBPyConnection, manifest: Manifest) -> None:
        self.folder = folder
        self.name = folder.name
        self.manifest = manifest
        self.schema = manifest.item_schema
        self.size = manifest.size
        self.fingerprint = manifest.fingerprint
        self._connection = connection
        year = self.schema.by_role(Role.YEAR)
        self._year_field = year.name if year else "year"
        self._lock = threading.RLock()
        self._cache: dict[tuple[str, str], Any] = {}
        # A conversation asks for the same few records again and again; a query takes milliseconds.
        self._recent_items: Recent[int, Item] = Recent(RECENT_ITEMS)
        self._recent_rows: Recent[str, int] = Recent(RECENT_ROWS)
        self._recent_found: Recent[Expr, RowArray] = Recent(max(4, min(256, RECENT_FOUND // max(1, self.size))))
        fields = "".join(f", i.{column(spec)}" for spec in self.schema.fields)
        self._select = f"SELECT i.row, i.id, i.title{fields} FROM cat.items i"  # noqa: S608

    @classmethod
    def open(cls, folder: Path) -> Catalogue:
        """Open ``<settings.catalogues>/<name>``; what is heavy is read when first asked for.

        Raises:
            CatalogueError: missing, damaged or of another format; names the command that makes it.
        """
        connection = attach(folder)
        try:
            manifest = manifest_in(connection, folder)
        except CatalogueError:
            connection.close()
            raise
        return cls(folder, connection, manifest)

    def rows(self, expr: Expr | None = None) -> RowArray:
        """All rows that satisfy ``expr`` (all rows at all when None), ascending. Not writeable.

        Raises:
            ToolRetry: unknown field, or a value of the wrong type.
        """
        if expr is None:
            return np.arange(self.size, dtype=np.int32)
        if known := self._recent_found.get([expr]):
            return known[expr]
        check(expr, self.schema)
        where, params = compile_sql(expr, self.schema)
        found = self._run(f"SELECT row FROM cat.items WHERE {where}", params).fetchnumpy()["row"]  # noqa: S608
        rows = np.asarray(found, dtype=np.int32)
        rows.sort()
        rows.flags.writeable = False  # shared from now on
        self._recent_found.put({expr: rows})
        return rows

    def items(self, rows: Sequence[int] | RowArray) -> list[Item]:
        """The records of ``rows``, in the order asked, repeated ones repeated.

        Raises:
            CatalogueError: a row outside 0..size-1.
        """
        wanted = [int(row) for row in rows]
        outside = [row for row in wanted if not 0 <= row < self.size]
        if outside:
            raise CatalogueError(f"row {outside[0]} is outside 0..{self.size - 1} of catalogue {self.name!r}")
        by_row = self._recent_items.get(wanted)
        missing = [row for row in dict.fromkeys(wanted) if row not in by_row]
        if missing:
            if len(missing) == 1:  # a plain comparison reads one block
                records = self._run(f"{self._select} WHERE i.row = ?", missing).fetchall()
            else:
                join = "JOIN (SELECT DISTINCT unnest(?::INTEGER[]) AS row) w ON i.row = w.row"
                records = self._run(f"{self._select} {join}", [missing]).fetchall()
            read = {item.row: item for item in map(self._item, records)}
            self._recent_items.put(read)
            by_row |= read
        return [by_row[row] for row in wanted]

    def item(self, row: int) -> Item:
        """The record of one row. Raises :class:`CatalogueError` when there is no such row."""
        return self.items([row])[0]

    def row_of(self, item_id: str) -> int | None:
        """The row of the item with that id, None when there is none."""
        return self.rows_of([item_id])[0]

    def rows_of(self, item_ids: Sequence[str]) -> list[int | None]:
        """The rows of several items in one query, in the order asked; None for an id the catalogue has not."""
        found = self._recent_rows.get(item_ids)
        missing = [item_id for item_id in dict.fromkeys(item_ids) if item_id not in found and utf8(item_id)]
        if missing:
            if len(missing) == 1:
                rows = self._run("SELECT id, row FROM cat.items WHERE id = ?", missing).fetchall()
            else:
                rows = self._run("SELECT id, row FROM cat.items WHERE id IN (SELECT unnest(?))", [missing]).fetchall()
            read = {str(item_id): int(row) for item_id, row in rows}
            self._recent_rows.put(read)
            found |= read
        return [found.get(item_id) for item_id in item_ids]

    def find_names(self, norms: Sequence[str]) -> list[NameHit]:
        """Titles, aliases and values whose folded form (``core.text.fold``) is one of ``norms``; in
        memory, or by one query where there are too many names to hold.

        Strongest first, then by name, titles before values, by row. At most one hit per norm and item, or norm and
        field's value.
        """
        wanted = {norm for norm in norms if norm and utf8(norm)}
        if not wanted:
            return []
        names = self._cached("names", "", lambda: Names(lambda sql, params: self._run(sql, params).fetchall()))
        return names.find(wanted)

    def title_norms(self) -> tuple[list[str], RowArray]:
        """Folded full titles and aliases, and the row of each; by row. For fuzzy matching."""
        return self._cached("title_norms", "", self._title_norms)

    def value_norms(self, field: str) -> tuple[list[str], list[str]]:
        """Folded values of a tags or short text field, and the catalogue's spelling of each; by spelling.

        Raises:
            CatalogueError: no such field, or a numeric one.
        """
        self._spec(field, FieldType.TAGS, FieldType.TEXT)
        return self._cached("value_norms", field, lambda: self._value_norms(field))

    def numeric(self, field: str) -> FloatArray:
        """One number per item: float32, shape (size,), NaN where missing. Not writeable.

        Raises:
            CatalogueError: no such field, or not a numeric one.
        """
        spec = self._spec(field, FieldType.INTEGER, FieldType.NUMBER)
        return self._cached("numeric", field, lambda: self._numeric(spec))

    def text_column(self, field: str) -> list[str | None]:
        """One text per item, None where missing; ``title`` and ``id`` are columns too. Not cached: a fresh list.

        Raises:
            CatalogueError: no such field, or not a text field.
        """
        name = f'"{field}"' if field in ("title", "id") else column(self._spec(field, FieldType.TEXT))
        return [text for (text,) in self._run(f"SELECT {name} FROM cat.items ORDER BY row").fetchall()]  # noqa: S608

    def tags(self, field: str) -> TagMatrix:
        """The values of a tags field as a matrix.

        Raises:
            CatalogueError: no such field, or not a tags field.
        """
        spec = self._spec(field, FieldType.TAGS)
        return self._cached("tags", field, lambda: self._tags(spec))

    def common_values(self, field: str, limit: int) -> list[tuple[str, int]]:
        """The values of a tags field that most items have, and how many have them; most first, ties by value.

        Raises:
            CatalogueError: no such field, or not a tags field.
        """
        table = tag_table(self._spec(field, FieldType.TAGS))
        sql = f"SELECT value, count(*) AS n FROM {table} GROUP BY value ORDER BY n DESC, value LIMIT ?"  # noqa: S608
        return [(value, int(n)) for value, n in self._run(sql, [limit]).fetchall()]

    def value_range(self, field: str) -> tuple[float, float] | None:
        """Smallest and largest value of a numeric field, None when no item has one.

        Raises:
            CatalogueError: no such field, or not a numeric one.
        """
        name = column(self._spec(field, FieldType.INTEGER, FieldType.NUMBER))
        found = self._run(f"SELECT min({name}), max({name}) FROM cat.items").fetchone()  # noqa: S608
        return None if found is None or found[0] is None else (found[0], found[1])

    def search_texts(self) -> list[str]:
        """One text per item that says what it is, for embedding and full-text search. Not cached: a fresh list."""
        return [text for (text,) in self._run("SELECT search_text FROM cat.texts ORDER BY row").fetchall()]

    def close(self) -> None:
        """Close the file; later calls raise :class:`CatalogueError`. May be called twice."""
        with self._lock:
            self._cache.clear()
            self._connection.close()
        self._recent_items.clear()
        self._recent_rows.clear()
        self._recent_found.clear()

    def _run(self, sql: str, params: Sequence[object] = ()) -> duckdb.DuckDBPyConnection:
        try:
            return self._connection.cursor().execute(sql, list(params))
        except duckdb.ConnectionException as error:
            raise CatalogueError(f"catalogue {self.name!r} was closed; open it again") from error
        except duckdb.Error as error:
            raise damaged(self.folder, error) from error

    def _cached(self, what: str, field: str, make: Callable[[], T]) -> T:
        with self._lock:  # held while making: two threads must not build the same matrix
            if (what, field) not in self._cache:
                self._cache[what, field] = make()
            return cast(T, self._cache[what, field])

    def _spec(self, field: str, *types: FieldType) -> FieldSpec:
        spec = self.schema.field(field)
        fitting = ", ".join(f.name for f in self.schema.fields if f.type in types)
        if spec is None:
            raise CatalogueError(f"catalogue {self.name!r} has no field {field!r}; fields of this kind: {fitting}")
        if spec.type not in types:
            raise CatalogueError(f"field {field!r} is {spec.type.value}; asked for one of: {fitting}")
        return spec

    def _item(self, record: Sequence[Any]) -> Item:
        row, item_id, title, *values = record
        fields: Mapping[str, FieldValue] = {
            spec.name: tuple(value or ()) if spec.type is FieldType.TAGS else value
            for spec, value in zip(self.schema.fields, values, strict=True)
        }
        return Item(item_id, title, row, fields, self._year_field)

    def _title_norms(self) -> tuple[list[str], RowArray]:
        found = self._run(
            "SELECT norm, row FROM cat.names WHERE kind = 'title' AND strength = 1 ORDER BY row, norm"
        ).fetchall()
        rows = np.fromiter((row for _, row in found), dtype=np.int32, count=len(found))
        rows.setflags(write=False)
        return [norm for norm, _ in found], rows

    def _value_norms(self, field: str) -> tuple[list[str], list[str]]:
        found = self._run(
            "SELECT norm, value FROM cat.names WHERE kind = 'value' AND field = ? ORDER BY value", [field]
        ).fetchall()
        return [norm for norm, _ in found], [value for _, value in found]

    def _numeric(self, spec: FieldSpec) -> FloatArray:
        found = self._run(f"SELECT {column(spec)}::DOUBLE AS v FROM cat.items ORDER BY row").fetchnumpy()["v"]  # noqa: S608
        out: FloatArray = np.ma.filled(found, np.nan).astype(np.float32)
        out.setflags(write=False)
        return out

    def _tags(self, spec: FieldSpec) -> TagMatrix:
        from scipy.sparse import csc_matrix  # noqa: PLC0415  (0.2 s; filters and look-up do without)

        # The table is sorted by value, then row: its rows are a CSC matrix's indices, the counts its column lengths.
        counts = self._run(f"SELECT value, count(*) FROM {tag_table(spec)} GROUP BY value ORDER BY value").fetchall()  # noqa: S608
        rows = self._run(f"SELECT row FROM {tag_table(spec)}").fetchnumpy()["row"]  # noqa: S608
        starts = np.concatenate([[0], np.cumsum([count for _, count in counts], dtype=np.int64)])
        ones = np.ones(len(rows), dtype=np.float32)
        matrix = csc_matrix((ones, rows, starts), shape=(self.size, len(counts))).tocsr()
        return TagMatrix(tuple(value for value, _ in counts), matrix)
