"""``convrec eval rerank``: a language model beside and on top of a recommender."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from convrec.agent.llm.resolve import resolve
from convrec.agent.rerank_scores import STRATEGIES, Scorer
from convrec.core.errors import RequestError
from convrec.core.pull import path as model_path
from convrec.core.settings import Tier
from convrec.eval.commands_shared import bar, folder
from convrec.eval.items import config_of, prepare
from convrec.eval.report import markdown
from convrec.eval.rerank import BUDGET_S, Asked, Measure, run_cases
from convrec.eval.rerank_figures import figures, report
from convrec.memory.embedders import NAME as ENCODER
from rich.console import Console


def rerank(
    ctx: typer.Context,
    model: Annotated[Path, typer.Option(help="folder of the saved recommender whose best are reordered")],
    dataset: Annotated[Literal["redial", "inspired"], typer.Option(help="whose conversations")] = "redial",
    split: Annotated[Literal["valid", "test"], typer.Option(help="choose settings on valid only")] = "valid",
    protocol: Annotated[str, typer.Option(help="empty: novel; for the test split of inspired cikm")] = "",
    tier: Annotated[Literal["embedded", "served"], typer.Option(help="which language model")] = "embedded",
    sample: Annotated[int, typer.Option(min=0, help="cases drawn; 0: all")] = 400,
    strategies: Annotated[str, typer.Option(help=f"comma-separated, from: {', '.join(STRATEGIES)}")] = "rerank,select",
    scorer: Annotated[Scorer, typer.Option(help="how the model is asked; auto: by what it can do")] = "auto",
    candidates: Annotated[int, typer.Option(min=2, max=50, help="how many of the best the model judges")] = 10,
    weight: Annotated[float, typer.Option(min=0, max=2, help="weight of the model beside the recommender")] = 0.5,
    alone: Annotated[bool, typer.Option(help="also measure titles that the model thinks of by itself")] = True,
    workers: Annotated[int, typer.Option(min=1, max=64, help="cases at once; for a served model")] = 1,
    out: Annotated[Path | None, typer.Option(help="run folder; the same command goes on where it was stopped")] = None,
    force: Annotated[bool, typer.Option("--force", help="throw away what another config left in --out")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="print one JSON object and nothing else")] = False,
    seed: Annotated[int, typer.Option(min=0, help="of the sample, the gate's halves and the bootstrap")] = 0,
) -> None:
    """Recommender alone, language model alone, and both together, on the same drawn cases."""
    chosen = tuple(s for s in STRATEGIES if s in [name.strip() for name in strategies.split(",")])
    unknown = [name for name in strategies.split(",") if name.strip() not in STRATEGIES]
    if unknown or not chosen:
        raise RequestError("--strategies", strategies, f"Choose from: {', '.join(STRATEGIES)}.")
    settings, stderr = ctx.obj.settings, Console(stderr=True)
    wanted: Tier = tier
    limits = settings.llm.model_copy(update={"timeout_s": BUDGET_S})
    llm = resolve(settings.model_copy(update={"tier": wanted, "llm": limits})).llm
    assert llm is not None  # a tier asked for by name is there or an error
    asked = Asked(chosen, scorer, candidates, sample or None, weight, alone, seed)
    rules = protocol or ("cikm" if (dataset, split) == ("inspired", "test") else "novel")
    prepared = prepare(
        settings.datasets,
        dataset=dataset,
        protocol=rules,
        split=split,
        systems=(),
        models=[model],
        encoder=model_path(ENCODER, settings),
        seed=seed,
    )
    config = config_of(prepared, [model], None)
    config = {**config, "kind": "rerank", "settings": {**config["settings"], **asked.as_dict(), "llm": llm.name}}
    title = f"Rerank: {dataset} {split} ({rules}), {model.resolve().name} and {llm.name}"
    measure = Measure(prepared, llm, asked)
    try:
        with folder(out, config, force=force) as run, bar(stderr, "cases") as tick:
            run_cases(measure, run, workers=workers, progress=tick)
            gold = {
                f"{n:05d}": frozenset(prepared.setting.items[row] for row in prepared.cases.cases[n].gold.tolist())
                for n in measure.chosen()
            }
            found = figures(run.records(), run.timings(), seed=seed, gold=gold)
            kept = {name: {k: v for k, v in own.items() if k != "seconds"} for name, own in found["systems"].items()}
            times = {name: own["seconds"] for name, own in found["systems"].items()}
            run.finish({**found, "systems": kept}, report(found, title), timings=times)
    finally:
        llm.close()
    typer.echo(json.dumps(found, indent=2, sort_keys=True) if json_output else markdown(report(found, title)))
    if out is not None:
        stderr.print(f"wrote {out}", markup=False, highlight=False)
