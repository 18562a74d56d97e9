"""Step 3 of a turn: what the rules are sure of they plan alone; the rest is one call of the model, merged, checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from convrec.agent.critic import Critic
from convrec.agent.events import Event, Planned
from convrec.agent.llm.base import LLM
from convrec.agent.planner import LLMPlanner, plan_by_rules, read_whole, to_judge
from convrec.agent.planner_examples import Examples
from convrec.agent.planner_merge import Merger
from convrec.agent.request import interpret
from convrec.agent.session import Session
from convrec.agent.turn_state import Turn, timed
from convrec.core.errors import LLMError, LLMTimeout
from convrec.core.settings import TurnSettings
from convrec.memory.reading import Recollection
from convrec.tools.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class Drafting:
    """Holds the agent's parts, no state of a turn or a user."""

    catalogue: Catalogue
    settings: TurnSettings
    llm: LLM | None
    planner: LLMPlanner
    merger: Merger
    examples: Examples
    critic: Critic
    load: Callable[[], None]
    """Loads the model, once."""

    @property
    def reranks(self) -> bool:
        return self.llm is not None and self.settings.rerank_top > 1

    def plan(self, turn: Turn, running: Session, recalled: Recollection) -> Iterator[Event]:
        """The plan of a turn whose reading and request stand. The model never blocks the turn.

        ``running``: the session as the request was read against it.
        """
        note = ""
        act = turn.reading.act
        if self.llm is not None and act in ("recommend", "other"):
            with timed(turn, "load"):
                self.load()  # the first turn waits for the model to be there; that is no part of its budget
        whole = self.settings.drafts == "unsure" and read_whole(turn.reading)
        if self.llm is not None and (act == "other" or (act == "recommend" and not whole)):
            with turn.budget, timed(turn, "plan"):
                try:
                    yield from self._drafted(self.llm, turn, running, recalled)
                except LLMError as error:
                    turn.budget.given_up = isinstance(error, LLMTimeout)
                    rest = "; rerank and remark are left out in this turn" if turn.budget.given_up else ""
                    yield turn.fall_back("planner", error, f"the rule planner took over{rest}")
        elif self.llm is not None:
            note = "read by rule; no LLM call needed"
            judges = self.reranks and to_judge(turn.request)
            turn.plan = plan_by_rules(turn.reading, turn.request, self.catalogue, rerank=judges)
        yield Planned(turn.plan.model_dump(mode="json"), turn.planner, note)

    def _drafted(self, llm: LLM, turn: Turn, running: Session, recalled: Recollection) -> Iterator[Event]:
        turn.llm_calls += 1
        session = turn.session
        follows = session.turns and (session.slate or session.last or session.pending)
        before = session.turns[-1][0] if follows else ""
        shown = self.examples.choose(session, turn.reading, self.settings.demonstrations)
        draft, calls = self.planner.draft(llm, turn.reading.text, turn.budget, before=before, examples=shown)
        turn.calls += calls
        turn.llm_calls += len(calls) - 1
        merged = self.merger.merge(turn.reading, draft)
        turn.draft, turn.by_rules, turn.refused = draft, turn.reading, merged.refused
        turn.reading = merged.reading
        if merged.reading != turn.by_rules:
            turn.request = interpret(merged.reading, running, self.catalogue, recalled)
        judges = self.reranks and (to_judge(turn.request) or "rerank" in draft.tools)
        turn.plan = plan_by_rules(turn.reading, turn.request, self.catalogue, rerank=judges)
        turn.planner = "llm+rules"
        yield from self._reflect(turn, running, recalled)

    def _reflect(self, turn: Turn, running: Session, recalled: Recollection) -> Iterator[Event]:
        """The critic on a merged plan. The one repair: the plan by rule alone."""
        if self.settings.reflection == "off" or turn.by_rules is None:
            return
        faults = self.critic.plan(turn.by_rules, turn.request, turn.plan)
        if not faults:
            return
        turn.reading = turn.by_rules
        turn.request = interpret(turn.by_rules, running, self.catalogue, recalled)
        turn.plan = plan_by_rules(turn.reading, turn.request, self.catalogue, rerank=self.reranks)
        turn.planner = "rules"
        yield turn.fall_back("critic", "; ".join(fault.what for fault in faults), "took the plan by rule")
