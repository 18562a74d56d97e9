"""``convrec bench turn``: what a turn costs, over a fixed list of turns: seconds, calls, tokens, and what verifies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from convrec.agent.build import open_agent
from convrec.agent.events import Finished, TurnResult
from convrec.agent.turn import Agent
from convrec.core.settings import Settings, Tier
from convrec.memory.sessions import SessionStore

DIALOGUES: tuple[tuple[str, ...], ...] = (
    ("I loved Heat, something like it but from after 2005", "older ones", "why the first one?"),
    ("a funny film for a rainy evening, nothing with zombies", "a bit shorter please"),
    ("a French thriller under two hours", "without violence"),
    ("something quiet and beautiful to look at", "who directed the second one?"),
    ("films with Cate Blanchett, ideally a drama", "more of these"),
    ("hello", "what can you do?"),
    ("a smart heist film like Inside Man, no comedies", "newer"),
    ("something spooky for my kids", "not animated"),
)
"""Fixed, so that figures of different days compare: 17 turns, from a greeting to a look-up by reference."""
GOALS = {
    "embedded": {"first_event": 0.3, "plan": 2.5, "total": 5.0, "total_reranked": 9.0, "calls": 2},
    "none": {"total": 0.15},
}
"""Seconds, p50 (``first_event``: all), and calls without rerank and reflection; on 2 cores with the 1.5B, warm."""
STAGES = ("first_event", "understand", "recall", "plan", "answer", "critic", "rerank", "first_token", "reply", "total")


def open_benched(settings: Settings, tier: Tier, *, rerank: int | None) -> Agent:
    """An agent that remembers nothing afterwards. ``rerank``: candidates reranked; None: as set."""
    turn = settings.turn if rerank is None else settings.turn.model_copy(update={"rerank_top": rerank})
    memory = settings.memory.model_copy(update={"store": "memory"})
    changed = settings.model_copy(update={"tier": tier, "turn": turn, "memory": memory})
    return open_agent(changed, sessions=SessionStore(":memory:"))


def bench_turn(
    agent: Agent, *, repeats: int = 1, progress: Callable[[int, int], None] = lambda _done, _total: None
) -> dict[str, Any]:
    """Warm the agent, run every turn ``repeats`` times, each time as a new user."""
    agent.warm()
    results: list[TurnResult] = []
    total = repeats * sum(map(len, DIALOGUES))
    for repeat in range(repeats):
        for number, dialogue in enumerate(DIALOGUES):
            user = f"bench-{repeat}-{number}"
            for text in dialogue:
                events = agent.turn(text, user=user, session_id=user, approval="off")
                results += [event.result for event in events if isinstance(event, Finished)]
                progress(len(results), total)
    return figures(results)


def figures(results: Sequence[TurnResult]) -> dict[str, Any]:
    """p50 and p95 by stage over the turns that have it, apart for turns with and without rerank; means of cost."""
    reranked = [r for r in results if any(ran.tool == "rerank" for ran in r.tools)]
    plain = [r for r in results if r not in reranked]
    asked = [r for r in results if r.llm.get("calls", 0)]
    sentences = sum(r.llm.get("sentences", 0) for r in results)
    remarks = [r for r in results if r.llm.get("sentences", 0)]
    return {
        "tier": results[0].tier,
        "model": results[0].model,
        "turns": len(results),
        "seconds": {stage: found for stage in STAGES if (found := _spread(results, stage))},
        "seconds_without_rerank": _spread(plain, "total"),
        "seconds_with_rerank": _spread(reranked, "total"),
        "calls_max": max(r.llm.get("calls", 0) for r in results),
        "per_turn_with_model": {
            name: sum(r.llm.get(name, 0) for r in asked) / len(asked) if asked else 0.0
            for name in ("calls", "judging_calls", "prompt_tokens", "generated_tokens")
        },
        "reply": {
            "empty": sum(not r.text.strip() for r in results),
            "sentences": sentences,
            "sentences_verified": sum(r.llm.get("sentences_verified", 0) for r in results) / sentences
            if sentences
            else None,
            "remarks": len(remarks),
            "remarks_wholly_verified": sum(r.llm["sentences"] == r.llm["sentences_verified"] for r in remarks)
            / len(remarks)
            if remarks
            else None,
        },
        "fallbacks": sorted({f"{f.stage}: {f.instead}" for r in results for f in r.fallbacks}),
    }


def as_text(found: dict[str, Any]) -> str:
    lines = [f"{found['model']} ({found['tier']}), {found['turns']} turns"]
    lines += [
        f"{stage:12} p50 {s['p50']:.3f} s, p95 {s['p95']:.3f} s, n {s['n']}" for stage, s in found["seconds"].items()
    ]
    for name in ("seconds_without_rerank", "seconds_with_rerank"):
        if spread := found[name]:
            lines.append(
                f"{name.replace('_', ' ')}: p50 {spread['p50']:.3f} s, p95 {spread['p95']:.3f} s, n {spread['n']}"
            )
    cost, reply = found["per_turn_with_model"], found["reply"]
    lines.append("per turn with the model: " + ", ".join(f"{v:.1f} {k.replace('_', ' ')}" for k, v in cost.items()))
    share = "-" if reply["sentences_verified"] is None else f"{reply['sentences_verified']:.2f}"
    lines.append(f"sentences of the model that verify {share} of {reply['sentences']}; empty replies {reply['empty']}")
    lines += [f"fell back: {text}" for text in found["fallbacks"]]
    return "\n".join(lines)


def _spread(results: Sequence[TurnResult], stage: str) -> dict[str, float]:
    times = [r.timings[stage] for r in results if stage in r.timings]
    if not times:
        return {}
    p50, p95 = np.percentile(times, [50, 95]).round(4).tolist()
    return {"p50": p50, "p95": p95, "n": len(times)}
