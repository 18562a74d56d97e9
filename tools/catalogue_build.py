"""Writing a catalogue: records are staged in a temporary folder, indexed, and put in place by one rename.

Nothing is kept in memory but one batch of records; sorting spills to the temporary folder. A reader, or a process
killed at any moment, finds the old catalogue or the new one, never a part.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import duckdb
from convrec.core.errors import ImportRejected
from convrec.core.files import write_json
from convrec.core.items import FieldValue
from convrec.core.text import fold
from convrec.core.version import VERSION
from convrec.tools.catalogue_file import FILE, FORMAT, MANIFEST, Manifest, Source
from convrec.tools.catalogue_sql import SQL_TYPES, column, path_literal, tag_table
from convrec.tools.schema import FieldType, Role, Schema

Progress: TypeAlias = Callable[[str, int, int | None], None]
"""Called with (what is being done, how much of it is done, of how much; None when unknown)."""

BATCH = 20_000
"""Records staged at a time."""
BUILD_MEMORY = "1GB"
"""Memory of the database while building; what does not fit is spilled to the temporary folder."""
STALE_SECONDS = 24 * 3600
"""A temporary folder this old was left behind by a process that was killed."""
VALUE_NAME_CHARS = 80
"""A longer text value is prose, not a name that somebody would say."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_ARTICLE = re.compile(r"^(?:the|a|an) (?=.)")
_SUBTITLE = re.compile(r":| [-–—] ")


@dataclass(frozen=True, slots=True)
class Record:
    """One item on its way in: checked, cleaned, typed by the schema."""

    line: int
    """Where it came from; of two records with one id the lower line is kept."""
    id: str
    title: str
    fields: Mapping[str, FieldValue]
    search_text: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A record that was left out, because an earlier one has its id."""

    line: int
    id: str
    first_line: int


def check_name(name: str) -> str:
    """A catalogue's name, which is a folder's name too.

    Raises:
        ImportRejected: anything but letters, digits, ``-`` and ``_``.
    """
    if not _NAME.fullmatch(name):
        raise ImportRejected(
            f"catalogue name {name!r}: use 1 to 64 letters, digits, '-' and '_', starting with a letter or digit"
        )
    return name


def title_names(title: str) -> list[tuple[str, float]]:
    """The folded forms under which a title is found, with their strength (see ``NameHit``), each once."""
    full = fold(title)
    short = fold(_SUBTITLE.split(title, maxsplit=1)[0])
    names: dict[str, float] = {}
    for norm, strength in (
        (full, 1.0),
        (_ARTICLE.sub("", full, count=1), 0.9),
        (short, 0.8),
        (_ARTICLE.sub("", short, count=1), 0.8),
    ):
        if norm:
            names.setdefault(norm, strength)
    return list(names.items())


class CatalogueBuilder:
    """Collects records and writes the catalogue. Use as a context manager: leaving it removes the temporary folder.

    ``add`` all records, ``duplicates`` to settle ids, ``commit`` to put the catalogue in place.
    """

    def __init__(self, folder: Path, schema: Schema, *, replace: bool, progress: Progress | None = None) -> None:
        check_name(folder.name)
        self._folder, self._schema, self._replace = folder, schema, replace
        self._progress: Progress = progress or (lambda what, done, total: None)
        self._batch: list[str] = []
        self._added = 0
        self._settled = False
        self._refuse_existing()
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(folder)
        self.work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
        """The temporary folder; files put in ``work / "keep"`` move to the catalogue's folder on commit."""
        (self.work / "keep").mkdir()
        self._connection = duckdb.connect(str(self.work / "staging.duckdb"))
        self._connection.execute(f"SET memory_limit = '{BUILD_MEMORY}'")
        self._connection.execute(f"SET temp_directory = {path_literal(str(self.work / 'spill'))}")
        self._connection.execute("SET autoinstall_known_extensions = false")
        self._columns = {
            "line": "BIGINT",
            "id": "VARCHAR",
            "title": "VARCHAR",
            "aliases": "VARCHAR[]",
            "search_text": "VARCHAR",
            "digest": "VARCHAR",
            "names": "STRUCT(norm VARCHAR, value VARCHAR, strength DOUBLE)[]",
            **{f"f_{spec.name}": SQL_TYPES[spec.type] for spec in schema.fields},
        }
        types = ", ".join(f'"{name}" {kind}' for name, kind in self._columns.items())
        self._connection.execute(f"CREATE TABLE staging ({types})")

    def __enter__(self) -> CatalogueBuilder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        shutil.rmtree(self.work, ignore_errors=True)

    def add(self, record: Record) -> None:
        """Stage one record. Its fields must be those of the schema, of the right types (missing ones may be absent)."""
        values = {spec.name: record.fields.get(spec.name) or None for spec in self._schema.fields}
        for spec in self._schema.fields:  # 0 is a number, not a missing value
            if spec.type in (FieldType.INTEGER, FieldType.NUMBER):
                values[spec.name] = record.fields.get(spec.name)
        content = [record.id, record.title, record.aliases, values, record.search_text]
        digest = hashlib.sha256(json.dumps(content, ensure_ascii=False, sort_keys=True).encode()).hexdigest()
        names: dict[str, dict[str, str | float]] = {}
        for full in (record.title, *record.aliases):
            for norm, strength in title_names(full):
                known = names.get(norm)
                if known is None or float(known["strength"]) < strength:
                    names[norm] = {"norm": norm, "value": full, "strength": strength}
        row = {
            "line": record.line,
            "id": record.id,
            "title": record.title,
            "aliases": list(record.aliases) or None,
            "search_text": record.search_text,
            "digest": digest,
            "names": list(names.values()),
            **{f"f_{name}": value for name, value in values.items()},
        }
        self._batch.append(json.dumps(row, ensure_ascii=False, allow_nan=False))
        self._added += 1
        if len(self._batch) >= BATCH:
            self._flush()

    def _flush(self) -> None:
        """Through a JSON file: the one bulk door of DuckDB that takes lists and needs neither pandas nor pyarrow."""
        if not self._batch:
            return
        file = self.work / "batch.json"
        file.write_text("\n".join(self._batch) + "\n", encoding="utf-8")
        self._batch.clear()
        columns = ", ".join(f"'{name}': '{kind}'" for name, kind in self._columns.items())
        self._connection.execute(
            f"INSERT INTO staging SELECT * FROM read_json({path_literal(str(file))}, columns = {{{columns}}}, "  # noqa: S608
            "format = 'newline_delimited', maximum_object_size = 67108864)"
        )
        file.unlink()

    def duplicates(self) -> list[Duplicate]:
        """Settle ids: the first record of an id stays. Returns the others, by line; call it once, after all ``add``."""
        self._flush()
        self._progress("checking ids", 0, None)
        run = self._connection.execute
        found = run(
            "SELECT line, id, first FROM (SELECT line, id, min(line) OVER (PARTITION BY id) AS first FROM staging) "
            "WHERE line > first ORDER BY line"
        ).fetchall()
        if found:
            run("DELETE FROM staging WHERE line IN (SELECT unnest(?::BIGINT[]))", [[line for line, _, _ in found]])
        self._settled = True
        return [Duplicate(*row) for row in found]

    def commit(self, source: Source, notes: Sequence[str] = ()) -> Manifest:
        """Index what was added and put the catalogue in place.

        Raises:
            ImportRejected: no record was added, or the catalogue exists by now and is not to be replaced.
        """
        if not self._settled:
            raise RuntimeError("call duplicates() before commit()")
        run = self._connection.execute
        run(f"ATTACH {path_literal(str(self.work / FILE))} AS cat")
        fields = "".join(f', "f_{spec.name}" AS {column(spec)}' for spec in self._schema.fields)
        self._progress("writing items", 0, None)
        # Records and names are read a few at a time, and a packed text costs its whole block: half the time unpacked.
        # Checkpoints pack what was written since the last one.
        run("PRAGMA force_compression = 'uncompressed'")
        run(
            "CREATE TABLE cat.items AS SELECT (row_number() OVER (ORDER BY id) - 1)::INTEGER AS row, id, title"  # noqa: S608
            f"{fields} FROM staging ORDER BY id"
        )
        run("CHECKPOINT cat")
        run("PRAGMA force_compression = 'auto'")
        run(
            "CREATE TABLE cat.texts AS SELECT i.row, s.search_text, s.aliases FROM staging s "
            "JOIN cat.items i USING (id) ORDER BY i.row"
        )
        self._index()
        manifest = self._describe(source, notes)
        run("CREATE TABLE cat.meta (manifest VARCHAR)")
        run("INSERT INTO cat.meta VALUES (?)", [manifest.model_dump_json()])
        run("DETACH cat")  # writes everything into the one file
        write_json(self.work / "keep" / MANIFEST, manifest.model_dump(mode="json"))
        self._put_in_place()
        return manifest

    def _index(self) -> None:
        """Tag tables, and the table of names."""
        run = self._connection.execute
        for spec in self._schema.fields:
            if spec.type is FieldType.TAGS:
                self._progress(f"indexing {spec.name}", 0, None)
                run(
                    f"CREATE TABLE {tag_table(spec)} AS SELECT DISTINCT value, row FROM "  # noqa: S608
                    f"(SELECT unnest({column(spec)}) AS value, row FROM cat.items) ORDER BY value, row"
                )
        self._progress("indexing names", 0, None)
        run(
            "CREATE TABLE names (norm VARCHAR, kind VARCHAR, row INTEGER, "
            "field VARCHAR, value VARCHAR, strength DOUBLE)"
        )
        run(
            "INSERT INTO names SELECT n.norm, 'title', row, NULL, n.value, n.strength FROM (SELECT i.row, "
            "unnest(s.names) AS n FROM staging s JOIN cat.items i USING (id))"
        )
        self._connection.create_function("fold", fold, ["VARCHAR"], "VARCHAR")
        for spec in self._schema.fields:
            if spec.type is FieldType.TAGS:
                values = f"SELECT DISTINCT value FROM {tag_table(spec)}"  # noqa: S608
            elif spec.type is FieldType.TEXT and spec.role is not Role.DESCRIPTION:
                values = (
                    f"SELECT DISTINCT {column(spec)} AS value FROM cat.items "  # noqa: S608
                    f"WHERE {column(spec)} IS NOT NULL AND length({column(spec)}) <= {VALUE_NAME_CHARS}"
                )
            else:
                continue
            run(f"INSERT INTO names SELECT fold(value), 'value', NULL, ?, value, 1.0 FROM ({values})", [spec.name])  # noqa: S608
        run("CHECKPOINT cat")
        run("PRAGMA force_compression = 'uncompressed'")
        run("CREATE TABLE cat.names AS SELECT md5_number_lower(norm) AS key, * FROM names ORDER BY ALL")

    def _describe(self, source: Source, notes: Sequence[str]) -> Manifest:
        size = self._scalar("SELECT count(*) FROM cat.items")
        if size == 0:
            raise ImportRejected("no usable row: a catalogue needs at least one item")
        counts = ", ".join(f"count(*) FILTER ({column(spec)} IS NULL)" for spec in self._schema.fields)
        found = self._connection.execute(f"SELECT {counts or 0} FROM cat.items").fetchone()  # noqa: S608
        missing = {spec.name: int(n) for spec, n in zip(self._schema.fields, found or (), strict=False)}
        content = hashlib.sha256(self._schema.model_dump_json().encode())
        for digest in self._digests():
            content.update(bytes.fromhex(digest))
        return Manifest(
            format=FORMAT,
            item_schema=self._schema,
            size=size,
            fingerprint=content.hexdigest(),
            source=source,
            created_by=f"convrec {VERSION}",
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            missing=missing,
            notes=tuple(notes),
        )

    def _digests(self) -> Iterator[str]:
        cursor = self._connection.execute("SELECT digest FROM staging ORDER BY id")
        while batch := cursor.fetchmany(BATCH):
            for (digest,) in batch:
                yield digest

    def _scalar(self, sql: str) -> Any:
        found = self._connection.execute(sql).fetchone()
        return found[0] if found else None

    def _refuse_existing(self) -> None:
        if not self._replace and (self._folder / FILE).exists():
            raise ImportRejected(
                f"catalogue {self._folder.name!r} exists in {self._folder.parent}. Choose another --name, or pass "
                "--replace to put the new one in its place"
            )

    def _put_in_place(self) -> None:
        """The rename of the database file is the one moment at which the catalogue changes; it holds its manifest."""
        self._refuse_existing()
        self._folder.mkdir(exist_ok=True)
        (self.work / FILE).replace(self._folder / FILE)
        for file in (self.work / "keep").iterdir():
            file.replace(self._folder / file.name)


def _remove_stale(folder: Path) -> None:
    for left in folder.parent.glob(f".{folder.name}.*.tmp"):
        if left.is_dir() and time.time() - left.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
