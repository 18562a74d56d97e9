"""What a Chroma folder needs beside Chroma: sharing between processes, and erasing for good.

Chroma's SQLite file is only touched by a short process of its own, not even read in this one: whoever closes a file
drops all locks that his process has on it, Chroma's too (https://www.sqlite.org/howtocorrupt.html, 2.2).
"""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from convrec.core.files import replacing
from convrec.core.locks import locked

DATABASE = "chroma.sqlite3"
HELPER_TIMEOUT_S = 600
"""Longest wait for the helper process, seconds; compacting takes about a second per 50,000 records."""

_PREPARE = """
import os, sqlite3, sys
path = sys.argv[1]
if os.path.exists(path):
    with open(path, "rb") as file:
        head = file.read(16)
    if head and head != b"SQLite format 3\\0":  # Chroma would try for long seconds
        raise SystemExit("it is not a SQLite file")
db = sqlite3.connect(path, timeout=30)
db.execute("PRAGMA journal_mode = WAL")
db.close()
"""

# VACUUM writes the file anew without its free pages; the checkpoint then empties the write-ahead log. Chroma leaves the
# index folder of a collection that is dropped; it bears the id of its segment.
_COMPACT = """
import pathlib, shutil, sqlite3, sys, time, uuid
db = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
db.execute("VACUUM")
for _ in range(100):
    if not db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        break
    time.sleep(0.05)
else:
    raise SystemExit("its log is being read")
used = {row[0] for row in db.execute("SELECT id FROM segments")}
db.close()
for folder in pathlib.Path(sys.argv[1]).parent.iterdir():
    try:
        uuid.UUID(folder.name)
    except ValueError:
        continue
    if folder.name not in used:
        shutil.rmtree(folder)
"""

_DROP_INDEX = """
import pathlib, shutil, sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=30)
for (segment,) in db.execute("SELECT id FROM segments WHERE collection = ? AND scope = 'VECTOR'", (sys.argv[2],)):
    shutil.rmtree(pathlib.Path(sys.argv[1]).parent / segment, ignore_errors=True)
db.close()
"""


class ChromaFiles:
    """The folder of a Chroma store that several processes of one machine may have open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = path / DATABASE
        self._changes, self._lock, self._uncompacted, self._unmended = (
            path / name for name in ("convrec.changes", "convrec.lock", "convrec.uncompacted", "convrec.unmended")
        )
        self._blanked = 0  # newest change of an index file seen by blank_unused, ns

    def prepare(self) -> None:
        """Make the folder, and let its SQLite file use a write-ahead log.

        With it a write costs one synchronisation instead of four, and nobody's reading waits for another's writing.

        Raises:
            OSError: the folder cannot be made, or the file is no SQLite file.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        problem = self._run(_PREPARE)
        if problem:
            raise OSError(f"{DATABASE}: {problem}")

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
        problem = self._run(_COMPACT)
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
        return self._run(_DROP_INDEX, collection_id)

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
