"""Figures and gate of ``convrec eval rerank`` on made records whose right answers are known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from convrec.agent.llm.base import Message
from convrec.agent.llm.scripted import scripted
from convrec.eval.bench_turn import DIALOGUES, bench_turn
from convrec.eval.items import prepare
from convrec.eval.rerank import Asked, Measure, case_figures, run_cases
from convrec.eval.rerank_figures import BASE, difference, figures, report
from convrec.eval.run_folder import RunFolder, run_config
from convrec.tools.datasets import RedialData
from convrec.tools.recommenders.ease import EASE
from convrec.tools.recommenders.training_sets import redial_train
from demo_agent import make_agent
from tiny_datasets import tiny_datasets


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


def test_dialogues_are_measured_and_a_repeated_run_asks_nothing(tmp_path: Path) -> None:
    datasets = tiny_datasets(tmp_path / "data")
    model = EASE().fit(redial_train(RedialData(datasets / "redial")))
    model.info = {"splits": ["redial-train"]}
    model.save(tmp_path / "model")
    prepared = prepare(
        datasets, dataset="redial", protocol="full", split="valid", systems=(), models=[tmp_path / "model"],
        limit_dialogues=9,
    )  # fmt: skip
    asked: list[str] = []

    def likes_alien(messages: Sequence[Message]) -> float:
        asked.append(messages[-1][1])
        wish, card = messages[-1][1].split("<candidate>")
        return 3.0 if "Alien (1979)" in card and "N/A" not in wish else 0.0

    titles = json.dumps({"titles": ["Heat (1995)", "No Such Film"]})
    measure = Measure(prepared, scripted([titles], yes_no=likes_alien), Asked(weight=2.0, candidates=2))
    with RunFolder.open(tmp_path / "run", run_config("rerank", {}, seed=0)) as run:
        run_cases(measure, run, workers=1, progress=lambda _done, _total: None)
        records = {str(record["system"]): record for record in run.records()}
        assert set(records) == {BASE, "llm", "rerank", "select", "expand"}
        assert records["llm"]["cost"]["linked"] == 1
        heat, alien, *rest = records[BASE]["top"]
        assert [measure.names[item] for item in (heat, alien)] == ["Heat (1995)", "Alien (1979)"]
        assert records["rerank"]["top"] == records["select"]["top"] == [alien, heat, *rest]
        assert len(records["rerank"]["judged"]) == len(records["rerank"]["fused"]) == 2
        asked.clear()
        run_cases(measure, run, workers=1, progress=lambda _done, _total: None)
        assert not asked


def test_bench_turn_counts_every_turn() -> None:
    found = bench_turn(make_agent())
    assert found["turns"] == sum(map(len, DIALOGUES))
    assert found["reply"]["empty"] == 0
    assert found["calls_max"] == 0
    assert found["seconds"]["first_event"]["p95"] <= found["seconds"]["total"]["p95"]
    assert found["seconds"]["total"]["n"] == found["turns"]
