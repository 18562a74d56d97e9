"""Item recommendation on a dialogue data set: build the cases, fit, score, measure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple
from typing import Protocol as Structural

import numpy as np
from convrec.core.errors import RequestError
from convrec.core.items import FloatArray, RowArray
from convrec.eval import metrics
from convrec.eval.item_models import load_models
from convrec.eval.item_settings import TRAIN_ON, TrainOn, item_setting
from convrec.eval.item_systems import DEFAULT_SYSTEMS, SYSTEMS
from convrec.eval.mapped import Mapped
from convrec.eval.protocols import PROTOCOLS, Cases, Protocol, check_counts
from convrec.tools.datasets import Split
from convrec.tools.recommenders.base import NEVER
from convrec.tools.recommenders.data import Context
from numpy.typing import NDArray

RECALL_AT: tuple[int, ...] = (1, 5, 10, 20, 50)
LIST_K = 10
"""Length of the list that coverage, Gini, popularity and the by-named recall look at."""
BATCH = 512
"""Cases scored at once: 512 x 6,924 float32 scores are 14 MB."""
EVALUATION_DATASETS: tuple[str, ...] = ("redial", "inspired")
SPLITS: tuple[Split, ...] = ("test", "valid")

Report = Callable[[str], None]


class Scorer(Structural):
    """Whatever scores all items of the cases: a recommender in their items, or one carried over to them."""

    def score(self, contexts: Sequence[Context]) -> FloatArray: ...


class Training(NamedTuple):
    """What a row learnt from. ``n_sequences``, ``splits``: None where a saved model does not tell."""

    data_hash: str | None
    n_sequences: int | None
    splits: tuple[str, ...] | None


class Pool(NamedTuple):
    """What a recommender gathers before it orders: gold mentions inside / all gold mentions; mean size per case."""

    recall: float
    size: float


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one system. ``seconds``: fitting plus scoring, wall clock. ``gini``, ``arp`` None: undefined, as
    nothing was recommended. ``fit_seconds`` None: a saved model, nothing was fitted. ``n_known``: items of the cases
    that it knows. ``pool`` None: it gathers no candidates."""

    name: str
    recall: Mapping[int, float]
    ndcg: float
    mrr: float
    ci95: tuple[float, float]
    coverage: float
    gini: float | None
    arp: float | None
    by_named: Mapping[str, tuple[int, float | None]]
    fit_seconds: float | None
    score_seconds: float
    n_known: int | None = None
    training: Training | None = None
    pool: Pool | None = None

    @property
    def seconds(self) -> float:
        return (self.fit_seconds or 0.0) + self.score_seconds

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
            "seconds": self.seconds,
            "n_known_items": self.n_known,
            "loaded": self.fit_seconds is None,
            **(self.training or Training(None, None, None))._asdict(),
            "pool_recall": self.pool and self.pool.recall,
            "pool_size": self.pool and self.pool.size,
        }


@dataclass(frozen=True, slots=True)
class ItemReport:
    """One run. ``limited``: only the first dialogues were used, so the figures do not compare with anything.
    ``n_train``, ``train_hash``: of what the systems were fitted on. ``note``: what sets the cases apart."""

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
    train_on: TrainOn = "own"
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {
            "protocol": self.protocol,
            "dataset": self.dataset,
            "split": self.split,
            "note": self.note,
            "variant": self.variant,
            "train_on": self.train_on,
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
    models: Sequence[Path] = (),
    train_on: str = "own",
    encoder: Path | None = None,
    seed: int = 0,
    limit_dialogues: int | None = None,
    report: Report = lambda text: None,
) -> ItemReport:
    """Fit every system on the training dialogues (validation left out) and measure it on ``split``, beside the saved
    recommenders in the folders ``models``. ``encoder``: folder of the sentence encoder, for models that need it.

    Raises:
        RequestError: an unknown data set, protocol, split, system or ``train_on``, naming the choices; or a model that
            was trained on what it is to be measured on.
        DatasetError: the data set is not there, is damaged, or does not give the protocol's known counts.
        ModelError: a folder holds no recommender, or one of other items.
    """
    check_choice("dataset", dataset, EVALUATION_DATASETS)
    check_choice("protocol", protocol, PROTOCOLS)
    check_choice("split", split, SPLITS)
    check_choice("train_on", train_on, TRAIN_ON)
    if not systems and not models:
        raise RequestError("systems", "", f"Choose from: {', '.join(SYSTEMS)}; or give a model.")
    for system in systems:
        check_choice("systems", system, tuple(SYSTEMS))
    asked = next(known for known in PROTOCOLS if known == protocol)
    part = next(known for known in SPLITS if known == split)
    fitted_on = next(known for known in TRAIN_ON if known == train_on)

    report(f"reading {dataset}")
    setting, variant = item_setting(datasets, dataset, asked, part, train_on=fitted_on, with_models=bool(models))
    cases, train = setting.cases, setting.train
    if limit_dialogues is None:
        check_counts(cases, dataset, part)
    else:
        cases = cases.first(limit_dialogues)
    own_items = setting.item_map(train.item_ids)
    popularity = own_items.counts(train.popularity)
    names = list(dict.fromkeys(systems))
    loaded = load_models(models, setting, f"{dataset}-{part}", taken=names, encoder=encoder)

    def row(name: str, mapped: Mapped, training: Training, fit_seconds: float | None) -> Row:
        report(f"{name}: scoring {len(cases.cases)} cases")
        started = time.perf_counter()
        top = top_lists(mapped, cases, max(RECALL_AT))
        figures = measure(name, top, cases, popularity, seed, fit_seconds, time.perf_counter() - started)
        return replace(figures, n_known=mapped.items.n_known, training=training, pool=pool_figures(mapped, cases))

    rows = []
    for name in names:
        report(f"{name}: fitting")
        started = time.perf_counter()
        recommender = SYSTEMS[name](seed).fit(train)
        training = Training(train.digest, train.n_sequences, _splits(dataset, fitted_on))
        rows.append(row(name, Mapped(recommender, own_items), training, time.perf_counter() - started))
    for name, mapped in loaded.items():
        model = mapped.recommender
        splits = tuple(model.info["splits"]) if "splits" in model.info else None
        rows.append(row(name, mapped, Training(model.data_hash, model.n_train, splits), None))
    return ItemReport(
        dataset=dataset,
        protocol=asked,
        split=part,
        variant=variant,
        n_dialogues=cases.n_dialogues,
        n_cases=len(cases.cases),
        n_gold=cases.n_gold,
        n_items=cases.n_items,
        n_train=train.n_sequences,
        train_hash=train.digest,
        seed=seed,
        limited=limit_dialogues is not None,
        rows=tuple(rows),
        train_on=fitted_on,
        note=setting.note,
    )


def _splits(dataset: str, train_on: TrainOn) -> tuple[str, ...]:
    return (f"{dataset}-train",) if train_on == "own" else tuple(f"{name}-train" for name in EVALUATION_DATASETS)


def top_lists(recommender: Scorer, cases: Cases, k: int) -> RowArray:
    """The ``k`` best rows for each case, without those it excludes; int32, shape (n_cases, k)."""
    parts = [np.empty((0, k), dtype=np.int32)]
    for start in range(0, len(cases.cases), BATCH):
        batch = cases.cases[start : start + BATCH]
        scores = recommender.score([case.context for case in batch])
        for line, case in zip(scores, batch, strict=True):
            line[case.excluded] = NEVER
        parts.append(metrics.top_k(scores, k))
    return np.concatenate(parts)


def pool_figures(mapped: Mapped, cases: Cases) -> Pool | None:
    """Recall and mean size of the candidates, before what a case excludes is taken out; None without candidates."""
    pools: list[RowArray] = []
    for start in range(0, len(cases.cases), BATCH):
        part = mapped.pool([case.context for case in cases.cases[start : start + BATCH]])
        if part is None:
            return None
        pools += part
    sizes = [pool.size for pool in pools]
    recall = metrics.pool_recall(pools, cases.gold_case, cases.gold_rows)
    return Pool(recall, float(np.mean(sizes)) if sizes else 0.0)


def measure(
    name: str,
    top: RowArray,
    cases: Cases,
    popularity: NDArray[np.int64],
    seed: int,
    fit_seconds: float | None,
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
