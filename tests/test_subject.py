"""Agents under test: ours in the process, ours over HTTP, a bare OpenAI-like server, plug-ins."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import demo_agent
import pytest
import scripted_agent
from convrec.core.errors import LLMBadOutput, LLMError, LLMTimeout, LLMUnavailable, RequestError
from convrec.core.settings import Settings
from convrec.eval import subject as subjects
from convrec.eval.subject import LocalSubject, Reply, asks, open_subject
from convrec.eval.subject_http import KEY_ENV, HttpSubject, linked_titles
from convrec.tools.catalogue import Catalogue

SEVEN, HEAT = "tt0114369", "tt0113277"


@pytest.fixture
def local() -> LocalSubject:
    return LocalSubject(demo_agent.make_agent(), close_agent=False)


class TestLocal:
    def test_a_reply_holds_what_the_turn_found(self, local: LocalSubject) -> None:
        reply = local.say("an American thriller from the 1990s", user="ann", session="s")
        assert reply.source == "agent"
        assert len(reply.items) == len(reply.titles) == 5
        assert not reply.question
        assert reply.seconds > 0
        assert "rank" in [tool for tool, _, _ in reply.tools]
        rows = demo_agent.demo_catalogue().rows_of(reply.items)
        years = [item.year for item in demo_agent.demo_catalogue().items([row for row in rows if row is not None])]
        assert all(year is not None and 1990 <= year <= 1999 for year in years)
        assert json.loads(json.dumps(reply.to_json()))["items"] == list(reply.items)

    def test_forgetting_one_user_leaves_the_others(self, local: LocalSubject) -> None:
        for user in ("ann", "bob"):
            local.say("I never want horror. I loved Heat", user=user, session="s")
        local.forget("ann")
        assert local.agent.preferences.list("ann") == []
        assert local.agent.history(user="ann", session_id="s") == []
        assert local.agent.preferences.list("bob")
        assert len(local.agent.history(user="bob", session_id="s")) == 1

    def test_users_at_once_do_not_mix(self, local: LocalSubject) -> None:
        likes = {f"u{i}": "I never want horror" if i % 2 else "I never want comedies" for i in range(8)}

        def talk(user: str) -> Reply:
            local.say(likes[user], user=user, session="s")
            return local.say("recommend me something from the 1980s", user=user, session="s")

        with ThreadPoolExecutor(8) as pool:
            replies = dict(zip(likes, pool.map(talk, likes), strict=True))
        assert len({replies[user].items for user in likes if likes[user].endswith("horror")}) == 1
        assert len({replies[user].items for user in likes if likes[user].endswith("comedies")}) == 1
        for user, reply in replies.items():
            assert len(local.agent.history(user=user, session_id="s")) == 2
            assert all(likes[user].rsplit(" ", 1)[1][:5] in text for text in reply.applied)

    @pytest.mark.parametrize(
        ("text", "titles", "expected"),
        [
            ("Which one do you mean?", (), True),
            ("Here are 2 films.\n1. Who's That? (1999)\n2. Heat", (), False),
            ("I took “Who?” for Who (1974).", (), False),
            ("You may like Who's Afraid of Virginia Woolf? a lot.", ("Who's Afraid of Virginia Woolf?",), False),
            ("1. Heat (1995)\nWould you like more?", (), True),
        ],
    )
    def test_a_question_is_one_to_the_user(self, text: str, titles: tuple[str, ...], expected: bool) -> None:
        assert asks(text, titles) is expected


class TestConvrecServer:
    """Over a real server on the loopback."""

    @pytest.fixture
    def served(self, tmp_path: Path) -> Iterator[tuple[HttpSubject, Any]]:
        from convrec.serve.http import create_app

        agent = demo_agent.make_agent()
        app = create_app(agent, settings=Settings(home=tmp_path, cache=tmp_path))
        for running in scripted_agent.serve_on_thread(app, agent):  # type: ignore[arg-type]
            subject = HttpSubject(f"{running.url}/v1", _Uncloseable(), sleep=_no_sleep)
            try:
                yield subject, agent
            finally:
                subject.close()

    def test_the_same_as_in_the_process(self, served: tuple[HttpSubject, Any], local: LocalSubject) -> None:
        subject, agent = served
        texts = ("a thriller from the 1990s", "not those, shorter", "who directed the first one?")
        here = [local.say(text, user="ann", session="s") for text in texts]
        there = [subject.say(text, user="ann", session="s") for text in texts]
        assert subject.ours
        assert [r.source for r in there] == ["extension"] * 3
        for ours, theirs in zip(here, there, strict=True):
            assert (ours.items, ours.titles, ours.text, ours.tools, ours.question) == (
                theirs.items,
                theirs.titles,
                theirs.text,
                theirs.tools,
                theirs.question,
            )
        assert len(agent.history(user="ann", session_id="s")) == 3  # the history that is sent along is not run again

    def test_users_are_kept_apart_and_forgotten(self, served: tuple[HttpSubject, Any]) -> None:
        subject, agent = served
        subject.say("I never want horror", user="ann", session="s")
        subject.say("I never want comedies", user="bob", session="s")
        subject.forget("ann")
        assert agent.preferences.list("ann") == []
        assert agent.history(user="ann", session_id="s") == []
        assert len(agent.preferences.list("bob")) == 1
        assert len(agent.history(user="bob", session_id="s")) == 1


class TestBareServer:
    def test_history_and_instruction_are_sent_and_titles_linked(self) -> None:
        text = "Sure!\n1. Heat (1995) - cops and robbers\n2. No Such Film (1999): made up\n3. Seven (1995)"
        with _bare([text, "Do you like “Heat”?"]) as (url, seen):
            subject = HttpSubject(url, _Uncloseable(), sleep=_no_sleep)
            first = subject.say("crime please", user="ann", session="s")
            second = subject.say("more", user="ann", session="s")
            subject.say("hello", user="bob", session="s")
            subject.close()
        assert first.items == (HEAT, SEVEN)
        assert first.titles == ("Heat (1995)", "Seven (1995)", "No Such Film (1999)")
        assert (first.source, first.question, second.question) == ("text", False, True)
        assert first.llm == {"calls": 1, "prompt_tokens": 11, "generated_tokens": 7}
        bodies = [body for path, body in seen if path.endswith("completions")]
        assert [m["role"] for m in bodies[1]["messages"]] == ["system", "user", "assistant", "user"]
        assert [m["content"] for m in bodies[2]["messages"][1:]] == ["hello"]  # nothing of ann's
        assert "user" not in bodies[0]
        assert "metadata" not in bodies[0]

    def test_forgetting_ends_the_conversation_here(self) -> None:
        with _bare(["Hi."]) as (url, seen):
            subject = HttpSubject(url, _Uncloseable(), instruction="", sleep=_no_sleep)
            subject.say("one", user="ann", session="s")
            subject.forget("ann")
            subject.say("two", user="ann", session="s")
            subject.close()
        assert [m["content"] for m in seen[-1][1]["messages"]] == ["two"]

    def test_what_was_refused_or_broke_is_asked_again(self) -> None:
        waits: list[float] = []
        with _bare([(503, "busy"), (429, "slow down"), (500, "oops"), "Fine."], retry_after="2") as (url, _):
            subject = HttpSubject(url, _Uncloseable(), sleep=waits.append)
            assert subject.say("hi", user="ann", session="s").text == "Fine."
            subject.close()
        assert waits == [2.0, 2.0, 2.0]

    def test_it_gives_up_with_what_the_server_said(self) -> None:
        with _bare([(503, "busy")]) as (url, seen):
            subject = HttpSubject(url, _Uncloseable(), retries=1, sleep=_no_sleep)
            with pytest.raises(LLMUnavailable, match="503: busy; tried 2 times"):
                subject.say("hi", user="ann", session="s")
            subject.close()
        assert len([path for path, _ in seen if path.endswith("completions")]) == 2

    @pytest.mark.parametrize(
        ("answer", "error", "words"),
        [
            ((400, "bad field"), LLMError, "400: bad field"),
            ((401, "who are you"), LLMUnavailable, KEY_ENV),
            ((404, "no"), LLMUnavailable, "end in /v1"),
            ("", LLMBadOutput, "without text"),
            (None, LLMBadOutput, "JSON"),
        ],
    )
    def test_a_clear_error_at_once(self, answer: Any, error: type[Exception], words: str) -> None:
        with _bare([answer]) as (url, seen):
            subject = HttpSubject(url, _Uncloseable(), sleep=_no_sleep)
            with pytest.raises(error, match=words):
                subject.say("hi", user="ann", session="s")
            subject.close()
        assert len([path for path, _ in seen if path.endswith("completions")]) == 1

    def test_a_server_that_hangs_is_given_up(self) -> None:
        hang = threading.Event()
        with _bare([hang]) as (url, _):
            subject = HttpSubject(url, _Uncloseable(), timeout_s=0.2, retries=1, sleep=_no_sleep)
            with pytest.raises(LLMTimeout, match=r"within 0\.2 s"):
                subject.say("hi", user="ann", session="s")
            hang.set()
            subject.close()

    def test_the_key_of_the_environment_is_sent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(KEY_ENV, "s3cret")
        keys: list[str | None] = []
        with _bare(["Hi."], keys=keys) as (url, _):
            HttpSubject(url, _Uncloseable(), sleep=_no_sleep).close()
        assert keys == ["Bearer s3cret"]

    def test_a_model_it_does_not_serve(self) -> None:
        with _bare(["Hi."]) as (url, _), pytest.raises(RequestError, match="It serves: bare-7b"):
            HttpSubject(url, _Uncloseable(), model="other", sleep=_no_sleep)

    def test_nobody_there(self) -> None:
        with _bare([""]) as (url, _):
            pass
        with pytest.raises(LLMUnavailable, match="cannot be reached"):
            HttpSubject(url, _Uncloseable(), retries=0, sleep=_no_sleep)


class TestTitlesInText:
    @pytest.mark.parametrize(
        ("text", "labels"),
        [
            (
                "You should watch Alien Resurrection (1997) and Heat (1995).",
                ("Alien Resurrection (1997)", "Heat (1995)"),
            ),
            ("1. Heat (1994)", ("Heat (1995)",)),  # a year beside it
            ("1. Heat (1950)", ("Heat (1950)",)),  # another film, which the catalogue lacks
            ("- **The Matrix** - wow", ("The Matrix (1999)",)),
            ('Have you seen "Fargo"?', ("Fargo (1996)",)),
            ("I like heat and up.", ()),
            ("1. Heat (1995)\n2. Heat (1995)", ("Heat (1995)",)),
        ],
    )
    def test_known_answers(self, text: str, labels: tuple[str, ...]) -> None:
        assert linked_titles(text, demo_agent.demo_catalogue())[1] == labels


class Plugged:
    name = "plugged"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def say(self, text: str, *, user: str, session: str) -> Reply:
        return Reply(text)

    def forget(self, user: str) -> None: ...

    def close(self) -> None: ...


class TestPlugIns:
    def test_a_module_and_an_object(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        module = SimpleNamespace(ready=Plugged(Settings(home=tmp_path)), make=Plugged, number=7)
        monkeypatch.setitem(__import__("sys").modules, "someones_agent", module)
        settings = Settings(home=tmp_path)
        assert open_subject("someones_agent:ready", settings) is module.ready
        made = open_subject("someones_agent:make", settings)
        assert isinstance(made, Plugged)
        assert made.settings is settings
        with pytest.raises(RequestError, match="name, say, forget, close missing"):
            open_subject("someones_agent:number", settings)
        with pytest.raises(RequestError, match="cannot be imported"):
            open_subject("someones_agent:absent", settings)

    def test_an_entry_point(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        module = SimpleNamespace(make=Plugged)
        monkeypatch.setitem(__import__("sys").modules, "someones_agent", module)
        points = EntryPoints([EntryPoint("theirs", "someones_agent:make", subjects.GROUP)])
        monkeypatch.setattr(subjects.metadata, "entry_points", lambda group: points)
        assert open_subject("theirs", Settings(home=tmp_path)).name == "plugged"
        with pytest.raises(RequestError, match=r"module:object, theirs"):
            open_subject("nobody", Settings(home=tmp_path))

    def test_an_address_that_is_none(self, tmp_path: Path) -> None:
        with pytest.raises(RequestError, match="no address"):
            HttpSubject("http://", demo_agent.demo_catalogue())


# -- helpers -----------------------------------------------------------------------------------------------------------


def _no_sleep(_: float) -> None:
    return


class _Uncloseable(Catalogue):
    """The shared demo catalogue; a subject's close must not end it for the other tests."""

    def __init__(self) -> None:
        self.__dict__.update(demo_agent.demo_catalogue().__dict__)

    def close(self) -> None:
        return


@contextmanager
def _bare(
    answers: list[Any], *, retry_after: str | None = None, keys: list[str | None] | None = None
) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """An OpenAI-like server with no more than /models and /chat/completions. Answers in order, the last again and
    again: a text, (status, message), None for what is no JSON, an event to wait for."""
    seen: list[tuple[str, Any]] = []
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if keys is not None:
                keys.append(self.headers.get("Authorization"))
            seen.append((self.path, None))
            self._send(200, json.dumps({"object": "list", "data": [{"id": "bare-7b"}]}))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append((self.path, body))
            answer = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(answer, threading.Event):
                answer.wait(10)
                return
            if isinstance(answer, tuple):
                self._send(answer[0], json.dumps({"error": {"message": answer[1]}}))
            elif answer is None:
                self._send(200, "<html>")
            else:
                message = {"role": "assistant", "content": answer}
                usage = {"prompt_tokens": 11, "completion_tokens": 7}
                self._send(200, json.dumps({"choices": [{"message": message}], "usage": usage}))

        def _send(self, status: int, text: str) -> None:
            data = text.encode()
            self.send_response(status)
            if retry_after and status != 200:
                self.send_header("Retry-After", retry_after)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)
