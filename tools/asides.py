"""What a message says beside the wish: who the user is, what they are doing, the weather.

Who somebody is must not change what they are shown (a nurse who asks for a comedy gets the comedies that anybody gets),
and talk of the day is no request. Such sentences are found by their form: a first person with a verb that is none of
wishing, judging or watching, or a sentence about the world, that holds no word about the items.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache

from convrec.tools.lexicon import CHILD_PHRASES
from convrec.tools.spans import Message

_BREAK = re.compile(
    r"[.!?;:\n]+(?:\s|$)|,\s|\s[-–—]+\s|\s\((?=\w)|"
    r"\s(?:and|but|so|who|that'?s why)\s(?=(?:i|we|i'?m|i'?d|want|wants|need|would|looking|am|in the mood|recommend|"
    r"suggest|give|find|show|please|could|can|would)\b)|"
    r"\s(?=(?:looking for|in the mood for|in search of|who wants?|wanting)\b)"
)
_FILLER = r"^\W*(?:(?:hi|hello|hey|well|so|oh|ok|okay|and|but|also|actually|by the way|btw|fyi|you know|anyway)\b\W*)*"
_WHO = re.compile(
    _FILLER
    + r"(?:(?:i|we)(?:'m|'ve|'re| am| was| were| are| have| had|m)?\b|my (?!(?:[\w-]+ ){0,3}fav(?:e|ou?rite)?s?\b|"
    r"taste|mood|idea|wish|"
    r"preference|request|kids?\b|child|son\b|daughter|family (?:wants?|likes?|loves?))[\w'-]+|both of us|"
    r"(?:speaking )?as an?\b|being an?\b)"
)
_AS_SOMEBODY = re.compile(
    _FILLER + r"(?:speaking )?as (?!a (?:general )?rule\b)(?:an?|someone|somebody)\b(?:(?! (?:i|we|give|find|"
    r"recommend)\b)[^,.;!?])*"
)
_WISHING = re.compile(
    r"\b(?:want|wants|wanted|wish|need|needs|like|likes|liked|love|loves|loved|lov(?:e|ing) to|prefer|hate|hates|hated|"
    r"dislike|disliked|adore|adored|enjoy|enjoys|enjoyed|despise|loathe|detest|stand|care for|mind|fancy|crave|craving|"
    r"looking|look for|search|searching|seeking|after|mood|feel like|feels like|feeling|feel|hoping|hope|thinking|"
    r"think|thought|interested|into|keen|up for|open to|fond|fans?|lovers?|buff|nut|junkie|addict|sucker|person|"
    r"tired of|bored|sick of|would|'d|could|should|shall|can|may|might|appreciate|refuse|avoid|never|"
    r"always|only|rather|usually|something|anything|some|find|pick|choose|ideas?|suggestions?|recommendations?|help|please|"
    r"thing for|spot for|weakness|curious|kick|binge|cannot|subtitles|dubbed|english|rated|about|"
    r"seen|saw|see|watch|watched|watching|rewatch\w*|finished|heard|hear|blown away|recommend|suggest|know|mean|meant|"
    r"forget|remember|said|told|asked|changed my mind|mentioned|don'?t (?:know|care)|not sure|unsure|sad|happy|lonely|"
    r"down|stressed|anxious|heartbroken|exhausted|depressed|tired|scared|hurt|laugh|cry|smile|minutes|hours?|"
    r"alone with|romantic|scary|spooky|funny|with (?:my|the|our) (?:kids?|children|son|daughter)|else|instead)\b"
)
"""Words with which somebody speaks of a wish, a judgement, a mood or a film evening, not of who they are."""
_ITEM_TALK = re.compile(
    r"\b(?:films?|movies?|stor(?:y|ies)|cinema|genres?|director|actors? (?:in|of|from)|starring|directed|set in|"
    r"scenes?|plot|ending|comed(?:y|ies)|thrillers?|westerns?|dramas?|horrors?|romances?|musicals?|documentar\w+|"
    r"sci-?fi|animated)\b"
)
_WORLD = re.compile(
    _FILLER
    + r"(?:(?:the|this|that|our|what an?|such an?|today'?s|my) (?:\w+ ){0,2}?(?:weather|rain|snow|sun|heat|cold|"
    r"wind|storm|traffic|train|bus|flight|match|football|game|news|day|week|weekend|evening|morning|afternoon|work|"
    r"office|boss|neighbou?rs?|dog|cat|dinner|lunch|kitchen|house|internet|power|elections?)\b|"
    r"it(?:'s| is| was| has been|'s been) (?:been |so |really |very |quite |too |finally |just )*(?:rain\w*|snow\w*|"
    r"sunny|cloudy|windy|storm\w*|cold|hot|warm|freezing|late|early|dark outside|friday|saturday|sunday|monday|"
    r"tuesday|wednesday|thursday|my birthday|our anniversary)\b)"
)
_SHOULD = re.compile(r"\b(?:should|must|has to|have to|ought|needs? to|would|could|can|may|might|let it|make it)\b")
_TELLS = re.compile(
    _FILLER + r"(?:(?:the|this|that|my|our|your|his|her|their|some|someone|somebody|everybody|people|there|i|we|he|she|"
    r"they|it)\b)[^?]*?(?:'s|'m|'re|'ve|\b(?:is|are|was|were|am|has|have|had|did|does|do|went|got|came|met|made|saw|"
    r"\w{3,}ed)\b)"
)


@cache
def _children() -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{phrase})" for phrase in CHILD_PHRASES))


def find_asides(message: Message, kinds: Collection[str] = ()) -> list[tuple[int, int]]:
    """Spans of ``message`` that are about the user or the world, not about what is wanted.

    ``kinds``: folded words that name a kind of item ("comedy"); a sentence with one in the plural is a taste.
    """
    out: list[tuple[int, int]] = []
    for start, end, closed in _pieces(message.low):
        piece = message.low[start:end]
        if m := _AS_SOMEBODY.match(piece):
            if not _ITEM_TALK.search(m[0]) and not _children().search(m[0]) and "fan" not in m[0].split():
                out.append((start, start + m.end()))
            continue
        after = bool(out) and start - out[-1][1] <= 2 and message.low[out[-1][1] : start].startswith(",")
        goes_on = (
            after and closed and len(piece.split()) <= 4 and not _wishes(piece, kinds)
        )  # "I live in Paris, France."
        about_me = _WHO.match(piece) is not None and not _wishes(piece[len(_filler(piece)) :], kinds)
        about_world = _WORLD.match(piece) is not None and not _SHOULD.search(piece) and not _wishes(piece, kinds)
        if about_me or about_world or goes_on:
            out.append((start, end))
    return out


def tells(low: str) -> bool:
    """Whether a message tells something ("my train was late") rather than naming what is wanted ("in space", "it should
    be sad")."""
    return not ((_TELLS.match(low) is None and _WHO.match(low) is None) or _SHOULD.search(low) or _WISHING.search(low))


def _filler(piece: str) -> str:
    m = re.match(_FILLER, piece)
    return m[0] if m else ""


def _wishes(piece: str, kinds: Collection[str]) -> bool:
    return bool(
        _WISHING.search(piece)
        or _ITEM_TALK.search(piece)
        or _children().search(piece)
        or any(word in kinds and word.endswith("s") for word in re.findall(r"[\w-]+", piece))
    )


def _pieces(low: str) -> list[tuple[int, int, bool]]:
    """Clauses as (start, end, whether a full stop ends it and something follows)."""
    out: list[tuple[int, int, bool]] = []
    start = 0
    for m in _BREAK.finditer(low):
        if low[start : m.start()].strip():
            # With an aside goes the word that ties it to what follows: "I'm 19 and".
            end = m.end() if m[0][:1].isspace() and m[0].strip(" -–—(") else m.start()
            out.append((start, end, m[0][:1] in ".!?\n" and bool(low[m.end() :].strip())))
        start = m.end()
    if low[start:].strip():
        out.append((start, len(low), False))
    return out
