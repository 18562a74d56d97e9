"""Fetch a data set into ``<root>/<name>``: from a mirror (folder or URL), or from its publisher.

Every file is checked by SHA-256 before it takes its name, a run that was cut off goes on where it stopped, and a
finished set is only verified. The manifest, written last, says which variant it is and lists every file's hash.

The publishers' archives have no hash that could be known beforehand. The first fetch writes it to
``<root>/publisher-lock.json``; every later fetch must find the same bytes (trust on first use).
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import httpx
from convrec.core.errors import DatasetError
from convrec.core.files import replacing, sha256_file, write_json
from convrec.tools.dataset_convert import CONVERTERS
from convrec.tools.dataset_sources import DatasetSpec, MirrorFile, PublisherFile

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
LOCK = "publisher-lock.json"
TIMEOUT_S = 30.0
"""Longest wait for a connection, or between two pieces of a download."""

Source = Literal["auto", "mirror", "publisher"]
Progress = Callable[[str, int, int | None], None]
"""Called with a file's name, the bytes there so far, and its size in bytes (None when it is not known)."""


@dataclass(frozen=True, slots=True)
class FetchResult:
    """What a fetch did. ``fetched``: files written by this run; 0 when everything was there."""

    name: str
    folder: Path
    variant: str
    files: int
    fetched: int
    notes: tuple[str, ...]


def quiet(name: str, done: int, total: int | None) -> None:
    """A :data:`Progress` that shows nothing."""


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a fetched data set, None when there is none.

    Raises:
        DatasetError: it is damaged.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read ({error}). Delete it and run: convrec data fetch") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict) or "variant" not in manifest:
        raise DatasetError(f"{path} is no data set manifest. Delete it and run: convrec data fetch")
    return manifest


def damaged(folder: Path, manifest: dict[str, Any]) -> list[str]:
    """Names of the manifest's files that are missing or whose hash differs."""
    files: dict[str, str] = manifest["files"]
    return [name for name, digest in files.items() if _hash_or_none(folder / name) != digest]


def fetch_dataset(
    spec: DatasetSpec,
    root: Path,
    *,
    mirror: Path | str | None = None,
    source: Source = "auto",
    progress: Progress = quiet,
) -> FetchResult:
    """Make ``root/spec.name`` complete and verified.

    ``source="auto"`` keeps what is there if it is whole; else it takes the mirror when one is given and the publisher
    when none is. It never goes from one to the other by itself: their contents differ.

    Raises:
        DatasetError: a file cannot be had or has the wrong hash; names it, both hashes, and what to do.
    """
    folder = root / spec.name
    manifest = read_manifest(folder)
    if manifest is not None:
        from_publisher = manifest["variant"] == "publisher"
        if source in ("auto", "publisher" if from_publisher else "mirror"):
            bad = damaged(folder, manifest)
            if not bad:
                notes = tuple(manifest.get("notes", ()))
                return FetchResult(spec.name, folder, manifest["variant"], len(manifest["files"]), 0, notes)
            log.warning("%s: %s missing or changed; fetching again", spec.name, ", ".join(bad))
    if source == "auto":
        source = "publisher" if mirror is None else "mirror"
    if source == "mirror":
        if mirror is None:
            raise DatasetError("no mirror is set: give CONVREC_DATA_MIRROR (a folder or URL), or use --from publisher.")
        return _from_mirror(spec, folder, str(mirror), manifest, progress)
    return _from_publisher(spec, root, folder, manifest, progress)


def _from_mirror(
    spec: DatasetSpec, folder: Path, mirror: str, old: dict[str, Any] | None, progress: Progress
) -> FetchResult:
    if not (is_url := re.match(r"https?:/", mirror) is not None) and not Path(mirror).is_dir():
        raise DatasetError(
            f"the mirror {mirror} is no folder and no http(s) URL. Correct CONVREC_DATA_MIRROR, or use "
            "--from publisher."
        )
    _withdraw(folder, old, keep={file.path for file in spec.mirror})
    fetched = 0
    for file in spec.mirror:
        target = folder / file.path
        if _hash_or_none(target) == file.sha256:
            progress(file.path, file.size, file.size)
            continue
        with replacing(target) as temporary:
            if is_url:
                # A Path in between folds the two slashes of a URL to one.
                url = re.sub(r"^(https?):/+", r"\1://", mirror).rstrip("/") + "/" + file.source
                _download(url, temporary, file.path, file.size, progress)
            else:
                _copy(Path(mirror) / file.source, temporary, file, progress)
            if (found := sha256_file(temporary)) != file.sha256:
                raise DatasetError(
                    f"{mirror}/{file.source}: SHA-256 is {found}, expected {file.sha256}. The mirror's file is damaged "
                    f"or another version: repair the mirror, or use --from publisher."
                )
        fetched += 1
    digests = {file.path: file.sha256 for file in spec.mirror}
    return _finish(spec, folder, spec.mirror_variant, digests, fetched, (spec.mirror_note,), mirror)


def _from_publisher(
    spec: DatasetSpec, root: Path, folder: Path, old: dict[str, Any] | None, progress: Progress
) -> FetchResult:
    downloads: dict[str, Path] = {}
    keep = root / f".{spec.name}.download"
    notes = [spec.publisher_note]
    for file in spec.publisher:
        downloads[file.name] = target = keep / file.name
        if not target.exists():
            with replacing(target) as temporary:
                _download(file.url, temporary, file.name, None, progress, file.limit)
        _check_lock(root, file, target, notes)
    with _staging(root, spec.name) as staged:
        contents = CONVERTERS[spec.name](downloads, staged)
        for name, digest in spec.known.items():
            found = sha256(contents[name]).hexdigest()
            if found != digest:
                note = f"{name} differs from the known copy (SHA-256 {found}, known {digest}): figures may not compare."
                log.warning("%s: %s", spec.name, note)
                notes.append(note)
        digests = {p.relative_to(staged).as_posix(): sha256_file(p) for p in sorted(staged.rglob("*.gz"))}
        _withdraw(folder, old, keep=set())
        for name in digests:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (staged / name).replace(folder / name)
    result = _finish(
        spec, folder, "publisher", digests, len(digests), tuple(notes), ", ".join(file.url for file in spec.publisher)
    )
    shutil.rmtree(keep)
    return result


def _finish(
    spec: DatasetSpec,
    folder: Path,
    variant: str,
    digests: dict[str, str],
    fetched: int,
    notes: tuple[str, ...],
    origin: str,
) -> FetchResult:
    manifest = {
        "name": spec.name,
        "variant": variant,
        "origin": origin,
        "fetched_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "licence": spec.licence,
        "cite": spec.cite,
        "notes": list(notes),
        "files": digests,
    }
    write_json(folder / MANIFEST, manifest)
    return FetchResult(spec.name, folder, variant, len(digests), fetched, notes)


def _withdraw(folder: Path, old: dict[str, Any] | None, keep: set[str]) -> None:
    """Take the manifest away first, so that a half-changed folder is never taken for a whole one; then old files."""
    if old is None:
        return
    (folder / MANIFEST).unlink(missing_ok=True)
    for name in old["files"]:
        path = (folder / name).resolve()
        if name not in keep and path.is_relative_to(folder.resolve()):
            path.unlink(missing_ok=True)


@contextmanager
def _staging(root: Path, name: str) -> Iterator[Path]:
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}.", suffix=".tmp", dir=root) as staged:
        yield Path(staged)


def _check_lock(root: Path, file: PublisherFile, path: Path, notes: list[str]) -> None:
    """Compare with the hash of the first fetch, or record it."""
    lock = root / LOCK
    try:
        entries: dict[str, dict[str, str]] = json.loads(lock.read_text(encoding="utf-8"))
    except FileNotFoundError:
        entries = {}
    except (OSError, ValueError) as error:
        raise DatasetError(f"{lock} cannot be read ({error}). Delete it to trust the publishers anew.") from error
    found = sha256_file(path)
    entry = entries.get(file.url)
    if entry is None:
        first = datetime.now(UTC).isoformat(timespec="seconds")
        write_json(lock, {**entries, file.url: {"sha256": found, "first_fetched": first}})
        notes.append(f"{file.name}: no hash was known; trusted on first use, SHA-256 {found} recorded in {LOCK}.")
    elif entry["sha256"] != found:
        path.unlink()
        raise DatasetError(
            f"{file.url}: SHA-256 is {found}, expected {entry['sha256']} (recorded {entry['first_fetched']}). Either "
            f"the publisher has a new version or the download was tampered with. To trust it, delete its entry in "
            f"{lock}."
        )


def _hash_or_none(path: Path) -> str | None:
    try:
        return sha256_file(path)
    except FileNotFoundError:
        return None


def _copy(source: Path, target: Path, file: MirrorFile, progress: Progress) -> None:
    try:
        with source.open("rb") as reader, target.open("wb") as writer:
            done = 0
            while block := reader.read(1 << 20):
                writer.write(block)
                done += len(block)
                progress(file.path, done, file.size)
    except FileNotFoundError as error:
        raise DatasetError(f"the mirror lacks {source}. Complete the mirror, or use --from publisher.") from error


def _download(
    url: str, target: Path, name: str, size: int | None, progress: Progress, limit: int | None = None
) -> None:
    """Stream ``url`` to ``target``. Never takes more bytes than ``size`` (when known) or ``limit``."""
    most = size if size is not None else limit
    try:
        with (
            httpx.stream("GET", url, follow_redirects=True, timeout=TIMEOUT_S) as response,
            target.open("wb") as writer,
        ):
            response.raise_for_status()
            announced = response.headers.get("content-length", "")
            total = size if size is not None else (int(announced) if announced.isdigit() else None)
            done = 0
            # iter_raw: a .gz file may be announced as content-encoding gzip, and must not be unpacked on the way.
            for block in response.iter_raw(1 << 16):
                done += len(block)
                if most is not None and done > most:
                    raise DatasetError(f"{url} sends more than the {most} bytes expected; refused.")
                writer.write(block)
                progress(name, done, total)
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        raise DatasetError(f"{url} answered {status}, expected 200. Check the address or try again later.") from error
    except httpx.HTTPError as error:
        raise DatasetError(
            f"{url} cannot be reached ({type(error).__name__}: {error}). Check the network, or set CONVREC_DATA_MIRROR "
            f"to a folder or URL that holds the files."
        ) from error
    except httpx.InvalidURL as error:
        raise DatasetError(f"{url!r} is no valid URL ({error}). Correct CONVREC_DATA_MIRROR.") from error
