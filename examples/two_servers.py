"""Two servers, one conversation: what several processes share, shown with real ones.

Starts a PostgreSQL cluster in a temporary folder (initdb), a Chroma server, and two `convrec serve` processes over
both, then lets one conversation go to and fro between them, lets one server see at once what the user told the other,
stops the first in the middle and goes on with the second. Nothing is left behind.

    .venv/bin/python examples/two_servers.py

Needs PostgreSQL's programs (Debian: apt install postgresql) and the extras `app` and `postgres`. No language model and
no weights: tier "none", and an embedder that hashes words. It runs from a checkout, since it uses the tests' helpers.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import convrec
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from chroma_server import running_server
from postgres_server import WHY_NOT, binaries, running_cluster

COMMAND = [sys.executable, "-u", "-c", "from convrec.app import main; main()"]


@contextmanager
def server(env: dict[str, str]) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """One `convrec serve` on a free port; its address and its process."""
    process = subprocess.Popen(  # noqa: S603 - our own program
        [*COMMAND, "serve", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env
    )
    assert process.stdout is not None
    try:
        address = next((m[1] for line in process.stdout if (m := re.match(r"API +(\S+)/v1", line))), None)
        if address is None:
            raise SystemExit("the server did not start; run `convrec serve` with the same settings to see why")
        yield address, process
    finally:
        process.terminate()
        process.communicate(timeout=60)


def main() -> None:
    say = Console().print
    if binaries() is None:
        raise SystemExit(WHY_NOT)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="convrec-two-")))
        postgres, chroma = stack.enter_context(running_cluster()), stack.enter_context(running_server(folder))
        env = os.environ | {
            "CONVREC_HOME": str(folder / "home"),
            "CONVREC_CACHE": str(folder / "cache"),
            "CONVREC_TIER": "none",
            "CONVREC_SESSIONS__URL": postgres,
            "CONVREC_MEMORY__URL": chroma,
            "CONVREC_MEMORY__EMBEDDER": "hashing",
        }
        subprocess.run([*COMMAND, "setup", "--no-llm"], env=env, check=True, capture_output=True)  # noqa: S603 - as above
        (one, first), (two, _) = stack.enter_context(server(env)), stack.enter_context(server(env))
        a, b = stack.enter_context(convrec.Client(one)), stack.enter_context(convrec.Client(two))

        ids = {"user": "ann", "conversation_id": "to-and-fro"}
        asked = [(a, "a thriller from the nineties"), (b, "only under two hours"), (a, "never horror films, please")]
        for turn, (client, text) in enumerate(asked, 1):
            answer = client.chat(text, **ids)
            say(f"{'first ' if client is a else 'second'}  ann: {text}")
            say(f"        {', '.join(f'{item.title} ({item.year})' for item in answer.items)}", markup=False)
            assert answer.facts.turn == turn, "the servers do not share the conversation"
            assert all(1990 <= (item.year or 0) <= 1999 for item in answer.items), "an earlier condition was lost"
        kept = [p.text for p in b.preferences("ann")]
        assert any("horror" in text.lower() for text in kept), (
            "what the first server was told is not known to the second"
        )
        say(f"second  remembers: {kept}", markup=False)
        assert b.preferences("bob") == [], "another user sees it"

        first.terminate()
        assert first.wait(60) == 0
        say("first   is stopped")
        answer = b.chat("something else", **ids)
        assert answer.facts.turn == len(asked) + 1
        assert answer.items
        assert all("Horror" not in item.fields.get("genres", ()) for item in answer.items)
        say(f"second  ann: something else\n        {', '.join(item.title for item in answer.items)}", markup=False)
        erased = b.erase_user("ann")
        assert erased.sessions == 1
        assert b.sessions("ann") == b.preferences("ann") == []
        say(f"second  erased {erased.sessions} conversation and {erased.preferences} preferences", markup=False)
        say("one conversation, two servers: it worked")


if __name__ == "__main__":
    main()
