"""The item embedding index: exact scores, caching, resuming."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from convrec.core.embedding import HashingEmbedder
from convrec.core.errors import CatalogueError
from convrec.core.items import FloatArray
from convrec.tools import item_index
from convrec.tools.item_index import build_index, index_folder, open_index


@dataclass
class Films:
    folder: Path
    texts: list[str]
    fingerprint: str = "one"

    @property
    def size(self) -> int:
        return len(self.texts)

    def search_texts(self) -> list[str]:
        return self.texts


@dataclass
class CountingEmbedder:
    """Hashing, with a count of what was embedded; fails after ``limit`` texts."""

    name: str = "counting"
    dimension: int = 32
    limit: int | None = None
    embedded: list[str] = field(default_factory=list)

    def embed(self, texts: Sequence[str]) -> FloatArray:
        if self.limit is not None and len(self.embedded) + len(texts) > self.limit:
            raise KeyboardInterrupt
        self.embedded += texts
        return HashingEmbedder(self.dimension).embed(texts)


@pytest.fixture
def films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Films:
    monkeypatch.setattr(item_index, "CHUNK_ROWS", 10)
    return Films(tmp_path, [f"film number {i} about the {word}" for i, word in enumerate(["sea", "war", "moon"] * 12)])


def test_build_gives_the_embedders_vectors_in_row_order(films: Films) -> None:
    embedder, seen = CountingEmbedder(), []
    index = build_index(films, embedder, lambda done, total: seen.append((done, total)))
    assert seen == [(0, 36), (10, 36), (20, 36), (30, 36), (36, 36)]
    assert len(index) == 36
    expected = HashingEmbedder(32).embed(films.texts)
    np.testing.assert_array_equal(index.matrix, expected)
    assert index.matrix.dtype == np.float32
    np.testing.assert_allclose(index.scores(expected[4]), expected @ expected[4], atol=1e-6)
    assert int(np.argmax(index.scores(expected[4]))) == 4
    assert isinstance(index.matrix, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        index.matrix[0, 0] = 1.0
    files = sorted(f.name for f in index_folder(films, embedder).iterdir())
    assert files == ["manifest.json", "matrix.npy"]


def test_a_second_build_embeds_nothing(films: Films) -> None:
    build_index(films, CountingEmbedder())
    again, seen = CountingEmbedder(), []
    index = build_index(films, again, lambda done, total: seen.append((done, total)))
    assert again.embedded == []
    assert seen == [(36, 36)]
    np.testing.assert_array_equal(index.matrix, open_index(films, again).matrix)


def test_a_killed_build_goes_on(films: Films) -> None:
    with pytest.raises(KeyboardInterrupt):
        build_index(films, CountingEmbedder(limit=25))
    with pytest.raises(CatalogueError, match="no embedding index"):
        open_index(films, CountingEmbedder())
    later = CountingEmbedder()
    index = build_index(films, later)
    assert later.embedded == films.texts[20:]
    np.testing.assert_array_equal(index.matrix, HashingEmbedder(32).embed(films.texts))


def test_a_torn_chunk_is_made_again(films: Films) -> None:
    with pytest.raises(KeyboardInterrupt):
        build_index(films, CountingEmbedder(limit=25))
    chunk = index_folder(films, CountingEmbedder()) / "chunk-000001.npy"
    chunk.write_bytes(chunk.read_bytes()[:100])
    later = CountingEmbedder()
    build_index(films, later)
    assert later.embedded == films.texts[10:]


def test_chunks_of_other_items_are_not_used(films: Films) -> None:
    with pytest.raises(KeyboardInterrupt):
        build_index(films, CountingEmbedder(limit=25))
    films.texts, films.fingerprint = [f"other {text}" for text in films.texts], "two"
    later = CountingEmbedder()
    index = build_index(films, later)
    assert later.embedded == films.texts
    np.testing.assert_array_equal(index.matrix, HashingEmbedder(32).embed(films.texts))


def test_changed_items_make_it_out_of_date(films: Films) -> None:
    build_index(films, CountingEmbedder())
    films.texts, films.fingerprint = ["a new film", *films.texts[1:]], "two"
    with pytest.raises(CatalogueError, match="fingerprint 'one' instead of 'two'"):
        open_index(films, CountingEmbedder())
    index = build_index(films, CountingEmbedder())
    np.testing.assert_array_equal(index.matrix, HashingEmbedder(32).embed(films.texts))


def test_embedders_lie_side_by_side(films: Films) -> None:
    build_index(films, CountingEmbedder())
    build_index(films, CountingEmbedder(name="Other/Model v2", dimension=16))
    assert open_index(films, CountingEmbedder()).matrix.shape == (36, 32)
    assert open_index(films, CountingEmbedder(name="Other/Model v2", dimension=16)).matrix.shape == (36, 16)
    with pytest.raises(CatalogueError, match="dimension 32 instead of 8"):
        open_index(films, CountingEmbedder(dimension=8))


def test_a_damaged_matrix_is_reported_and_built_again(films: Films) -> None:
    build_index(films, CountingEmbedder())
    matrix = index_folder(films, CountingEmbedder()) / "matrix.npy"
    matrix.write_bytes(matrix.read_bytes()[:-400])
    with pytest.raises(CatalogueError, match="damaged"):
        open_index(films, CountingEmbedder())
    build_index(films, CountingEmbedder())
    assert len(open_index(films, CountingEmbedder())) == 36


def test_wrong_counts_and_vectors(films: Films) -> None:
    class Short(Films):
        def search_texts(self) -> list[str]:
            return self.texts[:-1]

    with pytest.raises(CatalogueError, match="36 items but gives 35"):
        build_index(Short(films.folder, films.texts), CountingEmbedder())

    class Wrong(CountingEmbedder):
        def embed(self, texts: Sequence[str]) -> FloatArray:
            return np.full((len(texts), self.dimension), np.nan, np.float32)

    with pytest.raises(CatalogueError, match="NaN"):
        build_index(films, Wrong())


def test_empty_catalogue(tmp_path: Path) -> None:
    index = build_index(Films(tmp_path, []), CountingEmbedder())
    assert index.scores(np.zeros(32, np.float32)).shape == (0,)


def test_similar(films: Films) -> None:
    index = build_index(films, CountingEmbedder())
    m = np.asarray(index.matrix)
    mean = m[1] * 2 + m[2]
    np.testing.assert_allclose(index.similar([1, 2], [2, 1]), m @ (mean / np.linalg.norm(mean)), atol=1e-6)
    np.testing.assert_allclose(index.similar([1, 2], how="max"), np.maximum(m @ m[1], m @ m[2]), atol=1e-6)
    np.testing.assert_allclose(index.similar([5], [-1.0]), -(m @ m[5]), atol=1e-6)
    assert index.similar([]).tolist() == [0.0] * 36
    assert index.similar([3, 3], [1, -1]).tolist() == [0.0] * 36
    assert index.similar(np.array([1], np.int32)).dtype == np.float32
    for rows, weights in (([36], None), ([-1], None), ([1, 2], [1.0])):
        with pytest.raises(ValueError, match="rows"):
            index.similar(rows, weights)
    with pytest.raises(ValueError, match=r"shape \(32,\)"):
        index.scores(np.zeros(31, np.float32))
