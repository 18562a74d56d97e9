"""The candidates of a wish: what the agent's tools put in front, before any reranking.

A turn of tier "none" is run as it is in service; then its plan is run once more on a fresh set of candidates, so that
the whole ranking with its scores is seen and not only what was shown.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from convrec.agent.build import open_agent
from convrec.agent.turn import Agent
from convrec.agent.turn_state import Turn
from convrec.core.items import ItemList
from convrec.core.settings import Settings
from convrec.eval.wishes.labels import Wish
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


def drafted(agent: Agent, wish: Wish, k: int, seed: int) -> dict[str, Any] | None:
    """A line of a file of graded wishes that lacks the grades; None when the agent makes no list for the wish.

    The candidates are in a drawn order, so that who grades them sees no ranking; the scores keep it.
    """
    pool = pooled(agent, f"wish-{wish.id}", wish.turns, k)
    if pool is None or len(pool.ranked) < 2:
        return None
    candidates: list[dict[str, Any]] = [
        {"item": item.id, "label": item.label, "grade": None, "score": round(score, 6)}
        for item, score in zip(agent.catalogue.items(pool.ranked.rows), pool.ranked.scores.tolist(), strict=True)
    ]
    random.Random(f"{seed} {wish.id}").shuffle(candidates)  # noqa: S311 - an order to grade in
    return {**wish.model_dump(mode="json"), "asked": pool.asked, "candidates": candidates}


def pooled(agent: Agent, name: str, turns: Sequence[str], k: int) -> Pool | None:
    """What the last turn of a conversation has in front; None when it makes no list.

    ``name``: of the user and the conversation, so that each wish is a user of its own.
    """
    seen: list[Turn] = []
    agent.observer = seen.append
    for text in turns:
        for _ in agent.turn(text, user=name, session_id=name, approval="off"):
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
