"""What the server counts, for Prometheus. prometheus-client's adapter. No label holds a user's or an item's text."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from convrec.agent.events import Event, Fallback, Finished, ToolRan
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus-client's variable: the folder where the workers of one server add up."""
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_REQUEST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_TOOL_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class Metrics:
    """The figures of one server; of all its workers when they share a folder."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        own: dict[str, Any] = {"registry": self._registry, "namespace": "convrec"}
        self.requests = Counter("http_requests", "Requests answered", ("method", "route", "status"), **own)
        self.request_seconds = Histogram(
            "http_request_seconds", "From request to end of answer", ("route",), buckets=_REQUEST_S, **own
        )
        self.turns = Counter("turns", "Turns that were finished", ("tier", "planner"), **own)
        self.turn_seconds = Histogram(
            "turn_seconds", "Time of a turn, without waiting", ("tier",), buckets=_REQUEST_S, **own
        )
        self.tool_seconds = Histogram("tool_seconds", "Time of a tool", ("tool", "ok"), buckets=_TOOL_S, **own)
        self.llm_calls = Counter("llm_calls", "Calls to the language model", **own)
        self.llm_tokens = Counter("llm_tokens", "Tokens of the language model", ("kind",), **own)
        self.fallbacks = Counter("fallbacks", "Parts that did not work and were replaced", ("stage",), **own)
        self.errors = Counter("errors", "Requests and turns that failed", ("kind",), **own)
        self.refused = Counter("refused", "Requests refused to protect the server", ("why",), **own)
        self.running = Gauge("turns_running", "Turns under way or waiting", multiprocess_mode="livesum", **own)

    def watch_running(self, count: Callable[[], int]) -> None:
        """Read the number of running turns when the figures are asked for (not possible with several workers)."""
        if MULTIPROCESS not in os.environ:
            self.running.set_function(count)

    def observe(self, event: Event) -> None:
        """Count one event of a turn. Called on the turns' threads."""
        match event:
            case ToolRan():
                self.tool_seconds.labels(event.tool, str(event.ok).lower()).observe(event.seconds)
            case Fallback():
                self.fallbacks.labels(event.stage).inc()
            case Finished(result):
                self.turns.labels(result.tier, result.planner).inc()
                self.turn_seconds.labels(result.tier).observe(result.timings.get("total", 0.0))
                self.llm_calls.inc(result.llm.get("calls", 0))
                self.llm_tokens.labels("prompt").inc(result.llm.get("prompt_tokens", 0))
                self.llm_tokens.labels("generated").inc(result.llm.get("generated_tokens", 0))

    def text(self) -> bytes:
        """Prometheus' text format."""
        if MULTIPROCESS in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            return generate_latest(registry)
        return generate_latest(self._registry)
