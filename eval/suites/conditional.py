"""Conditional instructions: those that apply are followed, the others leave the list alone. After NLSI (NAACL 2024
Findings, arXiv 2311.09796)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from convrec.eval.scenarios import phrases as p
from convrec.eval.scenarios.model import Constraint
from convrec.eval.suites.base import Case, Context, Outcome, Suite, Threshold, breaking, share, talking


@dataclass(frozen=True, slots=True)
class Instruction:
    name: str
    say: tuple[str, ...]
    means: Constraint
    applies: tuple[str, ...]
    """Requests it applies to."""


INSTRUCTIONS = (
    Instruction(
        "comedy-british",
        ("When I ask for a comedy, only British ones.", "If I want a comedy, always make it British."),
        p.origin("British"),
        ("A comedy, please.", "I feel like a comedy from the 1990s."),
    ),
    Instruction(
        "western-old",
        ("When I ask for a western, only ones from before 1970.", "If it is a western, always one from before 1970."),
        p.before(1970),
        ("A western, please.", "Recommend me a western."),
    ),
    Instruction(
        "thriller-short",
        ("When I ask for a thriller, nothing over 110 minutes.", "For thrillers always at most 110 minutes."),
        p.at_most(110),
        ("A thriller, please.", "I want a thriller from the 2000s."),
    ),
    Instruction(
        "children-animation",
        ("When I watch with my kids, only animated films.", "If the kids watch with me, always animated films."),
        p.genre("Animation"),
        ("Something to watch with my kids.", "A film for me and my kids, please."),
    ),
    Instruction(
        "horror-new",
        ("When I ask for horror, only films from 2000 or later.", "For horror films always from 2000 or later."),
        p.since(2000),
        ("A horror film, please.", "Recommend a horror film for tonight."),
    ),
    Instruction(
        "romance-no-comedy",
        ("When I ask for a romance, no comedies.", "If I want a romance, never comedies."),
        p.not_genre("Comedy"),
        ("A romance, please.", "I'd like a romance from the 1980s."),
    ),
)
UNRELATED = (
    "A documentary, please.",
    "A sci-fi film from the 1980s.",
    "Something by Akira Kurosawa.",
    "A biopic, please.",
)
"""Requests that none of the instructions is about."""


def _applies(context: Context, one: Instruction, probe: str, run: int) -> Outcome:
    """A user with two instructions asks for what one of them is about."""
    rng = context.rng("conditional", one.name, probe)
    other = rng.choice([i for i in INSTRUCTIONS if i is not one])
    with talking(context.subject, f"conditional-{one.name}-{run}") as talk:
        for instruction in rng.sample([one, other], 2):
            talk.say(rng.choice(instruction.say))
        reply = talk.say(probe, session=2)
        bad = breaking(reply, one.means, context.records)
        followed = float(bool(reply.items) and not bad)
        problems = [f"{', '.join(bad[:3])} against “{one.means.say[0]}”"] if bad else []
        # Every item bending to the other instruction would be no accident.
        bent = share(reply, other.means, context.records)
        outcome = talk.outcome({"followed": followed}, problems or ([] if reply.items else ["no list"]), bent=bent)
    with talking(context.subject, f"conditional-control-{one.name}-{run}") as control:
        held = share(control.say(probe), one.means, context.records)
    outcome.metrics["followed_untold"] = float(held == 1.0)
    return outcome


def _alone(context: Context, one: Instruction, probe: str, run: int) -> Outcome:
    """The same user asks for something else: the list must be what anybody gets."""
    rng = context.rng("conditional-unrelated", one.name, probe)
    with talking(context.subject, f"conditional-control-{one.name}-{run}") as control:
        expected = control.say(probe).items
    with talking(context.subject, f"conditional-unrelated-{one.name}-{run}") as talk:
        talk.say(rng.choice(one.say))
        reply = talk.say(probe, session=2)
        same = reply.items == expected
        problems = [] if same else [f"“{one.say[0]}” changed the list for “{probe}”"]
        return talk.outcome({"unrelated_same": float(same)}, problems)


def _cases(context: Context, stack: ExitStack) -> list[Case]:
    def play(how: Callable[[Context, Instruction, str, int], Outcome], one: Instruction, probe: str, run: int) -> Case:
        kind = how.__name__.strip("_")
        return Case(
            f"{one.name}/{kind}/{run}", one.name, f"{one.say[0]} … {probe}", lambda: how(context, one, probe, run)
        )

    chosen = INSTRUCTIONS[:2] if context.small else INSTRUCTIONS
    probes = UNRELATED[:1] if context.small else UNRELATED
    return [
        *(play(_applies, one, probe, n) for one in chosen for n, probe in enumerate(one.applies)),
        *(play(_alone, one, probe, n) for one in chosen for n, probe in enumerate(probes)),
    ]


SUITE = Suite(
    name="conditional",
    title="Conditional instructions: only those that apply are used",
    source="NLSI, arXiv 2311.09796",
    cases=_cases,
    thresholds=(
        Threshold("followed", ">=", 0.9, "an instruction that applies is followed by the whole list"),
        Threshold("unrelated_same", ">=", 1.0, "an instruction that does not apply changes nothing"),
        Threshold("followed_untold", "<=", 0.5, "the probes must be able to fail without the instruction"),
    ),
)
