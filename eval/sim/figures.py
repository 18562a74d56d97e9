"""From dialogues to figures and a report: every figure with its denominator, success with its interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from convrec.eval.report import Dialogue, FunnelStep, LineChart, Report, Said, Table

Record: TypeAlias = Mapping[str, Any]

RESAMPLES = 2000
WORST = 10
"""Dialogues shown in the report."""

DEFINITIONS = (
    "success (@k): dialogues in which an item that the user would take was recommended (in one of the first k "
    "answers), of all dialogues; an agent's error is no success. 95 % percentile interval, whole users resampled.",
    "turns: answers of the agent per dialogue. to hit: turns of the successful ones. asked: answers that ask "
    "something, per dialogue. gave up: dialogues that the user ended without success, of all.",
    "repeats: recommended items that the user had turned down before, in all dialogues (should be 0). outs.: "
    "recommended titles that are not in the catalogue, in all dialogues (should be 0).",
    "recall: recommended targets of all targets, mean over dialogues. prec.: targets of the recommended items, "
    "mean over dialogues with a list. divers.: mean over lists of 1 - mean Jaccard similarity of categories.",
    "leak: dialogues in which the user said the title of a target (title), or at least half of its content words "
    "(words), before the agent showed one.",
)


def interval(values: Sequence[float], groups: Sequence[str], seed: int) -> tuple[float, float] | None:
    """95 % percentile bootstrap interval of the mean, resampling whole groups (Efron & Tibshirani, 1993): one user's
    dialogues under several personas are not independent. None without values."""
    if not values:
        return None
    _, number = np.unique(list(groups), return_inverse=True)
    sizes = np.bincount(number).astype(np.float64)
    sums = np.bincount(number, weights=np.asarray(values, dtype=np.float64))
    drawn = np.random.default_rng(seed).multinomial(sizes.size, np.full(sizes.size, 1.0 / sizes.size), size=RESAMPLES)
    low, high = np.quantile((drawn @ sums) / (drawn @ sizes), [0.025, 0.975])
    return float(low), float(high)


def figures(records: Sequence[Record], turns: int, seed: int) -> dict[str, Any]:
    """All figures, over all dialogues and per persona. No dialogues: counts of 0 and None."""
    names = list(dict.fromkeys(str(record["persona"]) for record in records))
    return {
        "all": _figures(records, turns, seed),
        "personas": {name: _figures([r for r in records if r["persona"] == name], turns, seed) for name in names},
        "tools": tools(records),
        "sources": dict(sorted(Counter(source for r in records for source in r["sources"]).items())),
    }


def _figures(records: Sequence[Record], turns: int, seed: int) -> dict[str, Any]:
    groups = [str(record["group"]) for record in records]
    by_turn, bounds = [], []
    for k in range(1, turns + 1):
        hits = [float(r["success_turn"] is not None and r["success_turn"] <= k) for r in records]
        by_turn.append(_mean(hits))
        bounds.append(interval(hits, groups, seed))
    leaked = [r for r in records if r["metrics"]["leak_words"]]
    clean = [r for r in records if not r["metrics"]["leak_words"]]
    return {
        "dialogues": len(records),
        "users": len(set(groups)),
        "success": by_turn[-1] if by_turn else None,
        "success_interval": bounds[-1] if bounds else None,
        "success_by_turn": by_turn,
        "success_by_turn_interval": bounds,
        "turns": _of(records, "turns"),
        "turns_to_success": _of(records, "success_turn"),
        "questions": _of(records, "questions"),
        "gave_up": _of(records, "gave_up"),
        "repeats": int(_sum(records, "repeats")),
        "dialogues_with_repeats": sum(r["metrics"]["repeats"] > 0 for r in records),
        "outside": int(_sum(records, "outside")),
        "errors": int(_sum(records, "error")),
        "recall_liked": _of(records, "recall_liked"),
        "precision": _of(records, "precision"),
        "diversity": _of(records, "diversity"),
        "leak_title": _of(records, "leak_title"),
        "leak_words": _of(records, "leak_words"),
        "leaked_dialogues": len(leaked),
        "success_leaked": _of(leaked, "success"),
        "success_not_leaked": _of(clean, "success"),
        "success_not_leaked_interval": interval(
            [r["metrics"]["success"] for r in clean], [str(r["group"]) for r in clean], seed
        ),
        "fallbacks": int(_sum(records, "fallbacks")),
        "guarded": sum(int(r["guarded"]) for r in records),
        "outcomes": dict(sorted(Counter(str(r["outcome"]) for r in records).items())),
        "tokens_per_dialogue": _tokens(records),
    }


def latency(timings: Mapping[str, Any]) -> dict[str, float]:
    """Seconds per answer: mean, median, 95th percentile, largest; {} without answers."""
    seconds = np.array([s for times in timings.values() for s in times["turns"]], dtype=np.float64)
    if not seconds.size:
        return {}
    p50, p95 = np.quantile(seconds, [0.5, 0.95])
    return {"mean": float(seconds.mean()), "p50": float(p50), "p95": float(p95), "max": float(seconds.max())}


def tools(records: Sequence[Record]) -> dict[str, dict[str, int]]:
    """Per tool: calls, candidates in, candidates out, over all answers."""
    out: dict[str, dict[str, int]] = {}
    for record in records:
        for tool, (calls, before, after) in record["tools"].items():
            sums = out.setdefault(tool, {"calls": 0, "in": 0, "out": 0})
            sums["calls"] += calls
            sums["in"] += before
            sums["out"] += after
    return dict(sorted(out.items(), key=lambda pair: (-pair[1]["calls"], pair[0])))


COLUMNS: tuple[tuple[str, Callable[[Mapping[str, Any]], Any]], ...] = (
    ("n", lambda f: f["dialogues"]),
    ("success", lambda f: f["success"]),
    ("95 %", lambda f: _bounds(f["success_interval"])),
    ("@1", lambda f: _at(f, 1)),
    ("@3", lambda f: _at(f, 3)),
    ("@5", lambda f: _at(f, 5)),
    ("turns", lambda f: f["turns"]),
    ("to hit", lambda f: f["turns_to_success"]),
    ("asked", lambda f: f["questions"]),
    ("gave up", lambda f: f["gave_up"]),
    ("repeats", lambda f: f["repeats"]),
    ("recall", lambda f: f["recall_liked"]),
    ("prec.", lambda f: f["precision"]),
    ("divers.", lambda f: f["diversity"]),
    ("leak: title", lambda f: f["leak_title"]),
    ("words", lambda f: f["leak_words"]),
    ("outs.", lambda f: f["outside"]),
    ("errors", lambda f: f["errors"]),
)


def persona_table(metrics: Mapping[str, Any]) -> Table:
    """One row per persona, and one for all when there are several."""
    rows = [(name, *(get(found) for _, get in COLUMNS)) for name, found in metrics["personas"].items()]
    if len(rows) != 1:
        rows.append(("all", *(get(metrics["all"]) for _, get in COLUMNS)))
    return Table("By persona", ("persona", *(name for name, _ in COLUMNS)), rows)


def report(records: Sequence[Record], metrics: Mapping[str, Any], config: Mapping[str, Any]) -> Report:
    """What a reader needs: the setting, figures by persona and turn, leakage, the funnel, the worst dialogues."""
    found, settings = metrics["all"], config["settings"]
    lead = [
        f"{settings['subject']}, simulator {settings['simulator']}, users {settings['source']}: {found['users']:,} "
        f"users, {found['dialogues']:,} dialogues of up to {settings['turns']} turns, seed {config['seed']}.",
        *DEFINITIONS,
    ]
    if settings.get("semantic_search") is False:
        lead.append("No semantic search: the catalogue has no embedding index (convrec setup).")
    if left := settings.get("left_out"):
        lead.append("Left out of the data set: " + "; ".join(f"{n} ({why})" for why, n in left.items()) + ".")
    if settings["simulator"] in ("target", "chat"):
        lead.append("This simulator knows the target: its figures flatter an agent (arXiv:2403.16416).")
    turns = [str(k) for k in range(1, settings["turns"] + 1)]
    series = {name: values["success_by_turn"] for name, values in metrics["personas"].items()}
    leakage = Table(
        "Success with and without a leak",
        ("dialogues", "n", "success"),
        (
            ("leaked", found["leaked_dialogues"], found["success_leaked"]),
            ("not leaked", found["dialogues"] - found["leaked_dialogues"], found["success_not_leaked"]),
        ),
    )
    ends = Table("How dialogues ended", ("end", "dialogues"), list(found["outcomes"].items()))
    return Report(
        "Simulated users",
        lead,
        (persona_table(metrics), leakage, ends),
        (LineChart("Success by turn", turns, series, x_label="turn", y_label="share of dialogues"),),
        [readable(record) for record in worst(records)],
        [FunnelStep(name, sums["in"], sums["out"]) for name, sums in metrics["tools"].items()],
    )


def worst(records: Sequence[Record]) -> list[Record]:
    """The dialogues most worth reading: errors, then repeats of what was turned down, then long failures; of equals,
    the first by case id."""

    def key(record: Record) -> tuple[Any, ...]:
        values = record["metrics"]
        return -values["error"], -values["repeats"], values["success"], -values["turns"], record["case"]

    return [r for r in sorted(records, key=key) if not r["metrics"]["success"] or r["metrics"]["repeats"]][:WORST]


def readable(record: Record) -> Dialogue:
    """A dialogue to be read, with what the user thought of it."""
    lines = [Said(line["who"], line["text"], line["note"]) for line in record["lines"]]
    if record.get("error"):
        lines.append(Said("error", record["error"]))
    return Dialogue(f"{record['case']}: {record['outcome']}, {record['targets']} items would do", lines)


def _tokens(records: Sequence[Record]) -> dict[str, float]:
    totals: Counter[str] = Counter()
    for record in records:
        totals.update(record["tokens"])
    return {name: total / len(records) for name, total in sorted(totals.items())} if records else {}


def _of(records: Sequence[Record], name: str) -> float | None:
    """Mean over the records that have the figure, None when none has."""
    return _mean([r["metrics"][name] for r in records if name in r["metrics"]])


def _sum(records: Sequence[Record], name: str) -> float:
    return sum(float(r["metrics"][name]) for r in records)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _at(found: Mapping[str, Any], k: int) -> float | None:
    """Success by turn ``k``, None when dialogues are shorter."""
    by_turn: Sequence[float | None] = found["success_by_turn"]
    return by_turn[k - 1] if k <= len(by_turn) else None


def _bounds(values: Sequence[float] | None) -> str | None:
    return None if values is None else f"{values[0]:.2f}-{values[1]:.2f}"
