"""The time a language model may take in one turn, so that a slow machine still answers."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from convrec.core.errors import LLMTimeout

PLAN_SHARE = 0.5
"""Share of a turn's time that planning may take: where a plan takes longer, the machine is too slow for the rest."""
LEAST_S = 0.5
"""A call with less time than this is not begun."""


@dataclass(slots=True)
class Budget:
    """Counts down from ``seconds`` inside ``with budget:``; the clock stands still outside."""

    seconds: float
    spent: float = 0.0
    given_up: bool = False
    """Set when a call ran out of time: the machine is too slow just now, and the rest of the turn does without."""
    _since: float | None = field(default=None, init=False)

    def __enter__(self) -> Budget:
        self._since = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        if self._since is not None:
            self.spent += time.perf_counter() - self._since
            self._since = None

    def left(self, share: float = 1.0) -> float:
        """Seconds left for the next call, of which ``share`` may be used.

        Raises:
            LLMTimeout: there is too little left to begin one.
        """
        running = time.perf_counter() - self._since if self._since is not None else 0.0
        rest = (self.seconds - self.spent - running) * share
        if rest < LEAST_S:
            raise LLMTimeout(f"the {self.seconds:g} s that the model may take in one turn are used up")
        return rest
