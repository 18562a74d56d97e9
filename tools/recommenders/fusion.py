"""Learned fusion: a pool of candidates from all experts, ordered by gradient-boosted trees (LambdaMART, Burges 2010).

The trees learn from scores by experts that did not see the dialogue. Training dialogues are cut into blocks of time;
an expert that scores a block was fitted without it. With an expert that is costly to fit, the newest dialogues are the
only such block, and the costly expert then goes on learning with them instead of starting anew. Blocks of time, not
random ones, because the same crowd workers talk in neighbouring dialogues: with random blocks every expert looks better
than it is on people it never met (docs/evaluation.md).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from convrec.core.errors import ModelError
from convrec.core.extras import require
from convrec.core.items import FloatArray, RowArray
from convrec.tools.recommenders.base import NEVER, AnyArray, Continued, Recommender, RecommenderConfig
from convrec.tools.recommenders.data import Context, TrainData, recommendations
from convrec.tools.recommenders.fusion_features import CaseFeatures, ItemPriors, case_features, feature_names
from convrec.tools.recommenders.registry import RECOMMENDERS
from numpy.typing import NDArray
from pydantic import Field

BATCH = 128
"""Contexts scored at once: nine experts' scores of 6,924 items are then 32 MB."""


class FusedConfig(RecommenderConfig):
    """Settings of the fusion."""

    experts: tuple[str, ...] = (
        "bi_encoder",
        "ease",
        "itemknn",
        "sasrec",
        "convknn",
        "keywords",
        "links",
        "graph",
        "bm25",
    )
    blocks: int = Field(4, ge=2, description="blocks of time for cross-fitting, when no expert is costly")
    costly: tuple[str, ...] = Field(("bi_encoder",), description="experts that are fitted once and then go on")
    newest: float = Field(
        1 / 3, gt=0, lt=1, description="with a costly expert, the share of dialogues, the newest, that trees learn on"
    )
    depth: int = Field(200, ge=1, description="best items of an expert that join the pool")
    shallow: Mapping[str, int] = Field(
        {"links": 60, "graph": 60, "bm25": 60}, description="the same for weaker experts, by name"
    )
    popular: int = Field(100, ge=0, description="most popular items, always in the pool")
    half_life: int = Field(2000, ge=1, description="of recent popularity, in training dialogues")
    negatives: int = Field(250, ge=1, description="items per training case that were not recommended")
    trees: int = Field(300, ge=1)
    learning_rate: float = Field(0.04, gt=0)
    leaves: int = Field(15, ge=2)
    min_leaf: int = Field(80, ge=1, description="items per leaf, at least")
    column_share: float = Field(0.4, gt=0, le=1)
    row_share: float = Field(0.7, gt=0, le=1)
    l2: float = Field(10.0, ge=0)
    truncation: int = Field(60, ge=1, description="ranks that LambdaMART's gradient looks at")


class Fused(Recommender):
    """Scores of the trees for the pool; every other item is never put forward.

    Args:
        encoder: folder of all-MiniLM-L6-v2 for the expert ``bi_encoder``; also needed after ``load``.
        work: folder that keeps fitted experts, so that an interrupted ``fit`` on the same data goes on where it
            stopped; by default a temporary one.
    """

    name: ClassVar[str] = "fused"
    Config: ClassVar[type[RecommenderConfig]] = FusedConfig
    config: FusedConfig

    def __init__(
        self,
        config: RecommenderConfig | None = None,
        *,
        seed: int = 0,
        encoder: Path | None = None,
        work: Path | None = None,
        report: Callable[[str], None] = lambda text: None,
    ) -> None:
        super().__init__(config, seed=seed)
        self.encoder, self.work, self.report = encoder, work, report
        self._experts: dict[str, Recommender] = {}
        self._booster: Any = None

    def experts(self) -> Mapping[str, Recommender]:
        """The fitted experts by name."""
        return {name: self._with_encoder(expert) for name, expert in self._experts.items()}

    def pool(self, contexts: Sequence[Context]) -> list[RowArray]:
        """The candidates of each context: rows, int32, rising."""
        return [case.rows for case in self._cases(contexts)]

    def importance(self) -> list[tuple[str, float]]:
        """(feature, share of the trees' gain), largest first."""
        gain = np.asarray(self._trees().feature_importance("gain"), dtype=np.float64)
        names = feature_names(tuple(self._experts))
        return sorted(zip(names, (gain / max(gain.sum(), 1e-12)).tolist(), strict=True), key=lambda pair: -pair[1])

    def _fit(self, train: TrainData) -> None:
        if not train.dialogues or not train.sequence_ids:
            raise ModelError("the fusion learns from dialogues with text and ids, and this training data has none.")
        with ExitStack() as stack:
            work = self.work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="convrec-fusion-")))
            ids = np.array(train.sequence_ids)
            costly = set(self.config.costly) & set(self.config.experts)
            newest = round(len(ids) * self.config.newest)
            cut = [ids[len(ids) - newest :]] if costly else np.array_split(ids, self.config.blocks)
            blocks = [tuple(block.tolist()) for block in cut]
            without = {block: train.without(block) for block in blocks}
            total = (len(blocks) + 1) * len(self.config.experts)
            done = 0
            for name in self.config.experts:
                for number, block in enumerate(blocks):
                    self.report(f"{name}: fitting without part {number + 1} of {len(blocks)}")
                    self._fitted(name, without[block], work / f"{name}-{number}", done / total, 1 / total)
                    done += 1
            values, labels, sizes = self._training_cases(train, blocks, without, work)
            self.report(f"fusion: {len(sizes)} cases, {len(labels)} candidates")
            self._model_text = self._fit_trees(values, labels, sizes)
            del values
            for name in self.config.experts:
                first = work / f"{name}-0" if name in costly else None
                self.report(f"{name}: {'going on with' if first else 'fitting on'} everything")
                made = self._fitted(
                    name, train, work / f"{name}-all", done / total, 1 / total, first=first, new=blocks[0]
                )
                self._experts[name] = made
                done += 1
            self._priors = ItemPriors.of(train, self.config.half_life)
            self._booster = None

    def _fitted(
        self,
        name: str,
        train: TrainData,
        folder: Path,
        at: float,
        share: float,
        *,
        first: Path | None = None,
        new: tuple[str, ...] = (),
    ) -> Recommender:
        """The expert fitted on ``train``; taken from ``folder`` when the same was fitted before. ``first``: the expert
        of that folder, which knows all but ``new``, goes on with those."""
        expert = self._new(name)
        if (folder / "manifest.json").is_file():
            kept = type(expert).load(folder)
            if kept.data_hash == train.digest and kept.config == expert.config and kept.seed == self.seed:
                return self._with_encoder(kept)
        if first is not None:
            expert = self._with_encoder(type(expert).load(first))
        expert.progress = lambda done: self.progress(at + share * done)
        if first is not None and isinstance(expert, Continued):
            expert.go_on(train, new)
        else:
            expert.fit(train)
        expert.save(folder)
        self.progress(at + share)
        return self._with_encoder(type(expert).load(folder))

    def _new(self, name: str) -> Recommender:
        if name not in RECOMMENDERS:
            raise ModelError(f"experts: {name!r} is no recommender. Choose from: {', '.join(RECOMMENDERS)}")
        return self._with_encoder(RECOMMENDERS[name](seed=self.seed))

    def _with_encoder(self, expert: Recommender) -> Recommender:
        if hasattr(expert, "encoder"):
            expert.encoder = self.encoder
        return expert

    def _training_cases(
        self,
        train: TrainData,
        blocks: Sequence[tuple[str, ...]],
        without: Mapping[tuple[str, ...], TrainData],
        work: Path,
    ) -> tuple[FloatArray, NDArray[np.int8], list[int]]:
        """Features, labels and group sizes over all blocks; a case's pool is thinned to all gold and some others."""
        random = np.random.default_rng(self.seed)
        row_of = {item: row for row, item in enumerate(train.item_ids)}
        values: list[FloatArray] = []
        labels: list[NDArray[np.int8]] = []
        for number, block in enumerate(blocks):
            self.report(f"fusion: scoring part {number + 1} of {len(blocks)}")
            inside = set(block)
            cases = [
                case
                for dialogue in train.dialogues
                if dialogue.id in inside
                for case in recommendations(dialogue, row_of, novel=False)
            ]
            experts = {
                name: self._with_encoder(RECOMMENDERS[name].load(work / f"{name}-{number}"))
                for name in self.config.experts
            }
            priors = ItemPriors.of(without[block], self.config.half_life)
            found = self._features([case.context for case in cases], experts, priors, row_of)
            for case, features in zip(cases, found, strict=True):
                gold = np.isin(features.rows, case.gold)
                if not gold.any():
                    continue
                others = np.flatnonzero(~gold)
                kept = random.permutation(others)[: self.config.negatives]
                chosen = np.concatenate([np.flatnonzero(gold), kept])
                values.append(features.values[chosen])
                labels.append(gold[chosen].astype(np.int8))
        if not values:
            raise ModelError("the fusion found no training case with a recommended item in its pool.")
        return np.concatenate(values), np.concatenate(labels), [len(part) for part in labels]

    def _fit_trees(self, values: FloatArray, labels: NDArray[np.int8], sizes: list[int]) -> str:
        lightgbm, config = _lightgbm(), self.config
        data = lightgbm.Dataset(values, labels, group=sizes, free_raw_data=True)
        settings = {
            "objective": "lambdarank",
            "lambdarank_truncation_level": config.truncation,
            "learning_rate": config.learning_rate,
            "num_leaves": config.leaves,
            "min_data_in_leaf": config.min_leaf,
            "feature_fraction": config.column_share,
            "bagging_fraction": config.row_share,
            "bagging_freq": 1,
            "lambda_l2": config.l2,
            "seed": self.seed,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }
        return str(lightgbm.train(settings, data, num_boost_round=config.trees).model_to_string())

    def _features(
        self,
        contexts: Sequence[Context],
        experts: Mapping[str, Recommender],
        priors: ItemPriors,
        row_of: Mapping[str, int],
    ) -> Iterable[CaseFeatures]:
        depth = {name: self.config.shallow.get(name, self.config.depth) for name in experts}
        for start in range(0, len(contexts), BATCH):
            batch = contexts[start : start + BATCH]
            scores = {name: expert.score(batch) for name, expert in experts.items()}
            yield from case_features(batch, scores, depth, priors, row_of, self.config.popular)

    def _cases(self, contexts: Sequence[Context]) -> list[CaseFeatures]:
        return list(self._features(contexts, self.experts(), self._priors, self.row_of))

    def _score(self, contexts: Sequence[Context]) -> FloatArray:
        out = np.full((len(contexts), self.n_items), NEVER, dtype=np.float32)
        cases = self._cases(contexts)
        found = self._trees().predict(np.concatenate([case.values for case in cases]))
        parts = np.split(found.astype(np.float32), np.cumsum([case.rows.size for case in cases])[:-1])
        for line, case, part in zip(out, cases, parts, strict=True):
            line[case.rows] = part
        return out

    def _trees(self) -> Any:
        if self._booster is None:
            self._booster = _lightgbm().Booster(model_str=self._model_text)
        return self._booster

    def _parts(self) -> Mapping[str, Recommender]:
        return self._experts

    def _restore_parts(self, folder: Path) -> None:
        self._experts = {name: RECOMMENDERS[name].load(folder / name) for name in self.config.experts}

    def _arrays(self) -> Mapping[str, AnyArray]:
        priors = self._priors
        return {
            "trees": np.frombuffer(self._model_text.encode(), dtype=np.uint8),
            "popularity": priors.popularity,
            "recent": priors.recent,
            "years": priors.years,
        }

    def _restore(self, arrays: Mapping[str, AnyArray]) -> None:
        self._model_text = arrays["trees"].tobytes().decode()
        self._priors = ItemPriors(arrays["popularity"], arrays["recent"], arrays["years"])


def _lightgbm() -> Any:
    try:
        return require("lightgbm", "train", "the learned fusion")
    except OSError as error:  # its wheel does not bring the OpenMP library
        raise ModelError(
            f"LightGBM cannot be loaded ({error}). On Debian or Ubuntu: apt-get install libgomp1"
        ) from error
