"""What a recommender is: a config, ``fit``, ``score`` a batch, ``save`` and ``load``.

Items are rows (0..n_items-1); the conversation comes as :class:`~convrec.tools.recommenders.data.Context`.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
from convrec.core.errors import ModelError
from convrec.core.files import sha256_file, write_json
from convrec.core.items import FloatArray, RowArray
from convrec.tools.recommenders.data import Context, TrainData
from convrec.tools.recommenders.item_names import ItemNames, read_names
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

FORMAT = 1
"""Version of the saved layout."""
NEVER = np.float32(-np.inf)
"""Score of an item that a recommender does not put forward at all; such items make the list shorter."""

AnyArray = NDArray[Any]


class RecommenderConfig(BaseModel):
    """Base of all configs."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@runtime_checkable
class Pooled(Protocol):
    """A recommender that first gathers candidates and orders only those."""

    def pool(self, contexts: Sequence[Context]) -> list[RowArray]:
        """The candidates of each context: rows, int32, no repeats, in any order."""
        ...


@runtime_checkable
class Continued(Protocol):
    """A recommender that can go on learning, so that a long fit need not be done again for a few more dialogues."""

    def go_on(self, train: TrainData, new: Collection[str]) -> Self:
        """Learn the dialogues ``new`` of ``train`` as well, by id; it was fitted on the others."""
        ...


class Recommender(ABC):
    """Base of all recommenders. A subclass gives ``name``, ``Config``, ``_fit``, ``_score``, ``_arrays``, ``_restore``.

    ``fit`` draws nothing at random unless a subclass says so; ``seed`` is recorded either way. ``info``: notes of
    whoever trains it, kept by ``save`` and ``load``: JSON values by name. ``info["splits"]`` lists what it was trained
    on ("redial-train", "redial-valid", ...), so that nobody measures it on those.
    """

    name: ClassVar[str]
    Config: ClassVar[type[RecommenderConfig]] = RecommenderConfig

    def __init__(self, config: RecommenderConfig | None = None, *, seed: int = 0) -> None:
        if config is not None and type(config) is not self.Config:
            raise TypeError(f"{type(self).__name__} takes {self.Config.__qualname__}, got {type(config).__qualname__}")
        self.config = config if config is not None else self.Config()
        self.seed = seed
        self.item_ids: tuple[str, ...] | None = None
        self.data_hash: str | None = None
        self.n_train: int | None = None
        """Training sequences it was fitted on; None for saves that do not tell."""
        self.info: dict[str, Any] = {}
        self.names: ItemNames | None = None
        """What the items are called, from whoever trains it; kept by ``save`` and ``load``."""
        self._rows: tuple[tuple[str, ...] | None, dict[str, int]] | None = None
        self.progress: Callable[[float], None] = lambda share: None
        """Told the share of a long fit that is done, 0..1."""

    def fit(self, train: TrainData) -> Self:
        """Learn from ``train``; a second call starts anew."""
        self._fit(train)
        return self._knows(train)

    def _knows(self, train: TrainData) -> Self:
        self.item_ids, self.data_hash, self.n_train = train.item_ids, train.digest, train.n_sequences
        return self

    def score(self, contexts: Sequence[Context]) -> FloatArray:
        """Score the whole catalogue for each context: float32, shape (len(contexts), n_items), higher is better.

        A score is finite, or :data:`NEVER` for an item the recommender does not put forward.

        Raises:
            ModelError: not fitted and not loaded.
        """
        n_items = self.n_items
        if not contexts:
            return np.empty((0, n_items), dtype=np.float32)
        scores = self._score(contexts)
        if scores.shape != (len(contexts), n_items) or scores.dtype != np.float32:
            raise AssertionError(f"{self.name} gave {scores.dtype} {scores.shape}")
        return scores

    @property
    def n_items(self) -> int:
        if self.item_ids is None:
            raise ModelError(f"the recommender {self.name} knows nothing yet: call fit(train) or load(folder) first.")
        return len(self.item_ids)

    @property
    def row_of(self) -> Mapping[str, int]:
        """Row by item id; made once for each set of items."""
        if self._rows is None or self._rows[0] is not self.item_ids:
            self._rows = self.item_ids, {item: row for row, item in enumerate(self.item_ids or ())}
        return self._rows[1]

    def save(self, folder: Path) -> None:
        """Write arrays and manifest to ``folder``, which appears at once and whole, in place of an older save.

        Raises:
            ModelError: not fitted; or ``folder`` exists and is no saved recommender (it is left alone).
        """
        n_items = self.n_items
        if folder.exists() and not (folder / "manifest.json").is_file():
            raise ModelError(f"{folder} exists and is no saved recommender: give another folder or remove it.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent) as work:
            fresh, old = Path(work) / "fresh", Path(work) / "old"
            fresh.mkdir()
            write_json(fresh / "items.json", list(self.item_ids or ()))
            if self.names is not None:
                self.names.write(fresh)
            for name, array in self._arrays().items():
                np.save(fresh / f"{name}.npy", array, allow_pickle=False)
            for name, part in self._parts().items():
                part.save(fresh / "parts" / name)
            manifest = {
                "format": FORMAT,
                "name": self.name,
                "config": self.config.model_dump(mode="json"),
                "seed": self.seed,
                "n_items": n_items,
                "data_hash": self.data_hash,
                "n_train": self.n_train,
                "info": self.info,
                "files": {path.name: sha256_file(path) for path in sorted(fresh.iterdir()) if path.is_file()},
            }
            write_json(fresh / "manifest.json", manifest)
            if folder.exists():
                folder.rename(old)
            fresh.rename(folder)
            if old.exists():
                shutil.rmtree(old)

    @classmethod
    def load(cls, folder: Path, *, verify: bool = False) -> Self:
        """Read what ``save`` wrote. Large arrays are mapped, not read; ``verify`` reads and checks every file's hash.

        Raises:
            ModelError: missing, damaged, or another recommender's.
        """
        try:
            manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
            if manifest["format"] != FORMAT or manifest["name"] != cls.name:
                raise ModelError(
                    f"{folder} holds {manifest['name']!r} of format {manifest['format']}, expected {cls.name!r} of "
                    f"format {FORMAT}. Train it again."
                )
            if verify:
                bad = [name for name, digest in manifest["files"].items() if sha256_file(folder / name) != digest]
                if bad:
                    raise ModelError(f"{folder}: {', '.join(bad)} changed since it was saved. Train it again.")
            loaded = cls(cls.Config.model_validate(manifest["config"]), seed=manifest["seed"])
            item_ids = tuple(json.loads((folder / "items.json").read_text(encoding="utf-8")))
            info, item_names = dict(manifest.get("info", {})), read_names(folder, len(item_ids))
            names = [name.removesuffix(".npy") for name in manifest["files"] if name.endswith(".npy")]
            loaded._restore({n: np.load(folder / f"{n}.npy", mmap_mode="r", allow_pickle=False) for n in names})
            loaded._restore_parts(folder / "parts")
        except FileNotFoundError as error:
            raise ModelError(f"{error.filename} is missing: no recommender is saved in {folder}. Train it.") from error
        except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
            raise ModelError(f"the recommender in {folder} is damaged ({error}). Train it again.") from error
        loaded.item_ids, loaded.data_hash = item_ids, manifest["data_hash"]
        loaded.n_train, loaded.info, loaded.names = manifest.get("n_train"), info, item_names
        return loaded

    @abstractmethod
    def _fit(self, train: TrainData) -> None: ...

    @abstractmethod
    def _score(self, contexts: Sequence[Context]) -> FloatArray: ...

    @abstractmethod
    def _arrays(self) -> Mapping[str, AnyArray]:
        """All that was learnt, by name; names are file names."""

    @abstractmethod
    def _restore(self, arrays: Mapping[str, AnyArray]) -> None: ...

    def _parts(self) -> Mapping[str, Recommender]:
        """Recommenders that this one is made of, by name; saved with it."""
        return {}

    def _restore_parts(self, folder: Path) -> None:  # noqa: B027 -- most have no parts
        """Load what ``_parts`` gave, each from its own folder in ``folder``."""
