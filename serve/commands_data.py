"""``convrec data``: import, the demo films, a look at what is there. Parses options, calls tools, shows the outcome."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from convrec.core.errors import CatalogueError, ConvrecError, RequestError
from convrec.core.settings import Settings
from convrec.tools.catalogue import Catalogue
from convrec.tools.catalogue_build import Progress
from convrec.tools.catalogue_file import Manifest, read_manifest
from convrec.tools.demo import ensure_demo
from convrec.tools.import_mapping import parse_map
from convrec.tools.import_readers import Format
from convrec.tools.importing import REJECTED, ImportReport, ImportRequest, import_catalogue, load_schema
from convrec.tools.schema import FILM_SCHEMA, FieldType
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table

app = typer.Typer(help="Catalogues: import your own, build the demo, see what is there.", no_args_is_help=True)

REJECTED_EXIT = 1
USAGE_EXIT = 2
COMMON_VALUES = 8
"""Values of a tags field named by ``show``."""

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


@app.command("import")
def import_command(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="A CSV, JSON Lines or Parquet file.", show_default=False)],
    name: Annotated[str, typer.Option("--name", help="Name of the catalogue.", show_default=False)],
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="FIELD=COLUMN", help="Column of a field; repeatable. FIELD= leaves it out."),
    ] = None,
    schema: Annotated[
        Path | None, typer.Option("--schema", help="JSON file with the fields of another domain than films.")
    ] = None,
    format: Annotated[str | None, typer.Option("--format", help="csv, jsonl or parquet; else by the suffix.")] = None,
    separator: Annotated[
        str | None, typer.Option("--list-separator", help="Between the values of a list field; else found per column.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Reject the file for a single bad row.")] = False,
    max_bad: Annotated[str, typer.Option("--max-bad", help="Share of bad rows that is tolerated.")] = "10%",
    replace: Annotated[
        bool, typer.Option("--replace", help="Put it in the place of a catalogue of that name.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Import a catalogue. Bad rows are listed with their line and set aside; too many, and nothing is changed."""
    with failures(as_json):
        request = ImportRequest(
            file=file,
            name=name,
            mapping=parse_map(mapping or ()),
            schema=load_schema(schema) if schema is not None else FILM_SCHEMA,
            format=cast(Format | None, format),  # checked by the reader
            separator=separator,
            max_bad=0.0 if strict else _share(max_bad),
            replace=replace,
            dry_run=dry_run,
        )
        with progress_bar() as progress:
            report = import_catalogue(request, _settings(ctx).catalogues, progress)
    if as_json:
        typer.echo(json.dumps(_report_document(report, dry_run), ensure_ascii=True))
    else:
        _show_report(report, dry_run)


@app.command("demo")
def demo_command(
    ctx: typer.Context,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Build it again even if it is up to date.")] = False,
    as_json: AsJson = False,
) -> None:
    """Build the demo catalogue of 17,470 films, unless it is there."""
    with failures(as_json):
        with progress_bar() as progress:
            folder = ensure_demo(_settings(ctx), progress, rebuild=rebuild)
        manifest = read_manifest(folder)
    if as_json:
        typer.echo(json.dumps(_summary(folder, manifest), ensure_ascii=True))
    else:
        noun = manifest.item_schema.item_noun_plural
        Console().print(f"[bold]demo[/] is ready: {manifest.size:,} {noun} in {escape(str(folder))}", soft_wrap=True)


@app.command("list")
def list_command(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the catalogues of this machine."""
    settings = _settings(ctx)
    folders = sorted(settings.catalogues.iterdir()) if settings.catalogues.is_dir() else []
    documents: list[dict[str, Any]] = []
    for folder in folders:
        if not folder.is_dir() or folder.name.startswith("."):
            continue
        try:
            documents.append(_summary(folder, read_manifest(folder)))
        except CatalogueError as error:
            documents.append({"name": folder.name, "error": str(error)})
    if as_json:
        typer.echo(json.dumps(documents, ensure_ascii=True))
        return
    console = Console()
    if not documents:
        console.print("No catalogue yet. Run: convrec data demo, or convrec data import FILE --name NAME")
        return
    table = Table("name", "items", "made from", "at")
    for document in documents:
        mark = " *" if document["name"] == settings.catalogue else ""
        if "error" in document:
            table.add_row(escape(document["name"]) + mark, "", f"[red]{escape(document['error'])}[/]", "")
        else:
            items = f"{document['items']:,} {document['noun']}"
            cells = (document["name"] + mark, items, document["source"], document["created_at"])
            table.add_row(*map(escape, cells))
    console.print(table)


@app.command("show")
def show_command(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the catalogue.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Show the fields of a catalogue, how well they are filled, and their commonest values."""
    with failures(as_json):
        folder = _settings(ctx).catalogues / name
        if folder.parent != _settings(ctx).catalogues:
            raise RequestError("name", name, "Expected the name of a catalogue, see: convrec data list")
        catalogue = Catalogue.open(folder)
        try:
            document = _summary(folder, catalogue.manifest) | {"fields": _fields(catalogue)}
        finally:
            catalogue.close()
    if as_json:
        typer.echo(json.dumps(document, ensure_ascii=True))
        return
    console = Console()
    console.print(
        f"[bold]{escape(document['name'])}[/]: {document['items']:,} {escape(document['noun'])}, made from "
        f"{escape(document['source'])} by {escape(document['created_by'])} at {escape(document['created_at'])}",
        soft_wrap=True,
    )
    table = Table("field", "type", "filled", "values")
    for field in document["fields"]:
        values = field.get("common") or field.get("range") or []
        table.add_row(
            field["name"],
            field["type"],
            f"{field['filled']:.0%}",
            escape((", " if field["type"] in ("tags", "text") else " to ").join(map(str, values))),
        )
    console.print(table)
    for note in document["notes"]:
        console.print(f"note: {escape(note)}", soft_wrap=True)


def _settings(ctx: typer.Context) -> Settings:
    settings = ctx.obj.settings
    assert isinstance(settings, Settings)
    return settings


@contextmanager
def failures(as_json: bool) -> Iterator[None]:
    """Errors become one message and an exit code: 2 for wrong options, 1 for anything refused."""
    try:
        yield
    except ConvrecError as error:
        if as_json:
            typer.echo(json.dumps({"error": str(error)}, ensure_ascii=True))
        else:
            Console(stderr=True).print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(USAGE_EXIT if isinstance(error, RequestError) else REJECTED_EXIT) from error


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar on standard error, gone when the work is done."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def update(what: str, done: int, total: int | None) -> None:
            bar.update(task, description=escape(what), completed=done, total=total)

        yield update


def _share(text: str) -> float:
    """``5%`` or ``0.05`` as a share; its range is checked by the import."""
    try:
        return float(text.removesuffix("%")) / 100 if text.endswith("%") else float(text)
    except ValueError as error:
        raise RequestError("--max-bad", text, "Expected a share like 5% or 0.05") from error


def _summary(folder: Path, manifest: Manifest) -> dict[str, Any]:
    return {
        "name": folder.name,
        "folder": str(folder),
        "items": manifest.size,
        "noun": manifest.item_schema.item_noun_plural,
        "source": manifest.source.file,
        "source_sha256": manifest.source.sha256,
        "fingerprint": manifest.fingerprint,
        "created_at": manifest.created_at,
        "created_by": manifest.created_by,
        "notes": list(manifest.notes),
    }


def _fields(catalogue: Catalogue) -> list[dict[str, Any]]:
    fields = []
    for spec in catalogue.schema.fields:
        filled = 1 - catalogue.manifest.missing[spec.name] / catalogue.size
        field: dict[str, Any] = {"name": spec.name, "type": spec.type.value, "role": spec.role.value, "filled": filled}
        if spec.type is FieldType.TAGS:
            field["common"] = [value for value, _ in catalogue.common_values(spec.name, COMMON_VALUES)]
        elif spec.type is not FieldType.TEXT:
            field["range"] = catalogue.value_range(spec.name)
        fields.append(field)
    return fields


def _report_document(report: ImportReport, dry_run: bool) -> dict[str, Any]:
    return {
        "name": report.name,
        "folder": str(report.folder),
        "dry_run": dry_run,
        "rows": report.rows,
        "imported": report.imported,
        "rejected": report.rejected,
        "mapping": dict(report.plan.columns),
        "separators": dict(report.plan.separators),
        "year_in_title": report.plan.year_in_title,
        "ids_made": report.made_ids,
        "ignored_columns": list(report.plan.ignored),
        "unfilled_fields": list(report.plan.unfilled),
        "problems": [
            {"line": bad.line, "field": bad.field, "value": bad.value, "reason": bad.reason} for bad in report.problems
        ],
        "fingerprint": report.manifest.fingerprint if report.manifest else None,
    }


def _show_report(report: ImportReport, dry_run: bool) -> None:
    console, plan = Console(), report.plan
    table = Table("field", "column", "values separated by")
    for field, column in plan.columns.items():
        table.add_row(field, escape(column), escape(plan.separators.get(field) or ""))
    console.print(table)
    if plan.year_in_title:
        console.print("The year is taken from the titles.")
    if report.made_ids:
        console.print("No id column: ids were made from title and year. Name one with --map id=COLUMN.")
    if plan.ignored:
        console.print(f"Columns not used: {escape(', '.join(plan.ignored))}", soft_wrap=True)
    if plan.unfilled:
        console.print(f"Fields left empty: {', '.join(plan.unfilled)}", soft_wrap=True)
    if report.problems:
        bad = Table("line", "field", "value", "reason", title=f"rows set aside: {report.rejected:,}")
        for problem in report.problems:
            bad.add_row(str(problem.line), *map(escape, (problem.field, problem.value, problem.reason)))
        console.print(bad)
        if not dry_run:
            console.print(f"All of them: {escape(str(report.folder / REJECTED))}", soft_wrap=True)
    verb = "would be imported" if dry_run else "imported"
    console.print(f"[bold]{report.imported:,} of {report.rows:,} rows {verb}[/] as {escape(report.name)}")
    if not dry_run:
        console.print(f"Use it: CONVREC_CATALOGUE={escape(report.name)} convrec chat")
