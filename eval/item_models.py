"""Saved recommenders as item evaluation takes them: loaded, checked, named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from convrec.agent.ranking import give_encoder
from convrec.core.errors import ModelError, RequestError
from convrec.eval.mapped import Mapped, Setting
from convrec.tools.recommenders.base import Recommender
from convrec.tools.recommenders.registry import load_recommender


def load_models(
    folders: Sequence[Path],
    setting: Setting,
    evaluated: str,
    *,
    taken: Collection[str] = (),
    encoder: Path | None = None,
) -> dict[str, Mapped]:
    """The recommenders in ``folders``, by the name of their row: the manifest's, or the folder's where that is taken or
    several models have it.

    ``evaluated``: the data set and split, as ``info["splits"]`` writes them ("redial-valid"). ``encoder``: folder of
    the sentence encoder, for those that need it; without it they say at the first score how to get it.

    Raises:
        RequestError: a model was trained on ``evaluated``, or no name is left for it.
        ModelError: a folder holds no recommender, or one of other items.
    """
    out: dict[str, Mapped] = {}
    models = {folder: load_recommender(folder) for folder in folders}
    count = Counter(model.name for model in models.values())
    for folder, model in models.items():
        check_model(model, folder, setting, evaluated)
        names = (model.name, folder.resolve().name)
        in_order = names if count[model.name] == 1 else names[::-1]
        free = [name for name in in_order if name not in out and name not in taken]
        if not free:
            raise RequestError("model", str(folder), "Another row has the name of this folder: rename the folder.")
        give_encoder(model, encoder)
        out[free[0]] = Mapped(model, setting.item_map(model.item_ids or ()))
    return out


def check_model(model: Recommender, folder: Path, setting: Setting, evaluated: str) -> None:
    """Raises RequestError when ``model`` was trained on what is evaluated, ModelError when its items are others."""
    if evaluated in trained_splits(model, folder):
        raise RequestError(
            "model",
            str(folder),
            f"It was trained on {evaluated}, so it cannot be measured on that: evaluate another split, or a model "
            f"trained without it.",
        )
    if not setting.covered(model.item_ids or ()):
        spaces = " or ".join(f"the {len(items):,} of {name}" for name, items in setting.spaces.items())
        splits = ", ".join(trained_splits(model, folder)) or f"data with the hash {model.data_hash}"
        raise ModelError(
            f"the recommender {model.name} in {folder} was trained on {splits}; its {model.n_items:,} items do not "
            f"cover {spaces}. Evaluate it on its own data set or train it on one that has these items."
        )


def trained_splits(model: Recommender, folder: Path) -> tuple[str, ...]:
    """``info["splits"]``; () where the model does not tell.

    Raises:
        ModelError: it is no list of names.
    """
    splits = model.info.get("splits", [])
    if not isinstance(splits, list) or not all(isinstance(split, str) for split in splits):
        raise ModelError(f'{folder}/manifest.json, info.splits: got {splits!r}, expected names like "redial-train".')
    return tuple(splits)
