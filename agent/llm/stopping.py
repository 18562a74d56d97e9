"""Ends calls to a language model whose turn nobody waits for any more.

Whoever runs a turn holds a :class:`Stop` and runs it inside :func:`stoppable`; the backends, deep below, let it end
what they wait for. Nothing between the two has to pass it on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from convrec.core.errors import TurnStopped


class Stop:
    """Set once, from any thread; ends the calls that are under way and those that are still to come."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._set = False
        self._ends: list[Callable[[], object]] = []

    def set(self) -> None:
        with self._guard:
            self._set = True
            ends = list(self._ends)
        for end in ends:
            end()

    def is_set(self) -> bool:
        return self._set

    @contextmanager
    def ending(self, end: Callable[[], object]) -> Iterator[None]:
        """While this lasts, ``end`` is called when the stop is set (at once if it is): on another thread, perhaps after
        the call has ended by itself, and it must not block."""
        with self._guard:
            self._ends.append(end)
            late = self._set
        if late:
            end()
        try:
            yield
        finally:
            with self._guard:
                self._ends.remove(end)


_STOP: ContextVar[Stop | None] = ContextVar("convrec_llm_stop", default=None)


@contextmanager
def stoppable(stop: Stop) -> Iterator[None]:
    """Calls inside, also on their own threads, end with TurnStopped when ``stop`` is set. Not to be held across a
    ``yield`` of a generator: its caller's calls would end too."""
    token = _STOP.set(stop)
    try:
        yield
    finally:
        _STOP.reset(token)


@contextmanager
def ended_by_stop(end: Callable[[], object]) -> Iterator[None]:
    """Around what a backend waits for: ``end`` makes it return or fail. See :meth:`Stop.ending`.

    Raises:
        TurnStopped: the stop is or was set; whatever else went wrong because of it.
    """
    stop = _STOP.get()
    if stop is None:
        yield
        return
    raise_if_stopped()
    try:
        with stop.ending(end):
            yield
    finally:
        raise_if_stopped()


def raise_if_stopped() -> None:
    """
    Raises:
        TurnStopped: the turn that this call belongs to was stopped.
    """
    stop = _STOP.get()
    if stop is not None and stop.is_set():
        raise TurnStopped
