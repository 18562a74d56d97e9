"""What the agent knows of a language model: one small class over any LangChain chat model.

Nothing of LangChain is imported here: a backend is handed in as a function that makes it at first use.
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from convrec.agent.llm.stopping import raise_if_stopped
from convrec.core.errors import LLMBadOutput, LLMTimeout, LLMUnavailable
from convrec.core.text import clean

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

log = logging.getLogger(__name__)

Message = tuple[Literal["system", "user", "assistant"], str]

TOP_LOGPROBS = 20
"""Alternatives asked for of a first token: the most that the OpenAI API gives."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One finished answer."""

    text: str
    prompt_tokens: int
    """0 when the backend does not count."""
    generated_tokens: int
    seconds: float
    finish_reason: str
    """"stop", or "length" when the token limit cut it off."""


@dataclass(slots=True)
class Meter:
    """What calls cost, counted by :func:`metered`. Tokens are 0 where the backend does not count."""

    calls: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0

    def count(self, usage: Mapping[str, Any] | None) -> None:
        with _COUNTING:
            self.calls += 1
            if usage:
                self.prompt_tokens += int(usage["input_tokens"])
                self.generated_tokens += int(usage["output_tokens"])


_METER: ContextVar[Meter | None] = ContextVar("convrec_llm_meter", default=None)
_COUNTING = threading.Lock()


@contextmanager
def metered() -> Iterator[Meter]:
    """Counts the calls of :meth:`LLM.complete` and :meth:`LLM.yes_no` made inside, also by their own threads. Not to be
    held across a ``yield`` of a generator: its caller's calls would count too."""
    meter = Meter()
    token = _METER.set(meter)
    try:
        yield meter
    finally:
        _METER.reset(token)


def _count(usage: Mapping[str, Any] | None) -> None:
    meter = _METER.get()
    if meter is not None:
        meter.count(usage)


class LLM:
    """A language model of some tier. Thread-safe; the backend is made at first use or by :meth:`warm`, once.

    Args:
        load: makes the chat model; raises LLMUnavailable or MissingExtraError when it cannot.
        name: the model's name, as shown to users and recorded with what it said.
        tier: "served", "embedded" or "scripted".
        timeout_s: longest time that one call may take, seconds. Backends keep to it while they wait; a stream is cut
            off between two pieces.
        concurrency: how many calls the backend runs at once with profit.
    """

    def __init__(
        self,
        load: Callable[[], BaseChatModel],
        *,
        name: str,
        tier: str,
        timeout_s: float = 60.0,
        concurrency: int = 1,
    ) -> None:
        self.name, self.tier = name, tier
        self.timeout_s, self.concurrency = timeout_s, concurrency
        self._load = load
        self._chat: BaseChatModel | None = None
        self._closed = False
        self._lock = threading.Lock()

    def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: dict[str, Any] | None = None,
        max_tokens: int = 256,
        temperature: float = 0.0,
        timeout_s: float | None = None,
    ) -> Completion:
        """The whole answer. With ``schema`` (JSON Schema) decoding is constrained to it.

        A free answer that hit ``max_tokens`` is returned, with finish_reason "length"; JSON that hit it is no JSON.

        Raises:
            LLMBadOutput: empty; or, with ``schema``, cut off or not JSON.
            LLMTimeout: no answer in time.
            LLMUnavailable: the backend is gone or cannot be started.
            LLMError: the backend refused the request, for instance a prompt longer than its context.
            TurnStopped: nobody waits for it any more, see :mod:`convrec.agent.llm.stopping`.
        """
        raise_if_stopped()
        kwargs: dict[str, Any] = {
            "max_tokens": max_tokens,
            "temperature": temperature,
            "timeout": self._limit(timeout_s),
        }
        if schema is not None:
            kwargs["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        start = time.perf_counter()
        answer = self._ready().invoke(list(messages), **kwargs)
        usage = answer.usage_metadata
        _count(usage)
        completion = Completion(
            text=str(answer.text),
            prompt_tokens=usage["input_tokens"] if usage else 0,
            generated_tokens=usage["output_tokens"] if usage else 0,
            seconds=time.perf_counter() - start,
            finish_reason=_finish(answer.response_metadata),
        )
        _check(completion, max_tokens, schema)
        return completion

    def stream(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int = 256,
        temperature: float = 0.0,
        timeout_s: float | None = None,
    ) -> Iterator[str | Completion]:
        """Pieces of text as they are made, last the Completion. Closing the iterator stops the backend.

        Raises:
            LLMError: as in :meth:`complete`; what was yielded so far stands.
        """
        start = time.perf_counter()
        pieces: list[str] = []
        prompt_tokens = generated_tokens = 0
        metadata: dict[str, Any] = {}
        limit = self._limit(timeout_s)
        source = self._ready().stream(list(messages), max_tokens=max_tokens, temperature=temperature, timeout=limit)
        try:
            for chunk in source:
                if usage := chunk.usage_metadata:
                    prompt_tokens = usage["input_tokens"] or prompt_tokens
                    generated_tokens = usage["output_tokens"] or generated_tokens
                metadata |= chunk.response_metadata
                if text := str(chunk.text):
                    pieces.append(text)
                    yield text
                raise_if_stopped()
                if time.perf_counter() - start > limit:
                    raise LLMTimeout(f"{self.name} was not done after {limit:.3g} s; stopped")
        finally:
            close = getattr(source, "close", None)
            if close is not None:
                close()
        if "finish_reason" not in metadata:
            raise LLMUnavailable(f"{self.name} broke off after {len(pieces)} pieces without ending its answer")
        completion = Completion(
            "".join(pieces), prompt_tokens, generated_tokens, time.perf_counter() - start, _finish(metadata)
        )
        _check(completion, max_tokens, None)
        yield completion

    def yes_no(self, prompts: Sequence[Sequence[Message]], *, timeout_s: float | None = None) -> list[float] | None:
        """For each prompt, log p(yes) - log p(no) of the answer's first token, in nats; None without log-probabilities.

        All spellings of a word ("Yes", " yes", "YES") among the :data:`TOP_LOGPROBS` likeliest tokens count together.
        A word that is not among them gets the probability of the last one that is, so the margin is then a lower bound
        of its size; 0.0 when neither is. The first prompt is asked alone, so that a shared beginning is evaluated once.

        With ``timeout_s`` for all prompts together, no more are asked once the next would probably end too late: the
        answer then holds as many margins as there was time for, of the first prompts.

        Raises:
            LLMError: as in :meth:`complete`.
        """
        if not prompts:
            return []
        end = None if timeout_s is None else time.perf_counter() + timeout_s
        first = self._margin(prompts[0], timeout_s)
        if first is None:
            return None
        found, at = [first], 1
        with ThreadPoolExecutor(self.concurrency, thread_name_prefix="convrec-yes-no") as pool:
            spent = 0.0
            while at < len(prompts):
                left = None if end is None else end - time.perf_counter()
                if left is not None and left <= spent:
                    break
                batch, start = prompts[at : at + self.concurrency], time.perf_counter()
                asked = [pool.submit(copy_context().run, self._margin, prompt, left) for prompt in batch]
                margins = [future.result() for future in asked]
                spent = time.perf_counter() - start
                if any(margin is None for margin in margins):
                    return None
                found += [margin for margin in margins if margin is not None]
                at += len(batch)
        return found

    def warm(self, messages: Sequence[Message] = ()) -> None:
        """Start the backend and evaluate ``messages``, the fixed beginning of later prompts. Safe from any thread.

        Raises:
            LLMError: as in :meth:`complete`.
        """
        start = time.perf_counter()
        chat = self._ready()
        if messages:
            # Many chat templates want a user's turn; what comes before it is the same as in later prompts.
            closed = [*messages] if messages[-1][0] == "user" else [*messages, ("user", ".")]
            chat.invoke(closed, max_tokens=1, temperature=0.0)
        log.debug("%s warm after %.2f s", self.name, time.perf_counter() - start)

    def close(self) -> None:
        """Free the backend; later calls raise LLMUnavailable. May be called twice."""
        with self._lock:
            chat, self._chat, self._closed = self._chat, None, True
        close = getattr(chat, "close", None)
        if close is not None:
            close()

    def _ready(self) -> BaseChatModel:
        with self._lock:
            if self._closed:
                raise LLMUnavailable(f"{self.name} was closed")
            if self._chat is None:
                self._chat = self._load()
            return self._chat

    def _limit(self, timeout_s: float | None) -> float:
        """The time-out of one call as the backends take it: the caller's, but never more than the model's own."""
        return self.timeout_s if timeout_s is None else max(0.1, min(timeout_s, self.timeout_s))

    def _margin(self, prompt: Sequence[Message], timeout_s: float | None = None) -> float | None:
        raise_if_stopped()
        answer = self._ready().invoke(
            list(prompt),
            max_tokens=1,
            temperature=0.0,
            logprobs=True,
            top_logprobs=TOP_LOGPROBS,
            timeout=self._limit(timeout_s),
        )
        _count(answer.usage_metadata)
        content = (answer.response_metadata.get("logprobs") or {}).get("content")
        return margin(content[0].get("top_logprobs") or []) if content else None


def margin(alternatives: Sequence[Mapping[str, Any]]) -> float | None:
    """log p(yes) - log p(no) of a first token's alternatives (``token``, ``logprob``); None when there are none."""
    if not alternatives:
        return None
    sums = {"yes": -math.inf, "no": -math.inf}
    lowest = 0.0
    for alternative in alternatives:
        logprob = float(alternative["logprob"])
        if not math.isfinite(logprob):  # some servers send -inf for a token that cannot be
            continue
        lowest = min(lowest, logprob)
        word = "".join(c for c in str(alternative["token"]) if c.isascii() and c.isalpha()).lower()
        if word in sums:
            high, low = max(sums[word], logprob), min(sums[word], logprob)
            sums[word] = high + math.log1p(math.exp(low - high))
    yes, no = (max(value, lowest) for value in sums.values())
    return yes - no


def _finish(metadata: Mapping[str, Any]) -> str:
    return "length" if metadata.get("finish_reason") == "length" else "stop"


def _check(completion: Completion, max_tokens: int, schema: dict[str, Any] | None) -> None:
    if not completion.text.strip():
        raise LLMBadOutput("the answer is empty")
    if schema is None:
        return
    try:
        json.loads(completion.text)  # a whole object may be followed by blank lines up to the limit
    except ValueError as error:
        said = f"{clean(completion.text, 200)!r}"
        if completion.finish_reason == "length":
            cut = f"was cut off after {completion.generated_tokens} tokens (limit {max_tokens})"
            raise LLMBadOutput(f"the JSON answer {cut}: {said}") from error
        raise LLMBadOutput(f"the answer is not JSON ({error}): {said}") from error
