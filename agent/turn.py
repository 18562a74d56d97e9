"""The turn loop: understand, recall, plan, act, rank, rerank, reply, remember. One agent serves all users."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from convrec.agent import answers, reply
from convrec.agent.api import AgentInfo
from convrec.agent.budget import Budget
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
from convrec.agent.executor import Executor, Toolbox, head
from convrec.agent.llm.base import LLM, Completion
from convrec.agent.plan import Plan
from convrec.agent.planner import LLMPlanner, Merger, plan_by_rules
from convrec.agent.prompting import render, tagged
from convrec.agent.reasons import facts, reason
from convrec.agent.remember import item_feedback, statements
from convrec.agent.request import Request, interpret
from convrec.agent.reranker import Reranker
from convrec.agent.session import Session, add_new, rows_of, take_back
from convrec.agent.verifier import Verifier, violations
from convrec.core.errors import LLMError, LLMTimeout, MemoryStoreError, RequestError
from convrec.core.items import Item
from convrec.core.settings import TurnSettings
from convrec.core.text import clean
from convrec.memory.preferences import PreferenceMemory
from convrec.memory.records import Polarity, Preference
from convrec.memory.sessions import SessionStore
from convrec.memory.store import checked_id, checked_user
from convrec.tools.candidates import Candidates
from convrec.tools.catalogue import Catalogue
from convrec.tools.references import Focus
from convrec.tools.understand import Understander, Understanding

logger = logging.getLogger(__name__)
CHAT_TOKENS = 60
FEEDBACK: dict[str, Polarity] = {"liked": "liked", "disliked": "disliked", "seen": "seen"}
WAIT_S = 120.0
"""Longest wait for the turn before in the same conversation, seconds."""


@dataclass(slots=True)
class _Turn:
    """What one turn collects on its way; lives no longer than the turn."""

    reading: Understanding
    session: Session
    request: Request
    remembered: list[Preference]
    plan: Plan
    budget: Budget
    planner: str = "rules"
    text: str = ""
    items: list[RecommendedItem] = field(default_factory=list)
    relaxed: list[str] = field(default_factory=list)
    fallbacks: list[Fallback] = field(default_factory=list)
    tools: list[ToolRan] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    calls: list[Completion] = field(default_factory=list)
    llm_calls: int = 0
    learned: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)

    def fall_back(self, stage: str, why: object, instead: str) -> Fallback:
        event = Fallback(stage, clean(str(why), 300), instead)
        logger.warning("%s failed, %s: %s", stage, instead, event.reason)
        self.fallbacks.append(event)
        return event


@dataclass(slots=True)
class Agent:
    """Implements :class:`convrec.agent.api.ConversationalAgent`. Holds no state of any user: that is in the stores."""

    info: AgentInfo
    catalogue: Catalogue
    preferences: PreferenceMemory
    sessions: SessionStore
    toolbox: Toolbox
    settings: TurnSettings
    llm: LLM | None = None
    understander: Understander = field(init=False)
    executor: Executor = field(init=False)
    planner: LLMPlanner = field(init=False)
    merger: Merger = field(init=False)
    reranker: Reranker = field(init=False)
    _locks: WeakValueDictionary[tuple[str, str], threading.Lock] = field(
        init=False, default_factory=WeakValueDictionary
    )
    """One lock per session with a turn under way; gone when nobody holds it."""
    _guard: threading.Lock = field(init=False, default_factory=threading.Lock)
    _loading: threading.Lock = field(init=False, default_factory=threading.Lock)
    _loaded: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.understander = Understander(self.catalogue)
        self.executor = Executor(self.catalogue, self.toolbox)
        self.planner = LLMPlanner(self.catalogue)
        self.merger = Merger(self.catalogue)
        self.reranker = Reranker(self.catalogue)

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
        reading = self.understander.read(text, session.focus(self.catalogue))
        understood = time.perf_counter()
        yield self._understood(reading)

        early: list[Fallback] = []
        try:
            remembered = self.preferences.list(user)
        except MemoryStoreError as error:
            remembered = []
            early.append(Fallback("memory", clean(str(error), 300), "answered without what is remembered"))
        request = interpret(reading, session, self.catalogue, remembered)
        yield Recalled(tuple(request.applied), tuple(request.left_out))
        recalled = time.perf_counter()

        reranks = self.llm is not None and self.settings.rerank_top > 1
        plan = plan_by_rules(reading, request, self.catalogue, rerank=reranks)
        turn = _Turn(reading, session, request, remembered, plan, Budget(self.settings.llm_budget_s), started=started)
        turn.timings |= {"understand": understood - started, "recall": recalled - understood}
        turn.timings["first_event"] = understood - started
        for event in early:
            turn.fallbacks.append(event)
            yield event
        yield from self._plan(turn, reranks)
        with _timed(turn, "answer"):
            yield from self._answer(turn)
        with _timed(turn, "remember"):
            yield from self._remember(turn)
        session.turns.append((text, turn.text))
        self.sessions.save(user, session_id, session.to_json())
        # The list stands and the turn is saved before the model is asked for more words: a slow model keeps nobody
        # waiting for them, and who stops here has lost nothing.
        yield from self._remark(turn)
        if turn.text != session.turns[-1][1]:
            session.turns[-1] = (text, turn.text)
            self.sessions.save(user, session_id, session.to_json())
        turn.timings["total"] = time.perf_counter() - started
        yield Finished(self._result(turn))

    def _understood(self, reading: Understanding) -> Understood:
        links = [self.catalogue.item(m.row).label for m in reading.mentions] + [p.name for p in reading.people]
        notes = [f"not in the catalogue: {u.said}" for u in reading.unknown]
        return Understood(tuple(dict.fromkeys(links)), tuple(c.label for c in reading.conditions), tuple(notes))

    def _plan(self, turn: _Turn, reranks: bool) -> Iterator[Event]:
        """Rules plan what they are sure of; the rest is one LLM call, merged. The LLM never blocks the turn."""
        note = ""
        if self.llm is not None and turn.reading.act in ("recommend", "other"):
            with _timed(turn, "load"):
                self._load_llm()  # the first turn waits for the model to be there; that is no part of its budget
            with turn.budget, _timed(turn, "plan"):
                try:
                    turn.llm_calls += 1
                    draft, calls = self.planner.draft(self.llm, turn.reading.text, turn.budget)
                    turn.calls += calls
                    turn.llm_calls += len(calls) - 1
                    turn.request, turn.plan = self.merger.merge(
                        turn.reading, turn.request, turn.plan, draft, rerank=reranks
                    )
                    turn.planner = "llm+rules"
                except LLMError as error:
                    turn.budget.given_up = isinstance(error, LLMTimeout)
                    rest = "; rerank and remark are left out in this turn" if turn.budget.given_up else ""
                    yield turn.fall_back("planner", error, f"the rule planner took over{rest}")
        elif self.llm is not None:
            note = "read by rule; no LLM call needed"
        yield Planned(turn.plan.model_dump(mode="json"), turn.planner, note)

    # -- answers ------------------------------------------------------------------------------------------------------

    def _answer(self, turn: _Turn) -> Iterator[Event]:
        match turn.plan.action:
            case "lookup":
                yield from self._look_up(turn)
            case "recommend":
                yield from self._recommend(turn)
            case "feedback":
                yield from self._say(turn, self._feedback_text(turn))
            case "profile":
                yield from self._say(turn, answers.profile(turn.remembered))
            case "forget":
                yield from self._forget(turn)
            case "why":
                yield from self._why(turn)
            case "chat":
                yield from self._chat(turn)

    def _say(self, turn: _Turn, text: str) -> Iterator[Event]:
        if text:
            piece = text if not turn.text else f"{'' if turn.text.endswith(chr(10)) else ' '}{text}"
            turn.text += piece
            yield Token(piece)

    def _look_up(self, turn: _Turn) -> Iterator[Event]:
        started = time.perf_counter()
        reading, session = turn.reading, turn.session
        rows = reading.rows("asked", "named", "liked", "disliked", "seen")
        items = self.toolbox.lookup(rows) if rows else []
        ran = ToolRan("lookup", f"{len(items)} records", 0, len(items), time.perf_counter() - started)
        turn.tools.append(ran)
        yield ran
        pronoun = [m for m in reading.mentions if m.how == "reference"]
        other = None
        if len(pronoun) == 1 and not any(ch.isdigit() for ch in pronoun[0].said) and len(session.slate) > 1:
            top = self.catalogue.row_of(session.slate[0])
            plain = pronoun[0].said.lower().split()[-1] in ("it", "that", "this")
            if plain and top is not None and top != pronoun[0].row:
                other = self.catalogue.item(top)
        parts = [answers.not_found(reading.unknown, self.catalogue)] if reading.unknown else []
        parts.append(answers.namesakes(reading.mentions, self.catalogue))
        parts.append(answers.lookup(reading, items, self.catalogue, other))
        yield from self._say(turn, " ".join(part for part in parts if part))
        if items:
            session.last = items[-1].id
            for name in reading.asked_fields:
                if self.catalogue.schema.field(name) in self.catalogue.schema.people():
                    session.people, session.people_field = list(items[-1].tags(name)[:5]), name

    def _why(self, turn: _Turn) -> Iterator[Event]:
        """ "Why the second one?": the facts behind it, worked out again from the running request."""
        session = turn.session
        pointed = turn.reading.mentions[0].row if turn.reading.mentions else None
        first = self.catalogue.row_of(session.slate[0]) if session.slate else None
        row = pointed if pointed is not None else first
        if row is None:
            yield from self._say(turn, "I have not recommended anything in this conversation yet.")
            return
        references = rows_of(self.catalogue, session.references)
        running = Request(conditions=session.conditions, references=references)
        item = self.catalogue.item(row)
        found = facts(item, self.catalogue.items(references), running, self.catalogue)
        yield from self._say(turn, answers.why(item, found))

    def _forget(self, turn: _Turn) -> Iterator[Event]:
        """ "Forget that I love Heat": erases what was named; everything at once only by the explicit command."""
        session, reading = turn.session, turn.reading
        subjects = {f"item:{self.catalogue.item(m.row).id}" for m in reading.mentions}
        words = {c.label.removeprefix("not ") for c in reading.conditions}
        gone: list[str] = []
        for preference in turn.remembered:
            about = preference.subject in subjects or any(preference.text.endswith(word) for word in words)
            if about:
                self.preferences.forget(session.user, preference.id)
                gone.append(preference.text)
        for ids in (session.liked, session.disliked, session.seen):
            ids[:] = [item_id for item_id in ids if f"item:{item_id}" not in subjects]
        if gone:
            yield from self._say(turn, f"Forgotten for good: {'; '.join(gone)}.")
            return
        yield from self._say(
            turn,
            "I found nothing remembered that matches. To erase one line or all: /forget ID or /forget all in the "
            "terminal, the cross beside a line on the page, or DELETE /v1/users/{user}/preferences. "
            + answers.profile(turn.remembered),
        )

    def _recommend(self, turn: _Turn) -> Iterator[Event]:
        reading, request, session = turn.reading, turn.request, turn.session
        opening = [answers.not_found(reading.unknown, self.catalogue)] if reading.unknown else []
        opening.append(answers.namesakes(reading.mentions, self.catalogue))
        if reading.reference_unclear:
            opening.append(f"I showed {len(session.slate)}, so I do not know which “{reading.reference_unclear}” is.")
        if reading.unknown and self._needs_the_unknown(turn):
            opening.append(f"Tell me another {self.catalogue.schema.item_noun} or person, or what you liked about it.")
            yield from self._say(turn, " ".join(part for part in opening if part))
            return
        bus = Candidates(rows=self.catalogue.rows(None)[:0])
        for event in self.executor.run(turn.plan, request, bus):
            if isinstance(event, ToolRan):
                turn.tools.append(event)
            elif isinstance(event, Fallback):
                turn.fallbacks.append(event)
            yield event
        turn.relaxed = [c.label for c in bus.relaxed]
        yield from self._rerank(turn, bus)
        items = self._slate(turn, bus)
        yield from self._say(turn, " ".join(part for part in opening if part))
        if not items:
            yield from self._say(turn, reply.nothing_fits(bus, self.catalogue))
            self._keep_request(turn, bus)
            return
        yield from self._say(turn, reply.relaxation(bus.relaxed))
        newest = self.understander.reader.newest
        if any(int(year) > newest for c in bus.relaxed for year in re.findall(r"\b\d{4}\b", c.label)):
            yield from self._say(turn, f"This catalogue ends in {newest}.")
        references = self.catalogue.items(request.references)
        turn.items = self._recommended(turn, bus, items, references)
        yield from self._say(
            turn, reply.template_opening(len(turn.items), references, turn.request, bus, self.catalogue)
        )
        lines = "\n" + reply.slate_lines(turn.items)
        turn.text += lines
        yield Token(lines)
        self._keep_request(turn, bus)
        session.slate = [item.id for item in items]
        add_new(session.shown, session.slate)
        referred = [m.row for m in reading.mentions if m.how == "reference"]
        session.last = self.catalogue.item(referred[-1]).id if referred else items[0].id

    def _needs_the_unknown(self, turn: _Turn) -> bool:
        """Whether nothing is left to go by once the unknown title is set aside."""
        if turn.reading.person_of_unknown:
            return True
        request = turn.request
        own = [c for c in request.conditions if c.source != "memory" and not c.standing]
        return not own and not request.references and not turn.plan.query

    def _rerank(self, turn: _Turn, bus: Candidates) -> Iterator[Event]:
        if (
            self.llm is None
            or turn.budget.given_up
            or bus.ranked is None
            or not any(c.tool == "rerank" for c in turn.plan.calls)
        ):
            return
        before = len(bus.rows)
        wish = self._wish(turn)
        with turn.budget, _timed(turn, "rerank"):
            started = time.perf_counter()
            try:
                turn.llm_calls += 1
                bus.ranked, note = self.reranker(self.llm, wish, bus.ranked, self.settings.rerank_top, turn.budget)
            except LLMError as error:
                yield turn.fall_back("rerank", error, "kept the fused order")
                return
            ran = ToolRan("rerank", note, before, before, time.perf_counter() - started)
            turn.tools.append(ran)
            yield ran

    def _wish(self, turn: _Turn) -> str:
        labels = "; ".join(c.label for c in turn.request.conditions)
        return f"{turn.reading.text} ({labels})" if labels else turn.reading.text

    def _slate(self, turn: _Turn, bus: Candidates) -> list[Item]:
        """The first items of the ranking, each checked against its record once more."""
        items = self.catalogue.items(head(bus, turn.reading.count or self.settings.slate_size).rows)
        kept = [c for c in turn.request.hard if c not in bus.relaxed]
        broken = violations(items, kept)
        if broken:  # the filter and the records disagree: a defect, not to be shown
            for item, condition in broken:
                turn.fall_back("check", f"{item.label} breaks “{condition.label}”", "taken off the slate")
            bad = {item.id for item, _ in broken}
            items = [item for item in items if item.id not in bad]
        return items

    def _recommended(
        self, turn: _Turn, bus: Candidates, items: list[Item], references: list[Item]
    ) -> list[RecommendedItem]:
        out = []
        ranked = head(bus, turn.reading.count or self.settings.slate_size)
        scores = dict(zip(ranked.rows.tolist(), ranked.scores.tolist(), strict=True))
        for item in items:
            found = facts(item, references, turn.request, self.catalogue)
            out.append(
                RecommendedItem(
                    id=item.id,
                    title=item.title,
                    year=item.year,
                    reason=reason(found),
                    score=round(scores.get(item.row, 0.0), 4),
                    fields={k: v for k, v in item.fields.items() if v is not None and v != ()},
                    evidence=tuple(f.text for f in found),
                )
            )
        return out

    def _remark(self, turn: _Turn) -> Iterator[Event]:
        """A sentence of the LLM after the list, as far as it verifies."""
        if self.llm is None or turn.budget.given_up or not self.settings.llm_reply or not turn.items:
            return
        request = turn.request
        references = self.catalogue.items(request.references)
        relaxed = [c for c in request.hard if c.label in turn.relaxed]
        with turn.budget, _timed(turn, "reply"):
            try:
                turn.llm_calls += 1
                for piece in reply.llm_remark(
                    self.llm, turn.reading.text, turn.items, references, request, relaxed, self.catalogue, turn.budget
                ):
                    if isinstance(piece, str):
                        said = piece if turn.text.endswith(("\n", " ")) or piece.startswith(" ") else f"\n{piece}"
                        turn.text += said
                        yield Token(said)
                        continue
                    if piece.completion is not None:
                        turn.calls.append(piece.completion)
                    if piece.dropped:
                        yield turn.fall_back("reply", piece.dropped[0], "left out what is not on record")
            except LLMError as error:
                yield turn.fall_back("reply", error, "left out the model's remark")

    def _chat(self, turn: _Turn) -> Iterator[Event]:
        act = turn.reading.act
        template = answers.small_talk(act, self.catalogue)
        if turn.reading.unknown:
            template = answers.not_found(turn.reading.unknown, self.catalogue)
        elif act == "other" and self.llm is not None and self.settings.llm_reply and not turn.budget.given_up:
            with turn.budget, _timed(turn, "reply"):
                try:
                    turn.llm_calls += 1
                    done = self.llm.complete(
                        [
                            ("system", render("chat", self.catalogue.schema, items=self.catalogue.size)),
                            ("user", tagged("message", turn.reading.text)),
                        ],
                        max_tokens=CHAT_TOKENS,
                        timeout_s=turn.budget.left(),
                    )
                    turn.calls.append(done)
                    verdict = Verifier.of([template, turn.reading.text, str(self.catalogue.size)]).check(done.text)
                    if verdict.text and not verdict.dropped:
                        template = verdict.text
                    else:
                        why = verdict.dropped[0] if verdict.dropped else "nothing was written"
                        yield turn.fall_back("reply", why, "used the template")
                except LLMError as error:
                    yield turn.fall_back("reply", error, "used the template")
        yield from self._say(turn, template)

    def _feedback_text(self, turn: _Turn) -> str:
        said = {
            "liked": "Good to know you liked {}.",
            "disliked": "Noted: {} was not for you.",
            "seen": "Noted: you have seen {}.",
        }
        parts = [answers.not_found(turn.reading.unknown, self.catalogue)] if turn.reading.unknown else []
        parts.append(answers.namesakes(turn.reading.mentions, self.catalogue))
        for polarity, sentence in said.items():
            rows = turn.reading.rows(polarity)  # type: ignore[arg-type]
            if rows:
                parts.append(sentence.format(" and ".join(i.label for i in self.catalogue.items(rows))))
        like = "Shall I find something like it, or is there" if turn.reading.rows("liked") else "Is there"
        parts.append(f"{like} a kind of {self.catalogue.schema.item_noun} you want?")
        turn.session.references = [i.id for i in self.catalogue.items(turn.reading.rows("liked"))]
        return " ".join(part for part in parts if part)

    # -- state --------------------------------------------------------------------------------------------------------

    def _keep_request(self, turn: _Turn, bus: Candidates) -> None:
        """What the next turn may narrow; what had to be let go is not asked for again."""
        session, request = turn.session, turn.request
        asked = [c for c in request.conditions if c.source not in ("memory", "llm")]
        session.conditions = [c for c in asked if c not in bus.relaxed]
        session.references = [item.id for item in self.catalogue.items(request.references)]
        session.query = request.query

    def _remember(self, turn: _Turn) -> Iterator[Event]:
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
            for new in statements(reading, self.catalogue, session.session_id, session.turn_count):
                turn.learned.append(self.preferences.add(session.user, new).text)
            # Remembered for good, so that forgetting it there ends it here too.
            session.conditions = [c for c in session.conditions if not c.standing]
        except MemoryStoreError as error:
            yield turn.fall_back("memory", error, "did not remember it")

    def _result(self, turn: _Turn) -> TurnResult:
        return TurnResult(
            session_id=turn.session.session_id,
            turn=turn.session.turn_count,
            text=turn.text,
            items=tuple(turn.items),
            plan=turn.plan.model_dump(mode="json"),
            planner=turn.planner,
            tier=self.info.tier,
            model=self.info.model,
            conditions=tuple(c.label for c in turn.request.hard),
            relaxed=tuple(turn.relaxed),
            applied_preferences=tuple(turn.request.applied),
            remembered=tuple(turn.learned),
            fallbacks=tuple(turn.fallbacks),
            tools=tuple(turn.tools),
            timings={k: round(v, 4) for k, v in turn.timings.items()},
            llm={
                "calls": turn.llm_calls,
                "prompt_tokens": sum(c.prompt_tokens for c in turn.calls),
                "generated_tokens": sum(c.generated_tokens for c in turn.calls),
            },
        )

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
        self.understander.linker.people.by_surname()
        self.understander.read("something like “warm”", Focus())
        if self.toolbox.search.embedder is not None:
            self.toolbox.search.embedder.embed(["warm"])
        self._load_llm()

    def _load_llm(self) -> None:
        """Load the model and evaluate the planner's fixed prompt, once; whoever comes meanwhile waits."""
        with self._loading:
            if self.llm is None or self._loaded:
                return
            self._loaded = True  # tried: a failure shows in the turn's own call
            try:
                self.llm.warm(self.planner.prefix())
            except LLMError as error:
                logger.warning("the model could not be warmed: %s", error)

    def close(self) -> None:
        for part in (self.sessions, self.preferences, self.catalogue):
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


@dataclass(slots=True)
class _timed:
    """Adds the time spent inside to a stage of the turn."""

    turn: _Turn
    stage: str
    _start: float = 0.0

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        spent = time.perf_counter() - self._start
        self.turn.timings[self.stage] = self.turn.timings.get(self.stage, 0.0) + spent
