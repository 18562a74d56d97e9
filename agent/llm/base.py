"""What the agent needs of a language model, over any LangChain chat model. No LangChain type leaves this folder."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from convrec.core.errors import LLMBadOutput, LLMError

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel
    from langchain_core.messages import BaseMessage

Message: TypeAlias = tuple[Literal["system", "user", "assistant"], str]
ErrorMapper: TypeAlias = Callable[[Exception], LLMError | None]
"""Turns a backend's own exception into one of ours; None: it is not the backend's."""

NOT_LISTED = -15.0
"""Natural log-probability given to "Yes" or "No" when the backend does not list it among its top tokens."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One finished answer. Token counts are 0 where the backend does not report them."""

    text: str
    prompt_tokens: int
    generated_tokens: int
    seconds: float
    finish_reason: str
    """stop | length"""


@dataclass(slots=True)
class LLM:
    """Safe for several threads: it holds nothing of a call."""

    name: str
    tier: str
    load: Callable[[], BaseChatModel]
    """Makes the chat model; called once, at first use."""
    map_error: ErrorMapper
    schema_format: Callable[[Mapping[str, Any]], dict[str, Any]]
    """The keyword arguments that make this backend decode under a JSON schema."""
    logprobs: bool = True
    shutdown: Callable[[], None] | None = None
    _model: BaseChatModel | None = field(init=False, default=None)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None = None,
        max_tokens: int = 256,
        temperature: float = 0.0,
    ) -> Completion:
        """One answer. With ``schema`` the text is JSON under it.

        Raises:
            LLMBadOutput: empty; or, with a schema, cut off or not JSON.
            LLMTimeout, LLMUnavailable: the backend did not answer.
        """
        extra = self.schema_format(schema) if schema is not None else {}
        started = time.perf_counter()
        answer = self._call(messages, max_tokens=max_tokens, temperature=temperature, **extra)
        done = _completion(answer, time.perf_counter() - started)
        if not done.text.strip():
            raise LLMBadOutput(f"{self.name} answered nothing (finish reason: {done.finish_reason})")
        if schema is not None:
            if done.finish_reason == "length":
                raise LLMBadOutput(f"{self.name}'s JSON was cut off after {max_tokens} tokens: {done.text[:120]!r}")
            try:
                json.loads(done.text)
            except ValueError as error:
                raise LLMBadOutput(f"{self.name} did not answer with JSON: {done.text[:120]!r}") from error
        return done

    def stream(
        self, messages: Sequence[Message], *, max_tokens: int = 256, temperature: float = 0.0
    ) -> Iterator[str | Completion]:
        """Pieces of the answer as they come, last the :class:`Completion`. Closing the iterator stops the backend."""
        started = time.perf_counter()
        total: Any = None
        try:
            for chunk in self.model().stream(_to_langchain(messages), max_tokens=max_tokens, temperature=temperature):
                total = chunk if total is None else total + chunk
                if isinstance(chunk.content, str) and chunk.content:
                    yield chunk.content
        except Exception as error:
            raise self._mapped(error) from error
        done = _completion(total, time.perf_counter() - started) if total is not None else None
        if done is None or not done.text.strip():
            raise LLMBadOutput(f"{self.name} answered nothing")
        yield done

    def yes_no(self, prompts: Sequence[Sequence[Message]]) -> list[float] | None:
        """log p(yes) - log p(no) of the first token of each answer, natural log; None: no log-probabilities here.

        Prompts are sent one after another, so that a shared prefix is evaluated once.
        """
        if not self.logprobs:
            return None
        out: list[float] = []
        for prompt in prompts:
            answer = self._call(prompt, max_tokens=1, temperature=0.0, logprobs=True, top_logprobs=20)
            content = (answer.response_metadata.get("logprobs") or {}).get("content")
            if not content:
                return None
            out.append(_log_odds(content[0].get("top_logprobs") or []))
        return out

    def warm(self, messages: Sequence[Message]) -> None:
        """Load the model and evaluate a fixed prefix, so that it is cached."""
        self._call([*messages, ("user", ".")], max_tokens=1, temperature=0.0)

    def model(self) -> BaseChatModel:
        with self._lock:
            if self._model is None:
                try:
                    self._model = self.load()
                except Exception as error:
                    raise self._mapped(error) from error
            return self._model

    def close(self) -> None:
        """Give the model's memory back; a later call loads it again."""
        with self._lock:
            if self._model is not None and self.shutdown is not None:
                self.shutdown()
            self._model = None

    def _call(self, messages: Sequence[Message], **options: Any) -> BaseMessage:
        try:
            return self.model().invoke(_to_langchain(messages), **options)
        except Exception as error:
            raise self._mapped(error) from error

    def _mapped(self, error: Exception) -> Exception:
        """The error as one of ours when it is the backend's, else itself: a defect of ours must not be hidden."""
        if isinstance(error, LLMError):
            return error
        return self.map_error(error) or error


def _to_langchain(messages: Sequence[Message]) -> list[tuple[str, str]]:
    return [("human" if role == "user" else "ai" if role == "assistant" else role, text) for role, text in messages]


def _completion(answer: Any, seconds: float) -> Completion:
    usage = answer.usage_metadata or {}
    reason = str(answer.response_metadata.get("finish_reason") or "stop")
    text = answer.content if isinstance(answer.content, str) else str(answer.text)
    return Completion(
        text=text,
        prompt_tokens=int(usage.get("input_tokens", 0)),
        generated_tokens=int(usage.get("output_tokens", 0)),
        seconds=seconds,
        finish_reason="length" if reason == "length" else "stop",
    )


def _log_odds(top: Sequence[Mapping[str, Any]]) -> float:
    best = {"yes": NOT_LISTED, "no": NOT_LISTED}
    for entry in top:
        word = str(entry.get("token", "")).strip().lower()
        value = float(entry.get("logprob", NOT_LISTED))
        if word in best and math.isfinite(value):
            best[word] = max(best[word], value)
    return best["yes"] - best["no"]
