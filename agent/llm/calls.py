"""Asynchronous calls made from threads that wait for them, so that a call can be broken off while it waits.

A blocking client cannot be interrupted: it would go on reading, and the server on answering. A cancelled task closes
its connection, which is how a server is told to stop.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncGenerator, Coroutine, Generator
from concurrent.futures import CancelledError
from contextlib import aclosing
from typing import Any, TypeVar

from convrec.agent.llm.stopping import ended_by_stop
from convrec.core.errors import LLMUnavailable

T = TypeVar("T")
CLOSE_S = 5.0
"""Longest wait at closing for calls under way to be broken off, seconds."""


class Calls:
    """An event loop on a thread of its own, started at the first call."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        """What ``call`` returns or raises.

        Raises:
            TurnStopped: nobody waits for it any more; it was cancelled.
            LLMUnavailable: closed meanwhile.
        """
        future = asyncio.run_coroutine_threadsafe(call, self._running())
        try:
            with ended_by_stop(future.cancel):
                return future.result()
        except CancelledError as error:
            raise LLMUnavailable("the client of the language model was closed") from error

    def iterate(self, source: AsyncGenerator[T, None]) -> Generator[T, None, None]:
        """The items of ``source`` as they come; closing the generator cancels it. Raises as :meth:`run`."""
        items: queue.SimpleQueue[tuple[T] | None] = queue.SimpleQueue()

        async def pump() -> None:
            async with aclosing(source):
                async for item in source:
                    items.put((item,))

        future = asyncio.run_coroutine_threadsafe(pump(), self._running())
        future.add_done_callback(lambda _: items.put(None))
        try:
            while True:
                with ended_by_stop(future.cancel):
                    found = items.get()
                if found is None:
                    break
                yield found[0]
            future.result()
        except CancelledError as error:
            raise LLMUnavailable("the client of the language model was closed") from error
        finally:
            future.cancel()

    def close(self, last: Coroutine[Any, Any, Any]) -> None:
        """Break off what is under way, run ``last``, end the thread. May be called twice."""
        with self._guard:
            loop, self._loop, self._closed = self._loop, None, True
        if loop is None or self._thread is None:
            last.close()
            return

        async def end() -> None:
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await last

        future = asyncio.run_coroutine_threadsafe(end(), loop)
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(loop.stop))
        self._thread.join(CLOSE_S)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._guard:
            if self._closed:
                raise LLMUnavailable("the client of the language model was closed")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_serve, args=(self._loop,), name="convrec-llm", daemon=True)
                self._thread.start()
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
