"""A real PostgreSQL cluster on the loopback, for as long as the tests need it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_S = 60.0
WHY_NOT = "no PostgreSQL: initdb and postgres were not found in PATH or /usr/lib/postgresql"


def binaries() -> Path | None:
    """The folder with initdb and postgres."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((f for f in folders if (f / "initdb").is_file() and (f / "postgres").is_file()), None)


@contextmanager
def running_cluster() -> Iterator[str]:
    """A new cluster with one database; yields its address."""
    folder = binaries()
    assert folder is not None
    home = Path(tempfile.mkdtemp(prefix="convrec-pg-"))
    owner = None
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        owner = next(u for u in ("postgres", "nobody") if any(entry.pw_name == u for entry in pwd.getpwall()))
        shutil.chown(home, owner)
    data = home / "data"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    process: subprocess.Popen[bytes] | None = None
    try:
        subprocess.run(
            [folder / "initdb", "-D", data, "-U", "tester", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"],
            check=True,
            capture_output=True,
            user=owner,
            cwd=home,
        )
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(
                [folder / "postgres", "-D", data, "-k", home, "-h", "127.0.0.1", "-p", str(port), "-c", "fsync=off"],
                stdout=log,
                stderr=subprocess.STDOUT,
                user=owner,
                cwd=home,
            )
        url = f"postgresql://tester:unused@127.0.0.1:{port}/postgres"
        _wait_for(url, process, home / "log")
        yield url
    finally:
        if process is not None:
            process.send_signal(signal.SIGINT)  # "fast": open connections are cut
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(home, ignore_errors=True)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    import psycopg

    until = time.monotonic() + START_S
    while True:
        try:
            psycopg.connect(url, connect_timeout=5).close()
        except psycopg.OperationalError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        else:
            return
