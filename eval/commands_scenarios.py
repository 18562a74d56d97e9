"""``convrec eval scenarios``: run them, generate them, check that each has the number of solutions it states."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
from convrec.agent.build import open_catalogue
from convrec.core.errors import RequestError
from convrec.core.settings import Tier
from convrec.eval.commands_shared import bar, folder, opened, wide
from convrec.eval.scenarios.check import check as check_all
from convrec.eval.scenarios.generate import PER_FAMILY, generate, write
from convrec.eval.scenarios.load import SHIPPED, load
from convrec.eval.scenarios.run import KS, config, run_scenarios
from rich.console import Console
from rich.table import Table

app = typer.Typer(help="Scripted scenarios with verdicts by program: run, generate, check.", no_args_is_help=False)

Source = Annotated[Path | None, typer.Option("--from", help="YAML file or folder; the shipped scenarios by default")]
Family = Annotated[list[str] | None, typer.Option("--family", help="only this family; may be repeated")]


@app.callback(invoke_without_command=True)
def scenarios(
    ctx: typer.Context,
    family: Family = None,
    source: Source = None,
    repeats: Annotated[int, typer.Option(min=1, max=100, help="runs of each, differently worded and ordered")] = 4,
    subject: Annotated[str, typer.Option(help="local, http://host:port/v1, module:object or an entry point")] = "local",
    tier: Annotated[Tier | None, typer.Option(help="of the local agent; as set by default")] = None,
    out: Annotated[Path | None, typer.Option(help="run folder; the same command goes on where it was stopped")] = None,
    force: Annotated[bool, typer.Option(help="throw away what another config left in --out")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="print one JSON object and nothing else")] = False,
    seed: Annotated[int, typer.Option(min=0, help="seed of wording and order, and of the bootstrap")] = 0,
) -> None:
    """Run scripted scenarios against an agent; verdicts are made by program from the records; pass^1, 2 and 4."""
    if ctx.invoked_subcommand is not None:
        return
    settings, stderr = ctx.obj.settings, Console(stderr=True)
    chosen = load(source, family or ())
    with closing(open_catalogue(settings)) as catalogue, opened(subject, settings, tier) as agent:
        asked: dict[str, Any] = {"repeats": repeats, "subject": subject, "tier": tier or settings.tier}
        with (
            folder(out, config(chosen, agent, catalogue, asked, seed), force=force) as run,
            bar(stderr, "runs") as tick,
        ):
            metrics = run_scenarios(chosen, agent, catalogue, run, repeats=repeats, seed=seed, progress=tick)
    if json_output:
        typer.echo(json.dumps(metrics, indent=2, sort_keys=True))
        return
    wide().print(_table(metrics))
    if out is not None:
        stderr.print(f"wrote {out}", markup=False, highlight=False)


@app.command("generate")
def generate_command(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(help="folder that gets one YAML file per family")],
    per_family: Annotated[
        int, typer.Option("--per-family", min=1, max=100, help="scenarios of each family")
    ] = PER_FAMILY,
    seed: Annotated[int, typer.Option(min=0, help="same seed and catalogue, same files")] = 0,
) -> None:
    """Draw scenarios over the catalogue in use; each is counted and kept only when its number of solutions fits."""
    if out.resolve() == SHIPPED.resolve() and not (SHIPPED.parents[2] / ".git").exists():
        raise RequestError("--out", str(out), "This is the installed package's own folder; give another one.")
    stderr = Console(stderr=True)
    with closing(open_catalogue(ctx.obj.settings)) as catalogue, bar(stderr, "families") as tick:
        found = generate(catalogue, seed=seed, per_family=per_family, progress=tick)
    for path in write(found, out, seed):
        stderr.print(f"wrote {path}", markup=False, highlight=False)


@app.command("check")
def check_command(ctx: typer.Context, source: Source = None, family: Family = None) -> None:
    """Count the solutions of every scenario on the records and compare them with what it states."""
    chosen = load(source, family or ())
    with closing(open_catalogue(ctx.obj.settings)) as catalogue:
        ours = [s for s in chosen if s.catalogue == catalogue.name]
        found = check_all(ours, catalogue)
    console = wide()
    for text in found:
        console.print(text, markup=False, highlight=False)
    skipped = f", {len(chosen) - len(ours)} of other catalogues left out" if len(ours) < len(chosen) else ""
    console.print(f"{len(ours)} scenarios checked, {len(found)} problems{skipped}", markup=False, highlight=False)
    if found:
        raise typer.Exit(1)


def _table(metrics: dict[str, Any]) -> Table:
    ks = [f"pass^{k}" for k in KS if f"pass^{k}" in metrics]
    low, high = metrics["pass^1_interval"]
    caption = f"pass^1 {metrics['pass^1']:.3f}, 95 % interval by scenario {low:.3f} to {high:.3f}"
    table = Table(title="Scenarios", caption=caption)
    numbers = ("violations", "policy_breaks", "wrong_outcomes")
    for name in ("family", "scenarios", "runs", *ks, "goal", *(n.replace("_", " ") for n in numbers)):
        table.add_column(name, justify="left" if name == "family" else "right")
    for name, figures in (*metrics["families"].items(), ("all", metrics)):
        cells = [*(f"{figures[k]:.3f}" for k in (*ks, "goal")), *(str(figures[n]) for n in numbers)]
        table.add_row(name, str(figures["scenarios"]), str(figures["runs"]), *cells)
    return table
