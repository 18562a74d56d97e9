"""Many dialogues: in this process, in threads, or in several processes; every one is recorded at once.

What a dialogue is depends on its seed, taste and persona alone, so the figures are the same for any number of workers,
and a run that was killed goes on where it stopped.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, TypeAlias

from convrec.agent.build import open_catalogue
from convrec.agent.llm.base import LLM
from convrec.agent.llm.resolve import resolve
from convrec.core.errors import LLMUnavailable, RequestError
from convrec.core.settings import Settings, Tier
from convrec.eval.run_folder import RunFolder
from convrec.eval.sim.dialogue import Setup, converse
from convrec.eval.sim.personas import Persona
from convrec.eval.sim.tastes import Taste
from convrec.eval.subject import LocalSubject, Subject, open_subject
from convrec.tools.catalogue import Catalogue

Progress: TypeAlias = Callable[[int, int], None]
"""Called with (dialogues done, dialogues in all)."""
Workers: TypeAlias = Literal["threads", "processes"]

MAX_WORKERS = 64
_AHEAD = 4
"""Dialogues per worker that are handed out ahead of time."""


@dataclass(frozen=True, slots=True)
class Agent:
    """How every worker opens the agent under test, and the model of an LLM user."""

    spec: str
    settings: Settings
    tier: Tier | None
    speaks_by_llm: bool = False

    @contextmanager
    def opened(self) -> Iterator[tuple[Subject, Catalogue, LLM | None]]:
        with ExitStack() as open_parts:
            subject = open_parts.enter_context(closing(open_subject(self.spec, self.settings, tier=self.tier)))
            if isinstance(subject, LocalSubject):
                catalogue = subject.agent.catalogue
            else:
                catalogue = open_parts.enter_context(closing(open_catalogue(self.settings)))
            llm = open_parts.enter_context(closing(self._model())) if self.speaks_by_llm else None
            yield subject, catalogue, llm

    def _model(self) -> LLM:
        resolved = resolve(self.settings)
        if resolved.llm is None:
            raise LLMUnavailable(f"the simulator 'llm' needs a language model; the settings give none: {resolved.note}")
        return resolved.llm


@dataclass(frozen=True, slots=True)
class Case:
    """One dialogue to be held."""

    id: str
    taste: Taste
    persona: Persona


def cases_of(tastes: Sequence[Taste], personas: Sequence[Persona]) -> list[Case]:
    """Every taste in every persona, tastes outermost."""
    return [Case(f"{persona.name}/{taste.id}", taste, persona) for taste in tastes for persona in personas]


def hold(
    cases: Sequence[Case],
    setup: Setup,
    agent: Agent,
    run: RunFolder,
    *,
    workers: int = 1,
    kind: Workers | None = None,
    progress: Progress | None = None,
) -> float:
    """Hold every dialogue that ``run`` has not recorded yet; returns the seconds it took.

    ``kind``: processes suit an agent of ours without a language model, which computes; threads suit what waits for a
    server, and a model that is in memory once. None: whichever suits.

    Raises:
        RequestError: ``workers`` outside 1..64.
        ConvrecError: the agent cannot be opened. What an agent does wrong in a dialogue is in that dialogue's record.
    """
    if not 1 <= workers <= MAX_WORKERS:
        raise RequestError("workers", workers, f"Give 1 to {MAX_WORKERS}.")
    done = run.done()
    left = [case for case in cases if case.id not in done]
    report = progress or (lambda now, total: None)
    report(len(cases) - len(left), len(cases))
    started = time.perf_counter()
    count = len(cases) - len(left)
    if left:
        chosen = kind or ("processes" if agent.spec == "local" and agent.tier == "none" else "threads")
        if workers == 1:
            found = _in_line(left, setup, agent)
        elif chosen == "threads":
            found = _in_threads(left, setup, agent, workers)
        else:
            found = _in_processes(left, setup, agent, workers)
        for case, record in found:
            run.add(case, record)
            count += 1
            report(count, len(cases))
    return time.perf_counter() - started


_Done: TypeAlias = Iterator[tuple[str, dict[str, Any]]]


def _in_line(cases: Sequence[Case], setup: Setup, agent: Agent) -> _Done:
    with agent.opened() as (subject, catalogue, llm):
        for case in cases:
            yield case.id, converse(subject, catalogue, case.taste, case.persona, setup, llm)


def _in_threads(cases: Sequence[Case], setup: Setup, agent: Agent, workers: int) -> _Done:
    with agent.opened() as (subject, catalogue, llm):
        stop = threading.Event()

        def one(case: Case) -> dict[str, Any] | None:
            if stop.is_set():  # the run was broken off: what is under way ends, nothing new begins
                return None
            return converse(subject, catalogue, case.taste, case.persona, setup, llm)

        with ThreadPoolExecutor(workers, thread_name_prefix="convrec-sim") as pool:
            try:
                yield from _as_done(cases, workers, lambda case: pool.submit(one, case))
            finally:
                stop.set()


def _in_processes(cases: Sequence[Case], setup: Setup, agent: Agent, workers: int) -> _Done:
    # Spawned: a fork would share the catalogue's connections and locks of libraries.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        min(workers, len(cases)), mp_context=context, initializer=_open, initargs=(agent,)
    ) as pool:
        try:
            yield from _as_done(cases, workers, lambda case: pool.submit(_one, case, setup))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _as_done(cases: Sequence[Case], workers: int, submit: Callable[[Case], Future[dict[str, Any] | None]]) -> _Done:
    """Results as they come; only a few dialogues are handed out at a time."""
    rest = iter(cases)
    running = {submit(case): case.id for case in islice(rest, workers * _AHEAD)}
    while running:
        finished, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in finished:
            case_id = running.pop(future)
            record = future.result()
            if record is not None:
                yield case_id, record
            for case in islice(rest, 1):
                running[submit(case)] = case.id


_here: tuple[Any, tuple[Subject, Catalogue, LLM | None]] | None = None
"""Of a worker process: the open agent. Set once, by the pool's initializer, in a process that does nothing else."""


def _open(agent: Agent) -> None:
    global _here
    opened = agent.opened()
    _here = opened, opened.__enter__()


def _one(case: Case, setup: Setup) -> dict[str, Any]:
    if _here is None:
        raise RuntimeError("the worker was not opened")
    subject, catalogue, llm = _here[1]
    return converse(subject, catalogue, case.taste, case.persona, setup, llm)
