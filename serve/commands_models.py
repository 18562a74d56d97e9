"""``convrec models``: list, pull, find and remove registered models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, cast

import typer
from convrec.core import pull as pulling
from convrec.core.registry import REGISTRY, entry
from convrec.core.settings import Settings
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

app = typer.Typer(help="Model weights: what there is, pull, remove.", no_args_is_help=True)

NOT_PULLED_EXIT = 1

Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="As `convrec models list` shows them.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="As `convrec models list` shows it.")]


@app.command("list")
def list_command(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """All registered models, their size and licence, and which are here."""
    settings = _settings(ctx)
    places = {name: pulling.path(name, settings) for name in REGISTRY}
    if as_json:
        document = [
            {
                "name": model.name,
                "kind": model.kind,
                "title": model.title,
                "licence": model.licence,
                "bytes": model.size,
                "path": None if (place := places[model.name]) is None else str(place),
                "sources": [str(model.hub), str(model.pypi)],
            }
            for model in REGISTRY.values()
        ]
        typer.echo(json.dumps(document, ensure_ascii=True))
        return
    table = Table("name", "size", "licence", "here", "what it is")
    table.columns[1].justify = "right"
    for column in table.columns[:-1]:
        column.no_wrap = True
    for model in REGISTRY.values():
        here = "yes" if places[model.name] is not None else "no"
        table.add_row(model.name, f"{model.size / 1e6:,.0f} MB", model.licence, here, model.title)
    Console().print(table)


@app.command("pull")
def pull_command(ctx: typer.Context, names: Names) -> None:
    """Download models, verified by hash. An interrupted pull goes on where it stopped."""
    settings = _settings(ctx)
    for name in names:  # a wrong last name is told before the first gigabyte
        entry(name)
    puller = pulling.Puller(settings)
    for name in names:
        place = pulling.path(name, settings) or _pull_with_bar(puller, name)
        typer.echo(str(place))


@app.command("path")
def path_command(ctx: typer.Context, name: Name) -> None:
    """Print where a pulled model is; exit code 1 when it is not pulled."""
    place = pulling.path(name, _settings(ctx))
    if place is None:
        typer.echo(f"{name} is not pulled. Run: convrec models pull {name}", err=True)
        raise typer.Exit(NOT_PULLED_EXIT)
    typer.echo(str(place))


@app.command("remove")
def remove_command(ctx: typer.Context, names: Names) -> None:
    """Delete models and what is left of their downloads."""
    settings = _settings(ctx)
    for name in names:
        entry(name)
    for name in names:
        removed = pulling.remove(name, settings)
        typer.echo(f"{name}: {'removed' if removed else 'was not here'}", err=True)


def _pull_with_bar(puller: pulling.Puller, name: str) -> Path:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=entry(name).size)
        return puller.pull(name, lambda done, total: bar.update(task, completed=done, total=total))


def _settings(ctx: typer.Context) -> Settings:
    return cast(Settings, ctx.obj.settings)
