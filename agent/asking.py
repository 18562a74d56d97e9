"""What to ask, and whether an answer to it came. One question a turn, beside the list, never instead of it.

The question is the one that splits the candidates best (:mod:`convrec.tools.splitting`); none is asked when enough was
said or is known. After EAR (arXiv 2002.09102), SCPR (arXiv 2007.00194) and MediQ (arXiv 2406.00922).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from convrec.agent.events import Question
from convrec.agent.request import Request
from convrec.agent.session import Session
from convrec.core.errors import ToolRetry
from convrec.core.items import ItemList
from convrec.core.text import fold
from convrec.tools.acts import WISH
from convrec.tools.catalogue import Catalogue
from convrec.tools.predicates import AnyOf, Condition, check, condition_from_json, condition_to_json
from convrec.tools.schema import FieldSpec, Role
from convrec.tools.splitting import Split, Splitter, entropy, likelihood
from convrec.tools.understand import Understanding

CONSIDERED = 2000
"""Candidates looked at, best first; what stands further down is no likely choice."""
TEMPERATURE = 0.25
"""Ranking score by which a candidate is e times as likely as another; scores of one list differ by about 1."""
UNSURE_BITS = 5.0
"""Entropy of the candidates above which a question pays: 32 equally likely ones."""
WORTH_BITS = 0.5
"""Least expected entropy reduction of a question."""
ENOUGH_SAID = 3
"""Wishes after which no more is asked."""
ENOUGH_KNOWN = 3
"""Liked items after which no more is asked."""
MOST_ASKED = 3
"""Questions in one conversation: it is no interview."""
OPTIONS = 4
"""Answers named in a question."""
SHORT_ANSWER = 8
"""Words of a message that may be an answer and nothing else."""

POLITE = (
    r"(?:[\s,.!]|please|thanks|thank you|pls|then|really|honestly|to me|for me|there|with me|ok(?:ay)?|oh|well|um+)*"
)
_ANYTHING = re.compile(
    rf"{POLITE}(?:i (?:really )?)?(?:(?:it |that )?(?:does ?n[o']?t|does not|do ?n[o']?t|do not) "
    r"(?:really |much )?(?:matter|mind|care|know)(?: (?:about|which|either|at all)\b.*)?|no preferences?|"
    r"have no preferences?|no matter|"
    r"any(?:thing| of (?:them|those|these))?(?: (?:is|goes|would be)(?: fine| good| ok(?:ay)?)?)?|"
    r"either(?: (?:is|one))?(?: fine| ok(?:ay)?)?|whatever|all (?:of them )?(?:are )?(?:fine|good)|"
    r"you (?:choose|decide|pick)|up to you|not important|surprise me|skip(?: (?:it|that))?|no idea|not sure|"
    rf"i'?m (?:easy|open|flexible)|don'?t mind,? you choose|next question){POLITE}"
)
YES_WORDS = (
    r"yes|yeah|yep|yup|sure|ok(?:ay)?|please do|go ahead|why not|of course|absolutely|sounds good|"
    r"do (?:it|that|so)|that would be (?:nice|great|good)|i(?:'d| would) (?:like|love) that"
)
_YES = re.compile(rf"{POLITE}(?:{YES_WORDS}){POLITE}")
NO = re.compile(rf"{POLITE}(?:no+|nope|nah|not now|no thanks?(?: you)?|never){POLITE}")
_FRAMES = {
    Role.YEAR: ("from {}", "something {}", "from the {}"),
    Role.DURATION: ("{} long", "something {}", "{} minutes"),
    Role.COUNTRY: ("a {} film", "from {}"),
    Role.LANGUAGE: ("a {} film", "in {}"),
    Role.CERTIFICATE: ("rated {}",),
    Role.CATEGORY: ("a {} film", "something {}"),
}
"""How a bare answer would be said in full, so that the rules which read wishes read it too."""
_WORDING = {
    Role.CATEGORY: "Is there a {label} you are in the mood for",
    Role.YEAR: "Do you have a decade in mind",
    Role.DURATION: "How long may it be",
    Role.COUNTRY: "Should it come from a certain country",
    Role.LANGUAGE: "Should it be in a certain language",
    Role.CERTIFICATE: "Does the age rating matter",
}
_LEAVING_OPEN = ("lookup", "why", "profile", "help")
"""What may come between a question and its answer."""


@dataclass(slots=True)
class Asker:
    """Chooses questions over one catalogue and reads the answers. Holds caches only."""

    catalogue: Catalogue
    mode: Literal["on", "off", "random"] = "on"
    """random: any field that could be asked for, drawn by conversation and turn; what ``on`` is measured against."""
    splitter: Splitter = field(init=False)

    def __post_init__(self) -> None:
        self.splitter = Splitter(self.catalogue)

    # -- asking -------------------------------------------------------------------------------------------------------

    def question(self, request: Request, session: Session, ranked: ItemList) -> Question | None:
        """The question to put beside a list, None when none is due. ``ranked``: all candidates, best first."""
        if self.mode == "off" or len(session.asked) >= MOST_ASKED or len(ranked) < 2 or _enough(request, session):
            return None
        rows, scores = ranked.rows[:CONSIDERED], ranked.scores[:CONSIDERED]
        weights = likelihood(scores, TEMPERATURE)
        if entropy(weights) < UNSURE_BITS:
            return None
        answered = {c.slot for c in request.conditions if not c.negative}
        splits = [
            split
            for split in self.splitter.splits(rows, weights)
            if split.bits >= WORTH_BITS
            and split.facet.slot not in answered
            and split.facet.spec.name not in session.asked
            and not ("audience" in answered and split.facet.spec.role is Role.CERTIFICATE)
        ]
        if not splits:
            return None
        chosen = splits[0]
        if self.mode == "random":
            chosen = random.Random(f"{session.session_id}/{session.turn_count}").choice(splits)  # noqa: S311
        return self._put(chosen, session)

    def _put(self, split: Split, session: Session) -> Question:
        """Word it, and keep it open in the session."""
        spec = split.facet.spec
        named = [split.facet.answers[i] for i in split.common[:OPTIONS]]
        if spec.role is not Role.CATEGORY and spec.role is not Role.COUNTRY:  # what has an order is said in it
            place = {answer.label: n for n, answer in enumerate(split.facet.answers)}
            named.sort(key=lambda answer: place[answer.label])
        options = tuple(answer.label for answer in named)
        said = [label.removeprefix("from ") if spec.role in (Role.YEAR, Role.COUNTRY) else label for label in options]
        text = f"{_WORDING[spec.role].format(label=spec.spoken)}: {', '.join(said)}, or does it not matter?"
        session.asked.append(spec.name)
        session.question = {
            "field": spec.name,
            "slot": split.facet.slot,
            "text": text,
            "options": [condition_to_json(answer) for answer in named],
        }
        return Question(text, spec.name, options, round(split.bits, 3))

    # -- answers ------------------------------------------------------------------------------------------------------

    def answered(self, reading: Understanding, session: Session, read: Callable[[str], Understanding]) -> Understanding:
        """The reading in the light of the open question, which is closed by it. ``read``: reads another wording."""
        asked, session.question = session.question, {}
        low = reading.text.lower().replace("’", "'").rstrip("?! .")
        if not asked:  # "no preference" may come late, or once too often
            return _goes_on(reading, ()) if session.slate and _ANYTHING.fullmatch(low) else reading
        words = len(low.split())
        if words <= SHORT_ANSWER and not reading.mentions:
            if _ANYTHING.fullmatch(low) or _YES.fullmatch(low):
                return _goes_on(reading, ())
            if NO.fullmatch(low):
                return _goes_on(reading, ()) if asked.get("field") else replace(reading, act="other", query="")
        if reading.act in _LEAVING_OPEN:
            session.question = asked
            return reading
        spec = self.catalogue.schema.field(asked.get("field", ""))
        if spec is None or words > SHORT_ANSWER:
            return reading
        others = [c for c in reading.conditions if c.slot != asked["slot"] and not c.negative]
        if others and WISH.search(low):  # "something scary from the 80s" is a wish of its own
            return reading
        if any(c.slot == asked["slot"] for c in reading.conditions):
            return reading if reading.dropped else replace(reading, act="recommend", continues=True)
        if reading.mentions or reading.conditions or reading.people or reading.dropped:
            return reading
        found = self._options(low, asked) or self._in_full(low, asked["slot"], spec, read)
        return _goes_on(reading, tuple(found)) if found else reading

    def _options(self, low: str, asked: dict[str, Any]) -> list[Condition]:
        """The named answers that the message repeats; several are alternatives."""
        if re.search(r"\b(?:not|no|don'?t|anything but|except)\b", low):
            return []
        said = f" {fold(low)} "
        options: list[Condition] = []
        for data in asked["options"]:
            try:
                condition = condition_from_json(data)
                check(condition.expr, self.catalogue.schema)
            except ToolRetry:
                continue  # asked over another catalogue
            bare = condition.label.removeprefix("from ").removeprefix("in ").removeprefix("rated ")
            if f" {fold(bare)} " in said:
                options.append(replace(condition, said=low))
        if len(options) < 2:
            return options
        label = " or ".join(option.label for option in options)
        return [replace(options[0], expr=AnyOf(tuple(option.expr for option in options)), label=label)]

    def _in_full(self, low: str, slot: str, spec: FieldSpec, read: Callable[[str], Understanding]) -> list[Condition]:
        bare = re.sub(r"^(?:an?|the|some|something|maybe|perhaps|probably|rather|from)\s+|\s+too$", "", low)
        for frame in _FRAMES.get(spec.role, ()):
            found = [c for c in read(frame.format(bare)).conditions if c.slot == slot]
            if found:
                return found
        return []


def offer(session: Session) -> None:
    """Keep an offer open ("Shall I find something like it?"): yes goes on with the running request."""
    session.question = {"field": "", "slot": "", "text": "", "options": []}


def _goes_on(reading: Understanding, conditions: tuple[Condition, ...]) -> Understanding:
    """An answer and nothing else: the running request with these conditions more."""
    return replace(
        reading,
        act="recommend",
        continues=True,
        conditions=conditions,
        people=(),
        unknown=(),
        person_of=None,
        person_of_unknown=False,
        reference_unclear="",
        query="",
    )


def _enough(request: Request, session: Session) -> bool:
    """Whether enough was said or is known to recommend without asking."""
    said = [c for c in request.conditions if not c.negative and c.source != "memory"]
    if request.references or any(c.slot.startswith("person:") for c in said):
        return True
    if len(said) + bool(request.query) >= ENOUGH_SAID:
        return True
    return len(set(request.profile)) + len(session.liked) >= ENOUGH_KNOWN
