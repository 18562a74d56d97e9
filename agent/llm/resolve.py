"""Which language model answers: the served one, the embedded one, or none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convrec.agent.llm.base import LLM
from convrec.core.errors import LLMError, LLMUnavailable, MissingExtraError
from convrec.core.extras import installed
from convrec.core.pull import path as model_path
from convrec.core.settings import Settings

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel


@dataclass(frozen=True, slots=True)
class Resolved:
    llm: LLM | None
    tier: str
    note: str
    """Which tier was taken and why, in words."""


def resolve(settings: Settings) -> Resolved:
    """The tier of the settings; ``auto`` takes the first that is there and says which and why. No model is loaded.

    Raises:
        LLMUnavailable, MissingExtraError: a tier that was asked for by name is not there; never another one instead.
    """
    match settings.tier:
        case "none":
            return Resolved(None, "none", "rules only, as asked")
        case "served":
            return Resolved(served(settings), "served", f"served at {settings.llm.base_url}, as asked")
        case "embedded":
            return Resolved(embedded(settings), "embedded", "embedded model, as asked")
    why: list[str] = []
    if settings.llm.base_url is not None:
        try:
            return Resolved(served(settings), "served", f"an endpoint answers at {settings.llm.base_url}")
        except (LLMError, MissingExtraError) as error:
            why.append(f"served: {error}")
    else:
        why.append("served: no CONVREC_LLM__BASE_URL set")
    try:
        return Resolved(embedded(settings), "embedded", f"embedded model is here ({'; '.join(why)})")
    except (LLMError, MissingExtraError) as error:
        why.append(f"embedded: {error}")
    return Resolved(None, "none", f"rules only ({'; '.join(why)})")


def served(settings: Settings) -> LLM:
    """The endpoint of the settings, once it has answered."""
    base_url = settings.llm.base_url
    if base_url is None:
        raise LLMUnavailable("tier served needs an endpoint. Set CONVREC_LLM__BASE_URL=http://127.0.0.1:8000/v1")
    for library in ("langchain_core", "langchain_openai"):
        if not installed(library):
            raise MissingExtraError(library, "served-llm", "a served language model")
    from convrec.agent.llm import openai_compatible as adapter  # noqa: PLC0415 - heavy

    key = os.environ.get(settings.llm.api_key_env, "none")
    names = adapter.list_models(base_url, key)
    model = settings.llm.model or (names[0] if names else "")
    if not model:
        raise LLMUnavailable(f"{base_url} serves no model")
    if names and model not in names:
        raise LLMUnavailable(f"{base_url} does not serve {model!r}; it has: {', '.join(names[:10])}")
    return LLM(
        name=model,
        tier="served",
        load=lambda: adapter.chat_model(base_url, model, key, settings.llm.timeout_s),
        map_error=adapter.map_error,
        schema_format=adapter.schema_format,
    )


def embedded(settings: Settings) -> LLM:
    """The embedded model of the settings. It is loaded at first use."""
    name = settings.llm.embedded_model
    for library in ("langchain_core", "xllamacpp"):
        if not installed(library):
            raise MissingExtraError(library, "local-llm", "the embedded language model")
    file = model_path(name, settings)
    if file is None:
        raise LLMUnavailable(f"embedded model {name} is not here. Run: convrec models pull {name}")
    holder: list[Any] = []

    def load() -> BaseChatModel:
        from convrec.agent.llm.xllamacpp_chat import XllamacppChat  # noqa: PLC0415 - heavy

        model = XllamacppChat(
            path=file,
            threads=settings.llm.threads or os.cpu_count() or 1,
            context=settings.llm.context,
            timeout_s=settings.llm.timeout_s,
        )
        holder[:] = [model]
        return model

    def shutdown() -> None:
        for model in holder:
            model.stop()
        holder.clear()

    return LLM(
        name=name,
        tier="embedded",
        load=load,
        map_error=_map_error,
        schema_format=_grammar,
        shutdown=shutdown,
    )


def _grammar(schema: Mapping[str, Any]) -> dict[str, Any]:
    from convrec.agent.llm.xllamacpp_chat import compact_grammar  # noqa: PLC0415 - heavy

    return compact_grammar(schema)


def _map_error(error: Exception) -> LLMError | None:
    from convrec.agent.llm.xllamacpp_chat import map_error  # noqa: PLC0415 - heavy

    return map_error(error)
