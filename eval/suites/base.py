"""What a suite is: cases played against a subject, figures over their records, thresholds stated beforehand."""

from __future__ import annotations

import operator
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from convrec.core.errors import RequestError
from convrec.core.items import Item
from convrec.core.settings import Settings, Tier
from convrec.eval.scenarios.model import Constraint
from convrec.eval.scenarios.run import interval, records_of
from convrec.eval.scenarios.verdicts import satisfies
from convrec.eval.subject import Reply, Subject
from convrec.tools.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class Threshold:
    """What a figure must reach, and why that much."""

    metric: str
    op: Literal[">=", "<="]
    target: float
    why: str

    def reached(self, value: float) -> bool:
        """``value`` within 1e-9 of the target counts as reached."""
        compare = operator.ge if self.op == ">=" else operator.le
        return bool(compare(round(value, 9), self.target))


@dataclass(slots=True)
class Outcome:
    """What came of one case. ``metrics``: numbers; a metric that does not apply to the case is left out."""

    metrics: dict[str, float]
    problems: list[str] = field(default_factory=list)
    dialogue: list[tuple[str, str]] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    """JSON values that the suite's figures need."""
    seconds: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Case:
    """One case. ``group``: what is resampled for the interval (cases of one group are not independent)."""

    id: str
    group: str
    what: str
    play: Callable[[], Outcome]


@dataclass(slots=True)
class Context:
    """What a suite may use."""

    subject: Subject
    catalogue: Catalogue
    settings: Settings
    tier: Tier
    seed: int
    local: bool
    """Whether the subject is our own agent, so that agents over changed catalogues can be built."""
    small: bool = False
    """Few cases, for tests."""
    records: Mapping[str, Item] = field(default_factory=dict)
    """The catalogue's items by id; read when not given."""

    def __post_init__(self) -> None:
        self.records = self.records or records_of(self.catalogue)

    def rng(self, *names: object) -> random.Random:
        """A generator of its own for what ``names`` say."""
        return random.Random("/".join(map(str, (self.seed, *names))))  # noqa: S311


@dataclass(frozen=True, slots=True)
class Suite:
    """One suite. ``cases`` builds agents of its own within ``ExitStack``; they are closed when the suite is done."""

    name: str
    title: str
    source: str
    """The paper it follows."""
    cases: Callable[[Context, ExitStack], list[Case]]
    thresholds: tuple[Threshold, ...]
    figures: Callable[[Sequence[Mapping[str, Any]]], dict[str, float]] = lambda records: {}
    """More figures than the mean of each metric."""
    needs_local: bool = False


class Talk:
    """One user's conversations with a subject: keeps what was said; the user is forgotten at the end."""

    def __init__(self, subject: Subject, user: str) -> None:
        self.subject, self.user = subject, user
        self.dialogue: list[tuple[str, str]] = []
        self.seconds: list[float] = []

    def say(self, text: str, session: int = 1) -> Reply:
        reply = self.subject.say(text, user=self.user, session=f"{self.user}-{session}")
        self.dialogue.append((text, reply.text))
        self.seconds.append(reply.seconds)
        return reply

    def outcome(self, metrics: dict[str, float], problems: Sequence[str] = (), **extra: Any) -> Outcome:
        return Outcome(metrics, list(problems), list(self.dialogue), extra, list(self.seconds))


@contextmanager
def talking(subject: Subject, user: str) -> Iterator[Talk]:
    """A user nobody knows yet; forgotten at the end, also after an error."""
    subject.forget(user)
    try:
        yield Talk(subject, user)
    finally:
        subject.forget(user)


def share(reply: Reply, constraint: Constraint, records: Mapping[str, Item]) -> float | None:
    """Share of a reply's items that satisfy a constraint, None when it has no item of the catalogue."""
    items = [records[i] for i in reply.items if i in records]
    return sum(satisfies(item, constraint) for item in items) / len(items) if items else None


def breaking(reply: Reply, constraint: Constraint, records: Mapping[str, Item]) -> list[str]:
    """Labels of a reply's items that do not satisfy a constraint."""
    return [records[i].label for i in reply.items if i in records and not satisfies(records[i], constraint)]


def mean_figures(records: Sequence[Mapping[str, Any]], seed: int) -> dict[str, Any]:
    """For each metric: mean over the cases that have it, their number, 95 % bootstrap interval by group."""
    out: dict[str, Any] = {}
    for name in sorted({name for record in records for name in record["metrics"]}):
        groups: dict[str, list[float]] = {}
        for record in records:
            if name in record["metrics"]:
                groups.setdefault(record["group"], []).append(float(record["metrics"][name]))
        values = [value for listed in groups.values() for value in listed]
        by_group = [float(np.mean(listed)) for _, listed in sorted(groups.items())]
        out[name] = {
            "mean": float(np.mean(values)),
            "n": len(values),
            "groups": len(groups),
            "interval": interval(by_group, seed),
        }
    return out


def need_local(context: Context, suite: str) -> None:
    """Raises RequestError when the suite needs agents over catalogues of its own and the subject is not ours."""
    if not context.local:
        raise RequestError("--subject", context.subject.name, f"The suite {suite} changes the catalogue: local only.")
