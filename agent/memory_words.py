"""Tastes in the user's own words, where no field of the catalogue records them: "slow-burn films"."""

from __future__ import annotations

import re

from convrec.core.text import clean, fold
from convrec.memory.clause_cues import DISLIKING, DISLIKING_AFTER, LIKING
from convrec.memory.records import Polarity
from convrec.memory.statements import Clause
from convrec.tools.lexicon import FUNCTION_WORDS

MAX_FREE_WORDS = 6
"""Longest instruction kept in free words; a longer one was not understood."""
DENYING = re.compile(r"\b(?:no|not|nothing|never|none|don'?t|without|avoid|skip)\b")
_PLAIN = r"(?:films?|movies?|stor(?:y|ies)|cinema|pictures?|shows?|series)"
"""What says nothing alone."""
_NOUNS = (
    r"(?:films?|movies?|stor(?:y|ies)|plots?|endings?|twists?|soundtracks?|dialogues?|characters?|scenes?|humou?r|"
    r"cinema|pictures?|shows?|series|television|tv|noir|anime|comedy|drama|animation)"
)
_MATTER = r"(?:violence|gore|nudity|swearing|subtitles|dubbing|blood|torture|slapstick|romance|suspense)"
_FLEETING = (
    r"(?!(?:the|this|that|these|those|your|my|his|her|their|its|how|when|what|to|it|you|them|him|us|being|"
    r"watching|seeing)\b)"
)
_NAMED = re.compile(
    rf"\s*(?P<what>(?:[\w'-]+\s+){{1,4}}{_NOUNS}\b(?:\s+(?:with|about|set in|where|that have)\s+[\w' -]{{3,40}})?)",
    re.IGNORECASE,
)
"""Words that end in one of the field: "slow-burn films with a twist"."""
_TOLD = re.compile(
    rf"\s*(?P<what>(?:anything|everything|stuff|things|{_NOUNS})\s+(?:with|about|set in|set on|from|where|that have|"
    r"that are|full of)\s+[\w' -]{3,60})",
    re.IGNORECASE,
)
"""Words that begin with one: "films set in space", "anything with talking animals"."""
_PLURAL = re.compile(
    rf"\s*(?P<what>{_FLEETING}(?:{_FLEETING}[\w-]+\s+){{0,2}}(?:[\w-]{{3,}}(?<!s)s|{_MATTER})(?:\s+to\s+\w+)?)\s*"
    r"(?:$|[,.;!?])",
    re.IGNORECASE,
)
_JOINED = re.compile(r"\s+(?:and|but|because|so|though|although|while)\s+(?:i|we|my|they|it|he|she)\b.*", re.IGNORECASE)
_BETWEEN = re.compile(r"\s*(?:is|are|:)?\s*")
_NO_TASTE = frozenset(
    "mondays tuesdays wednesdays thursdays fridays saturdays sundays monday tuesday wednesday thursday friday saturday "  # noqa: SIM905
    "sunday weekends mornings evenings summers winters holidays suggestions recommendations tips lists questions "
    "answers jokes people kids friends things".split()
)
"""What may be liked, but says nothing of what to watch."""
_EMPTY = frozenset(
    "good great nice best better such these those all any your that this old new other same kind sort bad more".split()  # noqa: SIM905
)
_COURTESY = re.compile(r"^\W*(?:always|never) an? \w+\W*$")
""" "Always a pleasure", "never a problem"."""
_RULE_WORDS = frozenset(
    "always never ever only nothing anything something everything from now on general rule generally usually normally "  # noqa: SIM905
    "want watch show give recommend suggest prefer love like hate without avoid skip don dont won wont except".split()
)


def free_taste(clause: Clause) -> tuple[str, Polarity] | None:
    """The words and the sign of a taste that no field records, None when there is none that says something."""
    sign: Polarity = "unwanted" if clause.sign == "unwanted" else "wanted"
    if clause.sign and (what := _liked(clause)):
        return what, sign
    if not clause.standing:
        return None
    if _COURTESY.match(clause.body):
        return None
    words = [w for w in clause.body.split() if fold(w) and fold(w) not in FUNCTION_WORDS | _RULE_WORDS | _EMPTY]
    if not words or len(words) > MAX_FREE_WORDS:
        return None
    return clean(" ".join(words).strip(" ,.!?;"), 120), "unwanted" if DENYING.search(clause.body) else "wanted"


def _liked(clause: Clause) -> str:
    """What a verb of taste is about: before "bores me" and "is my thing", behind all others."""
    after = DISLIKING_AFTER.search(clause.body)
    verb = DISLIKING.search(clause.body) or LIKING.search(clause.body)
    text = clause.text
    for match in (after, verb):
        if match is None:
            continue
        before = match is after or match[0].startswith(("is ", "are "))
        part = text[: match.start()] if before else text[_BETWEEN.match(text, match.end()).end() :]  # type: ignore[union-attr]
        part = re.split(r"[,.;:!?]", part)[-1] if before else _JOINED.sub("", part)
        for pattern in (_TOLD, _NAMED, _PLURAL):
            found = pattern.match(part.strip())
            if found is not None and (pattern is _TOLD or tells(found["what"])):
                return clean(" ".join(found["what"].split()), 120)
    return ""


def tells(what: str) -> bool:
    """Whether the words say something of what to watch."""
    words = [fold(word) for word in what.split()]
    return any("-" in word for word in what.split()) or any(
        word not in FUNCTION_WORDS | _EMPTY | _NO_TASTE and re.fullmatch(_PLAIN, word) is None for word in words
    )
