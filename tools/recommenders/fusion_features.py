"""What the fusion sees of a case: a pool of candidates out of all experts' best, and numbers on each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from convrec.core.items import FloatArray, RowArray
from convrec.tools.recommenders.data import Context, TrainData

PER_EXPERT = ("score", "z", "rank", "gap")
"""Raw score; standardised over the catalogue; log rank in the pool; how far below the expert's best score."""
PER_CASE = ("n_named", "n_messages", "last_is_seeker", "n_words")
PER_ITEM = (
    "popularity",
    "recent",
    "year",
    "year_distance",
    "in_training",
    "named_age",
    "named_times",
    "named_by_seeker",
)
UNKNOWN = -1.0
"""Stands for a year or distance that is not known."""


@dataclass(frozen=True, slots=True, eq=False)
class ItemPriors:
    """What is known of every item without a conversation; float32, shape (n_items,) each. ``popularity`` and
    ``recent`` (newer dialogues count more): log(1 + times recommended). ``years``: 0 unknown."""

    popularity: FloatArray
    recent: FloatArray
    years: FloatArray

    @classmethod
    def of(cls, train: TrainData, half_life: int) -> ItemPriors:
        """``half_life``: in training dialogues; sequences lie oldest first."""
        sequence = np.repeat(np.arange(train.n_sequences), np.diff(train.offsets))
        age = train.n_sequences - 1 - sequence
        rows = train.rows[train.by_recommender]
        counts = np.bincount(rows, minlength=train.n_items)
        recent = np.bincount(rows, weights=0.5 ** (age[train.by_recommender] / half_life), minlength=train.n_items)
        years = train.details.years if train.details is not None else np.zeros(train.n_items)
        return cls(np.log1p(counts).astype(np.float32), np.log1p(recent).astype(np.float32), years.astype(np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class CaseFeatures:
    """``rows``: the pool, int32, shape (size,), rising; ``values``: float32, shape (size, n_features)."""

    rows: RowArray
    values: FloatArray


def feature_names(experts: Sequence[str]) -> list[str]:
    """Names of the columns, in order."""
    return [*(f"{name}.{part}" for name in experts for part in PER_EXPERT), *PER_ITEM, *PER_CASE]


def case_features(
    contexts: Sequence[Context],
    scores: Mapping[str, FloatArray],
    depth: Mapping[str, int],
    priors: ItemPriors,
    item_row: Mapping[str, int],
    n_popular: int,
) -> list[CaseFeatures]:
    """Pool and features of each context.

    ``scores``: by expert, float32, shape (len(contexts), n_items); -inf counts as the lowest finite score.
    ``depth``: how many of each expert's best items join the pool (items at or below its mean never do).
    ``n_popular``: the most popular items are always in the pool, and so are all named ones.
    """
    n_items = priors.popularity.size
    pooled = np.zeros((len(contexts), n_items), dtype=np.bool_)
    pooled[:, np.argsort(-priors.popularity, kind="stable")[:n_popular]] = True
    tables = []
    for name, given in scores.items():
        raw, z = _standardised(given)
        k = min(depth[name], n_items)
        best = np.argpartition(-z, k - 1, axis=1)[:, :k]
        chosen = np.zeros_like(pooled)
        np.put_along_axis(chosen, best, True, axis=1)
        pooled |= chosen & (z > 0)
        tables.append((raw, z))
    out = []
    for i, context in enumerate(contexts):
        pooled[i, context.named] = True
        rows = np.flatnonzero(pooled[i]).astype(np.int32)
        columns: list[FloatArray] = []
        for raw, z in tables:
            own, own_z = raw[i, rows], z[i, rows]
            place = np.empty(rows.size, dtype=np.float32)
            place[np.argsort(-own_z, kind="stable")] = np.arange(rows.size)
            columns += [own, own_z, np.log1p(place), raw[i].max() - own]
        columns += _item_columns(context, rows, priors, item_row)
        columns += [np.full(rows.size, value, dtype=np.float32) for value in _case_values(context)]
        out.append(CaseFeatures(rows, np.stack(columns, axis=1).astype(np.float32)))
    return out


def _standardised(given: FloatArray) -> tuple[FloatArray, FloatArray]:
    finite = np.isfinite(given)
    lowest = np.where(finite, given, np.inf).min(axis=1, keepdims=True)
    raw = np.where(finite, given, np.where(np.isfinite(lowest), lowest, 0.0)).astype(np.float32)
    spread = raw.std(axis=1, keepdims=True)
    z = (raw - raw.mean(axis=1, keepdims=True)) / np.maximum(spread, np.float32(1e-6))
    return raw, z.astype(np.float32)


def _item_columns(
    context: Context, rows: RowArray, priors: ItemPriors, item_row: Mapping[str, int]
) -> list[FloatArray]:
    years = priors.years[rows]
    named_years = priors.years[context.named]
    known = named_years[named_years > 0]
    distance = np.full(rows.size, UNKNOWN, dtype=np.float32)
    if known.size:
        distance = np.where(years > 0, np.abs(years - known.mean()), UNKNOWN).astype(np.float32)
    named = np.zeros((3, rows.size), dtype=np.float32)  # age in messages of the latest mention, times, by the seeker
    place = {int(row): i for i, row in enumerate(rows)}
    for row in context.named.tolist():
        named[0, place[row]] = len(context.messages) + 1  # named somewhere; a located mention says where
        named[1, place[row]] = 1
    for age, message in enumerate(reversed(context.messages), start=1):
        for item in message.mentions:
            column = place.get(item_row.get(item, -1))
            if column is not None and named[1, column]:
                if named[0, column] > len(context.messages):
                    named[0, column], named[2, column] = age, message.speaker == "seeker"
                else:
                    named[1, column] += 1
    popularity = priors.popularity[rows]
    return [
        popularity,
        priors.recent[rows],
        np.where(years > 0, years, UNKNOWN).astype(np.float32),
        distance,
        (popularity > 0).astype(np.float32),
        named[0],
        named[1],
        named[2],
    ]


def _case_values(context: Context) -> tuple[float, float, float, float]:
    messages = context.messages
    return (
        float(context.named.size),
        float(len(messages)),
        float(bool(messages) and messages[-1].speaker == "seeker"),
        float(sum(len(message.text.split()) for message in messages[-4:])),
    )
