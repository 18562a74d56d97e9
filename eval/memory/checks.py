"""The measurements on memory alone, case by case; each record is what a run folder keeps."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from convrec.core.embedding import Embedder
from convrec.eval.memory import cases, distractors
from convrec.eval.memory.world import BETWEEN, USER, Ears, World, told_by

SESSIONS = 60
PER_SESSION = 3
"""Statements said in each of the sessions between planting and asking."""
K = 3
CONTRADICTIONS = 60
"""Users whose mind changes, in the check that the newest statement wins."""
Record = tuple[str, dict[str, Any]]


def _rng(seed: int, case: str) -> np.random.Generator:
    """Independent of which other cases are run."""
    return np.random.default_rng([seed, zlib.crc32(case.encode())])


def recall(ears: Ears, embedder: Embedder, seed: int) -> Iterator[Record]:
    """Planted facts among sixty sessions of other talk: are they among the first three that are recalled?"""
    everything = distractors.pool(ears.catalogue)
    for case in cases.planted():
        rng = _rng(seed, case.id)
        world = World(ears, embedder)
        noise = distractors.drawn(everything, [*case.facts, case.request], SESSIONS * PER_SESSION, rng)
        when = set(rng.choice(SESSIONS - 10, size=len(case.facts), replace=False).tolist())
        waiting = list(case.facts)
        for session in range(SESSIONS):
            for text in noise[session * PER_SESSION : (session + 1) * PER_SESSION]:
                world.say(text, turn=session)
            if session in when:
                world.say(waiting.pop(0), turn=session)
            world.now += BETWEEN
        first = [r.preference for r in world.ask(case.request).applied[:K]]
        plain = world.nearest(case.request, K)
        reasoned_hits = sum(told_by(fact, first) for fact in case.facts)
        raw_hits = sum(told_by(fact, plain) for fact in case.facts)
        yield (
            f"recall/{case.id}",
            {
                "check": "recall",
                "split": case.split,
                "group": case.id,
                "metrics": {"reasoned": reasoned_hits / len(case.facts), "raw": raw_hits / len(case.facts)},
                "facts": len(case.facts),
                "held": len(world.memory.list(USER)),
                "request": case.request,
                "first": [p.text for p in first],
                "nearest": [p.text for p in plain],
            },
        )


def conditional(ears: Ears, embedder: Embedder) -> Iterator[Record]:
    """Does an instruction with a condition apply to a request exactly when its condition holds?"""
    for case in cases.conditionals():
        world = World(ears, embedder)
        world.now = case.at - BETWEEN
        written = world.say(case.instruction)
        world.now = case.at
        found = world.ask(case.request, case.at)
        used = {r.preference.id for r in found.applied}
        applied = any(p.id in used for p in written)
        reasons = [f"{r.preference.text}: {r.reason}" for r in (*found.applied, *found.left_out)]
        yield (
            f"conditional/{case.id}",
            {
                "check": "conditional",
                "split": case.split,
                "group": case.instruction,
                "metrics": {"right": float(applied == case.applies), "written": float(bool(written))},
                "applies": case.applies,
                "applied": applied,
                "show": {"instruction": case.instruction, "request": case.request, "why": "; ".join(reasons)},
            },
        )


def writing(ears: Ears, embedder: Embedder) -> Iterator[Record]:
    """Is what is said of oneself remembered, and nothing else? A note on somebody else is no belief about the user."""
    for case in cases.statements():
        world = World(ears, embedder)
        written = world.say(case.text)
        own = [p for p in written if not (p.kind == "note" and p.subject.startswith("about:"))]
        if case.polarity is None:
            metrics = {"false": float(bool(own))}
        else:
            kin = case.polarity == "neutral"
            word = case.word.lower()
            right = any(
                p.polarity == case.polarity and word in f"{p.text} {p.said}".lower() for p in (written if kin else own)
            )
            opposite = {"wanted": "unwanted", "unwanted": "wanted", "liked": "disliked", "disliked": "liked"}
            contrary = any(
                p.polarity == opposite.get(case.polarity, "") and (not word or word in p.text.lower()) for p in own
            )
            metrics = {"remembered": float(right), "contrary": float(contrary)}
        yield (
            f"writing/{case.id}",
            {
                "check": "writing",
                "split": case.split,
                "group": case.id,
                "metrics": metrics,
                "show": {"said": case.text, "written": "; ".join(f"{p.polarity}: {p.text}" for p in written)},
            },
        )


def newest(ears: Ears, embedder: Embedder, seed: int) -> Iterator[Record]:
    """Of two to five contrary statements on one subject, days apart, only the last holds and is recalled."""
    things = ("horror", "comedies", "westerns", "thrillers", "musicals", "war films", "French films", "documentaries")
    for number in range(CONTRADICTIONS):
        case = f"newest/{number:03}"
        rng = _rng(seed, case)
        world = World(ears, embedder)
        thing = things[int(rng.integers(len(things)))]
        likes = bool(rng.integers(2))
        said = ""
        for _ in range(int(rng.integers(2, 6))):
            likes = not likes
            said = (
                (f"I love {thing}" if likes else f"I hate {thing}")
                if rng.integers(2)
                else (f"I really enjoy {thing}" if likes else f"I can't stand {thing}")
            )
            world.say(said)
            world.now += BETWEEN * int(rng.integers(1, 20))
        held = world.memory.list(USER)
        found = [r.preference for r in world.ask("something good for tonight").applied]
        right = len(held) == 1 and held[0].said == said and held[0].polarity == ("wanted" if likes else "unwanted")
        history = world.memory.list(USER, include_superseded=True)
        kept = sum(p.superseded_by is not None for p in history) >= 1
        yield (
            case,
            {
                "check": "newest",
                "split": "generated",
                "group": case,
                "metrics": {"right": float(right and kept and [p.id for p in found] == [p.id for p in held])},
                "show": {"last": said, "holds": "; ".join(p.text for p in held)},
            },
        )
