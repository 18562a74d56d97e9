"""Fetching data sets (a mirror folder, a mirror URL, a publisher on 127.0.0.1) and reading them."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import os
import shutil
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from convrec.core.errors import DatasetError
from convrec.core.files import sha256_file
from convrec.eval.commands_data_fetch import register
from convrec.tools.dataset_convert import convert_inspired, in_validation, members, split_title
from convrec.tools.dataset_fetch import LOCK, MANIFEST, fetch_dataset, read_manifest
from convrec.tools.dataset_sources import DATASETS, DatasetSpec, MirrorFile, PublisherFile
from convrec.tools.datasets import Answer, InspiredData, Mention, RedialData
from typer.testing import CliRunner


def dialogue(number: int, messages: list[tuple[int, str]], movies: dict[str, str | None]) -> dict[str, Any]:
    """One ReDial line: worker 1 seeks, worker 2 recommends."""
    return {
        "conversationId": str(number),
        "initiatorWorkerId": 1,
        "respondentWorkerId": 2,
        "messages": [{"messageId": i, "senderWorkerId": who, "text": text} for i, (who, text) in enumerate(messages)],
        "movieMentions": movies or [],
        "initiatorQuestions": {"11": {"suggested": 1, "seen": 2, "liked": 1}} if movies else [],
        "respondentQuestions": [],
    }


TRAIN = [
    dialogue(n, [(1, "I like @11"), (2, "Then @22 and @33!")], {"11": "A (2001)", "22": "B ", "33": None})
    for n in range(40)
]
TEST = [
    dialogue(900, [(1, "hi"), (2, "hello")], {}),
    dialogue(901, [(1, "hi"), (2, "@11, or @99")], {"11": "A (2001)"}),
]
MOVIES = 'movieId,movieName,nbMentions\n11,A  (2001),7\n22,B ,1\n33,"C, the (Great) (1999)",3\n'


def zip_of(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def lines_of(records: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def redial_zip(**changed: str) -> bytes:
    files = {"train_data.jsonl": lines_of(TRAIN), "test_data.jsonl": lines_of(TEST), "movies_with_mentions.csv": MOVIES}
    return zip_of({**files, **changed, "../../evil.txt": "never written"})


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """(address, folder it serves)."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as http:
        thread = threading.Thread(target=partial(http.serve_forever, poll_interval=0.01), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_address[1]}", folder
        http.shutdown()
        thread.join()


@pytest.fixture
def small(tmp_path: Path) -> tuple[DatasetSpec, Path]:
    """A spec with two mirror files, and the mirror folder that holds them."""
    mirror = tmp_path / "mirror"
    (mirror / "redial").mkdir(parents=True)
    files = []
    for name, records in (("train", TRAIN), ("test", TEST)):
        path = mirror / "redial" / f"{name}.jsonl.gz"
        path.write_bytes(gzip.compress(lines_of(records).encode(), mtime=0))
        files.append(MirrorFile(f"redial/{path.name}", path.name, path.stat().st_size, sha256_file(path)))
    return dataclasses.replace(DATASETS["redial"], mirror=tuple(files)), mirror


def published(name: str, *urls: str) -> DatasetSpec:
    files = tuple(PublisherFile(url, url.rsplit("/", 1)[1], limit=1 << 20) for url in urls)
    return dataclasses.replace(DATASETS[name], publisher=files)


class TestMirror:
    def test_copies_then_only_verifies(self, small: tuple[DatasetSpec, Path], tmp_path: Path) -> None:
        spec, mirror = small
        seen: list[tuple[str, int, int | None]] = []
        first = fetch_dataset(spec, tmp_path / "d", mirror=mirror, progress=lambda *step: seen.append(step))
        assert (first.variant, first.files, first.fetched) == ("mirror-partial", 2, 2)
        assert seen[-1] == ("test.jsonl.gz", spec.mirror[1].size, spec.mirror[1].size)
        shutil.rmtree(mirror)  # a second run needs no source
        assert fetch_dataset(spec, tmp_path / "d", mirror=mirror).fetched == 0

    def test_goes_on_where_it_stopped_and_repairs(self, small: tuple[DatasetSpec, Path], tmp_path: Path) -> None:
        spec, mirror = small
        folder = fetch_dataset(spec, tmp_path / "d", mirror=mirror).folder
        (folder / "train.jsonl.gz").write_bytes(b"damaged")
        assert fetch_dataset(spec, tmp_path / "d", mirror=mirror).fetched == 1
        (folder / MANIFEST).unlink()  # cut off before the end: both files are whole and not copied again
        assert fetch_dataset(spec, tmp_path / "d", mirror=mirror).fetched == 0
        assert read_manifest(folder) is not None

    def test_wrong_hash_names_file_and_both_hashes(self, small: tuple[DatasetSpec, Path], tmp_path: Path) -> None:
        spec, mirror = small
        (mirror / "redial" / "test.jsonl.gz").write_bytes(b"other")
        with pytest.raises(DatasetError) as caught:
            fetch_dataset(spec, tmp_path / "d", mirror=mirror)
        found = hashlib.sha256(b"other").hexdigest()
        for part in ("redial/test.jsonl.gz", found, spec.mirror[1].sha256, "--from publisher"):
            assert part in str(caught.value)
        assert sorted(p.name for p in (tmp_path / "d" / "redial").iterdir()) == ["train.jsonl.gz"]

    def test_a_url_serves_as_well(
        self, small: tuple[DatasetSpec, Path], server: tuple[str, Path], tmp_path: Path
    ) -> None:
        spec, mirror = small
        url, served = server
        shutil.copytree(mirror, served, dirs_exist_ok=True)
        assert fetch_dataset(spec, tmp_path / "d", mirror=url + "/").fetched == 2
        # A Path folds "//" to "/": a URL that went through one still works.
        assert fetch_dataset(spec, tmp_path / "e", mirror=Path(url)).fetched == 2

    def test_a_longer_file_is_refused(
        self, small: tuple[DatasetSpec, Path], server: tuple[str, Path], tmp_path: Path
    ) -> None:
        spec, _ = small
        (server[1] / "redial").mkdir()
        (server[1] / "redial" / "train.jsonl.gz").write_bytes(b"x" * (spec.mirror[0].size + 1))
        with pytest.raises(DatasetError, match="sends more than"):
            fetch_dataset(spec, tmp_path / "d", mirror=server[0])

    @pytest.mark.parametrize("mirror", ["/nowhere/at/all", "ftp://x/y"])
    def test_no_such_mirror(self, mirror: str, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="no folder and no http"):
            fetch_dataset(DATASETS["redial"], tmp_path, mirror=mirror)

    def test_unreachable_and_missing(self, server: tuple[str, Path], tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="answered 404"):
            fetch_dataset(DATASETS["redial"], tmp_path, mirror=server[0])
        with pytest.raises(DatasetError, match="cannot be reached"):
            fetch_dataset(DATASETS["redial"], tmp_path, mirror="http://127.0.0.1:9")


class TestPublisher:
    def fetch_redial(self, server: tuple[str, Path], root: Path, data: bytes) -> RedialData:
        (server[1] / "redial_dataset.zip").write_bytes(data)
        spec = published("redial", f"{server[0]}/redial_dataset.zip")
        return RedialData(fetch_dataset(spec, root, source="publisher").folder)

    def test_redial_is_converted(self, server: tuple[str, Path], tmp_path: Path) -> None:
        data = self.fetch_redial(server, tmp_path / "d", redial_zip())
        assert data.variant == "publisher"
        train, valid = data.dialogues("train"), data.dialogues("valid")
        assert {d.id for d in train} | {d.id for d in valid} == {str(n) for n in range(40)}
        assert [d.id for d in valid] == [str(n) for n in range(40) if in_validation(str(n))]
        assert 0 < len(valid) < len(train)
        assert [(i.id, i.title, i.year) for i in data.items()] == [
            ("11", "A", 2001),
            ("22", "B", None),
            ("33", "C, the (Great)", 1999),
        ]
        assert "nbMentions" not in gzip.decompress((data.folder / "items.jsonl.gz").read_bytes()).decode()
        assert data.mention_lines() == []
        notes = " ".join(data.manifest["notes"])
        assert "trusted on first use" in notes
        assert "test_data.jsonl differs from the known copy" in notes
        assert not list(tmp_path.rglob("evil.txt"))
        assert sorted(p.name for p in (tmp_path / "d").iterdir()) == [LOCK, "redial"]

    def test_second_fetch_is_verified_without_network(self, server: tuple[str, Path], tmp_path: Path) -> None:
        self.fetch_redial(server, tmp_path / "d", redial_zip())
        again = fetch_dataset(published("redial", "http://127.0.0.1:9/redial_dataset.zip"), tmp_path / "d")
        assert (again.fetched, again.variant) == (0, "publisher")

    def test_changed_archive_is_refused_by_the_lock(self, server: tuple[str, Path], tmp_path: Path) -> None:
        folder = self.fetch_redial(server, tmp_path / "d", redial_zip()).folder
        shutil.rmtree(folder)
        with pytest.raises(DatasetError, match=r"recorded .*To trust it, delete its entry") as caught:
            self.fetch_redial(server, tmp_path / "d", redial_zip(README="new"))
        assert hashlib.sha256(redial_zip(README="new")).hexdigest() in str(caught.value)

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"<html>not found</html>", "no readable zip"),
            (zip_of({"train_data.jsonl": "{}"}), r"lacks movies_with_mentions\.csv, test_data\.jsonl"),
            (redial_zip(**{"train_data.jsonl": "{oops"}), r"train_data\.jsonl, line 1: no JSON"),
            (redial_zip(**{"train_data.jsonl": "[1]\n"}), "expected a dialogue"),
            (redial_zip(**{"movies_with_mentions.csv": "a,b\n1,2\n"}), "lacks the columns movieId, movieName"),
            (redial_zip(**{"x/train_data.jsonl": "{}"}), r"holds train_data\.jsonl twice"),
        ],
    )
    def test_damaged_archives(self, data: bytes, message: str, server: tuple[str, Path], tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match=message):
            self.fetch_redial(server, tmp_path / "d", data)
        assert not (tmp_path / "d" / "redial" / MANIFEST).exists()

    def test_switching_from_a_mirror_removes_its_files(
        self, small: tuple[DatasetSpec, Path], server: tuple[str, Path], tmp_path: Path
    ) -> None:
        extra = small[1] / "redial" / "train_mentions.jsonl.gz"
        extra.write_bytes(gzip.compress(b"", mtime=0))
        file = MirrorFile("redial/train_mentions.jsonl.gz", extra.name, extra.stat().st_size, sha256_file(extra))
        fetch_dataset(dataclasses.replace(small[0], mirror=(*small[0].mirror, file)), tmp_path / "d", mirror=small[1])
        data = self.fetch_redial(server, tmp_path / "d", redial_zip())
        assert not (data.folder / extra.name).exists()
        assert sorted(data.manifest["files"]) == sorted(p.name for p in data.folder.glob("*.gz"))

    def test_movielens(self, server: tuple[str, Path], tmp_path: Path) -> None:
        tables = {
            "ratings.csv": "userId,movieId,rating,timestamp\n1,1,4.0,9\n",
            "movies.csv": "movieId,title,genres\n1,Toy Story (1995),Comedy\n",
            "links.csv": "movieId,imdbId,tmdbId\n",
            "tags.csv": "userId,movieId,tag,timestamp\n",
            "README.txt": "terms",
        }
        archive = zip_of({f"ml-latest-small/{name}": text for name, text in tables.items()})
        (server[1] / "ml-latest-small.zip").write_bytes(archive)
        spec = published("movielens-small", f"{server[0]}/ml-latest-small.zip")
        folder = fetch_dataset(spec, tmp_path / "d", source="publisher").folder
        assert gzip.decompress((folder / "movies.csv.gz").read_bytes()).decode() == tables["movies.csv"]
        assert (folder / "README.txt.gz").exists()

    def test_inspired(self, server: tuple[str, Path], tmp_path: Path) -> None:
        head = "dialog_id\tutt_id\tspeaker\ttext\tmovies\n"
        table = [
            ("d1", "1", "RECOMMENDER", "Hi!", ""),
            ("d1", "2", "RECOMMENDER", "Seen Heat?", "Heat (1995)"),
            ("d1", "3", "SEEKER", "No. QUOTATION_MARKJawsQUOTATION_MARK", "Jaws (1975); Heat (1995)"),
        ]
        rows = "".join("\t".join(row) + "\n" for row in table)
        for name in ("train.tsv", "dev.tsv", "test.tsv"):
            (server[1] / name).write_text(head + rows)
        (server[1] / "dialog_outcomes.tsv").write_text("dialog_id\tfine_label\n")
        names = ("train.tsv", "dev.tsv", "test.tsv", "dialog_outcomes.tsv")
        spec = published("inspired", *(f"{server[0]}/{name}" for name in names))
        data = InspiredData(fetch_dataset(spec, tmp_path / "d", source="publisher").folder)
        (only,) = data.dialogues("valid")
        assert [(m.speaker, m.text, m.mentions) for m in only.messages] == [
            ("recommender", "Hi! Seen Heat?", ("Heat (1995)",)),
            ("seeker", 'No. "Jaws"', ("Jaws (1975)", "Heat (1995)")),
        ]
        assert only.id == "d1"
        assert [(i.title, i.year) for i in data.items()] == [("Heat", 1995), ("Jaws", 1975)]

    def test_a_bomb_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "a.zip").write_bytes(zip_of({"x": "0" * 1000}))
        monkeypatch.setattr("convrec.tools.dataset_convert.MEMBER_LIMIT", 999)
        with pytest.raises(DatasetError, match="more than 999 bytes"):
            members(tmp_path / "a.zip", ["x"])


class TestReaders:
    @pytest.fixture
    def data(self, tmp_path: Path) -> RedialData:
        folder = tmp_path / "redial"
        folder.mkdir()
        mention_lines = [
            {"conversationId": "1", "split": "train", "mentions": [["11", "S", 1]]},  # in full as well
            {"conversationId": "77", "split": "train", "mentions": [["22", "R", 1], ["11", "S", -1]]},
            {"conversationId": "500", "split": "valid", "mentions": [["33", "R", 1]]},
        ]
        valid = [dialogue(500, [(2, "@33")], {"33": "C"})]
        items = [{"movieId": m, "movieName": m, "title": m, "year": None, "nbMentions": 5} for m in ("11", "22", "33")]
        for name, records in {
            "train": TRAIN[:3],
            "valid": valid,
            "test": TEST,
            "train_mentions": mention_lines,
            "items": items,
        }.items():
            (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress(lines_of(records).encode()))
        manifest = {"variant": "mirror-partial", "files": {"train_mentions.jsonl.gz": "-"}}
        (folder / MANIFEST).write_text(json.dumps(manifest))
        return RedialData(folder)

    def test_dialogues_are_typed(self, data: RedialData) -> None:
        first = data.dialogues("train")[0]
        assert (first.seeker, first.recommender) == ("1", "2")
        assert [(m.speaker, m.mentions) for m in first.messages] == [("seeker", ("11",)), ("recommender", ("22", "33"))]
        assert first.movie_mentions == {"11": "A (2001)", "22": "B", "33": ""}
        assert first.seeker_answers == {"11": Answer(suggested=1, seen=2, liked=1)}
        assert first.recommender_answers == {}

    def test_empty_lists_for_maps_and_unknown_ids(self, data: RedialData) -> None:
        empty, other = data.dialogues("test")
        assert empty.movie_mentions == {}
        assert empty.seeker_answers == {}
        assert other.messages[1].mentions == ("11",)  # @99 is no key of movieMentions

    def test_training_sequences_have_each_dialogue_once_and_no_validation(self, data: RedialData) -> None:
        sequences = dict(data.train_sequences())
        assert sorted(sequences) == ["0", "1", "2", "77"]
        assert sequences["1"] == (Mention("11", "seeker"), Mention("22", "recommender"), Mention("33", "recommender"))
        assert sequences["77"] == (Mention("22", "recommender"), Mention("11", "seeker", negative=True))

    def test_a_leak_is_an_error(self, data: RedialData) -> None:
        (data.folder / "test.jsonl.gz").write_bytes(gzip.compress(lines_of(TRAIN[2:3]).encode()))
        with pytest.raises(DatasetError, match=r"1 validation or test dialogues are among .*\(2\)"):
            data.train_sequences()

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (gzip.compress(b'{"a": 1}\n'), "line 1: not the expected form"),
            (gzip.compress(b"{}\n{oops\n"), "line 1: not|near line"),
            (gzip.compress(lines_of(TEST).encode())[:-20], "damaged near line"),
            (b"plain", "damaged near line 0"),
        ],
    )
    def test_damaged_files_name_the_line(self, content: bytes, message: str, data: RedialData) -> None:
        (data.folder / "test.jsonl.gz").write_bytes(content)
        with pytest.raises(DatasetError, match=message):
            data.dialogues("test")

    def test_a_third_party_is_an_error(self, data: RedialData) -> None:
        (data.folder / "test.jsonl.gz").write_bytes(gzip.compress(lines_of([dialogue(1, [(3, "hi")], {})]).encode()))
        with pytest.raises(DatasetError, match="neither party"):
            data.dialogues("test")

    def test_not_fetched_says_the_command(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="convrec data fetch redial"):
            RedialData(tmp_path / "redial")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Heat  (1995)", ("Heat", 1995)),
        ("Star Wars", ("Star Wars", None)),
        ("2001: A Space Odyssey (1968)", ("2001: A Space Odyssey", 1968)),
        ("(500) Days of Summer (2009)", ("(500) Days of Summer", 2009)),
        ("Fight (0000)", ("Fight (0000)", None)),
    ],
)
def test_split_title(name: str, expected: tuple[str, int | None]) -> None:
    assert split_title(name) == expected


class TestCommand:
    @pytest.fixture
    def app(self, tmp_path: Path, small: tuple[DatasetSpec, Path], monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
        monkeypatch.setattr("convrec.eval.commands_data_fetch.DATASETS", {"redial": small[0]})
        app = typer.Typer()

        @app.callback()
        def start(ctx: typer.Context) -> None:
            settings = SimpleNamespace(datasets=tmp_path / "d", data_mirror=small[1])
            ctx.obj = SimpleNamespace(settings=settings)

        register(app)
        return app

    def test_table_then_already_there(self, app: typer.Typer) -> None:
        first = CliRunner().invoke(app, ["fetch", "redial"])
        assert first.exit_code == 0, first.output
        assert "2 of 2 files fetched" in first.stdout
        assert "10,006" in first.stdout
        assert "already there, verified" in CliRunner().invoke(app, ["fetch", "redial"]).stdout

    def test_json_is_all_of_stdout(self, app: typer.Typer) -> None:
        out = json.loads(CliRunner().invoke(app, ["fetch", "redial", "--json"]).stdout)
        assert (out["variant"], out["fetched"]) == ("mirror-partial", 2)

    def test_unknown_name(self, app: typer.Typer) -> None:
        result = CliRunner().invoke(app, ["fetch", "netflix"])
        assert result.exit_code == 2
        assert "redial" in result.output


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All data sets, fetched from the development mirror."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    mirror = os.environ.get("CONVREC_DATA_MIRROR") or (default if default.is_dir() else None)
    if mirror is None:
        pytest.fail("set CONVREC_DATA_MIRROR to the data mirror, or run: convrec data fetch redial inspired")
    root = tmp_path_factory.mktemp("datasets")
    for spec in DATASETS.values():
        fetch_dataset(spec, root, mirror=mirror)
    return root


@pytest.mark.data
class TestRealData:
    def test_redial(self, root: Path) -> None:
        data = RedialData(root / "redial")
        counts = {split: len(data.dialogues(split)) for split in ("train", "valid", "test")}
        assert counts == {"train": 2130, "valid": 901, "test": 1342}
        assert len(data.items()) == 6924
        assert sum(item.year is not None for item in data.items()) == 6308
        assert len(data.train_sequences()) == 8287

    def test_titles_are_split_as_in_the_item_list(self, root: Path) -> None:
        items = RedialData(root / "redial").items()
        assert [item.name for item in items if split_title(item.name) != (item.title, item.year)] == []

    def test_inspired(self, root: Path) -> None:
        data = InspiredData(root / "inspired")
        assert {s: len(data.dialogues(s)) for s in ("train", "valid", "test")} == {
            "train": 801,
            "valid": 99,
            "test": 99,
        }
        assert sum(len(d.messages) for d in data.dialogues("test")) == 2089

    def test_the_authors_tables_give_the_same_utterances(self, root: Path, tmp_path: Path) -> None:
        folder = root / "inspired"
        for name in ("dev.tsv", "test.tsv", "dialog_outcomes.tsv"):
            (tmp_path / name).write_bytes(gzip.decompress((folder / f"{name}.gz").read_bytes()))
        shutil.copy(tmp_path / "dev.tsv", tmp_path / "train.tsv")  # the authors' training table is not at hand
        files = {path.name: path for path in tmp_path.glob("*.tsv")}
        contents = convert_inspired(files, tmp_path / "out")
        for name, digest in DATASETS["inspired"].known.items():
            assert hashlib.sha256(contents[name]).hexdigest() == digest
        (tmp_path / "out" / MANIFEST).write_text('{"variant": "publisher", "files": {}}')
        for split in ("valid", "test"):
            theirs, ours = InspiredData(folder).dialogues(split), InspiredData(tmp_path / "out").dialogues(split)
            assert len(ours) == len(theirs)
            pairs = [p for a, b in zip(ours, theirs, strict=True) for p in zip(a.messages, b.messages, strict=True)]
            assert all(a.speaker == b.speaker for a, b in pairs)
            assert sum(plain(a.text) == plain(b.text) for a, b in pairs) / len(pairs) > 0.98
            # The mirror's form keeps only titles with a DBpedia entry.
            assert all(set(b.mentions) <= set(a.mentions) for a, b in pairs)
            assert sum(a.mentions == b.mentions for a, b in pairs) / len(pairs) > 0.99


def plain(text: str) -> str:
    return "".join(text.replace('"', "").split())
