"""``convrec memory``: what is remembered about users, as commands."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from convrec.agent.build import open_embedder
from convrec.core.errors import RequestError
from convrec.core.settings import Settings
from convrec.serve import memory_control
from rich.console import Console
from rich.progress import Progress

# The store is imported when a command needs it.
# ruff: noqa: PLC0415

app = typer.Typer(help="What is remembered about users.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, nothing else.")]


@app.callback()
def _group() -> None:
    """What is remembered about users."""


@app.command("migrate")
def migrate(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Embed all preferences anew, after memory.embedder was changed; goes on where it stopped, does nothing twice.

    The old vectors hold until all new ones are there. With the old embedder set again it calls an interrupted move off.
    """
    from convrec.memory.migrate import migrate_folder, migrate_server

    settings = ctx.obj.settings
    assert isinstance(settings, Settings)
    if settings.memory.store == "memory":
        raise RequestError("memory.store", "memory", "Nothing of it outlives a process; there is nothing to migrate.")
    embedder = open_embedder(settings)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("embedding anew, by user", total=None)

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        if settings.memory.url is not None:
            found = migrate_server(settings.memory.url, embedder, progress)
        else:
            found = migrate_folder(settings.memory_path, embedder, progress)
    if as_json:
        typer.echo(json.dumps(found.to_json()))
    else:
        typer.echo(
            f"{found.records:,} records of {found.users:,} users are there for {found.embedder} "
            f"({found.dimension} dimensions); {found.embedded:,} were embedded now"
        )


memory_control.register(app)
