"""Saved recommenders beside the fitted systems: the registry, what is refused, what the report says, pools."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import typer
from convrec.core.embedding import HashingEmbedder
from convrec.core.errors import ModelError, RequestError
from convrec.core.items import RowArray
from convrec.eval.commands import app as eval_app
from convrec.eval.item_models import load_models
from convrec.eval.item_results import Memory, outcomes, record_system
from convrec.eval.item_rows import measure
from convrec.eval.item_settings import item_setting
from convrec.eval.items import evaluate_items
from convrec.eval.items_report import markdown, table
from convrec.eval.mapped import Mapped
from convrec.tools.datasets import InspiredData, Mention, RedialData
from convrec.tools.recommenders.base import Pooled, Recommender
from convrec.tools.recommenders.content_embedding import ContentEmbedding
from convrec.tools.recommenders.data import Context, TrainData
from convrec.tools.recommenders.ease import EASE
from convrec.tools.recommenders.echo import Echo
from convrec.tools.recommenders.popularity import Popularity
from convrec.tools.recommenders.registry import RECOMMENDERS, load_recommender
from convrec.tools.recommenders.training_sets import inspired_train, joint_train, redial_train
from rich.console import Console
from tiny_datasets import tiny_datasets
from typer.testing import CliRunner


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_datasets(tmp_path_factory.mktemp("tiny"))


def saved(recommender: Recommender, folder: Path, **info: Any) -> Path:
    recommender.info = info
    recommender.save(folder)
    return folder


def measured(tiny: Path, *models: Path, **options: Any) -> Any:
    options = {"systems": ["popularity"], "limit_dialogues": 9, **options}  # a limit: the counts are not the official
    return evaluate_items(tiny, models=models, **options)


class Encoding(Echo):
    """Echo that asks for a sentence encoder, as a fused model does."""

    encoder: Path | None = None


class TestModels:
    def test_a_saved_model_gives_the_figures_of_the_fitted_one(self, tiny: Path, tmp_path: Path) -> None:
        train = redial_train(RedialData(tiny / "redial"))
        model = saved(EASE().fit(train), tmp_path / "mine", splits=["redial-train"])
        for protocol in ("novel", "full", "cikm"):
            fitted, loaded = measured(tiny, model, protocol=protocol, systems=["ease"]).rows
            assert (fitted.name, loaded.name) == ("ease", "mine")  # the manifest's name is taken
            assert (fitted.recall, fitted.mrr, fitted.arp) == (loaded.recall, loaded.mrr, loaded.arp)
            assert fitted.training == loaded.training == (train.digest, 2, ("redial-train",))
            assert (loaded.loaded, loaded.times.fit_s, fitted.loaded) == (True, None, False)

    def test_a_joint_model_on_everything(self, tiny: Path, tmp_path: Path) -> None:
        joint = joint_train(RedialData(tiny / "redial"), InspiredData(tiny / "inspired"))
        model = saved(Popularity().fit(joint), tmp_path / "joint", splits=["redial-train", "inspired-train"])
        for dataset, protocol, split in (
            ("redial", "novel", "valid"),
            ("redial", "cikm", "test"),
            ("inspired", "novel", "valid"),
            ("inspired", "cikm", "test"),
        ):
            options = {"dataset": dataset, "protocol": protocol, "split": split, "train_on": "joint"}
            fitted, loaded = measured(tiny, model, **options).rows
            assert fitted.recall == loaded.recall
            report = measured(tiny, model, **options, systems=[])
            assert [row.name for row in report.rows] == ["popularity"]
            assert "training dialogues of ReDial and INSPIRED jointly (tiny)" in markdown(report)

    def test_the_report_says_what_a_model_learnt_from(self, tiny: Path, tmp_path: Path) -> None:
        data = RedialData(tiny / "redial")
        both = Echo().fit(redial_train(data, with_valid=True))
        told = saved(both, tmp_path / "told", splits=["redial-train", "redial-valid"])
        without = EASE().fit(redial_train(data))
        silent = saved(without, tmp_path / "silent")
        report = measured(tiny, told, silent, protocol="cikm")
        text = markdown(report)
        first, second = (f"data hash {train.data_hash}"[:22] for train in (both, without))
        known = "; knows 3 of 5 items."
        assert f"echo: saved model, trained on redial-train, redial-valid: 3 dialogues, {first}{known}" in text
        assert f"ease: saved model, trained on splits not recorded: 2 dialogues, {second}, the same data" in text
        rows = json.loads(json.dumps(report.as_dict()))["rows"]
        assert [row["loaded"] for row in rows] == [False, True, True]
        assert rows[1]["splits"] == ["redial-train", "redial-valid"]
        assert (rows[1]["n_sequences"], rows[1]["data_hash"], rows[1]["fit_seconds"]) == (3, both.data_hash, None)
        assert (rows[2]["splits"], rows[0]["splits"], rows[0]["n_known_items"]) == (None, ["redial-train"], 3)

    def test_no_model_is_measured_on_what_it_was_trained_on(self, tiny: Path, tmp_path: Path) -> None:
        train = redial_train(RedialData(tiny / "redial"), with_valid=True)
        model = saved(Echo().fit(train), tmp_path / "m", splits=["redial-train", "redial-valid"])
        with pytest.raises(RequestError, match=r"model: got .*trained on redial-valid, so it cannot be measured"):
            measured(tiny, model, split="valid")
        assert measured(tiny, model, split="test").rows[1].name == "echo"
        assert measured(tiny, model, dataset="inspired", split="valid").rows[1].name == "echo"

    def test_other_items_are_refused(self, tiny: Path, tmp_path: Path) -> None:
        own = inspired_train(InspiredData(tiny / "inspired"))
        model = saved(Echo().fit(own), tmp_path / "m", splits=["inspired-train"])
        with pytest.raises(ModelError, match=r"trained on inspired-train; its 3 items do not cover the 4 of ReDial\."):
            measured(tiny, model)
        assert measured(tiny, model, dataset="inspired", protocol="cikm").rows[1].name == "echo"
        with pytest.raises(ModelError, match=f"the hash {own.digest}"):
            measured(tiny, saved(Echo().fit(own), tmp_path / "m"))

    def test_names_of_rows(self, tiny: Path, tmp_path: Path) -> None:
        echo = Echo().fit(redial_train(RedialData(tiny / "redial")))
        folders = [saved(echo, tmp_path / name / "last") for name in "abc"]
        report = measured(tiny, *folders[:2], folders[0])
        assert [row.name for row in report.rows] == ["popularity", "last", "echo"]
        with pytest.raises(RequestError, match="rename the folder"):
            measured(tiny, *folders)

    def test_the_encoder_is_handed_to_those_that_need_it(self, tiny: Path, tmp_path: Path) -> None:
        train = redial_train(RedialData(tiny / "redial"))
        model = saved(ContentEmbedding(embed=HashingEmbedder().embed).fit(train), tmp_path / "m")
        with pytest.raises(ModelError, match="models pull all-minilm-l6-v2"):
            measured(tiny, model)
        with pytest.raises(ModelError, match=r"lacks modules\.json"):
            measured(tiny, model, encoder=tmp_path)
        setting, _ = item_setting(tiny, "redial", "novel", "test", train_on="own", with_models=True)
        Encoding().fit(train).save(tmp_path / "e")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("convrec.eval.item_models.load_recommender", Encoding.load)
            mapped = load_models([tmp_path / "e"], setting, "redial-test", encoder=tmp_path)["echo"]
        assert isinstance(mapped.recommender, Encoding)
        assert mapped.recommender.encoder == tmp_path

    def test_bad_notes_of_splits(self, tiny: Path, tmp_path: Path) -> None:
        echo = Echo().fit(redial_train(RedialData(tiny / "redial")))
        with pytest.raises(ModelError, match=r"info\.splits: got 'redial-train'"):
            measured(tiny, saved(echo, tmp_path / "m", splits="redial-train"))

    def test_nothing_to_measure(self, tiny: Path) -> None:
        with pytest.raises(RequestError, match="or give a model"):
            evaluate_items(tiny, systems=[])


class TestRegistry:
    def test_every_name_is_its_class(self) -> None:
        assert {name: kind.name for name, kind in RECOMMENDERS.items()} == {name: name for name in RECOMMENDERS}

    def test_info_and_training_size_come_back(self, tmp_path: Path) -> None:
        train = TrainData.from_mentions("ab", [[Mention("a", "recommender")], []])
        loaded = load_recommender(saved(Popularity().fit(train), tmp_path / "m", splits=["x"], note={"k": [1, None]}))
        assert type(loaded) is Popularity
        assert (loaded.info, loaded.n_train) == ({"splits": ["x"], "note": {"k": [1, None]}}, 2)

    def test_older_saves_have_neither(self, tmp_path: Path) -> None:
        path = saved(Echo().fit(TrainData.from_mentions("ab", [])), tmp_path / "m") / "manifest.json"
        manifest = json.loads(path.read_text())
        path.write_text(json.dumps({key: value for key, value in manifest.items() if key not in ("info", "n_train")}))
        loaded = load_recommender(tmp_path / "m")
        assert (loaded.info, loaded.n_train) == ({}, None)

    def test_what_cannot_be_loaded(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="no recommender is saved"):
            load_recommender(tmp_path)
        path = saved(Echo().fit(TrainData.from_mentions("ab", [])), tmp_path / "m") / "manifest.json"
        manifest = json.loads(path.read_text())
        path.write_text(json.dumps({**manifest, "name": "oracle"}))
        with pytest.raises(ModelError, match=r"name: 'oracle' is no recommender.*popularity, echo, itemknn"):
            load_recommender(tmp_path / "m")
        for text in ("[]", "{", "{}", '{"name": []}', json.dumps({**manifest, "info": 3})):
            path.write_text(text)
            with pytest.raises(ModelError):
                load_recommender(tmp_path / "m")


class Gathering(Echo):
    """Echo with candidates: the first two items, whatever was said."""

    def pool(self, contexts: Sequence[Context]) -> list[RowArray]:
        return [np.array([1, 0], dtype=np.int32) for _ in contexts]


class TestPool:
    def test_recall_and_size(self, tiny: Path) -> None:
        setting, _ = item_setting(tiny, "redial", "cikm", "test", train_on="own", with_models=False)
        gathering = Gathering().fit(setting.train)
        assert isinstance(gathering, Pooled)
        items = setting.item_map(setting.train.item_ids)
        for model, expected in (
            (gathering, (0.5, 2.0)),  # Heat and Alien, of which only the second case asks; 4 and 2 are one film
            (Echo().fit(setting.train), None),
        ):
            recorder, cases = Memory(), setting.cases
            record_system(recorder, "x", Mapped(model, items), setting, cases, [0], fit_s=None)
            found = outcomes(recorder, ["x"], setting)["x"]
            assert measure("x", found, cases, np.zeros(5, dtype=np.int64), 0).pool == expected

    def test_columns_only_where_something_gathers(
        self, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = saved(Gathering().fit(redial_train(RedialData(tiny / "redial"))), tmp_path / "m")
        assert "pool" not in markdown(measured(tiny, model, protocol="cikm"))
        monkeypatch.setattr("convrec.eval.item_models.load_recommender", Gathering.load)
        report = measured(tiny, model, protocol="cikm")
        rows = [
            line for line in markdown(report).splitlines() if line.startswith(("| system | R@1", "| echo", "| pop"))
        ]
        assert rows[0].endswith("| pool R | pool size |")
        assert rows[1].endswith("| - | - |")
        assert rows[2].endswith("| 0.5000 | 2 |")
        assert (report.as_dict()["rows"][1]["pool_recall"], report.as_dict()["rows"][0]["pool_size"]) == (0.5, None)
        console = Console(width=200, record=True)
        console.print(table(report))
        assert "pool size" in console.export_text()


class TestCommand:
    def test_models_beside_systems(self, tiny: Path, tmp_path: Path) -> None:
        app = typer.Typer()

        @app.callback()
        def start(ctx: typer.Context) -> None:
            ctx.obj = SimpleNamespace(settings=SimpleNamespace(datasets=tiny, models=tmp_path / "weights"))

        app.add_typer(eval_app, name="eval")
        train = redial_train(RedialData(tiny / "redial"))
        models = [str(saved(kind().fit(train), tmp_path / kind.name)) for kind in (Echo, EASE)]
        command = ["eval", "items", "--systems", "", "--limit-dialogues", "5", "--train-on", "joint", "--json"]
        command += [part for model in models for part in ("--model", model)]
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, result.output
        out = json.loads(result.stdout)
        assert ([row["name"] for row in out["rows"]], out["train_on"]) == (["echo", "ease"], "joint")
