"""How much each expert of the ranking pack tells: weights by maximum likelihood on held-out dialogues, and recall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from convrec.core.items import FloatArray
from convrec.tools.pack import EXPERTS, Pack
from convrec.tools.pack_training import PackCase
from numpy.typing import NDArray

RECALL_AT = (1, 10, 50)
STEPS = 20
"""Most Newton steps; fewer when the weights stand still."""
HALVINGS = 10
"""Most halvings of a step that leads past the best weights."""
RIDGE = 1e-3
"""Drawn towards 0 by this times the square of a weight and the number of cases."""
DECIMALS = 3
"""Decimals of the weights: well beyond the last bits in which machines differ."""


def fit_fusion(pack: Pack, cases: Sequence[PackCase]) -> dict[str, float]:
    """Weights of the experts' features under which the items that were recommended are the likeliest.

    Softmax regression over all items not named before (as Train, Discrete Choice Methods, 2009, ch. 3), by Newton's
    method; a weight below 0 is set to 0, so that no expert is turned around.
    """
    found = [(pack.features(case.named, case.said), case) for case in cases if case.gold]
    weights = np.zeros(len(EXPERTS))
    if not found:
        return dict.fromkeys(EXPERTS, 0.0)
    likely, slope, bend = _likelihood(found, weights)
    for _ in range(STEPS):
        step = np.linalg.solve(bend, slope)
        for _ in range(HALVINGS):  # far from the best weights a whole step may lead past them
            there = np.maximum(weights + step, 0.0)
            after = _likelihood(found, there)
            if after[0] >= likely:
                break
            step /= 2
        else:
            break
        weights, (likely, slope, bend) = there, after
        if np.abs(step).max() < 0.1 * 10**-DECIMALS:
            break
    return {name: round(float(weight), DECIMALS) for name, weight in zip(EXPERTS, weights, strict=True)}


def _likelihood(
    cases: Sequence[tuple[FloatArray, PackCase]], weights: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Log-likelihood of what was recommended less the ridge, its slope, and its curvature (sign turned).

    ``cases``: each with its features, float32, shape (len(EXPERTS), n_items).
    """
    ridge = RIDGE * len(cases)
    likely, slope, bend = -ridge * float(weights @ weights), -2 * ridge * weights, 2 * ridge * np.eye(len(EXPERTS))
    for single, case in cases:
        features, gold = single.astype(np.float64), list(case.gold)
        utility = weights @ features
        utility[list(case.named)] = -np.inf
        top = float(utility.max())
        chance = np.exp(utility - top)
        total = float(chance.sum())
        chance /= total
        mean = features @ chance
        likely += float((utility[gold] - top - np.log(total)).sum())
        slope = slope + features[:, gold].sum(axis=1) - len(gold) * mean
        bend = bend + len(gold) * ((features * chance) @ features.T - np.outer(mean, mean))
    return likely, slope, bend


def measure(pack: Pack, cases: Sequence[PackCase], fusion: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Recall of each expert alone and of all together, at 1, 10 and 50: gold items among the first so many that were
    not named before, over all gold items, those the pack has not included. Ties: the lower row first."""
    ways = {name: np.eye(len(EXPERTS))[line] for line, name in enumerate(EXPERTS)}
    ways["fusion"] = np.array([fusion[name] for name in EXPERTS])
    hits = {name: dict.fromkeys(RECALL_AT, 0) for name in ways}
    total = 0
    for case in cases:
        total += len(case.gold) + case.unknown
        features = pack.features(case.named, case.said).astype(np.float64)
        for name, weights in ways.items():
            scores = weights @ features
            scores[list(case.named)] = -np.inf
            first = np.argsort(-scores, kind="stable")[: max(RECALL_AT)].tolist()
            places = [first.index(row) for row in case.gold if row in first]
            for k in RECALL_AT:
                hits[name][k] += sum(place < k for place in places)
    return {name: {f"R@{k}": round(n / max(total, 1), 4) for k, n in found.items()} for name, found in hits.items()}
