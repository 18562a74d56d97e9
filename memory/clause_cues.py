"""Words by which a clause states a taste or an instruction, how strongly, and for how long."""

from __future__ import annotations

import re

FIRST = r"\b(?:i|we)(?:'m|'ve|'re| am| are| have)?"
"""Not "i'd": "I'd love a comedy" is a wish of the moment, no taste."""
ADVERB = (
    r"(?:\s+(?:really|just|absolutely|also|still|do|always|truly|totally|simply|usually|generally|mostly|quite|"
    r"very|so|both|all|much))*"
)
LIKING = re.compile(
    rf"{FIRST}{ADVERB}\s+(?:love|like|adore|enjoy|prefer|favou?r|dig|appreciate)\b|"
    rf"{FIRST}{ADVERB}\s+(?:come|grown|started|begun|begin|learnt|learned) to (?:love|like|adore|enjoy|appreciate)\b|"
    rf"{FIRST}{ADVERB}\s+(?:back )?(?:into|obsessed with|fond of|keen on|crazy about|mad about|"
    rf"a sucker for|partial to|big on)\b|"
    rf"{FIRST}{ADVERB}\s+(?:got )?(?:a |an )?(?:real |huge |big |great )?(?:soft spot|weakness|passion) for\b|"
    rf"{FIRST}{ADVERB}\s+(?:live for|tend to (?:like|love|enjoy|prefer))\b|"
    rf"{FIRST}{ADVERB}\s+(?:a |an )?(?:(?:big|huge|great|real|massive|lifelong|die-?hard)\s+)?"
    r"(?:fans?|lovers?|admirers?) of\b|"
    r"\b(?:is|are) (?:my|our) (?:thing|jam|favou?rites?|passion|guilty pleasure)\b|"
    r"\bmy (?:all-time )?favou?rite (?:genre|kind|type|sort|film|movie|director|actor|actress)s?\b|"
    r"\bi only (?:watch|like)\b"
)
DISLIKING = re.compile(
    rf"{FIRST}{ADVERB}\s+(?:(?:tend|try) to )?(?:hate|dislike|despise|detest|loathe|avoid)\b|"
    r"\b(?:i|we)\s+(?:really\s+|just\s+|simply\s+|absolutely\s+)?(?:can'?t|cannot|can not|"
    r"couldn'?t)\s+(?:really\s+)?(?:stand|bear|stomach|"
    r"take)\b|"
    r"\b(?:i|we)\s+(?:really\s+|just\s+|simply\s+)?(?:don'?t|do not|didn'?t|did not)\s+(?:really\s+|"
    r"much\s+|even\s+|ever\s+|"
    r"think i )?(?:like|enjoy|love|care for)\b|"
    r"\b(?:i'?m|we'?re|i am|we are)\s+(?:really\s+)?not\s+(?:really\s+|that\s+|so\s+|much of\s+)?(?:into|fond of|"
    r"keen on|an? (?:big |huge )?fan of|fans of|crazy about)\b|"
    r"\b(?:i|we)(?:'ve| have)?\s+never (?:really |much |quite )?(?:watch|liked?|enjoy(?:ed)?|loved|cared for|warmed to|"
    r"been (?:into|fond of|keen on|an? (?:big |huge )?fan of|able to (?:stand|bear|stomach)))\b|"
    r"\b(?:i|we)(?:(?:'d| would) never| won'?t| will not| will never| refuse to) (?:ever )?(?:watch|see|choose|pick|"
    r"go for|touch|sit through)\b|"
    r"\b(?:i|we)\s+no longer (?:really )?(?:like|enjoy|love|care for|watch|want)\b|"
    rf"{FIRST}{ADVERB}\s+no longer (?:into|fond of|keen on|an? (?:big |huge )?fan of|fans of)\b|"
    rf"{FIRST}{ADVERB}\s+(?:gone off|stopped (?:liking|enjoying|watching)|had enough of|(?:done|finished) with|"
    r"(?:sick|tired|fed up) (?:of|with)|bored (?:of|with|by))\b"
)
DISLIKING_AFTER = re.compile(
    r"\b(?:bores?|annoys?|disgusts?|irritates?) me\b|\b(?:is|are)(?:n'?t| not) (?:really |just )?(?:for me|"
    r"my (?:thing|cup of tea|jam|taste))\b|"
    r"\bdrives? me (?:mad|crazy|nuts|insane|up the wall)\b|\bturns? me off\b|\bleaves? me cold\b|"
    r"\b(?:i|we) find\b[^,.;!?]{2,40}\b(?:boring|dull|tedious|tiresome|annoying|unbearable|unwatchable)\b|"
    r"\b(?:put|puts) me to sleep\b|\bmakes? me (?:sick|cringe|angry)\b"
)
STANDING = re.compile(
    r"\b(?:always|never(?! ?mind)|ever|from now on|in general|as a rule|every time|generally|at all times|forever|"
    r"in future|in the future|usually|normally)\b"
)
ENOUGH = re.compile(
    r"\b(?:never|can'?t|cannot|can never|couldn'?t|could never) (?:get|have) enough of\b|"
    r"\b(?:i|we) (?P<never>never (?:miss|tire of|get tired of|say no to))\b"
)
"""A liking put as a denial."""
EXPERIENCE = re.compile(
    r"\b(?:i|we)(?:'ve| have|'d| had)? (?P<never>never) (?:\w+ed|been|seen|had|said|thought|knew|told)\b"
)
"""What was not done so far, no order for the future."""
RESTRICTS = re.compile(r"\b(?:only|no|nothing|none|don'?t|not|just|avoid|skip|prefer|want|love|like|hate)\b")
TODAY = re.compile(
    r"\b(?:tonight|today|right now|at the moment|this (?:time|evening|morning|afternoon|weekend|once)|for once|"
    r"tomorrow|for a change|currently|for this (?:flight|trip|drive|ride|train|journey|session|party|date|one|round)|"
    r"(?:i|we)(?:'ve| have)?(?: only| just)? got (?:[\w-]+ ){1,2}(?:hours?|minutes?|mins))\b"
)
NOW = re.compile(r"\b(?<!from )now\b")
"""This time only in "a comedy now"; in "I hate musicals now" a change of mind, which lasts."""


def strength(said: str) -> float:
    if re.search(
        r"\b(?:love|loved|adore|adored|hate|hated|despise|detest|loathe|favou?rite|can'?t stand|never|always|"
        r"huge fan)\b",
        said,
    ):
        return 1.0
    return 0.4 if re.search(r"\b(?:quite|kind of|kinda|sort of|a bit|okay|fine|guess)\b", said) else 0.7
