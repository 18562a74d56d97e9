"""User-item files as training data: any table with a column of users and one of items, ratings and times if there are.

One user is one sequence, oldest first. Where there is no time, the order of the file is the order in time; equal times
keep the order of the file. A pair that comes several times counts once, at its latest.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from convrec.core.errors import ImportRejected, RequestError
from convrec.core.items import RowArray
from convrec.tools.import_readers import BadRow, Row, Table
from convrec.tools.import_values import split_title_year
from convrec.tools.recommenders.data import ItemDetails, TrainData
from convrec.tools.recommenders.interaction_values import (
    identifier,
    number,
    shown,
    tags_of,
    text_of,
    time_of,
    unpacked,
    year_of,
)
from numpy.typing import NDArray

MAX_BAD = 0.10
"""Share of rows that may be unreadable; more, and the file is refused, as it is probably read wrongly."""
SHOWN_BAD = 5
PROGRESS_EVERY = 5000
"""Rows."""

_NAMES: Mapping[str, tuple[str, ...]] = {
    "user": ("userid", "user", "uid", "username", "reviewerid", "customerid", "visitorid", "accountid", "profilename"),
    "item": (
        *("itemid", "item", "iid", "movieid", "movie", "filmid", "productid", "product", "parentasin", "asin", "isbn"),
        *("bookid", "songid", "trackid", "artistid", "gameid", "businessid", "recipeid", "newsid", "id"),
    ),
    "rating": ("rating", "ratings", "stars", "overall", "score", "bookrating"),
    "time": ("timestamp", "time", "ts", "datetime", "date", "unixreviewtime", "eventtime", "createdat", "reviewtime"),
    "title": ("title", "name", "label", "originaltitle", "booktitle"),
    "text": ("text", "description", "plot", "overview", "summary", "document"),
    "year": ("year", "releaseyear", "yearofpublication"),
    "tags": ("genres", "genre", "categories", "category", "tags"),
}
"""Column names by what they hold, lower case, letters and digits only; the first that a file has is taken."""

Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of columns as the user gave them; None: found by name."""

    user: str | None = None
    item: str | None = None
    rating: str | None = None
    time: str | None = None


@dataclass(frozen=True, slots=True)
class ReadSummary:
    """What became of a file's rows. ``columns``: what each was taken for. ``repeats``: pairs that came before.
    ``low``: pairs below the smallest rating. ``tied``: users whose newest two items have the same time, so that the
    order of the file decides which is the last."""

    rows: int
    bad: int
    repeats: int
    low: int
    users: int
    items: int
    interactions: int
    tied: int
    columns: Mapping[str, str]

    def text(self) -> str:
        """One line for people."""
        parts = [f"{self.interactions:,} interactions of {self.users:,} users with {self.items:,} items"]
        for left_out, what in ((self.bad, "unreadable rows"), (self.repeats, "repeats"), (self.low, "rated too low")):
            if left_out:
                parts.append(f"{left_out:,} {what} left out")
        if "time" not in self.columns:
            parts.append("no time: the order of the file")
        return "; ".join(parts)


def read_interactions(
    file: Path,
    columns: Columns | None = None,
    *,
    min_rating: float | None = None,
    items: Path | None = None,
    progress: Progress = lambda share: None,
) -> tuple[TrainData, ReadSummary]:
    """A CSV, TSV, JSON Lines or Parquet file, also packed as ``.gz``, as one sequence per user.

    ``sequence_ids`` are the users in order of first appearance; rows of items likewise. ``by_recommender`` and
    ``negative`` are False throughout. ``min_rating``: lower pairs are left out. ``items``: a file of titles and texts.

    Raises:
        ImportRejected: the file cannot be read, lacks a column, or too many of its rows are bad.
        RequestError: a column that the file has not, or ``min_rating`` without ratings or not finite.
    """
    if min_rating is not None and not math.isfinite(min_rating):
        raise RequestError("min_rating", min_rating, "Give a finite number, in the scale of the file's ratings.")
    with unpacked(file) as plain:
        table = Table(plain)
        chosen = _choose(table.columns, columns or Columns(), file)
        if min_rating is not None and "rating" not in chosen:
            raise RequestError(
                "min_rating", min_rating, f"{file.name} has no column of ratings; name it with --rating-column."
            )
        if min_rating is None:
            chosen.pop("rating", None)  # nothing is done with it, so a bad one does no harm
        events = _Events.read(table, chosen, file, progress)
    order, repeats, tied = events.in_order()
    low = 0
    if min_rating is not None:
        good = np.frombuffer(events.ratings, dtype=np.float64)[order] >= min_rating
        low = int((~good).sum())
        order = order[good]
    if not order.size:
        raise ImportRejected(f"{file}: no interaction is left{'; lower --min-rating' if low else ''}.")
    train = events.as_train(order)
    summary = ReadSummary(
        rows=events.rows,
        bad=events.bad,
        repeats=repeats,
        low=low,
        users=train.n_sequences,
        items=train.n_items,
        interactions=int(train.rows.size),
        tied=tied if low == 0 else events.tied(order),
        columns=chosen,
    )
    return (replace(train, details=read_details(items, train.item_ids)) if items else train), summary


def hold_out_last(train: TrainData, least: int) -> tuple[TrainData, NDArray[np.int64], RowArray]:
    """Leave-last-out: (the rest, which sequences lost their last item, the items lost).

    Sequences of fewer than ``least`` events stay whole and lose nothing. int64 and int32, shape (n_held,).
    """
    lengths = np.diff(train.offsets)
    held = np.flatnonzero(lengths >= max(1, least))
    last = train.offsets[1:][held] - 1
    keep = np.ones(train.rows.size, dtype=np.bool_)
    keep[last] = False
    lengths = lengths.copy()
    lengths[held] -= 1
    rest = replace(
        train,
        offsets=np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)]),
        rows=train.rows[keep],
        by_recommender=train.by_recommender[keep],
        negative=train.negative[keep],
    )
    return rest, held, train.rows[last]


def history(train: TrainData, sequence: int) -> RowArray:
    """The items of one user, oldest first; int32."""
    return train.rows[train.offsets[sequence] : train.offsets[sequence + 1]]


def read_details(file: Path, item_ids: Sequence[str]) -> ItemDetails:
    """Titles, years, texts and genres of the items in ``item_ids``; what the file lacks stays empty, the title then is
    the id.

    Raises:
        ImportRejected: the file cannot be read, lacks the columns, or has none of the items.
    """
    found: dict[str, Row] = {}
    wanted = set(item_ids)
    with unpacked(file) as plain:
        table = Table(plain)
        item = _by_name(table.columns, "item")
        title = _by_name(table.columns, "title")
        if item is None or title is None:
            raise ImportRejected(
                f"{file}: no column looks like the {'item' if item is None else 'title'}; columns: "
                f"{', '.join(table.columns)}. Rename one to {'item_id' if item is None else 'title'}."
            )
        for row in table.rows():
            if isinstance(row, Row) and (key := identifier(row.values.get(item))) in wanted:
                found[key] = row
        names = {kind: _by_name(table.columns, kind) for kind in ("text", "year", "tags")}
    if not found:
        raise ImportRejected(f"{file}: the column {item} has none of the {len(wanted):,} items of the interactions.")
    rows = [found[key].values if key in found else {title: key} for key in item_ids]
    titled = [text_of(row.get(title)) or key for row, key in zip(rows, item_ids, strict=True)]
    split = [split_title_year(name) or (name, 0) for name in titled]
    years = [year_of(row.get(names["year"] or "")) or year for row, (_, year) in zip(rows, split, strict=True)]
    tags = [tags_of(row.get(names["tags"] or "")) for row in rows]
    texts = [text_of(row.get(names["text"] or "")) for row in rows]
    return ItemDetails(
        names=tuple(f"{name} ({year})" if year else name for (name, _), year in zip(split, years, strict=True)),
        titles=tuple(name for name, _ in split),
        years=np.array(years, dtype=np.int16),
        documents=tuple(
            " ".join(part for part in (f"{name}.", ", ".join(kinds), text) if part)
            for (name, _), kinds, text in zip(split, tags, texts, strict=True)
        ),
        tags={"genre": tuple(tags)},
    )


class _Events:
    """The readable rows of a file, column by column."""

    def __init__(self) -> None:
        self.users: dict[str, int] = {}
        self.items: dict[str, int] = {}
        self.user, self.item = array("i"), array("i")
        self.ratings, self.times = array("d"), array("d")
        self.rows = self.bad = 0

    @classmethod
    def read(cls, table: Table, chosen: Mapping[str, str], file: Path, progress: Progress) -> _Events:
        out, shown = cls(), list[str]()
        for row in table.rows():
            out.rows += 1
            problem = f": {row.reason}" if isinstance(row, BadRow) else out._add(row.values, chosen)
            if problem:
                out.bad += 1
                if len(shown) < SHOWN_BAD:
                    shown.append(f"\n  line {row.line}{problem}")
            if out.rows % PROGRESS_EVERY == 0:
                progress(table.done / max(1, table.total))
        if out.rows == 0:
            raise ImportRejected(f"{file} has columns but no rows.")
        if out.bad > MAX_BAD * out.rows:
            raise ImportRejected(
                f"{file}: {out.bad:,} of {out.rows:,} rows cannot be read ({out.bad / out.rows:.1%}), at most "
                f"{MAX_BAD:.0%} are passed over. Columns taken: "
                f"{', '.join(f'{k} = {v}' for k, v in chosen.items())}.{''.join(shown)}"
            )
        return out

    def _add(self, values: Mapping[str, object], chosen: Mapping[str, str]) -> str:
        """What is wrong with the row, "" when it was taken in."""
        user, item = (identifier(values.get(chosen[kind])) for kind in ("user", "item"))
        if not user or not item:
            kind = "item" if user else "user"
            return f", {chosen[kind]} = {shown(values.get(chosen[kind]))}: expected an id"
        numbers = []
        for kind, read in (("rating", number), ("time", time_of)):
            if kind in chosen:
                value = read(values.get(chosen[kind]))
                if value is None:
                    return f", {chosen[kind]} = {shown(values.get(chosen[kind]))}: expected a {kind}"
                numbers.append(value)
            else:
                numbers.append(0.0)
        self.user.append(self.users.setdefault(user, len(self.users)))
        self.item.append(self.items.setdefault(item, len(self.items)))
        self.ratings.append(numbers[0])
        self.times.append(numbers[1])
        return ""

    def in_order(self) -> tuple[NDArray[np.int64], int, int]:
        """(rows by user, then time, then line, each pair at its latest only; repeats left out; users with a tie at the
        end)."""
        user, item = np.frombuffer(self.user, dtype=np.int32), np.frombuffer(self.item, dtype=np.int32)
        order = np.lexsort((np.frombuffer(self.times, dtype=np.float64), user))  # lexsort is stable
        pair = user[order].astype(np.int64) * max(1, len(self.items)) + item[order]
        _, first_from_behind = np.unique(pair[::-1], return_index=True)
        kept = order[np.sort(order.size - 1 - first_from_behind)]
        return kept, int(order.size - kept.size), self.tied(kept)

    def tied(self, order: NDArray[np.int64]) -> int:
        """Users whose last two events in ``order`` have one time."""
        user = np.frombuffer(self.user, dtype=np.int32)[order]
        times = np.frombuffer(self.times, dtype=np.float64)[order]
        last = np.flatnonzero(np.diff(user, append=-1) != 0)
        last = last[last > 0]
        return int(((user[last] == user[last - 1]) & (times[last] == times[last - 1])).sum())

    def as_train(self, order: NDArray[np.int64]) -> TrainData:
        """Users and items without any event left are not in it."""
        user, users = _renumbered(np.frombuffer(self.user, dtype=np.int32)[order], list(self.users))
        rows, items = _renumbered(np.frombuffer(self.item, dtype=np.int32)[order], list(self.items))
        counts = np.bincount(user, minlength=len(users))
        return TrainData(
            tuple(items),
            np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)]),
            rows,
            np.zeros(rows.size, dtype=np.bool_),
            np.zeros(rows.size, dtype=np.bool_),
            sequence_ids=tuple(users),
        )


def _renumbered(numbers: NDArray[np.int32], names: Sequence[str]) -> tuple[NDArray[np.int32], list[str]]:
    used, new = np.unique(numbers, return_inverse=True)
    return new.astype(np.int32), [names[number] for number in used.tolist()]


def _choose(columns: Sequence[str], told: Columns, file: Path) -> dict[str, str]:
    chosen: dict[str, str] = {}
    for kind in ("user", "item", "rating", "time"):
        name = getattr(told, kind)
        if name is not None and name not in columns:
            raise RequestError(f"{kind}-column", name, f"{file.name} has the columns: {', '.join(columns)}.")
        if name is None:
            taken = {*chosen.values(), *(getattr(told, k) for k in ("user", "item", "rating", "time"))}
            name = _by_name([column for column in columns if column not in taken], kind)
        if name is not None:
            chosen[kind] = name
        elif kind in ("user", "item"):
            raise ImportRejected(
                f"{file}: no column looks like the {kind}; columns: {', '.join(columns)}. Name it with "
                f"--{kind}-column. If these are values, the file lacks its first line with the columns' names."
            )
    twice = sorted({name for name in chosen.values() if list(chosen.values()).count(name) > 1})
    if twice:
        raise RequestError("columns", twice[0], "One column cannot be two things: user, item, rating, time.")
    return chosen


def _by_name(columns: Sequence[str], kind: str) -> str | None:
    by_key = {re.sub(r"[^a-z0-9]", "", column.lower()): column for column in reversed(columns)}
    return next((by_key[name] for name in _NAMES[kind] if name in by_key), None)
