"""A chat model that answers from a script: for tests, demonstrations of failure, and work on the rest of the agent."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from convrec.agent.llm.base import LLM, Message
from convrec.core.errors import LLMError
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import ConfigDict, PrivateAttr

Answerer = Callable[[Sequence[Message], Mapping[str, Any] | None], str]
"""(messages, schema or None) -> answer. It may raise an :class:`LLMError`."""
YesNo = Callable[[Sequence[Message]], float]
"""messages -> log p(yes) - log p(no)"""


class ScriptedChat(BaseChatModel):
    """Answers from a function or a list, in order; the last one repeats. Token counts are words."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    answer: Answerer
    yes_no: YesNo | None = None
    seen: list[list[Message]] = []  # noqa: RUF012 - pydantic copies defaults
    """The prompts it was given, oldest first."""
    _turn: int = PrivateAttr(default=0)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        plain = _plain(messages)
        self.seen.append(plain)
        metadata: dict[str, Any] = {"finish_reason": "stop"}
        if kwargs.get("logprobs") and self.yes_no is not None:
            metadata["logprobs"] = {"content": [{"top_logprobs": _top(self.yes_no(plain))}]}
            text = "Yes"
        else:
            text = self.answer(plain, kwargs.get("schema"))
        limit = kwargs.get("max_tokens")
        words = text.split(" ")
        if limit is not None and len(words) > limit:
            text, metadata["finish_reason"] = " ".join(words[:limit]), "length"
        message = AIMessage(content=text, usage_metadata=_usage(plain, text), response_metadata=metadata)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        whole = self._generate(messages, stop, run_manager, **kwargs).generations[0].message
        words = str(whole.text).split(" ")
        for number, word in enumerate(words):
            piece = word if number == len(words) - 1 else f"{word} "
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
        last = AIMessageChunk(
            content="",
            usage_metadata=whole.usage_metadata if isinstance(whole, AIMessage) else None,
            response_metadata=whole.response_metadata,
        )
        yield ChatGenerationChunk(message=last)


def scripted(
    answers: Answerer | Sequence[str] | LLMError, *, yes_no: YesNo | None = None, name: str = "scripted"
) -> LLM:
    """An :class:`LLM` over a script: a function, a list of answers, or an error that every call raises."""
    if isinstance(answers, LLMError):
        problem = answers

        def answer(_: Sequence[Message], __: Mapping[str, Any] | None) -> str:
            raise problem
    elif callable(answers):
        answer = answers
    else:
        queue = list(answers)

        def answer(_: Sequence[Message], __: Mapping[str, Any] | None) -> str:
            return queue.pop(0) if len(queue) > 1 else queue[0]

    model = ScriptedChat(answer=answer, yes_no=yes_no)
    return LLM(
        name=name,
        tier="embedded",
        load=lambda: model,
        map_error=lambda _: None,
        schema_format=lambda schema: {"schema": schema},
        logprobs=yes_no is not None,
    )


def _plain(messages: Sequence[BaseMessage]) -> list[Message]:
    roles: dict[str, Any] = {"human": "user", "ai": "assistant", "system": "system"}
    return [(roles[m.type], str(m.text)) for m in messages]


def _usage(messages: Sequence[Message], text: str) -> UsageMetadata:
    prompt, generated = sum(len(m[1].split()) for m in messages), len(text.split())
    return UsageMetadata(input_tokens=prompt, output_tokens=generated, total_tokens=prompt + generated)


def _top(log_odds: float) -> list[dict[str, Any]]:
    """Two tokens whose log-probabilities differ by ``log_odds``."""
    yes = -math.log1p(math.exp(-log_odds))
    return [{"token": "Yes", "logprob": yes}, {"token": "No", "logprob": yes - log_odds}]
