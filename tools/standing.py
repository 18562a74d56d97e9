"""Which part of a message is meant for good: "a Korean comedy please, and never show me horror" bars horror for ever
and asks for a comedy today."""

from __future__ import annotations

import re
from collections.abc import Iterator

STANDING = re.compile(
    r"\b(?:always|never(?! ?mind| agree| decide| seen| saw| watched| heard| been| got?\b| knew| tried)|ever(?! seen|"
    r" made)|from now on|"
    r"in general|as a (?:general )?rule|every time|generally|at all times|forever|(?:for|in) (?:the |"
    r"all )?future(?: reference)?|henceforth|"
    r"going forward|please remember|remember that)\b"
)
HABIT = re.compile(
    r"\b(?:i|we) (?:always|usually|normally|mostly|only ever|generally) (?:watch|see) "
    r"(?:(?:films|movies|them|things|everything) )?(?:with|together with)\b"
)
"""How things always are: it makes what is denied beside it lasting, "no horror, I always watch with my kids"."""
DENIES = re.compile(r"\b(?:no|nothing|none|don'?t|not|without|avoid)\b")
_DENIAL = re.compile(rf"[^.!?;,\n]*{DENIES.pattern}[^.!?;,\n]*")
_STOP = re.compile(r"[.!?;\n]")
_SMALL = r"(?:and|but|also|so|please|i|we|you|i'd|i'll|do|to|should|would|will|can|could)"
_OPENS = re.compile(rf"(?:[.!?;\n,]|\b(?:and|but)\b|^)\s*(?:{_SMALL}\s+)*$")
"""Before the word that makes it lasting: its own part begins here."""
_CLOSES = re.compile(
    r"[.!?;\n]|\b(?:but|now|today|tonight|this time|right now)\b|"
    r",?\s*\b(?:and|so)\s+(?:please\s+)?(?:i'm|i am|i want|i'd|we want|give|find|show|recommend|suggest|what|which|can|"
    r"could|is there|any)\b|"
    r",\s*(?:(?:and|so|please)\s+)*(?:a|an|some|something|i'm|i want|i'd|give|find|recommend|suggest|what|which|can|"
    r"could|is there|any)\b"
)
"""After it: where a wish of the day begins."""


def lasting(low: str) -> Iterator[tuple[int, int]]:
    """Start and end, in characters, of each part of ``low`` (lower case) that is a standing instruction."""
    if HABIT.search(low):
        yield from (match.span() for match in _DENIAL.finditer(low))
    for match in STANDING.finditer(low):
        stops = [0, *(stop.end() for stop in _STOP.finditer(low, 0, match.start()))]
        opening = _OPENS.search(low, stops[-1], match.start())
        closing = _CLOSES.search(low, match.end())
        end = closing.start() if closing else len(low)
        last = not re.search(r"\w", low[match.end() : end])  # "no horror, ever": it closes what it speaks of
        yield (stops[-1] if opening is None or last else opening.start()), end
