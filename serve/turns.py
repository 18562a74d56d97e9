"""Runs blocking turns on a bounded pool of threads and hands their events to the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from convrec.agent.api import Approval, ConversationalAgent
from convrec.agent.events import Event, Finished
from convrec.agent.llm.stopping import Stop, stoppable
from convrec.core.errors import TurnStopped

MAX_WAITING = 256
"""Turns that may wait for a thread; more are refused, so that a flood costs no memory."""
TURN_TIMEOUT_S = 120.0
"""Longest time for one turn, waiting included, seconds."""
_POLL_S = 0.5
"""How often a turn looks whether its client is still there, seconds."""

Work = Callable[["TurnRun"], None]
Observer = Callable[[Event], None]


class Connection(Protocol):
    """Whom a turn is run for: a request, or an open page."""

    async def is_disconnected(self) -> bool: ...


class TurnRun:
    """One turn under way. Made and read on the event loop; the work is done on a thread of the pool."""

    def __init__(self, user: str = "", *, timeout_s: float = TURN_TIMEOUT_S, quiet: bool = False) -> None:
        self.user = user
        self.replayed = 0
        """Earlier messages that were run again first."""
        self.timed_out = False
        self._quiet = quiet
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._stopped = Stop()
        self._done: Future[None] | None = None
        self._left = False
        self._next_look = self._loop.time() + _POLL_S
        self._deadline = self._loop.time() + timeout_s

    def submit(self, pool: ThreadPoolExecutor, work: Work, done: Callable[[], None]) -> None:
        def over(_: Future[None]) -> None:
            self._on_loop(done)
            self._on_loop(lambda: self._events.put_nowait(None))

        # The request's id and trace go with the turn.
        self._done = pool.submit(contextvars.copy_context().run, self._work, work)
        self._done.add_done_callback(over)

    def _work(self, work: Work) -> None:
        with stoppable(self._stopped):
            work(self)

    def emit(self, event: Event) -> None:
        """Called on the thread of the turn. A quiet run hands over its end only."""
        if not self._quiet or isinstance(event, Finished):
            self._on_loop(lambda: self._events.put_nowait(event))

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    async def next(self, connection: Connection) -> Event | None:
        """The next event; None when the turn is over, failed (see :meth:`failure`), took too long (``timed_out``) or
        its client has left."""
        while not self._left:
            now = self._loop.time()
            if now >= self._deadline:
                self.timed_out = self._left = True
                self.stop()
                break
            if now >= self._next_look:
                self._next_look = now + _POLL_S
                if await connection.is_disconnected():
                    self._left = True
                    self.stop()
                    break
            try:
                return await asyncio.wait_for(self._events.get(), min(_POLL_S, self._deadline - now))
            except TimeoutError:
                continue
        return None

    def failure(self) -> BaseException | None:
        """What the turn failed with, once it is over."""
        if self._left or self._done is None or self._done.cancelled() or not self._done.done():
            return None
        error = self._done.exception()
        return None if isinstance(error, TurnStopped) else error

    def stop(self) -> None:
        """End the turn at its next event, a call to a language model at once; one that has not begun never does."""
        self._stopped.set()
        if self._done is not None:
            self._done.cancel()

    def _on_loop(self, call: Callable[[], object]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call)


class TurnPool:
    """At most ``workers`` turns at once, ``max_waiting`` more in line.

    A turn with a language model waits mostly for it, so there are more places than cores; without one it computes, and
    more places than cores would only make all turns slower.
    """

    def __init__(
        self,
        agent: ConversationalAgent,
        workers: int = 0,
        *,
        max_waiting: int = MAX_WAITING,
        timeout_s: float = TURN_TIMEOUT_S,
        observe: Observer | None = None,
    ) -> None:
        self._agent = agent
        cores = os.cpu_count() or 1
        self.workers = workers or (max(2, cores) if agent.info.tier == "none" else min(8, 4 * cores))
        self.max_waiting = max_waiting
        self.draining = False
        """The server is going down: what runs is finished, nothing new is taken."""
        self._timeout_s = timeout_s
        self._observe = observe
        self._pool = ThreadPoolExecutor(self.workers, thread_name_prefix="convrec-turn")
        self._runs: set[TurnRun] = set()

    @property
    def running(self) -> int:
        """Turns under way or waiting."""
        return len(self._runs)

    @property
    def full(self) -> bool:
        return len(self._runs) >= self.workers + self.max_waiting

    def start(
        self,
        text: str,
        user: str,
        session_id: str,
        replay: Sequence[str] = (),
        *,
        quiet: bool = False,
        approval: Approval | None = None,
    ) -> TurnRun:
        """Run a turn; first ``replay``, silently, when the agent does not know the session.

        ``quiet``: hand over the end only. ``approval``: as the agent's turn takes it; where one is spoken of, what is
        replayed waits too. The caller looks at :attr:`full` and :attr:`draining` first.
        """
        replayed: Approval | None = "ask" if approval in ("yes", "no") else approval

        def work(run: TurnRun) -> None:
            if replay and not self._agent.history(user=user, session_id=session_id):
                self.replay(run, replay, user, session_id, replayed)
            if not run.stopped:
                self.turn(run, text, user, session_id, approval)

        return self.submit(work, user, quiet=quiet)

    def submit(self, work: Work, user: str, *, quiet: bool = False) -> TurnRun:
        """Run ``work`` on a thread of the pool; it runs turns by :meth:`replay` and :meth:`turn`."""
        run = TurnRun(user, timeout_s=self._timeout_s, quiet=quiet)
        self._runs.add(run)
        run.submit(self._pool, work, lambda: self._runs.discard(run))
        return run

    def replay(
        self, run: TurnRun, messages: Sequence[str], user: str, session_id: str, approval: Approval | None = None
    ) -> None:
        """Run earlier messages silently. On a thread of the pool."""
        for message in messages:
            if run.stopped:
                return
            self._turn(run, message, user, session_id, lambda _: None, approval)
            run.replayed += 1

    def turn(self, run: TurnRun, text: str, user: str, session_id: str, approval: Approval | None = None) -> None:
        """Run the turn that was asked for. On a thread of the pool."""
        self._turn(run, text, user, session_id, run.emit, approval)

    async def stop_user(self, user: str) -> None:
        """End this user's turns here at their next event, and wait until they have ended."""
        mine = [run for run in self._runs if run.user == user]
        for run in mine:
            run.stop()
        while self._runs.intersection(mine):
            await asyncio.sleep(0.02)

    async def drain(self, timeout_s: float, give_up: Callable[[], bool] = lambda: False) -> bool:
        """Take nothing new and wait for what runs; whether all was finished in time."""
        self.draining = True
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while self._runs and loop.time() < end and not give_up():
            await asyncio.sleep(0.05)
        return not self._runs

    def close(self) -> None:
        """Stop what is running at its next event and take nothing new."""
        self.draining = True
        for run in list(self._runs):
            run.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _turn(
        self, run: TurnRun, text: str, user: str, session_id: str, emit: Observer, approval: Approval | None
    ) -> None:
        events = self._agent.turn(text, user=user, session_id=session_id, approval=approval)
        try:
            for event in events:
                if self._observe is not None:
                    self._observe(event)
                if run.stopped:
                    return
                emit(event)
        finally:
            close = getattr(events, "close", None)
            if close is not None:
                close()
