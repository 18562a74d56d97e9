"""Someone else's recommender in the item protocols: installed with an entry point, or merely importable."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from convrec.core.errors import ModelError, RequestError
from convrec.eval.item_plugins import GROUP, LIST_SIZE, Plugin, Request, load_plugin, plugin_hash, plugin_names
from convrec.eval.item_run import run_items
from convrec.eval.items import evaluate_items
from convrec.eval.items_report import markdown
from convrec.eval.run_folder import RUN
from convrec.tools.datasets import Message
from convrec.tools.recommenders.base import NEVER
from convrec.tools.recommenders.data import Context, TrainData
from convrec.tools.recommenders.popularity import Popularity
from tiny_datasets import tiny_datasets

DOCS = Path(__file__).resolve().parents[1] / "docs" / "evaluation.md"
ASKED: dict[str, Any] = {"dataset": "redial", "protocol": "novel", "split": "test", "limit_dialogues": 9}


class Fixed:
    """Recommends what it is told to; remembers what it was given."""

    answer: Any = ("1", "9999", "1", "3")

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.asked: list[tuple[list[Request], int]] = []

    def fit(self, train: TrainData) -> None:
        self.train = train

    def recommend(self, requests: Sequence[Request], k: int) -> Any:
        self.asked.append((list(requests), k))
        return [self.answer] * len(requests)


class Many(Fixed):
    def recommend(self, requests: Sequence[Request], k: int) -> Any:
        return [["1"]] * (len(requests) + 1)


class Text(Fixed):
    answer = "1"


def ours(seed: int) -> Popularity:
    return Popularity(seed=seed)


NOT_CALLABLE = 3


def nothing(seed: int) -> object:
    return object()


def train() -> TrainData:
    return TrainData.from_mentions(["1", "2", "3"], [])


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return tiny_datasets(tmp_path / "datasets")


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A distribution on the path, as pip leaves it, whose module is the example of the documentation."""
    (example,) = re.findall(r"```python\n# acme_recommender\.py\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.S)
    site = tmp_path / "site"
    info = site / "acme_recommender-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "acme_recommender.py").write_text(example, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-recommender\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\nacme = acme_recommender:Acme\n")
    monkeypatch.syspath_prepend(str(site))
    return "acme"


class TestPlugin:
    def test_order_repeats_and_ids_that_are_no_item(self) -> None:
        made = Fixed(0)
        plugin = Plugin(made, "x").fit(train())
        said = (Message("seeker", "hi", ("2",)),)
        scores = plugin.score([Context(np.array([1], dtype=np.int32), said)])
        assert scores.tolist() == [[0.0, NEVER, -1.0]]
        assert plugin.outside == [1]
        ((request,), k) = made.asked[0]
        assert (request.named, request.messages, k) == (("2",), said, LIST_SIZE)
        assert made.train.item_ids == ("1", "2", "3")

    def test_wrong_answers_name_the_plugin(self) -> None:
        for kind, match in ((Many, r"system: got 'x'\. recommend gave 2 lists for 1 dialogues"), (Text, "gave a str")):
            with pytest.raises(RequestError, match=match):
                Plugin(kind(0), "x").fit(train()).score([Context()])

    def test_is_not_saved(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="plug-in"):
            Plugin(Fixed(0), "x").fit(train()).save(tmp_path / "m")


class TestLoading:
    @pytest.mark.parametrize(
        ("spec", "match"),
        [
            ("no_such_module:thing", "cannot be imported"),
            ("test_eval_plugins:no_such_thing", "cannot be imported"),
            (":", "cannot be imported"),
            ("test_eval_plugins:NOT_CALLABLE", "cannot be called"),
            ("test_eval_plugins:nothing", "fit, recommend missing"),
        ],
    )
    def test_what_is_none_is_refused(self, spec: str, match: str) -> None:
        with pytest.raises(RequestError, match=match):
            load_plugin(spec)(0)

    def test_a_recommender_of_ours_is_taken_as_it_is(self) -> None:
        assert isinstance(load_plugin("test_eval_plugins:ours")(7), Popularity)
        assert load_plugin("test_eval_plugins:ours")(7).seed == 7

    def test_an_unknown_name_lists_what_is_there(self, tiny: Path, acme: str) -> None:
        assert acme in plugin_names()
        with pytest.raises(RequestError, match=r"popularity.*acme; or module:object"):
            evaluate_items(tiny, systems=["acmee"])


class TestMeasured:
    def test_the_example_of_the_documentation_runs_installed(self, tiny: Path, acme: str, tmp_path: Path) -> None:
        found = run_items(tmp_path / "run", tiny, systems=[acme, "popularity"], **ASKED)
        row = found.rows[0]
        assert (row.name, row.loaded, row.outside) == ("acme", False, 0.0)
        assert row.recall[50] > 0
        config = json.loads((tmp_path / "run" / RUN).read_text())
        assert config["models"] == {acme: plugin_hash(acme)}
        assert len(config["models"][acme]) == 64

    def test_on_every_protocol(self, tiny: Path, acme: str) -> None:
        for dataset, protocol in (("redial", "full"), ("redial", "cikm"), ("inspired", "cikm")):
            asked = {**ASKED, "dataset": dataset, "protocol": protocol}
            assert evaluate_items(tiny, systems=[acme], **asked).rows[0].recall.keys() >= {1, 50}

    def test_ids_outside_the_catalogue_are_counted_and_shown(self, tiny: Path) -> None:
        found = evaluate_items(tiny, systems=["test_eval_plugins:Fixed", "popularity"], **ASKED)
        assert found.rows[0].outside == pytest.approx(1 / 10)
        assert found.rows[1].outside == 0
        assert "no item" in markdown(found)
        assert "no item" not in markdown(evaluate_items(tiny, systems=["popularity"], **ASKED))
