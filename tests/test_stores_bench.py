"""convrec bench memory: it measures what it says, on a store that it leaves nothing of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from convrec.core.embedding import HashingEmbedder
from convrec.core.errors import RequestError
from convrec.eval.bench_memory import Times, as_json, as_text, bench_memory


def test_percentiles() -> None:
    assert Times.of([i / 1000 for i in range(1, 101)]) == Times(100, 51.0, 96.0, 100.0)
    assert Times.of([]) == Times(0, 0.0, 0.0, 0.0)


def test_a_small_run(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    found = bench_memory(
        HashingEmbedder(32),
        records=25,
        users=4,
        calls=6,
        erasures=2,
        folder=tmp_path,
        progress=lambda *at: seen.append(at),
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (found.add.n, found.recall.n, found.recall_again.n, found.erase.n) == (6, 4, 4, 2)
    assert 0 < found.add.p50 <= found.add.p95 <= found.add.slowest
    assert found.open_s > 0 < found.disk_mib
    assert json.loads(as_json(found))["embedder"] == "hashing-32"
    assert "25 records of 4 users" in as_text(found)
    assert list(tmp_path.iterdir()) == []


def test_fewer_records_than_users() -> None:
    with pytest.raises(RequestError, match="records"):
        bench_memory(HashingEmbedder(32), records=3, users=4)
