"""``convrec ask``: one turn for scripts."""

from __future__ import annotations

import contextlib
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING

from convrec.agent.events import Fallback, Finished, TurnResult
from convrec.core.errors import RequestError
from convrec.serve.render import fallback_line, item_lines, plain, status_of, without_list
from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from convrec.agent.api import ConversationalAgent
    from convrec.tools.schema import Schema

MAX_STDIN = 1_000_000
"""Characters read from standard input; the agent's own limit for a message is far below."""


def message_of(argument: str) -> str:
    """The message: the argument, or standard input for ``-``; bytes that are no text are replaced.

    Raises:
        RequestError: it is empty.
    """
    text = sys.stdin.read(MAX_STDIN) if argument == "-" else argument
    text = text.encode("utf-8", "replace").decode("utf-8").strip()
    if not text:
        where = "standard input" if argument == "-" else "the message"
        raise RequestError(where, text, 'Say what you are after, for example: convrec ask "films like Heat"')
    return text


def run_turn(
    agent: ConversationalAgent, text: str, *, user: str, session_id: str, errors: Console, quiet: bool
) -> TurnResult:
    """One turn; progress and notes go to ``errors``."""
    result: TurnResult | None = None
    # A library that prints must not spoil what a script reads.
    with contextlib.redirect_stdout(sys.stderr):
        waiting = errors.status("thinking") if errors.is_terminal and not quiet else nullcontext()
        with waiting as status:
            for event in agent.turn(text, user=user, session_id=session_id):
                if isinstance(event, Finished):
                    result = event.result
                elif isinstance(event, Fallback) and not quiet:
                    plain(errors, fallback_line(event), style="yellow")
                elif status is not None and (said := status_of(event)) is not None:
                    status.update(escape(said))
    if result is None:
        raise AssertionError("a turn ended without its result")  # a broken agent, not a user's mistake
    return result


def show(result: TurnResult, schema: Schema, out: Console) -> None:
    """The reply, then its items as a numbered list, each with what its record says."""
    if not result.items:
        plain(out, result.text)
        return
    opening = without_list(result.text, result.items)
    if opening:
        plain(out, opening)
    for number, item in enumerate(result.items, start=1):
        for text in item_lines(number, item, schema):
            plain(out, text)
