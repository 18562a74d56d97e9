"""The critic at work in a turn: draft and remark are held against the records before they are shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from convrec.agent.critic import UNSUPPORTED_BELOW, Critic, Fault, SlateDraft, repaired, supported
from convrec.agent.events import Event, RecommendedItem, ToolRan
from convrec.agent.llm.base import LLM
from convrec.agent.reply import slate_lines
from convrec.agent.turn_state import Turn, timed
from convrec.core.items import Item
from convrec.core.settings import TurnSettings
from convrec.tools.candidates import Candidates
from convrec.tools.catalogue import Catalogue

Describe = Callable[[list[Item], list[Item]], list[RecommendedItem]]
"""Items and references -> the items with their reasons, in order."""


@dataclass(frozen=True, slots=True)
class Reflection:
    """Holds the agent's parts, no state of a turn or a user."""

    catalogue: Catalogue
    critic: Critic
    settings: TurnSettings
    llm: LLM | None

    def draft(self, turn: Turn, bus: Candidates, references: list[Item], describe: Describe) -> Iterator[Event]:
        """The critic on the draft, before any of it is shown; one repair, and what is still wrong then is left out."""
        if bus.ranked is not None:
            turn.candidates = bus.ranked.rows
        if self.settings.reflection == "off":
            return
        with timed(turn, "critic"):
            started, before = time.perf_counter(), len(turn.items)
            faults = self._faults(turn, bus)
            if faults:
                why = "; ".join(fault.what for fault in faults)
                spare = self._spare(turn, bus, references, describe)
                turn.items = repaired(turn.items, faults, lambda item_id: self._anew(item_id, turn, describe), spare)
                left = {fault.item for fault in self._faults(turn, bus)}
                turn.items = [item for item in turn.items if item.id not in left]
                yield turn.fall_back("critic", why, "made the list anew from the records")
            summary = f"{len(faults)} faults in the draft, repaired" if faults else "the draft holds"
            ran = ToolRan("critic", summary, before, len(turn.items), time.perf_counter() - started)
            turn.tools.append(ran)
            yield ran

    def doubts(self, turn: Turn, sentence: str, facts: str) -> str:
        """What the critic has against a sentence of the remark: by rule, then, if set so, by the model; "" nothing."""
        if self.settings.reflection == "off":
            return ""
        faults = self.critic.sentence(sentence, turn.items, turn.request, turn.reading.text)
        if faults or self.llm is None or self.settings.reflection != "llm":
            return "; ".join(fault.what for fault in faults)
        turn.llm_calls += 1
        margin = supported(self.llm, self.critic, sentence, facts, turn.budget)
        return "the model doubts that the facts say it" if margin is not None and margin < UNSUPPORTED_BELOW else ""

    def _faults(self, turn: Turn, bus: Candidates) -> list[Fault]:
        draft = SlateDraft(turn.items, slate_lines(turn.items))
        return self.critic.draft(
            draft, turn.request, relaxed=bus.relaxed, candidates=turn.candidates, message=turn.reading.text
        )

    def _anew(self, item_id: str, turn: Turn, describe: Describe) -> RecommendedItem | None:
        """The item as its record has it, with no words but those of the record."""
        row = self.catalogue.row_of(item_id)
        if row is None:
            return None
        score = next(item.score for item in turn.items if item.id == item_id)
        return replace(describe(self.catalogue.items([row]), [])[0], score=score)

    def _spare(
        self, turn: Turn, bus: Candidates, references: list[Item], describe: Describe
    ) -> Iterator[RecommendedItem]:
        """What comes next in the ranking, made when it is asked for."""
        if bus.ranked is None:
            return
        own = {item.id for item in turn.items}
        for row, score in zip(bus.ranked.rows.tolist(), bus.ranked.scores.tolist(), strict=True):
            item = self.catalogue.item(row)
            if item.id not in own:
                yield replace(describe([item], references)[0], score=round(score, 4))
