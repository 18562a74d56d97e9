"""The values of user-item files: ids, numbers, times and texts as they come, and files packed as ``.gz``."""

from __future__ import annotations

import gzip
import math
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

from convrec.core.errors import ImportRejected
from convrec.tools.import_values import BadValue, plain_text

MAX_UNPACKED = 16 << 30
"""Bytes that a .gz file may unpack to."""
ID_LENGTH = 512
"""Characters of a user or item id."""


def identifier(value: object) -> str:
    """An id as text, "" when it is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 3.0 of a Parquet file is the 3 of a CSV file
    if value is None or isinstance(value, (bool, float, dict, list)):
        return ""
    text = str(value).strip()
    return text if len(text) <= ID_LENGTH else ""


def number(value: object) -> float | None:
    """A finite number, None when it is none."""
    if value is None or isinstance(value, (bool, dict, list)):
        return None
    try:
        found = float(str(value))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def time_of(value: object) -> float | None:
    """Any unit: only the order counts. Dates as ISO 8601, UTC where they name no zone."""
    if (found := number(value)) is not None:
        return found
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value.strip())
        elif isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day)
        if not isinstance(value, datetime):
            return None
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def text_of(value: object) -> str:
    """Plain text, "" when it is none."""
    try:
        return plain_text(value, 10_000)
    except BadValue:
        return ""


def year_of(value: object) -> int:
    """A year, 0 when it is none."""
    found = number(value)
    return int(found) if found is not None and 0 < found < 3000 else 0


def tags_of(value: object) -> tuple[str, ...]:
    """Values of a list, or of a text parted by | or ; or, where there is neither, by commas."""
    parts = value if isinstance(value, (list, tuple)) else re.split(r"[|;]", str(value or "")) if value else []
    if len(parts) == 1 and isinstance(value, str):
        parts = value.split(",")
    return tuple(dict.fromkeys(t for part in parts if (t := str(part).strip()) and not t.startswith("(no ")))


def shown(value: object) -> str:
    """For an error message: short."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


@contextmanager
def unpacked(file: Path) -> Iterator[Path]:
    """The file itself; of a ``.gz`` file an unpacked copy that lives as long as the context."""
    if file.suffix.lower() != ".gz" or not file.is_file():
        yield file
        return
    with tempfile.TemporaryDirectory(prefix="convrec-") as folder:
        plain = Path(folder) / file.stem
        try:
            with gzip.open(file) as packed, plain.open("wb") as out:
                shutil.copyfileobj(_Limited(packed, file), out, 1 << 20)
        except (OSError, EOFError) as error:
            raise ImportRejected(f"{file} cannot be unpacked: {error}") from error
        yield plain


class _Limited:
    """A reader that stops with an error where a packed file grows beyond all measure."""

    def __init__(self, source: gzip.GzipFile, file: Path) -> None:
        self._source, self._file, self._left = source, file, MAX_UNPACKED

    def read(self, size: int = -1) -> bytes:
        block = self._source.read(size)
        self._left -= len(block)
        if self._left < 0:
            raise ImportRejected(f"{self._file} unpacks to more than {MAX_UNPACKED >> 30} GiB; unpack it yourself.")
        return block
