"""Step 9 of a turn: what a message says about the user for later, as preference records."""

from __future__ import annotations

import re

from convrec.core.items import Item
from convrec.core.text import clean
from convrec.memory.records import NewPreference, Polarity
from convrec.tools.catalogue import Catalogue
from convrec.tools.predicates import Condition, Not, Op, Test, condition_to_json
from convrec.tools.understand import Understanding

_TASTE = re.compile(
    r"\bi (?:really |just |absolutely )?(?:love|like|adore|enjoy|prefer|hate|dislike|can't stand|don't like)\b"
)
FEEDBACK: dict[str, Polarity] = {"liked": "liked", "disliked": "disliked", "seen": "seen"}


def statements(reading: Understanding, catalogue: Catalogue, session_id: str, turn: int) -> list[NewPreference]:
    """Item feedback, standing instructions and stated tastes of one message."""
    if reading.act in ("forget", "why", "lookup", "profile"):
        return []
    said = clean(reading.text, 300)
    out: list[NewPreference] = []
    for mention in reading.mentions:
        polarity = FEEDBACK.get(mention.polarity)
        if polarity is None:
            continue
        item = catalogue.item(mention.row)
        out.append(item_feedback(catalogue.name, item, polarity, said, session_id, turn))
    taste = _TASTE.search(reading.text.lower()) is not None
    for condition in reading.conditions:
        durable = condition.standing or (taste and condition.slot not in ("year", "runtime") and condition.hard)
        if not durable or (condition.source == "critique" and not condition.standing):
            continue
        out.append(
            NewPreference(
                kind="standing" if condition.standing else "attribute",
                polarity="unwanted" if condition.negative else "wanted",
                subject=_subject(condition),
                text=f"{_prefix(condition)}{condition.label}"[:500],
                said=said,
                confidence=0.95 if condition.standing else 0.7,
                payload={"condition": condition_to_json(condition)},
                source_session=session_id,
                source_turn=turn,
            )
        )
    return out


def _prefix(condition: Condition) -> str:
    if condition.standing:
        return "always: "
    return "" if condition.negative else "likes: "


def item_feedback(
    catalogue: str, item: Item, polarity: Polarity, said: str, session_id: str, turn: int
) -> NewPreference:
    """The record of one liked, disliked or seen item."""
    return NewPreference(
        kind="item",
        polarity=polarity,
        subject=f"item:{item.id}"[:200],
        text=f"{polarity} {item.label}"[:500],
        said=said,
        payload={"item": item.id, "catalogue": catalogue},
        source_session=session_id,
        source_turn=turn,
    )


def _subject(condition: Condition) -> str:
    """The key on which a newer statement supersedes an older one; the sign is not part of it.

    A field of numbers is one subject ("after 2000" supersedes "before 1980"), each tag is one ("horror"), and what is
    put together of several tests goes by its words.
    """
    inner = condition.expr.part if isinstance(condition.expr, Not) else condition.expr
    if not isinstance(inner, Test):
        return f"{condition.slot}: {condition.label.removeprefix('not ')}"[:200]
    numeric = inner.op in (Op.LE, Op.GE)
    return (condition.slot if numeric else f"{condition.slot}={','.join(map(str, inner.values))}")[:200]
