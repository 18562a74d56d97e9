"""A real Redis on the loopback, for as long as a test needs it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_S = 20.0
WHY_NOT = "no Redis: redis-server was not found in PATH"


def binary() -> str | None:
    return shutil.which("redis-server")


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def running_redis(folder: Path, port: int, password: str) -> Iterator[subprocess.Popen[bytes]]:
    """``redis-server`` that keeps nothing on disk; its process, once it takes connections."""
    program = binary()
    assert program is not None
    options = f"--port {port} --bind 127.0.0.1 --requirepass {password} --appendonly no".split()
    with (folder / "redis.log").open("ab") as said:
        process = subprocess.Popen([program, *options, "--save", ""], stdout=said, stderr=said, cwd=folder)
    try:
        until = time.monotonic() + START_S
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, (folder / "redis.log").read_text()
            assert time.monotonic() < until, "Redis did not start"
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.wait(timeout=20)
