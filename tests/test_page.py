"""The web page in headless Chromium, against an agent that answers by script."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import scripted_agent as scripted
from convrec.core.errors import RequestError
from convrec.core.settings import Settings
from convrec.memory.records import Preference
from convrec.serve import page_html

pytest.importorskip("gradio")

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from convrec.serve.http import create_app
    from convrec.serve.page import mount_page

    home = tmp_path_factory.mktemp("home")
    agent, settings = scripted.ScriptedAgent(), Settings(home=home, cache=home)
    app = mount_page(create_app(agent, settings=settings), agent, settings=settings)
    yield from scripted.serve_on_thread(app, agent)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    found = shutil.which("chromium")
    if found is None:
        pytest.fail("chromium is missing: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


class Visitor:
    """One browser context with one page; keeps what it asked for and what went wrong."""

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": DESKTOP, **options})
        self.page = self.context.new_page()
        self.page.set_default_timeout(15_000)
        self.asked: list[str] = []
        self.dialogs: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", self._dialog)
        self.url = url
        self.open()

    def _dialog(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        dialog.accept()

    def open(self) -> None:
        self.page.goto(self.url)
        self.page.wait_for_selector("#cr-box textarea")
        self.page.wait_for_selector("#cr-believed h2")
        self.page.wait_for_timeout(400)

    def say(self, text: str, *, wait: bool = True) -> None:
        turns = self.page.locator("#cr-past .cr-turn").count()
        self.page.fill("#cr-box textarea", text)
        self.page.press("#cr-box textarea", "Enter")
        if wait:
            self.page.wait_for_function(
                f"document.querySelectorAll('#cr-past .cr-turn').length > {turns}"
                " && document.querySelector('#cr-live').innerText.trim() === ''"
            )

    def text(self, selector: str) -> str:
        return str(self.page.locator(selector).inner_text())


@pytest.fixture(scope="module")
def real_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The page over the agent of rules."""
    from convrec.serve.http import create_app
    from convrec.serve.page import mount_page
    from demo_agent import make_agent

    home = tmp_path_factory.mktemp("real")
    agent, settings = make_agent(), Settings(home=home, cache=home)
    app = mount_page(create_app(agent, settings=settings), agent, settings=settings)
    yield from scripted.serve_on_thread(app, agent)  # type: ignore[arg-type]


@pytest.fixture
def visit(chromium: Any, server: Any) -> Iterator[Callable[..., Visitor]]:
    visitors: list[Visitor] = []

    def new(**options: Any) -> Visitor:
        visitors.append(Visitor(chromium, server.url, **options))
        return visitors[-1]

    yield new
    for visitor in visitors:
        visitor.context.close()
        assert visitor.errors == []


@pytest.mark.browser
def test_beliefs_are_searched_and_imported(visit: Callable[..., Visitor], tmp_path: Path) -> None:
    first = visit()
    first.say("I love heist films")
    first.say("I love trains")
    first.page.fill(".cr-find input", "heist")
    first.page.press(".cr-find input", "Enter")
    first.page.wait_for_function("document.querySelectorAll('.cr-belief').length === 1")
    assert "heist" in first.text(".cr-belief")
    with first.page.expect_download() as download:
        first.page.click("a.cr-link[download]")
    file = tmp_path / "me.json"
    download.value.save_as(file)
    second = visit()
    second.page.set_input_files("[data-act=import-file]", file)
    second.page.wait_for_function("document.querySelectorAll('.cr-belief').length === 2")
    bad = tmp_path / "bad.json"
    bad.write_text("{]")
    second.page.set_input_files("[data-act=import-file]", bad)
    second.page.wait_for_selector("#cr-believed .cr-problem")
    assert "no JSON" in second.text("#cr-believed .cr-problem")
    assert second.page.locator(".cr-belief").count() == 2


@pytest.mark.browser
def test_chat_cards_feedback_and_beliefs(visit: Callable[..., Visitor]) -> None:
    one = visit()
    page = one.page
    head = one.text("#cr-head")
    for part in ("no language model", "rules", "17,472 films"):
        assert part in head
    one.say("slow, a thriller", wait=False)
    page.wait_for_selector("#cr-live .cr-reply")
    partial = one.text("#cr-live .cr-reply")
    assert page.is_visible("#cr-stop")
    page.wait_for_selector("#cr-past .cr-card")
    whole = one.text("#cr-past .cr-reply")
    assert whole.startswith("Turn 1 of web-")
    assert whole.endswith("I know nothing.")
    assert len(partial) < len(whole), "the reply must be shown while it is written"
    page.wait_for_selector("#cr-send", state="visible")
    card = one.text(".cr-card >> nth=0")
    for part in ("1. Heat", "(1995)", "crime film, thriller", "170 min", "83%", "Michael Mann", "Because you said"):
        assert part in card
    assert "Nothing yet" in one.text("#cr-believed")

    page.click(".cr-card >> nth=0 >> [data-act=liked]")
    page.wait_for_selector(".cr-belief")
    assert "liked Heat (1995)" in one.text("#cr-believed")
    assert page.get_attribute(".cr-card >> nth=0 >> [data-act=liked]", "aria-pressed") == "true"

    page.click(".cr-card >> nth=1 >> [data-act=seen]")
    page.wait_for_function("document.querySelectorAll('.cr-belief').length === 2")

    one.open()  # the same browser is known again; the conversation is new
    page.wait_for_selector(".cr-belief")
    assert page.locator(".cr-belief").count() == 2
    assert page.locator(".cr-turn").count() == 0
    one.say("another")
    assert "I know" in one.text("#cr-past .cr-reply")
    assert "liked Heat (1995)" in one.text("#cr-past .cr-reply")

    page.click(".cr-belief >> nth=0 >> [data-act=open]")
    page.fill(".cr-belief >> nth=0 >> input", "have seen it twice")
    page.select_option(".cr-belief >> nth=0 >> select", "liked")
    page.press(".cr-belief >> nth=0 >> input", "Enter")
    page.wait_for_function("document.querySelector('#cr-believed').innerText.includes('seen it twice')")

    with page.expect_download() as download:
        page.click("text=export JSON")
    exported = json.loads(Path(download.value.path()).read_text())
    assert "have seen it twice" in json.dumps(exported)

    page.click(".cr-belief >> nth=0 >> [data-act=forget]")
    page.wait_for_function("document.querySelectorAll('.cr-belief').length === 1")
    page.click("text=erase all")
    page.wait_for_function("document.querySelectorAll('.cr-belief').length === 0")
    assert one.dialogs == ["Erase everything I believe about you? This cannot be undone."]
    one.open()
    assert "Nothing yet" in one.text("#cr-believed")


@pytest.mark.browser
def test_trace_example_reset_and_errors(visit: Callable[..., Visitor]) -> None:
    one = visit()
    page = one.page
    page.click("#cr-tries button >> nth=0")
    page.wait_for_selector("#cr-past .cr-card")
    assert one.text("#cr-past .cr-user") == page_html.EXAMPLES[0]
    assert not page.is_visible("#cr-trace")
    page.click("text=How I got there")
    page.wait_for_selector("#cr-trace table", state="visible")
    trace = one.text("#cr-trace")
    for part in ("Heat (1995)", "under 120 minutes", "Plan by rules", "17,472 → 212", "12 ms", "no language model"):
        assert part in trace
    for part in ("generated tokens: 7", "total: 0.50 s"):
        assert part in trace
    one.say("boom, please")
    assert "did not answer" in one.text("#cr-past .cr-problem")
    one.say("a bug")
    page.wait_for_selector("text=The server's log has the details")
    assert "secret detail" not in page.content()
    one.say("after all that")
    assert "Turn 2 of web-" in one.text("#cr-past .cr-turn >> nth=3 >> .cr-reply")
    page.click("#cr-new")
    page.wait_for_function("document.querySelectorAll('.cr-turn').length === 0")
    one.say("afresh")
    assert "Turn 1 of web-" in one.text("#cr-past .cr-reply")


@pytest.mark.browser
def test_a_plan_is_shown_and_waits_for_its_button(chromium: Any, real_server: Any) -> None:
    one = Visitor(chromium, real_server.url)
    page = one.page
    page.check("#cr-ask input")
    one.say("a Korean thriller under two hours")
    assert "Shall I go on?" in one.text("#cr-past .cr-reply")
    assert page.locator(".cr-card").count() == 0
    one.say("older than 2010")
    page.click("#cr-decide [data-act=approve]")
    page.wait_for_selector("#cr-past .cr-card")
    assert "Korean" in one.text("#cr-past .cr-turn:last-child .cr-reply")
    page.wait_for_selector("#cr-decide [data-act=approve]", state="detached")
    page.click("text=How I got there")
    page.wait_for_selector("#cr-trace table", state="visible")
    assert "approved" in one.text("#cr-trace")
    one.say("a comedy")
    page.click("#cr-decide [data-act=drop]")
    page.wait_for_selector("text=I dropped the plan")
    page.uncheck("#cr-ask input")
    one.say("a western")
    page.wait_for_selector("#cr-past .cr-turn:last-child .cr-card")
    one.context.close()
    assert one.errors == []


@pytest.mark.browser
def test_stop_ends_the_turn(visit: Callable[..., Visitor], server: Any) -> None:
    one = visit()
    server.agent.closed.clear()
    one.say("slow " + "word " * 100, wait=False)
    one.page.wait_for_selector("#cr-live .cr-reply")
    one.page.click("#cr-stop")
    one.page.wait_for_selector("#cr-past >> text=Stopped.")
    assert one.page.is_visible("#cr-send")
    assert server.agent.closed.wait(5), "the agent's turn must be closed"
    one.say("quick")
    assert "quick" in one.text("#cr-past .cr-turn >> nth=1 >> .cr-reply")


@pytest.mark.browser
def test_a_closed_tab_ends_its_turn(visit: Callable[..., Visitor], server: Any) -> None:
    one = visit()
    server.agent.closed.clear()
    one.say("slow " + "word " * 200, wait=False)
    one.page.wait_for_selector("#cr-live .cr-reply")
    one.page.close()
    assert server.agent.closed.wait(15)


@pytest.mark.browser
def test_nothing_a_user_or_an_item_says_becomes_markup(visit: Callable[..., Visitor]) -> None:
    one = visit()
    page = one.page
    for text in (
        f"I love evil {EVIL}",
        "evil [link](https://evil.example) ![x](https://evil.example/x.png)",
        "evil ${7*7}",
    ):
        one.say(text)
    page.click(".cr-card >> nth=0 >> [data-act=liked]")
    page.wait_for_function("document.querySelectorAll('.cr-belief').length === 2")
    page.click("text=How I got there")
    assert page.locator("img[src=x], img[onerror], a[href*=evil], a[href^=javascript]").count() == 0
    assert page.locator(".cr-turn img, .cr-turn a, .cr-belief img").count() == 0
    assert one.dialogs == []
    shown = one.text("#cr-past")
    for part in (f"I love evil {EVIL}", f"1. {EVIL}", "[link](https://evil.example)", "evil ${7*7}"):
        assert part in shown
    assert EVIL in one.text("#cr-believed")
    assert not [url for url in one.asked if "evil.example" in url or url.endswith("/x")]


@pytest.mark.browser
def test_two_browsers_share_nothing(visit: Callable[..., Visitor]) -> None:
    one, two = visit(), visit()
    one.say("I love Heat")
    two.say("I love Up")
    one.say("now what")
    two.say("now what")
    first, second = one.text("#cr-past"), two.text("#cr-past")
    assert "likes Heat" in first
    assert "Up" not in first
    assert "likes Up" in second
    assert "Heat," not in second.replace("Heat (1995)", "")
    assert "likes Heat" in one.text("#cr-believed")
    assert "likes Heat" not in two.text("#cr-believed")
    users = {text.split("Turn 1 of ")[1][:36] for text in (first, second)}
    assert len(users) == 2
    # A second tab is the same user in another conversation.
    tab = one.context.new_page()
    tab.goto(one.url)
    tab.wait_for_selector(".cr-belief")
    assert tab.locator(".cr-turn").count() == 0


@pytest.mark.browser
def test_the_page_asks_nobody_else(visit: Callable[..., Visitor], server: Any) -> None:
    one = visit()
    one.say("a thriller")
    here = urlsplit(server.url).netloc
    assert len(one.asked) > 5
    assert [url for url in one.asked if urlsplit(url).netloc not in (here, "") and not url.startswith("data:")] == []


@pytest.mark.browser
@pytest.mark.parametrize("look", ["light", "dark", "phone", "phone-dark"])
def test_looks(visit: Callable[..., Visitor], tmp_path: Path, look: str) -> None:
    one = visit(viewport=PHONE if "phone" in look else DESKTOP, color_scheme="dark" if "dark" in look else "light")
    page = one.page
    page.screenshot(path=tmp_path / f"{look}-first.png", full_page=True)
    one.say("I love long quiet films about the sea")
    one.say("a Korean thriller under two hours")
    top = "(s) => document.querySelector(s).getBoundingClientRect().top"
    page.wait_for_timeout(400)
    last = page.evaluate(top, "#cr-past .cr-turn:last-child") - page.evaluate(top, "#cr-talk")
    bottom = page.evaluate("(b => b.scrollHeight - b.clientHeight - b.scrollTop)(document.querySelector('#cr-talk'))")
    assert 0 <= last <= 60 or bottom <= 2, "the newest turn must be shown from its beginning"
    page.click("text=How I got there")
    page.wait_for_selector("#cr-trace table", state="visible")
    page.wait_for_timeout(400)
    page.screenshot(path=tmp_path / f"{look}.png", full_page=True)
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, "the page must not scroll sideways"
    assert page.evaluate(_CONTRAST) >= 4.5, "text must be readable on its ground (WCAG AA)"


_CONTRAST = """() => {
  const channel = (v) => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; };
  const parse = (c) => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = (c) => .2126 * channel(c[0]) + .7152 * channel(c[1]) + .0722 * channel(c[2]);
  const ground = (e) => {
    for (let n = e; n; n = n.parentElement) {
      const c = parse(getComputedStyle(n).backgroundColor);
      if (c.length === 3 || c[3] > .9) return c;
    }
    return [255, 255, 255];
  };
  const texts = '.cr-reply, .cr-user, .cr-card h3, .cr-card h3 span, .cr-meta, .cr-reason, .cr-note, .cr-status, '
    + '.cr-chip, .cr-btn, .cr-trace, .cr-trace td, .cr-trace pre, .cr-link, .cr-panel h2';
  let worst = 99;
  for (const e of document.querySelectorAll(texts)) {
    if (!e.offsetParent) continue;
    const a = light(parse(getComputedStyle(e).color)), b = light(ground(e));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < worst) { worst = ratio; window.worstText = e.className; }
  }
  return worst;
}"""


class TestWithoutBrowser:
    def test_pieces_escape(self) -> None:
        turn = page_html.TurnView(EVIL, reply=EVIL, status=EVIL, problem=EVIL)
        preference = Preference(
            user="u", kind="note", polarity="liked", subject="s", text=EVIL, said='"><u>', id='x"y', payload={}
        )
        made = page_html.turn_html(turn, 0, scripted.FILM_SCHEMA) + page_html.beliefs([preference], 'u"/<', EVIL)
        assert "<img" not in made
        assert "<u>" not in made
        assert 'x"y' not in made

    def test_items_are_not_named_twice(self) -> None:
        item = scripted.RecommendedItem("i", "Heat", 1995, "crime", 0.5, {})
        result = scripted.TurnResult("s", 1, "", (item,), {}, "rules", "none", "rules")
        turn = page_html.TurnView("x", reply="One fits.\n1. Heat (1995): crime\nMore?", status="", result=result)
        made = page_html.turn_html(turn, 0, scripted.FILM_SCHEMA)
        assert '<div class="cr-reply">One fits.\nMore?</div>' in made
        assert made.count("Heat") == 1 + len(page_html.MARKS)

    def test_api_stays_beside_the_page(self, server: Any) -> None:
        assert httpx.get(f"{server.url}/healthz").json()["status"] == "ok"
        assert httpx.get(f"{server.url}/v1/nope").json()["error"]["code"] == "not_found"
        assert "gradio" in httpx.get(f"{server.url}/").text
        big = httpx.post(f"{server.url}/gradio_api/upload", files={"files": b"x" * (2 << 20)})
        assert big.status_code == 413


RUN = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("scripted_agent", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules["scripted_agent"] = module
spec.loader.exec_module(module)
from convrec.core.settings import Settings
from convrec.serve.run import run_server
agent = module.ScriptedAgent()
run_server(agent, Settings(home=sys.argv[2], cache=sys.argv[2]), port=0, page=False)
print("closing", "gradio" in sys.modules)
"""


class TestRunServer:
    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
    def test_serves_until_told_to_stop(self, tmp_path: Path, how: signal.Signals) -> None:
        agent = Path(__file__).with_name("scripted_agent.py")
        command = [sys.executable, "-u", "-c", RUN, str(agent), str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            try:
                address = line.split()[1]
                assert httpx.get(address.removesuffix("/v1") + "/healthz").json()["status"] == "ok"
                foreign = httpx.get(address + "/models", headers={"host": "evil.example"})
                assert foreign.status_code == 400
            finally:
                process.send_signal(how)
                out, err = process.communicate(timeout=20)
        assert process.returncode == 0, err
        assert "closing False" in out, "the caller must get the chance to close the agent"
        assert "Traceback" not in err

    def test_a_taken_port_is_named_with_the_remedy(self, server: Any, tmp_path: Path) -> None:
        from convrec.serve.run import run_server

        port = urlsplit(server.url).port
        assert port is not None
        with pytest.raises(RequestError, match=rf"--port: got {port}.*in use.*--port {port + 1}"):
            run_server(server.agent, Settings(home=tmp_path, cache=tmp_path), port=port, page=False)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"host": "0.0.0.0"}, "no login.*--allow-remote"),
            ({"host": "192.0.2.1"}, "no login"),
            ({"host": "192.0.2.1", "allow_remote": True}, "another|no address"),
            ({"port": 70000}, "0 to 65535"),
        ],
    )
    def test_what_it_refuses(self, server: Any, tmp_path: Path, change: dict[str, Any], message: str) -> None:
        from convrec.serve.run import run_server

        with pytest.raises(RequestError, match=message):
            run_server(server.agent, Settings(home=tmp_path, cache=tmp_path), **{"port": 0, "page": False, **change})


def test_importing_the_pieces_needs_no_web_framework() -> None:
    code = (
        "import sys, convrec.serve.page_html; print([m for m in ('gradio', 'fastapi', 'uvicorn') if m in sys.modules])"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
    assert time.monotonic() - began < 20
