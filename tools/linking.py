"""Links titles and people named in a message to the catalogue: exact, alias, fuzzy, year-aware.

Everyday words are titles too ("Big", "Always", "Kids"), so a match must look or be used like a title: quoted, with its
year, capitalised in mid-sentence, after "loved" or "similar to", or long enough that chance is out. What is used like
a title and is not in the catalogue is reported as unknown instead of being bent to something else.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field

from convrec.core.items import FloatArray
from convrec.core.text import fold
from convrec.tools.catalogue import Catalogue, NameHit
from convrec.tools.lexicon import FUNCTION_WORDS, ORDINALS
from convrec.tools.linking_misspelt import Misspelt
from convrec.tools.linking_people import PeopleLinker, PersonLink, fame, person_cue
from convrec.tools.linking_titles import (
    BOUND,
    CHAIN,
    CUE,
    JUDGED,
    NOUN_AFTER,
    YEAR_AFTER,
    Links,
    TitleLink,
    TitleReader,
    UnknownTitle,
    overlaps,
)
from convrec.tools.spans import Message, Token
from rapidfuzz import fuzz, process
from rapidfuzz.distance import OSA

MAX_TITLE_TOKENS = 9
MAX_BARE_TITLE, LEAST_BARE_LETTERS = 5, 7
"""Words of a message that may be nothing but a misspelt title; letters of a single such word."""
MAX_TITLES = 15
"""Titles linked in one message; a longer list is cut, so that no message can keep the machine busy."""
SHORT_TITLE = 8
"""A title of fewer letters is taken for misspelt only when it is one slip away: "Tenet" is not "The Ten"."""
FUZZY_CUTOFF = 86.0
"""Smallest rapidfuzz ratio (0-100) of a misspelt title; 1 edit in 8 letters gives about 87."""
_PAST_CUE = re.compile(
    r"\b(?:loved|liked|enjoyed|watched|saw|(?:director|cast|writer|star) of|call(?:ed)?|similar to)\s+$"
)
_QUOTED = re.compile(r"[\"“”«]([^\"“”«»]{1,80})[\"“”»]|(?<!\w)'([^']{2,80})'(?!\w)")
_NEVER_UNKNOWN = frozenset(
    """i netflix hulu amazon imdb hollywood bollywood oscar oscars christmas halloween monday tuesday wednesday thursday
    friday saturday sunday pg r g nc january february march april june july august september october november december
    dvd tv english america europe asia""".split()  # noqa: SIM905 - a word list
)


@dataclass(slots=True)
class Linker:
    """Links names for one catalogue; keeps only caches, safe for several threads."""

    catalogue: Catalogue
    reserved: frozenset[str]
    """Folded category names and nationalities: never titles by themselves unless quoted or given with a year."""
    places: frozenset[str] = frozenset()
    """Folded names of countries: no titles after "from" or "in"."""
    _fame: FloatArray = field(init=False)
    people: PeopleLinker = field(init=False)
    titles: TitleReader = field(init=False)
    misspelt: Misspelt = field(init=False)

    def __post_init__(self) -> None:
        self._fame = fame(self.catalogue)
        self.titles = TitleReader(self.catalogue, self.reserved, self.places, self._fame)
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
            found = self.titles.title(message, start, end, norm, hits[norm], quoted=True)
            if found:
                titles.append(found)
            elif any(c.isupper() for c in message.text[start:end]):
                unknown.append(self._unknown(message, start, end))
            else:
                continue
            taken.append((start, end))
        for token in message.tokens:
            if not overlaps(taken, token.start, token.end) and (of_one_name := self.people.siblings(message, token)):
                people += of_one_name
                taken.append((of_one_name[0].start, of_one_name[0].end))
        # Longest first: "The Good, the Bad and the Ugly" before "Bad".
        for first, last, norm in sorted(windows, key=lambda w: (w[0] - w[1], w[0])):
            start, end = message.tokens[first].start, message.tokens[last - 1].end
            if norm not in hits or overlaps(taken, start, end):
                continue
            tokens = message.tokens[first:last]
            if len(tokens) == 1:  # "something by Hitchcock" is the man, not the film of that name
                person = self.people.surname(message, tokens[0], cued_only=True)
            else:
                person = self.people.full_name(message, tokens, start, end, hits[norm])
            title = self.titles.title(message, start, end, norm, hits[norm], tokens=tokens, before=titles)
            if person and title and not person_cue(message.low[:start]):
                person = None if self._fame[title.row] >= 0.5 or CUE.search(message.low[:start]) else person
            if person:
                people.append(person)
                taken.append((start, end))
            elif title:
                titles.append(title)
                taken.append((start, end))
        # Items of a chain ("Heat and collateral") may be accepted only once their left neighbour is.
        for first, last, norm in sorted(windows, key=lambda w: w[0]):
            start, end = message.tokens[first].start, message.tokens[last - 1].end
            if norm in hits and not overlaps(taken, start, end):
                title = self.titles.title(
                    message, start, end, norm, hits[norm], tokens=message.tokens[first:last], before=titles
                )
                if title:
                    titles.append(title)
                    taken.append((start, end))
        free = tuple(t for t in message.tokens if not overlaps(taken, t.start, t.end))
        for guess in self.misspelt.find(message, free):
            said = message.text[guess.start : guess.end]
            if guess.row is not None:
                titles.append(TitleLink(guess.row, said, guess.start, guess.end, "fuzzy"))
            else:
                people.append(self.people.named(message, guess.person, guess.start, guess.end))
            taken.append((guess.start, guess.end))
        for token in message.tokens:
            if not overlaps(taken, token.start, token.end):
                surname = self.people.surname(message, token, cued_only=False)
                if surname:
                    people.append(surname)
                    taken.append((surname.start, surname.end))
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
        titles = self.titles.agree(sorted(titles, key=lambda x: x.start)[:MAX_TITLES])
        return Links(
            tuple(sorted(titles, key=lambda x: x.start)),
            tuple(sorted(people, key=lambda x: x.start)),
            tuple(sorted(unknown, key=lambda x: x.start)),
        )

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
            chained = self.titles.in_chain(message, token.start, titles) or any(
                CHAIN.match(message.low[end : token.start]) for _, end in out
            )
            judged = token.text[:1].isupper() and JUDGED.match(message.low, token.end) is not None
            if overlaps(taken, token.start, token.end) or not (CUE.search(before) or chained or judged):
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
                and BOUND.match(message.low, end) is not None
                and not token.norm.endswith(("ing", "ly"))
            )
            if plain and (token.text[:1].isupper() or token.text[:1].isdigit() or lower_ok):
                if not NOUN_AFTER.match(message.low, end) and not person_cue(before):
                    year = YEAR_AFTER.match(message.text, end)
                    out.append((token.start, year.end() if year and year[1] else end))
                index = last + 1
            else:
                index += 1
        return out

    def _continues(self, message: Message, tokens: tuple[Token, ...], index: int, taken: list[tuple[int, int]]) -> bool:
        gap = message.text[tokens[index - 1].end : tokens[index].start]
        if not re.fullmatch(r"[ :'-]{1,2}", gap) or overlaps(taken, tokens[index].start, tokens[index].end):
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
            said = norm.removeprefix("the ")
            if same_words or bare[:1] != said[:1] or (len(said) < SHORT_TITLE and OSA.distance(said, bare) > 1):
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
