"""``convrec data pack`` and ``pack-effect``: rebuild the ranking pack, and show what it changes in the lists."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import typer
from convrec.agent.api import ConversationalAgent
from convrec.agent.build import open_agent
from convrec.agent.events import Finished, RecommendedItem
from convrec.core.errors import RequestError
from convrec.core.files import sha256_file
from convrec.core.settings import Settings
from convrec.serve.commands_data import REJECTED_EXIT, failures, progress_bar
from convrec.tools.pack import PACK_FILE, read_pack
from convrec.tools.pack_build import build_pack, same_as_shipped
from rich.console import Console
from rich.markup import escape

REQUESTS = (
    "Something like Heat",
    "I loved The Notebook, what else would I like?",
    "a scary movie with a good twist",
    "funny movies for the whole family",
    "films like Inception but older",
    "a romantic comedy from the 2000s",
    "something like Saving Private Ryan and Black Hawk Down",
    "a Korean thriller",
    "superhero movies",
    "I liked Step Brothers and Superbad",
)
"""Chosen before any list was seen; docs/ranking_pack.md shows all of them."""


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``; they take the settings from ``ctx.obj.settings``."""

    @app.command("pack")
    def pack(
        ctx: typer.Context,
        out: Annotated[Path | None, typer.Option("--out", help="File to write; else nothing is kept.")] = None,
        check: Annotated[
            bool, typer.Option("--check", help="Compare with the shipped pack, byte for byte; exit code 1: different.")
        ] = False,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
    ) -> None:
        """Build the ranking pack from ReDial (half a minute); needs: convrec data fetch redial."""
        with failures(as_json), tempfile.TemporaryDirectory() as scratch:
            if out is None and not check:
                raise RequestError("--out", "nothing", "Name a file to write, or give --check")
            place = out if out is not None else Path(scratch) / PACK_FILE.name
            with progress_bar() as progress:
                manifest = build_pack(_settings(ctx).datasets, place, progress=progress)
            same = same_as_shipped(place) if check else None
            document = {
                "file": str(out) if out is not None else None,
                "bytes": place.stat().st_size,
                "sha256": sha256_file(place),
                "same_as_shipped": same,
                **{key: manifest[key] for key in ("counts", "fusion", "validation")},
            }
        if as_json:
            typer.echo(json.dumps(document, ensure_ascii=True))
        else:
            _show(document)
        if same is False:
            raise typer.Exit(REJECTED_EXIT)

    @app.command("pack-effect")
    def pack_effect(
        ctx: typer.Context,
        requests: Annotated[
            list[str] | None, typer.Argument(help="Requests; else the ten of docs/ranking_pack.md.")
        ] = None,
        model: Annotated[
            Path | None,
            typer.Option("--ranking-model", help="Folder of `convrec train`: with and without this, not the pack."),
        ] = None,
    ) -> None:
        """The first five of some requests with and without the ranking pack, as a table in Markdown."""
        settings = _settings(ctx)
        with failures(False):
            read_pack()
            changes: list[dict[str, object]] = [{"rank_pack": use} for use in (False, True)]
            if model is not None:
                ranking = settings.ranking
                changes = [{"ranking": ranking.model_copy(update={"model": use})} for use in (None, model)]
            lists = [_lists(settings, requests or REQUESTS, change) for change in changes]
        typer.echo("| request | without | with |\n|---|---|---|")
        for request, without, using in zip(requests or REQUESTS, *lists, strict=True):
            typer.echo(f"| {request} | {_cell(without, using)} | {_cell(using, without)} |")


def _settings(ctx: typer.Context) -> Settings:
    settings = ctx.obj.settings
    assert isinstance(settings, Settings)
    return settings


def _show(document: dict[str, Any]) -> None:
    console, counts = Console(), document["counts"]
    for name, found in document["validation"].items():
        figures = ", ".join(f"{k} {value:.4f}" for k, value in found.items())
        weight = f" (weight {document['fusion'][name]})" if name in document["fusion"] else ""
        console.print(f"validation, {name}{weight}: {figures}")
    console.print(
        f"{counts['items']:,} films, {counts['neighbours']:,} neighbours, {counts['words']:,} words, "
        f"{document['bytes']:,} bytes, sha256 {document['sha256']}",
        soft_wrap=True,
    )
    if document["file"]:
        console.print(f"Written to {escape(document['file'])}", soft_wrap=True)
    if document["same_as_shipped"] is not None:
        console.print("[green]same[/] as shipped" if document["same_as_shipped"] else "[red]different[/] from shipped")


def _lists(
    settings: Settings, requests: list[str] | tuple[str, ...], change: dict[str, object]
) -> list[tuple[RecommendedItem, ...]]:
    """What the rules recommend, each request as a conversation of its own by a user of whom nothing is known."""
    memory = settings.memory.model_copy(update={"store": "memory"})
    agent = open_agent(settings.model_copy(update={"tier": "none", "memory": memory, **change}))
    try:
        return [_ask(agent, request) for request in requests]
    finally:
        agent.close()


def _ask(agent: ConversationalAgent, request: str) -> tuple[RecommendedItem, ...]:
    """The items of one turn; a feedback message ("I liked X") is followed by "yes, something like it"."""
    user, session = f"pack-effect-{uuid4().hex}", uuid4().hex
    items: tuple[RecommendedItem, ...] = ()
    try:
        for text in (request, "yes, something like it"):
            last = list(agent.turn(text, user=user, session_id=session, approval="off"))[-1]
            items = last.result.items if isinstance(last, Finished) else ()
            if items:
                break
    finally:
        agent.reset(user=user, session_id=session)
    return items


def _cell(items: tuple[RecommendedItem, ...], other: tuple[RecommendedItem, ...]) -> str:
    """A list in one line; what the other list has not is in bold."""
    known = {item.id for item in other}
    labels = [f"{item.title} ({item.year})" if item.year else item.title for item in items[:5]]
    return "; ".join(label if item.id in known else f"**{label}**" for label, item in zip(labels, items, strict=False))
