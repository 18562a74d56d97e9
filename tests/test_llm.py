"""The contract of every LLM backend, run on the scripted one, on SmolLM2 in this process and on SmolLM2 over HTTP."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from convrec.agent.llm.base import LLM, Completion, Message, margin
from convrec.agent.llm.openai_compatible import list_models, served_chat
from convrec.agent.llm.resolve import SERVED_CONCURRENCY, resolve
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
from convrec.core.pull import path as model_path
from convrec.core.settings import Settings, load_settings

SMOL = "smollm2-135m-instruct"
CONTEXT = 1024
TIMEOUT_S = 120.0
HELLO: list[Message] = [("system", "You are brief."), ("user", "Say hello to Ann.")]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "action": {"enum": ["recommend", "chat"]},
        "genres": {"type": "array", "items": {"enum": ["Comedy", "Drama"]}, "maxItems": 2},
    },
    "required": ["action", "genres"],
    "additionalProperties": False,
}
QUESTIONS: list[list[Message]] = [
    [("system", "Answer Yes or No."), ("user", f"Is {what} an animal? Answer Yes or No.")]
    for what in ("a dog", "a stone", "a cat")
]


def smol_file() -> Path:
    file = model_path(SMOL, load_settings())
    if file is None:
        pytest.fail(f"the weights of {SMOL} are missing. Run: convrec models pull {SMOL}")
    return file


@pytest.fixture(scope="module")
def smol() -> Iterator[XllamacppChat]:
    """One engine for the module. One thread: two of them starve each other when the machine has other work."""
    chat = XllamacppChat(model_path=smol_file(), threads=1, context=CONTEXT, timeout_s=TIMEOUT_S)
    yield chat
    chat.close()


def say(messages: Sequence[Message], schema: dict[str, Any] | None) -> str | LLMError:
    if sum(len(text.split()) for _, text in messages) > CONTEXT:
        return LLMError(f"the prompt has more than {CONTEXT} tokens. Shorten it")
    if schema is not None:
        return '{"action": "chat", "genres": ["Comedy"]}'
    return "Hello there, dear Ann, how are you today? " * (40 if "poem" in messages[-1][1] else 1)


class LLMContract:
    """What every backend keeps. Subclasses bring the ``llm`` fixture."""

    def test_answers_and_counts(self, llm: LLM) -> None:
        done = llm.complete(HELLO, max_tokens=12)
        assert done.text.strip()
        assert done.prompt_tokens > 5
        assert 0 < done.generated_tokens <= 12
        assert done.finish_reason in ("stop", "length")
        assert done.seconds > 0

    def test_stream_is_the_same_answer_in_pieces(self, llm: LLM) -> None:
        whole = llm.complete(HELLO, max_tokens=12)
        *pieces, last = llm.stream(HELLO, max_tokens=12)
        assert isinstance(last, Completion)
        assert all(isinstance(piece, str) and piece for piece in pieces)
        assert len(pieces) > 1
        assert "".join(str(piece) for piece in pieces) == last.text == whole.text
        assert (last.prompt_tokens, last.generated_tokens) == (whole.prompt_tokens, whole.generated_tokens)
        assert last.finish_reason == whole.finish_reason

    def test_schema_gives_json_of_that_form(self, llm: LLM) -> None:
        done = llm.complete([("user", "I would like a comedy.")], schema=SCHEMA, max_tokens=60)
        answer = json.loads(done.text)
        assert set(answer) == {"action", "genres"}
        assert answer["action"] in ("recommend", "chat")
        assert set(answer["genres"]) <= {"Comedy", "Drama"}
        assert done.finish_reason == "stop"

    def test_cut_off_json_is_bad_output(self, llm: LLM) -> None:
        with pytest.raises(LLMBadOutput, match="cut off"):
            llm.complete([("user", "I would like a comedy.")], schema=SCHEMA, max_tokens=2)

    def test_cut_off_text_says_so(self, llm: LLM) -> None:
        done = llm.complete([("user", "Write a long poem about the sea.")], max_tokens=8)
        assert done.finish_reason == "length"
        assert done.generated_tokens == 8
        *_, last = llm.stream([("user", "Write a long poem about the sea.")], max_tokens=8)
        assert isinstance(last, Completion)
        assert last.finish_reason == "length"

    def test_yes_no_gives_finite_margins_in_order(self, llm: LLM) -> None:
        margins = llm.yes_no(QUESTIONS)
        assert margins is not None
        assert len(margins) == len(QUESTIONS)
        assert all(math.isfinite(value) for value in margins)
        assert len(set(margins)) > 1
        backwards = llm.yes_no(QUESTIONS[::-1])
        assert backwards is not None
        assert backwards[::-1] == pytest.approx(margins, abs=0.3)
        assert llm.yes_no([]) == []

    def test_a_prompt_beyond_the_context_is_a_clear_error(self, llm: LLM) -> None:
        with pytest.raises(LLMError, match=r"(?i)tokens") as caught:
            llm.complete([("user", "x " * (CONTEXT + 200))], max_tokens=2)
        assert str(CONTEXT) in str(caught.value)
        with pytest.raises(LLMError, match=r"(?i)tokens"):
            list(llm.stream([("user", "x " * (CONTEXT + 200))], max_tokens=2))
        assert llm.complete(HELLO, max_tokens=2).text, "it goes on answering"

    def test_a_closed_stream_leaves_the_backend_free(self, llm: LLM) -> None:
        stream = llm.stream([("user", "Write a long poem about the sea.")], max_tokens=300)
        assert isinstance(next(stream), str)
        stream.close()  # type: ignore[attr-defined]
        start = time.monotonic()
        assert llm.complete(HELLO, max_tokens=2).text
        assert time.monotonic() - start < 20

    def test_two_threads_get_their_own_answers(self, llm: LLM) -> None:
        alone = [llm.complete([("user", f"Count from {n}.")], max_tokens=6).text for n in (1, 50)]
        together: dict[int, str] = {}

        def ask(n: int) -> None:
            together[n] = llm.complete([("user", f"Count from {n}.")], max_tokens=6).text

        threads = [threading.Thread(target=ask, args=(n,)) for n in (1, 50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT_S)
        assert [together[1], together[50]] == alone

    def test_warm_can_be_called_from_a_thread_and_twice(self, llm: LLM) -> None:
        thread = threading.Thread(target=llm.warm, args=(HELLO[:1],))
        thread.start()
        llm.warm(HELLO[:1])
        thread.join(TIMEOUT_S)
        assert not thread.is_alive()
        llm.warm([])

    def test_odd_text_is_only_text(self, llm: LLM) -> None:
        odd: list[Message] = [
            ("user", "\u202e<|im_end|> \\u0000 {{7*7}} 'quote\" 😀 é"),
            ("assistant", "Yes?"),
            HELLO[1],
        ]
        assert llm.complete(odd, max_tokens=3).text


class TestScripted(LLMContract):
    @pytest.fixture
    def llm(self) -> LLM:
        return scripted(say, yes_no=lambda messages: {"d": 2.0, "s": -1.5}.get(messages[-1][1][5], 0.25))


@pytest.mark.models
class TestEmbedded(LLMContract):
    @pytest.fixture
    def llm(self, smol: XllamacppChat) -> LLM:
        return LLM(lambda: smol, name=SMOL, tier="embedded", timeout_s=TIMEOUT_S)

    def test_a_repeated_beginning_is_not_evaluated_again(self, llm: LLM, smol: XllamacppChat) -> None:
        def evaluated(system: str, user: str) -> int:
            answer = smol.invoke([("system", system), ("user", user)], max_tokens=1, temperature=0.0)
            return int(answer.response_metadata["timings"]["prompt_n"])

        first, second = "You plan trips. " * 20, "You write songs. " * 20
        llm.warm([("system", first)])
        llm.warm([("system", second)])
        # Two fixed beginnings in turn, as of the planner and the reply: both stay evaluated.
        assert evaluated(first, "To Rome!") < 30
        assert evaluated(second, "A waltz!") < 30
        assert evaluated(first, "To Oslo!") < 30

    def test_json_has_no_white_space(self, llm: LLM) -> None:
        text = llm.complete([("user", "I would like a comedy.")], schema=SCHEMA, max_tokens=60).text
        assert text == json.dumps(json.loads(text), separators=(",", ":"))

    def test_a_call_that_takes_too_long_is_stopped(self, smol: XllamacppChat) -> None:
        hasty = smol.model_copy(update={"timeout_s": 0.3})
        assert hasty.engine is smol.engine
        llm = LLM(lambda: hasty, name=SMOL, tier="embedded", timeout_s=0.3)
        start = time.monotonic()
        with pytest.raises(LLMTimeout, match=r"0\.3 s"):
            llm.complete([("user", "Write a long poem about the sea.")], max_tokens=900)
        with pytest.raises(LLMTimeout):
            list(llm.stream([("user", "Write a long poem about the moon.")], max_tokens=900))
        assert time.monotonic() - start < 5
        slow = LLM(lambda: smol, name=SMOL, tier="embedded", timeout_s=TIMEOUT_S)
        assert slow.complete(HELLO, max_tokens=2).text
        assert time.monotonic() - start < 60, "the stopped calls did not go on"

    def test_its_http_endpoint_asks_for_a_key(self, smol: XllamacppChat) -> None:
        with pytest.raises(LLMUnavailable, match="the key is refused"):
            list_models(f"{smol.engine.address}/v1", "none")

    def test_a_program_can_end_in_the_middle_of_an_answer(self) -> None:
        code = f"""
from pathlib import Path
from convrec.agent.llm.base import LLM
from convrec.agent.llm.xllamacpp_chat import XllamacppChat
file = Path({str(smol_file())!r})
llm = LLM(lambda: XllamacppChat(model_path=file, threads=1, context=512), name="m", tier="embedded")
stream = llm.stream([("user", "Write a long poem about the sea.")], max_tokens=400)
next(stream)
raise SystemExit(7)
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 7, done.stderr
        assert done.stderr == ""
        assert done.stdout == ""

    def test_closed_is_closed(self) -> None:
        llm = LLM(lambda: XllamacppChat(model_path=smol_file(), threads=1, context=512), name=SMOL, tier="embedded")
        assert llm.complete(HELLO, max_tokens=2).text
        llm.close()
        llm.close()
        with pytest.raises(LLMUnavailable, match="closed"):
            llm.complete(HELLO, max_tokens=2)


@pytest.mark.models
class TestServed(LLMContract):
    @pytest.fixture
    def llm(self, smol: XllamacppChat) -> Iterator[LLM]:
        base_url = f"{smol.engine.address}/v1"
        model = list_models(base_url, smol.engine.key)[0]
        llm = LLM(
            lambda: served_chat(base_url, model, smol.engine.key, TIMEOUT_S),
            name=model,
            tier="served",
            timeout_s=TIMEOUT_S,
            concurrency=SERVED_CONCURRENCY,
        )
        yield llm
        llm.close()

    def test_the_same_model_says_the_same_either_way(self, llm: LLM, smol: XllamacppChat) -> None:
        embedded = LLM(lambda: smol, name=SMOL, tier="embedded")
        assert llm.complete(HELLO, max_tokens=8).text == embedded.complete(HELLO, max_tokens=8).text

    def test_a_wrong_key_is_named(self, smol: XllamacppChat) -> None:
        llm = LLM(lambda: served_chat(f"{smol.engine.address}/v1", "m", "wrong", TIMEOUT_S), name="m", tier="served")
        with pytest.raises(LLMUnavailable, match="refuses the key"):
            llm.complete(HELLO)
        llm.close()

    def test_resolved_from_settings(self, smol: XllamacppChat, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MY_KEY", smol.engine.key)
        options = {"base_url": f"{smol.engine.address}/v1", "api_key_env": "MY_KEY", "timeout_s": TIMEOUT_S}
        found = resolve(load_settings(tier="auto", llm=options))
        assert found.tier == "served"
        assert found.llm is not None
        assert found.llm.complete(HELLO, max_tokens=2).text
        found.llm.close()
        with pytest.raises(LLMUnavailable, match="does not serve 'gpt'"):
            resolve(load_settings(tier="served", llm={**options, "model": "gpt"}))


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
