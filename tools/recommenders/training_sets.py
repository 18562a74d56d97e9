"""ReDial and INSPIRED as training data: sequences of mentions, dialogues in full, what is known of the items."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from convrec.tools.datasets import Dialogue, InspiredData, Mention, RedialData, json_lines, mentions_of
from convrec.tools.recommenders.data import ItemDetails, TrainData


def redial_train(data: RedialData, *, with_valid: bool = False) -> TrainData:
    """All training dialogues of ReDial, oldest first. ``with_valid``: the validation split too, for a final fit whose
    settings are already chosen."""
    sequences, dialogues = redial_dialogues(data, with_valid=with_valid)
    return TrainData.from_mentions(
        [item.id for item in data.items()],
        list(sequences.values()),
        sequence_ids=list(sequences),
        dialogues=dialogues,
        details=item_details(data),
    )


def redial_dialogues(data: RedialData, *, with_valid: bool) -> tuple[dict[str, tuple[Mention, ...]], list[Dialogue]]:
    """(mentions by dialogue id, the dialogues known in full), both oldest first: ReDial's ids grow with time."""
    dialogues = data.dialogues("train")
    sequences = dict(data.train_sequences())
    if with_valid:
        valid = data.dialogues("valid")
        dialogues += valid
        sequences |= {dialogue.id: mentions_of(dialogue) for dialogue in valid}
    ordered = {key: sequences[key] for key in sorted(sequences, key=int)}
    return ordered, sorted(dialogues, key=lambda dialogue: int(dialogue.id))


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


def joint_train(redial: RedialData, inspired: InspiredData, *, with_valid: bool = False) -> TrainData:
    """Both data sets over one item space: ReDial's dialogues in time order, then INSPIRED's in file order.

    Items are all of ReDial's in their order (its rows stay what they are), then those of INSPIRED that are not among
    them, by name. INSPIRED's dialogues name linked items by their ReDial id, and their ids start with "inspired-".
    """
    first, second = redial_train(redial, with_valid=with_valid), inspired_train(inspired, with_valid=with_valid)
    assert first.details is not None
    assert second.details is not None
    same = inspired_in_redial(redial, inspired)
    added = [row for row, item in enumerate(second.item_ids) if item not in same]
    dialogues = [renamed(dialogue, same) for dialogue in second.dialogues]
    dialogues = [replace(dialogue, id=f"inspired-{dialogue.id}") for dialogue in dialogues]
    sequences = first.sequences() + [mentions_of(dialogue) for dialogue in dialogues]
    return TrainData.from_mentions(
        [*first.item_ids, *(second.item_ids[row] for row in added)],
        sequences,
        sequence_ids=[*first.sequence_ids, *(dialogue.id for dialogue in dialogues)],
        dialogues=[*first.dialogues, *dialogues],
        details=first.details.extended(second.details.take(added)),
    )


def inspired_in_redial(redial: RedialData, inspired: InspiredData) -> dict[str, str]:
    """ReDial id by INSPIRED name, for the items that are in both; several names may have one id."""
    known = {item.id for item in redial.items()}
    records = (record for _, record in json_lines(inspired.folder / "items.jsonl.gz"))
    links = {str(record["name"]): str(record["redialMovieId"]) for record in records if record.get("redialMovieId")}
    return {name: item for name, item in links.items() if item in known}


def renamed(dialogue: Dialogue, ids: Mapping[str, str], *, drop: bool = False) -> Dialogue:
    """The dialogue with other item ids in ``Message.mentions`` and ``movie_mentions``; its texts stay as they are.

    Items that ``ids`` lacks keep their id, or are no longer mentioned (``drop``).
    """

    def new(item: str) -> tuple[str, ...]:
        return (ids[item],) if item in ids else () if drop else (item,)

    messages = tuple(
        replace(message, mentions=tuple(dict.fromkeys(to for item in message.mentions for to in new(item))))
        for message in dialogue.messages
    )
    names = {to: name for item, name in dialogue.movie_mentions.items() for to in new(item)}
    return replace(dialogue, messages=messages, movie_mentions=names)


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
