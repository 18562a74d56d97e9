"""``convrec setup``: everything the first conversation needs. Does nothing twice and goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from convrec.agent.build import open_catalogue, open_embedder
from convrec.core.errors import MissingExtraError, RequestError
from convrec.core.extras import installed
from convrec.core.pull import path, pull
from convrec.core.registry import REGISTRY, ModelEntry, entry
from convrec.core.settings import Settings
from convrec.memory.embedders import NAME as EMBEDDER
from convrec.tools.catalogue import Catalogue
from convrec.tools.demo import DEMO, ensure_demo
from convrec.tools.item_index import build_index
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


def run_setup(settings: Settings, *, model: str | None, llm: bool, console: Console) -> None:
    """Pull the embedder and the language model; build the catalogue in use where it is the demo, and its index.

    ``model``: registry name, else the one of the settings. ``llm`` False leaves the language model out.

    Raises:
        UnknownModelError, ModelPullError: a model cannot be had.
        MissingExtraError: the demo's or the embedder's package is not installed.
        RequestError: ``model`` is no language model.
    """
    chosen = entry(model or settings.llm.embedded_model) if llm else None
    if chosen is not None and chosen.kind != "llm-gguf":
        names = ", ".join(known.name for known in REGISTRY.values() if known.kind == "llm-gguf")
        raise RequestError("--model", chosen.name, f"That is no language model; choose from: {names}")
    minilm = settings.memory.embedder == "minilm"
    if minilm:  # told before the downloads, not after them
        if not installed("sentence_transformers"):
            raise MissingExtraError("sentence-transformers", "memory", "The embedding index")
        _pull(entry(EMBEDDER), settings, console)
    if chosen is not None:
        _pull(chosen, settings, console)
    if settings.catalogue == DEMO:
        with _bar(console, "demo catalogue") as update:
            ensure_demo(settings, update)
    catalogue = open_catalogue(settings)
    try:
        said = f"catalogue {catalogue.name}: {catalogue.size:,} {catalogue.schema.item_noun_plural}"
        console.print(said, highlight=False, markup=False)
        _index(catalogue, settings, console)
    finally:
        catalogue.close()
    if chosen is not None and chosen.name != settings.llm.embedded_model:
        console.print(
            f"To let {chosen.name} answer, set CONVREC_LLM__EMBEDDED_MODEL={chosen.name}", highlight=False, markup=False
        )


def _pull(model: ModelEntry, settings: Settings, console: Console) -> None:
    if path(model.name, settings) is None:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task(model.name, total=model.size)
            pull(model.name, settings, lambda done, total: bar.update(task, completed=done, total=total))
    console.print(f"model {model.name}: {model.size / 1e6:,.0f} MB, verified", highlight=False)


def _index(catalogue: Catalogue, settings: Settings, console: Console) -> None:
    embedder = open_embedder(settings)
    with _bar(console, "embedding index") as update:
        build_index(catalogue, embedder, lambda done, total: update("embedding index", done, total))
    console.print("embedding index: ready", highlight=False)


@contextmanager
def _bar(console: Console, what: str) -> Iterator[Callable[[str, int, int | None], None]]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)

        def update(text: str, done: int, total: int | None) -> None:
            bar.update(task, description=escape(text), completed=done, total=total)

        yield update
