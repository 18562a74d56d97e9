"""``convrec eval compare`` and ``convrec eval all``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from convrec.core.errors import RequestError
from convrec.core.files import replacing
from convrec.core.settings import Tier
from convrec.core.text import visible
from convrec.eval.all import Asked, found_models, parts, run_parts
from convrec.eval.compare import as_json, compare
from convrec.eval.report import Dialogue, Report, Table, markdown, shown
from convrec.eval.report_html import html
from convrec.eval.run_folder import METRICS, REPORT_HTML, read_tables
from rich.console import Console
from rich.markup import escape
from rich.table import Table as TerminalTable

TABLE_WIDTH = 200
"""Columns a table needs when the output is no terminal (a file, a pipe)."""
_USAGE: type[Exception] = typer.BadParameter.__bases__[0]
"""What a command raises for wrong arguments, and a group for a command that it has not."""
FLIPS_SHOWN = 3
"""Flipped cases of each direction that the terminal shows; the report has more."""


def compare_runs(
    a: Annotated[Path, typer.Argument(help="folder of a run", exists=True, file_okay=False)],
    b: Annotated[Path, typer.Argument(help="folder of another run over the same cases", exists=True, file_okay=False)],
    system_a: Annotated[str | None, typer.Option("--system-a", help="which system of A, if it has several")] = None,
    system_b: Annotated[
        str | None, typer.Option("--system-b", help="which system of B; default: the one of A, if B has several")
    ] = None,
    metric: Annotated[str | None, typer.Option(help="whose flipped cases are shown")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="print one JSON object and nothing else")] = False,
    out: Annotated[Path | None, typer.Option(help="folder for compare.html and compare.md")] = None,
    seed: Annotated[int, typer.Option(min=0, help="seed of bootstrap and permutation test")] = 0,
) -> None:
    """Two runs over the same cases: differences with intervals and tests, and the cases that flipped."""
    try:
        found, report = compare(a, b, system_a=system_a, system_b=system_b, metric=metric, seed=seed)
    except RequestError as error:
        raise typer.BadParameter(str(error)) from error
    if out is not None:
        for name, text in (("compare.html", html(report)), ("compare.md", markdown(report))):
            with replacing(out / name) as temporary:
                temporary.write_text(text, encoding="utf-8")
    if json_output:
        typer.echo(as_json(found))
        return
    console = wide_console()
    print_report(console, report)
    for direction in ("gained", "lost"):
        some = [dialogue for dialogue in report.dialogues if dialogue.title.startswith(direction)][:FLIPS_SHOWN]
        for dialogue in some:
            _print_dialogue(console, dialogue)


def run_all(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(help="folder that gets one folder per part and the common report")],
    tier: Annotated[Tier, typer.Option(help="of the agent")] = "none",
    model: Annotated[
        list[Path] | None,
        typer.Option(
            help="folder of a saved recommender; default: all in the home's models that saw training data only"
        ),
    ] = None,
    system: Annotated[
        list[str] | None, typer.Option(help="someone else's recommender: a plug-in's name or module:object; repeatable")
    ] = None,
    subject: Annotated[
        str, typer.Option(help="the agent: local, http://host:port/v1, module:object or an entry point")
    ] = "local",
    quick: Annotated[bool, typer.Option("--quick", help="a few dialogues each, to see that everything runs")] = False,
    only: Annotated[list[str] | None, typer.Option(help="only parts whose name begins so; may be repeated")] = None,
    force: Annotated[bool, typer.Option("--force", help="throw away what another config left in the folders")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="print one JSON object and nothing else")] = False,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Everything: item protocols, simulated users, scenarios, suites; one report. Repeat it to go on after a stop."""
    stderr = Console(stderr=True)
    models = model if model is not None else found_models(ctx.obj.settings.home)
    known = parts(Asked(tier, models, system or (), subject, seed, quick))
    chosen = [part for part in known if not only or any(part.name.startswith(name) for name in only)]
    if not chosen:
        names = ", ".join(part.name for part in known)
        raise typer.BadParameter(f"No part begins so; there are: {names}.", param_hint="--only")
    assert ctx.parent is not None
    group = ctx.parent.command  # ``convrec eval``

    def command(arguments: Sequence[str]) -> None:
        try:
            group.main(list(arguments), prog_name="convrec eval", standalone_mode=False, obj=ctx.obj)
        except _USAGE as error:
            raise RequestError("command", " ".join(arguments), str(error)) from error

    done = run_parts(
        out, chosen, command, force=force, tell=lambda text: stderr.print(text, markup=False, highlight=False)
    )
    if json_output:
        typer.echo((out / METRICS).read_text(encoding="utf-8"), nl=False)
        return
    console = wide_console()
    lead, tables = read_tables(out)
    print_report(console, Report("Everything that is measured", lead, tables))
    for part, reason in done:
        if reason:
            stderr.print(f"not run: {part.title}: {reason}", markup=False, highlight=False)
    stderr.print(f"wrote {out / REPORT_HTML}", markup=False, highlight=False)


def wide_console() -> Console:
    """The console for tables: as wide as they need where there is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=TABLE_WIDTH)


def print_report(console: Console, report: Report) -> None:
    """Title, lead and tables."""
    console.print(f"[bold]{_safe(report.title)}[/bold]")
    for text in report.lead:
        console.print(_safe(text), highlight=False)
    for table in report.tables:
        console.print(_terminal(table))


def _terminal(table: Table) -> TerminalTable:
    out = TerminalTable(title=_safe(table.title), caption=_safe(table.note), title_justify="left")
    for column, name in enumerate(table.columns):
        out.add_column(_safe(name), justify="left" if column == 0 else "right")
    for row in table.rows:
        out.add_row(*(_safe(shown(cell)) for cell in row))
    return out


def _print_dialogue(console: Console, dialogue: Dialogue) -> None:
    console.print(f"\n[bold]{_safe(dialogue.title)}[/bold]")
    for said in dialogue.lines:
        note = f"  [dim]({_safe(said.note)})[/dim]" if said.note else ""
        console.print(f"[cyan]{_safe(said.speaker)}:[/cyan] {_safe(said.text)}{note}", highlight=False)


def _safe(text: str) -> str:
    """Text of users, items and models: no escape characters, no markup."""
    return escape(visible(text))
