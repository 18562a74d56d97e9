"""A run is a folder: what was asked, every case, the figures, a report. It goes on where a kill left it.

    run.json             the config: kind, resolved settings, hashes of data and models, seed, version, code
    cases.jsonl          one record per case; rewritten in order of case id at the end
    cases_timings.jsonl  what of a record was under "timings"
    metrics.json         the figures
    timings.json         wall-clock times and memory, the only other file that differs between two equal runs
    report.html, .md     the same to read; tables.json: its tables as data
    units.jsonl, names.json  optional: the dialogue behind each case, the names of items; for reading only

Two runs of one config give the same bytes in every file but the two of times. ``convrec eval compare`` needs of a
record: ``metrics`` {name: number} and ``group`` (the dialogue, which is what is resampled); if a run measures several
systems, also ``system`` and ``unit`` (the case without the system). Optional: ``weights`` {name: number}, 1 unless
said; to read what flipped ``show`` {label: text}, or the unit's dialogue.
"""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from convrec.core.errors import DataError, RequestError
from convrec.core.files import write_json
from convrec.core.locks import locked
from convrec.core.version import VERSION
from convrec.eval.record_lines import cut, line, lines, write_text
from convrec.eval.report import Report, Table, markdown
from convrec.eval.report_html import html

log = logging.getLogger("convrec.eval")

RUN, CASES, TIMES = "run.json", "cases.jsonl", "cases_timings.jsonl"
METRICS, TIMINGS = "metrics.json", "timings.json"
UNITS, NAMES = "units.jsonl", "names.json"
REPORT_HTML, REPORT_MD, TABLES = "report.html", "report.md", "tables.json"
_OURS = (RUN, CASES, TIMES, METRICS, TIMINGS, UNITS, NAMES, REPORT_HTML, REPORT_MD, TABLES)
_LOCK = ".lock"


def write_report(path: Path, report: Report) -> None:
    """``report.html``, ``report.md`` and, for those who put reports together, ``tables.json``."""
    write_text(path / REPORT_HTML, html(report))
    write_text(path / REPORT_MD, markdown(report))
    tables = [asdict(table) for table in report.tables]
    write_json(path / TABLES, {"title": report.title, "lead": list(report.lead), "tables": tables})


def read_tables(path: Path) -> tuple[list[str], list[Table]]:
    """Lead and tables of a finished run's report.

    Raises:
        DataError: the file is missing or damaged.
    """
    file = path / TABLES
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return [str(text) for text in found["lead"]], [Table(**table) for table in found["tables"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} is missing or damaged ({error!r}). Repeat the run's command.") from error


def run_config(
    kind: str,
    settings: Mapping[str, Any],
    *,
    seed: int,
    data: Mapping[str, str] | None = None,
    models: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The config of a run. ``settings``: everything that decides the figures, as JSON values, no paths; ``data``,
    ``models``: hash by name."""
    return {
        "kind": kind,
        "settings": dict(settings),
        "data": dict(data or {}),
        "models": dict(models or {}),
        "seed": seed,
        "convrec": VERSION,
        "code": code_version(),
    }


def code_version() -> str | None:
    """The commit that runs, "-dirty" behind it when files differ; None when it is no git checkout."""
    root = Path(__file__).resolve().parents[1]
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return None
    command = [
        git,
        "--no-optional-locks",
        "-C",
        str(root),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=40",
        "--exclude=*",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603 - fixed words
    return done.stdout.strip() or None


class RunFolder:
    """One run on disk, held by one process at a time. ``add`` may be called from several threads.

    ``code_changed``: what an unfinished run was begun with, when it goes on with other code; None otherwise. The
    report then says so.
    """

    def __init__(self, path: Path, config: Mapping[str, Any], held: ExitStack) -> None:
        self.path = path
        self.config: Mapping[str, Any] = config
        self.code_changed: str | None = None
        self._held = held
        self._lock = threading.Lock()
        self._files: tuple[IO[str], IO[str]] | None = None
        self._records: dict[str, dict[str, Any]] = {}
        self._times: dict[str, Any] = {}

    @classmethod
    def open(cls, path: Path, config: Mapping[str, Any], *, force: bool = False) -> RunFolder:
        """Make the folder, or take up the run that is in it. ``force``: throw away what another config left there.

        Raises:
            RequestError: the folder holds a run of another config, or something that is no run; or another process
                is writing to it.
            DataError: a file of the run is damaged other than by a half-written last line.
        """
        config = json.loads(json.dumps(config))  # as it will be read back: no tuples
        if path.exists() and not path.is_dir():
            raise RequestError("out", str(path), "It is a file. Give a folder.")
        strange = path.exists() and not (path / RUN).exists() and any(p.name not in (*_OURS, _LOCK) for p in _in(path))
        if strange:
            raise RequestError("out", str(path), "The folder holds something that is no run. Give a new folder.")
        path.mkdir(parents=True, exist_ok=True)
        held = ExitStack()
        held.enter_context(locked(path / _LOCK, waiting=lambda: _taken(path)))
        try:
            run = cls(path, config, held)
            run._take_up(force)
        except BaseException:
            held.close()
            raise
        return run

    @classmethod
    def read(cls, path: Path) -> RunFolder:
        """A run to look at; it cannot be added to.

        Raises:
            RequestError: there is no run in ``path``.
            DataError: it is damaged.
        """
        run = cls(path, _config(path), ExitStack())
        run._load()
        return run

    def done(self) -> frozenset[str]:
        """Ids of the cases that are recorded."""
        with self._lock:
            return frozenset(self._records)

    def add(self, case: str, record: Mapping[str, Any]) -> None:
        """Record one case for good. ``record``: JSON values; what is under ``timings`` goes to a file of its own.

        Raises:
            ValueError: the case is recorded already, or a value is no JSON (NaN is none).
        """
        kept = {key: value for key, value in record.items() if key != "timings"}
        text = line({**kept, "case": case})
        with self._lock:
            if case in self._records:
                raise ValueError(f"case {case!r} is recorded already")
            if self._files is None:
                self._files = (
                    (self.path / CASES).open("a", encoding="utf-8"),
                    (self.path / TIMES).open("a", encoding="utf-8"),
                )
            cases, times = self._files
            if "timings" in record:  # first, so that a recorded case has its times whenever the kill comes
                times.write(line({"case": case, "timings": record["timings"]}))
                times.flush()
                self._times[case] = record["timings"]
            cases.write(text)
            cases.flush()
            self._records[case] = json.loads(text)

    def records(self) -> list[dict[str, Any]]:
        """All records with their ``case``, in order of case id (as text), without their times."""
        with self._lock:
            return [self._records[case] for case in sorted(self._records)]

    def timings(self) -> dict[str, Any]:
        """What was recorded under ``timings``, by case id."""
        with self._lock:
            return {case: self._times[case] for case in sorted(self._times) if case in self._records}

    def describe(
        self, units: Callable[[], Mapping[str, Mapping[str, Any]]], names: Callable[[], Mapping[str, str]] = dict
    ) -> None:
        """Keep what a reader needs to understand the cases, once: of each unit ``title``, ``dialogue`` [[speaker,
        text], ...] and whatever else; names of items by id. Called only when it is not there yet."""
        if not (self.path / NAMES).exists():
            found = units()
            write_text(self.path / UNITS, "".join(line({**found[unit], "case": unit}) for unit in sorted(found)))
            write_json(self.path / NAMES, dict(names()))

    def units(self) -> dict[str, dict[str, Any]]:
        """What :meth:`describe` kept, by unit; {} without."""
        return {str(record["case"]): record for record in lines(self.path / UNITS)}

    def names(self) -> dict[str, str]:
        """Names of items by id; {} without."""
        path = self.path / NAMES
        found: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return found

    def metrics(self) -> dict[str, Any]:
        """The figures of a finished run.

        Raises:
            RequestError: it is not finished.
        """
        path = self.path / METRICS
        if not path.exists():
            raise RequestError("run", str(self.path), "The run is not finished. Repeat its command: it goes on.")
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def finish(self, metrics: Mapping[str, Any], report: Report, *, timings: Mapping[str, Any] | None = None) -> None:
        """Write figures and report, put the records in order, let the folder go. ``report`` must not depend on times.

        May be repeated: equal figures give equal files.
        """
        records, times = self.records(), self.timings()
        with self._lock:
            self._close_files()
        write_text(self.path / CASES, "".join(line(record) for record in records))
        write_text(self.path / TIMES, "".join(line({"case": c, "timings": t}) for c, t in times.items()))
        if self.code_changed is not None:
            warning = f"Begun with code {self.code_changed}, finished with {self.config.get('code')}."
            report = report.with_note(warning)
        write_report(self.path, report)
        write_json(self.path / TIMINGS, dict(timings or {}))
        write_json(self.path / METRICS, dict(metrics))  # the last: its being there says that the run is whole
        self.close()

    def close(self) -> None:
        """Let the folder go, finished or not."""
        with self._lock:
            self._close_files()
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _close_files(self) -> None:
        for file in self._files or ():
            file.close()
        self._files = None

    def _take_up(self, force: bool) -> None:
        if (self.path / RUN).exists() and not self._same(force):
            for name in _OURS:
                (self.path / name).unlink(missing_ok=True)
        if not (self.path / RUN).exists():
            write_json(self.path / RUN, self.config)
        for name in (CASES, TIMES):
            cut(self.path / name)
        self._load()

    def _same(self, force: bool) -> bool:
        """Whether the run on disk is this one. Raises RequestError when it is not and ``force`` is not set."""
        try:
            before = _config(self.path)
        except DataError:
            if not force:
                raise
            return False
        other = sorted(key for key in before.keys() | self.config.keys() if before.get(key) != self.config.get(key))
        if not other:
            return True
        if other != ["code"]:
            if force:
                return False
            key = next(key for key in other if key != "code")
            raise RequestError(
                "out",
                str(self.path),
                f"It holds a run of another config: {key} was {_short(before.get(key))}, is now "
                f"{_short(self.config.get(key))}. Give a new folder, or --force to throw that run away.",
            )
        self.code_changed = str(before.get("code"))
        log.warning("%s was begun with code %s and goes on with %s", self.path, before["code"], self.config["code"])
        self.config = {**self.config}
        return True

    def _load(self) -> None:
        for record in lines(self.path / CASES):
            self._records[str(record["case"])] = record
        for record in lines(self.path / TIMES):
            self._times[str(record["case"])] = record.get("timings")


def _in(path: Path) -> list[Path]:
    return list(path.iterdir())


def _taken(path: Path) -> None:
    raise RequestError("out", str(path), "Another process is writing to this run. Wait for it, or give another folder.")


def _config(path: Path) -> dict[str, Any]:
    file = path / RUN
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RequestError("run", str(path), f"There is no run in it ({RUN} is missing).") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{file} is damaged ({error}). Remove the folder and run again.") from error
    if not isinstance(found, dict):
        raise DataError(f"{file} is damaged: it is no JSON object. Remove the folder and run again.")
    return found


def _short(value: object) -> str:
    shown = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return shown if len(shown) <= 200 else shown[:197] + "..."
