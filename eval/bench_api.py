"""How the HTTP API holds up: many users at once, against a server in a process of its own.

Each user is a task of this process that holds conversations one after the other: a turn, the answer, a pause to read
it, the next turn. The times are those the client sees.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
from convrec.core.errors import ConvrecError
from convrec.eval.bench_wire import Connection

START_S = 180.0
"""Longest wait for the server to be ready; the first start prepares the demo catalogue."""
REQUEST_S = 120.0
RAMP_S = 1.0
"""The users arrive spread over so many seconds."""
SAMPLE_S = 1.0
QUIET = 0.2
"""A server has finished starting when it uses less than this share of a core for :data:`SAMPLE_S`."""
_OWN_S = re.compile(rb'"timings":\{[^}]*"total":([0-9.]+)')

CONVERSATIONS: tuple[tuple[str, ...], ...] = (
    (
        "a Korean thriller under two hours",
        "something funnier",
        "no horror please",
        "newer than 2005",
        "why the first one?",
    ),
    ("I loved Heat (1995), something like it", "older", "with Al Pacino", "not a crime film", "more"),
    ("a family film for the weekend", "with animals", "shorter than 100 minutes", "older than 1990", "more"),
    ("a science fiction film about time travel", "less action", "from the 80s", "in French", "something better rated"),
    ("what would you recommend?", "a comedy", "a romantic one", "not American", "who directed the first one?"),
)
"""Turns that the rules answer in different ways: search, similarity, people, critiques, look-ups."""


@dataclass(slots=True)
class ApiBench:
    """What was measured; times in seconds as the client saw them, memory in MiB of all server processes."""

    users: int
    turns: int
    think_s: float
    workers: int
    seconds: float = 0.0
    answered: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    """By status or kind of failure; 429 among them."""
    per_second: float = 0.0
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    slowest: float = 0.0
    server_p95: float = 0.0
    """Of the turn's own time, without waiting."""
    server_cpu_ms: float | None = None
    """Processor time of the server per turn, HTTP included: what a busy machine does not blur."""
    rss_first: float | None = None
    """Median over the second tenth of the run (the first one fills caches)."""
    rss_last: float | None = None
    """Median over the last tenth."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@contextmanager
def own_server(workers: int, options: Sequence[str], env: Mapping[str, str] | None = None) -> Iterator[tuple[str, int]]:
    """``convrec serve`` in a process of its own on a free port; (address, process id) once it is ready.

    Raises:
        ConvrecError: it stopped or was not ready in time; with what it said last.
    """
    command = [sys.executable, "-m", "convrec.app", "serve", "--port", "0", "--workers", str(workers), *options]
    said: list[str] = []
    # A pipe that nobody reads would fill up and stop the server.
    log = tempfile.TemporaryFile("w+")  # noqa: SIM115 -- closed below, after the server has ended
    process = subprocess.Popen(  # noqa: S603 - our own program, no shell
        command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **(env or {})}
    )
    try:
        assert process.stdout is not None
        url = None
        for line in process.stdout:
            said.append(line.rstrip())
            if found := re.search(r"API +(http://\S+)/v1", line):
                url = found[1]
                break
        if url is None:
            log.seek(0)
            said += [line for line in log.read().splitlines() if line.strip()]
            raise ConvrecError("the server stopped before it answered: " + " | ".join(said[-3:] or ["no word"]))
        _wait_ready(url, process)
        _wait_quiet(process.pid)
        yield url, process.pid
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
        log.close()


def bench_api(
    url: str,
    *,
    users: int,
    turns: int,
    turns_total: int | None = None,
    think_s: float = 0.0,
    workers: int = 1,
    pid: int | None = None,
    key: str = "none",
    seed: int = 7,
) -> ApiBench:
    """Let ``users`` talk at once: ``turns`` each, or conversations of ``turns`` turns until ``turns_total`` are had.

    ``think_s``: mean of the pause between answer and next turn, exponentially distributed. ``pid``: the server's, whose
    memory is watched (Linux). The users are made for this run and erased at its end.
    """
    return asyncio.run(_run(ApiBench(users, turns, think_s, workers), url, turns_total, pid, key, seed))


async def _run(found: ApiBench, url: str, total: int | None, pid: int | None, key: str, seed: int) -> ApiBench:
    run = uuid4().hex[:8]
    times: list[float] = []
    own: list[float] = []
    errors: Counter[str] = Counter()
    memory: list[float] = []
    left = total if total is not None else 0

    async def user(number: int) -> None:
        nonlocal left
        with closing(Connection(url, key)) as server:
            draw = random.Random(seed * 100_003 + number)  # noqa: S311 - pauses, no secrets
            await asyncio.sleep(RAMP_S * number / found.users)
            conversation = 0
            while left > 0 or (total is None and conversation == 0):
                said = CONVERSATIONS[(number + conversation) % len(CONVERSATIONS)]
                for turn in range(found.turns):
                    if total is not None and left <= 0:
                        break
                    left -= 1
                    body = {
                        "model": "convrec",
                        "user": f"bench-{run}-{number}",
                        "metadata": {"conversation_id": f"bench-{run}-{number}-{conversation}"},
                        "messages": [{"role": "user", "content": said[turn % len(said)]}],
                    }
                    began = time.perf_counter()
                    try:
                        sent = json.dumps(body).encode()
                        status, answer = await server.send("POST", "/v1/chat/completions", sent, timeout_s=REQUEST_S)
                    except (OSError, EOFError, ConvrecError) as error:
                        errors[type(error).__name__] += 1
                        continue
                    if status != 200:
                        errors[str(status)] += 1
                    else:
                        times.append(time.perf_counter() - began)
                        if alone := _OWN_S.search(answer):
                            own.append(float(alone[1]))
                    if found.think_s:
                        await asyncio.sleep(draw.expovariate(1 / found.think_s))
                conversation += 1

    async def watch() -> None:
        while pid is not None and (now := rss_mib(pid)) is not None:
            memory.append(now)
            await asyncio.sleep(SAMPLE_S)

    watching = asyncio.create_task(watch())
    began, cpu = time.perf_counter(), cpu_seconds(pid)
    await asyncio.gather(*(user(number) for number in range(found.users)))
    found.seconds = time.perf_counter() - began
    if cpu is not None and (after := cpu_seconds(pid)) is not None and times:
        found.server_cpu_ms = (after - cpu) / len(times) * 1000
    watching.cancel()
    places = asyncio.Semaphore(8)

    async def erase(number: int) -> None:
        async with places:
            with closing(Connection(url, key)) as server:
                await server.send("DELETE", f"/v1/users/bench-{run}-{number}", timeout_s=REQUEST_S)

    await asyncio.gather(*(erase(number) for number in range(found.users)))
    found.answered, found.errors = len(times), dict(errors)
    found.per_second = len(times) / found.seconds
    if times:
        found.p50, found.p95, found.p99 = (float(x) for x in np.percentile(times, (50, 95, 99)))
        found.slowest, found.server_p95 = max(times), float(np.percentile(own or [0.0], 95))
    if tenth := len(memory) // 10:
        found.rss_first = float(np.median(memory[tenth : 2 * tenth]))
        found.rss_last = float(np.median(memory[-tenth:]))
    return found


def rss_mib(pid: int) -> float | None:
    """Resident memory of a process and its children, MiB; None where the system has no /proc."""
    pids = [pid, *_children(pid)]
    kib = 0
    for one in pids:
        try:
            status = Path(f"/proc/{one}/status").read_text(encoding="ascii", errors="replace")
        except OSError:
            continue
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        kib += int(found[1]) if found else 0
    return kib / 1024 if kib else None


def cpu_seconds(pid: int | None) -> float | None:
    """Processor time of a process and its children so far; None where the system has no /proc."""
    ticks, known = 0, False
    for one in [pid, *_children(pid)] if pid is not None else []:
        try:
            fields = Path(f"/proc/{one}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        ticks, known = ticks + int(fields[11]) + int(fields[12]), True
    return ticks / os.sysconf("SC_CLK_TCK") if known else None


def _children(pid: int) -> list[int]:
    try:
        said = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    own = [int(word) for word in said.split()]
    return [*own, *(grand for child in own for grand in _children(child))]


def _wait_ready(url: str, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if process.poll() is not None:
            raise ConvrecError(f"the server stopped with code {process.returncode} before it was ready")
        try:
            if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise ConvrecError(f"the server was not ready within {START_S:g} s")


def _wait_quiet(pid: int) -> None:
    """Until all workers have started: one that is still loading computes, though another one says it is ready."""
    end, before = time.monotonic() + START_S, cpu_seconds(pid)
    while before is not None and time.monotonic() < end:
        time.sleep(SAMPLE_S)
        after = cpu_seconds(pid)
        if after is None or after - before < QUIET * SAMPLE_S:
            return
        before = after
