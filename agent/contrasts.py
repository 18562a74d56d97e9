"""What sets the items of a list apart: the facts that a remark is made of, worked out from the records.

A model left with the bare records of a list says what all have in common, which the list shows already, or compares
them wrongly. The comparing is done here; the model only puts it into words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from convrec.agent.reasons import say
from convrec.core.items import Item
from convrec.core.text import fold
from convrec.tools.catalogue import Catalogue
from convrec.tools.schema import FieldSpec, Role

MARGINS: dict[Role, float] = {Role.QUALITY: 3, Role.DURATION: 10, Role.YEAR: 5}
"""How far ahead of the next an item must be, in the field's unit, for the difference to be worth a word."""
_ENDS: tuple[tuple[Role, bool, str], ...] = (
    (Role.QUALITY, True, "the best reviewed"),
    (Role.DURATION, False, "the shortest"),
    (Role.YEAR, True, "the newest"),
    (Role.DURATION, True, "the longest"),
    (Role.YEAR, False, "the oldest"),
)


def shared(items: Sequence[Item], catalogue: Catalogue) -> list[str]:
    """Categories and people that all items have, at most three of each."""
    out: list[str] = []
    for role in (Role.CATEGORY, Role.PERSON):
        for spec in catalogue.schema.fields:
            if spec.role is role and items:
                common = [v for v in items[0].tags(spec.name) if all(v in item.tags(spec.name) for item in items[1:])]
                if common:
                    out.append(say(spec, tuple(common[:3])))
    return out


def contrasts(items: Sequence[Item], catalogue: Catalogue, most: int = 3) -> dict[int, str]:
    """What one item has before all others, by row; at most one thing of an item, of ``most`` items.

    "the shortest, 81 minutes"; "the only comedy". {} for fewer than two items, or when nothing stands out.
    """
    out: dict[int, str] = {}
    if len(items) < 2:
        return out
    for row, text in (*_extremes(items, catalogue), *_onlies(items, catalogue)):
        if len(out) < most and row not in out:
            out[row] = text
    return out


def _extremes(items: Sequence[Item], catalogue: Catalogue, *, margin: bool = True) -> Iterator[tuple[int, str]]:
    for role, highest, words in _ENDS:
        spec = catalogue.schema.by_role(role)
        values = [item.number(spec.name) for item in items] if spec else []
        known = sorted((v for v in values if v is not None), reverse=highest)
        if spec is None or len(known) < max(len(items), 2):
            continue
        if abs(known[0] - known[1]) >= (MARGINS[role] if margin else 1e-9):
            yield items[values.index(known[0])].row, f"{words}, {_value(spec, known[0])}"


def _value(spec: FieldSpec, value: float) -> str:
    shown = f"{value:g}"
    return shown if spec.role is Role.YEAR else f"{shown}{'' if spec.unit == '%' else ' '}{spec.unit}".strip()


def false_superlatives(sentence: str, items: Sequence[Item], catalogue: Catalogue) -> Iterator[str]:
    """Superlatives of a sentence that are another item's, in words. Each is taken to be said of the item named last
    before it, else of the next one."""
    true = {(row, text.split(",")[0]) for row, text in _extremes(items, catalogue, margin=False)}
    places = sorted((at.start(), item) for item in items for at in re.finditer(re.escape(item.title), sentence))
    for _, _, words in _ENDS:
        for found in re.finditer(words.removeprefix("the "), sentence.lower()):
            before = [item for at, item in places if at < found.start()]
            about = before[-1:] or [item for _, item in places][:1]
            if not about or (about[0].row, words) not in true:
                yield f"{about[0].title if about else 'none of them'} is not {words}"
    if " only " in f" {fold(sentence)} ":
        onlies = [fold(text) for _, text in _onlies(items, catalogue)]
        if not any(text in fold(sentence) for text in onlies):
            yield "what one alone has is told in the words of the facts, or left"


def _onlies(items: Sequence[Item], catalogue: Catalogue) -> Iterator[tuple[int, str]]:
    """A category that one item alone has. The first that each lists, since records list the telling ones first."""
    spec = catalogue.schema.by_role(Role.CATEGORY)
    if spec is None:
        return
    for item in items:
        others = {value for other in items if other.row != item.row for value in other.tags(spec.name)}
        own = next((value for value in item.tags(spec.name) if value not in others), None)
        if own is not None:
            yield item.row, f"the only one with {own.lower()}"
