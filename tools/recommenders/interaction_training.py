"""From user-item sequences to a usable recommender: settings by leave-last-out, experts on everything, their blend.

Settings are chosen on each user's newest item of the data given, so whoever measures on newest items holds those out
first (``eval.interactions`` does).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from convrec.core.errors import RequestError
from convrec.core.extras import installed
from convrec.core.files import replacing, write_json
from convrec.core.items import FloatArray
from convrec.tools.recommenders.base import NEVER, Recommender, RecommenderConfig
from convrec.tools.recommenders.blend import Blend, standardised
from convrec.tools.recommenders.data import Context, TrainData
from convrec.tools.recommenders.ease import EASEConfig
from convrec.tools.recommenders.interactions import history, hold_out_last
from convrec.tools.recommenders.item_knn import ItemKNNConfig
from convrec.tools.recommenders.item_names import names_of
from convrec.tools.recommenders.popularity import PopularityConfig
from convrec.tools.recommenders.registry import RECOMMENDERS
from convrec.tools.recommenders.sasrec import SASRecConfig
from numpy.typing import NDArray

EXPERTS: tuple[str, ...] = ("popularity", "itemknn", "ease", "sasrec")
"""What learns from sequences alone."""
CHOOSE_AT = 10
"""Settings are chosen by NDCG at this rank."""
CHOOSE_USERS = 5000
"""Users asked when settings are chosen; of more, some are drawn."""
BATCH = 256
BLEND_STEPS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Weights tried for each expert in the blend, beside 1 for the best one."""

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The best settings of one expert. ``ndcg``: on the validation items, 0..1; ``tried``: every setting's."""

    config: RecommenderConfig
    ndcg: float
    tried: tuple[tuple[Mapping[str, Any], float], ...]


def default_experts() -> tuple[str, ...]:
    """All of :data:`EXPERTS` that can be trained here: SASRec needs torch."""
    return tuple(name for name in EXPERTS if name != "sasrec" or installed("torch"))


def check_experts(names: Sequence[str]) -> tuple[str, ...]:
    """The names, without repeats. Raises RequestError for an unknown one or none at all."""
    for name in names or ("",):
        if name not in EXPERTS:
            raise RequestError("experts", name, f"Choose from: {', '.join(EXPERTS)}.")
    return tuple(dict.fromkeys(names))


def grid(name: str, train: TrainData) -> list[RecommenderConfig]:
    """The settings tried for an expert; which are sensible was seen on MovieLens' validation items."""
    if name == "popularity":
        return [PopularityConfig(count="all")]
    if name == "itemknn":
        return [
            ItemKNNConfig(neighbours=200, shrinkage=shrinkage, length_weight=weight, half_life=half_life)
            for (weight, shrinkage), half_life in product(((0.0, 20.0), (0.5, 1.0), (1.0, 0.1)), (None, 10.0, 3.0))
        ]
    if name == "ease":
        least = _least_count(train, EASEConfig().max_items)
        return [
            EASEConfig(l2=l2, half_life=half_life, min_sequences=least)
            for l2, half_life in product((50.0, 200.0, 800.0), (None, 10.0, 3.0))
        ]
    return [
        SASRecConfig(
            targets="all",
            length=50,
            batch=32,
            negatives=None if train.n_items <= WHOLE_SOFTMAX else 512,
            learning_rate=2e-3,
            **settings,
        )
        for settings in _SASREC
    ]


_SASREC: tuple[dict[str, Any], ...] = (
    {"epochs": 10, "dropout": 0.2},
    {"epochs": 20, "dropout": 0.4},
)
WHOLE_SOFTMAX = 20_000
"""Items up to which SASRec is trained against all of them; sampled negatives were a third as good (docs/benchmarks)."""


def _least_count(train: TrainData, largest: int) -> int:
    """The smallest count of sequences that no more than ``largest`` items reach: what EASE's system can hold."""
    counts = np.sort(train.popularity)[::-1]
    return 1 if counts.size <= largest else int(counts[largest]) + 1


def _part(progress: Callable[[float], None], start: float, share: float) -> Callable[[float], None]:
    """Progress of one part of the work, which begins at ``start`` and makes up ``share`` of the whole."""
    return lambda done: progress(start + share * done)


def choose_settings(
    name: str,
    train: TrainData,
    *,
    least: int = 3,
    seed: int = 0,
    work: Path | None = None,
    report: Report = lambda text: None,
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[Chosen, FloatArray]:
    """Fit every setting without each user's newest item and take the best by NDCG of that item, the first of equals.

    Also gives the best one's standardised scores of the validation users, float32, shape (n_users, n_items), for the
    blend. ``work``: folder that keeps what was measured, so that an interrupted run goes on. Where nobody has
    ``least`` items there is nothing to choose by: the first setting, with NDCG 0.
    """
    settings = grid(name, train)
    rest, contexts, gold = validation(train, least=least, seed=seed)
    memory = _Memory(work, name, rest, settings, seed)
    for number in range(len(memory.tried), len(settings)):
        report(f"{name}: setting {number + 1} of {len(settings)}")
        model = memory.fitted(number, _part(progress, number / len(settings), 1 / len(settings)))
        scores = scores_of(model, contexts)
        memory.add(ndcg_of_one(scores, gold), scores)
        progress((number + 1) / len(settings))
    at = int(np.argmax(memory.tried))
    told = tuple((config.model_dump(mode="json"), value) for config, value in zip(settings, memory.tried, strict=True))
    return Chosen(settings[at], memory.tried[at], told), memory.best()


class _Memory:
    """What was measured of an expert's settings, kept in a folder if there is one."""

    def __init__(
        self, work: Path | None, name: str, rest: TrainData, settings: Sequence[RecommenderConfig], seed: int
    ) -> None:
        self._name, self._rest, self._settings, self._seed = name, rest, settings, seed
        self._model: Recommender | None = None
        self._best: FloatArray | None = None
        self._file = work / f"valid-{name}.json" if work else None
        told = json.dumps([rest.digest, seed, [config.model_dump(mode="json") for config in settings]])
        self._key = hashlib.sha256(told.encode()).hexdigest()
        self.tried: list[float] = []
        if self._file is not None and self._file.is_file():
            kept = json.loads(self._file.read_text(encoding="utf-8"))
            if kept["key"] == self._key:
                self.tried = [float(value) for value in kept["tried"]]
                self._best = np.load(self._file.with_suffix(".npy"), allow_pickle=False)

    def fitted(self, number: int, progress: Callable[[float], None]) -> Recommender:
        """The model of one setting. ``half_life`` is read when scoring only: for it nothing is fitted anew."""
        config, old = self._settings[number], self._model
        if old is not None and _learnt_by(old.config) == _learnt_by(config):
            old.config = config
            return old
        self._model = fitted(self._name, config, self._rest, seed=self._seed, progress=progress)
        return self._model

    def add(self, value: float, scores: FloatArray) -> None:
        self.tried.append(value)
        if self._best is None or value > max(self.tried[:-1]):
            self._best = scores
            if self._file is not None:
                with replacing(self._file.with_suffix(".npy")) as temporary, temporary.open("wb") as out:
                    np.save(out, scores, allow_pickle=False)
        if self._file is not None:
            write_json(self._file, {"key": self._key, "tried": self.tried})

    def best(self) -> FloatArray:
        assert self._best is not None
        return self._best


def _learnt_by(config: RecommenderConfig) -> dict[str, Any]:
    return {key: value for key, value in config.model_dump().items() if key != "half_life"}


def validation(
    train: TrainData, *, least: int = 3, seed: int = 0
) -> tuple[TrainData, list[Context], NDArray[np.int32]]:
    """(the data without each user's newest item, what users had before, the newest items); at most
    :data:`CHOOSE_USERS` users, drawn by ``seed``."""
    rest, held, gold = hold_out_last(train, least)
    if held.size > CHOOSE_USERS:
        drawn = np.sort(np.random.default_rng(seed).choice(held.size, CHOOSE_USERS, replace=False))
        held, gold = held[drawn], gold[drawn]
    return rest, [Context(history(rest, int(user))) for user in held], gold


def scores_of(model: Recommender, contexts: Sequence[Context]) -> FloatArray:
    """Standardised scores, items already had :data:`NEVER`; float32, shape (len(contexts), n_items)."""
    parts = [np.empty((0, model.n_items), dtype=np.float32)]
    for start in range(0, len(contexts), BATCH):
        batch = contexts[start : start + BATCH]
        scores = standardised(model.score(batch))
        for line, context in zip(scores, batch, strict=True):
            line[context.named] = NEVER
        parts.append(scores)
    return np.concatenate(parts)


def ndcg_of_one(scores: FloatArray, gold: NDArray[np.int32], k: int = CHOOSE_AT) -> float:
    """Mean of 1 / log2(rank + 1) where the one right item is among the best ``k``, else 0; of equal scores the lower
    row comes first. Nobody: 0."""
    if not gold.size:
        return 0.0
    own = scores[np.arange(gold.size), gold][:, None]
    before = (scores == own) & (np.arange(scores.shape[1])[None, :] < gold[:, None])
    ranks = 1 + (scores > own).sum(axis=1) + before.sum(axis=1)
    return float(np.where(ranks <= k, 1.0 / np.log2(ranks + 1.0), 0.0).mean())


def blend_weights(scores: Mapping[str, FloatArray], gold: NDArray[np.int32]) -> tuple[dict[str, float], float]:
    """Weights by coordinate search from the best expert alone, and their NDCG on the validation items."""
    alone = {name: ndcg_of_one(values, gold) for name, values in scores.items()}
    order = sorted(alone, key=lambda name: -alone[name])
    weights = dict.fromkeys(scores, 0.0) | {order[0]: 1.0}
    total, best = scores[order[0]], alone[order[0]]
    for name in order[1:]:
        step = weights[name]
        for weight in BLEND_STEPS[1:]:
            value = ndcg_of_one(total + np.float32(weight) * scores[name], gold)
            if value > best:
                best, step = value, weight
        if step:
            weights[name] = step
            total = total + np.float32(step) * scores[name]
    return weights, best


def fitted(
    name: str,
    config: RecommenderConfig,
    train: TrainData,
    *,
    seed: int,
    folder: Path | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> Recommender:
    """A fitted expert; taken from ``folder`` when the same was fitted before, else saved there."""
    model = RECOMMENDERS[name](config, seed=seed)
    if folder is not None and (folder / "manifest.json").is_file():
        kept = type(model).load(folder)
        if kept.data_hash == train.digest and kept.config == config and kept.seed == seed:
            return kept
    model.progress = progress
    model.fit(train)
    if folder is not None:
        model.save(folder)
    return model


def train_interactions(
    train: TrainData,
    out: Path,
    *,
    experts: Sequence[str],
    work: Path,
    seed: int = 0,
    info: Mapping[str, Any] | None = None,
    report: Report = lambda text: None,
    progress: Callable[[float], None] = lambda share: None,
) -> Recommender:
    """Choose settings, fit the experts on everything, save to ``out``: their blend, or the one expert asked for.

    ``out`` appears whole or not at all; an expert of the blend lies in its ``parts``. ``work`` keeps what is done, so
    that an interrupted run on the same data and seed goes on; it is removed at the end.

    Raises:
        RequestError: an unknown expert.
        MissingExtraError: SASRec without torch.
    """
    names = check_experts(experts)
    work.mkdir(parents=True, exist_ok=True)
    steps = 2 * len(names)
    models: dict[str, Recommender] = {}
    chosen: dict[str, Chosen] = {}
    scores: dict[str, FloatArray] = {}
    for number, name in enumerate(names):
        at = 2 * number / steps
        chosen[name], scores[name] = choose_settings(
            name, train, seed=seed, work=work, report=report, progress=_part(progress, at, 1 / steps)
        )
        report(f"{name}: fitting on everything")
        models[name] = fitted(
            name,
            chosen[name].config,
            train,
            seed=seed,
            folder=work / f"all-{name}",
            progress=_part(progress, at + 1 / steps, 1 / steps),
        )
    gold = validation(train, seed=seed)[2]
    weights, value = blend_weights(scores, gold)
    model = models[names[0]] if len(names) == 1 else Blend.of(models, weights, seed=seed)
    model.info = dict(info or {}) | {
        "validation": {
            "users": int(gold.size),
            f"ndcg@{CHOOSE_AT}": {name: round(c.ndcg, 6) for name, c in chosen.items()} | {"blend": round(value, 6)},
        }
    }
    model.names = names_of(train.details)
    report("saving")
    model.save(out)
    shutil.rmtree(work)
    return model
