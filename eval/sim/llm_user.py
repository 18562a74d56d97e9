"""A target-free simulated user whose words come from a language model, under guard.

The model is given what the user knows and the conversation; no target is in either. What it writes is checked: no
other role's words, no list, no echo of the agent or of itself, no title that the user does not know. A message that
fails is asked for once more, then the scripted user speaks instead; the report counts both.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from string import Template

from convrec.agent.llm.base import LLM, Message
from convrec.agent.prompting import tagged
from convrec.core.errors import LLMError
from convrec.core.items import Item
from convrec.core.text import clean, fold
from convrec.eval.sim.personas import Persona
from convrec.eval.sim.tastes import Known
from convrec.eval.sim.users import Heard, Said, ScriptedUser
from convrec.eval.sim.wording import Voice, misspelt, together
from convrec.tools.schema import Schema

MAX_SAID = 300
"""Characters of one message."""
SAID_TOKENS = 120
CHAT_CHARS = 1600
"""Of the conversation, newest first."""
ECHO_WORDS = 8
"""Words in a row from the agent's last reply that make a message an echo."""
TRIES = 2
SCHEMA = {
    "type": "object",
    "properties": {"say": {"type": "string", "maxLength": MAX_SAID}},
    "required": ["say"],
    "additionalProperties": False,
}
_ROLE = re.compile(
    r"\b(?:assistant|recommender|system|user|person)\s*:|</?\w+>|\bas an ai\b|\blanguage model\b", re.IGNORECASE
)
_LIST = re.compile(r"^\s*(?:\d+[.)]|[-*•])\s", re.MULTILINE)
_MANNERS = {"plain": "friendly", "curt": "very brief, as few words as possible", "chatty": "talkative and informal"}


@dataclass(slots=True)
class LLMUser:
    """Speaks by model; reactions (what is turned down) and the way out of a failure are the scripted user's."""

    known: Known
    persona: Persona
    schema: Schema
    scripted: ScriptedUser
    llm: LLM
    _chat: list[str] = field(init=False, default_factory=list)
    _before: set[str] = field(init=False, default_factory=set)
    """What the model said before, folded."""

    def opening(self) -> Said:
        return self._said(self.scripted.opening(), "", ())

    def answer(self, heard: Heard) -> Said:
        self._chat.append(f"recommender: {clean(heard.text, 600)}")
        return self._said(self.scripted.answer(heard), heard.text, tuple(item for item, _ in heard.shown))

    def _said(self, fallback: Said, reply: str, shown: tuple[Item, ...]) -> Said:
        text, why = self._written(reply, shown)
        said = Said(misspelt(text, self.persona.typos, self.scripted.rng)) if text else fallback
        # The model is free in its words: only what it plainly turns down is held against the agent.
        if text:
            said.rejected = shown if _REJECTS.search(text.lower()) else ()
        said.note = why
        self._chat.append(f"person: {said.text}")
        return said

    def _written(self, reply: str, shown: tuple[Item, ...]) -> tuple[str, str]:
        """(the model's message, "") or ("", why it could not be used)."""
        why = ""
        for _ in range(TRIES):
            try:
                done = self.llm.complete(self._prompt(), schema=SCHEMA, max_tokens=SAID_TOKENS, temperature=0.0)
                text = clean(str(json.loads(done.text)["say"]), MAX_SAID)
            except (LLMError, KeyError, TypeError) as error:
                why = f"the model's message could not be used: {clean(str(error), 120)}"
                continue
            why = problem(text, reply, [*self.known.liked, *self.known.disliked, *self.known.seen, *shown])
            if fold(text) in self._before:
                why = "it says the same again"
            if not why:
                self._before.add(fold(text))
                return text, ""
        return "", why

    def _prompt(self) -> list[Message]:
        noun, nouns = self.schema.item_noun, self.schema.item_noun_plural
        system = _template().substitute(noun=noun, nouns=nouns, manner=_MANNERS[self.persona.manner])
        chat = "\n".join(self._chat)[-CHAT_CHARS:] or "(you begin)"
        return [("system", system), ("user", f"{tagged('me', self._me(), 900)}\n{tagged('chat', chat, CHAT_CHARS)}")]

    def _me(self) -> str:
        voice = Voice(self.schema, "plain", self.scripted.rng)
        wishes = [voice.thing(pair) for pair in together(self.known.wishes)]
        lines = [f"I want: {'; '.join(wishes)}."] if wishes else []
        for label, items in (
            ("I loved", self.known.liked),
            ("I did not like", self.known.disliked),
            ("I have seen", self.known.seen),
        ):
            if items:
                lines.append(f"{label}: {', '.join(item.label for item in items[:6])}.")
        lines += [f"In my words: {phrase}" for phrase in self.known.phrases]
        return " ".join(lines)


_REJECTS = re.compile(
    r"\b(?:none of|not (?:these|those|interested)|no thanks|seen (?:all|them|those|these))\b|^\s*no\b"
)


def problem(text: str, reply: str, nameable: list[Item]) -> str:
    """Why a model's message is not fit to be said, "" when it is. ``nameable``: items it may name in quotes or with a
    year."""
    if not text:
        return "the message is empty"
    if _ROLE.search(text):
        return "it speaks as another role"
    if _LIST.search(text):
        return "it is a list"
    words, heard = fold(text).split(), f" {fold(reply)} "
    runs = (" ".join(words[i : i + ECHO_WORDS]) for i in range(len(words) - ECHO_WORDS + 1))
    if reply and any(f" {run} " in heard for run in runs):
        return "it echoes the agent"
    titles = {fold(item.title) for item in nameable} | {fold(item.label) for item in nameable}
    for match in re.finditer(r"[“\"]([^”\"]+)[”\"]|((?:[A-Z][\w'’]*\s?)+)\((?:18|19|20)\d\d\)", text):
        name = fold(match[1] or match[2] or "")
        if name and not any(name.endswith(title) or title.endswith(name) for title in titles):
            return f"it names {clean(match[0], 60)}, which the user does not know"
    return ""


@cache
def _template() -> Template:
    return Template(resources.files("convrec.eval.sim").joinpath("prompts", "user.txt").read_text(encoding="utf-8"))
