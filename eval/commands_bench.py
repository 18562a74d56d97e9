"""``convrec bench``: how fast things are."""

from __future__ import annotations

import json
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer
from convrec.agent.build import open_embedder
from convrec.core.pull import path as model_path
from convrec.core.settings import Tier
from convrec.eval.bench import bench_rank
from convrec.eval.bench_api import bench_api, own_server
from convrec.eval.bench_memory import as_json, as_text, bench_memory
from convrec.eval.bench_ranking import as_text as ranking_text
from convrec.eval.bench_ranking import bench_ranking
from convrec.eval.bench_turn import as_text as turn_text
from convrec.eval.bench_turn import bench_turn, open_benched
from convrec.eval.commands_shared import bar
from convrec.memory.embedders import NAME as ENCODER
from rich.console import Console
from rich.progress import Progress

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


@app.command("api")
def api(
    users: Annotated[int, typer.Option(min=1, max=5000, help="how many talk at once")] = 200,
    turns: Annotated[int, typer.Option(min=1, max=100, help="turns of each conversation")] = 5,
    turns_total: Annotated[int | None, typer.Option(min=1, help="go on with new conversations until so many")] = None,
    think: Annotated[float, typer.Option(min=0, help="mean pause of a user between two turns, seconds")] = 0.0,
    workers: Annotated[int, typer.Option(min=1, max=64, help="processes of the server")] = 1,
    url: Annotated[str | None, typer.Option(help="measure a running server instead of an own one")] = None,
    key: Annotated[str, typer.Option(help="key for it, if it asks for one")] = "none",
    json_output: Annotated[bool, typer.Option("--json", help="print one JSON object and nothing else")] = False,
) -> None:
    """Many users at once over HTTP, answered without a language model; times as the users see them."""
    talk = partial(
        bench_api, users=users, turns=turns, turns_total=turns_total, think_s=think, workers=workers, key=key
    )
    with Console(stderr=True).status("talking"):
        if url is not None:
            found = talk(url.rstrip("/"), key=key)
        else:
            with own_server(workers, ("--tier", "none")) as (own_url, pid):
                found = talk(own_url, pid=pid)
    if json_output:
        typer.echo(json.dumps(found.to_json()))
    else:
        typer.echo(f"{found.users} users, {found.answered} turns answered, {found.per_second:.1f} per second")
        typer.echo(
            f"p50 {found.p50:.2f} s, p95 {found.p95:.2f} s, p99 {found.p99:.2f} s, slowest {found.slowest:.2f} s"
        )
        typer.echo(f"errors {found.errors or 'none'}; the turns alone: p95 {found.server_p95:.3f} s")
        if found.server_cpu_ms is not None:
            typer.echo(f"processor time of the server per turn {found.server_cpu_ms:.1f} ms")
        if found.rss_first is not None and found.rss_last is not None:
            typer.echo(f"memory {found.rss_first:,.0f} MiB, at the end {found.rss_last:,.0f} MiB")
    if found.errors:
        raise typer.Exit(1)


@app.command("turn")
def turn(
    ctx: typer.Context,
    tier: Annotated[Literal["none", "embedded", "served"], typer.Option(help="which model answers")] = "none",
    rerank: Annotated[int | None, typer.Option(min=0, max=50, help="candidates reranked; as set by default")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="how often the list of turns is run")] = 1,
    json_output: Annotated[bool, typer.Option("--json", help="print one JSON object and nothing else")] = False,
) -> None:
    """What a turn costs, warm: seconds by stage, calls, tokens; and how much of what the model says verifies."""
    asked: Tier = tier
    with (
        closing(open_benched(ctx.obj.settings, asked, rerank=rerank)) as agent,
        bar(Console(stderr=True), "turns") as tick,
    ):
        found = bench_turn(agent, repeats=repeats, progress=tick)
    typer.echo(json.dumps(found, indent=2) if json_output else turn_text(found))


@app.command("ranking")
def ranking(
    ctx: typer.Context,
    model: Annotated[Path, typer.Option("--ranking-model", help="folder of `convrec train`")],
    repeats: Annotated[int, typer.Option(min=1, help="how often the dialogue is run")] = 5,
    json_output: Annotated[bool, typer.Option("--json", help="print one JSON object and nothing else")] = False,
) -> None:
    """What a trained recommender in the chat's ranking adds to ten turns, in CPU time."""
    with bar(Console(stderr=True), "turns") as tick:
        found = bench_ranking(ctx.obj.settings, model, repeats=repeats, progress=tick)
    typer.echo(json.dumps(found, indent=2) if json_output else ranking_text(found))


@app.command("memory")
def memory(
    ctx: typer.Context,
    records: Annotated[int, typer.Option(min=1, help="records in all")] = 100_000,
    users: Annotated[int, typer.Option(min=1, help="users who share them equally")] = 1000,
    calls: Annotated[int, typer.Option(min=1, help="how often adding and recalling are measured")] = 300,
    erasures: Annotated[int, typer.Option(min=1, help="how often erasing is measured")] = 5,
    seed: Annotated[int, typer.Option(help="of all random draws")] = 7,
    json_output: Annotated[bool, typer.Option("--json", help="print one JSON object and nothing else")] = False,
) -> None:
    """Preferences of many users in Chroma: adding, recall for a request, opening, erasing; embedding is shown apart."""
    embedder = open_embedder(ctx.obj.settings)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("filling the store", total=users)
        found = bench_memory(
            embedder,
            records=records,
            users=users,
            calls=calls,
            erasures=erasures,
            seed=seed,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    typer.echo(as_json(found) if json_output else as_text(found))
