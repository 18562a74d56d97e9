"""Two runs, case by case: differences with intervals and tests, and the cases that flipped.

Works on every kind of run whose records have ``metrics`` and ``group`` (see :mod:`convrec.eval.run_folder`). Cases are
paired by id; where runs measure several systems, one of each is compared, paired by unit. The figure of a run is the
weighted mean of its cases, which for recall is the share of all gold mentions found.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from convrec.core.errors import RequestError
from convrec.eval.report import Dialogue, Report, Said, Table
from convrec.eval.run_folder import RunFolder
from numpy.typing import NDArray

ROUNDS = 2000
"""Bootstrap resamples: see :data:`convrec.eval.metrics.BOOTSTRAP_ROUNDS`."""
PERMUTATIONS = 10_000
"""Sign flips: the smallest p-value that can be seen is about 1e-4."""
FLIPS_SHOWN = 20
"""Cases of each direction in the report."""
_CHUNK = 250
"""Resamples made at once, to bound memory: 250 x 3,838 int64 are 8 MB."""

Floats = NDArray[np.float64]
Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """One metric. ``low``, ``high``: 95 % percentile interval of ``b - a``, resampling groups. ``p``: two-sided
    permutation test, groups' signs flipped (Fisher). ``better``, ``worse``: cases where b is above, below a."""

    metric: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float
    better: int
    worse: int


@dataclass(frozen=True, slots=True)
class Flip:
    """A case where the two differ in the metric looked at."""

    case: str
    group: str
    a: float
    b: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """``a``, ``b``: how the two are called. ``only_a``, ``only_b``: cases that have no partner, left out."""

    a: str
    b: str
    metric: str
    n_cases: int
    n_groups: int
    only_a: int
    only_b: int
    seed: int
    differences: tuple[Difference, ...]
    gained: tuple[Flip, ...]
    lost: tuple[Flip, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def compare(
    a: Path,
    b: Path,
    *,
    system_a: str | None = None,
    system_b: str | None = None,
    metric: str | None = None,
    seed: int = 0,
) -> tuple[Comparison, Report]:
    """Compare two runs, or two systems of one. ``system_b``: default ``system_a``; both are needed only where a run
    has several. ``metric``: whose flips are shown; default recall@10, success, or the
    first there is.

    Raises:
        RequestError: no run; runs over different cases; no system of that name; no common case or metric.
        DataError: a run is damaged.
    """
    runs = [RunFolder.read(a), RunFolder.read(b)]
    _same_cases(a, b, *(run.config for run in runs))
    wanted = (system_a, system_b if system_b is not None else system_a)
    sides = [_side(path, run, name) for path, run, name in zip((a, b), runs, wanted, strict=True)]
    (name_a, records_a), (name_b, records_b) = sides
    if name_a == name_b:
        name_a, name_b = f"A: {name_a}", f"B: {name_b}"
    common = sorted(records_a.keys() & records_b.keys())
    pairs = [(records_a[key], records_b[key]) for key in common]
    names = _common_metrics(pairs)
    if not names:
        raise RequestError("runs", f"{a}, {b}", "They have no case with a common metric; compare runs of one kind.")
    looked_at = _looked_at(metric, names)
    groups = np.unique(
        [str(one.get("group", key)) for key, (one, _) in zip(common, pairs, strict=True)], return_inverse=True
    )[1]
    differences = tuple(_difference(name, pairs, groups, seed) for name in names)
    flips = _flips(common, pairs, looked_at)
    found = Comparison(
        name_a,
        name_b,
        looked_at,
        len(common),
        int(groups.max()) + 1,
        len(records_a.keys() - records_b.keys()),
        len(records_b.keys() - records_a.keys()),
        seed,
        differences,
        tuple(flip for flip in flips if flip.b > flip.a),
        tuple(flip for flip in flips if flip.b < flip.a),
    )
    return found, _report(found, runs, dict(zip(common, pairs, strict=True)))


def as_json(found: Comparison) -> str:
    return json.dumps(found.as_dict(), ensure_ascii=False, indent=2)


def paired_interval(
    a: Floats, b: Floats, weights: Floats, groups: NDArray[np.int64], *, seed: int, rounds: int = ROUNDS
) -> tuple[float, float]:
    """95 % percentile interval of the difference of the weighted means, whole groups resampled (Efron & Tibshirani,
    1993). All float64, shape (n_cases,); ``groups``: 0.. without gaps."""
    n = int(groups.max()) + 1
    gain = np.bincount(groups, weights=weights * (b - a), minlength=n)
    weight = np.bincount(groups, weights=weights, minlength=n)
    random = np.random.default_rng(seed)
    parts = []
    for start in range(0, rounds, _CHUNK):
        drawn = random.multinomial(n, np.full(n, 1.0 / n), size=min(_CHUNK, rounds - start))
        total = drawn @ weight
        parts.append(np.divide(drawn @ gain, total, out=np.zeros(total.size), where=total > 0))
    low, high = np.quantile(np.concatenate(parts), [0.025, 0.975])
    return float(low), float(high)


def permutation_p(
    a: Floats, b: Floats, weights: Floats, groups: NDArray[np.int64], *, seed: int, rounds: int = PERMUTATIONS
) -> float:
    """Two-sided p-value of "a and b could be swapped": the difference against those with each group's sign flipped at
    random; (hits + 1) / (rounds + 1) (Smucker, Allan & Carterette, CIKM 2007). No difference anywhere: 1."""
    gain = np.bincount(groups, weights=weights * (b - a))
    gain = gain[gain != 0]
    if gain.size == 0:
        return 1.0
    observed = abs(float(gain.sum())) - 1e-12 * float(np.abs(gain).sum())  # a tie stays one whatever the rounding
    random = np.random.default_rng(seed)
    hits = 0
    for start in range(0, rounds, _CHUNK):
        signs = random.integers(0, 2, size=(min(_CHUNK, rounds - start), gain.size)) * 2 - 1
        hits += int((np.abs(signs @ gain) >= observed).sum())
    return (hits + 1) / (rounds + 1)


def _same_cases(a: Path, b: Path, one: Mapping[str, Any], two: Mapping[str, Any]) -> None:
    if one.get("kind") != two.get("kind"):
        raise RequestError("runs", f"{a}, {b}", f"One is of kind {one.get('kind')!r}, the other {two.get('kind')!r}.")
    cases = [config.get("data", {}).get("cases") for config in (one, two)]
    if cases[0] != cases[1]:
        raise RequestError(
            "runs", f"{a}, {b}", "They are over different cases (data.cases in run.json): compare runs of one protocol."
        )


def _side(path: Path, run: RunFolder, wanted: str | None) -> tuple[str, dict[str, Record]]:
    """(how it is called, records by unit)."""
    records = [record for record in run.records() if "metrics" in record]
    if not records:
        raise RequestError("run", str(path), "It has no case with metrics. Finish it first.")
    systems = sorted({str(record["system"]) for record in records if "system" in record})
    if wanted is not None and wanted not in systems:
        raise RequestError("system", wanted, f"{path} has: {', '.join(systems) or 'no systems'}.")
    if wanted is None and len(systems) > 1:
        raise RequestError("system", "", f"{path} has several: {', '.join(systems)}. Name one with --system-a/-b.")
    chosen = wanted or (systems[0] if systems else None)
    kept = [record for record in records if chosen is None or record.get("system") == chosen]
    return chosen or path.resolve().name, {str(record.get("unit", record["case"])): record for record in kept}


def _common_metrics(pairs: Sequence[tuple[Record, Record]]) -> list[str]:
    names: dict[str, None] = {}
    for one, two in pairs:
        names |= dict.fromkeys(name for name in one["metrics"] if name in two["metrics"])
    return list(names)


def _looked_at(metric: str | None, names: Sequence[str]) -> str:
    if metric is not None and metric not in names:
        raise RequestError("metric", metric, f"Both runs have: {', '.join(names)}.")
    return metric or next((name for name in ("recall@10", "success") if name in names), names[0])


def _difference(name: str, pairs: Sequence[tuple[Record, Record]], groups: NDArray[np.int64], seed: int) -> Difference:
    """Cases without the metric on either side play no part."""
    there = np.array([_value(one, name) is not None and _value(two, name) is not None for one, two in pairs])
    kept = [pair for pair, inside in zip(pairs, there, strict=True) if inside]
    a, b = (np.array([float(pair[side]["metrics"][name]) for pair in kept]) for side in (0, 1))
    weights = np.array([float(one.get("weights", {}).get(name, 1.0)) for one, _ in kept])
    numbers = np.unique(groups[there], return_inverse=True)[1]
    total = float(weights.sum())
    if total <= 0:
        return Difference(name, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0, 0)
    mean_a, mean_b = float(weights @ a) / total, float(weights @ b) / total
    low, high = paired_interval(a, b, weights, numbers, seed=seed)
    p = permutation_p(a, b, weights, numbers, seed=seed)
    return Difference(name, mean_a, mean_b, mean_b - mean_a, low, high, p, int((b > a).sum()), int((b < a).sum()))


def _value(record: Record, name: str) -> Any:
    return record["metrics"].get(name)


def _flips(common: Sequence[str], pairs: Sequence[tuple[Record, Record]], metric: str) -> list[Flip]:
    """The largest differences first."""
    found = [
        Flip(key, str(one.get("group", key)), float(_value(one, metric)), float(_value(two, metric)))
        for key, (one, two) in zip(common, pairs, strict=True)
        if None not in (_value(one, metric), _value(two, metric)) and _value(one, metric) != _value(two, metric)
    ]
    return sorted(found, key=lambda flip: (-abs(flip.b - flip.a), flip.case))


def _report(found: Comparison, runs: Sequence[RunFolder], pairs: Mapping[str, tuple[Record, Record]]) -> Report:
    columns = ("metric", found.a, found.b, "difference", "95 % interval", "p", "better", "worse")
    rows = [
        (d.metric, d.a, d.b, f"{d.difference:+.4f}", f"{d.low:+.4f} to {d.high:+.4f}", _p(d.p), d.better, d.worse)
        for d in found.differences
    ]
    lead = [
        f"{found.n_cases:,} common cases in {found.n_groups:,} dialogues (groups), seed {found.seed}. Interval: paired "
        f"bootstrap over groups, {ROUNDS:,} resamples; p: permutation test over groups, {PERMUTATIONS:,} sign flips.",
    ]
    if found.only_a or found.only_b:
        lead.append(f"Left out, as the other run has not: {found.only_a:,} cases of A, {found.only_b:,} of B.")
    units, names = runs[0].units(), {**runs[1].names(), **runs[0].names()}
    dialogues = [
        _dialogue(found, flip, direction, pairs[flip.case], units, names)
        for direction, flips in (("gained", found.gained), ("lost", found.lost))
        for flip in flips[:FLIPS_SHOWN]
    ]
    note = f"Better, worse: cases where {found.b} is above, below {found.a}."
    flips = [("gained", len(found.gained)), ("lost", len(found.lost))]
    return Report(
        f"{found.b} against {found.a}",
        lead,
        [Table("Differences", columns, rows, note), Table(f"Flipped cases, {found.metric}", ("", "cases"), flips)],
        dialogues=dialogues,
    )


def _dialogue(
    found: Comparison,
    flip: Flip,
    direction: str,
    pair: tuple[Record, Record],
    units: Mapping[str, Mapping[str, Any]],
    names: Mapping[str, str],
) -> Dialogue:
    unit = units.get(flip.case, {})
    lines = [Said(str(speaker), str(text)) for speaker, text in unit.get("dialogue", ())]
    if expected := unit.get("expected"):
        lines.append(Said("expected", _listed(expected, names)))
    for name, record, value in ((found.a, pair[0], flip.a), (found.b, pair[1], flip.b)):
        texts = [f"{label}: {text}" for label, text in record.get("show", {}).items()]
        if "top" in record:
            texts.append(_listed(record["top"], names) or "nothing")
        lines.append(Said(name, "\n".join(texts), f"{found.metric} {value:.3g}"))
    return Dialogue(f"{direction}: {unit.get('title', flip.case)}", lines)


def _listed(items: Sequence[str], names: Mapping[str, str]) -> str:
    return "; ".join(names.get(item, item) for item in items)


def _p(p: float) -> str:
    return f"{p:.4f}" if p >= 2 / (PERMUTATIONS + 1) else f"< {2 / (PERMUTATIONS + 1):.4f}"
