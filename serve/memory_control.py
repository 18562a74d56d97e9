"""``convrec memory list|search|edit|erase|export|import|profile``: what is believed about a user, as commands.

They run on an agent, as the chat does: erasing reaches its conversations too, and an edit is read as a sentence is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from convrec.core.errors import RequestError
from convrec.core.files import write_json
from convrec.serve import render
from convrec.serve.render import line, plain
from rich.console import Console

if TYPE_CHECKING:
    from convrec.memory.preferences import PreferenceMemory

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, nothing else.")]
User = Annotated[str | None, typer.Option("--user", help="Whose; the user of the settings by default.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="As `convrec memory list` shows it; its first digits do.")]
MAX_FILE_BYTES = 64_000_000
"""Largest document that ``import`` reads."""


def list_command(
    ctx: typer.Context,
    user: User = None,
    history: Annotated[bool, typer.Option("--history", help="With what was superseded.")] = False,
    as_json: AsJson = False,
) -> None:
    """What is believed about a user, newest first."""
    with _memory(ctx, user) as (memory, name):
        found = memory.list(name, include_superseded=history)
        if as_json:
            _echo([p.model_dump(mode="json") for p in found])
        else:
            render.show_profile(Console(), found)


def search_command(
    ctx: typer.Context,
    query: Annotated[str, typer.Argument(help="Words or meaning.")],
    user: User = None,
    k: Annotated[int, typer.Option("--top", min=1, max=100, help="Records shown at most.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Records with these words first, then the nearest in meaning."""
    with _memory(ctx, user) as (memory, name):
        found = memory.search(name, query, k)
        if as_json:
            _echo([r.preference.model_dump(mode="json") | {"score": r.score, "reason": r.reason} for r in found])
        else:
            render.show_profile(Console(), [r.preference for r in found])


def edit_command(
    ctx: typer.Context,
    preference: Id,
    text: Annotated[str, typer.Argument(help="What it should say.")],
    user: User = None,
    as_json: AsJson = False,
) -> None:
    """Correct a record; the next answers keep to the new words."""
    with _memory(ctx, user) as (memory, name):
        edited = memory.edit(name, chosen(memory, name, preference).id, text=text)
        _tell(edited.model_dump(mode="json"), f"now: {edited.text}", as_json)


def erase_command(
    ctx: typer.Context,
    preference: Annotated[str, typer.Argument(metavar="ID|all", help="An id of `list`, or all.")],
    user: User = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before erasing everything.")] = False,
    as_json: AsJson = False,
) -> None:
    """Erase one record, or everything and all conversations, for good."""
    with _memory(ctx, user) as (memory, name):
        if preference.lower() != "all":
            gone = memory.forget(name, chosen(memory, name, preference).id)
            _tell({"erased": 1, "id": gone.id}, f"Erased: {gone.text}", as_json)
            return
        if not yes:
            asked = f"Erase everything that is remembered about {line(name, 60)}, for good?"
            typer.confirm(asked, abort=True, err=True)
        count = memory.forget_all(name)
        _tell({"erased": count}, f"Erased: {count} {'record' if count == 1 else 'records'}.", as_json)


def export_command(
    ctx: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="The file to write; standard output by default.")] = None,
    user: User = None,
) -> None:
    """Everything about a user as JSON, history included."""
    with _memory(ctx, user) as (memory, name):
        document = memory.export(name)
        if file is None:
            typer.echo(json.dumps(document, ensure_ascii=True, indent=2))
        else:
            write_json(file, document)
            Console(stderr=True).print(f"wrote {len(document['preferences'])} records", markup=False, highlight=False)


def import_command(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="What export wrote.")],
    user: User = None,
    as_json: AsJson = False,
) -> None:
    """Take in an export: checked whole first; doing it twice adds nothing."""
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise RequestError("file", str(file), f"It is larger than {MAX_FILE_BYTES // 1_000_000} MB.")
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        remedy = f"It cannot be read as JSON: {error}. Give a file that export wrote."
        raise RequestError("file", str(file), remedy) from error
    with _memory(ctx, user) as (memory, name):
        report = memory.import_(name, document)
        said = f"{report.added} added, {report.unchanged} were here already, {report.skipped} changed here since"
        _tell(report.model_dump(), said, as_json)


def profile_command(
    ctx: typer.Context,
    user: User = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Make it again from all records.")] = False,
    as_json: AsJson = False,
) -> None:
    """The profile in plain words: what holds at every turn."""
    with _memory(ctx, user) as (memory, name):
        made = memory.refresh_profile(name) if refresh else memory.profile(name) or memory.refresh_profile(name)
        document = made.model_dump(mode="json") | {"summary": made.summary()}
        _tell(document, made.summary() or "Nothing is remembered that holds at every turn.", as_json)


def register(app: typer.Typer) -> None:
    """Add the commands to the group."""
    for name, command in (
        ("list", list_command), ("search", search_command), ("edit", edit_command), ("erase", erase_command),
        ("export", export_command), ("import", import_command), ("profile", profile_command),
    ):  # fmt: skip
        app.command(name)(command)


def chosen(memory: PreferenceMemory, user: str, prefix: str) -> Any:
    """The record whose id begins so.

    Raises:
        RequestError: none or several do.
    """
    found = [p for p in memory.list(user, include_superseded=True) if prefix and p.id.startswith(prefix.lower())]
    if len(found) == 1:
        return found[0]
    if not found:
        raise RequestError("ID", prefix, "This user has no record with that id; `convrec memory list` shows them.")
    ids = ", ".join(p.id[: render.SHORT_ID * 2] for p in found[:5])
    raise RequestError("ID", prefix, f"Several ids begin so: {ids}; give more of it.")


@contextmanager
def _memory(ctx: typer.Context, user: str | None) -> Iterator[tuple[PreferenceMemory, str]]:
    services = ctx.obj
    with services.agent(services.with_settings(tier="none")) as agent:  # no language model is needed for this
        yield agent.preferences, user or services.settings.user


def _tell(document: Any, said: str, as_json: bool) -> None:
    if as_json:
        _echo(document)
        return
    for text in said.splitlines():
        plain(Console(), line(text, 2000))


def _echo(document: Any) -> None:
    typer.echo(json.dumps(document, ensure_ascii=True))
