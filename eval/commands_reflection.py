"""``convrec eval reflection``: planted faults against the critic."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Annotated, Literal

import typer
from convrec.agent.build import open_catalogue
from convrec.agent.llm.resolve import resolve
from convrec.core.errors import RequestError
from convrec.eval.commands_shared import bar, folder
from convrec.eval.reflection import config, report, run_reflection
from convrec.eval.report import markdown
from convrec.tools.demo import DEMO
from rich.console import Console


def reflection(
    ctx: typer.Context,
    plants: Annotated[int, typer.Option(min=1, help="drafts spoilt in each of five ways; as many clean")] = 100,
    phrasing: Annotated[
        Literal["dev", "heldout"], typer.Option(help="sentences: dev to work with, heldout for the reported figure")
    ] = "heldout",
    tier: Annotated[
        Literal["none", "embedded", "served"], typer.Option(help="a model that also judges free sentences, or none")
    ] = "none",
    judged: Annotated[int, typer.Option(min=0, help="drafts whose free sentence the model judges")] = 100,
    out: Annotated[Path | None, typer.Option(help="run folder; the same command goes on where it was stopped")] = None,
    force: Annotated[bool, typer.Option("--force", help="throw away what another config left in --out")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="print one JSON object and nothing else")] = False,
    seed: Annotated[int, typer.Option(min=0, help="of requests and faults")] = 0,
) -> None:
    """Reflection: the share of planted faults that the critic catches, and its false alarms."""
    settings, stderr = ctx.obj.settings, Console(stderr=True)
    if settings.catalogue != DEMO:
        raise RequestError("catalogue", settings.catalogue, f"The faults are made for {DEMO!r}; set that one.")
    llm = resolve(settings.model_copy(update={"tier": tier})).llm
    judged = judged if llm is not None else 0
    with (
        closing(open_catalogue(settings)) as catalogue,
        folder(out, config(catalogue, plants, phrasing, llm.name if llm else "", judged, seed), force=force) as run,
        bar(stderr, "drafts") as tick,
    ):
        metrics = run_reflection(
            catalogue, run, plants=plants, phrasing=phrasing, seed=seed, llm=llm, judged=judged, progress=tick
        )
    if llm is not None:
        llm.close()
    typer.echo(json.dumps(metrics, indent=2, sort_keys=True) if json_output else markdown(report(metrics, phrasing)))
