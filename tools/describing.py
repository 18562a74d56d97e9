"""What an item is, in a few plain sentences: the text that is embedded and searched."""

from __future__ import annotations

from collections.abc import Mapping

from convrec.core.items import FieldValue
from convrec.tools.echoes import saturated
from convrec.tools.schema import FieldSpec, FieldType, Role, Schema

MAX_WORDS = 100
"""MiniLM reads 256 word pieces, about 190 words; what is said first counts most."""
MAX_PEOPLE = 5
MAX_KEYWORDS = 10
_ORDER = (
    Role.CATEGORY,
    Role.PERSON,
    Role.LANGUAGE,
    Role.COUNTRY,
    Role.DESCRIPTION,
    Role.KEYWORDS,
    Role.CERTIFICATE,
    Role.OTHER,
)


def search_text(title: str, fields: Mapping[str, FieldValue], schema: Schema) -> str:
    """``Heat (1995). Genre: Crime, Drama. Directed by: Michael Mann. ...``, at most 100 words; no numbers but the year.

    The year goes with the title, a description stands alone, any other field follows its label; fields that are not
    ``searchable`` and missing values are left out.
    """
    year_field = schema.by_role(Role.YEAR)
    year = fields.get(year_field.name) if year_field is not None else None
    parts = [f"{title} ({year})" if year is not None else title]
    for role in _ORDER:
        parts.extend(
            text
            for spec in schema.fields
            if spec.role is role and spec.searchable and (text := _phrase(spec, fields.get(spec.name)))
        )
    words = " ".join(part if part[-1] in ".!?" else part + "." for part in parts).split()
    return " ".join(words[:MAX_WORDS])


def _phrase(spec: FieldSpec, value: FieldValue) -> str:
    if isinstance(value, tuple):
        limit = {Role.PERSON: MAX_PEOPLE, Role.KEYWORDS: MAX_KEYWORDS}.get(spec.role)
        said = ", ".join(value[:limit])
    elif spec.type is FieldType.TEXT and isinstance(value, str):
        said = value
    else:
        return ""
    if not said or spec.role is Role.DESCRIPTION:
        return saturated(said)
    return f"{spec.spoken[:1].upper()}{spec.spoken[1:]}: {said}"
