"""What a sentence claims of items: titles, years, people in their parts, numbers; each held against the records.

By rule, from the words alone. What is left to others: whether a word is allowed at all (``verifier.py``) and whether a
sentence follows from the facts (the model, in ``critic.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from convrec.core.items import Item
from convrec.core.text import fold
from convrec.tools.catalogue import Catalogue, NameHit
from convrec.tools.lexicon import FUNCTION_WORDS
from convrec.tools.schema import FieldSpec, Role

MOST_WORDS = 8
"""Longest name or title looked for, words."""
_WORD = re.compile(r"[^\W_]+(?:['’.-][^\W_]+)*\.?")
_YEAR = re.compile(r"\b(?:18[89]|19\d|20\d)\d\b")
_BRACKETED = re.compile(r"\s*\(((?:18|19|20)\d\d)\)")
_UNIT = re.compile(r"\b(\d+) ?(%|percent|minutes|minute|mins|reviews)")
_CUE = re.compile(
    r"\b(?:(?P<directors>directed by|directed and written by|director(?: is| was|,)?|helmed by|a film by|"
    r"directorial work of)|"
    r"(?P<writers>written by|penned by|screenplay by|writer(?: is| was|,)?)|"
    r"(?P<cast>starring|featuring|played by|stars?(?= [A-Z])))\s+$"
)
_CUE_MOST = 64
"""Characters before a name that are looked at for a cue: the longest has 23."""
_AND = re.compile(r"^(?:,|,? and|,? &|/)\s*$")
_LINKED = re.compile(r"(?:\blike|\bsuch as|\bsimilar to|\bas in|\bshared? with|\bthan)\s*$", re.IGNORECASE)
_NAMING = re.compile(r"(?:\blike|\btry|\bwatch|\bsee|\brecommend|\benjoy|\balso|\badd|[“\"])\s*$", re.IGNORECASE)
_PART_OF = {"directors": "director", "writers": "writer", "cast": "actor"}


_Span: TypeAlias = tuple[int, int, str]
"""(start, end, folded words)"""


@dataclass(frozen=True, slots=True)
class Problem:
    """One claim that no record bears out. ``kind``: year, person, number or outside (an item that is not meant)."""

    kind: str
    what: str


@dataclass(slots=True)
class _Named:
    """A span of the sentence and what it is."""

    start: int
    end: int
    item: Item | None = None
    person: tuple[str, frozenset[str]] | None = None
    linked: bool = False
    """Named to compare with, not to speak of."""


@dataclass(frozen=True, slots=True)
class Claims:
    """Checks sentences about ``slate``. ``others``: items that may be named beside them (the references); ``said``:
    what the user said and the conditions in words, whose names and numbers may be repeated."""

    catalogue: Catalogue
    slate: Sequence[Item]
    others: Sequence[Item] = ()
    said: str = ""
    _labels: list[tuple[str, Item]] = field(init=False)
    _said_words: str = field(init=False)
    """:attr:`said`, folded, a space before and behind."""
    _said_numbers: frozenset[str] = field(init=False)
    _people_specs: tuple[FieldSpec, ...] = field(init=False)

    def __post_init__(self) -> None:
        titles = [(item.title, item) for item in (*self.slate, *self.others) if item.title]
        object.__setattr__(self, "_labels", sorted(titles, key=lambda pair: -len(pair[0])))
        object.__setattr__(self, "_said_words", f" {fold(self.said)} ")
        object.__setattr__(self, "_said_numbers", frozenset(re.findall(r"\d+", self.said)))
        object.__setattr__(self, "_people_specs", self.catalogue.schema.people())

    def problems(self, sentence: str, subject: Item | None = None) -> list[Problem]:
        """What is wrong with one sentence; [] when nothing is. ``subject``: the item it speaks of, when that is known
        from its place (a line of the list)."""
        found: list[Problem] = []
        named, masked = self._titles(sentence, found)
        spans = _spans(masked)
        hits = self._lookup(spans)
        self._people(sentence, spans, hits, named)
        self._strangers(sentence, spans, hits, named, found)
        for one in named:
            if one.person is not None:
                found += self._person(sentence, one, named, subject)
        found += self._unknown_people(sentence, spans, named)
        found += self._numbers(sentence, masked, named, subject)
        return found

    # -- titles -------------------------------------------------------------------------------------------------------

    def _titles(self, sentence: str, found: list[Problem]) -> tuple[list[_Named], str]:
        """Items that may be named, where they are; and the sentence with them blanked out."""
        named: list[_Named] = []
        masked = sentence
        for title, _ in self._labels:
            at = masked.find(title)
            while at >= 0:
                end = at + len(title)
                whole = not (at and masked[at - 1].isalnum()) and not masked[end : end + 1].isalnum()
                if whole:
                    same = [item for known, item in self._labels if known == title]
                    year = _BRACKETED.match(masked, end)
                    item = same[0]
                    if year is not None:
                        fitting = [one for one in same if one.year == int(year[1])]
                        if fitting:
                            item = fitting[0]
                        elif item in self.slate or not self._namesake(title, int(year[1])):
                            found.append(Problem("year", f"{title} is of {same[0].year}, not of {year[1]}"))
                        end = year.end()
                    named.append(_Named(at, end, item=item, linked=self._linked(sentence[:at], item)))
                    masked = masked[:at] + " " * (end - at) + masked[end:]
                at = masked.find(title, end)
        return named, masked

    def _namesake(self, title: str, year: int) -> bool:
        """Whether the catalogue has another item of that title, of that year: which one was meant may be said."""
        rows = [hit.row for hit in self.catalogue.find_names([fold(title)]) if hit.row is not None]
        return any(item.year == year for item in self.catalogue.items(rows))

    def _linked(self, before: str, item: Item) -> bool:
        return item not in self.slate or bool(_LINKED.search(before))

    def _strangers(
        self,
        sentence: str,
        spans: list[_Span],
        hits: dict[str, list[NameHit]],
        named: list[_Named],
        found: list[Problem],
    ) -> None:
        """Titles that are neither on the list nor what it is compared with."""
        for start, end, norm in spans:
            if any(one.start < end and start < one.end for one in named):
                continue
            text = sentence[start:end]
            year = _BRACKETED.match(sentence, end)
            rows = [hit for hit in hits.get(norm, ()) if hit.kind == "title" and hit.strength >= 0.9]
            telling = [word for word in norm.split() if word not in FUNCTION_WORDS]
            quoted = bool(_NAMING.search(sentence[:start]))
            first = not sentence[:start].strip(" \"“‘'(-")
            if year is not None or (
                rows
                and f" {norm} " not in self._said_words
                and telling
                and (len(norm.split()) > 1 or (quoted and not first))
            ):
                found.append(Problem("outside", f"{text}{year[0] if year else ''} is not on the list"))
                named.append(_Named(start, year.end() if year else end))

    # -- people -------------------------------------------------------------------------------------------------------

    def _lookup(self, spans: list[_Span]) -> dict[str, list[NameHit]]:
        """What the catalogue knows of every run of capitalised words, by folded words; one query."""
        out: dict[str, list[NameHit]] = {}
        for hit in self.catalogue.find_names([norm for _, _, norm in spans]):
            out.setdefault(hit.norm, []).append(hit)
        return out

    def _people(self, sentence: str, spans: list[_Span], hits: dict[str, list[NameHit]], named: list[_Named]) -> None:
        specs = {spec.name for spec in self._people_specs}
        for start, end, norm in spans:  # longest first
            if any(one.start < end and start < one.end for one in named):
                continue
            fields = {hit.field: str(hit.value) for hit in hits.get(norm, ()) if hit.field in specs}
            if fields and (" " in norm or self._part(sentence, start, named)):
                named.append(_Named(start, end, person=(next(iter(fields.values())), frozenset(map(str, fields)))))

    def _part(self, sentence: str, start: int, named: Sequence[_Named]) -> str:
        """The part ("directors") that the words before a name give it, "" when they give none; "by A and B" too."""
        before = sentence[:start]
        if cue := _CUE.search(before[-_CUE_MOST:].lower()):
            return str(cue.lastgroup)
        for spec in self._people_specs:
            if before.rstrip().lower().endswith(f" {spec.spoken}") or before.rstrip().lower() == spec.spoken:
                return spec.name
        for one in named:
            if one.person is not None and one.end <= start and _AND.match(sentence[one.end : start]):
                return self._part(sentence, one.start, [other for other in named if other.end <= one.start])
        return ""

    def _person(self, sentence: str, one: _Named, named: Sequence[_Named], subject: Item | None) -> Iterator[Problem]:
        assert one.person is not None
        name, _ = one.person
        part = self._part(sentence, one.start, named)
        weak = not part or sentence[: one.start].rstrip().lower().endswith("with")
        if weak and f" {fold(name)} " in self._said_words:
            return  # the user named them; nothing is claimed of an item
        possessive = sentence[one.end : one.end + 2] in ("'s", "’s")
        about = self._about(one, named, subject, after=possessive)
        if any(_has(item, name, part) for item in about):
            return
        whose = about[0].title if len(about) == 1 else "none of these"
        yield Problem("person", f"{name} is not {_PART_OF.get(part, 'among the people')} of {whose} on record")

    def _unknown_people(self, sentence: str, spans: list[_Span], named: Sequence[_Named]) -> Iterator[Problem]:
        """Somebody in a part whom the catalogue does not know at all."""
        for start, end, _ in spans:
            if any(one.start < end and start < one.end for one in named):
                continue
            cue = _CUE.search(sentence[max(0, start - _CUE_MOST) : start].lower())
            if cue is not None and sentence[start:end][:1].isupper():
                yield Problem("person", f"{sentence[start:end]} is not on record")
                return

    def _about(self, one: _Named, named: Sequence[_Named], subject: Item | None, *, after: bool) -> list[Item]:
        """The items a claim may be about: the one of the line, else the nearest named one, else any of the list."""
        if subject is not None:
            return [subject]
        own = [other for other in named if other.item is not None and not other.linked]
        before = [other for other in own if other.end <= one.start]
        behind = [other for other in own if other.start >= one.end]
        chosen = (behind[:1] if after else []) or sorted(before, key=lambda o: o.end)[-1:] or behind[:1]
        picked = [other.item for other in chosen if other.item is not None]
        return picked or [*self.slate, *self.others]

    # -- numbers ------------------------------------------------------------------------------------------------------

    def _numbers(self, sentence: str, masked: str, named: Sequence[_Named], subject: Item | None) -> Iterator[Problem]:
        for match in _YEAR.finditer(masked):
            here = _Named(match.start(), match.end())
            if any(one.start <= here.start < one.end for one in named) or match[0] in self._said_numbers:
                continue
            if masked[match.end() : match.end() + 1] == "s":
                continue  # a decade; the conditions tell it
            behind = sorted((one for one in named if one.item is not None and one.start >= here.end),
                            key=lambda one: one.start)  # fmt: skip
            close = bool(behind) and len(sentence[here.end : behind[0].start].split()) <= 3
            about = self._about(here, sorted(named, key=lambda one: one.start), subject, after=close)
            if not any(item.year == int(match[0]) for item in about):
                yield Problem("year", f"{match[0]} is not the year of {about[0].title if about else 'any item'}")
        roles = {"%": Role.QUALITY, "percent": Role.QUALITY, "reviews": Role.POPULARITY}
        for match in _UNIT.finditer(masked):
            spec = self.catalogue.schema.by_role(roles.get(match[2], Role.DURATION))
            about = self._about(_Named(match.start(), match.end()), named, subject, after=False)
            if spec is None or match[1] in self._said_numbers:
                continue
            if not any(item.number(spec.name) == float(match[1]) for item in about):
                yield Problem("number", f"{match[0]} is not on record")


def _has(item: Item, name: str, part: str) -> bool:
    """Whether the record names that person, in that part when one is given. The parts of other catalogues' people
    ("designed by") have the names of their fields."""
    if part and part in item.fields:
        return name in item.tags(part)
    return any(isinstance(value, tuple) and name in value for value in item.fields.values())


def _spans(text: str) -> list[_Span]:
    """(start, end, folded words) of every run of words that begins and ends with a capitalised word or a number; the
    longest first, then from left to right."""
    words = list(_WORD.finditer(text))
    out = []
    for i, first in enumerate(words):
        if not _big(first[0]):
            continue
        for j in range(i, min(i + MOST_WORDS, len(words))):
            if j > i and re.search(r"[^\s:,&'’!.?-]|[.?!;]\s", text[words[j - 1].end() : words[j].start()]):
                break
            if not _big(words[j][0]):
                continue
            end = words[j].end()
            if text[end - 1] == ".":
                end -= 1
            word = text[first.start() : end]
            if word.endswith(("'s", "’s")):
                end -= 2
            out.append((first.start(), end, fold(text[first.start() : end])))
    return sorted((span for span in out if span[2]), key=lambda span: (span[0] - span[1], span[0]))


def _big(word: str) -> bool:
    return word[:1].isupper() or (word[:1].isdigit() and not _YEAR.fullmatch(word))
