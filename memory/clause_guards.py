"""What is not the user's own: jokes, questions, suppositions, the past, other people's tastes and words."""

from __future__ import annotations

import re

from convrec.memory.clause_cues import FIRST

KIN = (
    r"sisters?|brothers?|friends?|best friend|wife|husband|partner|girlfriend|boyfriend|mum|mom|mummy|dad|daddy|"
    r"mother|"
    r"father|parents|boss|roommates?|flatmates?|housemates?|colleagues?|co-?workers?|neighbou?rs?|ex|cousins?|"
    r"uncle|aunt|"
    r"kids?|child(?:ren)?|sons?|daughters?|niece|nephew|grandma|grandmother|grandpa|grandfather|gran|nan|teacher|"
    r"grandparents|in-laws|family|team|book club|students?|spouse|fianc[eé]e?"
)
OPINES = (
    r"(?:absolutely |really |just |always |never |only |also |still |totally |both |all |kind of |does |do |did )*"
    r"(?:lov|lik|hat|ador|enjoy|prefer|dislik|despis|detest|watch|want|can'?t|cannot|couldn'?t|don'?t|doesn'?t|"
    r"didn'?t|"
    r"is (?:a (?:big |huge )?fan|into|crazy|not)|are (?:into|fans|not)|says?|said|told|tells?|thinks?|thought|"
    r"keeps?|was|were|would)"
)
MY_OTHER = re.compile(
    rf"\b(?:my|our)\s+(?:\w+\s+)?(?P<kin>{KIN})(?P<name>\s+[A-Z]\w+)?,?\s+(?i:{OPINES})", re.IGNORECASE
)
OTHERS = re.compile(
    r"^\W*(?:and |but |so |wow,? |only |asking for a friend:? ?)*(?:he|she|they|it|everyone|everybody|people|"
    r"someone|somebody|nobody|no one|most|some|"
    r"the (?:critics?|reviewers?|guy|girl|man|woman|hero|character|internet|whole internet|world|director|film|"
    r"movie)|"
    r"critics|reviewers|kids these days|the kids|(?:his|her|their)\s+\w+)\s+(?:like me\s+|on \w+\s+|in (?:the|"
    r"a) \w+\s+)?" + OPINES + r"|"
    r"\b(?:he|she|they|critics?|reviewers?|people|everyone|someone|who|hero|man|woman|character)\s+" + OPINES
)
NAMED_OTHER = re.compile(
    r"^\W*(?!I\b|We\b|Please\b|The\b|My\b|Our\b|Always\b|Never\b|Only\b|Who\b|What\b|"
    r"That\b)(?:[A-Z][a-z]+)\s+(?:really |also |always )?(?:loves|likes|hates|adores|enjoys|prefers|says|said|"
    r"thinks|never watches|always watches)\b"
)
SUBJECT = re.compile(
    r"^\W*(?:(?:the|a|an|this|that|these|those|his|her|their|its|your|some|most|many|my|our)\s+(?:[\w'-]+\s+){1,4}|"
    r"you\s+|it\s+|they\s+|he\s+|she\s+)"
    r"(?:(?:will|would|can|do|does|is|are)\s+)?(?:always|never|usually|generally|normally|ever)\b"
)
REPORTED = re.compile(
    r"\b(?:says?|said|told|tells?|wrote|writes|claims?|thinks?|asked|"
    r"keeps? saying)\b(?:\s+\w+){0,3}\s*[:,]?\s*(?:that\s+)?(?=\W*\b(?:i|we)\b)|\bwas told\b|\baccording to\b|"
    r"\bdreamt?\b|\bdreamed\b"
)
SELF_REPORT = re.compile(r"\bi (?:said|say|told you|think|thought)\b")
SUPPOSED = re.compile(
    r"\b(?:if (?:only )?i (?:lik|lov|hat|enjoy|ador|dislik|prefer|were|was|had|didn'?t)|if (?:someone|somebody|he|"
    r"she|they)|what if|suppos\w+|imagin\w+|pretend\w*|hypothetical\w*|let'?s say|"
    r"say i |for the sake of argument|assum\w+|i wish|would(?:n'?t)? (?:i|we|never|probably|rather like|mind)|"
    r"i'?d (?:probably|maybe|perhaps|never)|"
    r"(?:might|may|could|should|would)(?:n'?t)? (?:\w+ )?(?:like|love|hate|enjoy|mind|say|dislike)|if only)"
)
UNSURE = re.compile(
    r"\b(?:don'?t know|not sure|no idea|unsure|wonder|dunno)\b(?:\s+\w+){0,2}\s+(?:if|whether|about)\b|\bno idea\b"
)
PAST = re.compile(
    r"\bused to\b|\b(?:when i was|as a (?:kid|child|teenager|student|boy|girl)|back then|in my youth|years ago|"
    r"once upon|at school i)\b"
)
JOKE = re.compile(
    r"\b(?:just |only |i'?m )?(?:kidding|joking)\b|\bjk\b|/s\b|\bsarcasm\b|\byeah,? right\b|\boh,? sure\b|"
    r"^\W*sure, |\bas if\b|\bpigs (?:can )?fly\b|"
    r"\bnot!\s*$|\bbeing bored by\b|\bhaha,? (?:not|no|just)\b"
)
ASKS = re.compile(
    r"^\W*(?:and |so |but |well,? )*(?:do|does|did|is|are|am|was|can|could|would|should|will|have|has|what|which|"
    r"who|whose|how|why|where|when (?:do|did|is|was)|any|what about)\b"
)
QUOTED = re.compile(r"[\"“«][^\"”»]*[\"”»]|(?<!\w)'[^']{6,}'(?!\w)")


def refused(said: str, with_end: str, piece: str) -> str:
    for why, pattern in (
        ("a supposition", SUPPOSED), ("not sure", UNSURE), ("of the past", PAST),
    ):  # fmt: skip
        if pattern.search(said):
            return why
    if (OTHERS.search(said) or NAMED_OTHER.search(piece)) and not MY_OTHER.search(piece):
        return "somebody else's"
    if SUBJECT.search(said) and not re.search(rf"{FIRST}\s", said):
        return "not said of oneself"
    asks = with_end.rstrip().endswith("?")
    if asks and (ASKS.match(said) or not re.search(rf"{FIRST}\s", said)):
        return "a question"
    if (
        ASKS.match(said)
        and re.match(r"^\W*(?:do|does|did|would|should|could|am|who|have)\b", said)
        and not said.startswith(("don", "do not"))
    ):
        return "a question"
    if not said.strip(" .,!?;:'\""):
        return "somebody else's words"
    return ""
