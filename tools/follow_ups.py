"""Whether a message narrows the running request, adds to it, or starts another."""

from __future__ import annotations

import re
from collections.abc import Sequence

from convrec.tools.acts import REJECTS, WISH
from convrec.tools.predicates import Condition
from convrec.tools.references import Mention
from convrec.tools.schema import Role, Schema
from convrec.tools.spans import Message

_TALK = (
    r"^\W*(?:(?:oh|ah|ok(?:ay)?|well|hmm+|yes|yeah|sure|thanks?|thank you|sorry|great|"
    r"cool|nice|please|fine|and|but)\b\W*)*"
)
"""What may come before the words that tie a message to the running request."""
_IT_SHOULD = (
    r"(?:it|they|that|this|these|those|the (?:film|movie|one)s?)(?:'d| would| should| must| has to| have to| needs? to|"
    r" ought to| can| could| may| might| shouldn'?t| mustn'?t| can'?t| does(?:n'?t| not) (?:have|need) to)"
)
_ADDS = re.compile(
    _TALK
    + r"(?:also\b|(?:and )?(?:one|another) (?:more )?(?:thing|wish|condition|request|point)\b|additionally|besides|"
    r"on top of that|plus\b|and\b)|"
    rf"(?:^|[.;!,?]\s*|\band )(?:also )?(?:ideally )?{_IT_SHOULD}\b|\bi(?:'d| would) (?:love|like|prefer) it to be\b|"
    r"\b(?:too|as well|on top)\W*$"
)
_INSTEAD = re.compile(r"\b(?:instead|rather|actually|after all|changed my mind|no longer)\b")
_FRESH = re.compile(
    r"\b(?:what about|how about|instead|rather|i want|i'?d like|i would like|give me|recommend|show me|let'?s try|"
    r"something (?:like|by|with|from)|an?)\b"
)
_CONTINUES = re.compile(
    _TALK + r"(?:but|and|or|also|only|just|instead|no|not|nothing|without|less|more|maybe|make it|what about|how about|"
    r"ok(?:ay)?,? but|in|from|with|by|under|before|after|since|between|any with|those are|these are|even|"
    r"something (?:else|newer|older|shorter|longer|lighter|darker|funnier|slower|quieter|calmer|faster|scarier|happier|"
    r"gentler|less|more|a bit|similar but)|"
    r"(?:(?:is|are) there |do you have |have you got |got )?(?:anything|something|any|ones?) "
    r"(?:with |that(?:'s| is| are) |which (?:is|are) )?(?:a (?:bit|little|lot|touch) |much |some |slightly )?"
    r"(?:more|less)|"
    r"anything else|any (?:other|more)|others?|another|else|newer|older|shorter|longer|funnier|darker|lighter|too|"
    r"i(?:'?ve| have)? (?:already )?(?:seen|saw)|"
    rf"{_IT_SHOULD}|(?:must|should|has to|have to|needs? to) be|(?:one|another) (?:more )?(?:thing|wish|condition|"
    rf"request|point)|additionally|"
    r"(?:[\w-]+ ){1,3}ones(?: only| please| instead| maybe)?\W*$|[\w -]{2,30} only\W*$|"
    r"i(?:'d| would) (?:love|like|prefer) it to|show me more|more like|i (?:always|never)|please no|can you make)\b"
)
_SAME = re.compile(
    r"\b(?:same|keep the|with the same) (?:decade|era|years?|period|length|runtime|country|language|rating|"
    r"conditions?|rules?|"
    r"limits?|restrictions?|everything else)\b(?! (?:as|of)\b)"
)
"""What of the running request is to stay."""

_MATTERS: tuple[tuple[str, Role | str], ...] = (
    (r"years?|dates?|decades?|era|age", Role.YEAR),
    (r"lengths?|runtimes?|running times?|time|duration", Role.DURATION),
    (r"genres?", Role.CATEGORY),
    (r"country|countries|languages?|origin", "origin"),
    (r"rating|certificate|age rating", Role.CERTIFICATE),
    (r"actors?|actress|directors?|people|person", "person:"),
)
_MATTER = "|".join(words for words, _ in _MATTERS)
_LIFTS = re.compile(
    rf"\b(?:forget|drop|ignore|lift|remove|lose|scrap|ditch|never ?mind|take (?:away|off|out))\s+(?:about )?(?:the|"
    rf"that|my) "
    rf"({_MATTER})(?: (?:limits?|restrictions?|conditions?|rules?|requirements?|things?|bit|part|constraints?|"
    rf"filters?|cap))?\b|"
    rf"\b(?:the )?({_MATTER}) (?:does not|doesn'?t|do not|don'?t) matter\b|"
    rf"\bany ({_MATTER}) (?:is|are|will do|works?|goes|would do)\b"
)


def lifted_slots(message: Message, schema: Schema) -> tuple[tuple[str, ...], Message]:
    """The slots of which a message says that they are open again, and the message without that clause."""
    slots: list[str] = []
    spans: list[tuple[int, int]] = []
    for m in _LIFTS.finditer(message.low):
        said = m[1] or m[2] or m[3]
        matter = next(kind for words, kind in _MATTERS if re.fullmatch(words, said))
        spec = schema.by_role(matter) if isinstance(matter, Role) else None
        slots += [spec.name] if spec else [matter] if not isinstance(matter, Role) else []
        spans.append(m.span())
    return tuple(slots), message.masked(spans) if spans else message


def adds(low: str) -> bool:
    """Whether what is asked for comes beside the running request ("it should be a romance") instead of in its place."""
    return _ADDS.search(low) is not None and _INSTEAD.search(low) is None


def goes_on_from(low: str) -> bool:
    """Whether what follows "none of these" keeps to the running request rather than naming another."""
    said = REJECTS.sub(" ", low)
    return _ADDS.search(said.strip(" .,;!")) is not None or _FRESH.search(said) is None


def continues(
    masked: Message,
    mentions: Sequence[Mention],
    conditions: Sequence[Condition],
    person_of: bool,
    query: str,
    categories: Sequence[str],
) -> bool:
    """A message without a wish of its own, or opening with a word that ties it to the running request."""
    if _SAME.search(masked.low):
        return True
    fresh = person_of or any(m.how != "reference" and m.polarity in ("liked", "like") for m in mentions)
    # Years, lengths and ratings narrow what is running; a genre, an origin or a person is a wish of its own.
    own = {"origin", *categories}
    positive = any(
        not c.negative and c.source != "critique" and (c.slot in own or c.slot.startswith("person:"))
        for c in conditions
    )
    wish = bool(query) and WISH.search(masked.low) is not None
    if not (positive or fresh or wish):
        return True
    return _CONTINUES.search(masked.low) is not None and not fresh
