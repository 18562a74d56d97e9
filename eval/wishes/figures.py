"""Figures of graded wishes: each system beside the recommender, and what every weight would have given.

The curve costs no call of a model: the scores are on record. A weight is chosen on the split ``dev`` alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from convrec.agent.rerank_scores import STRATEGIES, RerankConfig, Strategy
from convrec.eval.report import Cell, LineChart, Report, Table
from convrec.eval.rerank_figures import difference, mean_cost
from convrec.eval.wishes.labels import Split
from convrec.eval.wishes.measure import BASE, MODEL, NAMES, expected, graded, in_order, places

WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0)
RANDOM, BEST = "random", "best possible"
FIRM = "rerank, however unsure"
"""``rerank`` without the rule that a model which tells candidates apart too little is not heard."""
_ORDER = (RANDOM, BASE, MODEL, *STRATEGIES, BEST)
Record = Mapping[str, Any]


def figures(
    records: Sequence[Record], timings: Mapping[str, Any], *, seed: int, split: Split, n_wishes: int
) -> dict[str, Any]:
    """By system the mean of each metric over the wishes, its difference to the recommender with the 95 % interval of
    the paired bootstrap over wishes, cost and failures; the same by weight (``curve``) and NDCG@10 by kind of wish.

    ``n_wishes``: of the split, those without a suiting candidate included; these are in no mean.
    """
    by_system: dict[str, dict[str, Record]] = {}
    for record in records:
        by_system.setdefault(str(record["system"]), {})[str(record["unit"])] = record
    asked = by_system[MODEL]
    by_system[RANDOM] = {unit: _made(one, expected(one["grades"])) for unit, one in asked.items()}
    by_system[BEST] = {unit: _made(one, graded(sorted(one["grades"], reverse=True))) for unit, one in asked.items()}
    by_system = {name: by_system[name] for name in _ORDER if name in by_system}
    base = by_system[BASE]
    out: dict[str, Any] = {"n": len(asked), "n_wishes": n_wishes, "split": split, "systems": {}}
    for system, own in by_system.items():
        units = sorted(own)
        seconds = [float(timings[f"{system} {u}"]["s"]) for u in units if f"{system} {u}" in timings]
        out["systems"][system] = {
            **_against(base, own, seed),
            "tokens": mean_cost(own, units, "tokens"),
            "calls": mean_cost(own, units, "calls"),
            "seconds": sum(seconds) / len(seconds) if seconds else None,
            "failed": sum("failed" in own[u] for u in units),
        }
    out["curve"] = _curve(by_system, seed)
    out["chosen_weights"] = _best(out["curve"]) if split == "dev" else {}
    out["kinds"] = {
        kind: {"n": len(units), **{name: _mean([own[u] for u in units], "ndcg@10") for name, own in by_system.items()}}
        for kind, units in _kinds(asked).items()
    }
    spreads = [float(np.std(one["judged"])) for one in asked.values() if len(one["judged"]) > 1]
    out["spread"] = sum(spreads) / len(spreads) if spreads else None
    out["unsure"] = sum(spread < RerankConfig().unsure_below for spread in spreads)
    return out


def _curve(by_system: Mapping[str, Mapping[str, Record]], seed: int) -> list[dict[str, Any]]:
    base, asked = by_system[BASE], by_system[MODEL]
    measured = [name for name in STRATEGIES if name in by_system]
    out = []
    for name in (*measured, *([FIRM] if "rerank" in measured else [])):
        for weight in WEIGHTS:
            config = _config(name, weight)
            own = {unit: _made(one, in_order(one, places(one, config))) for unit, one in asked.items()}
            out.append({"strategy": name, "weight": weight, **_against(base, own, seed)})
    return out


def _config(name: str, weight: float) -> RerankConfig:
    if name == FIRM:
        return RerankConfig(weight=weight, unsure_below=0.0, sure_from=1e-9)
    strategy: Strategy = "select" if name == "select" else "rerank"
    return RerankConfig(strategy=strategy, weight=weight)


def _best(curve: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """By strategy the weight with the highest NDCG@10; of equal ones the smallest."""
    out: dict[str, float] = {}
    for name in dict.fromkeys(str(point["strategy"]) for point in curve):
        own = [point for point in curve if point["strategy"] == name]
        out[name] = float(max(own, key=lambda point: (point["ndcg@10"], -point["weight"]))["weight"])
    return out


def _against(base: Mapping[str, Record], own: Mapping[str, Record], seed: int) -> dict[str, Any]:
    units = sorted(own)
    pairs = [(base[unit], own[unit]) for unit in units]
    means = {name: _mean([own[unit] for unit in units], name) for name in NAMES}
    return {**means, "against_recommender": {name: difference(pairs, name, seed) for name in NAMES}}


def _kinds(asked: Mapping[str, Record]) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for unit in sorted(asked):
        out.setdefault(str(asked[unit]["kind"]), []).append(unit)
    return out


def _made(record: Record, found: Mapping[str, float]) -> Record:
    return {"unit": record["unit"], "group": record["group"], "metrics": found, "cost": {}}


def _mean(records: Sequence[Record], name: str) -> float:
    return sum(float(record["metrics"][name]) for record in records) / len(records)


def report(found: Mapping[str, Any], title: str) -> Report:
    systems = found["systems"]
    measured = systems[MODEL]
    left_out = found["n_wishes"] - found["n"]
    note = (
        f"{found['n']} wishes"
        + (f" of {found['n_wishes']}; the others were not drawn, or nothing suits them" if left_out else "")
        + ". NDCG with the gain 2^grade - 1 over the best order of the same candidates; precision: grade 1 or 2. "
        "Interval: paired bootstrap over wishes."
    )
    spread = "-" if found["spread"] is None else f"{found['spread']:.3f}"
    cost = (
        f"The model's scores spread by {spread} (mean standard deviation per wish); it was too unsure to be heard in "
        f"{found['unsure']} wishes. Per wish: {measured['calls']:.1f} calls, {measured['tokens']:.0f} tokens."
    )
    chosen = [f"{name} {weight:g}" for name, weight in found["chosen_weights"].items()]
    advice = (
        f"Best weights on this split: {'; '.join(chosen)}."
        if chosen
        else "Choose no weight by this split: choose it on dev."
    )
    columns = [*NAMES, "NDCG@10 against the recommender (95 %)"]
    curve = found["curve"]
    names = list(dict.fromkeys(point["strategy"] for point in curve))
    kinds = [[kind, *own.values()] for kind, own in found["kinds"].items()]
    return Report(
        title,
        lead=(cost,),
        tables=(
            Table(
                "A language model on wishes in loose words",
                ["system", *columns, "failed"],
                [[name, *_row(name, own), own["failed"]] for name, own in systems.items()],
                note,
            ),
            Table(
                "By weight, from the scores of this run",
                ["strategy", "weight", *columns],
                [
                    *([point["strategy"], f"{point['weight']:g}", *_row("", point)] for point in curve),
                    [MODEL, "alone", *_row(MODEL, systems[MODEL])],
                ],
                advice,
            ),
            Table(
                "NDCG@10 by kind of wish", ["kind", *next(iter(found["kinds"].values()))], kinds, "Few of each kind."
            ),
        ),
        charts=(
            LineChart(
                "NDCG@10 by weight",
                [*(f"{weight:g}" for weight in WEIGHTS), "model alone"],
                {
                    name: [*(p["ndcg@10"] for p in curve if p["strategy"] == name), systems[MODEL]["ndcg@10"]]
                    for name in names
                },
                x_label="weight of the model beside the recommender",
                y_label="NDCG@10",
            ),
        ),
    )


def _row(system: str, own: Mapping[str, Any]) -> list[Cell]:
    gain = own["against_recommender"]["ndcg@10"]
    gained = "" if system == BASE else f"{gain['difference']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f})"
    return [*(own[name] for name in NAMES), gained]
