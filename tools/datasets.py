"""Typed readers of the fetched data sets: dialogues, items, mention sequences. Files are read on demand.

ReDial's counts of mentions per movie (``nbMentions``) include the test split. No reader here looks at them.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from convrec.core.errors import DatasetError
from convrec.tools.dataset_fetch import read_manifest

Speaker = Literal["seeker", "recommender"]
Split = Literal["train", "valid", "test"]

_Record = TypeVar("_Record")

MENTION = re.compile(r"@(\d+)")
"""A movie in a ReDial text: ``@`` and its id."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message. ``mentions``: ids of the items it names, in order of appearance, without repeats."""

    speaker: Speaker
    text: str
    mentions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What one party said of one movie after the dialogue.

    ``suggested``: 0 the seeker named it, 1 the recommender suggested it. ``seen`` and ``liked``: 0 no, 1 yes,
    2 did not say. These are the seeker's seen and liked, whoever answers.
    """

    suggested: int
    seen: int
    liked: int


@dataclass(frozen=True, slots=True)
class Dialogue:
    """One dialogue. ``movie_mentions``: name by item id; the answers are by item id, and may be empty."""

    id: str
    seeker: str
    recommender: str
    messages: tuple[Message, ...]
    movie_mentions: Mapping[str, str]
    seeker_answers: Mapping[str, Answer]
    recommender_answers: Mapping[str, Answer]


@dataclass(frozen=True, slots=True)
class DatasetItem:
    """One item of a data set. ``name`` is as the publisher writes it, ``title`` is without the year."""

    id: str
    name: str
    title: str
    year: int | None


@dataclass(frozen=True, slots=True)
class Mention:
    """One naming of an item. ``negative``: marked as disliked (ReDial's mention lines: seeker mentions only)."""

    item: str
    speaker: Speaker
    negative: bool = False


@dataclass(frozen=True, slots=True)
class MentionLine:
    """A dialogue of which only the sequence of mentions is known."""

    id: str
    split: str
    mentions: tuple[Mention, ...]


class RedialData:
    """ReDial as fetched into ``folder`` (``<datasets>/redial``).

    Raises:
        DatasetError: it has not been fetched; the message holds the command.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = _manifest(folder, "redial")
        self.variant = str(self.manifest["variant"])

    def dialogues(self, split: Split) -> list[Dialogue]:
        """The dialogues of one split that are there in full."""
        path = self.folder / f"{split}.jsonl.gz"
        return [_parsed(path, number, record, _redial_dialogue) for number, record in json_lines(path)]

    def items(self) -> list[DatasetItem]:
        """The official list of movies, in its order."""
        path = self.folder / "items.jsonl.gz"
        return [_parsed(path, number, record, _redial_item) for number, record in json_lines(path)]

    def mention_lines(self) -> list[MentionLine]:
        """Mention sequences of training dialogues (``split`` "train" or "valid"); [] in the publisher's variant,
        which has every dialogue in full."""
        path = self.folder / "train_mentions.jsonl.gz"
        if path.name not in self.manifest["files"]:
            return []
        return [_parsed(path, number, record, _mention_line) for number, record in json_lines(path)]

    def train_sequences(self) -> list[tuple[str, tuple[Mention, ...]]]:
        """(dialogue id, mentions in order) of every training dialogue, each once, the validation split left out.

        A dialogue that is there in full is taken from its text, the others from their mention line: the lines miss
        about a sixth of the mentions.

        Raises:
            DatasetError: a dialogue of the validation or test split is among the training dialogues.
        """
        full = {dialogue.id: mentions_of(dialogue) for dialogue in self.dialogues("train")}
        held_out = {dialogue.id for dialogue in [*self.dialogues("valid"), *self.dialogues("test")]}
        lines = {line.id: line.mentions for line in self.mention_lines() if line.split == "train"}
        if leaked := sorted(held_out & (full.keys() | lines.keys())):
            raise DatasetError(
                f"{self.folder}: {len(leaked)} validation or test dialogues are among the training dialogues "
                f"({', '.join(leaked[:5])}). Delete the folder and run: convrec data fetch redial"
            )
        return list({**lines, **full}.items())


class InspiredData:
    """INSPIRED as fetched into ``folder``. Its item ids are the names, "Title (Year)"; the annotation is noisy.

    Raises:
        DatasetError: it has not been fetched; the message holds the command.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = _manifest(folder, "inspired")
        self.variant = str(self.manifest["variant"])

    def dialogues(self, split: Split) -> list[Dialogue]:
        """The dialogues of one split ("valid" is the authors' dev split). There are no questionnaires."""
        stem = "dev" if split == "valid" else split
        path = self.folder / f"{stem}.jsonl.gz"
        return [_parsed(path, number, (f"{stem}-{number}", record), _inspired) for number, record in json_lines(path)]

    def items(self) -> list[DatasetItem]:
        """Every title named in any split, sorted by name; empty names are left out."""
        path = self.folder / "items.jsonl.gz"
        items = [_parsed(path, number, record, _inspired_item) for number, record in json_lines(path)]
        return [item for item in items if item.name]


def mentions_of(dialogue: Dialogue) -> tuple[Mention, ...]:
    """All mentions of a dialogue in order; repeats across messages stay."""
    return tuple(Mention(item, message.speaker) for message in dialogue.messages for item in message.mentions)


def json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """(line number from 1, value) of a gzip JSON lines file.

    Raises:
        DatasetError: the file is missing or damaged; names the line.
    """
    number = 0
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
            for line in file:
                number += 1
                yield number, json.loads(line)
    except FileNotFoundError as error:
        raise DatasetError(f"{path} is missing. Run: convrec data fetch {path.parent.name}") from error
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DatasetError(
            f"{path}, damaged near line {number}: {error}. Run: convrec data fetch {path.parent.name}"
        ) from error


def json_object(path: Path) -> dict[str, Any]:
    """The one JSON object in a gzip file.

    Raises:
        DatasetError: the file is missing, damaged or holds something else.
    """
    try:
        value = json.loads(gzip.decompress(path.read_bytes()))
    except FileNotFoundError as error:
        raise DatasetError(
            f"{path} is missing. This variant of the data set may lack it (see docs/evaluation.md)."
        ) from error
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DatasetError(f"{path}: {error}. Run convrec data fetch again.") from error
    if not isinstance(value, dict):
        raise DatasetError(f"{path}: expected one JSON object, got {type(value).__name__}.")
    return value


def _manifest(folder: Path, name: str) -> dict[str, Any]:
    manifest = read_manifest(folder)
    if manifest is None:
        raise DatasetError(
            f"the data set {name} is not in {folder}. Run: convrec data fetch {name} "
            f"(CONVREC_DATA_MIRROR may name a folder or URL that holds it)."
        )
    return manifest


def _parsed(path: Path, number: int, record: Any, parse: Callable[[Any], _Record]) -> _Record:
    try:
        return parse(record)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DatasetError(
            f"{path}, line {number}: not the expected form ({type(error).__name__}: {error}). "
            f"Run convrec data fetch again."
        ) from error


def _mapping(value: Any) -> dict[str, Any]:
    """ReDial writes an empty map as ``[]``."""
    if isinstance(value, list) and not value:
        return {}
    if not isinstance(value, dict):
        raise TypeError(f"expected an object or [], got {type(value).__name__}")
    return value


def _answers(value: Any) -> dict[str, Answer]:
    return {
        str(key): Answer(int(answer["suggested"]), int(answer["seen"]), int(answer["liked"]))
        for key, answer in _mapping(value).items()
    }


def _redial_dialogue(record: Any) -> Dialogue:
    names = {str(key): (name or "").strip() for key, name in _mapping(record["movieMentions"]).items()}
    seeker, recommender = str(record["initiatorWorkerId"]), str(record["respondentWorkerId"])
    messages = []
    for message in record["messages"]:
        sender, text = str(message["senderWorkerId"]), str(message["text"])
        if sender not in (seeker, recommender):
            raise ValueError(f"message {message['messageId']} is by {sender}, who is neither party")
        speaker: Speaker = "recommender" if sender == recommender else "seeker"
        mentions = tuple(item for item in dict.fromkeys(MENTION.findall(text)) if item in names)
        messages.append(Message(speaker, text, mentions))
    return Dialogue(
        id=str(record["conversationId"]),
        seeker=seeker,
        recommender=recommender,
        messages=tuple(messages),
        movie_mentions=names,
        seeker_answers=_answers(record["initiatorQuestions"]),
        recommender_answers=_answers(record["respondentQuestions"]),
    )


def _redial_item(record: Any) -> DatasetItem:
    year = record["year"]
    return DatasetItem(
        str(record["movieId"]), str(record["movieName"]), str(record["title"]), None if year is None else int(year)
    )


def _mention_line(record: Any) -> MentionLine:
    speakers: dict[str, Speaker] = {"R": "recommender", "S": "seeker"}
    mentions = tuple(Mention(str(item), speakers[who], int(sign) < 0) for item, who, sign in record["mentions"])
    return MentionLine(str(record["conversationId"]), str(record["split"]), mentions)


def _inspired(record: Any) -> Dialogue:
    key, utterances = record
    roles: dict[str, Speaker] = {"SEEKER": "seeker", "RECOMMENDER": "recommender"}
    messages = tuple(
        Message(roles[u["role"]], str(u["text"]), tuple(m for m in dict.fromkeys(map(str, u["movie"])) if m))
        for u in utterances
    )
    names = {name: name for message in messages for name in message.mentions}
    # The mirror's files have no dialogue ids: the line number stands in.
    dialogue_id = str(utterances[0].get("dialog_id", key)) if utterances else key
    return Dialogue(dialogue_id, "SEEKER", "RECOMMENDER", messages, names, {}, {})


def _inspired_item(record: Any) -> DatasetItem:
    year = record["year"]
    name = str(record["name"])
    return DatasetItem(name, name, str(record["title"]), None if year is None else int(year))
