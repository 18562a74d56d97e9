"""R-cikm and I-cikm: the test rows of He et al. (CIKM 2023, arXiv:2308.10053), behind published zero-shot LLM figures.

Items are DBpedia entities. Gold are a row's ``rec`` entities that were not named before ("new"); named titles are also
taken out of predictions. Two entities with one title (a film and its remake differ in the bracket of their DBpedia
name only) count as the same title: this is what gives the published counts.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from convrec.core.errors import DatasetError
from convrec.core.items import RowArray
from convrec.core.text import fold
from convrec.eval.mapped import Setting, names_by_use
from convrec.eval.protocols import Case, Cases, walk
from convrec.eval.titles import Spelling, located
from convrec.tools.datasets import DatasetItem, InspiredData, Message, RedialData, json_lines, json_object
from convrec.tools.recommenders.data import Context
from convrec.tools.recommenders.training_sets import inspired_in_redial, inspired_train, redial_train, renamed

_BRACKET = re.compile(r"_\(.*\)")
"""What tells DBpedia entities of one title apart: ``Heat_(1995_film)``."""

_DATED = re.compile(r"_\(\d{4}_")
_YEAR = re.compile(r"_\((\d{4})_")
_PREFIX = re.compile(r"^<http://dbpedia\.org/resource/")

_FILES = {
    "redial": ("eval/redial_cikm23_test.jsonl.gz", "eval/redial_cikm23_entities.json.gz"),
    "inspired": ("eval/inspired_cikm23_test.jsonl.gz", "eval/inspired_cikm23_entities.json.gz"),
}

INSPIRED_VALID = "gold inside the I-cikm universe"
"""What a report says of :func:`inspired_valid_setting`, which has nothing of I-cikm's test rows."""


def cikm_setting(data: RedialData | InspiredData, redial: RedialData | None = None) -> Setting:
    """The cases, the training data of the data set in its own items, and which of these each entity is.

    ``redial``: for INSPIRED, so that models in ReDial's items (or in those of both) can be measured too.

    ``prev_entity`` does not say who named what. So titles are looked for in the texts: ``Message.mentions`` holds the
    entities found there, and ``Context.named`` is in order of latest mention, those not found first. Speakers
    alternate and end with the seeker.

    Raises:
        DatasetError: the files are missing (the publishers do not serve them) or not of the expected form.
    """
    rows_path, entities_path = (data.folder / part for part in _FILES[_name(data)])
    universe, name_of = universe_of(entities_path)
    entity = link_entities(data.items(), dbpedia_links(data), universe)
    try:
        cases = _cases([record for _, record in json_lines(rows_path)], universe, name_of, spellings(data, entity))
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{rows_path} or {entities_path}: not the expected form ({error!r}).") from error
    return entity_setting(cases, data, redial, universe, entity)


def inspired_valid_setting(data: InspiredData, redial: RedialData | None = None) -> Setting:
    """For choosing settings: INSPIRED's validation dialogues, walked as in R-novel, over the entities of I-cikm.

    Mentions that cannot be linked to one of them play no part, so all gold is inside the universe of I-cikm. As there,
    titles like a named one are taken out of predictions.

    Raises:
        DatasetError: as for :func:`cikm_setting`.
    """
    universe = inspired_universe(data)
    entity = link_entities(data.items(), dbpedia_links(data), universe)
    dialogues = [renamed(dialogue, entity, drop=True) for dialogue in data.dialogues("valid")]
    found = walk(dialogues, {name: row for row, name in enumerate(universe)}, "novel")
    titled = _rows_titled(universe)
    kept = []
    for case in found.cases:
        titles = {_title(universe[row]) for row in case.context.named}
        gold = _rows(row for row in case.gold.tolist() if _title(universe[row]) not in titles)
        if gold.size:
            kept.append(replace(case, gold=gold, excluded=_twins(titles, titled)))
    return entity_setting(replace(found, cases=tuple(kept)), data, redial, universe, entity, INSPIRED_VALID)


def entity_setting(
    cases: Cases,
    data: RedialData | InspiredData,
    redial: RedialData | None,
    universe: Sequence[str],
    entity: Mapping[str, str],
    note: str = "",
) -> Setting:
    """``universe``: the items of the cases; ``entity``: DBpedia name by item id of the data set."""
    if isinstance(data, RedialData):
        train = redial_train(data)
        spaces = {"ReDial": frozenset(train.item_ids)}
        return Setting(cases, tuple(universe), names_by_use(entity, train), train, spaces, note)
    train = inspired_train(data)
    known_as = names_by_use(entity, train)
    spaces = {"INSPIRED": frozenset(train.item_ids)}
    if redial is not None:
        spaces["ReDial"] = frozenset(item.id for item in redial.items())
        same = inspired_in_redial(redial, data)
        also: dict[str, list[str]] = defaultdict(list)
        for item, name in link_entities(redial.items(), dbpedia_links(redial), universe).items():
            also[name].append(item)
        for name in universe:
            ours = known_as.get(name, [])
            known_as[name] = [*ours, *(same[item] for item in ours if item in same), *also[name]]
    return Setting(cases, tuple(universe), known_as, train, spaces, note)


def inspired_universe(data: InspiredData) -> list[str]:
    """The 1,123 entities that I-cikm ranks."""
    return universe_of(data.folder / _FILES["inspired"][1])[0]


def universe_of(path: Path) -> tuple[list[str], dict[int, str]]:
    """(entities that are items, in the order of their file; name of every entity by its number)."""
    entities = json_object(path)
    try:
        name_of = {int(number): str(key) for key, number in entities["entity2id"].items()}
        return [name_of[int(number)] for number in entities["item_ids"]], name_of
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DatasetError(f"{path}: not the expected form ({error!r}).") from error


def _cases(
    records: Sequence[Any],
    universe: Sequence[str],
    name_of: Mapping[int, str],
    typed: Mapping[str, Sequence[Spelling]],
) -> Cases:
    row_of = {key: row for row, key in enumerate(universe)}
    titled = _rows_titled(universe)
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
        texts = [str(text) for text in record["context"]]
        context = entity_context(texts, [key for key in before if key in row_of], row_of, typed)
        cases.append(Case(number, str(record["dialog_id"]), len(texts), context, gold, _twins(titles, titled)))
    return Cases("cikm", len(dialogues), tuple(cases), len(universe))


def entity_context(
    texts: Sequence[str], before: Sequence[str], row_of: Mapping[str, int], typed: Mapping[str, Sequence[Spelling]]
) -> Context:
    """``texts``: oldest first, the last is the seeker's; ``before``: what they name; ``typed``: how that is typed."""
    found = located(texts, {key: typed[key] for key in before})
    order = dict.fromkeys(before)
    for names in found:
        for key in names:  # named again: it moves to the end, the newest; those not found stay at the front
            order.pop(key)
            order[key] = None
    # Rows alternate between the sides and the recommender answers, so the last text is the seeker's.
    messages = tuple(
        Message("seeker" if (len(texts) - i) % 2 else "recommender", text, found[i])
        for i, text in enumerate(texts)
        if text
    )
    return Context(_rows(row_of[key] for key in order), messages)


def spellings(data: RedialData | InspiredData, entity: Mapping[str, str]) -> Mapping[str, Sequence[Spelling]]:
    """How each entity may be typed: by its DBpedia name and by the names of the data set's items that it is linked to.

    ``entity``: DBpedia name by item id.
    """
    out: dict[str, list[Spelling]] = _Spellings()
    for item in data.items():
        if item.id in entity:
            dated = f"{item.title} {item.year}" if item.year is not None else ""
            out[entity[item.id]].append(Spelling(item.title, dated))
    return out


class _Spellings(dict[str, list[Spelling]]):
    """Every entity starts with the spelling of its DBpedia name."""

    def __missing__(self, name: str) -> list[Spelling]:
        title = _BRACKET.sub("", _PREFIX.sub("", name).strip("<>")).replace("_", " ")
        year = _YEAR.search(name)
        self[name] = [Spelling(title, f"{title} {year[1]}" if year else "")]
        return self[name]


def _rows_titled(universe: Sequence[str]) -> Mapping[str, list[int]]:
    out: dict[str, list[int]] = defaultdict(list)
    for row, key in enumerate(universe):
        out[_title(key)].append(row)
    return out


def _twins(titles: Iterable[str], titled: Mapping[str, list[int]]) -> RowArray:
    """Every entity of one of the titles."""
    return _rows(row for title in sorted(titles) for row in titled.get(title, ()))


def _name(data: RedialData | InspiredData) -> str:
    return "redial" if isinstance(data, RedialData) else "inspired"


def dbpedia_links(data: RedialData | InspiredData) -> dict[str, str]:
    """DBpedia name by item id, for the items that have one."""
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
