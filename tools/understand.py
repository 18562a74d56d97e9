"""Step 1 of a turn: everything rules can read from a message, given the conversation so far."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from convrec.core.text import fold
from convrec.tools.acts import MORE, NO_FIRST, REJECTS, Act, classify
from convrec.tools.asides import find_asides
from convrec.tools.catalogue import Catalogue
from convrec.tools.follow_ups import adds, continues, goes_on_from
from convrec.tools.lexicon import FUNCTION_WORDS, NARROWER, SMALL_NUMBERS
from convrec.tools.lexicon_words import STRAY_WORDS
from convrec.tools.linking import Linker
from convrec.tools.linking_people import PersonLink
from convrec.tools.linking_titles import Links, UnknownTitle
from convrec.tools.predicates import AnyOf, Condition, Expr, Not, Op, Test
from convrec.tools.read_conditions import ConditionReader
from convrec.tools.read_numbers import YearContext
from convrec.tools.references import Focus, Mention, Pointer, Polarity, find_mentions, find_references
from convrec.tools.schema import Role
from convrec.tools.spans import Message
from convrec.tools.spelling import Spelling

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
    count: int | None = None
    """How many items are wanted: "just one", "3 comedies"; None when not said."""
    dropped: tuple[Condition, ...] = ()
    """What is taken back: "never mind the western"."""
    query: str = ""
    """What is left of the wish once names and conditions are taken out; for semantic search."""

    def rows(self, *polarities: Polarity) -> tuple[int, ...]:
        return tuple(dict.fromkeys(m.row for m in self.mentions if m.polarity in polarities))


_SAME_PERSON = re.compile(
    r"\b(?:by|from|with|of)\s+(?:the\s+)?(?:same|that)\s+(director|actor|actress|writer|cast|person)|"
    r"\b(?:by|from)\s+(?:him|her|them)\b|\bwith\s+(?:him|her)\s+in\s+it\b|"
    r"\b(?:his|her)\s+other\s+(?:films|movies|work)\b"
)
_PERSON_OF = re.compile(
    r"\b(director|directors|filmmaker|maker|makers|writer|writers|star|stars|cast|actors?|lead)\s+"
    r"(?:of|from|behind|in)\s+$"
)
_STANDING = re.compile(
    r"\b(?:always|never(?! ?mind)|ever|from now on|in general|as a rule|every time|generally|at all times|forever)\b"
)
_THIRD_PERSON = re.compile(
    r"\bmy (?:\w+ )?(?:sister|brother|friends?|wife|husband|partner|girlfriend|boyfriend|mum|mom|dad|mother|father|"
    r"boss|roommate|flatmate|colleagues?|neighbou?r|ex)\s+(?:really |always |only )?"
    r"(?:lov|lik|hat|watch|enjoy|prefer|want)[^,.;!?]*"
)
_TAKES_BACK = re.compile(r"\bnever ?mind\b|\bforget (?:about )?(?:the|that|those)\b(?! i\b)|\bscratch that\b")
_CLAUSE = re.compile(r"[.;:!?,\n]|\bbut\b|\binstead\b|\band\b|\bi(?:'d)? (?:want|rather|prefer)\b")
_COUNT = re.compile(
    r"(?:\b(?:just|only|exactly)\s+(one|a single)\b(?!\s+(?:from|by|with|that)\b)|\btop\s+(\d{1,2})\b|"
    r"(?<![-\w])(\d{1,2}|two|three|four|five|six|seven|eight|nine|ten)\s+(?:more\s+|good\s+|other\s+|different\s+)*(?:[a-z-]+\s+)?"
    r"(?:films?|movies?|comed\w+|thrillers?|westerns?|dramas?|horrors?|suggestions?|recommendations?|options?|picks?)\b)"
)
_DENIES = re.compile(r"\b(?:no|not|nothing|without|never|don'?t|doesn'?t|isn'?t|hate|avoid)\b")
_DENIED = re.compile(
    _DENIES.pattern
    + r".*?(?:$|[.;!?]|\b(?=(?:but|maybe|perhaps|instead|rather|preferably|just|only|something|i want|i'd)\b))",
    re.DOTALL,
)
_OF_A_PLACE = re.compile(r"\b(?:in|from|to|at|near|of|for|an?|the|my|is|am|i'm|around|outside)\s+$")
_KIN = (
    r"(?:wife|husband|partner|spouse|girlfriend|boyfriend|fianc\w+|mum|mom|mother|dad|father|parents|gran\w*|sisters?|"
    r"brothers?|siblings?|sons?|daughters?|nephews?|nieces?|cousins?|friends?|flatmates?|roommates?|colleagues?|family)"
)
_COMPANY = re.compile(
    rf"\b(?:for|with|and|,) (?:my|our) (?:[\w-]+ ){{0,2}}{_KIN}\b(?:(?:,| and| &) (?:me|i|myself)\b)?"
)
"""Who watches too: no topic to search for ("a comedy for my daughter and me")."""
_CONTRACTED = re.compile(r"n't$|'(?:re|ll|ve|d|m)$|^(?:there|that|it|he|she|what|who|where|here|how|let|when)'?s$")
_ASKS_NAME = re.compile(r"\bwho\b|\bwho'?s\b|\bwhat(?:'?s| is) the name of\b|\btell me\b")
_SEARCH_STOP = FUNCTION_WORDS | STRAY_WORDS


@dataclass(slots=True)
class Understander:
    """Rule reader for one catalogue; holds caches only, safe for several threads."""

    catalogue: Catalogue
    reader: ConditionReader = field(init=False)
    linker: Linker = field(init=False)
    spelling: Spelling = field(init=False)
    _nouns: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        schema = self.catalogue.schema
        self._nouns = frozenset({fold(schema.item_noun), fold(schema.item_noun_plural)})
        self.reader = ConditionReader(self.catalogue)
        self.spelling = Spelling(self.catalogue)
        self.linker = Linker(self.catalogue, self.reader.reserved_words(), self.reader.places())

    def read(self, text: str, focus: Focus) -> Understanding:
        """Read one message of a user. ``focus`` is what the conversation has been about."""
        message = Message.of(self.spelling.correct(text))
        links = self.linker.link(message)
        links, asides = _without_asides(message, links, self.reader.kinds())
        masked = message.masked([*links.spans(), *asides])
        pointed = find_references(masked, focus)
        mentions = find_mentions(message, links, pointed.pointers)
        others = [m.span() for m in _THIRD_PERSON.finditer(masked.low)]  # a sister's taste is not the user's
        rest = masked.masked([*pointed.spans, *others])
        person_of, person_unknown = self._person_of(message, links, pointed.pointers)
        references = tuple(m.row for m in mentions if m.polarity in ("liked", "like")) or focus.references
        context = self._year_context(references or focus.slate or (() if focus.last is None else (focus.last,)))
        taken_back, rest = _taken_back(rest)
        dropped = self.reader.read(taken_back, context) if taken_back is not None else []
        conditions = self.reader.read(rest, context)
        conditions += self._people_conditions(message, links.people)
        if (same := self._same_person(masked, focus)) is not None:
            conditions.append(same)
        query = _query(rest, conditions, self._nouns)
        if _about_something_else(masked.low, conditions, self._nouns):
            conditions = []
        act, asked = classify(
            _with_it(message, links, pointed.spans),
            self.catalogue.schema,
            target=bool(mentions or links.unknown or pointed.unclear),
            takes_back=bool(dropped),
            opinion=any(m.polarity in ("liked", "disliked", "seen") for m in mentions),
            conditions=bool(conditions),
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
        standing = act in ("recommend", "other") and bool(conditions) and _STANDING.search(rest.low) is not None
        if standing:
            conditions = [replace(c, standing=True) for c in conditions]
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
            continues=(bool(dropped) and not conditions)
            or (rejects and goes_on_from(masked.low))
            or continues(masked, mentions, conditions, person_of is not None, query, self._category_fields()),
            adds=self._category_fields() if adds(masked.low) else (),
            rejects=rejects,
            dropped=tuple(dropped),
            count=_count(masked.low),
            wants_more=MORE.search(masked.low) is not None,
            reference_unclear=pointed.unclear,
            query=query,
        )

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

    def _people_conditions(self, message: Message, people: Sequence[PersonLink]) -> list[Condition]:
        """One condition per person; "Nolan or Fincher" is one condition on either."""
        denied = {p.name for p in people if p.negative}
        if both := denied & {p.name for p in people if not p.negative}:  # "his films, but without him in them"
            people = [_in_role(p) if p.name in both else p for p in people]
        out: list[Condition] = []
        ends: list[int] = []
        for person in people:
            condition = self._person_condition(person, message.hedged(person.start, person.end))
            if out and re.fullmatch(r"\s*(?:,\s*)?or (?:by |with )?", message.low[ends[-1] : person.start]):
                previous = out.pop()
                either = AnyOf((_inner(previous.expr), self._has(person)))
                label = f"{previous.label} or {condition.label.removeprefix('not ')}"
                condition = replace(previous, expr=Not(either) if previous.negative else either, label=label)
                ends.pop()
            out.append(condition)
            ends.append(person.end)
        return out

    def _has(self, person: PersonLink) -> Expr:
        tests: tuple[Expr, ...] = tuple(Test(name, Op.ANY, (person.name,)) for name in person.fields)
        return tests[0] if len(tests) == 1 else AnyOf(tests)

    def _person_condition(self, person: PersonLink, hedged: bool) -> Condition:
        spec = self.catalogue.schema.field(person.fields[0])
        how = spec.spoken if spec and len(person.fields) == 1 else "with or by"
        label, slot, expr = f"{how} {person.name}", f"person:{fold(person.name)}", self._has(person)
        if person.negative:
            return Condition(Not(expr), f"not {label}", slot, True, said=person.said)
        return Condition(expr, label, slot, said=person.said, hard=not hedged)

    def _person_of(
        self, message: Message, links: Links, pointers: Sequence[Pointer]
    ) -> tuple[tuple[str, tuple[int, ...]] | None, bool]:
        """ "the director of Heat" -> (directors, Heat); whether it was asked of an item this catalogue lacks."""
        if not _ASKS_NAME.search(message.low):
            for row, start in [(x.row, x.start) for x in links.titles] + [(x.row, x.start) for x in pointers]:
                m = _PERSON_OF.search(message.low[:start])
                if m and (name := self._person_field(m[1])):
                    return (name, (row,)), False
        return None, any(_PERSON_OF.search(message.low[: unknown.start]) for unknown in links.unknown)

    def _same_person(self, masked: Message, focus: Focus) -> Condition | None:
        """ "by the same director", "with him in it"."""
        m = _SAME_PERSON.search(masked.low)
        if m is None:
            return None
        name = self._person_field(m[1] or "") or focus.people_field or self._person_field("director")
        people = focus.people if name == focus.people_field and focus.people else ()
        if not people and name and focus.last is not None:
            people = self.catalogue.item(focus.last).tags(name)[:3]
        spec = self.catalogue.schema.field(name) if name else None
        if not people or spec is None:
            return None
        expr: Expr = Test(spec.name, Op.ANY, tuple(people))
        label, slot = f"{spec.spoken} {' or '.join(people)}", f"person:{fold(people[0])}"
        if masked.negated(m.start()):
            return Condition(Not(expr), f"not {label}", slot, True, said=m[0])
        return Condition(expr, label, slot, said=m[0])

    def _person_field(self, word: str) -> str | None:
        people = self.catalogue.schema.people()
        if not word or not people:
            return None
        start = "direct" if word.startswith(("direct", "film", "maker", "person")) else "cast"
        start = "writ" if word.startswith("writ") else start
        return next((f.name for f in people if f.name.startswith(start)), people[0].name)


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


def _count(low: str) -> int | None:
    m = _COUNT.search(low)
    if m is None:
        return None
    if m[1]:
        return 1
    word = m[2] or m[3]
    return min(max(SMALL_NUMBERS.get(word) or int(word), 1), MOST_WANTED)


def _in_role(person: PersonLink) -> PersonLink:
    """Who is asked for and denied in one message is asked for behind the camera and denied before it."""
    cast = tuple(f for f in person.fields if f.startswith("cast"))
    others = tuple(f for f in person.fields if not f.startswith("cast"))
    return replace(person, fields=(cast if person.negative else others) or person.fields)


def _inner(expr: Expr) -> Expr:
    return expr.part if isinstance(expr, Not) else expr


def _query(rest: Message, conditions: Sequence[Condition], nouns: frozenset[str]) -> str:
    # What was read is explained, but for a word that says more than the category it was read as: "heist" for crime.
    said = {word for c in conditions for word in fold(c.said).split()} - NARROWER
    # What follows a denial is not wished for: nothing "sad" is to be searched for after "nothing violent or sad".
    denied = [m.span() for m in _DENIED.finditer(rest.low)]
    denied += [m.span() for m in _COMPANY.finditer(rest.low)]
    words = [
        t.text
        for t in rest.tokens
        if not any(start <= t.start < end for start, end in denied)
        and not _CONTRACTED.search(t.text.lower().replace("’", "'"))
        and t.norm not in _SEARCH_STOP | nouns
        and t.norm not in said
        and len(t.norm) > 2
    ]
    return " ".join(dict.fromkeys(w for w in words if not any(ch.isdigit() for ch in w)))
