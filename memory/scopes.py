"""When a clause applies and until when, read from its words."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from convrec.memory.clause_cues import RESTRICTS
from convrec.memory.records import ALWAYS, Scope
from convrec.memory.situations import facets_in, places

_SUBORDINATE = re.compile(
    r"\b(?P<no>except (?:when|if|while)|unless|but not (?:when|if)|not when)\b|\b(?P<yes>when(?:ever)?|if|while|"
    r"as long as|every time|any time|in case|as soon as)\b"
)
_EXCEPT = re.compile(
    r"\b(?:except(?: for)?|apart from|other than|but not)\s+(?=(?:with|on|at|in|for|during|around|over|before|"
    r"after|when)\b)|\bexcept\b"
)
_PREPOSITION = re.compile(
    r"\b(?:with|on|at|in|for|during|after|before|around|over|to|while|every)\s+(?:(?!(?:i|i'm|we|we're|is|are|it|"
    r"it's)\s)[\w'-]+\s+){0,3}$"
)
_OWN_PREPOSITION = re.compile(
    r"(?:at|on|in|after|before|by|while|during|just|only|all|solo|alone|home|to|into|off|fall)\b"
)
_TWO_WORDS = re.compile(r"\s*[\w']+\s+[\w']+")
_REGION_END = re.compile(
    r",|\b(?:i|we) (?:always|never|only|want|love|like|prefer|hate|don'?t|can'?t|watch|need|enjoy|usually|would)\b|"
    r"\b(?:always|never|only|nothing|no|please)\b"
)
_UNTIL = re.compile(
    r"\b(?:(?:for )?(?:the )?(?:next|coming) (?P<n>\d{1,2}|two|three|four|few|couple of)? ?(?P<unit>days?|weeks?|"
    r"months?)|"
    r"this (?P<this>week|month|year)|until (?P<end>christmas|new year|easter|further notice)|for now)\b"
)


def read_scope(said: str) -> tuple[Scope, str]:
    """When a lower-case clause says it applies, and the clause with those words blanked out."""
    yes, no = set[str](), set[str]()
    words: list[str] = []
    gone: list[tuple[int, int]] = []
    taken = list(said)
    for match in _SUBORDINATE.finditer(said):
        if any(a <= match.start() < b for a, b in gone):
            continue
        opening = _TWO_WORDS.match(said, match.end())
        stop = _REGION_END.search(said, opening.end() if opening else match.end() + 1)
        stop_at = stop.start() if stop else len(said)
        region = said[match.end() : stop_at].strip(" ,.!?;")
        found, denied = facets_in(region)
        if not region:
            continue
        if match["no"]:
            no |= found
            yes |= denied
        else:
            yes |= found
            no |= denied
        if not found and not denied:
            if match["no"]:
                continue  # an exception that cannot be told is none
            words.append(region)
        gone.append((match.start(), stop_at))
        taken[match.start() : stop_at] = " " * (stop_at - match.start())
    left = "".join(taken)
    exception = _EXCEPT.search(left)
    for facet, start, end in places(left):
        opens = (
            _PREPOSITION.search(left[:start]) or _OWN_PREPOSITION.match(left[start:end]) or not left[:start].strip(" ,")
        )
        if not opens:
            continue
        begin = opens.start() if isinstance(opens, re.Match) and opens.re is _PREPOSITION else start
        if (
            exception is not None
            and exception.start() <= begin <= exception.end() + 40
            and "," not in left[exception.end() : begin]
        ):
            no.add(facet)
            begin = min(begin, exception.start())
        else:
            yes.add(facet)
        gone.append((begin, end))
        taken[begin:end] = " " * (end - begin)
    phrase = " ".join(dict.fromkeys(said[a:b].strip(" ,.!?;") for a, b in sorted(gone)))
    if not (yes or no or words):
        return ALWAYS, said
    # "home" follows from other words of place and time; the most exact facets say enough.
    return Scope(facets=tuple(sorted(yes)), unless=tuple(sorted(no - yes)), words=phrase[:200]), "".join(taken)


def generic(said: str, scope: Scope, body: str) -> bool:
    """Whether a condition makes it a rule: "when it rains, no war films", but not "a comedy for date night"."""
    if scope.empty or not RESTRICTS.search(body):
        return False
    if _SUBORDINATE.search(said) or scope.unless:
        return True
    groups = {facet.split(":")[0] for facet in scope.facets}
    return groups != {"company"} and re.search(r"\b(?:only|nothing|no)\b", body) is not None


def until(said: str, at: datetime) -> datetime | None:
    match = _UNTIL.search(said)
    if match is None:
        return None
    if match["end"]:
        month, day = {"christmas": (12, 25), "new year": (1, 1), "easter": (4, 20)}.get(match["end"], (0, 0))
        if not month:
            return None
        end = at.replace(month=month, day=day, hour=0, minute=0, second=0, microsecond=0)
        return end if end > at else end.replace(year=end.year + 1)
    if match["this"]:
        days = {"week": 7 - at.weekday(), "month": 31 - at.day + 1, "year": 366 - at.timetuple().tm_yday}[match["this"]]
        return at + timedelta(days=max(1, days))
    if match["unit"]:
        number = {"two": 2, "three": 3, "four": 4, "few": 3, "couple of": 2}.get(match["n"] or "", 0) or int(
            match["n"] or 1
        )
        return at + timedelta(days=number * {"d": 1, "w": 7, "m": 30}[match["unit"][0]])
    return at + timedelta(days=30)
