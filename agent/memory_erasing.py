"""Erased means gone: what conversations and the terminal's history hold of a record leaves with it.

Called by :class:`~convrec.memory.preferences.PreferenceMemory` before a record leaves the store, from whatever surface;
if anything fails here, the record stays and erasing it again does the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convrec.core.files import replacing
from convrec.core.text import fold
from convrec.memory.records import Preference
from convrec.memory.session_states import Sessions
from convrec.tools.lexicon import FUNCTION_WORDS

ERASED = "(erased)"
SHORTEST = 4
"""Characters from which words are looked for in other turns too; shorter ones are erased where they were said."""
_QUOTED = re.compile("“([^”]*)”")
_ITEM_LISTS = ("liked", "disliked", "seen", "rejected", "references", "given", "named")
_TURN: ContextVar[str | None] = ContextVar("convrec_turn", default=None)
"""The session whose turn is erasing: it holds its lock already and saves its state itself."""


@contextmanager
def in_turn(session_id: str) -> Iterator[None]:
    """Erasing happens inside a turn of this session: its state is in the turn's hands."""
    token = _TURN.set(session_id)
    try:
        yield
    finally:
        _TURN.reset(token)


@dataclass(slots=True)
class ConversationEraser:
    """Takes erased records out of the stored conversations of their user."""

    sessions: Sessions
    alone: Callable[[str, str], AbstractContextManager[None]]
    """Waits for a turn of (user, session) to end and keeps others out."""

    def __call__(self, user: str, gone: Sequence[Preference] | None) -> None:
        own = _TURN.get()
        for info in self.sessions.list(user):
            if info.session_id == own:
                continue
            with self.alone(user, info.session_id):
                if gone is None:
                    self.sessions.delete(user, info.session_id)
                    continue
                state = self.sessions.load(user, info.session_id)
                if state is not None and (left := scrubbed(state, info.session_id, gone)) != state:
                    self.sessions.save(user, info.session_id, left)


@dataclass(frozen=True, slots=True)
class HistoryEraser:
    """Takes erased words out of the terminal's line history; all of it when everything is erased."""

    file: Path

    def __call__(self, user: str, gone: Sequence[Preference] | None) -> None:
        if not self.file.is_file():
            return
        lines = self.file.read_text(encoding="utf-8", errors="replace").split("\n")
        told = [] if gone is None else _told(gone)
        kept = [] if gone is None else [text for text in lines if not _holds(text, told)]
        if kept != lines:
            with replacing(self.file) as new:
                new.write_text("\n".join(kept), encoding="utf-8")


def scrubbed(state: dict[str, Any], session_id: str, gone: Sequence[Preference]) -> dict[str, Any]:
    """A session's state without what these records were read from.

    The turns they come from are blanked, both sides, and every other text that holds the words said; the conditions and
    items they put into the running request leave it.
    """
    told = _told(gone)
    own_words = {word for text in told for word in fold(text).split()} - FUNCTION_WORDS
    places = {origin.turn for p in gone for origin in p.origins if origin.session == session_id}
    out: dict[str, Any] = {key: _blanked(value, told) for key, value in state.items() if key != "conditions"}
    turns = state.get("turns", [])
    first = int(state.get("turn_count", len(turns))) - len(turns) + 1
    touched = False
    kept = []
    for number, (said, reply) in enumerate(turns, first):
        erase = number in places or _holds(said, told)
        touched |= erase
        echoes = _holds(reply, told) or (touched and not own_words.isdisjoint(_searched(reply)))
        kept.append([ERASED, ERASED] if erase else [said, ERASED if echoes else reply])
    if "turns" in state:
        out["turns"] = kept
    rules = [p.payload["condition"] for p in gone if isinstance(p.payload.get("condition"), dict)]
    wanted = [rule.get("expr") for rule in rules]
    if "conditions" in state:
        out["conditions"] = [
            c
            for c in state["conditions"]
            if c.get("expr") not in wanted and not (touched and _holds(c.get("said", ""), told))
        ]
    if state.get("pending"):
        out["pending"] = {}  # a plan that waits may rest on what is erased: it is made anew when it is asked for
    items = {p.subject.removeprefix("item:") for p in gone if p.kind == "item"}
    for name in _ITEM_LISTS:
        if name in state:
            out[name] = [item for item in state[name] if item not in items]
    if touched:
        query = {word for text in told for word in text.split()}
        if set(str(state.get("query", "")).casefold().split()) & query:
            out["query"] = ""
        if "situation" in state:
            out["situation"] = []
    return out


def _searched(reply: str) -> set[str]:
    """Words that a reply says were searched for: they may come from an earlier turn, in another order."""
    return {word for quoted in _QUOTED.findall(reply) for word in fold(quoted).split()}


def _told(gone: Sequence[Preference]) -> list[str]:
    """The words of these records, folded: what was said and how it was put."""
    texts = {text for p in gone for text in (p.text.removeprefix("always: "), *(o.said for o in p.origins))}
    return sorted({_plain(text) for text in texts if len(_plain(text)) >= SHORTEST})


def _blanked(value: Any, told: Sequence[str]) -> Any:
    if isinstance(value, str):
        return ERASED if _holds(value, told) else value
    if isinstance(value, list):
        return [_blanked(part, told) for part in value]
    if isinstance(value, dict):
        return {key: _blanked(part, told) for key, part in value.items()}
    return value


def _holds(text: str, told: Sequence[str]) -> bool:
    plain = _plain(text)
    return any(part in plain for part in told)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
