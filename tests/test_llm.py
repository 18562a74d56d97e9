"""Language models: the scripted one, a server that misbehaves, which tier answers. See also test_llm_contract.py."""

from __future__ import annotations

import json
import math
import os
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from convrec.agent.llm.base import LLM, margin
from convrec.agent.llm.openai_compatible import list_models, served_chat
from convrec.agent.llm.resolve import resolve
from convrec.agent.llm.scripted import ScriptedChat, scripted
from convrec.agent.llm.xllamacpp_chat import XllamacppChat, free_cores
from convrec.core.errors import (
    LLMBadOutput,
    LLMError,
    LLMTimeout,
    LLMUnavailable,
    MissingExtraError,
    SettingsError,
    UnknownModelError,
)
from convrec.core.settings import Settings, load_settings
from llm_contract_parts import HELLO, QUESTIONS, SCHEMA, SMOL, smol_file

# -- the scripted model and what goes wrong -----------------------------------------------------------


def test_scripted_failures() -> None:
    llm = scripted([LLMTimeout("too slow"), "no JSON", "", '{"a": 1}'])
    with pytest.raises(LLMTimeout, match="too slow"):
        llm.complete(HELLO)
    with pytest.raises(LLMBadOutput, match="not JSON"):
        llm.complete(HELLO, schema={"type": "object"})
    with pytest.raises(LLMBadOutput, match="empty"):
        llm.complete(HELLO)
    assert json.loads(llm.complete(HELLO, schema={"type": "object"}).text) == {"a": 1}
    assert llm.complete(HELLO).text == '{"a": 1}', "the last answer is given again"
    with pytest.raises(LLMUnavailable, match="gone"):
        scripted(LLMUnavailable("gone")).warm(HELLO)


def test_scripted_remembers_what_it_was_asked() -> None:
    chat = ScriptedChat(answers=["Hello."])
    llm = LLM(lambda: chat, name="s", tier="scripted")
    llm.complete(HELLO)
    with pytest.raises(LLMBadOutput):
        llm.complete(HELLO, schema=SCHEMA)
    assert chat.calls == [(HELLO, None), (HELLO, SCHEMA)]


def test_yes_no_is_none_without_log_probabilities() -> None:
    assert scripted(["Yes"]).yes_no(QUESTIONS) is None


def test_a_stream_that_breaks_off_is_an_error_after_what_came() -> None:
    stream = scripted(["one two three four"], break_after=2).stream(HELLO)
    assert [next(stream), next(stream)] == ["one", " two"]
    with pytest.raises(LLMUnavailable, match="broke off after 2 pieces"):
        next(stream)


def test_a_stream_that_takes_too_long_is_cut_off() -> None:
    slow = scripted(["word " * 500], delay_s=0.01, timeout_s=0.2)
    start = time.monotonic()
    with pytest.raises(LLMTimeout, match=r"0\.2 s"):
        list(slow.stream(HELLO, max_tokens=500))
    with pytest.raises(LLMTimeout):
        slow.complete(HELLO, max_tokens=500)
    assert time.monotonic() - start < 2


def test_the_backend_is_made_once_at_first_use() -> None:
    made: list[int] = []

    def load() -> ScriptedChat:
        time.sleep(0.05)
        made.append(1)
        return ScriptedChat(answers=["Hello."])

    llm = LLM(load, name="s", tier="scripted")
    assert made == []
    threads = [threading.Thread(target=llm.warm) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]
    llm.close()
    with pytest.raises(LLMUnavailable, match="closed"):
        llm.warm()


def top(**logprobs: float) -> list[dict[str, Any]]:
    return [{"token": token, "logprob": value} for token, value in logprobs.items()]


def test_margin_adds_spellings_and_bounds_what_is_not_listed() -> None:
    assert margin([]) is None
    assert margin(top(Yes=math.log(0.6), No=math.log(0.3))) == pytest.approx(math.log(2))
    spelled = [{"token": t, "logprob": math.log(p)} for t, p in ((" yes", 0.3), ("YES", 0.3), ("no.", 0.2))]
    assert margin(spelled) == pytest.approx(math.log(3))
    assert margin(top(Yes=-0.1, Maybe=-5.0)) == pytest.approx(4.9), "no has at most the last one's probability"
    assert margin(top(Well=-0.1, Maybe=-5.0)) == 0.0
    assert margin([*top(Yes=-0.5, So=-3.0), {"token": "No", "logprob": -math.inf}]) == pytest.approx(2.5)
    assert margin(top(Nobody=-0.1, No=-1.0, Yes=-2.0)) == pytest.approx(-1.0)


# -- a server that misbehaves -------------------------------------------------------------------------


class Misbehaving(BaseHTTPRequestHandler):
    """What it does is told by the model's name."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        match asked["model"]:
            case "asleep":
                time.sleep(1.5)
                self.close_connection = True
            case "dies":
                self.close_connection = True
            case "no-logprobs" if "logprobs" in asked:
                self._send(400, {"error": {"message": "logprobs are not supported", "type": "invalid_request_error"}})
            case "breaks-off":
                self._break_off()
            case "overloaded":
                self._send(503, {"error": {"message": "try later"}})
            case "html":
                self._send(200, "<html>")
            case _:
                message = {"role": "assistant", "content": "Yes"}
                usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
                choice = {"index": 0, "message": message, "finish_reason": "stop"}
                self._send(200, {"id": "1", "object": "chat.completion", "created": 1, "model": asked["model"],
                                 "choices": [choice], "usage": usage})  # fmt: skip

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            self._send(200, {"data": [{"id": "first"}, {"id": "second"}]})
        elif self.path == "/odd/models":
            self._send(200, ["what?"])
        elif self.path == "/none/models":
            self._send(200, {"data": []})
        else:
            self._send(404, {"error": "no"})

    def _send(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _break_off(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        delta = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "Once "}, "finish_reason": None}]}
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", **delta}
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on standard error."""


@pytest.fixture(scope="module")
def misbehaving() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Misbehaving)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def at(address: str, model: str, timeout_s: float = 20.0) -> LLM:
    return LLM(
        lambda: served_chat(f"{address}/v1", model, "none", timeout_s), name=model, tier="served", timeout_s=timeout_s
    )


@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        ("dies", LLMUnavailable, "cannot be reached"),
        ("overloaded", LLMUnavailable, "try later"),
        ("html", LLMUnavailable, "OpenAI-compatible"),
    ],
)
def test_served_failures_are_ours(misbehaving: str, model: str, error: type[LLMError], words: str) -> None:
    llm = at(misbehaving, model)
    with pytest.raises(error, match=words):
        llm.complete(HELLO)
    llm.close()


def test_a_server_that_ignores_the_schema_is_bad_output(misbehaving: str) -> None:
    llm = at(misbehaving, "plain")
    with pytest.raises(LLMBadOutput, match="not JSON"):
        llm.complete(HELLO, schema=SCHEMA)
    llm.close()


def test_served_time_out(misbehaving: str) -> None:
    llm = at(misbehaving, "asleep", timeout_s=0.3)
    start = time.monotonic()
    with pytest.raises(LLMTimeout, match=r"0\.3 s"):
        llm.complete(HELLO)
    with pytest.raises(LLMTimeout):
        list(llm.stream(HELLO))
    assert time.monotonic() - start < 1.4, "one try each"
    llm.close()


def test_served_stream_that_breaks_off(misbehaving: str) -> None:
    llm = at(misbehaving, "breaks-off")
    stream = llm.stream(HELLO)
    assert next(stream) == "Once "
    with pytest.raises(LLMUnavailable):
        next(stream)
    llm.close()


def test_a_server_that_refuses_log_probabilities_gives_none(misbehaving: str) -> None:
    for model in ("no-logprobs", "gives-none"):
        llm = at(misbehaving, model)
        assert llm.yes_no(QUESTIONS) is None
        llm.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_no_server_there() -> None:
    llm = at(f"http://127.0.0.1:{free_port()}", "m")
    with pytest.raises(LLMUnavailable, match="Is the server running"):
        llm.complete(HELLO)
    with pytest.raises(LLMUnavailable, match="Is the server running"):
        list(llm.stream(HELLO))
    llm.close()


def test_list_models(misbehaving: str) -> None:
    assert list_models(f"{misbehaving}/v1/", "none") == ["first", "second"]
    with pytest.raises(LLMUnavailable, match="no list of models"):
        list_models(f"{misbehaving}/odd", "none")
    with pytest.raises(LLMUnavailable, match="end in /v1"):
        list_models(f"{misbehaving}/elsewhere", "none")
    with pytest.raises(LLMUnavailable, match="does not answer"):
        list_models("no address", "none")


# -- which tier ---------------------------------------------------------------------------------------


def settings(tmp_path: Path, **changes: Any) -> Settings:
    """Settings of a machine without any model."""
    return load_settings(cache=tmp_path / "cache", **changes)


def test_none_and_auto_without_anything(tmp_path: Path) -> None:
    assert resolve(settings(tmp_path, tier="none")).llm is None
    found = resolve(settings(tmp_path))
    assert (found.llm, found.tier) == (None, "none")
    assert "CONVREC_LLM__BASE_URL" in found.note
    assert "convrec models pull qwen2.5-coder-1.5b-instruct" in found.note


def test_auto_says_why_the_served_model_was_not_taken(tmp_path: Path) -> None:
    found = resolve(settings(tmp_path, llm={"base_url": f"http://127.0.0.1:{free_port()}/v1"}))
    assert found.tier == "none"
    assert "does not answer" in found.note


def test_auto_takes_the_served_model_and_its_first_name(tmp_path: Path, misbehaving: str) -> None:
    found = resolve(settings(tmp_path, llm={"base_url": f"{misbehaving}/v1"}))
    assert found.tier == "served"
    assert found.llm is not None
    assert found.llm.name == "first"
    assert found.llm.complete(HELLO).text == "Yes"
    found.llm.close()


def test_a_tier_asked_for_is_never_another(tmp_path: Path, misbehaving: str) -> None:
    with pytest.raises(LLMUnavailable, match="CONVREC_LLM__BASE_URL"):
        resolve(settings(tmp_path, tier="served"))
    with pytest.raises(LLMUnavailable, match="serves no model"):
        resolve(settings(tmp_path, tier="served", llm={"base_url": f"{misbehaving}/none"}))
    with pytest.raises(LLMUnavailable, match=f"convrec models pull {SMOL}"):
        resolve(settings(tmp_path, tier="embedded", llm={"embedded_model": SMOL}))
    with pytest.raises(UnknownModelError, match="gpt"):
        resolve(settings(tmp_path, tier="embedded", llm={"embedded_model": "gpt"}))
    with pytest.raises(SettingsError, match="no language model"):
        resolve(settings(tmp_path, tier="embedded", llm={"embedded_model": "all-minilm-l6-v2"}))


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, misbehaving: str) -> None:
    monkeypatch.setattr(
        "convrec.agent.llm.resolve.installed", lambda name: name not in ("xllamacpp", "langchain_openai")
    )
    with pytest.raises(MissingExtraError, match=r"convrec\[local-llm\]"):
        resolve(settings(tmp_path, tier="embedded"))
    with pytest.raises(MissingExtraError, match=r"convrec\[served-llm\]"):
        resolve(settings(tmp_path, tier="served", llm={"base_url": f"{misbehaving}/v1"}))
    found = resolve(settings(tmp_path, llm={"base_url": f"{misbehaving}/v1"}))
    assert found.tier == "none"
    assert "convrec[served-llm]" in found.note
    assert "convrec[local-llm]" in found.note


@pytest.mark.models
def test_embedded_is_resolved_without_loading_it() -> None:
    smol_file()
    start = time.monotonic()
    found = resolve(load_settings(tier="auto", llm={"embedded_model": SMOL}))
    assert time.monotonic() - start < 0.3
    assert found.tier == "embedded"
    assert found.llm is not None
    assert found.llm.name == SMOL
    assert "no served model is set" in found.note
    found.llm.close()


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(LLMUnavailable, match="there is no model file"):
        XllamacppChat(model_path=tmp_path / "none.gguf", threads=1, context=512)
    (tmp_path / "bad.gguf").write_bytes(b"GGUF, but not really")
    with pytest.raises(LLMUnavailable, match="whole GGUF file"):
        XllamacppChat(model_path=tmp_path / "bad.gguf", threads=1, context=512)


def test_free_cores_is_between_one_and_all() -> None:
    assert 1 <= free_cores() <= (os.cpu_count() or 1)
