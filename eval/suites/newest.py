"""The newest statement wins, however many conversations lie between. After PersonaMem (COLM 2025, arXiv 2504.14225)."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from convrec.eval.scenarios import phrases as p
from convrec.eval.scenarios.model import Constraint
from convrec.eval.suites.base import Case, Context, Outcome, Suite, Threshold, breaking, talking
from convrec.eval.suites.probes import DISTRACTORS

BETWEEN = (0, 5, 20)
"""Conversations between the two statements, and as many after them."""


@dataclass(frozen=True, slots=True)
class Change:
    name: str
    old: str
    new: str
    now: Constraint
    probe: str


CHANGES = (
    Change(
        "years-newer",
        "Always only films from before 1970.",
        "From now on always only films from 2000 or later.",
        p.since(2000),
        "A comedy, please.",
    ),
    Change(
        "years-older",
        "Always only films from 2000 or later.",
        "From now on always only films from before 1970.",
        p.before(1970),
        "A drama, please.",
    ),
    Change(
        "length-longer",
        "Always films under 90 minutes.",
        "From now on always films over 120 minutes.",
        p.at_least(120),
        "A thriller, please.",
    ),
    Change(
        "length-shorter",
        "Always films over 120 minutes.",
        "From now on always films under 90 minutes.",
        p.at_most(90),
        "A comedy, please.",
    ),
    Change(
        "horror-back",
        "Never recommend horror films.",
        "I changed my mind: I love horror films now.",
        p.genre("Horror"),
        "A horror film, please.",
    ),
    Change(
        "musicals-gone",
        "I love musicals.",
        "I hate musicals now.",
        p.not_genre("Musical"),
        "A romance from the 1950s, please.",
    ),
    Change(
        "westerns-gone",
        "I like westerns.",
        "I don't like westerns any more.",
        p.not_genre("Western"),
        "A film from the 1950s, please.",
    ),
    Change(
        "certificate-up", "Always rated PG or lower.", "From now on always rated R.", p.rated("R"), "A comedy, please."
    ),
    Change(
        "certificate-down",
        "Always rated R.",
        "From now on always rated PG or lower.",
        p.rated("G", "PG"),
        "A comedy, please.",
    ),
    Change(
        "origin", "Always French films.", "From now on always Japanese films.", p.origin("Japanese"), "A drama, please."
    ),
)


def _play(context: Context, change: Change, between: int) -> Outcome:
    rng = context.rng("newest", change.name, between)
    with talking(context.subject, f"newest-{change.name}-{between}") as talk:
        session = 1
        talk.say(change.old, session)
        for _ in range(between):
            session += 1
            talk.say(rng.choice(DISTRACTORS), session)
        session += 1
        talk.say(change.new, session)
        for _ in range(between):
            session += 1
            talk.say(rng.choice(DISTRACTORS), session)
        reply = talk.say(change.probe, session + 1)
        bad = breaking(reply, change.now, context.records)
        right = bool(reply.items) and not bad and not reply.relaxed
        why = f"{', '.join(bad[:3])} against “{change.now.say[0]}”" if bad else "no list, or the newer wish was let go"
        return talk.outcome({"newest": float(right), f"newest_after_{between}": float(right)}, [] if right else [why])


def _cases(context: Context, stack: ExitStack) -> list[Case]:
    def case(change: Change, between: int) -> Case:
        what = f"{change.old} … {change.new} … {change.probe}"
        return Case(f"{change.name}/{between:02d}", change.name, what, lambda: _play(context, change, between))

    chosen = CHANGES[:3] if context.small else CHANGES
    return [case(change, n) for change in chosen for n in (BETWEEN[:1] if context.small else BETWEEN)]


SUITE = Suite(
    name="newest",
    title="The newest statement wins",
    source="PersonaMem, arXiv 2504.14225",
    cases=_cases,
    thresholds=(Threshold("newest", ">=", 0.95, "the list obeys the newer of two statements that exclude each other"),),
)
