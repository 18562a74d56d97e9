"""An agent that answers by script, for the tests of the surfaces: real events, no model, no catalogue file."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from convrec.agent.api import AgentInfo
from convrec.agent.events import (
    Event,
    Fallback,
    Finished,
    Planned,
    Recalled,
    RecommendedItem,
    Token,
    ToolRan,
    TurnResult,
    Understood,
)
from convrec.agent.session import Session
from convrec.core.embedding import HashingEmbedder
from convrec.core.errors import LLMTimeout, RequestError
from convrec.core.items import Item
from convrec.memory.preferences import PreferenceMemory
from convrec.memory.records import NewPreference
from convrec.memory.sessions import SessionStore
from convrec.memory.store import InMemoryStore
from convrec.tools.schema import FILM_SCHEMA

EVIL = "<img src=x onerror=alert(1)>"

FILMS = (
    Item(
        id="Q42198",
        title="Heat",
        row=0,
        fields={
            "year": 1995,
            "runtime": 170,
            "genres": ("crime film", "thriller"),
            "directors": ("Michael Mann",),
            "critics_score": 83,
            "keywords": (),
        },
    ),
    Item(
        id="a/b",
        title="Memories of Murder",
        row=1,
        fields={
            "year": 2003,
            "runtime": 132,
            "genres": ("crime film", "drama"),
            "directors": ("Bong Joon-ho",),
            "critics_score": 95,
        },
    ),
    Item(id="evil", title=EVIL, row=2, fields={"year": None, "genres": (EVIL, "[x](javascript:alert(1))")}),
)


class ScriptedCatalogue:
    schema = FILM_SCHEMA

    def row_of(self, item_id: str) -> int | None:
        return next((film.row for film in FILMS if film.id == item_id), None)

    def rows_of(self, item_ids: list[str]) -> list[int | None]:
        return [self.row_of(item_id) for item_id in item_ids]

    def item(self, row: int) -> Item:
        return FILMS[row]


class ScriptedAgent:
    """Says back what it was told and by whom. "I love X" is remembered; "slow", "boom", "bug", "evil" do as named."""

    info = AgentInfo(tier="none", model="rules", catalogue="demo", items=17472, item_noun_plural="films", note="test")

    def __init__(self) -> None:
        self.catalogue = ScriptedCatalogue()
        self.preferences = PreferenceMemory(InMemoryStore(), HashingEmbedder())
        self.sessions = SessionStore(":memory:")
        self.closed = threading.Event()
        """A turn was ended by its surface before it was over."""
        self.at_once = 0
        self.most_at_once = 0
        self._lock = threading.Lock()

    def turn(self, text: str, *, user: str, session_id: str, approval: str | None = None) -> Iterator[Event]:
        if not text.strip() or len(text) > 4000:
            raise RequestError("text", text, "say something, in at most 4000 characters")
        if text == "early":
            raise LLMTimeout("the model did not answer in 60 s")
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            yield from self._events(text, user, session_id)
        except GeneratorExit:
            self.closed.set()
            raise
        finally:
            with self._lock:
                self.at_once -= 1

    def _events(self, text: str, user: str, session_id: str) -> Iterator[Event]:
        turns = self.history(user=user, session_id=session_id)
        plan = {"action": "recommend", "steps": [{"tool": "filter"}, {"tool": "rank"}]}
        yield Understood(links=("Heat (1995)",), conditions=("under 120 minutes",), notes=("no film called 'Xyz'",))
        yield Recalled(applied=tuple(p.text for p in self.preferences.list(user)))
        yield Planned(plan=plan, planner="rules")
        tool = ToolRan("filter", "kept thrillers", 17472, 212, 0.012)
        yield tool
        fallback = Fallback("reply", "no language model", "a template")
        yield fallback
        if "bug" in text:
            raise ZeroDivisionError("secret detail")
        known = ", ".join(p.text for p in self.preferences.list(user)) or "nothing"
        reply = f"Turn {len(turns) + 1} of {user}: you said {text!r}. I know {known}."
        for number, word in enumerate(reply.split(" ")):
            if "boom" in text and number == 3:
                raise LLMTimeout("the model did not answer in 60 s")
            if "slow" in text:
                time.sleep(0.15)
            yield Token(word if number == 0 else " " + word)
        remembered: tuple[str, ...] = ()
        if text.startswith("I love "):
            what = text.removeprefix("I love ")[:100]
            new = NewPreference(kind="note", polarity="liked", subject=f"note:{what}", text=f"likes {what}", said=text)
            remembered = (self.preferences.add(user, new).text,)
        films = (FILMS[2], FILMS[0]) if "evil" in text else FILMS[:2]
        items = tuple(
            RecommendedItem(
                id=film.id,
                title=film.title,
                year=film.year,
                reason=f"Because you said {text}"[:120],
                score=0.9 - rank / 10,
                fields={k: list(v) if isinstance(v, tuple) else v for k, v in film.fields.items() if v},
                evidence=("genre: thriller",),
            )
            for rank, film in enumerate(films)
        )
        turns.append((text, reply))
        self.sessions.save(user, session_id, Session(user, session_id, turns, len(turns)).to_json())
        yield Finished(
            TurnResult(
                session_id=session_id,
                turn=len(turns),
                text=reply,
                items=items,
                plan=plan,
                planner="rules",
                tier="none",
                model="rules",
                conditions=("under 120 minutes",),
                relaxed=("year",),
                applied_preferences=tuple(p.text for p in self.preferences.list(user)),
                remembered=remembered,
                fallbacks=(fallback,),
                tools=(tool,),
                timings={"total": 0.5, "first_event": 0.01},
                llm={"calls": 1, "prompt_tokens": 12, "generated_tokens": 7},
            )
        )

    def reset(self, *, user: str, session_id: str) -> None:
        self.sessions.delete(user, session_id)

    def history(self, *, user: str, session_id: str) -> list[tuple[str, str]]:
        state = self.sessions.load(user, session_id)
        return Session.from_json(user, session_id, state).turns if state else []

    def feedback(self, *, user: str, session_id: str, item_id: str, kind: str) -> str:
        row = self.catalogue.row_of(item_id)
        if row is None or kind not in ("liked", "disliked", "seen"):
            raise RequestError("item_id", item_id, "no such item")
        text = f"{kind} {FILMS[row].label}"
        self.preferences.add(
            user, NewPreference(kind="item", polarity=kind, subject=f"item:{item_id}", text=text, said="")
        )
        return text

    def warm(self) -> None:
        pass

    def close(self) -> None:
        pass


class RunningServer(SimpleNamespace):
    """A uvicorn server on a thread of its own and a free loopback port."""

    url: str
    agent: ScriptedAgent


def serve_on_thread(app: Any, agent: ScriptedAgent) -> Iterator[RunningServer]:
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    assert server.started, "the server did not start in 30 s"
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield RunningServer(url=f"http://127.0.0.1:{port}", agent=agent)
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join(timeout=10)
    assert not thread.is_alive(), "the server did not stop in 10 s"
