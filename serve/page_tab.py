"""What the server holds of one open page."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from convrec.serve import page_html as html
from convrec.serve.turns import TurnRun

MAX_TURNS = 50
"""Turns a page keeps; older ones scroll out of the page, not out of the agent."""


@dataclass
class Tab:
    """The state of one open page, held by the server."""

    user: str
    session_id: str = field(default_factory=lambda: secrets.token_hex(16))
    turns: list[html.TurnView] = field(default_factory=list)
    live: html.TurnView | None = None
    run: TurnRun | None = None

    def begin(self, turn: html.TurnView, run: TurnRun) -> None:
        self.end("")
        self.live, self.run = turn, run

    def end(self, problem: str) -> None:
        """Stop the turn under way, if any, and keep what there is of it."""
        if self.live is not None and self.run is not None:
            self.run.stop()
            self.live.status, self.live.problem = "", problem
            self.turns = [*self.turns, self.live][-MAX_TURNS:]
            self.live = self.run = None
