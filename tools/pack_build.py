"""Builds the ranking pack from ReDial: counts in, the same bytes out on every machine.

Only identifiers (IMDb ids) and what is counted in the training and validation dialogues go in; the test split, the
data set's counts of mentions and its plots, casts and keywords are not read. Item neighbours are shrunk cosines of
co-mentions (Deshpande & Karypis, ACM TOIS 2004; shrinkage as in Bell & Koren, ICDM 2007); word votes are shrunk TF-IDF
centroids (Rocchio, 1971) of the conversations in which an item was recommended, less what all conversations have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from convrec.core.files import replacing
from convrec.core.items import FloatArray
from convrec.tools.datasets import RedialData
from convrec.tools.pack import EXPERTS, PACK_FILE, Pack, from_arrays, write_pack
from convrec.tools.pack_fusion import fit_fusion, measure
from convrec.tools.pack_training import Training, cases_of, read_training, vocabulary_of
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.sparse import csr_array

CITATION = "Li et al., Towards Deep Conversational Recommendations, NeurIPS 2018"
LICENCE = "CC BY 4.0"
SOURCE = "https://redialdata.github.io/website/"
REBUILD = "convrec data fetch redial && convrec data pack --check"
_ROUND = 9
"""Decimals to which figures are rounded before they are ordered or made whole numbers: beyond the last bits in which
machines differ."""

Progress = Callable[[str, int, int | None], None]
"""Called with what is being done, how many steps are behind, and how many there are."""


class PackSettings(BaseModel):
    """Settings of the pack; the defaults were chosen on ReDial's validation split (docs/ranking_pack.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    neighbours: int = Field(100, ge=1, description="most similar items kept for each item")
    shrinkage: float = Field(20.0, ge=0, description="pairs named together rarely are drawn towards 0")
    last_messages: int = Field(20, ge=1, description="newest messages whose words count")
    min_dialogues: int = Field(5, ge=5, description="words said in fewer dialogues, or by fewer people, are left out")
    word_shrinkage: float = Field(30.0, ge=0, description="items recommended rarely draw their words towards 0")
    background: float = Field(1.0, ge=0, le=1, description="share of the mean conversation that is taken off")
    words_per_item: int = Field(100, ge=1, description="strongest words kept for each item")


def fit_pack(training: Training, settings: PackSettings, fusion: Mapping[str, float], about: Mapping[str, Any]) -> Pack:
    """Count and weigh. ``about`` goes into the manifest."""
    return from_arrays(*fit_arrays(training, settings, fusion, about))


def fit_arrays(
    training: Training, settings: PackSettings, fusion: Mapping[str, float], about: Mapping[str, Any]
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays and the manifest of a pack."""
    recommended = np.zeros(training.size, dtype=np.int64)
    pairs = []
    for line, sequence in enumerate(training.sequences):
        rows = {training.row_of[m.item] for m in sequence if m.item in training.row_of}
        pairs += [(line, row) for row in sorted(rows)]
        offered = {
            training.row_of[m.item] for m in sequence if m.item in training.row_of and m.speaker == "recommender"
        }
        recommended[sorted(offered)] += 1
    prior = np.log1p(recommended)
    neighbours = _neighbours(_counts(pairs, (len(training.sequences), training.size)), settings)
    words, idf, votes = _votes(training, settings)
    near_unit, near = _whole(neighbours[2], 255)
    vote_unit, vote = _whole(votes[2], 65535)
    arrays: dict[str, NDArray[Any]] = {
        "ids": np.array(training.numbers, dtype=np.uint32),
        "prior": np.rint(np.round(255 * prior / max(float(prior.max(initial=0)), 1e-9), _ROUND)).astype(np.uint8),
        "neighbour_starts": neighbours[0],
        "neighbour_items": neighbours[1],
        "neighbour_weights": near,
        "word_text": np.frombuffer("\n".join(words).encode(), dtype=np.uint8),
        "word_idf": idf,
        "word_starts": votes[0],
        "word_items": votes[1],
        "word_weights": vote,
    }
    manifest = {
        **about,
        "name": "redial",
        "source": SOURCE,
        "licence": LICENCE,
        "citation": CITATION,
        "rebuild": REBUILD,
        "settings": settings.model_dump(mode="json"),
        "fusion": {name: float(fusion[name]) for name in EXPERTS},
        "units": {"neighbours": near_unit, "words": vote_unit},
        "counts": {
            "items": training.size,
            "conversations": len(training.sequences),
            "conversations_in_full": len(training.dialogues),
            "neighbours": int(near.size),
            "words": len(words),
            "word_votes": int(vote.size),
        },
        "training_sha256": training.digest,
    }
    return arrays, manifest


_Part = tuple[NDArray[np.uint32], NDArray[np.uint16], NDArray[np.float64]]


def _neighbours(matrix: csr_array[np.float64], settings: PackSettings) -> _Part:
    pairs = csr_array(matrix.T @ matrix)
    counts = np.bincount(matrix.indices, minlength=matrix.shape[1]).astype(np.float64)
    lines = np.repeat(np.arange(matrix.shape[1]), np.diff(pairs.indptr))
    columns = pairs.indices.astype(np.int64)
    similar = pairs.data / (np.sqrt(counts[lines] * counts[columns]) + settings.shrinkage)
    other = lines != columns
    return _strongest(lines[other], columns[other], similar[other], matrix.shape[1], settings.neighbours)


def _votes(training: Training, settings: PackSettings) -> tuple[tuple[str, ...], FloatArray, _Part]:
    """The words, their idf, and a line of items for each word."""
    words = vocabulary_of(training.dialogues, settings.min_dialogues)
    column = {word: i for i, word in enumerate(words)}
    cases = cases_of(training.dialogues, training.row_of, settings.last_messages)
    lines = [sorted((column[w], n) for w, n in case.said.items() if w in column) for case in cases]
    shape = (len(cases), len(words))
    said = _counts([(i, c) for i, line in enumerate(lines) for c, _ in line], shape)
    found = np.bincount(said.indices, minlength=len(words))
    idf = np.round(np.log((1 + len(cases)) / (1 + found)) + 1, 4)
    said.data = np.log1p(np.array([n for line in lines for _, n in line], dtype=np.float64)) * idf[said.indices]
    norms = (
        np.sqrt(np.add.reduceat(np.append(said.data**2, 0.0), said.indptr[:-1])) if said.nnz else np.ones(len(cases))
    )
    said.data /= np.repeat(np.maximum(norms, 1e-9), np.diff(said.indptr))
    gold = _counts([(i, row) for i, case in enumerate(cases) for row in case.gold], (len(cases), training.size))
    times = np.bincount(gold.indices, minlength=training.size).astype(np.float64)
    mean = np.asarray(said.sum(axis=0)).ravel() / max(len(cases), 1)
    sums = csr_array(gold.T @ said)  # shape (n_items, n_words)
    items = np.repeat(np.arange(training.size), np.diff(sums.indptr))
    columns = sums.indices.astype(np.int64)
    share = (sums.data - settings.background * times[items] * mean[columns]) / (times[items] + settings.word_shrinkage)
    starts, kept, weights = _strongest(items, columns, share, training.size, settings.words_per_item)
    items = np.repeat(np.arange(training.size), starts[1:] - starts[:-1])
    order = np.lexsort((items, kept))
    by_word = np.bincount(kept, minlength=len(words))
    starts = np.concatenate([[0], np.cumsum(by_word)]).astype(np.uint32)
    return words, idf.astype(np.float32), (starts, items[order].astype(np.uint16), weights[order])


def _counts(pairs: Sequence[tuple[int, int]], shape: tuple[int, int]) -> csr_array[np.float64]:
    """1 at each pair (line, column), given by rising line, then column, without repeats."""
    lines = np.array([line for line, _ in pairs], dtype=np.int64)
    columns = np.array([column for _, column in pairs], dtype=np.int32)
    starts = np.searchsorted(lines, np.arange(shape[0] + 1))
    matrix: csr_array[np.float64] = csr_array((np.ones(len(pairs)), columns, starts), shape=shape)
    return matrix


def _strongest(
    lines: NDArray[np.int64], columns: NDArray[np.int64], weights: NDArray[np.float64], n_lines: int, most: int
) -> _Part:
    """The ``most`` largest weights above 0 of each line (ties: lower column first), by line and column."""
    weights = np.round(weights, _ROUND)
    good = weights > 0
    lines, columns, weights = lines[good], columns[good], weights[good]
    order = np.lexsort((columns, -weights, lines))
    lines, columns, weights = lines[order], columns[order], weights[order]
    near = np.arange(lines.size) - np.searchsorted(lines, lines) < most
    lines, columns, weights = lines[near], columns[near], weights[near]
    order = np.lexsort((columns, lines))
    starts = np.searchsorted(lines, np.arange(n_lines + 1)).astype(np.uint32)
    return starts, columns[order].astype(np.uint16), weights[order]


def _whole(weights: NDArray[np.float64], levels: int) -> tuple[float, NDArray[np.int64]]:
    """Weights as whole numbers 1..levels, and what 1 stands for."""
    unit = round(max(float(weights.max(initial=0.0)), 1e-9) / levels, 12)
    return unit, np.clip(np.rint(np.round(weights / unit, 6)), 1, levels).astype(np.int64)


_STEPS = ("reading ReDial", "fitting without validation", "weighing on validation", "fitting on everything", "writing")


def build_pack(
    datasets: Path, out: Path, settings: PackSettings | None = None, progress: Progress | None = None
) -> Mapping[str, Any]:
    """Build the pack of ``<datasets>/redial`` into the file ``out``, whole or not at all; its manifest comes back.

    The weights of the experts are fitted on the validation split with a pack learnt without it; the pack that is
    written is learnt from both.

    Raises:
        DatasetError: ReDial has not been fetched, or is damaged; the message holds the command.
    """
    chosen = settings if settings is not None else PackSettings()

    def step(number: int) -> None:
        if progress is not None:
            progress(_STEPS[number], number, len(_STEPS))

    step(0)
    data = RedialData(datasets / "redial")
    training = read_training(data, with_valid=False)
    step(1)
    learnt = fit_pack(training, chosen, dict.fromkeys(EXPERTS, 0.0), {})
    step(2)
    cases = cases_of(data.dialogues("valid"), training.row_of, chosen.last_messages)
    fusion = fit_fusion(learnt, cases)
    figures = measure(learnt, cases, fusion)
    step(3)
    about = {"variant": data.variant, "notes": list(data.manifest["notes"]), "validation": figures}
    arrays, manifest = fit_arrays(read_training(data, with_valid=True), chosen, fusion, about)
    step(4)
    with replacing(out) as temporary:
        write_pack(arrays, manifest, temporary)
    return manifest


def same_as_shipped(built: Path, shipped: Path = PACK_FILE) -> bool:
    """Whether two packs are the same, byte for byte."""
    return shipped.is_file() and built.read_bytes() == shipped.read_bytes()
