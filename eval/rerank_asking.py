"""What all rerank measurements have in common: asking a model of candidates, ordering by it, a run that goes on."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from convrec.agent.budget import Budget
from convrec.agent.llm.base import LLM, Meter, metered
from convrec.agent.rerank_scores import Candidate, Judge, Judged, RerankConfig, weighed
from convrec.core.errors import LLMError
from convrec.core.items import RowArray
from convrec.eval.run_folder import RunFolder

BUDGET_S = 600.0
"""Time per case: a slow machine must not change what is measured."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Told:
    """What a model said of candidates. ``scores``: of as many of the first as were judged, in their order, higher is
    better; () when it failed or gives none. ``failed``: why, "" when it did not. ``seconds``: wall clock."""

    scores: tuple[float, ...] = ()
    how: str = "pointwise"
    cost: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    failed: str = ""


def ask(judge: Judge, llm: LLM, wish: str, candidates: Sequence[Candidate]) -> Told:
    """The model's scores; a failure of the model is part of the answer, not raised."""
    started = time.perf_counter()
    judged: Judged | None = None
    failed = ""
    with metered() as meter:
        try:
            judged = judge(llm, wish, candidates, Budget(BUDGET_S)) if len(candidates) > 1 else None
        except LLMError as error:
            failed = str(error)[:200]
    scores = tuple(judged.scores.tolist()) if judged is not None else ()
    seconds = time.perf_counter() - started
    return Told(scores, judged.how if judged is not None else "pointwise", spent(meter), seconds, failed)


def spent(meter: Meter) -> dict[str, int]:
    return {"calls": meter.calls, "tokens": meter.prompt_tokens + meter.generated_tokens}


def front(rows: RowArray, fused: Sequence[float], judged: Sequence[float], how: str, config: RerankConfig) -> RowArray:
    """The judged rows as a turn with this config would order them; unsure: as they come. All three of one length."""
    if len(rows) < 2:
        return rows
    told = Judged(np.array(judged, dtype=np.float32), how)
    order = weighed(np.array(fused, dtype=np.float32), told, rows, config)
    return rows if order is None else rows[order]


def drawn(n: int, sample: int | None, seed: int) -> list[int]:
    """Numbers of the cases, rising; the same for every model and setting. None: all."""
    if sample is None or sample >= n:
        return list(range(n))
    return sorted(random.Random(seed).sample(range(n), sample))  # noqa: S311 - draws cases


def run_units(
    units: Sequence[str],
    last: str,
    measure: Callable[[str], Mapping[str, Mapping[str, Any]]],
    run: RunFolder,
    *,
    workers: int,
    progress: Progress,
) -> None:
    """Record, by system, what ``measure`` finds of each unit; a kill loses the units under way only.

    ``last``: the system that is recorded last: a unit with it is done.
    """
    todo = [unit for unit in units if f"{last} {unit}" not in run.done()]
    progress(len(units) - len(todo), len(units))
    with ThreadPoolExecutor(workers, thread_name_prefix="convrec-rerank") as pool:
        results = pool.map(measure, todo)
        for done, (unit, found) in enumerate(zip(todo, results, strict=True), len(units) - len(todo) + 1):
            for system, record in found.items():
                if f"{system} {unit}" not in run.done():
                    run.add(f"{system} {unit}", {"system": system, **record})
            progress(done, len(units))
