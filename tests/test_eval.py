"""Protocols, metrics and the ``eval items`` command: known answers, then the published counts on the real data."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pytest
import typer
from convrec.core.errors import DatasetError, RequestError
from convrec.eval import metrics
from convrec.eval.cikm import cikm_setting, link_entities
from convrec.eval.commands import app as eval_app
from convrec.eval.item_published import PUBLISHED
from convrec.eval.item_results import Memory, outcomes, record_system, top_lists
from convrec.eval.item_rows import measure
from convrec.eval.items import evaluate_items
from convrec.eval.items_report import markdown
from convrec.eval.mapped import Mapped, Setting
from convrec.eval.protocols import OFFICIAL_COUNTS, check_counts, walk
from convrec.tools.datasets import DatasetItem, Dialogue, Message, RedialData
from convrec.tools.recommenders.base import NEVER
from convrec.tools.recommenders.data import TrainData
from convrec.tools.recommenders.echo import Echo
from typer.testing import CliRunner

ROWS = {name: row for row, name in enumerate("abcdef")}


def talk(*messages: str, key: str = "d") -> Dialogue:
    """``"R:ab"`` is a message by the recommender that names a and b, ``"S:"`` one by the seeker that names none."""
    said = tuple(Message("recommender" if m[0] == "R" else "seeker", m, tuple(m[2:])) for m in messages)
    return Dialogue(key, "1", "2", said, {}, {}, {})


class TestWalk:
    def cases(self, protocol: Literal["full", "novel"], *messages: str) -> list[tuple[int, list[int], list[int]]]:
        found = walk([talk(*messages)], ROWS, protocol)
        return [(c.position, c.context.named.tolist(), c.gold.tolist()) for c in found.cases]

    def test_full_and_novel(self) -> None:
        said = ("S:a", "R:b", "S:", "R:ac", "R:b")
        assert self.cases("full", *said) == [(1, [0], [1]), (3, [0, 1], [0, 2]), (4, [1, 0, 2], [1])]
        assert self.cases("novel", *said) == [(1, [0], [1]), (3, [0, 1], [2])]

    def test_the_first_message_is_no_case_but_counts_as_context(self) -> None:
        assert self.cases("full", "R:a", "S:", "R:a") == [(2, [0], [0])]
        assert self.cases("novel", "R:a", "S:", "R:a") == []

    def test_a_seekers_message_is_no_case(self) -> None:
        assert self.cases("novel", "R:", "S:a", "S:b") == []

    def test_the_input_is_strictly_earlier(self) -> None:
        (case,) = walk([talk("S:a", "R:b", "S:c")], ROWS, "novel").cases
        assert [m.text for m in case.context.messages] == ["S:a"]

    def test_bookkeeping(self) -> None:
        found = walk([talk("S:a", "R:bc"), talk("S:"), talk("S:", "R:a", "R:d")], ROWS, "novel")
        assert (found.n_dialogues, len(found.cases), found.n_gold, found.n_items) == (3, 3, 4, 6)
        assert found.gold_case.tolist() == [0, 0, 1, 2]
        assert found.gold_rows.tolist() == [1, 2, 0, 3]
        assert found.dialogue_of.tolist() == [0, 2, 2]
        assert found.n_named.tolist() == [1, 0, 1]

    def test_an_unknown_item_is_an_error(self) -> None:
        with pytest.raises(DatasetError, match="'z'"):
            walk([talk("S:", "R:z")], ROWS, "full")

    def test_wrong_counts_are_an_error(self) -> None:
        found = walk([talk("S:", "R:a")], ROWS, "novel")
        check_counts(found, "redial", "valid")
        with pytest.raises(DatasetError, match=r"\(1, 1, 1\).*\(1342, 3838, 4472\)"):
            check_counts(found, "redial", "test")


class TestTopK:
    def test_order_ties_and_short_lists(self) -> None:
        scores = np.array([[1, 3, 3, 2], [NEVER, 0, NEVER, -5], [NEVER] * 4, [7, 7, 7, 7]], dtype=np.float32)
        assert metrics.top_k(scores, 2).tolist() == [[1, 2], [1, 3], [-1, -1], [0, 1]]
        assert metrics.top_k(scores, 6)[1].tolist() == [1, 3, -1, -1, -1, -1]

    def test_is_a_stable_sort(self) -> None:
        scores = np.random.default_rng(0).integers(0, 9, size=(50, 40)).astype(np.float32)
        expected = np.argsort(-scores, axis=1, kind="stable")[:, :7]
        np.testing.assert_array_equal(metrics.top_k(scores, 7), expected)

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_what_has_no_order_is_refused(self, bad: float) -> None:
        with pytest.raises(ValueError, match="NaN"):
            metrics.top_k(np.array([[0, bad]], dtype=np.float32), 1)

    def test_empty(self) -> None:
        assert metrics.top_k(np.empty((0, 3), dtype=np.float32), 2).shape == (0, 2)


class TestMetrics:
    """Three cases, list length 3: gold {1, 4}, {2}, {9}."""

    top = np.array([[1, 2, 4], [5, 2, -1], [-1, -1, -1]], dtype=np.int32)
    gold_case = np.array([0, 0, 1, 2])
    gold_rows = np.array([1, 4, 2, 9], dtype=np.int32)
    ranks = np.array([1, 3, 2, 0])

    def test_ranks(self) -> None:
        assert metrics.gold_ranks(self.top, self.gold_case, self.gold_rows).tolist() == self.ranks.tolist()

    def test_recall_counts_mentions_not_cases(self) -> None:
        assert [metrics.recall(self.ranks, k) for k in (1, 2, 3, 50)] == [0.25, 0.5, 0.75, 0.75]

    def test_ndcg(self) -> None:
        first = (1 + 1 / math.log2(4)) / (1 + 1 / math.log2(3))
        second = 1 / math.log2(3)
        assert metrics.ndcg(self.ranks, self.gold_case, 3, 3) == pytest.approx((first + second + 0) / 3)
        # At k = 1 the ideal list of the first case has room for one gold item only.
        assert metrics.ndcg(self.ranks, self.gold_case, 3, 1) == pytest.approx(1 / 3)

    def test_mrr(self) -> None:
        assert metrics.mrr(self.ranks, self.gold_case, 3, 3) == pytest.approx((1 + 1 / 2 + 0) / 3)
        assert metrics.mrr(self.ranks, self.gold_case, 3, 1) == pytest.approx(1 / 3)

    def test_coverage_gini_and_popularity_see_no_padding(self) -> None:
        assert metrics.coverage(self.top, 8) == 4 / 8
        assert metrics.mean_popularity(self.top, np.array([0, 10, 20, 0, 30, 40])) == (10 + 20 + 30 + 40 + 20) / 5

    def test_gini(self) -> None:
        def of(*rows: int) -> float | None:
            return metrics.gini(np.array([rows], dtype=np.int32), 4)

        assert of(0, 1, 2, 3) == pytest.approx(0)
        assert of(2, 2, 2, 2) == pytest.approx(3 / 4)  # (n - 1) / n: one item has it all
        assert of(0, 0, 1, 1) == pytest.approx(1 / 2)
        assert of(-1) is None

    def test_by_named(self) -> None:
        groups = metrics.by_named(self.ranks, self.gold_case, np.array([0, 5, 3]), 1)
        assert groups == {"0": (2, 0.5), "1": (0, None), "2": (0, None), "3+": (2, 0.0)}

    def test_empty(self) -> None:
        none, top = np.empty(0, dtype=np.int64), np.empty((0, 3), dtype=np.int32)
        assert metrics.recall(none, 1) == metrics.ndcg(none, none, 0, 3) == metrics.mrr(none, none, 0, 3) == 0
        assert metrics.bootstrap_recall(none, none, 3, seed=0) == (0, 0)
        assert metrics.mean_popularity(top, none) is None


class TestBootstrap:
    def test_is_seeded(self) -> None:
        ranks, dialogues = np.array([1, 0, 1, 0, 1, 0]), np.arange(6)
        first = metrics.bootstrap_recall(ranks, dialogues, 10, seed=1)
        assert first == metrics.bootstrap_recall(ranks, dialogues, 10, seed=1)
        assert first != metrics.bootstrap_recall(ranks, np.array([0, 0, 1, 1, 2, 2]), 10, seed=1)

    def test_no_spread_no_interval(self) -> None:
        # Every dialogue has one hit of two: whichever are drawn, the recall is one half.
        ranks, dialogues = np.tile([1, 0], 20), np.repeat(np.arange(20), 2)
        assert metrics.bootstrap_recall(ranks, dialogues, 10, seed=0) == (0.5, 0.5)

    def test_width_is_that_of_a_proportion(self) -> None:
        ranks = (np.arange(400) % 4 == 0).astype(np.int64)
        low, high = metrics.bootstrap_recall(ranks, np.arange(400), 10, seed=0)
        half = 1.96 * math.sqrt(0.25 * 0.75 / 400)
        assert (low, high) == pytest.approx((0.25 - half, 0.25 + half), abs=0.006)

    def test_mentions_of_one_dialogue_hang_together(self) -> None:
        ranks = np.repeat((np.arange(40) % 4 == 0).astype(np.int64), 10)
        apart = metrics.bootstrap_recall(ranks, np.arange(400), 10, seed=0)
        together = metrics.bootstrap_recall(ranks, np.repeat(np.arange(40), 10), 10, seed=0)
        assert together[1] - together[0] > 2 * (apart[1] - apart[0])


class TestMeasure:
    @pytest.mark.parametrize(("protocol", "recall"), [("full", 0.5), ("novel", 0.0)])
    def test_echo_end_to_end(self, protocol: Literal["full", "novel"], recall: float) -> None:
        cases = walk([talk("S:ab", "R:b", "R:c" if protocol == "full" else "R:cd")], ROWS, protocol)
        train = TrainData.from_mentions(list(ROWS), [])
        echo = Echo().fit(train)
        assert top_lists(echo, cases, 50).shape == (len(cases.cases), 50)
        setting = Setting(cases, tuple(ROWS), {item: (item,) for item in ROWS}, train, {})
        recorder = Memory()
        record_system(recorder, "echo", Mapped(echo, setting.item_map(train.item_ids)), setting, cases, [0], fit_s=0.0)
        found = outcomes(recorder, ["echo"], setting)["echo"]
        row = measure("echo", found, cases, train.popularity, 0)
        assert row.recall[10] == recall
        assert json.loads(json.dumps(row.as_dict()))["recall@1"] == recall


def test_wrong_choices_name_the_right_ones(tmp_path: Path) -> None:
    for field, choices in (("dataset", "redial"), ("protocol", "novel, full"), ("split", "test, valid")):
        with pytest.raises(RequestError, match=f"{field}: got 'x'.*{choices}"):
            evaluate_items(tmp_path, **{field: "x"})  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="novel, full, cikm, unicrs"):
        evaluate_items(tmp_path, protocol="r-novel")
    for systems in ([], ["x"]):
        with pytest.raises(RequestError, match="popularity, echo, itemknn, ease"):
            evaluate_items(tmp_path, systems=systems)
    with pytest.raises(DatasetError, match="convrec data fetch redial"):
        evaluate_items(tmp_path)


@pytest.mark.data
class TestRedial:
    @pytest.mark.parametrize(
        ("split", "protocol", "counts"),
        [
            ("test", "full", (1342, 4198, 4975)),
            ("test", "novel", (1342, 3838, 4472)),
            ("valid", "full", (901, 3115, 3572)),
            ("valid", "novel", (901, 2844, 3226)),
        ],
    )
    def test_counts(
        self, split: str, protocol: Literal["full", "novel"], counts: tuple[int, int, int], datasets: Path
    ) -> None:
        data = RedialData(datasets / "redial")
        rows = {item.id: row for row, item in enumerate(data.items())}
        cases = walk(data.dialogues("test" if split == "test" else "valid"), rows, protocol)
        assert (cases.n_dialogues, len(cases.cases), cases.n_gold) == counts
        assert OFFICIAL_COUNTS.get(("redial", split, protocol), counts) == counts

    def test_simple_rows_of_the_test_split(self, datasets: Path) -> None:
        report = evaluate_items(datasets, protocol="novel", systems=["itemknn", "popularity", "echo", "ease"])
        assert (report.variant, report.n_train) == ("mirror-partial", 8287)
        knn, popularity, echo, ease = report.rows
        assert [popularity.recall[k] for k in (1, 10, 50)] == pytest.approx([0.010, 0.050, 0.160], abs=0.001)
        assert [knn.recall[k] for k in (1, 10, 50)] == pytest.approx([0.036, 0.160, 0.307], abs=0.002)
        assert [ease.recall[k] for k in (1, 10, 50)] == pytest.approx([0.031, 0.158, 0.312], abs=0.002)
        assert set(echo.recall.values()) == {0.0}
        assert popularity.ci95[0] < popularity.recall[10] < popularity.ci95[1]
        assert knn.arp is not None
        assert popularity.arp is not None
        assert knn.arp < popularity.arp

    def test_text_experts_get_dialogues_and_details(self, datasets: Path) -> None:
        report = evaluate_items(datasets, split="valid", systems=["links", "keywords", "convknn"])
        links, keywords, knn = report.rows
        assert [row.recall[10] for row in (links, keywords, knn)] == pytest.approx([0.086, 0.164, 0.180], abs=0.003)

    def test_echo_lives_on_repeats(self, datasets: Path) -> None:
        (echo,) = evaluate_items(datasets, protocol="full", systems=["echo"]).rows
        assert echo.recall[10] == pytest.approx(0.101, abs=0.001)
        assert echo.by_named["0"] == (790, 0.0)


def test_entities_are_linked_by_link_then_title_and_year() -> None:
    base = "<http://dbpedia.org/resource/"
    names = ["Heat_(1995_film)>", "Heat_(1986_film)>", "Superbad>", "It_(film)>", "It>", "It_(miniseries)>", "Up>"]
    items = [
        DatasetItem("1", "", "Heat", 1995),
        DatasetItem("2", "", "Heat", 1972),  # neither of the two known
        DatasetItem("3", "", "Superbad", 2007),
        DatasetItem("4", "", "It", None),
        DatasetItem("5", "", "Upwards", 2009),
        DatasetItem("6", "", "Nothing", None),
    ]
    links = {"3": base + "Superbad_(film)>", "5": base + "Up>"}
    found = link_entities(items, links, [base + name for name in names])
    expected = {"1": "Heat_(1995_film)>", "3": "Superbad>", "4": "It>", "5": "Up>"}
    assert found == {item: base + name for item, name in expected.items()}


@pytest.mark.data
class TestCikm:
    @pytest.mark.parametrize(
        ("dataset", "counts", "n_items"),
        [("redial", (1322, 3285, 4288), 6281), ("inspired", (91, 191, 211), 1123)],
    )
    def test_counts(self, dataset: str, counts: tuple[int, int, int], n_items: int, datasets: Path) -> None:
        report = evaluate_items(datasets, dataset=dataset, protocol="cikm", systems=["popularity", "echo"])
        assert (report.n_dialogues, report.n_cases, report.n_gold) == counts
        assert report.n_items == n_items
        popularity, echo = report.rows
        assert echo.recall[50] == 0  # everything named, and every title like it, is taken out
        assert 0.04 < popularity.recall[10] < 0.15

    def test_sides_alternate_and_gold_is_new(self, datasets: Path) -> None:
        setting = cikm_setting(RedialData(datasets / "redial"))
        cases, train = setting.cases, setting.train
        first = cases.cases[0]
        assert [m.speaker for m in first.context.messages] == ["seeker"]
        assert not any(np.isin(case.gold, case.excluded).any() for case in cases.cases)
        assert train.rows.size > 45_000
        unseen = setting.item_map(train.item_ids).counts(train.popularity)[cases.gold_rows] == 0
        assert unseen.mean() < 0.11  # as on R-novel; a bad link between movies and entities would show here

    def test_what_does_not_fit_is_refused(self, datasets: Path) -> None:
        with pytest.raises(RequestError, match="test split only"):
            evaluate_items(datasets, protocol="cikm", split="valid")
        with pytest.raises(RequestError, match="choose: cikm"):
            evaluate_items(datasets, dataset="inspired", protocol="novel")


@pytest.mark.data
class TestCommand:
    @pytest.fixture
    def app(self, datasets: Path) -> typer.Typer:
        app = typer.Typer()

        @app.callback()
        def start(ctx: typer.Context) -> None:
            ctx.obj = SimpleNamespace(settings=SimpleNamespace(datasets=datasets))

        app.add_typer(eval_app, name="eval")
        return app

    def test_json_is_all_of_stdout(self, app: typer.Typer, tmp_path: Path) -> None:
        command = ["eval", "items", "--json", "--systems", "popularity,echo", "--limit-dialogues", "30", "--out"]
        result = CliRunner().invoke(app, [*command, str(tmp_path)])
        assert result.exit_code == 0, result.output
        out = json.loads(result.stdout)
        assert (out["protocol"], out["dataset"], out["split"], out["n_dialogues"]) == ("novel", "redial", "test", 30)
        assert out["limited"] is True
        assert [row["name"] for row in out["rows"]] == ["popularity", "echo"]
        wanted = {*(f"recall@{k}" for k in (1, 5, 10, 20, 50)), "ndcg@10", "mrr@10", "ci95_recall@10", "coverage@10"}
        assert wanted | {"gini@10", "arp@10", "seconds"} <= out["rows"][0].keys()
        assert out["rows"][1]["gini@10"] is None
        kept = json.loads((tmp_path / "metrics.json").read_text())
        assert {**kept, "rows": None} == {**out, "rows": None}
        assert [out_row.items() >= row.items() for out_row, row in zip(out["rows"], kept["rows"], strict=True)] == [
            True
        ] * 2
        assert "| popularity | " in (tmp_path / "report.md").read_text()

    def test_table_marks_what_is_published(self, app: typer.Typer) -> None:
        command = ["eval", "items", "--systems", "echo", "--limit-dialogues", "5", "--protocol", "full"]
        out = CliRunner().invoke(app, command).stdout
        for part in ("KBRD [published]", "echo", "mirror-partial", "do not compare"):
            assert part in out

    @pytest.mark.parametrize(
        ("option", "choices"), [("--systems", "popularity"), ("--protocol", "novel"), ("--dataset", "redial")]
    )
    def test_unknown_choice(self, option: str, choices: str, app: typer.Typer) -> None:
        result = CliRunner().invoke(app, ["eval", "items", option, "nonsense"])
        assert result.exit_code == 2
        assert choices in result.output
        assert result.stdout == ""


@pytest.mark.data
def test_no_published_row_beside_another_split(datasets: Path) -> None:
    report = evaluate_items(datasets, split="valid", systems=["echo"], limit_dialogues=3)
    assert "[published]" not in markdown(report)
    assert {split for _, split, _ in PUBLISHED} == {"test"}
