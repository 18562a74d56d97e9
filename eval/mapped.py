"""Cases in one item space, a recommender in another: which model item each case item is, and scores carried over.

The cases of He et al. rank DBpedia entities; a recommender knows ReDial ids, INSPIRED names, or both. An item of the
cases that is several of the model's is, in a context, the one that training names most; of items that are one of the
model's the lower row wins the tie. The rest: :mod:`convrec.tools.recommenders.item_map`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from convrec.core.items import FloatArray, RowArray
from convrec.eval.protocols import Cases
from convrec.tools.recommenders.base import Pooled, Recommender
from convrec.tools.recommenders.data import Context, TrainData
from convrec.tools.recommenders.item_map import ItemMap


@dataclass(frozen=True, eq=False)
class Mapped:
    """A recommender that is asked, and answers, in the items of the cases."""

    recommender: Recommender
    items: ItemMap

    def score(self, contexts: Sequence[Context]) -> FloatArray:
        """As :meth:`Recommender.score`, over the items of the cases."""
        if self.items.same:
            return self.recommender.score(contexts)
        return self.items.scores(self.recommender.score([self.items.context(context) for context in contexts]))

    def pool(self, contexts: Sequence[Context]) -> list[RowArray] | None:
        """As :meth:`Pooled.pool`, in rows of the cases; None where the recommender gathers no candidates."""
        if not isinstance(self.recommender, Pooled):
            return None
        pools = self.recommender.pool([self.items.context(context) for context in contexts])
        return [self.items.candidates(pool) for pool in pools]


@dataclass(frozen=True, eq=False)
class Setting:
    """What is measured. ``items``: ids of the items of the cases, by row. ``known_as``: the ids each may have in
    models, the preferred first. ``train``: what systems are fitted on, in a space of its own. ``spaces``: name and
    item ids of the spaces of which a model must cover one. ``note``: what sets the cases apart, for the report."""

    cases: Cases
    items: tuple[str, ...]
    known_as: Mapping[str, Sequence[str]]
    train: TrainData
    spaces: Mapping[str, frozenset[str]]
    note: str = ""

    def item_map(self, model_items: Sequence[str]) -> ItemMap:
        return ItemMap.between(self.items, self.known_as, model_items)

    def covered(self, model_items: Sequence[str]) -> bool:
        """Whether a model of these items has all the items of one of the spaces."""
        known = set(model_items)
        return any(space <= known for space in self.spaces.values())


def names_by_use(ids: Mapping[str, str], train: TrainData) -> dict[str, list[str]]:
    """``ids`` (case item by model item) turned round: the model items of each case item, those that training names
    most first, then in the order given."""
    count = dict(zip(train.item_ids, train.popularity.tolist(), strict=True))
    out: dict[str, list[str]] = defaultdict(list)
    for model_item in sorted(ids, key=lambda item: -count.get(item, 0)):
        out[ids[model_item]].append(model_item)
    return dict(out)
