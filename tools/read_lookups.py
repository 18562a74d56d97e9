"""Which fields of an item a question asks for: "who directed it?", "can you give me the plot of it"."""

from __future__ import annotations

import re

from convrec.tools.linking_people import CUE_FIELDS
from convrec.tools.schema import Role, Schema

_WHO = r"\bwho(?:'?s| is| was| are)? (?:the )?"
_LOOKUP: tuple[tuple[re.Pattern[str], Role | str], ...] = tuple(
    (re.compile(pattern), what)
    for pattern, what in (
        (
            _WHO + r"(?:directed|director|made|filmmaker|helmed|behind)|\bdirected (?:it|by who|that)|\bwhose film\b|"
            r"\bdirectors? (?:of|behind) it\b",
            "direct",
        ),
        (
            _WHO + r"(?:wrote|written|writer|screenwriter|penned|scripted|authored|came up with)|\bwriters? of it\b",
            "writ",
        ),
        (
            _WHO + r"(?:in (?:it|that|this)|starring|stars?|starred|actors?|actress\w*|cast|plays?|played|acts?|acted|"
            r"appears?|appeared|else (?:is|was) in)\b|\bcast\b|"
            r"\bwho (?:is|'s|was) in\b|\bwho'?s in\b|\b(?:is|was) [\w.' -]{2,40} in it\b|"
            r"\b(?:does|did) [\w.' -]{2,40} (?:play|star|act|appear|feature) in it\b",
            "cast",
        ),
        (
            r"\bwhen (?:was|did|is|were)\b|\b(?:what|which) (?:year|decade)\b|\bhow (?:old|recent) is\b|"
            r"\brelease (?:date|year)\b|\bwhich\b.*\b(?:is|are) (?:the )?(?:oldest|newest|older|newer|most recent)\b",
            Role.YEAR,
        ),
        (
            r"\bhow (?:long|short)\b|\bwhich\b.*\b(?:is|are) (?:the )?(?:shortest|longest|shorter|longer)\b|"
            r"\brun(?:ning)?[- ]?time\b|\bhow many (?:minutes|hours)\b|\blength of\b|"
            r"\b(?:is|are|was) (?:it|that|this) (?:an? )?(?:\w+ )?(?:long|short|lengthy)\b",
            Role.DURATION,
        ),
        (
            r"\b(?:what|which) genres?\b|\bwhat (?:kind|sort|type) of (?:film|movie|thing|flick)s? (?:is|are)\b|"
            r"\bis it an? (?!\w\b|(?:\w+ )?(?:long|short|lengthy|good|great|new|old|bad|decent)\b)[\w-]+(?: film|"
            r" movie)?\s*\?",
            Role.CATEGORY,
        ),
        (
            r"\bis it (?:\w+ )?(?:scary|violent|funny|sad|romantic|gory|creepy|dark)\b|\bhow (?:scary|violent) is\b",
            Role.CATEGORY,
        ),
        (r"\b(?:what|which) languages?\b|\bis it in english\b", Role.LANGUAGE),
        (
            r"\bwhere (?:was|is|does|did) (?:it|that|this) (?:made|from|filmed|shot|produced|come from)\b|"
            r"\b(?:what|which) country\b",
            Role.COUNTRY,
        ),
        (
            r"\bwhat(?:'?s| is) (?:it|that|this)? ?rated\b|\bis (?:it|that|this) rated\b|\bage rating\b|"
            r"\bcertificate\b|"
            r"\bis (?:it|that|this) (?:\w+ )?(?:ok|okay|suitable|safe|appropriate|fine) for\b|"
            r"\bis it (?:\w+ )?(?:scary|violent)\b",
            Role.CERTIFICATE,
        ),
        (
            r"\b(?:is|was|are) (?:it|that|this) (?:any |really |actually )?(?:good|worth)\b|\bhow good (?:is|"
            r"was) (?:it|that|this)\b|\bworth (?:watching|seeing|my time|a watch)\b|\bhow (?:well )?(?:was|"
            r"is) it (?:rec|rev)\w+|"
            r"\b(?:did|do) (?:the )?(?:critics|people|reviewers) (?:like|love|hate|think)\b|"
            r"\bwhich\b.*\b(?:is|are) (?:the )?(?:best|better|highest|top)\b|"
            r"\b(?:reviews|critics|score|rotten tomatoes)\b.*\?|\bwell reviewed\?",
            Role.QUALITY,
        ),
        (
            r"\bwhat(?:'?s| is| are| was)\s+(?:it|that|this|the (?:plot|story|"
            r"premise) of it)(?:\s+(?:all )?about)?\s*\?|"
            r"\bwhat(?:'?s| is) the (?:plot|story|premise)\b|"
            r"\bwhat(?:'?s| is| was)\s+it\s+(?:all )?about\b|\bwhat happens in\b|"
            r"\b(?:plot|synopsis|storyline|premise|story|summary) (?:of|for)\b",
            Role.DESCRIPTION,
        ),
    )
)
_TELL = re.compile(
    r"\b(?:tell me (?:more )?about|what do you know about|info(?:rmation)? (?:on|about)|more about|"
    r"details (?:on|of|about)|what(?:'?s| is) the deal with|anything about|describe|facts about)\b"
)
_GIVES_FACT = re.compile(
    r"\b(?:give|tell|show|get|send)(?: me| us)? (?:the |a |its |some |more |quick |short |brief )*(?:plot|story|"
    r"synopsis|summary|"
    r"premise|cast|director|writers?|running time|runtime|length|release|year|rating|score|reviews?|info\w*|details|"
    r"facts)\b"
)
"""Asks for a fact in the words of a wish: "can you give me the plot of it"."""
_HAVE = re.compile(
    r"\b(?:do you (?:have|know)|have you (?:got|heard of)|"
    r"is .{1,60} in (?:the|your) (?:catalog(?:ue)?|list|database|system)|is there)\b|"
    r"\b(?:have|you|ve) got it\b|\bgot it (?:in|on|there|too|as well)\b"
)


def asked_fields(low: str, schema: Schema) -> tuple[str, ...]:
    """The fields of ``schema`` that the lower-case question asks for, its titles replaced by "it"."""
    asked = [name for pattern, what in _LOOKUP if pattern.search(low) and (name := _field(schema, what))]
    return tuple(dict.fromkeys(asked))


def asks_about(low: str) -> bool:
    """ "Tell me about it"."""
    return _TELL.search(low) is not None


def asks_whether_there(low: str) -> bool:
    """ "Do you have it"."""
    return _HAVE.search(low) is not None


def gives_fact(low: str) -> bool:
    """Whether what sounds like a wish asks for a fact."""
    return _GIVES_FACT.search(low) is not None


def _field(schema: Schema, what: Role | str) -> str | None:
    if isinstance(what, Role):
        spec = schema.by_role(what)
        return spec.name if spec else None
    starts = next((names for names in CUE_FIELDS.values() if what in names), (what,))
    return next((f.name for f in schema.people() if f.name.startswith(starts)), None)
