"""``convrec eval rerank --dataset wishes``: sound labels, figures with known answers, bad input, a run that goes on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path
from statistics import mean
from types import SimpleNamespace
from typing import Any

import pytest
from convrec.agent.llm.base import LLM, Message
from convrec.agent.llm.resolve import Resolved
from convrec.agent.llm.scripted import scripted
from convrec.agent.rerank_scores import RerankConfig
from convrec.core.errors import ConvrecError, DataError, LLMUnavailable, RequestError
from convrec.core.settings import load_settings
from convrec.core.text import fold
from convrec.eval import commands_rerank, commands_wishes
from convrec.eval.commands import app
from convrec.eval.requests.labels import all_requests
from convrec.eval.rerank import Asked
from convrec.eval.run_folder import RunFolder, run_config
from convrec.eval.wishes.figures import FIRM, RANDOM, WEIGHTS, figures, report
from convrec.eval.wishes.labels import LabelledWish, all_wishes, wishes
from convrec.eval.wishes.measure import WishMeasure, expected, graded, in_order, places, run_wishes
from convrec.tools.catalogue import Catalogue
from demo_agent import ask, demo_catalogue, make_agent
from typer.testing import CliRunner

GRADES = (0, 0, 1, 0, 2, 0, 1, 0, 0, 0)
"""Of the made wishes' candidates, in fused order."""


def made_wish(number: int, grades: Sequence[int] = GRADES, split: str = "dev") -> dict[str, Any]:
    """Candidates are ten rows of the demo catalogue, other ones for each wish."""
    items = demo_catalogue().items(range(100 + 10 * number, 100 + 10 * number + len(grades)))
    candidates = [
        {"item": item.id, "label": item.label, "score": 1.0 - place / 20, "grade": grade}
        for place, (item, grade) in enumerate(zip(items, grades, strict=True))
    ]
    return {
        "id": f"t{number}", "kind": ("loose", "hard")[number % 2], "split": split, "turns": [f"wish number {number}"],
        "asked": f"wish number {number}", "candidates": candidates,
    }  # fmt: skip


def written(path: Path, *made: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(wish) + "\n" for wish in made), encoding="utf-8")
    return path


def knowing(made: Sequence[dict[str, Any]], worth: float = 2.0) -> Callable[[Sequence[Message]], float]:
    """A model that knows the grades: ``worth`` nats for each, nothing for an empty wish."""
    grade_of = {one["label"]: one["grade"] for wish in made for one in wish["candidates"]}

    def yes_no(messages: Sequence[Message]) -> float:
        text = messages[-1][1]
        if "N/A" in text:
            return 0.0
        return next(worth * grade for label, grade in grade_of.items() if label in text)

    return yes_no


def measured(tmp_path: Path, llm: LLM, *made: dict[str, Any], **asked: Any) -> dict[str, Any]:
    file = written(tmp_path / "wishes.jsonl", *made)
    labelled = wishes("dev", file)
    measure = WishMeasure(demo_catalogue(), llm, Asked(**{"strategies": ("rerank", "select"), **asked}), labelled)
    with RunFolder.open(tmp_path / "run", run_config("rerank", {}, seed=0)) as run:
        run_wishes(measure, run, workers=1, progress=lambda _done, _total: None)
        return figures(run.records(), run.timings(), seed=0, split="dev", n_wishes=len(labelled))


# -- figures ----------------------------------------------------------------------------------------------------------


def test_graded_figures_of_one_list_by_hand() -> None:
    found = graded([2, 0, 1])
    assert found["ndcg@10"] == pytest.approx(3.5 / (3 + 1 / 1.5849625))
    assert found["ndcg@3"] == found["ndcg@10"]
    assert found["precision@3"] == pytest.approx(2 / 3)
    assert set(graded([2, 1, 0, 0]).values()) == {1.0, 2 / 3}
    assert set(graded([0, 0, 0]).values()) == {0.0}
    # The gain is over the best first three of all candidates, so what is left behind them counts as missed.
    assert graded([0, 0, 0, 2])["ndcg@3"] == 0.0
    assert graded([0, 0, 0, 2])["ndcg@10"] == pytest.approx(1 / 2.32192809)
    assert graded([1])["precision@3"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("grades", [(2, 1, 0, 0, 1), (1, 0), (0, 0, 0), (2, 2, 2, 2)])
def test_random_expectation_is_the_mean_over_all_orders(grades: tuple[int, ...]) -> None:
    every = [graded(order) for order in permutations(grades)]
    for name, value in expected(grades).items():
        assert value == pytest.approx(mean(one[name] for one in every)), name


def test_a_model_that_knows_the_grades_alone_orders_best_and_lifts_the_recommender(tmp_path: Path) -> None:
    made = [made_wish(n) for n in range(6)]
    found = measured(tmp_path, scripted(["-"], yes_no=knowing(made)), *made)
    systems = found["systems"]
    fused = graded(GRADES)
    assert {k: systems["recommender"][k] for k in fused} == pytest.approx(fused)
    assert systems["model"]["ndcg@10"] == systems["best possible"]["ndcg@10"] == pytest.approx(1.0)
    assert systems["model"]["precision@3"] == pytest.approx(1.0)
    assert systems[RANDOM]["ndcg@10"] == pytest.approx(expected(GRADES)["ndcg@10"])
    for strategy in ("rerank", "select"):
        assert fused["ndcg@10"] < systems[strategy]["ndcg@10"] <= 1.0
        assert systems[strategy]["against_recommender"]["ndcg@10"]["low"] > 0
    assert systems["recommender"]["tokens"] == 0
    assert systems["model"]["calls"] == 20
    assert systems["model"]["tokens"] > 0
    assert systems["model"]["seconds"] is not None
    assert found["kinds"]["hard"]["n"] == 3
    text = str(report(found, "t").tables)
    assert "best possible" in text
    assert FIRM in text


def test_the_curve_is_what_a_run_with_that_weight_would_have_given(tmp_path: Path) -> None:
    made = [made_wish(n) for n in range(4)]
    for number, weight in enumerate(WEIGHTS):
        (tmp_path / str(number)).mkdir()
        found = measured(tmp_path / str(number), scripted(["-"], yes_no=knowing(made, 0.3)), *made, weight=weight)
        for strategy in ("rerank", "select"):
            point = next(p for p in found["curve"] if p["strategy"] == strategy and p["weight"] == weight)
            assert point["ndcg@10"] == found["systems"][strategy]["ndcg@10"]
    by_weight = [p["ndcg@10"] for p in found["curve"] if p["strategy"] == "rerank"]
    assert by_weight[0] == found["systems"]["recommender"]["ndcg@10"]
    assert by_weight == sorted(by_weight)
    assert found["chosen_weights"]["rerank"] == WEIGHTS[by_weight.index(max(by_weight))] > 0


def test_a_weight_is_chosen_on_dev_alone_and_the_smallest_of_equals() -> None:
    record = {"unit": "a", "group": "a", "kind": "loose", "metrics": graded(GRADES), "cost": {}, "grades": GRADES,
              "fused": [1.0 - n / 20 for n in range(10)], "judged": [0.0] * 10, "how": "pointwise"}  # fmt: skip
    records = [{**record, "system": name} for name in ("recommender", "model", "rerank")]
    found = figures(records, {}, seed=0, split="dev", n_wishes=1)
    assert found["chosen_weights"] == {"rerank": 0.0, FIRM: 0.0}
    held = figures(records, {}, seed=0, split="heldout", n_wishes=1)
    assert held["chosen_weights"] == {}
    assert "dev" in report(held, "t").tables[1].note


@pytest.mark.parametrize("worth", [0.0, 0.05])
def test_a_model_that_cannot_tell_them_apart_changes_nothing_unless_heard_anyway(tmp_path: Path, worth: float) -> None:
    made = [made_wish(n) for n in range(3)]
    found = measured(tmp_path, scripted(["-"], yes_no=knowing(made, worth)), *made)
    base = found["systems"]["recommender"]["ndcg@10"]
    assert found["unsure"] == 3
    assert {p["ndcg@10"] for p in found["curve"] if p["strategy"] != FIRM} == {base}
    firm = max(p["ndcg@10"] for p in found["curve"] if p["strategy"] == FIRM)
    assert (firm > base) is (worth > 0)
    assert found["systems"]["model"]["ndcg@10"] == pytest.approx(1.0 if worth else base)


def test_a_model_that_fails_is_counted_and_leaves_the_fused_order(tmp_path: Path) -> None:
    found = measured(tmp_path, scripted(LLMUnavailable("gone")), made_wish(1), scorer="listwise")
    for system in ("model", "rerank", "select"):
        assert found["systems"][system]["failed"] == 1
        assert found["systems"][system]["ndcg@10"] == found["systems"]["recommender"]["ndcg@10"]


def test_only_the_first_are_judged_and_the_rest_follows_as_it_was(tmp_path: Path) -> None:
    made = [made_wish(1)]
    found = measured(tmp_path, scripted(["-"], yes_no=knowing(made)), *made, candidates=4)
    assert found["systems"]["model"]["calls"] == 8
    assert found["systems"]["model"]["ndcg@10"] == pytest.approx(graded((1, 0, 0, 0, 2, 0, 1, 0, 0, 0))["ndcg@10"])
    record = {"judged": [0.0, 3.0, 1.0], "fused": [3.0, 2.0, 1.0, 0.0, -1.0], "grades": [0, 2, 1, 1, 0],
              "how": "pointwise"}  # fmt: skip
    assert places(record, None) == [1, 2, 0, 3, 4]
    assert places(record, RerankConfig(weight=0)) == [0, 1, 2, 3, 4]
    assert in_order(record, [1, 2, 3, 0, 4])["ndcg@10"] == pytest.approx(1.0)


def test_wishes_that_nothing_suits_are_not_asked_about_and_in_no_mean(tmp_path: Path) -> None:
    made = [made_wish(1), made_wish(2, [0] * 10)]
    found = measured(tmp_path, scripted(["-"], yes_no=knowing(made)), *made)
    assert (found["n"], found["n_wishes"]) == (1, 2)
    with pytest.raises(RequestError, match="No candidate suits"):
        WishMeasure(demo_catalogue(), scripted(["-"]), Asked(("rerank",)), [LabelledWish(**made[1])])


# -- a run that goes on -----------------------------------------------------------------------------------------------


def test_a_stopped_run_goes_on_without_asking_again_and_ends_with_the_same_files(tmp_path: Path) -> None:
    made = [made_wish(n) for n in range(4)]
    labelled = wishes("dev", written(tmp_path / "wishes.jsonl", *made))
    asked: list[str] = []
    known = knowing(made)

    def counting(messages: list[Message]) -> float:
        asked.append(messages[-1][1])
        return known(messages)

    def go(folder: Path, stop_at: int | None) -> None:
        measure = WishMeasure(demo_catalogue(), scripted(["-"], yes_no=counting), Asked(("rerank",)), labelled)

        def progress(done: int, _total: int) -> None:
            if stop_at is not None and done >= stop_at:
                raise KeyboardInterrupt

        with RunFolder.open(folder, run_config("rerank", {}, seed=0)) as run:
            run_wishes(measure, run, workers=1, progress=progress)
            found = figures(run.records(), {}, seed=0, split="dev", n_wishes=4)
            run.finish(found, report(found, "t"))

    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "stopped", 2)
    with RunFolder.open(tmp_path / "stopped", run_config("rerank", {}, seed=0)) as run:
        done = {str(record["unit"]) for record in run.records()}
    assert 2 <= len(done) < 4
    asked.clear()
    go(tmp_path / "stopped", None)
    assert len(asked) == 20 * (4 - len(done))
    go(tmp_path / "whole", None)
    for name in ("cases.jsonl", "metrics.json", "report.md", "units.jsonl"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


# -- bad input --------------------------------------------------------------------------------------------------------


def refused(tmp_path: Path, *lines: dict[str, Any]) -> str:
    with pytest.raises(DataError) as error:
        all_wishes(written(tmp_path / "bad.jsonl", *lines))
    return str(error.value)


def test_a_file_that_is_not_of_the_form_is_refused_by_line_and_field(tmp_path: Path) -> None:
    good = made_wish(1)
    for grade in (3, -1, None, "2", 1.5):
        wrong = made_wish(2)
        wrong["candidates"][4]["grade"] = grade
        message = refused(tmp_path, good, wrong)
        assert "bad.jsonl, line 2" in message
        assert "candidates.4.grade" in message
    assert "line 2: the wish t1" in refused(tmp_path, good, good)
    assert "occur twice" in refused(tmp_path, good, {**made_wish(2), "turns": good["turns"]})
    twice = made_wish(2)
    twice["candidates"][1]["item"] = twice["candidates"][0]["item"]
    assert f"{twice['candidates'][0]['item']} occurs twice" in refused(tmp_path, twice)
    assert "split" in refused(tmp_path, {**good, "split": "train"})
    assert "at least two" in refused(tmp_path, {**good, "candidates": good["candidates"][:1]})
    assert "turns" in refused(tmp_path, {**good, "turns": []})
    (tmp_path / "latin.jsonl").write_bytes(b"caf\xe9\n")
    with pytest.raises(DataError, match="UTF-8"):
        all_wishes(tmp_path / "latin.jsonl")


def test_the_fused_order_is_by_score_whatever_the_order_in_the_file(tmp_path: Path) -> None:
    turned = {**made_wish(1), "candidates": made_wish(1)["candidates"][::-1]}
    (read,) = all_wishes(written(tmp_path / "w.jsonl", turned))
    assert read == LabelledWish(**made_wish(1))


def test_an_item_that_the_catalogue_lacks_is_named_with_its_wish() -> None:
    wrong = made_wish(2)
    wrong["candidates"][0]["item"] = "tt-none"
    with pytest.raises(DataError, match=r"wish t2: .* no item tt-none"):
        WishMeasure(demo_catalogue(), scripted(["-"]), Asked(("rerank",)), [LabelledWish(**wrong)])


def cli(monkeypatch: pytest.MonkeyPatch, llm: LLM, *options: str) -> Any:
    """The command, with a scripted model in place of the resolved one and the demo catalogue of this test run."""
    monkeypatch.setattr(commands_rerank, "resolve", lambda _settings: Resolved(llm, "embedded", "scripted"))
    monkeypatch.setattr(commands_rerank, "open_catalogue", lambda _settings: Catalogue.open(demo_catalogue().folder))
    return CliRunner().invoke(app, ["rerank", *options], obj=SimpleNamespace(settings=load_settings()))


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (("--dataset", "wishes", "--split", "valid"), "--split"),
        (("--dataset", "redial", "--split", "dev", "--model", "m"), "--split"),
        (("--dataset", "redial"), "--model"),
        (("--dataset", "redial", "--model", "m", "--file", "w.jsonl"), "--file"),
        (("--dataset", "wishes", "--model", "m"), "--model"),
        (("--dataset", "wishes", "--strategies", "expand"), "--strategies"),
        (("--dataset", "wishes", "--strategies", "rerank,best"), "--strategies"),
        (("--dataset", "wishes", "--file", "/nowhere/w.jsonl"), "--file"),
    ],
)
def test_options_that_do_not_go_together_are_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], field: str
) -> None:
    error = cli(monkeypatch, scripted(["-"]), *options).exception
    assert isinstance(error, RequestError)
    assert error.field == field


def test_a_split_without_wishes_and_an_unknown_word_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = str(written(tmp_path / "w.jsonl", made_wish(1)))
    error = cli(monkeypatch, scripted(["-"]), "--dataset", "wishes", "--split", "heldout", "--file", file).exception
    assert isinstance(error, ConvrecError)
    assert "heldout" in str(error)
    assert cli(monkeypatch, scripted(["-"]), "--dataset", "wishes", "--split", "training").exit_code == 2


def test_the_command_measures_writes_its_folder_and_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = [made_wish(n) for n in range(3)]
    options = ["--dataset", "wishes", "--split", "dev", "--json", "--file", str(written(tmp_path / "w.jsonl", *made))]
    options += ["--out", str(tmp_path / "run"), "--weight", "2"]
    first = cli(monkeypatch, scripted(["-"], yes_no=knowing(made)), *options)
    assert first.exit_code == 0, first.output
    found = json.loads(first.stdout)
    assert found["systems"]["model"]["ndcg@10"] == pytest.approx(1.0)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["dataset"] == "wishes"
    # All is on record: a model that can no longer answer is not asked.
    again = cli(monkeypatch, scripted(LLMUnavailable("gone")), *options)
    assert json.loads(again.stdout)["systems"] == found["systems"]
    other = cli(monkeypatch, scripted(["-"]), *options, "--candidates", "4")
    assert isinstance(other.exception, RequestError)


# -- wishes of one's own ----------------------------------------------------------------------------------------------


def test_wishes_of_ones_own_get_the_candidates_that_a_turn_has_in_front(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    agent = make_agent()
    monkeypatch.setattr(commands_wishes, "open_pooling", lambda _settings: agent)
    monkeypatch.setattr(type(agent), "close", lambda _self: None)
    bare = [
        {"id": "a", "kind": "hard", "split": "dev", "turns": ["a sad western"]},
        {"id": "b", "kind": "loose", "split": "dev", "turns": ["hello there"]},
        {"id": "c", "kind": "follow", "split": "heldout", "turns": ["a comedy", "one from the 90s about a wedding"]},
    ]
    file, out = written(tmp_path / "mine.jsonl", *bare), tmp_path / "drafted.jsonl"
    options = ["wishes", str(file), "--out", str(out)]
    done = CliRunner().invoke(app, options, obj=SimpleNamespace(settings=load_settings()))
    assert done.exit_code == 0, done.output
    assert "no list was made for: b" in done.stderr
    with pytest.raises(DataError, match=r"candidates\.0\.grade"):
        all_wishes(out)
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [line["id"] for line in lines] == ["a", "c"]
    for line in lines:
        for number, one in enumerate(line["candidates"]):
            one["grade"] = number % 3
    read = all_wishes(written(out, *lines))
    for wish, user in zip(read, ("ann", "bob"), strict=True):
        for text in wish.turns:
            shown = ask(agent, text, user=user, session=user)
        best = [one.item for one in wish.candidates]
        assert len(best) == 10
        assert best[: len(shown.items)] == [item.id for item in shown.items]
        assert best != [one["item"] for line in lines if line["id"] == wish.id for one in line["candidates"]]
    again = CliRunner().invoke(app, options, obj=SimpleNamespace(settings=load_settings()))
    assert isinstance(again.exception, RequestError)
    assert all_wishes(out) == read


# -- the shipped file -------------------------------------------------------------------------------------------------


def test_the_shipped_wishes_are_sound() -> None:
    shipped = all_wishes()
    assert Counter(wish.split for wish in shipped) == {"dev": 33, "heldout": 32}
    for split in ("dev", "heldout"):
        kinds = Counter(wish.kind for wish in shipped if wish.split == split)
        assert set(kinds) == {"loose", "hard", "liked", "follow"}
        assert min(kinds.values()) >= 3
    catalogue = demo_catalogue()
    for wish in shipped:
        assert len(wish.candidates) == 10
        assert (len(wish.turns) > 1) is (wish.kind == "follow")
        assert fold(wish.turns[-1]) in fold(wish.asked)
        rows = catalogue.rows_of([one.item for one in wish.candidates])
        assert None not in rows
        labels = [item.label for item in catalogue.items([row for row in rows if row is not None])]
        assert labels == [one.label for one in wish.candidates]
    asked = {fold(request.text) for request in all_requests()}
    assert not asked & {fold(wish.turns[-1]) for wish in shipped}
