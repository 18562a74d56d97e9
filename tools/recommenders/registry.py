"""The recommenders by the name that their manifests carry, and loading one whatever it is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

from convrec.core.errors import ModelError
from convrec.tools.recommenders.base import Recommender

_HOME = "convrec.tools.recommenders"


class _Registry(Mapping[str, type[Recommender]]):
    """Name -> class; a class's module is imported when the class is first asked for, as some need heavy libraries."""

    def __init__(self, places: Mapping[str, tuple[str, str]]) -> None:
        self._places = dict(places)

    def __getitem__(self, name: str) -> type[Recommender]:
        module, attribute = self._places[name]
        found = getattr(import_module(f"{_HOME}.{module}"), attribute)
        assert isinstance(found, type)
        assert issubclass(found, Recommender)
        return found

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


RECOMMENDERS: Mapping[str, type[Recommender]] = _Registry(
    {
        "popularity": ("popularity", "Popularity"),
        "echo": ("echo", "Echo"),
        "itemknn": ("item_knn", "ItemKNN"),
        "ease": ("ease", "EASE"),
        "graph": ("graph", "ItemGraph"),
        "links": ("links", "Links"),
        "keywords": ("keywords", "Keywords"),
        "bm25": ("bm25", "BM25"),
        "convknn": ("conversation_knn", "ConversationKNN"),
        "bi_encoder": ("bi_encoder", "BiEncoder"),
        "sasrec": ("sasrec", "SASRec"),
        "fused": ("fusion", "Fused"),
        "content": ("content_embedding", "ContentEmbedding"),
        "blend": ("blend", "Blend"),
    }
)
"""Every kind of recommender that can be saved, by ``Recommender.name``."""


def load_recommender(folder: Path) -> Recommender:
    """Read what any recommender's ``save`` wrote.

    Raises:
        ModelError: missing, damaged, or of a kind that this version does not know.
    """
    path = folder / "manifest.json"
    try:
        name = json.loads(path.read_text(encoding="utf-8"))["name"]
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing: no recommender is saved in {folder}. Train it.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"the recommender in {folder} is damaged ({error!r}). Train it again.") from error
    if name not in RECOMMENDERS:
        raise ModelError(
            f"{path}, name: {name!r} is no recommender of this version, which knows {', '.join(RECOMMENDERS)}. "
            f"Train it again or use the version that wrote it."
        )
    return RECOMMENDERS[name].load(folder)
