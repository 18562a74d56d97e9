"""Complaints about a list become critiques of it; what is no complaint stays as it was said."""

import pytest
from convrec.tools.complaints import as_critique
from demo_agent import ask, make_agent


@pytest.mark.parametrize(
    ("said", "put", "unmeasured"),
    [
        ("that's too silly", "less silly", ()),
        ("These are all too old for me", "newer", ()),
        ("not too dark please", "less dark please", ()),
        ("way too much violence", "less violence", ()),
        ("these are all so gloomy", "less gloomy", ()),
        ("that looks depressing, something funny?", "less depressing, something funny?", ()),
        ("too American", "not american", ()),
        ("a bit too mainstream", "a bit lesser known", ()),
        ("these are too well known", "lesser known", ()),
        ("they're all too similar", "something else", ()),
        ("those are all American", "not american", ()),
        ("all american again", "not american", ()),
        ("bit childish no?", "less childish no?", ()),
        ("sooo slow. need more action", "less slow. need more action", ()),
        ("never heard of any of these", "something else, well known", ()),
        ("could u do the same but british", "same but british", ()),
        ("meh", "something else", ()),
        ("boring", "less boring", ()),
        ("I've seen them all", "I've seen them all. something else", ()),
        ("hmm, too weird", "hmm, something else", ("weird",)),
        ("less weird, and from the 90s", "something else, and from the 90s", ("weird",)),
        ("not that long", "not that long", ()),
        ("less than two hours", "less than two hours", ()),
        ("I'm too tired for Heat", "I'm too tired for Heat", ()),
        ("you're too sweet", "you're too sweet", ()),
        ("Too Big to Fail", "Too Big to Fail", ()),
        ("that sounds scary, perfect", "that sounds scary, perfect", ()),
        ("not too long ago", "not too long ago", ()),
        ("not as good as Heat", "not as good as Heat", ()),
        ("too bad", "too bad", ()),
    ],
)
def test_a_complaint_becomes_what_is_wanted_instead(said: str, put: str, unmeasured: tuple[str, ...]) -> None:
    assert as_critique(said, running=True) == (put, unmeasured, said != put)


def test_without_a_list_only_tones_are_put_so() -> None:
    assert as_critique("a comedy, not too silly", running=False) == ("a comedy, less silly", (), True)
    assert as_critique("too weird", running=False) == ("too weird", (), False)


@pytest.mark.parametrize(
    ("complaint", "kept"),
    [("too violent", "less violent"), ("too american", "not American"), ("way too long", "at most")],
)
def test_the_running_request_goes_on_with_the_complaint_heeded(complaint: str, kept: str) -> None:
    agent = make_agent()
    first = ask(agent, "a drama")
    then = ask(agent, complaint)
    assert then.items
    assert any(kept in condition for condition in then.conditions)
    assert "drama" in then.conditions
    assert not {i.id for i in first.items} & {i.id for i in then.items}


def test_what_no_record_measures_is_said() -> None:
    agent = make_agent()
    first = ask(agent, "a thriller")
    then = ask(agent, "too weird")
    assert "No record says anything about “weird”" in then.text
    assert then.items
    assert not {i.id for i in first.items} & {i.id for i in then.items}


def test_little_known_films_come_first_when_they_are_asked_for() -> None:
    agent = make_agent()
    plain, obscure = ask(agent, "a comedy"), ask(agent, "an obscure comedy", session="other")
    assert max(i.fields["reviews"] for i in obscure.items) < min(i.fields["reviews"] for i in plain.items)
    assert "put first what is: little known" in obscure.text
