"""A plan is shown before any tool runs, and waits: yes carries it out, a change makes it anew, “never mind” drops it.

The mode is ``turn.approve``, or what the caller of a turn asks for. After the autonomy levels of LLM-based agentic
recommendation (Huang et al., 2025, arXiv:2503.16734): the user keeps the last word on what is done.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from convrec.agent import answers
from convrec.agent.answering import LOOKED_UP
from convrec.agent.api import Approval
from convrec.agent.approval_state import Pending
from convrec.agent.asking import NO, POLITE, YES_WORDS
from convrec.agent.budget import Budget
from convrec.agent.events import Event, Planned, Proposal
from convrec.agent.plan import Plan, ToolCall
from convrec.agent.reasons import join
from convrec.agent.request import Request
from convrec.agent.session import Session
from convrec.agent.turn_state import Turn, spoken
from convrec.core.errors import RequestError
from convrec.core.settings import TurnSettings
from convrec.tools.asides import tells
from convrec.tools.catalogue import Catalogue
from convrec.tools.understand import Understanding

SHORT_CHANGE = 8
"""Words of a message that names no field of the catalogue and still may change a plan: "in space"."""
LONGEST = 60
"""Characters of a message that is a yes or a no and nothing else."""
NAMED = 4
"""Items named in one line of a plan; more are counted."""
_GO_WORDS = (
    r"go(?: on)?|continue|proceed|carry on|go for it|make it so|run (?:it|that)|start|approved?|agreed|"
    r"i approve(?: (?:it|that|this))?|perfect|exactly|right|correct|"
    r"(?:(?:that|this|it)(?:'s| is)? )?(?:(?:looks|sounds) )?(?:right|fine|good|perfect)"
)
_YES = re.compile(rf"(?P<yes>\b(?:{YES_WORDS}|{_GO_WORDS})\b)|{POLITE.removesuffix('*')}")
"""One word or phrase of a message that is a yes and nothing else: "ok, sure, sounds good to me"."""
_DROP = re.compile(
    rf"{POLITE}(?:no,? )?(?:never ?mind(?: (?:that|it|about it))?|forget (?:it|that|about it)|cancel(?: (?:it|that))?|"
    rf"(?:drop|scrap|scratch|ditch|stop|skip) (?:it|that|this|the plan)|stop|abort|don'?t|do not){POLITE}"
)
Verdict: TypeAlias = Literal["yes", "no"]
_HEADINGS = ("Looking for", "Leaving out", "From memory", "Remembered, but not used", "Steps")
DROPPED = "I dropped the plan; nothing was searched. Say what you are after instead."
OUTDATED = "The catalogue has changed since that plan was made, so I dropped it unrun. Say it once more, please."
OPEN = "A plan still waits for your “yes”."


@dataclass(frozen=True, slots=True)
class Approver:
    """Shows plans, reads what is said about them. Holds the agent's parts, no state of a turn or a user."""

    catalogue: Catalogue
    settings: TurnSettings

    def asks(self, approval: Approval | None) -> bool:
        """Whether a plan is to be shown first in this turn."""
        return self.settings.approve if approval is None else approval == "ask"

    def verdict(self, session: Session, text: str, approval: Approval | None) -> Verdict | None:
        """What a message says of the plan that waits in ``session``; None for anything but a plain yes or no.

        Raises:
            RequestError: it was said outright and nothing waits.
        """
        if approval in ("yes", "no"):
            if not session.pending:
                raise RequestError(
                    "approve",
                    approval == "yes",
                    "No plan waits in this conversation: it was carried out, dropped or replaced. Say what you want",
                )
            return approval
        if not session.pending:
            return None
        low = " ".join(text.lower().replace("’", "'").split()).rstrip("?! .")
        if len(low) > LONGEST:
            return None
        if _DROP.fullmatch(low) or NO.fullmatch(low):
            return "no"
        return "yes" if _agrees(low) else None

    def settled(self, session: Session, text: str, verdict: Verdict) -> Turn:
        """The turn that a yes or a no leads to; nothing waits any longer. Without a plan to carry out it is a chat."""
        pending = Pending.of(session, self.catalogue) if verdict == "yes" else None
        session.pending = {}
        budget = Budget(self.settings.llm_budget_s)
        if pending is None:
            return Turn(Understanding(text, "other"), session, Request(), [], Plan(action="chat"), budget)
        turn = Turn(pending.reading, session, pending.request, [], pending.plan, budget, planner=pending.planner)
        turn.kept, turn.heard = pending.kept, pending.heard
        return turn

    def as_change(self, reading: Understanding, session: Session) -> Understanding:
        """A message after a plan as a change of it, where it would else be talk: "in space", "I loved Heat"."""
        if session.pending.get("plan", {}).get("action") != "recommend":
            return reading
        low = reading.text.lower()
        loose = reading.query and len(low.split()) <= SHORT_CHANGE and "?" not in low and not tells(low)
        says = reading.conditions or reading.dropped or reading.lifted or loose
        if reading.act == "feedback" or (reading.act == "other" and says):
            return replace(reading, act="recommend", continues=True)
        return reading

    # -- showing it ---------------------------------------------------------------------------------------------------

    def propose(self, turn: Turn) -> Iterator[Event]:
        """Say the plan and let it wait; it takes the place of one that waited before."""
        session = turn.session
        before = Pending.of(session, self.catalogue)
        changed = before is not None and before.plan.action == turn.plan.action == "recommend"
        changed = changed and turn.reading.continues
        if before is not None and changed:
            turn.heard, turn.kept = (*before.heard, *turn.heard), turn.kept and before.kept
        shown = turn.proposal = self.proposal(turn)
        made = Pending(turn.reading, turn.request, turn.plan, turn.planner, shown, turn.kept, turn.heard)
        session.pending, turn.heard = made.to_json(self.catalogue), ()
        yield spoken(turn, self._words(turn, shown, changed=changed, replaced=before is not None))

    def still_open(self, turn: Turn) -> Iterator[Event]:
        """Say that a plan goes on waiting, if one does."""
        if (pending := Pending.of(turn.session, self.catalogue)) is not None:
            turn.proposal = pending.proposal
            yield spoken(turn, OPEN)

    def carried_out(self, turn: Turn) -> Planned:
        """The event of a plan that was approved."""
        return Planned(turn.plan.model_dump(mode="json"), turn.planner, "approved")

    def proposal(self, turn: Turn) -> Proposal:
        """The plan in plain words, as data."""
        request, session = turn.request, turn.session
        steps = tuple(self._step(call, turn) for call in turn.plan.calls)
        if turn.plan.action == "lookup":
            return Proposal((f"what is on record about {self._labels(turn.reading.rows(*LOOKED_UP))}",), steps=steps)
        if turn.plan.action == "why":
            asked = self._labels([m.row for m in turn.reading.mentions[:1]])
            again = f"run the last request once more with {asked} let in, to see where it stands"
            return Proposal((f"why {asked} is not on the list",), steps=(again,))
        nouns = self.catalogue.schema.item_noun_plural
        said = [c for c in request.conditions if c.source != "memory"]
        wanted = [c.label if c.hard else f"rather {c.label}" for c in said if not c.negative]
        if request.references:
            wanted.append(f"like {self._labels(request.references)}")
        if request.query:
            wanted.append(f"close to “{request.query}”")
        left_out = [c.label for c in said if c.negative]
        if request.excluded:
            count = len(request.excluded)
            named = self._labels(sorted(request.excluded)) if count <= NAMED else f"{count:,} {nouns}"
            left_out.append(f"{named}: named, seen, turned down, remembered or shown before")
        reasoned = zip(request.applied, request.reasons, strict=True)
        applied = [f"{text} ({why})" if why else text for text, why in reasoned]
        if request.profile:
            applied.append(f"you like {self._labels(request.profile)}")
        if request.disliked:
            applied.append(f"you dislike {self._labels(request.disliked)}")
        count = turn.reading.count or session.wanted or self.settings.slate_size
        wanted.insert(0, f"{count} {self.catalogue.schema.item_noun if count == 1 else nouns}")
        return Proposal(tuple(wanted), tuple(left_out), tuple(applied), tuple(request.left_out), steps)

    def _step(self, call: ToolCall, turn: Turn) -> str:
        request = turn.request
        match call.tool:
            case "lookup":
                about = f": {join(list(turn.reading.asked_fields))}" if turn.reading.asked_fields else ""
                return f"look up {self._labels(turn.reading.rows(*LOOKED_UP))}{about}"
            case "filter":
                return "keep only what fits all of it (if nothing does, let go of a wish and say so, never of a denial)"
            case "similar":
                return f"find what is similar to {self._labels(request.references)}"
            case "search":
                return f"search the descriptions for “{call.query}”"
            case "rank":
                return "rank by similarity, preferences and reviews"
            case "rerank":
                return f"have the language model judge the first {self.settings.rerank_top}"

    def _labels(self, rows: Sequence[int]) -> str:
        more = f" and {len(rows) - NAMED:,} more" if len(rows) > NAMED else ""
        return (", ".join if more else join)([item.label for item in self.catalogue.items(list(rows[:NAMED]))]) + more

    def _words(self, turn: Turn, made: Proposal, *, changed: bool, replaced: bool) -> str:
        opening = [answers.not_found(turn.reading.unknown, self.catalogue)] if turn.reading.unknown else []
        opening.append(answers.namesakes(turn.reading.mentions, self.catalogue))
        opening.append("This is the changed plan." if changed else "This is my plan.")
        if replaced and not changed:
            opening.append("The one before it is dropped.")
        opening.append("Nothing has been searched yet.")
        steps = tuple(f"{number}. {step}" for number, step in enumerate(made.steps, start=1))
        parts = (made.looking_for, made.leaving_out, made.applied, made.not_applied, steps)
        lines = [f"{head}: {'; '.join(part)}" for head, part in zip(_HEADINGS, parts, strict=True) if part]
        ask = "Say “yes”, what to change, or “never mind”. Shall I go on?"
        return "\n".join([" ".join(part for part in opening if part), *lines, ask])


def _agrees(low: str) -> bool:
    """Whether a message is made of words of assent and politeness alone. Read from left to right, never back."""
    at, agreed = 0, False
    while at < len(low):
        found = _YES.match(low, at)
        if found is None or not found[0]:
            return False
        at, agreed = found.end(), agreed or found["yes"] is not None
    return agreed
