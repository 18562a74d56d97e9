"""The model's own words in an answer, as far as they verify: a remark after the list, small talk."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

from convrec.agent import answers, reply
from convrec.agent.events import Event, Token
from convrec.agent.llm.base import LLM
from convrec.agent.prompting import render, tagged
from convrec.agent.reflecting import Reflection
from convrec.agent.turn_state import Turn, timed
from convrec.agent.verifier import Verifier
from convrec.core.errors import LLMError
from convrec.core.settings import TurnSettings
from convrec.tools.catalogue import Catalogue

CHAT_TOKENS = 60


@dataclass(frozen=True, slots=True)
class Wording:
    """Holds the agent's parts, no state of a turn or a user."""

    catalogue: Catalogue
    settings: TurnSettings
    llm: LLM | None
    reflection: Reflection

    def remark(self, turn: Turn) -> Iterator[Event]:
        """A sentence of the LLM after the list, as far as it verifies."""
        if self.llm is None or turn.budget.given_up or not self.settings.llm_reply or not turn.items:
            return
        request = turn.request
        references = self.catalogue.items(request.references)
        relaxed = [c for c in request.hard if c.label in turn.relaxed]
        with turn.budget, timed(turn, "reply"):
            try:
                turn.llm_calls += 1
                for piece in reply.llm_remark(
                    self.llm,
                    turn.reading.text,
                    turn.items,
                    references,
                    request,
                    relaxed,
                    self.catalogue,
                    turn.budget,
                    lambda sentence, facts: self.reflection.doubts(turn, sentence, facts),
                ):
                    if isinstance(piece, str):
                        said = piece if turn.text.endswith(("\n", " ")) or piece.startswith(" ") else f"\n{piece}"
                        turn.text += said
                        yield Token(said)
                        continue
                    turn.remark_kept, turn.remark_dropped = len(piece.kept), len(piece.dropped)
                    if piece.completion is not None:
                        turn.calls.append(piece.completion)
                    if piece.dropped:
                        yield turn.fall_back("reply", piece.dropped[0], "left out what is not on record")
            except LLMError as error:
                yield turn.fall_back("reply", error, "left out the model's remark")

    def small_talk(self, turn: Turn) -> Generator[Event, None, str]:
        """Returns what to say to what is neither wish nor question; the model's words when all of them verify."""
        act = turn.reading.act
        template = answers.small_talk(act, self.catalogue)
        if turn.reading.unknown:
            template = answers.not_found(turn.reading.unknown, self.catalogue)
        elif act == "other" and self.llm is not None and self.settings.llm_reply and not turn.budget.given_up:
            with turn.budget, timed(turn, "reply"):
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
        return template
