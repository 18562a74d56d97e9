"""``convrec keys``: who may call the HTTP API."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from convrec.core.text import visible
from convrec.serve.keys import DEFAULT_SCOPES, KeyRing, Scope
from rich.console import Console
from rich.table import Table
from rich.text import Text

app = typer.Typer(help="Keys of the HTTP API: create, list, revoke.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, nothing else.")]


@app.callback()
def _group() -> None:
    """Keys of the HTTP API: create, list, revoke."""


@app.command("create")
def create(
    ctx: typer.Context,
    tenant: Annotated[str, typer.Argument(help="Whose users the key reaches; they are invisible to other tenants.")],
    name: Annotated[str, typer.Option(help="A note for yourself: what the key is for.")] = "",
    scope: Annotated[
        list[Scope] | None, typer.Option(help="Repeat for several; default: all but metrics, admin.")
    ] = None,
    rate: Annotated[str | None, typer.Option(help="Requests per time, as 120/minute; '' for no limit.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key. It is shown once and stored as a hash only."""
    key, text = _ring(ctx).create(tenant, name=name, scopes=scope or DEFAULT_SCOPES, rate=rate)
    if as_json:
        typer.echo(json.dumps({"key": text, **key.model_dump(mode="json", exclude={"sha256"})}))
        return
    typer.echo(text)
    typer.echo(f"Key {key.id} of tenant {key.tenant}; it is not shown again. Scopes: {', '.join(key.scopes)}", err=True)


@app.command("list")
def list_keys(ctx: typer.Context, as_json: AsJson = False) -> None:
    """All keys, revoked ones too."""
    keys = _ring(ctx).list()
    if as_json:
        typer.echo(json.dumps([key.model_dump(mode="json", exclude={"sha256"}) for key in keys]))
        return
    table = Table("key", "tenant", "name", "scopes", "rate", "created", "revoked")
    for key in keys:
        revoked = f"{key.revoked:%Y-%m-%d}" if key.revoked else ""
        row = (key.id, key.tenant, visible(key.name), " ".join(key.scopes), key.rate or "", f"{key.created:%Y-%m-%d}")
        table.add_row(*map(Text, (*row, revoked)))
    Console().print(table)


@app.command("revoke")
def revoke(
    ctx: typer.Context, key: Annotated[str, typer.Argument(help="The key's id, see: convrec keys list")]
) -> None:
    """End a key; a running server refuses it within a second."""
    found = _ring(ctx).revoke(key)
    typer.echo(f"Key {found.id} of tenant {found.tenant} is revoked.")


def _ring(ctx: typer.Context) -> KeyRing:
    return KeyRing(ctx.obj.settings.keys_path)
