"""What a recommender's items are called: kept beside a trained model, so that a catalogue with other ids finds them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from convrec.core.files import write_json
from convrec.tools.datasets import InspiredData, RedialData, json_lines
from convrec.tools.recommenders.data import ItemDetails

FILE = "item_names.json"


@dataclass(frozen=True, slots=True)
class ItemNames:
    """By row. ``titles``: without the year, "" unknown; ``years``: 0 unknown; ``imdb_ids``: "tt0113277", "" unknown."""

    titles: tuple[str, ...]
    years: tuple[int, ...]
    imdb_ids: tuple[str, ...]

    def __post_init__(self) -> None:
        if not len(self.titles) == len(self.years) == len(self.imdb_ids):
            raise ValueError(
                f"{len(self.titles)} titles, {len(self.years)} years, {len(self.imdb_ids)} IMDb ids: expected as many"
            )
        for value in (*self.titles, *self.imdb_ids):
            if not isinstance(value, str):
                raise TypeError(f"a title or an IMDb id is {value!r}, expected text")
        for year in self.years:
            if not isinstance(year, int):
                raise TypeError(f"a year is {year!r}, expected a whole number")

    def write(self, folder: Path) -> None:
        write_json(folder / FILE, asdict(self))


def names_of(details: ItemDetails | None) -> ItemNames | None:
    """The names in training data; no IMDb ids. None where nothing is known of the items."""
    if details is None:
        return None
    years = tuple(int(year) for year in details.years.tolist())
    return ItemNames(details.titles, years, ("",) * len(details.titles))


def read_names(folder: Path, n_items: int) -> ItemNames | None:
    """The names saved with a model of ``n_items`` items; None where it was saved without.

    Raises:
        ValueError, KeyError, TypeError, OSError: the file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    names = ItemNames(*(tuple(found[key]) for key in ("titles", "years", "imdb_ids")))
    if len(names.titles) != n_items:
        raise ValueError(f"{path} names {len(names.titles)} items, expected {n_items}")
    return names


def dataset_names(datasets: Path, splits: Sequence[str], item_ids: Sequence[str]) -> ItemNames | None:
    """The names of a model's items as its data sets have them. ``splits``: what it was trained on, as in
    ``info["splits"]`` ("redial-train"); None when these are no fetched data sets.

    Raises:
        DatasetError: a data set is not here, or damaged.
    """
    found: dict[str, tuple[str, int, str]] = {}
    # INSPIRED first: where both have an item, in a joint model, it goes by its ReDial id.
    for name, key in (("inspired", "name"), ("redial", "movieId")):
        if any(split.startswith(f"{name}-") for split in splits):
            data = InspiredData(datasets / name) if name == "inspired" else RedialData(datasets / name)
            for _, record in json_lines(data.folder / "items.jsonl.gz"):
                imdb = record.get("imdb_id")
                found[str(record[key])] = (str(record["title"]), int(record["year"] or 0), str(imdb or ""))
    if not found:
        return None
    columns = zip(*(found.get(item, ("", 0, "")) for item in item_ids), strict=True)
    titles, years, imdb_ids = columns
    return ItemNames(titles, years, imdb_ids)
