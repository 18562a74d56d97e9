"""Writes scenarios over a catalogue from a seed: drafts are drawn and kept when their number of solutions fits."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from convrec.core.errors import RequestError
from convrec.core.items import Item
from convrec.core.text import fold
from convrec.eval.scenarios.check import count, problems
from convrec.eval.scenarios.load import write_file
from convrec.eval.scenarios.model import Constraint, Policy, Scenario, Turn
from convrec.eval.scenarios.verdicts import Solver
from convrec.tools.catalogue import Catalogue

PER_FAMILY = 4
MAX_TRIES = 4_000
"""Drafts drawn per family before giving up."""
FAMOUS = 120
"""Reviews from which on a film counts as one that a user would name."""
MIN_CREDITS = 9
"""Films a person must have in the catalogue to be asked for."""

ASK = (
    "I'm looking for something to watch: {wishes}.",
    "Can you recommend a film? {wishes}.",
    "I want a film: {wishes}.",
    "Hi! Tonight I feel like watching something: {wishes}.",
    "Please find me a film, {wishes}.",
)
"""Openings; what follows are wordings of the constraints in drawn order."""


@dataclass(slots=True)
class Draft:
    """A scenario before it is counted."""

    what: str
    constraints: list[Constraint]
    turns: list[Turn]
    policies: tuple[Policy, ...] = ("availability",)
    least: int = 12
    """Fewest solutions at the end, and in every turn that expects a list."""
    most: int = 2_500
    goal_least: int = 1


Maker: TypeAlias = Callable[["Source"], Draft | None]


class Source:
    """What drafts are drawn from: the catalogue's records and a random generator, one per family."""

    def __init__(self, solver: Solver) -> None:
        self.solver = solver
        self.items = solver.items
        self.rng = random.Random(0)  # noqa: S311 - set anew for each family
        self.people = {name: self._people(name) for name in ("directors", "cast")}
        """Directors and actors of at least MIN_CREDITS films, by field."""
        titles = Counter(fold(item.title) for item in self.items)
        self.famous = [item for item in self.items if titles[fold(item.title)] == 1 and _is_famous(item)]
        """Films that a user would name, each title once in the catalogue."""

    def _people(self, field_name: str) -> list[str]:
        credits = Counter(person for item in self.items for person in item.tags(field_name))
        return sorted(p for p, n in credits.items() if n >= MIN_CREDITS and len(p.split()) == 2 and p.isascii())

    def fitting(self, *constraints: Constraint) -> list[Item]:
        """Items that satisfy all of them."""
        ids = self.solver.solutions(constraints)
        return [item for item in self.items if item.id in ids]

    def known(self, items: list[Item], n: int) -> list[Item]:
        """``n`` of them that a user would name, drawn; fewer when there are not so many."""
        ids = {item.id for item in items}
        pool = [item for item in self.famous if item.id in ids]
        return self.rng.sample(pool, min(n, len(pool)))


def _is_famous(item: Item) -> bool:
    """Much reviewed, with a title of two words or more that reads as one."""
    letters = item.title.replace(" ", "")
    return (
        (item.number("reviews") or 0) >= FAMOUS
        and 2 <= len(item.title.split()) <= 6
        and letters.isalpha()
        and letters.isascii()
    )


def generate(
    catalogue: Catalogue,
    *,
    seed: int,
    per_family: int = PER_FAMILY,
    families: Sequence[str] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, list[Scenario]]:
    """``per_family`` scenarios of each family (all, when none is named), each with the number of solutions it states.

    Same seed and catalogue, same scenarios; a family does not depend on which others are drawn.

    Raises:
        RequestError: the catalogue is too small to give so many.
    """
    from convrec.eval.scenarios.families import FAMILIES  # noqa: PLC0415 - families import Source and Draft

    source = Source(Solver(catalogue.items(catalogue.rows(None))))
    out: dict[str, list[Scenario]] = {}
    chosen = list(families) or list(FAMILIES)
    for done, family in enumerate(chosen):
        progress(done, len(chosen))
        maker = FAMILIES[family]
        source.rng = random.Random(f"{seed}/{family}")  # noqa: S311
        found: list[Scenario] = []
        for draft in _drafts(maker, source):
            scenario = _counted(draft, family, f"{family}-{len(found) + 1:02d}", catalogue.name, source.solver)
            if scenario is None or any(s.what == scenario.what for s in found):
                continue
            if problems(scenario, source.solver, catalogue.schema):
                continue
            found.append(scenario)
            if len(found) == per_family:
                break
        if len(found) < per_family:
            raise RequestError(
                "--per-family",
                per_family,
                f"{catalogue.name} gives only {len(found)} of the family {family}; ask for less.",
            )
        out[family] = found
    return out


def write(scenarios: dict[str, list[Scenario]], folder: Path, seed: int) -> list[Path]:
    """One YAML file per family."""
    paths = []
    for family, listed in scenarios.items():
        path = folder / f"{family}.yaml"
        write_file(path, listed, seed)
        paths.append(path)
    return paths


def _drafts(maker: Maker, source: Source) -> Iterator[Draft]:
    for _ in range(MAX_TRIES):
        draft = maker(source)
        if draft is not None:
            yield draft


def _counted(draft: Draft, family: str, name: str, catalogue: str, solver: Solver) -> Scenario | None:
    """The draft with its numbers, None when they do not fit."""
    nothing = draft.turns[-1].expect == "nothing"
    shell = Scenario(
        id=name,
        family=family,
        what=draft.what,
        catalogue=catalogue,
        constraints=tuple(draft.constraints),
        turns=tuple(draft.turns),
        policies=draft.policies,
        solutions=0 if nothing else draft.most,
        goal_solutions=0,
    )
    counted = count(shell, solver)
    if nothing:
        fits = counted.solutions == 0
    else:
        at = [n for n, turn in zip(counted.per_turn, draft.turns, strict=True) if turn.expect == "slate"]
        fits = min(at) >= draft.least and counted.solutions <= draft.most and counted.goal_solutions >= draft.goal_least
    if not fits:
        return None
    return shell.model_copy(update={"solutions": counted.solutions, "goal_solutions": counted.goal_solutions})
