"""Runs the labelled requests through an agent and scores what was read, drafted, merged and recommended."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeAlias

from convrec.agent.budget import Budget
from convrec.agent.build import open_agent
from convrec.agent.events import Finished
from convrec.agent.session import Session
from convrec.agent.turn import Agent
from convrec.agent.turn_state import Turn
from convrec.core.errors import DataError, LLMError, RequestError
from convrec.core.settings import Settings, Tier
from convrec.eval.requests.figures import figures, report, spent
from convrec.eval.requests.labels import LabelledRequest, Split, file_hash, requests
from convrec.eval.requests.slots import Unit, compare, intent_of, of_draft, of_reading
from convrec.eval.requests.truth import has_hard, violations
from convrec.eval.run_folder import RunFolder, run_config
from convrec.memory.sessions import SessionStore
from convrec.tools.catalogue import Catalogue
from convrec.tools.demo import DEMO
from convrec.tools.understand import Understanding

log = logging.getLogger("convrec.eval")

Part: TypeAlias = Literal["rules", "llm", "merged"]
BUDGET_S = 1200.0
"""The model's time per turn while it is measured: a slow machine must not change what is read."""
Progress: TypeAlias = Callable[[int, int], None]


def open_measured(settings: Settings, tier: Tier, *, demonstrations: int) -> Agent:
    """An agent on the demo catalogue that remembers nothing afterwards and asks a model for plans only.

    Raises:
        RequestError: another catalogue is set: the labels are of the demo catalogue.
        ConvrecError: what is missing for the tier.
    """
    if settings.catalogue != DEMO:
        raise RequestError(
            "catalogue", settings.catalogue, f"The labels speak of the catalogue {DEMO!r}; set that one."
        )
    turn = settings.turn.model_copy(
        update={"llm_reply": False, "rerank_top": 0, "llm_budget_s": BUDGET_S, "demonstrations": demonstrations}
    )
    llm = settings.llm.model_copy(update={"timeout_s": BUDGET_S})
    memory = settings.memory.model_copy(update={"store": "memory"})
    changed = settings.model_copy(update={"tier": tier, "turn": turn, "memory": memory, "llm": llm})
    return open_agent(changed, sessions=SessionStore(":memory:"))


def config(split: Split, part: Part, agent: Agent, settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """What decides the figures."""
    asked = {
        "split": split,
        "part": part,
        "tier": agent.info.tier,
        "model": agent.info.model,
        "demonstrations": agent.settings.demonstrations,
        **settings,
    }
    return run_config("requests", asked, seed=seed, data={"requests": file_hash(split)})


def run_requests(
    split: Split,
    part: Part,
    agent: Agent,
    run: RunFolder,
    *,
    limit: int | None = None,
    workers: int = 1,
    seed: int = 0,
    progress: Progress = lambda _done, _total: None,
) -> dict[str, Any]:
    """Run what is not yet recorded, score all, write the report, return the figures.

    ``part``: "rules" asks no model; "llm" asks it for a draft of every request and makes no lists; "merged" runs whole
    turns, and also shows how the two parts alone did on the same turns.
    """
    if part != "rules" and agent.llm is None:
        raise RequestError("--part", part, "Tier none has no model; choose --tier embedded or served, or --part rules.")
    chosen = list(requests(split))[:limit]
    measure = _Measure(agent, part)
    todo = [request for request in chosen if request.id not in run.done()]
    if part != "rules":
        agent.warm()
    done = len(chosen) - len(todo)
    progress(done, len(chosen))
    with ThreadPoolExecutor(max(1, workers), thread_name_prefix="convrec-requests") as pool:
        for request, record in zip(todo, pool.map(measure, todo), strict=True):
            run.add(request.id, record)
            done += 1
            progress(done, len(chosen))
    metrics = figures(run.records(), seed=seed)
    times = spent(run.timings())
    run.finish(metrics, report(metrics, split, part, agent), timings=times)
    return {**metrics, "timings": times}


class _Measure:
    """One labelled request through one agent."""

    def __init__(self, agent: Agent, part: Part) -> None:
        self.agent, self.part = agent, part
        self.catalogue: Catalogue = agent.catalogue
        self.turns: dict[str, Turn] = {}
        agent.observer = lambda turn: self.turns.__setitem__(turn.session.session_id, turn)
        # Earlier turns are read by rule, so that every part starts from the same conversation.
        self.before = Agent(
            info=agent.info,
            catalogue=agent.catalogue,
            preferences=agent.preferences,
            sessions=agent.sessions,
            toolbox=agent.toolbox,
            settings=agent.settings,
            llm=None,
        )
        self.before.observer = agent.observer
        self.ids = {item.label: item.id for item in self.catalogue.items(range(self.catalogue.size))}

    def __call__(self, request: LabelledRequest) -> dict[str, Any]:
        user = session_id = f"case-{request.id}"
        for past in request.history:
            for _ in self.before.turn(past.text, user=user, session_id=session_id, approval="off"):
                pass
            if past.shown:
                self._show(user, session_id, past.shown)
        started = time.perf_counter()
        if self.part == "llm":
            return self._draft(request, user, session_id)
        agent = self.before if self.part == "rules" else self.agent
        events = list(agent.turn(request.text, user=user, session_id=session_id, approval="off"))
        seconds = time.perf_counter() - started
        result = next(event.result for event in events if isinstance(event, Finished))
        turn = self.turns.pop(session_id)
        parts: dict[str, Any] = {}
        if self.part == "merged":
            parts["rules"] = self._read(request, turn.by_rules or turn.reading)
            if turn.draft is not None:
                parts["llm"] = self._score(request, turn.draft.action, of_draft(turn.draft, self.catalogue))
            parts["merged"] = self._read(request, turn.reading, turn.plan.action)
        else:
            parts["rules"] = self._read(request, turn.reading, turn.plan.action)
        own = parts[self.part]
        hard = self._hard(request, [item.id for item in result.items])
        metrics = {"intent": own["intent"], "exact": own["exact"], **({} if hard is None else {"hard": hard["true"]})}
        return {
            "group": request.id,
            "kind": request.group,
            "metrics": {name: float(value) for name, value in metrics.items()},
            "parts": parts,
            "hard": hard,
            "llm": dict(result.llm),
            "fallbacks": [f.stage for f in result.fallbacks],
            "timings": {"turn": seconds, **{k: float(v) for k, v in result.timings.items()}},
        }

    def _draft(self, request: LabelledRequest, user: str, session_id: str) -> dict[str, Any]:
        assert self.agent.llm is not None  # run_requests has seen to it
        session = self._session(user, session_id)
        reading = self.agent.understander.read(request.text, session.focus(self.catalogue))
        examples = self.agent.examples.choose(session, reading, self.agent.settings.demonstrations)
        before = session.turns[-1][0] if session.turns else ""
        started = time.perf_counter()
        tokens = {"calls": 1, "prompt_tokens": 0, "generated_tokens": 0}
        failed: list[str] = []
        action, units = "", []
        try:
            draft, calls = self.agent.planner.draft(
                self.agent.llm, request.text, Budget(BUDGET_S), before=before, examples=examples
            )
            action, units = draft.action, of_draft(draft, self.catalogue)
            tokens = {
                "calls": len(calls),
                "prompt_tokens": sum(c.prompt_tokens for c in calls),
                "generated_tokens": sum(c.generated_tokens for c in calls),
            }
        except LLMError as error:
            log.warning("%s: no draft: %s", request.id, error)
            failed.append("planner")
        own = self._score(request, action, units)
        return {
            "group": request.id,
            "kind": request.group,
            "metrics": {"intent": float(own["intent"]), "exact": float(own["exact"])},
            "parts": {"llm": own},
            "hard": None,
            "llm": tokens,
            "fallbacks": failed,
            "timings": {"plan": time.perf_counter() - started},
        }

    def _read(self, request: LabelledRequest, reading: Understanding, action: str = "") -> dict[str, Any]:
        return self._score(request, action or intent_of(reading.act), of_reading(reading, self.catalogue))

    def _score(self, request: LabelledRequest, action: str, units: Sequence[Unit]) -> dict[str, Any]:
        counts = compare(request, units)
        intent = action in request.intent
        exact = intent and not any(count.wrong or count.missed for count in counts.values())
        return {"intent": intent, "exact": exact, "slots": {slot: list(count) for slot, count in counts.items()}}

    def _hard(self, request: LabelledRequest, ids: Sequence[str]) -> dict[str, Any] | None:
        """Whether the list holds all that was labelled as hard; None where nothing could be broken."""
        if "recommend" not in request.intent or len(request.intent) > 1 or not has_hard(request):
            return None
        rows = [row for row in self.catalogue.rows_of(ids) if row is not None]
        relative_to = request.slots.liked or (request.history[-1].shown if request.history else ())
        others = self.catalogue.rows_of([self.ids[label] for label in relative_to])
        faults = violations(
            request, self.catalogue.items(rows), self.catalogue.items([row for row in others if row is not None])
        )
        # What is held out is counted, not shown: nothing may be tuned on it.
        kept = [] if request.split == "heldout" else faults[:5]
        return {"given": bool(rows), "true": bool(rows) and not faults, "faults": len(faults), "shown_faults": kept}

    def _session(self, user: str, session_id: str) -> Session:
        data = self.agent.sessions.load(user, session_id)
        return Session.from_json(user, session_id, data) if data else Session(user, session_id)

    def _show(self, user: str, session_id: str, labels: Sequence[str]) -> None:
        """Put the labelled list in place of the one that the agent made."""
        missing = [label for label in labels if label not in self.ids]
        if missing:
            raise DataError(f"labelled titles are not in the demo catalogue: {', '.join(missing)}. Correct the labels")
        session = self._session(user, session_id)
        session.slate = session.shown = [self.ids[label] for label in labels]
        session.last = session.slate[0] if len(labels) == 1 else None
        self.agent.sessions.save(user, session_id, session.to_json())
