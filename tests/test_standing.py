"""Which words of a message hold for good, and what of a running request stays when they are kept in memory."""

import pytest
from convrec.tools.standing import lasting
from demo_agent import ask, make_agent


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("a korean comedy please, and never show me horror", "never show me horror"),
        ("never show me horror, gore or torture", "never show me horror, gore or torture"),
        ("no horror, ever", "no horror, ever"),
        ("i never watch horror. something funny tonight", "i never watch horror"),
        ("never horror, and a korean comedy please", "never horror"),
        ("i hate gore as a rule, something light", "i hate gore as a rule"),
        ("something scary but never with clowns", "but never with clowns"),
        ("always something french, please", "always something french, please"),
        ("i never got it", None),
    ],
)
def test_only_the_part_with_the_lasting_word_is_kept(said: str, kept: str | None) -> None:
    parts = [said[start:end].strip(", ").removeprefix("and ") for start, end in lasting(said)]
    assert parts == ([] if kept is None else [kept])


def test_the_wish_of_the_day_stays_when_a_standing_instruction_comes_with_it() -> None:
    agent = make_agent()
    first = ask(agent, "a Korean comedy please, and never show me horror")
    assert set(first.conditions) == {"comedy", "Korean", "not horror"}
    later = ask(agent, "older")
    assert {"comedy", "Korean"} <= set(later.conditions)
    assert first.items
    assert later.items
