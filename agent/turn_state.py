"""What one turn collects on its way, and the clock of its stages."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

from convrec.agent.api import AgentInfo
from convrec.agent.budget import Budget
from convrec.agent.events import Fallback, Proposal, Question, RecommendedItem, Token, ToolRan, TurnResult, Understood
from convrec.agent.llm.base import Completion, Meter
from convrec.agent.plan import Draft, Plan
from convrec.agent.request import Request
from convrec.agent.session import Session
from convrec.core.items import EMPTY_ROWS, RowArray
from convrec.core.text import clean
from convrec.memory.reading import Recollection
from convrec.memory.records import Preference
from convrec.tools.catalogue import Catalogue
from convrec.tools.understand import Understanding

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Turn:
    """What one turn collects on its way; lives no longer than the turn."""

    reading: Understanding
    session: Session
    request: Request
    remembered: list[Preference]
    plan: Plan
    budget: Budget
    planner: str = "rules"
    by_rules: Understanding | None = None
    """The reading before a model's draft was merged in; None when none was."""
    draft: Draft | None = None
    """What the model made of the message; None when it was not asked or failed."""
    refused: tuple[str, ...] = ()
    """What of the draft did not stand up to the message."""
    text: str = ""
    items: list[RecommendedItem] = field(default_factory=list)
    candidates: RowArray = field(default_factory=lambda: EMPTY_ROWS)
    """Rows the tools put forward, best first; what is not among them is never shown."""
    question: Question | None = None
    proposal: Proposal | None = None
    relaxed: list[str] = field(default_factory=list)
    fallbacks: list[Fallback] = field(default_factory=list)
    tools: list[ToolRan] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    calls: list[Completion] = field(default_factory=list)
    llm_calls: int = 0
    judging: Meter = field(default_factory=Meter)
    """Cost of judging candidates: many short calls, counted apart from the others."""
    remark_kept: int = 0
    remark_dropped: int = 0
    """Sentences of the model's remark that were held against the records and passed, or did not."""
    erased: bool = False
    """Something was erased in this turn: its own words, which name it, are not kept either."""
    learned: list[str] = field(default_factory=list)
    kept: bool = True
    """Whether memory took what was stated."""
    recalled: Recollection | None = None
    """What memory had to say on it; None when it could not be read or was not asked."""
    heard: tuple[tuple[Understanding, int], ...] = ()
    """Messages that a model may read for tastes once the turn is over, and the numbers of their turns."""
    started: float = field(default_factory=time.perf_counter)

    def fall_back(self, stage: str, why: object, instead: str) -> Fallback:
        event = Fallback(stage, clean(str(why), 300), instead)
        logger.warning("%s failed, %s: %s", stage, instead, event.reason)
        self.fallbacks.append(event)
        return event


@dataclass(slots=True)
class timed:
    """Adds the time spent inside to a stage of the turn."""

    turn: Turn
    stage: str
    _start: float = 0.0

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        spent = time.perf_counter() - self._start
        self.turn.timings[self.stage] = self.turn.timings.get(self.stage, 0.0) + spent


def understood_of(reading: Understanding, catalogue: Catalogue) -> Understood:
    """What was read, in words."""
    links = [catalogue.item(m.row).label for m in reading.mentions] + [p.name for p in reading.people]
    notes = [f"not in the catalogue: {u.said}" for u in reading.unknown]
    return Understood(tuple(dict.fromkeys(links)), tuple(c.label for c in reading.conditions), tuple(notes))


def result_of(turn: Turn, info: AgentInfo) -> TurnResult:
    """What the surfaces are given of a finished turn."""
    return TurnResult(
        session_id=turn.session.session_id,
        turn=turn.session.turn_count,
        text=turn.text,
        items=tuple(turn.items),
        plan=turn.plan.model_dump(mode="json"),
        planner=turn.planner,
        tier=info.tier,
        model=info.model,
        conditions=tuple(c.label for c in turn.request.hard),
        relaxed=tuple(turn.relaxed),
        question=turn.question,
        proposal=turn.proposal,
        applied_preferences=tuple(turn.request.applied),
        remembered=tuple(turn.learned),
        fallbacks=tuple(turn.fallbacks),
        tools=tuple(turn.tools),
        timings={k: round(v, 4) for k, v in turn.timings.items()},
        llm={
            "calls": turn.llm_calls,
            "judging_calls": turn.judging.calls,
            "sentences": turn.remark_kept + turn.remark_dropped,
            "sentences_verified": turn.remark_kept,
            "prompt_tokens": sum(c.prompt_tokens for c in turn.calls) + turn.judging.prompt_tokens,
            "generated_tokens": sum(c.generated_tokens for c in turn.calls) + turn.judging.generated_tokens,
        },
    )


def spoken(turn: Turn, text: str) -> Token:
    """Words added to the reply, after a blank unless they open it or a line."""
    piece = text if not turn.text else f"{'' if turn.text.endswith(chr(10)) else ' '}{text}"
    turn.text += piece
    turn.timings.setdefault("first_token", time.perf_counter() - turn.started)
    return Token(piece)
