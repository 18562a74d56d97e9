"""What a language model thinks of candidates: scores, by two ways of asking, and how they are weighed with the fusion.

Pointwise: for each candidate the log-odds of "Yes" to "does it suit the wish?", minus the same candidate's log-odds for
an empty wish (its content-free prior; Zhao et al., 2021, arXiv:2102.09690). For small models; needs log-probabilities.
Listwise: the candidates are numbered and the model gives the numbers in order (Sun et al., 2023, arXiv:2304.09542),
twice, the second time in reverse; for large models. In both the model sees the candidates in an order of their own, so
that the order in which they came cannot matter, and it answers for given candidates only.
"""

from __future__ import annotations

import json
import threading
import zlib
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from convrec.agent.budget import Budget
from convrec.agent.llm.base import LLM, Message
from convrec.agent.prompting import render, tagged
from convrec.core.errors import LLMBadOutput, LLMTimeout
from convrec.core.items import FloatArray
from convrec.core.text import clean
from convrec.tools.schema import Schema
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

CARD_CHARS = 260
RERANK_SHARE = 0.7
"""Share of the time left that the reranker may use; the reply needs some too."""
NUMBER_TOKENS = 5
"""Most tokens that one number of a list takes."""

Scorer = Literal["auto", "pointwise", "listwise"]
Strategy = Literal["rerank", "select", "expand"]
STRATEGIES: tuple[Strategy, ...] = ("rerank", "select", "expand")
Order = NDArray[np.int64]


class RerankConfig(BaseModel):
    """How the LLM is asked, and how much it may move."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    strategy: Strategy = "rerank"
    """CARE's three: reorder the head; first choose from it, then reorder what was chosen; first add titles that the
    model thinks of, as far as they are candidates, then reorder."""
    scorer: Scorer = "auto"
    """auto: pointwise; listwise where a served model gives no log-probabilities."""
    weight: float = Field(2.0, ge=0, le=5)
    """Weight of the LLM's standardised score beside the standardised fused score, once it is sure; chosen on the graded
    wishes' ``dev`` half (docs/reranking.md)."""
    unsure_below: float = Field(0.15, ge=0)
    """Standard deviation of the log-odds (nats) under which the LLM tells candidates apart too little to be heard."""
    sure_from: float = Field(0.6, gt=0)
    """Standard deviation from which on it has its whole weight; between the two the weight rises evenly."""
    wish_chars: int = Field(500, ge=50)
    keep: float = Field(0.5, gt=0, le=1)
    """Share of the head that ``select`` keeps in front."""
    suggestions: int = Field(6, ge=1, le=20)
    """Titles that ``expand`` asks for."""
    priors_kept: int = Field(20_000, ge=0)


@dataclass(frozen=True, slots=True)
class Candidate:
    """``key``: names it in the cache of priors (a catalogue's row, an id). ``card``: what the model is told of it."""

    key: Hashable
    card: str


@dataclass(frozen=True, slots=True)
class Judged:
    """``scores``: float32, of as many of the first candidates as there was time for, higher is better."""

    scores: FloatArray
    how: str


@dataclass(slots=True)
class Judge:
    """Asks a model. Holds a cache of priors, which depend on the candidate and the model alone, never on a user."""

    schema: Schema
    config: RerankConfig = field(default_factory=RerankConfig)
    _priors: OrderedDict[tuple[str, Hashable], float] = field(init=False, default_factory=OrderedDict)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __call__(self, llm: LLM, wish: str, candidates: Sequence[Candidate], budget: Budget) -> Judged | None:
        """Scores of the candidates, in their order; None when the model gives no log-probabilities and is no large one.

        Raises:
            LLMError: the backend failed, gave garbage, or there was no time for two candidates.
        """
        if self.config.scorer != "listwise":
            judged = self._pointwise(llm, wish, candidates, budget)
            if judged is not None or self.config.scorer == "pointwise" or llm.tier != "served":
                return judged
        return self._listwise(llm, wish, candidates, budget)

    # -- pointwise ----------------------------------------------------------------------------------------------------

    def prompt(self, wish: str, card: str) -> list[Message]:
        """Wish and question first, candidate last, so that all candidates of a turn share the longest prefix: only the
        card is evaluated anew, some 25 tokens."""
        question = f"Does this {self.schema.item_noun} suit the wish? Answer Yes or No."
        asked = f"{tagged('wish', wish, self.config.wish_chars)}\n{question}\n{tagged('candidate', card, CARD_CHARS)}"
        return [("system", render("rerank", self.schema)), ("user", asked)]

    def _pointwise(self, llm: LLM, wish: str, candidates: Sequence[Candidate], budget: Budget) -> Judged | None:
        unknown = sum((llm.name, one.key) not in self._priors for one in candidates)
        share = RERANK_SHARE / (1.0 + unknown / len(candidates))
        scores = llm.yes_no([self.prompt(wish, one.card) for one in candidates], timeout_s=budget.left(share))
        priors = None if scores is None else self._prior(llm, candidates[: len(scores)], budget)
        if scores is None or priors is None:
            return None
        n = min(len(scores), len(priors))
        if n < 2:
            raise LLMTimeout(f"there was time to judge {n} of {len(candidates)} candidates")
        return Judged(np.asarray(scores[:n], dtype=np.float32) - np.asarray(priors[:n], dtype=np.float32), "pointwise")

    def _prior(self, llm: LLM, candidates: Sequence[Candidate], budget: Budget) -> list[float] | None:
        """Log-odds for an empty wish, of as many of the first candidates as there is time for."""
        with self._lock:
            keys = ((llm.name, one.key) for one in candidates)
            known = {key[1]: self._priors[key] for key in keys if key in self._priors}
        missing = [one for one in candidates if one.key not in known]
        if missing:
            prompts = [self.prompt("N/A", one.card) for one in missing]
            scores = llm.yes_no(prompts, timeout_s=budget.left(RERANK_SHARE))
            if scores is None:
                return None
            known |= {one.key: score for one, score in zip(missing, scores, strict=False)}
            with self._lock:
                for name, score in known.items():
                    self._priors[(llm.name, name)] = score
                while len(self._priors) > self.config.priors_kept:
                    self._priors.popitem(last=False)
        out: list[float] = []
        for one in candidates:
            if one.key not in known:
                break
            out.append(known[one.key])
        return out

    # -- listwise -----------------------------------------------------------------------------------------------------

    def _listwise(self, llm: LLM, wish: str, candidates: Sequence[Candidate], budget: Budget) -> Judged:
        """Borda points over two answers; what an answer leaves out shares the places behind."""
        own = sorted(range(len(candidates)), key=lambda i: zlib.crc32(candidates[i].card.encode()))
        points = np.zeros(len(candidates), dtype=np.float32)
        for share, order in ((RERANK_SHARE / 2, own), (RERANK_SHARE, own[::-1])):
            told = self._numbers(llm, wish, [candidates[i].card for i in order], budget.left(share))
            rest = len(order) - len(told)
            for place, number in enumerate(told):
                points[order[number]] += len(order) - place
            for number in set(range(len(order))) - set(told):
                points[order[number]] += (rest + 1) / 2
        return Judged(points, "listwise")

    def _numbers(self, llm: LLM, wish: str, cards: Sequence[str], timeout_s: float) -> list[int]:
        """Places 0.. of the candidates in the order that the model gives, each once."""
        listed = "\n".join(f"{n}. {clean(card, CARD_CHARS)}" for n, card in enumerate(cards, 1))
        listed = f"<candidates>\n{listed.replace('<', '(').replace('>', ')')}\n</candidates>"
        schema: dict[str, Any] = {
            "type": "object",
            "properties": {
                "order": {
                    "type": "array",
                    "items": {"type": "integer", "enum": list(range(1, len(cards) + 1))},
                    "minItems": 1,
                    "maxItems": len(cards),
                }
            },
            "required": ["order"],
            "additionalProperties": False,
        }
        asked = f"{listed}\n{tagged('wish', wish, self.config.wish_chars)}"
        messages: list[Message] = [("system", render("rerank_list", self.schema)), ("user", asked)]
        done = llm.complete(messages, schema=schema, max_tokens=20 + NUMBER_TOKENS * len(cards), timeout_s=timeout_s)
        order = json.loads(done.text).get("order") if done.text.lstrip().startswith("{") else None
        if not isinstance(order, list):
            raise LLMBadOutput(f"no list of numbers: {clean(done.text, 200)!r}")
        numbers = [n - 1 for n in order if isinstance(n, int) and not isinstance(n, bool) and 1 <= n <= len(cards)]
        if not numbers:
            raise LLMBadOutput(f"none of the numbers is a candidate's: {clean(done.text, 200)!r}")
        return list(dict.fromkeys(numbers))


def weighed(fused: FloatArray, judged: Judged, keys: NDArray[np.int32], config: RerankConfig) -> Order | None:
    """The order of the judged candidates, best first; None when the model was unsure and the fused order stays.

    ``fused``, ``keys``: fused score and row, shape (n,). Only these three decide, not the order in which they come. The
    model's weight grows with how well it tells the candidates apart.
    """
    scores = judged.scores
    spread = float(scores.std()) if np.isfinite(scores).all() else 0.0
    if spread < config.unsure_below or spread == 0:
        return None
    gate = 1.0
    if judged.how == "pointwise" and config.sure_from > config.unsure_below:
        gate = min(1.0, (spread - config.unsure_below) / (config.sure_from - config.unsure_below))
    mixed = standard(fused) + config.weight * gate * standard(scores)
    if config.strategy == "select":
        kept = max(1, round(config.keep * len(scores)))
        chosen = np.zeros(len(scores), dtype=np.bool_)
        chosen[np.lexsort((keys, -fused, -scores))[:kept]] = True
        return np.lexsort((keys, -fused, -np.where(chosen, mixed, standard(fused)), ~chosen)).astype(np.int64)
    return np.lexsort((keys, -fused, -mixed)).astype(np.int64)


def standard(values: FloatArray) -> FloatArray:
    """Zero mean, unit variance; zeros when all are equal."""
    spread = float(values.std())
    return ((values - values.mean()) / spread if spread > 0 else np.zeros_like(values)).astype(np.float32)


def suggested(llm: LLM, wish: str, schema: Schema, k: int, timeout_s: float, wish_chars: int = 500) -> list[str]:
    """Titles that the model thinks of by itself, at most ``k``, best first; text, to be linked to a catalogue.

    Raises:
        LLMError: the backend failed or gave no list.
    """
    titles = {"type": "array", "items": {"type": "string", "maxLength": 60}, "minItems": 1, "maxItems": k}
    form = {"type": "object", "properties": {"titles": titles}, "required": ["titles"], "additionalProperties": False}
    messages: list[Message] = [
        ("system", render("rerank_titles", schema, count=k)),
        ("user", tagged("wish", wish, wish_chars)),
    ]
    done = llm.complete(messages, schema=form, max_tokens=20 + 18 * k, timeout_s=timeout_s)
    told = json.loads(done.text)
    found = told.get("titles") if isinstance(told, dict) else None
    if not isinstance(found, list):
        raise LLMBadOutput(f"no list of titles: {clean(done.text, 200)!r}")
    return list(dict.fromkeys(clean(title, 60) for title in found if isinstance(title, str) and title.strip()))[:k]
