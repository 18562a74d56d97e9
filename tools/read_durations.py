"""Running times, read by rule from plain words."""

from __future__ import annotations

import re
from dataclasses import replace

from convrec.tools.lexicon import SMALL_NUMBERS
from convrec.tools.predicates import Condition, Not
from convrec.tools.read_numbers import YearContext, year_range
from convrec.tools.spans import Message

_NUMBER = r"(\d+(?:[.,]\d+)?|" + "|".join(SMALL_NUMBERS) + r")"
_DURATION = re.compile(
    rf"(?:\b{_NUMBER}\+?(?: and a (half))?[ -]?(?:(?:hours?|hrs?|h)\b|h(?=\d{{2}}\b))"
    r"(?: ?(?:and )?(?:a (half)\b|(\d{1,2})(?: ?(?:minutes?|mins?|m)\b)?))?"
    r"|\b(half) an hour|(\d{2,3})[ -]?(?:minutes?|mins?|m)\b|"
    r"\b([1-4]):([0-5]\d)\b(?! ?(?:am|pm|o'?clock)\b))"
)
_AT_MOST_BEFORE = re.compile(
    r"(?:\b(?:under|below|less than|shorter than|within|(?:capp?ed|limited|limit|cap|ceiling)(?: at| to| of)?|"
    r"maximum(?: of)?|max(?: of)?|at most|up to|"
    r"(?:no|not|nothing|isn'?t|never) (?:more|longer|above|over|beyond|past) (?:than )?|not over|not above|"
    r"don'?t want anything over|only have|just have|"
    r"have(?: only| just)?|have got|i'?ve got|got)|<=?)\s*(?:about |around |roughly )?$"
)
_STRICT_BELOW = re.compile(r"(?:\b(?:under|below|less than|shorter than)|<)\s*(?:about |around |roughly )?$")
_AT_LEAST_BEFORE = re.compile(
    r"(?:\b(?:over|above|more than|longer than|at least|minimum(?: of)?|min(?: of)?|(?:no|not) (?:less|shorter) than|"
    r"not under)|>=?)\s*$"
)
_DENIED = (
    r"\b(?:not|nothing|no|never|none|without|avoid|skip|refuse|hate|can'?t stand|cannot stand|"
    r"(?:don|won|can|wouldn|doesn|isn|shouldn|mustn|couldn|aren)'?t|cannot)\b(?! mind)"
    r"(?:(?!\b(?:but|just|only|and|rather|instead|mind|tire|tired|enough|problem)\b)[^.;:!?,]){0,45}?\b"
)
"""A denial that reaches over a few words of the same clause: "I never watch anything over"."""
_DENIED_LONGER = re.compile(
    _DENIED + r"(?:over|above|more than|longer than|beyond|past|exceeding|exceeds?)\s*(?:about |around )?$"
)
_OBJECTS_LONGER = re.compile(
    r"\b(?:if|when|once) (?:it|they|that|a (?:film|movie))(?:'s|'re| is| are| runs?| gets?| goes)? (?:longer than|"
    r"over|past|above|"
    r"more than)\s*$"
)
"""What makes somebody leave: "he walks out if it's longer than"."""
_DENIED_SHORTER = re.compile(_DENIED + r"(?:under|below|less than|shorter than)\s*(?:about |around )?$")
_MUST_FIT = re.compile(
    r"\b(?:fits?|squeeze|finish(?:ed)?|done|time for|time (?:until|till|before)|to kill|to spare|to fill|free|"
    r"break|nap|lunch|(?:before|until|till) (?:bed|i|we|the|my)|at most|tops|max)\b"
)
"""With these a bare length is all the time there is: "my train ride is 100 minutes, it has to fit"."""
_STRICT_ABOVE = re.compile(r"(?:\b(?:over|above|more than|longer than)|>)\s*$")
_AT_MOST_AFTER = re.compile(r"\s*(?:max\b|maximum|tops|at most|or (?:less|shorter|under|below)|or so at most)")
_AT_LEAST_AFTER = re.compile(r"\s*(?:or (?:more|longer|over)|minimum|at least|\+|plus\b)")

AROUND_MINUTES = 10
"""Half-width of "a 90 minute film" and "around two hours", minutes."""
SHORT_MINUTES, LONG_MINUTES, NOT_TOO_LONG_MINUTES = 95, 150, 120


def read_durations(message: Message, field: str, context: YearContext) -> list[Condition]:
    """Conditions on the running time, minutes."""
    low = message.low
    if m := re.search(r"(\d{2,3})\s*(?:-|–|to|and)\s*(\d{2,3})\s*(?:minutes?|mins?)\b", low):
        first, last = sorted((int(m[1]), int(m[2])))
        return [_duration(field, first, last, m[0])]
    out: list[Condition] = []
    loose: list[Condition] = []
    for m in _DURATION.finditer(low):
        minutes = _minutes(m)
        if minutes is None or not 20 <= minutes <= 600:
            continue
        before, after = low[: m.start()], low[m.end() :]
        denied_longer, denied_shorter = _DENIED_LONGER.search(before), _DENIED_SHORTER.search(before)
        if re.search(r"\b(?:and|to|-)\s*$", before) and out and "between" in before:
            continue
        if between := re.search(r"between\s*$", before):
            second = _DURATION.search(low, m.end())
            upper = _minutes(second) if second else None
            if second and upper:
                out.append(_duration(field, minutes, upper, message.text[between.start() : second.end()]))
                continue
        if denied_shorter:
            out.append(_duration(field, minutes, None, m[0]))
        elif (
            denied_longer
            or _OBJECTS_LONGER.search(before)
            or _AT_MOST_BEFORE.search(before)
            or _AT_MOST_AFTER.match(after)
        ):
            strict = bool(_STRICT_BELOW.search(before)) and not denied_longer
            out.append(_duration(field, None, minutes - 1 if strict else minutes, m[0], strict))
        elif "+" in m[0] and message.negated(m.start()):  # "can't sit through 2+ hours"
            out.append(_duration(field, None, minutes, m[0]))
        elif "+" in m[0] or _AT_LEAST_BEFORE.search(before) or _AT_LEAST_AFTER.match(after):
            strict = bool(_STRICT_ABOVE.search(before))
            out.append(_duration(field, minutes + 1 if strict else minutes, None, m[0], strict))
        elif re.search(r"\b(?:to|and|-|–)\s*$", before) and out:
            continue
        elif _MUST_FIT.search(low) and not message.negated(m.start()):
            out.append(_duration(field, None, minutes, m[0]))
        else:
            around = _duration(field, minutes - AROUND_MINUTES, minutes + AROUND_MINUTES, m[0])
            if message.negated(m.start()):
                around = replace(around, expr=Not(around.expr), label=f"not {around.label}", negative=True)
            out.append(around)
            loose.append(around)
    if out:
        # Beside a bound a bare length is talk: "after a three hour epic: under two hours".
        return [c for c in out if c not in loose] or out
    references = context.reference_minutes
    if re.search(r"\bshorter\b|\bless long\b", low):
        return [_duration(field, None, min(references) - 1 if references else SHORT_MINUTES, "shorter")]
    if re.search(
        r"\bnot (?:too|so|very|that|overly|as) long\b|\btoo long\b|\bdon'?t want (?:anything|"
        r"something) (?:too )?long\b",
        low,
    ):
        return [
            _duration(
                field,
                None,
                min(references) - 1
                if references and re.search(r"(?<!not )\btoo long\b|\bnot as long\b", low)
                else NOT_TOO_LONG_MINUTES,
                "not too long",
            )
        ]
    if re.search(r"\blonger\b", low):
        return [_duration(field, max(references) + 1 if references else LONG_MINUTES, None, "longer")]
    if re.search(r"\b(?:something|anything|a|quick and) short\b(?! (?:film|story))|\bshort (?:one|movie)\b", low):
        return [_duration(field, None, SHORT_MINUTES, "short")]
    if re.search(r"\b(?:something|a|an|really) long (?:one|movie|film|epic)\b|\bepic[- ]length\b", low):
        return [_duration(field, LONG_MINUTES, None, "long")]
    return []


def _number(text: str) -> float:
    return float(SMALL_NUMBERS[text]) if text in SMALL_NUMBERS else float(text.replace(",", "."))


def _minutes(m: re.Match[str]) -> int | None:
    if m[5]:
        return 30
    if m[6]:
        return int(m[6])
    if m[7]:
        return 60 * int(m[7]) + int(m[8])
    if m[1] is None:
        return None
    half = 30 if m[2] or m[3] else 0
    return round(_number(m[1]) * 60) + half + int(m[4] or 0)


def _duration(field: str, low: int | None, high: int | None, said: str, strict: bool = False) -> Condition:
    if low is not None and high is not None:
        label = f"{low} to {high} minutes"
    elif high is not None:
        label = f"under {high + 1} minutes" if strict else f"at most {high} minutes"
    else:
        label = f"over {(low or 0) - 1} minutes" if strict else f"at least {low} minutes"
    return Condition(year_range(field, low, high), label, field, said=said)
