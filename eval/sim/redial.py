"""Users of recorded dialogues: ReDial's seekers with what they liked, disliked and had seen; ReDial as a catalogue.

The seeker's side of the dialogue is what the user knows: the messages before the first recommendation, and the movies
the seeker named. What the recommender suggested and the seeker liked is the target: it is in none of the user's words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convrec.core.errors import CatalogueError
from convrec.core.files import sha256_file
from convrec.core.items import FieldValue, Item
from convrec.core.settings import Settings
from convrec.core.text import clean, fold
from convrec.eval.sim.tastes import Known, Taste, Wish
from convrec.tools.catalogue import Catalogue
from convrec.tools.catalogue_build import CatalogueBuilder, Progress, Record
from convrec.tools.catalogue_file import Source, read_manifest
from convrec.tools.datasets import MENTION, Dialogue, RedialData, Split, json_lines
from convrec.tools.describing import search_text
from convrec.tools.schema import FILM_SCHEMA, FieldType, Role

CATALOGUE = "redial"
BUILDER = "redial 1"
"""Raise the number when the films would come out differently: the catalogue is then built again."""
MAX_PHRASE = 300
"""Characters of one message that a user says again."""
_IMDB = re.compile(r"tt\d{7,8}")
_ITEMS = "items.jsonl.gz"
_GREETING = re.compile(
    r"^\W*(?:hi+|hello|hey|good (?:morning|evening|afternoon)|how are you|i am (?:good|fine)|i'?m (?:good|fine)|"
    r"(?:great|good|fine)(?: thanks?)?|yes|thank(?:s| you))(?:[\s\w,'!.?]{0,20})\W*$",
    re.IGNORECASE,
)
_LIKED, _NOT = 1, 0


def catalogue_ids(data: RedialData) -> dict[str, str]:
    """Id in the catalogue by ReDial's movie id: the IMDb id where the data set has it, else ``redial-<id>``.

    Two movies of ReDial with one IMDb id are one item of the catalogue.
    """
    out = {}
    for _, record in json_lines(data.folder / _ITEMS):
        movie, imdb = str(record["movieId"]), str(record.get("imdb_id") or "")
        out[movie] = imdb if _IMDB.fullmatch(imdb) else f"redial-{movie}"
    return out


def ensure_redial(settings: Settings, data: RedialData, progress: Progress | None = None) -> Path:
    """The folder of ReDial's movies as a catalogue; builds it when it is missing or made from another file.

    Counts of mentions (``nbMentions``) include the test split and are not read. The publishers' own files have titles
    and years only; genres, people, plots and keywords are there in the mirror's variant.
    """
    folder = settings.catalogues / CATALOGUE
    source = Source(file=_ITEMS, sha256=sha256_file(data.folder / _ITEMS), builder=BUILDER)
    try:
        if read_manifest(folder).source == source:
            return folder
    except CatalogueError:
        pass  # missing or damaged: built below
    ids = catalogue_ids(data)
    with CatalogueBuilder(folder, FILM_SCHEMA, replace=True, progress=progress) as builder:
        for number, record in json_lines(data.folder / _ITEMS):
            builder.add(_record(number, record, ids))
        same = [f"{d.id} (line {d.line}) is the item of line {d.first_line}" for d in builder.duplicates()]
        builder.commit(source, same)
    return folder


def _record(number: int, record: Mapping[str, Any], ids: Mapping[str, str]) -> Record:
    title = clean(str(record["title"] or record["movieName"] or record["movieId"]), 300)
    year = record.get("year")
    fields: dict[str, FieldValue] = {
        "year": int(year) if year is not None else None,
        "genres": tuple(genre.capitalize() for genre in _texts(record, "genre")),
        "directors": _texts(record, "director"),
        "writers": _texts(record, "writer"),
        "cast": _texts(record, "star"),
        "plot": clean(str(record.get("plot") or ""), 1000) or None,
        "keywords": _texts(record, "keywords"),
    }
    return Record(number, ids[str(record["movieId"])], title, fields, search_text(title, fields, FILM_SCHEMA))


def _texts(record: Mapping[str, Any], name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(clean(str(v), 120) for v in record.get(name) or () if str(v).strip()))


def in_catalogue(data: RedialData, catalogue: Catalogue) -> dict[str, str]:
    """Id of the catalogue's item by ReDial's movie id: the same IMDb id, else the same title and year (give or take
    one year, and no second item of that title and year). Movies that the catalogue lacks are left out."""
    ids = catalogue_ids(data)
    wanted = sorted(set(ids.values()))
    there = {item_id for item_id, row in zip(wanted, catalogue.rows_of(wanted), strict=True) if row is not None}
    out = {movie: item_id for movie, item_id in ids.items() if item_id in there}
    rest = [item for item in data.items() if item.id not in out and item.year is not None]
    hits = catalogue.find_names([fold(item.title) for item in rest])
    rows = sorted({hit.row for hit in hits if hit.kind == "title" and hit.strength >= 1 and hit.row is not None})
    by_name: dict[str, list[Item]] = {}
    for found in catalogue.items(rows):
        by_name.setdefault(fold(found.title), []).append(found)
    for item in rest:
        same = [
            f for f in by_name.get(fold(item.title), ()) if f.year is not None and abs(f.year - (item.year or 0)) <= 1
        ]
        if len(same) == 1:
            out[item.id] = same[0].id
    return out


def redial_tastes(
    data: RedialData, catalogue: Catalogue, *, split: Split = "test", n: int | None = None
) -> tuple[list[Taste], dict[str, int]]:
    """The seekers of one split whose dialogue has something to go by and something to find, in the file's order; and
    how many dialogues were left out, by reason.

    Raises:
        DatasetError: ReDial has not been fetched.
    """
    known_as = in_catalogue(data, catalogue)
    records = {
        i.id: i
        for i in catalogue.items([r for r in catalogue.rows_of(sorted(set(known_as.values()))) if r is not None])
    }
    items = {movie: records[item_id] for movie, item_id in known_as.items()}
    tastes: list[Taste] = []
    left: Counter[str] = Counter()
    for dialogue in data.dialogues(split):
        if n is not None and len(tastes) >= n:
            break
        made = _taste(dialogue, items, catalogue)
        if isinstance(made, Taste):
            tastes.append(made)
        else:
            left[made] += 1
    return tastes, dict(sorted(left.items()))


def _taste(dialogue: Dialogue, items: Mapping[str, Item], catalogue: Catalogue) -> Taste | str:
    answers = dialogue.seeker_answers or dialogue.recommender_answers
    if not answers:
        return "no questionnaire"
    first = next((i for i, m in enumerate(dialogue.messages) if m.speaker == "recommender" and m.mentions), None)
    opening = [m for m in dialogue.messages[:first] if m.speaker == "seeker"]
    named = dict.fromkeys(x for m in dialogue.messages if m.speaker == "seeker" for x in m.mentions)
    suggested_first = _first_by_recommender(dialogue)
    own = {movie for movie in named if movie not in suggested_first}
    targets = {
        items[movie].id
        for movie, answer in answers.items()
        if answer.liked == _LIKED and movie in suggested_first and movie in items
    }
    of_own = {movie: answers[movie] for movie in answers if movie in own and movie in items}
    targets -= {items[movie].id for movie in own if movie in items}
    if not targets:
        return "no liked suggestion that the catalogue has"
    known = Known(
        liked=_of(items, [m for m, a in of_own.items() if a.liked == _LIKED], targets),
        disliked=_of(items, [m for m, a in answers.items() if a.liked == _NOT and m in items], targets),
        seen=_of(items, [m for m, a in answers.items() if a.seen == 1 and a.liked != _NOT and m not in own], targets),
        phrases=_phrases(opening, dialogue.movie_mentions, items, own),
    )
    if not known.liked and not known.phrases:
        return "the seeker says nothing to go by"
    return Taste(f"redial-{dialogue.id}", "redial", _with_wishes(known, catalogue), frozenset(targets))


def _first_by_recommender(dialogue: Dialogue) -> set[str]:
    """Movies that the recommender named before the seeker did, if the seeker did at all."""
    out: set[str] = set()
    before: set[str] = set()
    for message in dialogue.messages:
        for movie in message.mentions:
            if movie not in before and message.speaker == "recommender":
                out.add(movie)
            before.add(movie)
    return out


def _of(items: Mapping[str, Item], movies: Sequence[str], targets: set[str]) -> tuple[Item, ...]:
    found = {items[movie].id: items[movie] for movie in movies if movie in items and items[movie].id not in targets}
    return tuple(found.values())


def _phrases(
    messages: Sequence[Any], names: Mapping[str, str], items: Mapping[str, Item], own: set[str]
) -> tuple[str, ...]:
    """The messages with titles written out; greetings go, and so does what is left without words."""

    def written(match: re.Match[str]) -> str:
        movie = match[1]
        if movie not in own:
            return " "
        name = items[movie].label if movie in items else " ".join(names.get(movie, "").split())
        return f" {name} "

    out = []
    for message in messages:
        text = clean(MENTION.sub(written, message.text), MAX_PHRASE)
        if text and not _GREETING.fullmatch(text):
            out.append(re.sub(r"\s+([.,!?])", r"\1", text))
    return tuple(out)


def _with_wishes(known: Known, catalogue: Catalogue) -> Known:
    """The categories that at least two of the liked items share, most shared first, are what the user can answer when
    asked for a kind; slips are common categories that none of them has."""
    spec = catalogue.schema.by_role(Role.CATEGORY)
    if spec is None or spec.type is not FieldType.TAGS:
        return known
    counts = Counter(value for item in known.liked for value in item.tags(spec.name))
    shared = [value for value, count in sorted(counts.items(), key=lambda p: (-p[1], p[0])) if count >= 2][:2]
    slips = [value for value, _ in catalogue.common_values(spec.name, 12) if value not in counts][:2]
    return Known(
        liked=known.liked,
        disliked=known.disliked,
        seen=known.seen,
        wishes=tuple(Wish(spec.name, "is", value) for value in shared),
        phrases=known.phrases,
        slips=tuple(Wish(spec.name, "is", value) for value in slips),
    )
