"""Rates that several servers count together in a real Redis, and what happens when it goes away."""

from __future__ import annotations

import logging
import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_server import serving
from convrec.core.errors import SettingsError
from convrec.serve.keys import KeyRing, Scope
from redis_server import WHY_NOT, binary, free_port, running_redis

pytest.importorskip("fastapi")
pytest.importorskip("redis")

PASSWORD = "s3cret"
needs_redis = pytest.mark.skipif(binary() is None, reason=WHY_NOT)


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def keys(tmp_path: Path) -> tuple[str, str, str]:
    """A key with five requests an hour, one for the figures, and one with a request an hour."""
    ring = KeyRing(tmp_path / "keys.json")
    five, one = (ring.create("acme", rate=f"{count}/hour")[1] for count in (5, 1))
    return five, ring.create("ops", scopes=[Scope.METRICS], rate="")[1], one


@pytest.fixture
def servers(
    tmp_path: Path, port: int, keys: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[Any]]:
    """Two servers over one set of keys and one Redis, which may be there or not."""
    monkeypatch.setattr("convrec.serve.api.limiting.RETRY_S", 0.0)
    monkeypatch.setattr("convrec.serve.api.limiting.ANSWER_S", 0.3)
    with ExitStack() as stack:
        storage = f"redis://:{PASSWORD}@127.0.0.1:{port}/0"
        yield [stack.enter_context(serving(tmp_path, rate_storage=storage)) for _ in range(2)]


def statuses(servers: list[Any], key: str, count: int) -> list[int]:
    """Of ``count`` requests, sent to each server in turn."""
    head = {"Authorization": f"Bearer {key}"}
    return [httpx.get(f"{servers[i % len(servers)].url}/v1/models", headers=head).status_code for i in range(count)]


def replaced(server: Any, key: str) -> float:
    """How often Redis did not answer this server."""
    text = httpx.get(f"{server.url}/metrics", headers={"Authorization": f"Bearer {key}"}).text
    found = re.search(r'^convrec_fallbacks_total\{stage="rates"\} ([0-9.]+)', text, re.MULTILINE)
    assert found, text
    return float(found[1])


@needs_redis
def test_two_servers_count_one_keys_requests_together(
    tmp_path: Path, port: int, servers: list[Any], keys: tuple[str, str, str]
) -> None:
    with running_redis(tmp_path, port, PASSWORD):
        assert statuses(servers, keys[0], 7) == [200] * 5 + [429] * 2
        refused = httpx.get(f"{servers[1].url}/v1/models", headers={"Authorization": f"Bearer {keys[0]}"})
        assert 0 < int(refused.headers["retry-after"]) <= 3600
        assert statuses(servers, keys[2], 2) == [200, 429], "each key has its own count"
        assert [replaced(server, keys[1]) for server in servers] == [0, 0]


@needs_redis
def test_without_redis_each_server_counts_alone_and_says_so(
    tmp_path: Path, port: int, servers: list[Any], keys: tuple[str, str, str], caplog: pytest.LogCaptureFixture
) -> None:
    with running_redis(tmp_path, port, PASSWORD):
        assert statuses(servers, keys[0], 6) == [200] * 5 + [429]
    with caplog.at_level(logging.WARNING, "convrec.serve.api.limiting"):
        assert statuses(servers[:1], keys[0], 6) == [200] * 5 + [429], (
            "limited all the same, and nobody else is shut out"
        )
        assert replaced(servers[0], keys[1]) >= 6
        assert len(caplog.records) == 1, "once, not at every request"
        assert "counts alone" in caplog.text
        assert PASSWORD not in caplog.text
        with running_redis(tmp_path, port, PASSWORD):
            assert statuses(servers[:1], keys[0], 6) == [200] * 5 + [429], "a new Redis begins at nought"
        assert "counted in Redis again" in caplog.text


@needs_redis
def test_a_redis_that_hangs_holds_nobody_up(
    tmp_path: Path, port: int, servers: list[Any], keys: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convrec.serve.api.limiting.RETRY_S", 3600.0)
    with running_redis(tmp_path, port, PASSWORD) as redis:
        assert statuses(servers[:1], keys[0], 1) == [200]
        redis.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        assert statuses(servers[:1], keys[0], 5) == [200] * 5
        assert time.monotonic() - began < 5.0, "asked once, then left alone"
        assert replaced(servers[0], keys[1]) == 1


@pytest.mark.parametrize("storage", ["memcached://h", "redis", f"redis://:{PASSWORD}@host:port", "redis://h:99999"])
def test_what_is_no_storage_is_refused_without_its_password(tmp_path: Path, storage: str) -> None:
    with pytest.raises(SettingsError, match="rate_storage") as caught, serving(tmp_path, rate_storage=storage):
        pass
    assert PASSWORD not in str(caught.value)
    assert "redis://host" in str(caught.value)
