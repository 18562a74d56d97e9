"""A bi-encoder: the conversation through a fine-tuned sentence encoder, against a learned table of items.

Dense retrieval after Karpukhin et al. (EMNLP 2020), with the whole catalogue as negatives (full softmax) and an item
table that starts from the item documents' embeddings (Reimers & Gurevych, EMNLP 2019). Torch and transformers are
touched in ``torch_encoder`` only.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from convrec.core.errors import ModelError
from convrec.core.items import FloatArray
from convrec.tools.datasets import Dialogue, Message
from convrec.tools.recommenders.base import AnyArray, Recommender, RecommenderConfig
from convrec.tools.recommenders.data import Context, TrainData, recommendations
from convrec.tools.recommenders.text import written_out
from pydantic import Field

if TYPE_CHECKING:
    from convrec.tools.recommenders.torch_encoder import Example, TorchEncoder

ENCODER = "all-minilm-l6-v2"
CACHED = 4096
"""Conversation vectors kept for contexts asked for again: 6 MB at 384 dimensions."""
_SPEAKER = {"seeker": "User: ", "recommender": "System: "}


class BiEncoderConfig(RecommenderConfig):
    """Settings of the bi-encoder; what was tried: docs/results.md."""

    epochs: int = Field(3, ge=1, description="passes over the training contexts")
    more_epochs: int = Field(2, ge=1, description="passes over new contexts when it goes on learning")
    mention_contexts: int = Field(
        14000, ge=0, description="contexts made from dialogues of which only mentions are known; one pass before"
    )
    max_tokens: int = Field(96, ge=8, le=256, description="newest tokens of the conversation that are read")
    batch: int = Field(48, ge=1)
    encoder_rate: float = Field(7e-5, gt=0, description="learning rate of the encoder")
    table_rate: float = Field(1e-3, gt=0, description="learning rate of the item table")
    bias_rate: float = Field(2e-2, gt=0, description="learning rate of the item bias")
    temperature: float = Field(0.05, gt=0, description="logit = cosine / temperature + bias")
    frozen_layers: int = Field(0, ge=0, description="lowest encoder layers that are not tuned: faster")
    dropout: float = Field(0.1, ge=0, lt=1, description="of the conversation vector")


class BiEncoder(Recommender):
    """Score = cosine(conversation, item) / temperature + bias of the item. Without a message: the bias alone.

    ``encoder``: folder of all-MiniLM-L6-v2; also needed after ``load`` (the saved files hold the tuned weights, not
    the tokenizer). A conversation's vector is kept, so that asking twice embeds once.
    """

    name: ClassVar[str] = "bi_encoder"
    Config: ClassVar[type[RecommenderConfig]] = BiEncoderConfig
    config: BiEncoderConfig

    def __init__(self, config: RecommenderConfig | None = None, *, seed: int = 0, encoder: Path | None = None) -> None:
        super().__init__(config, seed=seed)
        self.encoder = encoder
        self._model: TorchEncoder | None = None
        self._cache: OrderedDict[bytes, FloatArray] = OrderedDict()

    def encode(self, contexts: Sequence[Context]) -> FloatArray:
        """Conversation vectors: float32, shape (len(contexts), dimension), rows of norm 1, or 0 without a message."""
        texts = ["\n".join(self._lines(context.messages)) for context in contexts]
        keys = [_key(text) for text in texts]
        fresh = {key: text for key, text in zip(keys, texts, strict=True) if text and key not in self._cache}
        made = self._loaded().encode([*fresh.values()], self.config.max_tokens) if fresh else ()
        vectors = dict(zip(fresh, made, strict=True))
        out = np.zeros((len(contexts), self._table.shape[1]), dtype=np.float32)
        for i, (key, text) in enumerate(zip(keys, texts, strict=True)):
            if text:
                out[i] = vectors[key] if key in vectors else self._cache[key]
        for key, vector in vectors.items():
            self._cache[key] = vector
        while len(self._cache) > CACHED:
            self._cache.popitem(last=False)
        return out

    def _fit(self, train: TrainData) -> None:
        from convrec.tools.recommenders.torch_encoder import DOCUMENT_TOKENS, TorchEncoder  # noqa: PLC0415

        details = train.details
        self.item_ids = train.item_ids
        self.__dict__.pop("_names", None)  # of an earlier fit
        self._name_list = details.names if details is not None else ("",) * train.n_items
        documents = details.documents if details is not None else ("",) * train.n_items
        model = TorchEncoder(self._folder())
        table = model.encode(documents, DOCUMENT_TOKENS)
        mentions, contexts = [*self._mention_contexts(train)], [*self._contexts(train.dialogues)]
        stages = [mentions] * bool(mentions) + [contexts] * self.config.epochs
        self._tune(model, (table, np.zeros(train.n_items, dtype=np.float32)), stages)

    def go_on(self, train: TrainData, new: Collection[str]) -> Self:
        """See :class:`~convrec.tools.recommenders.base.Continued`; as many old contexts are gone over as new ones,
        drawn anew for every pass, so that the old are not forgotten (rehearsal, Robins 1995)."""
        chosen = set(new)
        fresh = [*self._contexts([dialogue for dialogue in train.dialogues if dialogue.id in chosen])]
        old = [*self._contexts([dialogue for dialogue in train.dialogues if dialogue.id not in chosen])]
        random = np.random.default_rng(self.seed)
        stages = [
            fresh + [old[i] for i in random.permutation(len(old))[: len(fresh)]] for _ in range(self.config.more_epochs)
        ]
        self._tune(self._loaded(), (self._table.astype(np.float32), self._bias), stages)
        return self._knows(train)

    def _tune(
        self, model: TorchEncoder, start: tuple[FloatArray, FloatArray], stages: Sequence[Sequence[Example]]
    ) -> None:
        from convrec.tools.recommenders.torch_encoder import fit_bi_encoder  # noqa: PLC0415

        table, bias = fit_bi_encoder(model, self.config, start, stages, seed=self.seed, progress=self.progress)
        self._cache.clear()
        self.__dict__.pop("_items", None)
        # Half precision halves the files and moves a cosine by less than .001. What stays in memory is what a saved and
        # loaded copy would have: the encoder is made anew from the rounded weights.
        self._table, self._bias, self._weights = table.astype(np.float16), bias, model.weights()
        self._model = None

    def _contexts(self, dialogues: Iterable[Dialogue]) -> Iterator[Example]:
        row_of = {item: row for row, item in enumerate(self.item_ids or ())}
        for dialogue in dialogues:
            for found in recommendations(dialogue, row_of, novel=True):
                yield "\n".join(self._lines(found.context.messages)), found.gold.tolist()

    def _mention_contexts(self, train: TrainData) -> Iterator[Example]:
        """ "I like A." "Have you seen B?" -> the item recommended next, from dialogues without text."""
        if not self.config.mention_contexts or train.details is None:
            return
        full = {dialogue.id for dialogue in train.dialogues}
        found: list[tuple[str, list[int]]] = []
        for i, key in enumerate(train.sequence_ids):
            if key in full:
                continue
            part = slice(train.offsets[i], train.offsets[i + 1])
            said: dict[int, str] = {}
            for row, recommended in zip(train.rows[part].tolist(), train.by_recommender[part].tolist(), strict=True):
                if row in said:
                    continue
                if recommended:
                    found.append(("\n".join([*said.values()][-8:]) or "User: Can you recommend a movie?", [row]))
                name = self._name_list[row]
                said[row] = f"System: Have you seen {name}?" if recommended else f"User: I like {name}"
        order = np.random.default_rng(self.seed).permutation(len(found))[: self.config.mention_contexts]
        yield from (found[i] for i in order)

    def _lines(self, messages: Sequence[Message]) -> list[str]:
        """One line per message, who says it in front; empty ones left out."""
        names = self._names
        lines = ((_SPEAKER[message.speaker], written_out(message, names)) for message in messages)
        return [speaker + text for speaker, text in lines if text]

    def _score(self, contexts: Sequence[Context]) -> FloatArray:
        return self.encode(contexts) @ self._items.T / np.float32(self.config.temperature) + self._bias

    @cached_property
    def _items(self) -> FloatArray:
        """The table in the precision of the product; float32, shape (n_items, dimension)."""
        return self._table.astype(np.float32)

    @cached_property
    def _names(self) -> dict[str, str]:
        return dict(zip(self.item_ids or (), self._name_list, strict=True))

    def _folder(self) -> Path:
        if self.encoder is None:
            raise ModelError(f"the bi-encoder needs {ENCODER}. Run: convrec models pull {ENCODER}")
        return self.encoder

    def _loaded(self) -> TorchEncoder:
        from convrec.tools.recommenders.torch_encoder import TorchEncoder  # noqa: PLC0415

        if self._model is None:
            self._model = TorchEncoder(self._folder())
            self._model.set_weights(self._weights)
        return self._model

    def _arrays(self) -> Mapping[str, AnyArray]:
        weights = {f"encoder.{name}": array for name, array in self._weights.items()}
        return {"table": self._table, "bias": self._bias, "names": np.array(self._name_list, dtype=np.str_), **weights}

    def _restore(self, arrays: Mapping[str, AnyArray]) -> None:
        self._table, self._bias = arrays["table"], arrays["bias"]
        self._name_list = tuple(arrays["names"].tolist())
        self._weights = {n.removeprefix("encoder."): a for n, a in arrays.items() if n.startswith("encoder.")}


def _key(text: str) -> bytes:
    """What a conversation is kept under: in a chat its words are a user's, and must not outlive an erasure here."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
