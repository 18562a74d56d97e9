"""The answers of a turn: recommendations, look-ups, why, forget, feedback, small talk."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

from convrec.agent import answers, reply
from convrec.agent.asking import Asker, offer
from convrec.agent.critic import Critic
from convrec.agent.events import Event, Fallback, RecommendedItem, Token, ToolRan
from convrec.agent.executor import Executor, Toolbox, head
from convrec.agent.llm.base import LLM, metered
from convrec.agent.memory_erasing import in_turn, scrubbed
from convrec.agent.reasons import facts, reason
from convrec.agent.reflecting import Reflection
from convrec.agent.request import Request
from convrec.agent.reranker import Reranker
from convrec.agent.session import add_new, rows_of
from convrec.agent.turn_state import Turn, spoken, timed
from convrec.agent.verifier import violations
from convrec.agent.why import reruns, why_not
from convrec.agent.wording import Wording
from convrec.core.errors import LLMError
from convrec.core.items import Item
from convrec.core.settings import TurnSettings
from convrec.memory.preferences import PreferenceMemory
from convrec.tools.candidates import Candidates
from convrec.tools.catalogue import Catalogue
from convrec.tools.references import Polarity

LOOKED_UP: tuple[Polarity, ...] = ("asked", "named", "liked", "disliked", "seen")
"""Mentions whose records a look-up reads."""


@dataclass(slots=True)
class Answerer:
    """Says what a planned turn calls for. Holds the agent's parts, no state of a turn or a user."""

    catalogue: Catalogue
    preferences: PreferenceMemory
    toolbox: Toolbox
    settings: TurnSettings
    llm: LLM | None
    newest_year: int
    executor: Executor
    reranker: Reranker
    critic: Critic
    asker: Asker

    def answer(self, turn: Turn) -> Iterator[Event]:
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
                yield from self._say(turn, (yield from self._wording().small_talk(turn)))

    def runs_tools(self, turn: Turn) -> bool:
        """Whether the answer to a planned turn calls a tool: look-up, filter, similar, search, rank, rerank."""
        match turn.plan.action:
            case "recommend":
                return not (turn.reading.unknown and self._needs_the_unknown(turn))
            case "lookup":
                return bool(turn.reading.rows(*LOOKED_UP))
            case "why":
                pointed = turn.reading.mentions[0].row if turn.reading.mentions else None
                return pointed is not None and reruns(turn, self.catalogue.item(pointed))
            case _:
                return False

    def _say(self, turn: Turn, text: str) -> Iterator[Event]:
        if text:
            yield spoken(turn, text)

    def _look_up(self, turn: Turn) -> Iterator[Event]:
        started = time.perf_counter()
        reading, session = turn.reading, turn.session
        rows = reading.rows(*LOOKED_UP)
        items = self.toolbox.lookup(rows) if rows else []
        if rows:
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

    def _why(self, turn: Turn) -> Iterator[Event]:
        """ "Why the second one?": the facts behind it, worked out again from the running request."""
        session = turn.session
        pointed = turn.reading.mentions[0].row if turn.reading.mentions else None
        first = self.catalogue.row_of(session.slate[0]) if session.slate else None
        row = pointed if pointed is not None else first
        if row is None:
            yield from self._say(turn, "I have not recommended anything in this conversation yet.")
            return
        if pointed is None and turn.reading.unknown:
            yield from self._say(turn, answers.not_found(turn.reading.unknown, self.catalogue))
            return
        item = self.catalogue.item(row)
        if item.id not in session.slate:
            yield from self._say(turn, why_not(turn, item, self.executor))
            return
        references = rows_of(self.catalogue, session.references)
        running = Request(conditions=session.conditions, references=references)
        found = facts(item, self.catalogue.items(references), running, self.catalogue)
        yield from self._say(turn, answers.why(item, found))

    def _forget(self, turn: Turn) -> Iterator[Event]:
        """ "Forget that I love Heat": erases what was named; everything at once only by the explicit command."""
        session, reading = turn.session, turn.reading
        subjects = {f"item:{self.catalogue.item(m.row).id}" for m in reading.mentions}
        words = {c.label.removeprefix("not ") for c in reading.conditions}
        gone: list[str] = []
        for preference in turn.remembered:
            about = preference.subject in subjects or any(preference.text.endswith(word) for word in words)
            if about:
                with in_turn(session.session_id):
                    self.preferences.forget(session.user, preference.id)
                left = scrubbed(session.to_json(), session.session_id, [preference])
                session.become(left)
                turn.erased = True
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

    def _recommend(self, turn: Turn) -> Iterator[Event]:
        reading, request, session = turn.reading, turn.request, turn.session
        opening = [answers.not_found(reading.unknown, self.catalogue)] if reading.unknown else []
        opening.append(answers.namesakes(reading.mentions, self.catalogue))
        if reading.unmeasured:
            words = " or ".join(f"“{word}”" for word in reading.unmeasured)
            opening.append(f"No record says anything about {words}, so these are simply others.")
        if reading.reference_unclear:
            opening.append(f"I showed {len(session.slate)}, so I do not know which “{reading.reference_unclear}” is.")
        if reading.unknown and self._needs_the_unknown(turn):
            opening.append(f"Tell me another {self.catalogue.schema.item_noun} or person, or what you liked about it.")
            yield from self._say(turn, " ".join(part for part in opening if part))
            return
        bus = Candidates(rows=self.catalogue.rows(None)[:0])
        for event in self.executor.run(turn.plan, request, bus, reading.text):
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
        newest = self.newest_year
        if any(int(year) > newest for c in bus.relaxed for year in re.findall(r"\b\d{4}\b", c.label)):
            yield from self._say(turn, f"This catalogue ends in {newest}.")
        references = self.catalogue.items(request.references)
        turn.items = self._recommended(turn, bus, items, references)
        yield from self._reflection().draft(
            turn, bus, references, lambda chosen, like: self._recommended(turn, bus, chosen, like)
        )
        if not turn.items:
            yield from self._say(turn, reply.nothing_fits(bus, self.catalogue))
            self._keep_request(turn, bus)
            return
        shown = self.catalogue.items([row for i in turn.items if (row := self.catalogue.row_of(i.id)) is not None])
        yield from self._say(turn, reply.template_opening(shown, references, turn.request, bus, self.catalogue))
        lines = "\n" + reply.slate_lines(turn.items)
        turn.text += lines
        yield Token(lines)
        self._keep_request(turn, bus)
        yield from self._ask(turn, bus)
        session.slate = [item.id for item in turn.items]
        add_new(session.shown, session.slate)
        referred = [m.row for m in reading.mentions if m.how == "reference"]
        session.last = self.catalogue.item(referred[-1]).id if referred else turn.items[0].id

    def _ask(self, turn: Turn, bus: Candidates) -> Iterator[Event]:
        """One question beside the list, when it would tell much; none when conditions were let go of: that is said."""
        if bus.ranked is None or bus.relaxed or turn.reading.count == 1 or turn.session.wanted:
            return  # who gave the number of items to give is a program, and answers no question
        with timed(turn, "ask"):
            turn.question = self.asker.question(turn.request, turn.session, bus.ranked)
        if turn.question is not None:
            said = f"\n{turn.question.text}"
            turn.text += said
            yield Token(said)

    def _reflection(self) -> Reflection:
        return Reflection(self.catalogue, self.critic, self.settings, self.llm)

    def _needs_the_unknown(self, turn: Turn) -> bool:
        """Whether nothing is left to go by once the unknown title is set aside."""
        if turn.reading.person_of_unknown:
            return True
        request = turn.request
        own = [c for c in request.conditions if c.source != "memory" and not c.standing]
        return not own and not request.references and not turn.plan.query

    def _rerank(self, turn: Turn, bus: Candidates) -> Iterator[Event]:
        if (
            self.llm is None
            or turn.budget.given_up
            or bus.ranked is None
            or not any(c.tool == "rerank" for c in turn.plan.calls)
        ):
            return
        before = len(bus.rows)
        wish = self._wish(turn)
        with turn.budget, timed(turn, "rerank"):
            started = time.perf_counter()
            try:
                with metered() as cost:
                    try:
                        bus.ranked, note = self.reranker(
                            self.llm, wish, bus.ranked, self.settings.rerank_top, turn.budget
                        )
                    finally:
                        turn.judging = cost
            except LLMError as error:
                yield turn.fall_back("rerank", error, "kept the fused order")
                return
            ran = ToolRan("rerank", note, before, before, time.perf_counter() - started)
            turn.tools.append(ran)
            yield ran

    def _wish(self, turn: Turn) -> str:
        labels = "; ".join(c.label for c in turn.request.conditions)
        return f"{turn.reading.text} ({labels})" if labels else turn.reading.text

    def _slate(self, turn: Turn, bus: Candidates) -> list[Item]:
        """The first items of the ranking, each checked against its record once more."""
        items = self.catalogue.items(
            head(bus, turn.reading.count or turn.session.wanted or self.settings.slate_size).rows
        )
        kept = [c for c in turn.request.hard if c not in bus.relaxed]
        broken = violations(items, kept)
        if broken:  # the filter and the records disagree: a defect, not to be shown
            for item, condition in broken:
                turn.fall_back("check", f"{item.label} breaks “{condition.label}”", "taken off the slate")
            bad = {item.id for item, _ in broken}
            items = [item for item in items if item.id not in bad]
        return items

    def _recommended(
        self, turn: Turn, bus: Candidates, items: list[Item], references: list[Item]
    ) -> list[RecommendedItem]:
        out = []
        ranked = head(bus, turn.reading.count or turn.session.wanted or self.settings.slate_size)
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

    def remark(self, turn: Turn) -> Iterator[Event]:
        """A sentence of the model after the list, as far as it verifies."""
        return self._wording().remark(turn)

    def _wording(self) -> Wording:
        return Wording(self.catalogue, self.settings, self.llm, self._reflection())

    def _feedback_text(self, turn: Turn) -> str:
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
        if turn.session.references:
            offer(turn.session)
        return " ".join(part for part in parts if part)

    def _keep_request(self, turn: Turn, bus: Candidates) -> None:
        """What the next turn may narrow; what had to be let go is not asked for again."""
        session, request = turn.session, turn.request
        asked = [c for c in request.conditions if c.source not in ("memory", "llm")]
        session.conditions = [c for c in asked if c not in bus.relaxed]
        session.references = [item.id for item in self.catalogue.items(request.references)]
        session.query = request.query.removesuffix(request.query_remembered).strip()
        session.listed = session.turn_count
        if request.said is not None:
            session.began = request.said.began
