"""What those who run the server need: ids, logs without users' words, figures, traces, limits, an orderly stop."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_server import say, serving
from convrec.serve.logs import log_requests

pytest.importorskip("fastapi")


@pytest.fixture
def lines() -> Any:
    """The request log of this test, as it was read so far."""
    stream = io.StringIO()
    log_requests("json", stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Any]:
    with serving(tmp_path) as found:
        yield found


class TestRequestIds:
    @pytest.mark.parametrize("given", ["abc-123", "A.b:c_d", "x" * 100])
    def test_a_harmless_one_is_kept(self, server: Any, given: str) -> None:
        assert server.web.get("/healthz", headers={"X-Request-ID": given}).headers["x-request-id"] == given

    @pytest.mark.parametrize("given", ["", "a b", "x" * 101, '"}', "<script>"])
    def test_another_is_replaced(self, server: Any, given: str) -> None:
        own = server.web.get("/healthz", headers={"X-Request-ID": given}).headers["x-request-id"]
        assert own != given
        assert len(own) == 32

    def test_errors_and_streams_have_one_too(self, server: Any) -> None:
        assert server.web.get("/nowhere").headers["x-request-id"]
        assert server.web.post("/v1/chat/completions", json=say("bug")).headers["x-request-id"]
        assert server.web.post("/v1/chat/completions", json=say("x", stream=True)).headers["x-request-id"]


class TestLog:
    SECRET = "zanzibar"

    def ask(self, server: Any) -> None:
        web, secret = server.web, self.SECRET
        ids = {"user": secret, "metadata": {"conversation_id": secret}}
        for more in ({}, {"stream": True}, {"n": 2}):
            web.post("/v1/chat/completions", json=say(f"I love {secret}", **ids, **more))
        web.post("/v1/chat/completions", json=say(f"early {secret}", **ids))
        web.post("/v1/chat/completions", json=say("early", **ids))
        web.post("/v1/recommendations", json={"text": secret, "user": secret})
        web.get(f"/v1/users/{secret}/preferences/search", params={"q": secret})
        web.get(f"/v1/items/{secret}")
        web.get(f"/{secret}")

    def test_one_line_per_request_with_its_id_and_nothing_a_user_said(self, server: Any, lines: Any) -> None:
        server.web.headers["X-Request-ID"] = "r-1"
        self.ask(server)
        found = [line for line in lines() if line["message"] == "request"]
        assert len(found) == 9
        assert {line["request_id"] for line in lines()} == {"r-1"}
        first = found[0]
        assert (first["method"], first["route"], first["status"]) == ("POST", "/v1/chat/completions", 200)
        assert first["turn"]["number"] == 1
        assert first["turn"]["fallbacks"] == ["reply"]
        assert "/v1/users/{user}/preferences/search" in {line["route"] for line in found}
        assert self.SECRET not in json.dumps(lines())

    def test_words_are_written_when_the_settings_ask_for_them(self, tmp_path: Path, lines: Any) -> None:
        with serving(tmp_path, log_text=True) as server:
            server.web.post("/v1/chat/completions", json=say(f"I love {self.SECRET}\nfake line"))
        said = [line for line in lines() if line["message"] == "said"]
        assert [line["text"] for line in said] == [f"I love {self.SECRET}\nfake line"]

    def test_a_bug_is_in_the_log_with_its_trace_and_id(self, server: Any, lines: Any) -> None:
        answer = server.web.post("/v1/chat/completions", json=say("bug"))
        traces = [line for line in lines() if "ZeroDivisionError" in line.get("trace", "")]
        assert traces[0]["request_id"] == answer.headers["x-request-id"]
        assert "ZeroDivisionError" not in answer.text


def figure(text: str, name: str) -> float:
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))


def test_metrics_count_what_happened(server: Any) -> None:
    for text in ("x", "x", "early"):
        server.web.post("/v1/chat/completions", json=say(text, user="zanzibar"))
    server.web.post("/v1/chat/completions", json=say("x", stream=True))
    text = server.web.get("/metrics").text
    assert figure(text, 'convrec_turns_total{planner="rules",tier="none"}') == 3
    assert figure(text, "convrec_turn_seconds_count") == 3
    assert figure(text, 'convrec_tool_seconds_count{ok="true",tool="filter"}') == 3
    assert figure(text, "convrec_llm_calls_total") == 3
    assert figure(text, 'convrec_llm_tokens_total{kind="prompt"}') == 36
    assert figure(text, 'convrec_fallbacks_total{stage="reply"}') == 3
    assert figure(text, 'convrec_errors_total{kind="turn"}') == 1
    assert figure(text, 'convrec_http_requests_total{method="POST",route="/v1/chat/completions",status="503"}') == 1
    assert figure(text, "convrec_turns_running") == 0
    assert "zanzibar" not in text


def test_traces_go_on_with_the_callers_and_hold_no_words(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.sdk")
    from convrec.serve.tracing import Tracer
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept = InMemorySpanExporter()
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with serving(tmp_path, tracer=Tracer(exporter=kept)) as server:
        server.web.post("/v1/chat/completions", json=say("zanzibar", user="u"), headers={"traceparent": parent})
        server.web.post("/v1/chat/completions", json=say("zanzibar", user="u", stream=True))
        spans = kept.get_finished_spans()
    names = [span.name for span in spans]
    assert names.count("turn") == names.count("POST /v1/chat/completions") == 2
    turn, request = (next(s for s in spans if s.name == name) for name in ("turn", "POST /v1/chat/completions"))
    assert f"{request.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert turn.parent.span_id == request.context.span_id
    assert turn.attributes["convrec.items"] == 2
    assert [event.name for event in turn.events] == ["tool filter"]
    assert "zanzibar" not in "".join(span.to_json() for span in spans)


class TestLimits:
    def test_a_turn_that_takes_too_long_is_stopped(self, tmp_path: Path) -> None:
        with serving(tmp_path, turn_timeout_s=0.4) as server:
            answer = server.web.post("/v1/chat/completions", json=say("slow " + "word " * 200))
            assert answer.status_code == 504
            assert answer.json()["error"]["code"] == "turn_timeout"
            streamed = server.web.post("/v1/chat/completions", json=say("slow " + "word " * 200, stream=True)).text
            assert "took too long" in streamed
            assert server.agent.closed.wait(5)

    def test_a_body_that_does_not_come(self, tmp_path: Path) -> None:
        def slowly() -> Iterator[bytes]:
            yield b"{"
            time.sleep(1.0)
            yield b"}"

        with serving(tmp_path, body_timeout_s=0.2) as server:
            headers = {"content-type": "application/json"}
            answer = server.web.post("/v1/chat/completions", content=slowly(), headers=headers)
        assert answer.status_code == 408

    def test_body_size_is_a_setting(self, tmp_path: Path) -> None:
        with serving(tmp_path, max_body=2048) as server:
            assert server.web.post("/v1/chat/completions", json=say("x" * 1000)).status_code == 200
            assert server.web.post("/v1/chat/completions", json=say("x" * 3000)).status_code == 413

    def test_a_flood_is_told_to_come_back_and_none_of_the_taken_is_lost(self, tmp_path: Path) -> None:
        with serving(tmp_path, turns_at_once=2, max_waiting=3) as server:
            statuses: list[int] = []

            def one() -> None:
                answer = httpx.post(f"{server.url}/v1/chat/completions", json=say("slow"), timeout=60)
                if answer.status_code == 429:
                    assert int(answer.headers["retry-after"]) > 0
                statuses.append(answer.status_code)

            threads = [threading.Thread(target=one) for _ in range(20)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert set(statuses) == {200, 429}
            assert statuses.count(200) >= 5
            assert server.agent.most_at_once <= 2
            assert figure(server.web.get("/metrics").text, 'convrec_refused_total{why="busy"}') == statuses.count(429)


class TestCors:
    ORIGIN = "https://app.example"

    def preflight(self, web: httpx.Client, origin: str) -> httpx.Response:
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        return web.options("/v1/chat/completions", headers=headers)

    def test_off_by_default(self, server: Any) -> None:
        assert "access-control-allow-origin" not in self.preflight(server.web, self.ORIGIN).headers
        answer = server.web.get("/healthz", headers={"Origin": self.ORIGIN})
        assert "access-control-allow-origin" not in answer.headers

    def test_for_those_who_are_listed(self, tmp_path: Path) -> None:
        with serving(tmp_path, cors_origins=(self.ORIGIN,)) as server:
            allowed = self.preflight(server.web, self.ORIGIN)
            assert allowed.headers["access-control-allow-origin"] == self.ORIGIN
            assert "access-control-allow-origin" not in self.preflight(server.web, "https://evil.example").headers


def test_readiness(server: Any) -> None:
    assert server.web.get("/readyz").json() == {"status": "ready"}
    server.api.ready.clear()
    assert server.web.get("/readyz").status_code == 503
    server.api.ready.set()
    server.agent.sessions.close()
    assert server.web.get("/readyz").status_code == 503


SERVE = """
import sys
sys.path.insert(0, sys.argv[1])
import scripted_agent
from convrec.core.settings import ServerSettings, Settings
from convrec.serve.run import run_server
settings = Settings(home=sys.argv[2], cache=sys.argv[2], server=ServerSettings(shutdown_s=int(sys.argv[3])))
run_server(scripted_agent.ScriptedAgent(), settings, port=0, page=False)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("stream", [False, True])
def test_turns_under_way_are_finished_after_sigterm(tmp_path: Path, stream: bool) -> None:
    command = [sys.executable, "-u", "-c", SERVE, str(Path(__file__).parent), str(tmp_path), "20"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = process.stdout.readline().split()[1].removesuffix("/v1")
        answers: list[httpx.Response] = []

        def talk() -> None:
            body = say("slow " + "word " * 8, stream=stream)
            answers.append(httpx.post(f"{url}/v1/chat/completions", json=body, timeout=30))

        talking = threading.Thread(target=talk)
        talking.start()
        while not httpx.get(f"{url}/healthz").json()["turns_running"]:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        talking.join(30)
        assert answers[0].status_code == 200
        assert "word" in answers[0].text
        assert not stream or answers[0].text.endswith("data: [DONE]\n\n")
        assert "turn_failed" not in answers[0].text
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/healthz")
        assert process.wait(20) == 0
        assert "Traceback" not in process.stderr.read()


def test_the_log_handler_is_one(tmp_path: Path) -> None:
    first, second = log_requests("text", io.StringIO()), log_requests("json", io.StringIO())
    handlers = logging.getLogger("convrec").handlers
    assert second in handlers
    assert first not in handlers
