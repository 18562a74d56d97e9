"""The command line: options, exit codes, one line per error. What the commands do is in their own modules.

Exit codes: 0 done; 1 could not be done; 2 wrong input or setting; 3 the asked-for tier is not available; 130 Ctrl-C.
"""

from __future__ import annotations

import logging
import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from convrec.core.errors import ConvrecError, LLMUnavailable, MissingExtraError, RequestError, SettingsError
from convrec.core.text import visible
from convrec.core.version import VERSION
from convrec.serve.services import Services
from convrec.serve.train import train
from typer.core import TyperGroup

if TYPE_CHECKING:
    from convrec.core.settings import Settings

# The modules behind the commands are imported when their command runs.
# ruff: noqa: PLC0415

FAILED, BAD_INPUT, UNAVAILABLE, INTERRUPTED = 1, 2, 3, 130
EMBEDDED_MODEL_HELP = "Name of the language model, see: convrec models list"

ServicesFactory = Callable[[Path | None, bool], Services]
"""(home, verbose) -> services."""


class TierChoice(StrEnum):
    AUTO = "auto"
    SERVED = "served"
    EMBEDDED = "embedded"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class CommandGroup:
    """A group of commands that is imported when one of them is asked for."""

    name: str
    help: str
    load: Callable[[], typer.Typer]


Tier = Annotated[
    TierChoice | None, typer.Option("--tier", help="Which language model answers; auto takes the best there is.")
]
User = Annotated[str | None, typer.Option("--user", help="Whose preferences are used.")]
CatalogueName = Annotated[str | None, typer.Option("--catalogue", help="Catalogue to recommend from.")]
RankingModel = Annotated[
    Path | None, typer.Option("--ranking-model", help="Folder of `convrec train`: rank by it too.", show_default=False)
]
Approve = Annotated[
    bool | None, typer.Option("--approve/--no-approve", help="Show each plan and wait for a yes before any tool runs.")
]
Session = Annotated[str | None, typer.Option("--session", help="Go on with this conversation, else a new one.")]
Host = Annotated[str, typer.Option("--host", help="Address to listen on.")]
AllowRemote = Annotated[
    bool, typer.Option("--allow-remote", help="Listen where others can reach it although nothing asks who they are.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, nothing else.")]


def exit_code(error: Exception) -> int:
    """The exit code that a script sees."""
    if isinstance(error, RequestError | SettingsError):
        return BAD_INPUT
    if isinstance(error, LLMUnavailable | MissingExtraError):
        return UNAVAILABLE
    return FAILED


class _Root(TyperGroup):
    """Errors become one line on standard error and an exit code; a stack trace with --verbose."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (ConvrecError, OSError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            if ctx.params.get("verbose"):
                logging.getLogger("convrec").exception("the command failed")
            typer.echo(f"error: {visible(str(error))}", err=True)
            raise typer.Exit(exit_code(error)) from error
        except KeyboardInterrupt as interrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from interrupt


def _lazy(group: CommandGroup) -> type[TyperGroup]:
    class Lazy(TyperGroup):
        def _loaded(self) -> None:
            if not self.commands:
                self.commands.update(typer.main.get_group(group.load()).commands)

        def list_commands(self, ctx: Any) -> list[str]:
            self._loaded()
            return super().list_commands(ctx)

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            self._loaded()
            return super().get_command(ctx, cmd_name)

    return Lazy


def build_cli(factory: ServicesFactory, groups: Sequence[CommandGroup] = ()) -> typer.Typer:
    """The command line over ``factory``; ``groups`` are mounted without being imported."""
    app = typer.Typer(
        name="convrec",
        cls=_Root,
        help="A conversational recommender: say what you are after, in plain words.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def root(
        ctx: typer.Context,
        home: Annotated[
            Path | None, typer.Option("--home", help="Data folder, else CONVREC_HOME or the user's.", file_okay=False)
        ] = None,
        verbose: Annotated[bool, typer.Option("--verbose", help="Log to standard error, stack traces.")] = False,
        version: Annotated[
            bool, typer.Option("--version", help="Show the version.", is_eager=True, callback=_version)
        ] = False,
    ) -> None:
        _set_up_logging(verbose)
        ctx.obj = factory(home, verbose)

    app.command("chat")(chat)
    app.command("app")(web_app)
    app.command("serve")(serve)
    app.command("mcp")(mcp)
    app.command("ask")(ask)
    app.command("setup")(setup)
    app.command("doctor")(doctor)
    app.command("train")(train)
    for group in groups:
        app.add_typer(typer.Typer(), name=group.name, help=group.help, cls=_lazy(group), no_args_is_help=True)
    return app


def ask(
    ctx: typer.Context,
    message: Annotated[str, typer.Argument(help="What you are after; - reads standard input.", show_default=False)],
    tier: Tier = None,
    user: User = None,
    session: Session = None,
    catalogue: CatalogueName = None,
    ranking_model: RankingModel = None,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no notes.")] = False,
) -> None:
    """One question, one answer: for scripts."""
    import json

    from convrec.serve import ask as asking
    from rich.console import Console

    services = _services(ctx)
    settings = _settings(services, tier, catalogue, ranking_model)
    text = asking.message_of(message)
    session_id = session or f"ask-{uuid.uuid4().hex[:12]}"
    with services.agent(settings) as agent:
        result = asking.run_turn(
            agent,
            text,
            user=user or settings.user,
            session_id=session_id,
            errors=Console(stderr=True),
            quiet=quiet,
        )
        if as_json:
            typer.echo(json.dumps(result.to_json(), ensure_ascii=True))
        else:
            asking.show(result, agent.catalogue.schema, Console())
        if result.proposal is not None and not quiet:
            said = f'a plan waits; carry it out with: convrec ask --session {session_id} "yes"'
            Console(stderr=True).print(said, style="yellow", markup=False, highlight=False)


def chat(
    ctx: typer.Context,
    tier: Tier = None,
    user: User = None,
    session: Session = None,
    catalogue: CatalogueName = None,
    ranking_model: RankingModel = None,
    approve: Approve = None,
) -> None:
    """Talk in the terminal; /help lists what else it can do."""
    from convrec.serve import chat as chatting
    from rich.console import Console

    services = _services(ctx)
    settings = _settings(services, tier, catalogue, ranking_model)
    console = Console()
    with console.status("opening the catalogue"):
        agent = services.open_agent(settings)
    try:
        read = chatting.reader(settings.home / "chat_history")
        chatting.Chat(
            agent,
            console,
            read,
            user=user or settings.user,
            session_id=session or f"chat-{uuid.uuid4().hex[:12]}",
            approve=approve,
        ).run()
    finally:
        agent.close()


def serve(
    ctx: typer.Context,
    tier: Tier = None,
    catalogue: CatalogueName = None,
    ranking_model: RankingModel = None,
    port: Annotated[int, typer.Option("--port", help="0 takes a free one.")] = 8000,
    host: Host = "127.0.0.1",
    workers: Annotated[int, typer.Option("--workers", min=1, max=64, help="Processes; they share their stores.")] = 1,
    allow_remote: AllowRemote = False,
) -> None:
    """HTTP API alone (OpenAI-compatible chat, recommendations, preferences, items)."""
    from convrec.serve.serve_command import run_one, run_several

    services = _services(ctx)
    settings = _settings(services, tier, catalogue, ranking_model)
    if workers > 1:
        run_several(services, settings, workers, host=host, port=port, allow_remote=allow_remote)
        return
    run_one(
        services,
        settings,
        host=host,
        port=port,
        allow_remote=allow_remote,
        page=False,
        open_browser=False,
    )


def mcp(
    ctx: typer.Context,
    http: Annotated[bool, typer.Option("--http", help="Streamable HTTP, not standard input and output.")] = False,
    user: Annotated[str | None, typer.Option("--user", help="Whose preferences, where no header says so.")] = None,
    tier: Tier = None,
    catalogue: CatalogueName = None,
    ranking_model: RankingModel = None,
    port: Annotated[int, typer.Option("--port", help="With --http; 0 takes a free one.")] = 8765,
    host: Host = "127.0.0.1",
    allow_remote: AllowRemote = False,
) -> None:
    """Tools for other assistants, by the Model Context Protocol."""
    from convrec.serve.mcp_command import run_mcp

    services = _services(ctx)
    settings = _settings(services, tier, catalogue, ranking_model)
    run_mcp(services, settings, http=http, user=user, host=host, port=port, allow_remote=allow_remote)


def web_app(
    ctx: typer.Context,
    tier: Tier = None,
    catalogue: CatalogueName = None,
    ranking_model: RankingModel = None,
    port: Annotated[int, typer.Option("--port", help="0 takes a free one.")] = 7860,
    host: Host = "127.0.0.1",
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")] = False,
    allow_remote: AllowRemote = False,
) -> None:
    """Web page and HTTP API on one port."""
    from convrec.serve.serve_command import run_one

    services = _services(ctx)
    run_one(
        services,
        _settings(services, tier, catalogue, ranking_model),
        host=host,
        port=port,
        allow_remote=allow_remote,
        page=True,
        open_browser=not no_browser and sys.stdout.isatty(),
    )


def setup(
    ctx: typer.Context,
    model: Annotated[str | None, typer.Option("--model", help=EMBEDDED_MODEL_HELP)] = None,
    no_llm: Annotated[bool, typer.Option("--no-llm", help="Without a language model.")] = False,
) -> None:
    """Fetch the models and prepare the catalogue in use; goes on where it stopped, does nothing twice."""
    from convrec.serve.setup_command import run_setup
    from rich.console import Console

    if no_llm and model is not None:
        raise RequestError("--model", model, "It cannot be given together with --no-llm")
    run_setup(_services(ctx).settings, model=model, llm=not no_llm, console=Console(stderr=True))


def doctor(ctx: typer.Context, as_json: AsJson = False) -> None:
    """What is installed, which model would answer, where data lies, and the command for what is missing."""
    import json

    from convrec.serve.doctor import examine, healthy, show
    from rich.console import Console

    checks = examine(_services(ctx).settings)
    if as_json:
        document = {"healthy": healthy(checks), "checks": [check.to_json() for check in checks]}
        typer.echo(json.dumps(document, ensure_ascii=True))
    else:
        show(checks, Console())
    if not healthy(checks):
        raise typer.Exit(FAILED)


def _services(ctx: typer.Context) -> Services:
    assert isinstance(ctx.obj, Services)
    return ctx.obj


def _settings(
    services: Services, tier: TierChoice | None, catalogue: str | None, ranking_model: Path | None
) -> Settings:
    if catalogue is not None and (not catalogue or catalogue != Path(catalogue).name or catalogue.startswith(".")):
        raise RequestError("--catalogue", catalogue, "Expected the name of a catalogue, see: convrec data list")
    ranking = services.settings.ranking.model_copy(update={"model": ranking_model}) if ranking_model else None
    return services.with_settings(tier=tier.value if tier else None, catalogue=catalogue, ranking=ranking)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"convrec {VERSION}")
        raise typer.Exit


def _set_up_logging(verbose: bool) -> None:
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s" if verbose else "%(levelname)s: %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("convrec").setLevel(logging.DEBUG if verbose else logging.WARNING)
    # What falls back in a turn is an event that every surface shows; it need not be said twice.
    logging.getLogger("convrec.agent").setLevel(logging.DEBUG if verbose else logging.ERROR)
