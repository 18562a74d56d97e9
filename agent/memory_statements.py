"""Step 9 of a turn: what the user stated is remembered, in the session and for good."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from convrec.agent.events import Event
from convrec.agent.remember import FEEDBACK, Listener
from convrec.agent.session import add_new, take_back
from convrec.agent.superseding import rivals
from convrec.agent.turn_state import Turn
from convrec.core.errors import MemoryStoreError
from convrec.memory.preferences import PreferenceMemory
from convrec.tools.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class StatementKeeper:
    """Holds the agent's parts, no state of a turn or a user."""

    catalogue: Catalogue
    preferences: PreferenceMemory
    listener: Listener

    def keep(self, turn: Turn) -> Iterator[Event]:
        """Remember what was stated outright; a store that fails costs the turn nothing else."""
        session, reading = turn.session, turn.reading
        ids = {polarity: [self.catalogue.item(r).id for r in reading.rows(polarity)] for polarity in FEEDBACK.values()}  # type: ignore[arg-type]
        for polarity, item_ids in ids.items():
            for item_id in item_ids:
                take_back(session, item_id, polarity)
        add_new(session.liked, ids["liked"])
        add_new(session.disliked, ids["disliked"])
        add_new(session.seen, ids["seen"])
        add_new(session.named, [self.catalogue.item(m.row).id for m in reading.mentions if m.how != "reference"])
        if reading.mentions and not turn.items and turn.plan.action == "feedback":
            session.last = self.catalogue.item(reading.mentions[-1].row).id
        try:
            at = self.preferences.clock()
            for new in self.listener.statements(reading, session.session_id, session.turn_count, at):
                kept = self.preferences.add(session.user, new, supersedes=rivals(new, turn.remembered))
                turn.learned.append(kept.text)
        except MemoryStoreError as error:
            turn.kept = False
            yield turn.fall_back("memory", error, "did not remember it")
        self.without_standing(turn)

    @staticmethod
    def without_standing(turn: Turn) -> None:
        """Take standing instructions out of the running request: remembered for good, they end when they are forgotten
        there."""
        if turn.kept:
            turn.session.conditions = [c for c in turn.session.conditions if not c.standing]
