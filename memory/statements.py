"""Reads a message clause by clause: whose opinion it is, whether it is meant, how long it holds and when it applies.

By rule and careful: what is a joke, a question, a supposition, a quotation, long past or somebody else's is not the
user's. Knows nothing of items; :mod:`convrec.agent.remember` joins it with what was linked and which conditions were
read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from convrec.memory.clause_cues import (
    DISLIKING,
    DISLIKING_AFTER,
    ENOUGH,
    EXPERIENCE,
    LIKING,
    NOW,
    STANDING,
    TODAY,
    strength,
)
from convrec.memory.clause_guards import MY_OTHER, QUOTED, REPORTED, SELF_REPORT, refused, whole
from convrec.memory.plain import plainly
from convrec.memory.records import ALWAYS, Scope
from convrec.memory.scopes import generic, read_scope, until
from convrec.tools.standing import DENIES, HABIT

Sign = Literal["wanted", "unwanted", ""]

_SPLIT = re.compile(
    r"(?:(?<=[!?;\n])|(?<=(?<!\b[A-Za-z])\.)(?!\d))\s*|,?\s+(?<!anything )(?<!nothing )(?<!everything )\bbut\b\s*|"
    r",?\s+\bthough\b\s*|"
    r",\s*(?:and\s+)?(?=(?:i|we|he|she|they|it|my|our)\b(?!\s+\w+\s*,))|\s+and\s+(?=(?:i|we|he|she|they|my)\s)",
    re.IGNORECASE,
)
_LEADING = re.compile(
    r"^\W*(?:as for|regarding|when|whenever|if|while|unless|except|on|at|in|for|with|during|after|before|around|"
    r"over)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause of a message. Positions are those of the message."""

    text: str
    start: int
    end: int
    body: str
    """The clause with the words of its condition and quotations blanked out, same length: what it is about."""
    scope: Scope = ALWAYS
    standing: bool = False
    """To be kept to from now on: "always", "never", "when the kids are here, no horror"."""
    sign: Sign = ""
    """What a stated taste says; "" when none is stated."""
    flips: bool = False
    """The verdict follows what it is about ("documentaries bore me"): readers that look before it miss the denial."""
    whose: str = ""
    """Somebody else's: "sister"; "" for the user's own."""
    name: str = ""
    """The first name given with ``whose``."""
    refused: str = ""
    """Why nothing of it is the user's: "a joke", "a question"."""
    today: bool = False
    """It is about this time only."""
    until: datetime | None = None
    strength: float = 0.7

    @property
    def durable(self) -> bool:
        """It says something of the user that is worth keeping."""
        if self.refused or self.whose or self.today or not (self.standing or self.sign):
            return False
        return plainly(self.body, self.sign)


def clauses(text: str, at: datetime) -> list[Clause]:
    """The clauses of a message, in order. ``at``: when it was said, for "this week"."""
    flat = text.replace("’", "'")
    low = "".join(c.lower() if len(c.lower()) == 1 else c for c in flat)
    quoted = [match.span() for match in QUOTED.finditer(flat)]
    nothing = whole(low)
    reported = REPORTED.search(low)
    foreign_report = reported is not None and not SELF_REPORT.match(low[max(0, reported.start() - 2) :].lstrip())
    out: list[Clause] = []
    for start, end in _spans(flat):
        clause = _read(flat, low, start, end, quoted, at)
        before = out[-1] if out else None
        if nothing:
            clause = replace(clause, refused=nothing)
        elif foreign_report and reported is not None and end > reported.start() and not clause.whose:
            clause = replace(clause, refused="somebody else's words")
        elif (
            before is not None and before.refused == "a supposition" and not _full_stop_between(flat, before.end, start)
        ):
            clause = replace(clause, refused="a supposition")
        out.append(clause)
    if any(HABIT.search(c.text.lower()) and not c.refused for c in out):
        out = [_habitual(c) for c in out]
    return out


def _habitual(clause: Clause) -> Clause:
    """ "No horror, I always watch with my kids": what is said to be always so is no condition, and makes a rule of the
    rest."""
    if clause.refused or clause.whose or clause.today:
        return clause
    low = clause.text.lower()
    if HABIT.search(low):
        return replace(clause, scope=ALWAYS, body=low, standing=True)
    return replace(clause, standing=True) if DENIES.search(low) else clause


def _spans(text: str) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    start = 0
    for match in _SPLIT.finditer(text):
        head = text[start : match.start()]
        if match.start() <= start and match.end() <= start:
            continue
        subordinate = (
            match[0].lstrip().startswith(",")
            and _LEADING.match(head)
            and not re.search(r"\b(?:no|nothing|only|never|always)\b", head.lower())
        )
        if subordinate or not head.strip():
            continue
        spans.append((start, match.start()))
        start = match.end()
    if text[start:].strip():
        spans.append((start, len(text)))
    return spans


def _full_stop_between(text: str, end: int, start: int) -> bool:
    return re.search(r"[.!?;\n]", text[max(0, end - 1) : start]) is not None


def _read(text: str, low: str, start: int, end: int, quoted: list[tuple[int, int]], at: datetime) -> Clause:
    piece, lower = text[start:end], list(low[start:end])
    for a, b in quoted:
        for i in range(max(a, start), min(b, end)):
            lower[i - start] = " "
    said = ENOUGH.sub(_as_liking, "".join(lower))
    scope, blanked = read_scope(said)
    disliking, after = DISLIKING.search(blanked), DISLIKING_AFTER.search(blanked)
    liking = LIKING.search(blanked)
    sign: Sign = "unwanted" if disliking or after else "wanted" if liking else ""
    today = TODAY.search(said) is not None or (not sign and NOW.search(said) is not None)
    explicit = STANDING.search(EXPERIENCE.sub("", said)) is not None
    standing = not today and (explicit or generic(said, scope, blanked))
    clause = Clause(piece, start, end, blanked, scope, standing, sign, flips=after is not None, today=today)
    clause = replace(clause, until=until(said, at), strength=strength(said))
    other = MY_OTHER.search(piece)
    if other is not None and not re.search(
        r"\b(?:visits?|comes?|stays?|is (?:here|watching|over|around|coming))\b", other[0].lower()
    ):
        mine = LIKING.search(said[: other.start()]) or DISLIKING.search(said[: other.start()])
        if mine is None:
            kin = other["kin"].lower()
            name = (other["name"] or "").strip()
            clause = replace(clause, whose=kin, name=name if name[:1].isupper() else "")
    why = refused(said, low[start : min(len(low), end + 1)], piece)
    return replace(clause, refused=why) if why else clause


def _as_liking(match: re.Match[str]) -> str:
    """ "Never get enough of" as "love", of the same length."""
    idiom = match["never"] or match[0]
    return match[0].replace(idiom, "love".ljust(len(idiom)))
