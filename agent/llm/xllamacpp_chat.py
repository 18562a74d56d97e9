"""The adapter of xllamacpp: llama.cpp in this process, as a LangChain chat model."""

from __future__ import annotations

import json
import queue
import re
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from convrec.core.errors import LLMError, LLMTimeout, LLMUnavailable
from convrec.core.extras import require
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import ConfigDict, PrivateAttr

PROMPT_CACHE_MIB = 512
"""Host memory for prompts evaluated earlier: the fixed prefixes of planner, reranker and reply stay warm in it."""
SLOTS = 2
"""Requests evaluated at once; further ones wait in the server's queue."""
_ROLES = {"human": "user", "ai": "assistant", "system": "system"}


class XllamacppChat(BaseChatModel):
    """A GGUF model in this process. Thread-safe: calls of several threads share the server's slots."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    path: Path
    threads: int
    context: int
    """Context window shared by the slots, tokens."""
    timeout_s: float = 60.0
    _server: Any = PrivateAttr(default=None)

    def model_post_init(self, _: Any) -> None:
        xllamacpp = require("xllamacpp", "local-llm", "the embedded language model")
        if not self.path.is_file():
            raise LLMUnavailable(f"model file {self.path} is not there. Run: convrec models pull")
        params = xllamacpp.CommonParams()
        params.model.path = str(self.path)
        params.n_ctx = self.context
        params.n_parallel = SLOTS
        params.kv_unified = True  # a slot may use the whole window while the other is idle
        params.cpuparams.n_threads = self.threads
        params.cpuparams_batch.n_threads = self.threads
        params.cache_ram_mib = PROMPT_CACHE_MIB
        params.warmup = False
        params.verbosity = -1
        # The in-process server also listens on a loopback port; nobody else shall use it.
        params.api_keys = [secrets.token_urlsafe(32)]
        self._server = xllamacpp.Server(params)

    @property
    def _llm_type(self) -> str:
        return "xllamacpp"

    def stop(self) -> None:
        """Give the memory back."""
        self._server = None

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        data = self._ask(self._body(messages, stop, kwargs), None)
        choice = data["choices"][0]
        message = AIMessage(
            content=choice["message"].get("content") or "",
            usage_metadata=_usage(data.get("usage")),
            response_metadata={"finish_reason": choice.get("finish_reason"), "logprobs": choice.get("logprobs")},
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        body = self._body(messages, stop, kwargs) | {"stream": True, "stream_options": {"include_usage": True}}
        pieces: queue.SimpleQueue[dict[str, Any] | BaseException | None] = queue.SimpleQueue()
        cancelled = threading.Event()

        def on_chunk(chunk: dict[str, Any]) -> bool:
            pieces.put(chunk)
            return cancelled.is_set()  # True makes the server stop

        def work() -> None:
            try:
                self._server.handle_chat_completions(body, on_chunk)
                pieces.put(None)
            except (RuntimeError, ValueError) as error:
                pieces.put(error)

        threading.Thread(target=work, name="xllamacpp-stream", daemon=True).start()
        deadline = time.monotonic() + self.timeout_s
        try:
            while (chunk := self._next(pieces, deadline)) is not None:
                yield _chunk(_checked(chunk))
        finally:
            cancelled.set()

    def _next(self, pieces: queue.SimpleQueue[Any], deadline: float) -> dict[str, Any] | None:
        try:
            piece = pieces.get(timeout=max(deadline - time.monotonic(), 0.01))
        except queue.Empty as error:
            raise LLMTimeout(f"the embedded model did not answer within {self.timeout_s:g} s") from error
        if isinstance(piece, BaseException):
            raise LLMUnavailable(f"the embedded model failed: {piece}") from piece
        return piece  # type: ignore[no-any-return]

    def _ask(self, body: dict[str, Any], _: None) -> dict[str, Any]:
        """One whole answer within the time-out. The call itself cannot be interrupted before its first token, so it
        runs in a thread that is left to finish on its own."""
        if self._server is None:
            raise LLMUnavailable("the embedded model was closed")
        answer: queue.SimpleQueue[Any] = queue.SimpleQueue()
        server = self._server

        def work() -> None:
            try:
                answer.put(server.handle_chat_completions(body))
            except (RuntimeError, ValueError) as error:
                answer.put(error)

        threading.Thread(target=work, name="xllamacpp-call", daemon=True).start()
        data = self._next(answer, time.monotonic() + self.timeout_s)
        return _checked(data or {})

    def _body(self, messages: list[BaseMessage], stop: list[str] | None, options: Mapping[str, Any]) -> dict[str, Any]:
        known = ("max_tokens", "temperature", "logprobs", "top_logprobs", "grammar", "response_format", "seed")
        body = {key: options[key] for key in known if options.get(key) is not None}
        body["messages"] = [{"role": _ROLES[m.type], "content": str(m.text)} for m in messages]
        if stop:
            body["stop"] = stop
        return body | {"cache_prompt": True}


def compact_grammar(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Decoding arguments for ``schema``: llama.cpp's own grammar of it, without white space between JSON tokens.

    White space is a third of a small model's JSON tokens, and tiny models can loop in it.
    """
    xllamacpp = require("xllamacpp", "local-llm", "the embedded language model")
    text = json.dumps(schema)
    grammar = xllamacpp.json_schema_to_grammar(text)
    compact = re.sub(r"(?m)^space ::=.*$", 'space ::= ""', grammar)
    return {"grammar": compact}


def map_error(error: Exception) -> LLMError | None:
    """xllamacpp raises plain RuntimeError and ValueError."""
    if isinstance(error, RuntimeError | ValueError | OSError):
        return LLMUnavailable(f"the embedded model failed: {error}")
    return None


def _checked(data: dict[str, Any]) -> dict[str, Any]:
    problem = data.get("error")
    if problem:
        raise LLMUnavailable(f"the embedded model refused: {problem.get('message', problem)}")
    if "choices" not in data:
        raise LLMUnavailable("the embedded model gave an answer without choices")
    return data


def _usage(usage: Mapping[str, Any] | None) -> UsageMetadata | None:
    if not usage:
        return None
    prompt, generated = int(usage.get("prompt_tokens", 0)), int(usage.get("completion_tokens", 0))
    return UsageMetadata(input_tokens=prompt, output_tokens=generated, total_tokens=prompt + generated)


def _chunk(data: Mapping[str, Any]) -> ChatGenerationChunk:
    choices = data["choices"]
    choice = choices[0] if choices else {"delta": {}}
    reason = choice.get("finish_reason")
    message = AIMessageChunk(
        content=choice["delta"].get("content") or "",
        usage_metadata=_usage(data.get("usage")),
        response_metadata={"finish_reason": reason} if reason else {},
    )
    return ChatGenerationChunk(message=message)
