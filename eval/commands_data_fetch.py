"""``convrec data fetch``: the command; the work is in ``tools/dataset_fetch``."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Literal

import typer
from convrec.tools.dataset_fetch import FetchResult, Progress, fetch_dataset
from convrec.tools.dataset_sources import DATASETS
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn
from rich.progress import Progress as Bars


class From(StrEnum):
    """Where to take the files."""

    AUTO = "auto"
    MIRROR = "mirror"
    PUBLISHER = "publisher"


def register(app: typer.Typer) -> None:
    """Add the command ``fetch`` to ``app``; it takes the settings from ``ctx.obj.settings``."""

    @app.command("fetch")
    def fetch(
        ctx: typer.Context,
        names: Annotated[list[str], typer.Argument(help=f"data sets: {', '.join(DATASETS)}")],
        source: Annotated[
            From, typer.Option("--from", help="auto: the mirror when one is set, else the publisher")
        ] = From.AUTO,
        as_json: Annotated[bool, typer.Option("--json", help="print one JSON object a data set")] = False,
    ) -> None:
        """Fetch and verify evaluation data sets (ReDial, INSPIRED, MovieLens)."""
        unknown = [name for name in names if name not in DATASETS]
        if unknown:
            raise typer.BadParameter(f"unknown data set {', '.join(unknown)}; choose from {', '.join(DATASETS)}")
        settings = ctx.obj.settings
        errors = Console(stderr=True)
        wanted: Literal["auto", "mirror", "publisher"] = source.value
        for name in dict.fromkeys(names):
            spec = DATASETS[name]
            columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
            with Bars(*columns, console=errors, transient=True) as bars:
                result = fetch_dataset(
                    spec, settings.datasets, mirror=settings.data_mirror, source=wanted, progress=_shown_in(bars)
                )
            if as_json:
                typer.echo(json.dumps(_plain(result), ensure_ascii=False))
                continue
            done = f"{result.fetched} of {result.files} files fetched" if result.fetched else "already there, verified"
            typer.echo(f"{spec.title} ({result.variant}): {done} in {result.folder}")
            for note in result.notes:
                typer.echo(f"  note: {note}")
            typer.echo(f"  licence: {spec.licence}; cite: {spec.cite}")


def _plain(result: FetchResult) -> dict[str, object]:
    return {
        "name": result.name,
        "folder": str(result.folder),
        "variant": result.variant,
        "files": result.files,
        "fetched": result.fetched,
        "notes": list(result.notes),
    }


def _shown_in(bars: Bars) -> Progress:
    """A progress callback with one bar a file."""
    tasks: dict[str, TaskID] = {}

    def show(name: str, done: int, total: int | None) -> None:
        if name not in tasks:
            tasks[name] = bars.add_task(name, total=total)
        bars.update(tasks[name], completed=done, total=total)

    return show
