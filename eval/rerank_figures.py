"""Figures of :mod:`convrec.eval.rerank`, and the gate.

``gated``: ``rerank`` with the weight that was best for the other half of the dialogues; 0, the recommender's own
order, unless the model helped there, over all weights together, with a 95 % interval above zero. So it is what may be
switched on unseen: it costs nothing where the model does not help.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from convrec.agent.rerank_scores import standard
from convrec.eval.compare import paired_interval
from convrec.eval.report import Report, Table
from convrec.eval.rerank import AT

WEIGHTS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
NAMES = (*(f"recall@{k}" for k in AT), "ndcg@10")
BASE = "recommender"
_ORDER = (BASE, "llm", "rerank", "select", "expand", "gated")
Record = Mapping[str, Any]


def figures(
    records: Sequence[Record], timings: Mapping[str, Any], *, seed: int, gold: Mapping[str, frozenset[str]]
) -> dict[str, Any]:
    """By system: each metric, mean popularity, difference to the recommender with interval, cost per case. ``gold``:
    item ids by unit, for the gate."""
    by_system: dict[str, dict[str, Record]] = {}
    for record in records:
        by_system.setdefault(str(record["system"]), {})[str(record["unit"])] = record
    chosen: list[float] = []
    if "rerank" in by_system and all("judged" in r for r in by_system["rerank"].values()):
        by_system["gated"], chosen = _gated(by_system, gold, seed)
    base = by_system.get(BASE, {})
    out: dict[str, Any] = {"systems": {}, "n": len(base), "gate_weights": chosen}
    for system in (name for name in _ORDER if name in by_system):
        own = by_system[system]
        units = sorted(own.keys() & base.keys())
        figures_of = {name: _mean([own[u] for u in units], name) for name in NAMES}
        popular = [float(own[u]["arp"]) for u in units if own[u].get("arp") is not None]
        seconds = [float(timings[f"{system} {u}"]["s"]) for u in units if f"{system} {u}" in timings]
        out["systems"][system] = {
            **figures_of,
            "mean_popularity": sum(popular) / len(popular) if popular else None,
            "against_recommender": {n: difference([(base[u], own[u]) for u in units], n, seed) for n in NAMES},
            "tokens": mean_cost(own, units, "tokens"),
            "calls": mean_cost(own, units, "calls"),
            "seconds": sum(seconds) / len(seconds) if seconds else None,
            "failed": sum("failed" in own[u] for u in units),
        }
    titles = [r["cost"] for r in by_system.get("llm", {}).values() if r["cost"].get("titles")]
    if titles:
        out["linked_titles"] = sum(c["linked"] for c in titles) / sum(c["titles"] for c in titles)
    heads = [r for r in by_system.get("rerank", {}).values() if set(_ids(r, base)) & gold.get(str(r["unit"]), set())]
    out["gold_in_head"] = len(heads)
    return out


def difference(pairs: Sequence[tuple[Record, Record]], name: str, seed: int) -> dict[str, float]:
    """Second less first, weighted mean, with the 95 % interval of the paired bootstrap over dialogues."""
    a, b = (np.array([float(pair[side]["metrics"][name]) for pair in pairs]) for side in (0, 1))
    weights = np.array([float(one.get("weights", {}).get(name, 1.0)) for one, _ in pairs])
    groups = np.unique([str(one["group"]) for one, _ in pairs], return_inverse=True)[1]
    low, high = paired_interval(a, b, weights, groups, seed=seed)
    return {"difference": float(weights @ (b - a) / weights.sum()), "low": low, "high": high}


def _gated(
    by_system: Mapping[str, Mapping[str, Record]], gold: Mapping[str, frozenset[str]], seed: int
) -> tuple[dict[str, Record], list[float]]:
    base, reranked = by_system[BASE], by_system["rerank"]
    half = {unit: zlib.crc32(f"{seed} {r['group']}".encode()) % 2 for unit, r in reranked.items()}
    tried = {weight: {u: _again(r, base[u], gold[u], weight) for u, r in reranked.items()} for weight in WEIGHTS}
    out: dict[str, Record] = {}
    chosen = []
    for side in (0, 1):
        learnt = sorted(unit for unit, where in half.items() if where != side)
        best = 0.0
        if learnt and _helps(base, tried, learnt, seed):
            best = max(WEIGHTS[1:], key=lambda weight: _sum([tried[weight][unit] for unit in learnt]))
        chosen.append(best)
        out |= {unit: tried[best][unit] for unit, where in half.items() if where == side}
    return out, chosen


def _sum(records: Sequence[Record]) -> float:
    return sum(float(record["metrics"]["ndcg@10"]) for record in records)


def _helps(
    base: Mapping[str, Record], tried: Mapping[float, Mapping[str, Record]], units: Sequence[str], seed: int
) -> bool:
    """One test for all weights together, so that trying several does not make luck look like help: NDCG@10, averaged
    over the weights, is above the recommender's with its whole interval."""
    pairs = []
    for unit in units:
        mean = sum(float(tried[weight][unit]["metrics"]["ndcg@10"]) for weight in WEIGHTS[1:]) / len(WEIGHTS[1:])
        pairs.append((base[unit], {"metrics": {"ndcg@10": mean}}))
    return difference(pairs, "ndcg@10", seed)["low"] > 0


def _again(record: Record, base: Record, gold: frozenset[str], weight: float) -> Record:
    """The record of the same case under another weight, from what was kept of the scores."""
    n = min(len(record["judged"]), len(record["fused"]), len(base["top"]))
    top = list(base["top"])
    if n > 1:
        fused, judged = (np.array(record[k][:n], dtype=np.float32) for k in ("fused", "judged"))
        order = np.lexsort((np.arange(n), -(standard(fused) + weight * standard(judged))))
        top[:n] = [base["top"][i] for i in order.tolist()]
    hits = [place for place, item in enumerate(top, 1) if item in gold]
    size = int(record["n_gold"])
    found = {f"recall@{k}": sum(place <= k for place in hits) / size for k in AT}
    ideal = sum(1 / np.log2(place + 1) for place in range(1, min(size, 10) + 1))
    found["ndcg@10"] = float(sum(1 / np.log2(place + 1) for place in hits if place <= 10) / ideal)
    return {**record, "metrics": found, "top": top, "arp": base["arp"]}


def _ids(record: Record, base: Mapping[str, Record]) -> list[str]:
    return list(base[str(record["unit"])]["top"][: len(record.get("head", ()))])


def _mean(records: Sequence[Record], name: str) -> float | None:
    weights = [float(r.get("weights", {}).get(name, 1.0)) for r in records]
    total = sum(weights)
    return sum(w * float(r["metrics"][name]) for w, r in zip(weights, records, strict=True)) / total if total else None


def mean_cost(own: Mapping[str, Record], units: Sequence[str], name: str) -> float | None:
    """Per case; None without cases."""
    found = [float(own[u]["cost"].get(name, 0)) for u in units]
    return sum(found) / len(found) if found else None


def report(found: Mapping[str, Any], title: str) -> Report:
    rows = []
    for system, own in found["systems"].items():
        gain = own["against_recommender"]["ndcg@10"]
        gained = "" if system == BASE else f"{gain['difference']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f})"
        rows.append(
            [system, *(own[name] for name in NAMES), gained, own["mean_popularity"], own["tokens"], own["failed"]]
        )
    columns = ["system", *NAMES, "NDCG@10 against the recommender (95 %)", "mean popularity", "tokens", "failed"]
    note = f"{found['n']} cases; the gold is among the judged of {found['gold_in_head']}. Tokens are means per case."
    if found["gate_weights"]:
        note += f" Weights of the gate in the two halves: {', '.join(f'{w:g}' for w in found['gate_weights'])}."
    return Report(title, tables=(Table("A language model and a recommender", columns, rows, note),))
