"""What in a message is used like a title of the catalogue: quoted, dated, capitalised, cued, or too long for chance."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from convrec.core.items import FloatArray
from convrec.tools.catalogue import Catalogue, NameHit
from convrec.tools.lexicon import FUNCTION_WORDS
from convrec.tools.lexicon_verdicts import BAD, BAD_DEED, FOND, GOOD, GOOD_DEED, NOT_FOND
from convrec.tools.lexicon_words import PHRASES, STRAY_WORDS
from convrec.tools.linking_people import PersonLink
from convrec.tools.schema import Role
from convrec.tools.spans import Message, Token

WELL_KNOWN_PHRASE = 0.8
"""Two everyday words in lower case without a cue ("big fish") must name an item in the top fifth by popularity."""
WELL_KNOWN = 0.9
"""A partial title ("Matrix" for "The Matrix") is only taken for an item in the top tenth by popularity."""

_STRONG = (
    rf"\b(?:{FOND}|{NOT_FOND}|lik(?:e|ed)|watch(?:ed|ing)?|rewatched|seen|saw|(?:i'?ve|have) (?:already )?done|"
    r"than|similar (?:\w+ )?to|such as|(?:when|year|where) (?:did|was|were|is)|call(?:ed)?|named|titled|mentioned|"
    r"finished|fan of|reminds? me of|"
    r"in the (?:style|vein) of|"
    r"(?:director|directors|cast|writer|writers|star|stars|maker|makers|lead|actors?) (?:of|in|from|behind)|"
    r"(?:tell me(?: more)?|more|know|heard?|think|info(?:rmation)?|details) about|"
    r"how (?:long|old|scary|good|violent|funny) (?:is|was)|^\W*(?:and |so )?(?:is|was|are)|what(?:'?s| is)|"
    r"who (?:\w+ ){0,2}(?:directed|made|wrote|penned|(?:stars?|starred|acts?|acted|plays?|played|appears?|is|was|"
    r"'s) in)|"
    r"(?:plot|story|synopsis|script|screenplay|running time|runtime|run time|length|score|ratings?|reviews?|"
    r"release date|"
    r"details|summary|cast|year) (?:of|on|for|in)|did (?:the )?(?:critics|people) like|comparable to|reminiscent of|"
    r"akin to|feels? like|sequel to|version of|instead of|besides|except|not|apart from|aside from|other than|"
    r"excluding|(?:any|every)thing but|isn'?t)"
)
CUE = re.compile(_STRONG + r"\s+(?:(?:both|the (?:movie|film)s?|that (?:movie|film)|films?|movies?|a lot of)\s+)?$")
_LEADS_IN = re.compile(r"\b(?:for|in|an?|the|on|some|my|with|at|our|and|or|of)\s+$")
_NUMBER_CUE = re.compile(
    r"\b(?:loved?|liked?|enjoyed|seen|saw|watched|hated|called|directed|similar to|(?:cast|director|plot|stars?|"
    r"makers?|length|"
    r"runtime|who(?:'?s| is| was)?) (?:in|of)|(?:tell me|more|know) about)\s+$"
)
CHAIN = re.compile(
    r"^\s*(?:,|&|/|\+|and|or|,\s*and|,\s*or|plus|as well as|but (?:not|hated|loved))\s*(?:the (?:movie|film) )?$"
)
BOUND = re.compile(
    r"\s*(?:$|[.,;:!?)(\]\"”&/+–-]|(?:and|but|or|because|so|from|with|which|who|that|is|was|were|are|a lot|"
    r"very|too|as|than|for|"
    r"last|yesterday|the other|in (?:19|20)|though|although|recently|already|again|before|please|yet|when|while|it|"
    r"i|we|they|my|if|after|since|not|any|anything|something|what|just|really|because|instead|more|less|only|"
    r"any good|come|came|get|win|without|minus|except|instead|like (?:\d+|a (?:million|thousand|hundred)|ten|"
    r"twenty)|(?:\d+|two|three|ten) times|twice|once|so|too|on|"
    r"in the|at the|tbh|lol|though|scary|good|rated|violent|funny|worth|suitable|ok|okay|about|yesterday|tonight|"
    r"today)\b|'s\b)"
)
_SET_IN = re.compile(
    r"\b(?:set|sets|takes? place|taking place|filmed|shot|based|living|lives|life|trip|holiday|happens) (?:in|at|"
    r"around)\s+$"
)
"""A place follows, whatever films are called after it: "set in Paris"."""
_PLACE_CUE = re.compile(r"\b(?:(?:out )?from|(?:made|shot|set|filmed|produced|born|live|living) in|in)\s+(?:the\s+)?$")
NOUN_AFTER = re.compile(r"\s*(?:movies?|films?|flicks?|stor(?:y|ies)|genre|comed(?:y|ies)|dramas?|thrillers?)\b")
JUDGED = re.compile(
    rf"(?: [\w']+){{0,3}} (?:was|is|were) {GOOD}\b|(?: [\w']+){{0,3}} (?:was|is) {BAD}\b|\s{GOOD_DEED}|\s{BAD_DEED}"
)
_WAS_JUDGED = re.compile(rf" was (?:{GOOD}|{BAD})\b")
YEAR_AFTER = re.compile(r"\s*(?:\(\s*((?:18|19|20)\d\d)\s*\)|,?\s*(?:from |of )?((?:18|19|20)\d\d)\b)")
_AFTER_NAME = re.compile(r"(?:like|as|to|loved|liked|hated|enjoyed|seen|saw|watched)\s+[A-Z][\w']+\s$")
_SENTENCE_START = re.compile(r"(?:^|[.!?\n]\s*|[\"“]\s*)$")


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


@dataclass(frozen=True, slots=True)
class TitleReader:
    """Whether words that are a title are used as one, and which item of that name is meant. For one catalogue."""

    catalogue: Catalogue
    reserved: frozenset[str]
    """Folded category names and nationalities: never titles by themselves unless quoted or given with a year."""
    places: frozenset[str]
    """Folded names of countries: no titles after "from" or "in"."""
    fame: FloatArray
    """One number per row of the catalogue, 0 to 1."""

    def title(
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
        fame = max(float(self.fame[row]) for _, row in rows)
        year_match = YEAR_AFTER.match(message.text, end)
        year = int(year_match[1] or year_match[2]) if year_match else None
        parenthesised = bool(year_match and year_match[1])
        dated = [
            (s, r) for s, r in rows if year is not None and self._year(r) is not None and abs(self._year(r) - year) <= 1
        ]
        if dated and year_match:
            ordered = sorted(dated, key=lambda x: (abs(self._year(x[1]) - (year or 0)), -x[0], -self.fame[x[1]]))
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
            full = [(s, r) for s, r in rows if self.fame[r] >= WELL_KNOWN]
        if not full:
            return None
        # "Star Wars" for "Star Wars: Episode ..." is the first of the series; full titles go by fame.
        ordered = sorted(full, key=lambda x: (-x[0], self._year(x[1]) if x[0] < 0.9 else -self.fame[x[1]]))
        return self._made(message, start, end, ordered, rows)

    def _made(
        self, message: Message, start: int, end: int, ordered: list[tuple[float, int]], rows: list[tuple[float, int]]
    ) -> TitleLink:
        best = ordered[0]
        same = sorted((r for s, r in rows if r != best[1] and s >= best[0]), key=lambda r: -self.fame[r])
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
        if norm in self.places and _PLACE_CUE.search(low[:start]):
            return False  # "from Brazil"
        if norm in PHRASES and not (tokens and tokens[0].text[:1].isupper()) and CUE.search(low[:start]) is None:
            return False
        if _SET_IN.search(low[:start]) and len(content) < 3:
            return False
        # "French Film", "American Movie": titles, but far more often plain words.
        if norm in self.reserved or (reserved and all(w in self.reserved or w in FUNCTION_WORDS for w in words)):
            return False
        bounded = BOUND.match(low, end) is not None
        cued = CUE.search(low[:start]) is not None or self.in_chain(message, start, before)
        at_start = _SENTENCE_START.search(text[:start]) is not None
        big = [t for t in tokens if t.text[:1].isupper() or t.text[:1].isdigit()]
        capital = bool(big) and all(t.text[:1].isupper() or t.text[:1].isdigit() for t in content) and tokens[0] in big
        if not content:  # made of everyday words alone: "Her", "What Just Happened"
            strong = len(tokens) >= 3 and len(big) == len(tokens)
            return strong or (capital and cued and bounded and not at_start and len(big) == len(tokens))
        if NOUN_AFTER.match(low, end) and not (capital and cued):
            return False
        if len(content) >= 3 or (len(tokens) >= 4 and len(content) >= 2):
            return True
        if at_start and fame >= WELL_KNOWN_PHRASE and _WAS_JUDGED.match(low, end):
            return True  # "argo was great"
        if capital and at_start and (JUDGED.match(low, end) or (low[end : end + 1] == "?" and low[end + 1 :].strip())):
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

    def in_chain(self, message: Message, start: int, before: list[TitleLink]) -> bool:
        return any(link.end <= start and CHAIN.match(message.low[link.end : start]) for link in before)

    def _year(self, row: int) -> float:
        spec = self.catalogue.schema.by_role(Role.YEAR)
        return float(self.catalogue.numeric(spec.name)[row]) if spec else float("nan")

    def agree(self, titles: list[TitleLink]) -> list[TitleLink]:
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
            if not link.alternatives or YEAR_AFTER.search(link.said):
                out.append(link)
                continue
            others = set().union(*(people[other.row] for other in titles if other.row != link.row), set())
            choices = [link.row, *link.alternatives]
            best = choices[int(np.argmax([len(people[row] & others) for row in choices]))]
            rest = tuple(row for row in choices if row != best)
            out.append(TitleLink(best, link.said, link.start, link.end, link.how, rest))
        return out


def overlaps(taken: list[tuple[int, int]], start: int, end: int) -> bool:
    return any(start < e and s < end for s, e in taken)


def _is_small(token: Token) -> bool:
    return len(token.norm) < 2 and not token.norm.isdigit()
