"""The recommenders that item evaluation knows by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from convrec.tools.recommenders.base import Recommender
from convrec.tools.recommenders.ease import EASE
from convrec.tools.recommenders.echo import Echo
from convrec.tools.recommenders.item_knn import ItemKNN
from convrec.tools.recommenders.popularity import Popularity

SYSTEMS: Mapping[str, Callable[[int], Recommender]] = {
    "popularity": lambda seed: Popularity(seed=seed),
    "echo": lambda seed: Echo(seed=seed),
    "itemknn": lambda seed: ItemKNN(seed=seed),
    "ease": lambda seed: EASE(seed=seed),
}
"""Name -> maker of an unfitted recommender with default settings, from a seed."""
