"""Statements that the rules left unread, proposed by a language model and held against the user's own words.

Off the turn's path, one call under a JSON schema, and only for a message in which a clause of the user's own has a word
of taste and the rules made nothing of it. A proposal is kept when its words stand in such a clause, it says something,
and the rules know nothing on that subject; it is less sure than what a rule reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from convrec.agent.llm.base import LLM, Message
from convrec.agent.memory_words import tells
from convrec.agent.prompting import render, tagged
from convrec.agent.remember import SILENT_ACTS, Listener
from convrec.core.errors import LLMBadOutput
from convrec.core.text import clean, fold
from convrec.memory.notes import notes
from convrec.memory.records import NewPreference
from convrec.memory.statements import Clause
from convrec.tools.understand import Understanding
from pydantic import BaseModel, ConfigDict, Field, ValidationError

SOURCE = "llm"
"""In the payload of what was kept: who read it."""
MAX_TOKENS = 80
MOST = 2
"""Statements per message."""
MOST_WORDS = 8
CONFIDENCE = 0.5
"""Of a taste read by a model, in the catalogue's terms; by rule .7."""
CONFIDENCE_WORDS = 0.4
"""Of one in words that no field records; by rule .6."""
_FIRST = re.compile(
    r"\b(?:i|i'm|i've|i'd|we|we're|we've|me|us)\b|\b(?:my|our) (?:\w+ )?(?:weakness|thing|kind|sort|taste)\b"
)
_NOT_NOW = re.compile(
    r"\b(?:was|were|had|did|loved|liked|hated|enjoyed|watched|unless|neither|nor|necessarily|exactly)\b|[\"“”«»]|'\w[^']*'"
)
"""Past, quoted or half denied: what small models take for a taste all the same."""
_TASTE = re.compile(
    r"\b(?:lov|lik|hat|ador|enjoy|prefer|favou?rit|fan\b|fond|keen|obsess|addict|devour|cherish|treasur|appreciat|"
    r"crav|stand\b|bear\b|stomach|tolerat|despis|detest|loath|avoid|skip|shun|run (?:a mile|away)|never|always|only|"
    r"bor(?:ed|es?|ing)|dull|tedious|tiresome|tired of|fed up|sick of|weary|allergic|cringe|catnip|weakness|"
    r"soft spot|heaven|bliss|thing\b|cup of tea|jam\b|sucker|suffer|yawn|sleep|best|worst|awful|dreadful|delight|"
    r"joy\b|treat\b|pleasure|interest|fascinat|drawn to|go for|grab|hook|thrill(?:s|ed)|nothing beats|can'?t do|"
    r"won'?t|no patience|time for|put off|turn(?:s|ed)? (?:me )?off)"
)


class _Statement(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    about: str = Field(min_length=1, max_length=120)
    likes: bool


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    statements: tuple[_Statement, ...] = ()


_SCHEMA = {
    "type": "object",
    "properties": {
        "statements": {
            "type": "array",
            "maxItems": MOST,
            "items": {
                "type": "object",
                "properties": {"about": {"type": "string", "maxLength": 80}, "likes": {"type": "boolean"}},
                "required": ["about", "likes"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["statements"],
    "additionalProperties": False,
}


def unread(reading: Understanding, said: Sequence[Clause], kept: Sequence[NewPreference]) -> list[Clause]:
    """The clauses in which the user speaks of a taste of theirs and from which the rules kept nothing."""
    if reading.act in SILENT_ACTS:
        return []
    words = [fold(p.said) for p in kept]
    titles = [fold(m.said) for m in reading.mentions]
    out = []
    for clause in said:
        low = clause.text.lower().replace("’", "'")
        if clause.refused or clause.whose or clause.today or clause.sign or "?" in low or _NOT_NOW.search(low):
            continue  # with a sign the rules have read it, and found nothing in it to keep
        known = any(word and (word in fold(low) or fold(low) in word) for word in words)
        about_item = any(title in fold(low) for title in titles)
        if not known and not about_item and _FIRST.search(low) and _TASTE.search(low) and not any(notes(clause)):
            out.append(clause)
    return out


@dataclass(frozen=True, slots=True)
class Extractor:
    """Asks a model what the rules left unread."""

    llm: LLM
    listener: Listener

    def statements(
        self,
        reading: Understanding,
        said: Sequence[Clause],
        kept: Sequence[NewPreference],
        session_id: str,
        turn: int,
        *,
        timeout_s: float | None = None,
    ) -> list[NewPreference]:
        """What to remember beside ``kept``; no call is made when no clause is :func:`unread`.

        Raises:
            LLMError: the model failed, or its answer was not of the schema.
        """
        open_ = unread(reading, said, kept)
        if not open_:
            return []
        schema = self.listener.catalogue.schema
        messages: list[Message] = [("system", render("remember", schema)), ("user", tagged("message", reading.text))]
        answer = self.llm.complete(messages, schema=_SCHEMA, max_tokens=MAX_TOKENS, timeout_s=timeout_s)
        try:
            proposed = _Answer.model_validate(json.loads(answer.text)).statements
        except (ValueError, ValidationError) as error:
            raise LLMBadOutput(f"no statements: {clean(answer.text, 200)}") from error
        subjects = {p.subject for p in kept}
        out: dict[str, NewPreference] = {}
        for statement in proposed[:MOST]:
            clause = _grounded(statement.about, open_)
            if clause is None:
                continue
            for new in self.listener.proposed(statement.about, statement.likes, clause, session_id, turn):
                if new.subject not in subjects:
                    out.setdefault(new.subject, new)
        return list(out.values())


def _grounded(about: str, open_: Sequence[Clause]) -> Clause | None:
    """The clause that holds these words in a row; None when none does or they say nothing."""
    words = fold(about).split()
    if not words or len(words) > MOST_WORDS or not tells(about):
        return None
    return next((c for c in open_ if f" {' '.join(words)} " in f" {fold(c.text)} "), None)
