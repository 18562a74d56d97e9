"""How fast the preference memory is with many users: adding, recalling for a request, opening, erasing."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from convrec.core.embedding import Embedder
from convrec.core.errors import MemoryStoreError, RequestError
from convrec.core.items import FloatArray
from convrec.memory.chroma_store import ChromaStore
from convrec.memory.preferences import PreferenceMemory
from convrec.memory.reading import Need
from convrec.memory.records import NewPreference, Preference
from convrec.memory.stored import to_stored

GENRES = ("Action", "Adventure", "Animation", "Comedy", "Crime", "Documentary", "Drama", "Family", "Fantasy", "Horror")
MOODS = ("quiet", "funny", "dark", "slow", "tense", "gentle", "strange", "old", "short", "long", "French", "silent")
REQUESTS = (
    "a funny film for tonight",
    "something quiet with the kids",
    "an old crime story, not too long",
    "a French drama",
    "anything like Heat",
    "a documentary about music",
)
READS_BESIDE_S = 0.005

_OPEN = """
import sys, time
started = time.perf_counter()
from pathlib import Path
from convrec.memory.chroma_store import ChromaStore
class Named:
    name, dimension = sys.argv[2], int(sys.argv[3])
store = ChromaStore(Path(sys.argv[1]), Named())
opened = time.perf_counter()
found = len(store.get(sys.argv[4]))
print(opened - started, time.perf_counter() - opened, found)
store.close()
"""


@dataclass(frozen=True, slots=True)
class Times:
    """Wall-clock milliseconds of ``n`` calls."""

    n: int
    p50: float
    p95: float
    slowest: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Times:
        """The 50th and 95th percentile by the nearest higher rank; all 0.0 without calls."""
        if not seconds:
            return cls(0, 0.0, 0.0, 0.0)
        ms = np.asarray(seconds) * 1000
        p50, p95 = np.percentile(ms, [50, 95], method="higher")
        return cls(len(ms), round(float(p50), 2), round(float(p95), 2), round(float(ms.max()), 2))


@dataclass(frozen=True, slots=True)
class MemoryBench:
    records: int
    users: int
    embedder: str
    dimension: int
    seed: int
    fill_s: float
    """Filling the store, vectors made up: no text is embedded."""
    disk_mib: float
    open_s: float
    """A new process: importing Chroma and opening the store."""
    first_read_s: float
    """The first list of one user in that process."""
    add: Times
    """Remembering one statement of a user whose records are not in memory, without its embedding."""
    add_known: Times
    """The same once they are, as in a turn, which recalls first."""
    recall: Times
    """Recall for a request of a user whose records are not in memory yet, without embedding the queries."""
    recall_again: Times
    """The same request once more."""
    embed: Times
    """Each call of the embedder that the two needed."""
    erase: Times
    """Forgetting one statement for good, the file compacted."""
    read_beside: Times
    """Others' reading while that went on."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class _Timed:
    """An embedder that keeps the time it took."""

    def __init__(self, inner: Embedder) -> None:
        self._inner = inner
        self.calls: list[float] = []

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def dimension(self) -> int:
        return self._inner.dimension

    def embed(self, texts: Sequence[str]) -> FloatArray:
        started = time.perf_counter()
        try:
            return self._inner.embed(texts)
        finally:
            self.calls.append(time.perf_counter() - started)


def bench_memory(
    embedder: Embedder,
    *,
    records: int = 100_000,
    users: int = 1000,
    calls: int = 300,
    erasures: int = 5,
    seed: int = 7,
    folder: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> MemoryBench:
    """Fill a store in a temporary folder and measure; everything is removed afterwards.

    Args:
        calls: how often adding and recalling are measured, each time for a user drawn at random.
        folder: where the temporary folder is made; None: the system's.

    Raises:
        RequestError: fewer records than users.
    """
    if records < users:
        raise RequestError("records", records, f"Expected at least one for each of the {users} users.")
    timed, chance = _Timed(embedder), np.random.default_rng(seed)
    timed.embed(["loads the model"])
    timed.calls.clear()
    with tempfile.TemporaryDirectory(prefix="convrec-bench-", dir=folder, ignore_cleanup_errors=True) as home:
        path = Path(home) / "memory"
        started = time.perf_counter()
        store = ChromaStore(path, timed)
        ids = _fill(store, records, users, chance, progress)
        store.close()
        fill_s = time.perf_counter() - started
        disk = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 2**20
        open_s, first_read_s = _open(path, timed)

        memory = PreferenceMemory(ChromaStore(path, timed), timed)
        add: list[float] = []
        add_known: list[float] = []
        for i in range(calls):
            user = _user(int(chance.integers(users)))
            for into, subject in ((add, f"bench={i}"), (add_known, f"again={i}")):
                new = _statement(int(chance.integers(10**6)), subject)
                with _less_embedding(into, timed):
                    memory.add(user, new)
        memory.close()
        memory = PreferenceMemory(ChromaStore(path, timed), timed)
        recall: list[float] = []
        again: list[float] = []
        for number in chance.permutation(users)[:calls]:
            need = Need(str(chance.choice(REQUESTS)), datetime.now(UTC))
            for into in (recall, again):
                with _less_embedding(into, timed):
                    memory.recall(_user(int(number)), need)
        erase, beside = _erase(memory, ids, users, erasures)
        memory.close()
    return MemoryBench(
        records=records,
        users=users,
        embedder=timed.name,
        dimension=timed.dimension,
        seed=seed,
        fill_s=round(fill_s, 1),
        disk_mib=round(disk, 1),
        open_s=round(open_s, 3),
        first_read_s=round(first_read_s, 3),
        add=Times.of(add),
        add_known=Times.of(add_known),
        recall=Times.of(recall),
        recall_again=Times.of(again),
        embed=Times.of(timed.calls),
        erase=Times.of(erase),
        read_beside=Times.of(beside),
    )


def _user(number: int) -> str:
    return f"user-{number:05d}"


def _statement(number: int, subject: str) -> NewPreference:
    genre, mood = GENRES[number % len(GENRES)], MOODS[number // len(GENRES) % len(MOODS)]
    return NewPreference(
        kind="standing" if number % 10 == 0 else "attribute",
        polarity="unwanted" if number % 3 == 0 else "wanted",
        subject=subject,
        text=f"prefers {mood} {genre.lower()} films",
        said=f"I really like {mood} {genre.lower()} films, most of all on a rainy day",
        source_session="bench",
        source_turn=number % 40,
    )


def _fill(
    store: ChromaStore, records: int, users: int, chance: np.random.Generator, progress: Callable[[int, int], None]
) -> list[str]:
    """The records of each user in one step; returns the id of one record of each user."""
    ids = []
    for user in range(users):
        count = records // users + (user < records % users)
        made = [
            Preference(**_statement(int(chance.integers(10**6)), f"subject={i}").model_dump(), user=_user(user))
            for i in range(count)
        ]
        vectors = chance.standard_normal((count, store.dimension), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        store.put(_user(user), [to_stored(p, covered=False) for p in made], vectors)
        ids.append(made[0].id)
        progress(user + 1, users)
    return ids


def _open(path: Path, embedder: Embedder) -> tuple[float, float]:
    command = [sys.executable, "-c", _OPEN, str(path), embedder.name, str(embedder.dimension), _user(0)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise MemoryStoreError(f"the store could not be opened in a new process: {done.stderr.strip()[-500:]}")
    opened, read, found = done.stdout.split()
    assert int(found)
    return float(opened), float(read)


@contextmanager
def _less_embedding(into: list[float], embedder: _Timed) -> Iterator[None]:
    before, started = len(embedder.calls), time.perf_counter()
    yield
    into.append(time.perf_counter() - started - sum(embedder.calls[before:]))


def _erase(memory: PreferenceMemory, ids: Sequence[str], users: int, erasures: int) -> tuple[list[float], list[float]]:
    """Times of erasing, and of another thread's reading meanwhile."""
    erase: list[float] = []
    beside: list[float] = []
    done = threading.Event()

    def read() -> None:
        number = 0
        while not done.is_set():
            number += 1
            started = time.perf_counter()
            memory.list(_user(users - 1 - number % max(1, users // 2)))
            beside.append(time.perf_counter() - started)
            time.sleep(READS_BESIDE_S)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for user in range(min(erasures, users)):
            started = time.perf_counter()
            memory.forget(_user(user), ids[user])
            erase.append(time.perf_counter() - started)
    finally:
        done.set()
        reader.join()
    return erase, beside


def as_text(found: MemoryBench) -> str:
    lines = [
        f"{found.records:,} records of {found.users:,} users, {found.embedder}, {found.disk_mib:,.0f} MiB, "
        f"filled in {found.fill_s:.0f} s",
        f"opening in a new process {found.open_s:.2f} s, first list {found.first_read_s * 1000:.0f} ms",
    ]
    for name in ("add", "add_known", "recall", "recall_again", "embed", "erase", "read_beside"):
        times: Times = getattr(found, name)
        lines.append(f"{name:12} p50 {times.p50:7.1f} ms, p95 {times.p95:7.1f} ms, slowest {times.slowest:7.1f} ms")
    return "\n".join(lines)


def as_json(found: MemoryBench) -> str:
    return json.dumps(found.to_json())
