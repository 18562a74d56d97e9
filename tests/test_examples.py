"""The examples, run: the Slack bot over loopback servers, the LangGraph agent, two servers with one conversation."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlencode

import convrec
import demo_agent
import httpx
import postgres_server
import pytest
from api_server import serving

pytest.importorskip("fastapi")
FOLDER = Path(convrec.__file__).parent / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with serving(tmp_path_factory.mktemp("served"), demo_agent.make_agent()) as found:
        yield found


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_each_says_what_it_is_and_how_to_run_it(path: Path) -> None:
    doc = path.read_text(encoding="utf-8").split('"""')[1]
    assert f"python examples/{path.name}" in doc


class TestSlack:
    SECRET = "8f742231b10e8888abcd99yyyzzz85a5"

    @pytest.fixture
    def posted(self) -> list[dict[str, Any]]:
        return []

    @pytest.fixture
    def web(self, server: Any, posted: list[dict[str, Any]]) -> Iterator[Any]:
        from starlette.testclient import TestClient

        bot = example("slack_bot")

        async def post(message: dict[str, Any]) -> None:
            posted.append(message)

        app = bot.app_of(bot.Bot(convrec.AsyncClient(server.url), post), self.SECRET)
        with TestClient(app) as client:
            client.bot = bot
            yield client

    def send(self, web: Any, path: str, body: bytes, **wrong: str) -> httpx.Response:
        stamp = wrong.get("stamp", str(int(time.time())))
        headers = {
            "X-Slack-Request-Timestamp": stamp,
            "X-Slack-Signature": wrong.get("signature", web.bot.signature(self.SECRET, stamp, body)),
        }
        return web.post(path, content=body, headers=headers)  # type: ignore[no-any-return]

    def event(self, text: str, event_id: str, ts: str = "1.0", user: str = "U1", **more: Any) -> bytes:
        event = {"type": "app_mention", "user": user, "text": text, "ts": ts, "channel": "C1", **more}
        return json.dumps({"type": "event_callback", "event_id": event_id, "team_id": "T1", "event": event}).encode()

    def test_slacks_own_example_of_a_signature(self) -> None:
        body = (
            b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name"
            b"=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2F"
            b"hooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015."
            b"47445629121.803a0bc887a14d10d2c447fce8b6703c"
        )
        made = example("slack_bot").signature(self.SECRET, "1531420618", body)
        assert made == "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"

    def test_who_is_not_slack_gets_nothing(self, web: Any, posted: list[Any]) -> None:
        body = self.event("a comedy", "E0")
        assert self.send(web, "/slack/events", body, signature="v0=" + "0" * 64).status_code == 401
        assert self.send(web, "/slack/events", body, stamp=str(int(time.time()) - 3600)).status_code == 401
        assert web.post("/slack/events", content=body).status_code == 401
        assert web.post("/slack/actions", content=body).status_code == 401
        assert posted == []

    def test_the_address_is_confirmed(self, web: Any) -> None:
        body = json.dumps({"type": "url_verification", "challenge": "abc"}).encode()
        assert self.send(web, "/slack/events", body).json() == {"challenge": "abc"}

    def test_a_thread_is_a_conversation(self, web: Any, posted: list[Any], server: Any) -> None:
        assert (
            self.send(web, "/slack/events", self.event("<@B0T> a thriller from the nineties", "E1")).status_code == 200
        )
        self.send(web, "/slack/events", self.event("<@B0T> a thriller from the nineties", "E1"))  # sent again
        self.send(web, "/slack/events", self.event("only under two hours", "E2", ts="2.0", thread_ts="1.0"))
        assert [message["thread_ts"] for message in posted] == ["1.0", "1.0"]
        said = [block["text"]["text"] for block in posted[1]["blocks"] if block["type"] == "section"]
        assert len(said) > 1
        assert all("(199" in text for text in said[1:])
        buttons = next(block for block in posted[1]["blocks"] if block["type"] == "actions")["elements"]
        liked = {"action_id": "liked", "value": buttons[0]["value"]}
        payload = {
            "type": "block_actions",
            "team": {"id": "T1"},
            "user": {"id": "U1"},
            "channel": {"id": "C1"},
            "message": {"ts": "3.0", "thread_ts": "1.0"},
            "actions": [liked, {"action_id": "liked", "value": "{"}],
        }
        assert self.send(web, "/slack/actions", urlencode({"payload": json.dumps(payload)}).encode()).status_code == 200
        assert posted[2]["text"].startswith("Noted: ")
        assert len(posted) == 3
        with convrec.Client(server.url) as client:
            assert json.loads(liked["value"])["item"] in str(client.preferences("slack-T1-U1"))
            assert client.preferences("slack-T1-U2") == []

    def test_what_wants_no_answer(self, web: Any, posted: list[Any]) -> None:
        self.send(web, "/slack/events", self.event("a comedy", "E3", bot_id="B1"))
        self.send(web, "/slack/events", self.event("a comedy", "E4", type="reaction_added"))
        assert posted == []
        self.send(web, "/slack/events", self.event("<@B0T>", "E5"))
        assert "blocks" not in posted[0]

    def test_texts_of_items_mention_nobody(self) -> None:
        bot = example("slack_bot")
        from convrec.serve.api import schemas

        fields = {
            name: [] for name in ("conditions", "relaxed", "applied_preferences", "remembered", "ignored", "tools")
        }
        evil = {"id": "x", "title": "<!channel>", "year": None, "reason": "<https://evil|here>", "score": 1.0}
        facts = schemas.TurnFacts.model_validate(
            fields
            | {name: {} for name in ("plan", "timings", "llm")}
            | {name: "x" for name in ("planner", "llm_model", "tier", "user", "conversation_id")}
            | {"turn": 1, "replayed": 0, "items": [evil | {"fields": {}, "evidence": []}]}
            | {"fallbacks": [{"stage": "<!here>", "reason": "r", "instead": "i"}]}
        )
        shown = json.dumps(bot.blocks_of(bot.Answer("<@U1> & co", facts)))
        assert "<" not in shown
        assert "&amp; co" in shown

    def test_it_says_when_it_cannot(self, posted: list[Any]) -> None:
        bot = example("slack_bot")

        async def post(message: dict[str, Any]) -> None:
            posted.append(message)

        made = bot.Bot(convrec.AsyncClient("http://127.0.0.1:9", retries=0), post)
        asyncio.run(made.answer(json.loads(self.event("a comedy", "E6"))))
        assert "try again" in posted[0]["text"]


class TestLangGraph:
    @pytest.fixture
    def made(self, server: Any) -> Iterator[Any]:
        pytest.importorskip("langgraph")
        found = example("langgraph_agent")
        with convrec.Client(server.url) as client:
            found.client, found.tools = client, found.tools_over(client)
            yield found

    def test_recommends_and_remembers_for_the_user_of_the_run(self, made: Any) -> None:
        graph = made.graph_of(made.ScriptedModel().bind_tools(made.tools), made.tools)
        said = made.ask(graph, "a western from before 1960", user="lg-ann", thread="1")
        assert said.count("(19") == 5
        assert all(int(line.split("(")[1][:4]) < 1960 for line in said.splitlines())
        assert "remembered" in made.ask(graph, "I love heist films", user="lg-ann", thread="1")
        assert [p.text for p in made.client.preferences("lg-ann")] == ["I love heist films"]
        assert made.client.preferences("lg-bob") == []

    def test_the_model_can_name_no_user(self, made: Any) -> None:
        for tool in made.tools:
            assert not {"user", "config"} & set(tool.args)

    def test_a_wrong_call_comes_back_to_the_model(self, made: Any) -> None:
        config = {"configurable": {"convrec_user": "lg-ann"}}
        call = {"name": "recommend", "args": {"request": "x", "limit": 99}, "id": "1", "type": "tool_call"}
        answer = made.tools[0].invoke(call, config)
        assert answer.status == "error"
        assert "limit" in answer.content

    def test_runs_as_a_program(self, made: Any, server: Any) -> None:
        command = [sys.executable, str(FOLDER / "langgraph_agent.py"), "--server", server.url, "a comedy"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert len(done.stdout.splitlines()) == 5


@pytest.mark.skipif(postgres_server.binaries() is None, reason=postgres_server.WHY_NOT)
def test_one_conversation_over_two_servers() -> None:
    pytest.importorskip("chromadb")
    pytest.importorskip("psycopg")
    done = subprocess.run([sys.executable, str(FOLDER / "two_servers.py")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "it worked" in done.stdout
