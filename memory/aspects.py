"""The reasoned expansion: which kind of knowledge about a user a request calls for, when it does not name it.

"Something I can follow without subtitles" calls for the languages the user speaks; "mind my ears" for what was said of
hearing. Each aspect has cues on both sides: words of requests that call for it, words or topics of records that have
it. It is the deterministic part of reasoning about what a request needs; MR.Rec does that by a trained model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from convrec.memory.records import Preference


@dataclass(frozen=True, slots=True)
class _Aspect:
    name: str
    asks: re.Pattern[str]
    has: re.Pattern[str]
    topics: frozenset[str] = frozenset()


def _aspect(name: str, asks: str, has: str, *topics: str) -> _Aspect:
    return _Aspect(name, re.compile(rf"\b(?:{asks})\b"), re.compile(rf"\b(?:{has})\b"), frozenset(topics))


ASPECTS = (
    _aspect(
        "languages you know",
        r"(?:foreign|original) (?:language|film|movie)s?|languages?|subtitles?|dubbed|by ear|understand(?: it)?|"
        r"listening skills?|practi[sc]e|fluent|native|pronunciation|vocabulary|brush up",
        r"speaks?|is learning|bilingual|native speaker|subtitles?|dubbed",
        "language", "learning",
    ),
    _aspect(
        "what you study or teach",
        r"(?:i|we) (?:study|teach|learn|take)|course|my (?:studies|subject|class|pupils|students|exam)|my field|"
        r"lesson|homework",
        r"teacher|student|professor|is learning|class of|lecturer|tutor|studies",
        "learning",
    ),
    _aspect(
        "your work",
        r"my (?:job|work|profession|shift|trade|career|line of work|patients|colleagues|industry)|shift|work life|"
        r"after work|at work|colleagues|what i do for a living|occupation",
        r"work: .*|is an? \w+|shifts?|job",
        "work",
    ),
    _aspect(
        "fears",
        r"fears?|phobias?|trigger(?:s|ing)?|scares? me|afraid|nightmares?|panic|freak(?:s|ed)? (?:me )?out|"
        r"terrif\w+|creeps? me out|what frightens me|spare me",
        r"afraid of|terrified|phobia|fear of|scared of|frightens",
        "fear",
    ),
    _aspect(
        "allergies and food",
        r"allerg\w+|sneez\w+|food|eat(?:ing)?|diet\w*|cook(?:ing|ery)?|meals?|meat|recipes?|restaurants?|chefs?|"
        r"hungry|vegans?|vegetarians?|culinary",
        r"allergic|vegans?|vegetarian|pescatarian|diet|halal|kosher|peanuts?|gluten|lactose",
        "allergy",
    ),
    _aspect(
        "hearing",
        r"ears?|hear(?:ing)?|loud|sound|dialogue(?:-heavy| heavy)?|listen(?: to)?|audio|captions?|subtitles?|deaf",
        r"deaf|hard of hearing|hearing|tinnitus|subtitles",
    ),
    _aspect(
        "sight",
        r"eyes?|see(?:ing)? (?:it|well)|visual(?:s|ly)?|colou?rs?|listen to|audio description|watchable|"
        r"black and white|sight|vision|glasses",
        r"blind|colou?r[- ]?blind|short-sighted|eyes?|sight|glasses",
    ),
    _aspect(
        "what makes you ill",
        r"(?:make|makes|made|making|get|getting|feel) (?:me )?(?:\w+ )?(?:ill|sick|dizzy|nauseous|unwell)|"
        r"headaches?|migraines?|flash(?:ing|es)|strobe|shaky|nausea|motion|dizz\w+|health|my head|stomach",
        r"sick|sickness|migraines?|headaches?|seizures?|vertigo|epilep\w+|dizzy|nauseous|photosensitive|shaky|"
        r"flashing",
        "body",
    ),
    _aspect(
        "where you come from",
        r"home ?town|my home|my country|where i (?:come from|grew up|was born|live)|homesick|my roots|my childhood|"
        r"back home|at home in|my city|local",
        r"is from|grew up|was born|lives? in|comes? from",
        "from",
    ),
    _aspect(
        "people you avoid or like on screen",
        r"(?:actors?|actress(?:es)?|stars?|directors?|faces?|performers?|someone|who) (?:to avoid|(?:i|"
        r"we) (?:can'?t|cannot|don'?t|hate|dislike|love|like|never|adore|avoid)\b.*|you know)|which (?:actor|"
        r"actress|director|star)|my favou?rite (?:actor|actress|director)|without the (?:actor|actress)",
        r"(?:starring|directed by|with or by|with|cast|written by) [A-Z].*",
        "person",
    ),
    _aspect(
        "ages",
        r"how old|age|suitable|appropriate|old enough|too (?:young|old)|for (?:his|her|their) age",
        r"is (?:\d+|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\b.*|years old|toddler",
    ),
    _aspect(
        "pets",
        r"pets?|dogs?|cats?|horses?|animals?",
        r"dogs?|cats?|horses?|pets?|animals?",
    ),
    _aspect(
        "beliefs",
        r"my (?:faith|religion|beliefs?)|religious|church|prayer|holy",
        r"religious|jewish|muslim|hindu|buddhist|christian|catholic|atheist",
    ),
)  # fmt: skip


def asked(text: str) -> frozenset[str]:
    """The aspects that a request calls for."""
    low = text.lower().replace("’", "'")
    return frozenset(aspect.name for aspect in ASPECTS if aspect.asks.search(low))


def of(preference: Preference) -> frozenset[str]:
    """The aspects that a record tells something of."""
    topic = "person" if preference.subject.startswith("person:") else str(preference.payload.get("topic", ""))
    text = preference.text if topic == "person" else preference.text.lower()
    if preference.kind == "note":
        text = f"{text} {preference.said.lower()}"
    elif topic != "person":
        return frozenset()  # a taste in genres or years speaks for itself
    return frozenset(a.name for a in ASPECTS if topic in a.topics or (a.has.search(text) and topic != "person"))
