"""The HTTP API, driven by the clients people use, over loopback."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import scripted_agent as scripted
from convrec.core.settings import ServerSettings, Settings
from convrec.memory.records import NewPreference
from convrec.serve.api.conversations import Conversations
from convrec.serve.openai_request import ChatTurn

openai = pytest.importorskip("openai")
pytest.importorskip("fastapi")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Any]:
    from convrec.serve.http import create_app

    agent = scripted.ScriptedAgent()
    settings = Settings(home=tmp_path, cache=tmp_path, server=ServerSettings(turns_at_once=8))
    app = create_app(agent, settings=settings)
    for running in scripted.serve_on_thread(app, agent):
        running.pool = app.state.turn_pool
        yield running


@pytest.fixture
def client(server: Any) -> Iterator[Any]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as found:
        yield found


@pytest.fixture
def web(server: Any) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=20) as found:
        yield found


def say(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "convrec", "messages": [{"role": "user", "content": text}], **more}


def test_openai_client_gets_an_answer_and_the_items(client: Any) -> None:
    answer = client.chat.completions.create(**say("a thriller", user="alice", temperature=0.2))
    assert answer.choices[0].message.content == "Turn 1 of alice: you said 'a thriller'. I know nothing."
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (12, 7, 19)
    found = answer.model_extra["convrec"]
    assert [item["title"] for item in found["items"]] == ["Heat", "Memories of Murder"]
    assert found["items"][0]["fields"]["directors"] == ["Michael Mann"]
    assert found["ignored"] == ["temperature"]
    names = "items plan planner tier conditions relaxed applied_preferences remembered fallbacks tools timings llm"
    assert set(names.split()) <= set(found)


@pytest.mark.parametrize("include_usage", [True, False])
def test_openai_client_streams(client: Any, include_usage: bool) -> None:
    options = {"stream_options": {"include_usage": True}} if include_usage else {}
    chunks = list(client.chat.completions.create(**say("a thriller", user="alice", stream=True, **options)))
    assert chunks[0].choices[0].delta.role == "assistant"
    with_choice = [chunk for chunk in chunks if chunk.choices]
    assert len(with_choice) > 5
    text = "".join(chunk.choices[0].delta.content or "" for chunk in with_choice)
    assert text == "Turn 1 of alice: you said 'a thriller'. I know nothing."
    assert with_choice[-1].choices[0].finish_reason == "stop"
    assert [item["id"] for item in with_choice[-1].model_extra["convrec"]["items"]] == ["Q42198", "a/b"]
    assert len({chunk.id for chunk in chunks}) == 1
    if include_usage:
        assert chunks[-1].choices == []
        assert chunks[-1].usage.total_tokens == 19
    else:
        assert all(chunk.usage is None for chunk in chunks)


def test_tokens_arrive_while_the_turn_runs(client: Any) -> None:
    began = time.monotonic()
    times = [time.monotonic() - began for _ in client.chat.completions.create(**say("slow", stream=True))]
    assert times[0] < 0.5
    assert times[-1] - times[0] > 0.6


def test_raw_stream_ends_with_done(web: httpx.Client) -> None:
    answer = web.post("/v1/chat/completions", json=say("a thriller\u2028x", stream=True))
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in answer.text.split("\n\n") if line]
    assert lines[-1] == "data: [DONE]"
    assert all(json.loads(line.removeprefix("data: "))["object"] == "chat.completion.chunk" for line in lines[:-1])


def test_openai_async_client(server: Any) -> None:
    async def go() -> str:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
            stream = await client.chat.completions.create(**say("a thriller", user="alice", stream=True))
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])

    assert asyncio.run(go()).startswith("Turn 1 of alice")


def test_langchain_client(server: Any) -> None:
    langchain = pytest.importorskip("langchain_openai")
    chat = langchain.ChatOpenAI(
        base_url=f"{server.url}/v1", api_key="none", model="convrec", model_kwargs={"user": "alice"}
    )
    history: list[tuple[str, str]] = [("system", "be kind"), ("user", "a thriller")]
    first = chat.invoke(history)
    assert first.content.startswith("Turn 1 of alice: you said 'a thriller'")
    history += [("assistant", first.content), ("user", "a newer one")]
    streamed = "".join(chunk.content for chunk in chat.stream(history))
    assert streamed.startswith("Turn 2 of alice: you said 'a newer one'")


class TestConversations:
    def test_a_named_one_goes_on_without_history(self, client: Any) -> None:
        for turn in (1, 2):
            answer = client.chat.completions.create(**say("x", user="alice", metadata={"conversation_id": "c1"}))
            assert answer.choices[0].message.content.startswith(f"Turn {turn} of alice")
        other = client.chat.completions.create(**say("x", user="alice", extra_headers={"X-Conversation-Id": "c1"}))
        assert other.choices[0].message.content.startswith("Turn 3 of alice")
        bob = client.chat.completions.create(**say("x", user="bob", metadata={"conversation_id": "c1"}))
        assert bob.choices[0].message.content.startswith("Turn 1 of bob")

    def test_an_unnamed_one_is_found_by_its_history(self, client: Any) -> None:
        first = client.chat.completions.create(**say("hello", user="alice"))
        messages = [
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": first.choices[0].message.content},
            {"role": "user", "content": [{"type": "text", "text": "more"}]},
        ]
        second = client.chat.completions.create(model="convrec", messages=messages, user="alice")
        assert second.choices[0].message.content.startswith("Turn 2 of alice: you said 'more'")
        ids = [answer.model_extra["convrec"]["conversation_id"] for answer in (first, second)]
        assert ids[0] == ids[1]
        assert second.model_extra["convrec"]["replayed"] == 0
        # The same history again is a branch of the conversation: it starts from a replay, not from the session.
        again = client.chat.completions.create(model="convrec", messages=messages, user="alice")
        assert again.model_extra["convrec"]["replayed"] == 1
        assert again.model_extra["convrec"]["conversation_id"] != ids[0]
        assert again.choices[0].message.content.startswith("Turn 2 of alice")

    def test_unknown_history_is_replayed_at_most_ten_turns(self, client: Any) -> None:
        messages: list[dict[str, Any]] = []
        for number in range(12):
            messages += [{"role": "user", "content": f"m{number}"}, {"role": "assistant", "content": "ok"}]
        messages.append({"role": "user", "content": "now"})
        for _ in range(2):
            answer = client.chat.completions.create(
                model="convrec", messages=messages, user="alice", metadata={"conversation_id": "c9"}
            )
        # The first call replayed ten turns, the second knew the conversation.
        assert answer.model_extra["convrec"]["replayed"] == 0
        assert answer.choices[0].message.content.startswith("Turn 12 of alice")

    def test_anonymous_callers_share_nothing(self, client: Any, server: Any) -> None:
        first = client.chat.completions.create(**say("I love Heat"))
        second = client.chat.completions.create(**say("I love Heat"))
        users = [answer.model_extra["convrec"]["user"] for answer in (first, second)]
        assert users[0] != users[1]
        assert all(user.startswith("anon-") for user in users)
        assert "I know nothing" in second.choices[0].message.content

    def test_equal_histories_get_one_session_each(self) -> None:
        index = Conversations()

        def turn(text: str, *earlier: tuple[str, str]) -> ChatTurn:
            return ChatTurn(text, None, None, earlier, False, False, ())

        opened = [index.resolve(turn("hi")) for _ in range(2)]
        for conversation in opened:
            index.finished(turn("hi"), conversation, "hello")
        said = (("user", "hi"), ("assistant", "hello"))
        gone_on = [index.resolve(turn("more", *said)) for _ in range(3)]
        assert len({c.session_id for c in gone_on}) == 3
        assert {c.session_id for c in opened} < {c.session_id for c in gone_on}
        assert len({c.user for c in gone_on}) == 3

    def test_the_index_is_bounded(self) -> None:
        index = Conversations(limit=5)
        for number in range(20):
            turn = ChatTurn(f"hi {number}", "u", None, (), False, False, ())
            index.finished(turn, index.resolve(turn), "hello")
        assert len(index) == 5

    def test_an_anonymous_conversation_can_be_named_later(self, client: Any) -> None:
        first = client.chat.completions.create(**say("I love Heat"))
        found = first.model_extra["convrec"]
        second = client.chat.completions.create(**say("x", metadata={"conversation_id": found["conversation_id"]}))
        assert second.model_extra["convrec"]["user"] == found["user"]
        assert "I know likes Heat" in second.choices[0].message.content


def test_two_users_at_once_never_see_each_other(server: Any) -> None:
    def talk(user: str, out: dict[str, list[str]]) -> None:
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
            for number in range(6):
                answer = client.chat.completions.create(
                    **say(f"I love {user}-film-{number}", user=user, metadata={"conversation_id": "same"})
                )
                out[user].append(json.dumps(answer.to_dict()))

    out: dict[str, list[str]] = {"alice": [], "bob": []}
    threads = [threading.Thread(target=talk, args=(user, out)) for user in out]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [len(answers) for answers in out.values()] == [6, 6]
    assert all("bob" not in answer for answer in out["alice"])
    assert all("alice" not in answer for answer in out["bob"])
    assert "Turn 6 of alice" in out["alice"][-1]
    for user, other in (("alice", "bob"), ("bob", "alice")):
        kept = httpx.get(f"{server.url}/v1/users/{user}/preferences").text
        assert kept.count("likes") == 6
        assert other not in kept


def test_twenty_at_once_run_on_a_bounded_pool(server: Any) -> None:
    async def go() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=30)
        async with httpx.AsyncClient(base_url=server.url, limits=limits, timeout=60) as web:
            calls = [web.post("/v1/chat/completions", json=say("slow", user=f"u{n}")) for n in range(20)]
            asking = asyncio.gather(*calls)
            await asyncio.sleep(0.3)
            began = time.monotonic()
            assert (await web.get("/healthz")).status_code == 200
            assert time.monotonic() - began < 1.0, "turns under way must not hold up other requests"
            return await asking

    answers = asyncio.run(go())
    assert [a.status_code for a in answers] == [200] * 20
    for number, answer in enumerate(answers):
        assert answer.json()["choices"][0]["message"]["content"].startswith(f"Turn 1 of u{number}:")
    assert 2 <= server.agent.most_at_once <= 8


def test_a_flood_is_refused(server: Any, monkeypatch: pytest.MonkeyPatch, web: httpx.Client) -> None:
    monkeypatch.setattr(server.pool, "max_waiting", -server.pool.workers)
    answer = web.post("/v1/chat/completions", json=say("x"))
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "2"
    assert "Try again later" in answer.json()["error"]["message"]


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_stops_its_turn(server: Any, stream: bool) -> None:
    body = say("slow " + "word " * 200, stream=stream)
    with httpx.Client(base_url=server.url) as web:
        if stream:
            with web.stream("POST", "/v1/chat/completions", json=body) as answer:
                next(answer.iter_lines())
        else:
            with pytest.raises(httpx.ReadTimeout):
                web.post("/v1/chat/completions", json=body, timeout=0.4)
    assert server.agent.closed.wait(5)
    deadline = time.monotonic() + 5
    while httpx.get(f"{server.url}/healthz").json()["turns_running"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert httpx.get(f"{server.url}/healthz").json()["turns_running"] == 0


class TestErrors:
    def test_unknown_model(self, client: Any) -> None:
        with pytest.raises(openai.NotFoundError) as caught:
            client.chat.completions.create(**{**say("x"), "model": "gpt-4o"})
        assert caught.value.code == "model_not_found"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("gpt-4o")

    @pytest.mark.parametrize(
        ("change", "param"),
        [
            ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
            ({"tool_choice": "required"}, "tool_choice"),
            ({"functions": [{"name": "f"}]}, "functions"),
            ({"n": 2}, "n"),
            ({"response_format": {"type": "json_object"}}, "response_format"),
            ({"audio": {"voice": "x"}}, "audio"),
            ({"modalities": ["text", "audio"]}, "modalities"),
            ({"logprobs": True}, "logprobs"),
            ({"messages": []}, "messages"),
            ({"messages": "hello"}, "messages"),
            ({"messages": [{"role": "user", "content": "  "}]}, "messages[0].content"),
            ({"messages": [{"role": "user", "content": "x" * 4001}]}, "messages[0].content"),
            ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
            ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
            ({"messages": [{"role": "user"}]}, "messages[0].content"),
            ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
            ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
            (
                {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]},
                "messages",
            ),
            (
                {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
                "messages[0].content[0]",
            ),
            ({"user": ""}, "user"),
            ({"user": "a/b"}, "user"),
            ({"user": "x" * 129}, "user"),
            ({"user": 5}, "user"),
            ({"metadata": {"conversation_id": "\n"}}, "metadata.conversation_id"),
            ({"stream": "maybe"}, "stream"),
            ({"model": None}, "model"),
        ],
    )
    def test_wrong_input_names_the_field(self, web: httpx.Client, change: dict[str, Any], param: str) -> None:
        answer = web.post("/v1/chat/completions", json={**say("x"), **change})
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert (error["param"], error["type"]) == (param, "invalid_request_error")
        assert error["message"]

    def test_wrong_input_is_openais_exception(self, client: Any) -> None:
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(**say("x", n=2))
        assert caught.value.param == "n"

    def test_what_newcomers_get_wrong_is_said(self, web: httpx.Client) -> None:
        """A base address without /v1, curl without the header, a bracket that is missing."""
        sent = json.dumps(say("x"))
        as_json = {"content-type": "application/json"}
        outside = web.post("/chat/completions", content=sent, headers=as_json)
        assert outside.status_code == 404
        assert "/v1" in outside.json()["error"]["message"]
        as_form = {"content-type": "application/x-www-form-urlencoded"}
        plain = web.post("/v1/chat/completions", content=sent, headers=as_form).json()["error"]
        assert "Content-Type: application/json" in plain["message"]
        cut = web.post("/v1/chat/completions", content=sent[:-1], headers=as_json).json()["error"]
        assert f"at character {len(sent) - 1}" in cut["message"]
        assert plain["param"] is None
        assert cut["param"] is None

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe"])
    def test_a_body_that_is_no_json_object(self, web: httpx.Client, body: bytes) -> None:
        answer = web.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "invalid_request_error"

    def test_another_content_type_is_refused(self, web: httpx.Client) -> None:
        # A form of a foreign web page can send text/plain without asking first.
        body = json.dumps(say("x"))
        assert web.post("/v1/chat/completions", content=body, headers={"content-type": "text/plain"}).status_code == 400

    def test_too_large_a_body(self, web: httpx.Client) -> None:
        answer = web.post("/v1/chat/completions", json=say("x" * (1 << 20)))
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "request_too_large"

        def chunks() -> Iterator[bytes]:
            for _ in range(20):
                yield b"x" * 100_000

        headers = {"content-type": "application/json"}
        assert web.post("/v1/chat/completions", content=chunks(), headers=headers).status_code == 413

    def test_a_failure_mid_stream_is_an_error_event(self, client: Any, web: httpx.Client) -> None:
        with pytest.raises(openai.APIError, match="did not answer"):
            list(client.chat.completions.create(**say("boom", stream=True)))
        text = web.post("/v1/chat/completions", json=say("boom", stream=True)).text
        assert text.endswith("data: [DONE]\n\n")

    @pytest.mark.parametrize("stream", [True, False])
    def test_a_failure_before_the_first_event_is_a_status(self, web: httpx.Client, stream: bool) -> None:
        answer = web.post("/v1/chat/completions", json=say("early", stream=stream))
        assert answer.status_code == 503
        assert "did not answer" in answer.json()["error"]["message"]

    def test_a_bug_shows_no_detail(self, web: httpx.Client) -> None:
        answer = web.post("/v1/chat/completions", json=say("bug"))
        assert answer.status_code == 500
        assert answer.json()["error"]["code"] == "internal_error"
        streamed = web.post("/v1/chat/completions", json=say("bug", stream=True))
        assert '"turn_failed"' in streamed.text
        assert "secret" not in answer.text + streamed.text
        assert "Traceback" not in answer.text + streamed.text

    def test_unknown_address(self, web: httpx.Client) -> None:
        for path in ("/v1/embeddings", "/nowhere"):
            answer = web.get(path)
            assert answer.status_code == 404
            assert answer.json()["error"]["code"] == "not_found"


class TestPreferences:
    @pytest.fixture(autouse=True)
    def _known(self, server: Any) -> None:
        for user, what in (("alice", "Heat"), ("alice", "Alien"), ("bob", "Up")):
            server.agent.preferences.add(
                user, NewPreference(kind="item", polarity="liked", subject=f"item:{what}", text=f"liked {what}")
            )

    def test_list_change_forget(self, web: httpx.Client) -> None:
        at = "/v1/users/alice/preferences"
        found = web.get(at).json()["data"]
        assert [p["text"] for p in found] == ["liked Alien", "liked Heat"]
        changed = web.patch(f"{at}/{found[0]['id']}", json={"text": "liked Alien a lot", "polarity": "wanted"})
        assert (changed.json()["text"], changed.json()["polarity"]) == ("liked Alien a lot", "wanted")
        assert web.delete(f"{at}/{found[0]['id']}").json()["deleted"] is True
        assert [p["text"] for p in web.get(at).json()["data"]] == ["liked Heat"]
        assert web.delete(f"{at}/{found[0]['id']}").status_code == 404
        assert web.delete(at).json()["deleted"] == 1
        assert web.get(at).json()["data"] == []
        assert len(web.get("/v1/users/bob/preferences").json()["data"]) == 1

    def test_nobody_touches_anothers(self, web: httpx.Client) -> None:
        bobs = web.get("/v1/users/bob/preferences").json()["data"][0]["id"]
        assert web.delete(f"/v1/users/alice/preferences/{bobs}").status_code == 404
        assert web.patch(f"/v1/users/alice/preferences/{bobs}", json={"text": "x"}).status_code == 404
        assert web.get("/v1/users/bob/preferences").json()["data"][0]["text"] == "liked Up"

    @pytest.mark.parametrize("body", [{}, {"text": ""}, {"polarity": "meh"}, {"user": "bob"}, {"text": "x" * 501}])
    def test_wrong_changes(self, web: httpx.Client, body: dict[str, Any]) -> None:
        mine = web.get("/v1/users/alice/preferences").json()["data"][0]["id"]
        assert web.patch(f"/v1/users/alice/preferences/{mine}", json=body).status_code == 400

    def test_export_is_a_file(self, web: httpx.Client) -> None:
        answer = web.get("/v1/users/alice/preferences/export")
        assert "attachment" in answer.headers["content-disposition"]
        assert "liked Heat" in answer.text
        assert "liked Up" not in answer.text


def test_models_health_items_openapi(client: Any, web: httpx.Client) -> None:
    assert [model.id for model in client.models.list()] == ["convrec"]
    assert client.models.retrieve("convrec").owned_by == "convrec"
    health = web.get("/healthz").json()
    assert (health["status"], health["tier"], health["items"]) == ("ok", "none", 17472)
    item = web.get("/v1/items/a/b").json()
    assert (item["id"], item["title"], item["fields"]["year"]) == ("a/b", "Memories of Murder", 2003)
    assert "keywords" not in web.get("/v1/items/Q42198").json()["fields"]
    assert web.get("/v1/items/nope").status_code == 404
    paths = web.get("/openapi.json").json()["paths"]
    assert "/v1/chat/completions" in paths
    for methods in paths.values():
        assert all(operation["summary"] for operation in methods.values())
