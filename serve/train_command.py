"""``convrec train``: from a fetched data set to a usable model, with a progress bar; an interrupted run goes on."""

from __future__ import annotations

import logging
import resource
import time
from dataclasses import asdict
from pathlib import Path

from convrec.core.extras import require
from convrec.core.pull import path, pull
from convrec.core.registry import entry
from convrec.core.settings import Settings
from convrec.tools.recommenders.base import Recommender
from convrec.tools.recommenders.bi_encoder import ENCODER
from convrec.tools.recommenders.fusion import FusedConfig
from convrec.tools.recommenders.interaction_training import check_experts, default_experts, train_interactions
from convrec.tools.recommenders.interactions import Columns, read_interactions
from convrec.tools.recommenders.item_names import dataset_names
from convrec.tools.recommenders.training import read_train, train_fused
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

log = logging.getLogger(__name__)


def run_train(
    settings: Settings,
    *,
    dataset: str,
    with_valid: bool,
    experts: str | None,
    out: Path | None,
    seed: int,
    console: Console,
) -> tuple[Recommender, Path, dict[str, object]]:
    """Train the fusion of experts; returns the model, its folder and what it took (seconds, peak MiB).

    ``experts``: comma-separated names; by default those of :class:`FusedConfig`.

    Raises:
        RequestError, DatasetError, ModelError, MissingExtraError: told before any work where possible.
    """
    chosen = FusedConfig()
    if experts is not None:
        chosen = FusedConfig(experts=tuple(name.strip() for name in experts.split(",") if name.strip()))
    require("lightgbm", "train", "training")
    started = time.perf_counter()
    train, splits = read_train(settings.datasets, dataset, with_valid=with_valid)
    folder = out or settings.home / "models" / f"{dataset}{'-all' if with_valid else ''}"
    encoder = None
    if "bi_encoder" in chosen.experts:
        require("torch", "memory", "the bi-encoder")
        encoder = path(ENCODER, settings)
        if encoder is None:
            console.print(f"pulling {entry(ENCODER).title}", markup=False, highlight=False)
            encoder = pull(ENCODER, settings)
    console.print(
        f"{dataset}: {train.n_sequences:,} dialogues, {len(train.dialogues):,} of them with text, "
        f"{train.n_items:,} items",
        markup=False,
        highlight=False,
    )
    with _bar(console) as bar:
        task = bar.add_task("reading", total=1.0)
        model = train_fused(
            train,
            splits,
            folder,
            work=folder.with_name(f".{folder.name}.work"),
            encoder=encoder,
            config=chosen,
            names=dataset_names(settings.datasets, splits, train.item_ids),
            seed=seed,
            report=lambda text: _tell(bar, task, text),
            progress=lambda share: bar.update(task, completed=share),
        )
    return model, folder, _took(started)


def run_train_interactions(
    settings: Settings,
    *,
    file: Path,
    columns: tuple[str | None, str | None, str | None, str | None],
    min_rating: float | None,
    items: Path | None,
    experts: str | None,
    out: Path | None,
    seed: int,
    console: Console,
) -> tuple[Recommender, Path, dict[str, object]]:
    """Train on a user-item file; ``columns``: user, item, rating, time. Returns what :func:`run_train` does.

    Raises:
        RequestError, ImportRejected, ModelError, MissingExtraError: told before any work where possible.
    """
    names = check_experts([n.strip() for n in experts.split(",") if n.strip()]) if experts else default_experts()
    if "sasrec" in names:
        require("torch", "memory", "training SASRec")
    elif experts is None:
        console.print("sasrec is left out: training it needs torch (pip install 'convrec\\[memory]')", highlight=False)
    started = time.perf_counter()
    stem = file.name.removesuffix(".gz").rpartition(".")[0] or file.name
    folder = out or settings.home / "models" / stem
    with _bar(console) as bar:
        task = bar.add_task("reading", total=1.0)
        train, read = read_interactions(
            file,
            Columns(*columns),
            min_rating=min_rating,
            items=items,
            progress=lambda share: bar.update(task, completed=share),
        )
        bar.console.print(f"{file.name}: {read.text()}", markup=False, highlight=False)
        model = train_interactions(
            train,
            folder,
            experts=names,
            work=folder.with_name(f".{folder.name}.work"),
            seed=seed,
            info={"splits": [], "interactions": {"file": file.name, "min_rating": min_rating, **asdict(read)}},
            report=lambda text: _tell(bar, task, text),
            progress=lambda share: bar.update(task, completed=share),
        )
    return model, folder, _took(started)


def _took(started: float) -> dict[str, object]:
    return {
        "seconds": round(time.perf_counter() - started, 1),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), console=console
    )


def _tell(bar: Progress, task: TaskID, text: str) -> None:
    bar.update(task, description=text)
    log.info("%s", text)  # where the output is no terminal there is no bar
