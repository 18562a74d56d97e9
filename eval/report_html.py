"""A report as one HTML file: no script, no font, no picture from elsewhere; every text escaped; light and dark."""

from __future__ import annotations

from html import escape

from convrec.core.text import visible
from convrec.eval.report import Dialogue, Report, Table, funnel_table, shown
from convrec.eval.report_charts import legend, svg

_CSS = """
:root { color-scheme: light dark; --bg: #fff; --fg: #1c2430; --dim: #5b6675; --line: #dde2e8; --soft: #f4f6f8;
  --s0: #3266ad; --s1: #d9632a; --s2: #2f8f6b; --s3: #a8459b; --s4: #b08a15; --s5: #6a5acd;
  --s6: #b23a48; --s7: #5b7083; }
@media (prefers-color-scheme: dark) { :root { --bg: #14181e; --fg: #e3e8ee; --dim: #9aa7b5; --line: #303945;
  --soft: #1d232b; --s0: #7aa8e6; --s1: #f0935f; --s2: #63c79f; --s3: #d98bce; --s4: #d8b84a; --s5: #a89cf0;
  --s6: #e8808c; --s7: #a3b3c2; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1280px; padding: 28px 20px 60px; background: var(--bg); color: var(--fg);
  font: 15px/1.55 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; margin: 0 0 8px; } h2 { font-size: 1.15rem; margin: 34px 0 8px; }
p { margin: 6px 0; } .note, .lead { color: var(--dim); }
.wide { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; width: 100%; overflow-wrap: normal; font-size: .9rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: 6px 10px; text-align: right; white-space: nowrap; border-top: 1px solid var(--line); }
thead th { background: var(--soft); border-top: 0; }
th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 12em; }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; } svg text { fill: var(--fg); }
svg .tick { fill: var(--dim); font-size: 11px; } svg .grid { stroke: var(--line); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; list-style: none; padding: 0; margin: 4px 0;
  font-size: .88rem; }
.legend i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 6px; }
details { border: 1px solid var(--line); border-radius: 8px; padding: 8px 14px; margin: 8px 0; }
summary { cursor: pointer; font-weight: 600; } dl { margin: 8px 0 2px; }
dt { font-size: .8rem; color: var(--dim); margin-top: 8px; } dd { margin: 0; white-space: pre-wrap; }
dd small { display: block; color: var(--s1); }
"""


def html(report: Report) -> str:
    """The whole page."""
    parts = [f"<h1>{_text(report.title)}</h1>", *(f'<p class="lead">{_text(text)}</p>' for text in report.lead)]
    parts += [_table(table) for table in report.tables]
    for chart in report.charts:
        note = f'<p class="note">{_text(chart.note)}</p>' if chart.note else ""
        parts.append(f"<h2>{_text(chart.title)}</h2>{legend(list(chart.series))}{svg(chart)}{note}")
    if report.funnel:
        parts.append(_table(funnel_table(report.funnel)))
    if report.dialogues:
        parts += ["<h2>Dialogues</h2>", *(_dialogue(dialogue) for dialogue in report.dialogues)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{_text(report.title)}</title><style>{_CSS}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _table(table: Table) -> str:
    head = "".join(f"<th>{_text(column)}</th>" for column in table.columns)
    rows = "".join("<tr>" + "".join(f"<td>{_text(shown(cell))}</td>" for cell in row) + "</tr>" for row in table.rows)
    note = f'<p class="note">{_text(table.note)}</p>' if table.note else ""
    body = f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    return f"<h2>{_text(table.title)}</h2>{body}{note}"


def _dialogue(dialogue: Dialogue) -> str:
    lines = []
    for said in dialogue.lines:
        note = f"<small>{_text(said.note)}</small>" if said.note else ""
        lines.append(f"<dt>{_text(said.speaker)}</dt><dd>{_text(said.text)}{note}</dd>")
    return f"<details><summary>{_text(dialogue.title)}</summary><dl>{''.join(lines)}</dl></details>"


def _text(text: str) -> str:
    """Untrusted text: no control or direction characters, no markup; line breaks stay."""
    return escape(visible(text))
