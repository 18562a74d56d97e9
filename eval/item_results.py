"""What a system did on each case, recorded: in memory, or in a run's folder so that a kill loses one batch at most."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from convrec.core.items import FloatArray, RowArray
from convrec.eval import metrics
from convrec.eval.item_plugins import Plugin
from convrec.eval.item_rows import DEPTH, LIST_K, Outcome, Times, case_metrics
from convrec.eval.mapped import Mapped, Setting
from convrec.eval.protocols import Case, Cases
from convrec.tools.recommenders.base import NEVER
from convrec.tools.recommenders.data import Context

BATCH = 512
"""Cases scored at once: 512 x 6,924 float32 scores are 14 MB."""
ALONE = 20
"""Cases that are also scored one at a time, for the time of one; the first of them warms up and does not count."""

Tell = Callable[[str], None]


class Scorer(Protocol):
    """Whatever scores all items of the cases: a recommender in their items, or one carried over to them."""

    def score(self, contexts: Sequence[Context]) -> FloatArray: ...


class Recorder(Protocol):
    """Where records go; a :class:`convrec.eval.run_folder.RunFolder` is one."""

    def done(self) -> frozenset[str]: ...

    def add(self, case: str, record: Mapping[str, Any]) -> None: ...

    def records(self) -> list[dict[str, Any]]: ...

    def timings(self) -> dict[str, Any]: ...


class Memory:
    """Records that nobody keeps."""

    def __init__(self) -> None:
        self._records: dict[str, dict[str, Any]] = {}

    def done(self) -> frozenset[str]:
        return frozenset(self._records)

    def add(self, case: str, record: Mapping[str, Any]) -> None:
        self._records[case] = {**record, "case": case}

    def records(self) -> list[dict[str, Any]]:
        return [self._records[case] for case in sorted(self._records)]

    def timings(self) -> dict[str, Any]:
        return {case: record["timings"] for case, record in self._records.items() if "timings" in record}


def case_id(system: str, number: int) -> str:
    """Id of the record of one system's case; in order of system, then of case."""
    return f"{system} {number:05d}"


def missing(recorder: Recorder, system: str, cases: Cases) -> list[int]:
    """Numbers of the batches that are not recorded whole."""
    done = recorder.done()
    return [
        start
        for start in range(0, len(cases.cases), BATCH)
        if any(case_id(system, n) not in done for n in range(start, min(start + BATCH, len(cases.cases))))
    ]


def record_system(
    recorder: Recorder,
    system: str,
    mapped: Mapped,
    setting: Setting,
    cases: Cases,
    starts: Sequence[int],
    *,
    fit_s: float | None,
    tell: Tell = lambda text: None,
) -> None:
    """Score the batches that begin at ``starts`` and record their cases. A batch that is there in part is scored whole,
    so that the figures do not depend on where a kill came."""
    done = recorder.done()
    extra: dict[str, Any] = {"one_ms": _alone(mapped, cases)}
    if fit_s is not None:
        extra["fit_s"] = fit_s
    for start in starts:
        batch = cases.cases[start : start + BATCH]
        tell(f"{system}: {start:,} of {len(cases.cases):,} cases")
        began = time.perf_counter()
        top = best(mapped, batch, DEPTH)
        seconds = time.perf_counter() - began
        pools = mapped.pool([case.context for case in batch])
        outside = mapped.recommender.outside if isinstance(mapped.recommender, Plugin) else [0] * len(batch)
        for at, case in enumerate(batch):
            key = case_id(system, start + at)
            if key in done:
                continue
            outcome = _outcome(top[at], case, None if pools is None else pools[at], outside[at])
            timings = {"ms": 1000 * seconds / len(batch), "peak_mib": peak_mib(), **extra}
            extra = {}
            recorder.add(key, {**_record(system, start + at, case, outcome, setting), "timings": timings})


def outcomes(recorder: Recorder, systems: Sequence[str], setting: Setting) -> dict[str, list[Outcome]]:
    """What is recorded of each system, in order of case."""
    row_of = {item: row for row, item in enumerate(setting.items)}
    out: dict[str, list[Outcome]] = {system: [] for system in systems}
    for record in sorted(recorder.records(), key=lambda record: str(record["unit"])):
        pool = record.get("pool")
        out[record["system"]].append(
            Outcome(
                tuple(row_of[item] for item in record["top"]),
                tuple(record["ranks"]),
                None if pool is None else (pool[0], pool[1]),
                record.get("outside", 0),
            )
        )
    return out


def times(recorder: Recorder, systems: Sequence[str]) -> dict[str, Times]:
    """The recorded times of each system; fitting counts as often as it was done."""
    by_system: dict[str, list[Mapping[str, Any]]] = {system: [] for system in systems}
    for case, recorded in recorder.timings().items():
        by_system[case.rpartition(" ")[0]].append(recorded)
    return {system: _times(recorded) for system, recorded in by_system.items()}


def best(scorer: Scorer, batch: Sequence[Case], k: int) -> RowArray:
    """The ``k`` best rows for each case, without those it excludes; int32, shape (len(batch), k)."""
    scores = scorer.score([case.context for case in batch])
    for line, case in zip(scores, batch, strict=True):
        line[case.excluded] = NEVER
    return metrics.top_k(scores, k)


def top_lists(scorer: Scorer, cases: Cases, k: int) -> RowArray:
    """:func:`best` of all cases."""
    parts = [best(scorer, batch, k) for batch in _batches(cases)]
    return np.concatenate([np.empty((0, k), dtype=np.int32), *parts])


def peak_mib() -> int:
    """Largest resident memory of this process so far, MiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _batches(cases: Cases) -> Iterator[tuple[Case, ...]]:
    for start in range(0, len(cases.cases), BATCH):
        yield cases.cases[start : start + BATCH]


def _alone(scorer: Scorer, cases: Cases) -> list[float]:
    found = []
    for case in cases.cases[: ALONE + 1]:
        began = time.perf_counter()
        best(scorer, [case], DEPTH)
        found.append(1000 * (time.perf_counter() - began))
    return found[1:]


def _outcome(top: RowArray, case: Case, pool: RowArray | None, outside: int) -> Outcome:
    ranks = metrics.gold_ranks(top[None, :], np.zeros(case.gold.size, dtype=np.int64), case.gold)
    shown = top[:LIST_K]
    gathered = None if pool is None else (int(pool.size), int(np.isin(case.gold, pool).sum()))
    return Outcome(tuple(shown[shown != metrics.PAD].tolist()), tuple(ranks.tolist()), gathered, outside)


def _record(system: str, number: int, case: Case, outcome: Outcome, setting: Setting) -> dict[str, Any]:
    figures = case_metrics(outcome)
    record: dict[str, Any] = {
        "system": system,
        "unit": f"{number:05d}",
        "group": case.dialogue_id,
        "metrics": figures,
        "top": [setting.items[row] for row in outcome.shown],
        "ranks": list(outcome.ranks),
    }
    if case.gold.size > 1:  # so that the mean over cases is the share of all gold mentions
        record["weights"] = {name: case.gold.size for name in figures if name.startswith("recall@")}
    if outcome.pool is not None:
        record["pool"] = list(outcome.pool)
    if outcome.outside:
        record["outside"] = outcome.outside
    return record


def _times(recorded: Sequence[Mapping[str, Any]]) -> Times:
    fits = [entry["fit_s"] for entry in recorded if "fit_s" in entry]
    alone = [ms for entry in recorded for ms in entry.get("one_ms", ())]
    p50_p95 = None
    if alone:
        p50, p95 = np.percentile(alone, [50, 95]).round(2).tolist()
        p50_p95 = (p50, p95)
    return Times(
        fit_s=sum(fits) if fits else None,
        score_s=sum(entry["ms"] for entry in recorded) / 1000,
        one_ms=p50_p95,
        peak_mib=max((entry["peak_mib"] for entry in recorded), default=None),
    )
