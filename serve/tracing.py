"""OpenTelemetry traces, if the settings name a collector. OpenTelemetry's adapter; nothing is imported without it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from convrec.agent.events import TurnResult
from convrec.core.extras import require
from convrec.core.version import VERSION

# ruff: noqa: PLC0415

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter


EXPORT_S = 3.0
"""Longest wait for the collector, seconds: one that is away must not hold up the end of the server."""


class Tracer:
    """One span per request, one per turn with its stages as children. Never a user's words, ids of users or items.

    Args:
        endpoint: an OTLP collector over gRPC, as ``http://127.0.0.1:4317``.
        exporter: where spans go instead, for tests.

    Raises:
        MissingExtraError: the extra ``otel`` is not installed.
    """

    def __init__(self, endpoint: str | None = None, *, exporter: SpanExporter | None = None) -> None:
        require("opentelemetry.sdk.trace", "otel", "Tracing")
        from opentelemetry.propagate import extract
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

        self._extract = extract
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": "convrec", "service.version": VERSION})
        )
        if exporter is not None:
            self._provider.add_span_processor(SimpleSpanProcessor(exporter))
        else:
            require("opentelemetry.exporter.otlp.proto.grpc", "otel", "Tracing")
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

            insecure = not (endpoint or "").startswith("https://")
            sending = OTLPSpanExporter(endpoint, insecure=insecure, timeout=EXPORT_S)
            self._provider.add_span_processor(BatchSpanProcessor(sending))
        self._tracer = self._provider.get_tracer("convrec", VERSION)

    @contextmanager
    def request(self, method: str, headers: Mapping[str, str]) -> Iterator[Any]:
        """A span around a request; goes on with the caller's trace (``traceparent``)."""
        from opentelemetry.trace import SpanKind

        with self._tracer.start_as_current_span(method, context=self._extract(headers), kind=SpanKind.SERVER) as span:
            yield span

    def turn(self, result: TurnResult, ended_ns: int) -> None:
        """The span of a finished turn, made from its own timings. Called where the request's span is current."""
        began = ended_ns - int(result.timings.get("total", 0.0) * 1e9)
        attributes: dict[str, Any] = {
            "convrec.tier": result.tier,
            "convrec.planner": result.planner,
            "convrec.items": len(result.items),
            "convrec.fallbacks": [f.stage for f in result.fallbacks],
            "convrec.llm.calls": result.llm.get("calls", 0),
        }
        from opentelemetry.trace import set_span_in_context

        span = self._tracer.start_span("turn", start_time=began, attributes=attributes)
        inside = set_span_in_context(span)
        at = began
        for stage in ("understand", "recall", "load", "plan", "answer", "remember"):
            if (seconds := result.timings.get(stage)) is not None:
                child = self._tracer.start_span(stage, context=inside, start_time=at)
                at += int(seconds * 1e9)
                child.end(at)
        for tool in result.tools:
            inner = {"convrec.seconds": tool.seconds, "convrec.ok": tool.ok, "convrec.candidates": tool.candidates_out}
            span.add_event(f"tool {tool.tool}", attributes=inner, timestamp=ended_ns)
        span.end(ended_ns)

    def close(self) -> None:
        self._provider.shutdown()
