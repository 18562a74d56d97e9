"""What the ranking pack is learnt from: ReDial's training dialogues in rows of films, their cases and their words.

Only identifiers (IMDb ids) and the dialogues are read. The test split, the data set's counts of mentions (they include
the test split) and its plots, casts and keywords are not.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from convrec.core.errors import DatasetError
from convrec.tools.datasets import Dialogue, Mention, Message, RedialData, json_lines
from convrec.tools.recommenders.data import recommendations
from convrec.tools.recommenders.text import content_tokens, plain_words
from convrec.tools.recommenders.training_sets import redial_dialogues

_IMDB = re.compile(r"tt(\d{7,9})")
_WORD = re.compile(r"[a-z]+(?:[-'][a-z]+)*")


@dataclass(frozen=True, eq=False)
class Training:
    """ReDial in the pack's rows. ``numbers``: digits of the IMDb ids, ascending; ``row_of``: by ReDial's movie id
    (several of its movies may be one film). ``sequences``: the mentions of every dialogue; ``dialogues``: those in
    full."""

    numbers: tuple[int, ...]
    row_of: Mapping[str, int]
    sequences: tuple[tuple[Mention, ...], ...]
    dialogues: tuple[Dialogue, ...]

    @property
    def size(self) -> int:
        return len(self.numbers)

    @property
    def digest(self) -> str:
        """Hex SHA-256 of all that is learnt from."""
        texts = [[d.id, *([m.speaker, m.text] for m in d.messages)] for d in self.dialogues]
        mentions = [[[m.item, m.speaker] for m in sequence] for sequence in self.sequences]
        return hashlib.sha256(
            json.dumps([sorted(self.row_of.items()), self.numbers, mentions, texts]).encode()
        ).hexdigest()


@dataclass(frozen=True, eq=False)
class PackCase:
    """One recommendation to be foretold. ``named``: rows named before; ``said``: words before; ``gold``: rows."""

    named: tuple[int, ...]
    said: Mapping[str, float]
    gold: tuple[int, ...]
    unknown: int = 0
    """Gold items that the pack has not: misses."""


def read_training(data: RedialData, *, with_valid: bool) -> Training:
    """The training dialogues, oldest first; ``with_valid``: those of the validation split too."""
    number_of: dict[str, int] = {}
    for _, record in json_lines(data.folder / "items.jsonl.gz"):
        found = _IMDB.fullmatch(str(record["imdb_id"]))
        if found is not None:
            number_of[str(record["movieId"])] = int(found[1])
    if not number_of:
        raise DatasetError(f"{data.folder}: its items have no IMDb ids. Run: convrec data fetch redial")
    sequences, dialogues = redial_dialogues(data, with_valid=with_valid)
    row_of_number = {number: row for row, number in enumerate(sorted(set(number_of.values())))}
    return Training(
        numbers=tuple(row_of_number),
        row_of={item: row_of_number[number] for item, number in number_of.items()},
        sequences=tuple(sequences.values()),
        dialogues=tuple(dialogues),
    )


def cases_of(dialogues: Sequence[Dialogue], row_of: Mapping[str, int], last: int) -> list[PackCase]:
    """Every message of a recommender that names an item not named before, and what was said until then."""
    found = []
    for dialogue in dialogues:
        known = {item for message in dialogue.messages for item in message.mentions}
        number = {item: len(row_of) + i for i, item in enumerate(sorted(known - row_of.keys()))}
        every = {**row_of, **number}  # the items the pack lacks count as gold that cannot be found
        for case in recommendations(dialogue, every, novel=True):
            gold = [row for row in dict.fromkeys(case.gold.tolist())]
            inside = tuple(row for row in gold if row < len(row_of))
            named = tuple(row for row in case.context.named.tolist() if row < len(row_of))
            said = words_of(case.context.messages[-last:])
            found.append(PackCase(named, said, inside, len(gold) - len(inside)))
    return found


def words_of(messages: Sequence[Message]) -> Counter[str]:
    """How often each word is said; only words of letters, without the marks of items."""
    words = chain.from_iterable(content_tokens(plain_words(message, {})) for message in messages)
    return Counter(word for word in words if _WORD.fullmatch(word))


def vocabulary_of(dialogues: Sequence[Dialogue], least: int) -> tuple[str, ...]:
    """Words said in at least ``least`` dialogues and by at least as many people, sorted."""
    where: dict[str, set[str]] = defaultdict(set)
    who: dict[str, set[str]] = defaultdict(set)
    for dialogue in dialogues:
        for message in dialogue.messages:
            speaker = dialogue.seeker if message.speaker == "seeker" else dialogue.recommender
            for word in words_of([message]):
                where[word].add(dialogue.id)
                who[word].add(speaker)
    return tuple(sorted(word for word in where if min(len(where[word]), len(who[word])) >= least))
