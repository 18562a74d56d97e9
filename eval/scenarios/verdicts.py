"""Verdicts of one run of a scenario, from the records alone: nothing here asks the agent's filters.

pass: every list obeys everything said so far, the policies hold, lists and "nothing fits" come where they must.
goal: pass, and the last list holds an item that also satisfies what was kept back (on_ask and hidden constraints).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from convrec.core.items import FieldValue, Item
from convrec.eval.scenarios.model import Constraint, Scenario, Test


@dataclass(frozen=True, slots=True)
class Seen:
    """One reply as the verdict sees it, with what held when it came."""

    turn: int
    """1-based place in the script."""
    ids: tuple[str, ...]
    titles: tuple[str, ...]
    active: tuple[Constraint, ...]
    """Constraints in force."""
    excluded: frozenset[str]
    """Ids that were seen, rejected or named before this reply."""
    relaxed: tuple[str, ...]
    """What the agent says it let go of, in its words."""
    said_nothing: bool
    """The agent says that nothing fits, or openly lets go of something."""
    asked: bool
    expect: str
    count: int | None
    linked: bool = False
    """The items were found by linking the text: their titles are the catalogue's, whatever was written."""


@dataclass(frozen=True, slots=True)
class Verdict:
    passed: bool
    goal: bool
    problems: tuple[str, ...] = ()
    """Each one in words, worst first; () when passed."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """items, violations, policy_breaks, wrong_outcomes."""


def test_holds(test: Test, value: FieldValue) -> bool:
    """Whether one field's value passes."""
    missing = value is None or value == ()
    if test.missing:
        return missing
    if test.none:
        return missing or not set(test.none) & _values(value)
    if missing:
        return False
    if test.any:
        return bool(set(test.any) & _values(value))
    if not isinstance(value, int | float):
        return False
    return (test.min is None or value >= test.min) and (test.max is None or value <= test.max)


def satisfies(item: Item, constraint: Constraint) -> bool:
    """Whether a record satisfies a constraint."""
    return any(all(test_holds(t, item.fields.get(t.field)) for t in group) for group in constraint.any_of)


class Solver:
    """Counts solutions over the records of a catalogue; which items satisfy a constraint is worked out once."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = items
        self._known: dict[tuple[tuple[Test, ...], ...], frozenset[str]] = {}
        self._spelt: dict[str, frozenset[str]] = {}

    def satisfying(self, constraint: Constraint) -> frozenset[str]:
        """Ids of the items that satisfy one constraint."""
        if constraint.any_of not in self._known:
            self._known[constraint.any_of] = frozenset(i.id for i in self.items if satisfies(i, constraint))
        return self._known[constraint.any_of]

    def spellings(self, field_name: str) -> frozenset[str]:
        """All values that the items have in a field of words."""
        if field_name not in self._spelt:
            values = (item.fields.get(field_name) for item in self.items)
            self._spelt[field_name] = frozenset(str(v) for value in values if value is not None for v in _values(value))
        return self._spelt[field_name]

    def solutions(self, constraints: Sequence[Constraint], without: Collection[str] = ()) -> frozenset[str]:
        """Ids of the items that satisfy all ``constraints`` whose share is 1, ``without`` left out."""
        hard = [self.satisfying(c) for c in constraints if c.share == 1.0]
        found = frozenset.intersection(*hard) if hard else frozenset(i.id for i in self.items)
        return found - frozenset(without)


def judge(scenario: Scenario, replies: Sequence[Seen], records: Mapping[str, Item]) -> Verdict:
    """The verdict on one run. ``records``: the catalogue's item of each id; a missing id is no item of it."""
    broken: list[str] = []
    policy: list[str] = []
    outcome: list[str] = []
    shown = 0
    for reply in replies:
        shown += len(reply.ids)
        broken += _violations(reply, records)
        policy += _policies(scenario, reply, records)
        outcome += _outcome(reply)
    finished = bool(replies) and replies[-1].turn == len(scenario.turns)
    if not finished:
        outcome.append(f"the conversation ended at turn {replies[-1].turn if replies else 0} of {len(scenario.turns)}")
    problems = (*broken, *policy, *outcome)
    counts = {
        "items": shown,
        "violations": len(broken),
        "policy_breaks": len(policy),
        "wrong_outcomes": len(outcome),
    }
    return Verdict(not problems, not problems and _goal(scenario, replies[-1], records), problems, counts)


def pass_hat_k(passes: int, runs: int, k: int) -> float:
    """pass^k of one task: the chance that k runs drawn without return all pass, C(passes, k) / C(runs, k).

    tau-bench (arXiv 2406.12045). 0..1.

    Raises:
        ValueError: k is not in 1..runs.
    """
    if not 1 <= k <= runs:
        raise ValueError(f"pass^{k} needs at least {k} runs, got {runs}")
    return math.comb(passes, k) / math.comb(runs, k)


def _values(value: FieldValue) -> set[object]:
    return set(value) if isinstance(value, tuple) else {value}


def _violations(reply: Seen, records: Mapping[str, Item]) -> list[str]:
    items = [records[i] for i in reply.ids if i in records]
    let_go = len(reply.relaxed)
    out = []
    for constraint in reply.active:
        if constraint.share < 1.0:
            held = sum(satisfies(item, constraint) for item in items)
            if items and held < constraint.share * len(items):
                out.append(f"turn {reply.turn}: {constraint.id}: only {held} of {len(items)} items")
    hard = [c for c in reply.active if c.share == 1.0]
    for item in items:
        missed = [c for c in hard if not satisfies(item, c)]
        # What the agent says it let go of may be missed, one constraint for each, but never a firm one.
        free = [c for c in missed if not c.firm]
        wrong = [c for c in missed if c.firm] + (free if len(free) > let_go else [])
        out += [f"turn {reply.turn}: {item.label} breaks {c.id}" for c in wrong]
    if let_go and reply.expect == "slate":
        fits = f"turn {reply.turn}: let go of {', '.join(reply.relaxed)} although items fit all that was said"
        out.append(fits)
    return out


def _policies(scenario: Scenario, reply: Seen, records: Mapping[str, Item]) -> list[str]:
    out = []
    for item_id, title in zip(reply.ids, reply.titles, strict=True):
        if item_id not in records:
            if "availability" in scenario.policies:
                out.append(f"turn {reply.turn}: {title!r} is not in the catalogue")
        elif not reply.linked and title not in (records[item_id].title, records[item_id].label):
            out.append(f"turn {reply.turn}: {records[item_id].label} was shown as {title!r}")
        if item_id in reply.excluded and {"seen", "excluded"} & set(scenario.policies):
            out.append(f"turn {reply.turn}: {title} was seen, named or rejected before")
    if len(set(reply.ids)) != len(reply.ids):
        out.append(f"turn {reply.turn}: an item stands twice on one list")
    if reply.count is not None and reply.ids and len(reply.ids) != reply.count:
        out.append(f"turn {reply.turn}: {len(reply.ids)} items, asked for {reply.count}")
    return out


def _outcome(reply: Seen) -> list[str]:
    if reply.expect == "slate" and not reply.ids:
        return [f"turn {reply.turn}: no item was recommended although some fit"]
    if reply.expect == "nothing" and not reply.said_nothing:
        return [f"turn {reply.turn}: nothing fits, and the reply does not say so"]
    return []


def _goal(scenario: Scenario, last: Seen, records: Mapping[str, Item]) -> bool:
    if scenario.solutions == 0:
        return True
    kept_back = [c for c in scenario.constraints if c.reveal != "volunteer"]
    items = [records[i] for i in last.ids if i in records]
    return any(all(satisfies(item, c) for c in kept_back) for item in items)
