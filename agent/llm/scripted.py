"""A chat model that says what it is told to: for tests, and for showing what the agent does when a model fails."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from convrec.agent.llm.base import LLM, Message
from convrec.agent.llm.stopping import ended_by_stop
from convrec.core.errors import LLMError, LLMTimeout
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import ConfigDict, PrivateAttr

Answer = str | LLMError
"""What is said, or the error that is raised."""
AnswerFunction = Callable[[list[Message], dict[str, Any] | None], Answer]
"""(messages, JSON schema or None) -> answer."""

_TOKEN = re.compile(r"\s*\S+")
_ROLES: dict[str, Literal["system", "user", "assistant"]] = {"system": "system", "human": "user", "ai": "assistant"}


class ScriptedChat(BaseChatModel):
    """Answers from a list, in order, the last one again and again, or from a function.

    A word counts as a token; a stream comes word by word.

    Failures are scripted as answers: an LLMError is raised, any text that is no JSON is garbage to a schema call, an
    answer longer than ``max_tokens`` words is cut off.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    answers: list[Answer] | AnswerFunction
    yes_no: Callable[[list[Message]], float] | None = None
    """Margin log p(yes) - log p(no) of a prompt; None: this model gives no log-probabilities."""
    delay_s: float = 0.0
    """Time before each word."""
    timeout_s: float = 60.0
    break_after: int | None = None
    """Words after which a stream breaks off, as when a server dies."""

    _calls: list[tuple[list[Message], dict[str, Any] | None]] = PrivateAttr(default_factory=list)
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)
    _next: int = PrivateAttr(default=0)

    @property
    def calls(self) -> list[tuple[list[Message], dict[str, Any] | None]]:
        """What was asked so far: (messages, schema) per call, yes/no calls included."""
        return self._calls

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
        asked = _plain(messages)
        if kwargs.get("logprobs"):
            return self._first_token(asked)
        words, reason = self._words(asked, kwargs)
        timeout_s = float(kwargs.get("timeout", self.timeout_s))
        if self.delay_s * len(words) > timeout_s:
            raise LLMTimeout(f"scripted model: no answer after {timeout_s:.3g} s")
        _wait(self.delay_s * len(words))
        message = AIMessage(
            "".join(words), usage_metadata=_usage(asked, len(words)), response_metadata={"finish_reason": reason}
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        asked = _plain(messages)
        words, reason = self._words(asked, kwargs)
        for number, word in enumerate(words):
            if number == self.break_after:
                return
            _wait(self.delay_s)
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))
        yield ChatGenerationChunk(
            message=AIMessageChunk(
                content="", usage_metadata=_usage(asked, len(words)), response_metadata={"finish_reason": reason}
            )
        )

    def _words(self, asked: list[Message], kwargs: dict[str, Any]) -> tuple[list[str], str]:
        schema = kwargs.get("response_format", {}).get("json_schema", {}).get("schema")
        with self._lock:
            self._calls.append((asked, schema))
            number, self._next = self._next, self._next + 1
        if isinstance(self.answers, list):
            answer = self.answers[min(number, len(self.answers) - 1)]
        else:
            answer = self.answers(asked, schema)
        if isinstance(answer, LLMError):
            raise answer
        words = _TOKEN.findall(answer)
        limit = int(kwargs.get("max_tokens") or len(words))
        return words[:limit], "length" if len(words) > limit else "stop"

    def _first_token(self, asked: list[Message]) -> ChatResult:
        with self._lock:
            self._calls.append((asked, None))
        metadata: dict[str, Any] = {"finish_reason": "length"}
        if self.yes_no is not None:
            score = self.yes_no(asked)
            # Two words whose probabilities sum to 1 and whose log-odds are the score.
            metadata["logprobs"] = {
                "content": [
                    {
                        "token": "Yes" if score > 0 else "No",
                        "top_logprobs": [
                            {"token": "Yes", "logprob": -math.log1p(math.exp(-score))},
                            {"token": "No", "logprob": -math.log1p(math.exp(score))},
                        ],
                    }
                ]
            }
        message = AIMessage("Yes", usage_metadata=_usage(asked, 1), response_metadata=metadata)
        return ChatResult(generations=[ChatGeneration(message=message)])


def scripted(
    answers: Sequence[Answer] | AnswerFunction | LLMError,
    *,
    yes_no: Callable[[list[Message]], float] | None = None,
    name: str = "scripted",
    timeout_s: float = 60.0,
    **options: Any,
) -> LLM:
    """An :class:`LLM` over a :class:`ScriptedChat`: a list, a function, or an error that every call raises.

    ``options`` are the other fields of :class:`ScriptedChat`.

    >>> scripted(["Hello."]).complete([("user", "Hi")]).text
    'Hello.'
    """
    if isinstance(answers, LLMError):
        script: list[Answer] | AnswerFunction = [answers]
    else:
        script = answers if callable(answers) else list(answers)
    chat = ScriptedChat(answers=script, yes_no=yes_no, timeout_s=timeout_s, **options)
    return LLM(lambda: chat, name=name, tier="scripted", timeout_s=timeout_s)


def _wait(seconds: float) -> None:
    over = threading.Event()
    with ended_by_stop(over.set):
        over.wait(seconds)


def _plain(messages: Sequence[BaseMessage]) -> list[Message]:
    return [(_ROLES[message.type], str(message.text)) for message in messages]


def _usage(asked: Sequence[Message], generated: int) -> UsageMetadata:
    prompt = sum(len(text.split()) for _, text in asked)
    return UsageMetadata(input_tokens=prompt, output_tokens=generated, total_tokens=prompt + generated)
