"""From a data set to a saved, usable recommender: what ``convrec train`` does."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from convrec.core.errors import RequestError
from convrec.tools.datasets import InspiredData, RedialData
from convrec.tools.recommenders.data import TrainData
from convrec.tools.recommenders.fusion import Fused, FusedConfig
from convrec.tools.recommenders.item_names import ItemNames, names_of
from convrec.tools.recommenders.training_sets import inspired_train, joint_train, redial_train

TRAINABLE: tuple[str, ...] = ("redial", "inspired", "joint")
"""What a model can be trained on; "joint" is ReDial and INSPIRED in one item space."""


def read_train(datasets: Path, dataset: str, *, with_valid: bool) -> tuple[TrainData, list[str]]:
    """The training data and the splits in it, as ``info["splits"]`` names them.

    Raises:
        RequestError: no such data set.
        DatasetError: not fetched, or damaged.
    """
    if dataset not in TRAINABLE:
        raise RequestError("dataset", dataset, f"Choose from: {', '.join(TRAINABLE)}.")
    names = ("redial", "inspired") if dataset == "joint" else (dataset,)
    splits = [f"{name}-{split}" for name in names for split in (("train", "valid") if with_valid else ("train",))]
    if dataset == "redial":
        return redial_train(RedialData(datasets / "redial"), with_valid=with_valid), splits
    inspired = InspiredData(datasets / "inspired")
    if dataset == "inspired":
        return inspired_train(inspired, with_valid=with_valid), splits
    return joint_train(RedialData(datasets / "redial"), inspired, with_valid=with_valid), splits


def train_fused(
    train: TrainData,
    splits: list[str],
    out: Path,
    *,
    work: Path,
    encoder: Path | None,
    config: FusedConfig | None = None,
    names: ItemNames | None = None,
    seed: int = 0,
    report: Callable[[str], None] = lambda text: None,
    progress: Callable[[float], None] = lambda share: None,
) -> Fused:
    """Fit the fusion and save it to ``out``, which appears whole or not at all.

    ``work`` keeps what is fitted already: an interrupted run on the same data, settings and seed goes on there. It is
    removed at the end. ``names``: what the items are called, saved with it; else titles and years of ``train``.
    """
    work.mkdir(parents=True, exist_ok=True)
    model = Fused(config, seed=seed, encoder=encoder, work=work, report=report)
    model.progress = progress
    model.info = {"splits": splits}
    model.fit(train)
    model.names = names or names_of(train.details)
    report("saving")
    model.save(out)
    shutil.rmtree(work)
    return model
