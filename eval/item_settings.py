"""What ``convrec eval items`` measures for each data set, protocol and split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from convrec.core.errors import RequestError
from convrec.eval.cikm import cikm_setting, inspired_valid_setting
from convrec.eval.mapped import Setting
from convrec.eval.protocols import Protocol, walk
from convrec.eval.unicrs import unicrs_setting
from convrec.tools.datasets import InspiredData, RedialData, Split
from convrec.tools.recommenders.training_sets import joint_train, redial_train

TrainOn = Literal["own", "joint"]
TRAIN_ON: tuple[TrainOn, ...] = ("own", "joint")
"""``own``: the training split of the data set that is measured; ``joint``: those of ReDial and INSPIRED together."""


def item_setting(
    datasets: Path, dataset: str, protocol: Protocol, split: Split, *, train_on: TrainOn, with_models: bool
) -> tuple[Setting, str]:
    """(the setting, the variant of the data set). ``with_models``: saved models are to be measured too, so for INSPIRED
    ReDial's items are read as well.

    Raises:
        RequestError: the combination is none of a published protocol or of one for choosing settings.
        DatasetError: a data set is missing or damaged.
    """
    if protocol in ("cikm", "unicrs") and split != "test":
        raise RequestError(
            "split", split, f"The protocol {protocol} has a test split only; choose settings with novel."
        )
    if dataset == "redial":
        redial = RedialData(datasets / "redial")
        if protocol == "cikm":
            setting = cikm_setting(redial)
        elif protocol == "unicrs":
            setting = unicrs_setting(redial)
        else:
            setting = _walked(redial, protocol, split)
        if train_on == "joint":
            setting = replace(setting, train=joint_train(redial, InspiredData(datasets / "inspired")))
        return setting, redial.variant
    data = InspiredData(datasets / "inspired")
    other = RedialData(datasets / "redial") if with_models or train_on == "joint" else None
    if protocol == "cikm":
        setting = cikm_setting(data, other)
    elif protocol == "unicrs":
        setting = unicrs_setting(data, other)
    elif protocol == "novel" and split == "valid":
        setting = inspired_valid_setting(data, other)
    else:
        raise RequestError(
            "protocol",
            protocol,
            "INSPIRED's annotation is too noisy for it; choose: cikm, unicrs (or novel, split valid, for settings).",
        )
    if train_on == "joint" and other is not None:
        setting = replace(setting, train=joint_train(other, data))
    return setting, data.variant


def _walked(data: RedialData, protocol: Literal["novel", "full"], split: Split) -> Setting:
    train = redial_train(data)
    cases = walk(data.dialogues(split), {item: row for row, item in enumerate(train.item_ids)}, protocol)
    same = {item: (item,) for item in train.item_ids}
    return Setting(cases, train.item_ids, same, train, {"ReDial": frozenset(train.item_ids)})
