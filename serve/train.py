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
    interactions: Annotated[
        Path | None,
        typer.Option(help="A user-item file instead: CSV, TSV, JSON Lines, Parquet, or .gz of it.", show_default=False),
    ] = None,
    user_column: Annotated[str | None, typer.Option(help="Of the file: users; else found by name.")] = None,
    item_column: Annotated[str | None, typer.Option(help="Of the file: items; else found by name.")] = None,
    rating_column: Annotated[str | None, typer.Option(help="Of the file: ratings, for --min-rating.")] = None,
    time_column: Annotated[
        str | None, typer.Option(help="Of the file: times, numbers or ISO dates; without: the order of the file.")
    ] = None,
    min_rating: Annotated[float | None, typer.Option(help="Leave out lower ratings of the file.")] = None,
    items: Annotated[Path | None, typer.Option(help="Titles and texts of the file's items.")] = None,
    with_valid: Annotated[
        bool, typer.Option("--with-valid", help="The validation split too: for the final model, not for choosing.")
    ] = False,
    experts: Annotated[
        str | None, typer.Option(help="Comma-separated names, else all. Of a file: popularity, itemknn, ease, sasrec.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the model, else models/DATASET in the home.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Train the recommender experts and their fusion on a fetched data set or on a user-item file. An interrupted run
    goes on where it was."""
    from convrec.serve.train_command import run_train, run_train_interactions  # noqa: PLC0415 -- numpy, scipy

    console = Console(stderr=True)
    if interactions is None:
        _refuse(
            "needs --interactions",
            user_column=user_column,
            item_column=item_column,
            rating_column=rating_column,
            time_column=time_column,
            min_rating=min_rating,
            items=items,
        )
        model, folder, took = run_train(
            ctx.obj.settings,
            dataset=dataset,
            with_valid=with_valid,
            experts=experts,
            out=out,
            seed=seed,
            console=console,
        )
    else:
        _refuse("does not go with --interactions", with_valid=with_valid or None)
        if dataset != "redial":
            raise typer.BadParameter("does not go with --interactions", param_hint="--dataset")
        model, folder, took = run_train_interactions(
            ctx.obj.settings,
            file=interactions,
            columns=(user_column, item_column, rating_column, time_column),
            min_rating=min_rating,
            items=items,
            experts=experts,
            out=out,
            seed=seed,
            console=console,
        )
    if as_json:
        typer.echo(json.dumps({"model": model.name, "folder": str(folder), "info": model.info, **took}))
        return
    typer.echo(f"trained in {took['seconds']} s, at most {took['peak_mib']} MiB of memory: {folder}")
    if interactions is None:
        typer.echo(f"Measure it: convrec eval items --systems '' --model {folder}")
    else:
        for name, value in model.info["validation"]["ndcg@10"].items():
            typer.echo(f"{name}: NDCG@10 {value:.4f} on each user's newest item, before the final fit")
        typer.echo(f"Measure such models: convrec eval interactions --data {interactions}")


def _refuse(why: str, **options: object) -> None:
    for name, value in options.items():
        if value is not None:
            raise typer.BadParameter(why, param_hint=f"--{name.replace('_', '-')}")
