"""What the commands that speak to a whole agent have in common: the subject, the run folder, a progress bar."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from convrec.core.settings import Settings, Tier
from convrec.eval.run_folder import RunFolder
from convrec.eval.subject import Subject, open_subject
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

TABLE_WIDTH = 170
"""Columns a table needs when the output is no terminal (a file, a pipe)."""


@contextmanager
def opened(spec: str, settings: Settings, tier: Tier | None) -> Iterator[Subject]:
    """The subject of ``--subject``, closed at the end, also after an error."""
    subject = open_subject(spec, settings, tier=tier)
    try:
        yield subject
    finally:
        subject.close()


@contextmanager
def folder(out: Path | None, config: Mapping[str, Any], *, force: bool) -> Iterator[RunFolder]:
    """The run folder of ``--out``; without it one that is thrown away."""
    if out is not None:
        with RunFolder.open(out, config, force=force) as run:
            yield run
        return
    with tempfile.TemporaryDirectory(prefix="convrec-run-") as name, RunFolder.open(Path(name) / "run", config) as run:
        yield run


@contextmanager
def bar(console: Console, what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on the error channel; call it with (done, total)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task(what, total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)


def wide() -> Console:
    """The console for tables: as wide as they need where there is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=TABLE_WIDTH)
