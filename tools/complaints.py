"""Complaints about a list, read as critiques of it: "too violent", "these are all so gloomy", "not that long".

After the unit critiques of conversational recommenders (Burke et al., 1997; Chen & Pu, 2012): a complaint names the
side of a scale that is unwanted, and what is wanted instead is the other. Words that nothing on record measures
("weird") are given back, so that the reply can say so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from convrec.tools.lexicon import DEMONYMS, TONES

_THESE = (
    r"(?:(?:that|this|it|they|these|those|(?:most|all|both)(?: of (?:these|those|them))?)"
    r"(?: ones?| films?| movies?| lists?)?(?:'s|'re| is| are| was| were| looks?| seems?| sounds?| feels?)?\s+"
    r"(?:all |both |just |still |also |a bit |a little )*)?"
)
_WORD = r"((?:well|little|widely) known|old fashioned|[a-z]+(?:-[a-z]+)*)"
_FOR_ME = r"(?: for (?:me|us|my taste|my liking|now|today|tonight))?"
_TOO = re.compile(
    rf"(?<!not )(?<!nothing )(?<!n't )(?<!less )\b{_THESE}(?:(?:way|far|much|just|kinda|kind of|rather|somewhat) )*"
    rf"too (?:(?:much|many) (?:of (?:a )?)?)?{_WORD}{_FOR_ME}\b"
)
_NOT_SO = re.compile(
    rf"\b(?:not|nothing|isn't|aren't) (?:quite |all )?(?:so|too|that|as|overly|very) {_WORD}\b(?! (?:as|ago)\b)"
)
_SO = re.compile(
    r"\b(?:these|those|they|that|it|this)(?: ones?| films?| movies?)?"
    r"(?:'re|'s| are| is| looks?| seems?| sounds?| feels?)"
    rf"(?: all| both)? (?:(?:so|very|really|pretty|quite|awfully|terribly|a bit|a little|kinda|rather) )?{_WORD}\b"
)
_ALL = re.compile(
    rf"(?:^|[.,;!?]\s*|\b(?:these|those|they)(?:'re| are) )(?:all|mostly|only|just|nothing but) (?P<from>{_WORD})\b"
    r"(?: again| as always)?"
)
_A_BIT = re.compile(
    rf"(?:(?P<open>^|[.,;!?]\s*)|\b(?:these|those|they|that|it|this|all)(?:'re|'s| are| is| looks?| seems?| feels?)\s+)"
    rf"(?:all )?(?:(?:a )?(?:bit|little|tad|touch)|s+o+) (?P<tone>{_WORD})\b"
)
_UNHEARD = re.compile(
    r"\b(?:(?:i|we)(?:'ve|ve| have)? )?(?:never|haven't|havent|not) (?:even )?heard of "
    r"(?:any of (?:these|them|those)|a single one(?: of (?:these|them|those))?|(?:these|them|those|any)(?! \w))"
)
_SAME_BUT = re.compile(
    r"^\W*(?:(?:could|can|would) (?:you|u) |please )(?:do |show me |find me |give me )?(?:the |that )?"
    r"same(?: (?:thing|again|kind|sort|stuff))*,? but\b"
)
_NOT_FOR_ME = re.compile(
    r"^\W*(?:(?:hm+|no|nah|nope|well|ok(?:ay)?|sorry)\W+)*"
    r"(?:meh|yawn|"
    r"(?:these are |they're |that's |it's )?(?:just )?not (?:really )?(?:for me|my thing|my taste|my cup of tea)|"
    r"(?:i'm )?not (?:really )?(?:impressed|convinced|sold|thrilled|feeling it))\W*$"
)
_KNOWN_ALL = re.compile(
    r"^\W*(?:(?:i|we)(?:'ve| have)? )?(?:already )?(?:seen|watched) "
    r"(?:them all|(?:all|every one|each) of (?:them|these|those)|all (?:these|those)|everything)\W*$"
)
_LESS = re.compile(rf"\b(?:a (?:bit|little|lot) |much |way |far )?less {_WORD}\b")
_INSTEAD = {
    **dict.fromkeys(("long", "lengthy"), "shorter"),
    "short": "longer",
    **dict.fromkeys(("old", "dated", "old-fashioned", "old fashioned", "ancient"), "newer"),
    **dict.fromkeys(("new", "modern", "recent"), "older"),
    **dict.fromkeys(
        (
            "known",
            "well known",
            "widely known",
            "well-known",
            "mainstream",
            "popular",
            "famous",
            "obvious",
            "commercial",
        ),
        "lesser known",
    ),
    **dict.fromkeys(("obscure", "niche", "unknown", "little known"), "well known"),
}
"""What is wanted of that which is too much so."""
_PLAINLY_BAD = frozenset(
    """depressing gloomy bleak dreary miserable sad heavy boring dull tedious tame cheesy corny sappy childish
    serious slow violent""".split()  # noqa: SIM905
)
"""Said of a list these are complaints without a "too"; "that sounds scary" may be praise."""
_ALIKE = frozenset("similar alike samey same".split())  # noqa: SIM905
_NO_WORDS = frozenset(
    """much many few late soon bad good far well sure often kind keen interested picky fussy than likely tired busy
    hungry""".split()  # noqa: SIM905
)
_OF_SOMEBODY = re.compile(r"\b(?:i'm|i am|you're|you are|we're|we are|he's|she's|he is|she is)(?: \w+)?\s*$")
_BY_ITSELF = re.compile(
    r"(?:^|[.,;:!?]|\b(?:and|but|no|nah|hmm+|ok(?:ay)?|well|sorry|maybe|something|anything|please))\W*$"
)
_ENDS = re.compile(r"\s*(?:$|[.,;!?]|\b(?:and|but|or|please|pls|then|though)\b)")
ANOTHER = "something else"


class Rephrased(NamedTuple):
    """``text``: the message with its complaints put as critiques. ``unmeasured``: the words in them that nothing on
    record tells of. ``found``: whether there was any complaint."""

    text: str
    unmeasured: tuple[str, ...] = ()
    found: bool = False


def as_critique(text: str, *, running: bool) -> Rephrased:
    """A message with its complaints put as critiques.

    ``running``: there is a list to complain of. Without one only the tones of :data:`TONES` are put so ("a comedy that
    is not too silly"), and nothing is given back.
    """
    low = text.lower().replace("’", "'")
    if len(low) != len(text):
        return Rephrased(text)
    if running and (whole := _whole(text, low)):
        return Rephrased(whole, found=True)
    edits = [*_phrases(low)] if running else []
    unmeasured: list[str] = []
    for pattern in (_NOT_SO, _TOO, _SO, _LESS) if running else (_NOT_SO,):
        for match in pattern.finditer(low):
            word = match[1]
            if any(start < match.end() and match.start() < end for start, end, _ in edits) or word in _NO_WORDS:
                continue
            if _OF_SOMEBODY.search(low, 0, match.start()) or (pattern is _SO and word not in _PLAINLY_BAD):
                continue
            if pattern is _NOT_SO and (word in _INSTEAD or (not running and word not in TONES)):
                continue  # "not that long" is read as it stands
            put = _put(word)
            if put == ANOTHER:  # a word that may be anything: only where it is all that is said
                if not (_BY_ITSELF.search(low[: match.start()]) and _ENDS.match(low, match.end())):
                    continue
                unmeasured += [word] if word not in _ALIKE else []
            edits.append((match.start(), match.end(), put))
    for start, end, put in sorted(edits, reverse=True):
        text = text[:start] + put + text[end:]
    return Rephrased(text.strip(), tuple(unmeasured), bool(edits)) if edits else Rephrased(text)


def _whole(text: str, low: str) -> str:
    """What a message that is one complaint and nothing else comes to; "" for any other."""
    bare = low.strip(" .!")
    if _NOT_FOR_ME.search(low):
        return ANOTHER
    if _KNOWN_ALL.search(low):
        return f"{text.rstrip(' .!,')}. {ANOTHER}"
    return f"less {bare}" if bare in _PLAINLY_BAD else ""


def _phrases(low: str) -> Iterator[tuple[int, int, str]]:
    """Complaints of fixed form: start, end and what is put there."""
    yield from ((m.start(), m.end(), f"{ANOTHER}, well known") for m in _UNHEARD.finditer(low))
    yield from ((m.start(), m.end(), "same but") for m in _SAME_BUT.finditer(low))
    yield from ((m.start(), m.end(), f" not {m['from']}") for m in _ALL.finditer(low) if m["from"] in DEMONYMS)
    for m in _A_BIT.finditer(low):
        # Without a subject it may be a wish: "a bit romantic".
        if m["tone"] in (_PLAINLY_BAD if m["open"] is not None else TONES):
            yield m.start(), m.end(), f" less {m['tone']}"


def _put(word: str) -> str:
    if word in TONES:
        return f"less {word}"
    if word in _INSTEAD:
        return _INSTEAD[word]
    return f"not {word}" if word in DEMONYMS else ANOTHER
