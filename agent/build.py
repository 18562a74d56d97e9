"""Builds the agent from settings: the parts of every room put together."""

from __future__ import annotations

from convrec.agent.api import AgentInfo
from convrec.agent.executor import Toolbox
from convrec.agent.llm.resolve import resolve
from convrec.agent.memory_erasing import HistoryEraser
from convrec.agent.ranking import open_ranking_model
from convrec.agent.turn import Agent
from convrec.core.embedding import Embedder, HashingEmbedder
from convrec.core.errors import CatalogueError, ModelError
from convrec.core.pull import path as model_path
from convrec.core.settings import Settings, TurnSettings
from convrec.memory.embedders import NAME as EMBEDDER
from convrec.memory.embedders import MiniLMEmbedder
from convrec.memory.preferences import PreferenceMemory
from convrec.memory.session_states import Sessions
from convrec.memory.sessions import SessionStore
from convrec.memory.store import InMemoryStore, VectorStore
from convrec.tools.catalogue import Catalogue
from convrec.tools.demo import DEMO, ensure_demo
from convrec.tools.item_index import ItemIndex, open_index


def open_embedder(settings: Settings) -> Embedder:
    """The embedder of the settings.

    Raises:
        ModelError: its weights are not here; the message holds the command that pulls them.
    """
    if settings.memory.embedder == "hashing":
        return HashingEmbedder()
    folder = model_path(EMBEDDER, settings)
    if folder is None:
        raise ModelError(
            f"the embedding model {EMBEDDER} is not here. Run: convrec models pull {EMBEDDER} "
            "(or set CONVREC_MEMORY__EMBEDDER=hashing to do without)"
        )
    return MiniLMEmbedder(folder)


def open_catalogue(settings: Settings) -> Catalogue:
    """The catalogue of the settings; the demo one is prepared on first use."""
    if settings.catalogue == DEMO:
        return Catalogue.open(ensure_demo(settings))
    return Catalogue.open(settings.catalogues / settings.catalogue)


def open_store(settings: Settings, embedder: Embedder) -> VectorStore:
    if settings.memory.store == "memory":
        return InMemoryStore()
    if settings.memory.url is not None:
        from convrec.memory.chroma_server import ChromaServerStore  # noqa: PLC0415 - heavy

        return ChromaServerStore(settings.memory.url, embedder)
    from convrec.memory.chroma_store import ChromaStore  # noqa: PLC0415 - heavy

    return ChromaStore(settings.memory_path, embedder)


def open_sessions(settings: Settings) -> Sessions:
    """Where conversations are kept: a file in the home folder, or PostgreSQL."""
    days = settings.sessions.retention_days
    if settings.sessions.url is not None:
        from convrec.memory.sessions_postgres import PostgresSessionStore  # noqa: PLC0415 - heavy

        return PostgresSessionStore(settings.sessions.url, retention_days=days)
    return SessionStore(settings.sessions_path, retention_days=days)


def open_agent(settings: Settings, *, sessions: Sessions | None = None) -> Agent:
    """A ready agent. Models are loaded at first use or by ``agent.warm()``.

    ``sessions``: where conversations are kept, the agent's to close; None: where the settings say.

    Raises:
        ConvrecError: what is missing, with the command that brings it.
    """
    resolved = resolve(settings)
    catalogue = open_catalogue(settings)
    embedder = open_embedder(settings)
    note, index = resolved.note, open_index_of(catalogue, embedder)
    if index is None:
        note += f"; no semantic search: catalogue {catalogue.name} has no embedding index (run: convrec setup)"
    model = open_ranking_model(settings, catalogue)
    if model is not None:
        note += f"; ranks with {model.name} too ({model.covered():,} {catalogue.schema.item_noun_plural})"
    info = AgentInfo(
        tier=resolved.tier,
        model=resolved.llm.name if resolved.llm else "rules",
        catalogue=catalogue.name,
        items=catalogue.size,
        item_noun_plural=catalogue.schema.item_noun_plural,
        note=note,
    )
    preferences = PreferenceMemory(open_store(settings, embedder), embedder)
    preferences.on_erase(HistoryEraser(settings.home / "chat_history"))
    return Agent(
        info=info,
        catalogue=catalogue,
        preferences=preferences,
        sessions=sessions or open_sessions(settings),
        toolbox=Toolbox.build(
            catalogue,
            embedder if index is not None else None,
            index,
            rank_pack=settings.rank_pack,
            model=model,
            weight=settings.ranking.weight,
        ),
        settings=turn_settings(settings.turn, resolved.tier),
        llm=resolved.llm,
        llm_remembers=settings.memory.llm == "extract",
    )


def turn_settings(turn: TurnSettings, tier: str) -> TurnSettings:
    """How turns go with a model of that tier. The embedded one reranks only when it is told to: it takes up to ten
    seconds, and nothing that was measured speaks for it (docs/reranking.md)."""
    if tier == "embedded" and "rerank_top" not in turn.model_fields_set:
        return turn.model_copy(update={"rerank_top": 0})
    return turn


def open_index_of(catalogue: Catalogue, embedder: Embedder) -> ItemIndex | None:
    """The embedding index of a catalogue; None when there is none made with this embedder."""
    try:
        return open_index(catalogue, embedder)
    except CatalogueError:
        return None
