"""``convrec eval users``: conversations with simulated users."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from convrec.agent.build import open_catalogue, open_embedder
from convrec.core.errors import CatalogueError, RequestError
from convrec.core.settings import Settings, Tier
from convrec.eval.commands_shared import bar, folder, wide
from convrec.eval.report import Table as ReportTable
from convrec.eval.report import shown
from convrec.eval.run_folder import REPORT_HTML, run_config
from convrec.eval.sim.dialogue import Setup
from convrec.eval.sim.figures import figures, latency, persona_table, report
from convrec.eval.sim.personas import PERSONAS, personas
from convrec.eval.sim.redial import CATALOGUE, ensure_redial, redial_tastes
from convrec.eval.sim.runner import Agent, cases_of, hold
from convrec.eval.sim.tastes import Taste, demo_tastes, digest
from convrec.eval.sim.users import Simulator
from convrec.tools.catalogue import Catalogue
from convrec.tools.datasets import RedialData, Split
from convrec.tools.item_index import build_index, open_index
from rich.console import Console
from rich.table import Table

SIMULATORS: tuple[Simulator, ...] = get_args(Simulator)
SOURCES = ("demo", "redial")
TURNS: dict[Simulator, int] = {"scripted": 8, "target": 5, "chat": 5, "llm": 8}
"""Answers of the agent per dialogue; 5 is iEvaLM's."""


def users(
    ctx: typer.Context,
    simulator: Annotated[
        str,
        typer.Option(
            help="scripted: knows no target; target, chat: know it, as in iEvaLM; llm: a model speaks, knows none"
        ),
    ] = "scripted",
    dialogues: Annotated[int, typer.Option(min=1, help="users; each meets the agent once per persona")] = 200,
    source: Annotated[
        str, typer.Option(help="demo: tastes made over the catalogue; redial: seekers of recorded dialogues")
    ] = "demo",
    split: Annotated[str, typer.Option(help="of redial: valid or test; choose settings on valid only")] = "test",
    persona: Annotated[str, typer.Option(help=f"all, or some of: {', '.join(PERSONAS)}")] = "plain",
    turns: Annotated[
        int | None, typer.Option(min=1, max=50, help="answers per dialogue; 8, or 5 with target and chat")
    ] = None,
    subject: Annotated[
        str, typer.Option(help="local, http://host:port/v1, module:object or an entry point of convrec.subjects")
    ] = "local",
    tier: Annotated[Tier | None, typer.Option(help="of the local agent; as set by default")] = None,
    catalogue: Annotated[
        str | None, typer.Option(help="name of the catalogue; redial is built from the data set when missing")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="dialogues at once; the figures do not depend on it")] = 1,
    out: Annotated[Path | None, typer.Option(help="run folder; the same command goes on where it was stopped")] = None,
    force: Annotated[bool, typer.Option("--force", help="throw away what another config left in --out")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="print one JSON object and nothing else")] = False,
    seed: Annotated[int, typer.Option(min=0, help="seed of tastes, wording and the bootstrap")] = 0,
) -> None:
    """Simulated users talk to an agent: success by turn, questions, give-ups, repeats, leakage, by persona."""
    stderr = Console(stderr=True)
    kind = _one_of("simulator", simulator, SIMULATORS)
    chosen = personas(persona)
    settings: Settings = ctx.obj.settings
    if catalogue is not None:
        settings = settings.model_copy(update={"catalogue": catalogue})
    with stderr.status("making users"):
        part: Split = _one_of("split", split, ("valid", "test"))
        origin = _one_of("source", source, SOURCES)
        tastes, left, items = _tastes(origin, settings, dialogues, seed, part, index=subject == "local")
    setup = Setup(kind, turns or TURNS[kind], seed)
    semantic = _has_index(settings) if subject == "local" else None
    agent = Agent(subject, settings, tier or settings.tier, speaks_by_llm=kind == "llm")
    cases = cases_of(tastes, chosen)
    config = run_config(
        "users",
        {
            "simulator": kind,
            "turns": setup.turns,
            "source": source if source == "demo" else f"{source} {split}",
            "subject": subject if subject != "local" else f"local, tier {tier or settings.tier}",
            "catalogue": settings.catalogue,
            "embedder": settings.memory.embedder,
            "semantic_search": semantic,
            "turn": settings.turn.model_dump(mode="json"),
            "rank_pack": settings.rank_pack,
            "ranking": settings.ranking.model_dump(mode="json"),
            "model": _model(settings) if kind == "llm" or tier != "none" else None,
            "personas": [one.model_dump(mode="json") for one in chosen],
            "dialogues": len(cases),
            "left_out": left,
        },
        seed=seed,
        data={"catalogue": items, "users": digest(tastes)},
    )
    with folder(out, config, force=force) as run, bar(stderr, "dialogues") as tick:
        seconds = hold(cases, setup, agent, run, workers=workers, progress=tick)
        records, times = run.records(), run.timings()
        metrics = figures(records, setup.turns, seed)
        run.finish(
            metrics,
            report(records, metrics, run.config),
            timings={"seconds": round(seconds, 3), "workers": workers, "answers": latency(times)},
        )
    if json_output:
        typer.echo(json.dumps({**metrics, "answers_s": latency(times)}, indent=2, sort_keys=True))
        return
    _show(metrics, latency(times), seconds, len(cases))
    if out is not None:
        stderr.print(f"wrote {out / REPORT_HTML}", markup=False, highlight=False)


def _tastes(
    source: str, settings: Settings, n: int, seed: int, split: Split, *, index: bool
) -> tuple[list[Taste], dict[str, int], str]:
    """(users, dialogues left out by reason, fingerprint of the catalogue). ``index``: the agent under test is ours, so
    ReDial's catalogue gets its embedding index."""
    if source == "demo":
        with closing(open_catalogue(settings)) as catalogue:
            return demo_tastes(catalogue, n, seed), {}, catalogue.fingerprint
    data = RedialData(settings.datasets / "redial")
    if settings.catalogue == CATALOGUE:
        ensure_redial(settings, data)
    with closing(open_catalogue(settings)) as catalogue:
        if index and settings.catalogue == CATALOGUE:
            build_index(catalogue, open_embedder(settings))  # once; convrec setup does it for the other catalogues
        tastes, left = redial_tastes(data, catalogue, split=split, n=n)
        _some(tastes, catalogue)
        return tastes, left, catalogue.fingerprint


def _has_index(settings: Settings) -> bool:
    """Whether our agent can search by meaning: without an index of the catalogue it goes on without, and says so."""
    with closing(open_catalogue(settings)) as catalogue:
        try:
            open_index(catalogue, open_embedder(settings))
        except CatalogueError:
            return False
        return True


def _some(tastes: list[Taste], catalogue: Catalogue) -> None:
    if not tastes:
        raise RequestError(
            "catalogue", catalogue.name, "None of the data set's films are in it. Try --catalogue redial."
        )


def _one_of(field: str, value: str, options: tuple[Any, ...]) -> Any:
    if value not in options:
        raise RequestError(f"--{field}", value, f"Give one of: {', '.join(options)}.")
    return value


def _model(settings: Settings) -> str:
    return settings.llm.model or settings.llm.embedded_model


def _show(metrics: dict[str, Any], seconds: dict[str, float], total: float, dialogues: int) -> None:
    console = wide()
    console.print(_rich(persona_table(metrics)))
    if seconds:
        console.print(
            f"{dialogues:,} dialogues in {total:.0f} s; an answer takes {1000 * seconds['p50']:.0f} ms (median), "
            f"{1000 * seconds['p95']:.0f} ms (95th percentile)",
            highlight=False,
        )


def _rich(table: ReportTable) -> Table:
    out = Table(title=table.title)
    for number, name in enumerate(table.columns):
        out.add_column(name, justify="left" if number == 0 else "right")
    for row in table.rows:
        out.add_row(*(shown(cell) for cell in row))
    return out
