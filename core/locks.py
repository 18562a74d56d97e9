"""A lock between processes, held on a file. Released by the operating system when its holder dies."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

POLL_S = 0.2
"""How often a waiting process looks again, seconds."""

if sys.platform == "win32":
    import msvcrt

    def _take(file: BinaryIO) -> bool:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _take(file: BinaryIO) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextmanager
def locked(
    path: Path,
    waiting: Callable[[], None] | None = None,
    *,
    timeout_s: float | None = None,
    poll_s: float = POLL_S,
    remove: bool = False,
) -> Iterator[None]:
    """Hold the lock of ``path``; the file is made if need be. ``waiting`` is called once if it is taken.

    Waits as long as the holder lives, at most ``timeout_s``. Two threads of one process exclude each other too. With
    ``remove``, which all users of the path must agree on, the file goes when nobody waits to take it any more (on
    Windows it stays).

    Raises:
        TimeoutError: it was still taken after ``timeout_s``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    until = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        with path.open("ab") as file:
            while not _take(file):
                if waiting is not None:
                    waiting()
                    waiting = None
                if until is not None and time.monotonic() > until:
                    raise TimeoutError(f"{path} is still locked after {timeout_s} s")
                time.sleep(poll_s)
            if remove and not _same(file, path):
                continue  # the holder before removed it: the lock of a file that is gone holds nobody off
            try:
                yield
            finally:
                if remove and sys.platform != "win32":
                    path.unlink(missing_ok=True)
            return
            # Closing the file gives the lock back, on every system and on any way out.


def _same(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
