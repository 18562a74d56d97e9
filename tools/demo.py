"""The demo catalogue: 17,470 films from the PyPI package ``bokeh-sampledata`` (Wikidata, CC0), read with sqlite3."""

from __future__ import annotations

import importlib.util
import re
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from convrec.core.errors import CatalogueError, DatasetError, MissingExtraError
from convrec.core.files import sha256_file
from convrec.core.items import FieldValue
from convrec.core.settings import Settings
from convrec.core.text import clean
from convrec.tools.catalogue_build import CatalogueBuilder, Progress, Record
from convrec.tools.catalogue_file import Source, read_manifest
from convrec.tools.describing import MAX_PEOPLE, search_text
from convrec.tools.import_values import split_people
from convrec.tools.schema import FILM_SCHEMA

DEMO = "demo"
BUILDER = "demo 3"
"""Raise the number when the films would come out differently: the catalogue is then built again."""
RUNTIME_RANGE = (5, 776)
"""Minutes. Shorter ones are slips of the source (Machuca: 1, The Human Race: 4), read as missing; the longest is real
(Out 1: 776)."""

_CERTIFICATES = {"GP": "PG", "M/PG": "PG", "M": "PG", "X": "NC-17"}
"""Earlier names of today's certificates (MPA, Classification and Rating Rules)."""
_LANGUAGES = {
    "Standard Chinese": "Mandarin",
    "Putonghua": "Mandarin",
    "Standard Taiwanese Mandarin": "Mandarin",
    "Yue Chinese": "Cantonese",
    "Modern Greek": "Greek",
    "Modern Hebrew": "Hebrew",
    "American English": "English",
    "Australian English": "English",
    "Brazilian Portuguese": "Portuguese",
    "Quebec French": "French",
    "Flemish Dutch": "Dutch",
    "Egyptian Arabic": "Arabic",
    "Moroccan Arabic": "Arabic",
    "Ayacucho Quechua": "Quechua",
}
"""Variants that nobody would tell apart when asking for a film, by the name they go under here."""
_NO_LANGUAGE = frozenset({"multiple languages", "multiple", "artistic"})
_COUNTRIES = {
    "People's Republic of China": "China",
    "British Hong Kong": "Hong Kong",
    "Taiwan Island": "Taiwan",
    "Republic of China": "Taiwan",
    "Occupied Palestinian territory": "Palestine",
    "Kingdom of the Netherlands": "Netherlands",
    "Kingdom of Great Britain": "United Kingdom",
    "Wales": "United Kingdom",
    "Kingdom of Italy": "Italy",
    "Socialist Federal Republic of Yugoslavia": "Yugoslavia",
    "Federal Republic of Yugoslavia": "Yugoslavia",
    "The Bahamas": "Bahamas",
}
_SUFFIX = re.compile(r" language$")
_QUERY = """
SELECT o.imdbID, o.Title, o.Year, o.Runtime, o.Rating, o.Genre, o.Director, o.Writer, o."Cast", o.Language, o.Country,
       t.Meter, t.Reviews
FROM omdb o JOIN tomatoes t ON t.ID = o.ID ORDER BY o.ID
"""


@dataclass(frozen=True, slots=True)
class _Film:
    id: str
    title: str
    fields: dict[str, FieldValue]


def source_file() -> Path:
    """The package's ``movies.db``, found without importing the package (which would import pandas).

    Raises:
        MissingExtraError: bokeh-sampledata is not installed.
        DatasetError: it is, but without the file.
    """
    spec = importlib.util.find_spec("bokeh_sampledata")
    if spec is None or spec.origin is None:
        raise MissingExtraError("bokeh-sampledata", "demo", "The demo catalogue")
    file = Path(spec.origin).parent / "_data" / "movies.db"
    if not file.is_file():
        raise DatasetError(f"{file} is missing. Run: pip install --force-reinstall 'bokeh-sampledata>=2026.1'")
    return file


def ensure_demo(settings: Settings, progress: Progress | None = None, *, rebuild: bool = False) -> Path:
    """The folder of the demo catalogue; builds it when it is missing, damaged, or made from another source file.

    Raises:
        MissingExtraError: bokeh-sampledata is not installed.
        DatasetError: its file is missing or not of the known form.
    """
    folder = settings.catalogues / DEMO
    file = source_file()
    source = Source(file=file.name, sha256=sha256_file(file), builder=BUILDER)
    if not rebuild:
        try:
            manifest = read_manifest(folder)
            if manifest.source == source and manifest.item_schema == FILM_SCHEMA:
                return folder
        except CatalogueError:
            pass  # missing or damaged: built below
    films, notes = _read(file)
    with CatalogueBuilder(folder, FILM_SCHEMA, replace=True, progress=progress) as builder:
        appearances = Counter(name for film in films for name in _people(film, "cast"))
        for number, film in enumerate(films, start=1):
            builder.add(_record(number, film, appearances))
            if progress is not None and number % 500 == 0:
                progress("reading films", number, len(films))
        twice = [f"id {left.id} occurs again and was left out" for left in builder.duplicates()]
        builder.commit(source, notes + twice)
    return folder


def _people(film: _Film, field: str) -> tuple[str, ...]:
    value = film.fields[field]
    return value if isinstance(value, tuple) else ()


def _record(number: int, film: _Film, appearances: Counter[str]) -> Record:
    """The source lists the cast by the alphabet, not by billing: for the search text, those of most films go first."""
    known = tuple(sorted(_people(film, "cast"), key=lambda name: (-appearances[name], name))[:MAX_PEOPLE])
    text = search_text(film.title, {**film.fields, "cast": known}, FILM_SCHEMA)
    return Record(number, film.id, film.title, film.fields, text)


def _read(file: Path) -> tuple[list[_Film], list[str]]:
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            found = connection.execute(_QUERY).fetchall()
    except sqlite3.Error as error:
        raise DatasetError(
            f"{file} is not the film database of bokeh-sampledata 2026.1 ({error}). "
            "Run: pip install --force-reinstall 'bokeh-sampledata>=2026.1'"
        ) from error
    films, notes = [], []
    for (
        imdb_id,
        title,
        year,
        runtime,
        rating,
        genre,
        director,
        writer,
        cast,
        language,
        country,
        meter,
        reviews,
    ) in found:
        name = clean(title or "", 300)
        if not imdb_id or not name:
            notes.append(f"a film without id or title was left out: {imdb_id!r} {title!r}")
            continue
        minutes = None if runtime is None else round(runtime)
        if minutes is not None and not RUNTIME_RANGE[0] <= minutes <= RUNTIME_RANGE[1]:
            notes.append(f"{imdb_id}: running time {runtime} was left out")
            minutes = None
        fields: dict[str, FieldValue] = {
            "year": year,
            "runtime": minutes,
            "certificate": _CERTIFICATES.get(rating, rating) or None,
            "genres": _names(genre),
            "directors": _names(director),
            "writers": _names(writer),
            "cast": _names(cast),  # by the alphabet, NOT by billing
            "languages": _renamed(_names(language), _LANGUAGES, _NO_LANGUAGE),
            "countries": _renamed(_names(country), _COUNTRIES, frozenset()),
            "critics_score": meter,
            "reviews": reviews,
        }
        films.append(_Film(imdb_id, name, fields))
    return films, notes


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(clean(name, 120) for name in split_people(text or "") if name.strip()))


def _renamed(names: tuple[str, ...], table: dict[str, str], dropped: frozenset[str]) -> tuple[str, ...]:
    plain = (_SUFFIX.sub("", name) for name in names)
    return tuple(dict.fromkeys(table.get(name, name) for name in plain if name not in dropped))
