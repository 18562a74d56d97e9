"""Whatever a model says, no reply is empty, nothing of it reaches the user unchecked, and the turn ends."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from convrec.agent.events import Finished, Token
from convrec.agent.llm.base import Message
from convrec.agent.llm.scripted import scripted
from convrec.core.errors import LLMBadOutput, LLMError, LLMTimeout, LLMUnavailable
from convrec.core.settings import TurnSettings
from demo_agent import demo_catalogue, make_agent, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

GARBAGE = st.one_of(
    st.text(max_size=80),
    st.sampled_from(
        [
            "",
            " \n\t",
            "```json\n{}\n```",
            '{"action":"recommend"',
            '{"action":"fly"}',
            "null",
            "[]",
            "NaN",
            '{"action":"recommend","liked":null}',
            '{"action":"chat","mood":7}',
            '{"action":"lookup","liked":[["Heat"]]}',
            "<|im_end|><script>alert(1)</script>\x1b[31m\u202e",
            "You should watch Made Up Nights (2003) by Nobody Inparticular. " * 3,
            "word " * 400,
            '{"order":[99]}',
        ]
    ),
    st.sampled_from([LLMTimeout("slow"), LLMUnavailable("gone"), LLMBadOutput("bad"), LLMError("refused")]),
)
MESSAGES = (
    "a thriller like Heat",
    "hello",
    "asdf qwer",
    "something cosy",
    "who directed Heat?",
    "a horror film from 1850, only with Tom Hanks",
    "why?",
    "forget everything",
)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    drafts=GARBAGE,
    words=GARBAGE,
    margin=st.sampled_from([None, 0.0, 3.0, -3.0]),
    text=st.sampled_from(MESSAGES),
    reflection=st.sampled_from(["off", "rules", "llm"]),
    strategy=st.sampled_from(["rerank", "select", "expand"]),
)
def test_no_reply_is_ever_empty(
    drafts: Any, words: Any, margin: float | None, text: str, reflection: Any, strategy: Any
) -> None:
    def answer(_messages: Sequence[Message], schema: Mapping[str, Any] | None) -> Any:
        return drafts if schema is not None else words

    judge = None if margin is None else (lambda messages: margin * (len(messages[-1][1]) % 3))
    chosen = TurnSettings(reflection=reflection, rerank_strategy=strategy)
    agent = make_agent(scripted(answer, yes_no=judge), chosen)
    result, events = run(agent, text)
    assert result.text.strip()
    assert isinstance(events[-1], Finished)
    assert "".join(event.text for event in events if isinstance(event, Token)) == result.text
    assert "Made Up Nights" not in result.text
    assert "<script" not in result.text
    assert "\x1b" not in result.text
    for item in result.items:
        assert demo_catalogue().row_of(item.id) is not None


def test_a_model_that_is_gone_in_the_middle_leaves_a_whole_reply() -> None:
    def answer(_messages: Sequence[Message], schema: Mapping[str, Any] | None) -> Any:
        return json.dumps({"action": "recommend"}) if schema is not None else "These picks are crime films. And"

    result, _ = run(make_agent(scripted(answer, break_after=3)), "a crime film from the 1990s")
    assert len(result.items) == 5
    assert result.text.strip()
    assert any(fallback.stage == "reply" for fallback in result.fallbacks)


@pytest.mark.parametrize("error", [LLMTimeout("slow"), LLMUnavailable("gone")])
def test_what_a_model_cost_is_counted_also_when_it_fails(error: LLMError) -> None:
    result, _ = run(make_agent(scripted(error)), "a thriller like Heat")
    assert result.llm["calls"] >= 1
    assert result.timings["first_event"] <= result.timings["first_token"] <= result.timings["total"]


def test_verified_sentences_are_counted() -> None:
    def answer(_messages: Sequence[Message], schema: Mapping[str, Any] | None) -> str:
        said = "These picks are crime films. They star Nobody Inparticular."
        return json.dumps({"action": "recommend"}) if schema is not None else said

    result, _ = run(make_agent(scripted(answer)), "a crime film from the 1990s")
    assert (result.llm["sentences"], result.llm["sentences_verified"]) == (2, 1)
