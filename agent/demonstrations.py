"""Worked examples for the planner's prompt, chosen by similarity to the request.

A shipped bank of examples, the same for everyone, and the good turns of the one user who asks: what one user wrote is
never in the prompt of another. A turn is good when the model's draft was valid at once, all of it agreed with the
rules and the user's words, and the turn ended in a list with nothing relaxed; the next message may still discredit it.
Chosen as in InteRecAgent (Huang et al., 2023, arXiv:2308.16505, section 4.2), from the message alone.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

import numpy as np
from convrec.agent.plan import Draft
from convrec.core.embedding import Embedder
from convrec.core.items import FloatArray
from convrec.core.text import clean, fold
from pydantic import BaseModel, ConfigDict, Field

MOST_PER_USER = 40
"""Good turns kept per user, the newest."""
MESSAGE_CHARS = 200
"""Longer messages make no good example: they would cost more time than they are worth."""
ENOUGH_NEW = 0.97
"""Cosine to a kept example above which a good turn teaches nothing new."""


class Demonstration(BaseModel):
    """One message and the draft that was right for it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = Field(min_length=1, max_length=MESSAGE_CHARS)
    before: str = Field("", max_length=MESSAGE_CHARS)
    """The message before it, if it matters."""
    draft: Draft

    @property
    def answer(self) -> str:
        """The draft as the model is to write it: no empty keys, no spaces."""
        return compact(self.draft)


def compact(draft: Draft) -> str:
    """A draft as JSON without empty keys: what the prompt shows is what the model imitates."""
    filled = {key: value for key, value in draft.model_dump(mode="json", exclude={"tools"}).items() if value}
    return json.dumps(filled, ensure_ascii=False, separators=(",", ":"))


@cache
def shipped() -> tuple[Demonstration, ...]:
    """The seed bank, in file order."""
    text = resources.files("convrec.agent").joinpath("prompts", "demonstrations.jsonl").read_text(encoding="utf-8")
    return tuple(Demonstration.model_validate_json(line) for line in text.splitlines() if line.strip())


@dataclass(slots=True)
class DemonstrationBank:
    """Chooses examples. Holds vectors of the shipped bank only; nothing of a user is kept between calls."""

    embedder: Embedder | None
    _vectors: FloatArray | None = field(init=False, default=None)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def nearest(self, text: str, own: Sequence[Demonstration], k: int) -> list[Demonstration]:
        """At most ``k`` examples, the most similar last (nearest to the message in the prompt).

        ``own``: the good turns of the user who asks. () without an embedder. The message itself, word for word, is
        no example of how to read it and is left out.
        """
        if k < 1 or self.embedder is None:
            return []
        seeds = shipped()
        vectors = self._seed_vectors()
        made = self.embedder.embed([text, *(d.text for d in own)])
        scores = np.concatenate([vectors @ made[0], made[1:] @ made[0]])
        bank = [*seeds, *own]
        order = np.argsort(-scores, kind="stable")
        said = fold(text)
        chosen = [bank[i] for i in order.tolist() if fold(bank[i].text) != said][:k]
        return chosen[::-1]

    def warm(self) -> None:
        """Embed the shipped bank."""
        if self.embedder is not None:
            self._seed_vectors()

    def with_new(self, own: Sequence[Demonstration], new: Demonstration) -> list[Demonstration]:
        """``own`` and a new good turn, unless it says what another says already; the oldest go first."""
        kept = [d for d in own if fold(d.text) != fold(new.text)]
        if self.embedder is not None and kept:
            made = self.embedder.embed([new.text, *(d.text for d in kept)])
            if float((made[1:] @ made[0]).max()) > ENOUGH_NEW:
                return list(own)
        return [*kept, new][-MOST_PER_USER:]

    def _seed_vectors(self) -> FloatArray:
        with self._lock:
            if self._vectors is None:
                assert self.embedder is not None  # both callers have seen to it
                self._vectors = self.embedder.embed([d.text for d in shipped()])
            return self._vectors


def good_turn(text: str, before: str, draft: Draft) -> Demonstration | None:
    """A turn as an example; None when it is too long to be one."""
    text, before = " ".join(text.split()), " ".join(before.split())
    if not text or len(text) > MESSAGE_CHARS:
        return None
    return Demonstration(text=clean(text, MESSAGE_CHARS), before=clean(before, MESSAGE_CHARS), draft=draft)
