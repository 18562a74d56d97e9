"""Events and records as lines for a terminal. Every text that comes from items, users or a model is made harmless."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from convrec.agent.events import (
    Event,
    Fallback,
    Planned,
    Recalled,
    RecommendedItem,
    ToolRan,
    TurnResult,
    Understood,
)
from convrec.core.text import clean, visible
from convrec.memory import confidence
from convrec.tools.schema import Role
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from convrec.agent.api import AgentInfo
    from convrec.core.items import FieldValue
    from convrec.memory.records import Preference
    from convrec.tools.schema import Schema

LINE_CHARS = 400
"""Longest single line made from untrusted text; the wrap is the terminal's."""
STATUS_CHARS = 100
FACT_ROLES = (Role.CATEGORY, Role.DURATION, Role.CERTIFICATE, Role.LANGUAGE, Role.COUNTRY, Role.QUALITY)
"""What of a record is shown under an item; all of it is in ``--json`` and behind ``/why``."""
_PIECES = re.compile(r"\n|[^\S\n]+|\S+")
_NUMBER = re.compile(r"\d{1,3}\.")
SHORT_ID = 8
"""Characters of a preference id that are shown; a shorter prefix works too while it is unique."""


def plain(console: Console, text: str, *, style: str = "", end: str = "\n") -> None:
    """Print untrusted text: no markup, no escapes; on a terminal broken between words."""
    writer = Writer(console, style)
    writer.write(text + end)
    writer.finish()


class Writer:
    """Untrusted text that comes in pieces. On a terminal a line is broken between words, and goes on below its first
    word; elsewhere it is left as it is. A word is held back until it is whole."""

    def __init__(self, console: Console, style: str = "") -> None:
        self._console, self._style = console, style
        self._held = ""
        self._gap = ""
        self._column = self._hang = 0

    def write(self, text: str) -> None:
        text = visible(text)
        if not self._console.is_terminal:
            self._out(text)
            return
        pieces = _PIECES.findall(self._held + text)
        self._held = pieces.pop() if pieces and not pieces[-1].isspace() else ""
        self._out("".join(self._placed(piece) for piece in pieces))

    def finish(self) -> None:
        """Print what was held back."""
        if self._held:
            self._out(self._placed(self._held))
            self._held = ""

    def _placed(self, piece: str) -> str:
        """The piece with what has to stand before it."""
        if piece == "\n":
            self._gap, self._column, self._hang = "", 0, 0
            return piece
        if piece.isspace():
            self._gap = piece
            if self._column == 0:
                self._hang = len(piece)
            return ""
        gap, width = self._gap, cell_len(piece)
        self._gap = ""
        if self._column and self._column + len(gap) + width > self._console.width:
            gap = "\n" + " " * self._hang
            self._column = self._hang
        else:
            if self._column == 0 and _NUMBER.fullmatch(piece):
                self._hang = len(gap) + len(piece) + 1
            self._column += len(gap)
        self._column += width
        return gap + piece

    def _out(self, text: str) -> None:
        if text:
            self._console.print(Text(text, style=self._style), end="", highlight=False, soft_wrap=True)


def line(text: object, limit: int = LINE_CHARS) -> str:
    """Untrusted text on one line."""
    return clean(str(text), limit)


def status_of(event: Event) -> str | None:
    """What the event says in a few words, None for what is shown otherwise."""
    match event:
        case Understood(links=links, conditions=conditions):
            read = ", ".join((*links, *conditions))
            return line(f"understood {read}" if read else "understood", STATUS_CHARS)
        case Recalled(applied=applied) if applied:
            return line(f"recalled {', '.join(applied)}", STATUS_CHARS)
        case Planned(plan=plan, planner=planner):
            return line(f"planned by {planner}: {plan.get('action', '')}", STATUS_CHARS)
        case ToolRan(tool=tool, candidates_in=before, candidates_out=after, ok=ok):
            counts = f" {before:,} → {after:,}" if before else f" {after:,}"
            return line(f"{tool}{counts}{'' if ok else ' (failed)'}", STATUS_CHARS)
        case _:
            return None


def steps_left(event: Event, steps: Sequence[str]) -> list[str]:
    """The tools that are still to run after this event, of those that were before it."""
    if isinstance(event, Planned):
        calls = event.plan.get("calls", ())
        return [line(call.get("tool", ""), STATUS_CHARS) for call in calls if isinstance(call, dict)]
    if isinstance(event, ToolRan) and event.tool in steps:
        return list(steps[steps.index(event.tool) + 1 :])
    return list(steps)


def fallback_line(event: Fallback) -> str:
    return line(f"note: {event.stage}: {event.reason}; instead: {event.instead}")


def footer(result: TurnResult) -> str:
    """How the answer came about, on one line."""
    parts = [
        f"{tool.tool} {tool.candidates_in:,} → {tool.candidates_out:,}" for tool in result.tools if tool.candidates_in
    ]
    if "total" in result.timings:
        parts.append(f"{result.timings['total']:.1f} s")
    calls = result.llm.get("calls", 0)
    if calls:
        parts.append(f"{calls} LLM {'call' if calls == 1 else 'calls'}")
    return line(" · ".join(parts))


def opening(info: AgentInfo, version: str) -> list[str]:
    """Which model answers, over what, and why."""
    who = "rules, no language model" if info.tier == "none" else f"{info.model} ({info.tier})"
    lines = [f"convrec {version}: {info.items:,} {info.item_noun_plural} (catalogue {info.catalogue}), {who}"]
    if info.note:
        lines.append(info.note)
    return [line(text) for text in lines]


def without_list(text: str, items: Sequence[RecommendedItem]) -> str:
    """``text`` without the numbered list of just these items at its end; as it is when it has none there."""
    lines = text.rstrip().split("\n")
    last = lines[-len(items) :]
    listed = len(last) == len(items) and all(
        said.startswith(f"{number}. {item.title}")
        for number, (said, item) in enumerate(zip(last, items, strict=True), 1)
    )
    return "\n".join(lines[: -len(items)] if items and listed else lines).rstrip()


def item_lines(number: int, item: RecommendedItem, schema: Schema) -> list[str]:
    """The n-th item with its reason, and below it the facts of its record in the order of the schema."""
    # Its imports take .3 s; an agent has brought them in before there is an item to show.
    from convrec.agent.reasons import say  # noqa: PLC0415

    makers = schema.people()[:1]  # those after them (writers, cast) fill lines and are in the record
    facts = [
        said
        for spec in schema.fields
        if (spec.role in FACT_ROLES or spec in makers) and (said := say(spec, _field_value(item.fields.get(spec.name))))
    ]
    label = f"{item.title} ({item.year})" if item.year is not None else item.title
    lines = [line(f"{number}. {label}" + (f": {item.reason}" if item.reason else ""))]
    if facts:
        lines.append("   " + line(" · ".join(facts)))
    return lines


def evidence_lines(number: int, item: RecommendedItem) -> list[str]:
    """The n-th item's reason and the facts behind it."""
    label = f"{item.title} ({item.year})" if item.year is not None else item.title
    lines = [f"{number}. {label}" + (f": {item.reason}" if item.reason else "")]
    lines += [f"   - {fact}" for fact in item.evidence] or ["   no single fact: it ranked high on the whole"]
    lines.append("   record: " + "; ".join(f"{name} {_value(value)}" for name, value in item.fields.items()))
    return [line(text) if not text.startswith("   ") else "   " + line(text) for text in lines]


def show_plan(console: Console, result: TurnResult) -> None:
    """The plan, what each tool did, times and tokens of one turn."""
    plain(console, f"plan, by {result.planner}:")
    plain(console, json.dumps(result.plan, ensure_ascii=False, indent=2))
    if result.tools:
        table = Table("tool", "in", "out", "seconds", "what", box=None, header_style="bold")
        for tool in result.tools:
            what = tool.summary if tool.ok else f"failed: {tool.summary}"
            cells = (tool.tool, f"{tool.candidates_in:,}", f"{tool.candidates_out:,}", f"{tool.seconds:.3f}", what)
            table.add_row(*(Text(line(cell)) for cell in cells))
        console.print(table)
    for title, values in (
        ("conditions", result.conditions),
        ("relaxed", result.relaxed),
        ("from memory", result.applied_preferences),
        ("remembered", result.remembered),
        ("fallbacks", tuple(fallback_line(event) for event in result.fallbacks)),
    ):
        if values:
            plain(console, f"{title}: {line('; '.join(values), 2000)}")
    times = ", ".join(f"{stage} {seconds:.3f} s" for stage, seconds in result.timings.items())
    plain(console, f"times: {line(times)}")
    tokens = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in result.llm.items())
    plain(console, f"model: {line(result.model)} (tier {result.tier}); {tokens}")


def show_profile(console: Console, preferences: Iterable[Preference]) -> None:
    """What is believed about the user, with the ids that /forget takes."""
    table = Table("id", "what", "since", "sure", "your words", box=None, header_style="bold")
    for record in preferences:
        since = record.created.astimezone().strftime("%Y-%m-%d %H:%M")
        sure = confidence.now(record, datetime.now(UTC))
        what = record.text if record.superseded_by is None else f"{record.text} (superseded)"
        cells = (record.id[:SHORT_ID], what, since, f"{sure:.0%}", record.said)
        table.add_row(*(Text(line(cell, 160)) for cell in cells))
    if table.row_count:
        console.print(table)
        plain(console, "/forget ID erases one for good, /forget all everything.", style="dim")
    else:
        plain(console, "Nothing is remembered about you.")


def _field_value(value: Any) -> FieldValue:
    """A value of ``RecommendedItem.fields``, in which a tuple may have become a list on its way through JSON."""
    return tuple(value) if isinstance(value, list) else value


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
