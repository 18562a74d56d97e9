"""Conversations of simulated users with a real agent and with made-up ones; runs and their figures."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import demo_agent
import numpy as np
import pytest
from convrec.agent.llm.scripted import scripted
from convrec.core.errors import LLMUnavailable, RequestError
from convrec.core.settings import load_settings
from convrec.eval.commands import app as eval_app
from convrec.eval.report import markdown
from convrec.eval.run_folder import RunFolder, run_config
from convrec.eval.sim import runner
from convrec.eval.sim.dialogue import Setup, converse
from convrec.eval.sim.figures import figures, interval, latency, report, worst
from convrec.eval.sim.llm_user import LLMUser, problem
from convrec.eval.sim.personas import PERSONAS, Persona, personas
from convrec.eval.sim.runner import Agent, cases_of, hold
from convrec.eval.sim.tastes import Taste
from convrec.eval.sim.users import ScriptedUser
from convrec.eval.subject import LocalSubject, Reply
from convrec.tools.catalogue import Catalogue
from convrec.tools.schema import FILM_SCHEMA
from sim_parts import PLAIN, film, rng, tastes
from typer.testing import CliRunner


@dataclass
class Fixed:
    """A subject that shows what a function of (turn, user) says; keeps every message by user."""

    shows: Callable[[int, str], Sequence[str]]
    asks: bool = False
    name: str = "fixed"
    said: dict[str, list[str]] = field(default_factory=dict)
    forgotten: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def say(self, text: str, *, user: str, session: str) -> Reply:
        with self.lock:
            turns = self.said.setdefault(user, [])
            turns.append(text)
        ids = tuple(self.shows(len(turns), user))
        return Reply("What kind?" if self.asks else "Here.", ids, ids, question=self.asks, seconds=0.01)

    def forget(self, user: str) -> None:
        self.forgotten.append(user)

    def close(self) -> None: ...


def held(subject: Any, persona: Persona = PLAIN, taste: Taste | None = None, **setup: Any) -> dict[str, Any]:
    values = {"simulator": "scripted", "turns": 6, "seed": 0, **setup}
    return converse(subject, demo_agent.demo_catalogue(), taste or tastes()[0], persona, Setup(**values))


class TestDialogue:
    def test_success_is_a_target_on_the_list(self) -> None:
        target, other = sorted(tastes()[0].targets)[0], "tt0113277"
        record = held(Fixed(lambda turn, user: [other, target] if turn == 3 else []))
        assert (record["outcome"], record["success_turn"], record["metrics"]["turns"]) == ("accepted", 3, 3.0)
        assert record["metrics"]["precision"] == 0.5
        assert record["metrics"]["recall_liked"] == 1 / len(tastes()[0].targets)
        assert len(record["lines"]) == 6

    def test_patience_ends_it(self) -> None:
        record = held(Fixed(lambda turn, user: []), PLAIN.model_copy(update={"patience": 2}))
        assert (record["outcome"], record["metrics"]["turns"], record["metrics"]["gave_up"]) == ("gave up", 2.0, 1.0)

    def test_early_leaving(self) -> None:
        record = held(Fixed(lambda turn, user: []), PLAIN.model_copy(update={"leave": 1.0}))
        assert (record["outcome"], record["metrics"]["turns"]) == ("left", 1.0)
        some = [
            held(Fixed(lambda turn, user: []), PLAIN.model_copy(update={"leave": 0.3}), taste)["metrics"]["turns"]
            for taste in tastes()
        ]
        assert 1.0 < np.mean(some) < 6.0

    def test_out_of_turns(self) -> None:
        assert held(Fixed(lambda turn, user: []))["outcome"] == "out of turns"

    def test_what_was_turned_down_and_comes_again_is_counted(self) -> None:
        record = held(Fixed(lambda turn, user: ["tt0113277", "tt0114369"]), turns=4)
        assert record["metrics"]["repeats"] == 6.0  # two in each of the three answers after the first
        assert "turned down before: Heat (1995)" in record["lines"][3]["note"]
        silent = held(Fixed(lambda turn, user: ["tt0113277"]), PERSONAS["silent"], turns=4)
        assert silent["metrics"]["repeats"] == 0.0

    def test_titles_outside_the_catalogue_are_counted(self) -> None:
        assert held(Fixed(lambda turn, user: ["no-such-id"]), turns=2)["metrics"]["outside"] == 2.0

    def test_questions_are_counted(self) -> None:
        assert held(Fixed(lambda turn, user: [], asks=True), turns=3)["metrics"]["questions"] == 3.0

    def test_an_error_ends_one_dialogue_and_is_no_success(self) -> None:
        def broken(turn: int, user: str) -> list[str]:
            raise LLMUnavailable("the server is gone")

        subject = Fixed(broken)
        record = held(subject)
        assert (record["outcome"], record["metrics"]["success"]) == ("error", 0.0)
        assert record["error"] == "LLMUnavailable: the server is gone"
        assert len(subject.forgotten) == 1

    def test_only_the_target_counts_for_a_user_that_knows_it(self) -> None:
        taste = tastes()[0]
        lists = [held(Fixed(lambda turn, user, t=t: [t]), simulator="target", turns=1) for t in sorted(taste.targets)]
        assert sum(record["metrics"]["success"] for record in lists) == 1.0

    @pytest.mark.parametrize("simulator", ["scripted", "target", "chat"])
    def test_the_real_agent_and_the_same_seed_say_the_same(self, simulator: str) -> None:
        def once() -> list[dict[str, Any]]:
            subject = LocalSubject(demo_agent.make_agent(), close_agent=False)
            found = [held(subject, PERSONAS["hard"], taste, simulator=simulator, turns=4) for taste in tastes()[:4]]
            assert subject.agent.preferences.list(f"sim-0-{simulator}-hard-{tastes()[0].id}") == []
            return [{key: value for key, value in record.items() if key != "timings"} for record in found]

        first = once()
        assert json.dumps(first, sort_keys=True) == json.dumps(once(), sort_keys=True)
        assert all(record["metrics"]["outside"] == 0 and record["metrics"]["error"] == 0 for record in first)


class TestModelUser:
    def spoken(self, answers: Any) -> tuple[list[str], dict[str, Any], Any]:
        llm = scripted(answers)
        subject = Fixed(lambda turn, user: ["tt0113277"])
        setup = Setup("llm", 3, 0)
        record = converse(subject, demo_agent.demo_catalogue(), tastes()[0], PLAIN, setup, llm)
        return next(iter(subject.said.values())), record, llm

    def test_it_says_what_the_model_writes_and_the_model_sees_no_target(self) -> None:
        said, record, llm = self.spoken(
            ['{"say": "Something calm, please."}', '{"say": "None of these for me."}', '{"say": "What else?"}']
        )
        assert said == ["Something calm, please.", "None of these for me.", "What else?"]
        assert record["metrics"]["repeats"] == 2.0  # shown again after it was turned down
        assert record["guarded"] == 0
        targets = demo_agent.demo_catalogue().items(
            [r for r in demo_agent.demo_catalogue().rows_of(sorted(tastes()[0].targets)) if r is not None]
        )
        asked = " ".join(text for messages, _ in llm._ready().calls for _, text in messages)
        assert not any(item.label in asked for item in targets)

    def test_what_fails_the_guard_is_replaced_and_counted(self) -> None:
        said, record, llm = self.spoken(['{"say": "Recommender: how about Heat?"}'])
        plain = converse(
            Fixed(lambda turn, user: ["tt0113277"]),
            demo_agent.demo_catalogue(),
            tastes()[0],
            PLAIN,
            Setup("llm", 3, 0),
            scripted(LLMUnavailable("gone")),
        )
        assert record["guarded"] == plain["guarded"] == 3
        assert said == [line["text"] for line in plain["lines"] if line["who"] == "user"]
        assert "another role" in record["lines"][0]["note"]
        assert len(llm._ready().calls) == 6  # each message is asked for twice

    def test_a_model_that_repeats_itself_is_replaced(self) -> None:
        said, record, _ = self.spoken(['{"say": "your message"}'])
        assert said[0] == "your message"
        assert "your message" not in said[1:]
        assert record["guarded"] == 2
        assert "the same again" in record["lines"][2]["note"]

    @pytest.mark.parametrize(
        ("text", "bad"),
        [
            ("I would like something funny.", False),
            ("A film about the solar system and a user of drugs", False),
            ("Assistant: sure", True),
            ("As an AI I cannot watch films", True),
            ("1. Heat\n2. Alien", True),
            ("", True),
            ("here are five films that are close to your wish", True),
            ("I loved Groundhog Day (1993)", False),
            ("Do you have Lost Highway (1997)?", True),
        ],
    )
    def test_the_guard(self, text: str, bad: bool) -> None:
        reply = "Here are five films that are close to your wish: none."
        assert bool(problem(text, reply, [film("Groundhog Day", 1993)])) is bad

    def test_it_is_a_simulated_user(self) -> None:
        user = ScriptedUser(tastes()[0].known, PLAIN, FILM_SCHEMA, rng())
        assert LLMUser(tastes()[0].known, PLAIN, FILM_SCHEMA, user, scripted(['{"say": "hi"}'])).opening().text == "hi"


# -- runs --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Agent:
    """The demo agent in the place of the one that the settings would open."""

    def opened(spec: str, settings: Any, *, tier: Any) -> LocalSubject:
        return LocalSubject(demo_agent.make_agent(), close_agent=False)

    monkeypatch.setattr(runner, "open_subject", opened)
    return Agent("local", load_settings(home=tmp_path), "none")


CONFIG = run_config("users", {"simulator": "scripted", "turns": 3, "subject": "demo", "source": "demo"}, seed=0)
SETUP = Setup("scripted", 3, 0)


class TestRuns:
    def test_any_number_of_workers_gives_the_same_files(self, agent: Agent, tmp_path: Path) -> None:
        cases = cases_of(tastes()[:6], personas("plain,hard"))
        for name, workers in (("one", 1), ("many", 4)):
            with RunFolder.open(tmp_path / name, CONFIG) as run:
                done: list[tuple[int, int]] = []
                hold(cases, SETUP, agent, run, workers=workers, kind="threads", progress=_into(done))
                found = figures(run.records(), 3, 0)
                run.finish(found, report(run.records(), found, run.config), timings=latency(run.timings()))
            assert done == [(n, 12) for n in range(13)]
        for name in ("cases.jsonl", "metrics.json", "report.md", "report.html"):
            assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "many" / name).read_bytes()

    def test_users_in_parallel_are_told_apart(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        subject = Fixed(lambda turn, user: [])
        monkeypatch.setattr(runner, "open_subject", lambda *args, **kwargs: subject)
        monkeypatch.setattr(runner, "open_catalogue", lambda settings: _kept(demo_agent.demo_catalogue()))
        cases = cases_of(tastes(), [PLAIN])
        with RunFolder.open(tmp_path / "run", CONFIG) as run:
            hold(cases, SETUP, Agent("x:y", load_settings(home=tmp_path), None), run, workers=6)
            lines = {r["group"]: [x["text"] for x in r["lines"] if x["who"] == "user"] for r in run.records()}
        assert len(subject.said) == len(tastes())
        for taste in tastes():
            assert subject.said[f"sim-0-scripted-plain-{taste.id}"] == lines[taste.id]
        assert sorted(subject.forgotten) == sorted(subject.said)

    def test_a_run_that_was_broken_off_goes_on(self, agent: Agent, tmp_path: Path) -> None:
        cases = cases_of(tastes()[:5], [PLAIN])
        with RunFolder.open(tmp_path / "whole", CONFIG) as run:
            hold(cases, SETUP, agent, run)
            whole = run.records()

        class Killed(Exception):
            pass

        def kill(done: int, total: int) -> None:
            if done == 2:
                raise Killed

        with pytest.raises(Killed), RunFolder.open(tmp_path / "run", CONFIG) as run:
            hold(cases, SETUP, agent, run, progress=kill)
        with RunFolder.open(tmp_path / "run", CONFIG) as run:
            assert len(run.done()) == 2
            hold(cases, SETUP, agent, run)
            assert run.records() == whole

    def test_wrong_number_of_workers(self, agent: Agent, tmp_path: Path) -> None:
        with RunFolder.open(tmp_path / "run", CONFIG) as run, pytest.raises(RequestError, match="workers"):
            hold([], SETUP, agent, run, workers=0)

    def test_a_model_user_without_a_model_is_refused(self, agent: Agent, tmp_path: Path) -> None:
        settings = load_settings(home=tmp_path, tier="none")
        asks = Agent("local", settings, "none", speaks_by_llm=True)
        with RunFolder.open(tmp_path / "run", CONFIG) as run, pytest.raises(LLMUnavailable, match="language model"):
            hold(cases_of(tastes()[:1], [PLAIN]), Setup("llm", 2, 0), asks, run)


def _into(done: list[tuple[int, int]]) -> Callable[[int, int], None]:
    return lambda now, total: done.append((now, total))


def _kept(catalogue: Catalogue) -> Catalogue:
    class Kept(Catalogue):
        def __init__(self) -> None:
            self.__dict__.update(catalogue.__dict__)

        def close(self) -> None:
            return

    return Kept()


class TestFigures:
    def records(self) -> list[dict[str, Any]]:
        target = sorted(tastes()[0].targets)[0]
        out = []
        for number, at in enumerate((1, 3, 99)):
            record = held(Fixed(lambda turn, user, at=at: [target] if turn == at else ["tt0113277"]), turns=4)
            out.append({**record, "case": f"plain/{number}", "group": f"g{number}"})
        return out

    def test_known_answers(self) -> None:
        found = figures(self.records(), 4, 0)["all"]
        assert found["success_by_turn"] == [1 / 3, 1 / 3, 2 / 3, 2 / 3]
        assert found["turns_to_success"] == 2.0
        assert found["turns"] == 8 / 3
        assert found["repeats"] == 1 + 3
        assert found["outcomes"] == {"accepted": 2, "out of turns": 1}
        low, high = found["success_interval"]
        assert low < 2 / 3 < high

    def test_the_interval_resamples_users_not_dialogues(self) -> None:
        values, alone = [1.0] * 5 + [0.0] * 5, [str(i) for i in range(10)]
        narrow = interval(values, alone, 0)
        wide = interval(values, [str(i // 5) for i in range(10)], 0)
        assert narrow is not None
        assert wide == (0.0, 1.0)
        assert narrow[1] - narrow[0] < 1.0
        assert interval([], [], 0) is None
        assert interval([1.0, 1.0], ["a", "b"], 0) == (1.0, 1.0)

    def test_no_dialogues(self) -> None:
        found = figures([], 2, 0)["all"]
        assert (found["dialogues"], found["success"], found["turns"]) == (0, None, None)
        assert latency({}) == {}

    def test_the_report_reads_as_dialogues(self) -> None:
        records = self.records()
        found = figures(records, 4, 0)
        text = markdown(report(records, found, {**CONFIG, "settings": {**CONFIG["settings"], "turns": 4}}))
        assert "plain/2: out of turns" in text
        assert "would take" in text
        assert [record["case"] for record in worst(records)] == ["plain/2", "plain/1"]


class TestCommand:
    def call(self, *arguments: str) -> Any:
        folder = demo_agent.demo_catalogue().folder
        memory = {"store": "memory", "embedder": "hashing"}
        settings = load_settings(home=folder.parents[1], memory=memory, catalogue=folder.name)
        return CliRunner().invoke(eval_app, ["users", *arguments], obj=SimpleNamespace(settings=settings))

    def test_it_prints_json_and_goes_on_in_its_folder(self, tmp_path: Path) -> None:
        asked = ("--dialogues", "2", "--turns", "2", "--tier", "none", "--persona", "plain,chatty", "--json")
        first = self.call(*asked, "--out", str(tmp_path / "run"))
        assert first.exit_code == 0, first.output
        found = json.loads(first.stdout)
        assert set(found["personas"]) == {"plain", "chatty"}
        assert found["all"]["dialogues"] == 4
        written = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
        again = self.call(*asked, "--out", str(tmp_path / "run"))
        assert json.loads(again.stdout)["all"] == found["all"]
        for name in ("run.json", "cases.jsonl", "cases_timings.jsonl", "metrics.json", "report.md", "report.html"):
            assert (tmp_path / "run" / name).read_bytes() == written[name]

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("--simulator", "psychic"), "scripted, target, chat, llm"),
            (("--source", "nowhere"), "demo, redial"),
            (("--persona", "nobody"), "comma-separated"),
            (("--subject", "no.such.module:agent", "--tier", "none"), "cannot be imported"),
            (("--source", "redial"), "convrec data fetch redial"),
        ],
    )
    def test_wrong_input_is_named(self, arguments: tuple[str, ...], words: str) -> None:
        result = self.call("--dialogues", "1", *arguments)
        assert result.exit_code != 0
        assert words in str(result.exception)
