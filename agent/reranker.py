"""Step 6 of a turn: the LLM reorders the head of the ranking.

Pointwise: for each candidate the log-odds of "Yes" to "does it suit the wish?", minus the same candidate's log-odds for
an empty wish (its content-free prior; Zhao et al. 2021, arXiv:2102.09690). Pointwise scores do not depend on the order
in which candidates are listed, and the model only ever sees given candidates, so nothing else can be ranked.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from convrec.agent.budget import Budget
from convrec.agent.llm.base import LLM, Message
from convrec.agent.prompting import render, tagged
from convrec.core.errors import LLMTimeout
from convrec.core.items import Item, ItemList
from convrec.tools.catalogue import Catalogue
from convrec.tools.schema import Role
from pydantic import BaseModel, ConfigDict, Field

CARD_CHARS = 260
WISH_CHARS = 500
RERANK_SHARE = 0.7
"""Share of the time left that the reranker may use; the reply needs some too."""


class RerankConfig(BaseModel):
    """How much the LLM may move."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: float = Field(0.5, ge=0, le=2)
    """Weight of the LLM's standardised score beside the standardised fused score."""
    unsure_below: float = Field(0.15, ge=0)
    """Standard deviation of the log-odds under which the LLM tells candidates apart too little to be heard."""
    priors_kept: int = Field(20_000, ge=0)


@dataclass(slots=True)
class Reranker:
    """Holds a cache of priors, which depend on the item and the model alone, never on a user."""

    catalogue: Catalogue
    config: RerankConfig = field(default_factory=RerankConfig)
    _priors: OrderedDict[tuple[str, int], float] = field(init=False, default_factory=OrderedDict)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __call__(self, llm: LLM, wish: str, ranked: ItemList, top: int, budget: Budget) -> tuple[ItemList, str]:
        """``ranked`` with its first ``top`` reordered, and a note in words. Unsure or no log-probabilities: unchanged.

        When time runs short, as many of the first candidates are judged as fit; the rest keep their places.

        Raises:
            LLMError: the backend failed or there was no time for two; the caller keeps the fused order and says so.
        """
        items = self.catalogue.items(ranked.top(top).rows)
        if len(items) < 2:
            return ranked, "too few candidates"
        unknown = sum((llm.name, item.row) not in self._priors for item in items)
        share = RERANK_SHARE / (1.0 + unknown / len(items))
        scores = llm.yes_no([self.prompt(wish, item) for item in items], timeout_s=budget.left(share))
        priors = None if scores is None else self._prior(llm, items[: len(scores)], budget)
        if scores is None or priors is None:
            return ranked, "the model gives no log-probabilities; order kept"
        head = ranked.top(min(len(scores), len(priors)))
        if len(head) < 2:
            raise LLMTimeout(f"there was time to judge {len(head)} of {len(items)} candidates")
        margin = np.asarray(scores[: len(head)], dtype=np.float32) - np.asarray(priors[: len(head)], dtype=np.float32)
        if not np.isfinite(margin).all() or float(margin.std()) < self.config.unsure_below:
            return ranked, f"the model was unsure of {len(head)} candidates; order kept"
        fused = _standard(head.scores) + self.config.weight * _standard(margin)
        order = np.lexsort((np.arange(len(head)), -fused))
        rows = np.concatenate([head.rows[order], ranked.rows[len(head) :]])
        moved = int((order != np.arange(len(head))).sum())
        hurried = f" (time for {len(head)} of {len(items)})" if len(head) < len(items) else ""
        # Scores stay those of the fusion, sorted, so that the list as a whole keeps falling scores.
        return ItemList(rows, ranked.scores), f"{moved} of {len(head)} candidates moved{hurried}"

    def prompt(self, wish: str, item: Item) -> list[Message]:
        """Wish and question first, candidate last, so that all candidates of a turn share the longest prefix: only the
        card is evaluated anew, some 25 tokens."""
        schema = self.catalogue.schema
        question = f"Does this {schema.item_noun} suit the wish? Answer Yes or No."
        return [
            ("system", render("rerank", schema)),
            (
                "user",
                f"{tagged('wish', wish, WISH_CHARS)}\n{question}\n{tagged('candidate', self.card(item), CARD_CHARS)}",
            ),
        ]

    def card(self, item: Item) -> str:
        """A candidate's record in one line, from typed fields only."""
        parts = [item.label]
        for spec in self.catalogue.schema.fields:
            value = item.fields.get(spec.name)
            if not value:
                continue
            if isinstance(value, tuple) and spec.role in (Role.CATEGORY, Role.KEYWORDS):
                parts.append(", ".join(value[:4]))
            elif spec.role in (Role.CERTIFICATE, Role.DESCRIPTION):
                parts.append(str(value))
        return "; ".join(parts)

    def _prior(self, llm: LLM, items: Sequence[Item], budget: Budget) -> list[float] | None:
        """Log-odds of each item for an empty wish, of as many of the first items as there is time for."""
        with self._lock:
            known = {item.row: self._priors[key] for item in items if (key := (llm.name, item.row)) in self._priors}
        missing = [item for item in items if item.row not in known]
        if missing:
            prompts = [self.prompt("N/A", item) for item in missing]
            scores = llm.yes_no(prompts, timeout_s=budget.left(RERANK_SHARE))
            if scores is None:
                return None
            known |= {item.row: score for item, score in zip(missing, scores, strict=False)}
            with self._lock:
                for row, score in known.items():
                    self._priors[(llm.name, row)] = score
                while len(self._priors) > self.config.priors_kept:
                    self._priors.popitem(last=False)
        out: list[float] = []
        for item in items:
            if item.row not in known:
                break
            out.append(known[item.row])
        return out


def _standard(values: np.ndarray) -> np.ndarray:
    """Zero mean, unit variance; zeros when all are equal."""
    spread = float(values.std())
    return (values - values.mean()) / spread if spread > 0 else np.zeros_like(values)
