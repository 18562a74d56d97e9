"""Does a preference said in turn 1 hold at turns 10 and 50? After PrefEval (ICLR 2025, arXiv 2502.09597)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from convrec.eval.suites.base import Case, Context, Outcome, Suite, Threshold, breaking, talking
from convrec.eval.suites.probes import DISTRACTORS, LASTING, Stated

PROBE_TURNS = (10, 50)
RUNS = 2
"""Conversations per preference, each with its own wording and its own turns between."""


def _play(context: Context, stated: Stated, run: int, turns: tuple[int, ...]) -> Outcome:
    rng = context.rng("preference", stated.name, run)
    probes = [rng.choice(stated.probes) for _ in turns]
    between = [text for text in DISTRACTORS if text not in stated.contradicted_by]
    metrics: dict[str, float] = {}
    problems: list[str] = []
    with talking(context.subject, f"preference-{stated.name}-{run}") as talk:
        talk.say(rng.choice(stated.say))
        lists = broken_lists = 0
        for turn in range(2, turns[-1] + 1):
            probed = turn in turns
            reply = talk.say(probes[turns.index(turn)] if probed else rng.choice(between))
            bad = breaking(reply, stated.means, context.records)
            lists += bool(reply.items)
            broken_lists += bool(bad)
            if bad:
                problems.append(f"turn {turn}: {', '.join(bad[:3])} against “{stated.means.say[0]}”")
            if probed:
                metrics[f"obeyed_at_{turn}"] = float(bool(reply.items) and not bad)
                metrics[f"answered_at_{turn}"] = float(bool(reply.items))
        metrics["lists_obeyed"] = 1 - broken_lists / lists if lists else 1.0
        outcome = talk.outcome(metrics, problems)
    outcome.metrics["tempting"] = _tempting(context, stated, run, probes)
    return outcome


def _tempting(context: Context, stated: Stated, run: int, probes: list[str]) -> float:
    """Share of the probes that bring an item against the preference to a user who never stated it."""
    tempted = 0
    for number, probe in enumerate(probes):
        with talking(context.subject, f"preference-control-{stated.name}-{run}-{number}") as talk:
            tempted += bool(breaking(talk.say(probe), stated.means, context.records))
    return tempted / len(probes)


def _cases(context: Context, stack: ExitStack) -> list[Case]:
    chosen = LASTING[:3] if context.small else LASTING
    turns = PROBE_TURNS[:1] if context.small else PROBE_TURNS

    def play(stated: Stated, run: int) -> Callable[[], Outcome]:
        return lambda: _play(context, stated, run, turns)

    return [
        Case(f"{stated.name}/{run}", stated.name, stated.means.say[0], play(stated, run))
        for stated in chosen
        for run in range(1 if context.small else RUNS)
    ]


SUITE = Suite(
    name="preference",
    title="Preference following: said in turn 1, probed at turns 10 and 50",
    source="PrefEval, arXiv 2502.09597",
    cases=_cases,
    thresholds=(
        Threshold("obeyed_at_10", ">=", 1.0, "a list without a violation, every time"),
        Threshold("obeyed_at_50", ">=", 1.0, "a list without a violation, every time"),
        Threshold("lists_obeyed", ">=", 1.0, "no violation on the lists between either"),
        Threshold("tempting", ">=", 0.5, "the probes must be able to fail: half tempt an agent that was not told"),
    ),
)
