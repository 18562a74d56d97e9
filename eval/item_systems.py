"""The recommenders that item evaluation knows by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from convrec.core.extras import installed
from convrec.tools.recommenders.base import Recommender
from convrec.tools.recommenders.bm25 import BM25
from convrec.tools.recommenders.conversation_knn import ConversationKNN
from convrec.tools.recommenders.ease import EASE
from convrec.tools.recommenders.echo import Echo
from convrec.tools.recommenders.graph import ItemGraph
from convrec.tools.recommenders.item_knn import ItemKNN
from convrec.tools.recommenders.keywords import Keywords
from convrec.tools.recommenders.links import Links
from convrec.tools.recommenders.popularity import Popularity

SYSTEMS: Mapping[str, Callable[[int], Recommender]] = {
    "popularity": lambda seed: Popularity(seed=seed),
    "echo": lambda seed: Echo(seed=seed),
    "itemknn": lambda seed: ItemKNN(seed=seed),
    "ease": lambda seed: EASE(seed=seed),
    "graph": lambda seed: ItemGraph(seed=seed),
    "links": lambda seed: Links(seed=seed),
    "keywords": lambda seed: Keywords(seed=seed),
    "bm25": lambda seed: BM25(seed=seed),
    "convknn": lambda seed: ConversationKNN(seed=seed),
}
"""Name -> maker of an unfitted recommender with default settings, from a seed."""

DEFAULT_SYSTEMS: tuple[str, ...] = tuple(name for name in SYSTEMS if name != "bm25" or installed("bm25s"))
"""What is measured unless told otherwise: all but those whose library (extra ``train``) is not there."""
