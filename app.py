"""The composition root: builds everything from settings and hands it to the commands."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from convrec.core.errors import RequestError
from convrec.serve.cli import CommandGroup, build_cli
from convrec.serve.services import Services

# Everything below is imported when a command needs it: `convrec --help` answers at once.
# ruff: noqa: PLC0415

if TYPE_CHECKING:
    import typer
    from convrec.agent.api import ConversationalAgent
    from convrec.core.settings import Settings


def services(home: Path | None, verbose: bool) -> Services:
    """Settings from all sources. ``home`` also says where ``config.toml`` is read."""
    from convrec.core.settings import load_settings

    if home is not None:
        try:
            os.environ["CONVREC_HOME"] = str(home.expanduser().absolute())
        except RuntimeError as error:
            raise RequestError("--home", str(home), "There is no such user; give a folder") from error
    return Services(load_settings(), open_agent, verbose)


def open_agent(settings: Settings) -> ConversationalAgent:
    from convrec.agent import build

    return build.open_agent(settings)


def _data() -> typer.Typer:
    from convrec.eval import commands_data_fetch
    from convrec.serve import commands_data, commands_pack

    commands_data_fetch.register(commands_data.app)
    commands_pack.register(commands_data.app)
    return commands_data.app


def _models() -> typer.Typer:
    from convrec.serve import commands_models

    return commands_models.app


def _keys() -> typer.Typer:
    from convrec.serve import commands_keys

    return commands_keys.app


def _memory() -> typer.Typer:
    from convrec.serve import commands_memory

    return commands_memory.app


def _eval() -> typer.Typer:
    from convrec.eval import commands

    return commands.app


def _bench() -> typer.Typer:
    from convrec.eval import commands_bench

    return commands_bench.app


GROUPS = (
    CommandGroup("data", "Catalogues and data sets: import, build, fetch, look.", _data),
    CommandGroup("models", "Model weights: list, pull, verify.", _models),
    CommandGroup("memory", "What is remembered about users.", _memory),
    CommandGroup("keys", "Keys of the HTTP API: create, list, revoke.", _keys),
    CommandGroup("eval", "Measure recommenders and the agent.", _eval),
    CommandGroup("bench", "How fast things are.", _bench),
)


def main() -> None:
    """The command ``convrec``."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 shows "?" and nothing breaks
    build_cli(services, GROUPS)()


if __name__ == "__main__":
    main()
