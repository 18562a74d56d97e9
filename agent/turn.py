"""The turn loop: understand, recall, plan, act, rank, rerank, reply, remember. One agent serves all users."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from weakref import WeakValueDictionary

from convrec.agent.answering import Answerer
from convrec.agent.api import AgentInfo, Approval
from convrec.agent.approval import DROPPED, OUTDATED, Approver, Verdict
from convrec.agent.approval_state import as_running
from convrec.agent.asking import Asker
from convrec.agent.budget import Budget
from convrec.agent.critic import Critic
from convrec.agent.demonstrations import DemonstrationBank
from convrec.agent.drafting import Drafting
from convrec.agent.events import Event, Finished, Recalled
from convrec.agent.executor import Executor, Toolbox
from convrec.agent.llm.base import LLM
from convrec.agent.memory_erasing import ERASED, ConversationEraser
from convrec.agent.memory_extract import Extractor
from convrec.agent.memory_learning import LearningKeeper
from convrec.agent.memory_profile import ProfileKeeper
from convrec.agent.memory_statements import StatementKeeper
from convrec.agent.planner import LLMPlanner, plan_by_rules
from convrec.agent.planner_examples import Examples
from convrec.agent.planner_merge import Merger
from convrec.agent.remember import FEEDBACK, Listener, item_feedback, need_of
from convrec.agent.reply import reply_prefix
from convrec.agent.request import interpret
from convrec.agent.rerank_scores import RerankConfig
from convrec.agent.reranker import Reranker
from convrec.agent.session import Session, add_new, take_back
from convrec.agent.turn_state import Turn, result_of, spoken, timed, understood_of
from convrec.core.errors import LLMError, MemoryStoreError, RequestError, ToolFailed
from convrec.core.settings import TurnSettings
from convrec.core.text import clean
from convrec.memory.preferences import PreferenceMemory
from convrec.memory.reading import Recollection
from convrec.memory.session_states import Sessions
from convrec.memory.situations import said_facets
from convrec.memory.store import checked_id, checked_user
from convrec.tools.catalogue import Catalogue
from convrec.tools.references import Focus
from convrec.tools.understand import Understander

logger = logging.getLogger(__name__)
WAIT_S = 120.0
"""Longest wait for the turn before in the same conversation, seconds."""


@dataclass(slots=True)
class Agent:
    """Implements :class:`convrec.agent.api.ConversationalAgent`. Holds no state of any user: that is in the stores."""

    info: AgentInfo
    catalogue: Catalogue
    preferences: PreferenceMemory
    sessions: Sessions
    toolbox: Toolbox
    settings: TurnSettings
    llm: LLM | None = None
    llm_remembers: bool = False
    """Whether the model reads, after the turn, what the rules left unread of a user's tastes."""
    understander: Understander = field(init=False)
    listener: Listener = field(init=False)
    keeper: StatementKeeper = field(init=False)
    profiles: ProfileKeeper = field(init=False)
    learning: LearningKeeper | None = field(init=False, default=None)
    answerer: Answerer = field(init=False)
    approver: Approver = field(init=False)
    drafting: Drafting = field(init=False)
    planner: LLMPlanner = field(init=False)
    merger: Merger = field(init=False)
    examples: Examples = field(init=False)
    observer: Callable[[Turn], None] | None = None
    """Called with every finished turn, in the thread that ran it: for evaluation. None in service."""
    _locks: WeakValueDictionary[tuple[str, str], threading.Lock] = field(
        init=False, default_factory=WeakValueDictionary
    )
    """One lock per session with a turn under way; gone when nobody holds it."""
    _guard: threading.Lock = field(init=False, default_factory=threading.Lock)
    _loading: threading.Lock = field(init=False, default_factory=threading.Lock)
    _loaded: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.understander = Understander(self.catalogue)
        self.listener = Listener(self.catalogue, self.understander.reader)
        self.preferences.reread = self.listener.reread
        self.preferences.on_erase(ConversationEraser(self.sessions, self._one_at_a_time))
        self.keeper = StatementKeeper(self.catalogue, self.preferences, self.listener)
        self.profiles = ProfileKeeper(self.preferences)
        if self.llm is not None and self.llm_remembers:
            self.learning = LearningKeeper(self.preferences, Extractor(self.llm, self.listener))
        self.planner = LLMPlanner(self.catalogue)
        self.merger = Merger(self.catalogue, self.understander.reader.reserved_words())
        self.examples = Examples(DemonstrationBank(self.toolbox.search.embedder), self.sessions)
        self.answerer = Answerer(
            self.catalogue,
            self.preferences,
            self.toolbox,
            self.settings,
            self.llm,
            self.understander.reader.newest,
            Executor(self.catalogue, self.toolbox),
            Reranker(self.catalogue, RerankConfig(strategy=self.settings.rerank_strategy)),
            Critic(self.catalogue),
            Asker(self.catalogue, self.settings.questions),
        )
        self.approver = Approver(self.catalogue, self.settings)
        self.drafting = Drafting(
            self.catalogue,
            self.settings,
            self.llm,
            self.planner,
            self.merger,
            self.examples,
            self.answerer.critic,
            self._load_llm,
        )

    # -- the turn -----------------------------------------------------------------------------------------------------

    def turn(self, text: str, *, user: str, session_id: str, approval: Approval | None = None) -> Iterator[Event]:
        message = self._checked(text)
        return self._turn(message, checked_user(user), checked_id(session_id, "session_id"), approval)

    def _turn(self, text: str, user: str, session_id: str, approval: Approval | None) -> Iterator[Event]:
        with self._one_at_a_time(user, session_id):
            yield from self._locked_turn(text, user, session_id, approval)

    def _locked_turn(self, text: str, user: str, session_id: str, approval: Approval | None) -> Iterator[Event]:
        started = time.perf_counter()
        session = self._load(user, session_id)
        verdict = self.approver.verdict(session, text, approval)
        if verdict is None:
            session.turn_count += 1
            turn = yield from self._planned(text, session, started)
            yield from self._respond(turn, self.approver.asks(approval))
        else:
            turn = self.approver.settled(session, text, verdict)
            # Saved before a tool runs: whatever happens from here on, the plan is not carried out a second time.
            self.sessions.save(user, session_id, session.to_json())
            session.turn_count += 1
            yield from self._settle(turn, verdict)
        session.situation = list(said_facets(text, session.situation))
        self.examples.learn(turn)
        session.turns.append((ERASED, ERASED) if turn.erased else (text, turn.text))
        self.sessions.save(user, session_id, session.to_json())
        # The list stands and the turn is saved before the model is asked for more words: a slow model keeps nobody
        # waiting for them, and who stops here has lost nothing.
        yield from self.answerer.remark(turn)
        if not turn.erased and turn.text != session.turns[-1][1]:
            session.turns[-1] = (text, turn.text)
            self.sessions.save(user, session_id, session.to_json())
        if turn.recalled is not None:
            self.profiles.after(user, turn.recalled)
        if self.learning is not None and not turn.erased:
            for reading, number in turn.heard:
                self.learning.after(reading, user, session_id, number)
        turn.timings["total"] = time.perf_counter() - started
        if self.observer is not None:
            self.observer(turn)
        yield Finished(result_of(turn, self.info))

    def _planned(self, text: str, session: Session, started: float) -> Generator[Event, None, Turn]:
        """Understand, recall, plan: nothing here calls a tool or writes to memory."""
        running = as_running(session)
        focus = running.focus(self.catalogue)
        reading = self.understander.read(text, focus)
        reading = self.answerer.asker.answered(reading, session, lambda said: self.understander.read(said, focus))
        reading = self.approver.as_change(reading, session)
        understood = time.perf_counter()
        yield understood_of(reading, self.catalogue)
        if reading.rejects:
            add_new(session.rejected, session.slate)

        unread: MemoryStoreError | None = None
        try:
            recalled = self.preferences.recall(session.user, need_of(reading, running, self.preferences.clock()))
            if reading.act in ("forget", "profile"):  # about what is remembered: all of it, in full
                recalled = replace(recalled, known=tuple(self.preferences.list(session.user)))
        except MemoryStoreError as error:
            recalled, unread = Recollection(), error
        request = interpret(reading, running, self.catalogue, recalled)
        yield Recalled(tuple(request.applied), tuple(request.left_out), tuple(request.reasons))
        looked_up = time.perf_counter()

        plan = plan_by_rules(reading, request, self.catalogue, rerank=self.drafting.reranks)
        turn = Turn(
            reading, session, request, list(recalled.known), plan, Budget(self.settings.llm_budget_s), started=started
        )
        turn.timings |= {"understand": understood - started, "recall": looked_up - understood}
        turn.timings["first_event"] = understood - started
        if unread is not None:
            yield turn.fall_back("memory", unread, "answered without what is remembered")
        else:
            turn.recalled, turn.heard = recalled, ((reading, session.turn_count),)
        yield from self.drafting.plan(turn, running, recalled)
        return turn

    def _respond(self, turn: Turn, asks: bool) -> Iterator[Event]:
        """Answer, or show the plan first when it would run a tool and that ``asks`` for approval."""
        acts = self.answerer.runs_tools(turn)
        if asks and acts:
            if turn.plan.action == "recommend":  # what was stated is true whatever becomes of the plan
                with timed(turn, "remember"):
                    yield from self.keeper.keep(turn)
            with timed(turn, "answer"):
                yield from self.approver.propose(turn)
            return
        if acts:
            turn.session.pending = {}  # another request takes the place of the plan that waits
        with timed(turn, "answer"):
            yield from self.answerer.answer(turn)
        with timed(turn, "remember"):
            yield from self.keeper.keep(turn)
        yield from self.approver.still_open(turn)

    def _settle(self, turn: Turn, verdict: Verdict) -> Iterator[Event]:
        """Carry out the plan that was approved, as it was shown; or say that it is gone."""
        turn.timings["first_event"] = time.perf_counter() - turn.started
        if turn.plan.action == "chat":
            yield spoken(turn, DROPPED if verdict == "no" else OUTDATED)
            return
        yield self.approver.carried_out(turn)
        with timed(turn, "answer"):
            yield from self.answerer.answer(turn)
        if turn.plan.action == "recommend":
            self.keeper.without_standing(turn)
        else:
            yield from self.keeper.keep(turn)

    # -- the rest of the interface ------------------------------------------------------------------------------------

    def reset(self, *, user: str, session_id: str) -> None:
        with self._one_at_a_time(user, session_id):  # a turn under way must not bring the conversation back
            self.sessions.delete(user, session_id)

    def history(self, *, user: str, session_id: str) -> list[tuple[str, str]]:
        return self._load(user, session_id).turns

    def feedback(self, *, user: str, session_id: str, item_id: str, kind: str) -> str:
        row = self.catalogue.row_of(item_id)
        if row is None:
            raise RequestError("item_id", item_id, "This catalogue has no such item.")
        polarity = FEEDBACK.get(kind)
        if polarity is None:
            raise RequestError("kind", kind, f"Give one of: {', '.join(FEEDBACK)}.")
        item = self.catalogue.item(row)
        with self._one_at_a_time(user, session_id):
            session = self._load(user, session_id)
            take_back(session, item_id, polarity)
            add_new(getattr(session, kind), [item_id])
            if polarity == "disliked":
                add_new(session.rejected, [item_id])
            self.sessions.save(user, session_id, session.to_json())
        said = f"({kind}, by button)"
        new = item_feedback(self.catalogue.name, item, polarity, said, session_id, session.turn_count)
        return self.preferences.add(user, new).text

    def warm(self) -> None:
        """Load what the first turn needs: the embedder, content matrices, surnames, the LLM and its fixed prompt."""
        self.toolbox.similar.content.similar([0])
        self.answerer.asker.splitter.facets()
        if self.toolbox.rank.pack is not None:
            self.toolbox.rank.pack.covered()
        if self.toolbox.rank.model is not None:
            try:
                self.toolbox.rank.model.warm()
            except ToolFailed as error:  # each turn says that it ranks without it
                logger.warning("the ranking model could not be warmed: %s", error)
        self.understander.linker.people.by_surname()
        self.understander.read("something like “warm”", Focus())
        if self.toolbox.search.embedder is not None:
            self.toolbox.search.embedder.embed(["warm"])
        try:
            self.preferences.warm()
        except MemoryStoreError as error:
            logger.warning("what embeds preferences could not be warmed: %s", error)
        self._load_llm()

    def _load_llm(self) -> None:
        """Load the model and evaluate the fixed prompts, once; whoever comes meanwhile waits."""
        with self._loading:
            if self.llm is None or self._loaded:
                return
            self._loaded = True  # tried: a failure shows in the turn's own call
            try:
                if self.settings.llm_reply:
                    self.llm.warm(reply_prefix(self.catalogue.schema))
                self.llm.warm(self.planner.prefix())
                self.examples.bank.warm()
            except LLMError as error:
                logger.warning("the model could not be warmed: %s", error)

    def close(self) -> None:
        if self.learning is not None:
            self.learning.close()
        for part in (self.profiles, self.sessions, self.preferences, self.catalogue):
            part.close()
        if self.llm is not None:
            self.llm.close()

    def _load(self, user: str, session_id: str) -> Session:
        data = self.sessions.load(user, session_id)
        return Session.from_json(user, session_id, data) if data else Session(user, session_id)

    @contextmanager
    def _one_at_a_time(self, user: str, session_id: str) -> Iterator[None]:
        """One turn at a time per session; sessions do not wait for each other.

        Raises:
            RequestError: the turn before is still running after :data:`WAIT_S`.
        """
        with self._guard:
            lock = self._locks.setdefault((user, session_id), threading.Lock())
        if not lock.acquire(timeout=WAIT_S):
            raise RequestError("session_id", session_id, "A turn of this conversation is still running; stop it first.")
        try:
            with self.sessions.exclusive(user, session_id, WAIT_S):  # other processes may serve this conversation too
                yield
        finally:
            lock.release()

    def _checked(self, text: str) -> str:
        limit = self.settings.max_message_chars
        if not isinstance(text, str) or not text.strip():
            raise RequestError("message", text, "Say what you are after; it must not be empty.")
        if len(text) > limit:
            raise RequestError("message", f"{len(text)} characters", f"At most {limit} characters are read.")
        return clean(text, limit)
