"""Figures of a run of labelled requests, with bootstrap intervals over requests, and the report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from convrec.agent.turn import Agent
from convrec.eval.report import Report, Table
from convrec.eval.requests.labels import Split
from convrec.eval.requests.slots import Count

PARTS = ("rules", "llm", "merged")
ROUNDS = 2000
"""Bootstrap rounds; requests are resampled."""


def figures(records: Sequence[Mapping[str, Any]], *, seed: int) -> dict[str, Any]:
    """All figures of a run: per part intent, slot micro-F1 and exact readings, each with a 95 % bootstrap interval."""
    out: dict[str, Any] = {"requests": len(records), "parts": {}}
    for part in PARTS:
        own = [record["parts"][part] for record in records if part in record["parts"]]
        if own:
            out["parts"][part] = _part(own, seed)
    hard = [record["hard"] for record in records if record["hard"] is not None]
    if hard:
        given = [h for h in hard if h["given"]]
        out["hard"] = {
            "turns": len(hard),
            "given": len(given) / len(hard),
            "true_of_given": _share([not h["faults"] for h in given], seed),
            "true_of_all": _share([h["true"] for h in hard], seed),
        }
    tokens = [record["llm"] for record in records]
    out["llm"] = {
        name: float(np.mean([t.get(name, 0) for t in tokens])) if tokens else 0.0
        for name in ("calls", "prompt_tokens", "generated_tokens")
    }
    out["fallbacks"] = sum(bool(record["fallbacks"]) for record in records)
    return out


def _part(own: Sequence[Mapping[str, Any]], seed: int) -> dict[str, Any]:
    counts = np.array([_sum(case["slots"].values()) for case in own], dtype=np.float64)
    slots: dict[str, list[Sequence[int]]] = defaultdict(list)
    for case in own:
        for slot, count in case["slots"].items():
            slots[slot].append(count)
    drawn = _draws(len(own), seed)
    low, high = np.quantile(_f1(drawn @ counts), [0.025, 0.975])
    return {
        "n": len(own),
        "intent": _share([case["intent"] for case in own], seed),
        "exact": _share([case["exact"] for case in own], seed),
        "slot_f1": {"value": float(_f1(counts.sum(axis=0))), "low": float(low), "high": float(high)},
        "slots": {
            slot: {"f1": float(_f1(np.array(_sum(found), dtype=np.float64))), **Count(*_sum(found))._asdict()}
            for slot, found in sorted(slots.items())
        },
    }


def _sum(counts: Iterable[Sequence[int]]) -> tuple[int, int, int]:
    total = (0, 0, 0)
    for right, wrong, missed in counts:
        total = (total[0] + right, total[1] + wrong, total[2] + missed)
    return total


def _f1(counts: Any) -> Any:
    """2 right / (2 right + wrong + missed) over the last axis; 1 where nothing was said and nothing read."""
    right, wrong, missed = counts[..., 0], counts[..., 1], counts[..., 2]
    whole = 2 * right + wrong + missed
    return np.where(whole > 0, 2 * right / np.maximum(whole, 1), 1.0)


def _share(flags: Sequence[bool], seed: int) -> dict[str, float]:
    values = np.array(flags, dtype=np.float64)
    if not values.size:
        return {"value": 0.0, "low": 0.0, "high": 0.0}
    low, high = np.quantile(_draws(len(values), seed) @ values / len(values), [0.025, 0.975])
    return {"value": float(values.mean()), "low": float(low), "high": float(high)}


def _draws(n: int, seed: int) -> Any:
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1.0 / n), size=ROUNDS).astype(np.float64)


def spent(times: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Median and 95th percentile of each stage, seconds."""
    stages: dict[str, list[float]] = defaultdict(list)
    for case in times.values():
        for stage, seconds in case.items():
            stages[stage].append(seconds)
    return {
        stage: {"p50": float(np.median(values)), "p95": float(np.quantile(values, 0.95)), "n": len(values)}
        for stage, values in sorted(stages.items())
    }


def report(metrics: Mapping[str, Any], split: Split, part: str, agent: Agent) -> Report:
    """The figures as tables; no single request is shown."""
    rows = []
    for name, found in metrics["parts"].items():
        cells = [f"{found[f]['value']:.3f} ({found[f]['low']:.3f}-{found[f]['high']:.3f})"
                 for f in ("intent", "slot_f1", "exact")]  # fmt: skip
        rows.append((name, found["n"], *cells))
    tables = [Table("Reading", ("part", "n", "intent", "slot micro-F1", "exact"), rows, "95 % bootstrap intervals")]
    if "hard" in metrics:
        hard = metrics["hard"]
        true, of_all = hard["true_of_given"], hard["true_of_all"]
        tables.append(
            Table(
                "Lists that hold every hard condition",
                ("turns", "a list was given", "of the lists given", "of all turns"),
                [
                    (
                        str(hard["turns"]),
                        hard["given"],
                        f"{true['value']:.3f} ({true['low']:.3f}-{true['high']:.3f})",
                        f"{of_all['value']:.3f} ({of_all['low']:.3f}-{of_all['high']:.3f})",
                    )
                ],
            )
        )
    main = metrics["parts"][part]["slots"]
    tables.append(
        Table(
            f"Slots, {part}",
            ("slot", "F1", "right", "wrong", "missed"),
            [(slot, c["f1"], c["right"], c["wrong"], c["missed"]) for slot, c in main.items()],
        )
    )
    calls = metrics["llm"]
    lead = (
        f"Labelled requests, split {split}, part {part}, tier {agent.info.tier}, model {agent.info.model}, "
        f"{metrics['requests']} requests, {agent.settings.demonstrations} demonstrations.",
        f"Per request: {calls['calls']:.2f} calls, {calls['prompt_tokens']:.0f} prompt tokens, "
        f"{calls['generated_tokens']:.1f} generated tokens; {metrics['fallbacks']} turns with a fallback.",
    )
    return Report("Labelled requests", lead, tables)
