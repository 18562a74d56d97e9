"""Rows of CSV, JSON Lines and Parquet files, one at a time, each with the line it starts on."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias, get_args

import duckdb
from convrec.core.errors import ImportRejected
from convrec.tools.catalogue_build import BUILD_MEMORY

Format: TypeAlias = Literal["csv", "jsonl", "parquet"]
MAX_LINE = 16 << 20
"""Bytes. A longer line is no line of a table, and would have to be held in memory."""
SAMPLE_ROWS = 1000
"""Rows looked at to find the columns of a JSON Lines file, and separators."""
PARQUET_BATCH = 5000
_SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Row:
    line: int
    """1-based line on which the row starts; for Parquet the row's number."""
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was set aside, and why."""

    line: int
    field: str
    """Field or column; "" when the row as a whole cannot be read."""
    value: str
    reason: str


def guess_format(file: Path) -> Format:
    """By the file's suffix. Raises :class:`ImportRejected` for another one."""
    try:
        return _SUFFIXES[file.suffix.lower()]
    except KeyError as error:
        raise ImportRejected(f"{file}: unknown suffix {file.suffix!r}. Pass --format csv, jsonl or parquet") from error


class Table:
    """A file of rows. ``columns`` are known on opening; ``rows()`` reads the file from its start, each time anew."""

    def __init__(self, file: Path, format: Format | None = None) -> None:
        """Raises ImportRejected: missing, a folder, empty, not of the format, not UTF-8, no usable header."""
        if format is not None and format not in get_args(Format):
            raise ImportRejected(f"format {format!r}: expected one of {', '.join(get_args(Format))}")
        if file.is_dir():
            raise ImportRejected(f"{file} is a folder; expected a file")
        if not file.is_file():
            raise ImportRejected(f"{file}: no such file")
        if file.stat().st_size == 0:
            raise ImportRejected(f"{file} is empty")
        self.file = file
        self.format: Format = format or guess_format(file)
        self.delimiter = ","
        self.total = file.stat().st_size
        """Bytes (rows of a Parquet file), for progress."""
        self.done = 0
        """How much of ``total`` the latest ``rows()`` has read."""
        try:
            if self.format == "csv":
                self.columns = self._csv_header()
            elif self.format == "jsonl":
                self.columns = self._json_keys()
            else:
                self.columns = self._parquet_columns()
        except OSError as error:
            raise ImportRejected(f"{file} cannot be read: {error.strerror or error}") from error

    def rows(self) -> Iterator[Row | BadRow]:
        """Raises ImportRejected when the rest of the file cannot be read."""
        read = {"csv": self._csv_rows, "jsonl": self._json_rows, "parquet": self._parquet_rows}[self.format]
        try:
            yield from read()
        except OSError as error:
            raise ImportRejected(f"{self.file} cannot be read: {error.strerror or error}") from error

    # CSV: Python's reader, since it tells the line of a row also behind quoted line breaks.

    def _csv_header(self) -> list[str]:
        with self.file.open("rb") as binary:
            lines = _Lines(binary, self.file)
            first = next((text for text in lines if text.strip()), "")
        if lines.bad:
            raise ImportRejected(f"{self.file}, line {min(lines.bad)}: {lines.bad[min(lines.bad)]}")
        self.delimiter = "\t" if self.file.suffix.lower() == ".tsv" else max(",;\t|", key=first.count)
        with self.file.open("rb") as binary:
            _, header = next(self._records(_Lines(binary, self.file)), (0, []))
        names = [name.strip() for name in header]
        if not any(names):
            raise ImportRejected(f"{self.file}: the first line must name the columns, it is blank")
        twice = sorted({name for name in names if name and names.count(name) > 1})
        if twice:
            raise ImportRejected(f"{self.file}: column names must differ; more than once: {', '.join(twice)}")
        return names

    def _records(self, lines: _Lines) -> Iterator[tuple[int, list[str]]]:
        """(line on which it starts, cells), without blank lines."""
        reader = csv.reader(lines, delimiter=self.delimiter)
        start = 1
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                raise ImportRejected(
                    f"{self.file}, line {start}: {error}. A quotation mark that is never closed is the usual cause"
                ) from error
            if cells is None:
                return
            if cells:
                yield start, cells
            start = reader.line_num + 1

    def _csv_rows(self) -> Iterator[Row | BadRow]:
        with self.file.open("rb") as binary:
            lines = _Lines(binary, self.file)
            records = self._records(lines)
            next(records, None)
            for start, cells in records:
                self.done = lines.bytes
                bad = [lines.bad.pop(line) for line in sorted(lines.bad) if line >= start]
                if bad:
                    yield BadRow(start, "", _short(self.delimiter.join(cells)), bad[0])
                elif len(cells) != len(self.columns):
                    reason = f"{len(cells)} columns, the header has {len(self.columns)}"
                    yield BadRow(start, "", _short(self.delimiter.join(cells)), reason)
                else:
                    yield Row(start, dict(zip(self.columns, cells, strict=True)))

    # JSON Lines

    def _json_keys(self) -> list[str]:
        keys: dict[str, None] = {}
        objects = 0
        for number, row in enumerate(self._json_rows()):
            if isinstance(row, Row):
                objects += 1
                keys.update(dict.fromkeys(row.values))
            if number >= SAMPLE_ROWS:
                break
        if not objects:
            with self.file.open("rb") as binary:
                array = binary.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
            hint = " It looks like one JSON array; turn it into lines with: jq -c '.[]' FILE" if array else ""
            raise ImportRejected(f"{self.file}: no line among the first {SAMPLE_ROWS} is a JSON object.{hint}")
        return list(keys)

    def _json_rows(self) -> Iterator[Row | BadRow]:
        with self.file.open("rb") as binary:
            lines = _Lines(binary, self.file)
            for text in lines:
                line = lines.number
                self.done = lines.bytes
                if not text.strip():
                    continue
                if line in lines.bad:
                    yield BadRow(line, "", _short(text), lines.bad.pop(line))
                    continue
                try:
                    value = json.loads(text)
                except json.JSONDecodeError as error:
                    yield BadRow(line, "", _short(text), f"not JSON: {error.msg} at column {error.colno}")
                except (ValueError, RecursionError):  # a number of thousands of digits; brackets thousands deep
                    yield BadRow(line, "", _short(text), "not JSON that can be read: too large a number or too deep")
                else:
                    if isinstance(value, dict):
                        yield Row(line, value)
                    else:
                        yield BadRow(line, "", _short(text), "not a JSON object")

    # Parquet

    def _parquet_columns(self) -> list[str]:
        with duckdb.connect(":memory:") as connection:
            cursor = self._parquet_query(connection, " LIMIT 0")
            columns = [str(column[0]) for column in cursor.description or []]
            counted = connection.execute("SELECT count(*) FROM read_parquet(?)", [_no_glob(self.file)]).fetchone()
            self.total = int(counted[0]) if counted else 0
            return columns

    def _parquet_rows(self) -> Iterator[Row | BadRow]:
        with duckdb.connect(":memory:") as connection:
            cursor = self._parquet_query(connection, "")
            number = 0
            while True:
                try:
                    batch = cursor.fetchmany(PARQUET_BATCH)
                except duckdb.Error as error:
                    raise self._unreadable(error) from error
                if not batch:
                    return
                for values in batch:
                    number += 1
                    self.done = number
                    yield Row(number, dict(zip(self.columns, values, strict=True)))

    def _parquet_query(self, connection: duckdb.DuckDBPyConnection, limit: str) -> duckdb.DuckDBPyConnection:
        try:
            connection.execute(f"SET memory_limit = '{BUILD_MEMORY}'")
            query = f"SELECT * FROM read_parquet(?){limit}"  # noqa: S608
            return connection.execute(query, [_no_glob(self.file)])
        except duckdb.Error as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: duckdb.Error) -> ImportRejected:
        return ImportRejected(f"{self.file} is not a Parquet file that can be read: {str(error).splitlines()[0]}")


class _Lines:
    """Decoded lines of a binary file. A line that is not UTF-8 is given with replacement marks and noted in ``bad``."""

    def __init__(self, binary: BinaryIO, file: Path) -> None:
        self._binary, self._file = binary, file
        self.number = 0
        self.bytes = 0
        self.bad: dict[int, str] = {}

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        raw = self._binary.readline(MAX_LINE + 1)
        if not raw:
            raise StopIteration
        self.number += 1
        self.bytes += len(raw)
        if len(raw) > MAX_LINE:
            raise ImportRejected(f"{self._file}, line {self.number}: longer than {MAX_LINE >> 20} MiB; is it a table?")
        if self.number == 1:
            if raw.startswith(_UTF16):
                raise ImportRejected(f"{self._file} is UTF-16; save it as UTF-8")
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            self.bad[self.number] = (
                f"not UTF-8: byte 0x{raw[error.start]:02X} at position {error.start + 1} of the line"
            )
            return raw.decode("utf-8", errors="replace")


def _no_glob(file: Path) -> str:
    """DuckDB reads ``*``, ``?`` and ``[`` in a path as a pattern: each is put in brackets, which match it as it is."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in str(file.resolve()))


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:197] + "..."
