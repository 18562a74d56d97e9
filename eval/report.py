"""What a run tells a reader: tables, charts, dialogues, a funnel per tool. Markdown here, HTML in ``report_html``.

Texts may come from items, users and models: both forms escape every one of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from convrec.core.text import visible

Cell = str | int | float | None
"""A float is printed with three places, None as "-"."""


@dataclass(frozen=True, slots=True)
class Table:
    """``rows``: each as long as ``columns``; the first column names the row."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.title!r}: {len(row)} cells for {len(self.columns)} columns: {row!r}")


@dataclass(frozen=True, slots=True)
class BarChart:
    """Bars from zero, one group per label, one bar per series; values finite and not negative, None for no bar."""

    title: str
    labels: Sequence[str]
    series: Mapping[str, Sequence[float | None]]
    note: str = ""

    def __post_init__(self) -> None:
        _same_length(self.title, self.labels, self.series)


@dataclass(frozen=True, slots=True)
class LineChart:
    """A line per series over ordered, evenly spaced points; None breaks a line. The y axis starts at zero."""

    title: str
    x: Sequence[str | float]
    series: Mapping[str, Sequence[float | None]]
    x_label: str = ""
    y_label: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        _same_length(self.title, self.x, self.series)


class Said(NamedTuple):
    """One line of a dialogue. ``note``: what a reader should know of it, such as the verdict."""

    speaker: str
    text: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A case to be read."""

    title: str
    lines: Sequence[Said]


class FunnelStep(NamedTuple):
    """How many candidates went into a tool and came out of it."""

    tool: str
    into: int
    out: int


@dataclass(frozen=True, slots=True)
class Report:
    """A whole report. ``lead``: paragraphs under the title: what was measured, on what, n, seed, command."""

    title: str
    lead: Sequence[str] = ()
    tables: Sequence[Table] = ()
    charts: Sequence[BarChart | LineChart] = ()
    dialogues: Sequence[Dialogue] = ()
    funnel: Sequence[FunnelStep] = ()

    def with_note(self, text: str) -> Report:
        """The same with one more paragraph in the lead."""
        return replace(self, lead=(*self.lead, text))


def shown(cell: Cell) -> str:
    """A cell as text."""
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return f"{cell:.3f}"
    return f"{cell:,}" if isinstance(cell, int) else cell


def funnel_table(steps: Sequence[FunnelStep]) -> Table:
    """The funnel as a table; ``kept``: out / in, "-" when nothing went in."""
    rows = [(step.tool, step.into, step.out, step.out / step.into if step.into else None) for step in steps]
    return Table("Candidates per tool", ("tool", "in", "out", "kept"), rows)


def markdown(report: Report) -> str:
    """The report as Markdown (GitHub's tables); charts as tables."""
    parts = [f"# {_md(report.title)}", *(_md(text) for text in report.lead)]
    for table in _all_tables(report):
        parts += [f"## {_md(table.title)}", table_markdown(table)]
        if table.note:
            parts.append(_md(table.note))
    if report.dialogues:
        parts.append("## Dialogues")
        for dialogue in report.dialogues:
            parts.append(f"### {_md(dialogue.title)}")
            lines = [
                f"- **{_md(s.speaker)}:** {_md(s.text)}" + (f" *({_md(s.note)})*" if s.note else "")
                for s in dialogue.lines
            ]
            parts.append("\n".join(lines))
    return "\n\n".join(part for part in parts if part) + "\n"


def table_markdown(table: Table) -> str:
    """One table, without its title."""
    head = "| " + " | ".join(_md(column) for column in table.columns) + " |"
    rule = "|---|" + "---:|" * (len(table.columns) - 1)
    return "\n".join([head, rule, *("| " + " | ".join(_md(shown(cell)) for cell in row) + " |" for row in table.rows)])


def _all_tables(report: Report) -> list[Table]:
    charts = [_as_table(chart) for chart in report.charts]
    return [*report.tables, *charts, *([funnel_table(report.funnel)] if report.funnel else [])]


def _as_table(chart: BarChart | LineChart) -> Table:
    if isinstance(chart, BarChart):
        points, first = [str(label) for label in chart.labels], ""
    else:
        points, first = [str(x) for x in chart.x], chart.x_label
    columns = (first or "series", *points)
    return Table(chart.title, columns, [(name, *values) for name, values in chart.series.items()], chart.note)


_SPECIAL = re.compile(r"([\\`*_\[\]|#~])")


def _md(text: str) -> str:
    """Untrusted text in a Markdown line: no control characters, no markup, no HTML, no line break."""
    flat = " ".join(visible(text).split())
    escaped = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # Underscores and brackets inside words are common in names of systems and do no harm there.
    return _SPECIAL.sub(lambda m: m[0] if m[0] in "_#~" and _inside(escaped, m.start()) else f"\\{m[0]}", escaped)


def _inside(text: str, at: int) -> bool:
    return 0 < at < len(text) - 1 and text[at - 1].isalnum() and text[at + 1].isalnum()


def _same_length(title: str, points: Sequence[object], series: Mapping[str, Sequence[float | None]]) -> None:
    for name, values in series.items():
        if len(values) != len(points):
            raise ValueError(f"chart {title!r}, series {name!r}: {len(values)} values for {len(points)} points")
