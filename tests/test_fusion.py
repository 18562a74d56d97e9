"""The trained experts (SASRec, bi-encoder) and the learned fusion: known answers, cross-fitting, resume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_encoder
from convrec.core.errors import ModelError
from convrec.tools.datasets import Dialogue, Mention, mentions_of
from convrec.tools.recommenders import fusion, torch_sasrec
from convrec.tools.recommenders.base import Pooled, Recommender
from convrec.tools.recommenders.bi_encoder import BiEncoder, BiEncoderConfig
from convrec.tools.recommenders.data import Context, TrainData
from convrec.tools.recommenders.ease import EASE
from convrec.tools.recommenders.fusion import Fused, FusedConfig
from convrec.tools.recommenders.fusion_features import ItemPriors, case_features, feature_names
from convrec.tools.recommenders.sasrec import SASRec, SASRecConfig
from recommender_contract import DETAILS, RecommenderContract, TextContract, message, named, said, talks, train_of

pytestmark = pytest.mark.filterwarnings("ignore:.*enable_nested_tensor.*")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder.make(tmp_path_factory.mktemp("encoder"))


def _before(events: list[list[tuple[int, int]]], target: int) -> torch_sasrec._Windows:
    """Windows that all lead to one target that nobody named before."""
    wanted: list[dict[int, int]] = [{len(line): target} for line in events]
    return torch_sasrec._Windows._filled(max(map(len, events)), events, wanted)


class TestSASRec(RecommenderContract):
    kind = SASRec
    config = SASRecConfig(dimension=8, epochs=2, layers=1)

    def test_the_order_matters(self) -> None:
        """After 0, 1 comes 2; after 1, 0 comes 3: no bag of items can tell."""
        sequences = [[Mention("i0", "seeker"), Mention("i1", "seeker"), Mention("i2", "recommender")]] * 60
        sequences += [[Mention("i1", "seeker"), Mention("i0", "seeker"), Mention("i3", "recommender")]] * 60
        train = TrainData.from_mentions([f"i{i}" for i in range(5)], sequences)
        config = SASRecConfig(dimension=16, epochs=40, batch=16, dropout=0, weight_decay=0, learning_rate=5e-3)
        scores = SASRec(config).fit(train).score([named(0, 1), named(1, 0)])
        assert scores.argmax(axis=1).tolist() == [2, 3]

    def test_scores_are_those_of_the_network_it_was_trained_with(self) -> None:
        import torch

        config = SASRecConfig(dimension=8, layers=2, heads=2, epochs=1, dropout=0)
        model = SASRec(config).fit(train_of([[0, 1, 2], [3, 4, 1], [2, 2, 5]], 6))
        events: list[list[tuple[int, int]]] = [[(0, 0), (3, 0)], [], [(5, 0)]]
        weights = {name: torch.tensor(array) for name, array in model._weights.items()}
        chances = torch.ones(6) / 6  # read for sampled negatives only
        losses = [
            torch_sasrec._loss(torch, weights, config, _before(events, target), chances).item() for target in range(6)
        ]
        scores = model.score([named(0, 3), named(), named(5)]).astype(np.float64)
        log_share = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        np.testing.assert_allclose(losses, -log_share.mean(axis=0), rtol=1e-4)

    def test_who_named_an_item_counts(self) -> None:
        model = SASRec(SASRecConfig(dimension=8, epochs=3)).fit(train_of([[0, 1, 2]] * 20, 3))
        asked = Context(np.array([0], dtype=np.int32), (message("S: @0", "i0"),))
        told = Context(np.array([0], dtype=np.int32), (message("R: @0", "i0"),))
        assert not np.allclose(model.score([asked]), model.score([told]))
        np.testing.assert_array_equal(model.score([asked]), model.score([named(0)]))


class _WithEncoder:
    """The suite makes recommenders by class; this one finds the tiny encoder by itself."""

    folder: Path

    @pytest.fixture(autouse=True)
    def _encoder(self, encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(BiEncoder, "_folder", lambda self: encoder)


class TestBiEncoder(_WithEncoder, TextContract):
    kind = BiEncoder
    config = BiEncoderConfig(epochs=2, batch=4, frozen_layers=1, mention_contexts=10)

    def test_words_lead_to_what_was_recommended_after_them(self) -> None:
        config = BiEncoderConfig(epochs=80, batch=4, encoder_rate=1e-3, table_rate=1e-2, dropout=0, mention_contexts=0)
        model = BiEncoder(config).fit(talks())
        scores = model.score([said("S: a laugh please"), said("S: crime like @4")])
        assert scores.argmax(axis=1).tolist() == [5, 3]

    def test_it_goes_on_with_new_dialogues(self, tmp_path: Path) -> None:
        """What it learns later counts, what it learnt before stays, and a saved copy can go on too."""
        train = many_talks(1)
        new = [train.sequence_ids[0]]
        config = BiEncoderConfig(
            epochs=80, more_epochs=80, batch=4, encoder_rate=1e-3, table_rate=1e-2, dropout=0, mention_contexts=0
        )
        first = BiEncoder(config).fit(train.without(new))
        first.save(tmp_path / "first")
        contexts = [said("S: a laugh please"), said("S: crime like @4"), said("S: scary monster in space")]
        before = first.score(contexts)
        model = BiEncoder.load(tmp_path / "first").go_on(train, new)
        assert (
            model.score(contexts).argmax(axis=1).tolist()
            == BiEncoder(config).fit(train).score(contexts).argmax(axis=1).tolist()
        )
        assert not np.array_equal(first.score(contexts), model.score(contexts))
        np.testing.assert_array_equal(first.score(contexts), before)
        assert model.data_hash == train.digest

    def test_only_what_is_not_frozen_is_saved(self) -> None:
        model = self.fitted()
        assert isinstance(model, BiEncoder)
        assert {name.split(".")[2] for name in model._weights} == {"1"}

    def test_a_conversation_is_embedded_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        model = self.fitted()
        assert isinstance(model, BiEncoder)
        first = model.score([said("S: scary")])
        monkeypatch.setattr(model, "_loaded", lambda: pytest.fail("embedded again"))
        np.testing.assert_array_equal(model.score([said("S: scary")]), first)

    def test_the_newest_words_are_read(self, encoder: Path) -> None:
        from convrec.tools.recommenders.torch_encoder import TorchEncoder

        reader = TorchEncoder(encoder)
        tokens = reader.tokens("user: scary\nsystem: monster laugh\nuser: crime thief", 9)
        assert len(tokens) <= 9
        assert tokens[1:-1] == reader.tokens("user: crime thief", 9)[1:-1]

    def test_without_details_and_dialogues(self, tmp_path: Path) -> None:
        model = BiEncoder(self.config).fit(train_of([[0, 1]], 3))
        assert model.score([said("S: scary"), said()]).shape == (2, 3)


def test_without_an_encoder_the_command_is_named() -> None:
    with pytest.raises(ModelError, match="convrec models pull all-minilm-l6-v2"):
        BiEncoder().fit(talks())


def many_talks(copies: int = 8) -> TrainData:
    """The three dialogues many times over, with ids in order of time and their own sequences."""
    base = talks()
    dialogues = [
        Dialogue(str(100 * copy + number), d.seeker, d.recommender, d.messages, {}, {}, {})
        for copy in range(copies)
        for number, d in enumerate(base.dialogues)
    ]
    return TrainData.from_mentions(
        base.item_ids,
        [mentions_of(d) for d in dialogues],
        sequence_ids=[d.id for d in dialogues],
        dialogues=dialogues,
        details=DETAILS,
    )


LIGHT = FusedConfig(experts=("ease", "convknn", "links"), trees=20, min_leaf=2, blocks=3, costly=(), popular=3)


class TestFused:
    def fitted(self, **kw: Any) -> Fused:
        return Fused(LIGHT, seed=3, **kw).fit(many_talks())

    def test_it_puts_forward_what_was_recommended_after_such_words(self) -> None:
        scores = self.fitted().score([said("S: a laugh please"), said("S: scary monster in space")])
        assert scores[0].argmax() == 5
        assert scores[1].argmax() in (0, 2)

    def test_batches_equal_single_ones_and_fits_repeat(self) -> None:
        model, contexts = self.fitted(), [said("S: a laugh"), named(4), said()]
        batch = model.score(contexts)
        np.testing.assert_array_equal(batch, np.concatenate([model.score([context]) for context in contexts]))
        np.testing.assert_array_equal(self.fitted().score(contexts), batch)

    def test_round_trip(self, tmp_path: Path) -> None:
        model, contexts = self.fitted(), [said("S: scary monster"), named(4)]
        model.info = {"splits": ["redial-train"]}
        model.save(tmp_path / "m")
        loaded = Fused.load(tmp_path / "m", verify=True)
        np.testing.assert_array_equal(loaded.score(contexts), model.score(contexts))
        assert loaded.info == {"splits": ["redial-train"]}
        assert loaded.config == LIGHT

    def test_the_pool_holds_the_named_and_each_experts_best(self) -> None:
        model = self.fitted()
        assert isinstance(model, Pooled)
        (pool,) = model.pool([said("S: a laugh", named=(7,))])
        assert {5, 7} <= set(pool.tolist())
        assert np.all(np.isneginf(np.delete(model.score([said("S: a laugh", named=(7,))])[0], pool)))

    def test_no_expert_scores_a_dialogue_it_was_fitted_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        train = many_talks()
        fits: list[set[str]] = []
        scored: list[int] = []
        real_fit, real_cases = Recommender.fit, fusion.case_features

        def fit(self: Recommender, data: TrainData) -> Recommender:
            if isinstance(self, EASE):
                fits.append(set(data.sequence_ids))
            return real_fit(self, data)

        def cases(contexts: Sequence[Context], *args: Any) -> Any:
            scored.append(len(contexts))
            return real_cases(contexts, *args)

        monkeypatch.setattr(Recommender, "fit", fit)
        monkeypatch.setattr(fusion, "case_features", cases)
        Fused(LIGHT).fit(train)
        everything = set(train.sequence_ids)
        held_out = [everything - part for part in fits[:-1]]
        assert fits[-1] == everything
        assert len(held_out) == 3
        assert set.union(*held_out) == everything
        assert sum(map(len, held_out)) == len(everything)  # disjoint
        assert [sorted(map(int, part)) for part in held_out] == sorted(sorted(map(int, part)) for part in held_out)
        assert sum(scored) == len(train.dialogues)  # each recommends once

    def test_an_interrupted_fit_goes_on_where_it_stopped(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        fits = 0
        real = Recommender.fit

        def fit(self: Recommender, data: TrainData) -> Recommender:
            nonlocal fits
            fits += not isinstance(self, Fused)
            if fits == 6 and not (tmp_path / "again").exists():
                raise KeyboardInterrupt
            return real(self, data)

        monkeypatch.setattr(Recommender, "fit", fit)
        with pytest.raises(KeyboardInterrupt):
            self.fitted(work=tmp_path / "work")
        (tmp_path / "again").touch()
        fits = 0
        resumed = self.fitted(work=tmp_path / "work")
        assert fits == 3 * 4 - 5  # five experts were there
        monkeypatch.undo()
        np.testing.assert_array_equal(resumed.score([named(4)]), self.fitted().score([named(4)]))

    def test_kept_experts_of_other_data_are_not_used(self, tmp_path: Path) -> None:
        self.fitted(work=tmp_path)
        other = Fused(LIGHT, seed=3, work=tmp_path).fit(many_talks(5))
        fresh = Fused(LIGHT, seed=3).fit(many_talks(5))
        np.testing.assert_array_equal(other.score([named(4)]), fresh.score([named(4)]))

    def test_progress_rises_to_one(self) -> None:
        seen: list[float] = []
        model = Fused(LIGHT)
        model.progress = seen.append
        model.fit(many_talks())
        assert seen == sorted(seen)
        assert seen[-1] == pytest.approx(1)

    def test_data_without_text_is_refused(self) -> None:
        with pytest.raises(ModelError, match="dialogues with text"):
            Fused(LIGHT).fit(train_of([[0, 1]], 3))

    def test_an_unknown_expert_is_named(self) -> None:
        with pytest.raises(ModelError, match="'nosuch' is no recommender"):
            Fused(FusedConfig(experts=("nosuch",))).fit(many_talks())

    def test_a_costly_expert_is_fitted_once_and_goes_on(self, encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        train = many_talks()
        seen: list[tuple[str, set[str]]] = []
        real_fit, real_more = Recommender.fit, BiEncoder.go_on

        def fit(self: Recommender, data: TrainData) -> Recommender:
            seen.append((f"fit {self.name}", set(data.sequence_ids)))
            return real_fit(self, data)

        def more(self: BiEncoder, data: TrainData, new: Sequence[str]) -> BiEncoder:
            seen.append(("go on", set(new)))
            return real_more(self, data, new)

        monkeypatch.setattr(Recommender, "fit", fit)
        monkeypatch.setattr(BiEncoder, "go_on", more)
        config = FusedConfig(experts=("bi_encoder", "ease"), trees=5, min_leaf=2, newest=0.25)
        model = Fused(config, encoder=encoder).fit(train)
        everything = set(train.sequence_ids)
        newest = set(train.sequence_ids[-len(train.sequence_ids) // 4 :])
        assert seen[1:] == [
            ("fit bi_encoder", everything - newest),
            ("fit ease", everything - newest),
            ("go on", newest),
            ("fit ease", everything),
        ]
        assert {expert.data_hash for expert in model.experts().values()} == {train.digest}

    def test_with_the_bi_encoder(self, encoder: Path, tmp_path: Path) -> None:
        config = FusedConfig(experts=("bi_encoder", "ease"), trees=5, min_leaf=2, newest=0.5)
        train = many_talks(2)
        model = Fused(config, encoder=encoder).fit(train)
        model.save(tmp_path / "m")
        loaded = Fused.load(tmp_path / "m")
        with pytest.raises(ModelError, match="models pull"):
            loaded.score([said("S: scary")])
        loaded.encoder = encoder
        np.testing.assert_array_equal(loaded.score([said("S: scary")]), model.score([said("S: scary")]))


class TestFeatures:
    def test_known_values(self) -> None:
        priors = ItemPriors(*(np.array(v, dtype=np.float32) for v in ([2, 1, 0, 0], [1, 1, 0, 0], [1990, 0, 2000, 0])))
        context = Context(np.array([2], dtype=np.int32), (message("S: I like @2", "i2"), message("R: me too @2", "i2")))
        scores = {"a": np.array([[0, 1, 2, -np.inf]], dtype=np.float32)}
        (case,) = case_features([context], scores, {"a": 1}, priors, {"i2": 2}, 1)
        assert case.rows.tolist() == [0, 2]  # the most popular, and the best of "a"
        column = dict(zip(feature_names(["a"]), case.values.T.tolist(), strict=True))
        assert column["a.score"] == [0, 2]
        assert column["a.gap"] == [2, 0]
        assert column["a.rank"] == [pytest.approx(np.log(2)), 0]
        assert column["popularity"] == [2, 0]
        assert column["in_training"] == [1, 0]
        assert column["year_distance"] == [10, 0]
        assert column["named_age"] == [0, 1]
        assert column["named_times"] == [0, 2]
        assert column["named_by_seeker"] == [0, 0]
        assert column["n_named"] == [1, 1]
        assert column["last_is_seeker"] == [0, 0]

    def test_recent_popularity_halves(self) -> None:
        train = replace(train_of([[0], [1], [2]], 3), details=None)
        priors = ItemPriors.of(train, half_life=1)
        np.testing.assert_allclose(np.expm1(priors.recent), [0.25, 0.5, 1], rtol=1e-6)
        np.testing.assert_allclose(np.expm1(priors.popularity), [1, 1, 1], rtol=1e-6)
