"""Whole agents under test behind one small interface: ours in this process, any OpenAI-compatible endpoint, a plug-in.

A subject is one conversational agent as an evaluation sees it: text in, text and items out. Simulated users, scenarios
and suites speak to a :class:`Subject` only, so someone else's agent is measured as ours is.

A package brings its own under the entry point group ``convrec.subjects``: a name and a function that takes the
settings (:class:`convrec.core.settings.Settings`) and returns a subject. ``module:object`` names one without a package.
"""

from __future__ import annotations

import importlib
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import Any, Literal, Protocol, TypeAlias, cast

from convrec.agent.api import ConversationalAgent
from convrec.agent.build import open_agent, open_catalogue, open_embedder
from convrec.agent.events import Finished, TurnResult
from convrec.core.errors import ConvrecError, RequestError
from convrec.core.settings import Settings, Tier
from convrec.memory.sessions import SessionStore
from convrec.tools.item_index import build_index

GROUP = "convrec.subjects"
"""Entry point group of subjects."""

ToolUse: TypeAlias = tuple[str, int, int]
"""(tool, candidates before, candidates after)."""
Source: TypeAlias = Literal["agent", "extension", "text"]
"""Where a reply's items come from: the agent's own result, the ``convrec`` field of an HTTP answer, or titles that
were found in the text and linked to the catalogue."""

_LISTED = re.compile(r"^\s*(?:\d+[.)]|[-*•])\s.*$", re.MULTILINE)
_QUOTED = re.compile(r"[“\"][^”\"\n]*[”\"]")


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of an agent."""

    text: str
    items: tuple[str, ...] = ()
    """Ids of the catalogue, best first, without repeats."""
    titles: tuple[str, ...] = ()
    """What is recommended, as shown: "Heat (1995)". One per item, then titles that could not be linked, if any."""
    question: bool = False
    """The agent asked something, instead of or beside recommending."""
    relaxed: tuple[str, ...] = ()
    """Conditions it says it let go of."""
    applied: tuple[str, ...] = ()
    """Remembered preferences it says it used."""
    fallbacks: tuple[str, ...] = ()
    """Parts that failed and what took over: "reply: why; instead"."""
    tools: tuple[ToolUse, ...] = ()
    seconds: float = 0.0
    """From the question sent to the whole answer there."""
    llm: dict[str, int] = field(default_factory=dict)
    """calls, prompt_tokens, generated_tokens; {} when not told."""
    source: Source = "agent"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Subject(Protocol):
    """One agent under test. Safe to call from several threads at once; a user's data is that user's alone."""

    @property
    def name(self) -> str:
        """Shown in reports."""
        ...

    def say(self, text: str, *, user: str, session: str) -> Reply:
        """One turn of the conversation ``session`` of ``user``.

        Raises:
            ConvrecError: no answer; the message says why. The conversation may go on with another turn.
        """
        ...

    def forget(self, user: str) -> None:
        """Erase what is remembered about the user, and the user's conversations with this object."""
        ...

    def close(self) -> None: ...


def asks(text: str, titles: Sequence[str] = ()) -> bool:
    """Whether a reply asks the user something: a question mark outside the listed lines, quotes and ``titles``."""
    prose = _QUOTED.sub(" ", _LISTED.sub(" ", text))
    for title in titles:
        prose = prose.replace(title, " ")
    return "?" in prose


class LocalSubject:
    """An agent in this process."""

    def __init__(self, agent: ConversationalAgent, *, name: str = "", close_agent: bool = True) -> None:
        self.agent = agent
        self.name = name or f"convrec, tier {agent.info.tier} ({agent.info.model})"
        self._close_agent = close_agent
        self._sessions: defaultdict[str, set[str]] = defaultdict(set)
        self._lock = threading.Lock()

    def say(self, text: str, *, user: str, session: str) -> Reply:
        with self._lock:
            self._sessions[user].add(session)
        started = time.perf_counter()
        result: TurnResult | None = None
        for event in self.agent.turn(text, user=user, session_id=session, approval="off"):
            if isinstance(event, Finished):
                result = event.result
        seconds = time.perf_counter() - started
        if result is None:
            raise ConvrecError(f"{self.name} ended the turn without a result")
        return from_result(result, seconds)

    def forget(self, user: str) -> None:
        self.agent.preferences.forget_all(user)
        with self._lock:
            sessions = self._sessions.pop(user, set())
        for session in sorted(sessions):
            self.agent.reset(user=user, session_id=session)

    def close(self) -> None:
        if self._close_agent:
            self.agent.close()


def from_result(result: TurnResult, seconds: float) -> Reply:
    """A turn of an agent of ours as a reply."""
    titles = tuple(f"{item.title} ({item.year})" if item.year is not None else item.title for item in result.items)
    return Reply(
        text=result.text,
        items=tuple(item.id for item in result.items),
        titles=titles,
        question=result.question is not None or asks(result.text, [*titles, *(item.title for item in result.items)]),
        relaxed=result.relaxed,
        applied=result.applied_preferences,
        fallbacks=tuple(f"{f.stage}: {f.reason}; {f.instead}" for f in result.fallbacks),
        tools=tuple((t.tool, t.candidates_in, t.candidates_out) for t in result.tools),
        seconds=seconds,
        llm=dict(result.llm),
    )


def local_subject(settings: Settings, *, tier: Tier | None = None) -> LocalSubject:
    """Our agent as the settings say, but with preferences and conversations in memory only: a run starts from nothing
    and leaves nothing in the user's home folder.

    Raises:
        ConvrecError: what is missing (weights, catalogue, model server), with the command that brings it.
    """
    memory = settings.memory.model_copy(update={"store": "memory"})
    update: dict[str, Any] = {"memory": memory, "tier": tier or settings.tier}
    return LocalSubject(open_agent(settings.model_copy(update=update), sessions=SessionStore(":memory:")))


def demo_subject(settings: Settings) -> LocalSubject:
    """The tier "none" over the demo catalogue with the hashing embedder: no weights, no network, ready in seconds.

    For tests and for a first look; figures to be written down come from :func:`local_subject`.
    """
    memory = settings.memory.model_copy(update={"embedder": "hashing"})
    hashing = settings.model_copy(update={"memory": memory, "catalogue": "demo"})
    with closing(open_catalogue(hashing)) as catalogue:
        build_index(catalogue, open_embedder(hashing))
    return local_subject(hashing, tier="none")


def open_subject(spec: str, settings: Settings, *, tier: Tier | None = None) -> Subject:
    """The agent that ``--subject`` names.

    ``local``: ours, of the tier given. ``http://host/v1`` or ``https://…#model``: an OpenAI-compatible endpoint.
    ``module:object``: a subject, or a function that takes the settings and returns one. Anything else: the name of an
    entry point of the group ``convrec.subjects``.

    Raises:
        RequestError: no such subject, or it cannot be imported.
        ConvrecError: it cannot be opened.
    """
    if spec == "local":
        return local_subject(settings, tier=tier)
    if spec.startswith(("http://", "https://")):
        from convrec.eval.subject_http import HttpSubject  # noqa: PLC0415 - opens a client

        url, _, model = spec.partition("#")
        return HttpSubject(url, open_catalogue(settings), model=model or None)
    return _made(spec, _imported(spec) if ":" in spec else _entry_point(spec), settings)


def _imported(spec: str) -> Any:
    module, _, name = spec.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise RequestError("subject", spec, f"It cannot be imported ({error}); give module:object.") from error


def _entry_point(spec: str) -> Any:
    found = metadata.entry_points(group=GROUP)
    if spec not in found.names:
        others = "".join(f", {name}" for name in sorted(found.names))
        raise RequestError("subject", spec, f"Give one of: local, http://host:port/v1, module:object{others}.")
    try:
        return found[spec].load()
    except (ImportError, AttributeError) as error:
        raise RequestError("subject", spec, f"Its package cannot be imported ({error}).") from error


def _made(spec: str, found: Any, settings: Settings) -> Subject:
    subject = found
    if isinstance(found, type) or (callable(found) and not hasattr(found, "say")):
        subject = cast(Callable[[Settings], Any], found)(settings)
    missing = [name for name in ("name", "say", "forget", "close") if not hasattr(subject, name)]
    if missing:
        raise RequestError("subject", spec, f"It is no subject: {', '.join(missing)} missing (convrec.eval.subject).")
    return cast(Subject, subject)
