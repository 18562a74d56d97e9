"""Shuffle stability: the order in which the catalogue holds its items, and so in which candidates are listed, is no
reason to rank them. The same films are stored in 20 other orders; the first three of each list must stay."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TypeAlias

from convrec.eval.subject import Subject
from convrec.eval.suites.agents import agent_over, best_known, row, sample
from convrec.eval.suites.base import Case, Context, Outcome, Suite, Talk, Threshold, need_local, talking

SHUFFLES = 20
TOP = 3
Requests: TypeAlias = list[tuple[str, ...]]
REQUESTS: tuple[tuple[str, ...], ...] = (
    ("A comedy, please.",),
    ("A thriller from the 1990s.",),
    ("A drama under two hours, not French.",),
    ("A film about a family and revenge.",),
    ("Something like {0}.",),
    ("I loved {1}.", "What else would I like?"),
    ("A crime film.", "Something funnier."),
    ("A horror film.", "Anything newer than 2000?"),
    ("Recommend something.",),
    ("A sci-fi film, please.", "Seen the first one. What else?"),
)
"""Messages of each conversation; {0} and {1} are the best known films of the sample."""


def _tops(subject: Subject, requests: Requests, user: str) -> tuple[list[tuple[str, ...]], Talk]:
    """The first items of each request's last list."""
    tops = []
    with talking(subject, user) as talk:
        for number, messages in enumerate(requests, start=1):
            for message in messages:
                reply = talk.say(message, session=number)
            tops.append(reply.items[:TOP])
            subject.forget(user)  # what was liked for one request is nothing to the next
        return tops, talk


def _cases(context: Context, stack: ExitStack) -> list[Case]:
    need_local(context, "shuffle")
    schema = context.catalogue.schema
    items = sample(context.catalogue, context.seed, 200 if context.small else 600)
    known = [item.title for item in best_known(items, 2)]
    requests = [tuple(text.format(*known) for text in messages) for messages in REQUESTS]
    base: list[list[tuple[str, ...]]] = []

    def expected() -> list[tuple[str, ...]]:
        if not base:
            with ExitStack() as own:
                rows = [row(item) for item in items]
                base.append(
                    _tops(agent_over(rows, schema, context.settings, context.tier, own), requests, "shuffle-base")[0]
                )
        return base[0]

    def play(number: int) -> Outcome:
        order = list(items)
        context.rng("shuffle", number).shuffle(order)
        with ExitStack() as own:
            rows = [row(item) for item in order]
            tops, talk = _tops(
                agent_over(rows, schema, context.settings, context.tier, own), requests, f"shuffle-{number}"
            )
        pairs = list(zip(requests, expected(), tops, strict=True))
        same = [top == wanted for _, wanted, top in pairs]
        members = [set(top) == set(wanted) for _, wanted, top in pairs]
        problems = [f"{' / '.join(m)}: {wanted} became {top}" for m, wanted, top in pairs if wanted != top]
        figures = {"top3_same": sum(same) / len(same), "top3_members": sum(members) / len(members)}
        figures["answered"] = sum(bool(top) for top in tops) / len(tops)
        return talk.outcome(figures, problems)

    def case(number: int) -> Case:
        return Case(f"order-{number:02d}", f"order-{number:02d}", f"order {number}", lambda: play(number))

    return [case(n) for n in range(1, (2 if context.small else SHUFFLES) + 1)]


SUITE = Suite(
    name="shuffle",
    title="Shuffle stability: 20 orders of the catalogue",
    source="element ordering for agents, see docs/suites.md",
    cases=_cases,
    needs_local=True,
    thresholds=(
        Threshold("top3_same", ">=", 1.0, "the first three items in the same order"),
        Threshold("answered", ">=", 1.0, "a request without a list would be stable too"),
    ),
)
