"""Values of an imported row: from what a file holds to what the schema asks for, or the reason why not."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal

from convrec.core.items import FieldValue
from convrec.core.text import clean
from convrec.tools.schema import FieldSpec, FieldType, Role

TITLE_CHARS = 300
ID_CHARS = 200
TEXT_CHARS = 300
DESCRIPTION_CHARS = 5000
TAG_CHARS = 120
MAX_TAGS = 500
"""Values of one tags field of one item; more is a wrong separator or a wrong column."""
MAX_INTEGER = 2**53
"""Beyond it a double, and with it every model that reads the column, no longer tells neighbours apart."""
MISSING = frozenset({"", "\\N", "N/A", "NaN", "nan", "null", "NULL", "None"})
"""Texts that stand for "no value" in common exports; titles are read as they are."""

_PLAIN = (str, int, float, Decimal, date)
_PEOPLE = re.compile(r"\s*,(?!\s*(?:(?:Jr|Sr|II|III|IV)\b|\d+(?:st|nd|rd|th) ))\s*")
_INTEGER = re.compile(r"[+-]?\d{1,18}(?:\.0*)?")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?")
_ISO_DATE = re.compile(r"(\d{4})-\d{2}(?:-\d{2})?(?:[T ].*)?")
_DURATION = re.compile(r"(?:(\d{1,3})\s*h(?:ours?|rs?)?)?\s*(?:(\d{1,4})\s*m(?:in(?:ute)?s?\.?)?)?", re.IGNORECASE)
_TITLE_YEAR = re.compile(r"(.+?)\s*\((\d{4})\)")
_TRAILING_ARTICLE = re.compile(r"(.+), (The|A|An)")


class BadValue(ValueError):
    """A value that the field cannot take; the text is the reason."""


def split_people(text: str) -> list[str]:
    """Names between commas; ``George Tillman, Jr.`` and ``David Rocksavage, 7th Marquess of ...`` stay one."""
    return _PEOPLE.split(text)


def split_title_year(text: str) -> tuple[str, int] | None:
    """``Toy Story (1995)`` -> ``("Toy Story", 1995)``, None when there is no year; ``Matrix, The`` is put right."""
    found = _TITLE_YEAR.fullmatch(text.strip())
    if found is None:
        return None
    title = found[1]
    if article := _TRAILING_ARTICLE.fullmatch(title):
        title = f"{article[2]} {article[1]}"
    return title, int(found[2])


def plain_text(value: object, limit: int) -> str:
    """A single value as clean text, "" when missing.

    Raises:
        BadValue: a list, an object or bytes; not valid Unicode; too long.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, _PLAIN):
        text = value if isinstance(value, str) else _said(value)
    else:
        raise BadValue(f"expected one text, got {_kind(value)}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadValue("holds half a character (a lone surrogate): not valid Unicode") from error
    cleaned = clean(text, limit + 1)
    if len(cleaned) > limit:
        raise BadValue(f"longer than {limit} characters")
    return cleaned


def _said(value: object) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < MAX_INTEGER:
        return str(int(value))  # an id column that a data frame turned into floats
    return value.isoformat() if isinstance(value, date) else str(value)


def _kind(value: object) -> str:
    if isinstance(value, list | tuple):
        return "a list"
    return "an object" if isinstance(value, Mapping) else type(value).__name__


def convert(spec: FieldSpec, value: object, separator: str | None) -> FieldValue:
    """A file's value as the field's type; None or () when missing.

    ``separator`` splits the text of a tags field; None: the text is one value.

    Raises:
        BadValue: the value is of another kind, or out of range.
    """
    if spec.type is FieldType.TAGS:
        return _tags(value, separator)
    if spec.type is FieldType.TEXT:
        text = plain_text(value, DESCRIPTION_CHARS if spec.role is Role.DESCRIPTION else TEXT_CHARS)
        return None if text in MISSING else text
    number = _number(spec, value)
    if number is None or spec.type is FieldType.NUMBER:
        return number
    if number != int(number):
        raise BadValue("not a whole number")
    if spec.role is Role.DURATION and number <= 0:
        raise BadValue("must be above 0")
    return int(number)


def _number(spec: FieldSpec, value: object) -> int | float | None:
    wanted = "a whole number" if spec.type is FieldType.INTEGER else "a number"
    if isinstance(value, bool):
        raise BadValue(f"not {wanted}")
    if isinstance(value, datetime | date) and spec.role is Role.YEAR:
        return value.year
    number: int | float
    if isinstance(value, int):
        number = value
    elif isinstance(value, float | Decimal):
        number = float(value)
        if math.isnan(number):
            return None
    else:
        text = plain_text(value, TEXT_CHARS)
        if text in MISSING:
            return None
        number = _read_number(spec, text, wanted)
    if abs(number) > MAX_INTEGER:  # infinite ones too
        raise BadValue(f"outside -2^53..2^53, where {wanted} is exact")
    return number


def _read_number(spec: FieldSpec, text: str, wanted: str) -> int | float:
    if spec.type is FieldType.INTEGER and _INTEGER.fullmatch(text):
        return int(text.split(".")[0])
    if spec.role is Role.YEAR and (found := _ISO_DATE.fullmatch(text)):
        return int(found[1])
    if spec.role is Role.DURATION and (found := _DURATION.fullmatch(text)) and (found[1] or found[2]):
        return 60 * int(found[1] or 0) + int(found[2] or 0)
    if not _NUMBER.fullmatch(text):
        raise BadValue(f"not {wanted}")
    return float(text)


def _tags(value: object, separator: str | None) -> tuple[str, ...]:
    if isinstance(value, list | tuple):
        parts: list[object] = list(value)
    else:
        text = "" if value is None else plain_text(value, MAX_TAGS * TAG_CHARS)
        if text in MISSING:
            return ()
        parts = list(_listed(text) or _split(text, separator))
    if len(parts) > MAX_TAGS:
        raise BadValue(f"{len(parts)} values, at most {MAX_TAGS} are allowed")
    tags: dict[str, None] = {}
    for part in parts:
        if isinstance(part, Mapping) and isinstance(part.get("name"), str):  # TMDB: {"id": 18, "name": "Drama"}
            part = part["name"]
        tag = plain_text(part, TAG_CHARS)
        if tag not in MISSING:
            tags[tag] = None
    return tuple(tags)


def _listed(text: str) -> list[object] | None:
    """A cell that holds a JSON list."""
    if not text.startswith("["):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) else None


def _split(text: str, separator: str | None) -> list[str]:
    if separator is None:
        return [text]
    return split_people(text) if separator == "," else text.split(separator)
