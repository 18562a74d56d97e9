"""The typed routes, over loopback, with the rule-based agent on the demo catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from api_server import say, serving
from demo_agent import demo_catalogue, make_agent

pytest.importorskip("fastapi")

HEAT, ALIEN = "tt0113277", "tt0078748"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with serving(tmp_path_factory.mktemp("api"), make_agent()) as found:
        yield found


@pytest.fixture
def web(server: Any) -> httpx.Client:
    client: httpx.Client = server.web
    return client


def recommend(web: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = web.post("/v1/recommendations", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ids(found: dict[str, Any]) -> list[str]:
    return [item["id"] for item in found["items"]]


class TestRecommendations:
    def test_words_and_constraints(self, web: httpx.Client) -> None:
        found = recommend(
            web, text="a thriller", constraints=[{"field": "year", "op": "ge", "values": [2005]}], limit=7
        )
        assert len(found["items"]) == 7
        assert all(item["year"] >= 2005 for item in found["items"])
        assert "year: at least 2005" in found["conditions"]
        assert found["text"]
        assert {tool["tool"] for tool in found["tools"]} >= {"filter", "rank"}

    def test_constraints_are_spelled_by_the_catalogue_and_never_relaxed(self, web: httpx.Client) -> None:
        only = [
            {"field": "genres", "values": ["HORROR"]},
            {"field": "year", "op": "le", "values": [1920]},
            {"field": "year", "op": "ge", "values": [1990]},
        ]
        found = recommend(web, text="anything", constraints=only)
        assert found["items"] == []
        assert found["relaxed"] == []

    def test_liked_items_lead_and_are_not_given_back(self, web: httpx.Client) -> None:
        by_heat, by_alien = (recommend(web, liked=[liked], limit=10) for liked in (HEAT, ALIEN))
        assert len(by_heat["items"]) == len(by_alien["items"]) == 10
        assert HEAT not in ids(by_heat)
        assert set(ids(by_heat)) != set(ids(by_alien))
        first = ids(by_heat)[0]
        assert first not in ids(recommend(web, liked=[HEAT], exclude=[first], limit=10))
        assert first not in ids(recommend(web, liked=[HEAT], disliked=[first], limit=10))

    def test_history_is_what_it_goes_on_from(self, web: httpx.Client) -> None:
        history = [{"role": "user", "content": "a film with Al Pacino"}, {"role": "assistant", "content": "Here."}]
        found = recommend(web, text="newer than 1990", history=history)
        assert found["replayed"] == 1
        assert any("Pacino" in condition for condition in found["conditions"])
        assert all("Al Pacino" in item["fields"]["cast"] for item in found["items"])

    def test_nothing_is_kept(self, server: Any, web: httpx.Client) -> None:
        found = recommend(web, text="I love Heat, something like it")
        assert web.get("/v1/sessions", params={"user": found["user"]}).json()["data"] == []
        assert web.get(f"/v1/users/{found['user']}/preferences").json()["data"] == []

    def test_a_users_preferences_are_used(self, web: httpx.Client) -> None:
        body = {
            "text": "always: no films before 2000",
            "polarity": "wanted",
            "constraint": {"field": "year", "op": "ge", "values": [2000]},
            "standing": True,
        }
        assert web.post("/v1/users/rita/preferences", json=body).status_code == 201
        found = recommend(web, text="a crime film", user="rita")
        assert found["user"] == "rita"
        assert found["applied_preferences"] == ["always: no films before 2000"]
        assert all(item["year"] >= 2000 for item in found["items"])

    def test_a_batch_answers_each(self, web: httpx.Client) -> None:
        requests = [{"text": "a comedy"}, {"liked": ["nope"]}, {"text": ""}, {"text": "a western", "limit": 1}]
        data = web.post("/v1/recommendations/batch", json={"requests": requests}).json()["data"]
        assert [(entry["index"], entry["status"]) for entry in data] == [(0, 200), (1, 400), (2, 400), (3, 200)]
        assert data[1]["error"]["param"] == "liked"
        assert len(data[3]["recommendation"]["items"]) == 1

    @pytest.mark.parametrize(
        ("body", "param"),
        [
            ({}, "text"),
            ({"text": "x" * 4001}, "text"),
            ({"text": "x", "liked": ["nope"]}, "liked"),
            ({"text": "x", "user": "a/b"}, "user"),
            ({"text": "x", "limit": 0}, "limit"),
            ({"text": "x", "colour": "red"}, "colour"),
            ({"text": "x", "constraints": [{"field": "smell", "values": ["x"]}]}, "constraints[0].field"),
            ({"text": "x", "constraints": [{"field": "year", "op": "ge", "values": []}]}, "constraints[0]"),
            ({"text": "x", "constraints": [{"field": "year", "values": [1e300]}]}, "constraints[0].values"),
            ({"text": "x", "constraints": [{"field": "genres", "values": ["nonesuch"]}]}, "constraints[0].values"),
            ({"text": "x", "history": [{"role": "user", "content": "y" * 4001}]}, "history[0].content"),
        ],
    )
    def test_wrong_input_names_the_field(self, web: httpx.Client, body: dict[str, Any], param: str) -> None:
        answer = web.post("/v1/recommendations", json=body)
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == param


class TestItems:
    def test_titles_are_found_best_match_first(self, web: httpx.Client) -> None:
        found = web.get("/v1/items", params={"q": "heat", "limit": 5}).json()
        assert found["data"][0]["title"] == "Heat"
        assert found["total"] > 1
        second = web.get("/v1/items", params={"q": "heat", "limit": 1, "offset": 1}).json()
        assert second["data"][0]["id"] == found["data"][1]["id"]

    def test_accents_and_case_do_not_matter(self, web: httpx.Client) -> None:
        plain, accented = (web.get("/v1/items", params={"q": q}).json() for q in ("amelie", "AMÉLIE"))
        assert plain == accented
        assert plain["total"] >= 1

    def test_typed_search(self, web: httpx.Client) -> None:
        constraints = [{"field": "year", "op": "le", "values": [1950]}, {"field": "genres", "values": ["Comedy"]}]
        found = web.post("/v1/items/search", json={"constraints": constraints, "limit": 3}).json()
        assert found["total"] > 3
        assert all(item["year"] <= 1950 and "Comedy" in item["fields"]["genres"] for item in found["data"])

    def test_what_is_not_there(self, web: httpx.Client) -> None:
        assert web.get("/v1/items", params={"q": "zzzz qqqq"}).json() == {
            "object": "list",
            "total": 0,
            "offset": 0,
            "data": [],
        }
        assert web.get("/v1/items/nope").status_code == 404
        assert web.get("/v1/items", params={"limit": 101}).json()["error"]["param"] == "limit"

    def test_fields_are_those_of_the_catalogue(self, web: httpx.Client) -> None:
        named = {field["name"] for field in web.get("/v1/items/fields").json()["data"]}
        assert named == {field.name for field in demo_catalogue().schema.fields}


class TestUsers:
    def talk(self, web: httpx.Client, user: str, session: str, text: str) -> dict[str, Any]:
        answer = web.post("/v1/chat/completions", json=say(text, user=user, metadata={"conversation_id": session}))
        assert answer.status_code == 200, answer.text
        facts: dict[str, Any] = answer.json()["convrec"]
        return facts

    def test_sessions_are_listed_read_and_erased(self, web: httpx.Client) -> None:
        for session in ("s1", "s2"):
            self.talk(web, "sam", session, "a comedy")
        listed = web.get("/v1/sessions", params={"user": "sam"}).json()["data"]
        assert [session["id"] for session in listed] == ["s2", "s1"]
        one = web.get("/v1/sessions/s1", params={"user": "sam"}).json()
        assert one["turns"][0]["user"] == "a comedy"
        assert one["turns"][0]["assistant"]
        assert web.get("/v1/sessions/s1", params={"user": "tim"}).status_code == 404
        assert web.delete("/v1/sessions/s1", params={"user": "tim"}).status_code == 404
        assert web.delete("/v1/sessions/s1", params={"user": "sam"}).json()["deleted"] is True
        assert web.get("/v1/sessions/s1", params={"user": "sam"}).status_code == 404
        assert web.get("/v1/sessions").status_code == 400

    def test_feedback_is_remembered_and_used(self, web: httpx.Client) -> None:
        first = self.talk(web, "fay", "f1", "a crime film")
        item = first["items"][0]
        body = {"user": "fay", "conversation_id": "f1", "item": item["id"], "kind": "disliked"}
        assert item["title"] in web.post("/v1/feedback", json=body).json()["remembered"]
        assert item["id"] not in ids(self.talk(web, "fay", "f2", "a crime film"))
        assert web.post("/v1/feedback", json={**body, "kind": "meh"}).json()["error"]["param"] == "kind"
        assert web.post("/v1/feedback", json={**body, "item": "nope"}).json()["error"]["param"] == "item"

    def test_preferences_are_added_found_corrected_and_forgotten(self, web: httpx.Client) -> None:
        at = "/v1/users/pam/preferences"
        added = web.post(at, json={"text": "liked Heat", "polarity": "liked", "item": HEAT}).json()
        assert (added["kind"], added["subject"], added["user"]) == ("item", f"item:{HEAT}", "pam")
        note = web.post(at, json={"text": "watches with subtitles", "polarity": "neutral"}).json()
        assert [p["id"] for p in web.get(at).json()["data"]] == [note["id"], added["id"]]
        found = web.get(f"{at}/search", params={"q": "watches films with subtitles"}).json()["data"]
        assert note["id"] in [hit["preference"]["id"] for hit in found]
        changed = web.patch(f"{at}/{note['id']}", json={"text": "no subtitles"}).json()
        assert changed["text"] == "no subtitles"
        assert web.delete(f"{at}/{added['id']}").json()["deleted"] is True
        assert [p["text"] for p in web.get(at).json()["data"]] == ["no subtitles"]

    @pytest.mark.parametrize(
        ("body", "param"),
        [
            ({"text": "x", "polarity": "liked", "item": "nope"}, "item"),
            ({"text": "x", "polarity": "liked", "standing": True}, "standing"),
            ({"text": "x", "polarity": "liked", "item": HEAT, "constraint": {"field": "year"}}, "item"),
            ({"text": "x", "polarity": "wanted", "constraint": {"field": "year", "op": "all"}}, "constraint"),
            ({"text": " ", "polarity": "wow"}, "polarity"),
        ],
    )
    def test_wrong_preferences(self, web: httpx.Client, body: dict[str, Any], param: str) -> None:
        answer = web.post("/v1/users/pam/preferences", json=body)
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == param

    def test_an_export_is_imported_elsewhere(self, web: httpx.Client) -> None:
        for text in ("keeps late hours", "has two cats"):
            web.post("/v1/users/ivy/preferences", json={"text": text, "polarity": "neutral"})
        document = web.get("/v1/users/ivy/preferences/export").json()
        assert {p["user"] for p in document["preferences"]} == {document["user"]} == {"ivy"}
        for _ in range(2):
            answer = web.post("/v1/users/jon/preferences/import", json=document)
            assert answer.status_code == 200, answer.text
        texts = [p["text"] for p in web.get("/v1/users/jon/preferences").json()["data"]]
        assert sorted(texts) == ["has two cats", "keeps late hours"]
        assert web.post("/v1/users/jon/preferences/import", json={"format": "x"}).status_code == 400

    def test_erasing_a_user_leaves_nothing_of_them_and_all_of_others(self, server: Any, web: httpx.Client) -> None:
        for user in ("eve", "eva"):
            self.talk(web, user, "e1", "I love Heat")
            self.talk(web, user, "e2", "never horror")
        gone = web.delete("/v1/users/eve").json()
        assert (gone["sessions"], gone["preferences"] >= 2) == (2, True)
        assert web.get("/v1/users/eve/preferences", params={"history": True}).json()["data"] == []
        assert web.get("/v1/sessions", params={"user": "eve"}).json()["data"] == []
        assert len(web.get("/v1/users/eva/preferences").json()["data"]) >= 2
        assert len(web.get("/v1/sessions", params={"user": "eva"}).json()["data"]) == 2
        assert web.delete("/v1/users/eve").json() == {"user": "eve", "preferences": 0, "sessions": 0}


def test_every_operation_is_described_with_an_example(web: httpx.Client) -> None:
    document = web.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], (method, path)
            good = next(v for k, v in operation["responses"].items() if k.startswith("2"))
            assert good["content"], (method, path)
            if body := operation.get("requestBody"):
                schema = body["content"]["application/json"]["schema"]
                if "$ref" in schema:
                    schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
                assert schema.get("examples"), (method, path)
