"""Which column of a file fills which field: as told, or guessed from the usual names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from convrec.core.errors import ImportRejected, RequestError
from convrec.core.text import fold
from convrec.tools.import_values import split_title_year
from convrec.tools.schema import FieldSpec, FieldType, Role, Schema

TITLE, ID, ALIASES = "title", "id", "aliases"
YEAR_IN_TITLE_SHARE = 0.9
"""Titles of the sample that must end in a year ("Toy Story (1995)") for it to be taken from them."""
SEPARATORS = ("|", ";", ",")
"""In the order they are looked for: the first that occurs in a column's sample splits it."""

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_FIXED = {
    TITLE: ("title", "primarytitle", "name", "movietitle", "filmtitle", "moviename", "gamename", "booktitle", "label"),
    ID: (
        *("id", "itemid", "imdbid", "tconst", "movieid", "filmid", "gameid", "bookid", "appid", "asin", "isbn"),
        *("isbn13", "tmdbid", "wikidataid", "uuid", "sku"),
    ),
    ALIASES: ("aliases", "alias", "aka", "akas", "alternativetitles", "originaltitle", "alsoknownas"),
}
_BY_ROLE: dict[Role, tuple[str, ...]] = {
    Role.YEAR: ("year", "startyear", "releaseyear", "yearofrelease", "publicationyear", "released", "releasedate"),
    Role.DURATION: ("runtime", "duration", "runtimeminutes", "length", "runningtime", "playtime", "minutes"),
    Role.CATEGORY: ("genres", "genre", "category", "categories", "listedin"),
    Role.LANGUAGE: ("languages", "language", "spokenlanguages", "originallanguage", "lang"),
    Role.COUNTRY: ("countries", "country", "productioncountries", "origin"),
    Role.CERTIFICATE: ("certificate", "rated", "mpaa", "mpaarating", "contentrating", "agerating", "rating"),
    Role.POPULARITY: ("popularity", "votes", "numvotes", "votecount", "imdbvotes", "reviews", "ratingscount"),
    Role.QUALITY: ("criticsscore", "score", "averagerating", "voteaverage", "metascore", "tomatometer", "avgrating"),
    Role.DESCRIPTION: ("plot", "description", "overview", "synopsis", "summary", "storyline", "abstract"),
    Role.KEYWORDS: ("keywords", "keyword", "tags", "plotkeywords", "subjects"),
}
_PEOPLE = {
    "directors": ("directors", "director", "directedby"),
    "writers": ("writers", "writer", "screenplay", "writtenby", "screenwriters"),
    "cast": ("cast", "actors", "stars", "starring", "star", "actor", "topcast", "castmembers"),
    "authors": ("authors", "author", "writtenby", "writer"),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """How rows become records."""

    columns: Mapping[str, str]
    """Column of each filled field; ``title`` always, ``id`` and ``aliases`` where there are such columns."""
    separators: Mapping[str, str | None]
    """What splits the text of a tags field (and of ``aliases``); None: it is one value."""
    ignored: tuple[str, ...]
    """Columns that fill nothing."""
    unfilled: tuple[str, ...]
    """Fields that no column fills."""
    year_in_title: bool
    """The year is taken from titles like "Toy Story (1995)"."""


def parse_map(options: Iterable[str]) -> dict[str, str]:
    """``["year=startYear", "plot="]`` -> ``{"year": "startYear", "plot": ""}``; an empty column leaves the field out.

    Raises:
        RequestError: an option without ``=``, or a field given twice.
    """
    told: dict[str, str] = {}
    for option in options:
        field, equals, column = option.partition("=")
        if not equals or not field.strip():
            raise RequestError("--map", option, "Write --map FIELD=COLUMN, e.g. --map year=startYear")
        if field.strip() in told:
            raise RequestError("--map", option, f"Field {field.strip()!r} is mapped twice")
        told[field.strip()] = column.strip()
    return told


def choose_columns(columns: Sequence[str], told: Mapping[str, str], schema: Schema) -> dict[str, str]:
    """Column by field: what was told, then guesses for the rest; each column is guessed for one field at most.

    Raises:
        RequestError: ``told`` names an unknown field or column.
        ImportRejected: no column for the title.
    """
    fields = [TITLE, ID, *(spec.name for spec in schema.fields), ALIASES]
    for field, column in told.items():
        if field not in fields:
            raise RequestError("--map", f"{field}={column}", f"Known fields: {', '.join(fields)}")
        if column and column not in columns:
            raise RequestError("--map", f"{field}={column}", f"Columns of the file: {_listing(columns)}")
    chosen = {field: column for field, column in told.items() if column}
    free = {_key(column): column for column in reversed(columns) if column and column not in chosen.values()}
    for field in fields:
        if field in told:
            continue
        spec = schema.field(field)
        for name in _FIXED[field] if spec is None else _names(spec):
            if name in free:
                chosen[field] = free.pop(name)
                break
    if TITLE not in chosen:
        raise ImportRejected(
            f"no column looks like the title; columns: {_listing(columns)}. Name it with --map title=COLUMN. "
            "If these are values, the file lacks its first line with the columns' names"
        )
    return chosen


def make_plan(
    chosen: Mapping[str, str],
    columns: Sequence[str],
    sample: Sequence[Mapping[str, object]],
    schema: Schema,
    separator: str | None,
) -> Plan:
    """Settle separators and the year from a sample of rows; a given ``separator`` goes for every tags field."""
    lists = [spec.name for spec in schema.fields if spec.type is FieldType.TAGS] + [ALIASES]
    separators = {
        field: separator or _separator([row.get(chosen[field]) for row in sample], plain=field != ALIASES)
        for field in lists
        if field in chosen
    }
    year = schema.by_role(Role.YEAR)
    titles = [str(row.get(chosen[TITLE]) or "") for row in sample]
    dated = sum(split_title_year(title) is not None for title in titles)
    in_title = year is not None and year.name not in chosen and dated > YEAR_IN_TITLE_SHARE * len(titles)
    return Plan(
        columns=dict(chosen),
        separators=separators,
        ignored=tuple(column for column in columns if column not in chosen.values()),
        unfilled=tuple(
            spec.name
            for spec in schema.fields
            if spec.name not in chosen and not (in_title and year is not None and spec.name == year.name)
        ),
        year_in_title=in_title,
    )


def _names(spec: FieldSpec) -> tuple[str, ...]:
    own = (_key(spec.name), _key(spec.label), _key(spec.name.removesuffix("s")))
    return (*own, *(_PEOPLE.get(spec.name, ()) if spec.role is Role.PERSON else _BY_ROLE.get(spec.role, ())))


def _key(column: str) -> str:
    return fold(_CAMEL.sub(" ", column)).replace(" ", "")


def _separator(cells: Sequence[object], *, plain: bool) -> str | None:
    """``plain``: a comma may separate too; in aliases it is part of many a title."""
    texts = [cell for cell in cells if isinstance(cell, str) and not cell.lstrip().startswith("[")]
    for mark in SEPARATORS if plain else SEPARATORS[:2]:
        if any(mark in text for text in texts):
            return mark
    return None


def _listing(columns: Sequence[str]) -> str:
    shown = ", ".join(repr(column) for column in columns[:30])
    return shown + (f" and {len(columns) - 30} more" if len(columns) > 30 else "")
