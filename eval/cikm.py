"""R-cikm and I-cikm: the test rows of He et al. (CIKM 2023, arXiv:2308.10053), behind published zero-shot LLM figures.

Items are DBpedia entities. Gold are a row's ``rec`` entities that were not named before ("new"); named titles are also
taken out of predictions. Two entities with one title (a film and its remake differ in the bracket of their DBpedia
name only) count as the same title: this is what gives the published counts.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from convrec.core.errors import DatasetError
from convrec.core.items import RowArray
from convrec.core.text import fold
from convrec.eval.protocols import Case, Cases
from convrec.tools.datasets import (
    DatasetItem,
    InspiredData,
    Mention,
    Message,
    RedialData,
    json_lines,
    json_object,
    mentions_of,
)
from convrec.tools.recommenders.data import Context, TrainData

_BRACKET = re.compile(r"_\(.*\)")
"""What tells DBpedia entities of one title apart: ``Heat_(1995_film)``."""

_DATED = re.compile(r"_\(\d{4}_")
_PREFIX = re.compile(r"^<http://dbpedia\.org/resource/")

_FILES = {
    "redial": ("eval/redial_cikm23_test.jsonl.gz", "eval/redial_cikm23_entities.json.gz"),
    "inspired": ("eval/inspired_cikm23_test.jsonl.gz", "eval/inspired_cikm23_entities.json.gz"),
}


def cikm_setting(data: RedialData | InspiredData) -> tuple[Cases, TrainData]:
    """The cases, and the training mentions in the same rows (the catalogue's entities, in the order of their file).

    ``Context.named`` is in the order of the rows' ``prev_entity``, which is not the order of mention, and
    ``Context.messages`` has alternating speakers that end with the seeker.

    Raises:
        DatasetError: the files are missing (the publishers do not serve them) or not of the expected form.
    """
    name = "redial" if isinstance(data, RedialData) else "inspired"
    rows_path, entities_path = (data.folder / part for part in _FILES[name])
    entities = json_object(entities_path)
    try:
        name_of = {int(number): str(key) for key, number in entities["entity2id"].items()}
        universe = [name_of[int(number)] for number in entities["item_ids"]]
        cases = _cases([record for _, record in json_lines(rows_path)], universe, name_of)
        train = TrainData.from_mentions(universe, _train_mentions(data, universe))
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{rows_path} or {entities_path}: not the expected form ({error!r}).") from error
    return cases, train


def _cases(records: Sequence[Any], universe: Sequence[str], name_of: Mapping[int, str]) -> Cases:
    row_of = {key: row for row, key in enumerate(universe)}
    rows_titled: dict[str, list[int]] = defaultdict(list)
    for key, row in row_of.items():
        rows_titled[_title(key)].append(row)
    dialogues: dict[str, int] = {}
    cases = []
    for record in records:
        number = dialogues.setdefault(str(record["dialog_id"]), len(dialogues))
        before = [name_of[int(entity)] for entity in dict.fromkeys(record["prev_entity"])]
        titles = {_title(key) for key in before}
        recommended = (name_of[int(entity)] for entity in dict.fromkeys(record["rec"]))
        gold = _rows(row_of[key] for key in recommended if _title(key) not in titles)
        if gold.size == 0:
            continue
        named = _rows(row_of[key] for key in before if key in row_of)
        twins = _rows(row for title in sorted(titles) for row in rows_titled.get(title, ()))
        texts = [str(text) for text in record["context"]]
        # Rows alternate between the sides and the recommender answers, so the last text is the seeker's.
        messages = tuple(
            Message("seeker" if (len(texts) - i) % 2 else "recommender", text) for i, text in enumerate(texts) if text
        )
        cases.append(Case(number, str(record["dialog_id"]), len(texts), Context(named, messages), gold, twins))
    return Cases("cikm", len(dialogues), tuple(cases), len(universe))


def _train_mentions(data: RedialData | InspiredData, universe: Sequence[str]) -> list[tuple[Mention, ...]]:
    """Training dialogues with items as DBpedia names; items that cannot be linked are left out."""
    entity = link_entities(data.items(), _dbpedia(data), universe)
    if isinstance(data, RedialData):
        sequences = [mentions for _, mentions in data.train_sequences()]
    else:
        sequences = [mentions_of(dialogue) for dialogue in data.dialogues("train")]
    return [
        tuple(Mention(entity[m.item], m.speaker, m.negative) for m in mentions if m.item in entity)
        for mentions in sequences
    ]


def _dbpedia(data: RedialData | InspiredData) -> dict[str, str]:
    key = "movieId" if isinstance(data, RedialData) else "name"
    records = (record for _, record in json_lines(data.folder / "items.jsonl.gz"))
    return {str(record[key]): str(record["dbpedia"]) for record in records if record.get("dbpedia")}


def link_entities(items: Iterable[DatasetItem], links: Mapping[str, str], universe: Sequence[str]) -> dict[str, str]:
    """DBpedia name by item id, for the items that have one in ``universe``.

    The item's own link counts first. Links made from another year's DBpedia often miss (``Superbad_(film)`` is now
    ``Superbad``), so then the title decides: among the entities of that title, the one with the item's year in its
    bracket, else the only one with no year there, else the one with no bracket at all.
    """
    known = set(universe)
    titled: dict[str, list[str]] = defaultdict(list)
    for name in universe:
        titled[fold(_title(_PREFIX.sub("", name)).replace("_", " "))].append(name)
    out: dict[str, str] = {}
    for item in items:
        if (link := links.get(item.id)) in known and link is not None:
            out[item.id] = link
            continue
        same = titled.get(fold(item.title), [])
        dated = [name for name in same if item.year is not None and f"({item.year}_" in name]
        undated = [name for name in same if not _DATED.search(name)]
        plain = [name for name in undated if "_(" not in name]
        for choice in (dated, undated, plain):
            if len(choice) == 1:
                out[item.id] = choice[0]
                break
    return out


def _title(name: str) -> str:
    return _BRACKET.sub("", name.strip("<>")).lower()


def _rows(rows: Iterable[int]) -> RowArray:
    return np.array(list(dict.fromkeys(rows)), dtype=np.int32)
