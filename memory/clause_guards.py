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
    r"(?:you|it|they|he|she|people|everyone|everybody|someone|somebody|folks|friends|fans|critics|kids|children|"
    r"teenagers|adults|men|women)\s+)"
    r"(?:(?:will|would|can|do|does|is|are)\s+)?(?:always|never|usually|generally|normally|ever)\b"
)
OPINION = re.compile(
    r"\b(?:(?:love|hate|adore|enjoy|prefer|dislike|despise|detest|loathe)[sd]?|enjoyed|preferred|detested|likes|liked)\b"
)
BEFORE_VERB = frozenset(
    "really all both always never just also absolutely still do does did don't doesn't didn't totally truly would "  # noqa: SIM905
    "can't cannot not only even usually often generally mostly secretly supposedly apparently simply so very much "
    "already and but or oh well yes yeah no ok okay to a an the of with in for about that which please more most some "
    "any my our this who what".split()
)
"""Words that stand before a verb of opinion and are no subject of it."""
SAYS = (
    r"(?:says?|said|told|tells?|wrote|writes|claims?|thinks?|asked|keeps? saying|shouts?|shouted|screams?|screamed|"
    r"yells?|yelled|cries|cried|sings?|sang|goes|whispers?|whispered|mutters?|insists?|swears?|swore|replies|replied|"
    r"answers|answered|types?|typed|declares?|declared)"
)
REPORTED = re.compile(
    rf"\b{SAYS}\b(?:\s+\w+){{0,3}}\s*[:,]?\s*(?:that\s+)?(?=\W*\b(?:i|we|my|our)\b)|\b(?:was|were) told\b|"
    rf"\baccording to\b|\bdreamt?\b|\bdreamed\b|(?<!\bi )(?<!\bwe )\b(?:{SAYS}|reads?)\s*:"
)
QUOTING = re.compile(
    r"\bas (?:\w+ ){1,4}(?:put it|says|said|sang|sings|wrote|would say|used to say|goes)\b|^\W*quoting\b"
)
"""The whole message is somebody else's: "… , as Whitney put it"."""
ROLE = re.compile(
    r"\brole-?play\w*|\bin (?:this|the|that|my|our) (?:game|play|story|role|scene|sketch|campaign)\b|\bmy character\b|"
    r"\bi(?:'m| am)? play(?:ing)? (?:a|an|the)\b|\b(?:speaking|talking|answering) as (?!an?\b|the\b)|"
    r"\b(?:act|answer) (?:like|as)\b|\bin character\b|\bin (?:this|the|my) (?:scenario|skit|exercise)\b"
)
DENIED = re.compile(
    r"\b(?:not (?:that|saying|as if|because|like|to say)|never said|didn'?t say|don'?t mean)\b"
    r"\s+(?:\w+\s+){0,2}?(?:i|we)\b"
)
SELF_REPORT = re.compile(r"\bi (?:said|say|told you|think|thought)\b")
SUPPOSED = re.compile(
    r"\b(?:if (?:only )?i (?:lik|lov|hat|enjoy|ador|dislik|prefer|were|was|had|didn'?t)|if (?:someone|somebody|he|"
    r"she|they)|what if|suppos\w+|imagin\w+|pretend\w*|hypothetical\w*|let'?s say|"
    r"say i |"
    r"\bwere (?:it|i|we|he|she|they)\b|\bprovided (?:that )?(?:i|we)\b|"
    r"for (?:the sake of (?:the )?argument|argument'?s sake)|assum\w+|i wish|"
    r"would(?:n'?t)? (?:i|we|never|probably|rather like|mind)|"
    r"i'?d (?:probably|maybe|perhaps|never)|"
    r"(?:might|may|could|should|would)(?:n'?t)? (?:\w+ )?(?:like|love|hate|enjoy|mind|say|dislike)|if only)"
)
UNSURE = re.compile(
    r"\b(?:don'?t know|not sure|no idea|unsure|wonder|dunno)\b(?:\s+\w+){0,2}\s+(?:if|whether|about)\b|\bno idea\b|"
    r"\b(?:maybe|perhaps|possibly)\s+(?:i|we)\b|\beither (?:i|we)\b"
)
PAST = re.compile(
    r"\bused to\b|\b(?:i|we) would (?:always|usually|often|mostly)\b|"
    r"\b(?:when i was|as a (?:kid|child|teenager|student|boy|girl)|back then|in my youth|years ago|"
    r"once upon|at school i|there was a time|time was|at one time|in those days|in the past|growing up|my younger self|"
    r"in my (?:teens|twenties|thirties|childhood))\b"
)
JOKE = re.compile(
    r"\b(?:just |only |i'?m )?(?:kidding|joking)\b|\bjk\b|/s\b|\bsarcasm\b|\byeah,? right\b|\boh,? sure\b|"
    r"^\W*sure, |\bas if\b|\bpigs (?:can )?fly\b|"
    r"\bnot!\s*$|,\s*not\W*$|\bbeing bored by\b|\bhaha,? (?:not|no|just)\b|\bteasing\b|\bpulling your leg\b|"
    r"\bsaid (?:nobody|no one)\b|\bbecause\b[^?]*,\s*right\?\s*$|\bcan'?t you tell\b|\bsarcas\w+|"
    r"\b(?:lol|lmao|rofl|haha\w*|hehe)\b|[🙄😂🤣😜😉]|\s:p\b|;\)|\bjoke'?s on\b|,\s*said (?:my|the|no)\b|"
    r"^\W*(?:oh|wow|ugh|yay|ah)\W+(?:great|joy|good|goody|wonderful|fantastic|perfect|lovely|brilliant|super|fun)\b"
)
ASKS = re.compile(
    r"^\W*(?:and |so |but |well,? )*(?:(?:is|are|was|were|does|did|have|has|would|could|should)n'?t|do|does|did|is|are|"
    r"am|"
    r"was|can|could|would|should|will|have|has|what|which|"
    r"who|whose|how|why|where|when (?:do|did|is|was)|any|what about)\b"
)
QUOTED = re.compile(r"[\"“«][^\"”»]*[\"”»]|(?<!\w)'[^']{6,}'(?!\w)")

TRIAL = re.compile(
    r"^\W*(?:test|testing)\b|\btrying out\b|\bdebug\w*|\b(?:just )?(?:checking|testing) (?:if|whether|you)\b"
)
NAME_IT = re.compile(
    r"\b(?:guess|name) (?:the|that|this) (?:film|movie|title)\b|\btitle please\b|\b(?:what'?s|what is|what was) "
    r"(?:it|that (?:film|movie)|the (?:film|movie|title)) called\b|\b(?:which|what) (?:film|movie|one) (?:is|was) "
    r"(?:it|that|this)\b|^\W*(?:the |my )?(?:plot|story|premise|pitch|synopsis|idea)\s*:"
)
"""A plot told in the first person, whose film is looked for."""


WOULD_NEVER = re.compile(
    r"\b(?:i|we)(?:'d| would) never (?:ever )?(?:watch|see|choose|pick|go for|touch|sit through)\b"
)
"""Stated of oneself, though it is put as a supposition."""


def whole(low: str) -> str:
    """Why nothing of a lower-case message is the user's own; "" when some of it may be."""
    for why, pattern in (("a joke", JOKE), ("a role", ROLE), ("somebody else's words", QUOTING), ("a test", TRIAL),
                         ("a plot", NAME_IT)):  # fmt: skip
        if pattern.search(low):
            return why
    return ""


def foreign_subject(said: str) -> bool:
    """Whether the first verb of opinion has a subject that is not the user: "some friends of mine hated it"."""
    verb = OPINION.search(said)
    if verb is None:
        return False
    before = said[: verb.start()]
    if re.search(r"\b(?:i|we|me|us|saw|seen|watched|finished)\b", before):
        return False
    words = re.split(r"[,.;:!?()\"\u2013\u2014]", before)[-1].split()
    while words and words[-1] in BEFORE_VERB:
        words.pop()
    return bool(words) and words[-1] not in BEFORE_VERB


def refused(said: str, with_end: str, piece: str) -> str:
    """Why a clause is not the user's own, ``said`` in lower case without quotations; "" when it is."""
    for why, pattern in (
        ("a supposition", SUPPOSED), ("not sure", UNSURE), ("of the past", PAST), ("denied", DENIED),
    ):  # fmt: skip
        if pattern.search(WOULD_NEVER.sub("", said)):
            return why
    if (OTHERS.search(said) or NAMED_OTHER.search(piece) or foreign_subject(said)) and not MY_OTHER.search(piece):
        return "somebody else's"
    subject = SUBJECT.search(said)
    if subject and not re.search(rf"{FIRST}\s", subject[0]):
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
