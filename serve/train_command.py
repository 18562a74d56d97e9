"""``convrec train``: from a fetched data set to a usable model, with a progress bar; an interrupted run goes on."""

from __future__ import annotations

import logging
import resource
import time
from pathlib import Path

from convrec.core.extras import require
from convrec.core.pull import path, pull
from convrec.core.registry import entry
from convrec.core.settings import Settings
from convrec.tools.recommenders.base import Recommender
from convrec.tools.recommenders.bi_encoder import ENCODER
from convrec.tools.recommenders.fusion import FusedConfig
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
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), console=console
    ) as bar:
        task = bar.add_task("reading", total=1.0)
        model = train_fused(
            train,
            splits,
            folder,
            work=folder.with_name(f".{folder.name}.work"),
            encoder=encoder,
            config=chosen,
            seed=seed,
            report=lambda text: _tell(bar, task, text),
            progress=lambda share: bar.update(task, completed=share),
        )
    took: dict[str, object] = {
        "seconds": round(time.perf_counter() - started, 1),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    return model, folder, took


def _tell(bar: Progress, task: TaskID, text: str) -> None:
    bar.update(task, description=text)
    log.info("%s", text)  # where the output is no terminal there is no bar
