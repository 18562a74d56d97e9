"""Other people's recommenders in the item protocols.

A package names a maker under the entry point group ``convrec.recommenders``; ``module:object`` names one that is merely
importable. The maker is called as ``maker(seed=0)`` and gives an :class:`ItemRecommender`, or a
:class:`convrec.tools.recommenders.base.Recommender`. A complete example is in docs/evaluation.md.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from convrec.core.errors import ModelError, RequestError
from convrec.core.files import sha256_file
from convrec.core.items import FloatArray
from convrec.tools.datasets import Message
from convrec.tools.recommenders.base import NEVER, AnyArray, Recommender
from convrec.tools.recommenders.data import Context, TrainData

GROUP = "convrec.recommenders"
"""Entry point group of recommenders."""
LIST_SIZE = 200
"""Ids asked for per dialogue. The longest list that is measured is 50; what a protocol takes out, or what two items of
the cases share, comes off the rest."""


@dataclass(frozen=True, slots=True)
class Request:
    """One dialogue so far. ``messages``: oldest first, each with ``speaker``, ``text`` and the item ids it
    ``mentions``. ``named``: ids of all items named so far, in order of their latest mention, newest last."""

    messages: tuple[Message, ...]
    named: tuple[str, ...]


class ItemRecommender(Protocol):
    """What someone else's recommender must do. Item ids are those of the data set: ``train.item_ids``."""

    def fit(self, train: TrainData) -> object:
        """Learn. ``train.sequences()``: who named what in each training dialogue; ``train.dialogues``: those known
        with text; ``train.details``: names, years, genres, people of the items. Test dialogues are never in it."""
        ...

    def recommend(self, requests: Sequence[Request], k: int) -> Sequence[Sequence[str]]:
        """For each dialogue up to ``k`` item ids, best first. A short list counts as misses. An id that is no item is
        dropped and counted. Must not depend on which other dialogues are in the batch."""
        ...


class Plugin(Recommender):
    """An :class:`ItemRecommender` among ours. ``spec``: how it was asked for, for messages."""

    name = "plug-in"

    def __init__(self, made: ItemRecommender, spec: str, *, seed: int = 0) -> None:
        super().__init__(seed=seed)
        self.made, self.spec = made, spec
        self.outside: list[int] = []
        """For each dialogue of the last ``score``: ids among the first ten of its list that were no item."""

    def _fit(self, train: TrainData) -> None:
        self.made.fit(train)

    def _score(self, contexts: Sequence[Context]) -> FloatArray:
        ids = self.item_ids or ()
        requests = [Request(context.messages, tuple(ids[row] for row in context.named)) for context in contexts]
        lists = self.made.recommend(requests, LIST_SIZE)
        if len(lists) != len(requests):
            raise RequestError(
                "system", self.spec, f"recommend gave {len(lists)} lists for {len(requests)} dialogues; give one each."
            )
        scores = np.full((len(contexts), self.n_items), NEVER, dtype=np.float32)
        self.outside = []
        for line, listed in zip(scores, lists, strict=True):
            for rank, row in enumerate(self._rows_of(listed)):
                line[row] = -rank
        return scores

    def _rows_of(self, listed: object) -> list[int]:
        if isinstance(listed, str) or not isinstance(listed, Sequence):
            kind = type(listed).__name__
            raise RequestError("system", self.spec, f"recommend gave a {kind} for a dialogue; give a list of item ids.")
        known = [self.row_of.get(item) if isinstance(item, str) else None for item in listed]
        self.outside.append(sum(row is None for row in known[:10]))
        return list(dict.fromkeys(row for row in known if row is not None))

    def _arrays(self) -> Mapping[str, AnyArray]:
        raise ModelError(f"{self.spec} is a plug-in; it saves itself, if at all.")

    def _restore(self, arrays: Mapping[str, AnyArray]) -> None:
        raise ModelError(f"{self.spec} is a plug-in; it loads itself, if at all.")


def plugin_names() -> tuple[str, ...]:
    """Names under which installed packages offer recommenders, sorted."""
    return tuple(sorted(metadata.entry_points(group=GROUP).names))


def load_plugin(spec: str) -> Callable[[int], Recommender]:
    """The maker behind an entry point's name or ``module:object``: an unfitted recommender from a seed.

    Raises:
        RequestError: there is none, it cannot be imported, or what it makes is no recommender.
    """
    found = _found(spec)
    return lambda seed: _made(spec, found, seed)


def plugin_hash(spec: str) -> str:
    """What identifies the code behind ``spec``: the hash of its module's file, else the distribution's version."""
    found = _found(spec)
    try:
        return sha256_file(Path(inspect.getfile(inspect.unwrap(found))))
    except (TypeError, OSError):
        entries = metadata.entry_points(group=GROUP)
        known = entries[spec].dist if spec in entries.names else None
        named = f"{known.name} {known.version}" if known is not None else spec
        return hashlib.sha256(named.encode()).hexdigest()


def _found(spec: str) -> Any:
    entries = metadata.entry_points(group=GROUP)
    try:
        if spec in entries.names:
            return entries[spec].load()
        module, _, name = spec.partition(":")
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise RequestError(
            "system", spec, f"It cannot be imported ({error}). Give an installed name or module:object."
        ) from error


def _made(spec: str, found: Any, seed: int) -> Recommender:
    if not callable(found):
        raise RequestError("system", spec, "It cannot be called. Give a class or a function that takes seed=.")
    made = found(seed=seed)
    if isinstance(made, Recommender):
        return made
    if missing := [name for name in ("fit", "recommend") if not callable(getattr(made, name, None))]:
        raise RequestError(
            "system", spec, f"It is no recommender: {', '.join(missing)} missing (convrec.eval.item_plugins)."
        )
    return Plugin(cast(ItemRecommender, made), spec, seed=seed)
