"""What a language model adds on wishes in loose words: the graded candidates in fused order, reordered, measured.

Systems: ``recommender``, the fused order; ``model``, the order of the model's own scores; the strategies, both weighed
together as in a turn (:mod:`convrec.agent.rerank_scores`). The record of ``model`` keeps fused and model scores, from
which ``figures.py`` works out every other weight without asking again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from convrec.agent.llm.base import LLM
from convrec.agent.rerank_scores import Candidate, RerankConfig
from convrec.agent.reranker import Reranker
from convrec.core.errors import DataError, RequestError
from convrec.core.items import Item
from convrec.eval.rerank import Asked
from convrec.eval.rerank_asking import Progress, ask, drawn, front, run_units
from convrec.eval.run_folder import RunFolder
from convrec.eval.wishes.labels import LabelledWish
from convrec.tools.catalogue import Catalogue

BASE, MODEL = "recommender", "model"
NDCG_AT = (10, 3)
PRECISION_AT = 3
NAMES = (*(f"ndcg@{k}" for k in NDCG_AT), f"precision@{PRECISION_AT}")
Record = Mapping[str, Any]


def graded(grades: Sequence[int]) -> dict[str, float]:
    """Figures of one list, from the grades (0 to 2) of its candidates in order, best place first; all of the wish.

    NDCG@k with the gain 2^grade - 1 and the discount 1 / log2(rank + 1) (Jarvelin & Kekalainen, 2002; Burges et al.,
    2005), over the best order of the same candidates; nothing suits: 0. precision@3: candidates with a grade of 1 or
    2 among the first three / 3; a shorter list counts as missing them.
    """
    found = {}
    for k in NDCG_AT:
        best = _dcg(sorted(grades, reverse=True), k)
        found[f"ndcg@{k}"] = _dcg(grades, k) / best if best else 0.0
    found[f"precision@{PRECISION_AT}"] = sum(grade > 0 for grade in grades[:PRECISION_AT]) / PRECISION_AT
    return found


def expected(grades: Sequence[int]) -> dict[str, float]:
    """The mean of :func:`graded` over all orders of the candidates: what a random order gets. No candidates: 0."""
    n = len(grades)
    mean = float(np.mean([_gain(grade) for grade in grades])) if n else 0.0
    found = {}
    for k in NDCG_AT:
        best = _dcg(sorted(grades, reverse=True), k)
        found[f"ndcg@{k}"] = mean * sum(map(_discount, range(1, min(k, n) + 1))) / best if best else 0.0
    suit = sum(grade > 0 for grade in grades) / n if n else 0.0
    found[f"precision@{PRECISION_AT}"] = suit * min(PRECISION_AT, n) / PRECISION_AT
    return found


def _dcg(grades: Sequence[int], k: int) -> float:
    return sum(_gain(grade) * _discount(place) for place, grade in enumerate(grades[:k], 1))


def _gain(grade: int) -> float:
    return 2.0**grade - 1.0


def _discount(place: int) -> float:
    return 1.0 / math.log2(place + 1)


def places(record: Record, config: RerankConfig | None) -> list[int]:
    """The order that a config makes of a ``model`` record's candidates: places in fused order, best first.

    None: the model's own order, by falling score, ties as fused. What was not judged follows as fused.
    """
    n = len(record["judged"])
    numbers = np.arange(n, dtype=np.int32)
    if config is None:
        first = np.lexsort((numbers, -np.array(record["judged"], dtype=np.float32))).tolist() if n else []
    else:
        first = front(numbers, record["fused"][:n], record["judged"], record["how"], config).tolist()
    return [*first, *range(n, len(record["grades"]))]


def in_order(record: Record, order: Sequence[int]) -> dict[str, float]:
    """Figures of a ``model`` record's candidates in that order of :func:`places`."""
    return graded([record["grades"][place] for place in order])


@dataclass(slots=True)
class WishMeasure:
    """One wish at a time, the cards and the asking as in a turn; the cache of priors is shared.

    Raises:
        RequestError: a strategy needs candidates beyond the graded ones, or nothing suits any wish.
        DataError: the catalogue lacks a candidate.
    """

    catalogue: Catalogue
    llm: LLM
    asked: Asked
    wishes: Sequence[LabelledWish]
    reranker: Reranker = field(init=False)
    _items: dict[str, Item] = field(init=False)

    def __post_init__(self) -> None:
        if "expand" in self.asked.strategies:
            remedy = "The wishes are graded to a depth that leaves nothing to expand by; choose from: rerank, select."
            raise RequestError("--strategies", ",".join(self.asked.strategies), remedy)
        self.reranker = Reranker(self.catalogue, RerankConfig(scorer=self.asked.scorer))
        if not any(wish.suits for wish in self.wishes):
            raise RequestError("--file", f"{len(self.wishes)} wishes", "No candidate suits any of them; give grades.")
        self._items = {}
        for wish in self.wishes:
            ids = [one.item for one in wish.candidates]
            rows = self.catalogue.rows_of(ids)
            missing = [item for item, row in zip(ids, rows, strict=True) if row is None]
            if missing:
                raise DataError(
                    f"wish {wish.id}: the catalogue {self.catalogue.name} has no item {missing[0]}. "
                    "Take it out of the file, or set the catalogue that the file is for"
                )
            self._items |= {item.id: item for item in self.catalogue.items([row for row in rows if row is not None])}

    def chosen(self) -> list[LabelledWish]:
        """The drawn ones of those for which anything suits: without that, no order is better than another."""
        some = [wish for wish in self.wishes if wish.suits]
        return [some[number] for number in drawn(len(some), self.asked.sample, self.asked.seed)]

    def case(self, wish: LabelledWish) -> dict[str, dict[str, Any]]:
        """Records by system."""
        ids = [one.item for one in wish.candidates]
        head = [self._items[item] for item in ids[: self.asked.candidates]]
        told = ask(
            self.reranker.judge,
            self.llm,
            wish.asked,
            [Candidate(item.row, self.reranker.card(item)) for item in head],
        )
        model: dict[str, Any] = {
            "fused": [one.score for one in wish.candidates],
            "grades": [one.grade for one in wish.candidates],
            "judged": [round(score, 6) for score in told.scores],
            "how": told.how,
        }
        orders: dict[str, list[int]] = {BASE: list(range(len(ids))), MODEL: places(model, None)}
        for strategy in self.asked.strategies:
            orders[strategy] = places(model, self.config(strategy, self.asked.weight))
        out: dict[str, dict[str, Any]] = {}
        for system, order in orders.items():
            own = system != BASE
            out[system] = {
                "unit": wish.id,
                "group": wish.id,
                "kind": wish.kind,
                "metrics": in_order(model, order),
                "top": [ids[place] for place in order],
                "cost": dict(told.cost) if own else {},
                "timings": {"s": told.seconds if own else 0.0},
                **(model if system == MODEL else {}),
                **({"failed": told.failed} if own and told.failed else {}),
            }
        return out

    def config(self, strategy: Any, weight: float) -> RerankConfig:
        return RerankConfig(strategy=strategy, weight=weight, scorer=self.asked.scorer)


def run_wishes(measure: WishMeasure, run: RunFolder, *, workers: int, progress: Progress) -> None:
    """Measure and record what is not recorded yet; a kill loses the wishes under way only."""
    by_id = {wish.id: wish for wish in measure.chosen()}
    names = {item.id: item.label for item in measure._items.values()}
    run.describe(lambda: {key: _unit(wish) for key, wish in by_id.items()}, lambda: names)
    last = measure.asked.strategies[-1]
    run_units(list(by_id), last, lambda unit: measure.case(by_id[unit]), run, workers=workers, progress=progress)


def _unit(wish: LabelledWish) -> dict[str, Any]:
    return {"title": f"{wish.id} ({wish.kind})", "dialogue": [["user", text] for text in wish.turns]}
