"""R-unicrs and I-unicrs: one case per target, repeats counted; their counts on the real files."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from convrec.core.errors import DatasetError, RequestError
from convrec.eval.items import evaluate_items
from convrec.eval.protocols import OFFICIAL_COUNTS
from convrec.eval.unicrs import unicrs_setting
from convrec.tools.datasets import InspiredData, RedialData
from tiny_datasets import ALIEN, HEAT, JOKER, UP, tiny_datasets, zipped


def row(context: list[str], gold: list[int], named: list[int]) -> dict[str, Any]:
    return {"context": context, "resp": "x", "rec": gold, "entity": named}


def said(who: str, text: str, *links: str) -> dict[str, Any]:
    role = {"S": "SEEKER", "R": "RECOMMENDER"}[who]
    return {"role": role, "text": text, "movie": [], "movie_link": list(links)}


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    root = tiny_datasets(tmp_path / "datasets")
    entities = {HEAT: 0, ALIEN: 1, UP: 2, "<drama>": 3}
    zipped(root / "redial/kg_dbpedia_unicrs.json.gz", {"entity2id": entities, "item_ids": [0, 1, 2]})
    zipped(
        root / "redial/eval/redial_unicrs_test_processed.jsonl.gz",
        row([""], [1], []),
        row(["", "seen Up (2009)?", "I liked Heat, it is drama"], [0, 1], [3, 0, 2]),
        row(["", "seen Up (2009)?", "I liked Heat, it is drama", "Heat, Alien", "ok"], [], [0, 1, 2, 3]),
        row(["hi"], [2, 2], []),
    )
    zipped(
        root / "inspired/test.jsonl.gz",
        [said("R", "Joker?", JOKER), said("S", "seen it", JOKER), said("R", "Alien, Alien", ALIEN, ALIEN, UP)],
        [said("S", "hi"), said("R", "no film"), said("S", "Heat?", HEAT)],
    )
    return root


class TestCases:
    def test_redial(self, tiny: Path) -> None:
        setting = unicrs_setting(RedialData(tiny / "redial"))
        cases = setting.cases
        found = [(c.dialogue, c.position, c.gold.tolist(), c.excluded.size) for c in cases.cases]
        # Nothing said before: no case. Heat was named before and counts; Up counts twice. Dialogue 1 begins at "hi".
        assert found == [(0, 3, [0], 0), (0, 3, [1], 0), (1, 1, [2], 0), (1, 1, [2], 0)]
        assert (cases.n_dialogues, cases.n_gold, cases.n_items) == (2, 4, 3)
        first = cases.cases[0].context
        assert [(m.speaker, m.mentions) for m in first.messages] == [("recommender", (UP,)), ("seeker", (HEAT,))]
        assert first.named.tolist() == [2, 0]  # in order of mention; <drama> is no item

    def test_inspired(self, tiny: Path) -> None:
        cases = unicrs_setting(InspiredData(tiny / "inspired")).cases
        # The first message has nothing before it; Up is outside the universe; the second Alien counts.
        assert [(c.dialogue, c.position, c.gold.tolist()) for c in cases.cases] == [(0, 2, [0]), (0, 2, [0])]
        context = cases.cases[0].context
        assert [(m.speaker, m.mentions) for m in context.messages] == [("recommender", (JOKER,)), ("seeker", (JOKER,))]
        assert context.named.tolist() == [1]

    def test_repeats_earn_their_points(self, tiny: Path) -> None:
        (echo,) = evaluate_items(tiny, protocol="unicrs", systems=["echo"], limit_dialogues=9).rows
        assert echo.recall[1] == 0.25

    def test_damaged_or_missing_files_are_named(self, tiny: Path) -> None:
        path = tiny / "redial/eval/redial_unicrs_test_processed.jsonl.gz"
        path.write_bytes(gzip.compress(json.dumps({"context": ["a"], "rec": [99], "entity": []}).encode()))
        with pytest.raises(DatasetError, match="redial_unicrs_test_processed"):
            unicrs_setting(RedialData(tiny / "redial"))
        zipped(tiny / "inspired/test.jsonl.gz", [{"role": "SEEKER", "text": "publisher's form", "movie": []}])
        with pytest.raises(DatasetError, match=r"test\.jsonl\.gz: not the expected form"):
            unicrs_setting(InspiredData(tiny / "inspired"))

    def test_counts_are_asserted_and_the_split_is_test(self, tiny: Path) -> None:
        with pytest.raises(DatasetError, match=r"\(2, 4, 4\).*\(1342, 4740, 4740\)"):
            evaluate_items(tiny, protocol="unicrs", systems=["echo"])
        with pytest.raises(RequestError, match="test split only"):
            evaluate_items(tiny, protocol="unicrs", split="valid")


@pytest.mark.data
class TestRealFiles:
    def test_redial_counts(self, datasets: Path) -> None:
        cases = unicrs_setting(RedialData(datasets / "redial")).cases
        assert OFFICIAL_COUNTS["redial", "test", "unicrs"] == (1342, 4740, 4740)
        assert (cases.n_dialogues, len(cases.cases), cases.n_gold, cases.n_items) == (1342, 4740, 4740, 6281)
        assert all(case.context.messages[-1].speaker == "seeker" for case in cases.cases)

    def test_inspired_counts_and_contexts(self, datasets: Path) -> None:
        data = InspiredData(datasets / "inspired")
        cases = unicrs_setting(data).cases
        assert OFFICIAL_COUNTS["inspired", "test", "unicrs"] == (99, 256, 256)
        assert (cases.n_dialogues, len(cases.cases), cases.n_gold, cases.n_items) == (99, 256, 256, 1123)
        with gzip.open(data.folder / "eval/inspired_unicrs_test_processed.jsonl.gz", "rt", encoding="utf-8") as file:
            processed = {tuple(text for text in json.loads(line)["context"] if text) for line in file}
        ours = {tuple(message.text for message in case.context.messages if message.text) for case in cases.cases}
        assert ours <= processed  # the very contexts of UniCRS's file
