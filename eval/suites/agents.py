"""Agents of our own over small catalogues that a suite has changed: other order, other texts."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
from convrec.agent.build import open_catalogue, open_embedder
from convrec.core.items import FieldValue, Item
from convrec.core.settings import Settings, Tier
from convrec.eval.subject import LocalSubject, local_subject
from convrec.tools.catalogue import Catalogue
from convrec.tools.importing import ImportRequest, import_catalogue
from convrec.tools.item_index import build_index
from convrec.tools.schema import Role, Schema

NAME = "suite"
SIZE = 600
"""Films of a small catalogue."""
FAMOUS = 300
"""How many of them are the best known; the others are drawn."""


def sample(catalogue: Catalogue, seed: int, size: int = SIZE) -> list[Item]:
    """The best known items and drawn ones, by row. Half and half, so that rankings have a head and a tail."""
    rng = np.random.default_rng(seed)
    popularity = catalogue.schema.by_role(Role.POPULARITY)
    known = np.zeros(catalogue.size) if popularity is None else np.nan_to_num(catalogue.numeric(popularity.name), nan=0)
    order = np.argsort(-known, kind="stable")
    head = order[: min(FAMOUS, size // 2)]
    tail = rng.choice(order[len(head) :], size=min(size - len(head), len(order) - len(head)), replace=False)
    return catalogue.items(np.sort(np.concatenate([head, tail])).astype(np.int32))


def best_known(items: Sequence[Item], n: int) -> list[Item]:
    """The ``n`` items of most reviews whose title is two words or more: what a request may name."""
    named = [item for item in items if len(item.title.split()) > 1 and item.title.replace(" ", "").isalpha()]
    return sorted(named, key=lambda item: (-(item.number("reviews") or 0), item.id))[:n]


def plot_of(item: Item) -> str:
    """A plain description from the record, so that an item with a planted text is not the only one with a text."""
    genres = ", ".join(g.lower() for g in item.tags("genres")) or "film"
    people = f" by {item.tags('directors')[0]}" if item.tags("directors") else ""
    place = f", made in {item.tags('countries')[0]}" if item.tags("countries") else ""
    return f"A {genres} story{people}{place}, about people who want something and what it costs them."


def row(item: Item, *, title: str | None = None, **fields: FieldValue) -> dict[str, Any]:
    """The item as a line of a file to import; ``fields`` and ``title`` take the place of its own."""
    values = {name: value for name, value in {**item.fields, **fields}.items() if value is not None and value != ()}
    return {"id": item.id, "title": title or item.title, **values}


def agent_over(
    rows: Sequence[dict[str, Any]], schema: Schema, settings: Settings, tier: Tier, stack: ExitStack
) -> LocalSubject:
    """Our agent over a catalogue of these rows in a home folder of its own; both are gone when ``stack`` closes.

    The rows go through the import as a user's file would: what it strips or refuses is stripped or refused here.
    """
    home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="convrec-suite-")))
    file = home / "items.jsonl"
    file.write_text("".join(f"{json.dumps(one)}\n" for one in rows), encoding="utf-8")
    import_catalogue(ImportRequest(file, NAME, schema=schema, max_bad=0.0), home / "catalogues")
    own = settings.model_copy(update={"home": home, "catalogue": NAME})
    with closing(open_catalogue(own)) as catalogue:
        build_index(catalogue, open_embedder(own))
    subject = local_subject(own, tier=tier)
    stack.callback(subject.close)
    return subject
