"""What a language model adds to a recommender: alone, and reordering the recommender's best, case by case.

Systems: ``recommender``; ``llm``: titles that the model thinks of, linked to the items; ``rerank``, ``select`` and
``expand``: CARE's three ways (arXiv:2508.13889) of putting both together. ``gated`` comes of these in
``rerank_figures.py``.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from convrec.agent.llm.base import LLM, metered
from convrec.agent.rerank_scores import STRATEGIES, Candidate, Judge, RerankConfig, Scorer, Strategy, suggested
from convrec.core.errors import LLMError, RequestError
from convrec.core.items import RowArray
from convrec.core.text import fold
from convrec.eval import metrics
from convrec.eval.item_run import item_names, readable
from convrec.eval.items import Prepared
from convrec.eval.protocols import Case
from convrec.eval.rerank_asking import BUDGET_S, Progress, Told, ask, drawn, front, run_units, spent
from convrec.eval.run_folder import RunFolder
from convrec.tools.recommenders.base import NEVER
from convrec.tools.schema import FILM_SCHEMA

DEPTH = 50
AT = (1, 5, 10)
WISH_CHARS = 700
TITLES = 10
_YEAR = re.compile(r"\s*\((\d{4})\)\s*$")


@dataclass(frozen=True, slots=True)
class Asked:
    """``candidates``: how many of the recommender's best the model judges. ``sample``: cases; None: all."""

    strategies: tuple[Strategy, ...] = STRATEGIES
    scorer: Scorer = "auto"
    candidates: int = 10
    sample: int | None = 400
    weight: float = 2.0
    alone: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.candidates > DEPTH:
            raise RequestError("--candidates", str(self.candidates), f"At most {DEPTH} are ranked.")

    def as_dict(self) -> dict[str, Any]:
        return {
            "strategies": list(self.strategies),
            "scorer": self.scorer,
            "candidates": self.candidates,
            "sample": self.sample,
            "weight": self.weight,
            "alone": self.alone,
        }


@dataclass(slots=True)
class Measure:
    """One case after the other; the cache of priors is shared."""

    prepared: Prepared
    llm: LLM
    asked: Asked
    judge: Judge = field(init=False)
    names: Mapping[str, str] = field(init=False)
    rows_by_title: Mapping[str, list[int]] = field(init=False)
    popularity: Any = field(init=False)
    _detail_rows: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.judge = Judge(FILM_SCHEMA, RerankConfig(scorer=self.asked.scorer, wish_chars=WISH_CHARS))
        self.names = item_names(self.prepared.setting)
        titled: dict[str, list[int]] = {}
        for row, item in enumerate(self.prepared.setting.items):
            titled.setdefault(fold(_YEAR.sub("", self.names[item])), []).append(row)
        self.rows_by_title = titled
        train = self.prepared.setting.train
        self._detail_rows = {item: row for row, item in enumerate(train.item_ids)}
        self.popularity = self.prepared.setting.item_map(train.item_ids).counts(train.popularity)

    def chosen(self) -> list[int]:
        """Numbers of the cases, rising; the same for every model and setting."""
        return drawn(len(self.prepared.cases.cases), self.asked.sample, self.asked.seed)

    def ranked(self, numbers: Sequence[int]) -> dict[int, tuple[RowArray, Any]]:
        """The recommender's best rows and their scores, by case."""
        (mapped,) = self.prepared.loaded.values()
        out = {}
        for start in range(0, len(numbers), 64):
            batch = numbers[start : start + 64]
            cases = [self.prepared.cases.cases[n] for n in batch]
            scores = mapped.score([case.context for case in cases])
            for line, case in zip(scores, cases, strict=True):
                line[case.excluded] = NEVER
            top = metrics.top_k(scores, DEPTH)
            for n, rows, line in zip(batch, top, scores, strict=True):
                kept = rows[rows != metrics.PAD]
                out[n] = (kept, line[kept])
        return out

    def case(self, number: int, rows: RowArray, scores: Any) -> dict[str, dict[str, Any]]:
        """Records by system."""
        case = self.prepared.cases.cases[number]
        wish = self._wish(case)
        out = {"recommender": self._record(number, case, rows, {}, 0.0)}
        titles: list[int] = []
        if self.asked.alone or "expand" in self.asked.strategies:
            titles, cost, seconds = self._titles(wish, case)
            if self.asked.alone:
                out["llm"] = self._record(number, case, np.array(titles, dtype=np.int32), cost, seconds)
        head = rows[: self.asked.candidates].tolist()
        place = {row: at for at, row in enumerate(rows.tolist())}
        fused_of = {row: float(scores[at]) for row, at in place.items()}
        extra = [row for row in titles if row in place and row not in head] if "expand" in self.asked.strategies else []
        extra = extra[: len(head) // 2]
        told = self._told(wish, [*head, *extra])
        judged = dict(zip([*head, *extra], told.scores, strict=False))
        for strategy in self.asked.strategies:
            config = RerankConfig(strategy=strategy, weight=self.asked.weight, scorer=self.asked.scorer)
            pool = [*head[: len(head) - len(extra)], *extra] if strategy == "expand" else head
            known = [row for row in pool if row in judged]
            first = np.array(known if len(known) > 1 else pool, dtype=np.int32)
            if len(known) > 1:
                fused, thought = [fused_of[row] for row in known], [judged[row] for row in known]
                first = front(first, fused, thought, told.how, config)
            order = np.concatenate([first, rows[~np.isin(rows, first)]]).astype(np.int32)
            record = self._record(number, case, order, told.cost, told.seconds)
            if strategy == "rerank":
                record["fused"] = [round(float(s), 6) for s in scores[: len(head)]]
                record["head"] = head
                record["judged"] = [round(judged[row], 4) for row in head if row in judged]
            if told.failed:
                record["failed"] = told.failed
            out[strategy] = record
        return out

    def _wish(self, case: Case) -> str:
        said = [f"{m.speaker}: {readable(m.text, self.names)}" for m in case.context.messages]
        return " ".join(said)[-WISH_CHARS:]

    def _card(self, item: str) -> str:
        """Name and genres, as far as the training data tells them."""
        train = self.prepared.setting.train
        if train.details is None:
            return self.names[item]
        rows = self._detail_rows
        row = next((rows[name] for name in self.prepared.setting.known_as.get(item, ()) if name in rows), None)
        genres = train.details.tags.get("genre", ())
        told = ", ".join(genres[row][:4]) if row is not None and genres else ""
        return f"{self.names[item]}; {told}" if told else self.names[item]

    def _titles(self, wish: str, case: Case) -> tuple[list[int], dict[str, int], float]:
        started, found = time.perf_counter(), []
        with metered() as meter:
            try:
                found = suggested(self.llm, wish, FILM_SCHEMA, TITLES, BUDGET_S, WISH_CHARS)
            except LLMError:
                found = []
        rows = [row for title in found if (row := self._linked(title)) is not None]
        excluded = set(case.excluded.tolist())
        cost = {**spent(meter), "titles": len(found), "linked": len(rows)}
        return [r for r in dict.fromkeys(rows) if r not in excluded], cost, time.perf_counter() - started

    def _linked(self, title: str) -> int | None:
        """The item of that title: of that year when one is given, else the best known."""
        rows = self.rows_by_title.get(fold(_YEAR.sub("", title)), [])
        year = _YEAR.search(title)
        if year is not None:
            same = [r for r in rows if f"({year[1]})" in self.names[self.prepared.setting.items[r]]]
            rows = same or rows
        return max(rows, key=lambda row: (int(self.popularity[row]), -row), default=None)

    def _told(self, wish: str, rows: Sequence[int]) -> Told:
        items = self.prepared.setting.items
        return ask(self.judge, self.llm, wish, [Candidate(items[row], self._card(items[row])) for row in rows])

    def _record(
        self, number: int, case: Case, order: RowArray, cost: Mapping[str, int], seconds: float
    ) -> dict[str, Any]:
        padded = np.full(DEPTH, metrics.PAD, dtype=np.int32)
        padded[: min(DEPTH, order.size)] = order[:DEPTH]
        record = {
            "unit": f"{number:05d}",
            "group": case.dialogue_id,
            "n_gold": int(case.gold.size),
            "metrics": case_figures(padded, case.gold),
            "weights": {f"recall@{k}": float(case.gold.size) for k in AT},
            "top": [self.prepared.setting.items[row] for row in order[:10].tolist()],
            "arp": metrics.mean_popularity(padded[:10], self.popularity),
            "cost": dict(cost),
            "timings": {"s": seconds},
        }
        return record


def case_figures(top: RowArray, gold: RowArray) -> dict[str, float]:
    """Recall@1, 5, 10 (share of the case's gold) and NDCG@10 of one padded list."""
    zeros = np.zeros(gold.size, dtype=np.int64)
    ranks = metrics.gold_ranks(top[None, :], zeros, gold)
    found = {f"recall@{k}": metrics.recall(ranks, k) for k in AT}
    return {**found, "ndcg@10": metrics.ndcg(ranks, zeros, 1, 10)}


def run_cases(measure: Measure, run: RunFolder, *, workers: int, progress: Progress) -> None:
    """Measure and record what is not recorded yet; a kill loses the cases under way only."""
    units = [f"{number:05d}" for number in measure.chosen()]
    last = measure.asked.strategies[-1]
    ranked = measure.ranked([int(unit) for unit in units if f"{last} {unit}" not in run.done()])

    def case(unit: str) -> dict[str, dict[str, Any]]:
        return measure.case(int(unit), *ranked[int(unit)])

    run_units(units, last, case, run, workers=workers, progress=progress)
