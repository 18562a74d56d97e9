"""Reads a message clause by clause: whose opinion it is, whether it is meant, how long it holds and when it applies.

By rule and careful: what is a joke, a question, a supposition, a quotation, long past or somebody else's is not the
user's. Knows nothing of items; :mod:`convrec.agent.remember` joins it with what was linked and which conditions were
read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from convrec.memory.records import ALWAYS, Scope
from convrec.memory.situations import facets_in, places

Sign = Literal["wanted", "unwanted", ""]

_I = r"\b(?:i|we)(?:'m|'ve|'re| am| are| have)?"
"""Not "i'd": "I'd love a comedy" is a wish of the moment, no taste."""
_ADVERB = (
    r"(?:\s+(?:really|just|absolutely|also|still|do|always|truly|totally|simply|usually|generally|mostly|quite|"
    r"very|so|both|all|much))*"
)
_LIKING = re.compile(
    rf"{_I}{_ADVERB}\s+(?:love|like|adore|enjoy|prefer|favou?r|dig|appreciate)\b|"
    rf"{_I}{_ADVERB}\s+(?:come|grown|started|begun|begin|learnt|learned) to (?:love|like|adore|enjoy|appreciate)\b|"
    rf"{_I}{_ADVERB}\s+(?:back )?(?:into|fond of|keen on|crazy about|mad about|a sucker for|partial to)\b|"
    rf"{_I}{_ADVERB}\s+(?:a |an )?(?:(?:big|huge|great|real|massive|lifelong|die-?hard)\s+)?(?:fans?|lovers?) of\b|"
    r"\b(?:is|are) (?:my|our) (?:thing|jam|favou?rites?|passion|guilty pleasure)\b|"
    r"\bmy (?:all-time )?favou?rite (?:genre|kind|type|sort|film|movie|director|actor|actress)s?\b|"
    r"\bi only (?:watch|like)\b"
)
_DISLIKING = re.compile(
    rf"{_I}{_ADVERB}\s+(?:hate|dislike|despise|detest|loathe|avoid)\b|"
    r"\b(?:i|we)\s+(?:really\s+|just\s+)?(?:can'?t|cannot|can not|couldn'?t)\s+(?:really\s+)?(?:stand|bear|stomach|"
    r"take)\b|"
    r"\b(?:i|we)\s+(?:really\s+)?(?:don'?t|do not|didn'?t|did not)\s+(?:really\s+|much\s+|even\s+|ever\s+|"
    r"think i )?(?:like|enjoy|love|care for)\b|"
    r"\b(?:i'?m|we'?re|i am|we are)\s+(?:really\s+)?not\s+(?:really\s+|that\s+|so\s+|much of\s+)?(?:into|fond of|"
    r"keen on|an? (?:big |huge )?fan of|fans of|crazy about)\b|"
    r"\b(?:i|we)\s+never (?:watch|liked?|enjoy)\b|"
    r"\b(?:i|we)\s+no longer (?:really )?(?:like|enjoy|love|care for|watch|want)\b|"
    rf"{_I}{_ADVERB}\s+no longer (?:into|fond of|keen on|an? (?:big |huge )?fan of|fans of)\b|"
    rf"{_I}{_ADVERB}\s+(?:gone off|stopped (?:liking|enjoying|watching)|had enough of|(?:done|finished) with|"
    r"(?:sick|tired|fed up) (?:of|with)|bored (?:of|with|by))\b"
)
_DISLIKING_AFTER = re.compile(
    r"\b(?:bores?|annoys?|disgusts?|irritates?) me\b|\b(?:is|are)(?:n'?t| not) (?:really |just )?(?:for me|"
    r"my (?:thing|cup of tea|jam|taste))\b|"
    r"\b(?:put|puts) me to sleep\b|\bmakes? me (?:sick|cringe|angry)\b"
)
_STANDING = re.compile(
    r"\b(?:always|never(?! ?mind)|ever|from now on|in general|as a rule|every time|generally|at all times|forever|"
    r"in future|in the future|usually|normally)\b"
)
_RESTRICTS = re.compile(r"\b(?:only|no|nothing|none|don'?t|not|just|avoid|skip|prefer|want|love|like|hate)\b")
_TODAY = re.compile(
    r"\b(?:tonight|today|right now|at the moment|this (?:time|evening|morning|afternoon|weekend|once)|for once|"
    r"tomorrow|for a change|currently)\b"
)
_NOW = re.compile(r"\b(?<!from )now\b")
"""This time only in "a comedy now"; in "I hate musicals now" a change of mind, which lasts."""
_UNTIL = re.compile(
    r"\b(?:(?:for )?(?:the )?(?:next|coming) (?P<n>\d{1,2}|two|three|four|few|couple of)? ?(?P<unit>days?|weeks?|"
    r"months?)|"
    r"this (?P<this>week|month|year)|until (?P<end>christmas|new year|easter|further notice)|for now)\b"
)
_KIN = (
    r"sisters?|brothers?|friends?|best friend|wife|husband|partner|girlfriend|boyfriend|mum|mom|mummy|dad|daddy|"
    r"mother|"
    r"father|parents|boss|roommates?|flatmates?|housemates?|colleagues?|co-?workers?|neighbou?rs?|ex|cousins?|"
    r"uncle|aunt|"
    r"kids?|child(?:ren)?|sons?|daughters?|niece|nephew|grandma|grandmother|grandpa|grandfather|gran|nan|teacher|"
    r"grandparents|in-laws|family|team|book club|students?|spouse|fianc[eé]e?"
)
_OPINES = (
    r"(?:absolutely |really |just |always |never |only |also |still |totally |both |all |kind of |does |do |did )*"
    r"(?:lov|lik|hat|ador|enjoy|prefer|dislik|despis|detest|watch|want|can'?t|cannot|couldn'?t|don'?t|doesn'?t|"
    r"didn'?t|"
    r"is (?:a (?:big |huge )?fan|into|crazy|not)|are (?:into|fans|not)|says?|said|told|tells?|thinks?|thought|"
    r"keeps?|was|were|would)"
)
_MY_OTHER = re.compile(
    rf"\b(?:my|our)\s+(?:\w+\s+)?(?P<kin>{_KIN})(?P<name>\s+[A-Z]\w+)?,?\s+(?i:{_OPINES})", re.IGNORECASE
)
_OTHERS = re.compile(
    r"^\W*(?:and |but |so |wow,? |only |asking for a friend:? ?)*(?:he|she|they|it|everyone|everybody|people|"
    r"someone|somebody|nobody|no one|most|some|"
    r"the (?:critics?|reviewers?|guy|girl|man|woman|hero|character|internet|whole internet|world|director|film|"
    r"movie)|"
    r"critics|reviewers|kids these days|the kids|(?:his|her|their)\s+\w+)\s+(?:like me\s+|on \w+\s+|in (?:the|"
    r"a) \w+\s+)?" + _OPINES + r"|"
    r"\b(?:he|she|they|critics?|reviewers?|people|everyone|someone|who|hero|man|woman|character)\s+" + _OPINES
)
_NAMED_OTHER = re.compile(
    r"^\W*(?!I\b|We\b|Please\b|The\b|My\b|Our\b|Always\b|Never\b|Only\b|Who\b|What\b|"
    r"That\b)(?:[A-Z][a-z]+)\s+(?:really |also |always )?(?:loves|likes|hates|adores|enjoys|prefers|says|said|"
    r"thinks|never watches|always watches)\b"
)
_SUBJECT = re.compile(
    r"^\W*(?:(?:the|a|an|this|that|these|those|his|her|their|its|your|some|most|many|my|our)\s+(?:[\w'-]+\s+){1,4}|"
    r"you\s+|it\s+|they\s+|he\s+|she\s+)"
    r"(?:(?:will|would|can|do|does|is|are)\s+)?(?:always|never|usually|generally|normally|ever)\b"
)
_REPORTED = re.compile(
    r"\b(?:says?|said|told|tells?|wrote|writes|claims?|thinks?|asked|"
    r"keeps? saying)\b(?:\s+\w+){0,3}\s*[:,]?\s*(?:that\s+)?(?=\W*\b(?:i|we)\b)|\bwas told\b|\baccording to\b|"
    r"\bdreamt?\b|\bdreamed\b"
)
_SELF_REPORT = re.compile(r"\bi (?:said|say|told you|think|thought)\b")
_SUPPOSED = re.compile(
    r"\b(?:if (?:only )?i (?:lik|lov|hat|enjoy|ador|dislik|prefer|were|was|had|didn'?t)|if (?:someone|somebody|he|"
    r"she|they)|what if|suppos\w+|imagin\w+|pretend\w*|hypothetical\w*|let'?s say|"
    r"say i |for the sake of argument|assum\w+|i wish|would(?:n'?t)? (?:i|we|never|probably|rather like|mind)|"
    r"i'?d (?:probably|maybe|perhaps|never)|"
    r"(?:might|may|could|should|would)(?:n'?t)? (?:\w+ )?(?:like|love|hate|enjoy|mind|say|dislike)|if only)"
)
_UNSURE = re.compile(
    r"\b(?:don'?t know|not sure|no idea|unsure|wonder|dunno)\b(?:\s+\w+){0,2}\s+(?:if|whether|about)\b|\bno idea\b"
)
_PAST = re.compile(
    r"\bused to\b|\b(?:when i was|as a (?:kid|child|teenager|student|boy|girl)|back then|in my youth|years ago|"
    r"once upon|at school i)\b"
)
_JOKE = re.compile(
    r"\b(?:just |only |i'?m )?(?:kidding|joking)\b|\bjk\b|/s\b|\bsarcasm\b|\byeah,? right\b|\boh,? sure\b|"
    r"^\W*sure, |\bas if\b|\bpigs (?:can )?fly\b|"
    r"\bnot!\s*$|\bbeing bored by\b|\bhaha,? (?:not|no|just)\b"
)
_ASKS = re.compile(
    r"^\W*(?:and |so |but |well,? )*(?:do|does|did|is|are|am|was|can|could|would|should|will|have|has|what|which|"
    r"who|whose|how|why|where|when (?:do|did|is|was)|any|what about)\b"
)
_HABIT = re.compile(
    r"\b(?:i|we) (?:always|usually|normally|mostly|only ever|generally) (?:watch|see) "
    r"(?:(?:films|movies|them|things|everything) )?(?:with|together with)\b"
)
_DENIES = re.compile(r"\b(?:no|nothing|none|don'?t|not|without|avoid)\b")
_QUOTED = re.compile(r"[\"“«][^\"”»]*[\"”»]|(?<!\w)'[^']{6,}'(?!\w)")

_SPLIT = re.compile(
    r"(?:(?<=[!?;\n])|(?<=(?<!\b[A-Za-z])\.)(?!\d))\s*|,?\s+(?<!anything )(?<!nothing )(?<!everything )\bbut\b\s*|"
    r",?\s+\bthough\b\s*|"
    r",\s*(?:and\s+)?(?=(?:i|we|he|she|they|it|my|our)\b(?!\s+\w+\s*,))|\s+and\s+(?=(?:i|we|he|she|they|my)\s)",
    re.IGNORECASE,
)
_SUBORDINATE = re.compile(
    r"\b(?P<no>except (?:when|if|while)|unless|but not (?:when|if)|not when)\b|\b(?P<yes>when(?:ever)?|if|while|"
    r"as long as|every time|any time|in case|as soon as)\b"
)
_EXCEPT = re.compile(
    r"\b(?:except(?: for)?|apart from|other than|but not)\s+(?=(?:with|on|at|in|for|during|around|over|before|"
    r"after|when)\b)|\bexcept\b"
)
_PREPOSITION = re.compile(
    r"\b(?:with|on|at|in|for|during|after|before|around|over|to|while|every)\s+(?:(?!(?:i|i'm|we|we're|is|are|it|"
    r"it's)\s)[\w'-]+\s+){0,3}$"
)
_OWN_PREPOSITION = re.compile(
    r"(?:at|on|in|after|before|by|while|during|just|only|all|solo|alone|home|to|into|off|fall)\b"
)
_TWO_WORDS = re.compile(r"\s*[\w']+\s+[\w']+")
_REGION_END = re.compile(
    r",|\b(?:i|we) (?:always|never|only|want|love|like|prefer|hate|don'?t|can'?t|watch|need|enjoy|usually|would)\b|"
    r"\b(?:always|never|only|nothing|no|please)\b"
)
_LEADING = re.compile(
    r"^\W*(?:as for|regarding|when|whenever|if|while|unless|except|on|at|in|for|with|during|after|before|around|"
    r"over)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause of a message. Positions are those of the message."""

    text: str
    start: int
    end: int
    body: str
    """The clause with the words of its condition and quotations blanked out, same length: what it is about."""
    scope: Scope = ALWAYS
    standing: bool = False
    """To be kept to from now on: "always", "never", "when the kids are here, no horror"."""
    sign: Sign = ""
    """What a stated taste says; "" when none is stated."""
    flips: bool = False
    """The verdict follows what it is about ("documentaries bore me"): readers that look before it miss the denial."""
    whose: str = ""
    """Somebody else's: "sister"; "" for the user's own."""
    name: str = ""
    """The first name given with ``whose``."""
    refused: str = ""
    """Why nothing of it is the user's: "a joke", "a question"."""
    today: bool = False
    """It is about this time only."""
    until: datetime | None = None
    strength: float = 0.7

    @property
    def durable(self) -> bool:
        """It says something of the user that is worth keeping."""
        return not (self.refused or self.whose or self.today) and (self.standing or self.sign != "")


def clauses(text: str, at: datetime) -> list[Clause]:
    """The clauses of a message, in order. ``at``: when it was said, for "this week"."""
    flat = text.replace("’", "'")
    low = "".join(c.lower() if len(c.lower()) == 1 else c for c in flat)
    quoted = [match.span() for match in _QUOTED.finditer(flat)]
    joke = _JOKE.search(low) is not None
    reported = _REPORTED.search(low)
    foreign_report = reported is not None and not _SELF_REPORT.match(low[max(0, reported.start() - 2) :].lstrip())
    out: list[Clause] = []
    for start, end in _spans(flat):
        clause = _read(flat, low, start, end, quoted, at)
        before = out[-1] if out else None
        if joke:
            clause = replace(clause, refused="a joke")
        elif foreign_report and reported is not None and end > reported.start() and not clause.whose:
            clause = replace(clause, refused="somebody else's words")
        elif (
            before is not None and before.refused == "a supposition" and not _full_stop_between(flat, before.end, start)
        ):
            clause = replace(clause, refused="a supposition")
        out.append(clause)
    if any(_HABIT.search(c.text.lower()) and not c.refused for c in out):
        out = [_habitual(c) for c in out]
    return out


def _habitual(clause: Clause) -> Clause:
    """ "No horror, I always watch with my kids": what is said to be always so is no condition, and makes a rule of the
    rest."""
    if clause.refused or clause.whose or clause.today:
        return clause
    low = clause.text.lower()
    if _HABIT.search(low):
        return replace(clause, scope=ALWAYS, body=low, standing=True)
    return replace(clause, standing=True) if _DENIES.search(low) else clause


def _spans(text: str) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    start = 0
    for match in _SPLIT.finditer(text):
        head = text[start : match.start()]
        if match.start() <= start and match.end() <= start:
            continue
        subordinate = (
            match[0].lstrip().startswith(",")
            and _LEADING.match(head)
            and not re.search(r"\b(?:no|nothing|only|never|always)\b", head.lower())
        )
        if subordinate or not head.strip():
            continue
        spans.append((start, match.start()))
        start = match.end()
    if text[start:].strip():
        spans.append((start, len(text)))
    return spans


def _full_stop_between(text: str, end: int, start: int) -> bool:
    return re.search(r"[.!?;\n]", text[max(0, end - 1) : start]) is not None


def _read(text: str, low: str, start: int, end: int, quoted: list[tuple[int, int]], at: datetime) -> Clause:
    piece, lower = text[start:end], list(low[start:end])
    for a, b in quoted:
        for i in range(max(a, start), min(b, end)):
            lower[i - start] = " "
    said = "".join(lower)
    scope, blanked = read_scope(said)
    disliking, after = _DISLIKING.search(blanked), _DISLIKING_AFTER.search(blanked)
    liking = _LIKING.search(blanked)
    sign: Sign = "unwanted" if disliking or after else "wanted" if liking else ""
    today = _TODAY.search(said) is not None or (not sign and _NOW.search(said) is not None)
    explicit = _STANDING.search(said) is not None
    standing = not today and (explicit or _generic(said, scope, blanked))
    clause = Clause(piece, start, end, blanked, scope, standing, sign, flips=after is not None, today=today)
    clause = replace(clause, until=_until(said, at), strength=_strength(said))
    other = _MY_OTHER.search(piece)
    if other is not None and not re.search(
        r"\b(?:visits?|comes?|stays?|is (?:here|watching|over|around|coming))\b", other[0].lower()
    ):
        mine = _LIKING.search(said[: other.start()]) or _DISLIKING.search(said[: other.start()])
        if mine is None:
            kin = other["kin"].lower()
            name = (other["name"] or "").strip()
            clause = replace(clause, whose=kin, name=name if name[:1].isupper() else "")
    refused = _refused(said, low[start : min(len(low), end + 1)], piece)
    return replace(clause, refused=refused) if refused else clause


def _refused(said: str, with_end: str, piece: str) -> str:
    for why, pattern in (
        ("a supposition", _SUPPOSED), ("not sure", _UNSURE), ("of the past", _PAST),
    ):  # fmt: skip
        if pattern.search(said):
            return why
    if (_OTHERS.search(said) or _NAMED_OTHER.search(piece)) and not _MY_OTHER.search(piece):
        return "somebody else's"
    if _SUBJECT.search(said) and not re.search(rf"{_I}\s", said):
        return "not said of oneself"
    asks = with_end.rstrip().endswith("?")
    if asks and (_ASKS.match(said) or not re.search(rf"{_I}\s", said)):
        return "a question"
    if (
        _ASKS.match(said)
        and re.match(r"^\W*(?:do|does|did|would|should|could|am|who|have)\b", said)
        and not said.startswith(("don", "do not"))
    ):
        return "a question"
    if not said.strip(" .,!?;:'\""):
        return "somebody else's words"
    return ""


def read_scope(said: str) -> tuple[Scope, str]:
    """When a lower-case clause says it applies, and the clause with those words blanked out."""
    yes, no = set[str](), set[str]()
    words: list[str] = []
    gone: list[tuple[int, int]] = []
    taken = list(said)
    for match in _SUBORDINATE.finditer(said):
        if any(a <= match.start() < b for a, b in gone):
            continue
        opening = _TWO_WORDS.match(said, match.end())
        stop = _REGION_END.search(said, opening.end() if opening else match.end() + 1)
        stop_at = stop.start() if stop else len(said)
        region = said[match.end() : stop_at].strip(" ,.!?;")
        found, denied = facets_in(region)
        if not region:
            continue
        if match["no"]:
            no |= found
            yes |= denied
        else:
            yes |= found
            no |= denied
        if not found and not denied:
            if match["no"]:
                continue  # an exception that cannot be told is none
            words.append(region)
        gone.append((match.start(), stop_at))
        taken[match.start() : stop_at] = " " * (stop_at - match.start())
    left = "".join(taken)
    exception = _EXCEPT.search(left)
    for facet, start, end in places(left):
        opens = (
            _PREPOSITION.search(left[:start]) or _OWN_PREPOSITION.match(left[start:end]) or not left[:start].strip(" ,")
        )
        if not opens:
            continue
        begin = opens.start() if isinstance(opens, re.Match) and opens.re is _PREPOSITION else start
        if (
            exception is not None
            and exception.start() <= begin <= exception.end() + 40
            and "," not in left[exception.end() : begin]
        ):
            no.add(facet)
            begin = min(begin, exception.start())
        else:
            yes.add(facet)
        gone.append((begin, end))
        taken[begin:end] = " " * (end - begin)
    phrase = " ".join(dict.fromkeys(said[a:b].strip(" ,.!?;") for a, b in sorted(gone)))
    if not (yes or no or words):
        return ALWAYS, said
    # "home" follows from other words of place and time; the most exact facets say enough.
    return Scope(facets=tuple(sorted(yes)), unless=tuple(sorted(no - yes)), words=phrase[:200]), "".join(taken)


def _generic(said: str, scope: Scope, body: str) -> bool:
    """Whether a condition makes it a rule: "when it rains, no war films", but not "a comedy for date night"."""
    if scope.empty or not _RESTRICTS.search(body):
        return False
    if _SUBORDINATE.search(said) or scope.unless:
        return True
    groups = {facet.split(":")[0] for facet in scope.facets}
    return groups != {"company"} and re.search(r"\b(?:only|nothing|no)\b", body) is not None


def _until(said: str, at: datetime) -> datetime | None:
    match = _UNTIL.search(said)
    if match is None:
        return None
    if match["end"]:
        month, day = {"christmas": (12, 25), "new year": (1, 1), "easter": (4, 20)}.get(match["end"], (0, 0))
        if not month:
            return None
        end = at.replace(month=month, day=day, hour=0, minute=0, second=0, microsecond=0)
        return end if end > at else end.replace(year=end.year + 1)
    if match["this"]:
        days = {"week": 7 - at.weekday(), "month": 31 - at.day + 1, "year": 366 - at.timetuple().tm_yday}[match["this"]]
        return at + timedelta(days=max(1, days))
    if match["unit"]:
        number = {"two": 2, "three": 3, "four": 4, "few": 3, "couple of": 2}.get(match["n"] or "", 0) or int(
            match["n"] or 1
        )
        return at + timedelta(days=number * {"d": 1, "w": 7, "m": 30}[match["unit"][0]])
    return at + timedelta(days=30)


def _strength(said: str) -> float:
    if re.search(
        r"\b(?:love|loved|adore|adored|hate|hated|despise|detest|loathe|favou?rite|can'?t stand|never|always|"
        r"huge fan)\b",
        said,
    ):
        return 1.0
    return 0.4 if re.search(r"\b(?:quite|kind of|kinda|sort of|a bit|okay|fine|guess)\b", said) else 0.7
