"""How fast a saved recommender ranks one conversation over its whole catalogue, the embedding of the text apart."""

from __future__ import annotations

import resource
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from convrec.agent.ranking import give_encoder
from convrec.core.errors import RequestError
from convrec.eval.item_models import check_model
from convrec.eval.item_settings import item_setting
from convrec.eval.metrics import top_k
from convrec.tools.recommenders.bi_encoder import BiEncoder
from convrec.tools.recommenders.fusion import Fused
from convrec.tools.recommenders.registry import load_recommender

TOP = 50


@dataclass(frozen=True, slots=True)
class RankBench:
    """Wall-clock times; milliseconds unless the name says seconds. ``embed``: the conversation through the sentence
    encoder (None without one); ``rank``: everything else up to the best 50 rows. The first conversation, which loads
    what is loaded lazily, is in ``first`` and in no percentile."""

    model: str
    n_items: int
    n_conversations: int
    load_seconds: float
    first: float
    embed_p50: float | None
    embed_p95: float | None
    rank_p50: float
    rank_p95: float
    peak_mib: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def bench_rank(
    datasets: Path, folder: Path, *, dataset: str = "redial", conversations: int = 200, encoder: Path | None = None
) -> RankBench:
    """Rank test conversations one at a time; nothing is measured but time.

    Raises:
        RequestError: fewer than two conversations.
        ModelError, DatasetError: the model or the data set is missing, damaged, or of other items.
    """
    if conversations < 2:
        raise RequestError("conversations", str(conversations), "Expected at least 2.")
    started = time.perf_counter()
    model = load_recommender(folder)
    load_seconds = time.perf_counter() - started
    setting, _ = item_setting(
        datasets, dataset, "cikm" if dataset == "inspired" else "novel", "test", train_on="own", with_models=True
    )
    check_model(model, folder, setting, f"{dataset}-test")
    mapping = setting.item_map(model.item_ids or ())
    contexts = [mapping.context(case.context) for case in setting.cases.cases[:conversations]]
    give_encoder(model, encoder)
    texts = _text_expert(model)
    embed, rank = [], []
    for context in contexts:
        began = time.perf_counter()
        if texts is not None:
            texts.encode([context])
        embedded = time.perf_counter()
        top_k(model.score([context]), TOP)
        embed.append(embedded - began)
        rank.append(time.perf_counter() - embedded)
    rank_p50, rank_p95 = _percentiles(rank[1:])
    embed_p50, embed_p95 = _percentiles(embed[1:])
    return RankBench(
        model=model.name,
        n_items=model.n_items,
        n_conversations=len(contexts),
        load_seconds=round(load_seconds, 3),
        first=round(1000 * (embed[0] + rank[0]), 1),
        embed_p50=embed_p50 if texts is not None else None,
        embed_p95=embed_p95 if texts is not None else None,
        rank_p50=rank_p50,
        rank_p95=rank_p95,
        peak_mib=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    )


def _text_expert(model: object) -> BiEncoder | None:
    expert = model.experts().get("bi_encoder") if isinstance(model, Fused) else model
    return expert if isinstance(expert, BiEncoder) else None


def _percentiles(seconds: list[float]) -> tuple[float, float]:
    p50, p95 = np.percentile(1000 * np.array(seconds), [50, 95]).round(2).tolist()
    return p50, p95
