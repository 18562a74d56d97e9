"""``convrec bench ranking``: what a trained recommender in the chat's ranking costs a turn, in CPU time."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from convrec.core.settings import Settings
from convrec.eval.bench_turn import open_benched

DIALOGUE = (
    "hello",
    "Something like Heat",
    "a bit newer please",
    "I loved The Town",
    "yes, something like it",
    "none of these, rather with a good twist",
    "who directed the first one?",
    "now a funny movie for the whole family",
    "no cartoons",
    "anything else?",
)
"""Ten turns of one conversation: lists, feedback, a look-up, a change of subject."""


def bench_ranking(
    settings: Settings, folder: Path, *, repeats: int = 5, progress: Callable[[int, int], None] = lambda _d, _t: None
) -> dict[str, Any]:
    """The dialogue with and without the model, rules alone; CPU time of the whole process, milliseconds a turn, the
    median of ``repeats`` runs. ``added``: the differences, turn by turn; ``load_s``: CPU time of loading the model."""
    costs: dict[str, list[float]] = {}
    load = 0.0
    done = 0
    for which, model in (("without", None), ("with", folder)):
        ranking = settings.ranking.model_copy(update={"model": model})
        changed = settings.model_copy(update={"ranking": ranking})
        with closing(open_benched(changed, "none", rerank=None)) as agent:
            started = time.process_time()
            if agent.toolbox.rank.model is not None:
                agent.toolbox.rank.model.warm()
                load = time.process_time() - started
            agent.warm()
            runs = []
            for repeat in range(repeats + 1):  # the first finds cold caches
                turns = []
                for text in DIALOGUE:
                    said = text + "!" * repeat  # what embeds texts remembers those it knows
                    began = time.process_time()
                    list(agent.turn(said, user=f"bench-{repeat}", session_id=f"bench-{repeat}", approval="off"))
                    turns.append(1000 * (time.process_time() - began))
                    done += 1
                    progress(done, 2 * (repeats + 1) * len(DIALOGUE))
                runs.append(turns)
        costs[which] = np.median(np.array(runs[1:]), axis=0).tolist()
    added = (np.array(costs["with"]) - np.array(costs["without"])).tolist()
    return {
        "turns": len(DIALOGUE),
        "repeats": repeats,
        "load_s": round(load, 2),
        "cpu_ms": {name: _spread(values) for name, values in (*costs.items(), ("added", added))},
        "added_by_turn_ms": [round(value, 1) for value in added],
    }


def as_text(found: dict[str, Any]) -> str:
    lines = [f"{found['turns']} turns, median of {found['repeats']} runs, CPU time"]
    lines += [f"{name:8} p50 {s['p50']:.1f} ms, p95 {s['p95']:.1f} ms" for name, s in found["cpu_ms"].items()]
    return "\n".join([*lines, f"loading it {found['load_s']:.1f} s"])


def _spread(values: list[float]) -> dict[str, float]:
    p50, p95 = np.percentile(values, [50, 95]).round(1).tolist()
    return {"p50": p50, "p95": p95}
