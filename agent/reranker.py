"""Step 6 of a turn: the LLM reorders the head of the ranking; CARE's three strategies behind one call.

After CARE (arXiv:2508.13889): recommenders retrieve, the LLM expands, reranks, or selects and reranks. How it is asked
and weighed is in ``rerank_scores.py``. It only ever orders candidates that the tools put forward.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
from convrec.agent.budget import Budget
from convrec.agent.llm.base import LLM, Message
from convrec.agent.rerank_scores import Candidate, Judge, RerankConfig, suggested, weighed
from convrec.core.items import Item, ItemList
from convrec.core.text import fold
from convrec.tools.catalogue import Catalogue
from convrec.tools.schema import Role

EXPAND_SHARE = 0.35
"""Share of the time left that asking for titles may take."""
_YEAR = re.compile(r"\s*\((\d{4})\)\s*$")


@dataclass(slots=True)
class Reranker:
    """Reranks for one catalogue. Holds a cache of priors only, nothing of a user."""

    catalogue: Catalogue
    config: RerankConfig = field(default_factory=RerankConfig)
    judge: Judge = field(init=False)

    def __post_init__(self) -> None:
        self.judge = Judge(self.catalogue.schema, self.config)

    def __call__(self, llm: LLM, wish: str, ranked: ItemList, top: int, budget: Budget) -> tuple[ItemList, str]:
        """``ranked`` with its first ``top`` reordered, and a note in words. Unsure or no log-probabilities: unchanged.

        When time runs short, as many of the first candidates are judged as fit; the rest keep their places.

        Raises:
            LLMError: the backend failed or there was no time for two; the caller keeps the fused order and says so.
        """
        if min(top, len(ranked)) < 2:
            return ranked, "too few candidates"
        head, added = ranked.top(top).rows.tolist(), 0
        if self.config.strategy == "expand":
            head, added = self._expanded(llm, wish, ranked, top, budget)
        items = self.catalogue.items(head)
        judged = self.judge(llm, wish, [Candidate(item.row, self.card(item)) for item in items], budget)
        if judged is None:
            return ranked, "the model gives no log-probabilities; order kept"
        n = len(judged.scores)
        at = {row: place for place, row in enumerate(ranked.rows.tolist())}
        rows = np.array(head[:n], dtype=np.int32)
        order = weighed(ranked.scores[[at[row] for row in head[:n]]], judged, rows, self.config)
        if order is None:
            return ranked, f"the model was unsure of {n} candidates; order kept"
        front = rows[order]
        moved = int((front != ranked.rows[:n]).sum())
        rest = ranked.rows[~np.isin(ranked.rows, front)]
        hurried = f" (time for {n} of {len(items)})" if n < len(items) else ""
        also = f", {added} thought of by the model" if added else ""
        # Scores stay those of the fusion, sorted, so that the list as a whole keeps falling scores.
        return ItemList(np.concatenate([front, rest]), ranked.scores), f"{moved} of {n} candidates moved{also}{hurried}"

    def prompt(self, wish: str, item: Item) -> list[Message]:
        """The question asked of one candidate."""
        return self.judge.prompt(wish, self.card(item))

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

    def _expanded(self, llm: LLM, wish: str, ranked: ItemList, top: int, budget: Budget) -> tuple[list[int], int]:
        """The head, its last places given to titles that the model thinks of and that are candidates further down."""
        titles = suggested(
            llm, wish, self.catalogue.schema, self.config.suggestions, budget.left(EXPAND_SHARE), self.config.wish_chars
        )
        place = {row: at for at, row in enumerate(ranked.rows.tolist())}
        new: list[int] = []
        for title in titles:
            year = _YEAR.search(title)
            hits = self.catalogue.find_names([fold(_YEAR.sub("", title))])
            rows = [hit.row for hit in hits if hit.kind == "title" and hit.row is not None and hit.row in place]
            if year is not None:
                rows = [item.row for item in self.catalogue.items(rows) if item.year == int(year[1])] or rows
            if rows:
                new.append(min(rows, key=lambda row: place[row]))
        new = [row for row in dict.fromkeys(new) if place[row] >= top][: top // 2]
        return [*ranked.rows[: top - len(new)].tolist(), *new], len(new)
