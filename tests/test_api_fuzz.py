"""Bad input, made by machines: whatever comes, the API answers as its document says, never with a 500 or a trace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from api_server import serving
from demo_agent import make_agent
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable

pytest.importorskip("fastapi")
schemathesis = pytest.importorskip("schemathesis")

BOUNDED = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.function_scoped_fixture],
)
STATUSES = {200, 201, 400, 401, 403, 404, 405, 408, 413, 429, 503, 504}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with serving(tmp_path_factory.mktemp("fuzz"), make_agent()) as found:
        yield found


@pytest.fixture(scope="module")
def api_schema(server: Any) -> Any:
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_the_api_keeps_to_its_document(api_schema: Any, mode: str) -> None:
    """Every operation, with input that fits the document and input that does not."""
    from schemathesis import GenerationMode
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

    checks = [status_code_conformance, content_type_conformance, response_schema_conformance]
    seen = 0
    for found in api_schema.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy(generation_mode=GenerationMode(mode)))
        @BOUNDED
        def run(case: Any) -> None:
            answer = case.call()
            assert answer.status_code in STATUSES, (case.method, case.formatted_path, answer.text)
            assert "Traceback" not in answer.text
            case.validate_response(answer, checks=checks)

        try:
            run()
        except Unsatisfiable:
            assert mode == "negative", operation.label  # an operation that takes nothing cannot be given wrong input
            continue
        seen += 1
    assert seen > 15


# -- the chat's payload -----------------------------------------------------------------------------------------------

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
PART = st.fixed_dictionaries({"type": st.sampled_from(["text", "image_url"])}, optional={"text": st.text() | ANY})
CONTENT = st.text(max_size=200) | st.lists(PART, max_size=3) | ANY
ROLE = st.sampled_from(["user", "assistant", "system", "developer", "tool"])
MESSAGE = st.fixed_dictionaries({"role": ROLE | ANY, "content": CONTENT}) | ANY
GOOD = st.fixed_dictionaries({"role": st.just("user"), "content": st.text(min_size=1, max_size=80)})
FIELDS = """stream stream_options user metadata n response_format tools tool_choice functions function_call audio
    modalities logprobs temperature max_tokens stop seed""".split()  # noqa: SIM905 - one per word, read at a glance
PAYLOAD = st.fixed_dictionaries(
    {"model": st.just("convrec") | ANY, "messages": st.lists(MESSAGE, max_size=3) | st.lists(GOOD, min_size=1) | ANY},
    optional=dict.fromkeys(FIELDS, ANY),
)
SPOKEN = st.text(st.characters(codec=None, exclude_categories=()), min_size=1, max_size=120)


def post(server: Any, body: Any, path: str = "/v1/chat/completions") -> httpx.Response:
    # As some clients write it: NaN, infinities and half surrogates are no JSON, and come all the same.
    headers = {"content-type": "application/json"}
    answer: httpx.Response = server.web.post(path, content=json.dumps(body).encode(), headers=headers)
    assert "Traceback" not in answer.text
    return answer


@given(body=PAYLOAD | ANY)
@settings(BOUNDED, max_examples=120)
def test_any_chat_payload_is_answered_or_refused(server: Any, body: Any) -> None:
    answer = post(server, body)
    assert answer.status_code in STATUSES, answer.text
    if answer.status_code != 200:
        error = answer.json()["error"]
        assert error["message"]
        assert error["type"]


@given(text=SPOKEN, stream=st.booleans())
@settings(BOUNDED, max_examples=60)
def test_any_words_are_answered(server: Any, text: str, stream: bool) -> None:
    body = {"model": "convrec", "user": "fuzz", "stream": stream, "messages": [{"role": "user", "content": text}]}
    answer = post(server, body)
    assert answer.status_code == (200 if usable(text) else 400), (text, answer.text)
    assert "turn_failed" not in answer.text


def usable(text: str) -> bool:
    """Half surrogates are no text; a message of white space says nothing."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return bool(text.strip())


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "convrec", "messages": ' + b"[" * 100_000,
        b'{"model": "convrec", "n": ' + b"9" * 5000 + b"}",
        b'{"model": "convrec", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"model": "\\ud800", "messages": [{"role": "user", "content": "x"}]}',
        b'{"model": "convrec", "n": 1e999, "messages": [{"role": "user", "content": "x"}]}',
        b'{"model": "convrec", "user": "\\ud800", "messages": [{"role": "user", "content": "x"}]}',
        b'{"model": "convrec", "metadata": {"conversation_id": "\\u0000"}, "messages": []}',
        b"\x00",
        b"\xff\xfe{\x00}\x00",
    ],
)
def test_hand_made_trouble(server: Any, body: bytes) -> None:
    for path in ("/v1/chat/completions", "/v1/recommendations", "/v1/users/u/preferences/import"):
        answer = server.web.post(path, content=body, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 404), answer.text
        assert answer.json()["error"]["type"] == "invalid_request_error"
