"""No tool runs before a plan is approved: counted tools, every way of saying yes, no and something else."""

from __future__ import annotations

import io
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from convrec.agent.events import Finished, ToolRan, TurnResult
from convrec.agent.executor import Toolbox
from convrec.agent.llm.base import LLM, Message
from convrec.agent.llm.scripted import scripted
from convrec.agent.memory_extract import Extractor
from convrec.agent.memory_learning import LearningKeeper
from convrec.agent.turn import Agent
from convrec.core.errors import MemoryStoreError, RequestError
from convrec.core.settings import TurnSettings, load_settings
from convrec.memory.sessions import SessionStore
from demo_agent import ask, demo_catalogue, make_agent
from rich.console import Console

WISH = "a Korean thriller under two hours"
APPROVING = TurnSettings(approve=True)


class Counted:
    """A tool that counts its calls; in all else the tool itself."""

    def __init__(self, name: str, tool: Any, calls: Counter[str]) -> None:
        self._name, self._tool, self._calls = name, tool, calls

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._calls[self._name] += 1
        return self._tool(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tool, name)


def counting(llm: LLM | None = None, settings: TurnSettings = APPROVING, **parts: Any) -> tuple[Agent, Counter[str]]:
    """An agent that shows its plans first, and how often each of its tools was called."""
    calls: Counter[str] = Counter()
    plain = make_agent(llm, settings)
    tools = {spec.name: Counted(spec.name, getattr(plain.toolbox, spec.name), calls) for spec in fields(Toolbox)}
    given = {"preferences": plain.preferences, "sessions": plain.sessions, **parts}
    agent = Agent(plain.info, plain.catalogue, toolbox=Toolbox(**tools), settings=plain.settings, llm=llm, **given)
    agent.answerer.reranker = Counted("rerank", agent.answerer.reranker, calls)  # type: ignore[assignment]
    return agent, calls


def go(agent: Agent, text: str, approval: Any = None, user: str = "ann", session: str = "s1") -> TurnResult:
    last = list(agent.turn(text, user=user, session_id=session, approval=approval))[-1]
    assert isinstance(last, Finished)
    return last.result


@pytest.mark.parametrize(
    "text",
    [WISH, "films like Heat", "something dreamy in space", "who directed Heat?", "Never horror. A comedy"],
)
def test_no_tool_runs_before_approval(text: str) -> None:
    agent, calls = counting()
    events = list(agent.turn(text, user="ann", session_id="s1"))
    assert not calls
    assert not [event for event in events if isinstance(event, ToolRan)]
    shown = ask(agent, "hello").proposal  # talk runs no tool and leaves the plan open
    assert shown is not None
    assert shown.steps
    assert not calls
    done = ask(agent, "yes")
    assert calls
    assert done.proposal is None
    assert {tool.tool for tool in done.tools} - {"critic"} == set(calls)


def test_the_plan_that_was_shown_is_the_plan_that_runs() -> None:
    text = "I loved Heat. Something newer like it, no horror"
    agent, _ = counting()
    shown, done = ask(agent, text), ask(agent, "go on")
    plain = ask(make_agent(), text)
    assert shown.plan == done.plan == plain.plan
    assert shown.items == ()
    assert done.items == plain.items
    assert done.conditions == plain.conditions


def test_the_plan_says_what_it_is_after_what_it_leaves_out_and_what_it_knows() -> None:
    agent, _ = counting()
    ask(agent, "always under two hours", session="before")
    ask(agent, "I loved Heat", session="before")
    result = ask(agent, "three dreamy dramas like Arrival, no horror")
    made = result.proposal
    assert made is not None
    wanted, left_out, applied = (" ".join(part) for part in (made.looking_for, made.leaving_out, made.applied))
    assert "3 films" in wanted
    assert "drama" in wanted
    assert "horror" in left_out
    assert "120 minutes" in applied
    assert "Heat (1995)" in applied
    assert [step.split()[0] for step in made.steps][-1] == "rank"
    for said in (*made.looking_for, *made.leaving_out, *made.applied, *made.steps):
        assert said in result.text
    json.dumps(result.to_json())


def test_a_change_is_a_critique_of_the_plan_that_waits() -> None:
    agent, calls = counting()
    ask(agent, "a comedy", session="other")
    ask(agent, WISH)
    changed = ask(agent, "older, and no horror")
    assert {"thriller", "Korean", "under 120 minutes", "not horror"} <= set(changed.conditions)
    further = ask(agent, "with a sad end")
    assert further.plan["query"] == "sad"
    assert not calls
    done = ask(agent, "Yes, please!")
    assert done.plan == further.plan
    assert done.items
    assert all("Thriller" in item.fields["genres"] or "thriller" in item.fields["genres"] for item in done.items)


def test_older_and_darker_are_two_attributes_of_the_changed_plan() -> None:
    agent, _ = counting()
    ask(agent, "films like Heat")
    plan = ask(agent, "older, darker").plan
    assert plan["liked"] == ["Heat (1995)"]
    assert [c for c in plan["conditions"] if "1994" in c]
    assert [p for p in plan["preferences"] if "darker" in p]


def test_a_title_that_was_seen_changes_the_plan() -> None:
    agent, calls = counting()
    first = ask(make_agent(), WISH).items[0]
    ask(agent, WISH)
    assert ask(agent, f"I have seen {first.title}").proposal is not None
    assert not calls
    assert first.id not in {item.id for item in ask(agent, "yes").items}


@pytest.mark.parametrize("no", ["never mind", "No, thanks", "forget it", "cancel that", "no"])
def test_a_dropped_plan_never_runs(no: str) -> None:
    agent, calls = counting()
    ask(agent, WISH)
    assert ask(agent, no).proposal is None
    assert ask(agent, "yes").items == ()
    with pytest.raises(RequestError, match="approve"):
        go(agent, "go", "yes")
    assert not calls


@pytest.mark.parametrize(
    "yes", ["yes", "ok", "Go on.", "sure, go ahead", "approved", "looks good to me", "yes please", "do it"]
)
def test_ways_of_saying_yes(yes: str) -> None:
    agent, _ = counting()
    ask(agent, WISH)
    assert ask(agent, yes).items


def test_another_request_takes_the_place_of_the_plan() -> None:
    agent, _ = counting()
    ask(agent, "a western from the 60s")
    ask(agent, "a Korean horror film")
    assert set(ask(agent, "yes").conditions) == {"horror", "Korean"}
    ask(agent, "a western from the 60s")
    assert go(agent, "a French comedy", "off").items  # the mode is off for this turn: it runs, and nothing waits
    assert not agent.sessions.load("ann", "s1")["pending"]  # type: ignore[index]


def test_a_plan_belongs_to_its_user_and_session() -> None:
    agent, calls = counting()
    ask(agent, WISH, user="ann", session="s1")
    for user, session in (("bob", "s1"), ("ann", "s2")):
        assert ask(agent, "yes", user=user, session=session).items == ()
        with pytest.raises(RequestError, match="No plan waits"):
            go(agent, "yes", "yes", user, session)
    assert not calls
    assert ask(agent, "yes").items


def test_it_survives_a_restart_and_not_another_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent, _ = counting(sessions=SessionStore(tmp_path / "s.sqlite"))
    shown = ask(agent, "I loved Heat. Something newer like it by the director of Alien, or about Zzyzx Unheardof")
    ask(agent, WISH, session="s2")
    agent.sessions.close()
    again, calls = counting(sessions=SessionStore(tmp_path / "s.sqlite"))
    done = ask(again, "yes")
    assert done.plan == shown.plan
    assert calls
    calls.clear()
    monkeypatch.setattr(demo_catalogue(), "fingerprint", "another")
    gone = ask(again, "yes", session="s2")
    assert gone.items == ()
    assert not calls
    assert "catalogue" in gone.text
    with pytest.raises(RequestError):
        go(again, "yes", "yes", session="s2")


def test_a_plan_runs_once_even_when_it_is_stopped_halfway() -> None:
    agent, calls = counting()
    ask(agent, WISH)
    turn = agent.turn("yes", user="ann", session_id="s1")
    next(event for event in turn if isinstance(event, ToolRan))
    turn.close()  # type: ignore[attr-defined]
    before = Counter(calls)
    with pytest.raises(RequestError, match="No plan waits"):
        go(agent, "yes", "yes")
    assert calls == before


def test_two_approvals_at_once_run_it_once() -> None:
    agent, calls = counting()
    ask(agent, WISH)
    refused: list[RequestError] = []

    def approve() -> None:
        try:
            go(agent, "yes", "yes")
        except RequestError as error:
            refused.append(error)

    threads = [threading.Thread(target=approve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 3
    assert calls["filter"] == 1


def test_only_what_was_stated_is_remembered_before_approval_and_only_once() -> None:
    agent, _ = counting()
    shown = ask(agent, "I loved Heat. Never horror. Something like it")
    assert set(shown.remembered) == {"liked Heat (1995)", "always: not horror"}
    state = agent.sessions.load("ann", "s1")
    assert state is not None
    assert state["slate"] == state["shown"] == state["conditions"] == state["examples"] == []
    before = {p.id: p.times for p in agent.preferences.list("ann")}
    done = ask(agent, "yes")
    assert done.remembered == ()
    assert "not horror" in done.conditions
    assert {p.id: p.times for p in agent.preferences.list("ann")} == before
    assert all(not c.get("standing") for c in agent.sessions.load("ann", "s1")["conditions"])  # type: ignore[index]


def test_what_is_erased_takes_the_plan_with_it() -> None:
    agent, calls = counting()
    ask(agent, "I loved Heat. Something like it")
    [liked] = agent.preferences.list("ann")
    agent.preferences.forget("ann", liked.id)
    assert ask(agent, "yes").items == ()
    ask(agent, "I loved Alien. Something like it")
    assert "Forgotten" in ask(agent, "forget that I loved Alien").text
    assert ask(agent, "yes").items == ()
    assert not calls


def test_a_store_that_fails_loses_no_standing_instruction(monkeypatch: pytest.MonkeyPatch) -> None:
    agent, _ = counting()

    def fail(*args: Any, **kwargs: Any) -> None:
        raise MemoryStoreError("the disk is full")

    monkeypatch.setattr(agent.preferences, "add", fail)
    assert {f.stage for f in ask(agent, "never horror; a thriller").fallbacks} == {"memory"}
    assert "not horror" in ask(agent, "older").conditions
    ask(agent, "yes")
    assert "not horror" in ask(agent, "newer").conditions


def test_why_not_runs_the_request_again_only_when_approved() -> None:
    agent, calls = counting()
    ask(agent, "three comedies")
    ask(agent, "yes")
    calls.clear()
    assert ask(agent, "why the first one?").proposal is None
    assert ask(agent, "why not Oldboy?").proposal is not None
    assert not calls
    assert "comedy" in ask(agent, "yes").text
    assert calls


def test_what_runs_no_tool_needs_no_approval() -> None:
    agent, calls = counting()
    for text in ("hello", "what do you know about me?", "I loved Heat", "something like Zzyzx Unheardof", "thanks"):
        result = ask(agent, text, session=text[:5])
        assert result.text
        assert result.proposal is None
        assert agent.sessions.load("ann", text[:5])["pending"] == {}  # type: ignore[index]
    assert not calls


def planning(plan: Mapping[str, Any]) -> tuple[LLM, list[bool]]:
    """A model and, for each of its calls, whether it was asked for a plan."""
    asked: list[bool] = []

    def answer(messages: Sequence[Message], schema: Mapping[str, Any] | None) -> str:
        asked.append(schema is not None)
        return json.dumps(plan) if schema is not None else "Fine."

    return scripted(answer, yes_no=lambda _: 1.0), asked


def test_the_model_plans_once() -> None:
    model, asked = planning({"action": "recommend", "mood": "dreamy", "tools": ["rerank"]})
    agent, calls = counting(model)
    shown = ask(agent, "something dreamy")
    assert asked.count(True) == 1
    assert shown.planner == "llm+rules"
    assert "rerank" in {call["tool"] for call in shown.plan["calls"]}
    assert not calls
    done = ask(agent, "yes")
    assert asked.count(True) == 1
    assert done.planner == "llm+rules"
    assert done.plan == shown.plan
    assert calls["rerank"] == 1


def test_what_a_model_reads_into_the_words_waits_too() -> None:
    def answer(messages: Sequence[Message], schema: Any) -> str:
        if schema is None or "statements" not in schema["properties"]:
            return '{"action": "recommend"}' if schema else "Here you are."
        return json.dumps({"statements": [{"about": "biopics", "likes": True}]})

    agent, _ = counting(scripted(answer))
    assert agent.llm is not None
    agent.learning = LearningKeeper(agent.preferences, Extractor(agent.llm, agent.listener))

    def held(text: str) -> list[str]:
        ask(agent, text)
        assert agent.learning is not None
        agent.learning.wait()
        return [p.text for p in agent.preferences.list("ann")]

    said = "biopics are catnip to me. Something from the 90s"
    assert held(said) == held("never mind") == []
    assert held(said) == held("but shorter") == []
    assert held("yes") == ["likes: biography"]
    agent.learning.close()


# -- surfaces ---------------------------------------------------------------------------------------------------------


def test_the_setting_is_off_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not load_settings().turn.approve
    assert ask(make_agent(), WISH).proposal is None
    monkeypatch.setenv("CONVREC_TURN__APPROVE", "true")
    assert load_settings().turn.approve


def test_the_terminal() -> None:
    from convrec.serve.chat import Chat

    agent, calls = counting(settings=TurnSettings())

    def talk(*lines: str, approve: bool | None = True) -> str:
        waiting, out = iter(lines), io.StringIO()

        def read(_: str) -> str:
            said = next(waiting, None)
            if said is None:
                raise EOFError
            return said

        console = Console(file=out, width=200, color_system=None)
        Chat(agent, console, read, user="ann", session_id="s", approve=approve).run()
        return out.getvalue()

    shown = talk(WISH, "older")
    assert shown.count("Shall I go on?") == 2
    assert not calls
    again = talk("yes", approve=None)  # after a restart; what waits is not lost with the switch
    assert "Korean" in again.split("1. ")[0]
    assert "1. " in again
    assert calls
    assert "1. " in talk("a comedy", approve=False)


def test_the_command_line_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    from convrec.serve import chat as chatting
    from convrec.serve.cli import build_cli
    from convrec.serve.services import Services
    from typer.testing import CliRunner

    given: list[bool | None] = []

    class Noted:
        def __init__(self, *args: Any, approve: bool | None, **kwargs: Any) -> None:
            given.append(approve)

        def run(self) -> None:
            pass

    monkeypatch.setattr(chatting, "Chat", Noted)
    agent: Any = SimpleNamespace(close=lambda: None)
    app = build_cli(lambda home, verbose: Services(load_settings(home=home), lambda settings: agent, verbose))
    for switch in ([], ["--approve"], ["--no-approve"]):
        assert CliRunner().invoke(app, ["chat", *switch]).exit_code == 0
    assert given == [None, True, False]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Counter[str]]]:
    pytest.importorskip("fastapi")
    from api_server import serving

    agent, calls = counting(settings=TurnSettings())
    with serving(tmp_path_factory.mktemp("api"), agent) as found:
        yield found, calls


def test_rest(served: tuple[Any, Counter[str]]) -> None:
    server, calls = served
    calls.clear()

    def say(text: str, **more: Any) -> Any:
        body = {"model": "convrec", "user": "ann", "metadata": {"conversation_id": "rest"}, **more}
        return server.web.post("/v1/chat/completions", json=body | {"messages": [{"role": "user", "content": text}]})

    shown = say(WISH, ask_approval=True).json()
    assert shown["convrec"]["items"] == []
    assert shown["convrec"]["proposal"]["steps"]
    assert "Shall I go on?" in shown["choices"][0]["message"]["content"]
    assert not calls
    done = say("as you like", approve=True).json()["convrec"]  # the field decides, not the words
    assert done["plan"] == shown["convrec"]["plan"]
    assert len(done["items"]) == 5
    assert done["proposal"] is None
    before = Counter(calls)
    for stream in (False, True):
        again = say("yes", approve=True, stream=stream)
        assert again.status_code == 400
        assert again.json()["error"]["param"] == "approve"
    say("a comedy", ask_approval=True)
    assert say("changed my mind", approve=False).json()["convrec"]["proposal"] is None
    assert calls == before
    assert say("a comedy").json()["convrec"]["items"]  # off unless it is asked for
    assert say("x", approve="maybe").json()["error"]["param"] == "approve"


def test_the_official_client_and_ours(served: tuple[Any, Counter[str]]) -> None:
    openai = pytest.importorskip("openai")
    from convrec.serve.client import Client

    server, calls = served
    calls.clear()
    said: list[Any] = [{"role": "user", "content": WISH}]
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        create: Callable[..., Any] = client.chat.completions.create
        first = create(model="convrec", messages=said, extra_body={"ask_approval": True})
        assert not calls
        said += [{"role": "assistant", "content": first.choices[0].message.content}, {"role": "user", "content": "yes"}]
        second = create(model="convrec", messages=said)  # found again by what was said
        assert len(second.model_extra["convrec"]["items"]) == 5
        calls.clear()
        lost = [{"role": "user", "content": "a comedy"}, {"role": "assistant", "content": "?"}, said[-1]]
        third = create(model="convrec", messages=lost, extra_body={"approve": True})  # replayed, waiting as well
        assert third.model_extra["convrec"]["replayed"] == 1
        assert len(third.model_extra["convrec"]["items"]) == 5
        assert calls["filter"] == 1
    calls.clear()
    with Client(server.url) as ours:
        shown = ours.chat(WISH, user="ann", ask_approval=True)
        assert shown.proposal is not None
        assert not calls
        *_, last = ours.stream("yes", user="ann", conversation_id=shown.conversation_id, approve=True)
        assert last.answer is not None
        assert len(last.answer.items) == 5


def test_one_shot_recommendations_act_at_once(tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    from api_server import serving

    agent, _ = counting()  # although the setting is on: nobody could approve
    with serving(tmp_path, agent) as found:
        body = {"text": "older", "history": [{"role": "user", "content": "a thriller"}]}
        answer = found.web.post("/v1/recommendations", json=body)
    assert len(answer.json()["items"]) == 5
    assert answer.json()["proposal"] is None
