"""What recommenders learn from and what they are asked: training dialogues, what is known of the items, a context.

Items are rows (0..n_items-1) here; ``item_ids`` says which item a row is. Dialogue texts and messages keep item ids.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
from convrec.core.items import EMPTY_ROWS, BoolArray, FloatArray, RowArray
from convrec.tools.datasets import Dialogue, Mention, Message
from numpy.typing import NDArray
from scipy.sparse import csr_array


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What is known when something is to be recommended.

    ``named``: rows of the items named so far by either side, int32, no repeats, in order of their latest mention,
    newest last. ``messages``: everything said so far, oldest first; may be empty when only the items are known.
    """

    named: RowArray = field(default_factory=lambda: EMPTY_ROWS)
    messages: tuple[Message, ...] = ()


@dataclass(frozen=True, eq=False)
class ItemDetails:
    """What is on record of every item, by row. ``names``: "Title (Year)"; ``titles``: without the year; ``years``:
    int16, 0 unknown; ``documents``: everything known in one text; ``tags``: by kind ("genre", "person", "keyword"),
    the values of each item."""

    names: tuple[str, ...]
    titles: tuple[str, ...]
    years: NDArray[np.int16]
    documents: tuple[str, ...]
    tags: Mapping[str, tuple[tuple[str, ...], ...]]

    def __post_init__(self) -> None:
        sizes = {len(self.names), len(self.titles), len(self.years), len(self.documents)}
        if len(sizes | {len(values) for values in self.tags.values()}) != 1:
            raise ValueError(f"names, titles, years, documents and every kind of tags must be of one length: {sizes}")

    def take(self, rows: Sequence[int]) -> ItemDetails:
        """The details of some rows, in the order given."""
        return ItemDetails(
            tuple(self.names[row] for row in rows),
            tuple(self.titles[row] for row in rows),
            self.years[list(rows)],
            tuple(self.documents[row] for row in rows),
            {kind: tuple(values[row] for row in rows) for kind, values in self.tags.items()},
        )

    def extended(self, more: ItemDetails) -> ItemDetails:
        """These items, then ``more``; a kind of tags that one side lacks is empty there."""
        here, there = ((),) * len(self.names), ((),) * len(more.names)
        kinds = dict.fromkeys([*self.tags, *more.tags])
        return ItemDetails(
            self.names + more.names,
            self.titles + more.titles,
            np.concatenate([self.years, more.years]),
            self.documents + more.documents,
            {kind: tuple(self.tags.get(kind, here)) + tuple(more.tags.get(kind, there)) for kind in kinds},
        )

    def tag_matrix(self, kind: str) -> csr_array[np.float32]:
        """Which item has which tag: float32 of 0 and 1, shape (n_items, n_values); values in sorted order."""
        lists = self.tags.get(kind, ((),) * len(self.names))
        column = {value: i for i, value in enumerate(sorted({value for values in lists for value in values}))}
        columns = [[column[value] for value in dict.fromkeys(values)] for values in lists]
        offsets = np.cumsum([0, *map(len, columns)])
        flat = np.array([c for line in columns for c in line], dtype=np.int32)
        matrix: csr_array[np.float32] = csr_array(
            (np.ones(flat.size, dtype=np.float32), flat, offsets), shape=(len(lists), len(column))
        )
        return matrix


@dataclass(frozen=True)
class TrainData:
    """Sequences of named items, flat: sequence ``i`` is ``rows[offsets[i]:offsets[i + 1]]``, in order, with repeats.

    ``offsets``: int64, shape (n_sequences + 1,). ``rows``: int32, shape (n_events,), each in 0..len(item_ids)-1.
    ``by_recommender``: bool, shape (n_events,): who named it. ``negative``: bool, shape (n_events,): named as disliked.
    ``sequence_ids``: dialogue of each sequence, oldest first where the data set tells the time; may be empty.
    ``dialogues``: those of the dialogues that are known in full. ``details``: of the items, where known.
    """

    item_ids: tuple[str, ...]
    offsets: NDArray[np.int64]
    rows: RowArray
    by_recommender: BoolArray
    negative: BoolArray
    sequence_ids: tuple[str, ...] = ()
    dialogues: tuple[Dialogue, ...] = ()
    details: ItemDetails | None = None

    def __post_init__(self) -> None:
        if (
            self.offsets.ndim != 1
            or self.offsets.size == 0
            or self.offsets[0] != 0
            or np.any(np.diff(self.offsets) < 0)
        ):
            raise ValueError("offsets must be 1-D, start with 0 and never fall")
        if not self.rows.shape == self.by_recommender.shape == self.negative.shape == (int(self.offsets[-1]),):
            raise ValueError(
                f"rows {self.rows.shape}, by_recommender {self.by_recommender.shape} and negative "
                f"{self.negative.shape} must be 1-D and of the length {int(self.offsets[-1])} that offsets end with"
            )
        if self.rows.size and not (self.rows.min() >= 0 and self.rows.max() < self.n_items):
            raise ValueError(f"rows must lie in 0..{self.n_items - 1}, got {self.rows.min()}..{self.rows.max()}")
        if self.sequence_ids and len(self.sequence_ids) != self.n_sequences:
            raise ValueError(f"{len(self.sequence_ids)} sequence_ids for {self.n_sequences} sequences")
        if self.details is not None and len(self.details.names) != self.n_items:
            raise ValueError(f"details of {len(self.details.names)} items, expected {self.n_items}")
        for array in (self.offsets, self.rows, self.by_recommender, self.negative):
            array.setflags(write=False)

    @classmethod
    def from_mentions(
        cls,
        item_ids: Sequence[str],
        sequences: Iterable[Sequence[Mention]],
        *,
        sequence_ids: Sequence[str] = (),
        dialogues: Sequence[Dialogue] = (),
        details: ItemDetails | None = None,
    ) -> TrainData:
        """Mentions of items that ``item_ids`` lacks are left out."""
        row_of = {item: row for row, item in enumerate(item_ids)}
        offsets: list[int] = [0]
        kept: list[Mention] = []
        for sequence in sequences:
            kept.extend(mention for mention in sequence if mention.item in row_of)
            offsets.append(len(kept))
        return cls(
            tuple(item_ids),
            np.array(offsets, dtype=np.int64),
            np.array([row_of[mention.item] for mention in kept], dtype=np.int32),
            np.array([mention.speaker == "recommender" for mention in kept], dtype=np.bool_),
            np.array([mention.negative for mention in kept], dtype=np.bool_),
            tuple(sequence_ids),
            tuple(dialogues),
            details,
        )

    def without(self, held_out: Collection[str]) -> TrainData:
        """The same without some dialogues, by id.

        Raises:
            ValueError: the sequences have no ids.
        """
        if not self.sequence_ids:
            raise ValueError("sequences without ids cannot be left out")
        left_out = set(held_out)
        keep = np.array([key not in left_out for key in self.sequence_ids], dtype=np.bool_)
        lengths = np.diff(self.offsets)
        events = np.repeat(keep, lengths)
        return replace(
            self,
            offsets=np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths[keep])]),
            rows=self.rows[events],
            by_recommender=self.by_recommender[events],
            negative=self.negative[events],
            sequence_ids=tuple(key for key in self.sequence_ids if key not in left_out),
            dialogues=tuple(dialogue for dialogue in self.dialogues if dialogue.id not in left_out),
        )

    def sequences(self) -> list[tuple[Mention, ...]]:
        """The sequences as mentions; :meth:`from_mentions` turned round."""
        rows, ours, negative = self.rows.tolist(), self.by_recommender.tolist(), self.negative.tolist()
        mentions = [
            Mention(self.item_ids[row], "recommender" if own else "seeker", bad)
            for row, own, bad in zip(rows, ours, negative, strict=True)
        ]
        borders = self.offsets.tolist()
        return [tuple(mentions[start:end]) for start, end in pairwise(borders)]

    @property
    def n_items(self) -> int:
        return len(self.item_ids)

    @property
    def n_sequences(self) -> int:
        return int(self.offsets.size - 1)

    @cached_property
    def matrix(self) -> csr_array[np.float32]:
        """Which sequence names which item: float32 of 0 and 1, shape (n_sequences, n_items)."""
        counted: csr_array[np.float32] = csr_array(
            (np.ones(self.rows.size, dtype=np.float32), self.rows, self.offsets),
            shape=(self.n_sequences, self.n_items),
            copy=True,  # sum_duplicates works in place
        )
        counted.sum_duplicates()
        counted.data[:] = 1.0
        return counted

    @cached_property
    def popularity(self) -> NDArray[np.int64]:
        """In how many sequences each item is named by either side; int64, shape (n_items,)."""
        return np.bincount(self.matrix.indices, minlength=self.n_items).astype(np.int64)

    @cached_property
    def digest(self) -> str:
        """Hex SHA-256 of everything in it."""
        digest = hashlib.sha256(json.dumps(self.item_ids).encode())
        for array in (self.offsets, self.rows, self.by_recommender, self.negative):
            digest.update(array.tobytes())
        texts = [[d.id, *(f"{m.speaker}: {m.text}" for m in d.messages)] for d in self.dialogues]
        details = self.details
        digest.update(json.dumps([texts, details and [details.names, details.documents, dict(details.tags)]]).encode())
        return digest.hexdigest()


def context_matrix(contexts: Sequence[Context], n_items: int, half_life: float | None = None) -> csr_array[np.float32]:
    """Which context names which item: float32 of 0 and 1, shape (len(contexts), n_items).

    ``half_life``: items after which an item counts half; the newest is 1, the others between 0 and 1.
    """
    lengths = np.array([context.named.size for context in contexts], dtype=np.int64)
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
    rows = np.concatenate([EMPTY_ROWS, *(context.named for context in contexts)])
    weights = np.ones(rows.size, dtype=np.float32)
    if half_life is not None:
        age = np.repeat(offsets[1:], lengths) - 1 - np.arange(rows.size)
        weights = np.exp2(-age / half_life).astype(np.float32)
    matrix: csr_array[np.float32] = csr_array((weights, rows, offsets), shape=(len(contexts), n_items))
    return matrix


def popularity_prior(train: TrainData) -> FloatArray:
    """log(1 + sequences naming the item), scaled to a largest value of 1; float32, shape (n_items,)."""
    prior = np.log1p(train.popularity).astype(np.float32)
    largest = prior.max(initial=0.0)
    return prior / largest if largest > 0 else prior


@dataclass(frozen=True, slots=True, eq=False)
class Recommended:
    """One message of a dialogue that recommends. ``position``: its index; ``context``: everything before it;
    ``gold``: rows of the items it names, int32, no repeats, in order of mention."""

    position: int
    context: Context
    gold: RowArray


def recommendations(dialogue: Dialogue, row_of: Mapping[str, int], *, novel: bool) -> Iterator[Recommended]:
    """Walk the messages: each by the recommender that names an item and is not the first (Kostric & Balog, 2026).

    ``novel``: items that either side named before are no gold. Items that ``row_of`` lacks are passed over.
    """
    named: dict[int, None] = {}
    for position, message in enumerate(dialogue.messages):
        rows = [row_of[item] for item in message.mentions if item in row_of]
        if message.speaker == "recommender" and position > 0:
            gold = [row for row in rows if not novel or row not in named]
            if gold:
                before = Context(np.array(list(named), dtype=np.int32), dialogue.messages[:position])
                yield Recommended(position, before, np.array(gold, dtype=np.int32))
        for row in rows:
            named.pop(row, None)  # named again: it moves to the end, the newest
            named[row] = None
