"""Keys, scopes, rates, and that no tenant reaches another's users by any route."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_server import say, serving
from convrec.core.errors import RequestError, SettingsError
from convrec.core.settings import ServerSettings, Settings
from convrec.serve.api.identity import Caller
from convrec.serve.keys import DEFAULT_SCOPES, KeyRing, Scope

pytest.importorskip("fastapi")


class TestKeyRing:
    def test_the_key_itself_is_stored_nowhere(self, tmp_path: Path) -> None:
        ring = KeyRing(tmp_path / "keys.json")
        key, text = ring.create("acme", name="bot")
        assert re.fullmatch(r"convrec_[0-9a-f]{12}_[\w-]{43}", text)
        stored = (tmp_path / "keys.json").read_text()
        assert text.rsplit("_", 1)[1] not in stored
        assert key.sha256 in stored
        assert (tmp_path / "keys.json").stat().st_mode & 0o077 == 0
        assert ring.find(text) == key

    def test_only_the_exact_text_is_the_key(self, tmp_path: Path) -> None:
        ring = KeyRing(tmp_path / "keys.json")
        key, text = ring.create("acme")
        wrong = [text[:-1], text + "x", text.upper(), f"convrec_{key.id}_", key.sha256, "", "none", "\ud800", "_" * 9]
        assert [ring.find(guess) for guess in wrong] == [None] * len(wrong)

    def test_revoking_is_seen_by_others_and_does_not_open_the_server(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("convrec.serve.keys.LOOK_S", 0.0)
        one, other = KeyRing(tmp_path / "keys.json"), KeyRing(tmp_path / "keys.json")
        key, text = one.create("acme")
        assert other.find(text) is not None
        one.revoke(key.id)
        one.revoke(key.id)
        assert other.find(text) is None
        assert other.exists
        assert not other.active
        with pytest.raises(RequestError, match="keys list"):
            one.revoke("nope")

    def test_keys_made_at_once_are_all_kept(self, tmp_path: Path) -> None:
        rings = [KeyRing(tmp_path / "keys.json") for _ in range(8)]
        threads = [threading.Thread(target=ring.create, args=("acme",)) for ring in rings]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(KeyRing(tmp_path / "keys.json").list()) == 8

    @pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 9, "keys": []}', '{"format": 1, "keys": [{}]}'])
    def test_a_damaged_file_is_an_error_not_an_open_door(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "keys.json").write_text(content)
        with pytest.raises(SettingsError, match=r"keys\.json"):
            KeyRing(tmp_path / "keys.json").find("convrec_a_b")

    @pytest.mark.parametrize(
        "wrong",
        [{"tenant": "A B"}, {"tenant": "a/b"}, {"tenant": ""}, {"rate": "fast"}, {"name": "\n"}, {"scopes": ()}],
    )
    def test_wrong_input(self, tmp_path: Path, wrong: dict[str, Any]) -> None:
        with pytest.raises(RequestError):
            KeyRing(tmp_path / "keys.json").create(**{"tenant": "acme", **wrong})


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    ring = KeyRing(tmp_path / "keys.json")
    ring.create("first")  # the file is there when the server starts: keys are asked for
    return ring


@pytest.fixture
def server(tmp_path: Path, ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr("convrec.serve.keys.LOOK_S", 0.0)
    with serving(tmp_path) as found:
        yield found


def as_key(server: Any, text: str) -> httpx.Client:
    return httpx.Client(base_url=server.url, timeout=30, headers={"Authorization": f"Bearer {text}"})


def operations(server: Any) -> Iterator[tuple[str, str]]:
    """Every operation of the document, with addresses that could be there."""
    for path, methods in server.web.get("/openapi.json").json()["paths"].items():
        filled = path.replace("{user}", "alice").replace("{session}", "s1").replace("{preference}", "0" * 32)
        for method in methods:
            yield method.upper(), filled.replace("{item_id}", "a/b").replace("{model}", "convrec")


class TestAccess:
    def test_every_route_but_the_probes_asks_for_a_key(self, server: Any, ring: KeyRing) -> None:
        _, revoked = (made := ring.create("acme"))
        ring.revoke(made[0].id)
        tried = 0
        for method, path in operations(server):
            for headers in ({}, {"Authorization": f"Bearer {revoked}"}, {"Authorization": "Basic YTpi"}):
                answer = server.web.request(method, path, headers=headers, json={})
                if path in ("/healthz", "/readyz"):
                    assert answer.status_code == 200
                    continue
                assert answer.status_code == 401, (method, path, answer.text)
                assert answer.json()["error"]["code"] == "invalid_api_key"
                assert answer.headers["www-authenticate"] == "Bearer"
                tried += 1
        assert tried > 50

    def test_a_key_without_the_scope_is_turned_away(self, server: Any, ring: KeyRing) -> None:
        needed = {
            ("POST", "/v1/chat/completions"): Scope.CHAT,
            ("POST", "/v1/recommendations"): Scope.CHAT,
            ("GET", "/v1/items"): Scope.ITEMS,
            ("GET", "/v1/sessions"): Scope.SESSIONS_READ,
            ("DELETE", "/v1/sessions/s1"): Scope.SESSIONS_WRITE,
            ("GET", "/v1/users/alice/preferences"): Scope.PREFERENCES_READ,
            ("DELETE", "/v1/users/alice/preferences"): Scope.PREFERENCES_WRITE,
            ("DELETE", "/v1/users/alice"): Scope.USERS_ERASE,
            ("GET", "/metrics"): Scope.METRICS,
        }
        for (method, path), scope in needed.items():
            without = [s for s in Scope if s not in (scope, Scope.ADMIN)]
            for scopes, allowed in ((without, False), ([scope], True), ([Scope.ADMIN], True)):
                with as_key(server, ring.create("acme", scopes=scopes)[1]) as web:
                    status = web.request(method, path, json=say("x")).status_code
                assert (status != 403) is allowed, (path, scopes)
        assert Scope.METRICS not in DEFAULT_SCOPES

    def test_above_its_rate_a_key_waits_and_others_do_not(self, server: Any, ring: KeyRing) -> None:
        slow, other = (ring.create("acme", rate="3/hour")[1] for _ in range(2))
        with as_key(server, slow) as web:
            answers = [web.get("/v1/models") for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        assert answers[-1].json()["error"]["code"] == "rate_limit_exceeded"
        assert 0 < int(answers[-1].headers["retry-after"]) <= 3600
        with as_key(server, other) as web:
            assert web.get("/v1/models").status_code == 200

    def test_the_openai_client_sends_the_key(self, server: Any, ring: KeyRing) -> None:
        openai = pytest.importorskip("openai")
        _, text = ring.create("acme")
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key=text, max_retries=0) as client:
            assert client.chat.completions.create(**say("hi", user="alice")).choices
        with (
            openai.OpenAI(base_url=f"{server.url}/v1", api_key="sk-wrong", max_retries=0) as client,
            pytest.raises(openai.AuthenticationError),
        ):
            client.models.list()


class TestTenants:
    def test_no_route_shows_or_touches_another_tenants_user(self, server: Any, ring: KeyRing) -> None:
        mine, theirs = (as_key(server, ring.create(tenant)[1]) for tenant in ("acme", "bolt"))
        with mine, theirs:
            for web, love in ((mine, "Heat"), (theirs, "Alien")):
                body = say(f"I love {love}", user="alice", metadata={"conversation_id": "s1"})
                assert web.post("/v1/chat/completions", json=body).json()["convrec"]["turn"] == 1
            kept = mine.get("/v1/users/alice/preferences").json()["data"][0]
            document = mine.get("/v1/users/alice/preferences/export").json()
            session = mine.get("/v1/sessions/s1", params={"user": "alice"}).json()
            assert "Heat" in json.dumps([kept, document, session])
            # Whatever the other tenant asks for, by whatever name, nothing of it comes.
            names = [
                "alice",
                "acme/alice",
                "acme%2Falice",
                "acme%252Falice",
                "%2E%2E/acme/alice",
                "acme:alice",
                "ALICE",
            ]
            for name in names:
                for path in ("preferences", "preferences/export", "preferences/search?q=Heat", "profile"):
                    assert "Heat" not in theirs.get(f"/v1/users/{name}/{path}").text, (name, path)
                assert "Heat" not in theirs.get("/v1/sessions/s1", params={"user": name}).text
                theirs.patch(f"/v1/users/{name}/preferences/{kept['id']}", json={"text": "taken over"})
                theirs.delete(f"/v1/users/{name}/preferences/{kept['id']}")
                theirs.delete(f"/v1/users/{name}/preferences")
                theirs.delete("/v1/sessions/s1", params={"user": name})
                theirs.delete(f"/v1/users/{name}")
                body = {"user": name, "conversation_id": "s1", "item": "a/b", "kind": "disliked"}
                theirs.post("/v1/feedback", json=body)
                said = say("what do you know", user=name, metadata={"conversation_id": "s1"})
                for path, sent in (("chat/completions", said), ("recommendations", {"text": "x", "user": name})):
                    answer = theirs.post(f"/v1/{path}", json=sent).text
                    assert "likes Heat" not in answer
                    assert "I love" not in answer
            assert mine.get("/v1/users/alice/preferences").json()["data"] == [kept]
            assert mine.get("/v1/sessions/s1", params={"user": "alice"}).json() == session

    def test_an_unnamed_conversation_is_not_continued_by_another_tenant(self, server: Any, ring: KeyRing) -> None:
        mine, theirs = (as_key(server, ring.create(tenant)[1]) for tenant in ("acme", "bolt"))
        with mine, theirs:
            first = mine.post("/v1/chat/completions", json=say("hello", user="alice")).json()
            messages = [
                {"role": "user", "content": "hello"},
                {"role": "assistant", "content": first["choices"][0]["message"]["content"]},
                {"role": "user", "content": "more"},
            ]
            body = {"model": "convrec", "user": "alice", "messages": messages}
            other = theirs.post("/v1/chat/completions", json=body).json()["convrec"]
            own = mine.post("/v1/chat/completions", json=body).json()["convrec"]
        assert other["conversation_id"] != first["convrec"]["conversation_id"]
        assert own["conversation_id"] == first["convrec"]["conversation_id"]

    def test_two_keys_of_one_tenant_share_its_users(self, server: Any, ring: KeyRing) -> None:
        one, two = (as_key(server, ring.create("acme")[1]) for _ in range(2))
        with one, two:
            one.post("/v1/chat/completions", json=say("I love Heat", user="alice"))
            found = two.get("/v1/users/alice/preferences").json()["data"]
        assert [p["user"] for p in found] == ["alice"], "the tenant's prefix stays inside"

    def test_a_stored_id_has_one_tenant(self) -> None:
        assert Caller("acme", "k").stored("x") == "acme/x"
        assert Caller().stored("x") == "x"
        assert len(Caller("t" * 48, "k").stored("u" * 128)) <= 200
        for caller in (Caller(), Caller("acme", "k")):
            with pytest.raises(RequestError):
                caller.stored("bolt/x")


class TestOpenAddress:
    @pytest.mark.parametrize(
        ("host", "keys", "page", "allow", "fine"),
        [
            ("127.0.0.1", False, True, False, True),
            ("::1", False, False, False, True),
            ("0.0.0.0", False, False, False, False),
            ("0.0.0.0", False, False, True, True),
            ("0.0.0.0", True, False, False, True),
            ("0.0.0.0", True, True, False, False),
            ("example.org", False, False, False, False),
        ],
    )
    def test_what_starts(self, tmp_path: Path, host: str, keys: bool, page: bool, allow: bool, fine: bool) -> None:
        from convrec.serve.run import check_open

        if keys:
            KeyRing(tmp_path / "keys.json").create("acme")
        settings = Settings(home=tmp_path, cache=tmp_path)
        if fine:
            check_open(host, settings, page=page, allow_remote=allow)
        else:
            with pytest.raises(RequestError, match="no login"):
                check_open(host, settings, page=page, allow_remote=allow)

    def test_keys_that_nobody_has(self, tmp_path: Path) -> None:
        from convrec.serve.run import check_open

        settings = Settings(home=tmp_path, cache=tmp_path, server=ServerSettings(keys="required"))
        with pytest.raises(RequestError, match="keys create"):
            check_open("127.0.0.1", settings, page=False, allow_remote=False)


def test_the_commands(home: Path) -> None:
    from convrec.app import GROUPS, services
    from convrec.serve.cli import build_cli
    from typer.testing import CliRunner

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(build_cli(services, GROUPS), ["keys", *arguments])

    made = json.loads(run("create", "acme", "--scope", "chat", "--rate", "9/minute", "--json").stdout)
    ring = KeyRing(home / "keys.json")
    found = ring.find(made["key"])
    assert found is not None
    assert (found.tenant, found.scopes, found.rate) == ("acme", (Scope.CHAT,), "9/minute")
    listed = run("list", "--json").stdout
    assert [key["id"] for key in json.loads(listed)] == [made["id"]]
    assert made["key"] not in listed
    assert found.sha256 not in listed
    assert run("revoke", made["id"]).exit_code == 0
    assert not KeyRing(home / "keys.json").active
    assert run("create", "A B").exit_code == 2
