"""Item spaces: titles located in texts, items mapped, joint training data, the cases that need them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from convrec.core.errors import DatasetError, RequestError
from convrec.eval.cikm import cikm_setting, inspired_valid_setting
from convrec.eval.items import evaluate_items
from convrec.eval.items_report import markdown
from convrec.eval.mapped import Mapped, names_by_use
from convrec.eval.titles import Spelling, located
from convrec.tools.datasets import InspiredData, Mention, Message, RedialData
from convrec.tools.recommenders.base import NEVER
from convrec.tools.recommenders.data import Context, ItemDetails, TrainData
from convrec.tools.recommenders.echo import Echo
from convrec.tools.recommenders.item_map import ItemMap
from convrec.tools.recommenders.training_sets import inspired_train, joint_train, redial_train, renamed
from tiny_datasets import ALIEN, HEAT, OTHER, OTHER_HEAT, UP, tiny_datasets


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_datasets(tmp_path_factory.mktemp("tiny"))


class TestLocated:
    def of(self, *texts: str, **titles: str) -> list[tuple[str, ...]]:
        """``heat="Heat (1995)"`` or without a year."""
        forms = {}
        for item, title in titles.items():
            name, _, year = title.partition(" (")
            forms[item] = [Spelling(name, title if year else "")]
        return located(texts, forms)

    def test_case_accents_punctuation_and_word_borders(self) -> None:
        assert self.of("HEAT! heated", "amelie...", heat="Heat", a="Amélie") == [("heat",), ("a",)]
        assert self.of("preheat heats", heat="Heat") == [()]

    def test_in_order_of_appearance_without_repeats(self) -> None:
        assert self.of("Up? Alien, Heat, Alien", heat="Heat", alien="Alien") == [("alien", "heat")]

    def test_a_longer_title_takes_its_words(self) -> None:
        assert self.of("Alien 3 and 3", a="Alien", a3="Alien 3") == [("a3",)]
        assert self.of("Alien 3, Alien", a="Alien", a3="Alien 3") == [("a3", "a")]

    def test_the_year_tells_titles_apart(self) -> None:
        assert self.of("Heat (1986), Heat 1995", a="Heat (1995)", b="Heat (1986)") == [("b", "a")]
        assert self.of("Heat", a="Heat (1995)", b="Heat (1986)") == [("a", "b")]

    def test_with_its_year_once_with_its_year_always(self) -> None:
        assert self.of("turn up the heat", "Heat (1995)", a="Heat (1995)") == [(), ("a",)]

    def test_common_words_need_their_year(self) -> None:
        assert self.of("was it up?", it="It", up="Up (2009)") == [()]
        assert self.of("it was Up (2009)", it="It", up="Up (2009)") == [("up",)]


class TestItemMap:
    """Case items a, b, c, d, e. Model: w, x, y, z. b is x or z; d and e are both y; c is none of them."""

    known: ClassVar[Mapping[str, Sequence[str]]] = {"a": ["w"], "b": ["q", "x", "z"], "d": ["y"], "e": ["y"]}
    items = ItemMap.between("abcde", known, "wxyz")

    def test_rows(self) -> None:
        assert self.items.rows.tolist() == [0, 1, -1, 2, 2]
        assert (self.items.further, self.items.n_known, self.items.same) == (((1, 3),), 4, False)
        assert dict(self.items.ids) == {"a": "w", "b": "x", "d": "y", "e": "y"}
        assert ItemMap.between("ab", {"a": ["a"], "b": ["b"]}, "ab").same

    def test_scores(self) -> None:
        scores = np.array([[1, 2, 3, 4], [4, 3, NEVER, NEVER]], dtype=np.float32)
        assert self.items.scores(scores).tolist() == [[1, 4, NEVER, 3, 3], [4, 3, NEVER, NEVER, NEVER]]
        assert self.items.scores(scores).dtype == np.float32

    def test_a_context_keeps_its_order_and_the_later_of_two_that_are_one(self) -> None:
        messages = (Message("seeker", "hi", ("d", "c", "e")), Message("recommender", "b?", ("b",)))
        found = self.items.context(Context(np.array([3, 1, 2, 4, 0], dtype=np.int32), messages))
        assert found.named.tolist() == [1, 2, 0]
        assert [m.mentions for m in found.messages] == [("y",), ("x",)]
        assert [m.text for m in found.messages] == ["hi", "b?"]

    def test_candidates_and_counts(self) -> None:
        assert self.items.candidates(np.array([3, 2], dtype=np.int32)).tolist() == [1, 3, 4]
        assert self.items.counts(np.array([1, 10, 5, 100])).tolist() == [1, 110, 0, 5, 5]

    def test_a_recommender_is_asked_and_answers_in_the_items_of_the_cases(self) -> None:
        echo = Mapped(Echo().fit(TrainData.from_mentions("wxyz", [])), self.items)
        scores = echo.score([Context(np.array([1, 2, 0], dtype=np.int32))])
        assert scores.tolist() == [[2, 1, NEVER, NEVER, NEVER]]
        assert echo.pool([]) is None

    def test_what_training_names_most_is_preferred(self) -> None:
        train = TrainData.from_mentions("xyz", [[Mention(item, "seeker") for item in line] for line in ("yz", "y")])
        assert names_by_use({"x": "e", "y": "e", "z": "f"}, train) == {"e": ["y", "x"], "f": ["z"]}


class TestJointTrain:
    def test_redial_first_and_linked_items_once(self, tiny: Path) -> None:
        redial, inspired = RedialData(tiny / "redial"), InspiredData(tiny / "inspired")
        train = joint_train(redial, inspired)
        assert train.item_ids == ("1", "2", "3", "4", "Joker (2019)", "Rare (2000)")
        assert train.sequence_ids == ("9", "11", "inspired-train-1")
        assert [[m.item for m in line] for line in train.sequences()] == [["1", "4", "2"], ["4"], ["2", "Joker (2019)"]]
        assert train.by_recommender.tolist() == [False, True, True, True, False, True]
        last = train.dialogues[-1]
        assert (last.id, last.messages[0].mentions, last.messages[0].text) == ("inspired-train-1", ("2",), "Alien?")
        assert train.details is not None
        assert train.details.names[3:] == ("Alien (1979)", "Joker (2019)", "Rare (2000)")
        assert train.details.tags["genre"][-1] == ("drama",)
        assert train.without(["inspired-train-1"]).rows.tolist() == redial_train(redial).rows.tolist()

    def test_with_the_validation_splits(self, tiny: Path) -> None:
        train = joint_train(RedialData(tiny / "redial"), InspiredData(tiny / "inspired"), with_valid=True)
        assert train.sequence_ids == ("9", "11", "12", "inspired-train-1", "inspired-dev-1", "inspired-dev-2")

    def test_sequences_turn_mentions_round(self, tiny: Path) -> None:
        train = inspired_train(InspiredData(tiny / "inspired"))
        again = TrainData.from_mentions(train.item_ids, train.sequences())
        assert replace(train, sequence_ids=(), dialogues=(), details=None).digest == again.digest

    def test_renamed_drops_or_keeps_what_has_no_new_id(self, tiny: Path) -> None:
        dialogue = InspiredData(tiny / "inspired").dialogues("valid")[0]
        for drop, expected in ((False, ("2", "Rare (2000)")), (True, ("2",))):
            found = renamed(dialogue, {"Alien (1979)": "2"}, drop=drop)
            assert found.messages[1].mentions == expected
            assert found.movie_mentions.keys() == set(expected)

    def test_details_of_unlike_kinds_of_tags(self) -> None:
        def one(kind: str) -> ItemDetails:
            return ItemDetails((kind,), (kind,), np.zeros(1, dtype=np.int16), ("",), {kind: (("v",),)})

        assert one("a").extended(one("b")).tags == {"a": (("v",), ()), "b": ((), ("v",))}


class TestCikmSettings:
    def test_who_named_what_and_when(self, tiny: Path) -> None:
        setting = cikm_setting(RedialData(tiny / "redial"))
        first, second = setting.cases.cases
        # "Heat was good" has no year where another text has one, so it is no mention; "Unlinked" is nowhere.
        assert [(m.speaker, m.mentions) for m in first.context.messages] == [
            ("recommender", (HEAT, ALIEN)),
            ("seeker", ()),
        ]
        assert [setting.items[row] for row in first.context.named] == [OTHER, HEAT, ALIEN]
        assert sorted(setting.items[row] for row in first.excluded) == sorted([HEAT, OTHER_HEAT, ALIEN, OTHER])
        assert (first.gold.tolist(), second.gold.tolist(), second.context.named.size) == ([2], [1], 0)

    def test_entities_are_the_data_sets_items(self, tiny: Path) -> None:
        setting = cikm_setting(RedialData(tiny / "redial"))
        assert setting.known_as == {HEAT: ["1"], ALIEN: ["4", "2"], UP: ["3"]}  # 4 is named twice in training
        assert setting.train.item_ids == ("1", "2", "3", "4")
        assert setting.train.dialogues
        assert setting.train.details is not None
        assert setting.item_map(setting.train.item_ids).rows.tolist() == [0, 3, 2, -1, -1]

    def test_inspired_in_three_spaces(self, tiny: Path) -> None:
        redial, inspired = RedialData(tiny / "redial"), InspiredData(tiny / "inspired")
        setting = cikm_setting(inspired, redial)
        for train, rows in (
            (inspired_train(inspired), [0, 1, -1]),
            (redial_train(redial), [1, -1, 0]),
            (joint_train(redial, inspired), [1, 4, 0]),
        ):
            assert setting.item_map(train.item_ids).rows.tolist() == rows
            assert setting.covered(train.item_ids)
        assert not setting.covered(["1", "Joker (2019)"])

    def test_inspired_valid_has_gold_inside_the_universe_only(self, tiny: Path) -> None:
        cases = inspired_valid_setting(InspiredData(tiny / "inspired")).cases
        (case,) = cases.cases  # the other dialogue's gold is outside
        assert (cases.protocol, cases.n_items, cases.n_dialogues) == ("novel", 3, 2)
        assert (case.gold.tolist(), case.context.named.size, case.context.messages[0].text) == ([0], 0, "Rare")
        report = evaluate_items(tiny, dataset="inspired", split="valid", systems=["popularity"])
        assert "inspired valid, novel, gold inside the I-cikm universe: 2 dialogues" in markdown(report)

    def test_what_does_not_fit_is_refused(self, tiny: Path) -> None:
        for protocol, split in (("novel", "test"), ("full", "valid")):
            with pytest.raises(RequestError, match="choose: cikm"):
                evaluate_items(tiny, dataset="inspired", protocol=protocol, split=split)
        with pytest.raises(RequestError, match="test split only"):
            evaluate_items(tiny, dataset="inspired", protocol="cikm", split="valid")
        with pytest.raises(RequestError, match=r"train_on: got 'x'.*own, joint"):
            evaluate_items(tiny, train_on="x")
        damaged = RedialData(tiny / "redial")
        damaged.folder = tiny / "inspired"
        with pytest.raises(DatasetError, match="is missing"):
            cikm_setting(damaged)


@pytest.mark.data
class TestRealData:
    @pytest.mark.parametrize(("dataset", "share", "n_named"), [("redial", 0.99, 7548), ("inspired", 0.87, 394)])
    def test_named_titles_are_found_in_the_texts(
        self, dataset: str, share: float, n_named: int, datasets: Path
    ) -> None:
        data = RedialData(datasets / "redial") if dataset == "redial" else InspiredData(datasets / "inspired")
        setting = cikm_setting(data)
        found = total = 0
        for case in setting.cases.cases:
            mentioned = {item for message in case.context.messages for item in message.mentions}
            named = [setting.items[row] for row in case.context.named]
            total += len(named)
            found += sum(item in mentioned for item in named)
            assert mentioned <= set(named)
        assert total == n_named
        assert found / total > share

    def test_joint_items_and_inspired_valid(self, datasets: Path) -> None:
        redial, inspired = RedialData(datasets / "redial"), InspiredData(datasets / "inspired")
        train = joint_train(redial, inspired)
        assert train.item_ids[:6924] == tuple(item.id for item in redial.items())
        assert (train.n_items, train.n_sequences) == (6924 + 1806 - 836, 8287 + 801)
        setting = inspired_valid_setting(inspired, redial)
        cases = setting.cases
        assert (cases.n_dialogues, len(cases.cases), cases.n_gold, cases.n_items) == (99, 198, 213, 1123)
        assert setting.item_map(train.item_ids).n_known > 1110
        assert setting.covered(train.item_ids)
