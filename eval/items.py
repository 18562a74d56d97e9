"""Item recommendation on a dialogue data set: build the cases, fit, score, measure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from convrec.core.errors import RequestError
from convrec.core.items import RowArray
from convrec.eval import metrics
from convrec.eval.cikm import cikm_setting
from convrec.eval.item_systems import DEFAULT_SYSTEMS, SYSTEMS
from convrec.eval.protocols import PROTOCOLS, Cases, Protocol, check_counts, walk
from convrec.tools.datasets import InspiredData, RedialData, Split
from convrec.tools.recommenders.base import NEVER, Recommender
from convrec.tools.recommenders.data import TrainData
from convrec.tools.recommenders.training_sets import redial_train
from numpy.typing import NDArray

RECALL_AT: tuple[int, ...] = (1, 5, 10, 20, 50)
LIST_K = 10
"""Length of the list that coverage, Gini, popularity and the by-named recall look at."""
BATCH = 512
"""Cases scored at once: 512 x 6,924 float32 scores are 14 MB."""
EVALUATION_DATASETS: tuple[str, ...] = ("redial", "inspired")
SPLITS: tuple[Split, ...] = ("test", "valid")

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one system. ``seconds``: fitting plus scoring, wall clock. None: undefined, as nothing was
    recommended."""

    name: str
    recall: Mapping[int, float]
    ndcg: float
    mrr: float
    ci95: tuple[float, float]
    coverage: float
    gini: float | None
    arp: float | None
    by_named: Mapping[str, tuple[int, float | None]]
    fit_seconds: float
    score_seconds: float

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            **{f"recall@{k}": value for k, value in self.recall.items()},
            "ndcg@10": self.ndcg,
            "mrr@10": self.mrr,
            "ci95_recall@10": list(self.ci95),
            "coverage@10": self.coverage,
            "gini@10": self.gini,
            "arp@10": self.arp,
            "recall@10_by_named": {k: {"n_gold": n, "recall@10": r} for k, (n, r) in self.by_named.items()},
            "fit_seconds": self.fit_seconds,
            "score_seconds": self.score_seconds,
            "seconds": self.fit_seconds + self.score_seconds,
        }


@dataclass(frozen=True, slots=True)
class ItemReport:
    """One run. ``limited``: only the first dialogues were used, so the figures do not compare with anything."""

    dataset: str
    protocol: Protocol
    split: Split
    variant: str
    n_dialogues: int
    n_cases: int
    n_gold: int
    n_items: int
    n_train: int
    train_hash: str
    seed: int
    limited: bool
    rows: tuple[Row, ...] = field(default_factory=tuple)

    def as_dict(self) -> dict[str, Any]:
        return {
            "protocol": self.protocol,
            "dataset": self.dataset,
            "split": self.split,
            "variant": self.variant,
            "n_dialogues": self.n_dialogues,
            "n_cases": self.n_cases,
            "n_gold": self.n_gold,
            "n_items": self.n_items,
            "n_train_dialogues": self.n_train,
            "train_hash": self.train_hash,
            "limited": self.limited,
            "seed": self.seed,
            "rows": [row.as_dict() for row in self.rows],
        }


def check_choice(field_name: str, value: str, choices: Sequence[str]) -> None:
    """Raises RequestError, naming the choices, when ``value`` is none of them."""
    if value not in choices:
        raise RequestError(field_name, value, f"Choose from: {', '.join(choices)}.")


def evaluate_items(
    datasets: Path,
    *,
    dataset: str = "redial",
    protocol: str = "novel",
    split: str = "test",
    systems: Sequence[str] = DEFAULT_SYSTEMS,
    seed: int = 0,
    limit_dialogues: int | None = None,
    report: Report = lambda text: None,
) -> ItemReport:
    """Fit every system on the training dialogues (validation left out) and measure it on ``split``.

    Raises:
        RequestError: an unknown data set, protocol, split or system; names the choices.
        DatasetError: the data set is not there, is damaged, or does not give the protocol's known counts.
    """
    check_choice("dataset", dataset, EVALUATION_DATASETS)
    check_choice("protocol", protocol, PROTOCOLS)
    check_choice("split", split, SPLITS)
    if not systems:
        raise RequestError("systems", "", f"Choose from: {', '.join(SYSTEMS)}.")
    for system in systems:
        check_choice("systems", system, tuple(SYSTEMS))
    asked = next(known for known in PROTOCOLS if known == protocol)
    part = next(known for known in SPLITS if known == split)

    report(f"reading {dataset}")
    data = RedialData(datasets / dataset) if dataset == "redial" else InspiredData(datasets / dataset)
    cases, train = _setting(data, asked, part)
    if limit_dialogues is None:
        check_counts(cases, dataset, part)
    else:
        cases = cases.first(limit_dialogues)
    rows = []
    for name in dict.fromkeys(systems):
        report(f"{name}: fitting")
        started = time.perf_counter()
        recommender = SYSTEMS[name](seed).fit(train)
        fitted = time.perf_counter()
        report(f"{name}: scoring {len(cases.cases)} cases")
        top = top_lists(recommender, cases, max(RECALL_AT))
        row = measure(name, top, cases, train.popularity, seed, fitted - started, time.perf_counter() - fitted)
        rows.append(row)
    return ItemReport(
        dataset=dataset,
        protocol=asked,
        split=part,
        variant=data.variant,
        n_dialogues=cases.n_dialogues,
        n_cases=len(cases.cases),
        n_gold=cases.n_gold,
        n_items=cases.n_items,
        n_train=train.n_sequences,
        train_hash=train.digest,
        seed=seed,
        limited=limit_dialogues is not None,
        rows=tuple(rows),
    )


def _setting(data: RedialData | InspiredData, protocol: Protocol, split: Split) -> tuple[Cases, TrainData]:
    """The cases of one protocol and split, and the training data in the same rows."""
    if protocol == "cikm":
        if split != "test":
            raise RequestError("split", split, "The protocol cikm has a test split only; choose settings with novel.")
        return cikm_setting(data)
    if isinstance(data, InspiredData):
        raise RequestError("protocol", protocol, "INSPIRED's annotation is too noisy for it; choose: cikm.")
    train = redial_train(data)
    cases = walk(data.dialogues(split), {item: row for row, item in enumerate(train.item_ids)}, protocol)
    return cases, train


def top_lists(recommender: Recommender, cases: Cases, k: int) -> RowArray:
    """The ``k`` best rows for each case, without those it excludes; int32, shape (n_cases, k)."""
    parts = [np.empty((0, k), dtype=np.int32)]
    for start in range(0, len(cases.cases), BATCH):
        batch = cases.cases[start : start + BATCH]
        scores = recommender.score([case.context for case in batch])
        for line, case in zip(scores, batch, strict=True):
            line[case.excluded] = NEVER
        parts.append(metrics.top_k(scores, k))
    return np.concatenate(parts)


def measure(
    name: str,
    top: RowArray,
    cases: Cases,
    popularity: NDArray[np.int64],
    seed: int,
    fit_seconds: float,
    score_seconds: float,
) -> Row:
    """All figures of one system from its top lists; ``top``: int32, shape (n_cases, at least 50)."""
    gold_case, n_cases = cases.gold_case, len(cases.cases)
    ranks = metrics.gold_ranks(top, gold_case, cases.gold_rows)
    shown = top[:, :LIST_K]
    return Row(
        name=name,
        recall={k: metrics.recall(ranks, k) for k in RECALL_AT},
        ndcg=metrics.ndcg(ranks, gold_case, n_cases, LIST_K),
        mrr=metrics.mrr(ranks, gold_case, n_cases, LIST_K),
        ci95=metrics.bootstrap_recall(ranks, cases.dialogue_of[gold_case], LIST_K, seed=seed),
        coverage=metrics.coverage(shown, cases.n_items),
        gini=metrics.gini(shown, cases.n_items),
        arp=metrics.mean_popularity(shown, popularity),
        by_named=metrics.by_named(ranks, gold_case, cases.n_named, LIST_K),
        fit_seconds=fit_seconds,
        score_seconds=score_seconds,
    )
