"""Links people named in a message: full names anywhere, surnames where the words around them mean a person."""

from __future__ import annotations

import re
import threading
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from convrec.core.items import FloatArray
from convrec.core.text import fold
from convrec.tools.catalogue import Catalogue, NameHit
from convrec.tools.lexicon import FUNCTION_WORDS
from convrec.tools.lexicon_names import EVERYDAY_SURNAMES, NO_SURNAMES
from convrec.tools.lexicon_words import REQUEST_WORDS, STRAY_WORDS
from convrec.tools.schema import Role
from convrec.tools.spans import Message, Token

LEAST_FAME = 1.5
"""Smallest sum of popularity percentiles over a person's items at which a lone surname stands for that person."""
BARE_DIRECTOR, BARE_ACTOR = 4.5, 12.0
"""The same where nothing but the name says that a person is meant: "godard or truffaut"; by main trade."""
AHEAD = 1.3
"""How many times better known than the next of that surname such a person is."""
COMMON_FIRST_NAME = 12
"""A name that so many people are called by first is no surname when it stands alone."""
FAR_AHEAD = 3
"""How many times better known than the next of that first name somebody is who is called by it."""
PARTICLES = frozenset("de von van del della di da la le".split())  # noqa: SIM905
"""Small words that belong to the surname after them: "de niro"."""
_BY = re.compile(
    r"\b(?:by|directed by|from director|director|filmmaker)\s+(?:either |both )?(?:the )?"
    r"(?:[\w.' -]{2,40} (?:or|and) )?$"
)
_WITH = re.compile(
    r"\b(?:with|starring|stars?|featuring|acting|actor|actress|played by)\s+(?:either |both )?"
    r"(?:[\w.' -]{2,40} (?:or|and) )?$"
)
_FOND = re.compile(
    r"\bi (?:really )?(?:like|love|loved|liked|hate|enjoy|adore|prefer|dislike|don'?t like)\s+$|\bnot\s+$"
)
_AFTER: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (
        cue,
        re.compile(
            rf"(?:,| that| which| who)?\s+(?:(?:ha[sd]|have|ever|both|all|also|once|himself|herself) "
            rf")*(?:{verbs})\b(?! by\b)"
        ),
    )
    for cue, verbs in (
        ("written", "wrote|written|writes|scripted|penned|co-wrote"),
        ("by", "directed|directs|directing|made|makes|did|shot|filmed"),
        (
            "with",
            "stars?|starr(?:ed|ing)|plays?|played|acts?|acted|acting|appears?|appeared|is in|was in|in (?:it|the lead)",
        ),
    )
)
"""What follows a name and gives it a role: "anything Wes Craven directed"."""
_PLACE_BEFORE = re.compile(
    r"\b(?:in|to|at|near|outside|around|new|old|los|las|san|saint|st|mount|lake|port)\s+(?:the\s+)?$"
)
_IN_THE_WAY_OF = re.compile(r"[- ]?(?:esque|like|style|type|ish)\b(?! (?:it|that|this))")
"""After a name: something like what they make is meant, not them."""
_SIBLINGS = re.compile(r"\s+(?:brothers|bros|sisters|siblings)\b")
_NEXT_WORD = re.compile(r" ([^\W\d_]+)")
_WRITTEN = re.compile(r"\b(?:(?:written|scripted|penned|screenplay|script|story) by|(?:screen)?writer)\s+$")
_WORDS = FUNCTION_WORDS | STRAY_WORDS | REQUEST_WORDS | EVERYDAY_SURNAMES
CUE_FIELDS = {
    "written": ("writ", "author"),
    "by": ("direct", "author", "creat", "artist", "develop"),
    "with": ("cast", "star", "act"),
}
"""How the names of person fields begin that a cue speaks of."""


@dataclass(frozen=True, slots=True)
class PersonLink:
    name: str
    fields: tuple[str, ...]
    """Person fields the name may be looked for in, narrowed by "by" or "starring"."""
    said: str
    start: int
    end: int
    negative: bool
    every: tuple[str, ...] = ()
    """All fields that hold the name: somebody denied is denied in any role."""


@dataclass(slots=True)
class PeopleLinker:
    """Links people for one catalogue; keeps only a cache of surnames. Thread-safe."""

    catalogue: Catalogue
    fame: FloatArray
    reserved: frozenset[str]
    _surnames: dict[str, list[tuple[float, str, str]]] | None = field(init=False, default=None)
    _by_first: dict[str, list[tuple[float, str, str]]] = field(init=False, default_factory=dict)
    """First name -> (fame, field, full name) of those who are well known, best known first."""
    _firsts: Counter[str] = field(init=False, default_factory=Counter)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def full_name(
        self, message: Message, tokens: Sequence[Token], start: int, end: int, hits: Sequence[NameHit]
    ) -> PersonLink | None:
        """The person whose full name stands at ``start:end``, if ``hits`` hold one and it is no everyday phrase."""
        people = {spec.name for spec in self.catalogue.schema.people()}
        values = [hit for hit in hits if hit.kind == "value" and hit.field in people and hit.value]
        if not values or len(tokens) < 2 or all(t.norm in FUNCTION_WORDS for t in tokens):
            return None
        capital = sum(t.text[:1].isupper() for t in tokens) >= 2
        plain = any(t.norm in FUNCTION_WORDS for t in tokens) and not capital and not person_cue(message.low[:start])
        # "will smith" is somebody, "may day" nobody
        if plain and (tokens[-1].norm in FUNCTION_WORDS or self._renown(values[0].value or "") < BARE_ACTOR):
            return None
        fields = tuple(dict.fromkeys(hit.field for hit in values if hit.field))
        return self._link(message, values[0].value or "", fields, start, end)

    def _renown(self, name: str) -> float:
        """The fame of a full name in the trade that it is best known for."""
        return max((c[0] for c in self.by_surname().get(fold(name).split()[-1], ()) if c[2] == name), default=0.0)

    def surname(self, message: Message, token: Token, *, cued_only: bool) -> PersonLink | None:
        """The best known person of that surname: after "by" or "with", or in "a Tarantino film", "Nolan's"."""
        if len(token.norm) < 4 or token.norm in FUNCTION_WORDS:
            return None
        owned_form = re.search(r"['’]s$", token.text.lower()) is not None
        bare = token.norm[:-1] if owned_form else token.norm
        low = message.low
        start = _with_particle(low, token.start)
        cue = person_cue(low[:start])
        if cue is None and bare not in _WORDS:
            cue = cue_after(low[token.end :])
        noun = re.match(r"['’]?s?\s+(?:\w+ )?(?:films?|movies?|flicks?|pictures?)\b", low[token.end :])
        owned = (owned_form or noun is not None) and token.text[:1].isupper() and not cued_only
        fond = not cued_only and _FOND.search(low[:start]) is not None
        if bare in self.reserved or bare in NO_SURNAMES or _IN_THE_WAY_OF.match(low, token.end):
            return None
        if _said_as_word(token, bare) and ((fond and cue is None) or _goes_on(low, token.end)):
            return None
        entries = self.by_surname().get(bare, [])
        if not cued_only and (called := self._first_name(message, bare, cue, start, token.end, entries)):
            return called
        if cue is None and not owned and not fond:
            return None if cued_only else self._unmistakable(message, bare, entries, start, token.end)
        # "something with space" is not about Arthur Space: a bare word must name somebody well known.
        least = LEAST_FAME if token.text[:1].isupper() and cue is not None else 2 * LEAST_FAME
        least = 3 * LEAST_FAME if fond and cue is None else least
        # Nor is "with smart dialogue" about Amy Smart.
        least = max(least, BARE_ACTOR) if token.text.islower() and cue == "with" and _goes_on(low, token.end) else least
        candidates = [c for c in entries if c[0] >= least]
        wanted = [c for c in candidates if cue is None or c[1] in _fields_of(cue, [x[1] for x in candidates])]
        best = (wanted or candidates)[:1]
        if not best:
            return self._unmistakable(message, bare, entries, start, token.end) if cue is None else None
        name = best[0][2]
        fields = tuple(dict.fromkeys(c[1] for c in candidates if c[2] == name))
        if cue is None:  # "a Tarantino film" is one he directed, where he has directed any
            fields = _fields_of("by", fields)[:1] or (best[0][1],)
        return self._link(message, name, fields, start, token.end)

    def _unmistakable(
        self, message: Message, bare: str, entries: Sequence[tuple[float, str, str]], start: int, end: int
    ) -> PersonLink | None:
        """Who is meant by a surname that nothing but itself makes one: "godard or truffaut", "a bogart film"."""
        if (
            bare in _WORDS
            or not entries
            or self._first_names()[bare] >= COMMON_FIRST_NAME
            or _PLACE_BEFORE.search(message.low[:start])
        ):
            return None
        fame, field_name, name = entries[0]
        rival = next((c[0] for c in entries if c[2] != name), 0.0)
        made = max((c[0] for c in entries if c[2] == name and c[1] in _fields_of("by", [c[1]])), default=0.0)
        if fame < AHEAD * rival or (fame < BARE_ACTOR and made < BARE_DIRECTOR) or fame < BARE_DIRECTOR:
            return None
        fields = tuple(dict.fromkeys(c[1] for c in entries if c[2] == name)) or (field_name,)
        return self._link(message, name, fields, start, end)

    def _first_name(
        self,
        message: Message,
        bare: str,
        cue: str | None,
        start: int,
        end: int,
        entries: Sequence[tuple[float, str, str]],
    ) -> PersonLink | None:
        """Who is so much better known than all others of a first name that it is enough: "without keanu"."""
        if bare in _WORDS or not (cue or message.negated(start)):
            return None
        self.by_surname()
        known = self._by_first.get(bare, [])
        if not known or known[0][0] < BARE_ACTOR or (entries and entries[0][0] >= known[0][0]):
            return None
        fame, _, name = known[0]
        if any(c[2] != name and FAR_AHEAD * c[0] > fame for c in known):
            return None
        return self._link(message, name, tuple(dict.fromkeys(c[1] for c in known if c[2] == name)), start, end)

    def siblings(self, message: Message, token: Token) -> list[PersonLink]:
        """The people of "the coen brothers": those of that surname who are about equally well known for one trade."""
        following = _SIBLINGS.match(message.low, token.end)
        entries = self.by_surname().get(token.norm, [])
        plural = token.norm.endswith("s") and not _said_as_word(token, token.norm[:-1])
        if following is None and plural and re.search(r"\bthe\s+$", message.low[: token.start]):
            following = re.compile("").match(message.low, token.end)  # "the coens"
            entries = self.by_surname().get(token.norm[:-1], [])
        if following is None or token.norm in self.reserved or not entries:
            return []
        made = [c for c in entries if c[1] in _fields_of("by", [c[1]])] or entries
        names = list(dict.fromkeys(c[2] for c in made if c[1] == made[0][1] and 2 * c[0] >= made[0][0]))
        if len(names) < 2 or made[0][0] < LEAST_FAME:
            return []
        return [self._link(message, name, (made[0][1],), token.start, following.end()) for name in names[:3]]

    def famous(self, message: Message, token: Token) -> PersonLink | None:
        """The very well known person whose surname stands where a title was expected."""
        found = [c for c in self.by_surname().get(token.norm, []) if c[0] >= 3 * LEAST_FAME]
        if not found or not token.text[:1].isupper() or token.norm in NO_SURNAMES:
            return None
        fields = _fields_of("by", [c[1] for c in found if c[2] == found[0][2]]) or (found[0][1],)
        return self._link(message, found[0][2], fields, token.start, token.end)

    def named(self, message: Message, name: str, start: int, end: int) -> PersonLink:
        """The person of that exact name, said in other letters at ``start:end``."""
        specs = self.catalogue.schema.people()
        fields = tuple(s.name for s in specs if name in self.catalogue.tags(s.name).vocabulary)
        return self._link(message, name, fields, start, end)

    def by_surname(self) -> dict[str, list[tuple[float, str, str]]]:
        """Last name -> (fame, field, full name), best known first. Built on first use (0.3 s for 17,000 films)."""
        with self._lock:
            if self._surnames is None:
                firsts: dict[str, list[tuple[float, str, str]]] = defaultdict(list)
                table: dict[str, list[tuple[float, str, str]]] = defaultdict(list)
                for spec in self.catalogue.schema.people():
                    tags = self.catalogue.tags(spec.name)
                    weights = np.asarray(tags.matrix.T @ self.fame).ravel()
                    for name, weight in zip(tags.vocabulary, weights.tolist(), strict=True):
                        words = fold(name).split()
                        if len(words) >= 2:
                            self._firsts[words[0]] += 1
                            if weight >= BARE_DIRECTOR:
                                firsts[words[0]].append((weight, spec.name, name))
                            table[words[-1]].append((weight, spec.name, name))
                self._by_first = {key: sorted(values, reverse=True) for key, values in firsts.items()}
                self._surnames = {key: sorted(values, reverse=True)[:8] for key, values in table.items()}
            return self._surnames

    def _first_names(self) -> Counter[str]:
        """How many people have each first name."""
        self.by_surname()
        return self._firsts

    def _link(self, message: Message, name: str, fields: tuple[str, ...], start: int, end: int) -> PersonLink:
        cue = person_cue(message.low[:start]) or cue_after(message.low[end:])
        narrowed = tuple(f for f in fields if cue is None or f in _fields_of(cue, fields))
        negative = message.denied(start, end)
        if cue is None and not negative:
            narrowed = self._by_trade(name, fields)
        return PersonLink(name, narrowed or fields, message.text[start:end], start, end, negative, fields)

    def _by_trade(self, name: str, fields: tuple[str, ...]) -> tuple[str, ...]:
        """Without a word about the role a director is meant as one, though many of them appear in films too."""
        own = {c[1]: c[0] for c in self.by_surname().get(fold(name).split()[-1], []) if c[2] == name}
        made = sum(own.get(f, 0.0) for f in _fields_of("by", fields))
        written = sum(own.get(f, 0.0) for f in _fields_of("written", fields))
        acted = sum(own.get(f, 0.0) for f in _fields_of("with", fields))
        if made and made + written > acted and 2 * made >= written:
            return _fields_of("by", fields)
        return fields


def _said_as_word(token: Token, bare: str) -> bool:
    """Whether it is a word of every day, written as one: "young" is that, "Young" may be somebody."""
    return bare in EVERYDAY_SURNAMES and not token.text[:1].isupper()


def _goes_on(low: str, end: int) -> bool:
    """Whether a word of substance comes right after: "with smart dialogue" has nobody in it."""
    following = _NEXT_WORD.match(low, end)
    return following is not None and following[1] not in _WORDS


def _with_particle(low: str, start: int) -> int:
    """Where the surname at ``start`` begins: "de niro" at its "de"."""
    m = re.search(r"(?:\b(\w+)\s+)$", low[:start])
    return m.start() if m and m[1] in PARTICLES else start


def cue_after(after: str) -> str | None:
    """What role the words after a name give it."""
    return next((cue for cue, pattern in _AFTER if pattern.match(after)), None)


def person_cue(before: str) -> str | None:
    """What role the words before a name give it: "written" | "by" | "with" | None."""
    if _WRITTEN.search(before):
        return "written"
    if _BY.search(before):
        return "by"
    return "with" if _WITH.search(before) else None


def _fields_of(cue: str, fields: Sequence[str]) -> tuple[str, ...]:
    return tuple(f for f in fields if f.startswith(CUE_FIELDS[cue]))


def fame(catalogue: Catalogue) -> FloatArray:
    """Popularity percentile, float32 (n,), 0..1; 0 where unknown or the catalogue has no such field."""
    spec = catalogue.schema.by_role(Role.POPULARITY)
    if spec is None or catalogue.size == 0:
        return np.zeros(catalogue.size, dtype=np.float32)
    values = np.nan_to_num(catalogue.numeric(spec.name), nan=-1.0)
    ordered = np.sort(values)
    out = (np.searchsorted(ordered, values, side="left") / max(len(values) - 1, 1)).astype(np.float32)
    out[values < 0] = 0.0
    return out
