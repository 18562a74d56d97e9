"""R-unicrs and I-unicrs: the test files of UniCRS (Wang et al., KDD 2022), which most later papers report on.

As its data reader does: every movie a recommender's message names is one case, also one that was named before and one
that the message names twice; nothing is taken out of predictions; a message with nothing said before is left out. On
INSPIRED this gives the 256 cases of the papers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from convrec.core.errors import DatasetError
from convrec.core.items import EMPTY_ROWS
from convrec.eval.cikm import (
    dbpedia_links,
    entity_context,
    entity_setting,
    inspired_universe,
    link_entities,
    spellings,
    universe_of,
)
from convrec.eval.mapped import Setting
from convrec.eval.protocols import Case, Cases
from convrec.eval.titles import Spelling
from convrec.tools.datasets import InspiredData, Message, RedialData, json_lines
from convrec.tools.recommenders.data import Context

_ROWS = "eval/redial_unicrs_test_processed.jsonl.gz"
_ENTITIES = "kg_dbpedia_unicrs.json.gz"


def unicrs_setting(data: RedialData | InspiredData, redial: RedialData | None = None) -> Setting:
    """The cases over the DBpedia entities that UniCRS ranks: 6,281 on ReDial; on INSPIRED the 1,123 of I-cikm, which
    hold all gold. ``redial``: as for :func:`convrec.eval.cikm.cikm_setting`.

    ReDial's rows have no dialogue id: a row whose context does not go on from the row before begins a new dialogue.
    INSPIRED's processed file mixes movies with other entities and both speakers, so its cases are made from the
    dialogues and their movie links, as UniCRS makes them.

    Raises:
        DatasetError: the files are missing (the publishers do not serve them) or not of the expected form.
    """
    if isinstance(data, RedialData):
        universe, name_of = universe_of(data.folder / _ENTITIES)
        entity = link_entities(data.items(), dbpedia_links(data), universe)
        path = data.folder / _ROWS
        build = partial(_redial_cases, universe=universe, name_of=name_of, typed=spellings(data, entity))
    else:
        universe = inspired_universe(data)
        entity = link_entities(data.items(), dbpedia_links(data), universe)
        path = data.folder / "test.jsonl.gz"
        build = partial(_inspired_cases, universe=universe)
    records = [record for _, record in json_lines(path)]
    try:
        cases = build(records)
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{path}: not the expected form ({error!r}).") from error
    return entity_setting(cases, data, redial, universe, entity)


def _redial_cases(
    records: Sequence[Any],
    universe: Sequence[str],
    name_of: Mapping[int, str],
    typed: Mapping[str, Sequence[Spelling]],
) -> Cases:
    row_of = {key: row for row, key in enumerate(universe)}
    cases: list[Case] = []
    number, before = -1, [""]
    for record in records:
        texts = [str(text) for text in record["context"]]
        if texts[: len(before)] != before or len(texts) == len(before):
            number += 1
        before = texts
        gold = [row_of[name_of[int(entity)]] for entity in record["rec"]]
        if gold and any(texts):
            named = [name for entity in dict.fromkeys(record["entity"]) if (name := name_of[int(entity)]) in row_of]
            context = entity_context(texts, named, row_of, typed)
            cases += _one_each(number, f"dialogue {number + 1}", len(texts), context, gold)
    return Cases("unicrs", number + 1, tuple(cases), len(universe))


def _inspired_cases(records: Sequence[Any], universe: Sequence[str]) -> Cases:
    row_of = {key: row for row, key in enumerate(universe)}
    cases: list[Case] = []
    for number, utterances in enumerate(records):
        said: list[Message] = []
        named: dict[int, None] = {}
        for position, utterance in enumerate(utterances):
            seeker = {"SEEKER": True, "RECOMMENDER": False}[utterance["role"]]
            links = [link for link in utterance["movie_link"] if link in row_of]
            gold = [row_of[link] for link in links]
            if gold and not seeker and position > 0:
                context = Context(np.array(list(named), dtype=np.int32), tuple(said))
                cases += _one_each(number, f"test-{number + 1}", position, context, gold)
            said.append(
                Message("seeker" if seeker else "recommender", str(utterance["text"]), tuple(dict.fromkeys(links)))
            )
            for row in gold:
                named.pop(row, None)
                named[row] = None
    return Cases("unicrs", len(records), tuple(cases), len(universe))


def _one_each(number: int, name: str, position: int, context: Context, gold: Sequence[int]) -> Iterator[Case]:
    for row in gold:
        yield Case(number, name, position, context, np.array([row], dtype=np.int32), EMPTY_ROWS)
