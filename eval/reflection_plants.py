"""Drafts with one planted fault each, and sentences to say what is true (or not) of a film in.

Half of the phrasings were there while the critic's rules were written (``dev``), the others were added afterwards
(``heldout``) and are for the reported figure only.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from convrec.agent.critic import SlateDraft
from convrec.agent.events import RecommendedItem
from convrec.agent.reply import slate_lines
from convrec.agent.request import Request
from convrec.core.items import Item
from convrec.tools.catalogue import Catalogue

Phrasing = Literal["dev", "heldout"]
PHRASINGS: tuple[Phrasing, ...] = ("dev", "heldout")
KINDS = ("year", "director", "category", "outside", "seen")
Made = tuple[SlateDraft, frozenset[int], str]
"""The draft, the rows the tools put forward, and where the fault is: "list", "record" or "sentence"."""

YEAR: Mapping[Phrasing, Sequence[str]] = {
    "dev": (
        "{title} ({year}) fits your wish well.",
        "{title} came out in {year}.",
        "The {year} film {title} suits you.",
    ),
    "heldout": (
        "{title}, made in {year}, is a strong choice.",
        "Released in {year}, {title} should please you.",
        "You get a classic of {year} with {title}.",
        "From {year} there is {title}.",
    ),
}
DIRECTOR: Mapping[Phrasing, Sequence[str]] = {
    "dev": (
        "{title} was directed by {name}.",
        "{title} is a film by {name}.",
        "{title}, starring {star}, is by {name}.",
    ),
    "heldout": (
        "{name}'s {title} matches the tone.",
        "With {title}, {name} directs a film for you.",
        "{title} is one of the best works of director {name}.",
        "In {title}, {star} plays for {name}.",
    ),
}
OUTSIDE: Mapping[Phrasing, Sequence[str]] = {
    "dev": ("You might also enjoy {label}.", "{title} would be another good pick."),
    "heldout": (
        "If these do not suit, try {label}.",
        "Fans of these also love {title}.",
        "A further choice is {label}.",
    ),
}
INVENTED = ("The Quiet Meridian (2004)", "Return to Harrow Lane (1987)", "Nine Miles of Silence (1999)")


@dataclass(frozen=True, slots=True)
class Base:
    """What one real turn was about to say. ``candidates``: rows the tools put forward, best first."""

    text: str
    request: Request
    items: tuple[RecommendedItem, ...]
    opening: str
    candidates: tuple[int, ...]
    message: str


class Planter:
    """Plants faults into drafts; every choice is drawn from ``rng``."""

    def __init__(self, catalogue: Catalogue, phrasing: Phrasing, rng: random.Random) -> None:
        self.catalogue, self.phrasing, self.rng = catalogue, phrasing, rng

    def clean(self, base: Base) -> Made:
        """The draft with a true sentence behind it."""
        record = self._record(self.rng.choice(base.items))
        said = self._true(record)
        return self._draft(base, base.items, said), frozenset(base.candidates), "none"

    def plant(self, kind: str, base: Base) -> Made | None:
        """One fault; None where the draft gives no place for it (no director on record, nothing denied, ...)."""
        ways: Mapping[str, Callable[[Base], Made | None]] = {
            "year": self._year,
            "director": self._director,
            "category": self._category,
            "outside": self._outside,
            "seen": self._seen,
        }
        return ways[kind](base)

    # -- the kinds ----------------------------------------------------------------------------------------------------

    def _year(self, base: Base) -> Made | None:
        at = self.rng.randrange(len(base.items))
        item = base.items[at]
        if item.year is None:
            return None
        wrong = item.year + self.rng.choice([-12, -7, -3, -2, -1, 1, 2, 3, 7, 12])
        if str(wrong) in f"{item.title} {base.message} " + " ".join(c.label for c in base.request.conditions):
            return None
        where = self.rng.choice(["list", "record", "sentence"])
        if where == "sentence":
            said = self._pick(YEAR).format(title=item.title, year=wrong)
            return self._draft(base, base.items, said), frozenset(base.candidates), where
        items = list(base.items)
        fields = {**item.fields, "year": wrong}
        if where == "record":
            items[at] = replace(item, fields=fields)
            return self._draft(base, items, ""), frozenset(base.candidates), where
        lines = slate_lines(base.items).splitlines()
        lines[at] = lines[at].replace(f"({item.year})", f"({wrong})", 1)
        return self._text(base, base.items, lines, ""), frozenset(base.candidates), where

    def _director(self, base: Base) -> Made | None:
        at = self.rng.randrange(len(base.items))
        item = base.items[at]
        record = self._record(item)
        wrong = self._other_director(record, base)
        if not record.tags("directors") or wrong is None:
            return None
        where = self.rng.choice(["list", "record", "sentence"])
        items = list(base.items)
        if where == "sentence":
            said = self._directed(record, wrong)
            if said is None:
                return None
            return self._draft(base, items, said), frozenset(base.candidates), where
        if where == "record":
            items[at] = replace(item, fields={**item.fields, "directors": (wrong,)})
            return self._draft(base, items, ""), frozenset(base.candidates), where
        said = f"directed by {wrong}"
        items[at] = replace(item, reason=f"{said}; {item.reason}" if item.reason else said)
        return self._draft(base, items, ""), frozenset(base.candidates), where

    def _category(self, base: Base) -> Made | None:
        denied = [c for c in base.request.hard if c.negative and c.slot == "genres"]
        if not denied:
            return None
        condition = self.rng.choice(denied)
        part = getattr(condition.expr, "part", None)
        if part is None:
            return None
        rows = [row for row in self.catalogue.rows(part).tolist() if row not in base.request.excluded]
        return self._swapped(base, self.rng.choice(rows)) if rows else None

    def _seen(self, base: Base) -> Made | None:
        own = {item.id for item in base.items}
        rows = [r for r in sorted(base.request.excluded) if self.catalogue.item(r).id not in own]
        return self._swapped(base, self.rng.choice(rows)) if rows else None

    def _outside(self, base: Base) -> Made | None:
        record = self._stranger(base)
        where = self.rng.choice(["list", "record", "sentence"])
        if where == "record":  # in the list and in its text, but no tool put it forward
            made = self._swapped(base, record.row)
            return made[0], frozenset(base.candidates) - {record.row}, where
        if where == "sentence":
            if self.rng.random() < 0.2:
                said = f"You might also enjoy {self.rng.choice(INVENTED)}."
            else:
                said = self._pick(OUTSIDE).format(title=record.title, label=record.label)
            return self._draft(base, base.items, said), frozenset(base.candidates), where
        at = self.rng.randrange(len(base.items))
        lines = slate_lines(base.items).splitlines()
        lines[at] = f"{at + 1}. {record.label}" + (f": {base.items[at].reason}" if base.items[at].reason else "")
        return self._text(base, base.items, lines, ""), frozenset(base.candidates), where

    # -- parts --------------------------------------------------------------------------------------------------------

    def _true(self, record: Item) -> str:
        if record.year is not None and self.rng.random() < 0.5:
            return self._pick(YEAR).format(title=record.title, year=record.year)
        if names := record.tags("directors"):
            return self._directed(record, names[0]) or f"{record.label} fits your wish well."
        return f"{record.label} fits your wish well."

    def _directed(self, record: Item, name: str) -> str | None:
        form = self._pick(DIRECTOR)
        if "{star}" not in form:
            return form.format(title=record.title, name=name)
        stars = [star for star in record.tags("cast") if star != name]
        return form.format(title=record.title, name=name, star=stars[0]) if stars else None

    def _pick(self, forms: Mapping[Phrasing, Sequence[str]]) -> str:
        return self.rng.choice(forms[self.phrasing])

    def _swapped(self, base: Base, row: int) -> Made:
        """The item of that row, truly described, in the place of another; the tools are said to have put it forward."""
        record = self.catalogue.item(row)
        items = list(base.items)
        at = self.rng.randrange(len(items))
        fields = {name: value for name, value in record.fields.items() if value is not None and value != ()}
        genres = ", ".join(record.tags("genres")[:3]).lower()
        items[at] = RecommendedItem(record.id, record.title, record.year, genres, items[at].score, fields)
        return self._draft(base, items, ""), frozenset({*base.candidates, row}), "record"

    def _stranger(self, base: Base) -> Item:
        """A film that is neither on the list nor named, nor like one of these by title."""
        known = {item.title.casefold() for item in base.items}
        known |= {r.title.casefold() for r in self.catalogue.items(base.request.references)}
        named = {*base.request.excluded, *base.request.references}
        while True:
            record = self.catalogue.item(self.rng.randrange(self.catalogue.size))
            low = record.title.casefold()
            # A title of one common word ("Up") in running text is not a claim that any reader could be sure of.
            if record.row not in named and len(low.split()) > 1 and not any(low in k or k in low for k in known):
                return record

    def _other_director(self, record: Item, base: Base) -> str | None:
        people = {name for spec in self.catalogue.schema.people() for name in record.tags(spec.name)}
        said = base.message.casefold() + " ".join(c.label for c in base.request.conditions).casefold()
        for _ in range(50):
            other = self.catalogue.item(self.rng.randrange(self.catalogue.size)).tags("directors")
            if other and other[0] not in people and other[0].casefold() not in said:
                return other[0]
        return None

    def _record(self, item: RecommendedItem) -> Item:
        row = self.catalogue.row_of(item.id)
        assert row is not None  # from a turn on this catalogue
        return self.catalogue.item(row)

    def _draft(self, base: Base, items: Sequence[RecommendedItem], said: str) -> SlateDraft:
        return self._text(base, items, slate_lines(items).splitlines(), said)

    def _text(self, base: Base, items: Sequence[RecommendedItem], lines: Sequence[str], said: str) -> SlateDraft:
        return SlateDraft(tuple(items), "\n".join([base.opening, *lines, *([said] if said else [])]))
