"""Every recommender passes one suite of known answers; then what each does on its own."""

from __future__ import annotations

import numpy as np
import pytest
from convrec.core.errors import ModelError
from convrec.eval.metrics import top_k
from convrec.tools.datasets import Mention
from convrec.tools.recommenders.base import NEVER, RecommenderConfig
from convrec.tools.recommenders.data import TrainData, context_matrix, popularity_prior
from convrec.tools.recommenders.ease import EASE, EASEConfig
from convrec.tools.recommenders.echo import Echo
from convrec.tools.recommenders.item_knn import ItemKNN, ItemKNNConfig
from convrec.tools.recommenders.popularity import Popularity, PopularityConfig
from recommender_contract import N, RecommenderContract, checkerboard, named, train_of


class CollaborativeContract(RecommenderContract):
    """What holds for those that learn which items go together."""

    def test_checkerboard(self) -> None:
        # Sequence u lacks item u; given the rest of its colour, u is what must come first among the items not named.
        recommender = self.fitted()
        for missing in range(N):
            rest = [i for i in range(N) if i % 2 == missing % 2 and i != missing]
            scores = recommender.score([named(*rest)])
            scores[0, rest] = NEVER
            assert top_k(scores, 1)[0, 0] == missing
        # From one item of a colour, the four others of that colour come before all of the other colour.
        scores = recommender.score([named(3)])
        scores[0, 3] = NEVER
        assert sorted(top_k(scores, 4)[0].tolist()) == [1, 5, 7, 9]

    def test_without_context_popular_items_come_first(self) -> None:
        recommender = self.kind().fit(train_of([[0, 4], [4, 2], [4, 2, 0], [2, 1], [4]]))
        assert top_k(recommender.score([named()]), 3)[0].tolist() == [4, 2, 0]

    def test_an_unseen_item_changes_nothing(self) -> None:
        recommender = self.kind().fit(train_of([[0, 1], [0, 1], [2, 3]]))
        np.testing.assert_allclose(recommender.score([named(0)]), recommender.score([named(0, 9)]), rtol=1e-6)


class TestPopularity(RecommenderContract):
    kind = Popularity
    config = PopularityConfig(count="all")

    def test_counts_mentions_of_the_recommender(self) -> None:
        lines = [
            [Mention("i0", "seeker"), Mention("i1", "recommender"), Mention("i1", "recommender")],
            [Mention("i0", "seeker"), Mention("i2", "recommender"), Mention("i0", "seeker")],
        ]
        train = TrainData.from_mentions(["i0", "i1", "i2"], lines)
        assert Popularity().fit(train).score([named()]).tolist() == [[0, 2, 1]]
        both = Popularity(PopularityConfig(count="all")).fit(train)
        assert both.score([named(), named(0)]).tolist() == [[3, 2, 1]] * 2

    def test_no_recommender_is_an_error_not_a_guess(self) -> None:
        with pytest.raises(ModelError, match='count = "all"'):
            Popularity().fit(train_of([[0, 1]], speaker="seeker"))


class TestEcho(RecommenderContract):
    kind = Echo
    config = RecommenderConfig()

    def test_newest_first_and_nothing_else(self) -> None:
        scores = Echo().fit(checkerboard()).score([named(4, 1, 7), named()])
        assert top_k(scores, 5).tolist() == [[7, 1, 4, -1, -1], [-1] * 5]


class TestEASE(CollaborativeContract):
    kind = EASE
    config = EASEConfig(l2=0.5, popularity_weight=0.001)

    def test_is_the_closed_form(self) -> None:
        rng = np.random.default_rng(0)
        train = train_of([rng.choice(8, size=rng.integers(1, 5), replace=False).tolist() for _ in range(40)])
        x = train.matrix.toarray().astype(np.float64)
        inverse = np.linalg.inv(x.T @ x + 3.0 * np.eye(N))
        weights = -inverse / np.diag(inverse)
        np.fill_diagonal(weights, 0.0)
        contexts = [named(0, 3), named(9), named()]  # items 8 and 9 never occur
        expected = context_matrix(contexts, N).toarray() @ weights
        found = EASE(EASEConfig(l2=3.0, popularity_weight=0.0)).fit(train).score(contexts)
        np.testing.assert_allclose(found, expected, atol=1e-5)

    def test_min_sequences_and_size_limit(self) -> None:
        train = train_of([[0, 1], [0, 1], [2, 0]])
        few = EASE(EASEConfig(min_sequences=2, popularity_weight=0.0)).fit(train)
        assert few.score([named(0)])[0, 2] == 0
        assert few.score([named(0)])[0, 1] > 0
        with pytest.raises(ModelError, match="max_items = 2"):
            EASE(EASEConfig(max_items=2)).fit(train)


class TestItemKNN(CollaborativeContract):
    kind = ItemKNN
    config = ItemKNNConfig(neighbours=6, shrinkage=1.0, popularity_weight=0.001)

    def test_is_shrunk_cosine_of_the_nearest(self) -> None:
        train = train_of([[0, 1], [0, 1], [0, 2], [1]], 3)
        # counts 3, 3, 1; together: (0, 1) 2, (0, 2) 1
        plain = ItemKNN(ItemKNNConfig(shrinkage=1.0, popularity_weight=0.0)).fit(train)
        np.testing.assert_allclose(
            plain.score([named(0), named(1, 2)]),
            [[0, 2 / (3 + 1), 1 / (np.sqrt(3) + 1)], [2 / (3 + 1) + 1 / (np.sqrt(3) + 1), 0, 0]],
            rtol=1e-6,
        )
        one = ItemKNN(ItemKNNConfig(neighbours=1, shrinkage=1.0, popularity_weight=0.0)).fit(train)
        np.testing.assert_allclose(one.score([named(0)]), [[0, 0.5, 0]], rtol=1e-6)


class TestTrainData:
    def test_matrix_counts_and_digest(self) -> None:
        train = train_of([[0, 2, 0], [], [2, 5]])
        assert train.matrix.toarray()[:, [0, 2, 5]].tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 1]]
        assert train.popularity.tolist() == [1, 0, 2, 0, 0, 1, 0, 0, 0, 0]
        assert train.rows.tolist() == [0, 2, 0, 2, 5]  # the sequences themselves keep repeats and order
        assert train.digest == train_of([[0, 2, 0], [], [2, 5]]).digest
        assert train.digest != train_of([[0, 2], [0], [2, 5]]).digest

    def test_unknown_items_are_left_out(self) -> None:
        train = TrainData.from_mentions(["a"], [[Mention("b", "seeker"), Mention("a", "seeker")]])
        assert (train.rows.tolist(), train.offsets.tolist()) == ([0], [0, 1])

    @pytest.mark.parametrize(
        ("offsets", "rows", "message"),
        [
            ([1, 2], [0, 0], "start with 0"),
            ([0, 2, 1], [0], "never fall"),
            ([0, 3], [0, 0], "length"),
            ([0, 1], [9], "0..1"),
        ],
    )
    def test_wrong_arrays_are_refused(self, offsets: list[int], rows: list[int], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            TrainData(
                ("a", "b"),
                np.array(offsets),
                np.array(rows, dtype=np.int32),
                np.zeros(len(rows), dtype=np.bool_),
                np.zeros(len(rows), dtype=np.bool_),
            )

    def test_prior_is_scaled(self) -> None:
        prior = popularity_prior(train_of([[0, 1], [0]], 3))
        np.testing.assert_allclose(prior, [1, np.log(2) / np.log(3), 0], rtol=1e-6)
        assert popularity_prior(train_of([], 2)).tolist() == [0, 0]
