"""Leave-last-out on user-item data: each user's newest item is to be found among all items not had before.

Settings are chosen on the newest but one (``tools.recommenders.interaction_training``); the newest is looked at once.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from convrec.core.errors import DataError, RequestError
from convrec.core.files import replacing, sha256_file
from convrec.core.items import FloatArray, RowArray
from convrec.eval import metrics
from convrec.eval.item_results import top_lists
from convrec.eval.items import check_choice
from convrec.eval.protocols import Case, Cases
from convrec.tools.recommenders.base import Recommender
from convrec.tools.recommenders.blend import Blend
from convrec.tools.recommenders.data import Context, TrainData
from convrec.tools.recommenders.interaction_training import (
    EXPERTS,
    blend_weights,
    choose_settings,
    fitted,
    validation,
)
from convrec.tools.recommenders.interactions import ReadSummary, history, hold_out_last

LEAST = 3
"""Items a user must have to be measured: one to test on, one to choose settings on, one to start from."""
K = 10
SYSTEMS: tuple[str, ...] = (*EXPERTS, "blend")
"""``blend``: the other systems of the run, weighted on validation."""

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SystemRow:
    """One system. ``config``: settings chosen on validation, with ``valid_ndcg`` there; None for lists read from files.
    ``ci95``: bootstrap over users, by metric name. Each user has one right item, so recall is the hit rate."""

    name: str
    figures: Mapping[str, float]
    ci95: Mapping[str, tuple[float, float]]
    config: Mapping[str, Any] | None
    valid_ndcg: float | None
    seconds: float | None

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            **self.figures,
            "ci95": {name: list(ends) for name, ends in self.ci95.items()},
            "config": self.config and dict(self.config),
            "valid_ndcg@10": self.valid_ndcg,
            "seconds": self.seconds,
        }


@dataclass(frozen=True, slots=True)
class InteractionReport:
    """One run. ``n``: users measured; ``left_out``: users with fewer than :data:`LEAST` items, who stay in the training
    data; ``unseen``: users whose right item nobody has in training, so that nothing trained can know it."""

    data: str
    data_hash: str
    train_hash: str
    read: ReadSummary
    min_rating: float | None
    n: int
    left_out: int
    unseen: int
    n_items: int
    seed: int
    rows: tuple[SystemRow, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "protocol": "leave-last-out",
            "data": self.data,
            "data_sha256": self.data_hash,
            "train_hash": self.train_hash,
            "interactions": self.read.interactions,
            "users": self.read.users,
            "bad_rows": self.read.bad,
            "repeats": self.read.repeats,
            "below_min_rating": self.read.low,
            "users_with_tied_last": self.read.tied,
            "columns": dict(self.read.columns),
            "min_rating": self.min_rating,
            "n": self.n,
            "left_out": self.left_out,
            "unseen_gold": self.unseen,
            "n_items": self.n_items,
            "seed": self.seed,
            "rows": [row.as_dict() for row in self.rows],
        }


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """``train``: without the held-out items; ``held``: sequences that lost one; ``gold``: what they lost."""

    train: TrainData
    held: np.ndarray[Any, np.dtype[np.int64]]
    gold: RowArray

    @classmethod
    def of(cls, data: TrainData) -> Split:
        """Raises RequestError when no user has :data:`LEAST` items."""
        split = cls(*hold_out_last(data, LEAST))
        if not split.held.size:
            raise RequestError("data", f"{data.n_sequences} users", f"No user has {LEAST} items, so none is measured.")
        return split

    def cases(self) -> Cases:
        """One case per user measured; what the user had is out of every prediction."""
        cases = []
        for number, (user, gold) in enumerate(zip(self.held.tolist(), self.gold.tolist(), strict=True)):
            had = history(self.train, user)
            key = self.train.sequence_ids[user]
            cases.append(Case(number, key, had.size, Context(had), np.array([gold], dtype=np.int32), had))
        return Cases("novel", len(cases), tuple(cases), self.train.n_items)


def evaluate_interactions(
    data: TrainData,
    read: ReadSummary,
    file: Path,
    *,
    systems: Sequence[str] = SYSTEMS,
    lists: Mapping[str, Path] | None = None,
    min_rating: float | None = None,
    seed: int = 0,
    report: Report = lambda text: None,
) -> InteractionReport:
    """Choose settings on the newest but one, fit without the newest, measure on it. ``lists``: other systems'
    recommendations by name, from files as :func:`read_lists` takes them.

    Raises:
        RequestError: an unknown system, or nobody to measure.
        DataError: a file of lists is wrong.
    """
    for name in systems:
        check_choice("systems", name, SYSTEMS)
    names = list(dict.fromkeys(systems))
    if not names and not lists:
        raise RequestError("systems", "", f"Choose from: {', '.join(SYSTEMS)}; or give lists.")
    if names == ["blend"]:
        raise RequestError("systems", "blend", f"Name what it blends too, from: {', '.join(EXPERTS)}.")
    split = Split.of(data)
    cases = split.cases()
    others = {name: read_lists(path, split) for name, path in (lists or {}).items()}
    if twice := others.keys() & set(names):
        raise RequestError("lists", sorted(twice)[0], "A system has this name: give the list another one.")
    rows, models, scores = [], dict[str, Recommender](), dict[str, FloatArray]()
    for name in (name for name in names if name != "blend"):
        started = time.perf_counter()
        chosen, scores[name] = choose_settings(name, split.train, least=LEAST - 1, seed=seed, report=report)
        report(f"{name}: fitting")
        models[name] = fitted(name, chosen.config, split.train, seed=seed)
        report(f"{name}: scoring {len(cases.cases)} users")
        top = top_lists(models[name], cases, K)
        took = time.perf_counter() - started
        rows.append(measure(name, top, cases, seed, chosen.config.model_dump(mode="json"), chosen.ndcg, took))
    if "blend" in names:
        started = time.perf_counter()
        gold = validation(split.train, least=LEAST - 1, seed=seed)[2]
        weights, value = blend_weights(scores, gold)
        top = top_lists(Blend.of(models, weights, seed=seed), cases, K)
        took = time.perf_counter() - started
        rows.append(measure("blend", top, cases, seed, {"weights": weights}, value, took))
    rows += [measure(name, top, cases, seed, None, None, None) for name, top in others.items()]
    return InteractionReport(
        data=file.name,
        data_hash=sha256_file(file),
        train_hash=split.train.digest,
        read=read,
        min_rating=min_rating,
        n=len(cases.cases),
        left_out=data.n_sequences - len(cases.cases),
        unseen=int((split.train.popularity[split.gold] == 0).sum()),
        n_items=data.n_items,
        seed=seed,
        rows=tuple(rows),
    )


def measure(
    name: str,
    top: RowArray,
    cases: Cases,
    seed: int,
    config: Mapping[str, Any] | None,
    valid_ndcg: float | None,
    seconds: float | None,
) -> SystemRow:
    """All figures from the top lists; int32, shape (n_users, at least :data:`K`)."""
    gold_case, n = cases.gold_case, len(cases.cases)
    ranks = metrics.gold_ranks(top[:, :K], gold_case, cases.gold_rows)
    gains = {
        "ndcg@10": np.where(ranks > 0, 1.0 / np.log2(np.maximum(ranks, 1) + 1.0), 0.0),
        "recall@10": (ranks > 0).astype(np.float64),
        "mrr@10": np.where(ranks > 0, 1.0 / np.maximum(ranks, 1), 0.0),
    }
    figures = {
        "ndcg@10": metrics.ndcg(ranks, gold_case, n, K),
        "recall@10": metrics.recall(ranks, K),
        "mrr@10": metrics.mrr(ranks, gold_case, n, K),
        "coverage@10": metrics.coverage(top[:, :K], cases.n_items),
    }
    return SystemRow(name, figures, _intervals(gains, seed), config, valid_ndcg, seconds)


def _intervals(gains: Mapping[str, metrics.Floats], seed: int) -> dict[str, tuple[float, float]]:
    """Percentile intervals (95 %) of the means, users resampled with replacement (Efron & Tibshirani, 1993)."""
    out = {}
    for name, values in gains.items():
        n = values.size
        drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1.0 / n), size=metrics.BOOTSTRAP_ROUNDS)
        low, high = np.quantile(drawn @ values / n, [0.025, 0.975])
        out[name] = (float(low), float(high))
    return out


def write_split(data: TrainData, folder: Path) -> dict[str, Path]:
    """The split as CSV files for other libraries: ``train.csv`` and ``test.csv`` (user, item, position), and the same
    once more without the newest but one, ``train_valid.csv`` and ``valid.csv``, to choose settings on."""
    split = Split.of(data)
    inner = Split(*hold_out_last(split.train, LEAST - 1))
    paths = {}
    for name, part in (("train", split), ("train_valid", inner)):
        paths[name] = folder / f"{name}.csv"
        users = np.repeat(np.arange(part.train.n_sequences), np.diff(part.train.offsets))
        places = np.arange(part.train.rows.size) - part.train.offsets[users]
        _write(paths[name], part.train, zip(users.tolist(), part.train.rows.tolist(), places.tolist(), strict=True))
    for name, part in (("test", split), ("valid", inner)):
        paths[name] = folder / f"{name}.csv"
        sizes = np.diff(part.train.offsets)[part.held].tolist()
        _write(paths[name], part.train, zip(part.held.tolist(), part.gold.tolist(), sizes, strict=True))
    return paths


def _write(path: Path, data: TrainData, lines: Any) -> None:
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("user", "item", "position"))
        writer.writerows((data.sequence_ids[user], data.item_ids[row], place) for user, row, place in lines)


def read_lists(path: Path, split: Split) -> RowArray:
    """Another system's recommendations: CSV with ``user``, ``item``, ``rank`` (1 the best); int32, shape (n_users, 10),
    padded. Users without lines count as misses.

    Raises:
        DataError: no such file, another header, an unknown user or item, a rank out of 1..10 or given twice, an item
            twice, or one that the user had.
    """
    top = np.full((split.held.size, K), metrics.PAD, dtype=np.int32)
    row_of = {item: row for row, item in enumerate(split.train.item_ids)}
    line_of = {split.train.sequence_ids[user]: line for line, user in enumerate(split.held.tolist())}
    had = [set(history(split.train, int(user)).tolist()) for user in split.held]
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if not {"user", "item", "rank"} <= set(reader.fieldnames or ()):
                raise DataError(f"{path}: the first line must name user, item and rank, got {reader.fieldnames}.")
            for number, record in enumerate(reader, start=2):
                line, row = line_of.get(record["user"]), row_of.get(record["item"])
                rank = record["rank"] if record["rank"] and record["rank"].isascii() else ""
                place = int(rank) - 1 if rank.isdecimal() else -1
                if line is None or row is None or not 0 <= place < K:
                    raise DataError(
                        f"{path}, line {number}: {record}: expected a user and an item of the data and a rank 1..{K}."
                    )
                if row in had[line] or row in top[line] or top[line, place] != metrics.PAD:
                    raise DataError(f"{path}, line {number}: {record}: rank or item twice, or an item the user had.")
                top[line, place] = row
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    return top
