"""Checks scenarios against a catalogue: stated numbers of solutions, spellings, ids, and that each turn can be met."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from convrec.eval.scenarios.model import Constraint, Scenario
from convrec.eval.scenarios.verdicts import Solver
from convrec.tools.catalogue import Catalogue
from convrec.tools.schema import FieldType, Schema


@dataclass(frozen=True, slots=True)
class Counted:
    """Numbers of solutions of one scenario, counted on the records."""

    solutions: int
    goal_solutions: int
    per_turn: tuple[int, ...]
    """After each turn, what was named by then left out."""


def count(scenario: Scenario, solver: Solver) -> Counted:
    """Count solutions by testing every record."""
    active: dict[str, Constraint] = {}
    named: set[str] = set()
    per_turn = []
    for turn in scenario.turns:
        for name in turn.drop:
            active.pop(name, None)
        active.update({name: scenario.constraint(name) for name in turn.say})
        named.update(turn.named)
        per_turn.append(len(solver.solutions(list(active.values()), named)))
    kept_back = [c for c in scenario.constraints if c.reveal != "volunteer"]
    goal = solver.solutions([*active.values(), *kept_back], named)
    return Counted(per_turn[-1], len(goal), tuple(per_turn))


def problems(scenario: Scenario, solver: Solver, schema: Schema) -> list[str]:
    """What is wrong with one scenario on this catalogue, in words that name the field; [] when nothing is."""
    out = [f"{scenario.id}: {text}" for text in _spellings(scenario, solver, schema)]
    if out:
        return out
    counted = count(scenario, solver)
    for field_name in ("solutions", "goal_solutions"):
        stated, found = getattr(scenario, field_name), getattr(counted, field_name)
        if stated != found:
            out.append(f"{scenario.id}: {field_name} says {stated}, the catalogue has {found}; correct the number")
    for number, (turn, fitting) in enumerate(zip(scenario.turns, counted.per_turn, strict=True), start=1):
        if (turn.expect == "slate" and fitting == 0) or (turn.expect == "nothing" and fitting):
            out.append(
                f"{scenario.id}: turn {number} expects {turn.expect!r}, but {fitting} items fit; change `expect`"
            )
        if turn.count is not None and turn.expect == "slate" and fitting < turn.count:
            out.append(f"{scenario.id}: turn {number} asks for {turn.count} items, {fitting} fit; lower `count`")
    return out


def check(scenarios: Iterable[Scenario], catalogue: Catalogue) -> list[str]:
    """Problems of all scenarios of this catalogue; [] when each has what it states."""
    solver = Solver(catalogue.items(catalogue.rows(None)))
    return [
        text
        for scenario in scenarios
        if scenario.catalogue == catalogue.name
        for text in problems(scenario, solver, catalogue.schema)
    ]


def _spellings(scenario: Scenario, solver: Solver, schema: Schema) -> list[str]:
    out = []
    fields = {spec.name: spec for spec in schema.fields}
    ids = solver.solutions(())
    for turn in scenario.turns:
        out += [f"turns.named: no item {item_id!r}" for item_id in turn.named if item_id not in ids]
    for constraint in scenario.constraints:
        for test in (test for group in constraint.any_of for test in group):
            where = f"constraints.{constraint.id}.any_of"
            spec = fields.get(test.field)
            if spec is None:
                out.append(f"{where}: no field {test.field!r}; there are: {', '.join(fields)}")
                continue
            numeric = spec.type in (FieldType.INTEGER, FieldType.NUMBER)
            if numeric and (test.any or test.none):
                out.append(f"{where}: {test.field} holds numbers; use min and max")
            if not numeric and (test.min is not None or test.max is not None):
                out.append(f"{where}: {test.field} holds words; use any or none")
            if not numeric and (values := {*test.any, *test.none}):
                unknown = sorted(values - solver.spellings(test.field))
                out += [f"{where}: no item has {value!r} as {test.field}" for value in unknown]
    return out
