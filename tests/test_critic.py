"""The critic: planted faults are caught, true drafts pass, a turn is repaired before anyone sees the fault."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from convrec.agent.critic import Critic, SlateDraft, repaired
from convrec.agent.critic_claims import Claims
from convrec.agent.events import Fallback, RecommendedItem, ToolRan
from convrec.agent.llm.scripted import scripted
from convrec.agent.plan import Plan
from convrec.agent.reply import slate_lines
from convrec.agent.request import Request
from convrec.core.items import Item
from convrec.core.settings import TurnSettings
from convrec.eval.reflection import CAUGHT_AIM, FALSE_AIM, config, run_reflection
from convrec.eval.run_folder import RunFolder
from convrec.tools.predicates import Condition, Not, Op
from convrec.tools.predicates import Test as Where
from demo_agent import demo_catalogue, make_agent, run

NO_HORROR = Condition(Not(Where("genres", Op.ANY, ("Horror",))), "not horror", "genres", negative=True)


def film(title: str, year: int) -> Item:
    catalogue = demo_catalogue()
    hits = catalogue.find_names([title.lower()])
    return next(i for i in catalogue.items([h.row for h in hits if h.row is not None]) if i.year == year)


def shown(item: Item, reason: str = "") -> RecommendedItem:
    fields = {name: value for name, value in item.fields.items() if value is not None and value != ()}
    return RecommendedItem(item.id, item.title, item.year, reason, 1.0, fields)


@pytest.fixture(scope="module")
def heat() -> Item:
    return film("heat", 1995)


@pytest.fixture(scope="module")
def fargo() -> Item:
    return film("fargo", 1996)


@pytest.mark.parametrize(
    ("sentence", "kinds"),
    [
        ("Heat (1995) is directed by Michael Mann.", []),
        ("Heat was directed by Joel Coen.", ["person"]),
        ("Michael Mann's Heat came out in 1995.", []),
        ("Heat came out in 1999.", ["year"]),
        ("Heat (1986) fits your wish.", ["year"]),
        ("Fargo (1996) is shorter than Heat (1995).", []),
        ("You might also enjoy The Silence of the Lambs.", ["outside"]),
        ("You might also enjoy Made Up Nights (2003).", ["outside"]),
        ("Heat was directed by Nobody Inparticular.", ["person"]),
        ("Heat runs 95 minutes.", ["number"]),
        ("Both are strong crime films for tonight.", []),
        ("With Tom Hanks in mind, these are the closest.", []),
    ],
)
def test_claims(sentence: str, kinds: list[str], heat: Item, fargo: Item) -> None:
    claims = Claims(demo_catalogue(), [heat, fargo], said="a crime film, maybe with Tom Hanks")
    assert [problem.kind for problem in claims.problems(sentence)] == kinds


def kinds_of(critic: Critic, draft: SlateDraft, request: Request, **options: Any) -> set[str]:
    return {fault.kind for fault in critic.draft(draft, request, **options)}


def test_a_true_draft_has_no_faults_and_each_planted_one_is_named(heat: Item, fargo: Item) -> None:
    catalogue = demo_catalogue()
    critic, request = Critic(catalogue), Request(conditions=[NO_HORROR])
    items = [shown(heat, "directed by Michael Mann"), shown(fargo)]
    rows = catalogue.rows(None)
    good = SlateDraft(items, slate_lines(items))
    assert critic.draft(good, request, candidates=rows) == []

    lied = [shown(heat, "directed by David Fincher"), shown(fargo)]
    assert kinds_of(critic, SlateDraft(lied, slate_lines(lied)), request) == {"person"}
    spoilt = [replace(items[0], fields={**items[0].fields, "year": 2001}), items[1]]
    assert kinds_of(critic, SlateDraft(spoilt, slate_lines(spoilt)), request) == {"year"}
    assert kinds_of(critic, SlateDraft(items, slate_lines(items).replace("(1996)", "(1997)")), request) == {"year"}
    swapped = slate_lines(items).replace("Fargo (1996)", "Casablanca (1942)")
    assert kinds_of(critic, SlateDraft(items, swapped), request) == {"outside"}
    assert kinds_of(critic, good, Request(excluded=frozenset({heat.row}))) == {"seen"}
    assert kinds_of(critic, good, request, candidates=rows[rows != heat.row]) == {"outside"}
    scary = [shown(film("the shining", 1980))]
    assert kinds_of(critic, SlateDraft(scary, slate_lines(scary)), request) == {"condition"}
    assert critic.draft(SlateDraft(scary, slate_lines(scary)), request, relaxed=[NO_HORROR]) == []
    twice = [items[0], items[0]]
    assert "double" in kinds_of(critic, SlateDraft(twice, slate_lines(twice)), request)
    gone = [replace(items[0], id="no-such-id")]
    assert "outside" in kinds_of(critic, SlateDraft(gone, slate_lines(gone)), request)


def test_repair_replaces_what_is_chosen_wrongly_and_remakes_what_is_described_wrongly(heat: Item, fargo: Item) -> None:
    critic, request = Critic(demo_catalogue()), Request(excluded=frozenset({fargo.row}))
    spare = shown(film("casablanca", 1942))
    items = [shown(heat, "directed by David Fincher"), shown(fargo)]
    faults = critic.draft(SlateDraft(items, slate_lines(items)), request)
    out = repaired(items, faults, lambda _id: shown(heat, "directed by Michael Mann"), [spare])
    assert [item.title for item in out] == ["Heat", "Casablanca"]
    assert critic.draft(SlateDraft(out, slate_lines(out)), request) == []


def test_a_plan_that_loses_or_turns_round_what_was_said_is_found() -> None:
    agent = make_agent()
    kept: list[Any] = []
    agent.observer = kept.append
    run(agent, "a thriller from the 1990s, no horror")
    turn = kept[0]
    critic = agent.answerer.critic
    assert critic.plan(turn.reading, turn.request, turn.plan) == []
    lost = Request(conditions=[c for c in turn.request.conditions if c.slot != "year"])
    assert critic.plan(turn.reading, lost, turn.plan)
    unfiltered = turn.plan.model_copy(update={"calls": tuple(c for c in turn.plan.calls if c.tool != "filter")})
    assert critic.plan(turn.reading, turn.request, unfiltered)
    both = Request(conditions=[*turn.request.conditions, replace(NO_HORROR, expr=NO_HORROR.expr.part, negative=False)])
    assert critic.plan(turn.reading, both, turn.plan)
    assert critic.plan(turn.reading, turn.request, Plan(action="chat")) == []


def test_a_faulty_draft_is_repaired_before_it_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = make_agent()
    real = type(agent.answerer)._recommended

    def lying(self: Any, turn: Any, bus: Any, items: Any, references: Any) -> list[RecommendedItem]:
        made = real(self, turn, bus, items, references)
        # Its first words are wrong; when it is asked again from the records alone it tells the truth.
        return [replace(made[0], reason="directed by Nobody Inparticular"), *made[1:]] if len(made) > 1 else made

    monkeypatch.setattr(type(agent.answerer), "_recommended", lying)
    result, events = run(agent, "a crime film from the 1990s")
    assert "Inparticular" not in result.text
    assert len(result.items) == 5
    assert any(isinstance(e, Fallback) and e.stage == "critic" for e in events)
    assert any(isinstance(e, ToolRan) and e.tool == "critic" and "repaired" in e.summary for e in events)


def test_a_sound_draft_passes_and_the_trace_says_so() -> None:
    result, events = run(make_agent(), "a crime film from the 1990s")
    assert [e.summary for e in events if isinstance(e, ToolRan) and e.tool == "critic"] == ["the draft holds"]
    assert not result.fallbacks


def test_the_model_is_asked_about_a_remark_only_when_set_so() -> None:
    def answer(_messages: Any, schema: Any) -> str:
        return json.dumps({"action": "recommend"}) if schema else "These picks are crime films."

    asked: list[str] = []

    def doubting(messages: Any) -> float:
        asked.append(messages[-1][1])
        return -3.0 if "Do the facts say" in messages[-1][1] else 0.0

    settings = TurnSettings(reflection="llm", rerank_top=0)
    result, _ = run(make_agent(scripted(answer, yes_no=doubting), settings), "a crime film from the 1990s")
    assert any("Do the facts say" in text for text in asked)
    assert "These picks" not in result.text
    asked.clear()
    plain = TurnSettings(rerank_top=0)
    result, _ = run(make_agent(scripted(answer, yes_no=doubting), plain), "a crime film from the 1990s")
    assert not asked
    assert "These picks are crime films." in result.text


def test_planted_faults_are_caught(tmp_path: Path) -> None:
    catalogue = demo_catalogue()
    asked: dict[str, Any] = {"plants": 12, "phrasing": "dev", "seed": 3}
    with RunFolder.open(tmp_path / "run", config(catalogue, 12, "dev", "", 0, 3)) as folder:
        found = run_reflection(catalogue, folder, **asked)
    assert found["caught"]["n"] == found["false_alarms"]["n"] == 60
    assert found["caught"]["share"] >= CAUGHT_AIM
    assert found["false_alarms"]["share"] < FALSE_AIM


@pytest.mark.parametrize(
    ("sentence", "faults"),
    [
        ("These are all crime films.", 0),
        ("All three are crime films.", 1),
        ("Both picks share a crime story.", 0),
        ("These dramas fit your wish.", 0),
        ("These comedies fit your wish.", 1),
        ("Some of these are thrillers.", 0),
        ("A mix of crime, drama and thriller.", 0),
        ("All of these are from the 1990s.", 0),
        ("These suit a family evening.", 0),
        ("These family films suit the evening.", 1),
        ("All with Al Pacino.", 1),
        ("Heat is a thriller.", 0),
    ],
)
def test_what_is_said_of_the_list_holds_for_every_item(heat: Item, fargo: Item, sentence: str, faults: int) -> None:
    slate = [shown(heat), shown(fargo)]
    found = Critic(demo_catalogue()).sentence(sentence, slate, Request(), "crime from the 1990s")
    assert len(found) == faults, found
