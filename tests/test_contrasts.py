"""What sets the items of a list apart, and sentences that get it wrong."""

from __future__ import annotations

import pytest
from convrec.agent.contrasts import contrasts, false_superlatives, shared
from convrec.core.items import Item
from demo_agent import demo_catalogue


@pytest.fixture(scope="module")
def films() -> list[Item]:
    """Heat (170 minutes, 84%, 1995), Fargo (98 minutes, 94%, 1996, a comedy too), Alien (1979)."""
    catalogue = demo_catalogue()
    found = []
    for title, year in (("heat", 1995), ("fargo", 1996), ("alien", 1979)):
        hits = catalogue.items([h.row for h in catalogue.find_names([title]) if h.row is not None])
        found.append(next(item for item in hits if item.year == year))
    return found


def test_what_stands_out_is_told_once_per_item(films: list[Item]) -> None:
    told = contrasts(films[:2], demo_catalogue())
    assert told[films[1].row] == "the best reviewed, 94%"
    assert told[films[0].row] == "the longest, 170 minutes"
    assert len(contrasts(films, demo_catalogue(), most=1)) == 1


def test_small_differences_are_not_worth_a_word(films: list[Item]) -> None:
    assert not any("newest" in text for text in contrasts(films[:2], demo_catalogue(), most=9).values())


def test_one_item_has_nothing_to_be_compared_with(films: list[Item]) -> None:
    assert contrasts(films[:1], demo_catalogue()) == {}


def test_what_all_have_in_common(films: list[Item]) -> None:
    common = " ".join(shared(films[:2], demo_catalogue()))
    assert "thriller" in common
    assert "comedy" not in common


@pytest.mark.parametrize(
    ("sentence", "wrong"),
    [
        ("Heat is the longest, and Fargo the best reviewed.", 0),
        ("Fargo is the longest, and Heat the best reviewed.", 2),
        ("The shortest is Fargo, 98 minutes.", 0),
        ("The newest of them suits you.", 1),  # of which nothing is said
        ("Heat is a thriller.", 0),
        ("Fargo is the only one with comedy.", 0),
        ("Fargo is the only thriller.", 1),
    ],
)
def test_superlatives_belong_to_one_item(films: list[Item], sentence: str, wrong: int) -> None:
    assert len(list(false_superlatives(sentence, films[:2], demo_catalogue()))) == wrong
