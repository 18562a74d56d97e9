"""Ranking metrics over batches of top lists, and bootstrap intervals.

A top list is a row of item rows, best first, padded with -1 where a recommender put forward fewer items: a short list
counts as misses and changes no denominator. Every function states its denominator and its empty case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from convrec.core.items import BoolArray, FloatArray, RowArray
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

PAD = -1
"""Fills the end of a list that is shorter than k."""
BOOTSTRAP_ROUNDS = 2000
"""Resamples per interval: the ends of a 95 % interval then vary by well under a tenth of its width."""


HEAD_SHARE = 0.2
"""The most popular fifth of the items is the head, the others are the long tail (the 80/20 rule)."""
MANY = 10**9
BEFORE = ((1, 2), (3, 5), (6, 10), (11, 20), (21, MANY))
"""Groups by how many messages were said before, both ends inside."""


class Answered(Protocol):
    """What the seeker of a dialogue said afterwards."""

    @property
    def n_messages(self) -> int: ...

    @property
    def reward(self) -> Mapping[int, float]: ...


class Utility(NamedTuple):
    """Success rate and reward per dialogue length."""

    sr: float
    rdl: float


def top_k(scores: FloatArray, k: int) -> RowArray:
    """The ``k`` best rows per line, best first; int32, shape (n_lines, k), padded with -1.

    ``scores``: float32, shape (n_lines, n_items); -inf means "not put forward". Ties: lower row first, always.

    Raises:
        ValueError: a score is NaN or +inf, so that no order is right.
    """
    n_lines, n_items = scores.shape
    if not np.all(scores < np.inf):  # false for NaN too
        raise ValueError("scores must be finite or -inf, got NaN or +inf")
    width = min(k, n_items)
    out = np.full((n_lines, k), PAD, dtype=np.int32)
    if n_lines == 0 or width == 0:
        return out
    border = -np.partition(-scores, width - 1, axis=1)[:, width - 1 : width]
    # Of the items tied at the border only the lowest rows get in; argpartition alone would take any of them.
    above = scores > border
    tied = scores == border
    room = width - above.sum(axis=1, keepdims=True)
    chosen = above | (tied & (np.cumsum(tied, axis=1, dtype=np.int32) <= room))
    rows = np.nonzero(chosen)[1].reshape(n_lines, width)
    picked = np.take_along_axis(scores, rows, axis=1)
    order = np.argsort(-picked, axis=1, kind="stable")  # rows rise within a line, so stable keeps ties low first
    rows = np.take_along_axis(rows, order, axis=1)
    picked = np.take_along_axis(picked, order, axis=1)
    out[:, :width] = np.where(np.isneginf(picked), PAD, rows)
    return out


def gold_ranks(top: RowArray, gold_case: Ints, gold_rows: RowArray) -> Ints:
    """Rank (1 the best) of every gold mention in its case's list, 0 when it is not there; int64, shape (n_gold,)."""
    hits: BoolArray = top[gold_case] == gold_rows[:, None]
    return np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, 0).astype(np.int64)


def recall(ranks: Ints, k: int) -> float:
    """Gold mentions with a rank up to ``k`` / all gold mentions (micro). No gold: 0."""
    return float(_found(ranks, k).mean()) if ranks.size else 0.0


def ndcg(ranks: Ints, gold_case: Ints, n_cases: int, k: int) -> float:
    """Mean over all cases of DCG@k / ideal DCG@k, gain 1 per gold item, discount 1 / log2(rank + 1) (Jarvelin &
    Kekalainen, 2002). The ideal list holds the case's gold first. No cases: 0."""
    if n_cases == 0:
        return 0.0
    gains = np.where(_found(ranks, k), 1.0 / np.log2(np.maximum(ranks, 1) + 1.0), 0.0)
    dcg = np.bincount(gold_case, weights=gains, minlength=n_cases)
    ideal = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(1, k + 1) + 1.0))])
    sizes = np.minimum(np.bincount(gold_case, minlength=n_cases), k)
    return float(np.divide(dcg, ideal[sizes], out=np.zeros(n_cases), where=sizes > 0).mean())


def mrr(ranks: Ints, gold_case: Ints, n_cases: int, k: int) -> float:
    """Mean over all cases of 1 / rank of the case's best gold item, 0 when none is in the top ``k``. No cases: 0."""
    if n_cases == 0:
        return 0.0
    best = np.zeros(n_cases)
    found = _found(ranks, k)
    np.maximum.at(best, gold_case[found], 1.0 / ranks[found])
    return float(best.mean())


def coverage(top: RowArray, n_items: int) -> float:
    """Different items in any of the lists / items of the catalogue. Empty catalogue: 0."""
    return float(np.unique(top[top != PAD]).size / n_items) if n_items else 0.0


def gini(top: RowArray, n_items: int) -> float | None:
    """Gini coefficient of how often each item of the catalogue is in the lists: 0 all equally often, near 1 a few items
    only (never-recommended items count as 0). No list has an item: None."""
    counts = np.sort(np.bincount(top[top != PAD], minlength=n_items)).astype(np.float64)
    if (total := counts.sum()) == 0:
        return None
    return float((2 * np.arange(1, n_items + 1) - n_items - 1) @ counts / (n_items * total))


def mean_popularity(top: RowArray, popularity: Ints) -> float | None:
    """ARP: mean, over all recommended slots, of the item's popularity. No list has an item: None."""
    rows = top[top != PAD]
    return float(popularity[rows].mean()) if rows.size else None


def by_named(ranks: Ints, gold_case: Ints, n_named: Ints, k: int) -> dict[str, tuple[int, float | None]]:
    """(gold mentions, recall@k) of the cases with 0, 1, 2 and 3 or more items named before; recall None without gold.

    ``n_named``: int64, shape (n_cases,).
    """
    group = np.minimum(n_named, 3)[gold_case]
    out: dict[str, tuple[int, float | None]] = {}
    for number, label in enumerate(("0", "1", "2", "3+")):
        inside = ranks[group == number]
        out[label] = (int(inside.size), recall(inside, k) if inside.size else None)
    return out


def by_before(ranks: Ints, gold_case: Ints, n_before: Ints, k: int) -> dict[str, tuple[int, float | None]]:
    """(gold mentions, recall@k) by how many messages come before the case (:data:`BEFORE`); recall None without gold.

    ``n_before``: int64, shape (n_cases,).
    """
    before = n_before[gold_case]
    out: dict[str, tuple[int, float | None]] = {}
    for low, high in BEFORE:
        inside = ranks[(before >= low) & (before <= high)]
        label = f"{low}+" if high == MANY else f"{low}-{high}"
        out[label] = (int(inside.size), recall(inside, k) if inside.size else None)
    return out


def by_decile(ranks: Ints, gold_rows: RowArray, popularity: Ints, k: int) -> dict[str, tuple[int, float]]:
    """(gold mentions, recall@k) of ten groups of gold mentions, from the least to the most popular items. The groups
    are as equal as can be; ties go by row. The label tells the popularity from and to. Fewer than ten: {}."""
    if ranks.size < 10:
        return {}
    counts = popularity[gold_rows]
    order = np.lexsort((gold_rows, counts))
    out: dict[str, tuple[int, float]] = {}
    for number, group in enumerate(np.array_split(order, 10), 1):
        label = f"{number}: {counts[group].min()}-{counts[group].max()}"
        out[label] = (int(group.size), recall(ranks[group], k))
    return out


def long_tail(popularity: Ints) -> BoolArray:
    """Which items are no head: all but the most popular fifth of the catalogue (ties: lower row first); shape
    (n_items,)."""
    tail = np.ones(popularity.size, dtype=np.bool_)
    tail[np.lexsort((np.arange(popularity.size), -popularity))[: round(HEAD_SHARE * popularity.size)]] = False
    return tail


def tail_hits(ranks: Ints, gold_rows: RowArray, popularity: Ints, k: int) -> float | None:
    """Gold mentions found in the top ``k`` whose item is in the long tail / all found. None found: None."""
    hits = gold_rows[_found(ranks, k)]
    return float(long_tail(popularity)[hits].mean()) if hits.size else None


def utility(first: RowArray, gold: Sequence[RowArray], dialogue: Ints, answers: Sequence[Answered]) -> Utility | None:
    """Success rate and reward per dialogue length (Bernard & Balog, 2025; Kostric & Balog, SIGIR 2026).

    A case succeeds when its item at rank 1 is one of the case's gold items and the seeker said afterwards to have
    liked or seen it. Success rate: dialogues with such a case / all dialogues. Reward per dialogue length: mean over
    all dialogues of the sum of rewards / messages of the dialogue. No questionnaires: None.

    ``first``: row at rank 1 of each case, :data:`PAD` for none; ``dialogue``: number of each case's dialogue.
    """
    if not answers:
        return None
    rewards = np.zeros(len(answers))
    for row, right, number in zip(first.tolist(), gold, dialogue.tolist(), strict=True):
        if row != PAD and row in right:
            rewards[number] += answers[number].reward.get(row, 0.0)
    lengths = np.array([max(given.n_messages, 1) for given in answers])
    return Utility(float((rewards > 0).mean()), float((rewards / lengths).mean()))


def bootstrap_recall(
    ranks: Ints, gold_dialogue: Ints, k: int, *, seed: int, rounds: int = BOOTSTRAP_ROUNDS, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of recall@k, resampling whole dialogues with replacement (Efron & Tibshirani, 1993): the
    mentions of one dialogue are not independent. ``gold_dialogue``: dialogue of each gold mention, shape (n_gold,).
    Dialogues without gold play no part. No gold: (0, 0)."""
    if ranks.size == 0:
        return 0.0, 0.0
    _, number = np.unique(gold_dialogue, return_inverse=True)
    gold = np.bincount(number).astype(np.float64)
    hits = np.bincount(number, weights=_found(ranks, k).astype(np.float64))
    drawn = np.random.default_rng(seed).multinomial(gold.size, np.full(gold.size, 1.0 / gold.size), size=rounds)
    recalls = (drawn @ hits) / (drawn @ gold)
    low, high = np.quantile(recalls, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _found(ranks: Ints, k: int) -> BoolArray:
    return (ranks > 0) & (ranks <= k)
