"""What a Chroma folder needs beside Chroma: sharing between processes, and erasing for good.

Chroma's SQLite file is only touched by a short process of its own, not even read in this one: whoever closes a file
drops all locks that his process has on it, Chroma's too (https://www.sqlite.org/howtocorrupt.html, 2.2).
"""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from convrec.core.files import replacing
from convrec.core.locks import locked
from convrec.memory.chroma_programs import COMPACT, DROP_INDEX, PREPARE, PURGE

DATABASE = "chroma.sqlite3"
HELPER_TIMEOUT_S = 600
"""Longest wait for the helper process, seconds; compacting takes about a second per 50,000 records."""


class ChromaFiles:
    """The folder of a Chroma store that several processes of one machine may have open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = path / DATABASE
        self._changes, self._lock, self._uncompacted, self._unmended = (
            path / name for name in ("convrec.changes", "convrec.lock", "convrec.uncompacted", "convrec.unmended")
        )
        self._purging: subprocess.Popen[bytes] | None = None
        self._blanked = 0  # newest change of an index file seen by blank_unused, ns

    def prepare(self) -> None:
        """Make the folder, let its SQLite file use a write-ahead log, leave records out of its index of texts, and
        empty its log of what is done. To be called again when Chroma has made the file.

        With a write-ahead log a write costs one synchronisation instead of four, and nobody's reading waits for
        another's writing.

        Raises:
            OSError: the folder cannot be made, or the file is no SQLite file.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        problem = self._run(PREPARE)
        if problem:
            raise OSError(f"{DATABASE}: {problem}")

    def purge(self) -> None:
        """Empty Chroma's log of what is done, in a process that nobody waits for; at most one at a time."""
        if self._purging is not None and self._purging.poll() is None:
            return
        command = [sys.executable, "-I", "-S", "-c", PURGE, str(self.database)]
        with suppress(OSError):  # then it is done at the next opening
            self._purging = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603

    def settle(self) -> None:
        """Wait for :meth:`purge`."""
        if self._purging is not None:
            with suppress(subprocess.TimeoutExpired):
                self._purging.wait(HELPER_TIMEOUT_S)

    # -- between processes --------------------------------------------------------------------------------------------

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """No other process writes while this lasts, or has a write under way."""
        with locked(self._lock):
            yield

    def changes(self) -> int:
        """How often the store was changed, by whichever process; odd while a change is under way."""
        try:
            return int(self._changes.read_bytes() or b"0")
        except (FileNotFoundError, ValueError):
            return 0

    def begin(self) -> None:
        """Count a change as begun; the caller holds :meth:`exclusive`. A killed writer leaves the count odd."""
        self._write_changes(self.changes() // 2 * 2 + 3)

    def end(self) -> int:
        """Count the change as done; returns the count."""
        count = self.changes() + 1
        self._write_changes(count)
        return count

    def _write_changes(self, count: int) -> None:
        # Equal length, one write: a reader sees the old or the new number.
        with self._changes.open("r+b" if self._changes.exists() else "wb") as file:
            file.write(b"%020d" % count)

    # -- erasing ------------------------------------------------------------------------------------------------------

    def owe_compaction(self) -> None:
        """Note on disk that deleted text may still lie in the file, before it is deleted."""
        self._uncompacted.touch()

    @property
    def compaction_owed(self) -> bool:
        """A process died, or failed, between deleting and compacting."""
        return self._uncompacted.exists()

    def compact(self) -> str:
        """Write the SQLite file anew without what was deleted; "" or what went wrong."""
        problem = self._run(COMPACT)
        if not problem:
            self._uncompacted.unlink(missing_ok=True)
        return problem

    def blank_unused(self) -> None:
        """Fill the unused room of Chroma's index files with zeros.

        When Chroma makes or enlarges an index it writes room for elements to come as it lay in memory, and that may
        have held a vector or a text before. Only files written since the last call are looked at.
        """
        newest = self._blanked
        for header in self.path.glob("*/header.bin"):
            try:
                _blank_tail(header.parent / "length.bin", header, self._blanked)
                newest = max(newest, _blank_tail(header.parent / "data_level0.bin", header, self._blanked))
            except FileNotFoundError:
                continue  # dropped with its user just now
        self._blanked = newest

    # -- an index that was cut off while it was written ----------------------------------------------------------------

    def drop_index(self, collection_id: str) -> str:
        """Remove the index folder of a collection, which nobody may have open; "" or what went wrong."""
        return self._run(DROP_INDEX, collection_id)

    @property
    def unmended(self) -> list[str]:
        """Names of collections whose index was dropped and is not complete again."""
        try:
            return self._unmended.read_text(encoding="utf-8").split()
        except FileNotFoundError:
            return []

    @unmended.setter
    def unmended(self, names: list[str]) -> None:
        if names:
            with replacing(self._unmended) as temporary:
                temporary.write_text("\n".join(names), encoding="utf-8")
        else:
            self._unmended.unlink(missing_ok=True)

    def _run(self, program: str, *arguments: str) -> str:
        command = [sys.executable, "-I", "-S", "-c", program, str(self.database), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=HELPER_TIMEOUT_S, check=False)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        return "" if done.returncode == 0 else done.stderr.strip().rpartition("\n")[2] or f"exit {done.returncode}"


_HEADER = struct.Struct("<i4Q")
"""Of hnswlib's header.bin in Chroma: version, offset of level 0, room for elements, elements, bytes per element."""
_LENGTH_BYTES = 4


def _blank_tail(file: Path, header: Path, since: int) -> int:
    """Zeros behind the last element of ``file`` if it was changed since ``since``; returns its time of change, ns."""
    before = file.stat()
    if before.st_mtime_ns < since:
        return before.st_mtime_ns
    version, _, room, elements, size = _HEADER.unpack(header.read_bytes()[: _HEADER.size])
    width = _LENGTH_BYTES if file.name == "length.bin" else size
    if version != 1 or elements > room or before.st_size > room * width:
        raise OSError(f"{header} is not of the form that Chroma 1.5 writes; its unused room cannot be blanked")
    start = elements * width
    with file.open("r+b") as opened:
        opened.seek(start)
        if any(rest := opened.read(before.st_size - start)):
            opened.seek(start)
            opened.write(bytes(len(rest)))
    return file.stat().st_mtime_ns
