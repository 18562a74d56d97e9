"""``convrec bench``: how fast things are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from convrec.core.pull import path as model_path
from convrec.eval.bench import bench_rank
from convrec.memory.embedders import NAME as ENCODER
from rich.console import Console

app = typer.Typer(help="How fast things are.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """How fast things are."""


@app.command("rank")
def rank(
    ctx: typer.Context,
    model: Annotated[Path | None, typer.Option(help="folder of a saved recommender, else models/redial-all")] = None,
    dataset: Annotated[str, typer.Option(help="whose test conversations: redial or inspired")] = "redial",
    conversations: Annotated[int, typer.Option(min=2, help="how many, one after the other")] = 200,
    json_output: Annotated[bool, typer.Option("--json", help="print one JSON object and nothing else")] = False,
) -> None:
    """Time to rank one conversation over the whole catalogue; the embedding of its text is shown apart."""
    settings = ctx.obj.settings
    folder = model or settings.home / "models" / "redial-all"
    with Console(stderr=True).status("ranking"):
        found = bench_rank(
            settings.datasets,
            folder,
            dataset=dataset,
            conversations=conversations,
            encoder=model_path(ENCODER, settings),
        )
    if json_output:
        typer.echo(json.dumps(found.as_dict()))
        return
    typer.echo(f"{found.model} in {folder}: {found.n_items:,} items, {found.n_conversations} conversations")
    typer.echo(f"load   {found.load_seconds:.2f} s, first conversation {found.first:.0f} ms")
    if found.embed_p50 is not None:
        typer.echo(f"embed  p50 {found.embed_p50:.1f} ms, p95 {found.embed_p95:.1f} ms")
    typer.echo(f"rank   p50 {found.rank_p50:.1f} ms, p95 {found.rank_p95:.1f} ms")
    typer.echo(f"memory {found.peak_mib:,} MiB at most")
