"""The options of ``convrec train``; the work is in ``train_command``, imported when the command runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def train(
    ctx: typer.Context,
    dataset: Annotated[str, typer.Option(help="redial, inspired, or joint: both in one item space.")] = "redial",
    with_valid: Annotated[
        bool, typer.Option("--with-valid", help="The validation split too: for the final model, not for choosing.")
    ] = False,
    experts: Annotated[str | None, typer.Option(help="Comma-separated names, else all.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the model, else models/DATASET in the home.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Train the recommender experts and their fusion on a fetched data set. An interrupted run goes on where it was."""
    from convrec.serve.train_command import run_train  # noqa: PLC0415 -- numpy, scipy

    model, folder, took = run_train(
        ctx.obj.settings,
        dataset=dataset,
        with_valid=with_valid,
        experts=experts,
        out=out,
        seed=seed,
        console=Console(stderr=True),
    )
    if as_json:
        typer.echo(json.dumps({"model": model.name, "folder": str(folder), "info": model.info, **took}))
        return
    typer.echo(f"trained in {took['seconds']} s, at most {took['peak_mib']} MiB of memory: {folder}")
    typer.echo(f"Measure it: convrec eval items --systems '' --model {folder}")
