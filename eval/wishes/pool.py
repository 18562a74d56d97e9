"""The candidates of a wish: what the agent's tools put in front, before any reranking.

A turn of tier "none" is run as it is in service; then its plan is run once more on a fresh set of candidates, so that
the whole ranking with its scores is seen and not only what was shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convrec.agent.build import open_agent
from convrec.agent.turn import Agent
from convrec.agent.turn_state import Turn
from convrec.core.items import ItemList
from convrec.core.settings import Settings
from convrec.memory.sessions import SessionStore
from convrec.tools.candidates import Candidates


@dataclass(frozen=True, slots=True)
class Pool:
    """``asked``: the wish in the words in which a reranker is told of it. ``ranked``: the first candidates."""

    asked: str
    ranked: ItemList


def open_pooling(settings: Settings) -> Agent:
    """An agent without a model that remembers nothing afterwards.

    Raises:
        ConvrecError: what is missing (catalogue, weights of the embedder), with the command that brings it.
    """
    memory = settings.memory.model_copy(update={"store": "memory"})
    changed = settings.model_copy(update={"tier": "none", "memory": memory})
    return open_agent(changed, sessions=SessionStore(":memory:"))


def pooled(agent: Agent, name: str, turns: Sequence[str], k: int) -> Pool | None:
    """What the last turn of a conversation has in front; None when it makes no list.

    ``name``: of the user and the conversation, so that each wish is a user of its own.
    """
    seen: list[Turn] = []
    agent.observer = seen.append
    for text in turns:
        for _ in agent.turn(text, user=name, session_id=name):
            pass
    last = seen[-1]
    if last.plan.action != "recommend" or not last.items:
        return None
    bus = Candidates(rows=agent.catalogue.rows(None)[:0])
    for _ in agent.answerer.executor.run(last.plan, last.request, bus, last.reading.text):
        pass
    if bus.ranked is None:
        return None
    return Pool(agent.answerer._wish(last), bus.ranked.top(k))
