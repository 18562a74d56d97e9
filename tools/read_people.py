"""Conditions on people: those named, "the director of Heat", "the same actor"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from convrec.core.text import fold
from convrec.tools.catalogue import Catalogue
from convrec.tools.linking_people import PersonLink
from convrec.tools.linking_titles import Links
from convrec.tools.predicates import AnyOf, Condition, Expr, Not, Op, Test
from convrec.tools.references import Focus, Pointer
from convrec.tools.spans import Message

_SAME_PERSON = re.compile(
    r"\b(?:by|from|with|of)\s+(?:the\s+)?(?:same|that)\s+(director|actor|actress|writer|cast|person)|"
    r"\b(?:by|from)\s+(?:him|her|them)\b|\bwith\s+(?:him|her)\s+in\s+it\b|"
    r"\b(?:his|her)\s+other\s+(?:films|movies|work)\b"
)
_OTHER_PERSON = re.compile(
    r"\b(?:by|from|with)\s+(?:an?other|(?:a )?different|some ?(?:one|body) (?:else|different))\s*"
    r"(director|filmmaker|actor|actress|writer|cast|person|guy|one|people|name)?s?\b(?! (?:vibe|mood|tone|time|genre))"
)
"""Not those talked about: "by a different director"."""
_SOMEBODY = (
    r"(?:guys?|man|men|woman|women|lady|person|people|folks|team|dude|one|ones|brothers?|fella|bloke|minds?|brains?)"
)
_PERSON_OF = re.compile(
    r"\b(director|directors|filmmakers?|makers?|writers?|screenwriters?|stars?|cast|actors?|actress(?:es)?|lead)\s+"
    r"(?:of|from|behind|in)\s+$|"
    rf"\b(?:{_SOMEBODY}|whoever|someone|somebody)\s+(?:(?:who|that)\s+)?(?:also\s+|just\s+)?"
    r"(directed|made|did|behind|wrote|scripted|penned|(?:plays?|played|stars?|starred|acts?|acted|was|is) in)\s+$|"
    r"\b(?:directors?|writers?|actors?|actress|stars?)\s+(?:who|that)\s+(directed|made|did|wrote|(?:played|starred|"
    r"acted|was|is) in)\s+$"
)
"""Before a title: who is meant by way of it."""
_OPENS = re.compile(r"\W*(?:(?:and|so|ok|the|what's the|whats the)\W+)*")
_BESIDES = r"\s*(?:,\s*or|or|,)\s*(?:by |with |starring |either )?"
_ASKS_NAME = re.compile(
    r"\bwho\b(?! (?:directed|made|did|wrote|scripted|penned|plays?|played|stars?|starred|acted|was|is))|\bwho'?s\b|"
    r"^\W*(?:so |and |ok )?who\b|\bwhat(?:'?s| is) the name of\b|\btell me\b"
)


@dataclass(frozen=True, slots=True)
class PeopleReader:
    """Reads them for one catalogue."""

    catalogue: Catalogue

    def conditions(self, message: Message, people: Sequence[PersonLink]) -> list[Condition]:
        """One condition per person; "Nolan or Fincher" is one condition on either, and so are "the Coen brothers"."""
        people = _denied_lists(message, people)
        denied = {p.name for p in people if p.negative}
        if both := denied & {p.name for p in people if not p.negative}:  # "his films, but without him in them"
            people = [_in_role(p) if p.name in both else p for p in people]
        out: list[Condition] = []
        last: PersonLink | None = None
        for person in people:
            condition = self._condition(person, message.hedged(person.start, person.end))
            if out and last is not None and _alternative(message.low, last, person):
                previous = out.pop()
                either = AnyOf((_inner(previous.expr), self._has(person)))
                label = f"{previous.label} or {condition.label.removeprefix('not ')}"
                condition = replace(previous, expr=Not(either) if previous.negative else either, label=label)
            out.append(condition)
            last = person
        return out

    def _has(self, person: PersonLink) -> Expr:
        tests: tuple[Expr, ...] = tuple(Test(name, Op.ANY, (person.name,)) for name in person.fields)
        return tests[0] if len(tests) == 1 else AnyOf(tests)

    def _condition(self, person: PersonLink, hedged: bool) -> Condition:
        spec = self.catalogue.schema.field(person.fields[0])
        how = spec.spoken if spec and len(person.fields) == 1 else "with or by"
        label, slot, expr = f"{how} {person.name}", f"person:{fold(person.name)}", self._has(person)
        if person.negative:
            return Condition(Not(expr), f"not {label}", slot, True, said=person.said)
        return Condition(expr, label, slot, said=person.said, hard=not hedged)

    def by_way_of(
        self, message: Message, links: Links, pointers: Sequence[Pointer]
    ) -> tuple[tuple[str, tuple[int, ...]] | None, bool]:
        """ "the director of Heat" -> (directors, Heat); whether it was asked of an item this catalogue lacks."""
        if not _ASKS_NAME.search(message.low):
            for row, start in [(x.row, x.start) for x in links.titles] + [(x.row, x.start) for x in pointers]:
                m = _PERSON_OF.search(message.low[:start])
                if m and _OPENS.fullmatch(message.low[: m.start()]) and not m[2]:
                    continue  # "cast of Heat?" asks for the cast
                if m and (name := self._field(m[1] or m[2] or m[3])):
                    return (name, (row,)), False
        return None, any(_PERSON_OF.search(message.low[: unknown.start]) for unknown in links.unknown)

    def same(self, masked: Message, focus: Focus, rows: Sequence[int] = ()) -> Condition | None:
        """ "by the same director", "with him in it", "by somebody else". ``rows``: items that the message names."""
        m = _SAME_PERSON.search(masked.low)
        other = _OTHER_PERSON.search(masked.low) if m is None else None
        if m is None and other is not None and (focus.people or focus.last is not None):
            m = other
        if m is None:
            return None
        said = "" if other is not None and focus.people else m[1] or ""
        name = self._field(said) or focus.people_field or self._field("director")
        people = focus.people if name == focus.people_field and focus.people else ()
        if not people and name and len(rows) == 1 and m[1]:
            people = self.catalogue.item(rows[0]).tags(name)[:3]
        if not people and name and focus.last is not None:
            people = self.catalogue.item(focus.last).tags(name)[:3]
        spec = self.catalogue.schema.field(name) if name else None
        if not people or spec is None:
            return None
        expr: Expr = Test(spec.name, Op.ANY, tuple(people))
        label, slot = f"{spec.spoken} {' or '.join(people)}", f"person:{fold(people[0])}"
        if masked.negated(m.start()) or other is not None:
            return Condition(Not(expr), f"not {label}", slot, True, said=m[0])
        return Condition(expr, label, slot, said=m[0])

    def _field(self, word: str) -> str | None:
        people = self.catalogue.schema.people()
        if not word or not people:
            return None
        start = "direct" if word.startswith(("direct", "film", "maker", "made", "did", "behind", "person")) else "cast"
        start = "writ" if word.startswith(("writ", "wrote", "script", "screen", "penned")) else start
        return next((f.name for f in people if f.name.startswith(start)), people[0].name)


def _alternative(low: str, last: PersonLink, person: PersonLink) -> bool:
    """Whether the one or the other is meant."""
    if last.negative is not person.negative:
        return False
    if person.start < last.end:  # "the coen brothers" are two people in one place
        return True
    gap = re.fullmatch(_BESIDES, low[last.end : person.start])
    return gap is not None and "or" in gap[0].split()


def _denied_lists(message: Message, people: Sequence[PersonLink]) -> list[PersonLink]:
    """The people with a denial carried on to the rest of its list: "without Jackson or Willis"."""
    out: list[PersonLink] = []
    for person in people:
        if (
            out
            and out[-1].negative
            and not person.negative
            and message.inherits_denial(out[-1].end, person.start, person.end)
        ):
            person = replace(person, negative=True, fields=person.every or person.fields)
        out.append(person)
    return out


def _in_role(person: PersonLink) -> PersonLink:
    """Who is asked for and denied in one message is asked for behind the camera and denied before it."""
    cast = tuple(f for f in person.fields if f.startswith("cast"))
    others = tuple(f for f in person.fields if not f.startswith("cast"))
    return replace(person, fields=(cast if person.negative else others) or person.fields)


def _inner(expr: Expr) -> Expr:
    return expr.part if isinstance(expr, Not) else expr
