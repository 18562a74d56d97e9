"""Item evaluation to read: a terminal table, Markdown, the report of a run's folder; published figures beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from convrec.core.text import clean
from convrec.eval.item_published import PUBLISHED, PUBLISHED_SOURCE
from convrec.eval.item_rows import RECALL_AT, Groups, Row
from convrec.eval.items import ItemReport
from convrec.eval.report import BarChart, Cell, Dialogue, FunnelStep, LineChart, Report, Table, table_markdown
from rich.markup import escape
from rich.table import Table as TerminalTable

HASH_SHOWN = 12
"""Characters of a hash that are printed; the JSON report has all 64."""
CHART_SYSTEMS = 8
"""Series in a chart: the best by recall@10."""

_HEAD = (
    "system",
    *(f"R@{k}" for k in RECALL_AT),
    "95 % of R@10",
    "NDCG@10",
    "MRR@10",
    "cov@10",
    "Gini@10",
    "ARP@10",
    "tail hits",
)
_TIMES = ("system", "fit, s", "score, s", "one case, ms", "p95, ms", "peak, MiB")


def heading(report: ItemReport) -> str:
    """One line that says what was measured on what."""
    limited = " FIRST DIALOGUES ONLY: figures do not compare." if report.limited else ""
    what = f"protocol {report.protocol}" if not report.note else f"{report.protocol}, {report.note}"
    of = "" if report.train_on == "own" else " of ReDial and INSPIRED jointly"
    return (
        f"{report.dataset} {report.split}, {what}: {report.n_dialogues:,} dialogues, "
        f"{report.n_cases:,} cases, {report.n_gold:,} gold mentions, {report.n_items:,} items; fitted on "
        f"{report.n_train:,} training dialogues{of} ({report.variant}), seed {report.seed}.{limited}"
    )


def trained(report: ItemReport) -> list[str]:
    """One line for each saved model: what it was trained on, as far as it tells."""
    lines = []
    for row in report.rows:
        if not row.loaded or row.training is None:
            continue
        data_hash, n_sequences, splits = row.training
        where = "splits not recorded" if splits is None else ", ".join(splits)
        count = "an unknown number of" if n_sequences is None else f"{n_sequences:,}"
        same = ", the same data as the systems" if data_hash == report.train_hash else ""
        known = "" if row.n_known in (None, report.n_items) else f"; knows {row.n_known:,} of {report.n_items:,} items"
        lines.append(
            f"{row.name}: saved model, trained on {where}: {count} dialogues, data hash "
            f"{(data_hash or 'unknown')[:HASH_SHOWN]}{same}{known}."
        )
    return lines


def table(report: ItemReport) -> TerminalTable:
    """The figures for the terminal; published rows are dimmed and marked."""
    out = TerminalTable(
        title=escape(heading(report)), caption=escape(caption(report)), title_justify="left", caption_justify="left"
    )
    for column, name in enumerate(_head(report)):
        out.add_column(name, justify="left" if column == 0 else "right", no_wrap=True)
    for cells, row in _lines(report):
        out.add_row(*map(escape, cells), style="dim" if row is None else None)
    return out


def times_table(report: ItemReport) -> TerminalTable:
    """Wall-clock times and memory for the terminal. The memory is the process's, so it only grows from row to row."""
    out = TerminalTable()
    for column, name in enumerate(_TIMES):
        out.add_column(name, justify="left" if column == 0 else "right", no_wrap=True)
    for row in report.rows:
        p50, p95 = row.times.one_ms or (None, None)
        peak = row.times.peak_mib
        numbers = [number(value, 1) for value in (row.times.fit_s, row.times.score_s, p50, p95)]
        out.add_row(escape(clean(row.name, 60)), *numbers, "-" if peak is None else f"{peak:,}")
    return out


def markdown(report: ItemReport) -> str:
    """The figures as Markdown tables, without times."""
    parts = [heading(report)]
    for number, shown in enumerate(tables(report)):
        parts += [
            *([f"{shown.title}:"] if number else []),
            table_markdown(shown),
            *([shown.note] if shown.note else []),
        ]
    return "\n\n".join(parts) + "\n"


def run_report(report: ItemReport, dialogues: Sequence[Dialogue] = ()) -> Report:
    """The report of a run's folder. ``dialogues``: cases to read."""
    best = sorted(report.rows, key=lambda row: -row.recall[10])[:CHART_SYSTEMS]
    marks = PUBLISHED.get((report.dataset, report.split, report.protocol), {})
    recalls: dict[str, list[float | None]] = {row.name: [row.recall[k] for k in (1, 10, 50)] for row in best}
    names = [*recalls, *(f"{name} [published]" for name in marks)]
    columns: list[list[float | None]] = [
        *recalls.values(),
        *([mark.recall.get(k) for k in (1, 10, 50)] for mark in marks.values()),
    ]
    charts: list[BarChart | LineChart] = [
        BarChart("Recall", names, {f"R@{k}": [c[i] for c in columns] for i, k in enumerate((1, 10, 50))})
    ]
    for title, label, groups in _grouped(best):
        if groups:
            points = list(next(iter(groups.values())))
            series = {name: [recall for _, recall in of.values()] for name, of in groups.items()}
            charts.append(LineChart(title, points, series, x_label=label))
    return Report(
        f"Item recommendation: {report.dataset} {report.split}, {report.protocol}",
        lead=[heading(report), *trained(report)],
        tables=tables(report),
        charts=charts,
        dialogues=dialogues,
        funnel=_funnel(report),
    )


def tables(report: ItemReport) -> list[Table]:
    """All figures but the times."""
    head = _head(report)
    out = [Table("All systems", head, [cells for cells, _ in _lines(report)], caption(report))]
    for title, _, groups in _grouped(report.rows):
        if groups:
            counts = [f"{label} ({n:,})" for label, (n, _) in next(iter(groups.values())).items()]
            rows: list[list[Cell]] = [
                [name, *(number(recall) for _, recall in of.values())] for name, of in groups.items()
            ]
            out.append(Table(f"{title} (gold mentions in brackets)", ["system", *counts], rows))
    return out


def as_json(report: ItemReport) -> str:
    """The whole report as one JSON object, with times."""
    return json.dumps(report.as_dict(), ensure_ascii=False, indent=2)


def number(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def caption(report: ItemReport) -> str:
    """What the table's marks mean, and what the models learnt from."""
    lines = trained(report)
    if (report.dataset, report.split, report.protocol) in PUBLISHED:
        lines = [f"[published]: {PUBLISHED_SOURCE[report.protocol]}; not measured here.", *lines]
    return "\n".join(lines)


def _grouped(rows: Sequence[Row]) -> list[tuple[str, str, dict[str, Groups]]]:
    """(title, axis, groups by system)."""
    if not rows:
        return []
    return [
        ("R@10 by number of items named before", "items named before", {row.name: row.by_named for row in rows}),
        ("R@10 by messages before the case", "messages before", {row.name: row.by_before for row in rows}),
        (
            "R@10 by popularity of the gold item, least popular tenth first",
            "tenth of the gold mentions: training dialogues that name the item",
            {row.name: row.by_decile for row in rows if row.by_decile},
        ),
    ]


def _funnel(report: ItemReport) -> list[FunnelStep]:
    steps = []
    for row in report.rows:
        if row.pool is not None:
            inside = round(row.pool.recall * report.n_gold)
            steps += [
                FunnelStep(f"{row.name}: candidates per case", report.n_items, round(row.pool.size)),
                FunnelStep(f"{row.name}: gold mentions among them", report.n_gold, inside),
                FunnelStep(f"{row.name}: gold mentions in the top 50", inside, round(row.recall[50] * report.n_gold)),
                FunnelStep(
                    f"{row.name}: gold mentions in the top 10",
                    round(row.recall[50] * report.n_gold),
                    round(row.recall[10] * report.n_gold),
                ),
            ]
    return steps


def _head(report: ItemReport) -> tuple[str, ...]:
    """The columns; those of questionnaires, candidate pools and ids outside the catalogue only where there are any."""
    pools = ("pool R", "pool size") if any(row.pool for row in report.rows) else ()
    utility = ("SR", "RDL") if any(row.utility for row in report.rows) else ()
    return (*_HEAD, *utility, *pools, *(("no item",) if any(row.outside for row in report.rows) else ()))


def _lines(report: ItemReport) -> Iterator[tuple[list[str], Row | None]]:
    """(cells, the row, None for a published one), published rows first."""
    head = _head(report)
    digits = 4 if report.protocol == "cikm" else 3
    for name, mark in PUBLISHED.get((report.dataset, report.split, report.protocol), {}).items():
        cells = dict.fromkeys(head, "-")
        cells["system"] = f"{name} [published]"
        cells |= {f"R@{k}": number(mark.recall.get(k), digits) for k in RECALL_AT}
        cells |= {"SR": number(mark.sr, 3), "RDL": number(mark.rdl, 3)} if "SR" in cells else {}
        yield list(cells.values()), None
    for row in report.rows:
        cells = _cells(row)
        yield [cells[name] for name in head], row


def _cells(row: Row) -> dict[str, str]:
    return {
        "system": clean(row.name, 60),
        **{f"R@{k}": number(row.recall[k]) for k in RECALL_AT},
        "95 % of R@10": f"{number(row.ci95[0])}-{number(row.ci95[1])}",
        "NDCG@10": number(row.ndcg),
        "MRR@10": number(row.mrr),
        "SR": number(row.utility and row.utility.sr),
        "RDL": number(row.utility and row.utility.rdl),
        "cov@10": number(row.coverage),
        "Gini@10": number(row.gini),
        "ARP@10": "-" if row.arp is None else f"{row.arp:.1f}",
        "tail hits": number(row.tail),
        "pool R": "-" if row.pool is None else number(row.pool.recall),
        "pool size": "-" if row.pool is None else f"{row.pool.size:.0f}",
        "no item": number(row.outside),
    }
