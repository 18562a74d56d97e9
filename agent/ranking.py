"""A trained recommender for the chat's ranking: found, checked and bound to the catalogue before the first turn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from convrec.core.errors import CatalogueError, DatasetError, MissingExtraError, SettingsError
from convrec.core.extras import installed, require
from convrec.core.pull import path as model_path
from convrec.core.settings import Settings
from convrec.memory.embedders import NAME as ENCODER
from convrec.memory.embedders import MiniLMEmbedder, calm
from convrec.tools.catalogue import Catalogue
from convrec.tools.ranking_items import Matched, match_items
from convrec.tools.ranking_model import RankingModel
from convrec.tools.recommenders.base import FORMAT, Recommender
from convrec.tools.recommenders.content_embedding import ContentEmbedding
from convrec.tools.recommenders.item_names import dataset_names, read_names
from convrec.tools.recommenders.registry import RECOMMENDERS

_LIBRARIES = {
    "fused": (("lightgbm", "train"),),
    "bm25": (("bm25s", "train"),),
    "bi_encoder": (("torch", "memory"), ("transformers", "memory"), ("tokenizers", "memory")),
    "content": (("sentence_transformers", "memory"),),
}
"""(library, extra) that a kind of recommender needs to score."""
_ENCODING = frozenset({"bi_encoder", "content"})
"""Kinds that need the sentence encoder, which is not saved with them."""


@runtime_checkable
class Encoding(Protocol):
    """A recommender that needs the sentence encoder's folder."""

    encoder: Path | None


def give_encoder(model: Recommender, encoder: Path | None) -> None:
    """Hand the sentence encoder in folder ``encoder`` to a recommender that needs one."""
    if encoder is not None:
        if isinstance(model, Encoding):
            model.encoder = encoder
        elif isinstance(model, ContentEmbedding):
            model.embed = MiniLMEmbedder(encoder).embed


def open_ranking_model(settings: Settings, catalogue: Catalogue) -> RankingModel | None:
    """The recommender of ``ranking.model``, bound to the catalogue and not loaded yet; None when none is set.

    Raises:
        SettingsError: there is none in that folder, something that it needs is missing, or the catalogue has none of
            its items; names the setting, its value and what to do.
    """
    if settings.ranking.model is None:
        return None
    folder = _folder(settings, settings.ranking.model)
    manifest = _manifest(folder)
    kinds = list(_kinds(folder, manifest))
    encoder = _needs(kinds, folder, settings)
    try:
        matched = _matched(settings, catalogue, folder, manifest)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _wrong(folder, f"its items cannot be read ({error!r})", "Train it again") from error
    if not matched.items.n_known:
        raise _wrong(
            folder,
            f"of its {matched.items.n_model:,} items the catalogue {catalogue.name} has none, by id, IMDb id, or title "
            "and year",
            "Choose the catalogue it was trained for (--catalogue), or train with titles (convrec train "
            "--interactions FILE --items FILE); a model of ReDial or INSPIRED that was trained before names were "
            "kept needs its data set: convrec data fetch redial",
        )
    return RankingModel(
        catalogue,
        folder,
        kinds[0],
        matched,
        prepare=lambda model: give_encoder(model, encoder),
        around=calm if encoder is not None else nullcontext,
    )


def _folder(settings: Settings, given: Path) -> Path:
    """The folder as it is given; a bare name also stands for one among the trained models of the home."""
    folder = given.expanduser()
    own = settings.home / "models" / folder
    return own if len(folder.parts) == 1 and not folder.exists() and own.exists() else folder


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        name, version = manifest["name"], manifest["format"]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _wrong(
            folder, "no recommender is saved there", "Give a folder that convrec train wrote, or leave it out"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _wrong(folder, f"its manifest.json is that of no recommender ({error!r})", "Train it again") from error
    if name not in RECOMMENDERS or version != FORMAT:
        raise _wrong(
            folder,
            f"it holds {name!r} of format {version!r}; this version knows format {FORMAT} of {', '.join(RECOMMENDERS)}",
            "Train it again",
        )
    return dict(manifest)


def _kinds(folder: Path, manifest: dict[str, Any]) -> Iterator[str]:
    """Its own kind, then those of its parts."""
    yield str(manifest["name"])
    for part in sorted((folder / "parts").glob("*/manifest.json")):
        yield from _kinds(part.parent, _manifest(part.parent))


def _needs(kinds: list[str], folder: Path, settings: Settings) -> Path | None:
    """The sentence encoder's folder, None where it is not needed; checks that the libraries are here."""
    for kind in kinds:
        for library, extra in _LIBRARIES.get(kind, ()):
            try:
                if library == "lightgbm":  # small, and it may be installed without a system library that it needs
                    require(library, extra, f"the recommender {kind}")
                elif not installed(library):
                    raise MissingExtraError(library, extra, f"the recommender {kind}")
            except MissingExtraError as error:
                raise _wrong(folder, str(error).rstrip("."), "Or do without the ranking model") from error
            except OSError as error:
                fix = "On Debian or Ubuntu: apt-get install libgomp1"
                raise _wrong(folder, f"LightGBM cannot be loaded ({error})", fix) from error
    if _ENCODING.isdisjoint(kinds):
        return None
    encoder = model_path(ENCODER, settings)
    if encoder is None:
        raise _wrong(
            folder, f"it needs the encoder {ENCODER}, which is not here", f"Run: convrec models pull {ENCODER}"
        )
    return encoder


def _matched(settings: Settings, catalogue: Catalogue, folder: Path, manifest: dict[str, Any]) -> Matched:
    item_ids = [str(item) for item in json.loads((folder / "items.json").read_text(encoding="utf-8"))]
    names = read_names(folder, len(item_ids))
    splits = manifest.get("info", {}).get("splits", [])
    if names is None and splits:  # trained before names were kept
        try:
            names = dataset_names(settings.datasets, [str(split) for split in splits], item_ids)
        except DatasetError as error:
            raise _wrong(
                folder, f"it does not name its items, and {str(error).rstrip('.')}", "Or train it again"
            ) from error
    try:
        return match_items(catalogue, item_ids, names)
    except CatalogueError as error:
        raise _wrong(folder, f"its items cannot be looked up: {error}", "Or do without the ranking model") from error


def _wrong(folder: Path, what: str, fix: str) -> SettingsError:
    return SettingsError(f"ranking.model = {str(folder)!r} (CONVREC_RANKING__MODEL, --ranking-model): {what}. {fix}.")
