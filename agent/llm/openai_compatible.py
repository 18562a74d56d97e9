"""The adapter of OpenAI-compatible endpoints: vLLM first, also Ollama, llama.cpp's server, hosted services."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
from convrec.core.errors import LLMError, LLMTimeout, LLMUnavailable
from convrec.core.extras import require
from langchain_core.language_models.chat_models import BaseChatModel
from pydantic import SecretStr

PROBE_TIMEOUT_S = 3.0


def list_models(base_url: str, key: str) -> list[str]:
    """Model names at the endpoint.

    Raises:
        LLMUnavailable: it does not answer, or not as an OpenAI-compatible endpoint does.
    """
    url = f"{base_url.rstrip('/')}/models"
    try:
        answer = httpx.get(url, headers={"Authorization": f"Bearer {key}"}, timeout=PROBE_TIMEOUT_S)
        answer.raise_for_status()
        return [str(entry["id"]) for entry in answer.json()["data"]]
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
        raise LLMUnavailable(f"no OpenAI-compatible endpoint answers at {url}: {error}") from error


def chat_model(base_url: str, model: str, key: str, timeout_s: float) -> BaseChatModel:
    """A LangChain chat model at that endpoint. ``BaseChatOpenAI`` keeps to the parameters every server knows."""
    module = require("langchain_openai.chat_models.base", "served-llm", "a served language model")
    made: BaseChatModel = module.BaseChatOpenAI(
        base_url=base_url, model=model, api_key=SecretStr(key), timeout=timeout_s, max_retries=1, stream_usage=True
    )
    return made


def schema_format(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Structured output as vLLM, llama.cpp and OpenAI take it."""
    inner = {"name": "answer", "schema": dict(schema), "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": inner}}


def map_error(error: Exception) -> LLMError | None:
    openai = require("openai", "served-llm", "a served language model")
    if isinstance(error, openai.APITimeoutError):
        return LLMTimeout(f"the served model did not answer in time: {error}")
    if isinstance(error, openai.OpenAIError | httpx.HTTPError):
        return LLMUnavailable(f"the served model failed: {error}")
    return None
