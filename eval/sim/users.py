"""Simulated users that speak by script: one that knows no target, and two that know it (iEvaLM's manner).

A user hears the reply and what it thinks of each item shown; it answers or leaves. Everything random comes from the
generator it is given, so a user says the same in every run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

import numpy as np
from convrec.core.items import Item
from convrec.core.text import fold
from convrec.eval.sim.personas import Persona
from convrec.eval.sim.tastes import Known, Wish
from convrec.eval.sim.wording import Voice, misspelt, together
from convrec.tools.schema import Role, Schema

Verdict: TypeAlias = Literal["target", "liked", "seen", "disliked", "other"]
"""What a user thinks of a shown item: would take it; liked it before; saw it before; disliked it before; none of it."""
Simulator: TypeAlias = Literal["scripted", "target", "chat", "llm"]

MOST_NAMED = 2
"""Items named in one reaction: people do not go through a whole list."""
FAR_YEARS, FAR_MINUTES = 8, 25
"""Differences that a user speaks of: "newer", "shorter"."""
_ASKED: tuple[tuple[re.Pattern[str], Role], ...] = (
    (re.compile(r"\b(?:genre|kind of|type of|sort of|mood)\b"), Role.CATEGORY),
    (re.compile(r"\b(?:when|year|years|decade|era|old|new|newer|older|recent|classic)\b"), Role.YEAR),
    (re.compile(r"\b(?:who|actor|actors|actress|director|directors|starring|cast|author|artist)\b"), Role.PERSON),
    (re.compile(r"\b(?:long|length|short|minutes|hours)\b"), Role.DURATION),
    (re.compile(r"\b(?:country|where)\b"), Role.COUNTRY),
    (re.compile(r"\blanguage\b"), Role.LANGUAGE),
)
_OFFERED = re.compile(r"\b(?:shall i|should i|do you want me|would you like me|want me to)\b")
_LET_GO = re.compile(r"\b(?:let go|give up|drop|relax|do without|flexible)\b")


@dataclass(frozen=True, slots=True)
class Heard:
    """What a user hears in one turn."""

    text: str
    question: bool
    shown: tuple[tuple[Item, Verdict], ...] = ()


@dataclass(slots=True)
class Said:
    """One message of a user."""

    text: str
    rejected: tuple[Item, ...] = ()
    """Shown items that these words turn down: they must not come again."""
    note: str = ""
    """For the report, e.g. that a guard replaced a model's words."""


class SimulatedUser(Protocol):
    """One user in one conversation."""

    def opening(self) -> Said: ...

    def answer(self, heard: Heard) -> Said: ...


@dataclass(slots=True)
class ScriptedUser:
    """Target-free: tells what it knows of its taste bit by bit, recognises what it has seen, turns the rest down."""

    known: Known
    persona: Persona
    schema: Schema
    rng: np.random.Generator
    _voice: Voice = field(init=False)
    _facts: list[_Fact] = field(init=False)
    _told: list[Wish] = field(init=False, default_factory=list)
    _slips: list[Wish] = field(init=False)
    _slipped: list[Wish] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._voice = Voice(self.schema, self.persona.manner, self.rng)
        self._slips = list(self.known.slips[: self.persona.mind_changes])
        self._facts = facts_of(self.known)

    def opening(self) -> Said:
        if self.known.phrases:
            text = " ".join(self.known.phrases)
            return Said(misspelt(text, self.persona.typos, self.rng))
        if self._slips:  # a first thought, to be taken back: in the place of what is really wanted
            self._slipped.append(self._slips.pop(0))
            return self._finished([self._voice.opening(self._slipped)])
        first = self._next(self.persona.reveal)
        wishes = [wish for fact in first for wish in fact.wishes]
        if wishes and self._is_vague():
            self._facts[:0] = first  # not told: it comes again
            return self._finished([self._voice.vague()])
        self._told += wishes
        parts = [self._voice.opening(wishes)]
        parts += [self._opinion(fact) for fact in first if not fact.wishes]
        return self._finished(parts)

    def answer(self, heard: Heard) -> Said:
        parts, rejected = self._react(heard)
        if heard.question and self.rng.random() < self.persona.answers and (reply := self._asked(heard.text)):
            parts.append(reply)
        elif self._slipped:
            parts.append(self._voice.taken_back(self._slipped.pop(0)))
            parts += self._tell(self._next(self.persona.reveal))
        elif self._slips and self._told:
            self._slipped.append(self._slips.pop(0))
            parts.append(self._voice.addition(self._slipped))
        else:
            parts += self._tell(self._next(self.persona.reveal))
        if not parts or (len(parts) == 1 and rejected):
            parts.append(self._voice.more())
        return self._finished(parts, rejected)

    # -- parts of a message -----------------------------------------------------------------------------------------

    def _react(self, heard: Heard) -> tuple[list[str], tuple[Item, ...]]:
        shown = [item for item, _ in heard.shown]
        if not shown or self.persona.feedback == "none":
            return [], ()
        parts = []
        if self.persona.feedback == "named":
            seen = [item for item, verdict in heard.shown if verdict in ("seen", "liked")][:MOST_NAMED]
            disliked = [item for item, verdict in heard.shown if verdict == "disliked"][:MOST_NAMED]
            if seen:
                parts.append(self._voice.seen(seen))
            if disliked:
                parts.append(self._voice.disliked(disliked))
        parts.append(self._voice.none())
        return parts, tuple(shown)

    def _asked(self, text: str) -> str:
        """The answer to a question, "" when the user has none."""
        low = text.lower()
        if _LET_GO.search(low) and self._told:
            return self._voice.conceded(self._told.pop())
        for pattern, role in _ASKED:
            if pattern.search(low):
                for fact in self._facts:
                    if any(self._role(wish) is role for wish in fact.wishes):
                        self._facts.remove(fact)
                        return " ".join(self._tell([fact]))
        return self._voice.yes() if _OFFERED.search(low) else ""

    def _tell(self, facts: Sequence[_Fact]) -> list[str]:
        parts = []
        for fact in facts:
            if fact.wishes and self._is_vague():
                self._facts.append(fact)  # not told: it comes again
                parts.append(f"{self._voice.vague().capitalize()}.")
            elif fact.wishes:
                self._told += fact.wishes
                parts.append(self._voice.addition(fact.wishes))
            else:
                parts.append(self._opinion(fact))
        return parts

    def _opinion(self, fact: _Fact) -> str:
        return self._voice.disliked(fact.disliked) if fact.disliked else self._voice.liked(fact.liked)

    def _next(self, count: int) -> list[_Fact]:
        taken, self._facts = self._facts[:count], self._facts[count:]
        return taken

    def _is_vague(self) -> bool:
        return bool(self.rng.random() < self.persona.vagueness)

    def _role(self, wish: Wish) -> Role | None:
        spec = self.schema.field(wish.field)
        return spec.role if spec is not None else None

    def _finished(self, parts: Sequence[str], rejected: tuple[Item, ...] = ()) -> Said:
        text = " ".join(part if part[-1] in ".!?" else f"{part}," for part in parts if part).rstrip(",")
        return Said(misspelt(text, self.persona.typos, self.rng), rejected)


@dataclass(frozen=True, slots=True)
class _Fact:
    """One thing to tell: wishes said in one breath, or an opinion."""

    wishes: tuple[Wish, ...] = ()
    liked: tuple[Item, ...] = ()
    disliked: tuple[Item, ...] = ()


def facts_of(known: Known) -> list[_Fact]:
    """What there is to tell, in order: a wish, a liked item, the other wishes and opinions in turn. What the user's
    own phrases name already is not told again."""
    said = f" {fold(' '.join(known.phrases))} "
    wishes = [_Fact(wishes=pair) for pair in together(known.wishes)]
    likes = [_Fact(liked=(item,)) for item in known.liked if f" {fold(item.title)} " not in said]
    dislikes = [_Fact(disliked=(item,)) for item in known.disliked if f" {fold(item.title)} " not in said]
    return [*wishes[:1], *likes[:1], *wishes[1:2], *dislikes[:1], *wishes[2:], *likes[1:], *dislikes[1:]]


@dataclass(slots=True)
class TargetUser:
    """Target-aware, after iEvaLM (arXiv:2305.13112): knows one item, never says its title, turns down everything else.

    ``free``: False for attribute question answering (one property of the target per turn, the one that was asked for
    if it was), True for free chat (also says in what a shown item differs from the target, and what it is about).
    """

    target: Item
    persona: Persona
    schema: Schema
    rng: np.random.Generator
    free: bool = False
    _voice: Voice = field(init=False)
    _wishes: list[tuple[Wish, ...]] = field(init=False)
    _about: list[str] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._voice = Voice(self.schema, self.persona.manner, self.rng)
        found = properties(self.target, self.schema)
        self._wishes = [found[i] for i in self.rng.permutation(len(found))]
        if self.free:
            self._about = _about(self.target, self.schema)

    def opening(self) -> Said:
        first = self._wishes.pop(0) if self._wishes else ()
        return self._finished([self._voice.opening(first)])

    def answer(self, heard: Heard) -> Said:
        shown = tuple(item for item, _ in heard.shown)
        parts = [self._voice.none()] if shown else []
        if self.free and shown and (difference := self._difference(shown[0])):
            parts.append(difference)
        if self.free and self._about and self.rng.random() < 0.5:
            parts.append(f"It is about this: {self._about.pop(0)}")
        elif wishes := self._pick(heard):
            parts.append(self._voice.addition(wishes))
        elif not self.free or len(parts) < 2:
            parts.append(self._voice.more())
        return self._finished(parts, shown)

    def _pick(self, heard: Heard) -> tuple[Wish, ...]:
        """The property asked for, else the next one."""
        if heard.question:
            low = heard.text.lower()
            for pattern, role in _ASKED:
                if pattern.search(low):
                    for wishes in self._wishes:
                        spec = self.schema.field(wishes[0].field)
                        if spec is not None and spec.role is role:
                            self._wishes.remove(wishes)
                            return wishes
        return self._wishes.pop(0) if self._wishes else ()

    def _difference(self, other: Item) -> str:
        """The critique that leads from a shown item towards the target, "" when they are alike."""
        options = []
        if (
            self.target.year is not None
            and other.year is not None
            and abs(gap := self.target.year - other.year) > (FAR_YEARS)
        ):
            options.append("I want something newer." if gap > 0 else "I want something older.")
        spec = self.schema.by_role(Role.DURATION)
        if (
            spec
            and (a := self.target.number(spec.name))
            and (b := other.number(spec.name))
            and abs(a - b) > FAR_MINUTES
        ):
            options.append("I want something longer." if a > b else "I want something shorter.")
        if spec := self.schema.by_role(Role.CATEGORY):
            extra = [value for value in other.tags(spec.name) if value not in self.target.tags(spec.name)]
            if extra and self.target.tags(spec.name):
                options.append(f"No {extra[0].lower()}, please.")
        return options[int(self.rng.integers(len(options)))] if options else ""

    def _finished(self, parts: Sequence[str], rejected: tuple[Item, ...] = ()) -> Said:
        return Said(misspelt(" ".join(parts), self.persona.typos, self.rng), rejected)


def properties(item: Item, schema: Schema) -> list[tuple[Wish, ...]]:
    """What can be asked for of an item, without its title: each category, its decade, a person a field, the country."""
    out: list[tuple[Wish, ...]] = []
    if spec := schema.by_role(Role.CATEGORY):
        out += [(Wish(spec.name, "is", value),) for value in item.tags(spec.name)[:3]]
    if (spec := schema.by_role(Role.YEAR)) and item.year is not None:
        decade = item.year // 10 * 10
        out.append((Wish(spec.name, "from", decade), Wish(spec.name, "to", decade + 9)))
    for spec in schema.people():
        out += [(Wish(spec.name, "is", value),) for value in item.tags(spec.name)[:1]]
    if (spec := schema.by_role(Role.COUNTRY)) and item.tags(spec.name):
        out.append((Wish(spec.name, "is", item.tags(spec.name)[0]),))
    return out


def _about(item: Item, schema: Schema) -> list[str]:
    """Sentences of the description, but for those that say the title, and keywords."""
    out: list[str] = []
    if (spec := schema.by_role(Role.DESCRIPTION)) and (text := item.text(spec.name)):
        out += [s.strip() for s in re.split(r"(?<=[.!?])\s+", text) if item.title.lower() not in s.lower()][:2]
    if (spec := schema.by_role(Role.KEYWORDS)) and item.tags(spec.name):
        words = [word for word in item.tags(spec.name) if item.title.lower() not in word.lower()]
        out += [f"{', '.join(words[:3])}."] if words else []
    return out
