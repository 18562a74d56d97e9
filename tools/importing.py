"""A user's own catalogue from a CSV, JSON Lines or Parquet file: checked row by row, all or nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TextIO

from convrec.core.errors import ImportRejected, RequestError
from convrec.core.files import sha256_file
from convrec.core.items import FieldValue
from convrec.core.text import fold
from convrec.tools.catalogue_build import CatalogueBuilder, Progress, Record, check_name
from convrec.tools.catalogue_file import Manifest, Source
from convrec.tools.describing import search_text
from convrec.tools.import_mapping import ALIASES, ID, TITLE, Plan, choose_columns, make_plan
from convrec.tools.import_readers import SAMPLE_ROWS, BadRow, Format, Row, Table
from convrec.tools.import_values import (
    ID_CHARS,
    MISSING,
    TITLE_CHARS,
    BadValue,
    convert,
    plain_text,
    split_title_year,
)
from convrec.tools.schema import FILM_SCHEMA, FieldSpec, FieldType, Role, Schema
from pydantic import ValidationError

BUILDER = "import 1"
REJECTED = "rejected.jsonl"
MAX_BAD = 0.10
"""Share of rows that may be set aside; above it the mapping or the file is wrong, not some rows."""
PROBLEMS_SHOWN = 20
_TICK = 1000
"""Rows between two calls of the progress function."""


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What to import, and how."""

    file: Path
    name: str
    mapping: Mapping[str, str] = field(default_factory=dict)
    """Column by field (or ``title``, ``id``, ``aliases``); "" leaves the field out; the rest is guessed."""
    schema: Schema = FILM_SCHEMA
    format: Format | None = None
    """None: by the file's suffix."""
    separator: str | None = None
    """Between the values of a tags field; None: found per column."""
    max_bad: float = MAX_BAD
    """0..1; 0: one bad row rejects the file."""
    replace: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did, or would do."""

    name: str
    folder: Path
    rows: int
    imported: int
    rejected: int
    plan: Plan
    made_ids: bool
    """No id column: ids were made from title and year."""
    problems: tuple[BadRow, ...]
    """The first 20 rejected rows, by line; all of them are in ``rejected.jsonl``."""
    manifest: Manifest | None
    """None after a dry run."""


def load_schema(file: Path) -> Schema:
    """A schema from a JSON file.

    Raises:
        RequestError: missing, not JSON, or not a schema; names the place.
    """
    try:
        return Schema.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError("--schema", str(file), f"It cannot be read: {error}") from error
    except ValidationError as error:
        places = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors()[:5])
        raise RequestError("--schema", str(file), f"Not a schema: {places}. See docs/catalogues.md") from error


def import_catalogue(request: ImportRequest, catalogues: Path, progress: Progress | None = None) -> ImportReport:
    """Import ``request.file`` as ``catalogues / request.name``. Bad rows are set aside in ``rejected.jsonl`` there.

    Memory does not grow with the file: rows are read, checked and staged in batches.

    Raises:
        ImportRejected: the file cannot be read, no title column, too many bad rows, no good row, or the catalogue
            exists and is not to be replaced. Nothing was changed.
        RequestError: the mapping names an unknown field or column, or ``max_bad`` is outside 0..1.
    """
    if not 0 <= request.max_bad <= 1:
        raise RequestError("--max-bad", request.max_bad, "Expected a share from 0 to 1, or 0% to 100%")
    if request.separator == "":
        raise RequestError("--list-separator", "", "Expected at least one character")
    check_name(request.name)
    table = Table(request.file, request.format)
    chosen = choose_columns(table.columns, request.mapping, request.schema)
    good = (row.values for row in table.rows() if isinstance(row, Row))
    plan = make_plan(chosen, table.columns, list(islice(good, SAMPLE_ROWS)), request.schema, request.separator)
    folder = catalogues / request.name
    with CatalogueBuilder(folder, request.schema, replace=request.replace, progress=progress) as builder:
        with (builder.work / "keep" / REJECTED).open("w", encoding="utf-8") as aside:
            rejects = _Rejects(aside)
            rows = _read(table, plan, request.schema, builder, rejects, progress)
            for left in builder.duplicates():
                rejects.add(BadRow(left.line, ID, left.id, f"id already given on line {left.first_line}"))
        _judge(request, rows, rejects)
        manifest = None
        if not request.dry_run:
            source = Source(file=request.file.name, sha256=sha256_file(request.file), builder=BUILDER)
            notes = [f"{rejects.count} of {rows} rows were set aside in {REJECTED}"] if rejects.count else []
            if ID not in plan.columns:
                notes.append("ids were made from title and year")
            manifest = builder.commit(source, notes)
    return ImportReport(
        name=request.name,
        folder=folder,
        rows=rows,
        imported=rows - rejects.count,
        rejected=rejects.count,
        plan=plan,
        made_ids=ID not in plan.columns,
        problems=rejects.shown(),
        manifest=manifest,
    )


class _Rejects:
    """Counts rows set aside, writes each to a file, keeps the first few to show."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._first: list[BadRow] = []
        self.count = 0

    def add(self, bad: BadRow) -> None:
        self.count += 1
        if len(self._first) < 2 * PROBLEMS_SHOWN:  # duplicates come last and may lie on earlier lines
            self._first.append(bad)
        row = {"line": bad.line, "field": bad.field, "value": bad.value, "reason": bad.reason}
        self._file.write(json.dumps(row, ensure_ascii=True) + "\n")

    def shown(self) -> tuple[BadRow, ...]:
        return tuple(sorted(self._first, key=lambda bad: bad.line)[:PROBLEMS_SHOWN])


def _read(
    table: Table,
    plan: Plan,
    schema: Schema,
    builder: CatalogueBuilder,
    rejects: _Rejects,
    progress: Progress | None,
) -> int:
    to_record = _converter(plan, schema)
    rows = 0
    for rows, row in enumerate(table.rows(), start=1):
        record = row if isinstance(row, BadRow) else to_record(row)
        if isinstance(record, BadRow):
            rejects.add(record)
        else:
            builder.add(record)
        if progress is not None and rows % _TICK == 0:
            progress(f"reading row {rows:,}", table.done, table.total)
    return rows


def _judge(request: ImportRequest, rows: int, rejects: _Rejects) -> None:
    shown = "".join(f"\n  line {b.line}: {_problem(b)}" for b in rejects.shown()[:5])
    if rows == 0:
        raise ImportRejected(f"{request.file} has columns but no rows")
    if rejects.count == rows:
        raise ImportRejected(f"{request.file}: none of the {rows} rows can be used; nothing was changed.{shown}")
    if rejects.count > request.max_bad * rows:
        raise ImportRejected(
            f"{request.file}: {rejects.count} of {rows} rows are bad ({rejects.count / rows:.1%}), at most "
            f"{request.max_bad:.1%} is allowed; nothing was changed. Check the mapping, or allow more with "
            f"--max-bad.{shown}"
        )


def _problem(bad: BadRow) -> str:
    where = f"{bad.field} = {bad.value!r}: " if bad.field else ""
    return f"{where}{bad.reason}"


def _converter(plan: Plan, schema: Schema) -> Callable[[Row], Record | BadRow]:
    year = schema.by_role(Role.YEAR)
    filled = [(spec, plan.columns[spec.name]) for spec in schema.fields if spec.name in plan.columns]

    def to_record(row: Row) -> Record | BadRow:
        at: tuple[str, object] = (TITLE, None)
        try:
            at = TITLE, row.values.get(plan.columns[TITLE])
            title = _required(at[1], TITLE_CHARS)
            values: dict[str, FieldValue] = {}
            if plan.year_in_title and year is not None and (split := split_title_year(title)):
                title, values[year.name] = split
            for spec, column in filled:
                at = spec.name, row.values.get(column)
                values[spec.name] = convert(spec, at[1], plan.separators.get(spec.name))
            at = ALIASES, row.values.get(plan.columns.get(ALIASES, ""))
            aliases = _aliases(at[1], plan, title)
            if ID in plan.columns:
                at = ID, row.values.get(plan.columns[ID])
                item_id = _required(at[1], ID_CHARS)
            else:
                item_id = _made_id(title, values.get(year.name) if year is not None else None)
        except BadValue as error:
            return BadRow(row.line, at[0], _shown(at[1]), str(error))
        return Record(row.line, item_id, title, values, search_text(title, values, schema), aliases)

    return to_record


def _required(value: object, limit: int) -> str:
    text = plain_text(value, limit)
    if text in ("", "\\N"):
        raise BadValue("is missing")
    return text


def _aliases(value: object, plan: Plan, title: str) -> tuple[str, ...]:
    if value is None:
        return ()
    spec = FieldSpec(name="other_titles", type=FieldType.TAGS)
    found = convert(spec, value, plan.separators.get(ALIASES))
    names: Iterable[str] = found if isinstance(found, tuple) else ()
    return tuple(name for name in names if name != title and name not in MISSING)


def _made_id(title: str, year: FieldValue) -> str:
    """``heat-1995-3f1c09ab``: readable, and the same on the next import. The tail tells apart what folding makes equal
    ("C#", "C++"); two rows with the same title and year are duplicates."""
    tail = hashlib.sha256(f"{title}\n{year}".encode()).hexdigest()[:8]
    words = fold(title)[:60].strip().replace(" ", "-")
    return "-".join(part for part in (words, str(year) if year is not None else "", tail) if part)


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 200 else text[:197] + "..."
