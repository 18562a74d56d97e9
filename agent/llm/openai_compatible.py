"""A served model: any OpenAI-compatible endpoint (vLLM, Ollama, llama.cpp's server, hosted services)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import closing, contextmanager
from typing import Any, cast

import httpx
import openai
from convrec.agent.llm.calls import Calls
from convrec.core.errors import LLMError, LLMTimeout, LLMUnavailable
from convrec.core.text import clean
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_openai.chat_models.base import BaseChatOpenAI
from pydantic import PrivateAttr, SecretStr

PROBE_S = 3.0
"""Longest wait for the list of models, seconds: it is asked for when the program starts."""
CONNECT_S = 5.0


class ServedChat(BaseChatOpenAI):
    """LangChain's client with our errors, and calls that can be broken off. ``BaseChatOpenAI``, as it keeps to the
    parameters that every server knows."""

    _calls: Calls = PrivateAttr(default_factory=Calls)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with self._mapped():
            try:
                return self._calls.run(super()._agenerate(messages, stop, **_options(kwargs)))
            except openai.BadRequestError as error:
                if not (kwargs.get("logprobs") and "logprob" in str(error).lower()):
                    raise
                # This server refuses to give log-probabilities; the caller sees that there are none.
                plain = {name: value for name, value in kwargs.items() if name not in ("logprobs", "top_logprobs")}
                return self._calls.run(super()._agenerate(messages, stop, **_options(plain)))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        with self._mapped():
            source = cast("AsyncGenerator[ChatGenerationChunk]", super()._astream(messages, stop, **_options(kwargs)))
            with closing(self._calls.iterate(source)) as chunks:
                yield from chunks

    def close(self) -> None:
        self._calls.close(self.root_async_client.close())
        self.root_client.close()

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        where = f"{self.model_name} at {self.openai_api_base}"
        try:
            yield
        except (openai.APITimeoutError, httpx.TimeoutException, TimeoutError) as error:
            raise LLMTimeout(f"{where} did not answer within {_seconds(self.request_timeout)} s") from error
        except (openai.APIConnectionError, httpx.HTTPError) as error:
            raise LLMUnavailable(f"{where} cannot be reached: {_words(error)}. Is the server running?") from error
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise LLMUnavailable(
                f"{where} refuses the key: {_words(error)}. Put the right one into the environment variable that "
                "CONVREC_LLM__API_KEY_ENV names (CONVREC_LLM_API_KEY unless set)"
            ) from error
        except (openai.NotFoundError, openai.RateLimitError, openai.InternalServerError) as error:
            raise LLMUnavailable(f"{where} cannot answer: {_words(error)}") from error
        except openai.OpenAIError as error:
            raise LLMError(f"{where} refused the request: {_words(error)}") from error
        except (ValueError, KeyError, TypeError) as error:  # what LangChain raises of an answer it cannot read
            raise LLMUnavailable(
                f"{where} does not answer as an OpenAI-compatible endpoint: {_words(error)}"
            ) from error


def served_chat(base_url: str, model: str, key: str, timeout_s: float) -> ServedChat:
    """A chat model at that endpoint. One try per call: a failing server must not hold up the turn twice."""
    return ServedChat(
        base_url=base_url,
        model=model,
        api_key=SecretStr(key),
        timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s)),
        max_retries=0,
        stream_usage=True,
    )


def list_models(base_url: str, key: str) -> list[str]:
    """Names of the models at the endpoint, in its order.

    Raises:
        LLMUnavailable: it does not answer, or not as an OpenAI-compatible endpoint does.
    """
    url = f"{base_url.rstrip('/')}/models"
    try:
        answer = httpx.get(url, headers={"Authorization": f"Bearer {key}"}, timeout=PROBE_S, follow_redirects=True)
        answer.raise_for_status()
        return [str(model["id"]) for model in answer.json()["data"]]
    except httpx.HTTPStatusError as error:
        code = error.response.status_code
        remedy = "the key is refused" if code in (401, 403) else "does the address end in /v1?"
        raise LLMUnavailable(f"{url} answered {code} {error.response.reason_phrase}: {remedy}") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise LLMUnavailable(f"{url} does not answer: {_words(error)}. Is the server running?") from error
    except (ValueError, KeyError, TypeError) as error:
        raise LLMUnavailable(f"{url} does not answer as an OpenAI-compatible endpoint: no list of models") from error


def _options(kwargs: dict[str, Any]) -> dict[str, Any]:
    """``response_format`` goes into the body as it is: given by name, the client would parse the answer itself."""
    if "response_format" not in kwargs:
        return kwargs
    rest = {name: value for name, value in kwargs.items() if name != "response_format"}
    return rest | {"extra_body": {"response_format": kwargs["response_format"]}}


def _seconds(timeout: Any) -> str:
    value = timeout.read if isinstance(timeout, httpx.Timeout) else timeout
    return f"{value:g}" if isinstance(value, int | float) else "the set time"


def _words(error: Exception) -> str:
    return clean(str(error), 300) or type(error).__name__
