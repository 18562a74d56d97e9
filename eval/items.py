"""Item recommendation on a dialogue data set: build the cases, fit, score, measure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from convrec.core.errors import RequestError
from convrec.core.files import sha256_file
from convrec.eval.item_models import load_models
from convrec.eval.item_plugins import load_plugin, plugin_hash, plugin_names
from convrec.eval.item_results import Memory, Recorder, Tell, missing, outcomes, record_system, times
from convrec.eval.item_rows import Row, Training, measure
from convrec.eval.item_settings import TRAIN_ON, TrainOn, item_setting
from convrec.eval.item_systems import DEFAULT_SYSTEMS, SYSTEMS
from convrec.eval.mapped import Mapped, Setting
from convrec.eval.protocols import PROTOCOLS, Cases, Protocol, check_counts
from convrec.eval.run_folder import run_config
from convrec.tools.datasets import Split
from convrec.tools.recommenders.base import Recommender

EVALUATION_DATASETS: tuple[str, ...] = ("redial", "inspired")
SPLITS: tuple[Split, ...] = ("test", "valid")


@dataclass(frozen=True, slots=True)
class ItemReport:
    """One run. ``limited``: only the first dialogues were used, so the figures do not compare with anything.
    ``n_train``, ``train_hash``: of what the systems were fitted on. ``note``: what sets the cases apart."""

    dataset: str
    protocol: Protocol
    split: Split
    variant: str
    n_dialogues: int
    n_cases: int
    n_gold: int
    n_items: int
    n_train: int
    train_hash: str
    seed: int
    limited: bool
    rows: tuple[Row, ...] = ()
    train_on: TrainOn = "own"
    note: str = ""

    def as_dict(self, *, timings: bool = True) -> dict[str, Any]:
        """As JSON. ``timings``: with what differs from run to run."""
        return {
            "protocol": self.protocol,
            "dataset": self.dataset,
            "split": self.split,
            "note": self.note,
            "variant": self.variant,
            "train_on": self.train_on,
            "n_dialogues": self.n_dialogues,
            "n_cases": self.n_cases,
            "n_gold": self.n_gold,
            "n_items": self.n_items,
            "n_train_dialogues": self.n_train,
            "train_hash": self.train_hash,
            "limited": self.limited,
            "seed": self.seed,
            "rows": [row.as_dict() if timings else row.figures() for row in self.rows],
        }


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """What is to be measured: the cases, who is asked, and where models came from."""

    setting: Setting
    cases: Cases
    makers: Mapping[str, Callable[[int], Recommender]]
    loaded: Mapping[str, Mapped]
    report: ItemReport

    @property
    def names(self) -> list[str]:
        return [*self.makers, *self.loaded]


def check_choice(field_name: str, value: str, choices: Sequence[str]) -> None:
    """Raises RequestError, naming the choices, when ``value`` is none of them."""
    if value not in choices:
        raise RequestError(field_name, value, f"Choose from: {', '.join(choices)}.")


def evaluate_items(
    datasets: Path,
    *,
    dataset: str = "redial",
    protocol: str = "novel",
    split: str = "test",
    systems: Sequence[str] = DEFAULT_SYSTEMS,
    models: Sequence[Path] = (),
    train_on: str = "own",
    encoder: Path | None = None,
    seed: int = 0,
    limit_dialogues: int | None = None,
    report: Tell = lambda text: None,
) -> ItemReport:
    """Fit every system on the training dialogues (validation left out) and measure it on ``split``, beside the saved
    recommenders in the folders ``models``. ``systems``: names of ours, of installed plug-ins, or ``module:object``.
    ``encoder``: folder of the sentence encoder, for models that need it.

    Raises:
        RequestError: an unknown data set, protocol, split, system or ``train_on``, naming the choices; or a model that
            was trained on what it is to be measured on.
        DatasetError: the data set is not there, is damaged, or does not give the protocol's known counts.
        ModelError: a folder holds no recommender, or one of other items.
    """
    prepared = prepare(
        datasets,
        dataset=dataset,
        protocol=protocol,
        split=split,
        systems=systems,
        models=models,
        train_on=train_on,
        encoder=encoder,
        seed=seed,
        limit_dialogues=limit_dialogues,
        report=report,
    )
    return measured(prepared, Memory(), report)


def prepare(
    datasets: Path,
    *,
    dataset: str,
    protocol: str,
    split: str,
    systems: Sequence[str],
    models: Sequence[Path],
    train_on: str = "own",
    encoder: Path | None = None,
    seed: int = 0,
    limit_dialogues: int | None = None,
    report: Tell = lambda text: None,
) -> Prepared:
    """Check everything that can be checked before the work begins; arguments and errors of :func:`evaluate_items`."""
    check_choice("dataset", dataset, EVALUATION_DATASETS)
    check_choice("protocol", protocol, PROTOCOLS)
    check_choice("split", split, SPLITS)
    check_choice("train_on", train_on, TRAIN_ON)
    makers = _makers(systems, models)
    asked = next(known for known in PROTOCOLS if known == protocol)
    part = next(known for known in SPLITS if known == split)
    fitted_on = next(known for known in TRAIN_ON if known == train_on)

    report(f"reading {dataset}")
    setting, variant = item_setting(datasets, dataset, asked, part, train_on=fitted_on, with_models=bool(models))
    cases = setting.cases
    if limit_dialogues is None:
        check_counts(cases, dataset, part)
    else:
        cases = cases.first(limit_dialogues)
    loaded = load_models(models, setting, f"{dataset}-{part}", taken=list(makers), encoder=encoder)
    about = ItemReport(
        dataset=dataset,
        protocol=asked,
        split=part,
        variant=variant,
        n_dialogues=cases.n_dialogues,
        n_cases=len(cases.cases),
        n_gold=cases.n_gold,
        n_items=cases.n_items,
        n_train=setting.train.n_sequences,
        train_hash=setting.train.digest,
        seed=seed,
        limited=limit_dialogues is not None,
        train_on=fitted_on,
        note=setting.note,
    )
    return Prepared(setting, cases, makers, loaded, about)


def config_of(prepared: Prepared, models: Sequence[Path], limit_dialogues: int | None) -> dict[str, Any]:
    """The config of a run that measures this; ``models``: the folders that ``prepared`` was made with."""
    about = prepared.report
    settings = {
        "dataset": about.dataset,
        "variant": about.variant,
        "protocol": about.protocol,
        "split": about.split,
        "systems": list(prepared.makers),
        "models": list(prepared.loaded),
        "train_on": about.train_on,
        "limit_dialogues": limit_dialogues,
    }
    hashes = {name: plugin_hash(name) for name in prepared.makers if name not in SYSTEMS}
    folders = dict.fromkeys(models)
    hashes |= {
        name: sha256_file(folder / "manifest.json") for name, folder in zip(prepared.loaded, folders, strict=True)
    }
    data = {"train": about.train_hash, "cases": prepared.cases.digest}
    return run_config("items", settings, seed=about.seed, data=data, models=hashes)


def measured(prepared: Prepared, recorder: Recorder, report: Tell = lambda text: None) -> ItemReport:
    """Do what is not recorded yet, then all figures."""
    setting, cases, about = prepared.setting, prepared.cases, prepared.report
    train = setting.train
    own_items = setting.item_map(train.item_ids)
    for name in prepared.names:
        starts = missing(recorder, name, cases)
        if not starts:
            continue
        mapped, fit_s = prepared.loaded.get(name), None
        if mapped is None:
            report(f"{name}: fitting")
            began = time.perf_counter()
            mapped = Mapped(prepared.makers[name](about.seed).fit(train), own_items)
            fit_s = time.perf_counter() - began
        record_system(recorder, name, mapped, setting, cases, starts, fit_s=fit_s, tell=report)
    report("measuring")
    popularity = own_items.counts(train.popularity)
    found, took = outcomes(recorder, prepared.names, setting), times(recorder, prepared.names)
    rows = []
    for name in prepared.names:
        mapped = prepared.loaded.get(name)
        rows.append(
            measure(
                name,
                found[name],
                cases,
                popularity,
                about.seed,
                times=took[name],
                loaded=mapped is not None,
                n_known=(mapped.items if mapped is not None else own_items).n_known,
                training=_training(prepared, mapped),
            )
        )
    return replace(about, rows=tuple(rows))


def _makers(systems: Sequence[str], models: Sequence[Path]) -> dict[str, Callable[[int], Recommender]]:
    names = list(dict.fromkeys(systems))
    choices = f"Choose from: {', '.join([*SYSTEMS, *plugin_names()])}; or module:object"
    if not names and not models:
        raise RequestError("systems", "", f"{choices}; or give a model.")
    for name in names:
        if name not in SYSTEMS and name not in plugin_names() and ":" not in name:
            raise RequestError("systems", name, f"{choices}.")
    return {name: SYSTEMS[name] if name in SYSTEMS else load_plugin(name) for name in names}


def _training(prepared: Prepared, mapped: Mapped | None) -> Training:
    train, about = prepared.setting.train, prepared.report
    if mapped is None:
        names = (about.dataset,) if about.train_on == "own" else EVALUATION_DATASETS
        return Training(train.digest, train.n_sequences, tuple(f"{name}-train" for name in names))
    model = mapped.recommender
    splits = tuple(model.info["splits"]) if "splits" in model.info else None
    return Training(model.data_hash, model.n_train, splits)
