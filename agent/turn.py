"""The turn loop: understand, recall, plan, act, rank, rerank, reply, remember. One agent serves all users."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from weakref import WeakValueDictionary

from convrec.agent.answering import Answerer
from convrec.agent.api import AgentInfo
from convrec.agent.asking import Asker
from convrec.agent.budget import Budget
from convrec.agent.critic import Critic
from convrec.agent.demonstrations import DemonstrationBank
from convrec.agent.events import (
    Event,
    Finished,
    Planned,
    Recalled,
)
from convrec.agent.executor import Executor, Toolbox
from convrec.agent.llm.base import LLM
from convrec.agent.memory_erasing import ERASED, ConversationEraser
from convrec.agent.memory_extract import Extractor
from convrec.agent.memory_learning import LearningKeeper
from convrec.agent.memory_profile import ProfileKeeper
from convrec.agent.planner import LLMPlanner, plan_by_rules, read_whole, to_judge
from convrec.agent.planner_examples import Examples
from convrec.agent.planner_merge import Merger
from convrec.agent.remember import FEEDBACK, Listener, item_feedback, need_of
from convrec.agent.reply import reply_prefix
from convrec.agent.request import interpret
from convrec.agent.rerank_scores import RerankConfig
from convrec.agent.reranker import Reranker
from convrec.agent.session import Session, add_new, take_back
from convrec.agent.superseding import rivals
from convrec.agent.turn_state import Turn, result_of, timed, understood_of
from convrec.core.errors import LLMError, LLMTimeout, MemoryStoreError, RequestError, ToolFailed
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
    profiles: ProfileKeeper = field(init=False)
    learning: LearningKeeper | None = field(init=False, default=None)
    answerer: Answerer = field(init=False)
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

    # -- the turn -----------------------------------------------------------------------------------------------------

    def turn(self, text: str, *, user: str, session_id: str) -> Iterator[Event]:
        message = self._checked(text)
        return self._turn(message, checked_user(user), checked_id(session_id, "session_id"))

    def _turn(self, text: str, user: str, session_id: str) -> Iterator[Event]:
        with self._one_at_a_time(user, session_id):
            yield from self._locked_turn(text, user, session_id)

    def _locked_turn(self, text: str, user: str, session_id: str) -> Iterator[Event]:
        started = time.perf_counter()
        session = self._load(user, session_id)
        session.turn_count += 1
        focus = session.focus(self.catalogue)
        reading = self.understander.read(text, focus)
        reading = self.answerer.asker.answered(reading, session, lambda said: self.understander.read(said, focus))
        understood = time.perf_counter()
        yield understood_of(reading, self.catalogue)
        if reading.rejects:
            add_new(session.rejected, session.slate)

        unread: MemoryStoreError | None = None
        try:
            recalled = self.preferences.recall(user, need_of(reading, session, self.preferences.clock()))
            if reading.act in ("forget", "profile"):  # about what is remembered: all of it, in full
                recalled = replace(recalled, known=tuple(self.preferences.list(user)))
        except MemoryStoreError as error:
            recalled, unread = Recollection(), error
        request = interpret(reading, session, self.catalogue, recalled)
        yield Recalled(tuple(request.applied), tuple(request.left_out), tuple(request.reasons))
        looked_up = time.perf_counter()

        reranks = self.llm is not None and self.settings.rerank_top > 1
        plan = plan_by_rules(reading, request, self.catalogue, rerank=reranks)
        turn = Turn(
            reading, session, request, list(recalled.known), plan, Budget(self.settings.llm_budget_s), started=started
        )
        turn.timings |= {"understand": understood - started, "recall": looked_up - understood}
        turn.timings["first_event"] = understood - started
        if unread is not None:
            yield turn.fall_back("memory", unread, "answered without what is remembered")
        yield from self._plan(turn, reranks, recalled)
        with timed(turn, "answer"):
            yield from self.answerer.answer(turn)
        with timed(turn, "remember"):
            yield from self._remember(turn)
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
        if unread is None:
            self.profiles.after(user, recalled)
            if self.learning is not None and not turn.erased:
                self.learning.after(reading, user, session_id, session.turn_count)
        turn.timings["total"] = time.perf_counter() - started
        if self.observer is not None:
            self.observer(turn)
        yield Finished(result_of(turn, self.info))

    def _plan(self, turn: Turn, reranks: bool, recalled: Recollection) -> Iterator[Event]:
        """Rules plan what they are sure of; the rest is one LLM call, merged. The LLM never blocks the turn."""
        note = ""
        act = turn.reading.act
        if self.llm is not None and act in ("recommend", "other"):
            with timed(turn, "load"):
                self._load_llm()  # the first turn waits for the model to be there; that is no part of its budget
        whole = self.settings.drafts == "unsure" and read_whole(turn.reading)
        if self.llm is not None and (act == "other" or (act == "recommend" and not whole)):
            with turn.budget, timed(turn, "plan"):
                try:
                    turn.llm_calls += 1
                    session = turn.session
                    before = session.turns[-1][0] if session.turns and (session.slate or session.last) else ""
                    shown = self.examples.choose(session, turn.reading, self.settings.demonstrations)
                    draft, calls = self.planner.draft(
                        self.llm, turn.reading.text, turn.budget, before=before, examples=shown
                    )
                    turn.calls += calls
                    turn.llm_calls += len(calls) - 1
                    merged = self.merger.merge(turn.reading, draft)
                    turn.draft, turn.by_rules, turn.refused = draft, turn.reading, merged.refused
                    turn.reading = merged.reading
                    if merged.reading != turn.by_rules:
                        turn.request = interpret(merged.reading, session, self.catalogue, recalled)
                    judges = reranks and (to_judge(turn.request) or "rerank" in draft.tools)
                    turn.plan = plan_by_rules(turn.reading, turn.request, self.catalogue, rerank=judges)
                    turn.planner = "llm+rules"
                    yield from self._reflect(turn, reranks, recalled)
                except LLMError as error:
                    turn.budget.given_up = isinstance(error, LLMTimeout)
                    rest = "; rerank and remark are left out in this turn" if turn.budget.given_up else ""
                    yield turn.fall_back("planner", error, f"the rule planner took over{rest}")
        elif self.llm is not None:
            note = "read by rule; no LLM call needed"
            judges = reranks and to_judge(turn.request)
            turn.plan = plan_by_rules(turn.reading, turn.request, self.catalogue, rerank=judges)
        yield Planned(turn.plan.model_dump(mode="json"), turn.planner, note)

    def _reflect(self, turn: Turn, reranks: bool, recalled: Recollection) -> Iterator[Event]:
        """The critic on a merged plan. The one repair: the plan by rule alone."""
        if self.settings.reflection == "off" or turn.by_rules is None:
            return
        faults = self.answerer.critic.plan(turn.by_rules, turn.request, turn.plan)
        if not faults:
            return
        turn.reading = turn.by_rules
        turn.request = interpret(turn.by_rules, turn.session, self.catalogue, recalled)
        turn.plan = plan_by_rules(turn.reading, turn.request, self.catalogue, rerank=reranks)
        turn.planner = "rules"
        yield turn.fall_back("critic", "; ".join(fault.what for fault in faults), "took the plan by rule")

    # -- state --------------------------------------------------------------------------------------------------------

    def _remember(self, turn: Turn) -> Iterator[Event]:
        session, reading = turn.session, turn.reading
        ids = {polarity: [self.catalogue.item(r).id for r in reading.rows(polarity)] for polarity in FEEDBACK.values()}  # type: ignore[arg-type]
        for polarity, item_ids in ids.items():
            for item_id in item_ids:
                take_back(session, item_id, polarity)
        add_new(session.liked, ids["liked"])
        add_new(session.disliked, ids["disliked"])
        add_new(session.seen, ids["seen"])
        add_new(session.named, [self.catalogue.item(m.row).id for m in reading.mentions if m.how != "reference"])
        if reading.mentions and not turn.items and turn.plan.action == "feedback":
            session.last = self.catalogue.item(reading.mentions[-1].row).id
        try:
            at = self.preferences.clock()
            for new in self.listener.statements(reading, session.session_id, session.turn_count, at):
                kept = self.preferences.add(session.user, new, supersedes=rivals(new, turn.remembered))
                turn.learned.append(kept.text)
            # Remembered for good, so that forgetting it there ends it here too.
            session.conditions = [c for c in session.conditions if not c.standing]
        except MemoryStoreError as error:
            yield turn.fall_back("memory", error, "did not remember it")

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
        if self.toolbox.rank.model is not None:
            try:
                self.toolbox.rank.model.warm()
            except ToolFailed as error:  # each turn says that it ranks without it
                logger.warning("the ranking model could not be warmed: %s", error)
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
