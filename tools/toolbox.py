"""The tools a planner may call: look-up, hard filter, similar items, semantic search, rank.

Each is a config plus a call on the candidate bus. A tool raises ``ToolRetry`` (correct the arguments) or ``ToolFailed``
(plan around it); a failure is never returned as prose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from convrec.core.embedding import Embedder
from convrec.core.errors import ModelError, ToolFailed, ToolRetry
from convrec.core.items import BoolArray, FloatArray, Item, ItemList, RowArray
from convrec.tools.candidates import Candidates
from convrec.tools.catalogue import Catalogue
from convrec.tools.collaborative import PackExpert
from convrec.tools.content import ContentModel
from convrec.tools.describing import search_text
from convrec.tools.echoes import without_echoes
from convrec.tools.item_index import ItemIndex
from convrec.tools.predicates import Condition, Op, Test
from convrec.tools.ranking_model import Conversation, RankingModel
from convrec.tools.schema import Role
from pydantic import BaseModel, ConfigDict, Field

VARIED, VARIED_AMONG = 20, 60
"""Places that are spread out, the longest list there is, and the items they are taken from."""
ECHOES_LOOKED_FOR = 50
"""Best found items whose descriptions are compared with the request; nothing below reaches a list."""
MAX_RELAXED_TOGETHER = 3
"""Combinations of conditions tried when no single one is enough; beyond that the answer is "nothing fits"."""


@dataclass(slots=True)
class LookupTool:
    """Records of given rows."""

    catalogue: Catalogue

    def __call__(self, rows: Sequence[int]) -> list[Item]:
        if not rows:
            raise ToolRetry("look-up needs at least one item")
        return self.catalogue.items(rows)


@dataclass(slots=True)
class FilterTool:
    """Hard conditions, compiled to parameterised SQL by the catalogue; relaxed in a stated order when nothing is left.

    Order of relaxation: what was carried over from earlier turns before what was said now; within that quality, year,
    running time, certificate, critiques, origin, category, a person carried over. Never: standing instructions, the
    audience, denials, a person asked for now; then nothing fits, and what stands in the way is counted.
    """

    catalogue: Catalogue

    def __call__(self, bus: Candidates, conditions: Sequence[Condition], carried: int = 0) -> None:
        """Narrow ``bus``; the first ``carried`` conditions come from earlier turns. Sets ``relaxed`` or ``blocked``."""
        hard = [c for c in conditions if c.hard]
        masks = [self._mask(c) for c in hard]
        start = np.zeros(self.catalogue.size, dtype=np.bool_)
        start[bus.rows] = True
        everything = _all(start, masks)
        if everything.any() or not start.any():
            bus.rows = np.flatnonzero(everything).astype(np.int32)
            return
        order = self._relaxation_order(hard, [c in conditions[:carried] for c in hard])
        for size in range(1, min(MAX_RELAXED_TOGETHER, len(order)) + 1):
            for dropped in combinations(order, size):
                left = _all(start, [m for i, m in enumerate(masks) if i not in dropped])
                if left.any():
                    bus.relaxed += [hard[i] for i in dropped]
                    bus.rows = np.flatnonzero(left).astype(np.int32)
                    return
        bus.blocked = hard
        bus.rows = bus.rows[:0]
        for index, condition in enumerate(hard):
            left = _all(start, [m for i, m in enumerate(masks) if i != index])
            if left.any():
                bus.would_fit.append((condition, np.flatnonzero(left).astype(np.int32)))

    def _mask(self, condition: Condition) -> BoolArray:
        mask = np.zeros(self.catalogue.size, dtype=np.bool_)
        mask[self.catalogue.rows(condition.expr)] = True
        return mask

    def _relaxation_order(self, hard: Sequence[Condition], carried: Sequence[bool]) -> list[int]:
        roles = {spec.name: spec.role for spec in self.catalogue.schema.fields}
        rank = {Role.QUALITY: 0, Role.YEAR: 1, Role.DURATION: 2, Role.CERTIFICATE: 3, Role.CATEGORY: 6}

        def key(index: int) -> tuple[bool, int]:
            condition = hard[index]
            if condition.source == "critique":
                return not carried[index], 4
            if condition.slot == "origin":
                return not carried[index], 5
            role = roles.get(condition.slot)
            return not carried[index], rank.get(role, 7) if role else 7

        def fixed(index: int) -> bool:
            c = hard[index]
            core = c.slot.startswith("person:") and not carried[index]
            return c.standing or c.negative or core or c.slot == "audience"

        free = [i for i in range(len(hard)) if not fixed(i)]
        return sorted(free, key=key)


@dataclass(slots=True)
class SimilarTool:
    """Items like the given ones, by the catalogue's fields, by the embedding of their texts, and by who names them
    together, as far as the ranking pack knows them."""

    content: ContentModel
    index: ItemIndex | None
    pack: PackExpert | None = None

    def __call__(self, bus: Candidates, rows: Sequence[int]) -> None:
        if not rows:
            raise ToolRetry("similar needs at least one reference item")
        bus.add_scores("similar_fields", self.content.similar(rows))
        if self.index is not None:
            bus.add_scores("similar_text", self.index.similar(list(rows)))
        if self.pack is not None and (named_with := self.pack.neighbours(rows)) is not None:
            bus.add_scores("pack_neighbours", named_with)


@dataclass(slots=True)
class SearchTool:
    """Semantic search: cosine of the query's embedding with every item's text.

    Where a description of one of the best copies the request word for word, that sentence is left out and the item
    scored anew (:mod:`convrec.tools.echoes`).
    """

    embedder: Embedder | None
    index: ItemIndex | None
    catalogue: Catalogue | None = None
    """For the descriptions; without it no echo is looked for."""

    def __call__(self, bus: Candidates, query: str, message: str = "") -> None:
        """``message``: the request that ``query`` was taken from."""
        if self.embedder is None or self.index is None:
            raise ToolFailed("semantic search is off: no embedding index of this catalogue. Run: convrec setup")
        if not query.strip():
            raise ToolRetry("search needs a query")
        try:
            vector = self.embedder.embed([query])[0]
        except ModelError as error:
            raise ToolFailed(f"semantic search failed: {error}") from error
        scores = self.index.scores(vector)
        bus.add_scores("search", self._less_echoes(bus, scores, vector, query, message))

    def _less_echoes(
        self, bus: Candidates, scores: FloatArray, vector: FloatArray, query: str, message: str
    ) -> FloatArray:
        spec = self.catalogue.schema.by_role(Role.DESCRIPTION) if self.catalogue is not None else None
        if spec is None or self.catalogue is None or self.embedder is None or not message or not len(bus.rows):
            return scores
        within = scores[bus.rows]
        best = bus.rows[np.argsort(-within, kind="stable")[:ECHOES_LOOKED_FOR]]
        texts, rows = [], []
        for item in self.catalogue.items(best):
            said = item.text(spec.name) or ""
            kept = without_echoes(said, message, query)
            if kept != said:
                rows.append(item.row)
                texts.append(search_text(item.title, {**item.fields, spec.name: kept or None}, self.catalogue.schema))
        if not rows:
            return scores
        try:
            anew = self.embedder.embed(texts) @ vector
        except ModelError as error:
            raise ToolFailed(f"semantic search failed: {error}") from error
        scores = scores.copy()
        scores[rows] = np.minimum(scores[rows], anew)
        return scores


class RankConfig(BaseModel):
    """Weights of the linear fusion over scores scaled to 0..1 within the candidates.

    Set by hand on the demo catalogue's example requests; a learned fusion takes their place where there is training
    data.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    similar_fields: float = Field(1.0, ge=0)
    similar_text: float = Field(0.35, ge=0)
    search: float = Field(0.8, ge=0)
    profile: float = Field(0.3, ge=0)
    """Similarity to what the user liked in earlier conversations."""
    preference: float = Field(0.3, ge=0)
    """Share of the soft conditions that hold, beside what the request says it is to be like."""
    preference_alone: float = Field(0.8, ge=0)
    """The same where it says no such thing: before fame and praise then, "an obscure comedy"."""
    fame: float = Field(0.25, ge=0)
    quality: float = Field(0.35, ge=0)
    disliked: float = Field(0.5, ge=0)
    """Subtracted: similarity to what the user disliked."""
    variety: float = Field(0.15, ge=0)
    """Subtracted per place: overlap with what stands above, where a list has nothing but the profile to go by."""
    undocumented: float = Field(0.6, ge=0)
    """Fame and quality count this much more when there is nothing else to go by."""
    pack_neighbours: float = Field(0.6, ge=0)
    """Named in the same conversations as the references (ranking pack)."""
    pack_profile: float = Field(0.15, ge=0)
    """Named in the same conversations as what the user liked in earlier conversations (ranking pack)."""
    pack_words: float = Field(0.3, ge=0)
    """Recommended to others who asked in these words (ranking pack)."""
    pack_prior: float = Field(0.05, ge=0)
    """Often recommended at all (ranking pack)."""
    trained: float = Field(0.6, ge=0)
    """What a trained recommender puts forward in this conversation (``ranking.model``)."""


@dataclass(slots=True)
class RankTool:
    """Orders the candidates by a weighted sum of the experts' scores."""

    catalogue: Catalogue
    content: ContentModel
    config: RankConfig = field(default_factory=RankConfig)
    pack: PackExpert | None = None
    """None, or of no use for this catalogue: the ranking is what it would be without."""
    model: RankingModel | None = None
    """A trained recommender; None: none is set."""

    def __call__(
        self,
        bus: Candidates,
        *,
        soft: Sequence[Condition] = (),
        liked: Sequence[int] = (),
        disliked: Sequence[int] = (),
        words: str = "",
        said: Conversation | None = None,
    ) -> ItemList:
        """Order ``bus.rows``; the result is also kept as ``bus.ranked``. ``words``: what the request says it wants;
        ``said``: the conversation, for the trained recommender. One that fails is named in ``bus.failed``."""
        config, rows = self.config, bus.rows
        total = np.zeros(len(rows), dtype=np.float32)
        if len(rows):
            evidence = False
            for expert in ("similar_fields", "similar_text", "search"):
                if expert in bus.scores:
                    total += getattr(config, expert) * _unit(bus.scores[expert][rows])
                    evidence = True
            if liked:
                total += config.profile * _unit(self.content.similar(list(liked))[rows])
            if disliked:
                total -= config.disliked * _unit(self.content.similar(list(disliked))[rows])
            if soft:
                held = sum(np.isin(rows, self.catalogue.rows(c.expr)).astype(np.float32) for c in soft)
                weight = config.preference if evidence else config.preference_alone
                total += weight * np.asarray(held, dtype=np.float32) / len(soft)
            boost = 1.0 if evidence else 1.0 + config.undocumented
            unknown_wanted = self._little_known(soft)
            fame = 0.0 if unknown_wanted else config.fame
            total += boost * (fame * self.content.fame()[rows] + config.quality * self.content.quality()[rows])
            # What others are recommended is what is well known.
            if self.pack is not None and not unknown_wanted:
                total += self._by_pack(self.pack, bus, liked, words)
            if self.model is not None and said is not None:
                total += self._by_model(self.model, bus, said)
            if (liked or disliked) and not evidence:
                total = self._varied(rows, total)
        bus.ranked = ItemList.from_scores(rows, total)
        return bus.ranked

    def _little_known(self, soft: Sequence[Condition]) -> bool:
        """Whether the user would rather see what few people know."""
        spec = self.catalogue.schema.by_role(Role.POPULARITY)
        return spec is not None and any(
            c.slot == spec.name and isinstance(c.expr, Test) and c.expr.op is Op.LE for c in soft
        )

    def _varied(self, rows: RowArray, total: FloatArray) -> FloatArray:
        """The same scores with the head spread out: maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998)
        over the categories, so that likings do not narrow every list to one kind. Float32 (len(rows),)."""
        spec = self.catalogue.schema.by_role(Role.CATEGORY)
        if spec is None or self.config.variety == 0:
            return total
        pool = np.argsort(-total, kind="stable")[:VARIED_AMONG]
        tags = np.asarray(self.catalogue.tags(spec.name).matrix[rows[pool]].todense()) > 0
        shared = (tags[:, None, :] & tags[None, :, :]).sum(axis=2)
        either = np.maximum((tags[:, None, :] | tags[None, :, :]).sum(axis=2), 1)
        overlap, own = (shared / either).astype(np.float32), total[pool].astype(np.float32)
        left, nearest = np.ones(len(pool), dtype=np.bool_), np.zeros(len(pool), dtype=np.float32)
        out = total.copy()
        for _ in range(min(VARIED, len(pool))):
            value = np.where(left, own - self.config.variety * nearest, -np.inf)
            chosen = int(np.argmax(value))
            out[pool[chosen]] = lowest = value[chosen]
            left[chosen] = False
            nearest = np.maximum(nearest, overlap[chosen])
        # What was not chosen stands below, in its old order.
        rest = np.ones(len(rows), dtype=np.bool_)
        rest[pool[~left]] = False
        if rest.any():
            out[rest] += min(0.0, float(lowest) - float(out[rest].max()) - 1e-4)
        return out

    def _by_pack(self, pack: PackExpert, bus: Candidates, liked: Sequence[int], words: str) -> FloatArray:
        """What the ranking pack adds for each candidate, float32 (len(bus.rows),)."""
        config, added = self.config, np.zeros(len(bus.rows), dtype=np.float32)
        for weight, scores in (
            (config.pack_neighbours, bus.scores.get("pack_neighbours")),
            (config.pack_profile, pack.neighbours(liked)),
            (config.pack_words, pack.words(words)),
            (config.pack_prior, pack.prior()),
        ):
            if scores is not None:
                added += np.float32(weight) * pack.among(scores, bus.rows)
        return added

    def _by_model(self, model: RankingModel, bus: Candidates, said: Conversation) -> FloatArray:
        """What the trained recommender adds for each candidate, float32 (len(bus.rows),); zeros when it fails."""
        try:
            scores = model.scores(said)
        except ToolFailed as error:
            bus.failed.append(("ranking model", str(error)))
            return np.zeros(len(bus.rows), dtype=np.float32)
        return np.float32(self.config.trained) * model.among(scores, bus.rows)


def _all(start: BoolArray, masks: Sequence[BoolArray]) -> BoolArray:
    out = start.copy()
    for mask in masks:
        out &= mask
    return out


def _unit(scores: FloatArray) -> FloatArray:
    """Scaled to 0..1 within the candidates; zeros when all are equal."""
    low, high = float(scores.min()), float(scores.max())
    return ((scores - low) / (high - low)).astype(np.float32) if high > low else np.zeros_like(scores)
