"""Years, decades and running times, read by rule from plain words."""

from __future__ import annotations

import re
from dataclasses import dataclass

from convrec.tools.lexicon import DECADE_WORDS, SMALL_NUMBERS
from convrec.tools.predicates import AllOf, AnyOf, Condition, Expr, Not, Op, Test
from convrec.tools.spans import Message

_YEAR = r"((?:18[89]|19\d|20\d)\d)"
_DECADE = r"(?:(early|mid|late)[- ])?(?:the )?(?:\b((?:18|19|20)?\d0)'?s\b|(" + "|".join(DECADE_WORDS) + r")\b)"

_AND_LATER = re.compile(r"\s*(?:on(?:wards?)?\b|or (?:later|newer|after)|and (?:later|after|newer|up|beyond)|\+)")
_SINCE = frozenset(
    {"since", "at least from", "not before", "no earlier than", "not earlier than", "not older than", "no older than"}
)
"""Words before a year that count it in."""
RECENT_YEARS = 5
"""What "recent" means, counted back from the catalogue's newest year."""
OLD_BEFORE = 1980
"""What "an old film", "a classic" means: before this year."""


@dataclass(frozen=True, slots=True)
class YearContext:
    """What relative words are relative to. Years are None where nothing is known."""

    newest: int
    """Newest year of the catalogue."""
    reference_years: tuple[int, ...] = ()
    """Years of the items the message (or the last slate, for a critique) is about."""
    reference_minutes: tuple[int, ...] = ()


_SHORT_SPAN = re.compile(r"(?<![\w'])'(\d\d)\s*(?:-|–|to|until|through|and)\s*'?(\d\d)\b(?! ?(?:min|hour|%|s\b))")
_SHORT_YEAR = re.compile(
    r"\b(from|in|of|before|after|since|until|till|up to|by|no later than|(?<=older )than)\s+'(\d\d)\b(?!\s*(?:-|–|"
    r"to|and) ?'?\d)"
)
_SHORT_ON = re.compile(r"(?<![\w.,$])'?([2-9]\d) (?:on(?:wards?)?|and (?:later|newer|onwards?)|or (?:later|newer))\b")
"""Years of two digits: "'61 to '69", "95 onwards"."""
_WARS = re.compile(
    r"(?<!set )(?<!takes place )(?<!happens )\b(before|prior to|pre-?|after|post-?)\s*(?:the )?(?:world war |ww ?)?"
    r"(first(?= world war)|second(?= world war)|(?:(?<=war )|(?<=ww)|(?<=ww ))(?:1|2|one|two|ii?)\b)(?: world war\b)?"
)


def year_range(field: str, low: int | None, high: int | None) -> Expr:
    parts: list[Expr] = []
    if low is not None:
        parts.append(Test(field, Op.GE, (low,)))
    if high is not None:
        parts.append(Test(field, Op.LE, (high,)))
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


def range_label(low: int | None, high: int | None) -> str:
    if low is not None and high is not None:
        return f"from {low}" if low == high else f"from {low} to {high}"
    return f"from {low} or later" if low is not None else f"from {high} or earlier"


def read_years(message: Message, field: str, context: YearContext) -> list[Condition]:
    """Conditions on the year. Absolute ones first; several decades are alternatives."""
    low = message.low
    taken: list[tuple[int, int]] = []
    ranges: list[tuple[int | None, int | None, bool, str]] = []

    def add(start: int, end: int, first: int | None, last: int | None, negative: bool = False) -> None:
        if any(start < e and s < end for s, e in taken):
            return
        listed = bool(ranges) and ranges[-1][2] and message.inherits_denial(max(e for _, e in taken), start, end)
        taken.append((start, end))
        ranges.append((first, last, negative or listed, message.text[start:end].strip()))

    for m in re.finditer(rf"(?:between |from )?{_YEAR}\s*(?:-|–|to|and|until|through)\s*{_YEAR}", low):
        first, last = sorted((int(m[1]), int(m[2])))
        if " and " not in m[0] or "between" in m[0]:
            add(m.start(), m.end(), first, last, message.negated(m.start()))
    for m in re.finditer(
        rf"\b(before|prior to|earlier than|older than|predat(?:es?|ing)|preceding|pre-?|until|till|up to|no later "
        rf"than|not later than|not after|"
        rf"after|past|beyond|later than|newer than|more recent than|younger than|post-?|since|at least from|from|"
        rf"not before|no earlier than|not earlier than|not older than|no older than|"
        rf"by|in)\s*(?:about |around |i was born (?:in )?|my (?:birth|birthday) (?:in )?)?(?:the (?:year |end of |"
        rf"start of |beginning of )?)?(?:{_DECADE}|{_YEAR}\b)",
        low,
    ):
        start, end = m.start(), m.end()
        first, last = (int(m[5]), int(m[5])) if m[5] else _decade(m[2], m[3], m[4])
        word = m[1].rstrip("-")
        denied = message.negated(start)
        after = _AND_LATER.match(low, end)
        if word in ("before", "prior to", "earlier than", "older than", "pre", "preceding") or word.startswith(
            "predat"
        ):
            add(start, end, first, None) if denied else add(start, end, None, first - 1)
        elif word in ("until", "till", "up to", "no later than", "not later than", "not after", "by"):
            add(start, end, None, last)
        elif word in (
            "after",
            "past",
            "beyond",
            "later than",
            "newer than",
            "more recent than",
            "younger than",
            "post",
        ):
            add(start, end, None, last) if denied else add(start, end, last + 1, None)
        elif word in _SINCE or after:
            add(start, after.end() if after else end, first, None)
        else:
            add(start, end, first, last, denied)
    for m in re.finditer(
        rf"\b(?:last|final|first|second) (?:half|(\d|{'|'.join(SMALL_NUMBERS)}) years) of (?:the )?{_DECADE}", low
    ):
        first, last = _decade(m[2], m[3], m[4])
        length = 5 if m[1] is None else SMALL_NUMBERS.get(m[1]) or int(m[1])
        late = m[0].startswith(("last", "final", "second"))
        first, last = (last - length + 1, last) if late else (first, first + length - 1)
        add(m.start(), m.end(), first, last, message.negated(m.start()))
    for m in re.finditer(rf"(?<!their )(?<!his )(?<!her )(?<!my )(?<!your )(?<!our ){_DECADE}", low):
        first, last = _decade(m[1], m[2], m[3])
        add(m.start(), m.end(), first, last, message.negated(m.start()))
    for m in re.finditer(
        rf"\b{_YEAR}\b(\s*(?:or|and) (?:later|newer|after|up|above|beyond)|\s*\+|\s*(?:and |or )?on(?:wards?)?\b|"
        r"\s*(?:or|and) (?:earlier|older|before|below))?",
        low,
    ):
        tail = m[2] or ""
        year = int(m[1])
        if re.search(r"later|newer|after|\+|on|up|above", tail) and "older" not in tail:
            add(m.start(), m.end(), year, None)
        elif tail:
            add(m.start(), m.end(), None, year)
        else:
            add(m.start(), m.end(), year, year, message.negated(m.start()))
    for m in _SHORT_SPAN.finditer(low):
        add(m.start(), m.end(), _full(m[1]), _full(m[2]), message.negated(m.start()))
    for m in _SHORT_YEAR.finditer(low):
        year, word = _full(m[2]), m[1]
        if word in ("before", "than"):
            add(m.start(), m.end(), None, year - 1)
        elif word == "after":
            add(m.start(), m.end(), year + 1, None)
        elif word in ("from", "in", "of"):
            add(m.start(), m.end(), year, year)
        else:
            add(m.start(), m.end(), *((year, None) if word == "since" else (None, year)))
    for m in _SHORT_ON.finditer(low):
        add(m.start(), m.end(), _full(m[1]), None)
    for m in _WARS.finditer(low):
        begins, ends = (1914, 1918) if m[2].startswith(("first", "1", "one")) or m[2] == "i" else (1939, 1945)
        before = m[1].startswith(("before", "pre", "prior"))
        add(m.start(), m.end(), None if before else ends + 1, begins - 1 if before else None)
    for m in re.finditer(r"\b(?:not|nothing|no) older than (\d{1,2}) years?\b|\bless than (\d{1,2}) years old\b", low):
        add(m.start(), m.end(), context.newest - int(m[1] or m[2]) + 1, None)
    for m in re.finditer(r"\b(?:last|past) (\d{1,2}|" + "|".join(SMALL_NUMBERS) + r") (years|decades)\b", low):
        span = SMALL_NUMBERS.get(m[1]) or int(m[1])
        years = span * (10 if m[2] == "decades" else 1)
        add(m.start(), m.end(), context.newest - years + 1, None, message.negated(m.start()))

    for m in re.finditer(r"\b(?:older than|more than|over|at least) (\d{1,2}) years(?: old)?\b", low):
        if m[0].startswith("older") or m[0].endswith("old"):
            add(m.start(), m.end(), None, context.newest - int(m[1]), message.negated(m.start()))
    for m in re.finditer(r"\b(?:(this|21st|twenty-first|current)|last|20th|twentieth) century\b", low):
        first_year, last_year = (2001, None) if m[1] else (None, 2000)
        add(m.start(), m.end(), first_year, last_year, message.negated(m.start()))

    conditions = _year_conditions(field, ranges)
    if not conditions:
        relative = _relative_years(message, field, context)
        conditions = [relative] if relative else []
    return conditions


def _year_conditions(field: str, ranges: list[tuple[int | None, int | None, bool, str]]) -> list[Condition]:
    out: list[Condition] = []
    closed = [r for r in ranges if not r[2] and r[0] is not None and r[1] is not None]
    for first, last, negative, said in ranges:
        if (first, last, negative, said) in closed and len(closed) > 1:
            continue
        expr, label = year_range(field, first, last), range_label(first, last)
        out.append(
            Condition(
                Not(expr) if negative else expr, f"not {label}" if negative else label, field, negative, said=said
            )
        )
    if len(closed) > 1:  # "80s or 90s" names alternatives
        expr = AnyOf(tuple(year_range(field, first, last) for first, last, _, _ in closed))
        label = " or ".join(range_label(first, last) for first, last, _, _ in closed)
        out.append(Condition(expr, label, field, said=" … ".join(r[3] for r in closed)))
    return out


def _full(digits: str) -> int:
    """The year of two digits."""
    return int(digits) + (1900 if int(digits) >= 20 else 2000)


def _decade(part: str | None, digits: str | None, word: str | None) -> tuple[int, int]:
    if word:
        start = DECADE_WORDS[word]
    else:
        number = int(digits or "0")
        start = number if number >= 1000 else (1900 + number if number >= 20 else 2000 + number)
    first, last = {"early": (0, 3), "mid": (3, 6), "late": (6, 9)}.get(part or "", (0, 9))
    return start + first, start + last


def _relative_years(message: Message, field: str, context: YearContext) -> Condition | None:
    low, newest = message.low, context.newest
    if not newest:  # a catalogue without a single year
        return None
    if m := re.search(r"\bnewer\b|\bmore recent\b|\bmore modern\b|\bless old\b|\btoo old\b", low):
        first = (
            _newer_than(context.reference_years, newest) if context.reference_years else newest - 2 * RECENT_YEARS + 1
        )
        return Condition(Test(field, Op.GE, (first,)), range_label(first, None), field, said=m[0])
    if m := re.search(r"\bolder\b(?! (?:kids|children|brother|sister|son|daughter|people|audience))|\btoo new\b", low):
        last = min(context.reference_years) - 1 if context.reference_years else OLD_BEFORE - 1
        return Condition(Test(field, Op.LE, (last,)), range_label(None, last), field, said=m[0])
    if m := re.search(
        r"\b(?:recent|brand new|latest|newest|current|new(?= (?:one|film|movie|release)s?\b))\b|something new\b", low
    ):
        first = newest - RECENT_YEARS + 1
        label = f"{range_label(first, None)} (recent: this catalogue ends in {newest})"
        return Condition(Test(field, Op.GE, (first,)), label, field, said=m[0])
    if m := re.search(
        r"\b(?:classics?|old(?=[- ](?:school|time|timey|film|movie|hollywood|one)s?\b)|vintage)\b|something old\b", low
    ):
        negative = message.negated(m.start())
        expr: Expr = Test(field, Op.LE, (OLD_BEFORE - 1,))
        label = f"from before {OLD_BEFORE}"
        return Condition(
            Not(expr) if negative else expr, f"not {label}" if negative else label, field, negative, said=m[0]
        )
    return None


def _newer_than(years: tuple[int, ...], newest: int) -> int:
    """The year after the newest of ``years``; where the catalogue ends there, after most of them or the oldest."""
    ordered = sorted(years)
    choices = [ordered[-1] + 1, ordered[len(ordered) // 2] + 1, ordered[0] + 1]
    return next((year for year in choices if year <= newest), choices[0])
