"""convrec mcp, spoken to by the SDK's own client: in this process, over standard input and output, and over HTTP."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import convrec
import demo_agent
import pytest
from convrec.core.settings import ServerSettings, Settings, load_settings
from convrec.serve.keys import KeyRing, Scope
from convrec.tools.demo import ensure_demo

mcp = pytest.importorskip("mcp")
httpx2 = pytest.importorskip("httpx2")

TOOLS = {"recommend", "search_items", "get_item", "remember", "recall", "forget"}
OLD = {"field": "year", "op": "le", "values": [1960]}
NO_HORROR = {"field": "genres", "values": ["Horror"], "negate": True}
MAIN = "from convrec.app import main; main()"


async def call(client: Any, tool: str, **arguments: Any) -> Any:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    return result.structured_content


async def refused(client: Any, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    return str(result.content[0].text)


def run(folder: Path, test: Callable[[Any], Awaitable[None]], *, user: str | None = "ann", agent: Any = None) -> None:
    """``test`` with a client of a server in this process."""
    from convrec.serve.http import create_app
    from convrec.serve.mcp_server import McpServer

    settings = Settings(home=folder, cache=folder, server=ServerSettings(keys="off"))
    app = create_app(agent or demo_agent.make_agent(), settings=settings)
    server = McpServer(app, user=user).sdk

    async def go() -> None:
        async with app.router.lifespan_context(app), mcp.Client(server) as client:
            await test(client)

    asyncio.run(go())


class TestTools:
    def test_are_described_for_machines(self, tmp_path: Path) -> None:
        async def test(client: Any) -> None:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert set(tools) == TOOLS
            for tool in tools.values():
                assert tool.title
                assert tool.description
                assert tool.output_schema
                assert tool.annotations.open_world_hint is False
                # Whose data it is comes from the connection, never from the model.
                assert not {"user", "user_id", "tenant"} & set(tool.input_schema["properties"])
            assert tools["recommend"].input_schema["required"] == ["request"]
            reading = {name for name, tool in tools.items() if tool.annotations.read_only_hint}
            assert reading == {"search_items", "get_item", "recall"}
            assert {name for name, tool in tools.items() if tool.annotations.destructive_hint} == {"forget"}
            assert "year (integer)" in client.instructions

        run(tmp_path, test)

    def test_recommend(self, tmp_path: Path) -> None:
        async def test(client: Any) -> None:
            found = await call(client, "recommend", request="a western", constraints=[OLD], limit=3)
            assert 1 <= len(found["items"]) <= 3
            assert all(item["year"] <= 1960 and item["reason"] for item in found["items"])
            shown = [item["id"] for item in found["items"]]
            more = await call(
                client, "recommend", request="other ones", earlier=["a western"], constraints=[OLD], exclude=shown
            )
            assert more["items"]
            assert not {item["id"] for item in more["items"]} & set(shown)

        run(tmp_path, test)

    def test_items(self, tmp_path: Path) -> None:
        async def test(client: Any) -> None:
            page = await call(client, "search_items", title="casablanca", limit=2)
            assert page["total"] >= 1
            first = page["data"][0]
            assert await call(client, "get_item", item_id=first["id"]) == first
            assert "no-such" in await refused(client, "get_item", item_id="no-such")

        run(tmp_path, test)

    def test_what_is_remembered_is_used_recalled_and_forgotten(self, tmp_path: Path) -> None:
        async def test(client: Any) -> None:
            kept = await call(
                client, "remember", text="never horror", polarity="unwanted", constraint=NO_HORROR, standing=True
            )
            await call(client, "remember", text="watches with subtitles")
            assert len((await call(client, "recall"))["preferences"]) == 2
            near = await call(client, "recall", about="subtitles", limit=1)
            assert [p["text"] for p in near["preferences"]] == ["watches with subtitles"]
            found = await call(client, "recommend", request="a thriller")
            assert any("horror" in said for said in found["applied_preferences"])
            assert await call(client, "forget", preference_id=kept["id"]) == {"forgotten": 1}
            assert "no preference" in await refused(client, "forget", preference_id=kept["id"])
            assert (await call(client, "forget", everything=True))["forgotten"] >= 1
            assert (await call(client, "recall"))["preferences"] == []

        run(tmp_path, test)

    @pytest.mark.parametrize(
        ("tool", "arguments", "named"),
        [
            ("recommend", {}, "request"),
            ("recommend", {"request": "x", "limit": 99}, "limit"),
            ("recommend", {"request": "x", "liked": ["no-such"]}, "liked"),
            ("recommend", {"request": "x", "constraints": [{"field": "colour", "values": ["red"]}]}, "constraints"),
            ("search_items", {"offset": -1}, "offset"),
            ("remember", {"text": ""}, "text"),
            ("remember", {"text": "x", "polarity": "adored"}, "polarity"),
            ("remember", {"text": "x", "standing": True}, "standing"),
            ("forget", {}, "preference_id"),
            ("forget", {"preference_id": "x", "everything": True}, "preference_id"),
            ("forget", {"preference_id": ".."}, "preference"),
            ("recall", {"about": "x" * 501}, "about"),
        ],
    )
    def test_a_wrong_argument_is_named(self, tmp_path: Path, tool: str, arguments: dict[str, Any], named: str) -> None:
        async def test(client: Any) -> None:
            said = await refused(client, tool, **arguments)
            assert named in said
            assert "Traceback" not in said

        run(tmp_path, test)

    def test_a_bug_is_not_shown(self, tmp_path: Path) -> None:
        import scripted_agent

        async def test(client: Any) -> None:
            assert "ZeroDivision" not in await refused(client, "recommend", request="bug")

        run(tmp_path, test, agent=scripted_agent.ScriptedAgent())

    def test_a_connection_must_say_whose_it_is(self, tmp_path: Path) -> None:
        async def test(client: Any) -> None:
            assert "X-Convrec-User" in await refused(client, "recall")

        run(tmp_path, test, user=None)


def test_a_user_in_a_header_is_the_one_of_the_api() -> None:
    from convrec.core.errors import RequestError
    from convrec.serve.mcp_server import user_named

    assert user_named({"x-convrec-user": "Zoë".encode().decode("latin-1")}) == "Zoë"
    assert user_named({}) == ""
    with pytest.raises(RequestError, match="UTF-8"):
        user_named({"x-convrec-user": "Zo\xeb"})


# -- real processes ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Settings of the processes: the demo catalogue is there, no model is needed, preferences are real files."""
    home = tmp_path_factory.mktemp("mcp-home")
    ensure_demo(load_settings(home=home))
    return {
        "CONVREC_HOME": str(home),
        "CONVREC_CACHE": str(home / "cache"),
        "CONVREC_TIER": "none",
        "CONVREC_MEMORY__EMBEDDER": "hashing",
    }


def test_over_standard_input_and_output(env: dict[str, str]) -> None:
    async def talk(user: str, test: Callable[[Any], Awaitable[None]]) -> None:
        args = ["-c", MAIN, "mcp", "--user", user]
        process = mcp.StdioServerParameters(command=sys.executable, args=args, env=env)
        async with mcp.Client(process) as client:
            await test(client)

    async def ann(client: Any) -> None:
        assert {tool.name for tool in (await client.list_tools()).tools} == TOOLS
        found = await call(client, "recommend", request="a western from before 1960", limit=2)
        assert all(item["year"] < 1960 for item in found["items"])
        await call(client, "remember", text="watches with subtitles")
        assert "item" in await refused(client, "get_item", item_id="no-such")

    async def bob(client: Any) -> None:
        assert (await call(client, "recall"))["preferences"] == []

    async def ann_again(client: Any) -> None:
        [kept] = (await call(client, "recall", about="subtitles"))["preferences"]
        assert await call(client, "forget", preference_id=kept["id"]) == {"forgotten": 1}

    for user, test in (("ann", ann), ("bob", bob), ("ann", ann_again)):
        asyncio.run(talk(user, test))


@contextmanager
def http_process(env: dict[str, str], *options: str) -> Iterator[str]:
    """``convrec mcp --http`` on a free port; yields the address of its MCP endpoint."""
    import os

    command = [sys.executable, "-u", "-c", MAIN, "mcp", "--http", "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | env) as process:
        assert process.stderr is not None
        said: list[str] = []
        for line in process.stderr:
            said.append(line)
            if found := re.match(r"MCP +(\S+/mcp)", line):
                break
        else:
            pytest.fail("".join(said))
        try:
            yield found[1]
        finally:
            process.terminate()
            process.stderr.read()
            assert process.wait(30) == 0


@asynccontextmanager
async def connected(url: str, **headers: Any) -> AsyncIterator[Any]:
    from mcp.client.streamable_http import streamable_http_client

    async with (
        httpx2.AsyncClient(headers=headers, timeout=120) as web,
        mcp.Client(streamable_http_client(url, http_client=web)) as client,
    ):
        yield client


def test_over_http_with_the_keys_and_tenants_of_the_api(env: dict[str, str]) -> None:
    ring = KeyRing(Path(env["CONVREC_HOME"]) / "keys.json")
    acme, other = (f"Bearer {ring.create(tenant)[1]}" for tenant in ("acme", "other"))
    narrow = f"Bearer {ring.create('acme', scopes=[Scope.ITEMS])[1]}"

    async def test(url: str) -> None:
        question = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        async with httpx2.AsyncClient(timeout=60) as web:
            wrong = ({}, {"Authorization": "Bearer convrec_a_b"}, {"Authorization": f"Basic {acme}"})
            answers = [await web.post(url, headers=headers, json=question) for headers in wrong]
        assert [answer.status_code for answer in answers] == [401] * 3
        assert all(answer.headers["www-authenticate"].startswith("Bearer") for answer in answers)
        async with connected(url, Authorization=acme, **{"X-Convrec-User": "ann"}) as client:
            assert {tool.name for tool in (await client.list_tools()).tools} == TOOLS
            assert (await call(client, "recommend", request="a comedy", limit=1))["items"]
            kept = await call(client, "remember", text="watches with subtitles")
        async with connected(url, Authorization=acme, **{"X-Convrec-User": "ann"}) as client:
            assert [p["id"] for p in (await call(client, "recall"))["preferences"]] == [kept["id"]]
        # Another tenant's "ann", another user, and nobody at all.
        for key, user in ((other, "ann"), (acme, "bob")):
            async with connected(url, Authorization=key, **{"X-Convrec-User": user}) as client:
                assert (await call(client, "recall"))["preferences"] == []
                assert "no preference" in await refused(client, "forget", preference_id=kept["id"])
        async with connected(url, Authorization=other, **{"X-Convrec-User": "acme/ann"}) as client:
            assert "user" in await refused(client, "recall")
        async with connected(url, Authorization=acme, **{"X-Convrec-User": "Zoë".encode()}) as client:
            await call(client, "remember", text="likes snow")
        async with connected(url, Authorization=acme) as client:
            assert "X-Convrec-User" in await refused(client, "recall")
        async with connected(url, Authorization=narrow, **{"X-Convrec-User": "ann"}) as client:
            assert (await call(client, "search_items", title="heat"))["data"]
            assert "preferences:read" in await refused(client, "recall")

    with http_process(env) as url:
        assert url.startswith("http://127.0.0.1:")
        asyncio.run(test(url))
        # The API is on the same port, with the same users.
        with convrec.Client(url.removesuffix("/mcp"), api_key=acme.removeprefix("Bearer ")) as client:
            assert [p.text for p in client.preferences("Zoë")] == ["likes snow"]


def test_a_foreign_page_that_points_its_name_here_is_not_answered(tmp_path: Path) -> None:
    from convrec.serve.http import create_app
    from convrec.serve.mcp_server import McpServer
    from convrec.serve.run import guard_host
    from starlette.testclient import TestClient

    app = create_app(demo_agent.make_agent(), settings=Settings(home=tmp_path, cache=tmp_path))
    McpServer(app, user="ann").mount(host="127.0.0.1")
    guard_host(app, "127.0.0.1")
    question = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accept = {"Accept": "application/json, text/event-stream"}
    with TestClient(app, base_url="http://127.0.0.1:8765") as web:
        assert web.post("/mcp", json=question, headers=accept).status_code == 200
        assert web.post("/mcp", json=question, headers=accept | {"Host": "evil.example"}).status_code == 400
        evil = {"Origin": "https://evil.example"}
        assert web.post("/mcp", json=question, headers=accept | evil).status_code == 403
        assert web.get("/healthz").status_code == 200


@pytest.mark.parametrize("wrong", [["--http", "--host", "0.0.0.0"], ["--user", "a/b"], ["--allow-remote"]])
def test_what_does_not_start(tmp_path: Path, wrong: list[str]) -> None:
    import scripted_agent
    from convrec.app import GROUPS
    from convrec.serve.cli import BAD_INPUT, build_cli
    from convrec.serve.services import Services
    from typer.testing import CliRunner

    settings = Settings(home=tmp_path, cache=tmp_path)
    app = build_cli(lambda *_: Services(settings, lambda _: scripted_agent.ScriptedAgent()), GROUPS)
    assert CliRunner().invoke(app, ["mcp", *wrong]).exit_code == BAD_INPUT
