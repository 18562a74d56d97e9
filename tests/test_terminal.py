"""The chat in a real terminal, and what a terminal must never be made to do."""

from __future__ import annotations

import io
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from convrec.agent.events import Event, Finished, RecommendedItem, Token, ToolRan, Understood
from convrec.memory.records import NewPreference
from convrec.serve.chat import Chat
from convrec.serve.render import item_lines, without_list
from convrec.tools.schema import FILM_SCHEMA
from rich.console import Console
from scripted_agent import ScriptedAgent

PROGRAM = """
import importlib.util, pathlib, sys
spec = importlib.util.spec_from_file_location("scripted_agent", pathlib.Path({tests!r}) / "scripted_agent.py")
scripted = sys.modules["scripted_agent"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(scripted)
from convrec.core.settings import load_settings
from convrec.serve.cli import build_cli
from convrec.serve.services import Services
build_cli(lambda home, verbose: Services(load_settings(home=home), lambda _: scripted.ScriptedAgent()))()
"""
"""The command line over the scripted agent."""

HOSTILE = (
    "\x1b[2J",  # clears the screen
    "\x1b]0;owned\x07",  # renames the window
    "\x9b31m",  # a colour, begun by one 8-bit character
    "\x1b]8;;http://evil.example\x1b\\",  # a link
    "\u202egnp.exe",  # reverses what follows
    "\x08" * 20,  # overwrites what came before
)
MARKUP = "[bold red]not bold[/bold red] [/] [link=http://evil.example]x[/link] [[["


class HostileAgent(ScriptedAgent):  # type: ignore[misc]
    """Everything it says carries escapes and rich markup."""

    def turn(self, text: str, *, user: str, session_id: str, approval: str | None = None) -> Iterator[Event]:
        bad = "".join(HOSTILE) + MARKUP
        yield Understood(links=(bad,), conditions=(bad,))
        yield ToolRan(bad, bad, 3, 2, 0.1)
        for piece in (*HOSTILE, MARKUP):
            yield Token(piece)
        *_, last = super().turn(text, user=user, session_id=session_id)
        assert isinstance(last, Finished)
        item = RecommendedItem("x", bad, None, bad, 0.5, {"genres": [bad], "plot": bad}, (bad,))
        yield Finished(replace(last.result, items=(item,), remembered=(bad,), plan={"action": bad}, model=bad))


def talk(agent: Any, *lines: str, terminal: bool = False) -> str:
    """What the chat shows when these lines are typed."""
    out, typed = io.StringIO(), iter(lines)

    def read(_: str) -> str:
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    Chat(agent, Console(file=out, width=120, force_terminal=terminal), read, user="ann", session_id="s").run()
    return out.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_hostile_records_are_shown_harmless(terminal: bool) -> None:
    agent = HostileAgent()
    bad = "".join(HOSTILE) + MARKUP
    agent.preferences.add("ann", NewPreference(kind="note", polarity="liked", subject="x", text=bad, said=bad))
    shown = talk(agent, "x", "/why", "/plan", "/profile", "/\x1b[2J[bold]", terminal=terminal)
    for escape in HOSTILE:
        assert escape not in shown, f"{escape!r} got through"
    assert "\x07" not in shown
    assert MARKUP in shown, "markup must be shown as it is, neither obeyed nor eaten"
    assert terminal or "\x1b" not in shown


def test_export_survives_names_that_no_file_can_have(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    bad = ["~nosuchuser/x.json", "a\0b.json", f"{tmp_path}/{'x' * 300}.json", f"{tmp_path}/file/x.json"]
    shown = talk(ScriptedAgent(), *(f"/export {name}" for name in bad), "still there?")
    assert shown.count("error: /export") == len(bad)
    assert "you said 'still there?'" in shown
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


class Terminal:
    """A program in a pseudo-terminal."""

    def __init__(self, command: list[str]) -> None:
        import pty

        self.master, slave = pty.openpty()
        environment = os.environ | {"TERM": "xterm", "COLUMNS": "100", "LINES": "30", "PROMPT_TOOLKIT_NO_CPR": "1"}
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment)
        os.close(slave)
        self.shown = ""

    def expect(self, text: str, seconds: float = 30) -> None:
        """Wait until ``text`` is shown; forget what came up to it."""
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            ready, _, _ = select.select([self.master], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"waited {seconds} s for {text!r}; shown: {self.shown[-2000:]!r}"
            self.shown += os.read(self.master, 65536).decode("utf-8", "replace")
        self.shown = self.shown.partition(text)[2]

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        os.close(self.master)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_session_in_a_terminal(tmp_path: Path, home: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM.format(tests=str(Path(__file__).parent)), encoding="utf-8")
    terminal = Terminal([sys.executable, str(script), "chat"])
    try:
        terminal.expect("you>")
        terminal.type("first words\r")
        terminal.expect("you said 'first words'")
        terminal.expect("you>")
        terminal.type("\x1b[200~pasted\nin two lines\x1b[201~\r")  # a bracketed paste is one message
        terminal.expect("Turn 2 of local: you said 'pasted\\nin two lines'")
        terminal.expect("you>")
        terminal.type("slow " * 10 + "\r")
        terminal.expect("Turn 3")
        terminal.process.send_signal(signal.SIGINT)  # what a terminal's driver sends on Ctrl-C
        terminal.expect("stopped")
        terminal.expect("you>")
        terminal.type("\x1b[A")  # arrow up brings back the last line
        terminal.expect("slow slow")
        terminal.type("\x15/quti\r")  # Ctrl-U empties it
        terminal.expect("did you mean /quit?")
        terminal.expect("you>")
        terminal.type("\x04")  # Ctrl-D
        assert terminal.process.wait(20) == 0
    finally:
        terminal.close()
    history = home / "chat_history"
    assert "first words" in history.read_text(encoding="utf-8")
    assert history.stat().st_mode & 0o077 == 0, "what was typed is the user's own"


def test_the_facts_under_an_item_come_from_its_record() -> None:
    fields = {
        "year": 1995,
        "runtime": 170,
        "genres": ["Crime", "Drama"],
        "directors": ("Michael Mann",),
        "cast": ("Al Pacino",),
        "plot": "long",
    }
    item = RecommendedItem("1", "Heat", 1995, "like you said", 0.9, fields)
    first, facts = item_lines(1, item, FILM_SCHEMA)
    assert first == "1. Heat (1995): like you said"
    assert facts == "   170 minutes · crime and drama · directed by Michael Mann"
    bare = RecommendedItem("2", "X", None, "", 0.1, {})
    assert item_lines(2, bare, FILM_SCHEMA) == ["2. X"]


def test_a_list_in_the_reply_is_not_shown_twice() -> None:
    items = [RecommendedItem(str(n), title, 1995, "", 0.1, {}) for n, title in enumerate(("Heat", "Seven"))]
    listed = "Two films.\n1. Heat (1995): why\n2. Seven (1995)"
    assert without_list(listed, items) == "Two films."
    assert without_list("Two films.\n1. Heat\n2. Casino", items).endswith("2. Casino"), "another list stays"
    assert without_list("One line.", items) == "One line."
    assert without_list("1. Heat\n2. Seven", items) == ""
    assert without_list("text", []) == "text"
