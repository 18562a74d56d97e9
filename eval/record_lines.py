"""JSON Lines of records that name their case, as a run keeps them: appended, cut after a kill, rewritten whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convrec.core.errors import DataError
from convrec.core.files import replacing


def cut(path: Path) -> None:
    """Drop a half-written last line, as a kill leaves it."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) != len(content):
        with path.open("r+b") as file:
            file.truncate(len(whole))


def lines(path: Path) -> list[dict[str, Any]]:
    """All whole lines; [] without a file.

    Raises:
        DataError: a line is no record; names it.
    """
    if not path.exists():
        return []
    out = []
    content = path.read_bytes()
    for number, text in enumerate(content.split(b"\n")[:-1], 1):  # what follows the last break is half-written
        try:
            record = json.loads(text)
            record["case"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}, line {number}: no record of a case ({error!r}). Remove the folder.") from error
        out.append(record)
    return out


def line(record: Mapping[str, Any]) -> str:
    """One record, keys sorted, with its line break. Raises ValueError when it is no JSON (NaN is none)."""
    return json.dumps(record, ensure_ascii=False, sort_keys=True, allow_nan=False) + "\n"


def write_text(path: Path, text: str) -> None:
    """Write atomically, UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
