"""ReDial and INSPIRED as training data: sequences of mentions, dialogues in full, what is known of the items."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from convrec.tools.datasets import InspiredData, RedialData, json_lines, mentions_of
from convrec.tools.recommenders.data import ItemDetails, TrainData


def redial_train(data: RedialData, *, with_valid: bool = False) -> TrainData:
    """All training dialogues of ReDial, oldest first (its ids grow with time). ``with_valid``: the validation split
    too, for a final fit whose settings are already chosen."""
    dialogues = data.dialogues("train")
    sequences = dict(data.train_sequences())
    if with_valid:
        valid = data.dialogues("valid")
        dialogues += valid
        sequences |= {dialogue.id: mentions_of(dialogue) for dialogue in valid}
    order = sorted(sequences, key=int)
    return TrainData.from_mentions(
        [item.id for item in data.items()],
        [sequences[key] for key in order],
        sequence_ids=order,
        dialogues=sorted(dialogues, key=lambda dialogue: int(dialogue.id)),
        details=item_details(data),
    )


def inspired_train(data: InspiredData, *, with_valid: bool = False) -> TrainData:
    """All training dialogues of INSPIRED, in file order."""
    dialogues = [*data.dialogues("train"), *(data.dialogues("valid") if with_valid else ())]
    return TrainData.from_mentions(
        [item.id for item in data.items()],
        [mentions_of(dialogue) for dialogue in dialogues],
        sequence_ids=[dialogue.id for dialogue in dialogues],
        dialogues=dialogues,
        details=item_details(data),
    )


def item_details(data: RedialData | InspiredData) -> ItemDetails:
    """What the data set's item file says of each item, in the order of ``data.items()``.

    Counts of mentions in that file (``nbMentions``, ``mentions``) include the test split and are not read.
    """
    items = data.items()
    key = "movieId" if isinstance(data, RedialData) else "name"
    found = {str(record[key]): record for _, record in json_lines(data.folder / "items.jsonl.gz")}
    records = [found[item.id] for item in items]
    return ItemDetails(
        names=tuple(item.name for item in items),
        titles=tuple(item.title for item in items),
        years=np.array([item.year or 0 for item in items], dtype=np.int16),
        documents=tuple(_document(item.name, record) for item, record in zip(items, records, strict=True)),
        tags={
            "genre": tuple(_texts(record, "genre") for record in records),
            "person": tuple(_texts(record, "director", "writer", "star") for record in records),
            "keyword": tuple(_texts(record, "keywords") for record in records),
        },
    )


def _document(name: str, record: dict[str, Any]) -> str:
    parts: Iterable[str] = (
        f"{name}.",
        ", ".join(_texts(record, "genre")) + ".",
        str(record.get("plot") or ""),
        ", ".join(_texts(record, "director", "star")) + ".",
        ", ".join(_texts(record, "keywords")[:20]),
    )
    return " ".join(part for part in parts if part.strip("., "))


def _texts(record: dict[str, Any], *fields: str) -> tuple[str, ...]:
    """Distinct values of some list fields, in order; fields may be missing or null."""
    return tuple(dict.fromkeys(str(value) for name in fields for value in record.get(name) or () if value))
