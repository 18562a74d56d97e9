"""Traces as a collector gets them: OTLP over real gRPC, from a server process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_server import say
from demo_agent import demo_catalogue
from test_api_workers import program

pytest.importorskip("fastapi")
grpc = pytest.importorskip("grpc")
service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc")
pytest.importorskip("opentelemetry.exporter.otlp.proto.grpc")

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SECRET = "zanzibar"
"""A word of the user, of the user's id and of the conversation's name."""


class Collector(service.TraceServiceServicer):  # type: ignore[misc, name-defined]
    """OTLP's trace service; keeps what it is sent."""

    def __init__(self) -> None:
        self.requests: list[Any] = []

    def Export(self, request: Any, context: Any) -> Any:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

        self.requests.append(request)
        return ExportTraceServiceResponse()

    def spans(self) -> list[Any]:
        return [span for r in self.requests for res in r.resource_spans for sc in res.scope_spans for span in sc.spans]


@pytest.fixture
def collector() -> Iterator[tuple[Collector, str]]:
    """A collector and its address."""
    found = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    service.add_TraceServiceServicer_to_server(found, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield found, f"http://127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.fixture
def shared_home(home: Path) -> Path:
    (home / "catalogues").mkdir(parents=True)
    (home / "catalogues" / "demo").symlink_to(demo_catalogue().folder)
    return home


@pytest.mark.usefixtures("shared_home")
def test_a_collector_gets_the_spans_of_a_turn_and_no_word_of_it(
    tmp_path: Path, collector: tuple[Collector, str]
) -> None:
    found, address = collector
    env = {"CONVREC_SERVER__OTLP_ENDPOINT": address, "CONVREC_MEMORY__STORE": "memory"}
    with program(tmp_path / "log", **env) as (url, _), httpx.Client(base_url=url, timeout=60) as web:
        body = say(f"a comedy about {SECRET}", user=SECRET, metadata={"conversation_id": SECRET})
        head = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
        assert web.post("/v1/chat/completions", json=body, headers=head).status_code == 200
        assert web.get(f"/v1/users/{SECRET}/preferences").status_code == 200
    # The process has ended, and with it sent what it held.
    spans = found.spans()
    ours = {span.name: span for span in spans if span.trace_id.hex() == TRACE}
    request, turn = ours["POST /v1/chat/completions"], ours["turn"]
    assert request.parent_span_id.hex() == CALLER
    assert turn.parent_span_id == request.span_id
    for stage in ("understand", "recall", "answer", "remember"):
        assert ours[stage].parent_span_id == turn.span_id
        assert turn.start_time_unix_nano <= ours[stage].start_time_unix_nano <= ours[stage].end_time_unix_nano
    assert any(event.name.startswith("tool ") for event in turn.events)
    facts = {pair.key: pair.value for pair in turn.attributes}
    assert facts["convrec.tier"].string_value == "none"
    assert facts["convrec.items"].int_value > 0
    other = next(span for span in spans if span.name == "GET /v1/users/{user}/preferences")
    assert other.trace_id.hex() != TRACE
    names = {p.key: p.value.string_value for r in found.requests for res in r.resource_spans
             for p in res.resource.attributes}  # fmt: skip
    assert names["service.name"] == "convrec"
    sent = b"".join(request.SerializeToString() for request in found.requests)
    assert len(sent) > 500
    assert SECRET.encode() not in sent.lower()


@pytest.mark.usefixtures("shared_home")
def test_a_collector_that_is_away_disturbs_nobody(tmp_path: Path) -> None:
    env = {"CONVREC_SERVER__OTLP_ENDPOINT": "http://127.0.0.1:9", "CONVREC_MEMORY__STORE": "memory"}
    with program(tmp_path / "log", **env) as (url, _):
        answer = httpx.post(f"{url}/v1/chat/completions", json=say("a comedy", user="ann"), timeout=60)
        assert answer.status_code == 200
