"""Facts about the user and their people that bear on what suits them: "I'm colour blind", "my daughter Emma is seven".

Only what fits one of these patterns is kept; moods of the day ("I'm tired") are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from convrec.core.text import clean, fold
from convrec.memory.records import ALWAYS, NewPreference, Polarity, Scope
from convrec.memory.situations import facets_in
from convrec.memory.statements import Clause

_KIN = (
    r"sister|brother|friend|best friend|wife|husband|partner|girlfriend|boyfriend|mum|mom|dad|mother|father|boss|"
    r"roommate|flatmate|housemate|colleague|neighbour|neighbor|cousin|uncle|aunt|son|daughter|niece|nephew|grandma|"
    r"grandmother|grandpa|grandfather|gran|nan|kid|child|baby|spouse"
)
_NUMBER = (
    r"(?:\d{1,3}|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen)"
)
_TOPIC_END = r"(?=$|[.,;!?]|\s+(?:and|but|so|because|which)\b)"
_I_AM = r"\b(?:i'?m|i am|we are|we're)\s+(?:also\s+|completely\s+|totally\s+|partially\s+|a bit\s+|very\s+|quite\s+)?"
_TRAIT = (
    r"vegetarian|vegan|pescatarian|deaf|blind|colou?r[- ]?blind|hard of hearing|dyslexic|epileptic|diabetic|pregnant|"
    r"autistic|claustrophobic|squeamish|left-handed|retired|divorced|married|engaged|religious|jewish|muslim|hindu|"
    r"buddhist|christian|catholic|atheist|gay|lesbian|bisexual|trans|queer|short-sighted|photosensitive"
)
_SELF: tuple[tuple[str, Polarity, re.Pattern[str]], ...] = (
    ("fear", "unwanted", re.compile(
        r"\b(?:i'?m|i am)\s+(?:\w+ )?(?:afraid|terrified|scared|frightened|phobic) of (?P<x>[\w' -]{2,60}?)" + _TOPIC_END)),  # noqa: E501
    ("fear", "unwanted", re.compile(r"\bi have an? (?:\w+ )?(?:phobia|fear) of (?P<x>[\w' -]{2,60}?)" + _TOPIC_END)),
    ("fear", "unwanted", re.compile(r"\b(?P<x>[\w-]{3,30}(?: [\w-]{3,30})?) (?:scares?|terrif(?:y|ies)|frightens?) me\b")),  # noqa: E501
    ("allergy", "neutral", re.compile(r"\b(?:i'?m|i am) (?:\w+ )?allergic to (?P<x>[\w' -]{2,60}?)" + _TOPIC_END)),
    ("trait", "neutral", re.compile(_I_AM + rf"(?P<x>{_TRAIT})\b")),
    ("age", "neutral", re.compile(rf"\b(?:i'?m|i am) (?P<x>{_NUMBER})(?: years old)?" + r"(?=$|[.,;!?]| years)")),
    ("language", "neutral", re.compile(
        r"\bi(?: can)? (?:also )?(?:speak|understand|read) (?:fluent |some |a little |"
        r"a bit of )?(?P<x>[A-Z]\w+(?:(?:,| and) [A-Z]\w+)*)")),
    ("learning", "neutral", re.compile(r"\b(?:i'?m|i am) (?:learning|studying) (?:to \w+ )?(?P<x>[\w' -]{2,40}?)" + _TOPIC_END)),  # noqa: E501
    ("from", "neutral", re.compile(
        r"\bi(?:'?m| am| come)? (?:(?:grew up|was born|was raised|live) in|from) (?P<x>[A-Z][\w' -]{1,40}?)" + _TOPIC_END)),  # noqa: E501
    ("work", "neutral", re.compile(
        r"\bi work (?P<x>(?:as|at|in|for|night|nights|shifts|from)\b[\w' -]{0,50}?)" + _TOPIC_END)),
    ("work", "neutral", re.compile(
        r"\b(?:i'?m|i am) an? (?P<x>(?!bit\b|little\b|lot\b|fan\b|big\b|huge\b|person\b|sucker\b|lover\b|great\b|"
        r"real\b|member\b)"
        r"(?:\w+ )?\w*(?:er|or|ist|ian|ant|ent|nurse|teacher|pilot|cook|chef|clerk|student|surgeon|judge|nun|"
        r"monk))\b")),
    ("body", "neutral", re.compile(
        r"\bi (?:easily |always |often )?(?:get|have|suffer from) (?P<x>(?:\w+ ){0,2}(?:sick|sickness|migraines?|"
        r"headaches?|seizures?|vertigo|epilepsy|"
        r"dizzy|nightmares?|asthma|adhd|ptsd|tinnitus|insomnia)[\w' -]{0,50}?)" + _TOPIC_END)),
    ("body", "neutral", re.compile(
        r"\b(?P<x>[\w-]+(?: [\w-]+){0,2} (?:gives?|makes?) me (?:\w+ )?(?:migraines?|headaches?|ill|sick|dizzy|"
        r"nauseous|nightmares?|seizures?|sneeze))")),
    ("has", "neutral", re.compile(
        r"\bi have (?P<x>(?:an? |two |three |four |five |twin )?(?:\w+ )?(?:\d{1,2}[- ]years?[- ]olds?|kids?|"
        r"children|sons?|daughters?|twins|dogs?|cats?|horses?|"
        r"class of [\w -]{2,30}))\b")),
)  # fmt: skip
_RELATED = re.compile(
    rf"\b(?:my|our) (?P<kin>{_KIN})(?:,? (?P<name>[A-Z]\w+),?)?(?: is| was|'s) (?P<x>{_NUMBER}(?: years old)?|"
    rf"from [A-Z][\w' ]{{1,30}}|"
    rf"(?:also |completely |nearly )?(?:{_TRAIT})|an? \w+(?: \w+)?)" + _TOPIC_END
)
_RELATED_TASTE = re.compile(
    rf"\b(?:my|our) (?P<kin>{_KIN}|kids|children|sons|daughters|parents|friends|flatmates|colleagues|"
    rf"family)(?:,? (?P<name>[A-Z]\w+),?)? "
    r"(?:really |absolutely |just |always |also |only )*(?P<verb>loves?|likes?|adores?|enjoys?|prefers?|hates?|"
    r"dislikes?|can't stand|cannot stand|"
    r"can't bear|doesn't like|don't like|is (?:a )?(?:big |huge )?fan of|are fans of|is into|never watch(?:es)?|"
    r"is afraid of|is scared of) "
    r"(?P<x>[\w' -]{2,60}?)" + _TOPIC_END
)
_AGAINST = re.compile(r"hate|dislike|can|don't|doesn't|never|afraid|scared")
_FLEETING = re.compile(r"\b(?:it|that|this|them|him|her|you|your)\b")


@dataclass(frozen=True, slots=True)
class Note:
    """A fact in words. ``kin``: about whom of the user's people; "" for the user."""

    topic: str
    text: str
    polarity: Polarity
    about: str
    kin: str = ""
    name: str = ""

    @property
    def scope(self) -> Scope:
        """A fact about somebody applies when that person is there."""
        facets, _ = facets_in(self.kin) if self.kin else (frozenset(), None)
        return Scope(facets=tuple(sorted(facets)), words=self.kin) if facets else ALWAYS

    def preference(self, clause: Clause, session_id: str, turn: int) -> NewPreference:
        payload = {"topic": self.topic}
        if self.name and self.scope.facets:
            payload |= {"name": fold(self.name), "facet": self.scope.facets[0]}
        return NewPreference(
            kind="note",
            polarity=self.polarity,
            subject=f"{'about:' + self.kin + ' ' + fold(self.name) if self.kin else 'me'}:{self.about}".replace(
                " :", ":"
            )[:200],
            text=clean(self.text, 300),
            said=clean(clause.text, 300),
            confidence=0.8,
            strength=clause.strength,
            scope=self.scope,
            valid_until=clause.until,
            payload=payload,
            source_session=session_id,
            source_turn=turn,
        )


def notes(clause: Clause) -> Iterator[Note]:
    """The facts of one clause. Somebody else's taste is a note about them, never a taste of the user."""
    if clause.refused or clause.today:
        return
    text = clause.text.replace("’", "'")
    if (m := _RELATED.search(text)) is not None:
        name = m["name"] or ""
        yield Note(
            "person",
            f"your {m['kin']}{' ' + name if name else ''} is {m['x']}",
            "neutral",
            _kind_of(m["x"]),
            m["kin"],
            name,
        )
        return
    if clause.whose:
        m = _RELATED_TASTE.search(text)
        if m is not None and not _FLEETING.search(m["x"]):
            name = m["name"] or ""
            sign = "against" if _AGAINST.match(m["verb"]) else "for"
            yield Note(
                "their taste", f"your {m['kin']}{' ' + name if name else ''} {m['verb']} {m['x']}", "neutral",
                f"{fold(m['x'])}", m["kin"], name,
            )  # fmt: skip
            del sign
        return
    low = "".join(c if c.isupper() and i and text[i - 1] == " " else c.lower() for i, c in enumerate(text))
    for topic, polarity, pattern in _SELF:
        m = pattern.search(low)
        if m is None or _FLEETING.search(m["x"].lower()):
            continue
        about = topic if topic in ("age",) else f"{topic}={fold(m['x'])}"
        yield Note(topic, _worded(topic, m["x"].strip()), polarity, about)
        return


def _kind_of(predicate: str) -> str:
    """What a newer statement takes the place of: one age, one origin; any other trait goes by its words."""
    if re.match(rf"{_NUMBER}\b", predicate):
        return "age"
    return "from" if predicate.startswith("from ") else fold(predicate)


def _worded(topic: str, what: str) -> str:
    return {
        "fear": "afraid of {}", "allergy": "allergic to {}", "trait": "is {}", "age": "is {} years old", "language": "speaks {}",  # noqa: E501
        "learning": "is learning {}", "from": "is from {}", "work": "work: {}", "body": "{}", "has": "has {}",
    }[topic].format(what)  # fmt: skip
