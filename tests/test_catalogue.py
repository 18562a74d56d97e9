"""The catalogue: facts of the demo films, SQL against ``holds``, names, columns, damage, threads."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from convrec.core.errors import CatalogueError, ImportRejected, MissingExtraError, ToolRetry
from convrec.core.items import FieldValue
from convrec.core.settings import Settings, load_settings
from convrec.core.text import fold
from convrec.tools import catalogue_names, demo, predicates
from convrec.tools.catalogue import Catalogue
from convrec.tools.catalogue_build import CatalogueBuilder, Record, title_names
from convrec.tools.catalogue_file import FILE, MANIFEST, Source, read_manifest
from convrec.tools.catalogue_sql import compile_sql
from convrec.tools.predicates import AllOf, AnyOf, Expr, Not, Op, holds
from convrec.tools.schema import FieldSpec, FieldType, Role, Schema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Test = predicates.Test
Test.__test__ = False  # type: ignore[attr-defined]  # pytest would collect it
SOURCE = Source(file="test", sha256="0" * 64, builder="test 1")
SMALL = Schema(
    fields=(
        FieldSpec(name="year", type=FieldType.INTEGER, role=Role.YEAR),
        FieldSpec(name="score", type=FieldType.NUMBER, role=Role.QUALITY),
        FieldSpec(name="grade", type=FieldType.TEXT, role=Role.CERTIFICATE),
        FieldSpec(name="genres", type=FieldType.TAGS, role=Role.CATEGORY),
        FieldSpec(name="cast", type=FieldType.TAGS, role=Role.PERSON),
    )
)
INJECTION = "x'; DROP TABLE cat.items; --"
TAGS = ("Drama", "Comedy", "Comedy ", "drama", "Ünïcode", INJECTION, '"quoted"', "a\0b")
YEARS = (1990, 1991, 2000, 2**53, -5, 0)
SCORES = (0.0, 0.1, 7.5, -1.0, 1e300)
GRADES = ("G", "PG", "R", "r", INJECTION)


def build(folder: Path, records: Sequence[Record], schema: Schema = SMALL, *, replace: bool = False) -> Catalogue:
    with CatalogueBuilder(folder, schema, replace=replace) as builder:
        for record in records:
            builder.add(record)
        builder.duplicates()
        builder.commit(SOURCE)
    return Catalogue.open(folder)


def record(item_id: str, title: str, line: int = 1, aliases: tuple[str, ...] = (), **fields: FieldValue) -> Record:
    return Record(line, item_id, title, fields, f"{title}.", aliases)


@pytest.fixture(scope="module")
def demo_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    pytest.importorskip("bokeh_sampledata._data", reason="needs the extra 'demo'")
    home = tmp_path_factory.mktemp("home")
    return load_settings(home=home, cache=home / "cache")


@pytest.fixture(scope="module")
def films(demo_settings: Settings) -> Iterator[Catalogue]:
    catalogue = Catalogue.open(demo.ensure_demo(demo_settings))
    yield catalogue
    catalogue.close()


@pytest.fixture(scope="module")
def random_items(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    """300 items with many missing values, from a fixed seed."""
    rng = np.random.default_rng(7)

    def some(values: Sequence[FieldValue]) -> FieldValue:
        return None if rng.random() < 0.3 else values[int(rng.integers(len(values)))]

    def tags() -> tuple[str, ...]:
        return tuple(tag for tag in TAGS if rng.random() < 0.25)

    records = [
        record(
            f"i{n:03d}",
            f"Title {n}",
            n,
            year=some(YEARS),
            score=some(SCORES),
            grade=some(GRADES),
            genres=tags(),
            cast=tags(),
        )
        for n in range(300)
    ]
    catalogue = build(tmp_path_factory.mktemp("random") / "small", records)
    yield catalogue
    catalogue.close()


numbers = st.one_of(
    st.sampled_from(YEARS + SCORES),
    st.sampled_from(
        (math.nan, math.inf, -math.inf, 1990.5, 2**70, -(2**70), 10**400, -(10**400), 2**53 + 1, 1990.0, -0.0)
    ),
)
words = st.sampled_from((*TAGS, *GRADES, "", "nothing", "\ud800"))


def conditions_on(
    names: Sequence[str], ops: Sequence[Op], values: st.SearchStrategy[str | int | float]
) -> st.SearchStrategy[Expr]:
    return st.builds(
        Test, st.sampled_from(names), st.sampled_from(ops), st.lists(values, min_size=1, max_size=3).map(tuple)
    )


leaves = st.one_of(
    conditions_on(("genres", "cast"), (Op.ANY, Op.ALL, Op.MISSING), words),
    conditions_on(("grade",), (Op.ANY, Op.MISSING), words),
    conditions_on(("year", "score"), (Op.ANY, Op.MISSING), numbers),
    st.builds(Test, st.sampled_from(("year", "score")), st.sampled_from((Op.LE, Op.GE)), st.tuples(numbers)),
)
exprs: st.SearchStrategy[Expr] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(AllOf, st.lists(inner, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Not, inner),
    ),
    max_leaves=6,
)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(expr=exprs)
def test_sql_finds_exactly_what_holds(random_items: Catalogue, expr: Expr) -> None:
    everything = random_items.items(random_items.rows())
    expected = [item.row for item in everything if holds(expr, item)]
    found = random_items.rows(expr)
    assert found.dtype == np.int32
    assert found.tolist() == expected


def test_values_are_parameters_never_sql() -> None:
    expr = AllOf((Test("genres", Op.ANY, (INJECTION,)), Not(Test("grade", Op.ANY, (INJECTION,)))))
    sql, params = compile_sql(expr, SMALL)
    assert "DROP" not in sql
    assert params == [INJECTION, INJECTION]
    with pytest.raises(CatalogueError, match="not in this catalogue"):
        compile_sql(Test('year" OR 1=1 --', Op.MISSING), SMALL)


def test_unknown_field_or_wrong_type_asks_for_another_call(random_items: Catalogue) -> None:
    with pytest.raises(ToolRetry, match="unknown field 'director'"):
        random_items.rows(Test("director", Op.ANY, ("x",)))
    with pytest.raises(ToolRetry):
        random_items.rows(Test("year", Op.LE, ("1990",)))


def test_demo_facts(films: Catalogue) -> None:
    assert films.size == 17_470
    assert len(films.rows()) == films.size
    heats = [films.item(hit.row) for hit in films.find_names(["heat"]) if hit.row is not None and hit.strength == 1]
    assert sorted(item.year or 0 for item in heats) == [1972, 1987, 1995]
    mann = next(item for item in heats if item.year == 1995)
    assert mann.tags("directors") == ("Michael Mann",)
    assert mann.number("runtime") == 170
    assert "Crime" in mann.tags("genres")
    assert films.row_of(mann.id) == mann.row
    assert films.row_of("tt0078788") is not None
    assert sum("occurs again" in note for note in films.manifest.notes) == 2


def test_demo_is_cleaned(films: Catalogue) -> None:
    languages = set(films.tags("languages").vocabulary)
    assert {"Mandarin", "Cantonese", "Greek", "English", "Korean", "Kurdish"} <= languages
    assert not [name for name in languages if name.endswith(" language")]
    assert not languages & {"Putonghua", "Standard Chinese", "Yue Chinese", "Modern Greek", "American English", ""}
    grades = {grade for grade in films.text_column("certificate") if grade is not None}
    assert grades == {"G", "PG", "PG-13", "R", "NC-17"}
    directors = set(films.tags("directors").vocabulary)
    assert "George Tillman, Jr." in directors
    assert not [name for name in directors if name in ("", "Jr.", "Jr") or name[0].isdigit()]
    assert "" not in films.tags("genres").vocabulary
    runtimes = films.numeric("runtime")
    assert np.nanmin(runtimes) >= 5
    assert np.nanmax(runtimes) == 776


def test_demo_korean_thrillers_under_two_hours(films: Catalogue) -> None:
    expr = AllOf(
        (
            Test("countries", Op.ANY, ("South Korea",)),
            Test("genres", Op.ANY, ("Thriller",)),
            Test("runtime", Op.LE, (119,)),
        )
    )
    found = films.items(films.rows(expr))
    assert len(found) >= 5
    assert all(holds(expr, item) for item in found)
    assert all((item.number("runtime") or 999) < 120 for item in found)


def test_demo_search_texts(films: Catalogue) -> None:
    texts = films.search_texts()
    row = films.row_of("tt0113277")
    assert row is not None
    assert len(texts) == films.size
    assert texts[row].startswith("Heat (1995)")
    assert {"Michael Mann", "Al Pacino", "Robert De Niro", "Crime"} <= {
        word for word in ("Michael Mann", "Al Pacino", "Robert De Niro", "Crime") if word in texts[row]
    }
    assert max(len(text.split()) for text in texts) <= 100


def test_demo_opens_fast_and_is_built_once(demo_settings: Settings, films: Catalogue) -> None:
    file = films.folder / FILE
    before = file.stat().st_mtime_ns
    assert demo.ensure_demo(demo_settings) == films.folder
    assert file.stat().st_mtime_ns == before
    start = time.perf_counter()
    Catalogue.open(films.folder).close()
    assert time.perf_counter() - start < 0.3


def test_demo_is_rebuilt_for_another_builder_or_when_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("bokeh_sampledata._data", reason="needs the extra 'demo'")
    own = load_settings(home=tmp_path, cache=tmp_path / "cache")
    seen: list[str] = []
    folder = demo.ensure_demo(own, lambda what, done, total: seen.append(what))
    assert "reading films" in seen
    first = read_manifest(folder)
    monkeypatch.setattr(demo, "BUILDER", "demo 999")
    assert read_manifest(demo.ensure_demo(own)).source.builder == "demo 999"
    (folder / FILE).write_bytes(b"garbage" * 1000)
    with pytest.raises(CatalogueError, match="convrec data demo --rebuild"):
        Catalogue.open(folder)
    assert read_manifest(demo.ensure_demo(own)).fingerprint == first.fingerprint


def test_demo_without_the_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'convrec\[demo\]'"):
        demo.source_file()


def test_title_names() -> None:
    assert dict(title_names("The Lord of the Rings: The Two Towers")) == {
        "the lord of the rings the two towers": 1.0,
        "lord of the rings the two towers": 0.9,
        "the lord of the rings": 0.8,
        "lord of the rings": 0.8,
    }
    assert title_names("Heat") == [("heat", 1.0)]
    assert title_names("A") == [("a", 1.0)]
    assert title_names("Spider-Man") == [("spider man", 1.0)]
    assert dict(title_names("Alien - Director's Cut"))["alien"] == 0.8


@pytest.mark.parametrize("held", [0, catalogue_names.IN_MEMORY])
def test_find_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    monkeypatch.setattr(catalogue_names, "IN_MEMORY", held)
    catalogue = build(
        tmp_path / "names",
        [
            record("a", "The Thing", cast=("Kurt Russell",), genres=("Horror",)),
            record("b", "Thing", aliases=("Das Ding", "The Thing"), cast=("Kurt Russell",)),
            record("c", "七人の侍", aliases=("Seven Samurai",)),
            record("d", "[bold]Markup[/] <script>", cast=("Élodie Bouchez",)),
        ],
    )
    hits = catalogue.find_names(["thing", "kurt russell", "das ding", "seven samurai", fold("七人の侍"), "", "\ud800"])
    seen = {(hit.norm, hit.kind, hit.row, hit.field, hit.value, hit.strength) for hit in hits}
    assert ("thing", "title", 1, None, "Thing", 1.0) in seen
    assert ("thing", "title", 0, None, "The Thing", 0.9) in seen
    assert ("kurt russell", "value", None, "cast", "Kurt Russell", 1.0) in seen
    assert ("das ding", "title", 1, None, "Das Ding", 1.0) in seen
    assert ("seven samurai", "title", 2, None, "Seven Samurai", 1.0) in seen
    assert (fold("七人の侍"), "title", 2, None, "七人の侍", 1.0) in seen
    assert len(seen) == len(hits) == 6
    strengths = [hit.strength for hit in hits]
    assert strengths == sorted(strengths, reverse=True)
    assert catalogue.find_names([]) == []
    assert catalogue.value_norms("cast") == (["kurt russell", "elodie bouchez"], ["Kurt Russell", "Élodie Bouchez"])
    norms, rows = catalogue.title_norms()
    assert norms[rows.tolist().index(0)] == "the thing"
    catalogue.close()


def test_columns(tmp_path: Path) -> None:
    catalogue = build(
        tmp_path / "columns",
        [
            record("b", "B", year=1999, score=0.5, grade="R", genres=("Drama", "Comedy")),
            record("a", "A", genres=("Comedy",)),
            record("c", "C", year=0),
        ],
    )
    assert [item.id for item in catalogue.items([2, 0, 2])] == ["c", "a", "c"]
    item = catalogue.item(1)
    assert item.fields == {"year": 1999, "score": 0.5, "grade": "R", "genres": ("Drama", "Comedy"), "cast": ()}
    years = catalogue.numeric("year")
    assert years.dtype == np.float32
    assert np.isnan(years[0])
    assert years[1:].tolist() == [1999.0, 0.0]
    with pytest.raises(ValueError, match="read-only"):
        years[0] = 1
    assert catalogue.text_column("grade") == [None, "R", None]
    assert catalogue.text_column("title") == ["A", "B", "C"]
    tags = catalogue.tags("genres")
    assert tags.vocabulary == ("Comedy", "Drama")
    assert tags.matrix.dtype == np.float32
    assert tags.matrix.toarray().tolist() == [[1, 0], [1, 1], [0, 0]]
    assert catalogue.tags("genres") is tags
    assert catalogue.tags("cast").matrix.shape == (3, 0)
    assert catalogue.search_texts() == ["A.", "B.", "C."]
    assert catalogue.value_range("year") == (0, 1999)
    assert catalogue.common_values("genres", 1) == [("Comedy", 2)]
    for wrong in (
        lambda: catalogue.numeric("genres"),
        lambda: catalogue.tags("year"),
        lambda: catalogue.text_column("nope"),
        lambda: catalogue.item(3),
        lambda: catalogue.item(-1),
    ):
        with pytest.raises(CatalogueError):
            wrong()
    catalogue.close()
    catalogue.close()
    with pytest.raises(CatalogueError, match="was closed"):
        catalogue.rows(Test("year", Op.LE, (1,)))


def test_fingerprint_is_of_the_content_not_of_the_order(tmp_path: Path) -> None:
    one, two = record("a", "A", 1, year=1), record("b", "B", 2, year=2)
    first = build(tmp_path / "first", [one, two])
    second = build(tmp_path / "second", [two, one])
    third = build(tmp_path / "third", [one, record("b", "B", 2, year=3)])
    assert first.fingerprint == second.fingerprint != third.fingerprint
    copy = json.loads((first.folder / MANIFEST).read_text())
    assert copy["fingerprint"] == first.fingerprint
    assert copy["missing"] == {"year": 0, "score": 2, "grade": 2, "genres": 2, "cast": 2}


def test_missing_damaged_and_foreign_files_name_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="convrec data import FILE --name mine"):
        Catalogue.open(tmp_path / "mine")
    with pytest.raises(CatalogueError, match="convrec data demo"):
        Catalogue.open(tmp_path / "demo")
    build(tmp_path / "cut", [record("a", "A")]).close()
    file = tmp_path / "cut" / FILE
    whole = file.read_bytes()
    for broken in (b"", whole[: len(whole) // 2], b"SQLite format 3\0" + whole[16:]):
        file.write_bytes(broken)
        with pytest.raises(CatalogueError, match="--replace"):
            Catalogue.open(tmp_path / "cut")


def test_a_replaced_catalogue_is_seen_while_the_old_one_is_still_read(tmp_path: Path) -> None:
    old = build(tmp_path / "c", [record("a", "Old")])
    with pytest.raises(ImportRejected, match="--replace"):
        build(tmp_path / "c", [record("a", "New")])
    new = build(tmp_path / "c", [record("a", "New")], replace=True)
    assert (old.item(0).title, new.item(0).title) == ("Old", "New")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c"]
    old.close()
    new.close()


def test_no_item_is_no_catalogue(tmp_path: Path) -> None:
    with pytest.raises(ImportRejected, match="at least one item"):
        build(tmp_path / "none", [])
    assert list(tmp_path.iterdir()) == []


def test_a_path_with_quotes(tmp_path: Path) -> None:
    folder = tmp_path / 'it\'s a "folder"' / "c"
    folder.parent.mkdir()
    catalogue = build(folder, [record("a", "A")])
    assert catalogue.item(0).title == "A"
    catalogue.close()


def test_killed_in_the_middle_leaves_the_old_one(tmp_path: Path) -> None:
    build(tmp_path / "c", [record("a", "Old")]).close()
    script = """
import os, signal, sys
from pathlib import Path
from convrec.tools.catalogue_build import CatalogueBuilder, Record
from convrec.tools.schema import FILM_SCHEMA
builder = CatalogueBuilder(Path(sys.argv[1]), FILM_SCHEMA, replace=True)
for n in range(30_000):
    builder.add(Record(n, str(n), "New", {}, "New."))
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "c")], check=False, timeout=120)
    assert done.returncode == -9
    catalogue = Catalogue.open(tmp_path / "c")
    assert catalogue.item(0).title == "Old"
    catalogue.close()
    build(tmp_path / "c", [record("a", "Newer")], replace=True).close()


def test_threads_share_one_catalogue(films: Catalogue) -> None:
    films = Catalogue.open(films.folder)  # with empty caches
    expr = AllOf((Test("genres", Op.ANY, ("Drama",)), Test("year", Op.GE, (1990,))))
    barrier = threading.Barrier(8)

    def work(number: int) -> tuple[int, str, int, int]:
        barrier.wait()
        for _ in range(5):
            rows = films.rows(expr)
            titles = films.items(rows[number : number + 3])
        hits = films.find_names(["heat", "michael mann"])
        return len(rows), titles[0].title, len(hits), id(films.tags("genres"))

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(8)))
    assert len({result[0] for result in results}) == 1
    assert len({result[2] for result in results}) == 1
    assert len({result[3] for result in results}) == 1
    rows = films.rows(expr)
    assert [result[1] for result in results] == [item.title for item in films.items(rows[:8])]
    films.close()


def test_processes_share_one_catalogue(films: Catalogue) -> None:
    script = "import sys; from pathlib import Path; from convrec.tools.catalogue import Catalogue; "
    script += "sys.exit(Catalogue.open(Path(sys.argv[1])).size != 17470)"
    assert films.item(0).title
    done = subprocess.run([sys.executable, "-c", script, str(films.folder)], check=False, timeout=60)
    assert done.returncode == 0
