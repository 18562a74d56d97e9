"""Runs scenarios several times each against a subject; every run is a case of a run folder."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from convrec.core.errors import RequestError
from convrec.core.items import Item
from convrec.eval.report import BarChart, Dialogue, Report, Said, Table
from convrec.eval.run_folder import RunFolder, run_config
from convrec.eval.scenarios.model import Scenario
from convrec.eval.scenarios.play import Played, play
from convrec.eval.scenarios.verdicts import pass_hat_k
from convrec.eval.subject import Subject
from convrec.tools.catalogue import Catalogue

KS = (1, 2, 4)
"""pass^k that are reported, as far as there are so many runs."""
RESAMPLES = 2_000
WORST_SHOWN = 20
"""Failed runs whose dialogue is in the report."""


def config(
    scenarios: Sequence[Scenario], subject: Subject, catalogue: Catalogue, settings: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """The config of a run folder. ``settings``: how the subject was chosen, number of repeats, families."""
    text = "\n".join(scenario.model_dump_json() for scenario in scenarios)
    data = {"catalogue": catalogue.fingerprint, "scenarios": hashlib.sha256(text.encode()).hexdigest()}
    chosen = {**settings, "agent": subject.name, "ids": [s.id for s in scenarios]}
    return run_config("scenarios", chosen, seed=seed, data=data)


def run_scenarios(
    scenarios: Sequence[Scenario],
    subject: Subject,
    catalogue: Catalogue,
    run: RunFolder,
    *,
    repeats: int,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
    records: Mapping[str, Item] | None = None,
) -> dict[str, Any]:
    """Play what is not recorded yet, finish the folder, return the figures. ``records``: those of the catalogue by id,
    read when not given.

    Raises:
        RequestError: a scenario is of another catalogue.
    """
    other = next((s for s in scenarios if s.catalogue != catalogue.name), None)
    if other is not None:
        raise RequestError(
            "catalogue", catalogue.name, f"Scenario {other.id} is of {other.catalogue}: set CONVREC_CATALOGUE to it."
        )
    records = records or records_of(catalogue)
    todo = [(scenario, repeat) for scenario in scenarios for repeat in range(repeats)]
    done = run.done()
    for number, (scenario, repeat) in enumerate(todo, start=1):
        case = case_id(scenario, repeat)
        if case not in done:
            run.add(case, _record(scenario, repeat, play(scenario, subject, records, repeat=repeat, seed=seed)))
        progress(number, len(todo))
    cases = run.records()
    metrics = figures(cases, repeats, seed)
    seconds = [s for times in run.timings().values() for s in times["seconds"]]
    timings = {"turns": len(seconds), "mean_s": float(np.mean(seconds)) if seconds else 0.0}
    run.finish(metrics, report(cases, metrics, run.config), timings=timings)
    return metrics


def records_of(catalogue: Catalogue) -> dict[str, Item]:
    """All items of a catalogue by id: what verdicts are made from."""
    return {item.id: item for item in catalogue.items(catalogue.rows(None))}


def case_id(scenario: Scenario, repeat: int) -> str:
    return f"{scenario.id}/{repeat}"


def figures(cases: Sequence[Mapping[str, Any]], repeats: int, seed: int) -> dict[str, Any]:
    """pass^k over all scenarios and by family, the goal rate, violations per item, with 95 % intervals by scenario."""
    families: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for case in cases:
        families[case["family"]].append(case)
    out = _figures(cases, repeats, seed)
    out["families"] = {name: _figures(listed, repeats, seed) for name, listed in sorted(families.items())}
    return out


def _figures(cases: Sequence[Mapping[str, Any]], repeats: int, seed: int) -> dict[str, Any]:
    passes: dict[str, int] = defaultdict(int)
    goals: dict[str, int] = defaultdict(int)
    for case in cases:
        passes[case["group"]] += int(case["metrics"]["pass"])
        goals[case["group"]] += int(case["metrics"]["goal"])
    out: dict[str, Any] = {"scenarios": len(passes), "runs": len(cases)}
    for k in (k for k in KS if k <= repeats):
        values = [pass_hat_k(passes[name], repeats, k) for name in sorted(passes)]
        out[f"pass^{k}"] = float(np.mean(values))
        out[f"pass^{k}_interval"] = interval(values, seed)
    out["goal"] = float(np.mean([goals[name] / repeats for name in sorted(passes)]))
    items = sum(case["metrics"]["items"] for case in cases)
    out["items"] = items
    for name in ("violations", "policy_breaks", "wrong_outcomes"):
        out[name] = sum(case["metrics"][name] for case in cases)
    return out


def interval(values: Sequence[float], seed: int) -> list[float]:
    """95 % percentile bootstrap interval of the mean, resampled over the values; [mean, mean] for one value."""
    array = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    means = array[rng.integers(0, len(array), size=(RESAMPLES, len(array)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return [float(low), float(high)]


def report(cases: Sequence[Mapping[str, Any]], metrics: Mapping[str, Any], config: Mapping[str, Any]) -> Report:
    """Tables, one chart, the failed runs as dialogues."""
    settings = config["settings"]
    ks = [name for name in metrics if name.startswith("pass^") and "_" not in name]
    rows = [("all", *_row(metrics, ks)), *((name, *_row(m, ks)) for name, m in metrics["families"].items())]
    table = Table(
        "By family",
        ("family", "scenarios", "runs", *ks, "goal", "violations", "policy breaks", "wrong outcomes"),
        rows,
        note="pass^k: share of scenarios of which k runs drawn at random all pass (tau-bench, arXiv 2406.12045). goal: "
        "passed, and the last list holds an item that also suits what was kept back.",
    )
    chart = BarChart(
        "pass^k by family", list(metrics["families"]), {k: [m[k] for m in metrics["families"].values()] for k in ks}
    )
    failed = sorted((c for c in cases if not c["metrics"]["pass"]), key=lambda c: (-len(c["problems"]), c["case"]))
    dialogues = [_dialogue(case) for case in failed[:WORST_SHOWN]]
    low, high = metrics["pass^1_interval"]
    lead = (
        f"{settings['agent']}: {metrics['scenarios']} scenarios, {metrics['runs']} runs, seed {config['seed']}.",
        f"pass^1 {metrics['pass^1']:.3f}, 95 % interval by scenario {low:.3f} to {high:.3f}.",
    )
    return Report("Scenarios", lead, (table,), (chart,), dialogues)


def _row(metrics: Mapping[str, Any], ks: Sequence[str]) -> tuple[Any, ...]:
    names = ("goal", "violations", "policy_breaks", "wrong_outcomes")
    return (metrics["scenarios"], metrics["runs"], *(metrics[k] for k in ks), *(metrics[name] for name in names))


def _dialogue(case: Mapping[str, Any]) -> Dialogue:
    lines = []
    for user, agent in case["dialogue"]:
        lines += [Said("user", user), Said("agent", agent)]
    return Dialogue(f"{case['case']}: {case['what']} ({'; '.join(case['problems'][:4])})", lines)


def _record(scenario: Scenario, repeat: int, played: Played) -> dict[str, Any]:
    verdict = played.verdict
    said = " / ".join(user for user, _ in played.dialogue)
    return {
        "group": scenario.id,
        "family": scenario.family,
        "what": scenario.what,
        "repeat": repeat,
        "metrics": {
            "pass": int(verdict.passed),
            "goal": int(verdict.goal),
            "turns": len(played.dialogue),
            "answered": played.answered,
            "revealed": played.revealed,
            **verdict.counts,
        },
        "problems": list(verdict.problems),
        "dialogue": [list(pair) for pair in played.dialogue],
        "show": {"said": said, "verdict": "; ".join(verdict.problems) or "passed"},
        "timings": {"seconds": [round(s, 4) for s in played.seconds]},
    }
