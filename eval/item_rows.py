"""The figures of one system in an item protocol, from what it did on each case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from convrec.core.items import RowArray
from convrec.eval import metrics
from convrec.eval.protocols import Cases
from numpy.typing import NDArray

RECALL_AT: tuple[int, ...] = (1, 5, 10, 20, 50)
DEPTH = max(RECALL_AT)
LIST_K = 10
"""Length of the list that coverage, Gini, popularity and the recalls by group look at."""

Groups = Mapping[str, tuple[int, float | None]]
"""(gold mentions, recall@10) by label; recall None without gold."""


class Training(NamedTuple):
    """What a row learnt from. ``n_sequences``, ``splits``: None where a saved model does not tell."""

    data_hash: str | None
    n_sequences: int | None
    splits: tuple[str, ...] | None


class Pool(NamedTuple):
    """What a recommender gathers before it orders: gold mentions inside / all gold mentions; mean size per case."""

    recall: float
    size: float


class Times(NamedTuple):
    """Wall clock. ``fit_s`` None: a saved model, nothing was fitted. ``score_s``: all cases, in batches. ``one_ms``:
    median and 95th percentile of one case alone, of a few. ``peak_mib``: of the process, until the system was done."""

    fit_s: float | None = None
    score_s: float = 0.0
    one_ms: tuple[float, float] | None = None
    peak_mib: int | None = None


NO_TIMES = Times()


class Outcome(NamedTuple):
    """One case. ``shown``: the best ten rows, fewer when the list is short; ``ranks``: of each gold mention in the best
    50, 0 for not there; ``pool``: (candidates, gold mentions among them); ``outside``: ids among the best ten that are
    no item, which a plug-in may give."""

    shown: tuple[int, ...]
    ranks: tuple[int, ...]
    pool: tuple[int, int] | None = None
    outside: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one system. ``gini``, ``arp`` None: undefined, as nothing was recommended; ``tail`` None: no hit;
    ``utility`` None: no questionnaires. ``loaded``: a saved model. ``n_known``: items of the cases that it knows.
    ``pool`` None: it gathers no candidates. ``outside``: ids that are no item / slots of the best ten."""

    name: str
    recall: Mapping[int, float]
    ndcg: float
    mrr: float
    ci95: tuple[float, float]
    coverage: float
    gini: float | None
    arp: float | None
    tail: float | None
    by_named: Groups
    by_before: Groups
    by_decile: Groups
    utility: metrics.Utility | None
    outside: float
    loaded: bool = False
    n_known: int | None = None
    training: Training | None = None
    pool: Pool | None = None
    times: Times = NO_TIMES

    @property
    def seconds(self) -> float:
        return (self.times.fit_s or 0.0) + self.times.score_s

    def figures(self) -> dict[str, Any]:
        """Everything that two equal runs have in common."""
        return {
            "name": self.name,
            **{f"recall@{k}": value for k, value in self.recall.items()},
            "ndcg@10": self.ndcg,
            "mrr@10": self.mrr,
            "ci95_recall@10": list(self.ci95),
            "coverage@10": self.coverage,
            "gini@10": self.gini,
            "arp@10": self.arp,
            "tail_hits@10": self.tail,
            "recall@10_by_named": _groups(self.by_named),
            "recall@10_by_messages": _groups(self.by_before),
            "recall@10_by_decile": _groups(self.by_decile),
            "sr": self.utility and self.utility.sr,
            "rdl": self.utility and self.utility.rdl,
            "out_of_catalogue@10": self.outside,
            "n_known_items": self.n_known,
            "loaded": self.loaded,
            **(self.training or Training(None, None, None))._asdict(),
            "pool_recall": self.pool and self.pool.recall,
            "pool_size": self.pool and self.pool.size,
        }

    def timings(self) -> dict[str, Any]:
        """What differs from run to run."""
        p50, p95 = self.times.one_ms or (None, None)
        return {
            "fit_seconds": self.times.fit_s,
            "score_seconds": self.times.score_s,
            "seconds": self.seconds,
            "one_case_ms_p50": p50,
            "one_case_ms_p95": p95,
            "peak_mib": self.times.peak_mib,
        }

    def as_dict(self) -> dict[str, Any]:
        return {**self.figures(), **self.timings()}


def measure(
    name: str,
    outcomes: Sequence[Outcome],
    cases: Cases,
    popularity: NDArray[np.int64],
    seed: int,
    *,
    times: Times = NO_TIMES,
    loaded: bool = False,
    n_known: int | None = None,
    training: Training | None = None,
) -> Row:
    """All figures of one system. ``outcomes``: one per case, in order; ``popularity``: training dialogues that name
    each item of the cases."""
    gold_case, gold_rows, n_cases = cases.gold_case, cases.gold_rows, len(cases.cases)
    ranks = np.array([rank for outcome in outcomes for rank in outcome.ranks], dtype=np.int64)
    shown = _padded(outcomes)
    dialogues = cases.dialogue_of
    return Row(
        name=name,
        recall={k: metrics.recall(ranks, k) for k in RECALL_AT},
        ndcg=metrics.ndcg(ranks, gold_case, n_cases, LIST_K),
        mrr=metrics.mrr(ranks, gold_case, n_cases, LIST_K),
        ci95=metrics.bootstrap_recall(ranks, dialogues[gold_case], LIST_K, seed=seed),
        coverage=metrics.coverage(shown, cases.n_items),
        gini=metrics.gini(shown, cases.n_items),
        arp=metrics.mean_popularity(shown, popularity),
        tail=metrics.tail_hits(ranks, gold_rows, popularity, LIST_K),
        by_named=metrics.by_named(ranks, gold_case, cases.n_named, LIST_K),
        by_before=metrics.by_before(ranks, gold_case, cases.n_before, LIST_K),
        by_decile=metrics.by_decile(ranks, gold_rows, popularity, LIST_K),
        utility=metrics.utility(shown[:, 0], [case.gold for case in cases.cases], dialogues, cases.answers),
        outside=sum(outcome.outside for outcome in outcomes) / max(LIST_K * n_cases, 1),
        loaded=loaded,
        n_known=n_known,
        training=training,
        pool=_pool(outcomes, cases.n_gold),
        times=times,
    )


def case_metrics(outcome: Outcome) -> dict[str, float]:
    """The figures of one case; a recall is a share of its gold mentions."""
    ranks = np.array(outcome.ranks, dtype=np.int64)
    case = np.zeros(ranks.size, dtype=np.int64)
    return {
        **{f"recall@{k}": metrics.recall(ranks, k) for k in RECALL_AT},
        "ndcg@10": metrics.ndcg(ranks, case, 1, LIST_K),
        "mrr@10": metrics.mrr(ranks, case, 1, LIST_K),
    }


def _padded(outcomes: Sequence[Outcome]) -> RowArray:
    shown = np.full((len(outcomes), LIST_K), metrics.PAD, dtype=np.int32)
    for line, outcome in zip(shown, outcomes, strict=True):
        line[: len(outcome.shown)] = outcome.shown
    return shown


def _pool(outcomes: Sequence[Outcome], n_gold: int) -> Pool | None:
    pools = [outcome.pool for outcome in outcomes if outcome.pool is not None]
    if not pools or len(pools) != len(outcomes):
        return None
    inside = sum(gold for _, gold in pools)
    return Pool(inside / n_gold if n_gold else 0.0, float(np.mean([size for size, _ in pools])))


def _groups(groups: Groups) -> dict[str, dict[str, Any]]:
    return {label: {"n_gold": n, "recall@10": recall} for label, (n, recall) in groups.items()}
