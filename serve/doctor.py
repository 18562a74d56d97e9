"""``convrec doctor``: what is there, what is missing, and the command that brings it."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from convrec.agent.llm.resolve import resolve
from convrec.agent.ranking import open_ranking_model
from convrec.core import pull
from convrec.core.embedding import HashingEmbedder
from convrec.core.errors import CatalogueError, ConvrecError, DatasetError, ModelError, SettingsError
from convrec.core.extras import installed
from convrec.core.registry import REGISTRY
from convrec.core.settings import Settings, config_file
from convrec.core.text import visible
from convrec.core.version import VERSION
from convrec.memory.embedders import NAME as EMBEDDER
from convrec.memory.embedders import MiniLMEmbedder
from convrec.tools.catalogue import Catalogue
from convrec.tools.catalogue_file import read_manifest
from convrec.tools.dataset_fetch import read_manifest as read_fetched
from convrec.tools.dataset_sources import DATASETS
from convrec.tools.demo import DEMO
from convrec.tools.item_index import open_index
from convrec.tools.pack import shipped_pack
from rich.console import Console
from rich.table import Table
from rich.text import Text

MIN_PYTHON = (3, 11)
LOW_DISK_BYTES = 3_000_000_000
"""Room for the embedded model (1.1 GB) while it is joined from its parts, and the demo's files."""

State = Literal["ok", "missing", "broken"]
"""missing: something optional; broken: the main job, a conversation, cannot run without it."""

_EXTRAS = {
    "chromadb": "memory",
    "sentence-transformers": "memory",
    "torch": "memory",
    "gradio": "app",
    "fastapi": "app",
    "uvicorn": "app",
    "bokeh-sampledata": "demo",
    "langchain-core": "local-llm",
    "xllamacpp": "local-llm",
    "langchain-openai": "served-llm",
    "psycopg": "postgres",
    "psycopg-pool": "postgres",
}
"""Optional packages, by the extra that installs them."""
_BASE = (
    "numpy",
    "scipy",
    "pydantic",
    "pydantic-settings",
    "rich",
    "typer",
    "prompt-toolkit",
    "httpx",
    "platformdirs",
    "rapidfuzz",
    "duckdb",
)
_MARK = {"ok": ("ok", "green"), "missing": ("-", "yellow"), "broken": ("!!", "red")}


@dataclass(frozen=True, slots=True)
class Check:
    """One finding."""

    part: str
    name: str
    state: State
    detail: str
    fix: str = ""
    """The command that helps, "" when nothing is wrong."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def examine(settings: Settings) -> list[Check]:
    """Look at everything; loads no model and fetches nothing."""
    return [
        *_python(),
        *_libraries(settings),
        *_folders(settings),
        *_models(settings),
        *_catalogue(settings),
        *_tier(settings),
        *_datasets(settings),
    ]


def healthy(checks: Sequence[Check]) -> bool:
    """Whether a conversation could be held."""
    return all(check.state != "broken" for check in checks)


def show(checks: Sequence[Check], console: Console) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    part = ""
    for check in checks:
        if check.part != part:
            part = check.part
            table.add_row("", Text(part, style="cyan"), "")
        mark, colour = _MARK[check.state]
        detail = Text(visible(check.detail))
        if check.fix:
            detail.append(f"\n{check.fix}", style="bold")
        table.add_row(Text(mark, style=colour), Text(visible(check.name)), detail)
    console.print(table)
    broken = [check for check in checks if check.state == "broken"]
    if broken:
        console.print(f"\n[red]Not ready[/]: {len(broken)} to mend, marked !!.")
    else:
        console.print("\n[green]Ready[/]: convrec chat")


def _python() -> Iterator[Check]:
    right = sys.version_info >= MIN_PYTHON
    yield Check(
        "program",
        "Python",
        "ok" if right else "broken",
        f"{platform.python_version()} at {sys.executable}",
        "" if right else "Install Python 3.11 or newer",
    )
    yield Check("program", "convrec", "ok", f"{VERSION} at {Path(__file__).parent.parent}")


def _libraries(settings: Settings) -> Iterator[Check]:
    needed = {"bokeh-sampledata"} if settings.catalogue == DEMO else set()
    if settings.memory.store == "chroma":
        needed.add("chromadb")
    if settings.memory.embedder == "minilm":
        needed |= {"sentence-transformers", "torch"}
    if settings.sessions.url is not None:
        needed |= {"psycopg", "psycopg-pool"}
    for package in (*_BASE, *_EXTRAS):
        try:
            yield Check("libraries", package, "ok", importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            extra = _EXTRAS.get(package)
            state: State = "broken" if extra is None or package in needed else "missing"
            wanted = f"'convrec[{extra}]'" if extra else package
            yield Check("libraries", package, state, "not installed", f"pip install {wanted}")


def _folders(settings: Settings) -> Iterator[Check]:
    yield Check("folders", "settings", "ok", f"{config_file()} ({'read' if config_file().is_file() else 'not there'})")
    for name, folder, variable in (
        ("home", settings.home, "CONVREC_HOME"),
        ("cache", settings.cache, "CONVREC_CACHE"),
    ):
        there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
        free = shutil.disk_usage(there).free
        low = free < LOW_DISK_BYTES
        yield Check(
            "folders",
            name,
            "missing" if low else "ok",
            f"{folder}, {free / 1e9:.1f} GB free",
            f"Free some disk, or set {variable} to a folder on a larger one" if low else "",
        )


def _models(settings: Settings) -> Iterator[Check]:
    for model in REGISTRY.values():
        place = pull.path(model.name, settings)
        needed = model.name == EMBEDDER and settings.memory.embedder == "minilm"
        yield Check(
            "models",
            model.name,
            "ok" if place else "broken" if needed else "missing",
            f"{model.size / 1e6:,.0f} MB, {place or 'not here'}",
            "" if place else f"convrec models pull {model.name}",
        )


def _catalogue(settings: Settings) -> Iterator[Check]:
    name = settings.catalogue
    demo = name == DEMO
    folder = settings.catalogues / name
    fix = "convrec setup" if demo else f"convrec data import FILE --name {name}"
    try:
        manifest = read_manifest(folder)
    except CatalogueError as error:
        yield Check("catalogue", name, "broken", str(error), fix)
        return
    noun = manifest.item_schema.item_noun_plural
    yield Check("catalogue", name, "ok", f"{manifest.size:,} {noun} in {folder}")
    yield _index(settings, folder)
    yield _rank_pack(settings, folder)
    yield _ranking_model(settings, folder)


def _index(settings: Settings, folder: Path) -> Check:
    name, build = "embedding index", "convrec setup"
    if settings.memory.embedder == "hashing":
        return Check("catalogue", name, "ok", f"not used with the embedder {HashingEmbedder().name}")
    place = pull.path(EMBEDDER, settings)
    if place is None:
        return Check("catalogue", name, "missing", "needs the embedding model", build)
    catalogue: Catalogue | None = None
    try:
        catalogue = Catalogue.open(folder)
        open_index(catalogue, MiniLMEmbedder(place))
    except ConvrecError as error:
        fix = build if settings.catalogue == DEMO else ""
        return Check("catalogue", name, "missing", f"no search by meaning: {error}", fix)
    finally:
        if catalogue is not None:
            catalogue.close()
    return Check("catalogue", name, "ok", f"{EMBEDDER}, up to date")


def _rank_pack(settings: Settings, folder: Path) -> Check:
    """Whether ReDial's counts weigh in the ranking; a catalogue of other items is none the worse without them."""
    name = "ranking pack"
    catalogue: Catalogue | None = None
    if not settings.rank_pack:
        return Check("catalogue", name, "ok", "switched off (CONVREC_RANK_PACK)")
    try:
        pack = shipped_pack()
        catalogue = Catalogue.open(folder)
        covered = sum(row is not None for row in catalogue.rows_of(pack.ids))
    except ModelError as error:
        return Check("catalogue", name, "missing", str(error), "pip install --force-reinstall --no-deps convrec")
    except CatalogueError as error:
        return Check("catalogue", name, "missing", f"not looked at: {error}")
    finally:
        if catalogue is not None:
            catalogue.close()
    if not covered:
        return Check("catalogue", name, "ok", "does not apply: no item has the IMDb id of a film of ReDial as its id")
    noun = catalogue.schema.item_noun_plural
    return Check("catalogue", name, "ok", f"applies to {covered:,} {noun} of {catalogue.size:,} (ReDial, CC BY 4.0)")


def _ranking_model(settings: Settings, folder: Path) -> Check:
    """Whether a trained recommender ranks too, and how much of the catalogue it knows; a wrong one stops the chat."""
    name = "ranking model"
    if settings.ranking.model is None:
        return Check("catalogue", name, "ok", "none set (CONVREC_RANKING__MODEL)")
    catalogue: Catalogue | None = None
    try:
        catalogue = Catalogue.open(folder)
        model = open_ranking_model(settings, catalogue)
        assert model is not None
    except SettingsError as error:
        return Check(
            "catalogue", name, "broken", str(error), "set CONVREC_RANKING__MODEL to another folder, or unset it"
        )
    except CatalogueError as error:
        return Check("catalogue", name, "missing", f"not looked at: {error}")
    finally:
        if catalogue is not None:
            catalogue.close()
    noun = catalogue.schema.item_noun_plural
    detail = f"{model.name} in {model.folder}: knows {model.covered():,} {noun} of {catalogue.size:,}"
    return Check("catalogue", name, "ok", detail)


def _tier(settings: Settings) -> Iterator[Check]:
    """Which tier the settings take; that ``auto`` finds no language model is a lack, not a fault."""
    try:
        resolved = resolve(settings)
    except ConvrecError as error:
        yield Check("model that answers", settings.tier, "broken", str(error), _pull_command(settings))
        return
    try:
        who = resolved.llm.name if resolved.llm else "rules, no language model"
    finally:
        if resolved.llm is not None:
            resolved.llm.close()
    wanting = resolved.tier == "none" and settings.tier != "none"
    yield Check(
        "model that answers",
        f"{settings.tier} → {resolved.tier}" if settings.tier == "auto" else resolved.tier,
        "missing" if wanting else "ok",
        f"{who}: {resolved.note}",
        _pull_command(settings) if wanting else "",
    )


def _pull_command(settings: Settings) -> str:
    if settings.tier == "served":
        return "set CONVREC_LLM__BASE_URL to an OpenAI-compatible endpoint that answers"
    if not (installed("langchain_core") and installed("xllamacpp")):
        return "pip install 'convrec[local-llm]'"
    return f"convrec models pull {settings.llm.embedded_model}"


def _datasets(settings: Settings) -> Iterator[Check]:
    for name, spec in DATASETS.items():
        fix = f"convrec data fetch {name}"
        try:
            manifest = read_fetched(settings.datasets / name)
        except DatasetError as error:
            yield Check("data sets, for evaluation", name, "missing", str(error), fix)
            continue
        detail = f"{spec.title}, {len(manifest['files'])} files" if manifest else f"{spec.title}, not here"
        yield Check("data sets, for evaluation", name, "ok" if manifest else "missing", detail, "" if manifest else fix)
