"""Item evaluation into a run's folder: resumable, with the cases that can be read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convrec.eval.item_results import Tell
from convrec.eval.item_rows import LIST_K
from convrec.eval.items import ItemReport, Prepared, config_of, measured, prepare
from convrec.eval.items_report import run_report
from convrec.eval.mapped import Setting
from convrec.eval.report import Dialogue, Said
from convrec.eval.run_folder import RunFolder
from convrec.tools.datasets import MENTION

WORST = 12
"""Cases shown in the report."""
_BARE = re.compile(r"^<http://dbpedia\.org/resource/|>$")


def run_items(
    out: Path,
    datasets: Path,
    *,
    force: bool = False,
    models: Sequence[Path] = (),
    limit_dialogues: int | None = None,
    report: Tell = lambda text: None,
    **asked: Any,
) -> ItemReport:
    """:func:`convrec.eval.items.evaluate_items` into the folder ``out``; goes on where an earlier run of the same
    config stopped. ``force``: throw away what another config left there.

    Raises:
        RequestError, DatasetError, ModelError: as ``evaluate_items``; RequestError and DataError also as
            :meth:`RunFolder.open`.
    """
    prepared = prepare(datasets, models=models, limit_dialogues=limit_dialogues, report=report, **asked)
    with RunFolder.open(out, config_of(prepared, models, limit_dialogues), force=force) as run:
        run.describe(lambda: units(prepared), lambda: item_names(prepared.setting))
        found = measured(prepared, run, report)
        report("writing the report")
        timings = {row.name: row.timings() for row in found.rows}
        worst = worst_cases(found, run.records(), run.units(), run.names())
        run.finish(found.as_dict(timings=False), run_report(found, worst), timings=timings)
    return found


def units(prepared: Prepared) -> dict[str, dict[str, Any]]:
    """The dialogue and the right answers behind each case."""
    names = item_names(prepared.setting)
    out = {}
    for number, case in enumerate(prepared.cases.cases):
        said = [[message.speaker, readable(message.text, names)] for message in case.context.messages]
        out[f"{number:05d}"] = {
            "title": f"dialogue {case.dialogue_id}, message {case.position + 1}",
            "dialogue": said,
            "expected": [prepared.setting.items[row] for row in case.gold.tolist()],
        }
    return out


def item_names(setting: Setting) -> dict[str, str]:
    """A name for every item of the cases: the data set's, else the end of the DBpedia link."""
    train = setting.train
    known = dict(zip(train.item_ids, train.details.names, strict=True)) if train.details is not None else {}
    out = {}
    for item in setting.items:
        found = next((known[name] for name in setting.known_as.get(item, ()) if known.get(name)), None)
        out[item] = found or _BARE.sub("", item).replace("_", " ")
    return out


def readable(text: str, names: Mapping[str, str]) -> str:
    """ReDial's ``@111776`` as the film's name."""
    return MENTION.sub(lambda match: names.get(match[1], match[0]), text)


def worst_cases(
    report: ItemReport,
    records: Sequence[Mapping[str, Any]],
    units: Mapping[str, Mapping[str, Any]],
    names: Mapping[str, str],
) -> list[Dialogue]:
    """What the best system missed although others did not: gold outside its best 50 that most other systems had among
    their best ten."""
    if not report.rows:
        return []
    best = max(report.rows, key=lambda row: row.recall[LIST_K]).name
    others: dict[str, int] = {}
    missed = []
    for record in records:
        if record["system"] == best:
            if not any(record["ranks"]):
                missed.append(record)
        elif any(0 < rank <= LIST_K for rank in record["ranks"]):
            others[record["unit"]] = others.get(record["unit"], 0) + 1
    missed.sort(key=lambda record: (-others.get(record["unit"], 0), record["unit"]))
    return [_dialogue(best, record, units[record["unit"]], others, names) for record in missed[:WORST]]


def _dialogue(
    system: str,
    record: Mapping[str, Any],
    unit: Mapping[str, Any],
    others: Mapping[str, int],
    names: Mapping[str, str],
) -> Dialogue:
    expected = "; ".join(names.get(item, item) for item in unit["expected"])
    given = "; ".join(names.get(item, item) for item in record["top"]) or "nothing"
    right = others.get(record["unit"], 0)
    return Dialogue(
        unit["title"],
        [
            *(Said(speaker, text) for speaker, text in unit["dialogue"]),
            Said("expected", expected, f"in the best ten of {right} other systems"),
            Said(system, given, "not in its best 50"),
        ],
    )
