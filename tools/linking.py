"""Links titles and people named in a message to the catalogue: exact, alias, fuzzy, year-aware.

Everyday words are titles too ("Big", "Always", "Kids"), so a match must look or be used like a title: quoted, with its
year, capitalised in mid-sentence, after "loved" or "similar to", or long enough that chance is out. What is used like
a title and is not in the catalogue is reported as unknown instead of being bent to something else.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from convrec.core.items import FloatArray
from convrec.core.text import fold
from convrec.tools.catalogue import Catalogue, NameHit
from convrec.tools.lexicon import FUNCTION_WORDS, ORDINALS
from convrec.tools.lexicon_words import STRAY_WORDS
from convrec.tools.linking_misspelt import Misspelt
from convrec.tools.linking_people import PeopleLinker, PersonLink, fame, person_cue
from convrec.tools.schema import Role
from convrec.tools.spans import Message, Token
from rapidfuzz import fuzz, process

MAX_TITLE_TOKENS = 9
MAX_BARE_TITLE, LEAST_BARE_LETTERS = 5, 7
"""Words of a message that may be nothing but a misspelt title; letters of a single such word."""
MAX_TITLES = 15
"""Titles linked in one message; a longer list is cut, so that no message can keep the machine busy."""
FUZZY_CUTOFF = 86.0
"""Smallest rapidfuzz ratio (0-100) of a misspelt title; 1 edit in 8 letters gives about 87."""
WELL_KNOWN_PHRASE = 0.8
"""Two everyday words in lower case without a cue ("big fish") must name an item in the top fifth by popularity."""
WELL_KNOWN = 0.9
"""A partial title ("Matrix" for "The Matrix") is only taken for an item in the top tenth by popularity."""

_STRONG = (
    r"\b(?:lov(?:e|ed|ing)|lik(?:e|ed)|enjoy(?:ed)?|adored?|hated?|dislik(?:e|ed)|watch(?:ed|ing)?|rewatched|seen|saw|"
    r"than|similar to|such as|call(?:ed)?|named|titled|mentioned|finished|fan of|reminds? me of|"
    r"in the (?:style|vein) of|"
    r"(?:director|directors|cast|writer|writers|star|stars|maker|makers|lead|actors?) (?:of|in|from|behind)|"
    r"(?:tell me(?: more)?|more|know|heard?|think|info(?:rmation)?|details) about|"
    r"how (?:long|old|scary|good|violent|funny) (?:is|was)|^\W*(?:and |so )?(?:is|was|are)|what(?:'?s| is)|"
    r"who (?:directed|made|wrote|stars in|is in|was in|'s in)|sequel to|version of|instead of|besides|except|not)"
)
_CUE = re.compile(_STRONG + r"\s+(?:(?:both|the (?:movie|film)s?|that (?:movie|film)|films?|movies?|a lot of)\s+)?$")
_PAST_CUE = re.compile(
    r"\b(?:loved|liked|enjoyed|watched|saw|(?:director|cast|writer|star) of|call(?:ed)?|similar to)\s+$"
)
_LEADS_IN = re.compile(r"\b(?:for|in|an?|the|on|some|my|with|at|our|and|or|of)\s+$")
_NUMBER_CUE = re.compile(r"\b(?:loved?|liked?|enjoyed|seen|saw|watched|hated|called|directed|in|of|about)\s+$")
_CHAIN = re.compile(
    r"^\s*(?:,|&|/|\+|and|or|,\s*and|,\s*or|plus|as well as|but (?:not|hated|loved))\s*(?:the (?:movie|film) )?$"
)
_BOUND = re.compile(
    r"\s*(?:$|[.,;:!?)(\]\"”&/+–-]|(?:and|but|or|because|so|from|with|which|who|that|is|was|were|are|a lot|"
    r"very|too|as|than|for|"
    r"last|yesterday|the other|in (?:19|20)|though|although|recently|already|again|before|please|yet|when|while|it|"
    r"i|we|they|my|if|after|since|not|any|anything|something|what|just|really|because|instead|more|less|only|"
    r"any good|scary|good|rated|violent|funny|worth|suitable|ok|okay|about|yesterday|tonight|today)\b|'s\b)"
)
_NOUN_AFTER = re.compile(r"\s*(?:movies?|films?|flicks?|stor(?:y|ies)|genre|comed(?:y|ies)|dramas?|thrillers?)\b")
_QUOTED = re.compile(r"[\"“”«]([^\"“”«»]{1,80})[\"“”»]|(?<!\w)'([^']{2,80})'(?!\w)")
_JUDGED = re.compile(
    r"(?: [\w']+){0,3} (?:was|is) (?:\w+ )?"
    r"(?:great|amazing|awesome|good|fantastic|brilliant|boring|terrible|awful|bad|fun|overrated|meh|"
    r"one of my (?:\w+[- ])*favou?rites?|my favou?rite)\b"
)
_YEAR_AFTER = re.compile(r"\s*(?:\(\s*((?:18|19|20)\d\d)\s*\)|,?\s*(?:from |of )?((?:18|19|20)\d\d)\b)")
_AFTER_NAME = re.compile(r"(?:like|as|to|loved|liked|hated|enjoyed|seen|saw|watched)\s+[A-Z][\w']+\s$")
_SENTENCE_START = re.compile(r"(?:^|[.!?\n]\s*|[\"“]\s*)$")
_NEVER_UNKNOWN = frozenset(
    """i netflix hulu amazon imdb hollywood bollywood oscar oscars christmas halloween monday tuesday wednesday thursday
    friday saturday sunday pg r g nc january february march april june july august september october november december
    dvd tv english america europe asia""".split()  # noqa: SIM905 - a word list
)


@dataclass(frozen=True, slots=True)
class TitleLink:
    row: int
    said: str
    start: int
    end: int
    how: Literal["exact", "alias", "fuzzy"]
    alternatives: tuple[int, ...] = ()
    """Other rows of the same name, best known first."""


@dataclass(frozen=True, slots=True)
class UnknownTitle:
    said: str
    start: int
    end: int
    suggestions: tuple[int, ...]
    """Rows of similarly named items, possibly none."""


@dataclass(frozen=True, slots=True)
class Links:
    titles: tuple[TitleLink, ...] = ()
    people: tuple[PersonLink, ...] = ()
    unknown: tuple[UnknownTitle, ...] = ()

    def spans(self) -> list[tuple[int, int]]:
        return [
            *((x.start, x.end) for x in self.titles),
            *((x.start, x.end) for x in self.people),
            *((x.start, x.end) for x in self.unknown),
        ]


@dataclass(slots=True)
class Linker:
    """Links names for one catalogue; keeps only caches, safe for several threads."""

    catalogue: Catalogue
    reserved: frozenset[str]
    """Folded category names and nationalities: never titles by themselves unless quoted or given with a year."""
    _fame: FloatArray = field(init=False)
    people: PeopleLinker = field(init=False)
    misspelt: Misspelt = field(init=False)

    def __post_init__(self) -> None:
        self._fame = fame(self.catalogue)
        self.people = PeopleLinker(self.catalogue, self._fame, self.reserved)
        self.misspelt = Misspelt(self.catalogue, self._fame)

    def link(self, message: Message) -> Links:
        """All titles and people of ``message``, in order, without overlaps."""
        windows = _windows(message.tokens)
        hits: dict[str, list[NameHit]] = defaultdict(list)
        quoted = [(m.start(), m.end(), fold(m[1] or m[2])) for m in _QUOTED.finditer(message.text)]
        norms = list(dict.fromkeys([w[2] for w in windows] + [q[2] for q in quoted]))
        for hit in self.catalogue.find_names([n for n in norms if n]):
            hits[hit.norm].append(hit)
        titles: list[TitleLink] = []
        people: list[PersonLink] = []
        unknown: list[UnknownTitle] = []
        taken: list[tuple[int, int]] = []

        for start, end, norm in quoted:
            found = self._title(message, start, end, norm, hits[norm], quoted=True)
            if found:
                titles.append(found)
            elif any(c.isupper() for c in message.text[start:end]):
                unknown.append(self._unknown(message, start, end))
            else:
                continue
            taken.append((start, end))
        # Longest first: "The Good, the Bad and the Ugly" before "Bad".
        for first, last, norm in sorted(windows, key=lambda w: (w[0] - w[1], w[0])):
            start, end = message.tokens[first].start, message.tokens[last - 1].end
            if norm not in hits or _overlaps(taken, start, end):
                continue
            tokens = message.tokens[first:last]
            if len(tokens) == 1:  # "something by Hitchcock" is the man, not the film of that name
                person = self.people.surname(message, tokens[0], cued_only=True)
            else:
                person = self.people.full_name(message, tokens, start, end, hits[norm])
            title = self._title(message, start, end, norm, hits[norm], tokens=tokens, before=titles)
            if person and title and not person_cue(message.low[:start]):
                person = None if self._fame[title.row] >= 0.5 or _CUE.search(message.low[:start]) else person
            if person:
                people.append(person)
                taken.append((start, end))
            elif title:
                titles.append(title)
                taken.append((start, end))
        # Items of a chain ("Heat and collateral") may be accepted only once their left neighbour is.
        for first, last, norm in sorted(windows, key=lambda w: w[0]):
            start, end = message.tokens[first].start, message.tokens[last - 1].end
            if norm in hits and not _overlaps(taken, start, end):
                title = self._title(
                    message, start, end, norm, hits[norm], tokens=message.tokens[first:last], before=titles
                )
                if title:
                    titles.append(title)
                    taken.append((start, end))
        for token in message.tokens:
            if not _overlaps(taken, token.start, token.end):
                surname = self.people.surname(message, token, cued_only=False)
                if surname:
                    people.append(surname)
                    taken.append((token.start, token.end))
        free = tuple(t for t in message.tokens if not _overlaps(taken, t.start, t.end))
        for guess in self.misspelt.find(message, free):
            said = message.text[guess.start : guess.end]
            if guess.row is not None:
                titles.append(TitleLink(guess.row, said, guess.start, guess.end, "fuzzy"))
            else:
                people.append(self.people.named(message, guess.person, guess.start, guess.end))
            taken.append((guess.start, guess.end))
        for start, end in self._unlinked(message, taken, titles):
            fuzzy = self._fuzzy(message, start, end)
            token = next(t for t in message.tokens if t.start >= start)
            if fuzzy:
                titles.append(fuzzy)
            elif token.end == end and (surname := self.people.famous(message, token)):
                people.append(surname)  # "who else is like Tarantino"
            else:
                unknown.append(self._unknown(message, start, end))
            taken.append((start, end))
        if not (titles or people or unknown):
            whole = self._whole_message(message)
            titles = [whole] if whole else []
        titles = self._agree(sorted(titles, key=lambda x: x.start)[:MAX_TITLES])
        return Links(
            tuple(sorted(titles, key=lambda x: x.start)),
            tuple(sorted(people, key=lambda x: x.start)),
            tuple(sorted(unknown, key=lambda x: x.start)),
        )

    # -- titles ---------------------------------------------------------------------------------------------------

    def _title(
        self,
        message: Message,
        start: int,
        end: int,
        norm: str,
        hits: list[NameHit],
        *,
        quoted: bool = False,
        tokens: tuple[Token, ...] = (),
        before: list[TitleLink] | None = None,
    ) -> TitleLink | None:
        rows = [(hit.strength, hit.row) for hit in hits if hit.kind == "title" and hit.row is not None]
        if not rows:
            return None
        fame = max(float(self._fame[row]) for _, row in rows)
        year_match = _YEAR_AFTER.match(message.text, end)
        year = int(year_match[1] or year_match[2]) if year_match else None
        parenthesised = bool(year_match and year_match[1])
        dated = [
            (s, r) for s, r in rows if year is not None and self._year(r) is not None and abs(self._year(r) - year) <= 1
        ]
        if dated and year_match:
            ordered = sorted(dated, key=lambda x: (abs(self._year(x[1]) - (year or 0)), -x[0], -self._fame[x[1]]))
            if (
                quoted
                or parenthesised
                or self._used_as_title(message, start, end, norm, tokens, before or [], fame)
                or len(norm) > 3
            ):
                return self._made(message, start, year_match.end(), ordered, dated)
        if parenthesised:
            return None  # another film of that name, which this catalogue lacks
        if not quoted and not self._used_as_title(message, start, end, norm, tokens, before or [], fame):
            return None
        full = [(s, r) for s, r in rows if s >= 1.0]
        if not full:
            full = [(s, r) for s, r in rows if self._fame[r] >= WELL_KNOWN]
        if not full:
            return None
        # "Star Wars" for "Star Wars: Episode ..." is the first of the series; full titles go by fame.
        ordered = sorted(full, key=lambda x: (-x[0], self._year(x[1]) if x[0] < 0.9 else -self._fame[x[1]]))
        return self._made(message, start, end, ordered, rows)

    def _made(
        self, message: Message, start: int, end: int, ordered: list[tuple[float, int]], rows: list[tuple[float, int]]
    ) -> TitleLink:
        best = ordered[0]
        same = sorted((r for s, r in rows if r != best[1] and s >= best[0]), key=lambda r: -self._fame[r])
        how: Literal["exact", "alias"] = "exact" if best[0] >= 1.0 else "alias"
        return TitleLink(best[1], message.text[start:end], start, end, how, tuple(dict.fromkeys(same)))

    def _used_as_title(
        self,
        message: Message,
        start: int,
        end: int,
        norm: str,
        tokens: tuple[Token, ...],
        before: list[TitleLink],
        fame: float,
    ) -> bool:
        """``fame``: of the best known item of that name, 0..1."""
        text, low = message.text, message.low
        content = [t for t in tokens if t.norm not in FUNCTION_WORDS and not _is_small(t)]
        if norm[:1].isdigit() and not _NUMBER_CUE.search(low[:start]):
            return False  # "newer than 2012" is a year, "I loved 2012" a film
        words = norm.split()
        reserved = [word for word in words if word in self.reserved]
        # "French Film", "American Movie": titles, but far more often plain words.
        if norm in self.reserved or (reserved and all(w in self.reserved or w in FUNCTION_WORDS for w in words)):
            return False
        bounded = _BOUND.match(low, end) is not None
        cued = _CUE.search(low[:start]) is not None or self._in_chain(message, start, before)
        at_start = _SENTENCE_START.search(text[:start]) is not None
        big = [t for t in tokens if t.text[:1].isupper() or t.text[:1].isdigit()]
        capital = bool(big) and all(t.text[:1].isupper() or t.text[:1].isdigit() for t in content) and tokens[0] in big
        if not content:  # made of everyday words alone: "Her", "What Just Happened"
            strong = len(tokens) >= 3 and len(big) == len(tokens)
            return strong or (capital and cued and bounded and not at_start and len(big) == len(tokens))
        if _NOUN_AFTER.match(low, end) and not (capital and cued):
            return False
        if len(content) >= 3 or (len(tokens) >= 4 and len(content) >= 2):
            return True
        if capital and at_start and (_JUDGED.match(low, end) or (low[end : end + 1] == "?" and low[end + 1 :].strip())):
            return fame >= WELL_KNOWN_PHRASE or len(content) >= 2  # "Moon is one of my favourites", "Argo? Boring"
        if capital and (not at_start or cued or (len(tokens) >= 2 and len(content) >= 2)):
            whole = not (low[end : end + 1] == " " and text[end + 1 : end + 2].isupper())
            if _AFTER_NAME.search(text[:start]) and len(tokens) == 1:
                return False  # "Island" in "like Shuter Island"
            return whole or cued  # "Heat" inside "Heat Wave" is not the title
        if cued and bounded:
            return True
        if len(content) >= 2 and bounded and not _LEADS_IN.search(low[:start]):
            return fame >= WELL_KNOWN_PHRASE
        if norm in STRAY_WORDS:
            return False  # "lol"
        return at_start and bounded and len(message.tokens) == len(tokens)  # the whole message is a title

    def _in_chain(self, message: Message, start: int, before: list[TitleLink]) -> bool:
        return any(link.end <= start and _CHAIN.match(message.low[link.end : start]) for link in before)

    def _year(self, row: int) -> float:
        spec = self.catalogue.schema.by_role(Role.YEAR)
        return float(self.catalogue.numeric(spec.name)[row]) if spec else float("nan")

    def _agree(self, titles: list[TitleLink]) -> list[TitleLink]:
        """Namesakes are told apart by the company they are in: a namesake sharing a person with another link wins."""
        if len(titles) < 2 or not any(link.alternatives for link in titles):
            return titles
        rows = list(dict.fromkeys(row for link in titles for row in (link.row, *link.alternatives)))
        specs = self.catalogue.schema.people()
        people = {
            item.row: {name for spec in specs for name in item.tags(spec.name)} for item in self.catalogue.items(rows)
        }
        out: list[TitleLink] = []
        for link in titles:
            if not link.alternatives or _YEAR_AFTER.search(link.said):
                out.append(link)
                continue
            others = set().union(*(people[other.row] for other in titles if other.row != link.row), set())
            choices = [link.row, *link.alternatives]
            best = choices[int(np.argmax([len(people[row] & others) for row in choices]))]
            rest = tuple(row for row in choices if row != best)
            out.append(TitleLink(best, link.said, link.start, link.end, link.how, rest))
        return out

    # -- unknown and misspelt titles --------------------------------------------------------------------------------

    def _unlinked(
        self, message: Message, taken: list[tuple[int, int]], titles: list[TitleLink]
    ) -> list[tuple[int, int]]:
        """Spans used like a title that are linked to nothing."""
        out: list[tuple[int, int]] = []
        tokens = message.tokens
        index = 0
        while index < len(tokens):
            token = tokens[index]
            before = message.low[: token.start]
            chained = self._in_chain(message, token.start, titles) or any(
                _CHAIN.match(message.low[end : token.start]) for _, end in out
            )
            judged = token.text[:1].isupper() and _JUDGED.match(message.low, token.end) is not None
            if _overlaps(taken, token.start, token.end) or not (_CUE.search(before) or chained or judged):
                index += 1
                continue
            last = index
            if token.text[:1].isupper():
                while last + 1 < len(tokens) and self._continues(message, tokens, last + 1, taken):
                    last += 1
                while last > index and not tokens[last].text[:1].isupper():
                    last -= 1
            span = tokens[index : last + 1]
            plain = [t.norm for t in span if t.norm not in FUNCTION_WORDS and t.norm not in _NEVER_UNKNOWN]
            plain = [n for n in plain if n and n not in self.reserved and not n[0].isdigit()]
            end = span[-1].end
            lower_ok = (
                _PAST_CUE.search(before) is not None
                and len(token.norm) >= 5
                and _BOUND.match(message.low, end) is not None
                and not token.norm.endswith(("ing", "ly"))
            )
            if plain and (token.text[:1].isupper() or token.text[:1].isdigit() or lower_ok):
                if not _NOUN_AFTER.match(message.low, end) and not person_cue(before):
                    year = _YEAR_AFTER.match(message.text, end)
                    out.append((token.start, year.end() if year and year[1] else end))
                index = last + 1
            else:
                index += 1
        return out

    def _continues(self, message: Message, tokens: tuple[Token, ...], index: int, taken: list[tuple[int, int]]) -> bool:
        gap = message.text[tokens[index - 1].end : tokens[index].start]
        if not re.fullmatch(r"[ :'-]{1,2}", gap) or _overlaps(taken, tokens[index].start, tokens[index].end):
            return False
        token = tokens[index]
        if token.text[:1].isupper() or token.text[:1].isdigit():
            return token.text != "I"
        following = tokens[index + 1] if index + 1 < len(tokens) else None
        small = token.norm in {"of", "the", "a", "and", "in", "to", "for", "on", "with", "at"}
        return small and following is not None and following.text[:1].isupper() and following.text != "I"

    def _fuzzy(self, message: Message, start: int, end: int) -> TitleLink | None:
        norm = fold(message.text[start:end])
        if len(norm) < 5:
            return None
        for row, score in self._similar_titles(norm, FUZZY_CUTOFF):
            # A short misspelling is only bent to something well known; the first letter is rarely mistyped.
            name = fold(self.catalogue.item(row).title)
            bare = name.removeprefix("the ")
            same_words = sorted(norm.split()) == sorted(bare.split())
            if same_words or bare[:1] != norm.removeprefix("the ")[:1]:
                continue
            if self._fame[row] >= (0.5 if score >= 90 or len(norm) >= 10 else 0.75):
                return TitleLink(row, message.text[start:end], start, end, "fuzzy")
        return None

    def _whole_message(self, message: Message) -> TitleLink | None:
        """A message that is nothing but a misspelt title: "pulp ficton"."""
        words = [t.norm for t in message.tokens]
        plain = [word for word in words if word in FUNCTION_WORDS or word in self.reserved or word in ORDINALS]
        everyday = 2 * len(plain) > len(words)
        if not 1 <= len(words) <= MAX_BARE_TITLE or everyday or " ".join(words) in self.reserved:
            return None
        if len(words) == 1 and len(words[0]) < LEAST_BARE_LETTERS:
            return None
        return self._fuzzy(message, message.tokens[0].start, message.tokens[-1].end)

    def _similar_titles(self, norm: str, cutoff: float) -> list[tuple[int, float]]:
        norms, rows = self.catalogue.title_norms()
        found = [
            hit
            for form in {norm, f"the {norm}"}
            for hit in process.extract(form, norms, scorer=fuzz.ratio, score_cutoff=cutoff, limit=8)
        ]
        scored = sorted(
            ((float(score), int(rows[i])) for _, score, i in found), key=lambda x: (-x[0], -self._fame[x[1]])
        )
        return list(dict.fromkeys((row, score) for score, row in scored))

    def _unknown(self, message: Message, start: int, end: int) -> UnknownTitle:
        said = message.text[start:end].strip("\"“”'«» ")
        norm = fold(said)
        same = [hit.row for hit in self.catalogue.find_names([norm, f"the {norm}"]) if hit.row is not None]
        near = sorted(same, key=lambda r: -self._fame[r]) + [row for row, _ in self._similar_titles(norm, 80.0)]
        return UnknownTitle(said, start, end, tuple(dict.fromkeys(near))[:3])


def _windows(tokens: tuple[Token, ...]) -> list[tuple[int, int, str]]:
    """All token n-grams as (first, past last, folded text)."""
    return [
        (first, last, " ".join(t.norm for t in tokens[first:last]))
        for first in range(len(tokens))
        for last in range(first + 1, min(first + MAX_TITLE_TOKENS, len(tokens)) + 1)
    ]


def _overlaps(taken: list[tuple[int, int]], start: int, end: int) -> bool:
    return any(start < e and s < end for s, e in taken)


def _is_small(token: Token) -> bool:
    return len(token.norm) < 2 and not token.norm.isdigit()
