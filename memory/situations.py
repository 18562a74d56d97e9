"""Who is there, when, where and on what occasion: read by rule from a request, from a standing instruction's condition
and from the clock.

A facet is ``group:value``. The same lexicon reads both sides, so that "my daughter is watching too" meets "when the
kids are here". Matching is by facets; a condition without any known facet ("when my back hurts") goes by its words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from convrec.core.text import fold
from convrec.memory.records import Scope
from convrec.tools.lexicon import FUNCTION_WORDS

ASKED, BOTH = "asked", "&"
"""Group of the facets that say what is asked for, and what joins those of which all must be: ``asked:genres=Horror``,
``asked:genres=Comedy&genres=Romance``. They come from who reads the catalogue, not from the lexicon below."""

_CHILD = r"kids?|child(?:ren)?|toddlers?|little ones?|grandkids?|grandchild(?:ren)?|baby"
_OWN = r"(?:\w+ )?"

FACETS: tuple[tuple[str, str], ...] = (
    # -- company: the first word is the most exact one; what it implies stands in IMPLIED
    ("company:daughter", r"daughters?"),
    ("company:son", r"sons?"),
    ("company:niece", r"nieces?"),
    ("company:nephew", r"nephews?"),
    ("company:children", rf"{_CHILD}|\d{{1,2}}[- ]years?[- ]olds?"),
    ("company:partner", r"partner|spouse|fianc[eé]e?|my date|other half|significant other"),
    ("company:wife", r"wife"),
    ("company:husband", r"husband"),
    ("company:girlfriend", r"girlfriend"),
    ("company:boyfriend", r"boyfriend"),
    ("company:mother", r"mothers?|mums?|moms?|mummy|mommy"),
    ("company:father", r"fathers?|dads?|daddy"),
    ("company:parents", r"parents|in-laws|folks"),
    ("company:grandmother", r"grandmothers?|grandmas?|gran(?:ny)?|nan(?:a)?"),
    ("company:grandfather", r"grandfathers?|grandpas?|grandad"),
    ("company:grandparents", r"grandparents"),
    ("company:sister", r"sisters?"),
    ("company:brother", r"brothers?"),
    ("company:cousin", r"cousins?"),
    ("company:uncle", r"uncles?"),
    ("company:aunt", r"aunts?|aunties?"),
    ("company:friends", r"friends?|mates?|buddies|buddy|pals?|the (?:guys|boys|girls|lads|gang)"),
    ("company:flatmate", r"flatmates?|roommates?|housemates?"),
    ("company:colleagues", r"colleagues?|co-?workers?|the team|my team|boss"),
    ("company:neighbours", r"neighbou?rs?"),
    ("company:guests", r"guests?|visitors?"),
    ("company:family", r"the (?:whole |entire )?family|my (?:whole |entire )?family"),
    ("company:students", r"students?|pupils?|(?:my|the|our) class"),
    ("company:book club", r"book club"),
    (
        "company:alone",
        r"alone|(?:by|all to) (?:my|our)sel(?:f|ves)|on my own|just (?:for )?me|only (?:for )?me|solo|for one",
    ),
    # -- time
    ("day:monday", r"mondays?"),
    ("day:tuesday", r"tuesdays?"),
    ("day:wednesday", r"wednesdays?"),
    ("day:thursday", r"thursdays?"),
    ("day:friday", r"fridays?"),
    ("day:saturday", r"saturdays?"),
    ("day:sunday", r"sundays?"),
    (
        "day:weekday",
        r"week ?days?|work(?:ing)? days?|during the week|mid-?week|school (?:days?|nights?)|work nights?|weeknights?",
    ),
    ("day:weekend", r"week-?ends?"),
    ("time:morning", r"mornings?|breakfast|before noon"),
    ("time:noon", r"lunch(?: ?time| break)?|noon|midday"),
    ("time:afternoon", r"afternoons?"),
    ("time:evening", r"evenings?|tonight|dinner(?: ?time)?"),
    (
        "time:night",
        r"(?<!date )(?<!movie )(?<!film )(?<!school )(?<!work )(?<!game )(?<!saturday )(?<!friday )nights?(?! shift)|late|midnight|[1-4] ?am",  # noqa: E501
    ),
    (
        "time:bedtime",
        r"bed ?time|(?:before|to|in|into) (?:go(?:ing)? to )?(?:bed|sleep)|fall(?:ing)? asleep|off to bed",
    ),
    ("season:summer", r"summers?"),
    ("season:winter", r"winters?"),
    ("season:autumn", r"autumns?|(?:the|in) fall"),
    ("season:spring", r"(?:in |the |every )spring"),
    # -- place
    (
        "place:work",
        r"at (?:my |the )?(?:work|job|office)|(?:the|my|our) office|office|during work|workplace|night shifts?|"
        r"on the job",
    ),
    ("place:home", r"at home|home alone|(?:at|to) (?:my|our) place|sofa|couch"),
    ("place:plane", r"planes?|flights?|flying|airplanes?|airport"),
    ("place:train", r"trains?(?! for)|commut\w+|subway|metro|bus(?:es)?(?: ride)?"),
    ("place:car", r"in the car|road trips?|long drives?"),
    ("place:gym", r"gym|treadmill|work(?:ing)?[- ]?outs?(?! for)|exercis(?:e|ing)|exercise bike|training session"),
    ("place:hotel", r"hotels?"),
    ("place:hospital", r"hospital"),
    ("place:school", r"at school|in class|classroom"),
    ("place:cinema", r"at the (?:cinema|movies)|in the cinema"),
    ("place:garden", r"in the garden|outdoors?|open air|camping"),
    # -- occasion
    ("occasion:party", r"part(?:y|ies)|celebrat\w+|house-?warming"),
    (
        "occasion:date",
        r"date nights?|(?:on|for|have|has|got) (?:a |an |our |my |first )*dates?|dates|anniversar\w+|"
        r"valentine'?s?(?: day)?",
    ),
    ("occasion:christmas", r"christmas|xmas|festive|advent"),
    ("occasion:halloween", r"halloween"),
    ("occasion:easter", r"easter"),
    ("occasion:new year", r"new year'?s?(?: eve)?"),
    ("occasion:thanksgiving", r"thanksgiving"),
    ("occasion:birthday", r"birthdays?"),
    ("occasion:sleepover", r"sleep-?overs?|sleeps? over"),
    ("occasion:game night", r"game nights?"),
    ("occasion:film club", r"film club|cine club"),
    ("occasion:holiday", r"vacations?|(?:on|during|the) holidays?"),
    (
        "occasion:after work",
        r"after (?:work|my shift|a long day)|home from (?:work|the office)|long day(?: at work)?|finished work",
    ),
    # -- state
    ("state:tired", r"tired|exhausted|worn out|knackered|sleepy|drained|dead on my feet"),
    ("state:sick", r"sick|ill|flu|fever|down with|under the weather|have a cold|hung ?over"),
    (
        "state:sad",
        r"sad|(?:feel(?:ing)?|really|so) (?:\w+ )?(?:down|blue|low)|depressed|heart ?broken|lonely|broke up|crying",
    ),
    ("state:stressed", r"stress\w*|anxious|anxiety|nervous|overwhelmed|burnt out"),
    ("state:happy", r"happy|in a (?:good|great) mood|feel(?:ing)? great"),
    ("state:sleepless", r"(?:can'?t|cannot|couldn'?t) sleep|insomnia|sleepless|lie awake"),
    ("state:hungry", r"hungry|eating|(?:over|with|at) (?:dinner|lunch|breakfast)"),
    # -- weather, device, what is done beside it
    ("weather:rain", r"rain\w*|pour(?:s|ing)|storm\w*"),
    ("weather:snow", r"snow\w*"),
    ("weather:sun", r"sunny|hot (?:out|day)|heat ?wave"),
    ("weather:cold", r"(?:it'?s|is) (?:\w+ )?(?:cold|freezing) (?:out|day)|cold days?"),
    ("device:phone", r"(?:on|with) (?:my |the )?(?:phone|mobile|smartphone)"),
    ("device:laptop", r"(?:on|with) (?:my |the )?(?:laptop|tablet|ipad)"),
    ("device:projector", r"projector|big screen"),
    ("doing:cooking", r"cook(?:ing)?|(?:making|preparing|make|fixing) (?:dinner|lunch|food)|in the kitchen"),
    ("doing:ironing", r"iron(?:ing)?|fold(?:ing)? (?:the )?laundry"),
    ("doing:cleaning", r"clean(?:ing)? (?:the|up)|housework|chores"),
    ("doing:knitting", r"knit(?:ting)?|sewing|crochet\w*"),
    ("doing:studying", r"study(?:ing)?|homework|revising"),
    ("doing:gaming", r"gaming|while i play"),
)
_READERS = tuple((name, re.compile(rf"(?<![\w-])(?:{pattern})(?![\w-])")) for name, pattern in FACETS)

_CHILDREN, _PARTNER = ("company:children",), ("company:partner",)
IMPLIED: dict[str, tuple[str, ...]] = {
    # what is so, if the first is so
    **dict.fromkeys(("company:daughter", "company:son", "company:niece", "company:nephew"), _CHILDREN),
    **dict.fromkeys(("company:wife", "company:husband", "company:girlfriend", "company:boyfriend"), _PARTNER),
    "company:mother": ("company:parents",),
    "company:father": ("company:parents",),
    "company:grandmother": ("company:grandparents",),
    "company:grandfather": ("company:grandparents",),
    "company:flatmate": ("company:friends",),
    **dict.fromkeys(("day:monday", "day:tuesday", "day:wednesday", "day:thursday", "day:friday"), ("day:weekday",)),
    "day:saturday": ("day:weekend",),
    "day:sunday": ("day:weekend",),
    "time:bedtime": ("time:night",),
    "occasion:date": _PARTNER,
    "state:sleepless": ("time:bedtime", "time:night"),
}
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SEASONS = ("winter", "winter", "spring", "spring", "spring", "summer", "summer", "summer", "autumn", "autumn",
            "autumn", "winter")  # fmt: skip
_ABSENT = re.compile(r"(?:\b(?:without|not with|no|minus|except)\s+(?:\w+\s+){0,2}$)")
_GONE = re.compile(
    r"^\W*(?:\w+\s+){0,2}?(?:(?:is|are|'re|'s)\s+)?(?:now\s+|already\s+|finally\s+)*"
    r"(?:asleep|sleeping|in bed|away|gone|out(?! with)|not (?:here|there|watching|around|coming)|at (?:school|"
    r"their|his|her))\b"
)
_TASTE_OF = re.compile(r"^'s?\s+(?:favou?rite|taste|poker|friends?)|^'s\b")
_STRANGE_NIGHT = re.compile(r"\bschool nights?\b")


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known of the circumstances of a request. A group that nothing was said of is unknown."""

    facets: frozenset[str] = frozenset()
    """Closed under :data:`IMPLIED`."""
    words: str = ""
    """The request itself."""
    absent: frozenset[str] = frozenset()
    """What was said not to be so: "without the kids"."""
    mentioned: frozenset[str] = frozenset()
    """Everybody spoken of, there or not: "my partner's colleagues"."""
    at: datetime = datetime(1970, 1, 1, tzinfo=UTC)

    def knows(self, group: str) -> bool:
        return any(facet.startswith(group + ":") for facet in self.facets)


def facets_in(text: str) -> tuple[frozenset[str], frozenset[str]]:
    """Facets that a text names, and those it denies ("the kids are asleep"); not closed."""
    low = _lower(text)
    found, denied = set[str](), set[str]()
    for name, pattern in _READERS:
        for match in pattern.finditer(low):
            person = name.startswith("company:") and name != "company:alone"
            if person and (_ABSENT.search(low[: match.start()]) or _GONE.match(low[match.end() :])):
                denied.add(name)
            elif not (person and _TASTE_OF.match(low[match.end() :])):
                found.add(name)
    if "state:sleepless" in found:
        denied.discard("time:night")
    return frozenset(found), frozenset(denied - found)


def _lower(text: str) -> str:
    return text.lower().replace("’", "'")


def places(text: str) -> list[tuple[str, int, int]]:
    """Every facet of a lower-case text with where it stands, the longest reading of a place only, in order."""
    found = [(name, *match.span()) for name, pattern in _READERS for match in pattern.finditer(text)]
    found.sort(key=lambda entry: (entry[1], -entry[2]))
    return [f for f in found if not any(g is not f and g[1] <= f[1] and f[2] <= g[2] and g[1:] != f[1:] for g in found)]


def closed(facets: Iterable[str]) -> frozenset[str]:
    """With all that follows from them."""
    out = set(facets)
    for facet in list(out):
        out.update(IMPLIED.get(facet, ()))
    return frozenset(out)


def situation(text: str, at: datetime, before: Iterable[str] = (), names: dict[str, str] | None = None) -> Situation:
    """The circumstances of a request.

    Args:
        text: the request, in the user's words.
        at: the time now where the user is; gives day, time of day and season where the words do not.
        before: facets said earlier in the conversation; a group named now takes their place.
        names: facet by folded first name, from what is remembered ("my daughter Emma").
    """
    found, denied = facets_in(text)
    words = fold(text).split()
    found |= {facet for name, facet in (names or {}).items() if name in words}
    named = {facet.split(":")[0] for facet in found | denied}
    kept = {facet for facet in before if facet.split(":")[0] not in named}
    facets = set(found) | kept
    groups = {facet.split(":")[0] for facet in facets}
    if "day" not in groups:
        facets.add(f"day:{_DAYS[at.weekday()]}")
    if "time" not in groups:
        facets.add(f"time:{_part_of_day(at.hour)}")
    if "season" not in groups:
        facets.add(f"season:{_SEASONS[at.month - 1]}")
    mentioned = frozenset(name for name, _, _ in places(_lower(text)) if name.startswith("company:"))
    return Situation(closed(facets), text, closed(denied), mentioned | facets, at)


def said_facets(text: str, before: Iterable[str] = ()) -> tuple[str, ...]:
    """What a conversation keeps for its next turns: company, place and occasion as said; days and hours pass."""
    found, denied = facets_in(text)
    named = {facet.split(":")[0] for facet in found | denied}
    kept = [facet for facet in before if facet.split(":")[0] not in named]
    return tuple(sorted({*kept, *(f for f in found if f.split(":")[0] in ("company", "place", "occasion", "device"))}))


def _part_of_day(hour: int) -> str:
    if 5 <= hour < 11:
        return "morning"
    if 11 <= hour < 14:
        return "noon"
    if 14 <= hour < 18:
        return "afternoon"
    return "evening" if 18 <= hour < 23 else "night"


def applies(scope: Scope, now: Situation) -> tuple[bool, str]:
    """Whether a statement with this scope applies, and the reason in plain words.

    Facets of one group are alternatives, all groups are required; one facet of ``unless`` is enough to stop it. What
    nothing is known of is not taken to hold.
    """
    if scope.empty:
        return True, "it applies always"
    here = now.facets
    stop = next((facet for facet in scope.unless if _is_so(facet, here)), None)
    if stop is not None:
        return False, f"not {plain(stop)}"
    groups: dict[str, list[str]] = {}
    for facet in scope.facets:
        groups.setdefault(facet.split(":")[0], []).append(facet)
    for wanted in groups.values():
        if not any(_is_so(facet, here) and facet not in now.absent for facet in wanted):
            return False, f"only {' or '.join(map(plain, wanted))}"
    if scope.facets:
        return True, "now: " + ", ".join(plain(f) for f in scope.facets if _is_so(f, here))
    if scope.unless:
        return True, "not " + " or ".join(map(plain, scope.unless)) + " now"
    shared = content(scope.words) & content(now.words)
    if shared and 2 * len(shared) >= len(content(scope.words)):
        return True, f"you speak of {', '.join(sorted(shared))}"
    return False, f"only {scope.words}"


def _is_so(facet: str, here: frozenset[str]) -> bool:
    """Whether a facet holds; of one joined of several, every part must."""
    group, _, value = facet.partition(":")
    return facet in here or (group == ASKED and all(f"{ASKED}:{part}" in here for part in value.split(BOTH)))


def plain(facet: str) -> str:
    """A facet in words: "with children", "on weekdays"."""
    group, _, value = facet.partition(":")
    if group == ASKED:
        return "when you ask for " + " ".join(re.split(r"[=:]", part)[-1] for part in value.split(BOTH))
    before = {"company": "with ", "day": "on ", "time": "in the ", "place": "at the ", "season": "in ",
              "occasion": "for ", "state": "when ", "weather": "in ", "device": "on the ", "doing": "while "}  # fmt: skip  # noqa: E501
    if facet == "company:alone":
        return "when alone"
    if facet == "time:bedtime":
        return "before bed"
    return f"{before.get(group, '')}{value}{'s' if group == 'day' else ''}"


def content(text: str) -> frozenset[str]:
    """The content words of a text, cut to their stem: what two wordings are compared by."""
    return frozenset(stem(word) for word in fold(text).split() if word not in FUNCTION_WORDS and len(word) > 2)


def stem(word: str) -> str:
    for ending in ("ings", "ing", "ies", "ied", "ers", "er", "ed", "es", "s", "ly"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word.removesuffix("e") if len(word) > 4 else word
