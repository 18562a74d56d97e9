"""A GGUF model inside this process: a LangChain chat model over xllamacpp's server engine."""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import queue
import secrets
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from convrec.agent.llm.stopping import ended_by_stop
from convrec.core.errors import LLMError, LLMTimeout, LLMUnavailable
from convrec.core.extras import require
from convrec.core.text import clean
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, convert_to_openai_messages
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import ConfigDict, PrivateAttr

log = logging.getLogger(__name__)

PREFIX_CACHE_MIB = 1024
"""Main memory for the states of earlier prompts, so that several fixed beginnings stay evaluated (28 kB a token on the
1.5B model)."""
LOOK_S = 0.25
"""How long the processor is watched before the number of threads is chosen, seconds."""
CLOSE_S = 20.0
"""Longest wait at closing for a call that is under way, seconds."""
COMPACT_JSON = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}
"""Note to the grammar engine (LLGuidance) of no white space: it is a third of a small model's JSON, and the smallest
models loop in it."""
_PASSED = ("max_tokens", "temperature", "logprobs", "top_logprobs", "seed")
_CONTEXT_ERROR = "exceed_context_size_error"


class Engine:
    """The loaded model. Calls from several threads queue; each may be given up at any time.

    Raises:
        MissingExtraError: xllamacpp is not installed.
        LLMUnavailable: the file cannot be loaded.
    """

    def __init__(self, path: Path, *, threads: int, context: int) -> None:
        library = require("xllamacpp", "local-llm", "the embedded language model")
        if not path.is_file():
            raise LLMUnavailable(f"there is no model file {path}")
        self.key = secrets.token_urlsafe(24)
        """Key of the engine's HTTP endpoint, which xllamacpp always opens on a free local port."""
        self._server: Any = self._start(library, path, threads or free_cores(), context)
        self._guard = threading.Lock()
        self._running: dict[threading.Thread, threading.Event] = {}
        # A call that is under way while the interpreter goes down would crash it.
        atexit.register(self.close)

    def _start(self, library: Any, path: Path, threads: int, context: int) -> Any:
        params = library.CommonParams()
        params.model.path = str(path)
        params.n_ctx = context
        params.n_parallel = 1  # one slot: turns queue, and greedy answers do not depend on who else asks
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.cache_ram_mib = PREFIX_CACHE_MIB
        params.fit_params = False
        params.warmup = False
        params.verbosity = -1  # no log on standard error
        params.hostnames = ["127.0.0.1"]
        params.api_keys = [self.key]
        params.endpoint_slots = False  # it would show prompts
        start = time.perf_counter()
        try:
            server = library.Server(params)
        except RuntimeError as error:
            raise LLMUnavailable(
                f"{path} could not be loaded: {error} Is it a whole GGUF file, and is there memory for it and for a "
                f"context of {context} tokens (CONVREC_LLM__CONTEXT)?"
            ) from error
        log.info("loaded %s on %d threads in %.2f s", path.name, threads, time.perf_counter() - start)
        return server

    @property
    def address(self) -> str:
        """Base address of the engine's own HTTP endpoint; it asks for :attr:`key`."""
        return str(self._server.listening_address)

    def run(self, request: dict[str, Any], timeout_s: float) -> Generator[dict[str, Any], None, None]:
        """Chunks of a streamed chat completion, as of the OpenAI API. Closing the iterator stops the model.

        Raises:
            LLMTimeout: not done ``timeout_s`` seconds after the call, waiting for other calls included.
            LLMError: the request was refused.
            LLMUnavailable: the engine is closed.
            TurnStopped: nobody waits for it any more. The model stops at its next token; a prompt that it is reading is
                read to its end.
        """
        chunks: queue.SimpleQueue[dict[str, Any] | Exception | None] = queue.SimpleQueue()
        given_up = threading.Event()

        def hand_over(chunk: dict[str, Any]) -> bool:
            chunks.put(chunk)
            return given_up.is_set()  # True stops the model

        def work(server: Any) -> None:
            try:
                server.handle_chat_completions(request, hand_over)
                chunks.put(None)
            except (RuntimeError, ValueError, TypeError) as error:
                chunks.put(error)
            finally:
                with self._guard:
                    self._running.pop(threading.current_thread(), None)

        with self._guard:
            if self._server is None:
                raise LLMUnavailable("the embedded model was closed")
            thread = threading.Thread(target=work, args=(self._server,), name="convrec-llm", daemon=True)
            self._running[thread] = given_up
        thread.start()
        end = time.monotonic() + timeout_s
        try:
            while True:
                try:
                    with ended_by_stop(lambda: chunks.put(None)):
                        chunk = chunks.get(timeout=max(0.0, end - time.monotonic()))
                except queue.Empty:
                    raise LLMTimeout(f"the embedded model was not done after {timeout_s:.3g} s; stopped") from None
                if chunk is None:
                    return
                if isinstance(chunk, Exception):
                    raise LLMError(f"the embedded model refused the request: {clean(str(chunk), 300)}") from chunk
                if "error" in chunk:
                    raise _refused(chunk["error"])
                yield chunk
        finally:
            given_up.set()

    def close(self) -> None:
        """Stop what is under way and free the model. May be called twice."""
        with self._guard:
            server, self._server = self._server, None
            running = dict(self._running)
        atexit.unregister(self.close)
        for given_up in running.values():
            given_up.set()
        end = time.monotonic() + CLOSE_S
        for thread in running:
            thread.join(max(0.0, end - time.monotonic()))
        del server


class XllamacppChat(BaseChatModel):
    """LangChain's view of an :class:`Engine`. Understands ``max_tokens``, ``temperature``, ``response_format``,
    ``logprobs``, ``top_logprobs``, ``seed`` and ``timeout`` (seconds). The model is loaded when the object is made."""

    model_config = ConfigDict(arbitrary_types_allowed=True, protected_namespaces=())

    model_path: Path
    threads: int = 0
    context: int = 4096
    timeout_s: float = 60.0
    _engine: Engine = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        self._engine = Engine(self.model_path, threads=self.threads, context=self.context)

    @property
    def engine(self) -> Engine:
        return self._engine

    @property
    def _llm_type(self) -> str:
        return "xllamacpp"

    def close(self) -> None:
        self._engine.close()

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        text: list[str] = []
        usage: UsageMetadata | None = None
        metadata: dict[str, Any] = {}
        logprobs: list[Any] = []
        # The same path as streaming, so that a call that takes too long can be stopped.
        for chunk in self._stream(messages, stop, **kwargs):
            message = cast("AIMessageChunk", chunk.message)
            text.append(str(message.text))
            usage = message.usage_metadata or usage
            logprobs += (message.response_metadata.get("logprobs") or {}).get("content") or []
            metadata |= message.response_metadata
        if logprobs:
            metadata["logprobs"] = {"content": logprobs}
        answer = AIMessage("".join(text), usage_metadata=usage, response_metadata=metadata)
        return ChatResult(generations=[ChatGeneration(message=answer)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        request: dict[str, Any] = {name: kwargs[name] for name in _PASSED if name in kwargs}
        request |= {
            "messages": convert_to_openai_messages(cast("Sequence[Any]", messages)),
            "stream": True,
            "stream_options": {"include_usage": True},
            "cache_prompt": True,
        }
        if stop:
            request["stop"] = stop
        if schema := kwargs.get("response_format", {}).get("json_schema", {}).get("schema"):
            request["grammar"] = _grammar(schema)
        with contextlib.closing(self._engine.run(request, float(kwargs.get("timeout", self.timeout_s)))) as chunks:
            for chunk in chunks:
                yield ChatGenerationChunk(message=_message(chunk))


def free_cores() -> int:
    """Cores that nobody else is using just now, at least 1: how many threads the model gets unless a number is set.

    The threads of llama.cpp wait for each other some hundred times per token. When another program takes one of their
    cores, each wait costs a time slice: on 2 cores with other work, 2 threads made .7 tokens a second where 1 made 17.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores == 1 or not (before := _busy_s()):
        return cores
    own, start = time.process_time(), time.monotonic()
    time.sleep(LOOK_S)
    others = (_busy_s() - before - (time.process_time() - own)) / (time.monotonic() - start)
    return max(1, min(cores, cores - round(others)))


def _busy_s() -> float:
    """Seconds that all cores together have worked since the start of the machine; 0 where that is not told."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            fields = [int(value) for value in file.readline().split()[1:]]
        return (sum(fields[:8]) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0


def _grammar(schema: dict[str, Any]) -> str:
    """The engine's grammar of a JSON schema, compact. (``response_format`` would drop the note on white space.)

    The engine ignores a grammar that it cannot compile; the caller finds that the answer is not JSON.
    """
    library = require("xllamacpp", "local-llm", "the embedded language model")
    return str(library.json_schema_to_grammar(json.dumps({**schema, "x-guidance": COMPACT_JSON})))


def _message(chunk: dict[str, Any]) -> AIMessageChunk:
    """One chunk of the OpenAI API as a LangChain message."""
    metadata: dict[str, Any] = {}
    text, usage = "", None
    for choice in chunk.get("choices") or ():
        text += choice.get("delta", {}).get("content") or ""
        for name in ("finish_reason", "logprobs"):
            if choice.get(name):
                metadata[name] = choice[name]
    if counted := chunk.get("usage"):
        usage = UsageMetadata(
            input_tokens=counted["prompt_tokens"],
            output_tokens=counted["completion_tokens"],
            total_tokens=counted["total_tokens"],
        )
        metadata["timings"] = chunk.get("timings", {})
    return AIMessageChunk(content=text, usage_metadata=usage, response_metadata=metadata)


def _refused(error: Any) -> LLMError:
    if isinstance(error, dict) and error.get("type") == _CONTEXT_ERROR:
        return LLMError(
            f"the prompt has {error.get('n_prompt_tokens')} tokens, but the model's context holds "
            f"{error.get('n_ctx')}. Shorten it, or set CONVREC_LLM__CONTEXT higher"
        )
    said = error.get("message", error) if isinstance(error, dict) else error
    return LLMError(f"the embedded model refused the request: {clean(str(said), 300)}")
