"""The known-answer suite that every recommender passes, with and without dialogues and item details."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from convrec.core.errors import ModelError
from convrec.tools.datasets import Dialogue, Mention, Message
from convrec.tools.recommenders.base import NEVER, Recommender, RecommenderConfig
from convrec.tools.recommenders.data import Context, ItemDetails, TrainData
from convrec.tools.recommenders.echo import Echo
from convrec.tools.recommenders.popularity import Popularity

N = 10


def train_of(sequences: list[list[int]], n_items: int = N, speaker: str = "recommender") -> TrainData:
    who = "seeker" if speaker == "seeker" else "recommender"
    return TrainData.from_mentions(
        [f"i{row}" for row in range(n_items)],
        [[Mention(f"i{row}", who) for row in sequence] for sequence in sequences],  # type: ignore[arg-type]
    )


def named(*rows: int) -> Context:
    return Context(np.array(rows, dtype=np.int32))


def checkerboard(size: int = N) -> TrainData:
    """Even sequences name every even item, odd ones every odd item, but each lacks the item on its diagonal: nothing
    even ever goes with anything odd."""
    return train_of([[i for i in range(size) if i % 2 == u % 2 and i != u] for u in range(size)], size)


class RecommenderContract:
    """What holds for every recommender; subclasses name the class."""

    kind: ClassVar[type[Recommender]]
    config: ClassVar[RecommenderConfig]
    """Settings that are not the defaults, for the round trip."""

    def train(self) -> TrainData:
        return checkerboard()

    def fitted(self) -> Recommender:
        return self.kind(self.config, seed=7).fit(self.train())

    def test_a_batch_has_the_stated_shape_and_type(self) -> None:
        scores = self.fitted().score([named(0), named(), named(1, 3)])
        assert scores.shape == (3, N)
        assert scores.dtype == np.float32
        assert np.all(np.isfinite(scores) | (scores == NEVER))
        assert self.fitted().score([]).shape == (0, N)

    def test_one_at_a_time_is_the_same_as_a_batch(self) -> None:
        recommender = self.fitted()
        contexts = [named(0, 4), named(3), named(), named(9, 1, 5)]
        single = np.concatenate([recommender.score([context]) for context in contexts])
        np.testing.assert_allclose(recommender.score(contexts), single, rtol=1e-6, atol=1e-6)

    def test_scores_can_be_changed_without_harm(self) -> None:
        recommender = self.fitted()
        before = recommender.score([named(2)]).copy()
        recommender.score([named(2)])[:] = -1
        np.testing.assert_array_equal(recommender.score([named(2)]), before)

    def test_fitting_twice_gives_the_same(self) -> None:
        contexts = [named(0), named(1, 2)]
        recommender = self.fitted()
        first = recommender.score(contexts)
        np.testing.assert_array_equal(recommender.fit(self.train()).score(contexts), first)
        recommender.fit(train_of([[0, 1]], 2))
        assert recommender.score([named(0)]).shape == (1, 2)

    def test_unfitted_says_what_to_do(self) -> None:
        with pytest.raises(ModelError, match=r"fit\(train\) or load"):
            self.kind().score([named(0)])

    def test_empty_training_data(self) -> None:
        assert self.kind().fit(train_of([], 3)).score([named(0)]).shape == (1, 3)

    def test_round_trip(self, tmp_path: Path) -> None:
        recommender = self.fitted()
        recommender.save(tmp_path / "m")
        loaded = self.kind.load(tmp_path / "m", verify=True)
        contexts = [named(0, 2), named(), named(5)]
        np.testing.assert_array_equal(loaded.score(contexts), recommender.score(contexts))
        assert (loaded.config, loaded.seed, loaded.item_ids) == (self.config, 7, recommender.item_ids)
        manifest = json.loads((tmp_path / "m" / "manifest.json").read_text())
        assert manifest["data_hash"] == loaded.data_hash == self.train().digest
        assert (manifest["name"], manifest["seed"], manifest["n_items"]) == (self.kind.name, 7, N)

    def test_saving_again_replaces_and_leaves_nothing_else(self, tmp_path: Path) -> None:
        self.fitted().save(tmp_path / "m")
        self.kind(self.config).fit(train_of([[0, 1], [1, 0]], 2)).save(tmp_path / "m")
        assert self.kind.load(tmp_path / "m", verify=True).n_items == 2
        assert [path.name for path in tmp_path.iterdir()] == ["m"]

    def test_a_foreign_folder_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "keep.txt").write_text("mine")
        with pytest.raises(ModelError, match="no saved recommender"):
            self.fitted().save(tmp_path)
        assert (tmp_path / "keep.txt").read_text() == "mine"

    def test_damage_is_found(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="is missing"):
            self.kind.load(tmp_path / "m")
        self.fitted().save(tmp_path / "m")
        (tmp_path / "m" / "items.json").write_text('["i0"]')
        with pytest.raises(ModelError, match=r"items\.json changed"):
            self.kind.load(tmp_path / "m", verify=True)
        (tmp_path / "m" / "manifest.json").write_text("{}")
        with pytest.raises(ModelError, match="damaged"):
            self.kind.load(tmp_path / "m")

    def test_another_kind_is_refused(self, tmp_path: Path) -> None:
        other: type[Recommender] = Echo if self.kind is not Echo else Popularity
        other().fit(checkerboard()).save(tmp_path / "m")
        with pytest.raises(ModelError, match=f"expected '{self.kind.name}'"):
            self.kind.load(tmp_path / "m")

    def test_a_foreign_config_is_refused(self) -> None:
        class Foreign(RecommenderConfig):
            pass

        with pytest.raises(TypeError, match="Foreign"):
            self.kind(Foreign())


DETAILS = ItemDetails(
    names=(
        "Alien (1979)",
        "Aliens (1986)",
        "Alien: Covenant (2017)",
        "Heat (1995)",
        "Heat 2",
        "Airplane! (1980)",
        "Amour (2012)",
        "Up (2009)",
        "The Deep Blue (2001)",
        "Unknown",
    ),
    titles=("Alien", "Aliens", "Alien: Covenant", "Heat", "Heat 2", "Airplane!", "Amour", "Up", "The Deep Blue", ""),
    years=np.array([1979, 1986, 2017, 1995, 0, 1980, 2012, 2009, 2001, 0], dtype=np.int16),
    documents=(
        "Alien (1979). horror, sci-fi. A crew meets a monster on a ship. Ridley Scott, Sigourney Weaver.",
        "Aliens (1986). action, sci-fi. Marines hunt monsters. James Cameron, Sigourney Weaver.",
        "Alien: Covenant (2017). horror, sci-fi. Colonists find a planet. Ridley Scott, Michael Fassbender.",
        "Heat (1995). crime. A detective hunts a thief. Michael Mann, Al Pacino.",
        "Heat 2. crime. The thief returns. Michael Mann.",
        "Airplane! (1980). comedy. A pilot must land a plane; everybody jokes. Leslie Nielsen.",
        "Amour (2012). drama, romance. An old couple loves. Michael Haneke.",
        "Up (2009). animation, comedy. A balloon lifts a house. Pete Docter.",
        "The Deep Blue (2001). documentary. Whales sing in the ocean.",
        "",
    ),
    tags={
        "genre": (
            ("horror", "sci-fi"),
            ("action", "sci-fi"),
            ("horror", "sci-fi"),
            ("crime",),
            ("crime",),
            ("comedy",),
            ("drama", "romance"),
            ("animation", "comedy"),
            ("documentary",),
            (),
        ),
        "person": (
            ("Ridley Scott", "Sigourney Weaver"),
            ("James Cameron", "Sigourney Weaver"),
            ("Ridley Scott", "Michael Fassbender"),
            ("Michael Mann", "Al Pacino"),
            ("Michael Mann",),
            ("Leslie Nielsen",),
            ("Michael Haneke",),
            ("Pete Docter",),
            (),
            (),
        ),
        "keyword": (("monster", "space ship"), ("monster",), ("planet",), ("thief",), ("thief",), (), (), (), (), ()),
    },
)
"""Ten films; the last is one of which nothing is known."""


def said(*lines: str, named: tuple[int, ...] = ()) -> Context:
    """``"S: text"`` is a message by the seeker, ``"R: text"`` one by the recommender."""
    return Context(np.array(named, dtype=np.int32), tuple(message(line) for line in lines))


def message(line: str, *mentions: str) -> Message:
    speaker, _, text = line.partition(": ")
    return Message("seeker" if speaker == "S" else "recommender", text, mentions)


def talks() -> TrainData:
    """The checkerboard's sequences, the ten films, and three dialogues: horror leads to 0 and 2, crime to 3, a laugh
    to 5."""
    dialogues = [
        _dialogue("1", message("S: something scary with a monster"), message("R: see @0", "i0")),
        _dialogue("2", message("S: scary monster in space"), message("R: @2 then", "i2"), message("S: bye")),
        _dialogue("3", message("S: crime like @4", "i4"), message("R: try @3", "i3")),
        _dialogue("4", message("S: a laugh please"), message("R: take @5", "i5")),
    ]
    return replace(checkerboard(), dialogues=tuple(dialogues), details=DETAILS)


def _dialogue(key: str, *messages: Message) -> Dialogue:
    return Dialogue(key, "1", "2", messages, {}, {}, {})


class TextContract(RecommenderContract):
    """What holds beside that for recommenders that read messages or item details."""

    def train(self) -> TrainData:
        return talks()

    def contexts(self) -> list[Context]:
        return [
            said("S: scary monster", "R: have you seen @0?", named=(0,)),
            said("S: a laugh"),
            said(),
            said("S: xyzzy qwerty", named=(9,)),
            said("S: a thief and a detective by Michael Mann", "R: Heat 2?", named=(4, 3)),
        ]

    def test_a_batch_of_conversations(self) -> None:
        recommender = self.fitted()
        scores = recommender.score(self.contexts())
        assert np.all(np.isfinite(scores))
        single = np.concatenate([recommender.score([context]) for context in self.contexts()])
        np.testing.assert_allclose(scores, single, rtol=1e-5, atol=1e-6)
        assert scores[0].max() > scores[0].min()

    def test_round_trip_of_conversations(self, tmp_path: Path) -> None:
        recommender = self.fitted()
        recommender.save(tmp_path / "m")
        scores = self.kind.load(tmp_path / "m").score(self.contexts())
        np.testing.assert_array_equal(scores, recommender.score(self.contexts()))

    def test_without_details_and_dialogues(self, tmp_path: Path) -> None:
        recommender = self.kind(self.config).fit(checkerboard())
        scores = recommender.score(self.contexts())
        assert np.ptp(scores, axis=0).max() == 0  # what is said changes nothing, and nothing fails
        recommender.save(tmp_path / "m")
        np.testing.assert_array_equal(self.kind.load(tmp_path / "m").score(self.contexts()), scores)
