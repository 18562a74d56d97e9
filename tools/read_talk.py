"""Small talk, and what is asked of other machines and people."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

SmallTalk: TypeAlias = Literal["greet", "thanks", "bye", "help"]

_POLITE = r"\b[\s\w,!.']{0,25}\W*$"
_SMALL_TALK: tuple[tuple[re.Pattern[str], SmallTalk], ...] = (
    (re.compile(r"^\W*(?:hi|hello|hey|good (?:morning|evening|afternoon)|howdy|yo)" + _POLITE), "greet"),
    (
        re.compile(r"^\W*(?:thanks?(?: you)?|thx|cheers|great,? thanks?|perfect|awesome|cool|nice)" + _POLITE),
        "thanks",
    ),
    (re.compile(r"^\W*(?:bye|goodbye|see you|good night|that'?s all)" + _POLITE), "bye"),
    (
        re.compile(
            r"\b(?:what can you do|how do(?:es)? (?:this|you) work|help me use|who are you|what are you)\b|^\W*help\W*$"
        ),
        "help",
    ),
)
_GREETINGS = frozenset(
    "hi hello hey hiya heya howdy yo sup morning evening afternoon greetings".split()  # noqa: SIM905
)
_PARTINGS = frozenset("bye goodbye later ciao cya farewell night".split())  # noqa: SIM905
_PRAISE = frozenset(
    """thanks thank thx ty cheers ta great cool nice perfect awesome brilliant excellent lovely super sweet wonderful
    haha hahaha hah lol lmao hehe wow yay amazing helpful legend star done""".split()  # noqa: SIM905
)
_PLEASANTRIES = (
    _GREETINGS
    | _PARTINGS
    | _PRAISE
    | frozenset(
        """a again alright all am and are being best bot buddy care day do doing dude for friend going good have help
        how i i'm im is it it's its just k lot man mate meet much my needed need now ok okay oh one out pal
        please real really robot see so soon take that that's thats the then there things this to today
        tomorrow tonight too up very was welcome well what's whats with worries ya yes you you're youre your""".split()  # noqa: SIM905
    )
)
"""A message of nothing but these is small talk."""
_ELSEWHERE = re.compile(
    r"^\W*(?:(?:hey|hi|hello|please|ok|so|now|can you|could you|would you|will you|i (?:need|want) you to|"
    r"help me(?: to)?|"
    r"how (?:do|can|should|would|does) (?:i|you|we|one)|what(?:'s| is) the best way to|should i|"
    r"is it ok(?:ay)? to)\W+)*"
    r"(?:translate|calculate|compute|solve|cook|bake|boil|fry|roast|fix|repair|install|uninstall|configure|debug|compile|"
    r"rewrite|proofread|remind|book|schedule|order|buy|sell|invest|convert|call|text|email|e-mail|send|"
    r"write (?:me )?(?:an?|some|my|the)|set (?:an? )?(?:alarm|timer|reminder)|turn (?:on|off)|lose weight|get rid of|"
    r"get .{2,30} out of|clean (?:a|the|my)|wash|draw|paint|spell|define|unlock|hack|pay|play (?:a song|some music|"
    r"chess))\b|"
    r"\b(?:recipe|calories|weather|forecast|bitcoin|crypto|share price|exchange rate|mortgage|insurance|taxes|"
    r"flights? to|"
    r"hotel in|restaurants? (?:in|near)|taxi|pizza|laptop|wi-?fi|printer|homework|essay|cover letter|python|javascript|"
    r"spreadsheet|linux|iphone|symptoms?|headache|horoscope|capital of|president of|prime minister|population of|"
    r"square root|phone number|opening hours|traffic|stock market)\b"
)
"""What is asked of other machines and people."""
_FILM_WORDS = re.compile(r"\b(?:movies?|films?|watch(?:ing)?|cinema|flicks?|documentar\w+|stor(?:y|ies))\b")
_A_TOPIC = re.compile(r"\b(?:about|set in|where|who|with|featuring|involving|like)\b")


def small_talk(low: str) -> SmallTalk | None:
    """What kind of small talk the lower-case message is, if it is nothing else."""
    return next((act for pattern, act in _SMALL_TALK if pattern.search(low)), None) or _pleasantry(low)


def asked_of_others(low: str) -> bool:
    """Whether it is no matter of this agent: "translate this", "a recipe for lasagna". Films about such things are."""
    return _FILM_WORDS.search(low) is None and _ELSEWHERE.search(low) is not None and _A_TOPIC.search(low) is None


def _pleasantry(low: str) -> SmallTalk | None:
    """A message of nothing but greetings, thanks and the words between them."""
    words = re.findall(r"[\w']+", low)
    if not words or not _PLEASANTRIES.issuperset(words):
        return None
    if _PRAISE.intersection(words) or {"you're", "youre"}.intersection(words):
        return "thanks"
    if _PARTINGS.intersection(words) or "that's all" in low:
        return "bye"
    return "greet" if _GREETINGS.intersection(words) else None
