"""A turn that nobody waits for any more: its call to a language model is cut short, in every backend."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_server import say, serving
from convrec.agent.llm.base import LLM
from convrec.agent.llm.openai_compatible import served_chat
from convrec.agent.llm.scripted import scripted
from convrec.agent.llm.stopping import Stop, raise_if_stopped, stoppable
from convrec.agent.llm.xllamacpp_chat import XllamacppChat
from convrec.core.errors import TurnStopped
from demo_agent import make_agent
from llm_contract_parts import CONTEXT, HELLO, POEM, SMOL, TIMEOUT_S, smol_file

AGES_S = 3600.0
"""Nobody waits so long: a call that is not cut short fails the test by its time-out."""
SOON_S = 20.0


def until(true: Callable[[], bool]) -> bool:
    end = time.monotonic() + SOON_S
    while not true() and time.monotonic() < end:
        time.sleep(0.01)
    return true()


def stopped(call: Callable[[], Any], begun: Callable[[], bool]) -> None:
    """Run ``call`` on another thread, stop it once it has ``begun``; it must end with TurnStopped, and soon."""
    stop = Stop()

    def work() -> None:
        with stoppable(stop):
            call()

    with ThreadPoolExecutor(1) as pool:
        running: Future[None] = pool.submit(work)
        try:
            assert until(begun)
        finally:
            stop.set()
        with pytest.raises(TurnStopped):
            running.result(SOON_S)


def ways(llm: LLM) -> dict[str, Callable[[], Any]]:
    return {
        "complete": lambda: llm.complete(POEM, max_tokens=800),
        "stream": lambda: list(llm.stream(POEM, max_tokens=800)),
    }


class TestStop:
    def test_only_the_own_calls_end(self) -> None:
        stop = Stop()
        with stoppable(stop):
            inside = copy_context()
            stop.set()
            with pytest.raises(TurnStopped):
                raise_if_stopped()
        raise_if_stopped()  # another turn of the same thread
        with pytest.raises(TurnStopped):
            inside.run(raise_if_stopped)

    def test_what_waits_is_ended_once_and_what_comes_later_at_once(self) -> None:
        stop, ended = Stop(), []
        with stop.ending(lambda: ended.append("first")):
            stop.set()
        with stop.ending(lambda: ended.append("late")):
            pass
        stop.set()
        assert ended == ["first", "late"]


@pytest.mark.parametrize("way", ["complete", "stream"])
def test_a_scripted_model_stops(way: str) -> None:
    asked: list[Any] = []

    def answer(messages: list[Any], _: Any) -> str:
        asked.append(messages)
        return "Never said."

    llm = scripted(answer, delay_s=AGES_S / 10, timeout_s=2 * AGES_S)
    stopped(ways(llm)[way], lambda: bool(asked))


def test_judgements_stop_too() -> None:
    asked: list[Any] = []

    def judge(messages: list[Any]) -> float:
        asked.append(messages)
        raise_if_stopped()
        time.sleep(0.005)
        return 1.0

    stopped(lambda: scripted([""], yes_no=judge).yes_no([POEM] * 10_000), lambda: len(asked) > 3)
    assert len(asked) < 10_000


@pytest.fixture(scope="module")
def smol() -> Iterator[XllamacppChat]:
    chat = XllamacppChat(model_path=smol_file(), threads=1, context=CONTEXT, timeout_s=TIMEOUT_S)
    yield chat
    chat.close()


@pytest.mark.models
class TestEmbedded:
    @pytest.mark.parametrize("way", ["complete", "stream"])
    def test_the_model_stops_and_takes_the_next_call(self, smol: XllamacppChat, way: str) -> None:
        llm = LLM(lambda: smol, name=SMOL, tier="embedded", timeout_s=TIMEOUT_S)
        running = smol.engine._running
        stopped(ways(llm)[way], lambda: bool(running))
        assert until(lambda: not running), "the model went on"
        assert llm.complete(HELLO, max_tokens=2).text


class Silent:
    """An endpoint that takes a request, sends the head of an answer if told to, and then says nothing more."""

    def __init__(self, head: bytes) -> None:
        self.asked, self.left = threading.Event(), threading.Event()
        self._head = head
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/v1"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listening.accept()
        connection.settimeout(SOON_S)
        with connection:
            connection.recv(1 << 16)
            connection.sendall(self._head)
            self.asked.set()
            try:
                while connection.recv(1 << 16):
                    pass
                self.left.set()
            except OSError:  # nobody left in time
                pass

    @classmethod
    @contextmanager
    def endpoint(cls, head: bytes) -> Iterator[Silent]:
        found = cls(head)
        try:
            yield found
        finally:
            found._thread.join()
            found._listening.close()


HEADS = {
    "nothing yet": b"",
    "a stream begun": b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("way", ["complete", "stream"])
def test_a_served_model_is_hung_up_on(way: str, head: str) -> None:
    with Silent.endpoint(HEADS[head]) as endpoint:
        llm = LLM(lambda: served_chat(endpoint.url, "m", "none", AGES_S), name="m", tier="served", timeout_s=AGES_S)
        stopped(ways(llm)[way], endpoint.asked.is_set)
        assert endpoint.left.wait(SOON_S), "the connection is closed, so that the server can stop"
        llm.close()


class TestOverHttp:
    """A real agent that plans with a model that takes for ever."""

    @pytest.fixture
    def asked(self) -> list[Any]:
        return []

    @pytest.fixture
    def slow(self, asked: list[Any]) -> Any:
        def answer(messages: list[Any], _: Any) -> str:
            asked.append(messages)
            return "{}"

        agent = make_agent(scripted(answer, delay_s=AGES_S, timeout_s=2 * AGES_S))
        agent._loaded = True  # nothing to warm
        agent.settings = agent.settings.model_copy(update={"llm_budget_s": AGES_S * 4})
        return agent

    @pytest.mark.parametrize("stream", [True, False])
    def test_a_client_that_leaves_ends_the_call_and_nothing_is_kept(
        self, tmp_path: Path, slow: Any, asked: list[Any], stream: bool
    ) -> None:
        body = json.dumps(say("something strange and slow", user="ann", stream=stream)).encode()
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        with serving(tmp_path, slow) as server:
            with socket.create_connection(("127.0.0.1", httpx.URL(server.url).port or 0)) as client:
                client.sendall(head.encode() + body)
                assert until(lambda: bool(asked))
            assert until(lambda: server.api.pool.running == 0)
            assert slow.sessions.list("ann") == []
            figures = server.web.get("/metrics").text
            assert "convrec_fallbacks_total{" not in figures.replace('{stage="rates"}', ""), "no model failed"

    def test_a_turn_that_takes_too_long_ends_the_call(self, tmp_path: Path, slow: Any, asked: list[Any]) -> None:
        with serving(tmp_path, slow, turn_timeout_s=4.0) as server:
            answer = server.web.post("/v1/chat/completions", json=say("something strange and slow", user="ann"))
            assert answer.status_code == 504
            assert asked
            assert until(lambda: server.api.pool.running == 0)
