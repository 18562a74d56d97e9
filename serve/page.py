"""The web page: chat, cards, what is believed about the user, how an answer came about. Gradio's adapter.

A browser is a user: a random id in its local storage. A tab is a conversation: a random id held by the server. Neither
is ever shared, and what a click sends back is checked against what was shown to that tab.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from convrec.agent.api import Approval, ConversationalAgent
from convrec.agent.events import Finished, Token
from convrec.core.errors import ConvrecError, RequestError
from convrec.core.settings import Settings
from convrec.serve import page_html as html
from convrec.serve.page_style import CLICKS, CSS, SCROLL
from convrec.serve.page_tab import Tab
from convrec.serve.turns import TurnPool

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported: its version check calls home

import gradio as gr

if TYPE_CHECKING:
    from fastapi import FastAPI

log = logging.getLogger(__name__)

TOKEN_S = 0.06
"""Shortest time between two updates of the reply, seconds."""
AT_ONCE = 8
"""Turns of the page that run at once; more wait in the queue."""
MAX_SOUGHT = 200
"""Longest search in the list of beliefs, characters."""
_USER = re.compile(r"web-[0-9a-f]{32}")

Update: TypeAlias = dict[Any, Any]
"""New values by component."""


class _Page:
    """An open page as :class:`TurnRun` sees it: when a tab is closed, gradio closes the handler itself."""

    async def is_disconnected(self) -> bool:
        return False


def mount_page(app: FastAPI, agent: ConversationalAgent, *, settings: Settings) -> FastAPI:
    """The page at ``/``, beside what ``app``, made by ``create_app``, already answers."""
    page = build_page(agent, app.state.turn_pool, settings=settings)
    system = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
    theme = gr.themes.Base(
        primary_hue="indigo", neutral_hue="slate", font=system, font_mono=("ui-monospace", "Menlo", "monospace")
    )
    mounted: FastAPI = gr.mount_gradio_app(
        app,
        page,
        path="/",
        theme=theme,
        css=CSS,
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=1,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
    )
    return mounted


def build_page(agent: ConversationalAgent, pool: TurnPool, *, settings: Settings) -> gr.Blocks:
    """The page's components and what happens on each event. Turns run on ``pool``."""
    page: gr.Blocks = gr.Blocks(title="convrec", analytics_enabled=False, fill_width=True)
    with page:
        # A fixed key and secret, so that a browser is known again after the server was restarted.
        browser = gr.BrowserState(None, storage_key="convrec-user", secret="convrec-page")  # noqa: S106
        tab = gr.State(None)
        plain: dict[str, Any] = {"apply_default_css": False}
        gr.HTML(html.header(agent.info), elem_id="cr-head", **plain)
        with gr.Row(equal_height=False):
            with gr.Column(scale=7, min_width=340):
                with gr.Column(elem_id="cr-talk"):
                    past = gr.HTML(html.welcome(agent.info), js_on_load=CLICKS, elem_id="cr-past", **plain)
                    examples = gr.HTML(
                        html.examples(), js_on_load=CLICKS, elem_id="cr-tries", visible=_films(agent), **plain
                    )
                    live = gr.HTML("", js_on_load=SCROLL, elem_id="cr-live", **plain)
                    decide = gr.HTML("", js_on_load=CLICKS, elem_id="cr-decide", **plain)
                with gr.Row(equal_height=True):
                    box = gr.Textbox(
                        placeholder="Say what you are after",
                        label="Message",
                        show_label=False,
                        max_lines=5,
                        max_length=settings.turn.max_message_chars,
                        scale=8,
                        min_width=180,
                        container=False,
                        autofocus=True,
                        elem_id="cr-box",
                    )
                    send = gr.Button("Send", variant="primary", scale=1, min_width=90, elem_id="cr-send")
                    stop = gr.Button("Stop", variant="stop", scale=1, min_width=90, visible=False, elem_id="cr-stop")
                with gr.Row(equal_height=True):
                    new = gr.Button("New conversation", size="sm", variant="secondary", min_width=150, elem_id="cr-new")
                    ask = gr.Checkbox(
                        settings.turn.approve,
                        label="Show me the plan first",
                        container=False,
                        min_width=180,
                        elem_id="cr-ask",
                    )
            with gr.Column(scale=3, min_width=300):
                believed = gr.HTML(html.beliefs((), ""), js_on_load=CLICKS, elem_id="cr-believed", **plain)
                with gr.Accordion("How I got there", open=False, elem_id="cr-how"):
                    how = gr.HTML(html.trace(None), elem_id="cr-trace", **plain)

        handlers = _Handlers(agent, pool, _Parts(past, live, decide, examples, box, send, stop, believed, how, tab))
        changed = [past, live, decide, examples, box, send, stop, believed, how, tab]
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        queued = {**quiet, "concurrency_limit": AT_ONCE, "concurrency_id": "turns"}
        page.load(handlers.open, [browser], [browser, tab, believed], **quiet)
        said = gr.on([send.click, box.submit], handlers.say, [box, ask, tab], changed, **queued)
        tried = examples.click(handlers.try_example, [ask, tab], changed, **queued)
        decided = decide.click(handlers.decide, [tab], changed, **queued)
        running = [said, tried, decided]
        stop.click(handlers.stop, [tab], changed, cancels=running, queue=False, **quiet)
        new.click(handlers.new, [tab], changed, cancels=running, queue=False, **quiet)
        past.click(handlers.mark, [tab], changed, **quiet)
        believed.click(handlers.believe, [tab], changed, **quiet)
    page.queue(default_concurrency_limit=2 * AT_ONCE, max_size=100, api_open=False)
    return page


@dataclass(frozen=True)
class _Parts:
    """The components that change."""

    past: gr.HTML
    live: gr.HTML
    decide: gr.HTML
    examples: gr.HTML
    box: gr.Textbox
    send: gr.Button
    stop: gr.Button
    believed: gr.HTML
    how: gr.HTML
    tab: gr.State


class _Handlers:
    """What happens on each event of the page. Holds no state of a user: that is in the tab."""

    def __init__(self, agent: ConversationalAgent, pool: TurnPool, parts: _Parts) -> None:
        self._agent, self._pool, self._parts = agent, pool, parts
        self._schema = agent.catalogue.schema

    def open(self, stored: object) -> tuple[str, Tab, str]:
        """A page was loaded; ``stored`` is what the browser's local storage held, if anything."""
        known = isinstance(stored, str) and _USER.fullmatch(stored) is not None
        user = str(stored) if known else f"web-{secrets.token_hex(16)}"
        return user, Tab(user), self._beliefs(user)

    async def say(self, text: str, ask: bool, tab: Tab | None) -> AsyncIterator[Update]:
        """Run a turn and show it as it happens; ``ask``: the plan first."""
        async for update in self._turn(text, tab, "ask" if ask else "off"):
            yield update

    async def _turn(self, text: str, tab: Tab | None, approval: Approval) -> AsyncIterator[Update]:
        parts = self._parts
        tab = tab or Tab(f"web-{secrets.token_hex(16)}")  # the server forgot the tab: it was restarted
        if not text.strip():
            yield {parts.tab: tab}
            return
        if self._pool.full:
            yield {parts.live: html.problem("Too many people are asking at once. Try again in a moment.")}
            return
        turn, run = html.TurnView(text), self._pool.start(text, tab.user, tab.session_id, approval=approval)
        tab.begin(turn, run)
        running = {parts.send: gr.update(visible=False), parts.stop: gr.update(visible=True)}
        first: Update = {parts.tab: tab, parts.box: "", parts.live: self._live(tab), parts.decide: "", **running}
        if not tab.turns:
            first |= {parts.past: "", parts.examples: gr.update(visible=False)}
        try:
            yield first
            shown, page = 0.0, _Page()
            while (event := await run.next(page)) is not None and tab.live is turn:
                if isinstance(event, Token):
                    turn.reply, turn.status = turn.reply + event.text, ""
                    if time.monotonic() - shown >= TOKEN_S:
                        shown = time.monotonic()
                        yield {parts.live: self._live(tab)}
                elif isinstance(event, Finished):
                    turn.result, turn.reply = event.result, event.result.text
                else:
                    turn.events.append(event)
                    turn.status = html.progress(event) or turn.status
                    yield {parts.live: self._live(tab), parts.how: html.trace(turn)}
        finally:
            run.stop()
        if tab.live is turn:
            tab.end(_problem(run.failure()))
            yield self._everything(tab)

    async def try_example(self, event: gr.EventData, ask: bool, tab: Tab | None) -> AsyncIterator[Update]:
        number = _sent(event).get("turn")
        if isinstance(number, int) and 0 <= number < len(html.EXAMPLES):
            async for update in self.say(html.EXAMPLES[number], ask, tab):
                yield update

    async def decide(self, event: gr.EventData, tab: Tab | None) -> AsyncIterator[Update]:
        """The plan that waits was approved or dropped by its button."""
        chosen = html.DECISIONS.get(str(_sent(event).get("act")))
        if tab is not None and chosen is not None:
            async for update in self._turn(chosen.said, tab, chosen.approval):
                yield update

    def stop(self, tab: Tab | None) -> Update:
        if tab is None:
            return self._buttons()
        tab.end("Stopped.")
        return self._everything(tab)

    def new(self, tab: Tab | None) -> Update:
        """Forget the conversation, keep the preferences."""
        if tab is None:
            return self._buttons()
        tab.end("Stopped.")
        self._agent.reset(user=tab.user, session_id=tab.session_id)
        fresh = Tab(tab.user)
        shown = {self._parts.examples: gr.update(visible=_films(self._agent)), self._parts.box: ""}
        return {**self._everything(fresh), **shown, self._parts.tab: fresh}

    def mark(self, event: gr.EventData, tab: Tab | None) -> Update:
        """A thumb or "seen it" on a card."""
        sent = _sent(event)
        number, item, kind = sent.get("turn"), sent.get("id"), sent.get("act")
        if tab is None or not isinstance(number, int) or not 0 <= number < len(tab.turns) or kind not in html.MARKS:
            return {}
        turn = tab.turns[number]
        if turn.result is None or item not in {shown.id for shown in turn.result.items}:
            return {}
        try:
            self._agent.feedback(user=tab.user, session_id=tab.session_id, item_id=item, kind=kind)
        except ConvrecError as error:
            turn.problem = str(error)
        else:
            turn.marks[item] = kind
        return self._everything(tab)

    def believe(self, event: gr.EventData, tab: Tab | None) -> Update:
        """A preference was corrected or erased."""
        sent = _sent(event)
        if tab is None:
            return {}
        memory, key = self._agent.preferences, str(sent.get("id", ""))
        sought = ""
        try:
            match sent.get("act"):
                case "forget":
                    memory.forget(tab.user, key)
                case "forget-all":
                    memory.forget_all(tab.user)
                case "edit":
                    polarity = sent.get("polarity")
                    chosen = next((p for p in html.POLARITIES if p == polarity), None)
                    memory.edit(tab.user, key, text=str(sent.get("text", "")), polarity=chosen)
                case "find":
                    sought = str(sent.get("text", ""))[:MAX_SOUGHT].strip()
                case "import":
                    memory.import_(tab.user, _json(str(sent.get("text", ""))))
        except ConvrecError as error:
            return {self._parts.believed: self._beliefs(tab.user, str(error))}
        return {self._parts.believed: self._beliefs(tab.user, sought=sought)}

    def _everything(self, tab: Tab) -> Update:
        parts = self._parts
        return {
            parts.past: html.transcript(tab.turns, self._agent.info, self._schema),
            parts.live: "",
            parts.decide: html.decide(tab.turns[-1] if tab.turns else None),
            parts.believed: self._beliefs(tab.user),
            parts.how: html.trace(tab.turns[-1] if tab.turns else None),
            **self._buttons(),
        }

    def _live(self, tab: Tab) -> str:
        return html.turn_html(tab.live, len(tab.turns), self._schema) if tab.live else ""

    def _buttons(self) -> Update:
        return {self._parts.send: gr.update(visible=True), self._parts.stop: gr.update(visible=False)}

    def _beliefs(self, user: str, problem: str = "", sought: str = "") -> str:
        try:
            memory = self._agent.preferences
            made = memory.profile(user)
            found = [r.preference for r in memory.search(user, sought)] if sought else memory.list(user)
            return html.beliefs(found, user, problem, made.summary() if made is not None else "", sought)
        except ConvrecError as error:
            log.warning("preferences cannot be read: %s", error)
            return html.beliefs((), user, str(error))


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError("file", text[:40], "It is no JSON. Choose a file that “export JSON” wrote.") from error


def _films(agent: ConversationalAgent) -> bool:
    """Whether the example prompts make sense."""
    return agent.info.item_noun_plural == "films"


def _problem(failure: BaseException | None) -> str:
    """What is shown of a failed turn: the words of an error made for users, of a bug nothing."""
    if failure is None:
        return ""
    if isinstance(failure, ConvrecError):
        log.warning("a turn of the page failed: %s", failure)
        return str(failure)
    log.error("a turn of the page failed", exc_info=failure)
    return "This did not work: an error inside convrec. The server's log has the details."


def _sent(event: gr.EventData) -> dict[str, Any]:
    """What a click sent: from the browser, so of any form."""
    data = event._data
    return data if isinstance(data, dict) else {}
