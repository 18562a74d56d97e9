"""Runs blocking turns on a bounded pool of threads and hands their events to the event loop."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from convrec.agent.api import ConversationalAgent
from convrec.agent.events import Event

MAX_WAITING = 64
"""Turns that may wait for a thread; more are refused, so that a flood costs no memory."""
_POLL_S = 0.5
"""How often a turn looks whether its client is still there, seconds."""


class Connection(Protocol):
    """Whom a turn is run for: a request, or an open page."""

    async def is_disconnected(self) -> bool: ...


class TurnRun:
    """One turn under way. Made and read on the event loop; the work is done on a thread of the pool."""

    def __init__(self) -> None:
        self.replayed = 0
        """Earlier messages that were run again first."""
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._stopped = threading.Event()
        self._done: Future[None] | None = None
        self._left = False
        self._next_look = self._loop.time() + _POLL_S

    def submit(self, pool: ThreadPoolExecutor, work: Callable[[TurnRun], None], done: Callable[[], None]) -> None:
        def over(_: Future[None]) -> None:
            self._on_loop(done)
            self._on_loop(lambda: self._events.put_nowait(None))

        self._done = pool.submit(work, self)
        self._done.add_done_callback(over)

    def emit(self, event: Event) -> None:
        """Called on the thread of the turn."""
        self._on_loop(lambda: self._events.put_nowait(event))

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    async def next(self, connection: Connection) -> Event | None:
        """The next event; None when the turn is over, failed (see :meth:`failure`) or its client has left."""
        while not self._left:
            if self._loop.time() >= self._next_look:
                self._next_look = self._loop.time() + _POLL_S
                if await connection.is_disconnected():
                    self._left = True
                    self.stop()
                    break
            try:
                return await asyncio.wait_for(self._events.get(), _POLL_S)
            except TimeoutError:
                continue
        return None

    def failure(self) -> BaseException | None:
        """What the turn failed with, once it is over."""
        if self._left or self._done is None or self._done.cancelled() or not self._done.done():
            return None
        return self._done.exception()

    def stop(self) -> None:
        """End the turn at its next event; one that has not begun never does."""
        self._stopped.set()
        if self._done is not None:
            self._done.cancel()

    def _on_loop(self, call: Callable[[], object]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call)


class TurnPool:
    """At most ``workers`` turns at once; a turn waits mostly for a language model, so more than there are cores."""

    def __init__(self, agent: ConversationalAgent, workers: int | None = None) -> None:
        self._agent = agent
        self._workers = workers or min(8, 4 * (os.cpu_count() or 1))
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="convrec-turn")
        self._runs: set[TurnRun] = set()

    @property
    def running(self) -> int:
        """Turns under way or waiting."""
        return len(self._runs)

    @property
    def full(self) -> bool:
        return len(self._runs) >= self._workers + MAX_WAITING

    def start(self, text: str, user: str, session_id: str, replay: Sequence[str] = ()) -> TurnRun:
        """Run a turn; first ``replay``, silently, when the agent does not know the session.

        The caller looks at :attr:`full` first.
        """
        run = TurnRun()
        self._runs.add(run)
        run.submit(
            self._pool, lambda run: self._work(run, text, user, session_id, replay), lambda: self._runs.discard(run)
        )
        return run

    def close(self) -> None:
        """Stop what is running at its next event and take nothing new."""
        for run in list(self._runs):
            run.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _work(self, run: TurnRun, text: str, user: str, session_id: str, replay: Sequence[str]) -> None:
        if replay and not self._agent.history(user=user, session_id=session_id):
            for earlier in replay:
                if run.stopped:
                    return
                self._turn(run, earlier, user, session_id, lambda _: None)
                run.replayed += 1
        self._turn(run, text, user, session_id, run.emit)

    def _turn(self, run: TurnRun, text: str, user: str, session_id: str, emit: Callable[[Event], None]) -> None:
        events = self._agent.turn(text, user=user, session_id=session_id)
        try:
            for event in events:
                if run.stopped:
                    return
                emit(event)
        finally:
            close = getattr(events, "close", None)
            if close is not None:
                close()
