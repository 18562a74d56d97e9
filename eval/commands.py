"""``convrec eval``: the commands; the work is in the other modules of this room."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from convrec.core.errors import RequestError
from convrec.core.pull import path as model_path
from convrec.eval import commands_scenarios, commands_suites
from convrec.eval.commands_interactions import interactions
from convrec.eval.commands_memory import memory
from convrec.eval.commands_reflection import reflection
from convrec.eval.commands_requests import requests_command
from convrec.eval.commands_rerank import rerank
from convrec.eval.commands_runs import compare_runs, run_all
from convrec.eval.commands_users import users
from convrec.eval.commands_wishes import wishes_command
from convrec.eval.item_run import run_items
from convrec.eval.item_settings import TRAIN_ON
from convrec.eval.item_systems import DEFAULT_SYSTEMS, SYSTEMS
from convrec.eval.items import EVALUATION_DATASETS, SPLITS, evaluate_items
from convrec.eval.items_report import as_json, table, times_table
from convrec.eval.protocols import PROTOCOLS
from convrec.eval.run_folder import REPORT_HTML
from convrec.memory.embedders import NAME as ENCODER
from rich.console import Console

app = typer.Typer(help="Measure recommenders and the agent.", no_args_is_help=True)
app.add_typer(commands_scenarios.app, name="scenarios")
commands_suites.register(app)
app.command("interactions")(interactions)
app.command("memory")(memory)
app.command("users")(users)
app.command("requests")(requests_command)
app.command("reflection")(reflection)
app.command("rerank")(rerank)
app.command("wishes")(wishes_command)
app.command("compare")(compare_runs)
app.command("all")(run_all)

TABLE_WIDTH = 200
"""Columns the table needs when the output is no terminal (a file, a pipe)."""


@app.callback()
def _group() -> None:
    """Measure recommenders and the agent."""


@app.command("items")
def items(
    ctx: typer.Context,
    dataset: Annotated[str, typer.Option(help=f"one of: {', '.join(EVALUATION_DATASETS)}")] = "redial",
    protocol: Annotated[str, typer.Option(help=f"one of: {', '.join(PROTOCOLS)}")] = "novel",
    split: Annotated[str, typer.Option(help=f"one of: {', '.join(SPLITS)}; choose settings on valid only")] = "test",
    systems: Annotated[
        str, typer.Option(help=f"comma-separated, from: {', '.join(SYSTEMS)}; empty for none, with --model")
    ] = ",".join(DEFAULT_SYSTEMS),
    model: Annotated[
        list[Path] | None, typer.Option(help="folder of a saved recommender to measure beside them; may be repeated")
    ] = None,
    system: Annotated[
        list[str] | None,
        typer.Option(help="someone else's recommender: an installed plug-in's name or module:object; may be repeated"),
    ] = None,
    train_on: Annotated[
        str, typer.Option(help=f"one of: {', '.join(TRAIN_ON)}; fit on the data set's own training split, or on both's")
    ] = "own",
    json_output: Annotated[bool, typer.Option("--json", help="print one JSON object and nothing else")] = False,
    out: Annotated[
        Path | None, typer.Option(help="folder of the run: every case, figures, report; goes on where it stopped")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="throw away a run of another config in --out")] = False,
    seed: Annotated[int, typer.Option(min=0, help="seed of the bootstrap and of systems that draw at random")] = 0,
    limit_dialogues: Annotated[
        int | None, typer.Option(min=1, help="first N dialogues only; such figures do not compare")
    ] = None,
) -> None:
    """Item recommendation: recall, NDCG, MRR, coverage, popularity bias, on a dialogue data set."""
    progress = Console(stderr=True)
    settings = ctx.obj.settings
    names = [*(name.strip() for name in systems.split(",") if name.strip()), *(system or [])]
    try:
        with progress.status("starting") as status:
            asked: dict[str, Any] = {
                "dataset": dataset,
                "protocol": protocol,
                "split": split,
                "systems": names,
                "models": model or [],
                "train_on": train_on,
                "encoder": model_path(ENCODER, settings) if model else None,
                "seed": seed,
                "limit_dialogues": limit_dialogues,
                "report": status.update,
            }
            if out is None:
                report = evaluate_items(settings.datasets, **asked)
            else:
                report = run_items(out, settings.datasets, force=force, **asked)
    except RequestError as error:
        raise typer.BadParameter(str(error)) from error
    if out is not None:
        progress.print(f"wrote {out / REPORT_HTML}", markup=False, highlight=False)
    if json_output:
        typer.echo(as_json(report))
        return
    console = Console()
    if not console.is_terminal:
        console = Console(width=TABLE_WIDTH)
    console.print(table(report))
    console.print(times_table(report))
