"""One conversation between a simulated user and an agent, and what came of it."""

from __future__ import annotations

import logging
import zlib
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from convrec.agent.llm.base import LLM
from convrec.core.errors import ConvrecError
from convrec.core.items import Item
from convrec.eval.sim.leaks import leak
from convrec.eval.sim.llm_user import LLMUser
from convrec.eval.sim.personas import Persona
from convrec.eval.sim.tastes import Taste
from convrec.eval.sim.users import Heard, Said, ScriptedUser, SimulatedUser, Simulator, TargetUser, Verdict
from convrec.eval.subject import Reply, Subject
from convrec.tools.catalogue import Catalogue
from convrec.tools.schema import Role

log = logging.getLogger("convrec.eval")

Outcome: TypeAlias = Literal["accepted", "gave up", "left", "out of turns", "error"]


@dataclass(frozen=True, slots=True)
class Setup:
    """What all dialogues of a run share."""

    simulator: Simulator
    turns: int
    seed: int


def generator(setup: Setup, taste: Taste, persona: Persona) -> np.random.Generator:
    """The random numbers of one user: they depend on nothing but the run's seed, the taste and the persona, so the
    order of dialogues and the number of workers change nothing."""
    names = (setup.simulator, persona.name, taste.id)
    return np.random.default_rng([setup.seed, *(zlib.crc32(name.encode()) for name in names)])


def make_user(
    setup: Setup, taste: Taste, persona: Persona, catalogue: Catalogue, rng: np.random.Generator, llm: LLM | None = None
) -> tuple[SimulatedUser, frozenset[str]]:
    """The user, and the ids of what it would take: one of the targets for a target-aware user, else all of them."""
    schema = catalogue.schema
    if setup.simulator in ("target", "chat"):
        one = sorted(taste.targets)[int(rng.integers(len(taste.targets)))]
        row = catalogue.row_of(one)
        if row is None:
            raise ConvrecError(f"{taste.id}: the target {one} is not in the catalogue {catalogue.name!r}")
        free = setup.simulator == "chat"
        return TargetUser(catalogue.item(row), persona, schema, rng, free=free), frozenset({one})
    scripted = ScriptedUser(taste.known, persona, schema, rng)
    if setup.simulator == "scripted":
        return scripted, taste.targets
    if llm is None:
        raise ConvrecError("the simulator 'llm' needs a language model")
    return LLMUser(taste.known, persona, schema, scripted, llm), taste.targets


def converse(
    subject: Subject, catalogue: Catalogue, taste: Taste, persona: Persona, setup: Setup, llm: LLM | None = None
) -> dict[str, Any]:
    """One dialogue as the record of a run (JSON values). The user is made up for it and forgotten afterwards.

    ``success``: a target was recommended within ``setup.turns`` answers. An agent that fails ends the dialogue with
    the outcome "error", which counts as no success.
    """
    rng = generator(setup, taste, persona)
    user, targets = make_user(setup, taste, persona, catalogue, rng, llm)
    leaving = np.random.default_rng([setup.seed, zlib.crc32(f"leave {persona.name} {taste.id}".encode())])
    name = f"sim-{setup.seed}-{setup.simulator}-{persona.name}-{taste.id}"
    log = _Log(taste, targets, catalogue)
    outcome: Outcome = "out of turns"
    error = ""
    try:
        said = user.opening()
        for turn in range(1, setup.turns + 1):
            reply = subject.say(said.text, user=name, session=f"{name}-1")
            heard = log.heard(said, reply)
            if any(verdict == "target" for _, verdict in heard.shown):
                outcome = "accepted"
                break
            if leaving.random() < persona.leave:
                outcome = "left"
                break
            if turn >= persona.patience:
                outcome = "gave up"
                break
            if turn < setup.turns:
                said = user.answer(heard)
    except ConvrecError as problem:
        outcome, error = "error", f"{type(problem).__name__}: {problem}"
    finally:
        _forget(subject, name)
    return log.record(persona, setup, outcome, error)


def _forget(subject: Subject, name: str) -> None:
    """A subject that cannot forget ends no run: each dialogue has a user of its own."""
    try:
        subject.forget(name)
    except ConvrecError as error:
        log.warning("%s could not forget %s: %s", subject.name, name, error)


class _Log:
    """What was said and shown, and the judge of it."""

    def __init__(self, taste: Taste, targets: frozenset[str], catalogue: Catalogue) -> None:
        self.taste, self.targets, self.catalogue = taste, targets, catalogue
        self.lines: list[dict[str, Any]] = []
        self.replies: list[Reply] = []
        self.slates: list[list[Item]] = []
        self.said: list[str] = []
        self.rejected: set[str] = set()
        self.repeats = 0
        self.outside = 0
        self.hits: list[bool] = []
        self.guarded = 0
        known = taste.known
        self._verdicts: dict[str, Verdict] = {item.id: "seen" for item in known.seen}
        self._verdicts |= {item.id: "liked" for item in known.liked}
        self._verdicts |= {item.id: "disliked" for item in known.disliked}
        self._verdicts |= {item_id: "target" for item_id in targets}

    def heard(self, said: Said, reply: Reply) -> Heard:
        """Judge a reply; ``said`` is what it answers."""
        self.rejected |= {item.id for item in said.rejected}
        self.guarded += bool(said.note)
        rows = self.catalogue.rows_of(reply.items)
        items = self.catalogue.items([row for row in rows if row is not None])
        self.outside += sum(row is None for row in rows) + max(0, len(reply.titles) - len(reply.items))
        self.repeats += sum(item.id in self.rejected for item in items)
        shown = tuple((item, self._verdicts.get(item.id, "other")) for item in items)
        self.said.append(said.text)
        self.replies.append(reply)
        self.slates.append(items)
        self.hits.append(any(verdict == "target" for _, verdict in shown))
        self.lines.append({"who": "user", "text": said.text, "note": said.note})
        again = [item.label for item in items if item.id in self.rejected]
        notes = [f"would take {item.label}" for item, verdict in shown if verdict == "target"]
        notes += [f"turned down before: {', '.join(again)}"] if again else []
        self.lines.append({"who": "agent", "text": reply.text, "note": "; ".join(notes)})
        return Heard(reply.text, reply.question, shown)

    def record(self, persona: Persona, setup: Setup, outcome: Outcome, error: str) -> dict[str, Any]:
        shown = [item.id for slate in self.slates for item in slate]
        success_turn = self.hits.index(True) + 1 if True in self.hits else None
        # What was said up to the answer that showed a target: later words could not have given it away.
        before = self.said[: success_turn if success_turn is not None else len(self.said)]
        targets = self.catalogue.items([r for r in self.catalogue.rows_of(sorted(self.targets)) if r is not None])
        known = self.taste.known
        told = leak(before, targets, (*known.liked, *known.disliked, *known.seen))
        found = len(self.targets.intersection(shown))
        metrics: dict[str, float] = {
            "success": float(success_turn is not None),
            "turns": float(len(self.replies)),
            "questions": float(sum(reply.question for reply in self.replies)),
            "gave_up": float(outcome in ("gave up", "left")),
            "repeats": float(self.repeats),
            "leak_title": float(told.title),
            "leak_words": float(told.leaked),
            "recall_liked": found / len(self.targets),
            "outside": float(self.outside),
            "fallbacks": float(sum(len(reply.fallbacks) for reply in self.replies)),
            "error": float(outcome == "error"),
        }
        if success_turn is not None:
            metrics["success_turn"] = float(success_turn)
        if shown:
            metrics["precision"] = sum(item_id in self.targets for item_id in shown) / len(shown)
            metrics["distinct"] = len(set(shown)) / len(shown)
        if (spread := self._spread()) is not None:
            metrics["diversity"] = spread
        record: dict[str, Any] = {
            "group": self.taste.id,
            "persona": persona.name,
            "simulator": setup.simulator,
            "outcome": outcome,
            "success_turn": success_turn,
            "metrics": metrics,
            "leak": {"words": told.words, "ngram": told.ngram, "item": told.item},
            "shown": [[item.id for item in slate] for slate in self.slates],
            "targets": len(self.targets),
            "guarded": self.guarded,
            "tools": self._tools(),
            "tokens": self._tokens(),
            "sources": sorted({reply.source for reply in self.replies}),
            "lines": self.lines,
            "show": {"outcome": f"{outcome} after {len(self.replies)}"},
            "timings": {"turns": [round(reply.seconds, 4) for reply in self.replies]},
        }
        if error:
            record["error"] = error
        return record

    def _spread(self) -> float | None:
        """Mean over the lists of two items or more of 1 - the mean Jaccard similarity of their categories."""
        spec = self.catalogue.schema.by_role(Role.CATEGORY)
        if spec is None:
            return None
        values = []
        for slate in self.slates:
            tags = [set(item.tags(spec.name)) for item in slate]
            pairs = [(a, b) for i, a in enumerate(tags) for b in tags[i + 1 :]]
            if pairs:
                values.append(float(np.mean([1 - _jaccard(a, b) for a, b in pairs])))
        return float(np.mean(values)) if values else None

    def _tools(self) -> dict[str, list[int]]:
        """Per tool: calls, candidates in, candidates out."""
        out: dict[str, list[int]] = {}
        for reply in self.replies:
            for tool, before, after in reply.tools:
                sums = out.setdefault(tool, [0, 0, 0])
                out[tool] = [sums[0] + 1, sums[1] + before, sums[2] + after]
        return out

    def _tokens(self) -> dict[str, int]:
        total: Counter[str] = Counter()
        for reply in self.replies:
            total.update(reply.llm)
        return dict(sorted(total.items()))


def _jaccard(a: set[str], b: set[str]) -> float:
    return len(a & b) / len(a | b) if a | b else 1.0
