"""Figures and gate of ``convrec eval rerank`` on made records whose right answers are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from convrec.eval.bench_turn import DIALOGUES, bench_turn
from convrec.eval.rerank import case_figures
from convrec.eval.rerank_figures import BASE, difference, figures, report
from demo_agent import make_agent


def made(n: int, knows: bool) -> tuple[list[dict[str, Any]], dict[str, frozenset[str]]]:
    """Cases whose gold the recommender has at rank 3. ``knows``: whether the model's scores point at it."""
    rng = np.random.default_rng(5)
    records: list[dict[str, Any]] = []
    gold = {}
    for number in range(n):
        unit = f"{number:05d}"
        top = [f"i{k}" for k in range(10)]
        gold[unit] = frozenset({"i2"})
        judged = rng.normal(size=10)
        if knows:
            judged[2] = 4.0
        base = {
            "unit": unit, "group": f"d{number}", "n_gold": 1, "metrics": at_rank(3), "weights": {}, "top": top,
            "arp": 5.0, "cost": {},
        }  # fmt: skip
        records.append({**base, "system": BASE})
        fused = np.linspace(1, 0, 10).tolist()
        cost = {"calls": 20, "tokens": 900}
        records.append({**base, "system": "rerank", "metrics": at_rank(1 if knows else 4), "fused": fused,
                        "judged": judged.tolist(), "head": list(range(10)), "cost": cost})  # fmt: skip
    return records, gold


def at_rank(rank: int) -> dict[str, float]:
    top = np.full(50, -1, dtype=np.int32)
    top[rank - 1] = 7
    return case_figures(top, np.array([7], dtype=np.int32))


def test_figures_of_one_list() -> None:
    assert at_rank(1) == {"recall@1": 1.0, "recall@5": 1.0, "recall@10": 1.0, "ndcg@10": 1.0}
    assert at_rank(3)["ndcg@10"] == pytest.approx(0.5)
    assert at_rank(11) == {"recall@1": 0.0, "recall@5": 0.0, "recall@10": 0.0, "ndcg@10": 0.0}


def test_a_model_that_helps_passes_the_gate_with_an_interval_above_zero() -> None:
    records, gold = made(60, knows=True)
    found = figures(records, {}, seed=0, gold=gold)
    gain = found["systems"]["gated"]["against_recommender"]["ndcg@10"]
    assert min(found["gate_weights"]) > 0
    assert gain["low"] > 0
    assert found["systems"]["rerank"]["against_recommender"]["ndcg@10"]["difference"] == pytest.approx(0.5)
    assert found["systems"]["rerank"]["tokens"] == 900
    assert found["gold_in_head"] == 60
    assert "gated" in str(report(found, "t").tables[0].rows)


def test_a_model_that_guesses_is_gated_and_costs_nothing() -> None:
    records, gold = made(60, knows=False)
    gold = dict.fromkeys(gold, frozenset({"i0"}))
    for record in records:
        if record["system"] == BASE:
            record["metrics"] = at_rank(1)
    found = figures(records, {}, seed=0, gold=gold)
    assert found["gate_weights"] == [0.0, 0.0]
    gated = found["systems"]["gated"]
    assert gated["against_recommender"]["ndcg@10"] == {"difference": 0.0, "low": 0.0, "high": 0.0}
    assert gated["ndcg@10"] == found["systems"][BASE]["ndcg@10"]
    assert found["systems"]["rerank"]["against_recommender"]["ndcg@10"]["high"] < 0


def test_differences_are_paired_by_dialogue() -> None:
    one = {"group": "d", "metrics": {"m": 0.0}}
    pairs = [(one, {"group": "d", "metrics": {"m": 1.0}})] * 4
    assert difference(pairs, "m", 0) == {"difference": 1.0, "low": 1.0, "high": 1.0}


def test_bench_turn_counts_every_turn() -> None:
    found = bench_turn(make_agent())
    assert found["turns"] == sum(map(len, DIALOGUES))
    assert found["reply"]["empty"] == 0
    assert found["calls_max"] == 0
    assert found["seconds"]["first_event"]["p95"] <= found["seconds"]["total"]["p95"]
    assert found["seconds"]["total"]["n"] == found["turns"]
