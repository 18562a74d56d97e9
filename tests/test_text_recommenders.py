"""Recommenders that read the conversation and the item details: the shared suite, then known answers of each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from convrec.core.embedding import HashingEmbedder
from convrec.core.errors import ModelError
from convrec.core.items import FloatArray
from convrec.eval.metrics import top_k
from convrec.tools.datasets import Mention
from convrec.tools.recommenders import text
from convrec.tools.recommenders.base import Recommender, RecommenderConfig
from convrec.tools.recommenders.bm25 import BM25, BM25Config
from convrec.tools.recommenders.content_embedding import ContentEmbedding, ContentEmbeddingConfig, Embed
from convrec.tools.recommenders.conversation_knn import ConversationKNN, ConversationKNNConfig
from convrec.tools.recommenders.data import Context, ItemDetails, TrainData
from convrec.tools.recommenders.graph import ItemGraph, ItemGraphConfig
from convrec.tools.recommenders.keywords import Keywords, KeywordsConfig, unambiguous_surnames
from convrec.tools.recommenders.links import Links, LinksConfig, franchise
from recommender_contract import DETAILS, TextContract, checkerboard, message, named, said, talks

TITLES = {"i0": "Alien", "i3": "Heat", "7": "Up"}


def one(recommender: Recommender, context: Context) -> FloatArray:
    """The scores of one context; shape (n_items,)."""
    line: FloatArray = recommender.score([context])[0]
    return line


def best(recommender: Recommender, context: Context, k: int) -> list[int]:
    found: list[int] = top_k(recommender.score([context]), k)[0].tolist()
    return found


def ten(**lists: dict[int, tuple[str, ...]]) -> TrainData:
    """Ten items without names that have only the tags given, by kind and row."""
    tags = {kind: tuple(values.get(row, ()) for row in range(10)) for kind, values in lists.items()}
    details = ItemDetails(("",) * 10, ("",) * 10, np.zeros(10, dtype=np.int16), ("",) * 10, tags)
    return replace(checkerboard(), details=details)


class TestText:
    def test_marks_are_written_out_or_removed(self) -> None:
        asked = message("S: I saw @7,@8 and  Up", "7")
        assert text.written_out(asked, {"7": "Up (2009)"}) == "I saw Up (2009) , and Up"
        assert text.plain_words(message("S: I saw @7 twice", "7"), TITLES) == "I saw twice"

    @pytest.mark.parametrize(
        ("typed", "plain"),
        [
            ("I liked HEAT (1995) a lot", "I liked a lot"),
            ("Heat, then heated talk", ", then heated talk"),  # whole words only
            ("heat (1972)", ""),
            ("Alien was fine", "Alien was fine"),  # not mentioned
        ],
    )
    def test_titles_typed_out_are_removed(self, typed: str, plain: str) -> None:
        assert text.plain_words(message(f"S: {typed}", "i3", "unknown"), TITLES) == plain

    def test_a_title_is_no_pattern(self) -> None:
        assert text.plain_words(message("S: (500) days? yes", "a"), {"a": "(500) days?"}) == "yes"

    def test_tokens(self) -> None:
        assert text.tokens("Sci-Fi, don’t: a 90s_film é!") == ["sci-fi", "don't", "90s", "film"]
        assert text.tokens("x" * 31) == []
        assert text.content_tokens("I really like scary movies") == ["scary"]


class TestItemGraph(TextContract):
    kind = ItemGraph
    config = ItemGraphConfig(restart=0.3, steps=3, kinds={"genre": 1.0, "person": 0.5})

    def test_is_the_walk(self) -> None:
        train = ten(genre={0: ("a", "b"), 1: ("a",), 2: ("b",), 3: ("c",)})
        graph = ItemGraph(ItemGraphConfig(restart=0.5, steps=2, kinds={"genre": 1.0})).fit(train)
        walk = np.zeros((10, 10))
        walk[:3, :3] = [[0.5, 0.25, 0.25], [0.5, 0.5, 0], [0.5, 0, 0.5]]
        walk[3, 3] = 1
        start = np.eye(10)[0]
        expected = 0.25 * start @ walk + 0.125 * start @ walk @ walk
        np.testing.assert_allclose(one(graph, named(0)), expected, rtol=1e-6)

    def test_only_what_is_reached_scores(self) -> None:
        scores = one(ItemGraph(ItemGraphConfig(steps=1)).fit(talks()), named(4))
        assert np.flatnonzero(scores).tolist() == [3, 4]

    def test_reads_no_interaction(self) -> None:
        without = TrainData.from_mentions(talks().item_ids, [], details=DETAILS)
        contexts = TextContract().contexts()
        found = ItemGraph().fit(without).score(contexts)
        np.testing.assert_array_equal(found, ItemGraph().fit(talks()).score(contexts))


class TestBM25(TextContract):
    kind = BM25
    config = BM25Config(last_messages=2, seeker_weight=3.0, k1=0.9, b=0.4)

    def test_is_the_formula(self) -> None:
        documents = ("whale whale sea", "sea ship", "", *("",) * 7)
        train = replace(talks(), details=replace(DETAILS, documents=documents))
        found = one(BM25(BM25Config(k1=1.2, b=0.75)).fit(train), said("R: whale"))
        idf, mean = np.log(1 + (10 - 1 + 0.5) / (1 + 0.5)), 0.5
        assert found[0] == pytest.approx(idf * 2 / (2 + 1.2 * (1 - 0.75 + 0.75 * 3 / mean)), rel=1e-5)
        assert not found[1:].any()

    def test_weights_and_window(self) -> None:
        bm25 = BM25(BM25Config(seeker_weight=2.0, last_messages=2)).fit(talks())
        np.testing.assert_allclose(one(bm25, said("S: whales")), 2 * one(bm25, said("R: whales")))
        assert not one(bm25, said("S: whales", "R: hm", "S: hm")).any()

    def test_titles_and_stop_words_ask_for_nothing(self) -> None:
        bm25 = BM25().fit(talks())
        asked = Context(np.array([3], dtype=np.int32), (message("S: Heat (1995) is what I like", "i3"),))
        assert not one(bm25, asked).any()


class TestConversationKNN(TextContract):
    kind = ConversationKNN
    config = ConversationKNNConfig(last_messages=3, neighbours=2, item_weight=0.5, power=2.0, min_contexts=1)

    def test_the_same_words_lead_to_the_same_item(self) -> None:
        knn = ConversationKNN(ConversationKNNConfig(min_contexts=1)).fit(talks())
        scores = one(knn, said("S: a laugh please"))
        assert scores[5] == pytest.approx(1.0)  # its own context: cosine 1
        assert np.flatnonzero(scores).tolist() == [5]
        assert best(knn, said("S: scary monster in space"), 2) == [2, 0]

    def test_named_items_count_without_words(self) -> None:
        knn = ConversationKNN(ConversationKNNConfig(item_weight=1.0, min_contexts=1)).fit(talks())
        scores = one(knn, named(4))
        assert scores[3] == pytest.approx(np.sqrt(0.5))  # half of that context is its words
        assert np.flatnonzero(scores).tolist() == [3]
        words_only = ConversationKNN(ConversationKNNConfig(item_weight=0.0, min_contexts=1)).fit(talks())
        assert not one(words_only, named(4)).any()

    def test_only_neighbours_vote(self) -> None:
        nearest = ConversationKNN(ConversationKNNConfig(neighbours=1, min_contexts=1)).fit(talks())
        assert np.flatnonzero(one(nearest, said("S: scary monster in space"))).tolist() == [2]

    def test_nothing_similar(self) -> None:
        assert not ConversationKNN().fit(talks()).score([said(), said("S: xyzzy"), named(9)]).any()


class TestLinks(TextContract):
    kind = Links
    config = LinksConfig(person_weight=0.5, word_weight=0.2, franchise_weight=1.0, rare_word=3, decay=0.5)

    def contexts(self) -> list[Context]:
        return [said("S: hi", named=(0,)), said(), said(named=(9,)), said("S: a", named=(4, 3, 0))]

    def test_is_the_sum_of_shared_people(self) -> None:
        train = ten(person={0: ("a", "b"), 1: ("a",), 2: ("a", "b"), 3: ("c",)})
        links = Links(LinksConfig(decay=0.5)).fit(train)
        a, b = np.log(10 / 3), np.log(10 / 2)
        np.testing.assert_allclose(one(links, named(0)), [0, a, a + b, *(0,) * 7], rtol=1e-6)
        np.testing.assert_allclose(one(links, named(0, 1)), [a, 0.5 * a, a + 0.5 * (a + b), *(0,) * 7], rtol=1e-6)

    def test_a_franchise_is_found_without_people(self) -> None:
        train = replace(talks(), details=replace(DETAILS, tags={}))
        scores = one(Links(LinksConfig(word_weight=0.0, franchise_weight=4.0)).fit(train), named(4, 0))
        assert scores.tolist() == pytest.approx([0, 0, 4.0, 4.0 * 0.7, *(0,) * 6])

    @pytest.mark.parametrize(
        ("title", "expected"),
        [
            ("Rocky IV", "rocky"),
            ("Toy Story 3", "toy story"),
            ("The Godfather: Part II", "the godfather"),
            ("Kill Bill Vol. 2", "kill bill"),
            ("1941", "1941"),
            ("Se7en", "se7en"),
            ("", ""),
        ],
    )
    def test_franchise(self, title: str, expected: str) -> None:
        assert franchise(title) == expected


class TestKeywords(TextContract):
    kind = Keywords
    config = KeywordsConfig(last_messages=4, recommender_weight=0.5, popularity_weight=0.02)

    def fitted_plain(self, **settings: float) -> Recommender:
        return Keywords(KeywordsConfig(popularity_weight=0.0).model_copy(update=settings)).fit(talks())

    @pytest.mark.parametrize(
        ("words", "rows"),
        [
            ("something scary", [0, 2]),
            ("Sci Fi or scifi", [0, 1, 2]),
            ("a sci-fi", [0, 1, 2]),
            ("romcom", [6, 5, 7]),  # romance is rarer than comedy here, so it weighs more
            ("animated", [7]),
            ("on a space ship", [0]),
            ("with sigourney weaver", [0, 1]),
        ],
    )
    def test_what_is_said_finds_its_items(self, words: str, rows: list[int]) -> None:
        scores = one(self.fitted_plain(), said(f"S: {words}"))
        assert sorted(np.flatnonzero(scores).tolist()) == sorted(rows)
        assert int(np.argmax(scores)) == rows[0]

    def test_is_the_share_of_the_weight(self) -> None:
        scores = one(self.fitted_plain(), said("S: scary", "R: comedy"))
        horror, comedy = np.log(10 / 2), 0.3 * np.log(10 / 2)
        assert scores[0] == pytest.approx(horror / (horror + comedy))
        assert scores[5] == pytest.approx(comedy / (horror + comedy))

    def test_popularity_breaks_ties_and_serves_an_empty_context(self) -> None:
        train = TrainData.from_mentions(talks().item_ids, [[Mention("i2", "seeker")]], details=DETAILS)
        keywords = Keywords(KeywordsConfig(popularity_weight=0.1)).fit(train)
        assert best(keywords, said("S: horror"), 2) == [2, 0]
        assert one(keywords, said()).tolist() == pytest.approx([0, 0, 0.1, *(0,) * 7])

    def test_surnames_only_where_they_are_clear(self) -> None:
        people = [("Ada Zoll", "Ann Love", "Bo Ek")] * 3 + [("Cy Zoll",)] + [("Dan Zweig",)] * 3 + [("Eva Zweig",)] * 3
        details = replace(DETAILS, tags={"person": tuple(people)}, documents=("They love.",) * 10)
        assert unambiguous_surnames(details) == {"zoll": "ada zoll"}
        keywords = Keywords(KeywordsConfig(popularity_weight=0.0)).fit(replace(talks(), details=details))
        assert np.flatnonzero(one(keywords, said("S: anything by Zoll?"))).tolist() == [0, 1, 2]


class Hashed(ContentEmbedding):
    """With an embedder that needs no model."""

    def __init__(self, config: RecommenderConfig | None = None, *, seed: int = 0, embed: Embed | None = None) -> None:
        super().__init__(config, seed=seed, embed=embed or HashingEmbedder(64).embed)


class TestContentEmbedding(TextContract):
    kind = Hashed
    config = ContentEmbeddingConfig(characters=40, named_weight=0.5)

    def test_is_cosine_plus_mean_cosine(self) -> None:
        embed = HashingEmbedder(64).embed
        items = embed(DETAILS.documents)
        asked = embed(["monster on Alien (1979)\nok"])[0]
        scores = one(Hashed(ContentEmbeddingConfig(named_weight=0.5)).fit(numbered()), films_named())
        np.testing.assert_allclose(scores, items @ asked + 0.5 * items @ items[[3, 0]].mean(0), atol=2e-3)

    def test_only_the_newest_characters_are_read(self) -> None:
        recommender = Hashed(ContentEmbeddingConfig(characters=6)).fit(talks())
        np.testing.assert_array_equal(
            one(recommender, said("S: comedy", "R: whales", "S: whales")), one(recommender, said("S: whales"))
        )

    def test_nothing_said_and_nothing_named(self) -> None:
        assert not one(Hashed().fit(talks()), said()).any()

    def test_no_embedder_says_what_to_do(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="models pull"):
            ContentEmbedding().fit(talks())
        Hashed().fit(talks()).save(tmp_path / "m")
        loaded = ContentEmbedding.load(tmp_path / "m")
        assert one(loaded, named(0)).argmax() == 0  # named items need no embedder
        with pytest.raises(ModelError, match=r"\.embed"):
            loaded.score([said("S: whales")])
        loaded.embed = HashingEmbedder(32).embed
        with pytest.raises(ModelError, match="64 dimensions, embed gives 32"):
            loaded.score([said("S: whales")])
        loaded.embed = HashingEmbedder(64).embed
        assert one(loaded, said("S: whales in the ocean")).argmax() == 8


def numbered() -> TrainData:
    """The films with ids 0..9, as marks in texts need them."""
    return TrainData.from_mentions([str(row) for row in range(10)], [], details=DETAILS)


def films_named() -> Context:
    return said("S: monster on @0", "R: ok", named=(3, 0))
