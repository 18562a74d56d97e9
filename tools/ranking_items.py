"""Which items of a catalogue a trained recommender knows: by id, by IMDb id, else by title and year."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from convrec.core.text import fold
from convrec.tools.catalogue import Catalogue
from convrec.tools.recommenders.item_map import ItemMap
from convrec.tools.recommenders.item_names import ItemNames
from convrec.tools.schema import FieldType, Role

IMDB = re.compile(r"tt\d{7,9}")
_ARTICLE_LAST = re.compile(r"(.+), (The|An?)")
""""Matrix, The" is "The Matrix"."""
_IMDB_FIELDS = ("imdb_id", "imdb", "tconst")
"""Fields of a catalogue that may hold IMDb ids, where its own ids are others."""


@dataclass(frozen=True, slots=True)
class Matched:
    """``items``: catalogue items in the model's; the counts say how many model items were found by what."""

    items: ItemMap
    by_id: int
    by_imdb: int
    by_title: int


def match_items(catalogue: Catalogue, item_ids: Sequence[str], names: ItemNames | None) -> Matched:
    """Find a model's items in the catalogue; each at most once.

    1. By id, where both use the same: IMDb ids always, others only where the title is the same or the model has none,
       as two files may number different items alike.
    2. By IMDb id: the catalogue's id or its field ``imdb_id``.
    3. By title and year, folded, where that is one item of the catalogue and not both sides have an IMDb id. Without
       years on one side: by title alone.
    """
    matcher = _Matcher(catalogue, tuple(item_ids), names)
    found: dict[int, int] = {}
    counts = []
    for step in (matcher.by_id, matcher.by_imdb, matcher.by_title):
        left = [row for row in range(len(item_ids)) if row not in found]
        more = dict(step(left))
        found |= more
        counts.append(len(more))
    known_as: dict[str, list[str]] = defaultdict(list)
    ids = matcher.ids
    for model_row, row in found.items():
        known_as[ids[row]].append(item_ids[model_row])
    return Matched(ItemMap.between(ids, known_as, item_ids), *counts)


@dataclass(frozen=True)
class _Matcher:
    catalogue: Catalogue
    item_ids: tuple[str, ...]
    names: ItemNames | None

    @cached_property
    def ids(self) -> list[str]:
        return [text or "" for text in self.catalogue.text_column("id")]

    @cached_property
    def imdb_ids(self) -> list[str]:
        """The IMDb id of every item of the catalogue, "" unknown."""
        schema = self.catalogue.schema
        field = next((f.name for f in schema.fields if f.name in _IMDB_FIELDS and f.type is FieldType.TEXT), None)
        further = self.catalogue.text_column(field) if field is not None else [None] * self.catalogue.size
        return [
            own if IMDB.fullmatch(own) else (other if other and IMDB.fullmatch(other) else "")
            for own, other in zip(self.ids, further, strict=True)
        ]

    def title(self, model_row: int) -> str:
        """The model's title, folded; "" when it has none."""
        title = self.names.titles[model_row] if self.names is not None else ""
        return "" if title == self.item_ids[model_row] else fold(_ARTICLE_LAST.sub(r"\2 \1", title))

    def imdb(self, model_row: int) -> str:
        own = self.item_ids[model_row]
        return own if IMDB.fullmatch(own) else self.names.imdb_ids[model_row] if self.names is not None else ""

    def by_id(self, left: Sequence[int]) -> Iterator[tuple[int, int]]:
        rows = self.catalogue.rows_of([self.item_ids[row] for row in left])
        titles = self.catalogue.text_column("title") if any(row is not None for row in rows) else []
        for model_row, row in zip(left, rows, strict=True):
            if row is None:
                continue
            said = self.title(model_row)
            same = not said or said == fold(_ARTICLE_LAST.sub(r"\2 \1", titles[row] or ""))
            if same or IMDB.fullmatch(self.item_ids[model_row]):
                yield model_row, row

    def by_imdb(self, left: Sequence[int]) -> Iterator[tuple[int, int]]:
        row_of = {imdb: row for row, imdb in reversed([*enumerate(self.imdb_ids)]) if imdb}
        for model_row in left:
            row = row_of.get(self.imdb(model_row))
            if row is not None:
                yield model_row, row

    def by_title(self, left: Sequence[int]) -> Iterator[tuple[int, int]]:
        names = self.names
        titles = {row: title for row in left if (title := self.title(row))}
        if names is None or not titles:
            return
        spec = self.catalogue.schema.by_role(Role.YEAR)
        years = np.nan_to_num(self.catalogue.numeric(spec.name)).astype(np.int32) if spec is not None else None
        dated = years is not None and bool(years.any()) and any(names.years)
        rows_of: dict[tuple[str, int], set[int]] = defaultdict(set)
        for hit in self.catalogue.find_names(sorted(set(titles.values()))):
            if hit.kind == "title" and hit.row is not None and hit.strength == 1.0:
                rows_of[hit.norm, int(years[hit.row]) if dated and years is not None else 0].add(hit.row)
        for model_row, title in titles.items():
            rows = rows_of.get((title, names.years[model_row] if dated else 0), set())
            if len(rows) == 1:
                row = next(iter(rows))
                if not (self.imdb(model_row) and self.imdb_ids[row]):
                    yield model_row, row
