"""Training of SASRec with torch. The network here and ``SASRec._hidden`` must stay the same, but for dropout."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from convrec.core.extras import require
from convrec.core.items import FloatArray
from numpy.typing import NDArray

if TYPE_CHECKING:
    from convrec.tools.recommenders.sasrec import Events, SASRecConfig

SMALL = 0.05
"""Standard deviation of the first embeddings."""
WARM_SHARE = 0.1
RECOMMENDER = 1
IGNORED = -1


def fit_sasrec(
    config: SASRecConfig,
    sequences: Sequence[Events],
    n_items: int,
    *,
    seed: int,
    progress: Callable[[float], None],
) -> dict[str, FloatArray]:
    """Weights by name, float32, as ``SASRec._hidden`` reads them."""
    torch = require("torch", "memory", "training SASRec")
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    weights = _new_weights(torch, config, n_items)
    everything = config.targets == "all"
    windows = _Windows.cut(sequences, config.length, random) if everything else _Windows.of(sequences, config.length)
    chances = torch.from_numpy(_chances(windows.targets, n_items))
    optimiser = torch.optim.AdamW(
        [
            {"params": [w for w in weights.values() if w.ndim > 1], "weight_decay": config.weight_decay},
            {"params": [w for w in weights.values() if w.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
        fused=True,
    )
    steps = max(1, -(-len(windows) // config.batch) * config.epochs)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.learning_rate, steps, pct_start=WARM_SHARE)
    step = 0
    for epoch in range(config.epochs):
        if everything and epoch:
            windows = _Windows.cut(sequences, config.length, random)
        order = random.permutation(len(windows))
        for start in range(0, len(order), config.batch):
            loss = _loss(torch, weights, config, windows[order[start : start + config.batch]], chances)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(list(weights.values()), 1.0)
            optimiser.step()
            step += 1
            if step <= steps:  # cut anew, there may be a few windows more than in the first epoch
                schedule.step()
            progress(min(1.0, step / steps))
    return {name: weight.detach().numpy().copy() for name, weight in weights.items()}


@dataclass(frozen=True, slots=True)
class _Windows:
    """What was named, oldest first, filled up with :data:`IGNORED` at the end: ``rows`` and ``kinds`` int64, shape
    (n, length); ``sizes`` int64, shape (n,). ``targets``: int64, shape (n, 1 + length), the item to be predicted at the
    start and after each item; IGNORED where none is."""

    rows: NDArray[np.int64]
    kinds: NDArray[np.int64]
    sizes: NDArray[np.int64]
    targets: NDArray[np.int64]

    @classmethod
    def of(cls, sequences: Sequence[Events], length: int) -> _Windows:
        """One window per item that the recommender names first: positions count back from the newest, so that each
        target has its own view of the past."""
        found = []
        for sequence in sequences:
            seen: set[int] = set()
            for i, (row, kind) in enumerate(sequence):
                if kind == RECOMMENDER and row not in seen:
                    found.append((sequence[max(0, i - length) : i], row))
                seen.add(row)
        return cls._filled(length, [events for events, _ in found], [{len(e): target} for e, target in found])

    @classmethod
    def cut(cls, sequences: Sequence[Events], length: int, random: np.random.Generator) -> _Windows:
        """Each sequence in windows one after the other, the first of them shortened at random, so that any item may be
        the newest of a window; each item is the target after those before it in its window, once."""
        parts: list[Events] = []
        targets: list[dict[int, int]] = []
        for sequence in sequences:
            first = {row: i for i, (row, _) in reversed(list(enumerate(sequence)))}
            new = [first[row] == i for i, (row, _) in enumerate(sequence)]
            start, end = 0, 1 + int(random.integers(length)) if len(sequence) > length else length
            while start < len(sequence):
                # One item more than fits, as the last is target only; it comes first in the next window.
                inside = sequence[start : end + 1]
                parts.append(inside[:-1])
                targets.append(
                    {i: row for i, (row, _) in enumerate(inside) if new[start + i] and (i > 0 or start == 0)}
                )
                start, end = end, end + length
        return cls._filled(length, parts, targets)

    @classmethod
    def _filled(cls, length: int, parts: Sequence[Events], wanted: Sequence[Mapping[int, int]]) -> _Windows:
        rows = np.full((len(parts), length), IGNORED, dtype=np.int64)
        kinds = np.zeros_like(rows)
        targets = np.full((len(parts), 1 + length), IGNORED, dtype=np.int64)
        for i, (events, goals) in enumerate(zip(parts, wanted, strict=True)):
            if events:
                rows[i, : len(events)], kinds[i, : len(events)] = np.array(events).T
            targets[i, list(goals)] = list(goals.values())
        return cls(rows, kinds, np.array([len(events) for events in parts], dtype=np.int64), targets)

    def __getitem__(self, chosen: NDArray[np.int64]) -> _Windows:
        """Some of them, no wider than their longest."""
        sizes = self.sizes[chosen]
        width = int(sizes.max(initial=0))
        return _Windows(self.rows[chosen, :width], self.kinds[chosen, :width], sizes, self.targets[chosen, : 1 + width])

    def __len__(self) -> int:
        return self.sizes.size


def _chances(targets: NDArray[np.int64], n_items: int) -> FloatArray:
    """How likely each item is drawn as a negative: half by how often it is a target, half all alike; sums to 1."""
    counts = np.bincount(targets[targets >= 0], minlength=n_items) + 1e-9
    chances: FloatArray = (0.5 * counts / counts.sum() + 0.5 / max(1, n_items)).astype(np.float32)
    return chances


def _new_weights(torch: Any, config: SASRecConfig, n_items: int) -> dict[str, Any]:
    from convrec.tools.recommenders.sasrec import KINDS  # noqa: PLC0415 -- the two modules name each other

    size = config.dimension

    def normal(*shape: int, spread: float = SMALL) -> Any:
        return torch.nn.Parameter(torch.randn(*shape) * spread)

    def fixed(*shape: int, value: float = 0.0) -> Any:
        return torch.nn.Parameter(torch.full(shape, value))

    def norm() -> Any:
        return torch.nn.Parameter(torch.stack([torch.ones(size), torch.zeros(size)]))

    weights: dict[str, Any] = {
        "items": normal(n_items, size),
        "bias": fixed(n_items),
        "kinds": normal(KINDS, size),
        "positions": normal(config.length + 1, size),
        "start": normal(size),
        "norm": norm(),
    }
    wide = size**-0.5
    for layer in range(config.layers):
        weights |= {
            f"{layer}.norm1": norm(),
            f"{layer}.norm2": norm(),
            f"{layer}.qkv": normal(3 * size, size, spread=wide),
            f"{layer}.qkv_bias": fixed(3 * size),
            f"{layer}.out": normal(size, size, spread=wide / config.layers),
            f"{layer}.out_bias": fixed(size),
            f"{layer}.up": normal(2 * size, size, spread=wide),
            f"{layer}.up_bias": fixed(2 * size),
            f"{layer}.down": normal(size, 2 * size, spread=wide / config.layers),
            f"{layer}.down_bias": fixed(size),
        }
    return weights


def _loss(torch: Any, weights: Mapping[str, Any], config: SASRecConfig, batch: _Windows, chances: Any) -> Any:
    functional = torch.nn.functional
    length = 1 + batch.rows.shape[1]
    rows, kinds = torch.from_numpy(batch.rows), torch.from_numpy(batch.kinds)
    sizes = 1 + torch.from_numpy(batch.sizes)
    known = (rows >= 0)[:, :, None]
    named = (weights["items"][rows.clamp(min=0)] + weights["kinds"][kinds]) * known
    x = torch.cat([weights["start"].expand(len(batch), 1, -1), named], dim=1)
    x = x + weights["positions"][(sizes[:, None] - 1 - torch.arange(length)[None, :]).clamp(min=0)]
    x = functional.dropout(x, config.dropout)
    for layer in range(config.layers):
        part = {n.removeprefix(f"{layer}."): w for n, w in weights.items() if n.startswith(f"{layer}.")}
        x = x + functional.dropout(
            _attention(torch, _norm(torch, x, part["norm1"]), part, config.heads), config.dropout
        )
        inner = torch.relu(_norm(torch, x, part["norm2"]) @ part["up"].T + part["up_bias"])
        x = x + functional.dropout(inner @ part["down"].T + part["down_bias"], config.dropout)
    targets = torch.from_numpy(batch.targets)
    asked = targets >= 0
    states = _norm(torch, x[asked], weights["norm"])
    goals = targets[asked]
    n_items = weights["bias"].numel()
    if config.negatives is None or config.negatives >= n_items - 1:
        return functional.cross_entropy(states @ weights["items"].T + weights["bias"], goals)
    # Sampled softmax (Bengio & Senecal 2008), the drawn weighted by how often they would be drawn.
    drawn = torch.multinomial(chances, config.negatives, replacement=True)
    others = states @ weights["items"][drawn].T + weights["bias"][drawn] - (chances[drawn] * config.negatives).log()
    others = others.masked_fill(drawn[None, :] == goals[:, None], float("-inf"))
    right = (states * weights["items"][goals]).sum(dim=-1) + weights["bias"][goals]
    return (torch.logsumexp(torch.cat([right[:, None], others], dim=1), dim=1) - right).mean()


def _norm(torch: Any, x: Any, scale_shift: Any) -> Any:
    return torch.nn.functional.layer_norm(x, x.shape[-1:], scale_shift[0], scale_shift[1])


def _attention(torch: Any, x: Any, part: Mapping[str, Any], heads: int) -> Any:
    batch, length, size = x.shape
    mixed = (x @ part["qkv"].T + part["qkv_bias"]).reshape(batch, length, 3, heads, size // heads)
    query, key, value = mixed.permute(2, 0, 3, 1, 4)
    blocked = torch.triu(torch.full((length, length), float("-inf")), 1)
    share = torch.softmax(query @ key.transpose(-1, -2) / (size // heads) ** 0.5 + blocked, dim=-1)
    joined = (share @ value).transpose(1, 2).reshape(batch, length, size)
    return joined @ part["out"].T + part["out_bias"]
