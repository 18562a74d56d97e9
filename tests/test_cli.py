"""The command line: options, exit codes, what goes to standard output and what does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import scripted_agent as scripted
from convrec.agent.events import Event
from convrec.core.errors import DataError, LLMUnavailable, MissingExtraError, RequestError, SettingsError
from convrec.core.settings import Settings, load_settings
from convrec.core.version import VERSION
from convrec.serve.cli import CommandGroup, build_cli, exit_code
from convrec.serve.services import Services
from typer import Typer
from typer.testing import CliRunner


class Opened:
    """Hands out one scripted agent and keeps the settings it was asked for."""

    def __init__(self) -> None:
        self.agent = scripted.ScriptedAgent()
        self.settings: list[Settings] = []
        self.closed = 0
        self.agent.close = self._close

    def __call__(self, settings: Settings) -> Any:
        self.settings.append(settings)
        return self.agent

    def _close(self) -> None:
        self.closed += 1


@pytest.fixture
def opened() -> Opened:
    return Opened()


@pytest.fixture
def cli(opened: Opened) -> Any:
    app = build_cli(lambda home, verbose: Services(load_settings(home=home), opened, verbose))

    def run(*arguments: str, stdin: str | None = None) -> Any:
        return CliRunner().invoke(app, list(arguments), input=stdin)

    return run


def test_ask_prints_the_reply_and_notes_fallbacks_elsewhere(cli: Any, opened: Opened) -> None:
    done = cli("ask", "films like Heat")
    assert done.exit_code == 0
    first, *rest = done.stdout.splitlines()
    assert first == "Turn 1 of local: you said 'films like Heat'. I know nothing."
    assert rest[0] == "1. Heat (1995): Because you said films like Heat"
    assert "170 minutes" in rest[1]
    assert rest[2] == "2. Memories of Murder (2003): Because you said films like Heat"
    assert done.stderr == "note: reply: no language model; instead: a template\n"
    assert opened.closed == 1


def test_ask_quiet_says_nothing_on_standard_error(cli: Any) -> None:
    assert cli("ask", "--quiet", "films like Heat").stderr == ""


def test_ask_json_is_the_turn_result_and_nothing_else(
    cli: Any, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = opened.agent.turn

    def noisy(text: str, **ids: str) -> Iterator[Event]:
        sys.stdout.write("a library that prints\n")
        yield from real(text, **ids)

    monkeypatch.setattr(opened.agent, "turn", noisy)
    done = cli("ask", "films like Heat", "--json", "--user", "ann", "--session", "s1", "--tier", "none")
    document = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert document["session_id"] == "s1"
    assert document["tier"] == "none"
    assert [item["title"] for item in document["items"]] == ["Heat", "Memories of Murder"]
    assert set(document) >= {"turn", "text", "plan", "planner", "fallbacks", "tools", "timings", "llm", "remembered"}
    assert opened.settings[0].tier == "none"


def test_ask_reads_standard_input_for_a_dash(cli: Any) -> None:
    assert "you said 'films like Heat'" in cli("ask", "-", stdin="films like Heat\n").stdout


def test_a_session_goes_on_only_when_it_is_named(cli: Any) -> None:
    assert cli("ask", "a", "--session", "s").stdout.startswith("Turn 1")
    assert cli("ask", "b", "--session", "s").stdout.startswith("Turn 2")
    assert cli("ask", "c").stdout.startswith("Turn 1")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["ask", "   "], 2, "Say what you are after"),
        (["ask", "-"], 2, "standard input"),
        (["ask", "x" * 5000], 2, "4000 characters"),
        (["ask", "early"], 1, "did not answer in 60 s"),
        (["ask", "boom"], 1, "did not answer in 60 s"),
        (["ask", "a", "--catalogue", "../etc"], 2, "convrec data list"),
        (["ask", "a", "--tier", "best"], 2, "embedded"),
        (["ask"], 2, "Missing argument"),
        (["nonsense"], 2, "nonsense"),
        (["setup", "--no-llm", "--model", "x"], 2, "--no-llm"),
        (["setup", "--model", "no-such-model"], 1, "qwen2.5-coder-1.5b-instruct"),
        (["setup", "--model", "all-minilm-l6-v2"], 2, "no language model"),
    ],
)
def test_errors_are_one_line_and_an_exit_code(cli: Any, arguments: list[str], code: int, said: str) -> None:
    done = cli(*arguments, stdin="")
    assert done.exit_code == code
    assert said in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_verbose_shows_the_stack(cli: Any) -> None:
    import logging

    before = logging.getLogger().handlers[:]
    try:
        done = cli("--verbose", "ask", "early")
    finally:
        logging.getLogger().handlers[:] = before
        for name in ("convrec", "convrec.agent"):
            logging.getLogger(name).setLevel(logging.NOTSET)
    assert done.exit_code == 1
    assert done.stderr.rstrip().endswith("error: the model did not answer in 60 s")


def test_exit_codes_by_kind_of_error() -> None:
    assert exit_code(RequestError("x", 1, "y")) == 2
    assert exit_code(SettingsError("x")) == 2
    assert exit_code(LLMUnavailable("x")) == 3
    assert exit_code(MissingExtraError("torch", "memory", "x")) == 3
    assert exit_code(DataError("x")) == 1
    assert exit_code(OSError("disk full")) == 1


def test_an_agent_is_closed_after_an_error(cli: Any, opened: Opened) -> None:
    cli("ask", "early")
    assert opened.closed == 1


def test_a_defect_is_not_dressed_up(cli: Any) -> None:
    assert isinstance(cli("ask", "bug").exception, ZeroDivisionError)


def test_escapes_in_a_reply_do_not_reach_the_terminal(cli: Any) -> None:
    done = cli("ask", "\x1b[31mred\x1b[0m \x9b31m [bold]x[/bold]\rback")
    assert "\x1b" not in done.stdout
    assert "\x9b" not in done.stdout
    assert "\r" not in done.stdout
    assert "[bold]x[/bold]" in done.stdout
    assert "evil" not in done.stdout
    assert "<img src=x onerror=alert(1)>" in cli("ask", "evil").stdout


def test_home_option_reaches_the_settings(cli: Any, opened: Opened, tmp_path: Path) -> None:
    cli("--home", str(tmp_path / "elsewhere"), "ask", "a")
    assert opened.settings[0].home == tmp_path / "elsewhere"


def test_version(cli: Any) -> None:
    assert cli("--version").stdout == f"convrec {VERSION}\n"


def test_groups_are_loaded_when_asked_for() -> None:
    loaded = []

    def load() -> Typer:
        loaded.append(1)
        group = Typer()
        group.command("one")(lambda: None)
        group.command("two")(lambda: None)
        return group

    app = build_cli(lambda home, verbose: Services(load_settings(), Opened(), verbose), [CommandGroup("g", "A.", load)])
    assert "A." in CliRunner().invoke(app, ["--help"]).stdout
    assert loaded == []
    assert "two" in CliRunner().invoke(app, ["g", "--help"]).stdout
    assert CliRunner().invoke(app, ["g", "one"]).exit_code == 0
    assert CliRunner().invoke(app, ["g", "three"]).exit_code == 2


@pytest.mark.parametrize(("command", "page"), [("app", True), ("serve", False)])
def test_servers_get_their_options(
    cli: Any, opened: Opened, monkeypatch: pytest.MonkeyPatch, command: str, page: bool
) -> None:
    run = pytest.importorskip("convrec.serve.run")
    asked: dict[str, Any] = {}
    monkeypatch.setattr(run, "run_server", lambda agent, settings, **options: asked.update(options))
    done = cli(command, "--port", "0", "--host", "127.0.0.2", "--tier", "none")
    assert done.exit_code == 0, done.stderr
    assert (asked["port"], asked["host"], asked["page"], asked["allow_remote"]) == (0, "127.0.0.2", page, False)
    assert asked["open_browser"] is False, "no terminal, no browser"
    assert "17,472 films" in done.stdout
    assert opened.closed == 1


# -- the real program, in a process of its own ------------------------------------------------------------------------


@pytest.fixture
def program(tmp_path: Path) -> Any:
    """Runs ``convrec`` with rules only, nothing persistent but the catalogue, and no model in its cache."""
    light = {
        "CONVREC_TIER": "none",
        "CONVREC_MEMORY__STORE": "memory",
        "CONVREC_MEMORY__EMBEDDER": "hashing",
        "CONVREC_CACHE": str(tmp_path / "cache"),
        "COLUMNS": "200",
    }

    def run(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "convrec.app", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env={**os.environ, **light, **environment},
            cwd=tmp_path,
        )

    return run


@pytest.fixture
def small(program: Any, tmp_path: Path) -> str:
    rows = [
        f"f{n},{title},{year},{genre}"
        for n, (title, year, genre) in enumerate(
            [
                ("Night Train", 1990, "Thriller"),
                ("Day Train", 1995, "Comedy"),
                ("Slow Train", 2001, "Thriller"),
                ("Last Train", 2010, "Drama"),
            ]
        )
    ]
    (tmp_path / "films.csv").write_text("\n".join(["id,title,year,genres", *rows]) + "\n", encoding="utf-8")
    done = program("data", "import", "films.csv", "--name", "small")
    assert done.returncode == 0, done.stderr
    return "small"


def test_a_turn_of_the_real_program(program: Any, small: str) -> None:
    done = program("ask", "a thriller", "--catalogue", small, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert {item["title"] for item in document["items"]} == {"Night Train", "Slow Train"}
    assert document["tier"] == "none"


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "said"),
    [
        (["ask", "a", "--tier", "embedded"], {}, 3, "convrec models pull"),
        (["ask", "a", "--tier", "served"], {}, 3, "CONVREC_LLM__BASE_URL"),
        (["ask", "a", "--catalogue", "nowhere"], {}, 1, "nowhere"),
        (["ask", "a"], {"CONVREC_TURN__SLATE_SIZE": "many"}, 2, "slate_size"),
        (["ask", "a"], {"CONVREC_NONSENSE__X": "1", "CONVREC_TIER": "best"}, 2, "tier"),
    ],
)
def test_exit_codes_of_the_real_program(
    program: Any, arguments: list[str], environment: dict[str, str], code: int, said: str
) -> None:
    done = program(*arguments, **environment)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_chat_over_a_pipe(program: Any, small: str) -> None:
    done = program("chat", "--catalogue", small, stdin="a thriller\n/why 1\n/quit\n")
    assert done.returncode == 0, done.stderr
    assert "4 films (catalogue small), rules" in done.stdout
    assert "Night Train (1990)" in done.stdout
    assert "Traceback" not in done.stderr


def test_doctor_names_the_command_for_what_is_missing(program: Any, small: str) -> None:
    done = program("doctor", "--json", CONVREC_MEMORY__EMBEDDER="minilm", CONVREC_TIER="auto")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    checks = {check["name"]: check for check in document["checks"]}
    assert document["healthy"] is False
    assert checks["all-minilm-l6-v2"]["state"] == "broken"
    assert checks["all-minilm-l6-v2"]["fix"] == "convrec models pull all-minilm-l6-v2"
    assert checks["demo"]["state"] == "broken"
    assert checks["demo"]["fix"] == "convrec setup"
    assert checks["auto → none"]["fix"] == "convrec models pull qwen2.5-coder-1.5b-instruct"
    assert checks["redial"]["fix"] == "convrec data fetch redial"
    assert all(check["fix"] for check in document["checks"] if check["state"] != "ok")
    shown = program("doctor", CONVREC_CATALOGUE=small)
    assert shown.returncode == 0, shown.stdout
    assert "Ready" in shown.stdout
    assert program("doctor", CONVREC_CATALOGUE="gone").returncode == 1


def test_setup_prepares_the_demo_once(program: Any, home: Path) -> None:
    pytest.importorskip("bokeh_sampledata")
    first = program("setup", "--no-llm")
    assert first.returncode == 0, first.stderr
    assert "17,470 films" in first.stderr
    assert first.stdout == ""
    file = home / "catalogues" / "demo" / "catalogue.duckdb"
    made = file.stat().st_mtime_ns
    started = time.perf_counter()
    assert program("setup", "--no-llm").returncode == 0
    assert file.stat().st_mtime_ns == made
    assert time.perf_counter() - started < 15
