"""From the publishers' own files to the layout the readers expect.

Everything that comes in is untrusted: archives are read member by member under a size limit (nothing is extracted by
its stored path), and every line is parsed strictly.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from convrec.core.errors import DatasetError
from convrec.core.files import replacing

MEMBER_LIMIT = 512 << 20
"""Most bytes one archive member may unpack to; a larger one is taken for a zip bomb."""
VALIDATION_TENTHS = 1
"""Tenths of the official ReDial training dialogues set apart for validation."""

_TITLE_YEAR = re.compile(r"(?P<title>.*?)\s*\((?P<year>(?:18|19|20)\d\d)\)\s*")


def split_title(name: str) -> tuple[str, int | None]:
    """``"Heat  (1995)"`` -> ``("Heat", 1995)``; the year is None when the name does not end in one. White space runs
    in the title become one space."""
    found = _TITLE_YEAR.fullmatch(name)
    title = " ".join((found["title"] if found else name).split())
    return title, int(found["year"]) if found else None


def write_gzip(path: Path, data: bytes) -> None:
    """Write ``data`` as gzip, atomically. The same data always gives the same bytes (no name, no time inside)."""
    with replacing(path) as temporary:
        temporary.write_bytes(gzip.compress(data, compresslevel=6, mtime=0))


def write_jsonl(path: Path, records: Iterable[Any]) -> None:
    """One JSON value a line, gzip, atomically."""
    write_gzip(path, "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records).encode())


def members(archive: Path, wanted: Iterable[str]) -> dict[str, bytes]:
    """Contents of the ``wanted`` files of a zip archive, found by base name in whatever folder they lie.

    Raises:
        DatasetError: no zip file; a wanted file is missing, there twice, or larger than MEMBER_LIMIT.
    """
    found: dict[str, bytes] = {}
    names = set(wanted)
    try:
        with zipfile.ZipFile(archive) as bundle:
            for entry in bundle.infolist():
                base = entry.filename.replace("\\", "/").rsplit("/", 1)[-1]
                # macOS archives carry a second, hidden copy of every file.
                if entry.is_dir() or base not in names or "__MACOSX" in entry.filename:
                    continue
                if base in found:
                    raise DatasetError(f"{archive.name} holds {base} twice; expected it once.")
                with bundle.open(entry) as member:
                    data = member.read(MEMBER_LIMIT + 1)
                if len(data) > MEMBER_LIMIT:
                    raise DatasetError(f"{archive.name}: {base} unpacks to more than {MEMBER_LIMIT} bytes; refused.")
                found[base] = data
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise DatasetError(
            f"{archive.name} is no readable zip archive ({error}). Delete it and fetch again."
        ) from error
    if missing := sorted(names - found.keys()):
        raise DatasetError(f"{archive.name} lacks {', '.join(missing)}: the publisher has changed its layout.")
    return found


def in_validation(dialogue_id: str) -> bool:
    """Whether an official ReDial training dialogue goes to the validation split: a fixed hash of its id."""
    return hashlib.blake2b(dialogue_id.encode(), digest_size=4).digest()[0] % 10 < VALIDATION_TENTHS


def convert_redial(files: Mapping[str, Path], target: Path) -> dict[str, bytes]:
    """Write train, valid, test and items from ``redial_dataset.zip``.

    The movie list's mention counts include the test split, so they are left out here and can mislead nobody.
    """
    archive = files["redial_dataset.zip"]
    data = members(archive, ("train_data.jsonl", "test_data.jsonl", "movies_with_mentions.csv"))
    train = [(str(d["conversationId"]), d) for d in _json_lines(data["train_data.jsonl"], "train_data.jsonl")]
    write_jsonl(target / "train.jsonl.gz", (d for key, d in train if not in_validation(key)))
    write_jsonl(target / "valid.jsonl.gz", (d for key, d in train if in_validation(key)))
    write_jsonl(target / "test.jsonl.gz", _json_lines(data["test_data.jsonl"], "test_data.jsonl"))
    items = []
    for row in _table(data["movies_with_mentions.csv"], "movies_with_mentions.csv", ",", ("movieId", "movieName")):
        title, year = split_title(row["movieName"])
        items.append({"movieId": row["movieId"], "movieName": row["movieName"], "title": title, "year": year})
    write_jsonl(target / "items.jsonl.gz", items)
    return data


def convert_inspired(files: Mapping[str, Path], target: Path) -> dict[str, bytes]:
    """Write train, dev, test (one dialogue a line: a list of utterances) and items from the authors' tables.

    Their rows are sentences; consecutive sentences of one speaker are joined to one utterance.
    """
    data = {name: path.read_bytes() for name, path in files.items()}
    names: dict[str, None] = {}
    for split in ("train", "dev", "test"):
        rows = _table(data[f"{split}.tsv"], f"{split}.tsv", "\t", ("dialog_id", "speaker", "text", "movies"))
        dialogues = []
        for dialogue_id, lines in groupby(rows, key=lambda row: row["dialog_id"]):
            utterances = []
            for role, sentences in groupby(lines, key=lambda row: row["speaker"]):
                parts = list(sentences)
                movies = [m.strip() for row in parts for m in row["movies"].split(";") if m.strip()]
                text = " ".join(row["text"].strip() for row in parts).replace("QUOTATION_MARK", '"')
                utterances.append({"dialog_id": dialogue_id, "role": role, "text": text, "movie": movies})
                names.update(dict.fromkeys(movies))
            dialogues.append(utterances)
        write_jsonl(target / f"{split}.jsonl.gz", dialogues)
        write_gzip(target / f"{split}.tsv.gz", data[f"{split}.tsv"])
    write_gzip(target / "dialog_outcomes.tsv.gz", data["dialog_outcomes.tsv"])
    items = ((name, *split_title(name)) for name in sorted(names))
    write_jsonl(target / "items.jsonl.gz", ({"name": n, "title": t, "year": y} for n, t, y in items))
    return data


def convert_movielens(files: Mapping[str, Path], target: Path) -> dict[str, bytes]:
    """Write the four tables and the terms of use of ``ml-latest-small.zip``."""
    wanted = ("ratings.csv", "movies.csv", "links.csv", "tags.csv", "README.txt")
    data = members(files["ml-latest-small.zip"], wanted)
    _table(data["ratings.csv"], "ratings.csv", ",", ("userId", "movieId", "rating", "timestamp"))
    _table(data["movies.csv"], "movies.csv", ",", ("movieId", "title", "genres"))
    for name, content in data.items():
        write_gzip(target / f"{name}.gz", content)
    return data


CONVERTERS = {"redial": convert_redial, "inspired": convert_inspired, "movielens-small": convert_movielens}
"""Per data set: (downloaded files by name, target folder) -> contents by publisher file name, for known hashes."""


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{name} is no UTF-8 text ({error}); the file is damaged.") from error


def _json_lines(data: bytes, name: str) -> list[dict[str, Any]]:
    records = []
    for number, line in enumerate(_text(data, name).split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise DatasetError(f"{name}, line {number}: no JSON ({error}); the file is damaged.") from error
        if not isinstance(record, dict) or "conversationId" not in record or "messages" not in record:
            raise DatasetError(f"{name}, line {number}: expected a dialogue with conversationId and messages.")
        records.append(record)
    return records


def _table(data: bytes, name: str, delimiter: str, columns: tuple[str, ...]) -> list[dict[str, str]]:
    reader = csv.DictReader(io.StringIO(_text(data, name), newline=""), delimiter=delimiter)
    missing = [column for column in columns if column not in (reader.fieldnames or ())]
    if missing:
        raise DatasetError(f"{name} lacks the columns {', '.join(missing)}; it has {reader.fieldnames}.")
    try:
        return [{key: value or "" for key, value in row.items() if key is not None} for row in reader]
    except csv.Error as error:
        raise DatasetError(f"{name}, line {reader.line_num}: {error}.") from error
