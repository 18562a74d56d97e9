"""Import of own catalogues: awkward rows, awkward files, nothing half done; and the commands around it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest
from convrec.core.errors import ImportRejected, RequestError
from convrec.core.items import FieldValue
from convrec.core.settings import load_settings
from convrec.serve.commands_data import app
from convrec.tools.catalogue import Catalogue
from convrec.tools.describing import search_text
from convrec.tools.import_mapping import choose_columns, parse_map
from convrec.tools.import_readers import BadRow, Row, Table
from convrec.tools.import_values import BadValue, convert, split_people, split_title_year
from convrec.tools.importing import REJECTED, ImportReport, ImportRequest, import_catalogue, load_schema
from convrec.tools.schema import FILM_SCHEMA, FieldSpec, FieldType, Role
from typer.testing import CliRunner, Result

GOOD = "id,title,year,genres\n1,Heat,1995,Crime|Drama\n2,Alien,1979,Horror\n"


def put(folder: Path, name: str, content: str | bytes) -> Path:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def bring(
    file: Path,
    *,
    name: str = "mine",
    replace: bool = False,
    max_bad: float = 1.0,
    dry_run: bool = False,
    **mapping: str,
) -> ImportReport:
    request = ImportRequest(file, name, mapping=mapping, max_bad=max_bad, replace=replace, dry_run=dry_run)
    return import_catalogue(request, file.parent / "catalogues")


def titles(report: ImportReport) -> list[str | None]:
    catalogue = Catalogue.open(report.folder)
    try:
        return catalogue.text_column("title")
    finally:
        catalogue.close()


def rejected(report: ImportReport) -> list[dict[str, object]]:
    return [json.loads(line) for line in (report.folder / REJECTED).read_text().splitlines()]


def test_csv_with_awkward_rows(tmp_path: Path) -> None:
    content = (
        "\ufefftconst;primaryTitle;startYear;runtimeMinutes;genres;directors\r\n"
        "a;Heat;1995;170;Crime,Drama;Michael Mann\r\n"
        'b;"Two\nlines ""quoted""; with; semicolons";1999;\\N;\\N;"George Tillman, Jr., Jane Doe"\r\n'
        "\r\n"
        "c;;1999;90;Drama;X\r\n"
        "d;Bad year;abc;90;Drama;X\r\n"
        "a;Again;1999;90;Drama;X\r\n"
        "e;Too few;1999\r\n"
        "f;No time;1999;-3;Drama;X\r\n"
        ";No id;1999;90;Drama;X\r\n"
        'g;"\'); DROP TABLE cat.items; --";2001;2h 5m;[bold]x[/];<script>alert(1)</script>\r\n'
        "h;Con\u202etrol\x07 chars;2001-05-01;142 min;Drama;X\r\n"
    )
    report = bring(put(tmp_path, "films.csv", content))
    assert (report.rows, report.imported, report.rejected) == (10, 4, 6)
    assert report.plan.columns == {
        "title": "primaryTitle",
        "id": "tconst",
        "year": "startYear",
        "runtime": "runtimeMinutes",
        "genres": "genres",
        "directors": "directors",
    }
    assert {(row["line"], row["field"], row["value"], row["reason"]) for row in rejected(report)} == {
        (6, "title", "", "is missing"),
        (7, "year", "abc", "not a whole number"),
        (8, "id", "a", "id already given on line 2"),
        (9, "", "e;Too few;1999", "3 columns, the header has 6"),
        (10, "runtime", "-3", "must be above 0"),
        (11, "id", "", "is missing"),
    }
    catalogue = Catalogue.open(report.folder)
    heat, two, sql, control = catalogue.items(catalogue.rows())
    assert heat.tags("genres") == ("Crime", "Drama")
    assert two.title == 'Two lines "quoted"; with; semicolons'
    assert two.tags("directors") == ("George Tillman, Jr.", "Jane Doe")
    assert (two.number("runtime"), two.tags("genres")) == (None, ())
    assert sql.title == "'); DROP TABLE cat.items; --"
    assert sql.tags("genres") == ("[bold]x[/]",)
    assert sql.number("runtime") == 125
    assert control.title == "Con trol chars"
    assert (control.year, control.number("runtime")) == (2001, 142)
    catalogue.close()


def test_jsonl_with_awkward_rows(tmp_path: Path) -> None:
    lines = [
        '{"name": "Heat", "movieId": 7, "year": 1995, "genres": ["Crime", "Drama", "Crime"], "stars": null}',
        '{"name": "TMDB", "movieId": 8, "genres": [{"id": 18, "name": "Drama"}], "year": 1999.0}',
        "",
        '{"name": "cut off", ',
        "[1, 2]",
        '{"name": "Float", "movieId": 9, "year": 1999.5}',
        '{"name": {"a": 1}, "movieId": 10}',
        '{"name": "Half \\ud800 a character", "movieId": 11}',
        '{"name": "Big", "movieId": 12, "year": 1' + "0" * 5000 + "}",
        '{"name": "Bool", "movieId": 13, "year": true}',
        '{"name": "Infinite", "movieId": 14, "year": Infinity}',
        "[" * 100_000,
    ]
    report = bring(put(tmp_path, "films.jsonl", "\n".join(lines)))
    assert (report.rows, report.imported) == (11, 2)
    reasons = {row["line"]: row["reason"] for row in rejected(report)}
    assert set(reasons) == {4, 5, 6, 7, 8, 9, 10, 11, 12}
    assert "not JSON" in str(reasons[4])
    assert reasons[5] == "not a JSON object"
    assert reasons[6] == "not a whole number"
    assert reasons[7] == "expected one text, got an object"
    assert "surrogate" in str(reasons[8])
    catalogue = Catalogue.open(report.folder)
    row = catalogue.row_of("7")
    assert row is not None
    assert catalogue.item(row).tags("genres") == ("Crime", "Drama")
    assert catalogue.items(catalogue.rows())[1].tags("genres") == ("Drama",)
    catalogue.close()


def test_parquet(tmp_path: Path) -> None:
    file = tmp_path / "films[1]*.parquet"
    with duckdb.connect() as connection:
        connection.execute(
            "COPY (SELECT * FROM (VALUES (1, 'Heat', 1995, ['Crime', 'Drama'], DATE '1995-12-15'), "
            "(2, NULL, 1999, ['Drama'], NULL), (3, 'Alien', NULL, NULL, NULL)) t(id, title, year, genres, day)) "
            "TO '" + str(tmp_path / "plain.parquet") + "' (FORMAT parquet)"
        )
    (tmp_path / "plain.parquet").rename(file)
    report = bring(file)
    assert titles(report) == ["Heat", "Alien"]
    assert report.plan.ignored == ("day",)
    assert [(bad.line, bad.field, bad.reason) for bad in report.problems] == [(2, "title", "is missing")]
    broken = put(tmp_path, "broken.parquet", file.read_bytes()[:-20])
    with pytest.raises(ImportRejected, match="not a Parquet file"):
        bring(broken, name="other")


def test_movielens_titles_hold_the_year_and_ids_are_made(tmp_path: Path) -> None:
    content = 'title,genres\nToy Story (1995),Comedy|Family\n"Matrix, The (1999)",Action\nC# (2001),A\nC++ (2001),A\n'
    report = bring(put(tmp_path, "movies.csv", content))
    assert report.plan.year_in_title
    assert report.made_ids
    assert report.imported == 4
    catalogue = Catalogue.open(report.folder)
    assert {(item.title, item.year) for item in catalogue.items(catalogue.rows())} == {
        ("Toy Story", 1995),
        ("The Matrix", 1999),
        ("C#", 2001),
        ("C++", 2001),
    }
    assert any("ids were made" in note for note in catalogue.manifest.notes)
    catalogue.close()
    again = bring(tmp_path / "movies.csv", replace=True)
    assert again.manifest is not None
    assert report.manifest is not None
    assert again.manifest.fingerprint == report.manifest.fingerprint


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.csv", "", "is empty"),
        ("blank.csv", "\n\n\n", "blank"),
        ("header.csv", "id,title,year\n", "no rows"),
        ("noheader.csv", "1,Heat,1995\n2,Alien,1979\n", "lacks its first line"),
        ("twice.csv", "title,title\nA,B\n", "more than once: title"),
        ("utf16.csv", GOOD.encode("utf-16"), "UTF-16"),
        ("latin.csv", "titre,n\xe9\n".encode("latin-1"), "line 1: not UTF-8: byte 0xE9"),
        ("quote.csv", 'id,title\n1,"never closed' + "x" * 200_000, "line 2"),
        ("allbad.csv", "id,title,year\n1,A,x\n2,B,y\n", "none of the 2 rows"),
        ("array.jsonl", '[{"title": "A"}]', "jq -c"),
        ("nothing.jsonl", "\n\n", "JSON object"),
        ("text.parquet", "not parquet", "not a Parquet file"),
        ("what.xlsx", "x", "--format"),
    ],
)
def test_unreadable_files_change_nothing(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    bring(put(tmp_path, "good.csv", GOOD))
    before = {path: path.read_bytes() for path in (tmp_path / "catalogues" / "mine").iterdir()}
    with pytest.raises(ImportRejected, match=message):
        bring(put(tmp_path, name, content), replace=True)
    assert {path: path.read_bytes() for path in (tmp_path / "catalogues" / "mine").iterdir()} == before
    assert [path.name for path in (tmp_path / "catalogues").iterdir()] == ["mine"]


def test_folder_missing_file_and_wrong_name(tmp_path: Path) -> None:
    with pytest.raises(ImportRejected, match="is a folder"):
        bring(tmp_path)
    with pytest.raises(ImportRejected, match="no such file"):
        bring(tmp_path / "nothing.csv")
    good = put(tmp_path, "good.csv", GOOD)
    for name in ("../out", "", ".hidden", "a/b", "x" * 65):
        with pytest.raises(ImportRejected, match="catalogue name"):
            bring(good, name=name)
    assert not (tmp_path / "catalogues").exists()


def test_a_line_that_is_not_utf8_is_set_aside_with_its_number(tmp_path: Path) -> None:
    content = b'id,title\n1,Heat\n2,"two\nlines"\n3,Am\xe9lie\n4,Alien\n'
    report = bring(put(tmp_path, "mixed.csv", content))
    assert [(bad.line, bad.reason) for bad in report.problems] == [
        (5, "not UTF-8: byte 0xE9 at position 5 of the line")
    ]
    assert titles(report) == ["Heat", "two lines", "Alien"]


def test_too_many_bad_rows_strict_and_replace(tmp_path: Path) -> None:
    rows = "".join(f"{n},Title {n},{1990 if n else 'x'}\n" for n in range(20))
    file = put(tmp_path, "films.csv", "id,title,year\n" + rows)
    for allowed in (0.0, 0.049):
        with pytest.raises(ImportRejected, match=r"1 of 20 rows are bad \(5.0%\)") as caught:
            bring(file, max_bad=allowed)
        assert "line 2: year = 'x': not a whole number" in str(caught.value)
        assert not (tmp_path / "catalogues" / "mine").exists()
    dry = bring(file, max_bad=0.05, dry_run=True)
    assert (dry.imported, dry.manifest) == (19, None)
    assert not (tmp_path / "catalogues" / "mine").exists()
    assert bring(file, max_bad=0.05).imported == 19
    with pytest.raises(ImportRejected, match="--replace"):
        bring(file, max_bad=0.05)
    good = put(tmp_path, "good.csv", GOOD)
    report = bring(good, replace=True)
    assert titles(report) == ["Heat", "Alien"]
    assert rejected(report) == []
    with pytest.raises(RequestError):
        bring(good, max_bad=1.5, replace=True)


def test_killed_in_the_middle_leaves_the_old_catalogue(tmp_path: Path) -> None:
    report = bring(put(tmp_path, "good.csv", GOOD))
    rows = "".join(f"{n},Title {n},1990\n" for n in range(300_000))
    big = put(tmp_path, "big.csv", "id,title,year\n" + rows)
    script = (
        "import sys; from pathlib import Path; from convrec.tools.importing import *; "
        "import_catalogue(ImportRequest(Path(sys.argv[1]), 'mine', replace=True), Path(sys.argv[2]))"
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(big), str(report.folder.parent)])
    deadline = time.monotonic() + 60
    while not list(report.folder.parent.glob(".mine.*.tmp/staging.duckdb")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    assert child.poll() is None, "the import ended before it could be killed"
    os.kill(child.pid, signal.SIGKILL)
    child.wait(timeout=30)
    assert titles(report) == ["Heat", "Alien"]
    left = list(report.folder.parent.glob(".mine.*.tmp"))
    assert len(left) == 1
    old = time.time() - 2 * 24 * 3600
    os.utime(left[0], (old, old))
    bring(tmp_path / "good.csv", replace=True)
    assert not left[0].exists()


def test_table_reports_lines_behind_quoted_breaks(tmp_path: Path) -> None:
    table = Table(put(tmp_path, "t.csv", 'a,b\n"x\n\ny",1\n2\n3,4\n'))
    assert list(table.rows()) == [
        Row(2, {"a": "x\n\ny", "b": "1"}),
        BadRow(5, "", "2", "1 columns, the header has 2"),
        Row(6, {"a": "3", "b": "4"}),
    ]
    tabs = Table(put(tmp_path, "t.tsv", "a\tb, c\n1\t2\n"))
    assert tabs.columns == ["a", "b, c"]


def test_mapping_is_guessed_told_or_refused() -> None:
    columns = ["imdb_title_id", "Name", "Release Year", "Duration", "Starring", "Overview", "Rating"]
    chosen = choose_columns(columns, {"id": "imdb_title_id", "certificate": ""}, FILM_SCHEMA)
    assert chosen == {
        "id": "imdb_title_id",
        "title": "Name",
        "year": "Release Year",
        "runtime": "Duration",
        "cast": "Starring",
        "plot": "Overview",
    }
    assert parse_map(["year=Release Year", "plot="]) == {"year": "Release Year", "plot": ""}
    for bad in (["year"], ["=x"], ["a=b", "a=c"]):
        with pytest.raises(RequestError):
            parse_map(bad)
    with pytest.raises(RequestError, match="Known fields"):
        choose_columns(columns, {"colour": "Name"}, FILM_SCHEMA)
    with pytest.raises(RequestError, match="Columns of the file"):
        choose_columns(columns, {"year": "Yeer"}, FILM_SCHEMA)
    with pytest.raises(ImportRejected, match="--map title=COLUMN"):
        choose_columns(["a", "b"], {}, FILM_SCHEMA)


def test_values() -> None:
    year = FieldSpec(name="year", type=FieldType.INTEGER, role=Role.YEAR)
    price = FieldSpec(name="price", type=FieldType.NUMBER)
    tags = FieldSpec(name="tags", type=FieldType.TAGS)
    text = FieldSpec(name="text", type=FieldType.TEXT)
    assert convert(year, " 1999 ", None) == 1999
    assert convert(year, "1999.0", None) == 1999
    assert convert(year, "\\N", None) is None
    assert convert(price, "1e3", None) == 1000.0
    assert convert(price, float("nan"), None) is None
    assert convert(tags, "a | b||a", "|") == ("a", "b")
    assert convert(tags, '["a, b", "c"]', ",") == ("a, b", "c")
    assert convert(tags, "a, b", None) == ("a, b",)
    assert convert(text, "N/A", None) is None
    for spec, wrong in ((year, "12,5"), (year, "1999a"), (year, 10**400), (price, "1e999"), (price, "inf"), (text, [])):
        with pytest.raises(BadValue):
            convert(spec, wrong, None)
    with pytest.raises(BadValue, match="longer than"):
        convert(text, "x" * 400, None)
    assert split_people("A,B Jr.,C, Jr.,  D") == ["A", "B Jr.", "C, Jr.", "D"]
    assert split_title_year("2001: A Space Odyssey (1968)") == ("2001: A Space Odyssey", 1968)
    assert split_title_year("2012") is None


def test_another_domain_by_schema(tmp_path: Path) -> None:
    schema = {
        "item_noun": "game",
        "item_noun_plural": "games",
        "fields": [
            {"name": "year", "type": "integer", "role": "year"},
            {"name": "platforms", "type": "tags", "label": "plays on"},
            {"name": "designers", "type": "tags", "role": "person", "label": "designed by"},
            {"name": "about", "type": "text", "role": "description"},
        ],
    }
    games = load_schema(put(tmp_path, "schema.json", json.dumps(schema)))
    file = put(
        tmp_path, "games.csv", "Name,Year,Platforms,Designed By,Description\nHades,2020,PC;Switch,Greg Kasavin,Run.\n"
    )
    report = import_catalogue(ImportRequest(file, "games", schema=games), tmp_path / "catalogues")
    catalogue = Catalogue.open(report.folder)
    assert catalogue.schema == games
    assert catalogue.item(0).tags("platforms") == ("PC", "Switch")
    assert catalogue.search_texts() == ["Hades (2020). Designed by: Greg Kasavin. Run. Plays on: PC, Switch."]
    catalogue.close()
    for wrong in ("{", "[]", '{"fields": [{"name": "row", "type": "text"}]}', '{"fields": [{"name": "x"}]}'):
        with pytest.raises(RequestError, match="--schema"):
            load_schema(put(tmp_path, "wrong.json", wrong))


def test_search_text_is_short() -> None:
    cast = tuple(f"Actor {n}" for n in range(50))
    fields: dict[str, FieldValue] = {"year": 1999, "plot": " ".join(f"word{n}" for n in range(500)), "cast": cast}
    text = search_text("Title", fields, FILM_SCHEMA)
    assert len(text.split()) == 100
    assert "Actor 4" in text
    assert "Actor 5" not in text


def run(home: Path, *arguments: str) -> Result:
    state = SimpleNamespace(settings=load_settings(home=home, cache=home / "cache"))
    return CliRunner().invoke(app, list(arguments), obj=state)


def test_command_import_list_show(tmp_path: Path) -> None:
    rows = "".join(f"{n},Film {n},{1990 + n},[b]Drama[/b],x\n" for n in range(12))
    header = "id,title,year,genres,[red]odd[/red]\n"
    file = put(tmp_path, "films.csv", header + rows + "13,[/nonsense],x,Drama,x\n")
    result = run(tmp_path, "import", str(file), "--name", "mine")
    assert result.exit_code == 0, result.output
    assert "12 of 13 rows imported" in result.output
    assert "[red]odd[/red]" in result.output
    result = run(tmp_path, "import", str(file), "--name", "mine")
    assert result.exit_code == 1
    assert "--replace" in result.output
    result = run(tmp_path, "import", str(file), "--name", "strict", "--strict", "--json")
    assert result.exit_code == 1
    assert "1 of 13 rows" in json.loads(result.stdout)["error"]
    for usage in (["--map", "nope"], ["--max-bad", "many"], ["--max-bad", "300%"], ["--schema", "nowhere.json"]):
        assert run(tmp_path, "import", str(file), "--name", "other", *usage).exit_code == 2
    result = run(tmp_path, "import", str(file), "--name", "mine", "--replace", "--json", "--map", "genres=")
    document = json.loads(result.stdout)
    assert (document["imported"], document["rejected"], document["mapping"].get("genres")) == (12, 1, None)
    assert document["problems"] == [{"line": 14, "field": "year", "value": "x", "reason": "not a whole number"}]
    (tmp_path / "catalogues" / "hurt").mkdir()
    listed = json.loads(run(tmp_path, "list", "--json").stdout)
    assert [entry["name"] for entry in listed] == ["hurt", "mine"]
    assert "error" in listed[0]
    assert run(tmp_path, "list").exit_code == 0
    shown = json.loads(run(tmp_path, "show", "mine", "--json").stdout)
    assert shown["items"] == 12
    assert next(field for field in shown["fields"] if field["name"] == "year")["range"] == [1990, 2001]
    assert "mine" in run(tmp_path, "show", "mine").output
    assert run(tmp_path, "show", "nothing").exit_code == 1
    assert run(tmp_path, "show", "../mine").exit_code == 2
