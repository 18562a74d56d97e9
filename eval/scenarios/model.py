"""What a scenario is: typed constraints, a script of turns, policies, and the stated number of solutions.

In the spirit of tau-Rec (RecSys 2026) and tau-bench (arXiv 2406.12045): the wish is data, the verdict is a program.
"""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Reveal = Literal["volunteer", "on_ask", "hidden"]
Policy = Literal["seen", "excluded", "availability", "single", "nothing_fits"]
Expect = Literal["slate", "nothing", "free"]
MarkAs = Literal["seen", "rejected"]

ID = r"^[a-z][a-z0-9_-]{0,59}$"
WISHES = "{wishes}"
_PLACE = re.compile(r"\{item(\d)\}")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Test(_Strict):
    """One test of one field of a record. Exactly one of its forms is given.

    A missing value passes ``none`` and ``missing`` only: what is not on record is not claimed to hold.
    """

    field: str = Field(min_length=1)
    any: tuple[str, ...] = ()
    """At least one of these is (among) the field's values; catalogue spellings."""
    none: tuple[str, ...] = ()
    """None of these is."""
    min: float | None = None
    """Number, inclusive."""
    max: float | None = None
    """Number, inclusive; may stand beside ``min``."""
    missing: bool = False

    @model_validator(mode="after")
    def _one_form(self) -> Test:
        bounded = self.min is not None or self.max is not None
        if sum((bool(self.any), bool(self.none), bounded, self.missing)) != 1:
            raise ValueError("give one of: any, none, min and/or max, missing: true")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}: swap them")
        return self


class Constraint(_Strict):
    """One thing the user wants, and how it comes out."""

    id: str = Field(pattern=ID)
    reveal: Reveal = "volunteer"
    """volunteer: said in a turn of the script; on_ask: said only when the agent asks about one of its fields; hidden:
    never said (it counts for the goal, not for obedience)."""
    say: tuple[str, ...] = ()
    """Wordings, one of which is drawn per run; none for a hidden one."""
    any_of: tuple[tuple[Test, ...], ...] = Field(min_length=1)
    """Holds when all tests of one of these groups hold."""
    share: float = Field(1.0, gt=0, le=1)
    """Share of a list's items that must satisfy it: 1 for what is hard, less for likeness."""
    firm: bool = False
    """May not be let go, not even when nothing fits: denials, standing instructions, the audience."""

    @model_validator(mode="after")
    def _said_or_not(self) -> Constraint:
        if self.reveal == "hidden" and self.say:
            raise ValueError("a hidden constraint is never said: remove `say`, or set reveal to volunteer or on_ask")
        if self.reveal != "hidden" and not self.say:
            raise ValueError(f"reveal {self.reveal} needs at least one wording in `say`")
        return self

    @property
    def denial(self) -> bool:
        """Whether it only says what is not wanted."""
        return all(test.none for group in self.any_of for test in group)

    @property
    def fields(self) -> frozenset[str]:
        return frozenset(test.field for group in self.any_of for test in group)


class Mark(_Strict):
    """What the user says of an item of the last list: it counts from this turn on."""

    place: int = Field(ge=1, le=9)
    """1 is the first of the last list."""
    how: MarkAs


class Turn(_Strict):
    """One message of the user."""

    text: tuple[str, ...] = Field(min_length=1)
    """Wordings, one drawn per run. ``{wishes}``: the constraints of ``say`` in drawn order and wording; ``{item1}``:
    the title at that place of the last list."""
    say: tuple[str, ...] = ()
    """Constraints that become known with this message."""
    drop: tuple[str, ...] = ()
    """Constraints that end with this message: the user changed their mind."""
    mark: tuple[Mark, ...] = ()
    named: tuple[str, ...] = ()
    """Ids of items the message names (seen, or as an example): they may not be recommended from now on."""
    expect: Expect = "slate"
    """slate: a list must come, nothing: no item fits and that must be said, free: either."""
    count: int | None = Field(None, ge=1, le=20)
    """Exactly so many items."""
    session: int = Field(1, ge=1)
    """A new number starts a new conversation of the same user."""
    split: bool = False
    """Whether runs may say the wishes in two messages; the list after the first is judged by what was said so far."""

    @model_validator(mode="after")
    def _wishes_have_a_place(self) -> Turn:
        for text in self.text:
            if bool(self.say) is not (WISHES in text):
                problem = (
                    "is missing although `say` lists constraints" if self.say else "stands here but `say` is empty"
                )
                raise ValueError(f"{WISHES} {problem}: {text!r}")
        return self

    @property
    def places(self) -> frozenset[int]:
        """Places of the last list that the message speaks of."""
        said = {int(number) for text in self.text for number in _PLACE.findall(text)}
        return frozenset(said | {mark.place for mark in self.mark})


class Scenario(_Strict):
    """One task."""

    id: str = Field(pattern=ID)
    family: str = Field(pattern=ID)
    what: str = Field(min_length=1)
    """One line for a reader."""
    catalogue: str = "demo"
    constraints: tuple[Constraint, ...] = Field(min_length=1)
    turns: tuple[Turn, ...] = Field(min_length=1)
    policies: tuple[Policy, ...] = ("availability",)
    solutions: int = Field(ge=0)
    """Items that satisfy every constraint that is said and in force at the end, named ones left out."""
    goal_solutions: int = Field(ge=0)
    """The same with those that come out on asking or never."""

    @model_validator(mode="after")
    def _consistent(self) -> Scenario:
        ids = [c.id for c in self.constraints]
        if len(set(ids)) != len(ids):
            raise ValueError(f"constraint ids must differ, got {ids}")
        said: set[str] = set()
        for number, turn in enumerate(self.turns, start=1):
            for name in (*turn.say, *turn.drop):
                if name not in ids:
                    raise ValueError(f"turn {number}: no constraint {name!r}; there are: {', '.join(ids)}")
            for name in turn.say:
                if self.constraint(name).reveal != "volunteer":
                    raise ValueError(
                        f"turn {number}: {name!r} is {self.constraint(name).reveal} and cannot be in `say`"
                    )
            if wrong := set(turn.drop) - said:
                raise ValueError(f"turn {number}: `drop` of {sorted(wrong)}, which was not said before")
            if number == 1 and turn.places:
                raise ValueError("turn 1: there is no list yet that `mark` or {item1} could mean")
            said |= set(turn.say)
        if unsaid := [c.id for c in self.constraints if c.reveal == "volunteer" and c.id not in said]:
            raise ValueError(f"never said in any turn: {unsaid}; add them to a turn's `say` or make them hidden")
        sessions = [turn.session for turn in self.turns]
        if sessions != sorted(sessions):
            raise ValueError(f"session numbers may not fall, got {sessions}")
        last = self.turns[-1].expect
        if (self.solutions == 0) is not (last == "nothing"):
            raise ValueError(f"{self.solutions} solutions, but the last turn expects {last!r}")
        if self.goal_solutions > self.solutions:
            raise ValueError(f"goal_solutions {self.goal_solutions} is above solutions {self.solutions}")
        return self

    def constraint(self, name: str) -> Constraint:
        return next(c for c in self.constraints if c.id == name)

    def said_at_end(self) -> tuple[Constraint, ...]:
        """The volunteered constraints in force after the last turn."""
        active: dict[str, Constraint] = {}
        for turn in self.turns:
            for name in turn.drop:
                active.pop(name, None)
            for name in turn.say:
                active[name] = self.constraint(name)
        return tuple(active.values())

    def named(self) -> frozenset[str]:
        return frozenset(item_id for turn in self.turns for item_id in turn.named)


class ScenarioFile(_Strict):
    """One YAML file: the scenarios of one family."""

    family: str = Field(pattern=ID)
    scenarios: tuple[Scenario, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_family(self) -> ScenarioFile:
        ids = [s.id for s in self.scenarios]
        if len(set(ids)) != len(ids):
            raise ValueError(f"scenario ids must differ, got {sorted(i for i in ids if ids.count(i) > 1)} twice")
        if wrong := [s.id for s in self.scenarios if s.family != self.family]:
            raise ValueError(f"{wrong[0]} is of another family than the file's {self.family!r}")
        return self
