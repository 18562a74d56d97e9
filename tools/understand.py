"""Step 1 of a turn: everything rules can read from a message, given the conversation so far."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from convrec.core.text import fold
from convrec.tools.acts import MORE, NO_FIRST, REJECTS, Act, classify
from convrec.tools.asides import find_asides
from convrec.tools.catalogue import Catalogue
from convrec.tools.complaints import as_critique
from convrec.tools.follow_ups import adds, continues, goes_on_from, lifted_slots
from convrec.tools.lexicon import SMALL_NUMBERS
from convrec.tools.linking import Linker
from convrec.tools.linking_people import PersonLink
from convrec.tools.linking_titles import Links, UnknownTitle
from convrec.tools.predicates import Condition
from convrec.tools.read_conditions import ConditionReader
from convrec.tools.read_described import described
from convrec.tools.read_numbers import YearContext
from convrec.tools.read_people import PeopleReader
from convrec.tools.read_query import read_query
from convrec.tools.references import (
    Focus,
    Mention,
    Pointer,
    Polarity,
    References,
    find_mentions,
    find_references,
)
from convrec.tools.schema import Role
from convrec.tools.spans import Message
from convrec.tools.spelling import Spelling
from convrec.tools.standing import STANDING, lasting

MOST_WANTED = 20
"""Items given at most in one answer."""


@dataclass(frozen=True, slots=True)
class Understanding:
    """What was read from one message. Rows refer to the catalogue."""

    text: str
    act: Act
    mentions: tuple[Mention, ...] = ()
    people: tuple[PersonLink, ...] = ()
    unknown: tuple[UnknownTitle, ...] = ()
    conditions: tuple[Condition, ...] = ()
    asked_fields: tuple[str, ...] = ()
    """Fields a look-up is about; () with act "lookup" means "tell me about it"."""
    person_of: tuple[str, tuple[int, ...]] | None = None
    """(person field, rows): "by the director of Heat" -> ("directors", (row of Heat,))."""
    person_of_unknown: bool = False
    """ "by the director of X" where X is not in the catalogue."""
    continues: bool = False
    """The message narrows or criticises the running request instead of starting a new one."""
    adds: tuple[str, ...] = ()
    """Slots on which the new conditions come beside those of the running request instead of in their place."""
    rejects: bool = False
    """The whole list shown before is turned down: "none of these"."""
    wants_more: bool = False
    """ "anything else", "other ones"."""
    reference_unclear: str = ""
    """A "the seventh one" that points at nothing."""
    unmeasured: tuple[str, ...] = ()
    """Complaints that nothing on record can answer: "too weird"."""
    count: int | None = None
    """How many items are wanted: "just one", "3 comedies"; None when not said."""
    dropped: tuple[Condition, ...] = ()
    """What is taken back: "never mind the western"."""
    lifted: tuple[str, ...] = ()
    """Slots on which the running request sets no condition any more: "forget the year limit"."""
    query: str = ""
    """What is left of the wish once names and conditions are taken out; for semantic search."""

    def rows(self, *polarities: Polarity) -> tuple[int, ...]:
        return tuple(dict.fromkeys(m.row for m in self.mentions if m.polarity in polarities))


_THIRD_PERSON = re.compile(
    r"\bmy (?:\w+ )?(?:sister|brother|friends?|wife|husband|partner|girlfriend|boyfriend|mum|mom|dad|mother|father|"
    r"boss|roommate|flatmate|colleagues?|neighbou?r|ex)\s+(?:really |always |only )?"
    r"(?:lov|lik|hat|watch|enjoy|prefer|want)[^,.;!?]*"
)
_TAKES_BACK = re.compile(
    r"\bnever ?mind\b|\bforget (?:about )?(?:the|that|those)\b(?! i\b)|"
    r"\bforget (?:about )?(?=(?:drama|comed|horror|thriller|western|romance|action|crime|war|sci-?fi|fantasy|animation|"
    r"musical|documentar|myster))|"
    r"\b(?:scratch|scrap|strike|ditch) (?:that|this|it)\b"
)
_CLAUSE = re.compile(r"[.;:!?,\n]|\bbut\b|\binstead\b|\band\b|\bi(?:'d)? (?:want|rather|prefer)\b")
_COUNT = re.compile(
    r"(?:\b(?:just|only|exactly)\s+(one|a single)\b(?!\s+(?:from|by|with|that)\b)|\btop\s+(\d{1,2})\b|"
    r"(?<![-\w=.])(\d{1,2}|two|three|four|five|six|seven|eight|nine|ten)\s+((?:[a-z][a-z-]*\s+){0,3}?)"
    r"([a-z-]+s)\b)"
)
_ITEMS = frozenset("films movies flicks suggestions recommendations options picks titles ideas".split())  # noqa: SIM905
_OF_A_PLACE = re.compile(r"\b(?:in|from|to|at|near|of|for|an?|the|my|is|am|i'm|around|outside)\s+$")


@dataclass(slots=True)
class Understander:
    """Rule reader for one catalogue; holds caches only, safe for several threads."""

    catalogue: Catalogue
    reader: ConditionReader = field(init=False)
    linker: Linker = field(init=False)
    spelling: Spelling = field(init=False)
    people: PeopleReader = field(init=False)
    _nouns: frozenset[str] = field(init=False)
    _countable: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        schema = self.catalogue.schema
        self._nouns = frozenset({fold(schema.item_noun), fold(schema.item_noun_plural)})
        self.reader = ConditionReader(self.catalogue)
        self._countable = self._nouns | _ITEMS | self.reader.kinds()
        self.spelling = Spelling(self.catalogue)
        self.people = PeopleReader(self.catalogue)
        self.linker = Linker(self.catalogue, self.reader.reserved_words(), self.reader.places())

    def read(self, text: str, focus: Focus) -> Understanding:
        """Read one message of a user. ``focus`` is what the conversation has been about."""
        critique = as_critique(text, running=bool(focus.slate or focus.started))
        message = Message.of(self.spelling.correct(critique.text))
        links = self.linker.link(message)
        links, asides = _without_asides(message, links, self.reader.kinds())
        masked = message.masked([*links.spans(), *asides])
        pointed = find_references(masked, focus)
        if found := described(message, links, focus, self.catalogue):
            pointed, links = _with_described(pointed, links, *found)
        mentions = find_mentions(message, links, pointed.pointers)
        others = [m.span() for m in _THIRD_PERSON.finditer(masked.low)]  # a sister's taste is not the user's
        rest = masked.masked([*pointed.spans, *others])
        person_of, person_unknown = self.people.by_way_of(message, links, pointed.pointers)
        references = tuple(m.row for m in mentions if m.polarity in ("liked", "like")) or focus.references
        context = self._year_context(references or focus.slate or (() if focus.last is None else (focus.last,)))
        lifted, rest = lifted_slots(rest, self.catalogue.schema) if focus.slate or focus.started else ((), rest)
        taken_back, rest = _taken_back(rest)
        dropped = self.reader.read(taken_back, context) if taken_back is not None else []
        conditions = self.reader.read(rest, context)
        conditions += self.people.conditions(message, links.people)
        if (same := self.people.same(masked, focus, [m.row for m in mentions])) is not None:
            conditions.append(same)
        query = read_query(rest.masked([m.span() for m in STANDING.finditer(rest.low)]), conditions, self._nouns)
        if _about_something_else(masked.low, conditions, self._nouns):
            conditions = []
        act, asked = classify(
            _with_it(message, links, pointed.spans),
            self.catalogue.schema,
            target=bool(mentions or links.unknown or pointed.unclear),
            takes_back=bool(dropped or lifted),
            opinion=any(m.polarity in ("liked", "disliked", "seen") for m in mentions),
            conditions=bool(conditions),
            kinds=bool(links.people) or any(c.slot in self._category_fields() for c in conditions),
            person_of=person_of is not None or person_unknown,
            people=bool(links.people),
            query=query,
            running=bool(focus.slate or focus.references),
            offered=focus.asked,
        )
        if act == "lookup":
            mentions = tuple(replace(m, polarity="asked") if m.polarity in ("named", "like") else m for m in mentions)
            conditions = []
        refused = REJECTS.search(masked.low) or (not focus.asked and NO_FIRST.search(masked.low))
        rejects = act == "recommend" and bool(focus.slate) and bool(refused)
        if act in ("recommend", "other") and conditions:
            conditions = self._marked(conditions, rest, links.people, context)
        return Understanding(
            text=text,
            act=act,
            mentions=mentions,
            people=links.people,
            unknown=links.unknown,
            conditions=tuple(conditions),
            asked_fields=asked,
            person_of=person_of,
            person_of_unknown=person_unknown,
            continues=bool(lifted)
            or (critique.found and act == "recommend" and bool(focus.slate))
            or (bool(dropped) and not conditions)
            or (rejects and goes_on_from(masked.low))
            or continues(masked, mentions, conditions, person_of is not None, query, self._category_fields()),
            adds=self._category_fields() if adds(masked.low) else (),
            rejects=rejects,
            dropped=tuple(dropped),
            lifted=lifted,
            count=_count(masked.low, self._countable),
            wants_more=MORE.search(masked.low) is not None,
            reference_unclear=pointed.unclear,
            unmeasured=critique.unmeasured if act == "recommend" else (),
            query=query,
        )

    def _marked(
        self, conditions: list[Condition], rest: Message, people: Sequence[PersonLink], context: YearContext
    ) -> list[Condition]:
        """The conditions, those that stand in a part meant for good marked as standing."""
        parts = list(lasting(rest.low))
        if not parts:
            return conditions
        meant: set[tuple[str, str]] = set()
        for start, end in parts:
            inside = rest.masked([(0, start), (end, len(rest.low))])
            found = self.reader.read(inside, context)
            found += self.people.conditions(inside, tuple(p for p in people if start <= p.start < end))
            meant |= {(c.slot, c.label) for c in found}
        # A part that says nothing by itself ("as a rule") speaks of the whole message.
        return [replace(c, standing=True) if not meant or (c.slot, c.label) in meant else c for c in conditions]

    def _category_fields(self) -> tuple[str, ...]:
        spec = self.catalogue.schema.by_role(Role.CATEGORY)
        return (spec.name,) if spec else ()

    # -- parts ------------------------------------------------------------------------------------------------------

    def _year_context(self, rows: tuple[int, ...]) -> YearContext:
        schema = self.catalogue.schema
        year, minutes = schema.by_role(Role.YEAR), schema.by_role(Role.DURATION)
        return YearContext(
            self.reader.newest,
            self._numbers(year.name, rows) if year else (),
            self._numbers(minutes.name, rows) if minutes else (),
        )

    def _numbers(self, field_name: str, rows: tuple[int, ...]) -> tuple[int, ...]:
        values = self.catalogue.numeric(field_name)[list(rows)] if rows else ()
        return tuple(int(v) for v in values if v == v)


def _about_something_else(low: str, conditions: Sequence[Condition], nouns: frozenset[str]) -> bool:
    """A question of fact that merely holds a year: "who won the cup in 2010?"."""
    numbers = all(any(ch.isdigit() for ch in c.said) for c in conditions)
    asks = re.match(r"\W*(?:who|when|where|how (?:much|many)|what (?:is|was|are|were))\b", low) is not None
    return numbers and asks and not (nouns & set(low.split())) and "watch" not in low


def _without_asides(message: Message, links: Links, kinds: frozenset[str]) -> tuple[Links, list[tuple[int, int]]]:
    """The links without places and names of what the user tells of themselves, and the spans of such talk."""
    asides = find_asides(message.masked(links.spans()), kinds)
    if not asides:
        return links, []

    def named(start: int) -> bool:
        told = any(first <= start < last for first, last in asides)
        return not (told and _OF_A_PLACE.search(message.low[:start]))

    titles = tuple(x for x in links.titles if named(x.start))
    asides = [(s, e) for s, e in asides if not any(s <= x.start < e for x in titles)]
    people = tuple(x for x in links.people if not any(s <= x.start < e for s, e in asides))
    return Links(
        titles, people, tuple(x for x in links.unknown if not any(s <= x.start < e for s, e in asides))
    ), asides


def _with_described(pointed: References, links: Links, pointer: Pointer, end: int) -> tuple[References, Links]:
    """The references with "the one with Ryan Gosling", and the links without those that describe it."""
    span = (pointer.start, end)
    others = tuple(p for p in pointed.pointers if p.row != pointer.row and p.said.lower() not in ("it", "that", "this"))
    people = tuple(x for x in links.people if not span[0] <= x.start < span[1])
    return References((pointer, *others), "", (*pointed.spans, span)), replace(links, people=people)


def _taken_back(rest: Message) -> tuple[Message | None, Message]:
    """The clause of "never mind the western" and the message without it; (None, all of it) when nothing is taken
    back."""
    m = _TAKES_BACK.search(rest.low)
    if m is None:
        return None, rest
    ends = _CLAUSE.search(rest.low, m.end())
    start, end = m.start(), ends.start() if ends else len(rest.low)
    return rest.masked([(0, start), (end, len(rest.low))]), rest.masked([(start, end)])


def _with_it(message: Message, links: Links, pointers: Sequence[tuple[int, int]]) -> str:
    """The lower-case text with every title and "the second one" replaced by "it": "who directed it?"."""
    low = message.low
    named = [*((x.start, x.end) for x in links.titles), *((x.start, x.end) for x in links.unknown)]
    spans = [*named, *pointers]
    for start, end in sorted(spans, reverse=True):
        low = f"{low[:start]}it{low[end:]}"
    return low


def _count(low: str, items: Collection[str]) -> int | None:
    """How many are wanted: "just one", "five great romcoms". ``items``: words for items and their kinds."""
    for m in _COUNT.finditer(low):
        if m[1]:
            return 1
        word = m[2] or m[3]
        if m[2] or (m[5] in items and not re.search(r"\b(?:of|are|is|hours?|minutes?|years?|people|or|and)\b", m[4])):
            return min(max(SMALL_NUMBERS.get(word) or int(word), 1), MOST_WANTED)
    return None
