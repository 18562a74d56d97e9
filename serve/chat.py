"""``convrec chat``: a conversation in the terminal, or over a pipe.

Turns run on a thread of their own: Ctrl-C gives the prompt back at once, and the turn ends at its next event, before
anything of it is saved.
"""

from __future__ import annotations

import difflib
import json
import logging
import queue
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from convrec.agent.api import Approval
from convrec.agent.events import Fallback, Finished, RecommendedItem, Token, ToolRan, TurnResult
from convrec.core.errors import ConvrecError, RequestError
from convrec.core.files import write_json
from convrec.core.version import VERSION
from convrec.serve import render
from convrec.serve.chat_events import events_of
from convrec.serve.render import SHORT_ID, line, plain
from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from convrec.agent.api import ConversationalAgent
    from convrec.memory.records import Preference

log = logging.getLogger(__name__)

Reader: TypeAlias = Callable[[str], str]
"""Asks for a line with a prompt; raises EOFError at the end and KeyboardInterrupt on Ctrl-C."""

PROMPT = "you> "
CLOSING_S = 10.0
"""Longest wait at the end for models that are still loading, seconds."""
FEEDBACK = {"like": "liked", "dislike": "disliked", "seen": "seen"}
HELP = {
    "/why [n]": "the facts behind the n-th item, or behind all",
    "/plan": "plan, tools, times and tokens of the last answer",
    "/profile [all]": "what is remembered about you, with ids; all: with what was superseded",
    "/find WORDS": "what is remembered about something",
    "/edit ID TEXT": "correct one memory; the next answer keeps to it",
    "/forget ID|all": "erase one memory, or all, for good",
    "/like n": "say that you like the n-th item",
    "/dislike n": "say that you do not; it will not come again",
    "/seen n": "say that you know it already",
    "/reset": "start a new conversation; what is remembered stays",
    "/export FILE": "write what is remembered about you to a JSON file",
    "/import FILE": "take in such a file",
    "/help": "this list",
    "/quit": "leave (or Ctrl-D); Ctrl-C stops an answer",
}
COMMANDS = tuple(usage.split()[0] for usage in HELP)


def reader(history: Path) -> Reader:
    """From the terminal with line editing and a history, else from standard input line by line."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return _piped
    from prompt_toolkit import PromptSession  # noqa: PLC0415 - for terminals only
    from prompt_toolkit.completion import WordCompleter  # noqa: PLC0415
    from prompt_toolkit.history import FileHistory  # noqa: PLC0415

    history.parent.mkdir(parents=True, exist_ok=True)
    history.touch(mode=0o600)
    session: PromptSession[str] = PromptSession(
        history=FileHistory(str(history)),
        completer=WordCompleter(list(COMMANDS), sentence=True),
        complete_while_typing=False,
    )
    return session.prompt


def _piped(_: str) -> str:
    text = sys.stdin.readline()
    if not text:
        raise EOFError
    return text


class Chat:
    """One conversation. ``run`` returns when the user leaves; the agent stays the caller's."""

    def __init__(
        self,
        agent: ConversationalAgent,
        console: Console,
        read: Reader,
        *,
        user: str,
        session_id: str,
        approve: bool | None = None,
    ) -> None:
        self.agent, self.console, self.read = agent, console, read
        self.approval: Approval | None = None if approve is None else "ask" if approve else "off"
        self.user, self.session_id = user, session_id
        self._last: TurnResult | None = None
        self._slate: tuple[RecommendedItem, ...] = ()
        self._not_ready: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._commands: dict[str, Callable[[str], None]] = {
            "/why": self._why,
            "/plan": self._plan,
            "/profile": self._profile,
            "/find": self._find,
            "/edit": self._edit,
            "/import": self._import,
            "/forget": self._forget,
            "/like": lambda rest: self._feedback("like", rest),
            "/dislike": lambda rest: self._feedback("dislike", rest),
            "/seen": lambda rest: self._feedback("seen", rest),
            "/reset": self._reset,
            "/export": self._export,
            "/help": self._help,
        }

    def run(self) -> None:
        """Read and answer until /quit or the end of the input."""
        info = self.agent.info
        for number, text in enumerate(render.opening(info, VERSION)):
            plain(self.console, text, style="bold" if number == 0 else "dim")
        past = self.agent.history(user=self.user, session_id=self.session_id)
        if past:
            plain(self.console, f"Going on after {len(past)} {'turn' if len(past) == 1 else 'turns'}.", style="dim")
            state = self.agent.sessions.load(self.user, self.session_id)
            if state is not None and state.get("pending"):
                plain(self.console, f"A plan waits for your “yes”:\n{past[-1][1]}")
        plain(self.console, f"Say what {info.item_noun_plural} you are after; /help lists the commands.", style="dim")
        warming = threading.Thread(target=self._warm, name="convrec-warm", daemon=True)
        warming.start()
        # One thread: a turn that was stopped ends before the next one begins.
        with ThreadPoolExecutor(1, thread_name_prefix="convrec-turn") as pool:
            while self._step(pool):
                pass
        warming.join(CLOSING_S)  # what it loads must not be closed under it

    def _step(self, pool: ThreadPoolExecutor) -> bool:
        """One line of input; False to leave."""
        while not self._not_ready.empty():
            plain(self.console, f"not ready: {line(self._not_ready.get())}", style="yellow")
        try:
            text = self.read(PROMPT).encode("utf-8", "replace").decode("utf-8").strip()
        except EOFError:
            return False
        except KeyboardInterrupt:
            plain(self.console, "Ctrl-D or /quit leaves.", style="dim")
            return True
        if text in ("/quit", "/exit", "/q"):
            return False
        try:
            if text.startswith("/"):
                self._command(text)
            elif text:
                self._answer(text, pool)
        except ConvrecError as error:
            plain(self.console, f"error: {line(error)}", style="red")
        except KeyboardInterrupt:
            plain(self.console, "\nstopped", style="dim")
        return True

    # -- a turn -------------------------------------------------------------------------------------------------------

    def _answer(self, text: str, pool: ThreadPoolExecutor) -> None:
        started = False
        writer = render.Writer(self.console)
        steps: list[str] = []
        turn = partial(self.agent.turn, text, user=self.user, session_id=self.session_id, approval=self.approval)
        with closing(events_of(turn, pool)) as events:
            waiting = self.console.status("thinking")
            waiting.start()
            try:
                for event in events:
                    if isinstance(event, Token):
                        if not started:
                            waiting.stop()
                            started = True
                        writer.write(event.text)
                    elif isinstance(event, Finished):
                        waiting.stop()
                        writer.finish()
                        self._finished(event.result, streamed=started)
                    elif isinstance(event, Fallback):
                        log.debug("%s", event)
                    elif not started and (said := render.status_of(event)) is not None:
                        steps = render.steps_left(event, steps)
                        now = f"; now: {steps[0] if steps else 'the reply'}" if isinstance(event, ToolRan) else ""
                        waiting.update(escape(said + now))
            finally:
                waiting.stop()

    def _finished(self, result: TurnResult, *, streamed: bool) -> None:
        self._last = result
        if result.items:
            self._slate = result.items
        if streamed:
            plain(self.console, "")
        else:
            plain(self.console, result.text)
        for event in result.fallbacks:
            plain(self.console, render.fallback_line(event), style="yellow")
        if result.applied_preferences:
            plain(self.console, line(f"from memory: {'; '.join(result.applied_preferences)}"), style="dim")
        if result.remembered:
            plain(self.console, line(f"remembered: {'; '.join(result.remembered)}"), style="dim")
        plain(self.console, render.footer(result), style="dim")

    def _warm(self) -> None:
        try:
            self.agent.warm()
        except ConvrecError as error:
            self._not_ready.put(str(error))

    # -- commands -----------------------------------------------------------------------------------------------------

    def _command(self, text: str) -> None:
        name, _, rest = text.partition(" ")
        command = self._commands.get(name.lower())
        if command is not None:
            command(rest.strip())
            return
        near = difflib.get_close_matches(name.lower(), COMMANDS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else "/help lists the commands."
        plain(self.console, f"There is no command {line(name, 40)}; {hint}", style="yellow")

    def _help(self, _: str) -> None:
        for usage, what in HELP.items():
            plain(self.console, f"  {usage:<16}{what}")

    def _why(self, rest: str) -> None:
        if not self._slate:
            raise RequestError("/why", rest, "Nothing was recommended yet")
        numbers = [self._number("/why", rest)] if rest else list(range(1, len(self._slate) + 1))
        for number in numbers:
            for text in render.evidence_lines(number, self._slate[number - 1]):
                plain(self.console, text)

    def _plan(self, _: str) -> None:
        if self._last is None:
            raise RequestError("/plan", "", "There was no answer yet")
        render.show_plan(self.console, self._last)

    def _profile(self, rest: str) -> None:
        memory = self.agent.preferences
        made = memory.profile(self.user)
        for text in (made.summary() if made is not None else "").splitlines():
            plain(self.console, line(text, 400))
        render.show_profile(self.console, memory.list(self.user, include_superseded=rest.lower() == "all"))

    def _find(self, rest: str) -> None:
        found = self.agent.preferences.search(self.user, rest)
        render.show_profile(self.console, [recalled.preference for recalled in found])

    def _edit(self, rest: str) -> None:
        prefix, _, text = rest.partition(" ")
        if not text.strip():
            raise RequestError("/edit", rest, "Give an id of /profile and the new words: /edit 1a2b never horror")
        edited = self.agent.preferences.edit(self.user, self._preference(prefix, "/edit").id, text=text.strip())
        plain(self.console, line(f"now: {edited.text}"))

    def _import(self, rest: str) -> None:
        try:
            document = json.loads(Path(rest).expanduser().read_text(encoding="utf-8"))
        except (OSError, ValueError, RuntimeError, RecursionError) as error:
            raise RequestError("/import", rest, f"It cannot be read: {error}. Give a file of /export") from error
        report = self.agent.preferences.import_(self.user, document)
        plain(self.console, f"{report.added} added, {report.unchanged + report.skipped} were here already")

    def _forget(self, rest: str) -> None:
        if rest.lower() == "all":
            if self._confirm("Erase everything that is remembered about you, for good?"):
                count = self.agent.preferences.forget_all(self.user)
                plain(self.console, f"Erased: {count} {'record' if count == 1 else 'records'}.")
            else:
                plain(self.console, "Nothing was erased.")
            return
        gone = self.agent.preferences.forget(self.user, self._preference(rest).id)
        plain(self.console, f"Erased: {line(gone.text)}")

    def _preference(self, prefix: str, command: str = "/forget") -> Preference:
        kept = self.agent.preferences.list(self.user)
        found = [record for record in kept if prefix and record.id.startswith(prefix.lower())]
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(record.id[: SHORT_ID * 2] for record in found[:5])
            raise RequestError(command, prefix, f"Several ids begin so: {ids}; give more of it")
        also = ", or all" if command == "/forget" else ""
        raise RequestError(command, prefix, f"Give an id of /profile{also}")

    def _feedback(self, name: str, rest: str) -> None:
        item = self._slate[self._number(f"/{name}", rest) - 1] if self._slate else None
        if item is None:
            raise RequestError(f"/{name}", rest, "Nothing was recommended yet")
        said = self.agent.feedback(user=self.user, session_id=self.session_id, item_id=item.id, kind=FEEDBACK[name])
        plain(self.console, f"remembered: {line(said)}")

    def _reset(self, _: str) -> None:
        self.agent.reset(user=self.user, session_id=self.session_id)
        self._last, self._slate = None, ()
        plain(self.console, "A new conversation. What is remembered about you stays; /profile shows it.")

    def _export(self, rest: str) -> None:
        if not rest:
            raise RequestError("/export", rest, "Give the name of a file, for example: /export me.json")
        document = self.agent.preferences.export(self.user)
        try:
            file = Path(rest).expanduser()
            if file.is_dir():
                raise RequestError("/export", rest, "That is a folder; give the name of a file")
            if file.exists() and not self._confirm(f"{file} exists. Replace it?"):
                plain(self.console, "Nothing was written.")
                return
            write_json(file, document)
        except (OSError, ValueError, RuntimeError) as error:  # no such user's "~", a null byte, a name too long, ...
            raise RequestError("/export", rest, f"It cannot be written: {error}. Give another name") from error
        plain(self.console, f"Wrote {len(document['preferences'])} records to {file}")

    def _number(self, command: str, rest: str) -> int:
        """1..n for the n items of the last slate."""
        if rest.isdecimal() and len(rest) <= 4 and 1 <= int(rest) <= len(self._slate):
            return int(rest)
        raise RequestError(command, rest, f"Give the number of an item, 1 to {len(self._slate)}")

    def _confirm(self, question: str) -> bool:
        plain(self.console, f"{question} [y/N]")
        try:
            return self.read("yes or no> ").strip().lower() in ("y", "yes")
        except EOFError:
            return False
