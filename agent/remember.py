"""Step 9 of a turn: what a message says about the user for later, as preference records."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from convrec.agent.conditional import asked, bound
from convrec.agent.memory_words import DENYING, free_taste
from convrec.agent.session import Session
from convrec.core.items import FloatArray, Item
from convrec.core.text import clean, fold
from convrec.memory.notes import notes
from convrec.memory.reading import Need
from convrec.memory.records import NewPreference, Polarity, Scope
from convrec.memory.scopes import read_scope
from convrec.memory.situations import Situation, applies
from convrec.memory.statements import Clause, clauses
from convrec.tools.catalogue import Catalogue
from convrec.tools.lexicon import SMALL_NUMBERS
from convrec.tools.linking_people import fame
from convrec.tools.predicates import Condition, Not, Op, Test, condition_to_json
from convrec.tools.read_conditions import ConditionReader
from convrec.tools.read_numbers import YearContext
from convrec.tools.references import Mention
from convrec.tools.schema import Role
from convrec.tools.spans import Message
from convrec.tools.understand import Understanding

FEEDBACK: dict[str, Polarity] = {"liked": "liked", "disliked": "disliked", "seen": "seen"}
CHILD_AGE = 12
"""Oldest age, years, at which somebody who is watching makes it an evening with children."""
SILENT_ACTS = ("forget", "why", "lookup", "profile")
"""Turns that say nothing about the user for later."""
_NEVER = re.compile(r"\bnever(?: (?:show me|watch|give me|recommend|suggest))?(?P<any> anything)?(?= )", re.IGNORECASE)
_ORDER = re.compile(
    r"^\W*(?:please\W+)?(?:don'?t|do not|never)\s+(?:ever\s+)?(?:show|give|recommend|suggest|offer|play|pick|list|"
    r"bring|send)\b(?!.*\b(?:unless|except|but|only)\b)"
)
"""A denial of all that follows; the readers see it only right before what it denies."""
_KNOWN = 0.9
"""Popularity from which one plain lower-case word is a title: "I loved heat", but not "I love pizza"."""


@dataclass(slots=True)
class Listener:
    """Reads what a message says about the user, for one catalogue. Holds caches only."""

    catalogue: Catalogue
    reader: ConditionReader
    _known: FloatArray | None = field(init=False, default=None)

    def statements(self, reading: Understanding, session_id: str, turn: int, at: datetime) -> list[NewPreference]:
        """Item feedback, standing instructions, stated tastes, facts. ``at``: when it was said."""
        if reading.act in SILENT_ACTS:
            return []
        reading = replace(reading, mentions=tuple(m for m in reading.mentions if self._is_title(m)))
        said = clauses(reading.text, at)
        out = [*self._items(reading, said, session_id, turn)]
        for clause in said:
            clause = self._bound(clause, reading)
            found = list(self._tastes(reading, clause, session_id, turn))
            if not found:
                found = [self._actable(n.preference(clause, session_id, turn), clause) for n in notes(clause)]
            out += found
        return list({(p.subject, p.scope.key, p.polarity): p for p in out}.values())

    def _items(
        self, reading: Understanding, said: Sequence[Clause], session_id: str, turn: int
    ) -> Iterator[NewPreference]:
        for mention in reading.mentions:
            polarity = FEEDBACK.get(mention.polarity)
            clause = clause_of(mention.said, reading.text, said)
            if polarity is None or clause.refused or clause.whose:
                continue
            item = self.catalogue.item(mention.row)
            yield item_feedback(
                self.catalogue.name, item, polarity, clean(clause.text, 300), session_id, turn, strength=clause.strength
            )

    def _tastes(self, reading: Understanding, clause: Clause, session_id: str, turn: int) -> Iterator[NewPreference]:
        if not clause.durable:
            return
        conditions = self.conditions(reading, clause)
        lasting = [
            c for c in conditions if clause.standing or (c.slot not in ("year", "runtime") and c.source != "critique")
        ]
        for condition in lasting:
            yield self._stated(condition, clause, session_id, turn)
        if not lasting and not self._names_item(reading, clause) and (free := free_taste(clause)) is not None:
            what, polarity = free
            yield _in_words(what, polarity, clause, session_id, turn, confidence=0.9 if clause.standing else 0.6)

    def proposed(self, about: str, likes: bool, clause: Clause, session_id: str, turn: int) -> Iterator[NewPreference]:
        """The records of a taste that a model found in a clause, in the catalogue's terms where it has them."""
        found = self.reader.read(Message.of(about.lower()), YearContext(self.reader.newest))
        lasting = [c for c in found if c.slot not in ("year", "runtime") and c.source != "critique" and not c.negative]
        for condition in lasting:
            condition = replace(condition if likes else _denied(condition), source="llm", hard=False)
            stated = self._stated(condition, replace(clause, standing=False), session_id, turn)
            yield stated.model_copy(update={"confidence": 0.5, "payload": stated.payload | {"source": "llm"}})
        if not lasting:
            yield _in_words(clean(about, 120), "wanted" if likes else "unwanted", replace(clause, standing=False),
                            session_id, turn, confidence=0.4, source="llm")  # fmt: skip

    def _bound(self, clause: Clause, reading: Understanding | None = None) -> Clause:
        """The clause, with the category, origin or person that it is for as its condition."""
        names = [m.said for m in reading.mentions if m.how != "reference"] if reading is not None else []
        people = [c for c in reading.conditions if c.slot.startswith("person:")] if reading is not None else []
        names += [c.said for c in people]

        def read(text: str) -> list[Condition]:
            body = Message.of(_readable(text))
            found = self.reader.read(body.masked(_spans_of(names, body.low)), YearContext(self.reader.newest))
            return [*found, *(c for c in people if _says(body.low, c.said))]

        category = self.catalogue.schema.by_role(Role.CATEGORY)
        return bound(clause, read, category.name if category else "")

    def _actable(self, note: NewPreference, clause: Clause) -> NewPreference:
        """A note with the condition that the catalogue has for it, if any: a language, a child's age, their taste."""
        topic, text = note.payload.get("topic"), clause.text.lower()
        if topic in ("language", "learning"):
            text = f"films in {note.text.rpartition(' ')[2].lower()}"
        elif (
            topic == "person"
            and (age := re.search(r"\bis (\w+)(?: years old)?$", note.text))
            and _years(age[1]) <= CHILD_AGE
        ):
            text = "suitable for kids"
        elif topic != "their taste":
            return note
        found = self.reader.read(Message.of(text), YearContext(self.reader.newest))
        if not found:
            return note
        condition = replace(found[0], hard=topic == "person", standing=False)
        return note.model_copy(update={"payload": note.payload | {"condition": condition_to_json(condition)}})

    def _stated(self, condition: Condition, clause: Clause, session_id: str, turn: int) -> NewPreference:
        condition = replace(condition, standing=clause.standing)
        return NewPreference(
            kind="standing" if clause.standing else "attribute",
            polarity="unwanted" if condition.negative else "wanted",
            subject=subject_of(condition),
            text=clean(f"{_prefix(condition)}{condition.label}{_when(clause.scope)}", 500),
            said=clean(clause.text, 300),
            confidence=0.95 if clause.standing else 0.7,
            strength=clause.strength,
            scope=clause.scope,
            valid_until=clause.until,
            payload={"condition": condition_to_json(condition)},
            source_session=session_id,
            source_turn=turn,
        )

    def reread(self, text: str, edited: NewPreference) -> NewPreference:
        """An edited record as it is read from its new words, so that the next slate keeps to them.

        A word of liking or denial in the text decides over the polarity given beside it; a condition in it ("when the
        kids are here") becomes its scope.
        """
        low = text.lower()
        found = [self._bound(c) for c in clauses(text, datetime.now(UTC))]
        conditional = next((c for c in found if not c.scope.empty), None)
        scope = conditional.scope if conditional is not None else edited.scope
        body = conditional.body if conditional is not None and len(found) == 1 else read_scope(low)[1]
        read = self.reader.read(Message.of(_readable(body)), YearContext(self.reader.newest))
        denies = edited.polarity in ("unwanted", "disliked")
        if DENYING.search(low) or re.search(r"\b(?:hates?|dislikes?)\b", low):
            denies = True
        elif re.search(r"\b(?:likes?|loves?|wants?|always|only|prefers?)\b", low):
            denies = False
        if edited.kind == "note":
            return edited.model_copy(update={"payload": {}, "scope": scope})
        standing = edited.kind == "standing" or any(c.standing for c in found)
        change: dict[str, Any] = {"scope": scope, "kind": "standing" if standing else edited.kind,
                                  "polarity": "unwanted" if denies else "wanted"}  # fmt: skip
        if read:
            condition = _denied(read[0]) if denies else read[0]
            condition = replace(condition, standing=standing)
            change |= {"payload": {"condition": condition_to_json(condition)}, "subject": subject_of(condition)}
        else:
            change["payload"] = {"words": clean(text, 120)}
        return edited.model_copy(update=change)

    def conditions(self, reading: Understanding, clause: Clause) -> list[Condition]:
        """The conditions of one clause, read from it alone: its own denials, not those of its neighbours."""
        body = Message.of(_readable(clause.body))
        names = [m.said for m in reading.mentions if m.how != "reference"] + [p.said for p in reading.people]
        found = self.reader.read(body.masked(_spans_of(names, body.low)), YearContext(self.reader.newest))
        people = [c for c in reading.conditions if c.slot.startswith("person:") and _says(body.low, c.said)]
        out = [*found, *people]
        # "documentaries bore me": the readers look for a denial before the word, here it stands behind.
        if (clause.sign == "unwanted" and not clause.standing) or clause.flips:
            out = [_denied(c) for c in out]
        elif _ORDER.search(clause.body):
            out = [_denied(c) if isinstance(c.expr, Test) and c.expr.op is Op.ANY else c for c in out]
        return list({(c.expr, c.negative): c for c in out}.values())

    def _is_title(self, mention: Mention) -> bool:
        """Whether a word is used as the title of an item, for what is kept for good: not "pizza" in "I love pizza"."""
        plain = mention.how != "reference" and mention.said.islower() and len(mention.said.split()) == 1
        return not plain or float(self._fame()[mention.row]) >= _KNOWN

    def _fame(self) -> FloatArray:
        if self._known is None:
            self._known = fame(self.catalogue)
        return self._known

    def _names_item(self, reading: Understanding, clause: Clause) -> bool:
        return any(_says(clause.text.lower(), m.said) for m in reading.mentions)


def need_of(reading: Understanding, session: Session, at: datetime) -> Need:
    """A reading as memory sees it."""
    return Need(
        text=reading.text,
        at=at.astimezone(),
        before=tuple(session.situation),
        asked=asked([*reading.conditions, *(session.conditions if reading.continues else ())]),
        slots=tuple(dict.fromkeys(subject_of(c) for c in reading.conditions if not c.standing)),
        queries=(reading.query,) if reading.query else (),
        similar=reading.act in ("recommend", "other"),
    )


def for_now(conditions: Sequence[Condition], text: str, now: Situation) -> tuple[list[Condition], list[str]]:
    """The conditions of a message that apply at once, and those that it makes for other times, in words.

    "Never horror when the kids are here", said alone on the sofa, takes no horror film off today's list.
    """
    conditional = [c for c in clauses(text, now.at) if not c.scope.empty and c.standing]
    kept: list[Condition] = []
    put_off: list[str] = []
    for condition in conditions:
        clause = next((c for c in conditional if _says(c.text.lower(), condition.said)), None)
        if clause is None:
            kept.append(condition)
        elif not _says(clause.body, condition.said):
            continue  # words of the circumstances ("with my kids"), no wish
        elif (fits := applies(clause.scope, now))[0]:
            kept.append(condition)
        else:
            put_off.append(f"{condition.label}: {fits[1]}")
    return kept, put_off


def clause_of(said: str, text: str, found: Sequence[Clause]) -> Clause:
    """The clause in which something was said, the last one that holds the words; an empty one when none does."""
    holding = [c for c in found if _says(c.text.lower(), said)]
    meant = [c for c in holding if not c.refused and not c.whose]
    return (meant or holding or [Clause(text, 0, len(text), text.lower())])[-1]


def _says(low: str, said: str) -> bool:
    return bool(said) and said.lower().replace("’", "'") in low


def _spans_of(names: Sequence[str], low: str) -> list[tuple[int, int]]:
    return [m.span() for name in names if name for m in re.finditer(re.escape(name.lower()), low)]


def _denied(condition: Condition) -> Condition:
    if condition.negative or isinstance(condition.expr, Not):
        return condition
    return replace(condition, expr=Not(condition.expr), label=f"not {condition.label}", negative=True)


def _readable(body: str) -> str:
    """A clause in the form that the readers know: "never anything sad" as "nothing sad", no gaps where words were
    blanked out."""
    return " ".join(_NEVER.sub(lambda m: "nothing" if m["any"] else "no", body).split())


def _years(word: str) -> int:
    number = SMALL_NUMBERS.get(word) or (int(word) if word.isdecimal() else 0)
    return number or {"eleven": 11, "twelve": 12}.get(word, CHILD_AGE + 1)


def _when(scope: Scope) -> str:
    return f" ({scope.words})" if not scope.empty else ""


def _prefix(condition: Condition) -> str:
    if condition.standing:
        return "always: "
    return "" if condition.negative else "likes: "


def _in_words(
    what: str, polarity: Polarity, clause: Clause, session_id: str, turn: int, *, confidence: float, source: str = ""
) -> NewPreference:
    """The record of a taste that no field of the catalogue has."""
    return NewPreference(
        kind="standing" if clause.standing else "attribute",
        polarity=polarity,
        subject=f"taste={fold(what)}"[:200],
        text=f"{'always: ' if clause.standing else ''}{'likes: ' if polarity == 'wanted' else 'not '}{what}",
        said=clean(clause.text, 300),
        confidence=confidence,
        strength=clause.strength,
        scope=clause.scope,
        valid_until=clause.until,
        payload={"words": what} | ({"source": source} if source else {}),
        source_session=session_id,
        source_turn=turn,
    )


def item_feedback(
    catalogue: str,
    item: Item,
    polarity: Polarity,
    said: str,
    session_id: str,
    turn: int,
    *,
    strength: float = 0.7,
) -> NewPreference:
    """The record of one liked, disliked, seen or rejected item."""
    return NewPreference(
        kind="item",
        polarity=polarity,
        subject=f"item:{item.id}"[:200],
        text=f"{polarity} {item.label}"[:500],
        said=said,
        strength=strength,
        payload={"item": item.id, "catalogue": catalogue},
        source_session=session_id,
        source_turn=turn,
    )


def subject_of(condition: Condition) -> str:
    """The key on which a newer statement supersedes an older one; the sign is not part of it.

    A field of numbers is one subject ("after 2000" supersedes "before 1980"), each tag is one ("horror"), and what is
    put together of several tests goes by its words.
    """
    inner = condition.expr.part if isinstance(condition.expr, Not) else condition.expr
    if not isinstance(inner, Test):
        return f"{condition.slot}: {condition.label.removeprefix('not ')}"[:200]
    numeric = inner.op in (Op.LE, Op.GE)
    return (condition.slot if numeric else f"{condition.slot}={','.join(map(str, inner.values))}")[:200]
