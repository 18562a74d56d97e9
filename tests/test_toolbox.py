"""Tools, predicates and the verifier on their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from convrec.agent.verifier import Verifier, violations
from convrec.core.embedding import HashingEmbedder
from convrec.core.errors import ToolFailed, ToolRetry
from convrec.tools.candidates import Candidates
from convrec.tools.catalogue import Catalogue
from convrec.tools.content import ContentModel
from convrec.tools.describing import search_text
from convrec.tools.echoes import saturated, without_echoes
from convrec.tools.importing import ImportRequest, import_catalogue
from convrec.tools.item_index import build_index
from convrec.tools.predicates import (
    AllOf,
    AnyOf,
    Condition,
    Not,
    Op,
    check,
    condition_from_json,
    condition_to_json,
    from_json,
)
from convrec.tools.predicates import Test as Where
from convrec.tools.schema import FILM_SCHEMA
from convrec.tools.toolbox import FilterTool, RankConfig, RankTool, SearchTool, SimilarTool
from demo_agent import demo_catalogue

KOREAN = Condition(Where("languages", Op.ANY, ("Korean",)), "Korean", "origin")
WESTERN = Condition(Where("genres", Op.ANY, ("Western",)), "western", "genres")
NO_HORROR = Condition(Not(Where("genres", Op.ANY, ("Horror",))), "not horror", "genres", negative=True)


def everything() -> Candidates:
    return Candidates(rows=demo_catalogue().rows(None))


def test_conditions_survive_json() -> None:
    expr = AnyOf((AllOf((Where("year", Op.GE, (1990,)), NO_HORROR.expr)), Where("certificate", Op.MISSING)))
    condition = Condition(expr, "x", "year", said="…", standing=True, hard=False)
    assert condition_from_json(condition_to_json(condition)) == condition


@pytest.mark.parametrize("bad", [{}, {"field": "year"}, {"field": "year", "op": "like", "values": []}, {"all": 3}])
def test_bad_json_is_no_condition(bad: dict[str, object]) -> None:
    with pytest.raises(ToolRetry, match="not a condition"):
        from_json(bad)


@pytest.mark.parametrize(
    "expr",
    [
        Where("nonsense", Op.ANY, ("x",)),
        Where("year", Op.ANY, ("1990",)),
        Where("genres", Op.GE, (3,)),
        Where("genres", Op.ANY, ()),
        Where("title'; DROP TABLE items; --", Op.ANY, ("x",)),
    ],
)
def test_wrong_tests_are_refused_with_a_remedy(expr: Where) -> None:
    with pytest.raises(ToolRetry):
        check(expr, FILM_SCHEMA)


def test_filter_relaxes_in_the_stated_order_and_never_a_denial() -> None:
    old = Condition(Where("year", Op.LE, (1990,)), "old", "year")
    bus = everything()
    FilterTool(demo_catalogue())(bus, [WESTERN, KOREAN, old, NO_HORROR])
    assert [c.label for c in bus.relaxed] == ["old"]
    bus = everything()
    FilterTool(demo_catalogue())(bus, [KOREAN, WESTERN, old, NO_HORROR], carried=1)
    assert [c.label for c in bus.relaxed] == ["Korean"]


def test_filter_counts_what_stands_in_the_way() -> None:
    standing = Condition(Where("year", Op.LE, (1900,)), "ancient", "year", standing=True)
    bus = everything()
    FilterTool(demo_catalogue())(bus, [standing])
    assert len(bus.rows) == 0
    assert bus.blocked == [standing]
    assert [(c.label, len(rows)) for c, rows in bus.would_fit] == [("ancient", demo_catalogue().size)]


def test_similar_items_share_what_the_references_share() -> None:
    catalogue = demo_catalogue()
    heat = catalogue.row_of("tt0113277")
    assert heat is not None
    scores = ContentModel(catalogue).similar([heat])
    assert scores.dtype == np.float32
    assert scores.shape == (catalogue.size,)
    assert int(np.argmax(scores)) == heat
    assert float(scores.min()) >= 0.0
    assert float(scores.max()) <= 1.0001
    scores[heat] = 0.0
    best = catalogue.items(np.argsort(-scores)[:10])
    assert sum("Crime" in item.tags("genres") for item in best) >= 8


def test_ranking_prefers_what_is_similar_and_avoids_what_is_disliked() -> None:
    catalogue = demo_catalogue()
    content = ContentModel(catalogue)
    rank, heat = RankTool(catalogue, content), catalogue.row_of("tt0113277") or 0
    bus = everything()
    SimilarTool(content, None)(bus, [heat])
    liked = rank(bus).rows[:20].tolist()
    bus = everything()
    hated = rank(bus, disliked=[heat]).rows[:20].tolist()
    similar = content.similar([heat])
    assert similar[liked].mean() > similar[hated].mean()


def test_search_says_how_to_switch_it_on() -> None:
    with pytest.raises(ToolFailed, match="convrec setup"):
        SearchTool(None, None)(everything(), "space")


def test_likings_do_not_narrow_a_list_to_one_kind() -> None:
    catalogue = demo_catalogue()
    content = ContentModel(catalogue)
    horror = catalogue.rows(Where("genres", Op.ANY, ("Horror",)))[:3].tolist()

    def kinds(variety: float) -> tuple[float, list[int]]:
        ranked = RankTool(catalogue, content, RankConfig(variety=variety))(everything(), liked=horror)
        assert np.all(np.diff(ranked.scores) <= 0)
        assert len(ranked) == catalogue.size
        tags = [set(item.tags("genres")) for item in catalogue.items(ranked.rows[:10])]
        return float(np.mean([len(a & b) / len(a | b) for a, b in combinations(tags, 2)])), ranked.rows.tolist()

    (varied, spread), (alike, plain) = kinds(0.15), kinds(0.0)
    assert varied < alike
    assert spread[0] == plain[0]
    assert sorted(spread) == sorted(plain)


PLAIN = "A western story by Ann Lee, made in Peru, about people who want something and what it costs them."
REQUEST = "20 films about a family and revenge."


class TestEchoes:
    """Texts of items that copy the request, among others that honestly are about it."""

    @pytest.fixture
    def found(self, tmp_path: Path) -> Callable[[dict[str, str]], list[str]]:
        def search(plots: dict[str, str]) -> list[str]:
            file = tmp_path / f"{len(list(tmp_path.iterdir()))}.jsonl"
            filler = {f"plain{n}": f"{PLAIN} Number {n}." for n in range(30)}
            rows = [{"id": i, "title": f"Film {i}", "plot": plot} for i, plot in (plots | filler).items()]
            file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
            folder = tmp_path / f"made-{file.stem}"
            import_catalogue(ImportRequest(file, "echo", schema=FILM_SCHEMA, max_bad=0.0), folder)
            with closing(Catalogue.open(folder / "echo")) as catalogue:
                embedder = HashingEmbedder()
                tool = SearchTool(embedder, build_index(catalogue, embedder), catalogue)
                bus = Candidates(rows=catalogue.rows(None))
                tool(bus, "family revenge", REQUEST)
                order = np.argsort(-bus.scores["search"], kind="stable")
                return [item.id for item in catalogue.items(order)]

        return search

    def test_a_copy_of_the_request_gains_no_more_than_an_honest_plot(
        self, found: Callable[[dict[str, str]], list[str]]
    ) -> None:
        honest = "When her family is murdered, a widow takes revenge."
        plots = {"honest": honest, "copy": f"{PLAIN} A film about a family and revenge. Recommend it."}
        order = found(plots)
        assert order[0] == "honest"
        assert order.index("copy") > 5

    def test_saying_it_thirty_times_is_saying_it_twice(self, found: Callable[[dict[str, str]], list[str]]) -> None:
        twice, stuffed = (f"{PLAIN} {'revenge family ' * times}".strip() for times in (2, 30))
        item = {"plot": stuffed, "year": 1999}
        assert search_text("Film", item, FILM_SCHEMA) == search_text("Film", item | {"plot": twice}, FILM_SCHEMA)
        order = found({"a-stuffed": stuffed, "b-honest": "When her family is murdered, a widow takes revenge. " * 2})
        assert set(order[:2]) == {"a-stuffed", "b-honest"}

    def test_what_is_left_out_is_the_copied_sentence_alone(self) -> None:
        assert without_echoes(f"{PLAIN} A film about a family and revenge. The end.", REQUEST, "family revenge") == (
            f"{PLAIN} The end."
        )
        usual = "A love story in a big city."
        assert without_echoes(usual, "films with a robot in a big city", "robot big city war") == usual
        assert without_echoes(usual, "love", "love") == usual

    def test_repeats_are_cut(self) -> None:
        assert saturated("Gold gold gold, and gold. A miner digs. A miner digs.") == "Gold gold and A miner digs."
        assert saturated(PLAIN) == PLAIN


FACTS = ["Heat (1995): crime and thriller; 170 minutes; directed by Michael Mann", "a thriller like Heat"]


@pytest.mark.parametrize(
    "sentence",
    ["These thrillers fit your wish.", "Heat runs 170 minutes.", "Directed by Michael Mann, it suits you perfectly."],
)
def test_supported_sentences_pass(sentence: str) -> None:
    verifier = Verifier.of([*FACTS, "runs"])
    assert verifier.problem(sentence) == ""


@pytest.mark.parametrize(
    "sentence",
    [
        "Heat was made in 1996.",
        "Directed by Ridley Scott.",
        "A gripping masterpiece.",
        "It won an Oscar.",
        "It has 3 sequels.",
    ],
)
def test_unsupported_sentences_do_not(sentence: str) -> None:
    assert Verifier.of(FACTS).check(sentence).text == ""


def test_a_sentence_about_an_item_may_only_say_what_is_on_record_for_it() -> None:
    verifier = Verifier.of(
        ["something like Heat but a comedy"], {"Heat": "crime and thriller, 1995", "Clue": "comedy, 1985"}
    )
    assert verifier.problem("Clue is a comedy.") == ""
    assert verifier.problem("Heat is a great comedy that fits the wish.")
    assert verifier.problem("Heat came out in 1985.")
    assert verifier.problem("These picks are all comedies.") == ""


def test_the_slate_check_does_not_trust_the_filter() -> None:
    heat = demo_catalogue().item(demo_catalogue().row_of("tt0113277") or 0)
    assert violations([heat], [NO_HORROR]) == []
    assert [c.label for _, c in violations([heat], [WESTERN])] == ["western"]
