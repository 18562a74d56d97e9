"""``convrec train`` and ``convrec bench rank`` on tiny data sets: a usable model, clear errors, nothing half-made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from convrec.app import GROUPS, services
from convrec.core.errors import ModelError, RequestError
from convrec.eval.bench import bench_rank
from convrec.serve.cli import build_cli
from convrec.tools.recommenders import training
from convrec.tools.recommenders.fusion import Fused, FusedConfig
from convrec.tools.recommenders.training import read_train, train_fused
from tiny_datasets import tiny_datasets
from typer.testing import CliRunner, Result

LIGHT = "ease,links,keywords"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("CONVREC_HOME", str(folder))
    tiny_datasets(folder / "datasets")
    return folder


def convrec(*arguments: str) -> Result:
    return CliRunner().invoke(build_cli(services, GROUPS), arguments)


def test_train_then_measure_then_time(home: Path) -> None:
    done = convrec("train", "--experts", LIGHT, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["folder"] == str(home / "models" / "redial")
    assert told["info"] == {"splits": ["redial-train"]}
    assert told["seconds"] > 0
    assert [path.name for path in (home / "models").iterdir()] == ["redial"]
    measured = convrec("eval", "items", "--split", "valid", "--systems", "", "--model", told["folder"], "--json")
    assert measured.exit_code == 0, measured.output
    row = json.loads(measured.stdout)["rows"][0]
    assert row["name"] == "fused"
    assert row["recall@10"] == 1.0  # four items: all are in the pool
    timed = convrec("bench", "rank", "--model", told["folder"], "--json")
    assert timed.exit_code == 0, timed.output
    bench = json.loads(timed.stdout)
    assert (bench["model"], bench["n_items"], bench["n_conversations"]) == ("fused", 4, 2)
    assert bench["embed_p95"] is None
    assert 0 < bench["rank_p50"] <= bench["rank_p95"]


def test_a_model_of_everything_is_refused_on_validation(home: Path) -> None:
    done = convrec("train", "--experts", LIGHT, "--with-valid")
    assert done.exit_code == 0, done.output
    folder = home / "models" / "redial-all"
    assert str(folder) in done.stdout
    refused = convrec("eval", "items", "--split", "valid", "--systems", "", "--model", str(folder))
    assert refused.exit_code == 2


@pytest.mark.parametrize(("dataset", "n_items"), [("redial", 4), ("inspired", 3), ("joint", 6)])
def test_what_can_be_trained_on(home: Path, dataset: str, n_items: int) -> None:
    train, splits = read_train(home / "datasets", dataset, with_valid=True)
    assert train.n_items == n_items
    names = ["redial", "inspired"] if dataset == "joint" else [dataset]
    assert splits == [f"{name}-{split}" for name in names for split in ("train", "valid")]


def test_wrong_names_say_what_to_choose(home: Path) -> None:
    with pytest.raises(RequestError, match="redial, inspired, joint"):
        read_train(home / "datasets", "netflix", with_valid=False)
    assert convrec("train", "--dataset", "netflix").exit_code == 2
    unknown = convrec("train", "--experts", "ease,nosuch")
    assert unknown.exit_code == 1
    assert "nosuch" in unknown.output
    assert not (home / "models" / "redial").exists()


def test_without_the_data_the_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVREC_HOME", str(tmp_path / "empty"))
    done = convrec("train", "--experts", LIGHT)
    assert done.exit_code == 1
    assert "convrec data fetch redial" in " ".join(done.output.split())


def test_an_interrupted_run_leaves_the_old_model_and_goes_on(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, splits = read_train(home / "datasets", "redial", with_valid=False)
    out, work = home / "m", home / "work"
    config = FusedConfig(experts=("ease", "links"))
    train_fused(train, splits, out, work=work, encoder=None, config=config)
    before = (out / "manifest.json").read_bytes()
    assert not work.exists()

    def broken(self: Fused, folder: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training.Fused, "save", broken)
        with pytest.raises(KeyboardInterrupt):
            train_fused(train, splits, out, work=work, encoder=None, config=config, seed=1)
    assert (out / "manifest.json").read_bytes() == before
    assert (work / "ease-all" / "manifest.json").is_file()
    train_fused(train, splits, out, work=work, encoder=None, config=config, seed=1)
    assert Fused.load(out, verify=True).seed == 1
    assert not work.exists()


def test_bench_refuses_what_is_no_model(home: Path) -> None:
    with pytest.raises(ModelError, match="no recommender is saved"):
        bench_rank(home / "datasets", home / "nothing")
    with pytest.raises(RequestError, match="at least 2"):
        bench_rank(home / "datasets", home / "nothing", conversations=1)
