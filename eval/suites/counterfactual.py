"""Counterfactual responsiveness: flip one preference, and the list must move in its direction (CSS).

Each case plays two users who differ in one statement. The feature is what the statement is about: the share of the list
that has it must be higher for the user who asks for it than for the one who asks for its opposite.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from convrec.eval.scenarios import phrases as p
from convrec.eval.scenarios.model import Constraint
from convrec.eval.subject import Reply
from convrec.eval.suites.base import Case, Context, Outcome, Suite, Threshold, share, talking


@dataclass(frozen=True, slots=True)
class Flip:
    """``towards`` and ``away``: messages, said in turn; the last one asks for a list."""

    name: str
    feature: Constraint
    towards: tuple[str, ...]
    away: tuple[str, ...]


FLIPS = (
    Flip(
        "genre",
        p.genre("Comedy"),
        ("A comedy from the 1990s, please.",),
        ("No comedy, something from the 1990s, please.",),
    ),
    Flip("decade", p.decade(1970), ("A thriller from the 1970s, please.",), ("A thriller from the 2000s, please.",)),
    Flip("length", p.at_most(95), ("A drama under 95 minutes, please.",), ("A drama over 150 minutes, please.",)),
    Flip("origin", p.origin("French"), ("A French crime film.",), ("A crime film, not French.",)),
    Flip(
        "quality",
        p.score(85),
        ("A horror film with at least 85% from the critics.",),
        ("A horror film, ratings do not matter.",),
    ),
    Flip("certificate", p.rated("G", "PG"), ("A fantasy film rated PG or lower.",), ("A fantasy film rated R.",)),
    Flip(
        "audience", p.for_children(), ("An adventure film for my kids.",), ("An adventure film rated R, not for kids.",)
    ),
    Flip("person", p.starring("Tom Hanks"), ("A comedy with Tom Hanks.",), ("A comedy without Tom Hanks.",)),
    Flip(
        "critique-newer",
        p.since(2000),
        ("A western, please.", "Newer than 2000, please."),
        ("A western, please.", "Older than 1960, please."),
    ),
    Flip(
        "critique-funny",
        p.genre("Comedy"),
        ("A romance, please.", "Something funnier."),
        ("A romance, please.", "Something darker."),
    ),
    Flip(
        "critique-scary",
        p.genre("Horror"),
        ("A mystery, please.", "Scarier, please."),
        ("A mystery, please.", "Not scary, please."),
    ),
    Flip(
        "taste-genre",
        p.genre("Sci-Fi"),
        ("I love sci-fi films.", "What should I watch tonight?"),
        ("I hate sci-fi films.", "What should I watch tonight?"),
    ),
    Flip(
        "taste-western",
        p.genre("Western"),
        ("I love westerns.", "A film from the 1950s, please."),
        ("I hate westerns.", "A film from the 1950s, please."),
    ),
    Flip(
        "taste-horror",
        p.genre("Horror"),
        ("I love horror films.", "A film from the 1980s, please."),
        ("I don't like horror films.", "A film from the 1980s, please."),
    ),
    Flip(
        "item-liked",
        p.genre("Animation"),
        ("I loved Toy Story.", "Recommend me something like it."),
        ("I loved Heat.", "Recommend me something like it."),
    ),
    Flip(
        "item-crime",
        p.genre("Crime"),
        ("I loved Goodfellas.", "What else would I like?"),
        ("I loved Notting Hill.", "What else would I like?"),
    ),
    Flip(
        "standing",
        p.at_most(100),
        ("Always films under 100 minutes.", "A comedy, please."),
        ("Always films over 120 minutes.", "A comedy, please."),
    ),
    Flip(
        "language",
        p.wish("japanese", p.any_of("languages", "Japanese"), ("in Japanese",)),
        ("A drama in Japanese, please.",),
        ("No subtitles, please. A drama.",),
    ),
)


def _talk(context: Context, name: str, messages: tuple[str, ...]) -> tuple[Reply, Outcome]:
    with talking(context.subject, name) as talk:
        for message in messages[:-1]:
            talk.say(message)
        reply = talk.say(messages[-1])
        return reply, talk.outcome({})


def _play(context: Context, flip: Flip) -> Outcome:
    there, outcome = _talk(context, f"flip-{flip.name}-towards", flip.towards)
    back, other = _talk(context, f"flip-{flip.name}-away", flip.away)
    has, lacks = share(there, flip.feature, context.records), share(back, flip.feature, context.records)
    right = has is not None and lacks is not None and has > lacks
    both = set(there.items) | set(back.items)
    overlap = len(set(there.items) & set(back.items)) / len(both) if both else 1.0
    outcome.metrics = {"right_direction": float(right), "changed": 1 - overlap}
    if has is not None and lacks is not None:
        outcome.metrics["shift"] = has - lacks
    if not right:
        outcome.problems = [f"{flip.feature.id}: {has} of the list asked for it, {lacks} when asked against it"]
    outcome.dialogue += other.dialogue
    outcome.seconds += other.seconds
    return outcome


def _cases(context: Context, stack: ExitStack) -> list[Case]:
    def case(flip: Flip) -> Case:
        return Case(
            flip.name, flip.name, f"{' / '.join(flip.towards)} | {' / '.join(flip.away)}", lambda: _play(context, flip)
        )

    return [case(flip) for flip in (FLIPS[:4] if context.small else FLIPS)]


SUITE = Suite(
    name="counterfactual",
    title="Counterfactual responsiveness: one preference flipped",
    source="counterfactual sensitivity (CSS), see docs/suites.md",
    cases=_cases,
    thresholds=(
        Threshold("right_direction", ">=", 0.95, "the share of what was asked for is higher than when asked against"),
        Threshold("shift", ">=", 0.5, "mean difference of the shares; 1 is a whole list turned"),
    ),
)
