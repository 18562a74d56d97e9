"""Step 4 and 5 of a turn: runs a plan's tools on the candidate bus and records what each did."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from convrec.agent.events import Event, Fallback, ToolRan
from convrec.agent.plan import Plan, ToolCall
from convrec.agent.reasons import join
from convrec.agent.request import Request
from convrec.core.embedding import Embedder
from convrec.core.errors import ToolError
from convrec.core.items import ItemList
from convrec.tools.candidates import Candidates
from convrec.tools.catalogue import Catalogue
from convrec.tools.collaborative import PackExpert
from convrec.tools.content import ContentModel
from convrec.tools.item_index import ItemIndex
from convrec.tools.ranking_model import RankingModel
from convrec.tools.toolbox import FilterTool, LookupTool, RankConfig, RankTool, SearchTool, SimilarTool

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Toolbox:
    """The tools of one catalogue, shared by all sessions: they hold caches, no state of a turn."""

    lookup: LookupTool
    filter: FilterTool
    similar: SimilarTool
    search: SearchTool
    rank: RankTool

    @classmethod
    def build(
        cls,
        catalogue: Catalogue,
        embedder: Embedder | None,
        index: ItemIndex | None,
        *,
        rank_pack: bool = True,
        model: RankingModel | None = None,
        weight: float | None = None,
    ) -> Toolbox:
        """``rank_pack``: whether the ranking pack is used, for those items of the catalogue that it knows. ``model``: a
        trained recommender that ranks too, with this ``weight``; None: the default one."""
        content, pack = ContentModel(catalogue), PackExpert(catalogue) if rank_pack else None
        return cls(
            LookupTool(catalogue),
            FilterTool(catalogue),
            SimilarTool(content, index, pack),
            SearchTool(embedder, index, catalogue),
            RankTool(
                catalogue,
                content,
                RankConfig() if weight is None else RankConfig(trained=weight),
                pack=pack,
                model=model,
            ),
        )


@dataclass(slots=True)
class Executor:
    """Runs every step but the look-up and the rerank, which need the reading and the LLM."""

    catalogue: Catalogue
    tools: Toolbox

    def run(self, plan: Plan, request: Request, bus: Candidates, message: str = "") -> Iterator[Event]:
        """Run the plan's tools in order; a tool that fails is reported and the turn goes on without it.

        ``message``: the user's words; the search sets aside what copies them.
        """
        allowed = np.ones(self.catalogue.size, dtype=np.bool_)
        allowed[list(request.excluded)] = False
        bus.rows = np.flatnonzero(allowed).astype(np.int32)
        for call in plan.calls:
            if call.tool in ("filter", "similar", "search", "rank"):
                yield from self._step(call, request, bus, message)
        if bus.ranked is None:
            yield from self._step(ToolCall(tool="rank"), request, bus, message)

    def _step(self, call: ToolCall, request: Request, bus: Candidates, message: str) -> Iterator[Event]:
        before, started = len(bus.rows), time.perf_counter()
        action, summary = self._bind(call, request, bus, message)
        try:
            action()
        except ToolError as error:
            logger.warning("tool %s failed: %s", call.tool, error)
            yield ToolRan(call.tool, str(error), before, len(bus.rows), time.perf_counter() - started, ok=False)
            yield Fallback(call.tool, str(error), "went on without it")
            if call.tool == "rank":
                raise
            return
        text = summary
        if bus.relaxed and call.tool == "filter":
            text += f"; nothing fits all of it, let go of: {join([c.label for c in bus.relaxed])}"
        yield ToolRan(call.tool, text, before, len(bus.rows), time.perf_counter() - started)
        for what, why in bus.failed:
            logger.warning("ranked without the %s: %s", what, why)
            yield Fallback("rank", why, f"ranked without the {what}")
        bus.failed.clear()

    def _by_model(self) -> str:
        model = self.tools.rank.model
        return f", trained model {model.name}" if model is not None else ""

    def _bind(
        self, call: ToolCall, request: Request, bus: Candidates, message: str
    ) -> tuple[Callable[[], object], str]:
        """The call with its arguments, and what it does in words."""
        match call.tool:
            case "filter":
                labels = join([c.label for c in request.hard]) or "no condition"
                return lambda: self.tools.filter(bus, request.conditions, request.carried), labels
            case "similar":
                labels = join([item.label for item in self.catalogue.items(request.references)])
                return lambda: self.tools.similar(bus, request.references), f"like {labels}"
            case "search":
                return lambda: self.tools.search(bus, call.query, message), f"search “{call.query}”"
            case _:
                return (
                    lambda: self.tools.rank(
                        bus,
                        soft=request.soft,
                        liked=request.profile,
                        disliked=request.disliked,
                        words=request.wished(self.catalogue.schema),
                        said=request.said,
                    ),
                    f"rank by similarity, preferences, reviews{self._by_model()}",
                )


def head(bus: Candidates, k: int) -> ItemList:
    """The first ``k`` of the ranked candidates."""
    return bus.ranked.top(k) if bus.ranked is not None else ItemList(bus.rows[:0], np.empty(0, dtype=np.float32))
