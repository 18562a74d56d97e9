"""The events of a turn that runs on a thread, for a terminal that may stop listening."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor

from convrec.agent.events import Event


def events_of(begin: Callable[[], Iterator[Event]], pool: ThreadPoolExecutor) -> Generator[Event, None, None]:
    """The events of a turn that runs in ``pool``; closing this iterator ends the turn at its next event."""
    events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
    stopped = threading.Event()

    def work() -> None:
        try:
            turn = begin()
            for event in turn:
                if stopped.is_set():
                    break
                events.put(event)
            _close(turn)
        finally:
            events.put(None)

    done = pool.submit(work)
    try:
        while (event := events.get()) is not None:
            yield event
        done.result()
    finally:
        stopped.set()


def _close(turn: Iterator[Event]) -> None:
    close = getattr(turn, "close", None)
    if close is not None:
        close()
