"""The terminal chat over a pipe, against an agent that answers by script."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import scripted_agent as scripted
from convrec.agent.events import Event, Planned, RecommendedItem, Token, ToolRan, Understood
from convrec.core.errors import LLMUnavailable
from convrec.core.text import visible
from convrec.serve import render
from convrec.serve.chat import COMMANDS, HELP, Chat
from rich.console import Console


@pytest.fixture
def agent() -> Any:
    return scripted.ScriptedAgent()


@pytest.fixture
def talk(agent: Any) -> Callable[..., str]:
    def talk(*lines: str | type[BaseException], user: str = "ann", terminal: bool = False) -> str:
        waiting = iter(lines)

        def read(_: str) -> str:
            item = next(waiting, EOFError)
            if isinstance(item, str):
                return item
            raise item

        out = io.StringIO()
        console = Console(file=out, width=120, force_terminal=terminal, color_system=None)
        Chat(agent, console, read, user=user, session_id="s").run()
        return out.getvalue()

    return talk


def test_opening_says_what_answers_and_why(talk: Callable[..., str]) -> None:
    shown = talk()
    assert "17,472 films (catalogue demo), rules, no language model" in shown
    assert "test" in shown.splitlines()[1]


def test_a_turn_shows_reply_fallback_and_how_it_came_about(talk: Callable[..., str]) -> None:
    shown = talk("films like Heat")
    assert "Turn 1 of ann: you said 'films like Heat'. I know nothing.\n" in shown
    assert "note: reply: no language model; instead: a template" in shown
    assert "filter 17,472 → 212 · 0.5 s · 1 LLM call" in shown


def test_empty_lines_are_no_turns(talk: Callable[..., str]) -> None:
    assert "Turn" not in talk("", "   ")


def test_why(talk: Callable[..., str]) -> None:
    assert "error: /why" in talk("/why")
    one = talk("films like Heat", "/why 2")
    assert "2. Memories of Murder (2003): Because you said films like Heat" in one
    assert "   - genre: thriller" in one
    assert "1. Heat (1995): Because" not in one
    assert "1. Heat (1995): Because" in talk("films like Heat", "/why")
    for wrong in ("0", "3", "x", "-1", "1.5", "99999999999999999999"):
        assert "Give the number of an item, 1 to 2" in talk("films like Heat", f"/why {wrong}")


def test_plan(talk: Callable[..., str]) -> None:
    assert "There was no answer yet" in talk("/plan")
    shown = talk("films like Heat", "/plan")
    for part in ('"action": "recommend"', "kept thrillers", "17,472", "212", "first_event 0.010 s", "tier none"):
        assert part in shown
    assert "prompt tokens 12" in shown
    assert "relaxed: year" in shown


def test_profile_shows_ids_that_forget_takes(talk: Callable[..., str], agent: Any) -> None:
    assert "Nothing is remembered about you." in talk("/profile")
    assert "remembered: likes heist films" in talk("I love heist films")
    record = agent.preferences.list("ann")[0]
    shown = talk("/profile")
    assert record.id[:8] in shown
    assert "likes heist films" in shown
    assert "Erased: likes heist films" in talk(f"/forget {record.id[:8]}")
    assert agent.preferences.list("ann") == []


def test_forget_wants_one_of_the_users_own_ids(talk: Callable[..., str], agent: Any) -> None:
    talk("I love heist films", user="bob")
    record = agent.preferences.list("bob")[0]
    assert "Give an id of /profile, or all" in talk(f"/forget {record.id}")
    assert "Give an id of /profile, or all" in talk("/forget")
    assert agent.preferences.list("bob") == [record]


def test_forget_takes_no_ambiguous_id(talk: Callable[..., str], agent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    talk("I love a", "I love b")
    first, second = agent.preferences.list("ann")
    twins = [first.model_copy(update={"id": "abc1"}), second.model_copy(update={"id": "abc2"})]
    monkeypatch.setattr(agent.preferences, "list", lambda user: twins)
    assert "Several ids begin so: abc1, abc2" in talk("/forget abc")


def test_forget_all_asks_first(talk: Callable[..., str], agent: Any) -> None:
    talk("I love a", "I love b")
    for answer in ("n", "", "what", EOFError):
        assert "Nothing was erased" in talk("/forget all", answer)
    assert len(agent.preferences.list("ann")) == 2
    assert "Erased: 2 records" in talk("/forget all", "y")
    assert agent.preferences.list("ann", include_superseded=True) == []


@pytest.mark.parametrize(("command", "kind"), [("/like", "liked"), ("/dislike", "disliked"), ("/seen", "seen")])
def test_feedback(talk: Callable[..., str], agent: Any, command: str, kind: str) -> None:
    assert "Nothing was recommended yet" in talk(f"{command} 1")
    assert f"remembered: {kind} Memories of Murder (2003)" in talk("films like Heat", f"{command} 2")
    assert [record.polarity for record in agent.preferences.list("ann")] == [kind]
    assert "Give the number of an item, 1 to 2" in talk("films like Heat", command)


def test_reset_starts_anew_but_keeps_the_memory(talk: Callable[..., str], agent: Any) -> None:
    shown = talk("I love heist films", "/reset", "/why 1", "hello")
    assert "Nothing was recommended yet" in shown
    assert "Turn 1 of ann: you said 'hello'. I know likes heist films." in shown


def test_export(talk: Callable[..., str], tmp_path: Path) -> None:
    file = tmp_path / "me.json"
    talk("I love heist films", f"/export {file}")
    document = json.loads(file.read_text(encoding="utf-8"))
    assert [record["text"] for record in document["preferences"]] == ["likes heist films"]
    before = file.read_bytes()
    assert "Nothing was written" in talk(f"/export {file}", "n")
    assert file.read_bytes() == before
    assert "Wrote 1 records" in talk(f"/export {file}", "y")
    assert "Give the name of a file" in talk("/export")
    assert "That is a folder" in talk(f"/export {tmp_path}")
    assert "It cannot be written" in talk(f"/export {file}/below.json")


def test_find_edit_and_import(talk: Callable[..., str], agent: Any, tmp_path: Path) -> None:
    talk("I love heist films", "I love trains")
    record = next(r for r in agent.preferences.list("ann") if "heist" in r.text)
    shown = talk("/find heist")
    assert "heist" in shown
    assert "trains" not in shown
    assert "now: likes capers" in talk(f"/edit {record.id[:8]} likes capers")
    assert "Give an id of /profile" in talk("/edit", "/edit zz")
    file = tmp_path / "me.json"
    talk(f"/export {file}", "/forget all", "y")
    assert "2 added, 0 were here already" in talk(f"/import {file}")
    assert "0 added, 2 were here already" in talk(f"/import {file}")
    file.write_text("{]")
    assert "It cannot be read" in talk(f"/import {file}")
    assert len(agent.preferences.list("ann")) == 2


def test_help_lists_every_command(talk: Callable[..., str]) -> None:
    shown = talk("/help")
    for usage in HELP:
        assert usage in shown


def test_unknown_commands_get_the_nearest(talk: Callable[..., str]) -> None:
    assert "did you mean /why?" in talk("/wyh 1")
    assert "did you mean /profile?" in talk("/profil")
    assert "/help lists the commands" in talk("/xyzzy")
    assert "Turn" not in talk("/xyzzy")


@pytest.mark.parametrize("leave", ["/quit", "/exit", "/q"])
def test_leaving(talk: Callable[..., str], leave: str) -> None:
    assert "Turn" not in talk(leave, "hello")


def test_every_command_is_offered_for_completion() -> None:
    assert {"/why", "/forget", "/quit", "/export"} <= set(COMMANDS)


@pytest.mark.parametrize("text", ["early", "boom now please", "x" * 5000])
def test_an_error_does_not_end_the_chat(talk: Callable[..., str], text: str) -> None:
    shown = talk(text, "hello")
    assert "error: " in shown
    assert "you said 'hello'" in shown


def test_a_defect_is_not_hidden(talk: Callable[..., str]) -> None:
    with pytest.raises(ZeroDivisionError):
        talk("bug")


def test_control_c_at_the_prompt_does_not_leave(talk: Callable[..., str]) -> None:
    shown = talk(KeyboardInterrupt, "hello")
    assert "Ctrl-D or /quit leaves" in shown
    assert "you said 'hello'" in shown


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to itself")
def test_control_c_stops_the_turn_and_nothing_of_it_is_kept(talk: Callable[..., str], agent: Any) -> None:
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        shown = talk("I love slow films", "hello")
    finally:
        timer.join()
    assert "stopped" in shown
    assert agent.closed.is_set()
    assert "Turn 1 of ann: you said 'hello'. I know nothing." in shown
    assert "remembered" not in shown


def test_text_that_would_command_the_terminal_is_harmless(talk: Callable[..., str], agent: Any) -> None:
    bad = "evil \x1b]0;title\x07 \x1b[2J \x9b2J \x1b[31m [red]x[/red] [/] [link=http://x]y[/link] \u202egnp\r\b"
    agent.info = scripted.AgentInfo("none", "m\x1b[31m[bold]", "demo\x07", 3, "films", "because \x1b[2J [/red]")
    shown = talk(bad, "/why", "/plan", f"I love {bad}", "/profile", "/like 1", "/wy\x1b[2J", "/forget \x1b[2J[/]")
    for character in "\x1b\x07\x9b\x08\r\u202e":
        assert character not in shown, repr(character)
    assert "[red]x[/red]" in shown
    assert "[link=http://x]y[/link]" in shown
    assert "<img src=x onerror=alert(1)>" in shown


def test_status_of_events_is_short_and_markup_free_when_shown(talk: Callable[..., str]) -> None:
    understood = Understood(links=("Heat [/red]" * 50,), conditions=("\x1b[2J",))
    said = render.status_of(understood)
    assert said is not None
    assert len(said) <= render.STATUS_CHARS
    assert "\x1b" not in said
    assert render.status_of(ToolRan("filter", "", 17470, 41, 0.1)) == "filter 17,470 → 41"
    assert render.status_of(ToolRan("search", "", 0, 50, 0.1, ok=False)) == "search 50 (failed)"
    assert render.status_of(Token("x")) is None
    assert "Turn 1" in talk("[/nonsense] films", terminal=True), "a status with markup in it must not raise"


def test_tokens_keep_their_spaces_and_lines() -> None:
    pieces = ["Here", " are", " 2:\n", "1. A\n2. B", "\x1b", "[31m"]
    assert "".join(visible(piece) for piece in pieces) == "Here are 2:\n1. A\n2. B[31m"


def test_a_reply_that_was_not_streamed_is_shown(
    talk: Callable[..., str], agent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = agent.turn

    def silent(text: str, **ids: str) -> Iterator[Event]:
        return (event for event in real(text, **ids) if not isinstance(event, Token))

    monkeypatch.setattr(agent, "turn", silent)
    assert "Turn 1 of ann" in talk("hello")


def test_models_that_cannot_be_loaded_are_told(
    talk: Callable[..., str], agent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()

    def warm() -> None:
        failed.set()
        raise LLMUnavailable("the model file is gone")

    monkeypatch.setattr(agent, "warm", warm)
    assert "not ready: the model file is gone" in talk("slow", "hello")
    assert failed.is_set()


def test_an_item_without_year_reason_or_evidence() -> None:
    item = RecommendedItem(id="1", title="X", year=None, reason="", score=0.1, fields={"genres": ["a", "b"]})
    assert render.evidence_lines(3, item) == [
        "3. X",
        "   no single fact: it ranked high on the whole",
        "   record: genres a, b",
    ]


def _written(*pieces: str, width: int = 20, terminal: bool = True) -> str:
    out = io.StringIO()
    writer = render.Writer(Console(file=out, width=width, force_terminal=terminal, color_system=None))
    for piece in pieces:
        writer.write(piece)
    writer.finish()
    return out.getvalue()


def test_a_streamed_reply_is_broken_between_words_on_a_terminal() -> None:
    pieces = ("Here are two fi", "lms like He", "at (1995).\n1", ". Memories of Mur", "der (2003): crime\n", "2. Go")
    assert _written(*pieces) == (
        "Here are two films\nlike Heat (1995).\n1. Memories of\n   Murder (2003):\n   crime\n2. Go"
    )
    assert _written(*pieces, terminal=False) == "".join(pieces)
    assert _written("x" * 50, " y") == "x" * 50 + "\ny"
    assert _written("   facts that are long") == "   facts that are\n   long"
    assert _written("映画" * 4, " ", "映画" * 2) == "映画" * 4 + "\n" + "映画" * 2, "wide letters"


def test_the_status_names_what_is_running() -> None:
    planned = Planned({"calls": [{"tool": "filter"}, {"tool": "rank"}, {"tool": "rerank"}]}, "rules")
    steps = render.steps_left(planned, [])
    assert steps == ["filter", "rank", "rerank"]
    steps = render.steps_left(ToolRan("filter", "", 5, 3, 0.1), steps)
    assert steps == ["rank", "rerank"]
    assert render.steps_left(ToolRan("check", "", 5, 3, 0.1), steps) == steps
    assert render.steps_left(Planned({"calls": [7, {}]}, "rules"), steps) == [""]
