"""``convrec eval interactions``: leave-last-out on a user-item file; the work is in ``interactions``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from convrec.core.errors import RequestError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

TABLE_WIDTH = 150
"""Columns the table needs when the output is no terminal."""


def interactions(
    data: Annotated[
        Path, typer.Option(help="CSV, TSV, JSON Lines or Parquet (or .gz of it), one user and item per row")
    ],
    systems: Annotated[
        str | None, typer.Option(help="comma-separated, from: popularity, itemknn, ease, sasrec, blend; else all")
    ] = None,
    user_column: Annotated[str | None, typer.Option(help="column of users, else found by name")] = None,
    item_column: Annotated[str | None, typer.Option(help="column of items, else found by name")] = None,
    rating_column: Annotated[str | None, typer.Option(help="column of ratings, for --min-rating")] = None,
    time_column: Annotated[str | None, typer.Option(help="column of times; without one: the order of the file")] = None,
    min_rating: Annotated[float | None, typer.Option(help="leave out lower ratings")] = None,
    lists: Annotated[
        list[str] | None, typer.Option(help="NAME=FILE: another system's lists (user, item, rank); may be repeated")
    ] = None,
    write_split: Annotated[
        Path | None, typer.Option(help="write the split into this folder as CSV files for other libraries, and stop")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="print one JSON object and nothing else")] = False,
    seed: Annotated[int, typer.Option(min=0, help="seed of the bootstrap and of training")] = 0,
) -> None:
    """Leave-last-out on a user-item file: NDCG, recall, MRR at 10, coverage, with bootstrap intervals."""
    from convrec.eval import interactions as work  # noqa: PLC0415 -- numpy, scipy
    from convrec.tools.recommenders.interaction_training import default_experts  # noqa: PLC0415
    from convrec.tools.recommenders.interactions import Columns, read_interactions  # noqa: PLC0415

    console = Console(stderr=True)
    names = [*default_experts(), "blend"] if systems is None else [n.strip() for n in systems.split(",") if n.strip()]
    if systems is None and "sasrec" not in names:
        console.print("sasrec is left out: training it needs torch (pip install 'convrec\\[memory]')", highlight=False)
    try:
        files = dict(_name_and_file(text) for text in lists or ())
        with console.status("reading") as status:
            train, read = read_interactions(
                data, Columns(user_column, item_column, rating_column, time_column), min_rating=min_rating
            )
            if write_split is not None:
                for path in work.write_split(train, write_split).values():
                    console.print(f"wrote {path}", markup=False, highlight=False)
                return
            report = work.evaluate_interactions(
                train,
                read,
                data,
                systems=names,
                lists=files,
                min_rating=min_rating,
                seed=seed,
                report=lambda text: status.update(escape(text)),
            )
    except RequestError as error:
        raise typer.BadParameter(str(error)) from error
    if json_output:
        typer.echo(json.dumps(report.as_dict(), ensure_ascii=False, indent=2))
        return
    shown = Console()
    if not shown.is_terminal:
        shown = Console(width=TABLE_WIDTH)
    shown.print(_table(report))


def _name_and_file(text: str) -> tuple[str, Path]:
    name, sign, file = text.partition("=")
    if not (name.strip() and sign and file):
        raise RequestError("lists", text, "Write NAME=FILE.")
    return name.strip(), Path(file)


def _table(report: object) -> Table:
    from convrec.eval.interactions import InteractionReport  # noqa: PLC0415 -- numpy, scipy

    assert isinstance(report, InteractionReport)
    out = Table(
        title=escape(
            f"{report.data}, leave-last-out: {report.n:,} users, {report.n_items:,} items, {report.read.text()}; "
            f"{report.left_out:,} users with fewer than 3 items not measured; seed {report.seed}"
        ),
        caption=escape(
            f"{report.unseen} right items are in nobody's training data; {report.read.tied} users' newest two items "
            "have the same time"
        ),
        title_justify="left",
        caption_justify="left",
    )
    out.add_column("system", no_wrap=True)
    for name in ("NDCG@10", "95 %", "R@10", "95 %", "MRR@10", "cov@10", "NDCG@10 valid", "seconds"):
        out.add_column(name, justify="right", no_wrap=True)
    for row in report.rows:
        out.add_row(
            escape(row.name),
            f"{row.figures['ndcg@10']:.4f}",
            "-".join(f"{end:.4f}" for end in row.ci95["ndcg@10"]),
            f"{row.figures['recall@10']:.4f}",
            "-".join(f"{end:.4f}" for end in row.ci95["recall@10"]),
            f"{row.figures['mrr@10']:.4f}",
            f"{row.figures['coverage@10']:.4f}",
            "-" if row.valid_ndcg is None else f"{row.valid_ndcg:.4f}",
            "-" if row.seconds is None else f"{row.seconds:.0f}",
        )
    return out
