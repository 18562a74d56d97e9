"""The bi-encoder's network: the one module of the recommenders that touches torch and transformers.

Fine-tuning runs in bfloat16 where the processor has it (autocast; weights and optimiser stay float32). Two choices make
it three times as fast on a CPU: plain attention (the fused kernel's backward pass is slow there), and lengths padded to
multiples of 32, so that the kernels are built for four shapes only.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from convrec.core.errors import ModelError
from convrec.core.extras import require
from convrec.core.items import FloatArray
from numpy.typing import NDArray

if TYPE_CHECKING:
    from convrec.tools.recommenders.bi_encoder import BiEncoderConfig

log = logging.getLogger(__name__)

LENGTHS = 32
"""Batches are padded to multiples of this many tokens."""
ENCODE_BATCH = 64
WARM_STEPS = 50
"""Steps over which the learning rate rises; afterwards it falls to :data:`LAST_RATE` of its height."""
LAST_RATE = 0.05
SORTED_BATCHES = 32
"""Contexts are sorted by length within this many batches, so that little is padded."""
DOCUMENT_TOKENS = 64
LINE_TOKENS = 100
"""Tokens read of one message."""

Tokens = list[int]
Example = tuple[str, list[int]]
"""A conversation, one line per message, and the rows recommended next."""
Report = Callable[[float], None]


class TorchEncoder:
    """A BERT-like sentence encoder with mean pooling, on the CPU.

    Args:
        folder: holds config.json, model.safetensors and tokenizer.json.

    Raises:
        MissingExtraError: torch or transformers is not installed.
        ModelError: the folder does not hold such a model.
    """

    def __init__(self, folder: Path) -> None:
        self.torch = require("torch", "memory", "the bi-encoder")
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        transformers = require("transformers", "memory", "the bi-encoder")
        tokenizers = require("tokenizers", "memory", "the bi-encoder")
        if not (folder / "model.safetensors").is_file():
            raise ModelError(f"{folder} holds no encoder. Run: convrec models pull all-minilm-l6-v2")
        self.network = transformers.AutoModel.from_pretrained(str(folder), attn_implementation="eager")
        self.network.eval()  # dropout inside the network costs more time than it gains here
        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        ids = self._tokenizer.token_to_id
        self._first, self._last, self._pad = ids("[CLS]"), ids("[SEP]"), ids("[PAD]")
        self._lines: dict[str, Tokens] = {}
        for parameter in self.network.embeddings.parameters():
            parameter.requires_grad_(False)  # half of all weights; tuning them gains nothing on this little text

    def tokens(self, text: str, limit: int) -> Tokens:
        """Whole newest lines of ``text`` that fit ``limit`` tokens; of a single longer line its end."""
        kept: Tokens = []
        for line in reversed(text.split("\n")):
            found = self._lines.get(line)
            if found is None:
                found = self._lines[line] = self._tokenizer.encode(line, add_special_tokens=False).ids[:LINE_TOKENS]
            if len(kept) + len(found) > limit - 2:
                if not kept:
                    kept = found[-(limit - 2) :]
                break
            kept = found + kept
        return [self._first, *kept, self._last]

    def encode(self, texts: Sequence[str], limit: int) -> FloatArray:
        """Rows of norm 1: float32, shape (len(texts), dimension)."""
        tokens = [self.tokens(text, limit) for text in texts]
        self._lines.clear()
        order = sorted(range(len(tokens)), key=lambda i: len(tokens[i]))
        out = np.zeros((len(tokens), int(self.network.config.hidden_size)), dtype=np.float32)
        with self.torch.no_grad():
            for start in range(0, len(order), ENCODE_BATCH):
                chosen = order[start : start + ENCODE_BATCH]
                out[chosen] = self.pooled([tokens[i] for i in chosen]).numpy()
        return out

    def pooled(self, batch: Sequence[Tokens]) -> Any:
        """Mean of the last hidden states, of norm 1; tensor, shape (len(batch), dimension)."""
        torch = self.torch
        length = -(-max(map(len, batch)) // LENGTHS) * LENGTHS
        ids = np.full((len(batch), length), self._pad, dtype=np.int64)
        for line, tokens in zip(ids, batch, strict=True):
            line[: len(tokens)] = tokens
        sizes = torch.tensor([len(tokens) for tokens in batch])
        mask = (torch.arange(length)[None, :] < sizes[:, None]).long()
        with torch.autocast("cpu", torch.bfloat16, enabled=_has_bfloat16(torch)):
            hidden = self.network(input_ids=torch.from_numpy(ids), attention_mask=mask).last_hidden_state
        weights = mask[:, :, None].float()
        return torch.nn.functional.normalize((hidden.float() * weights).sum(1) / weights.sum(1), dim=-1)

    def freeze(self, layers: int) -> None:
        """Leave the lowest ``layers`` layers as they are."""
        for layer in self.network.encoder.layer[:layers]:
            for parameter in layer.parameters():
                parameter.requires_grad_(False)

    def tuned(self) -> Iterator[tuple[str, Any]]:
        """(name, parameter) of all that training changes; the pooler is not used."""
        for name, parameter in self.network.named_parameters():
            if parameter.requires_grad and not name.startswith("pooler."):
                yield name, parameter

    def weights(self) -> dict[str, NDArray[np.float16]]:
        """The tuned weights."""
        return {name: parameter.detach().numpy().astype(np.float16) for name, parameter in self.tuned()}

    def set_weights(self, weights: Mapping[str, NDArray[np.float16]]) -> None:
        """Put tuned weights in place; the others stay those of the base model.

        Raises:
            ModelError: a weight that this encoder lacks, or of another shape.
        """
        own = dict(self.network.named_parameters())
        with self.torch.no_grad():
            for name, array in weights.items():
                if name not in own or tuple(own[name].shape) != array.shape:
                    raise ModelError(f"the saved encoder weight {name} {array.shape} does not fit the base encoder.")
                own[name].copy_(self.torch.from_numpy(array.astype(np.float32)))


def fit_bi_encoder(
    encoder: TorchEncoder,
    config: BiEncoderConfig,
    start: tuple[FloatArray, FloatArray],
    stages: Sequence[Sequence[Example]],
    *,
    seed: int,
    progress: Report,
) -> tuple[FloatArray, FloatArray]:
    """Tune ``encoder`` and a table of items, one pass over every one of ``stages``.

    ``start``: the table, float32, shape (n_items, dimension), and the bias of the items, float32, shape (n_items,).
    Returns the same, tuned; rows of the table have norm 1.
    """
    torch = encoder.torch
    functional = torch.nn.functional
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    encoder.freeze(config.frozen_layers)
    table, bias = (torch.nn.Parameter(torch.tensor(array)) for array in start)
    groups: list[dict[str, Any]] = [
        {"params": [parameter for _, parameter in encoder.tuned()], "lr": config.encoder_rate},
        {"params": [table], "lr": config.table_rate, "weight_decay": 0.0},
        {"params": [bias], "lr": config.bias_rate, "weight_decay": 0.0},
    ]
    heights = [group["lr"] for group in groups]
    optimiser = torch.optim.AdamW(groups, fused=True)
    encoder._lines.clear()
    prepared = {
        id(stage): [(encoder.tokens(text, config.max_tokens), gold) for text, gold in stage] for stage in stages
    }
    batches = [batch for stage in stages for batch in _batches(prepared[id(stage)], config.batch, random)]
    for step, batch in enumerate(batches, start=1):
        vectors = functional.dropout(encoder.pooled([tokens for tokens, _ in batch]), config.dropout)
        logits = vectors @ functional.normalize(table, dim=-1).T / config.temperature + bias
        lines = torch.tensor([i for i, (_, gold) in enumerate(batch) for _ in gold])
        rows = torch.tensor([row for _, gold in batch for row in gold])
        loss = -functional.log_softmax(logits, dim=-1)[lines, rows].sum() / len(batch)
        optimiser.zero_grad()
        loss.backward()
        for group, height in zip(optimiser.param_groups, heights, strict=True):
            group["lr"] = height * min(1.0, step / WARM_STEPS) * max(LAST_RATE, 1 - step / len(batches))
        optimiser.step()
        progress(step / len(batches))
        if step % 100 == 0:
            log.debug("bi-encoder: step %d of %d, loss %.3f", step, len(batches), loss.item())
    encoder._lines.clear()
    return functional.normalize(table.detach(), dim=-1).numpy(), bias.detach().numpy()


def _batches(
    examples: Sequence[tuple[Tokens, list[int]]], size: int, random: np.random.Generator
) -> list[list[tuple[Tokens, list[int]]]]:
    """All examples once, in random order, near lengths together."""
    order = random.permutation(len(examples)).tolist()
    batches = []
    for start in range(0, len(order), size * SORTED_BATCHES):
        part = sorted(order[start : start + size * SORTED_BATCHES], key=lambda i: len(examples[i][0]))
        batches += [[examples[i] for i in part[at : at + size]] for at in range(0, len(part), size)]
    return [batches[i] for i in random.permutation(len(batches))]


def _has_bfloat16(torch: Any) -> bool:
    """Whether the processor multiplies bfloat16 itself; elsewhere autocast would be slower than float32."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
