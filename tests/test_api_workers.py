"""Several real server processes over shared stores: a conversation may go on at any of them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_server import say
from convrec.core.errors import RequestError
from convrec.core.settings import MemorySettings, Settings
from demo_agent import demo_catalogue

pytest.importorskip("fastapi")
pytest.importorskip("chromadb")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals, /proc")


@pytest.fixture(scope="module")
def chroma(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    from chroma_server import running_server

    with running_server(tmp_path_factory.mktemp("chroma")) as url:
        yield url


@pytest.fixture
def shared_home(home: Path) -> Path:
    (home / "catalogues").mkdir(parents=True)
    (home / "catalogues" / "demo").symlink_to(demo_catalogue().folder)
    return home


@contextmanager
def program(log: Path, *options: str, **env: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """``convrec serve`` as a user runs it, once it is ready; ends by SIGTERM, with code 0."""
    command = [sys.executable, "-u", "-m", "convrec.app", "serve", "--tier", "none", "--port", "0", *options]
    settings = {"CONVREC_MEMORY__EMBEDDER": "hashing", **env}
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ, **settings}
        ) as process,
    ):
        try:
            assert process.stdout is not None
            found = next((m for line in process.stdout if (m := re.search(r"(http://\S+)/v1", line))), None)
            assert found is not None, log.read_text()
            end = time.monotonic() + 90
            while time.monotonic() < end:
                try:
                    if httpx.get(f"{found[1]}/readyz", timeout=5).status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                time.sleep(0.05)
            yield found[1], process
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGTERM), log.read_text()
    assert "Traceback" not in log.read_text()


def talk(url: str, text: str, user: str, conversation: str) -> dict[str, Any]:
    body = say(text, user=user, metadata={"conversation_id": conversation})
    answer = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    facts: dict[str, Any] = answer.json()["convrec"]
    return facts


def test_a_conversation_hops_between_two_servers(tmp_path: Path, shared_home: Path, chroma: str) -> None:
    from postgres_server import binaries, running_cluster

    if binaries() is None:
        pytest.skip("no PostgreSQL on this machine")
    with running_cluster() as database:
        env = {"CONVREC_MEMORY__URL": chroma, "CONVREC_SESSIONS__URL": database}
        with program(tmp_path / "a.log", **env) as (one, _), program(tmp_path / "b.log", **env) as (two, _):
            first = talk(one, "a comedy from the 90s", "hop", "h1")
            second = talk(two, "with Bill Murray", "hop", "h1")
            third = talk(one, "never horror", "hop", "h1")
            fourth = talk(two, "a thriller", "hop", "h2")
            assert [facts["turn"] for facts in (first, second, third)] == [1, 2, 3]
            assert len(second["conditions"]) > len(first["conditions"]), "the other server knew what was asked before"
            assert third["remembered"]
            assert any("horror" in text.lower() for text in fourth["applied_preferences"]), fourth
            assert httpx.delete(f"{one}/v1/users/hop").json()["sessions"] == 2
            assert httpx.get(f"{two}/v1/users/hop/preferences").json()["data"] == []


def test_workers_behind_one_port(tmp_path: Path, shared_home: Path, chroma: str) -> None:
    log = tmp_path / "workers.log"
    with program(log, "--workers", "2", CONVREC_MEMORY__URL=chroma) as (url, _):

        def conversation(number: int) -> list[int]:
            turns = [talk(url, text, f"w{number}", "c")["turn"] for text in ("a comedy", "older", "funnier", "more")]
            # OpenAI's clients name no conversation: the workers share the index that finds it again.
            first = httpx.post(
                f"{url}/v1/chat/completions", json=say("a western", user=f"w{number}"), timeout=60
            ).json()
            messages = [
                {"role": "user", "content": "a western"},
                {"role": "assistant", "content": first["choices"][0]["message"]["content"]},
                {"role": "user", "content": "older"},
            ]
            body = {"model": "convrec", "user": f"w{number}", "messages": messages}
            second = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60).json()
            assert second["convrec"]["conversation_id"] == first["convrec"]["conversation_id"]
            assert (second["convrec"]["turn"], second["convrec"]["replayed"]) == (2, 0)
            return turns

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(conversation, range(8))) == [[1, 2, 3, 4]] * 8
        metrics = httpx.get(f"{url}/metrics", timeout=30).text
    answered = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    assert len({line["pid"] for line in answered if line["message"] == "request"}) == 2
    turns = sum(float(line.split()[-1]) for line in metrics.splitlines() if line.startswith("convrec_turns_total"))
    assert turns == 8 * 6, "the figures are those of all workers"


@pytest.mark.parametrize("memory", [{"store": "memory"}, {"store": "chroma"}])
def test_stores_that_cannot_be_shared_are_refused(tmp_path: Path, memory: dict[str, Any]) -> None:
    from convrec.serve.workers import check_shared

    with pytest.raises(RequestError, match="Chroma"):
        check_shared(Settings(home=tmp_path, cache=tmp_path, memory=MemorySettings(**memory)))
