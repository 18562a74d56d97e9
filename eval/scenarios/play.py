"""Plays one run of a scenario: draws wording and order, speaks to the subject, answers what it asks."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from convrec.core.errors import ConvrecError
from convrec.core.items import Item
from convrec.eval.scenarios.model import WISHES, Constraint, Scenario, Turn
from convrec.eval.scenarios.verdicts import Seen, Verdict, judge
from convrec.eval.subject import Reply, Subject

MAX_ANSWERS = 3
"""Questions of the agent answered within one turn of the script; then its list is due."""
NO_PREFERENCE = ("No preference there.", "I don't mind, you choose.", "Either is fine with me.")
AND_ALSO = ("And {wishes}.", "Also: {wishes}.", "One more thing: {wishes}.")
"""The second message of a turn whose wishes are said in two."""
SPLIT_CHANCE = 0.5
_NOTHING = re.compile(
    r"\b(?:no|not any|none|nothing|no such)\b[^.?!]*\b(?:fits?|match(?:es)?|found|find|exists?|available|suggest|"
    r"meets?|satisf\w+)\b|\b(?:couldn'?t|could not|can'?t|cannot|did(?:n'?t| not)|do(?:n'?t| not)) "
    r"(?:find|see|have|know of)\b|\bunable to find\b",
    re.IGNORECASE,
)
_ABOUT: Mapping[str, str] = {
    "year": r"year|old|new|recent|era|decade|classic",
    "runtime": r"long|short|length|minutes|hours?|runtime|time",
    "genres": r"genre|kind|type|mood|sort of",
    "languages": r"languages?|subtitles?",
    "countries": r"country|countries|where|from",
    "certificate": r"rat(?:ed|ing)|certificate|kids|children|age|family",
    "critics_score": r"critics?|reviews?|acclaimed|score|rated",
    "directors": r"directors?|filmmakers?|who",
    "cast": r"actors?|actress(?:es)?|stars?|cast|who",
}
"""Words by which a question is known to be about a field of the demo catalogue."""


@dataclass(slots=True)
class Played:
    """One run: what was said, and the verdict."""

    verdict: Verdict
    dialogue: list[tuple[str, str]] = field(default_factory=list)
    """(user, agent), in order."""
    seconds: list[float] = field(default_factory=list)
    """Of each reply."""
    answered: int = 0
    """Questions of the agent that were answered."""
    revealed: int = 0
    """on_ask constraints that came out."""


def says_nothing_fits(reply: Reply) -> bool:
    """Whether a reply says that nothing fits: it names what it let go of, or has no item and says so in words."""
    return bool(reply.relaxed) or _NOTHING.search(_prose(reply)) is not None


def asked_about(text: str, constraint: Constraint) -> bool:
    """Whether the question in ``text`` is about a field of the constraint."""
    question = " ".join(re.findall(r"[^.!?\n]*\?", text)).lower()
    return any(name in _ABOUT and re.search(rf"\b(?:{_ABOUT[name]})\b", question) for name in constraint.fields)


def play(scenario: Scenario, subject: Subject, records: Mapping[str, Item], *, repeat: int, seed: int) -> Played:
    """One run. Wording and order come from (seed, scenario, repeat) alone; the user is new and forgotten after it."""
    run = _Run(scenario, subject, records, random.Random(f"{seed}/{scenario.id}/{repeat}"), repeat)  # noqa: S311
    subject.forget(run.user)
    problem = ""
    try:
        run.script()
    except ConvrecError as error:
        problem = f"no answer: {error}"
    finally:
        subject.forget(run.user)
    verdict = judge(scenario, run.seen, records)
    if problem:
        counts = {**verdict.counts, "wrong_outcomes": verdict.counts["wrong_outcomes"] + 1}
        verdict = Verdict(False, False, (problem, *verdict.problems), counts)
    return Played(verdict, run.dialogue, run.seconds, run.answered, len(run.answers))


class _Run:
    """The state of one run."""

    def __init__(
        self, scenario: Scenario, subject: Subject, records: Mapping[str, Item], rng: random.Random, repeat: int
    ) -> None:
        self.scenario, self.subject, self.records, self.rng = scenario, subject, records, rng
        self.user = f"scenario-{scenario.id}-{repeat}"
        self.active: dict[str, Constraint] = {}
        self.answers: list[Constraint] = []
        self.excluded: set[str] = set()
        self.last: tuple[str, ...] = ()
        self.dialogue: list[tuple[str, str]] = []
        self.seconds: list[float] = []
        self.seen: list[Seen] = []
        self.answered = 0

    def script(self) -> None:
        for number, turn in enumerate(self.scenario.turns, start=1):
            if turn.places and max(turn.places) > len(self.last):
                return  # the list it speaks of did not come; the verdict on the turn before says so
            self._turn(number, turn)

    def _turn(self, number: int, turn: Turn) -> None:
        for name in turn.drop:
            self.active.pop(name, None)
        for mark in turn.mark:
            self.excluded.add(self.last[mark.place - 1])
        self.excluded.update(turn.named)
        first, rest = self._wishes(turn)
        text = self.rng.choice(turn.text)
        message = self._filled(text, first)
        if rest:
            self._say(number, turn, message, first, "free")
            message = self.rng.choice(AND_ALSO).replace(WISHES, self._joined(rest))
        reply = self._say(number, turn, message, rest or first, turn.expect)
        for _ in range(MAX_ANSWERS):
            told = self._answer_to(reply)
            if told is None:
                break
            if not reply.items:
                self.seen.pop()  # a question is no list yet
            reply = self._say(number, turn, told, (), turn.expect)
        self.last = reply.items or self.last

    def _wishes(self, turn: Turn) -> tuple[list[Constraint], list[Constraint]]:
        """The wishes of a turn in drawn order; in two parts when the turn may be split and the draw says so."""
        wishes = [self.scenario.constraint(name) for name in turn.say]
        self.rng.shuffle(wishes)
        wishes.sort(key=lambda wish: wish.denial)  # "no dramas, thrillers" would deny both
        if turn.split and len(wishes) > 1 and self.rng.random() < SPLIT_CHANCE:
            cut = self.rng.randrange(1, len(wishes))
            return wishes[:cut], wishes[cut:]
        return wishes, []

    def _filled(self, text: str, wishes: Sequence[Constraint]) -> str:
        text = text.replace(WISHES, self._joined(wishes)) if wishes else text
        for place, item_id in enumerate(self.last, start=1):
            title = self.records[item_id].title if item_id in self.records else item_id
            text = text.replace(f"{{item{place}}}", title)
        return text

    def _joined(self, wishes: Sequence[Constraint]) -> str:
        return ", ".join(self.rng.choice(wish.say) for wish in wishes)

    def _say(self, number: int, turn: Turn, message: str, new: Sequence[Constraint], expect: str) -> Reply:
        self.active.update({wish.id: wish for wish in new})
        reply = self.subject.say(message, user=self.user, session=f"{self.user}-{turn.session}")
        self.dialogue.append((message, reply.text))
        self.seconds.append(reply.seconds)
        linked = len(reply.items)
        # Titles behind those of the items are recommended too, and are in no catalogue.
        ids = (*reply.items, *(f"unknown: {title}" for title in reply.titles[linked:]))
        titles = reply.titles if reply.source != "text" else ids
        shown = tuple(titles[i] if i < len(titles) else "" for i in range(len(ids)))
        self.seen.append(
            Seen(
                turn=number,
                ids=ids,
                titles=shown,
                active=tuple(self.active.values()),
                excluded=frozenset(self.excluded),
                relaxed=reply.relaxed,
                said_nothing=says_nothing_fits(reply),
                asked=reply.question,
                expect=expect,
                count=turn.count if expect == turn.expect else None,
                linked=reply.source == "text",
            )
        )
        return reply

    def _answer_to(self, reply: Reply) -> str | None:
        """What the user says to a question, None when there is none to answer."""
        if not reply.question:
            return None
        kept_back = [c for c in self.scenario.constraints if c.reveal == "on_ask" and c.id not in self.active]
        told = next((c for c in kept_back if asked_about(_prose(reply), c)), None)
        if told is not None:
            self.answered += 1
            self.answers.append(told)
            self.active[told.id] = told
            return self.rng.choice(told.say).capitalize() + "."
        if reply.items or says_nothing_fits(reply):
            return None  # a list, or "nothing fits, what could you let go?", is an answer
        self.answered += 1
        return self.rng.choice(NO_PREFERENCE)


def _prose(reply: Reply) -> str:
    """The text without the numbered list and without the titles in it."""
    text = re.sub(r"^\s*(?:\d+[.)]|[-*•])\s.*$", " ", reply.text, flags=re.MULTILINE)
    for title in reply.titles:
        text = text.replace(title, " ")
    return text
