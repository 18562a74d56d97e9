"""The deterministic part of ``convrec eval memory``, and the commands of ``convrec memory``."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from convrec.agent.llm.base import LLM
from convrec.agent.llm.scripted import ScriptedChat
from convrec.agent.turn import Agent
from convrec.app import GROUPS, services
from convrec.core.embedding import HashingEmbedder
from convrec.core.settings import load_settings
from convrec.eval.memory import cases, following, run
from convrec.eval.memory.world import START, Ears
from convrec.eval.run_folder import RunFolder
from convrec.serve.cli import build_cli
from demo_agent import demo_catalogue, make_agent
from typer.testing import CliRunner


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    catalogue, embedder = demo_catalogue(), HashingEmbedder()
    wanted = ("conditional", "writing", "newest")
    folder = tmp_path_factory.mktemp("run") / "memory"
    with RunFolder.open(folder, run.config(catalogue, embedder, wanted, 0)) as opened:
        first = run.evaluate(catalogue, embedder, None, opened, wanted=wanted)
    with RunFolder.open(folder, run.config(catalogue, embedder, wanted, 0)) as opened:
        assert run.evaluate(catalogue, embedder, None, opened, wanted=wanted) == first, "nothing is done twice"
    return first


def test_the_cases_are_as_many_as_stated_and_split() -> None:
    assert len(cases.conditionals()) >= 80
    assert {c.split for c in cases.conditionals()} == {cases.DEV, cases.HELD_OUT}
    assert {c.split for c in cases.statements()} == set(cases.SPLITS)
    ids = [c.id for c in cases.conditionals()]
    assert len(set(ids)) == len(ids)


def test_figures_without_a_model(metrics: dict[str, Any]) -> None:
    assert metrics["held-out"]["conditional_f1"] >= 0.90
    assert metrics["generated"]["newest_wins"] == 1.0
    of = {split: metrics[split]["false_memories_of"] for split in cases.SPLITS if split != cases.INDIRECT}
    false = sum(metrics[split]["false_memories"] * n for split, n in of.items())
    assert false / sum(of.values()) < run.TARGETS["false_memories"]
    assert min(metrics[split]["remembered"] for split in ("dev", "held-out", "test", "fresh")) >= 0.9


def test_a_model_reads_what_the_rules_left() -> None:
    chat = ScriptedChat(answers=['{"statements": [{"about": "biopics", "likes": true}]}'])
    ears = Ears(demo_catalogue(), LLM(lambda: chat, name="scripted", tier="scripted"))
    [kept] = ears.hear("biopics are catnip to me", START)
    assert kept.payload["source"] == "llm"
    assert ears.hear("a comedy for tonight", START) == []
    assert len(chat.calls) == 1


def test_a_dislike_of_turn_one_holds_at_turns_ten_and_fifty() -> None:
    def lent() -> Agent:
        agent = make_agent()
        agent.catalogue = run.Borrowed(agent.catalogue)  # type: ignore[assignment]
        return agent

    for _, record in following.kept(lent, 0, stated=("never show me horror",)):
        assert record["metrics"] == {"turn_10": 1.0, "turn_50": 1.0}
        assert record["violations"] == 0


def test_planted_facts_are_found_where_similarity_does_not_find_them(monkeypatch: pytest.MonkeyPatch) -> None:
    few = [c for c in cases.planted() if c.split == cases.TEST][:6]
    monkeypatch.setattr(cases, "planted", lambda: few)
    from convrec.eval.memory import checks, world

    found = [r for _, r in checks.recall(world.Ears(demo_catalogue()), HashingEmbedder(), 0)]
    reasoned = sum(r["metrics"]["reasoned"] for r in found)
    assert reasoned >= 0.95 * len(found)
    assert reasoned > sum(r["metrics"]["raw"] for r in found)


@pytest.fixture
def command(home: Path) -> Any:
    """``convrec memory …`` on an agent of the tests, kept over several calls."""
    real = make_agent()
    agent: Any = SimpleNamespace(preferences=real.preferences, turn=real.turn, close=lambda: None)
    made = services(home, verbose=False)
    made = type(made)(load_settings(), lambda settings: agent, False)
    cli = build_cli(lambda home, verbose: made, [g for g in GROUPS if g.name == "memory"])

    def run_(*arguments: str, code: int = 0, text: str | None = None) -> str:
        result = CliRunner().invoke(cli, ["memory", *arguments], input=text)
        assert result.exit_code == code, result.output
        return str(result.output)

    run_.agent = agent  # type: ignore[attr-defined]
    return run_


def test_commands(command: Any, tmp_path: Path) -> None:
    list(command.agent.turn("I hate westerns", user="local", session_id="s"))
    [kept] = json.loads(command("list", "--json"))
    assert kept["text"] == "not western"
    assert "not western" in command("search", "western")
    assert "now: never horror" in command("edit", kept["id"][:8], "never horror")
    file = tmp_path / "me.json"
    command("export", str(file))
    assert json.loads(file.read_text())["preferences"][0]["text"] == "never horror"
    assert "Always: never horror" in command("profile") or "never horror" in command("profile")
    assert json.loads(command("erase", kept["id"][:8], "--json"))["erased"] == 1
    assert json.loads(command("list", "--json")) == []
    assert json.loads(command("import", str(file), "--json"))["added"] == 1
    assert json.loads(command("import", str(file), "--json"))["added"] == 0
    command("erase", "all", code=1, text="n\n")
    assert len(json.loads(command("list", "--json"))) == 1
    assert json.loads(command("erase", "all", "--yes", "--json"))["erased"] == 1
    assert json.loads(command("list", "--json", "--user", "somebody")) == []


@pytest.mark.parametrize("arguments", [("edit", "zz", "x"), ("erase", "zz"), ("search", " "), ("import", "/nowhere")])
def test_wrong_arguments_are_named(command: Any, arguments: tuple[str, ...]) -> None:
    assert command(*arguments, code=2) is not None
