"""What "the second one" and "it" point at, and what the user thinks of what is named."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from convrec.tools.lexicon import ORDINALS, SMALL_NUMBERS
from convrec.tools.lexicon_verdicts import BAD, BAD_DEED, FOND, GOOD, GOOD_DEED, NOT_FOND
from convrec.tools.linking_titles import Links, TitleLink
from convrec.tools.spans import Message

Polarity: TypeAlias = Literal["liked", "disliked", "seen", "like", "asked", "named"]
"""liked: "I loved Heat". like: "something like Heat". asked: "who directed Heat". named: no opinion was read."""


@dataclass(frozen=True, slots=True)
class Mention:
    row: int
    said: str
    polarity: Polarity
    how: str
    """exact | alias | fuzzy | reference ("the second one")"""
    alternatives: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Focus:
    """What pronouns and ordinals may point at."""

    slate: tuple[int, ...] = ()
    """Rows of the last slate, in the order shown."""
    last: int | None = None
    """The item talked about last."""
    people: tuple[str, ...] = ()
    """People talked about last."""
    people_field: str = ""
    references: tuple[int, ...] = ()
    """What the running request is about; "newer" is newer than these."""
    started: bool = False
    """A request is running, whatever it found."""
    asked: bool = False
    """The reply before ended in a question of the agent's: "yes" answers it."""


@dataclass(frozen=True, slots=True)
class Pointer:
    row: int
    said: str
    start: int


@dataclass(frozen=True, slots=True)
class References:
    pointers: tuple[Pointer, ...]
    unclear: str
    """An ordinal that points at nothing ("the seventh one" of five)."""
    spans: tuple[tuple[int, int], ...]


_ORDINAL_WORDS = "|".join(ORDINALS)
_ORDINAL = re.compile(
    rf"\b(?:the\s+)?({_ORDINAL_WORDS}|last|final)\s+"
    r"(?:one|film|movie|pick|option|suggestion|recommendation|title|choice)\b"
    rf"|\bthe\s+({_ORDINAL_WORDS})(?=\s*(?:$|[,.!?]|but\b|and\b|is\b|was\b|looks\b|sounds\b|instead\b))"
    r"|(?:\bnumber\s+|\bno\.\s*|#)(\d{1,2}|one|two|three|four|five|six|seven|eight|nine|ten)\b(?!\s*(?:%|percent|"
    r"min|hour|year))"
)
_COUNTED = "two|three|four|five|six|seven|eight|nine|ten"
_SEVERAL = re.compile(
    rf"\bthe\s+(first|last)\s+({_COUNTED}|\d)(?:\s+(?:ones|films|movies|picks|options))?\b(?!\s+(?:years|decades|"
    rf"hours|minutes))|"
    r"\b(all)\s+(?:of\s+)?(?:these|those|them|the(?:se|m)? (?:films|movies)|five)\b|\b(?:them|these|those)\s+(all)\b|"
    r"^\W*(?:and |so |ok(?:ay)?,? )*((?:which|any|each|what|are|is|do|does|who)(?: one)?(?: of)?) (?:these|those|"
    r"them)\b(?=.*\b(?:is|are|has|have)\b)"
)
_BACK = re.compile(
    r"\b(?:that|this)\s+(?:last\s+)?(?:one|film|movie)\b|\bthe\s+(?:last|previous)\s+(?:film|movie|one)\s+(?:you|i|"
    r"we)\b|"
    r"\b(?:it|that|this)\b(?=\s*(?:$|[?.!,]|is\b|was\b|about\b|made\b|called\b|again\b|too\b|but\b|scary|suitable|"
    r"good\b))|"
    r"\b(?:directed|wrote|written|made|about|in|like|seen|watch|watched|loved|liked|hated|of|is|was|stars in) "
    r"(?:it|that|this)\b(?! (?:i|we|you)\b)"
)
_VERB_FIRST = re.compile(r"(?:directed|wrote|written|made|about|in|like|seen|watch|loved|liked|hated|of|is|was|stars)")


def find_references(masked: Message, focus: Focus) -> References:
    """Ordinals into the last slate and pronouns for what was talked about last."""
    out: list[Pointer] = []
    spans: list[tuple[int, int]] = []
    unclear = ""
    for m in _SEVERAL.finditer(masked.low) if focus.slate else ():
        size = len(focus.slate) if m[3] or m[4] or m[5] else min(_count(m[2]), len(focus.slate))
        rows = focus.slate[-size:] if m[1] == "last" else focus.slate[:size]
        out += [Pointer(row, masked.text[m.start() : m.end()], m.start()) for row in rows]
        spans.append((m.end(5) + 1, m.end()) if m[5] else m.span())  # "which of these" stays a question
    masked = masked.masked(spans)
    for m in _ORDINAL.finditer(masked.low):
        word = m[1] or m[2]
        if word == "last" and re.search(r"\bthat\s+$", masked.low[: m.start()]):
            continue  # "that last film" is what was talked about, not the end of the list
        number = len(focus.slate) if word in ("last", "final") else _count(m[3]) if m[3] else ORDINALS[word]
        said = masked.text[m.start() : m.end()].strip()
        if 1 <= number <= len(focus.slate):
            out.append(Pointer(focus.slate[number - 1], said, m.start()))
        elif focus.slate:
            unclear = unclear or said
        else:
            continue
        spans.append(m.span())
    back = _BACK.search(masked.low) if not out and focus.last is not None else None
    if back is not None and focus.last is not None and not masked.negated(back.start()):
        out.append(Pointer(focus.last, masked.text[back.start() : back.end()].strip(), back.start()))
        if not _VERB_FIRST.match(back[0]):
            spans.append(back.span())
    return References(tuple(out), unclear, tuple(spans))


def _count(word: str) -> int:
    return int(word) if word.isdigit() else SMALL_NUMBERS[word]


_BEFORE: tuple[tuple[re.Pattern[str], Polarity], ...] = (
    (
        re.compile(
            r"\b(?:like|similar to|such as|reminds? me of|in the (?:style|vein) of|along the lines of|same (?:\w+ )?as|"
            r"as good as|than|based on|sequels? to|version of)\s"
        ),
        "like",
    ),
    (re.compile(rf"\b{FOND}(?!\w)"), "liked"),
    (re.compile(r"\b(?:seen|watched|saw|rewatched|finished|(?:i'?ve|have) (?:already )?done)\b"), "seen"),
    (re.compile(rf"\b{NOT_FOND}\b"), "disliked"),
)
_VERDICT = r"^[^.;!?,]{0,12}\b(?:was|is|were|are|looked|felt|turned out|'s) (?!\w+ (?:to|for|about)\b)"
_LIKED_AFTER = re.compile(
    rf"{_VERDICT}{GOOD}\b|"
    r"^,?\s*(?:which|that) (?:i|we) (?:really |both )?(?:loved|liked|enjoyed|adored)\b|"
    r"^[^.;!?]{0,20}\b(?:loved|liked|enjoyed) (?:it|them|both|that)\b|"
    rf"^[^.;!?]{{0,30}}\b(?:and|but|,) (?:it|they|both|that) (?:was|were|is) {GOOD}\b|"
    rf"^\s(?:\w+ ){{0,2}}{GOOD_DEED}\b"
)
_DISLIKED_AFTER = re.compile(
    rf"{_VERDICT}{BAD}\b|"
    r"^\W{0,3}(?:meh|yuck|ugh)\b|^[^.;!]{0,20}\b(?:a )?waste of (?:my )?time\b|"
    r"^,?\s*(?:which|that) (?:i|we) (?:really |both )?(?:hated|disliked|didn'?t like)\b|"
    r"^[^.;!?]{0,20}\b(?:hated|disliked|didn'?t like) (?:it|them|both|that)\b|"
    rf"^[^.;!?]{{0,30}}\b(?:and|but|,) (?:it|they|both|that) (?:was|were|is) {BAD}\b|"
    rf"^\s(?:\w+ ){{0,2}}{BAD_DEED}\b"
)
_VERB_LIKE = re.compile(r"\b(?:i|we|they|he|she|really|both|also|wife|husband|kids?) like\s[^.;!?]*$")
_MORE_LIKE = re.compile(r"\b(?:more|something|anything|films?|movies?|ones?) like\b")


def find_mentions(message: Message, links: Links, pointers: tuple[Pointer, ...]) -> tuple[Mention, ...]:
    """Every item named or pointed at, in order, with what the user thinks of it."""
    out = [
        (link.start, Mention(link.row, link.said, _polarity_of(message, link, links), link.how, link.alternatives))
        for link in links.titles
    ]
    for pointer in pointers:
        if any(m.row == pointer.row for _, m in out):
            continue
        end = pointer.start + len(pointer.said)
        polarity = polarity_at(message.low, pointer.start, end)
        if polarity == "named" and _MORE_LIKE.search(message.low[:end]):
            polarity = "like"
        out.append((pointer.start, Mention(pointer.row, pointer.said, polarity, "reference")))
    return tuple(m for _, m in sorted(out, key=lambda pair: pair[0]))


def _polarity_of(message: Message, link: TitleLink, links: Links) -> Polarity:
    low = message.low
    for other in links.titles:  # words of other titles ("Shakespeare in Love") must not speak for this one
        if other is not link:
            low = low[: other.start] + "_" * (other.end - other.start) + low[other.end :]
    return polarity_at(low, link.start, link.end)


def polarity_at(low: str, start: int, end: int) -> Polarity:
    """What is said of the thing at ``start:end`` of the lower-case text: the nearest verdict of its sentence."""
    before, after = low[:start], low[end:]
    if re.search(r"\byou (?:ever )?(?:seen|watched|heard of)\s+(?:the (?:movie|film) )?$", before):
        return "named"  # a question to the recommender
    if _DISLIKED_AFTER.search(after):
        return "disliked"
    if _LIKED_AFTER.search(after):
        return "liked"
    best, where = "named", -1
    for pattern, polarity in _BEFORE:
        found = list(pattern.finditer(before))
        if not found or re.search(r"[.;!?]|\bbut\b", before[found[-1].end() :]):
            continue
        last = found[-1]
        # "didn'?t like" holds "like": the longer, earlier match is the verdict.
        if last.start() >= where or (polarity == "disliked" and last.start() <= where <= last.end()):
            best, where = polarity, last.start()
    if best == "like" and _VERB_LIKE.search(before):
        return "liked"
    return best  # type: ignore[return-value]
