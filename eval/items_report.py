"""Item evaluation as a terminal table and as Markdown, beside the published figures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from convrec.core.files import replacing, write_json
from convrec.eval.items import RECALL_AT, ItemReport, Row
from convrec.eval.protocols import Protocol
from rich.markup import escape
from rich.table import Table

_STANDARD = "Kostric & Balog, SIGIR 2026 (their re-runs, trained on all 10,006 training dialogues)"
_ZERO_SHOT = "He et al., CIKM 2023 (zero-shot, titles outside the catalogue dropped)"
PUBLISHED_SOURCE: Mapping[Protocol, str] = {"full": _STANDARD, "novel": _STANDARD, "cikm": _ZERO_SHOT}
PUBLISHED: Mapping[tuple[str, str, Protocol], Mapping[str, Mapping[int, float]]] = {
    ("redial", "test", "full"): {
        "KBRD": {1: 0.033, 10: 0.177, 50: 0.332},
        "KGSF": {1: 0.032, 10: 0.177, 50: 0.369},
        "UniCRS": {1: 0.049, 10: 0.213, 50: 0.421},
        "ECR": {1: 0.049, 10: 0.220, 50: 0.428},
        "MESE": {1: 0.032, 10: 0.178, 50: 0.381},
        "PECRS": {1: 0.044, 10: 0.189, 50: 0.383},
        "ReFICR (7B LLM)": {1: 0.049, 10: 0.270, 50: 0.507},
        "naive echo": {1: 0.043, 10: 0.090, 50: 0.090},
    },
    ("redial", "test", "novel"): {
        "KBRD": {1: 0.017, 10: 0.148, 50: 0.300},
        "KGSF": {1: 0.016, 10: 0.147, 50: 0.327},
        "UniCRS": {1: 0.024, 10: 0.180, 50: 0.335},
        "ECR": {1: 0.026, 10: 0.181, 50: 0.337},
        "MESE": {1: 0.025, 10: 0.159, 50: 0.361},
        "PECRS": {1: 0.022, 10: 0.143, 50: 0.341},
        "ReFICR (7B LLM)": {1: 0.018, 10: 0.213, 50: 0.465},
        "naive echo": {1: 0.0, 10: 0.0, 50: 0.0},
    },
    ("redial", "test", "cikm"): {
        "GPT-4": {1: 0.0504, 5: 0.1397, 10: 0.2008, 20: 0.2675},
        "GPT-3.5": {1: 0.0431, 5: 0.1264, 10: 0.1831, 20: 0.2241},
    },
    ("inspired", "test", "cikm"): {
        "GPT-4": {1: 0.0664, 5: 0.1327, 10: 0.1848, 20: 0.2180},
    },
}
"""recall@k by data set, split and protocol, as printed."""

HASH_SHOWN = 12
"""Characters of a hash that are printed; the JSON report has all 64."""

_HEAD = (
    "system",
    *(f"R@{k}" for k in RECALL_AT),
    "95 % of R@10",
    "NDCG@10",
    "MRR@10",
    "cov@10",
    "Gini@10",
    "ARP@10",
    "seconds",
)


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
        if row.fit_seconds is not None or row.training is None:
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


def table(report: ItemReport) -> Table:
    """The figures for the terminal; published rows are dimmed and marked."""
    out = Table(
        title=escape(heading(report)), caption=escape(_caption(report)), title_justify="left", caption_justify="left"
    )
    for number, name in enumerate(_head(report)):
        out.add_column(name, justify="left" if number == 0 else "right", no_wrap=True)
    for cells, published in _lines(report):
        out.add_row(*map(escape, cells), style="dim" if published else None)
    return out


def markdown(report: ItemReport) -> str:
    """The same as Markdown, with recall by number of items named."""
    head = _head(report)
    rows = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    rows += ["| " + " | ".join(cells) + " |" for cells, _ in _lines(report)]
    parts = [heading(report), "", *rows]
    if caption := _caption(report):
        parts += ["", *caption.splitlines()]
    if report.rows:
        groups = report.rows[0].by_named
        parts += ["", "R@10 by number of items named before (gold mentions in brackets):", ""]
        parts += ["| system | " + " | ".join(f"{g} ({n:,})" for g, (n, _) in groups.items()) + " |"]
        parts += ["|---|" + "---:|" * len(groups)]
        parts += [f"| {r.name} | " + " | ".join(_number(v) for _, v in r.by_named.values()) + " |" for r in report.rows]
    return "\n".join(parts) + "\n"


def write(report: ItemReport, folder: Path) -> tuple[Path, Path]:
    """Write ``items-<dataset>-<split>-<protocol>.json`` and ``.md`` into ``folder``; gives their paths."""
    stem = f"items-{report.dataset}-{report.split}-{report.protocol}"
    as_json, as_text = folder / f"{stem}.json", folder / f"{stem}.md"
    write_json(as_json, report.as_dict())
    with replacing(as_text) as temporary:
        temporary.write_text(markdown(report), encoding="utf-8")
    return as_json, as_text


def as_json(report: ItemReport) -> str:
    """The whole report as one JSON object."""
    return json.dumps(report.as_dict(), ensure_ascii=False, indent=2)


def _head(report: ItemReport) -> tuple[str, ...]:
    """The columns; those of candidate pools only where some system has one."""
    return (*_HEAD, "pool R", "pool size") if any(row.pool for row in report.rows) else _HEAD


def _lines(report: ItemReport) -> Iterator[tuple[list[str], bool]]:
    """(cells, whether published), published rows first."""
    width = len(_head(report))
    for name, recalls in PUBLISHED.get((report.dataset, report.split, report.protocol), {}).items():
        cells = [
            f"{name} [published]",
            *(_number(recalls.get(k), 4 if report.protocol == "cikm" else 3) for k in RECALL_AT),
        ]
        yield cells + ["-"] * (width - len(cells)), True
    for row in report.rows:
        yield _cells(row)[:width], False


def _cells(row: Row) -> list[str]:
    return [
        row.name,
        *(_number(row.recall[k]) for k in RECALL_AT),
        f"{_number(row.ci95[0])}-{_number(row.ci95[1])}",
        _number(row.ndcg),
        _number(row.mrr),
        _number(row.coverage),
        _number(row.gini),
        "-" if row.arp is None else f"{row.arp:.1f}",
        f"{row.seconds:.1f}",
        "-" if row.pool is None else _number(row.pool.recall),
        "-" if row.pool is None else f"{row.pool.size:.0f}",
    ]


def _number(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _caption(report: ItemReport) -> str:
    lines = trained(report)
    if (report.dataset, report.split, report.protocol) in PUBLISHED:
        lines = [f"[published]: {PUBLISHED_SOURCE[report.protocol]}; not measured here.", *lines]
    return "\n".join(lines)
