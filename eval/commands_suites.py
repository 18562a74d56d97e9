"""``convrec eval suite NAME|all``."""

from __future__ import annotations

import json
import logging
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
from convrec.agent.build import open_catalogue
from convrec.core.errors import ConvrecError
from convrec.core.settings import Tier
from convrec.eval.commands_shared import bar, folder, opened, wide
from convrec.eval.suites.base import Context
from convrec.eval.suites.run import SUITES, chosen, run_suite, suite_config
from rich.console import Console
from rich.table import Table

log = logging.getLogger("convrec.eval")


def register(app: typer.Typer) -> None:
    """Add the command to ``convrec eval``."""
    app.command("suite")(suite)


def suite(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help=f"one of: {', '.join(SUITES)}; or all")],
    subject: Annotated[str, typer.Option(help="local, http://host:port/v1, module:object or an entry point")] = "local",
    tier: Annotated[Tier | None, typer.Option(help="of the local agent; as set by default")] = None,
    seed: Annotated[int, typer.Option(min=0, help="seed of everything that is drawn")] = 0,
    small: Annotated[
        bool, typer.Option("--small", help="few cases, to see that it works; such figures do not count")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="run folder, one folder in it per suite for all; can be resumed")
    ] = None,
    force: Annotated[bool, typer.Option(help="throw away what another config left in --out")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="print one JSON object and nothing else")] = False,
) -> None:
    """How an agent behaves: preferences kept, attacks withstood, lists that change when they should, and only then."""
    settings, stderr = ctx.obj.settings, Console(stderr=True)
    suites = chosen(name)
    results: list[dict[str, Any]] = []
    left_out: dict[str, str] = {}
    with closing(open_catalogue(settings)) as catalogue, opened(subject, settings, tier) as agent:
        context = Context(
            agent, catalogue, settings, tier or settings.tier, seed, local=subject == "local", small=small
        )
        asked = {"subject": subject, "tier": tier or settings.tier}
        for one in suites:
            place = out / one.name if out is not None and len(suites) > 1 else out
            try:
                with (
                    folder(place, suite_config(one, context, asked), force=force) as run,
                    bar(stderr, one.name) as tick,
                ):
                    results.append(run_suite(one, context, run, progress=tick))
            except ConvrecError as error:
                if len(suites) == 1:
                    raise
                log.warning("suite %s was left out: %s", one.name, error)
                left_out[one.name] = str(error)
    if json_output:
        typer.echo(json.dumps({"suites": results, "left_out": left_out}, indent=2, sort_keys=True))
        return
    console = wide()
    console.print(_table(results))
    for missed, why in left_out.items():
        console.print(f"left out: {missed}: {why}", markup=False, highlight=False)
    if out is not None:
        stderr.print(f"wrote {out}", markup=False, highlight=False)


def _table(results: list[dict[str, Any]]) -> Table:
    table = Table(title="Suites")
    for column in ("suite", "metric", "value", "target", "reached", "cases", "errors"):
        table.add_column(column, justify="right" if column in ("value", "cases", "errors") else "left")
    said = {True: "yes", False: "NO", None: "not measured"}
    for result in results:
        for threshold in result["thresholds"]:
            value = "-" if threshold["value"] is None else f"{threshold['value']:.3f}"
            cells = (threshold["metric"], value, threshold["target"], said[threshold["reached"]])
            table.add_row(result["suite"], *cells, str(result["cases"]), str(result["errors"]))
    return table
