"""convrec.Client and convrec.AsyncClient against a real server on the loopback."""

from __future__ import annotations

import asyncio
import email.utils
import inspect
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import convrec
import demo_agent
import httpx
import pytest
from api_server import serving
from convrec.core.errors import ApiBusy, ApiError, RequestError, ServerUnreachable
from convrec.serve.client_calls import error_from, wait_before_retry
from convrec.serve.keys import KeyRing, Scope

pytest.importorskip("fastapi")


class Blocking:
    """The asynchronous client behind blocking calls, so that both pass the same tests."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = convrec.AsyncClient(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            async def wait() -> Any:
                made = method(*args, **kwargs)
                return [piece async for piece in made] if inspect.isasyncgen(made) else await made

            return self._runner.run(wait())

        return call

    def close(self) -> None:
        self.aclose()
        self._runner.close()


KINDS = [pytest.param(convrec.Client, id="sync"), pytest.param(Blocking, id="async")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with serving(tmp_path_factory.mktemp("served"), demo_agent.make_agent()) as found:
        yield found


@pytest.fixture(params=KINDS)
def client(server: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    made = request.param(server.url + "/v1/", retries=0)
    yield made
    made.close()


@pytest.fixture
def user(request: pytest.FixtureRequest) -> str:
    """One of its own for each test."""
    return "".join(c for c in request.node.name if c.isalnum())[:60]


def test_both_have_the_same_methods() -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        found = inspect.getmembers(kind, inspect.isfunction)
        return {name: list(inspect.signature(f).parameters) for name, f in found if not name.startswith("_")}

    blocking, waiting = methods(convrec.Client), methods(convrec.AsyncClient)
    assert blocking.pop("close") == waiting.pop("aclose")
    assert blocking == waiting


def test_the_root_stays_light() -> None:
    code = "import sys, convrec; assert 'httpx' not in sys.modules; convrec.Client; convrec.AsyncClient\n"
    code += "bad = {'fastapi', 'numpy', 'duckdb'} & set(sys.modules); assert not bad, bad"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(AttributeError, match="Clint"):
        _ = convrec.Clint  # type: ignore[attr-defined]


class TestTurns:
    def test_a_conversation_goes_on(self, client: Any, user: str) -> None:
        first = client.chat("a thriller from the nineties", user=user)
        assert first.items
        assert all(1990 <= item.year <= 1999 for item in first.items)
        assert first.facts.turn == 1
        again = client.chat("only under two hours", user=user, conversation_id=first.conversation_id)
        assert again.facts.turn == 2
        assert all(item.fields["runtime"] <= 120 and 1990 <= item.year <= 1999 for item in again.items)
        said = client.session(user, first.conversation_id).turns
        assert [turn.user for turn in said] == ["a thriller from the nineties", "only under two hours"]

    def test_a_stream_is_the_answer_in_pieces(self, client: Any, user: str) -> None:
        pieces = list(client.stream("a comedy", user=user))
        answer = pieces[-1].answer
        assert answer.items
        assert "".join(piece.text for piece in pieces) == answer.text
        assert all(piece.answer is None for piece in pieces[:-1])

    def test_recommendations_keep_to_conditions(self, client: Any) -> None:
        old = {"field": "year", "op": "le", "values": [1960]}
        found = client.recommend("a western", constraints=[old], limit=3)
        assert 1 <= len(found.items) <= 3
        assert all(item.year <= 1960 for item in found.items)

    def test_a_batch_names_what_is_wrong_in_its_place(self, client: Any) -> None:
        good, bad = client.recommend_many([{"text": "a comedy", "limit": 1}, {"liked": ["no-such-item"]}])
        assert len(good.recommendation.items) == 1
        assert (bad.status, bad.error.param) == (400, "liked")


class TestData:
    def test_items(self, client: Any) -> None:
        page = client.search_items("heat", constraints=[{"field": "year", "op": "ge", "values": [1990]}], limit=5)
        assert page.total >= len(page.data) > 0
        assert client.item(page.data[0].id) == page.data[0]
        assert "year" in [field.name for field in client.item_fields()]

    def test_preferences(self, client: Any, user: str) -> None:
        no_horror = {"field": "genres", "values": ["Horror"], "negate": True}
        kept = client.add_preference(user, "never horror", "unwanted", constraint=no_horror, standing=True)
        assert [p.id for p in client.preferences(user)] == [kept.id]
        assert client.search_preferences(user, "horror")[0].preference.id == kept.id
        changed = client.change_preference(user, kept.id, text="no horror at all")
        assert changed.text == "no horror at all"
        exported = client.export_preferences(user)
        assert client.forget_preferences(user) == 1
        assert client.import_preferences(user, exported).added == 1
        client.forget_preference(user, kept.id)
        assert client.preferences(user) == []
        assert client.profile(user).user == user

    def test_feedback_sessions_and_erasure(self, client: Any, user: str) -> None:
        answer = client.chat("a comedy", user=user)
        assert answer.items[0].title in client.feedback(user, answer.conversation_id, answer.items[0].id, "liked")
        other = client.chat("a western", user=user)
        assert {s.id for s in client.sessions(user)} == {answer.conversation_id, other.conversation_id}
        client.erase_session(user, other.conversation_id)
        erased = client.erase_user(user)
        assert (erased.sessions, erased.preferences >= 1) == (1, True)
        assert client.sessions(user) == client.preferences(user) == []

    def test_health(self, client: Any) -> None:
        assert client.health().items > 0


class TestErrors:
    def test_a_wrong_field_is_named(self, client: Any) -> None:
        with pytest.raises(ApiError) as failed:
            client.recommend("x", constraints=[{"field": "colour", "values": ["red"]}])
        assert (failed.value.status, failed.value.field) == (400, "constraints[0].field")
        assert failed.value.request_id
        with pytest.raises(ApiError) as failed:
            next(iter(client.stream("  ")))
        assert failed.value.field == "messages[0].content"
        with pytest.raises(ApiError) as failed:
            client.item("no-such-item")
        assert failed.value.status == 404

    @pytest.mark.parametrize("wrong", ["", ".", "..", "\ud800"])
    def test_an_id_that_would_be_another_address_is_not_sent(self, client: Any, wrong: str) -> None:
        for call in (client.erase_user, client.item, lambda x: client.forget_preference("u", x)):
            with pytest.raises(RequestError):
                call(wrong)

    def test_an_id_stays_one_part_of_the_address(self, client: Any, user: str) -> None:
        client.add_preference(user, "likes subtitles", "neutral")
        for strange in (f"x/../../users/{user}", f"{user}/preferences", f"{user}?a=1#b"):
            with pytest.raises(ApiError):
                client.forget_preference(strange, "x")
        assert len(client.preferences(user)) == 1

    @pytest.mark.parametrize("kind", KINDS)
    def test_no_server(self, kind: Any) -> None:
        client = kind("http://127.0.0.1:9", retries=0)
        with pytest.raises(ServerUnreachable, match="cannot be reached"):
            client.chat("x")
        client.close()

    @pytest.mark.parametrize("kind", KINDS)
    def test_something_else_answers(self, kind: Any, server: Any) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            if request.url.path == "/healthz":
                return httpx.Response(200, json={"hello": 1})
            return httpx.Response(502, text="<html>Bad gateway</html>")

        client = kind(server.url, retries=0, transport=httpx.MockTransport(answer))
        with pytest.raises(ServerUnreachable):
            client.health()
        with pytest.raises(ApiError) as failed:
            client.chat("x")
        assert failed.value.status == 502
        client.close()

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_stream_that_breaks_off(self, kind: Any) -> None:
        def piece(content: str) -> str:
            return f'data: {{"choices": [{{"index": 0, "delta": {{"content": "{content}"}}}}]}}\n\n'

        ends = {"cut": piece("half"), "failed": piece("half") + 'data: {"error": {"message": "gone", "code": "c"}}\n\n'}
        for name, error in (("cut", ServerUnreachable), ("failed", ApiError)):
            text = ends[name]
            client = kind(
                "http://x", transport=httpx.MockTransport(lambda _, text=text: httpx.Response(200, text=text))
            )
            with pytest.raises(error):
                list(client.stream("x"))
            client.close()

    def test_bad_addresses_and_keys(self) -> None:
        for wrong in ({"base_url": "127.0.0.1:8000"}, {"api_key": "a\nb"}):
            with pytest.raises(RequestError):
                convrec.Client(**wrong)


class TestRetries:
    @pytest.fixture
    def waits(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        found: list[float] = []

        async def later(seconds: float) -> None:
            found.append(seconds)

        monkeypatch.setattr("convrec.serve.client.sleep", found.append)
        monkeypatch.setattr("convrec.serve.client_async.sleep", later)
        return found

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_rate_is_waited_for_as_the_server_says(self, kind: Any, tmp_path: Path, waits: list[float]) -> None:
        _, text = KeyRing(tmp_path / "keys.json").create("acme", scopes=[Scope.ITEMS], rate="2/hour")
        with serving(tmp_path, demo_agent.make_agent()) as server:
            client = kind(server.url, api_key=text, retries=2)
            client.search_items("a")
            client.search_items("b")
            with pytest.raises(ApiBusy) as failed:
                client.search_items("c")
            client.close()
        assert failed.value.status == 429
        assert failed.value.retry_after > 60
        assert waits == []  # an hour is not waited for

    @pytest.mark.parametrize("kind", KINDS)
    def test_what_was_turned_away_is_sent_again(self, kind: Any, server: Any, waits: list[float]) -> None:
        tries: list[str] = []

        class Gate(httpx.BaseTransport, httpx.AsyncBaseTransport):
            """Turns the first two requests away, then lets all through to the real server."""

            def __init__(self) -> None:
                self.blocking, self.waiting = httpx.HTTPTransport(), httpx.AsyncHTTPTransport()

            def refused(self, request: httpx.Request) -> httpx.Response | None:
                tries.append(request.url.path)
                answers = {1: (429, {"Retry-After": "3"}), 2: (503, {"Retry-After": "2"})}
                status, headers = answers.get(len(tries), (200, {}))
                return httpx.Response(status, headers=headers, json={}) if status != 200 else None

            def handle_request(self, request: httpx.Request) -> httpx.Response:
                return self.refused(request) or self.blocking.handle_request(request)

            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                return self.refused(request) or await self.waiting.handle_async_request(request)

        client = kind(server.url, transport=Gate())
        assert client.health().status == "ok"
        assert waits == [3.0, 2.0]
        tries.clear()
        assert list(client.stream("a comedy"))[-1].answer.items
        assert waits == [3.0, 2.0] * 2
        client.close()

    def test_what_may_have_been_done_is_not(self) -> None:
        for status, headers in ((500, {}), (503, {}), (504, {"retry-after": "1"}), (400, {"retry-after": "1"})):
            assert wait_before_retry(error_from(status, headers, b"{}"), 0, 2) is None

    def test_how_long(self) -> None:
        assert wait_before_retry(error_from(429, {}, b""), 1, 2) == 2.0
        assert wait_before_retry(error_from(429, {"retry-after": "1"}, b""), 2, 2) is None
        at = email.utils.format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
        assert 20 < error_from(429, {"retry-after": at}, b"").retry_after <= 30  # type: ignore[operator]
        assert error_from(429, {"retry-after": "soon"}, b"").retry_after is None


def test_a_key_is_sent_and_read_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, text = KeyRing(tmp_path / "keys.json").create("acme")
    with serving(tmp_path) as server:
        with convrec.Client(server.url) as client, pytest.raises(ApiError) as failed:
            client.preferences("alice")
        assert failed.value.status == 401
        monkeypatch.setenv("CONVREC_API_KEY", text)
        with convrec.Client(server.url) as client:
            assert client.preferences("alice") == []


def test_two_threads_share_a_client(server: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with convrec.Client(server.url) as client, ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: client.search_items("a", limit=n).data, range(1, 9)))
    assert [len(data) for data in found] == list(range(1, 9))
