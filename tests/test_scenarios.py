"""Scenarios: the format, the verdicts with known answers, the shipped ones counted, a real agent and bad ones."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

import pytest
from convrec.core.errors import ConvrecError, DatasetError, RequestError
from convrec.core.items import Item
from convrec.eval.run_folder import RunFolder
from convrec.eval.scenarios.check import check, problems
from convrec.eval.scenarios.families import FAMILIES
from convrec.eval.scenarios.generate import generate, write
from convrec.eval.scenarios.load import SHIPPED, load, load_file
from convrec.eval.scenarios.model import Constraint, Mark, Scenario, Turn
from convrec.eval.scenarios.model import Test as FieldTest
from convrec.eval.scenarios.play import asked_about, play, says_nothing_fits
from convrec.eval.scenarios.run import config, run_scenarios
from convrec.eval.scenarios.verdicts import Seen, Solver, judge, pass_hat_k, satisfies
from convrec.eval.scenarios.verdicts import test_holds as holds
from convrec.eval.subject import LocalSubject, Reply
from convrec.tools.predicates import AllOf, AnyOf, Expr, Not, Op
from convrec.tools.predicates import Test as Predicate
from demo_agent import demo_catalogue, make_agent
from spoken_subject import SpokenSubject, shows

COMEDY = Constraint(id="genre", say=("a comedy",), any_of=((FieldTest(field="genres", any=("Comedy",)),),))
SHORT = Constraint(id="short", say=("under 100 minutes",), any_of=((FieldTest(field="runtime", max=100),),))
NO_WAR = Constraint(id="no-war", say=("no war",), any_of=((FieldTest(field="genres", none=("War",)),),), firm=True)


@cache
def solver() -> Solver:
    """The demo catalogue's records, read once."""
    return Solver(demo_catalogue().items(demo_catalogue().rows(None)))


@cache
def demo_records() -> dict[str, Item]:
    return {item.id: item for item in solver().items}


def wrong(*scenarios: Scenario) -> list[str]:
    return [text for one in scenarios for text in problems(one, solver(), demo_catalogue().schema)]


def film(name: str, genres: tuple[str, ...] = ("Comedy",), runtime: int | None = 90, row: int = 0) -> Item:
    return Item(name, name.title(), row, {"genres": genres, "runtime": runtime, "year": 1999})


FILMS = [
    film("a"),
    film("b", ("Comedy", "War")),
    film("c", ("Drama",)),
    film("d", runtime=None),
    film("e", runtime=140),
]
RECORDS = {item.id: item for item in FILMS}


def scenario(**changes: object) -> Scenario:
    made: dict[str, object] = {
        "id": "one-01",
        "family": "one",
        "what": "short comedies",
        "constraints": (COMEDY, SHORT),
        "turns": (Turn(text=("I want {wishes}.",), say=("genre", "short")),),
        "policies": ("availability", "seen"),
        "solutions": 2,
        "goal_solutions": 2,
    }
    return Scenario.model_validate({**made, **changes})


def seen(*names: str, **changes: object) -> Seen:
    made: dict[str, object] = {
        "turn": 1,
        "ids": names,
        "titles": tuple(RECORDS[n].label if n in RECORDS else n for n in names),
        "active": (COMEDY, SHORT),
        "excluded": frozenset(),
        "relaxed": (),
        "said_nothing": False,
        "asked": False,
        "expect": "slate",
        "count": None,
    }
    return Seen(**{**made, **changes})  # type: ignore[arg-type]


# -- tests, solutions, pass^k --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("test", "value", "expected"),
    [
        (FieldTest(field="genres", any=("War", "Comedy")), ("Comedy",), True),
        (FieldTest(field="genres", any=("War",)), ("Comedy",), False),
        (FieldTest(field="genres", any=("War",)), (), False),
        (FieldTest(field="genres", none=("War",)), ("Comedy", "War"), False),
        (FieldTest(field="genres", none=("War",)), (), True),
        (FieldTest(field="certificate", any=("G",)), "G", True),
        (FieldTest(field="certificate", none=("R",)), None, True),
        (FieldTest(field="year", min=1990, max=1999), 1999, True),
        (FieldTest(field="year", min=1990, max=1999), 2000, False),
        (FieldTest(field="year", max=1999), None, False),
        (FieldTest(field="year", max=1999), "1990", False),
        (FieldTest(field="certificate", missing=True), None, True),
        (FieldTest(field="certificate", missing=True), "R", False),
    ],
)
def test_one_test_of_one_value(test: FieldTest, value: object, expected: bool) -> None:
    assert holds(test, value) is expected  # type: ignore[arg-type]


def test_solutions_are_counted_on_records() -> None:
    solver = Solver(FILMS)
    assert solver.solutions([COMEDY, SHORT]) == {"a", "b"}
    assert solver.solutions([COMEDY, SHORT, NO_WAR], without=["a"]) == frozenset()
    mostly = Constraint(id="like", say=("like x",), any_of=COMEDY.any_of, share=0.6)
    assert len(solver.solutions([mostly])) == len(FILMS)  # likeness narrows nothing


def test_pass_hat_k() -> None:
    assert pass_hat_k(3, 4, 1) == 0.75
    assert pass_hat_k(3, 4, 2) == 0.5
    assert pass_hat_k(3, 4, 4) == 0.0
    assert pass_hat_k(4, 4, 4) == 1.0
    with pytest.raises(ValueError, match="at least 4 runs"):
        pass_hat_k(2, 3, 4)


# -- verdicts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (seen("a", "c"), "C (1999) breaks genre"),
        (seen("a", "d"), "D (1999) breaks short"),
        (seen(), "no item was recommended"),
        (seen("a", excluded=frozenset({"a"})), "seen, named or rejected"),
        (seen("ghost"), "not in the catalogue"),
        (seen("a", "a"), "twice"),
        (seen("a", "b", count=1), "asked for 1"),
        (seen("a", titles=("Titanic",)), "was shown as"),
        (seen("e", relaxed=("short",)), "although items fit"),
        (seen("b", active=(COMEDY, NO_WAR), relaxed=("anything",)), "breaks no-war"),
    ],
)
def test_what_fails(reply: Seen, problem: str) -> None:
    verdict = judge(scenario(), [reply], RECORDS)
    assert not verdict.passed
    assert any(problem in text for text in verdict.problems), verdict.problems


def test_what_passes() -> None:
    assert judge(scenario(), [seen("a", "b")], RECORDS).passed
    assert judge(scenario(), [seen("a", titles=("A",))], RECORDS).passed  # without its year


def test_a_conversation_cut_short_fails() -> None:
    two = scenario(turns=(*scenario().turns, Turn(text=("What else?",))))
    assert not judge(two, [seen("a")], RECORDS).passed
    assert judge(two, [seen("a"), seen("b", turn=2)], RECORDS).passed


def test_when_nothing_fits_it_must_be_said() -> None:
    wishes = (COMEDY, SHORT, NO_WAR)
    none = scenario(
        constraints=wishes,
        turns=(Turn(text=("{wishes}",), say=("genre", "short", "no-war"), expect="nothing"),),
        solutions=0,
        goal_solutions=0,
    )
    empty = {"expect": "nothing", "active": wishes}
    assert not judge(none, [seen(**empty)], RECORDS).passed  # says nothing of it
    assert judge(none, [seen(**empty, said_nothing=True)], RECORDS).passed
    # Near misses may be shown when what was let go is named, one condition each; a firm one may not be let go.
    assert judge(none, [seen("e", **empty, said_nothing=True, relaxed=("short",))], RECORDS).passed
    assert not judge(none, [seen("c", "e", **empty, said_nothing=True)], RECORDS).passed
    assert not judge(none, [seen("b", **empty, said_nothing=True, relaxed=("war",))], RECORDS).passed


def test_likeness_is_a_share_of_the_list() -> None:
    mostly = Constraint(id="like", say=("like x",), any_of=COMEDY.any_of, share=0.6)
    assert judge(scenario(), [seen("a", "b", "c", active=(mostly,))], RECORDS).passed
    assert not judge(scenario(), [seen("a", "c", active=(mostly,))], RECORDS).passed


def test_the_goal_needs_what_was_kept_back() -> None:
    hidden = Constraint(id="hidden", reveal="hidden", any_of=NO_WAR.any_of)
    task = scenario(constraints=(COMEDY, SHORT, hidden), goal_solutions=1)
    assert judge(task, [seen("a", "b")], RECORDS).goal
    verdict = judge(task, [seen("b")], RECORDS)
    assert verdict.passed
    assert not verdict.goal


# -- playing -------------------------------------------------------------------------------------------------------


def test_repeats_differ_in_words_and_order_and_can_be_repeated() -> None:
    task = scenario(
        constraints=(COMEDY.model_copy(update={"say": ("a comedy", "comedies", "something funny")}), SHORT, NO_WAR),
        turns=(Turn(text=("I want {wishes}.", "Find me {wishes}."), say=("genre", "short", "no-war"), split=True),),
        solutions=1,
        goal_solutions=1,
    )

    def messages(repeat: int, seed: int = 0) -> list[str]:
        subject = SpokenSubject(lambda text, user, session: shows([FILMS[0]]))
        assert play(task, subject, RECORDS, repeat=repeat, seed=seed).verdict.passed
        assert len(subject.forgotten) == 2  # before and after
        return [text for _, text in subject.heard]

    assert messages(0) == messages(0)
    told = {tuple(messages(repeat)) for repeat in range(8)}
    assert len(told) > 4
    assert {len(one) for one in told} == {1, 2}  # in one message or in two
    assert all(one[-1].index("no war") > one[-1].index(",") for one in told if len(one) == 1)  # denials come last


def test_what_is_marked_counts_from_then_on() -> None:
    task = scenario(
        turns=(*scenario().turns, Turn(text=("I have seen {item1}. What else?",), mark=(Mark(place=1, how="seen"),)))
    )
    stubborn = SpokenSubject(lambda text, user, session: shows([FILMS[0]]))
    verdict = play(task, stubborn, RECORDS, repeat=0, seed=0).verdict
    assert verdict.counts["policy_breaks"] == 1
    assert stubborn.heard[1][1] == "I have seen A. What else?"
    polite = SpokenSubject(lambda text, user, session: shows([FILMS[1 if "seen" in text else 0]]))
    assert play(task, polite, RECORDS, repeat=0, seed=0).verdict.passed


def test_questions_are_answered_with_what_was_kept_back() -> None:
    asked = SHORT.model_copy(update={"reveal": "on_ask"})
    task = scenario(constraints=(COMEDY, asked), turns=(Turn(text=("{wishes}",), say=("genre",)),), solutions=4)

    def answer(text: str, user: str, session: str) -> Reply:
        if "100" in text:
            return shows([FILMS[0]])
        return Reply("How long may it be?", question=True)

    played = play(task, SpokenSubject(answer), RECORDS, repeat=0, seed=0)
    assert (played.verdict.goal, played.revealed, played.answered) == (True, 1, 1)
    # One that asks on and on gets no list and fails.
    endless = SpokenSubject(lambda text, user, session: Reply("Which colour?", question=True))
    played = play(task, endless, RECORDS, repeat=0, seed=0)
    assert (played.verdict.passed, played.revealed, played.answered) == (False, 0, 3)


def test_an_error_of_the_subject_is_a_failed_run() -> None:
    def answer(text: str, user: str, session: str) -> Reply:
        raise ConvrecError("down")

    verdict = play(scenario(), SpokenSubject(answer), RECORDS, repeat=0, seed=0).verdict
    assert not verdict.passed
    assert "down" in verdict.problems[0]


def test_titles_in_no_catalogue_break_the_policy() -> None:
    invented = Reply("Watch these.", ("a",), ("A (1999)", "Never Made (2031)"))
    verdict = play(scenario(), SpokenSubject(lambda t, u, s: invented), RECORDS, repeat=0, seed=0).verdict
    assert verdict.counts["policy_breaks"] == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("No film here fits all of that.", True),
        ("Nothing matches, sorry.", True),
        ("I couldn't find any such film.", True),
        ("Here are two films.\n1. No Country for Old Men: fits", False),
        ("Here is one.", False),
    ],
)
def test_saying_that_nothing_fits(text: str, says: bool) -> None:
    assert says_nothing_fits(Reply(text)) is says


def test_what_a_question_is_about() -> None:
    assert asked_about(
        "Fine. From which decade?", Constraint(id="y", say=("x",), any_of=((FieldTest(field="year", min=1),),))
    )
    assert not asked_about("I like long films. Which genre?", SHORT)


# -- files ---------------------------------------------------------------------------------------------------------

GOOD = """
family: one
scenarios:
- id: one-01
  what: comedies
  constraints:
  - {id: genre, say: [a comedy], any_of: [[{field: genres, any: [Comedy]}]]}
  turns:
  - {text: ["{wishes}"], say: [genre]}
  solutions: 3
  goal_solutions: 3
"""


@pytest.mark.parametrize(
    ("old", "new", "where", "why"),
    [
        ("any: [Comedy]", "any: [Comedy], max: 3", "constraints[0].any_of[0][0]", "give one of"),
        ("say: [a comedy], any_of", "reveal: hidden, say: [a comedy], any_of", "constraints[0]", "never said"),
        ("say: [genre]}", "say: [gender]}", "(one-01)", "no constraint 'gender'"),
        ('["{wishes}"]', '["Hello."]', "turns[0]", "{wishes} is missing"),
        ("solutions: 3", "solutions: -3", "scenarios[0] (one-01).solutions", "greater than or equal"),
        ("what: comedies", "what: comedies\n  colour: red", "scenarios[0] (one-01).colour", "not permitted"),
        ("id: one-01", "id: One 1", "scenarios[0] (One 1).id", "pattern"),
        ("family: one", "families: one", "family", ""),
    ],
)
def test_an_error_names_file_field_and_remedy(tmp_path: Path, old: str, new: str, where: str, why: str) -> None:
    path = tmp_path / "mine.yaml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DatasetError) as caught:
        load_file(path)
    text = str(caught.value)
    assert str(path) in text
    assert where in text
    assert why in text
    assert "docs/scenarios.md" in text


@pytest.mark.parametrize("text", ["[1, 2", "- a", "!!python/object/apply:os.system ['true']", "\x00"])
def test_what_is_no_scenario_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError, match=r"bad\.yaml"):
        load_file(path)


def test_unknown_family_and_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="--family"):
        load(None, ["nope"])
    with pytest.raises(DatasetError, match=r"no \.yaml"):
        load(tmp_path)


# -- the shipped scenarios -------------------------------------------------------------------------------------------


def test_shipped_scenarios_have_the_solutions_they_state() -> None:
    scenarios = load()
    assert len(scenarios) >= 60
    assert {s.family for s in scenarios} == set(FAMILIES)
    assert sum(s.solutions == 0 for s in scenarios) >= 8
    assert {c.reveal for s in scenarios for c in s.constraints} == {"volunteer", "on_ask", "hidden"}
    assert wrong(*scenarios) == []


def test_the_checker_finds_wrong_numbers() -> None:
    first = load()[0]
    counted = first.model_copy(update={"solutions": first.solutions + 1})
    assert "correct the number" in check([counted], demo_catalogue())[0]
    bad = COMEDY.model_copy(update={"any_of": ((FieldTest(field="genres", any=("Comedie",)),),)})
    assert "no item has 'Comedie'" in wrong(scenario(constraints=(bad, SHORT)))[0]


def test_counting_agrees_with_the_catalogues_own_filter() -> None:
    """Two ways that share no code: tests on records here, SQL there."""
    catalogue, items = demo_catalogue(), solver().items
    constraints = [c for s in load() for c in s.constraints]
    for constraint in random.Random(0).sample(constraints, 25):
        by_sql = {items[row].id for row in catalogue.rows(_expr(constraint))}
        assert {item.id for item in items if satisfies(item, constraint)} == by_sql, constraint


def _expr(constraint: Constraint) -> Expr:
    return AnyOf(tuple(AllOf(tuple(_test(t) for t in group)) for group in constraint.any_of))


def _test(test: FieldTest) -> Expr:
    if test.any:
        return Predicate(test.field, Op.ANY, test.any)
    if test.none:
        return Not(Predicate(test.field, Op.ANY, test.none))
    if test.missing:
        return Predicate(test.field, Op.MISSING)
    bounds = [Predicate(test.field, op, (v,)) for op, v in ((Op.GE, test.min), (Op.LE, test.max)) if v is not None]
    return AllOf(tuple(bounds))


def test_the_generator_gives_the_shipped_files(tmp_path: Path) -> None:
    """Same seed, same catalogue, same files: they were not edited by hand. Some families; all take a while."""
    some = ("simple", "seen", "relaxed", "kept-back", "single")
    for path in write(generate(demo_catalogue(), seed=0, families=some), tmp_path, 0):
        assert path.read_bytes() == (SHIPPED / path.name).read_bytes(), path.name


# -- a real agent --------------------------------------------------------------------------------------------------


def test_a_real_agent_on_a_sample(tmp_path: Path) -> None:
    """One scenario each of the families in which nothing may go wrong; the run folder is the same when repeated."""
    chosen = [s for s in load() if s.id.endswith("-01")]
    strict = {"simple", "people", "decades", "runtime", "needle", "nothing", "relaxed", "single", "seen", "children"}
    chosen = [s for s in chosen if s.family in strict]
    subject = LocalSubject(make_agent(), close_agent=False)
    contents = []
    for name in ("one", "two"):
        setup = config(chosen, subject, demo_catalogue(), {}, 0)
        with RunFolder.open(tmp_path / name, setup) as run:
            metrics = run_scenarios(chosen, subject, demo_catalogue(), run, repeats=2, seed=0, records=demo_records())
        contents.append(
            [(tmp_path / name / file).read_bytes() for file in ("cases.jsonl", "metrics.json", "report.md")]
        )
    assert metrics["pass^2"] == 1.0, metrics
    assert metrics["violations"] == 0
    assert contents[0] == contents[1]


def test_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    task = [scenario(catalogue="demo", id=f"one-{n:02d}") for n in range(3)]
    calls: list[str] = []

    def answer(text: str, user: str, session: str) -> Reply:
        calls.append(user)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return Reply("No film fits.")

    subject = SpokenSubject(answer)
    setup = config(task, subject, demo_catalogue(), {}, 0)
    with pytest.raises(KeyboardInterrupt), RunFolder.open(tmp_path / "run", setup) as run:
        run_scenarios(task, subject, demo_catalogue(), run, repeats=1, seed=0, records=demo_records())
    with RunFolder.open(tmp_path / "run", setup) as run:
        metrics = run_scenarios(task, subject, demo_catalogue(), run, repeats=1, seed=0, records=demo_records())
    assert len(calls) == 4  # the first case was not played again
    assert (metrics["runs"], metrics["pass^1"]) == (3, 0.0)
