"""Which language model answers: a served one, the embedded one, or none."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from convrec.agent.llm.base import LLM
from convrec.core.errors import LLMUnavailable, MissingExtraError, SettingsError
from convrec.core.extras import installed
from convrec.core.pull import path as model_path
from convrec.core.registry import entry
from convrec.core.settings import Settings

if TYPE_CHECKING:
    from convrec.agent.llm.transformers_chat import TransformersChat
    from convrec.agent.llm.xllamacpp_chat import XllamacppChat

SERVED_CONCURRENCY = 8
"""Calls sent to an endpoint at once; servers batch them."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """The model that answers, if any."""

    llm: LLM | None
    tier: str
    """served | embedded | none"""
    note: str
    """Which tier was taken and why the ones before it were not, in words."""


def resolve(settings: Settings) -> Resolved:
    """The tier of the settings; ``auto`` takes the first that is there. No model is loaded yet.

    Raises:
        LLMUnavailable, MissingExtraError: a tier that was asked for by name is not there; never another one instead.
        UnknownModelError, SettingsError: the embedded model of the settings is none.
    """
    match settings.tier:
        case "none":
            return Resolved(None, "none", "rules and templates only, as asked")
        case "served":
            llm = served(settings)
            return Resolved(llm, "served", f"{llm.name} at {settings.llm.base_url}, as asked")
        case "embedded":
            llm = embedded(settings)
            return Resolved(llm, "embedded", f"{llm.name} in this process, as asked")
        case "auto":
            return _first(settings)


def _first(settings: Settings) -> Resolved:
    passed_over: list[str] = []
    if settings.llm.base_url is None:
        passed_over.append("no served model is set (CONVREC_LLM__BASE_URL)")
    else:
        try:
            llm = served(settings)
        except (LLMUnavailable, MissingExtraError) as error:
            passed_over.append(f"no served model: {error}")
        else:
            return Resolved(llm, "served", f"{llm.name} at {settings.llm.base_url}")
    try:
        llm = embedded(settings)
    except (LLMUnavailable, MissingExtraError) as error:
        passed_over.append(f"no embedded model: {error}")
    else:
        return Resolved(llm, "embedded", f"{llm.name} in this process; {'; '.join(passed_over)}")
    return Resolved(None, "none", f"rules and templates only; {'; '.join(passed_over)}")


def served(settings: Settings) -> LLM:
    """The model at the endpoint of the settings, which has been asked for its list of models.

    Raises:
        LLMUnavailable: no endpoint is set, it does not answer, or it has no such model.
        MissingExtraError: the client library is not installed.
    """
    base_url = settings.llm.base_url
    if base_url is None:
        raise LLMUnavailable(
            "tier 'served' needs an OpenAI-compatible endpoint. Set CONVREC_LLM__BASE_URL, "
            "for example http://127.0.0.1:8000/v1, or choose another tier"
        )
    _need(("langchain_core", "langchain_openai"), "served-llm", "a served language model")
    from convrec.agent.llm.openai_compatible import list_models, served_chat  # noqa: PLC0415 - heavy

    key = os.environ.get(settings.llm.api_key_env) or "none"
    names = list_models(base_url, key)
    if not names:
        raise LLMUnavailable(f"{base_url} serves no model")
    model = settings.llm.model or names[0]
    if model not in names:
        raise LLMUnavailable(
            f"{base_url} does not serve {model!r} (CONVREC_LLM__MODEL). It has: {', '.join(names[:10])}"
        )
    timeout_s = settings.llm.timeout_s
    return LLM(
        lambda: served_chat(base_url, model, key, timeout_s),
        name=model,
        tier="served",
        timeout_s=timeout_s,
        concurrency=SERVED_CONCURRENCY,
    )


def embedded(settings: Settings) -> LLM:
    """The embedded model of the settings, loaded at first use.

    Raises:
        LLMUnavailable: its file is not pulled.
        MissingExtraError: xllamacpp is not installed.
        UnknownModelError, SettingsError: the setting names no language model.
    """
    name = settings.llm.embedded_model
    if settings.llm.runtime == "transformers":
        return _transformers(settings)
    if entry(name).kind != "llm-gguf":
        raise SettingsError(f"CONVREC_LLM__EMBEDDED_MODEL = {name!r} is no language model. See: convrec models list")
    _need(("langchain_core", "xllamacpp"), "local-llm", "the embedded language model")
    file = model_path(name, settings)
    if file is None:
        raise LLMUnavailable(f"the model {name} is not here. Run: convrec models pull {name}")

    def load() -> XllamacppChat:
        from convrec.agent.llm.xllamacpp_chat import XllamacppChat  # noqa: PLC0415 - heavy

        options = settings.llm
        return XllamacppChat(
            model_path=file, threads=options.threads, context=options.context, timeout_s=options.timeout_s
        )

    return LLM(load, name=name, tier="embedded", timeout_s=settings.llm.timeout_s)


def _transformers(settings: Settings) -> LLM:
    """A model through transformers, loaded at first use."""
    _need(("langchain_core", "transformers", "torch"), "transformers-llm", "a language model through transformers")
    options = settings.llm

    def load() -> TransformersChat:
        from convrec.agent.llm.transformers_chat import TransformersChat  # noqa: PLC0415 - heavy

        return TransformersChat(source=options.embedded_model, context=options.context, timeout_s=options.timeout_s)

    return LLM(load, name=Path(options.embedded_model).name, tier="embedded", timeout_s=options.timeout_s)


def _need(libraries: tuple[str, ...], extra: str, what_for: str) -> None:
    for library in libraries:
        if not installed(library):
            raise MissingExtraError(library, extra, what_for)
