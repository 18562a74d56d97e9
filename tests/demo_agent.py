"""An agent on the real demo catalogue with a hashing embedder and stores in memory: real but for the models."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from convrec.agent.api import AgentInfo
from convrec.agent.events import Event, Finished, TurnResult
from convrec.agent.executor import Toolbox
from convrec.agent.llm.base import LLM
from convrec.agent.turn import Agent
from convrec.core.embedding import HashingEmbedder
from convrec.core.settings import TurnSettings, load_settings
from convrec.memory.preferences import PreferenceMemory
from convrec.memory.sessions import SessionStore
from convrec.memory.store import InMemoryStore
from convrec.tools.catalogue import Catalogue
from convrec.tools.demo import ensure_demo
from convrec.tools.item_index import build_index


@cache
def demo_catalogue() -> Catalogue:
    """Built once for the whole test run."""
    return Catalogue.open(ensure_demo(load_settings(home=Path(mkdtemp(prefix="convrec-demo-")))))


@cache
def _toolbox() -> Toolbox:
    embedder = HashingEmbedder()
    return Toolbox.build(demo_catalogue(), embedder, build_index(demo_catalogue(), embedder))


def make_agent(llm: LLM | None = None, settings: TurnSettings | None = None, drafts: str = "always") -> Agent:
    catalogue, tier = demo_catalogue(), llm.tier if llm else "none"
    return Agent(
        info=AgentInfo(tier, llm.name if llm else "rules", catalogue.name, catalogue.size, "films"),
        catalogue=catalogue,
        preferences=PreferenceMemory(InMemoryStore(), HashingEmbedder()),
        sessions=SessionStore(":memory:"),
        toolbox=_toolbox(),
        settings=(settings or TurnSettings()).model_copy(update={"drafts": drafts}),
        llm=llm,
    )


def run(agent: Agent, text: str, user: str = "ann", session: str = "s1") -> tuple[TurnResult, list[Event]]:
    events = list(agent.turn(text, user=user, session_id=session))
    last = events[-1]
    assert isinstance(last, Finished)
    return last.result, events


def ask(agent: Agent, text: str, user: str = "ann", session: str = "s1") -> TurnResult:
    return run(agent, text, user, session)[0]
