"""Bar and line charts as plain inline SVG; colours are the page's CSS variables, so light and dark both work."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from convrec.core.text import visible
from convrec.eval.report import BarChart, LineChart

COLOURS = 8
"""The page has that many series colours (``--s0`` ...); further series begin again, with dashes in a line chart."""
WIDTH, PLOT_HEIGHT = 820, 260
LEFT, RIGHT, TOP = 56, 16, 12
BAR, GAP, NAME_WIDTH = 16, 14, 190
LABEL_CHARS = 26


def svg(chart: BarChart | LineChart) -> str:
    """The chart without its title; every text escaped; each mark has a tooltip with its value."""
    return _bars(chart) if isinstance(chart, BarChart) else _lines(chart)


def legend(names: Sequence[str]) -> str:
    """Colour and name of each series; nothing for a single one."""
    if len(names) < 2:
        return ""
    items = (f'<li><i style="background:var(--s{i % COLOURS})"></i>{_text(name)}</li>' for i, name in enumerate(names))
    return f'<ul class="legend">{"".join(items)}</ul>'


def _bars(chart: BarChart) -> str:
    """Horizontal, so that long labels can be read."""
    group = BAR * len(chart.series) + GAP
    height = TOP + group * len(chart.labels) + 28
    top_value = _ceiling([v for values in chart.series.values() for v in values if v is not None])
    scale = (WIDTH - NAME_WIDTH - 70) / top_value
    parts = []
    for tick in _ticks(top_value):
        x = NAME_WIDTH + tick * scale
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{height - 24}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{height - 8}" text-anchor="middle">{tick:g}</text>')
    for row, label in enumerate(chart.labels):
        y = TOP + row * group
        middle = y + BAR * len(chart.series) / 2 + 4
        parts.append(
            f'<text x="{NAME_WIDTH - 8}" y="{middle:.1f}" text-anchor="end">{_text(label, LABEL_CHARS)}</text>'
        )
        for number, (name, values) in enumerate(chart.series.items()):
            value = values[row]
            if value is None:
                continue
            at = y + number * BAR
            parts.append(
                f'<rect x="{NAME_WIDTH}" y="{at + 1}" width="{max(value * scale, 0.5):.1f}" height="{BAR - 3}" rx="2" '
                f'fill="var(--s{number % COLOURS})"><title>{_text(label)}, {_text(name)}: {value:.4g}</title></rect>'
                f'<text class="tick" x="{NAME_WIDTH + value * scale + 5:.1f}" y="{at + BAR - 5}">{value:.3g}</text>'
            )
    return _frame(height, chart.title, parts)


def _lines(chart: LineChart) -> str:
    height = TOP + PLOT_HEIGHT + 44
    top_value = _ceiling([v for values in chart.series.values() for v in values if v is not None])
    step = (WIDTH - LEFT - RIGHT) / max(len(chart.x) - 1, 1)

    def point(at: int, value: float) -> tuple[float, float]:
        return LEFT + at * step, TOP + PLOT_HEIGHT * (1 - value / top_value)

    parts = []
    for tick in _ticks(top_value):
        y = point(0, tick)[1]
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    every = math.ceil(len(chart.x) / 12)
    for at, x in enumerate(chart.x):
        if at % every == 0:
            left = point(at, 0)[0]
            shown = _text(str(x), 12)
            parts.append(
                f'<text class="tick" x="{left:.1f}" y="{TOP + PLOT_HEIGHT + 16}" text-anchor="middle">{shown}</text>'
            )
    for number, (name, values) in enumerate(chart.series.items()):
        colour = f"var(--s{number % COLOURS})"
        dash = ' stroke-dasharray="6 4"' if number >= COLOURS else ""
        for run in _unbroken(values):
            places = " ".join(f"{x:.1f},{y:.1f}" for x, y in (point(at, value) for at, value in run))
            parts.append(f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
            for at, value in run:
                x, y = point(at, value)
                tip = f"{_text(name)}, {_text(str(chart.x[at]))}: {value:.4g}"
                parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"><title>{tip}</title></circle>')
    if chart.x_label:
        middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
        parts.append(f'<text x="{middle:.1f}" y="{height - 6}" text-anchor="middle">{_text(chart.x_label)}</text>')
    return _frame(height, chart.title, parts)


def _frame(height: int, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{_text(title)}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def _unbroken(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    runs: list[list[tuple[int, float]]] = [[]]
    for at, value in enumerate(values):
        if value is not None:
            runs[-1].append((at, value))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _ceiling(values: Sequence[float]) -> float:
    """The end of the axis: 1, 2, 2.5 or 5 times a power of ten."""
    if any(value < 0 or not math.isfinite(value) for value in values):
        raise ValueError("a chart shows finite values that are not negative")
    largest = max(values, default=0.0)
    if largest <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(largest))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= largest * (1 - 1e-9))


def _ticks(top: float) -> list[float]:
    return [float(f"{top * part / 5:.6g}") for part in range(6)]


def _text(text: str, limit: int | None = None) -> str:
    flat = " ".join(visible(text).split())
    if limit is not None and len(flat) > limit:
        flat = flat[: limit - 1] + "…"
    return escape(flat)
