"""A trained recommender as one more expert of the chat's ranking: its scores for the items of the catalogue in use.

The model is asked with the running conversation alone, in its own items; what it says is carried over by item. No text
of the catalogue reaches it, so none can raise an item's rank: where the user names an item that the model knows, it
reads the mark of its own item. Its scores enter by rank, as reciprocal rank fusion does (Cormack, Clarke and Buettcher,
SIGIR 2009): kinds of models differ in their scales and agree in their orders.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from convrec.core.errors import ConvrecError, ToolFailed
from convrec.core.items import BoolArray, FloatArray, RowArray
from convrec.tools.catalogue import Catalogue
from convrec.tools.datasets import Message
from convrec.tools.ranking_items import Matched
from convrec.tools.recommenders.base import Recommender
from convrec.tools.recommenders.data import Context
from convrec.tools.recommenders.registry import load_recommender
from convrec.tools.recommenders.text import STOPWORDS, tokens

RANK_HALF = 60
"""Places after which a score has halved: the constant of reciprocal rank fusion..."""
RANK_HALF_SHARE = 0.1
"""...or, in a small catalogue, this share of the items that the model knows."""
SHRINKAGE = 5
"""Items at the model's average that join the known candidates where their mean is taken: of one that it knows, the
others would else all be as good."""
TURNS_READ = 20
"""Newest turns that the model reads; its experts look no further back."""
ALWAYS = "popularity"
"""The one kind that says the same to everybody: who sets it wants that."""
SHORTEST_TITLE = 3
_YEAR = r"(?:\s*\(\d{4}\))?"
_ARTICLE = re.compile(r"(?:the|an?)\s+", re.IGNORECASE)
_MARK = re.compile(r"@(?=\d)")


@dataclass(frozen=True, slots=True)
class Conversation:
    """One session's talk, as far as a trained recommender is told of it; nothing from other conversations or users."""

    turns: tuple[tuple[str, str], ...] = ()
    """(what the user said, the reply) since the talk about the running request began, oldest first, without this."""
    text: str = ""
    """The message that is being answered."""
    named: tuple[int, ...] = ()
    """Rows of the catalogue that the user named or pointed at in this session and did not turn down; newest last."""
    refused: tuple[int, ...] = ()
    """Rows that the user disliked or turned down."""
    now: tuple[tuple[int, str], ...] = ()
    """Of the message that is being answered: each row it names, and the words that do."""
    began: int = 1
    """Number of the turn with which the talk about the running request began."""


@dataclass(slots=True)
class RankingModel:
    """A saved recommender bound to a catalogue. Loaded on first use, once for all threads; asked by one at a time."""

    catalogue: Catalogue
    folder: Path
    name: str
    """The kind of recommender: "fused", "ease", ..."""
    matched: Matched
    prepare: Callable[[Recommender], None] = lambda model: None
    """Gives a loaded model what is not saved with it: the sentence encoder."""
    around: Callable[[], AbstractContextManager[None]] = nullcontext
    """Entered whenever it is asked."""
    known: BoolArray = field(init=False)
    """Which items of the catalogue the model knows; bool, shape (n_items,)."""
    _model: Recommender | None = field(init=False, default=None)
    _silent: FloatArray | None = field(init=False, default=None)
    """What it says to an empty conversation; float32, shape (1, items of the model)."""
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.known = self.matched.items.rows >= 0

    def covered(self) -> int:
        """How many items of the catalogue the model knows."""
        return self.matched.items.n_known

    def warm(self) -> None:
        """Load it, and what it loads lazily.

        Raises:
            ToolFailed: it cannot be loaded.
        """
        self.scores(Conversation(text="warm"))

    def scores(self, said: Conversation) -> FloatArray:
        """How well each item fits the conversation: 1 for the model's best, half of it :data:`RANK_HALF` places below,
        0 for what it does not put forward, does not know, or what was named. All 0 where the conversation tells it
        nothing, as it would only say what is popular. Float32, shape (n_items,).

        Raises:
            ToolFailed: the model cannot be loaded or asked.
        """
        context = self.context(said)
        with self._lock:
            try:
                with self.around():
                    raw = self._loaded().score([context])
                    if self._silent is None:
                        self._silent = self._loaded().score([Context()])
            except (ConvrecError, OSError, RuntimeError, ValueError) as error:
                raise ToolFailed(f"the ranking model in {self.folder} failed: {error}") from error
        if self.name != ALWAYS and np.array_equal(raw, self._silent):
            return np.zeros(self.catalogue.size, dtype=np.float32)
        found = self.matched.items.scores(raw)[0]
        ranked = self.known.copy()
        ranked[list(said.named)] = False
        ranked &= np.isfinite(found)
        own = -found[ranked]
        # Of equal scores each has the last of their places: where the model cannot tell, it says little.
        places = np.searchsorted(np.sort(own), own, side="right") - 1
        out = np.zeros(self.catalogue.size, dtype=np.float32)
        half = min(RANK_HALF, max(1.0, RANK_HALF_SHARE * self.covered()))
        out[ranked] = half / (half + places)
        return out

    def _loaded(self) -> Recommender:
        """The model; the caller holds the lock."""
        if self._model is None:
            model = load_recommender(self.folder)
            self.prepare(model)
            self._model = model
        return self._model

    def among(self, scores: FloatArray, rows: RowArray) -> FloatArray:
        """The scores of some candidates, float32 (len(rows),). Those that the model does not know are neither
        favoured nor punished: they get the mean of those that it knows, shrunk to its mean over the catalogue."""
        own, known = scores[rows], self.known[rows]
        if not known.any():
            return np.zeros(len(rows), dtype=np.float32)
        everywhere = float(scores[self.known].mean())
        neutral = (float(own[known].sum()) + SHRINKAGE * everywhere) / (int(known.sum()) + SHRINKAGE)
        return np.where(known, own, neutral).astype(np.float32)

    def context(self, said: Conversation) -> Context:
        """The conversation in the model's items. The user is the seeker; of what was recommended, the recommender
        names what the user took up."""
        named = np.array(list(dict.fromkeys(reversed(said.named)))[::-1], dtype=np.int32)
        return self.matched.items.context(Context(named, tuple(self._messages(said))))

    def _messages(self, said: Conversation) -> Iterator[Message]:
        rows = [row for row in dict.fromkeys((*said.named, *said.refused)) if self.known[row]]
        titles = dict(zip(rows, (item.title for item in self.catalogue.items(rows)), strict=True))
        ids = dict(zip(rows, (item.id for item in self.catalogue.items(rows)), strict=True))
        patterns = [(row, _pattern(title)) for row, title in _longest_first(titles) if _telling(title)]
        good = set(said.named) - set(said.refused)
        for text, reply in said.turns[-TURNS_READ:]:
            marked, found = self._marked(_MARK.sub("", text), ids, patterns)
            yield Message("seeker", marked, tuple(ids[row] for row in found if row in good))
            taken = [row for row in rows if row in good and titles[row] in reply]
            if taken:
                yield Message("recommender", " ".join(map(self._mark, (ids[row] for row in taken))), _ids(ids, taken))
        if said.text:
            text = _MARK.sub("", said.text)
            now = [row for row, _ in said.now if row in ids and row in good]
            for row, words in said.now:
                if row in ids and words and (mark := self._mark(ids[row])):
                    text = re.sub(rf"(?<![\w@]){re.escape(words)}(?!\w)", mark, text, count=1)
            marked, found = self._marked(text, ids, patterns)
            mentions = dict.fromkeys([*(row for row in found if row in good), *now])
            yield Message("seeker", marked, _ids(ids, [*mentions]))

    def _marked(
        self, text: str, ids: dict[int, str], patterns: list[tuple[int, re.Pattern[str]]]
    ) -> tuple[str, list[int]]:
        """The text with the mark of the model's item in place of each title, and the rows of these."""
        found = []
        for row, pattern in patterns:
            mark = self._mark(ids[row])
            text, times = pattern.subn(lambda title, mark=mark: mark or title[0], text)  # type: ignore[misc]
            if times:
                found.append(row)
        return text, found

    def _mark(self, item_id: str) -> str:
        """ReDial's mark of an item, ``@`` and its number; "" for a model whose items have no numbers."""
        own = self.matched.items.ids[item_id]
        return f"@{own}" if own.isascii() and own.isdigit() else ""


def _ids(ids: dict[int, str], rows: list[int]) -> tuple[str, ...]:
    return tuple(ids[row] for row in rows)


def _longest_first(titles: dict[int, str]) -> list[tuple[int, str]]:
    return sorted(titles.items(), key=lambda pair: -len(pair[1]))


def _telling(title: str) -> bool:
    """Whether a title can be looked for in a text: "It" and "Up" are words that everybody says."""
    return len(title) >= SHORTEST_TITLE and not STOPWORDS.issuperset(tokens(title))


def _pattern(title: str) -> re.Pattern[str]:
    """The title as people write it: in any case, with or without its article and its year."""
    bare = _ARTICLE.sub("", title, count=1) if _ARTICLE.match(title) else title
    bare = bare if _telling(bare) else title
    article = r"(?:\bthe\s+)?" if bare != title else ""
    return re.compile(rf"{article}(?<![\w@]){re.escape(bare)}{_YEAR}(?!\w)", re.IGNORECASE)
