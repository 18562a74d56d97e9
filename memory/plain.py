"""Whether a clause states a taste or an instruction plainly: said by the user, of themselves, in the present.

The guards of :mod:`convrec.memory.clause_guards` name what is not meant; their list can never be whole. What is kept
for good must therefore also have one of a few plain forms. A plain statement that is missed is asked for again, a false
memory costs trust.
"""

from __future__ import annotations

import re

from convrec.memory.clause_cues import DISLIKING, DISLIKING_AFTER, LIKING

_ASIDE = (
    r"(?:\W|\b(?:and|but|so|or|oh|hm+|well|ok|okay|hi|hello|hey|yes|yeah|yep|no|nope|please|pls|plz|thanks|thank you|"
    r"sorry|honestly|frankly|actually|personally|seriously|basically|generally|usually|normally|mostly|mainly|especially|"
    r"in general|as a rule|as always|tbh|fyi|btw|imo|imho|ps|by the way|to be (?:honest|fair|clear)|"
    r"so you know|for the record|(?:for|in) (?:the )?future(?: reference)?|from now on|at all times|"
    r"every time|forever|overall|above all|most of all|more than anything|remember|note|keep in mind|"
    r"bear in mind|(?:one|another) thing(?: about me)?|about me|"
    r"(?:i|we) (?:think|guess|must (?:say|admit)|should (?:say|add)|have to (?:say|admit)|said|told you|admit|confess)|"
    r"now|also|still|too|again|because|since|as|though|although|that|then|there|even|secretly|deep down|apparently not|"
    r"these days|nowadays|lately|recently|over the years|for years|in recent years|really|just|usual|sadly|luckily|"
    r"more and more|as for|for me|for us|when it comes to|nights?|evenings?|screenings?|sessions?)\b)*"
)
"""What may come before the statement and takes nothing from it. No alternative is made of others, so that it is read
in linear time."""
_OPENING = re.compile(rf"^{_ASIDE}$")
_OWN_OPENING = re.compile(rf"^{_ASIDE}(?:i|we)\b(?!.*(?:\b(?:who|whose|says?|said|told)\b|:))")
"""The user's own clause before: "I work nights, so …"."""
_POINTING = re.compile(r"\b(?:this|that|these|those|it|its|your|his|her|their|here|you|he|she|they)\b")
_WATCH = (
    r"(?:want|watch|need|prefer|go for|do|pick|choose|see|take|like|love|hate|avoid|skip|enjoy|stick (?:to|with)|look "
    r"for|have|require|insist on)"
)
_TELL = (
    r"(?:show|give|recommend|suggest|offer|play|pick|list|bring|send|avoid|skip|exclude|leave out|keep|stick to|find|"
    r"include|filter|hide|propose|mention|choose|go for|put on)"
)
_RULE = re.compile(
    rf"^{_ASIDE}(?:"
    rf"(?:i|we) (?:(?:always|never|only|ever|usually|generally|normally|really|just|don'?t|do not|won'?t|will|can'?t|"
    rf"cannot|refuse to|try to|ever)\s+)*{_WATCH}\b|"
    rf"(?:(?:don'?t|do not|never|always|only|just|ever|please|again)\s+)*{_TELL}\b|"
    r"(?:never|always)(?: ever)?\s+(?!(?:gonna|going|say|said|mind|again|fails?|knew|know|heard|let|forget|forgive|too|"
    r"been|seen|had|thought|grow|go|look|leave|stop|trust|tell|ask|sleep|talk|change|ever\W*$|the\b|my\b|your\b|his\b|"
    r"her\b|their\b|you\b|he\b|she\b|they\b|it\b|this\b|that\b|been|happy|welcome|wanted|dreamed)\b)|"
    r"(?:only|no|no more|nothing|none|not|without|anything but|at most|at least)\s+"
    r"(?!(?:one|body|the|my|your|you|he|she|they|it|this|that|way|idea|doubt|problem|worries|matter|wonder|"
    r"need|because)\b)|"
    r"(?!(?:the|this|that|these|those|he|she|it|they|you|your|his|her|their|my|our|some|people|who|everyone)\b)"
    r"(?:[\w-]+[ ,:]+){1,4}(?:always|never|only|(?<!as )ever)\s*(?:$|[,.!;]|"
    r"(?:please|from|in|at|with|under|over|before|after|rated|short|long)\b)|"
    r"(?:nights?|evenings?|screenings?|days?|sessions?)\s+(?:only|always|never|no|nothing)\b|"
    r"(?:films?|movies?|anything|everything|stuff|things)\s)"
)
"""An instruction: "never …", "nothing with …", "don't show me …", "I only want …", "horror always from 2000 on"."""


def plainly(body: str, sign: str) -> bool:
    """Whether a lower-case clause without the words of its condition is the user's own plain statement.

    ``sign``: what a verb of taste in it says; "" for an instruction.
    """
    if not sign:
        return _RULE.match(body) is not None
    after = DISLIKING_AFTER.search(body)
    verb = after or (DISLIKING if sign == "unwanted" else LIKING).search(body)
    if verb is None:
        return True
    opening = body[: verb.start()]
    if verb is after or verb[0].startswith(("is ", "are ")):
        return _POINTING.search(opening) is None and ":" not in opening
    return _OPENING.match(opening) is not None or _OWN_OPENING.match(opening) is not None
