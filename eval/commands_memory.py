"""``convrec eval memory``."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from convrec.agent.build import open_catalogue, open_embedder, open_index_of
from convrec.agent.llm.resolve import resolve
from convrec.core.errors import RequestError
from convrec.eval.commands_shared import bar, folder, wide
from convrec.eval.memory.run import CHECKS, TARGETS, config, evaluate
from rich.console import Console
from rich.table import Table


def memory(
    ctx: typer.Context,
    check: Annotated[list[str] | None, typer.Option("--check", help=f"one of: {', '.join(CHECKS)}; repeatable")] = None,
    out: Annotated[Path | None, typer.Option(help="run folder; the same command goes on where it was stopped")] = None,
    force: Annotated[bool, typer.Option(help="throw away what another config left in --out")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="print one JSON object and nothing else")] = False,
    seed: Annotated[int, typer.Option(min=0, help="seed of the distractors and of the talk between")] = 0,
    tier: Annotated[str, typer.Option(help="embedded or served: a model reads what the rules left unread")] = "none",
) -> None:
    """Memory: planted facts, conditional instructions, false memories, newest wins, following, profile."""
    wanted = tuple(check or CHECKS)
    for name in wanted:
        if name not in CHECKS:
            raise RequestError("--check", name, f"Give one of: {', '.join(CHECKS)}.")
    if tier not in ("none", "embedded", "served"):
        raise RequestError("--tier", tier, "Give one of: none, embedded, served.")
    settings, stderr = ctx.obj.settings, Console(stderr=True)
    llm = resolve(settings.model_copy(update={"tier": tier})).llm
    embedder = open_embedder(settings)
    with (
        closing(open_catalogue(settings)) as catalogue,
        folder(out, config(catalogue, embedder, wanted, seed, llm), force=force) as run,
        bar(stderr, "checks") as tick,
    ):
        index = open_index_of(catalogue, embedder)
        metrics = evaluate(catalogue, embedder, index, run, wanted=wanted, seed=seed, llm=llm, progress=tick)
    if json_output:
        typer.echo(json.dumps(metrics, indent=2, sort_keys=True))
        return
    table = Table("figure", *metrics, "aim", title="Memory")
    for name in sorted({name for own in metrics.values() for name in own}):
        cells = [own.get(name) for own in metrics.values()]
        shown = ["" if c is None else f"{c:.3f}" if isinstance(c, float) else str(c) for c in cells]
        table.add_row(name, *shown, str(TARGETS.get(name, "")))
    wide().print(table)
