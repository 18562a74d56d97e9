"""The load generator counts what really happened."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from api_server import serving
from convrec.eval.bench_api import CONVERSATIONS, bench_api, cpu_seconds, rss_mib

pytest.importorskip("fastapi")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convrec.eval.bench_api.RAMP_S", 0.0)


def test_every_user_has_all_turns_and_is_erased(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        found = bench_api(server.url, users=6, turns=3)
        counted = server.web.get("/metrics").text
        assert 'convrec_turns_total{planner="rules",tier="none"} 18.0' in counted
        assert 'route="/v1/users/{user}",status="200"} 6.0' in counted
    assert (found.answered, found.errors) == (18, {})
    assert 0 < found.p50 <= found.p95 <= found.p99 <= found.slowest
    assert found.per_second == pytest.approx(18 / found.seconds)


def test_a_total_goes_on_with_new_conversations(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        found = bench_api(server.url, users=3, turns=2, turns_total=11)
    assert found.answered == 11


def test_what_is_refused_is_an_error(tmp_path: Path) -> None:
    with serving(tmp_path, turns_at_once=1, max_waiting=0) as server:
        found = bench_api(server.url, users=8, turns=2)
    assert found.answered + found.errors["429"] == 16
    assert found.errors["429"] > 0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
def test_a_process_is_weighed() -> None:
    assert (rss_mib(os.getpid()) or 0) > 20
    assert (cpu_seconds(os.getpid()) or 0) > 0
    assert cpu_seconds(None) is None


def test_the_conversations_differ() -> None:
    assert len({turns[0] for turns in CONVERSATIONS}) == len(CONVERSATIONS)
