"""Sentence embeddings by all-MiniLM-L6-v2: the one module that touches sentence-transformers.

Importing sentence-transformers 6 takes about 4 s, of which torch 1 s, transformers' model code 2 s (it loads
torch.distributed and torch._dynamo) and scikit-learn with pandas .7 s; none of it can be left out from here. So it is
imported at the first embedding, and :meth:`MiniLMEmbedder.warm` lets a program do that while the user reads.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from convrec.core.errors import ModelError
from convrec.core.extras import require
from convrec.core.items import FloatArray
from numpy.typing import NDArray

log = logging.getLogger(__name__)

NAME = "all-minilm-l6-v2"
BATCH_TEXTS = 32
"""Texts per forward pass: fastest of 16, 32 and 64 on 2 cores."""
CACHED_TEXTS = 2048
"""Vectors kept for texts asked for again: 3 MiB at 384 dimensions."""
FEW_TEXTS = 16
"""Calls with at most this many texts go through the cache; larger ones are index builds."""
MANY_TEXTS = 256
"""Calls with at least this many texts run in bfloat16 where the processor has it: 2.2 times as fast on AMX, cosine to
the float32 vectors above .9999. Smaller calls stay in float32, so that a request's vector is exact."""


class MiniLMEmbedder:
    """An :class:`~convrec.core.embedding.Embedder` over a folder with the model's files. Thread-safe.

    Texts are cut at the model's 256 tokens. Nothing is downloaded: the files must be in ``folder``.

    Args:
        folder: the sentence-transformers folder (``modules.json``, ``model.safetensors``, ...).
        device: torch device; "cuda" for index builds on a machine with a GPU to spare.

    Raises:
        ModelError: the folder does not hold the model's files.
        MissingExtraError: at the first embedding, when sentence-transformers is not installed.
    """

    def __init__(self, folder: Path, *, device: str = "cpu") -> None:
        missing = [
            name for name in ("modules.json", "config.json", "model.safetensors") if not (folder / name).is_file()
        ]
        if missing:
            raise ModelError(f"{folder} lacks {', '.join(missing)} of {NAME}. Run: convrec models pull {NAME}")
        try:
            self._dimension = int(json.loads((folder / "config.json").read_text(encoding="utf-8"))["hidden_size"])
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"{folder / 'config.json'} is damaged. Pull {NAME} again: convrec models pull {NAME}"
            ) from error
        self._folder, self._device = folder, device
        self._model: Any = None
        self._lock = threading.Lock()  # loading and tokenizing
        self._cache: OrderedDict[str, FloatArray] = OrderedDict()
        self._cache_lock = threading.Lock()

    @property
    def name(self) -> str:
        return NAME

    @property
    def dimension(self) -> int:
        return self._dimension

    def warm(self) -> None:
        """Import, load and run the model once; safe to call from another thread, more than once."""
        self.embed(["warm"])

    def embed(self, texts: Sequence[str]) -> FloatArray:
        if len(texts) > FEW_TEXTS:
            return self._encode(texts)
        with self._cache_lock:
            known = {text: self._cache[text] for text in texts if text in self._cache}
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known |= zip(new, self._encode(new), strict=True)
        with self._cache_lock:
            for text in texts:
                self._cache[text] = known[text]
                self._cache.move_to_end(text)
            while len(self._cache) > CACHED_TEXTS:
                self._cache.popitem(last=False)
        out = np.empty((len(texts), self._dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            out[row] = known[text]
        return out

    def _encode(self, texts: Sequence[str]) -> FloatArray:
        """Embed in batches of like token counts, since a batch is padded to its longest text."""
        torch = require("torch", "memory", "embedding texts")
        with self._lock:
            model = self._loaded()
        many = len(texts) >= MANY_TEXTS
        counts = [len(ids) for ids in self._tokens(model, texts)["input_ids"]] if many else [0] * len(texts)
        order = np.argsort(counts, kind="stable")
        batches = [order[start : start + BATCH_TEXTS] for start in range(0, len(texts), BATCH_TEXTS)]
        out = np.empty((len(texts), self._dimension), dtype=np.float32)

        def run(rows: NDArray[np.intp]) -> None:
            features = self._tokens(model, [texts[row] for row in rows], padding=True, return_tensors="pt")
            with (
                _one_thread(torch),
                torch.inference_mode(),
                torch.autocast("cpu", dtype=torch.bfloat16, enabled=many and self._bfloat16(torch)),
            ):
                vectors = model(dict(features.to(self._device)))["sentence_embedding"]
            out[rows] = vectors.float().cpu().numpy()

        if many and self._device == "cpu":
            with ThreadPoolExecutor(torch.get_num_threads()) as pool:
                list(pool.map(run, batches))
        else:
            for rows in batches:
                run(rows)
        norms = np.linalg.norm(out, axis=1, keepdims=True)
        np.divide(out, norms, out=out, where=norms > 0)
        return out

    def _tokens(self, model: Any, texts: Sequence[str], **how: Any) -> Any:
        with self._lock:  # the tokenizer may not be used by two threads with different settings
            return model.tokenizer(list(texts), truncation=True, max_length=model.max_seq_length, **how)

    def _bfloat16(self, torch: ModuleType) -> bool:
        return self._device == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())

    def _loaded(self) -> Any:
        """The model; the caller holds the lock."""
        if self._model is None:
            library = require("sentence_transformers", "memory", "embedding texts with MiniLM")
            with _quiet():
                try:
                    self._model = library.SentenceTransformer(
                        str(self._folder), device=self._device, local_files_only=True
                    )
                except (OSError, ValueError, KeyError, RuntimeError) as error:
                    raise ModelError(
                        f"{NAME} cannot be loaded from {self._folder}: {error}. "
                        f"Pull it again: convrec models pull {NAME}"
                    ) from error
            log.debug("loaded %s from %s", NAME, self._folder)
        return self._model


@contextmanager
def _one_thread(torch: ModuleType) -> Iterator[None]:
    """One torch thread per forward pass while this lasts.

    With several, each waits for the slowest, and that is ruin while a language model has the cores: a request's
    embedding took 172 ms (median; 95th percentile 974), with one thread 22 (29). Builds run whole batches side by side
    instead.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def calm() -> Iterator[None]:
    """No "Loading weights" bar and one torch thread per forward pass while this lasts, for whatever else encodes a
    message within a turn."""
    with _quiet(), _one_thread(require("torch", "memory", "embedding texts")):
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """No "Loading weights" bar from transformers while this lasts."""
    logs = require("transformers.utils.logging", "memory", "embedding texts with MiniLM")
    shown = logs.is_progress_bar_enabled()
    logs.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logs.enable_progress_bar()
