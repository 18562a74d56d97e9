"""``convrec eval rerank``: a language model beside and on top of a recommender."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import typer
from convrec.agent.build import open_catalogue
from convrec.agent.llm.base import LLM
from convrec.agent.llm.resolve import resolve
from convrec.agent.rerank_scores import STRATEGIES, Scorer
from convrec.core.errors import RequestError
from convrec.core.pull import path as model_path
from convrec.core.settings import Settings, Tier
from convrec.eval.commands_shared import bar, folder
from convrec.eval.items import config_of, prepare
from convrec.eval.report import Report, markdown
from convrec.eval.rerank import Asked, Measure, run_cases
from convrec.eval.rerank_asking import BUDGET_S
from convrec.eval.rerank_figures import figures, report
from convrec.eval.run_folder import RunFolder, run_config
from convrec.eval.wishes import figures as wish_figures
from convrec.eval.wishes.labels import SPLITS, file_hash, wishes
from convrec.eval.wishes.measure import WishMeasure, run_wishes
from convrec.memory.embedders import NAME as ENCODER
from rich.console import Console

Dataset: TypeAlias = Literal["redial", "inspired", "wishes"]
AnySplit: TypeAlias = Literal["valid", "test", "dev", "heldout"]


def rerank(
    ctx: typer.Context,
    model: Annotated[
        Path | None, typer.Option(help="redial, inspired: folder of the saved recommender whose best are reordered")
    ] = None,
    dataset: Annotated[Dataset, typer.Option(help="whose conversations; wishes: graded wishes in loose words")] = (
        "redial"
    ),
    split: Annotated[
        AnySplit | None, typer.Option(help="valid or test; wishes: dev or heldout; settings are chosen on the first")
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="redial, inspired; empty: novel; for the test split of inspired cikm")
    ] = "",
    tier: Annotated[Literal["embedded", "served"], typer.Option(help="which language model")] = "embedded",
    sample: Annotated[int, typer.Option(min=0, help="cases drawn; 0: all")] = 400,
    strategies: Annotated[str, typer.Option(help=f"comma-separated, from: {', '.join(STRATEGIES)}")] = "rerank,select",
    scorer: Annotated[Scorer, typer.Option(help="how the model is asked; auto: by what it can do")] = "auto",
    candidates: Annotated[int, typer.Option(min=2, max=50, help="how many of the best the model judges")] = 10,
    weight: Annotated[float, typer.Option(min=0, max=5, help="weight of the model beside the recommender")] = 2.0,
    alone: Annotated[
        bool, typer.Option(help="redial, inspired: also measure titles that the model thinks of by itself")
    ] = True,
    file: Annotated[Path | None, typer.Option(help="wishes: graded wishes of your own")] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="cases at once; for a served model")] = 1,
    out: Annotated[Path | None, typer.Option(help="run folder; the same command goes on where it was stopped")] = None,
    force: Annotated[bool, typer.Option("--force", help="throw away what another config left in --out")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="print one JSON object and nothing else")] = False,
    seed: Annotated[int, typer.Option(min=0, help="of the sample, the gate's halves and the bootstrap")] = 0,
) -> None:
    """Recommender alone, language model alone, and both together, on the same cases."""
    chosen = tuple(s for s in STRATEGIES if s in [name.strip() for name in strategies.split(",")])
    unknown = [name for name in strategies.split(",") if name.strip() not in STRATEGIES]
    if unknown or not chosen:
        raise RequestError("--strategies", strategies, f"Choose from: {', '.join(STRATEGIES)}.")
    asked = Asked(chosen, scorer, candidates, sample or None, weight, alone, seed)
    run = _Run(ctx.obj.settings, tier, asked, workers, out, force)
    if dataset == "wishes":
        _only_for("redial and inspired", {"--model": model, "--protocol": protocol})
        found, made = _wishes(run, split or "dev", file)
    else:
        _only_for("wishes", {"--file": file})
        found, made = _dialogues(run, dataset, split or "valid", protocol, model)
    typer.echo(json.dumps(found, indent=2, sort_keys=True) if json_output else markdown(made))
    if out is not None:
        run.stderr.print(f"wrote {out}", markup=False, highlight=False)


class _Run:
    """What both kinds of cases have in common: the model that is asked, and where the run is kept."""

    def __init__(
        self, settings: Settings, tier: Tier, asked: Asked, workers: int, out: Path | None, force: bool
    ) -> None:
        self.settings, self.tier, self.asked, self.workers = settings, tier, asked, workers
        self.out, self.force = out, force
        self.stderr = Console(stderr=True)

    def model(self) -> LLM:
        limits = self.settings.llm.model_copy(update={"timeout_s": BUDGET_S})
        llm = resolve(self.settings.model_copy(update={"tier": self.tier, "llm": limits})).llm
        assert llm is not None  # a tier asked for by name is there or an error
        return llm

    def finish(self, run: RunFolder, found: Mapping[str, Any], made: Report) -> None:
        """Figures without their times, which go to a file of their own."""
        kept = {name: {k: v for k, v in own.items() if k != "seconds"} for name, own in found["systems"].items()}
        times = {name: own["seconds"] for name, own in found["systems"].items()}
        run.finish({**found, "systems": kept}, made, timings=times)


def _only_for(datasets: str, options: Mapping[str, object]) -> None:
    for name, value in options.items():
        if value:
            raise RequestError(name, str(value), f"It is for --dataset {datasets}; leave it out.")


def _wishes(run: _Run, split: AnySplit, file: Path | None) -> tuple[dict[str, Any], Report]:
    if split != "dev" and split != "heldout":
        raise RequestError("--split", split, f"The wishes have: {', '.join(SPLITS)}.")
    asked = run.asked
    labelled = wishes(split, file)
    with closing(open_catalogue(run.settings)) as catalogue, closing(run.model()) as llm:
        measure = WishMeasure(catalogue, llm, asked, labelled)
        settings = {**asked.as_dict(), "dataset": "wishes", "split": split, "catalogue": catalogue.name}
        settings |= {"llm": llm.name, "tier": run.tier}
        config = run_config("rerank", settings, seed=asked.seed, data={"cases": file_hash(file)})
        title = f"Rerank: wishes, {split}, {catalogue.name} and {llm.name}"
        with folder(run.out, config, force=run.force) as kept, bar(run.stderr, "wishes") as tick:
            run_wishes(measure, kept, workers=run.workers, progress=tick)
            found = wish_figures.figures(
                kept.records(), kept.timings(), seed=asked.seed, split=split, n_wishes=len(labelled)
            )
            made = wish_figures.report(found, title)
            run.finish(kept, found, made)
    return found, made


def _dialogues(
    run: _Run, dataset: str, split: AnySplit, protocol: str, model: Path | None
) -> tuple[dict[str, Any], Report]:
    if split != "valid" and split != "test":
        raise RequestError("--split", split, f"{dataset} has: valid, test.")
    if model is None:
        raise RequestError("--model", "", "Give the folder of the saved recommender whose best are reordered.")
    asked, settings = run.asked, run.settings
    with closing(run.model()) as llm:
        rules = protocol or ("cikm" if (dataset, split) == ("inspired", "test") else "novel")
        prepared = prepare(
            settings.datasets,
            dataset=dataset,
            protocol=rules,
            split=split,
            systems=(),
            models=[model],
            encoder=model_path(ENCODER, settings),
            seed=asked.seed,
        )
        config = config_of(prepared, [model], None)
        config = {**config, "kind": "rerank", "settings": {**config["settings"], **asked.as_dict(), "llm": llm.name}}
        title = f"Rerank: {dataset} {split} ({rules}), {model.resolve().name} and {llm.name}"
        measure = Measure(prepared, llm, asked)
        with folder(run.out, config, force=run.force) as kept, bar(run.stderr, "cases") as tick:
            run_cases(measure, kept, workers=run.workers, progress=tick)
            gold = {
                f"{n:05d}": frozenset(prepared.setting.items[row] for row in prepared.cases.cases[n].gold.tolist())
                for n in measure.chosen()
            }
            found = figures(kept.records(), kept.timings(), seed=asked.seed, gold=gold)
            made = report(found, title)
            run.finish(kept, found, made)
    return found, made
