"""Feedback-loop replay: 20 rounds in which users take or leave what is recommended and say so.

Each user has a taste over genres, unknown to the agent, and chooses by a multinomial logit with position bias and an
outside option. What they say goes back in. The control user of the same taste says which film they took, but not
whether they liked it. After round 15 nobody gives an opinion any more: what is then left of the gain is persistence.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from convrec.core.items import Item
from convrec.eval.suites.base import Case, Context, Outcome, Suite, Talk, Threshold, talking

ROUNDS = 20
OPEN_ROUNDS = 15
"""Rounds in which opinions are given."""
USERS = 20
GENRES = (
    "Action",
    "Animation",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Horror",
    "Romance",
    "Sci-Fi",
    "War",
    "Western",
)
LIKED, DISLIKED = 3, 3
"""Genres a user likes and dislikes, of weight 1 and -1."""
NOISE = 0.3
"""Standard deviation of what a film is to a user beside its genres."""
TEMPERATURE = 0.4
POSITION = 0.3
"""Utility lost per unit of log place: people look at the top first."""
SAYS_DISLIKE = 0.5
"""How often somebody who takes nothing says what was wrong."""
REQUESTS = (
    "What should I watch tonight?",
    "Recommend something, please.",
    "A film for this evening?",
    "Any suggestion for me?",
)


@dataclass(frozen=True, slots=True)
class Taste:
    """What a film is worth to one user, about -1.5..1.5; 0 is taking nothing."""

    seed: str
    weights: Mapping[str, float]

    @classmethod
    def drawn(cls, seed: str) -> Taste:
        genres = random.Random(seed).sample(GENRES, LIKED + DISLIKED)  # noqa: S311
        return cls(seed, {genre: 1.0 if n < LIKED else -1.0 for n, genre in enumerate(genres)})

    def utility(self, item: Item) -> float:
        genres = item.tags("genres")
        base = sum(self.weights.get(g, 0.0) for g in genres) / math.sqrt(len(genres)) if genres else 0.0
        return base + random.Random(f"{self.seed}/{item.id}").gauss(0.0, NOISE)  # noqa: S311

    def choice(self, slate: Sequence[Item], rng: random.Random) -> int | None:
        """The place (0-based) of the item that is taken, None for none of them."""
        values = [self.utility(item) - POSITION * math.log(place) for place, item in enumerate(slate, start=1)]
        weights = [math.exp(value / TEMPERATURE) for value in (*values, 0.0)]
        drawn = rng.choices(range(len(weights)), weights)[0]
        return drawn if drawn < len(slate) else None


@dataclass(slots=True)
class _Round:
    gain: float
    """Mean utility of the list."""
    diversity: float
    taken: bool
    ids: tuple[str, ...]


def _rounds(context: Context, talk: Talk, taste: Taste, *, opinions: bool, rounds: int, name: str) -> list[_Round]:
    rng = context.rng("feedback-loop", name)
    out = []
    for number in range(1, rounds + 1):
        reply = talk.say(REQUESTS[number % len(REQUESTS)], session=number)
        slate = [context.records[i] for i in reply.items if i in context.records]
        taken = taste.choice(slate, rng) if slate else None
        gain = float(np.mean([taste.utility(item) for item in slate])) if slate else 0.0
        out.append(_Round(gain, diversity(slate), taken is not None, reply.items))
        tells = opinions and number <= min(OPEN_ROUNDS, rounds - rounds // 4)
        if taken is not None:
            liked = f"I watched {slate[taken].label} and loved it." if taste.utility(slate[taken]) > 0 else ""
            told = liked or f"I watched {slate[taken].label} and did not like it."
            talk.say(told if tells else f"I have seen {slate[taken].label}.", session=number)
        elif slate and tells and rng.random() < SAYS_DISLIKE:
            worst = min(slate, key=taste.utility)
            talk.say(f"I don't like {worst.label}.", session=number)
    return out


def diversity(items: Sequence[Item]) -> float:
    """Mean over pairs of 1 - Jaccard overlap of their genres, 0..1; 0 for fewer than two items."""
    pairs = list(combinations([set(item.tags("genres")) for item in items], 2))
    return float(np.mean([1 - len(a & b) / len(a | b) if a | b else 0.0 for a, b in pairs])) if pairs else 0.0


def exposure_gini(lists: Sequence[Sequence[str]]) -> float:
    """Gini coefficient of how often each shown item is shown: 0 all alike, near 1 one item has it all. No item: 0."""
    counts = np.sort(np.asarray(list(Counter(i for listed in lists for i in listed).values()), dtype=np.float64))
    if not len(counts):
        return 0.0
    n = len(counts)
    return float((2 * np.arange(1, n + 1) - n - 1) @ counts / (n * counts.sum()))


def _play(context: Context, number: int, rounds: int) -> Outcome:
    taste = Taste.drawn(f"{context.seed}/taste/{number}")
    with talking(context.subject, f"loop-{number}") as talk:
        told = _rounds(context, talk, taste, opinions=True, rounds=rounds, name=f"told/{number}")
        with talking(context.subject, f"loop-control-{number}") as other:
            untold = _rounds(context, other, taste, opinions=False, rounds=rounds, name=f"told/{number}")
        quarter = max(rounds // 4, 1)
        lift = [a.gain - b.gain for a, b in zip(told, untold, strict=True)]
        late, after = float(np.mean(lift[-2 * quarter : -quarter])), float(np.mean(lift[-quarter:]))
        metrics = {
            "gain": float(np.mean(lift[1:])),
            "gain_late": late,
            "gain_after": after,
            "taken": float(np.mean([r.taken for r in told])),
            "taken_control": float(np.mean([r.taken for r in untold])),
            "diversity_first": float(np.mean([r.diversity for r in told[:quarter]])),
            "diversity_last": float(np.mean([r.diversity for r in told[-quarter:]])),
            "diversity_control": float(np.mean([r.diversity for r in untold[-quarter:]])),
            "answered": float(np.mean([bool(r.ids) for r in told])),
        }
        outcome = talk.outcome(metrics)
    outcome.extra = {
        "lift": [round(value, 6) for value in lift],
        "told": [list(r.ids) for r in told],
        "untold": [list(r.ids) for r in untold],
        "taste": dict(taste.weights),
    }
    return outcome


def _figures(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Over all users: persistence, and how exposure is spread with and without feedback."""
    played = [r for r in records if "told" in r]
    if not played:
        return {}
    late = float(np.mean([r["metrics"]["gain_late"] for r in played]))
    after = float(np.mean([r["metrics"]["gain_after"] for r in played]))
    last = float(np.mean([r["metrics"]["diversity_last"] for r in played]))
    control = float(np.mean([r["metrics"]["diversity_control"] for r in played]))
    out = {
        "diversity_kept": last / control if control else 0.0,
        "gini": exposure_gini([ids for r in played for ids in r["told"]]),
        "gini_control": exposure_gini([ids for r in played for ids in r["untold"]]),
        "items_shown": float(len({i for r in played for ids in r["told"] for i in ids})),
        "items_shown_control": float(len({i for r in played for ids in r["untold"] for i in ids})),
    }
    if late > 0:
        out["persistence"] = after / late
    rounds = max(len(r["lift"]) for r in played)
    return out | {f"lift_round_{n + 1:02d}": float(np.mean([r["lift"][n] for r in played])) for n in range(rounds)}


def _cases(context: Context, stack: ExitStack) -> list[Case]:
    def case(number: int, rounds: int) -> Case:
        name = f"user-{number:02d}"
        return Case(name, name, f"user {number}", lambda: _play(context, number, rounds))

    users, rounds = (2, 8) if context.small else (USERS, ROUNDS)
    return [case(n, rounds) for n in range(1, users + 1)]


SUITE = Suite(
    name="feedback-loop",
    title="Feedback loop: 20 rounds of choices that go back in",
    source="feedback-loop replay, see docs/suites.md",
    cases=_cases,
    figures=_figures,
    thresholds=(
        Threshold("gain", ">=", 0.1, "lists are worth more to users who say what they liked than to those who do not"),
        Threshold("persistence", ">=", 0.7, "what was gained is kept when opinions stop"),
        Threshold("diversity_kept", ">=", 0.7, "genre diversity of a list against that without feedback"),
        Threshold("answered", ">=", 1.0, "a list in every round"),
    ),
)
