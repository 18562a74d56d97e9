"""Two runs against each other; our metrics against a library's; what plug-ins and UniCRS's protocol give."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import typer
from convrec.core.errors import RequestError
from convrec.eval import metrics
from convrec.eval.commands import app as eval_app
from convrec.eval.compare import compare, paired_interval, permutation_p
from convrec.eval.item_rows import RECALL_AT, Outcome, case_metrics
from convrec.eval.item_run import run_items
from convrec.eval.protocols import Answers
from convrec.eval.report import Report
from convrec.eval.run_folder import RunFolder, run_config
from scipy import stats
from tiny_datasets import tiny_datasets
from typer.testing import CliRunner


def written(path: Path, values: dict[str, float], *, kind: str = "x", cases: str = "c", **more: Any) -> Path:
    """A run with one case per value; the group is the first letter of the id."""
    with RunFolder.open(path, run_config(kind, {}, seed=0, data={"cases": cases})) as run:
        for case, value in values.items():
            run.add(case, {"metrics": {"success": value}, "group": case[0], **more})
        run.finish({}, Report("t"))
    return path


class TestStatistics:
    def data(self, n: int, effect: float) -> tuple[Any, Any, Any, Any]:
        random = np.random.default_rng(3)
        a = random.normal(size=n)
        return a, a + effect + random.normal(size=n), np.ones(n), np.arange(n)

    def test_interval_is_that_of_the_mean(self) -> None:
        a, b, weights, groups = self.data(400, 0.3)
        low, high = paired_interval(a, b, weights, groups, seed=0)
        half = 1.96 * np.std(b - a) / np.sqrt(400)
        assert (low, high) == pytest.approx((np.mean(b - a) - half, np.mean(b - a) + half), abs=0.02)
        assert (low, high) == paired_interval(a, b, weights, groups, seed=0)

    @pytest.mark.parametrize("effect", [0.0, 0.1, 0.15])
    def test_permutation_is_scipys(self, effect: float) -> None:
        a, b, weights, groups = self.data(200, effect)
        ours = permutation_p(a, b, weights, groups, seed=0)
        theirs = stats.permutation_test(
            (a, b), lambda x, y: np.mean(y - x), permutation_type="samples", n_resamples=9999, random_state=0
        )
        assert ours == pytest.approx(theirs.pvalue, abs=0.02)

    def test_known_answers(self) -> None:
        ones = np.ones(8)
        assert permutation_p(ones, ones, ones, np.arange(8), seed=0) == 1
        # All eight groups gain: of 256 sign patterns two are as extreme.
        found = permutation_p(np.zeros(8), ones, ones, np.arange(8), seed=0)
        assert found == pytest.approx(2 / 256, abs=0.003)
        # One dialogue of eight cases tells nothing.
        assert permutation_p(np.zeros(8), ones, ones, np.zeros(8, dtype=np.int64), seed=0) == 1

    def test_cases_of_one_group_are_not_independent(self) -> None:
        a, b, weights, _ = self.data(400, 0.3)
        b = a + np.repeat(b[:40] - a[:40], 10)
        low, high = paired_interval(a, b, weights, np.arange(400), seed=0)
        wide_low, wide_high = paired_interval(a, b, weights, np.repeat(np.arange(40), 10), seed=0)
        assert wide_high - wide_low > 2 * (high - low)


class TestCompare:
    def test_means_flips_and_left_out(self, tmp_path: Path) -> None:
        a = written(tmp_path / "a", {"p1": 0, "p2": 1, "q1": 0, "r1": 1})
        b = written(tmp_path / "b", {"p1": 1, "p2": 1, "q1": 1, "s1": 0, "r1": 0}, show={"said": "<b>hi</b>"})
        found, report = compare(a, b)
        (difference,) = found.differences
        assert (found.n_cases, found.n_groups, found.only_a, found.only_b) == (4, 3, 0, 1)
        assert (difference.a, difference.b, difference.difference) == (0.5, 0.75, 0.25)
        assert (difference.better, difference.worse) == (2, 1)
        assert ([flip.case for flip in found.gained], [flip.case for flip in found.lost]) == (["p1", "q1"], ["r1"])
        assert difference.low <= 0.25 <= difference.high
        assert any("<b>hi</b>" in said.text for dialogue in report.dialogues for said in dialogue.lines)

    def test_weights_make_the_mean_micro(self, tmp_path: Path) -> None:
        paths = []
        for name, value in (("a", 0.0), ("b", 0.5)):
            with RunFolder.open(tmp_path / name, run_config("x", {}, seed=0)) as run:
                run.add("1", {"metrics": {"m": value}, "weights": {"m": 4}, "group": "1"})
                run.add("2", {"metrics": {"m": 1.0}, "group": "2"})
            paths.append(tmp_path / name)
        (difference,) = compare(*paths)[0].differences
        assert (difference.a, difference.b) == (pytest.approx(1 / 5), pytest.approx(3 / 5))

    def test_a_metric_that_a_case_has_not_plays_no_part(self, tmp_path: Path) -> None:
        for name in "ab":
            with RunFolder.open(tmp_path / name, run_config("x", {}, seed=0)) as run:
                run.add("1", {"metrics": {"m": 1.0}, "group": "1"})
                run.add("2", {"metrics": {"m": 1.0, "n": 0.5}, "group": "2"})
        found = {d.metric: d for d in compare(tmp_path / "a", tmp_path / "b")[0].differences}
        assert (found["n"].a, found["n"].difference, found["n"].p) == (0.5, 0, 1)

    def test_what_does_not_compare_is_refused(self, tmp_path: Path) -> None:
        a = written(tmp_path / "a", {"p1": 0})
        for changes, match in (
            ({"kind": "y"}, "of kind 'x', the other 'y'"),
            ({"cases": "other"}, "different cases"),
        ):
            with pytest.raises(RequestError, match=match):
                compare(a, written(tmp_path / match, {"p1": 0}, **changes))
        with pytest.raises(RequestError, match="no case with a common metric"):
            compare(a, written(tmp_path / "c", {"z9": 0}))
        with pytest.raises(RequestError, match="Both runs have: success"):
            compare(a, a, metric="x")
        with pytest.raises(RequestError, match="no systems"):
            compare(a, a, system_a="x")
        with pytest.raises(RequestError, match="no run in it"):
            compare(a, tmp_path)

    def test_item_runs(self, tmp_path: Path) -> None:
        tiny = tiny_datasets(tmp_path / "datasets")
        asked: dict[str, Any] = {"dataset": "redial", "protocol": "full", "split": "test", "limit_dialogues": 9}
        for name, systems in (("one", ["echo", "popularity"]), ("two", ["popularity"])):
            run_items(tmp_path / name, tiny, systems=systems, **asked)
        one, two = tmp_path / "one", tmp_path / "two"
        with pytest.raises(RequestError, match=r"several: echo, popularity.*--system-a"):
            compare(one, two)
        found, _ = compare(one, two, system_a="popularity")
        assert [d.difference for d in found.differences] == [0.0] * len(found.differences)
        found, report = compare(one, one, system_a="echo", system_b="popularity")
        assert (found.a, found.b, found.metric) == ("echo", "popularity", "recall@10")
        assert {d.metric: d.b for d in found.differences}["recall@10"] == 1.0
        assert any(said.speaker == "expected" and said.text == "Alien (1979)" for said in report.dialogues[0].lines)

    def test_command(self, tmp_path: Path) -> None:
        app = typer.Typer()

        @app.callback()
        def start(ctx: typer.Context) -> None:
            ctx.obj = SimpleNamespace(settings=None)

        app.add_typer(eval_app, name="eval")
        a = written(tmp_path / "a", {"p1": 0, "q1": 1}, show={"x": "\x1b[31m[bold]"})
        b = written(tmp_path / "b", {"p1": 1, "q1": 1}, show={"x": "\x1b[31m[bold]"})
        command = ["eval", "compare", str(a), str(b), "--out", str(tmp_path / "out")]
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, result.output
        assert "+0.5000" in result.stdout
        assert "gained: p1" in result.stdout
        assert "\x1b[31m" not in result.stdout
        assert "[bold]" in result.stdout
        assert (tmp_path / "out" / "compare.html").exists()
        out = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
        assert (out["differences"][0]["difference"], out["gained"][0]["case"]) == (0.5, "p1")
        assert CliRunner().invoke(app, [*command, "--metric", "nonsense"]).exit_code == 2


class TestAgainstALibrary:
    """Random runs: recall, NDCG and MRR as ir-measures (trec_eval) has them."""

    def test_random_runs(self) -> None:
        import ir_measures
        from ir_measures import RR, R, nDCG

        random = np.random.default_rng(11)
        n_cases, n_items, depth = 60, 80, 50
        top = np.full((n_cases, depth), metrics.PAD, dtype=np.int32)
        golds, run, qrels = [], [], []
        for case in range(n_cases):
            listed = random.permutation(n_items)[: random.integers(0, depth + 1)]
            top[case, : listed.size] = listed
            gold = random.choice(n_items, size=random.integers(1, 15), replace=False).astype(np.int32)
            golds.append(gold)
            run += [ir_measures.ScoredDoc(str(case), str(row), -float(rank)) for rank, row in enumerate(listed)]
            qrels += [ir_measures.Qrel(str(case), str(row), 1) for row in gold]
        gold_case = np.repeat(np.arange(n_cases), [gold.size for gold in golds])
        ranks = metrics.gold_ranks(top, gold_case, np.concatenate(golds))
        wanted = [nDCG @ 10, RR @ 10, *(R @ k for k in RECALL_AT)]
        theirs = ir_measures.calc_aggregate(wanted, qrels, run)
        assert metrics.ndcg(ranks, gold_case, n_cases, 10) == pytest.approx(theirs[nDCG @ 10])
        assert metrics.mrr(ranks, gold_case, n_cases, 10) == pytest.approx(theirs[RR @ 10])
        # trec_eval's recall is the mean over cases; ours weighs a case by its gold mentions.
        each = {(m.query_id, str(m.measure)): m.value for m in ir_measures.iter_calc(wanted, qrels, run)}
        for k in RECALL_AT:
            found = sum(each.get((str(case), f"R@{k}"), 0.0) * gold.size for case, gold in enumerate(golds))
            assert metrics.recall(ranks, k) == pytest.approx(found / gold_case.size)
        for case in range(n_cases):
            ours = case_metrics(Outcome((), tuple(ranks[gold_case == case].tolist())))
            assert ours["ndcg@10"] == pytest.approx(each.get((str(case), "nDCG@10"), 0.0))
            assert ours["mrr@10"] == pytest.approx(each.get((str(case), "RR@10"), 0.0))
            assert ours["recall@20"] == pytest.approx(each.get((str(case), "R@20"), 0.0))


class TestGroups:
    ranks = np.array([1, 0, 3, 0, 0, 2, 0, 0, 0, 1])
    rows = np.arange(10, dtype=np.int32)

    def test_by_messages_before(self) -> None:
        groups = metrics.by_before(self.ranks, np.arange(10), np.array([1, 2, 3, 5, 6, 10, 11, 20, 21, 99]), 10)
        expected = {"1-2": (2, 0.5), "3-5": (2, 0.5), "6-10": (2, 0.5), "11-20": (2, 0.0), "21+": (2, 0.5)}
        assert groups == expected

    def test_deciles_hold_a_tenth_each_and_rise(self) -> None:
        popularity = np.array([9, 8, 7, 6, 5, 4, 3, 2, 1, 0])
        groups = metrics.by_decile(self.ranks, self.rows, popularity, 10)
        assert list(groups) == [f"{n + 1}: {n}-{n}" for n in range(10)]
        assert [recall for _, recall in groups.values()] == [1, 0, 0, 0, 1, 0, 0, 1, 0, 1]
        assert metrics.by_decile(self.ranks[:9], self.rows[:9], popularity, 10) == {}
        uneven = metrics.by_decile(np.ones(23, dtype=np.int64), np.zeros(23, dtype=np.int32), popularity, 10)
        assert sum(n for n, _ in uneven.values()) == 23

    def test_long_tail_is_all_but_the_head(self) -> None:
        popularity = np.array([0, 5, 1, 1, 9, 0, 0, 0, 0, 0])
        assert np.flatnonzero(~metrics.long_tail(popularity)).tolist() == [1, 4]
        assert metrics.tail_hits(self.ranks, self.rows, popularity, 10) == pytest.approx(4 / 4)
        assert metrics.tail_hits(np.zeros(3, dtype=np.int64), self.rows[:3], popularity, 10) is None

    def test_utility(self) -> None:
        answers = (Answers(10, {1: 1.0, 2: 0.5}), Answers(4, {}), Answers(5, {3: 0.5}))
        first = np.array([1, 2, 9, 3, metrics.PAD], dtype=np.int32)
        gold = [np.array(rows, dtype=np.int32) for rows in ([1], [2, 7], [9], [4], [3])]
        found = metrics.utility(first, gold, np.array([0, 0, 1, 2, 2]), answers)
        # Liked and seen in the first dialogue; no answer in the second; liked, but not recommended, in the third.
        assert found == (pytest.approx(1 / 3), pytest.approx((1.5 / 10) / 3))
        assert metrics.utility(first, gold, np.zeros(5, dtype=np.int64), ()) is None
