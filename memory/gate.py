"""A lock that many may share, or one has alone."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Shared by any number of threads, or held alone by one. A thread may take again what it holds, and share what it
    holds alone; what it shares it must give back before it asks for it alone. Who waits to have it alone goes before
    threads that do not share it yet."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._sharing: Counter[int] = Counter()
        self._waiting = 0
        self._owner: int | None = None
        self._depth = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        me = threading.get_ident()
        with self._change:
            self._change.wait_for(
                lambda: self._owner == me or self._sharing[me] > 0 or (self._owner is None and not self._waiting)
            )
            self._sharing[me] += 1
        try:
            yield
        finally:
            with self._change:
                self._sharing[me] -= 1
                if not self._sharing[me]:
                    del self._sharing[me]
                self._change.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """
        Raises:
            RuntimeError: this thread shares it.
        """
        me = threading.get_ident()
        with self._change:
            if self._owner != me and self._sharing[me]:
                raise RuntimeError("what is shared cannot be had alone before it is given back")
            self._waiting += 1
            try:
                self._change.wait_for(lambda: self._owner == me or (self._owner is None and not +self._sharing))
            finally:
                self._waiting -= 1
                self._change.notify_all()
            self._owner = me
            self._depth += 1
        try:
            yield
        finally:
            with self._change:
                self._depth -= 1
                if not self._depth:
                    self._owner = None
                self._change.notify_all()
