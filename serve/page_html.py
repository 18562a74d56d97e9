"""The web page's pieces as HTML. Every text that comes from a user, an item or a model passes through ``escape``: it is
shown as it was written and never becomes markup. Knows no web framework."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from typing import NamedTuple, get_args
from urllib.parse import quote

from convrec.agent.api import AgentInfo, Approval
from convrec.agent.events import Event, Fallback, Planned, Recalled, RecommendedItem, ToolRan, TurnResult, Understood
from convrec.memory import confidence
from convrec.memory.records import Polarity, Preference
from convrec.tools.schema import FieldSpec, Role, Schema

EXAMPLES = (
    "a Korean thriller under two hours",
    "I loved Heat and Collateral, something newer with a similar feel but less violent",
    "no horror please, I always watch with my kids",
    "something funny from the 90s with Jim Carrey",
)
"""Prompts of the first screen, when the catalogue holds films."""
_ICON = '<svg viewBox="0 0 20 20" width="16" height="16" aria-hidden="true"{}><path d="{}"/></svg>'
_THUMB = "M3 9h3v8H3zM6 9l4-7c1.5 0 2.2 1.2 1.8 2.6L11 8h5c1 0 1.7.9 1.5 1.9l-1.2 5.6c-.2.9-.9 1.5-1.8 1.5H6"
MARKS = {
    "liked": (_ICON.format("", _THUMB), "I like it"),
    "disliked": (_ICON.format(' style="transform: rotate(180deg)"', _THUMB), "not for me"),
    "seen": ("seen it", "I have seen it"),
}
"""Buttons of a card: kind of feedback to (HTML, title). Drawn, since not every machine has a font with the signs."""


class Decision(NamedTuple):
    """A button under a plan that waits."""

    said: str
    approval: Approval


DECISIONS = {"approve": Decision("Go on", "yes"), "drop": Decision("Never mind", "no")}
_PENCIL = _ICON.format("", "M3 17l1-4L13.5 3.5l3 3L7 16zM12 5l3 3")
POLARITIES: tuple[Polarity, ...] = get_args(Polarity)
_SIGNS = {"liked": "+", "wanted": "+", "disliked": "−", "unwanted": "−", "rejected": "−", "seen": "•", "neutral": "•"}
_TIERS = {"served": "served model", "embedded": "embedded model", "none": "no language model"}


@dataclass(slots=True)
class TurnView:
    """One turn as the page shows it; filled while it happens."""

    said: str
    reply: str = ""
    status: str = "thinking"
    """What is going on; empty once the turn is over."""
    problem: str = ""
    result: TurnResult | None = None
    marks: dict[str, str] = field(default_factory=dict)
    """What the user said of an item of this turn: item id to "liked", "disliked" or "seen"."""
    events: list[Event] = field(default_factory=list)
    """All but the reply's tokens, for the trace."""


def header(info: AgentInfo) -> str:
    chips = [
        _TIERS.get(info.tier, info.tier),
        info.model,
        f"catalogue {info.catalogue}: {info.items:,} {info.item_noun_plural}",
    ]
    note = f'<span class="cr-note">{escape(info.note)}</span>' if info.note else ""
    shown = "".join(f'<span class="cr-chip">{escape(chip)}</span>' for chip in chips)
    return f'<div class="cr-head"><h1>convrec</h1>{shown}{note}</div>'


def welcome(info: AgentInfo) -> str:
    return (
        '<div class="cr-welcome"><h2>What are you in the mood for?</h2>'
        f"Say it in your own words: what you liked, what you never want, how long, how new. I only name "
        f"{escape(info.item_noun_plural)} that are in my catalogue, and I show how I got there.</div>"
    )


def examples() -> str:
    buttons = (
        f'<button type="button" class="cr-btn" data-act="example" data-turn="{number}">{escape(text)}</button>'
        for number, text in enumerate(EXAMPLES)
    )
    return f'<div class="cr-examples" aria-label="examples">{"".join(buttons)}</div>'


def decide(turn: TurnView | None) -> str:
    """The buttons under a plan that waits after this turn; nothing when none does."""
    if turn is None or turn.result is None or turn.result.proposal is None:
        return ""
    buttons = (
        f'<button type="button" class="cr-btn" data-act="{act}">{escape(decision.said)}</button>'
        for act, decision in DECISIONS.items()
    )
    return f'<div class="cr-examples" role="group" aria-label="the plan that waits">{"".join(buttons)}</div>'


def transcript(turns: Sequence[TurnView], info: AgentInfo, schema: Schema) -> str:
    """All finished turns, oldest first; the welcome when there is none."""
    if not turns:
        return welcome(info)
    return "".join(turn_html(turn, number, schema) for number, turn in enumerate(turns))


def problem(text: str) -> str:
    return f'<div class="cr-problem" role="alert">{escape(text)}</div>'


def turn_html(turn: TurnView, number: int, schema: Schema) -> str:
    parts = [f'<div class="cr-user">{escape(turn.said)}</div>']
    if reply := _without_list(turn):
        parts.append(f'<div class="cr-reply">{escape(reply)}</div>')
    if turn.status:
        parts.append(f'<div class="cr-status cr-busy" role="status">{escape(turn.status)}</div>')
    if turn.problem:
        parts.append(problem(turn.problem))
    if turn.result is not None:
        if turn.result.items:
            shown = (
                card(item, place, number, turn.marks.get(item.id), schema)
                for place, item in enumerate(turn.result.items, start=1)
            )
            parts.append(f'<ol class="cr-cards">{"".join(shown)}</ol>')
        if remarks := _remarks(turn.result):
            lines = "".join(f"<div>{escape(line)}</div>" for line in remarks)
            parts.append(f'<div class="cr-status">{lines}</div>')
    return f'<div class="cr-turn" data-turn="{number}">{"".join(parts)}</div>'


def _without_list(turn: TurnView) -> str:
    """The reply without the lines that name the items, once the cards show them."""
    if turn.result is None:
        return turn.reply
    heads = tuple(f"{place}. {item.title}" for place, item in enumerate(turn.result.items, start=1))
    return "\n".join(line for line in turn.reply.splitlines() if not (heads and line.startswith(heads))).strip()


def _remarks(result: TurnResult) -> list[str]:
    lines = []
    if result.remembered:
        lines.append("Remembered: " + "; ".join(result.remembered))
    if result.applied_preferences:
        lines.append("Kept in mind: " + "; ".join(result.applied_preferences))
    lines.extend(f"{fallback.stage}: {fallback.instead}, because {fallback.reason}" for fallback in result.fallbacks)
    return lines


def card(item: RecommendedItem, place: int, turn: int, mark: str | None, schema: Schema) -> str:
    year = f" <span>({item.year})</span>" if item.year is not None else ""
    buttons = "".join(
        f'<button type="button" class="cr-btn" data-act="{kind}" data-turn="{turn}" data-id="{escape(item.id)}" '
        f'aria-pressed="{"true" if mark == kind else "false"}" title="{escape(title)}" '
        f'aria-label="{escape(title)}: {escape(item.title)}">{label}</button>'
        for kind, (label, title) in MARKS.items()
    )
    facts = "".join(f'<div class="cr-meta">{escape(line)}</div>' for line in _facts(item, schema))
    why = escape("; ".join(item.evidence))
    reason = f'<div class="cr-reason" title="{why}">{escape(item.reason)}</div>' if item.reason else ""
    return (
        f'<li class="cr-card"><h3>{place}. {escape(item.title)}{year}</h3>{facts}{reason}'
        f'<div class="cr-acts">{buttons}</div></li>'
    )


def _facts(item: RecommendedItem, schema: Schema) -> list[str]:
    """The card's grey lines: what it is, who made it, how good it is held to be and how well it fits."""
    people = schema.people()[:1]
    lines = (
        [_value(item, schema.by_role(role)) for role in (Role.CATEGORY, Role.DURATION)],
        [f"{spec.spoken} {value}" for spec in people if (value := _value(item, spec))],
        [_value(item, schema.by_role(Role.QUALITY))],
    )
    return [text for line in lines if (text := " · ".join(value for value in line if value))]


def _value(item: RecommendedItem, spec: FieldSpec | None) -> str:
    value = item.fields.get(spec.name) if spec is not None else None
    if spec is None or value in (None, "", [], ()):
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(str(part) for part in value[:3])
    if spec.unit == "%":
        return f"{value}% {spec.spoken}"
    return f"{value} {'min' if spec.unit == 'minutes' else spec.unit}".strip()


def beliefs(
    preferences: Iterable[Preference], user: str, trouble: str = "", summary: str = "", sought: str = ""
) -> str:
    """The panel: the profile in plain words, then each preference with its source, erasable and editable.

    ``sought``: what was searched for; ``preferences`` are then those found.
    """
    rows = [_belief(preference) for preference in preferences]
    head = "<h2>What I believe about you</h2>"
    if trouble:
        head += problem(trouble)
    taken = (
        '<label class="cr-link">import JSON<input type="file" accept=".json,application/json" '
        'data-act="import-file" aria-label="import JSON"></label>'
    )
    if not rows and not sought:
        body = '<div class="cr-note">Nothing yet. What you like, dislike or ask for "always" will be listed here.</div>'
        return f'<div class="cr-panel">{head}{body}{taken}</div>'
    if summary:
        head += f'<div class="cr-summary">{escape(summary)}</div>'
    head += (
        f'<div class="cr-find"><input value="{escape(sought)}" maxlength="200" placeholder="search" '
        'aria-label="search">'
        '<button type="button" class="cr-btn" data-act="find">find</button></div>'
    )
    none = "" if rows else '<div class="cr-note">Nothing found. Search for nothing to see all.</div>'
    # Addresses are relative: the page may be served under a prefix.
    address = f"v1/users/{quote(user, safe='')}/preferences/export"
    return (
        f'<div class="cr-panel">{head}<ul class="cr-beliefs">{"".join(rows)}</ul>{none}'
        f'<a class="cr-link" href="{escape(address)}" download="convrec-preferences.json">export JSON</a> {taken} '
        '<button type="button" class="cr-link" data-act="forget-all">erase all</button></div>'
    )


def _belief(preference: Preference) -> str:
    key, text = escape(preference.id), escape(preference.text)
    source = f"you said “{preference.said}”, " if preference.said and preference.said != preference.text else ""
    often = f", said {preference.times} times" if preference.times > 1 else ""
    sure = confidence.now(preference, datetime.now(UTC))
    until = f", until {preference.valid_until:%Y-%m-%d}" if preference.valid_until is not None else ""
    origin = f"{source}{preference.created:%Y-%m-%d}{often}{until}, {sure:.0%} sure"
    choices = "".join(
        f'<option value="{polarity}"{" selected" if polarity == preference.polarity else ""}>{polarity}</option>'
        for polarity in POLARITIES
    )
    return (
        f'<li class="cr-belief"><div class="cr-line"><div><b>{_SIGNS[preference.polarity]}</b> {text}'
        f'<div class="cr-note">{escape(origin)}</div></div>'
        f'<button type="button" class="cr-btn" data-act="open" title="edit" aria-label="edit: {text}">'
        f"{_PENCIL}</button>"
        f'<button type="button" class="cr-btn" data-act="forget" data-id="{key}" title="erase" '
        f'aria-label="erase: {text}">×</button></div>'
        f'<div class="cr-form"><input value="{text}" maxlength="500" aria-label="text">'
        f'<select aria-label="polarity">{choices}</select>'
        f'<button type="button" class="cr-btn" data-act="edit" data-id="{key}">save</button></div></li>'
    )


def trace(turn: TurnView | None) -> str:
    """How the last turn came about, step by step."""
    if turn is None:
        return '<div class="cr-trace">Ask something; each step of the answer is listed here.</div>'
    parts: list[str] = []
    tools = [event for event in turn.events if isinstance(event, ToolRan)]
    for event in turn.events:
        match event:
            case Understood(links, conditions, notes):
                parts += _section("Understood", [*links, *conditions, *notes])
            case Recalled(applied, left_out, reasons):
                why = [*reasons, *[""] * (len(applied) - len(reasons))]
                used = [f"{text}: {reason}" if reason else text for text, reason in zip(applied, why, strict=False)]
                parts += _section("Recalled", [*used, *(f"left out: {text}" for text in left_out)])
            case Planned(plan, planner, note):
                shown = escape(json.dumps(plan, ensure_ascii=False, indent=1))
                remark = f" ({escape(note)})" if note else ""
                parts.append(f"<h4>Plan by {escape(planner)}{remark}</h4><pre>{shown}</pre>")
            case _:
                continue
    if tools:
        rows = "".join(
            f"<tr><td>{'' if ran.ok else '✗ '}{escape(ran.tool)}<br>{escape(ran.summary)}</td>"
            f'<td class="cr-num">{ran.candidates_in:,} → {ran.candidates_out:,}</td>'
            f'<td class="cr-num">{ran.seconds * 1000:,.0f} ms</td></tr>'
            for ran in tools
        )
        head = '<tr><th>tool</th><th class="cr-num">candidates</th><th class="cr-num">time</th></tr>'
        parts.append(f"<h4>Tools</h4><table>{head}{rows}</table>")
    fallbacks = [event for event in turn.events if isinstance(event, Fallback)]
    if fallbacks:
        parts += _section("Fallbacks", [f"{f.stage}: {f.reason}; instead: {f.instead}" for f in fallbacks])
    if turn.result is not None:
        llm, timings = turn.result.llm, turn.result.timings
        if turn.result.relaxed:
            parts += _section("Relaxed, as nothing fitted all of it", turn.result.relaxed)
        if llm:
            parts += _section("Language model", [f"{name.replace('_', ' ')}: {count:,}" for name, count in llm.items()])
        parts += _section("Time", [f"{name.replace('_', ' ')}: {seconds:.2f} s" for name, seconds in timings.items()])
    return f'<div class="cr-trace">{"".join(parts) or "…"}</div>'


def _section(title: str, lines: Sequence[str]) -> list[str]:
    listed = "".join(f"<li>{escape(line)}</li>" for line in lines) or "<li>nothing</li>"
    return [f"<h4>{escape(title)}</h4><ul>{listed}</ul>"]


def progress(event: Event) -> str | None:
    """The status line after an event, None when it changes nothing."""
    match event:
        case Understood(links, conditions, _):
            return "understood: " + "; ".join([*links, *conditions]) if links or conditions else "understood"
        case Recalled(applied, _, _):
            return f"kept in mind: {len(applied)} of your preferences" if applied else None
        case Planned():
            return "planned, looking"
        case ToolRan(tool, _, before, after, _, _):
            return f"{tool}: {before:,} → {after:,}"
        case _:
            return None
