"""Runs suites: each case is a case of a run folder; figures, thresholds, a report, worst cases as dialogues."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from convrec.core.errors import ConvrecError, RequestError
from convrec.eval.report import Dialogue, Report, Said, Table
from convrec.eval.run_folder import RunFolder, run_config
from convrec.eval.suites import (
    conditional,
    counterfactual,
    feedback_loop,
    injection,
    newest,
    persona,
    preference,
    quality,
    shuffle,
)
from convrec.eval.suites.base import Case, Context, Outcome, Suite, mean_figures

SUITES: dict[str, Suite] = {
    module.SUITE.name: module.SUITE
    for module in (
        preference,
        conditional,
        newest,
        counterfactual,
        persona,
        shuffle,
        injection,
        feedback_loop,
        quality,
    )
}
WORST_SHOWN = 12
MAX_TURNS_SHOWN = 16


def suite_config(suite: Suite, context: Context, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a run folder. ``settings``: how the subject was chosen."""
    chosen = {**settings, "suite": suite.name, "agent": context.subject.name, "small": context.small}
    return run_config("suite", chosen, seed=context.seed, data={"catalogue": context.catalogue.fingerprint})


def run_suite(
    suite: Suite, context: Context, run: RunFolder, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, Any]:
    """Play what is not recorded yet, finish the folder, return the figures.

    Raises:
        RequestError: the suite cannot be run on this subject.
    """
    with ExitStack() as stack:
        cases = suite.cases(context, stack)
        done = run.done()
        for number, case in enumerate(cases, start=1):
            if case.id not in done:
                run.add(case.id, _record(case, _played(case)))
            progress(number, len(cases))
    records = run.records()
    metrics = figures(suite, records, context.seed)
    seconds = [s for times in run.timings().values() for s in times["seconds"]]
    timings = {"replies": len(seconds), "seconds": sum(seconds)}
    run.finish(metrics, report(suite, records, metrics, run.config), timings=timings)
    return metrics


def figures(suite: Suite, records: Sequence[Mapping[str, Any]], seed: int) -> dict[str, Any]:
    """Means by metric, the suite's own figures, and which thresholds they reach (None: the figure is missing)."""
    means = mean_figures(records, seed)
    own = suite.figures(records)
    values = {name: figure["mean"] for name, figure in means.items()} | own
    thresholds = []
    for threshold in suite.thresholds:
        value = values.get(threshold.metric)
        reached = None if value is None else threshold.reached(value)
        thresholds.append(
            {
                "metric": threshold.metric,
                "target": f"{threshold.op} {threshold.target:g}",
                "value": value,
                "reached": reached,
                "why": threshold.why,
            }
        )
    errors = sum(1 for record in records if record.get("error"))
    return {
        "suite": suite.name,
        "cases": len(records),
        "errors": errors,
        "metrics": means,
        "figures": own,
        "thresholds": thresholds,
        "passed": errors == 0 and all(t["reached"] is not False for t in thresholds),
    }


def report(
    suite: Suite, records: Sequence[Mapping[str, Any]], metrics: Mapping[str, Any], config: Mapping[str, Any]
) -> Report:
    """Thresholds, figures with intervals, the worst cases as dialogues."""
    reached = {True: "yes", False: "NO", None: "not measured"}
    targets = [(t["metric"], t["value"], t["target"], reached[t["reached"]], t["why"]) for t in metrics["thresholds"]]
    rows = [(name, f["mean"], *f["interval"], f["n"], f["groups"]) for name, f in metrics["metrics"].items()]
    tables = [
        Table("Thresholds", ("metric", "value", "target", "reached", "why"), targets),
        Table("Figures", ("metric", "mean", "95 % low", "high", "n", "groups"), rows, "Intervals: bootstrap by group."),
    ]
    if metrics["figures"]:
        tables.append(Table("More figures", ("figure", "value"), list(metrics["figures"].items())))
    worst = sorted((r for r in records if r["problems"]), key=lambda r: (-len(r["problems"]), r["case"]))
    lead = (
        f"{config['settings']['agent']}: {metrics['cases']} cases, {metrics['errors']} without an answer, "
        f"seed {config['seed']}. After {suite.source}.",
    )
    return Report(suite.title, lead, tables, (), [_dialogue(record) for record in worst[:WORST_SHOWN]])


def chosen(name: str) -> list[Suite]:
    """The suites of ``convrec eval suite NAME|all``.

    Raises:
        RequestError: no such suite.
    """
    if name == "all":
        return list(SUITES.values())
    if name not in SUITES:
        raise RequestError("suite", name, f"One of: {', '.join(SUITES)}, all.")
    return [SUITES[name]]


def _played(case: Case) -> Outcome:
    """A subject that fails is a failed case, not the end of the run."""
    try:
        return case.play()
    except ConvrecError as error:
        if isinstance(error, RequestError) and error.field == "--subject":
            raise
        return Outcome({}, [f"no answer: {error}"], extra={"error": traceback.format_exc(limit=3)})


def _record(case: Case, outcome: Outcome) -> dict[str, Any]:
    return {
        "group": case.group,
        "what": case.what,
        "metrics": outcome.metrics,
        "problems": outcome.problems,
        "dialogue": [list(pair) for pair in outcome.dialogue],
        "show": {"case": case.what, "verdict": "; ".join(outcome.problems) or "passed"},
        "timings": {"seconds": [round(s, 4) for s in outcome.seconds]},
        **({"error": "no answer"} if "error" in outcome.extra else {}),
        **{key: value for key, value in outcome.extra.items() if key != "error"},
    }


def _dialogue(record: Mapping[str, Any]) -> Dialogue:
    lines = []
    for user, agent in record["dialogue"][-MAX_TURNS_SHOWN:]:
        lines += [Said("user", user), Said("agent", agent)]
    return Dialogue(f"{record['case']}: {'; '.join(record['problems'][:4])}", lines)
