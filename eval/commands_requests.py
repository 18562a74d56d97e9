"""``convrec eval requests``: how well requests are read, drafted, merged and answered."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Annotated, Literal

import typer
from convrec.core.settings import Tier
from convrec.eval.commands_shared import bar, folder
from convrec.eval.report import markdown
from convrec.eval.requests.labels import Split
from rich.console import Console

DEV_FIRST = "dev and practice to work with; heldout only for the figure that is reported"


def requests_command(
    ctx: typer.Context,
    tier: Annotated[Literal["none", "embedded", "served"], typer.Option(help="which model drafts")] = "none",
    split: Annotated[Split, typer.Option(help=DEV_FIRST)] = "dev",
    part: Annotated[
        Literal["rules", "llm", "merged"] | None,
        typer.Option(help="rules: no model; llm: its drafts alone; merged: whole turns. rules for tier none"),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="first N requests; such figures do not compare")] = None,
    demonstrations: Annotated[
        int | None, typer.Option(min=0, max=5, help="worked examples in the prompt; as set by default")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="requests at once; for a served model")] = 1,
    out: Annotated[Path | None, typer.Option(help="run folder; the same command goes on where it was stopped")] = None,
    force: Annotated[bool, typer.Option("--force", help="throw away what another config left in --out")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="print one JSON object and nothing else")] = False,
    seed: Annotated[int, typer.Option(min=0, help="seed of the bootstrap")] = 0,
) -> None:
    """Labelled requests: intent, slots, exact plans, and whether lists hold every hard condition."""
    from convrec.eval.requests.figures import report  # noqa: PLC0415 - heavy
    from convrec.eval.requests.run import config, open_measured, run_requests  # noqa: PLC0415 - heavy

    settings, stderr = ctx.obj.settings, Console(stderr=True)
    chosen: Literal["rules", "llm", "merged"] = part or ("rules" if tier == "none" else "merged")
    kept: Tier = tier
    shown = settings.turn.demonstrations if demonstrations is None else demonstrations
    with closing(open_measured(settings, kept, demonstrations=shown)) as agent:
        asked = {"limit": limit}
        with (
            folder(out, config(split, chosen, agent, asked, seed), force=force) as run,
            bar(stderr, "requests") as tick,
        ):
            metrics = run_requests(split, chosen, agent, run, limit=limit, workers=workers, seed=seed, progress=tick)
        if json_output:
            typer.echo(json.dumps(metrics, indent=2, sort_keys=True))
            return
        typer.echo(markdown(report(metrics, split, chosen, agent)))
        for stage, found in metrics["timings"].items():
            typer.echo(f"{stage:12} p50 {found['p50']:.3f} s, p95 {found['p95']:.3f} s")
    if out is not None:
        stderr.print(f"wrote {out}", markup=False, highlight=False)
