"""The examples of one turn: chosen before planning, learnt after it, forgotten on request. All of one user only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from convrec.agent.demonstrations import Demonstration, DemonstrationBank, good_turn
from convrec.agent.session import Session
from convrec.core.text import fold
from convrec.memory.session_states import Sessions
from convrec.tools.understand import Understanding
from pydantic import ValidationError

if TYPE_CHECKING:
    from convrec.agent.turn_state import Turn

OTHER_SESSIONS = 4
"""Earlier conversations of the same user whose good turns may be shown, the newest."""


@dataclass(slots=True)
class Examples:
    """Good turns live in the session they happened in, under their user, and go when it is deleted."""

    bank: DemonstrationBank
    sessions: Sessions

    def choose(self, session: Session, reading: Understanding, k: int) -> list[Demonstration]:
        """At most ``k`` examples for this message, the most similar last."""
        if k < 1:
            return []
        if reading.wants_more or any(m.polarity == "disliked" for m in reading.mentions):
            # The list before was not what was wanted: what led to it is no example.
            session.examples = [e for e in session.examples if e.get("turn") != session.turn_count - 1]
        return self.bank.nearest(reading.text, self._own(session), k)

    def learn(self, turn: Turn) -> None:
        """Keep a good turn; forget all when the user asked to forget something."""
        session = turn.session
        if turn.plan.action == "forget":
            self._forget(session)
            return
        if turn.draft is None or not self._good(turn):
            return
        before = session.turns[-1][0] if session.turns and turn.reading.continues else ""
        made = good_turn(turn.reading.text, before, turn.draft)
        if made is None:
            return
        own = _read(session)
        kept = self.bank.with_new(own, made)
        if made in kept:
            turns = {fold(e["text"]): e.get("turn", 0) for e in session.examples} | {
                fold(made.text): session.turn_count
            }
            session.examples = [d.model_dump(mode="json") | {"turn": turns.get(fold(d.text), 0)} for d in kept]

    @staticmethod
    def _good(turn: Turn) -> bool:
        """Valid at once, all of it kept, a list without relaxing, nothing replaced on the way."""
        return bool(
            turn.llm_calls == 1
            and not turn.refused
            and turn.items
            and not turn.relaxed
            and not turn.fallbacks
            and turn.draft is not None
            and turn.plan.action == turn.draft.action
        )

    def _own(self, session: Session) -> list[Demonstration]:
        own = _read(session)
        infos = [i for i in self.sessions.list(session.user) if i.session_id != session.session_id]
        for info in infos[:OTHER_SESSIONS]:
            data = self.sessions.load(session.user, info.session_id)
            if data:
                own += _read(Session.from_json(session.user, info.session_id, data))
        return own

    def _forget(self, session: Session) -> None:
        session.examples = []
        for info in self.sessions.list(session.user):
            if info.session_id == session.session_id:
                continue
            data = self.sessions.load(session.user, info.session_id)
            if data and data.get("examples"):
                self.sessions.save(session.user, info.session_id, {**data, "examples": []})


def _read(session: Session) -> list[Demonstration]:
    out: list[Demonstration] = []
    for example in session.examples:
        try:
            out.append(Demonstration.model_validate({k: v for k, v in example.items() if k != "turn"}))
        except ValidationError:  # of an older version: it may not be shown, and is written anew in time
            continue
    return out
