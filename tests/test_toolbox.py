"""Tools, predicates and the verifier on their own."""

from __future__ import annotations

import numpy as np
import pytest
from convrec.agent.verifier import Verifier, violations
from convrec.core.errors import ToolFailed, ToolRetry
from convrec.tools.candidates import Candidates
from convrec.tools.content import ContentModel
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
from convrec.tools.toolbox import FilterTool, RankTool, SearchTool, SimilarTool
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
