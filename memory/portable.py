"""Preferences as JSON, out and in again: what :meth:`PreferenceMemory.export` and ``import_`` speak."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from convrec.core.errors import RequestError
from convrec.memory.records import Preference
from pydantic import ValidationError

EXPORT_FORMAT, EXPORT_VERSION = "convrec-preferences", 1
MAX_IMPORTED = 20_000
_ID = re.compile(r"[0-9a-f]{32}")


def document(user: str, records: Sequence[Preference], at: datetime) -> dict[str, Any]:
    """Everything about a user, history included, newest first."""
    return {
        "format": EXPORT_FORMAT,
        "version": EXPORT_VERSION,
        "user": user,
        "exported": at.isoformat(),
        "preferences": [p.model_dump(mode="json") for p in records],
    }


def parse(user: str, data: object) -> list[Preference]:
    """The records of an exported document, given to ``user``.

    Raises:
        RequestError: it is no export, or one of its records is not valid; nothing is taken then.
    """
    if not isinstance(data, Mapping):
        raise RequestError("document", type(data).__name__, "Expected a JSON object, as an export is.")
    if data.get("format") != EXPORT_FORMAT:
        raise RequestError("format", data.get("format"), f"Expected {EXPORT_FORMAT!r}: give a file that export wrote.")
    if data.get("version") != EXPORT_VERSION:
        raise RequestError("version", data.get("version"), f"This convrec reads version {EXPORT_VERSION}; update it.")
    listed = data.get("preferences")
    if not isinstance(listed, list) or len(listed) > MAX_IMPORTED:
        raise RequestError("preferences", type(listed).__name__, f"Expected a list of at most {MAX_IMPORTED} records.")
    records = [_record(user, number, entry) for number, entry in enumerate(listed)]
    ids = {record.id for record in records}
    if len(ids) != len(records):
        raise RequestError("preferences", len(records) - len(ids), "Two records have the same id.")
    for number, record in enumerate(records):
        if record.superseded_by is not None and record.superseded_by not in ids:
            raise RequestError(
                f"preferences[{number}].superseded_by", record.superseded_by, "The document has no such record."
            )
    return records


def _record(user: str, number: int, entry: object) -> Preference:
    if not isinstance(entry, Mapping):
        raise RequestError(f"preferences[{number}]", type(entry).__name__, "Expected a JSON object.")
    try:
        record = Preference.model_validate(dict(entry) | {"user": user})
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(str(part) for part in problem["loc"])
        raise RequestError(f"preferences[{number}].{field}", problem.get("input"), f"{problem['msg']}.") from error
    if _ID.fullmatch(record.id) is None:
        raise RequestError(f"preferences[{number}].id", record.id, "Expected 32 hexadecimal digits.")
    return record
