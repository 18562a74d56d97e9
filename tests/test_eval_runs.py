"""A run's folder: resumed after a kill, refused for another config, the same bytes twice; reports that escape."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from convrec.core.errors import DataError, RequestError
from convrec.eval.item_run import run_items
from convrec.eval.report import BarChart, Dialogue, FunnelStep, LineChart, Report, Said, Table, markdown
from convrec.eval.report_html import html
from convrec.eval.run_folder import (
    CASES,
    METRICS,
    REPORT_HTML,
    REPORT_MD,
    RUN,
    TIMES,
    TIMINGS,
    RunFolder,
    read_tables,
    run_config,
)
from tiny_datasets import tiny_datasets

EVIL = "<script>alert(1)</script> & \x1b[31m\u202e | *x* [a](b)"


def config(**changes: Any) -> dict[str, Any]:
    return {**run_config("test", {"n": 3, "pair": (1, 2)}, seed=0), **changes}


def report() -> Report:
    return Report(
        EVIL,
        [EVIL],
        [Table(EVIL, ("a", "b"), [(EVIL, 0.5), ("y", None)], EVIL)],
        [
            BarChart(EVIL, [EVIL, "two"], {EVIL: [0.1, 2.0], "b": [None, 0.3]}),
            LineChart(EVIL, [EVIL, 2.0, "c"], {EVIL: [0.1, None, 0.2], "b": [0, 0, 0]}, EVIL),
        ],
        [Dialogue(EVIL, [Said(EVIL, EVIL, EVIL)])],
        [FunnelStep(EVIL, 10, 5), FunnelStep("empty", 0, 0)],
    )


class TestFolder:
    def test_goes_on_where_it_stopped(self, tmp_path: Path) -> None:
        with RunFolder.open(tmp_path / "run", config()) as run:
            run.add("b", {"metrics": {"x": 1.0}, "timings": {"s": 2}})
            run.add("a", {"metrics": {"x": 0.0}})
        with RunFolder.open(tmp_path / "run", config()) as run:
            assert run.done() == {"a", "b"}
            assert [record["case"] for record in run.records()] == ["a", "b"]
            assert run.timings() == {"b": {"s": 2}}
            assert "timings" not in run.records()[1]
            with pytest.raises(ValueError, match="recorded already"):
                run.add("a", {})
            run.add("c", {})
            assert run.done() == {"a", "b", "c"}

    def test_a_half_written_last_line_is_dropped(self, tmp_path: Path) -> None:
        with RunFolder.open(tmp_path, config()) as run:
            run.add("a", {"n": 1, "timings": 1})
        for name in (CASES, TIMES):
            with (tmp_path / name).open("ab") as file:
                file.write('{"case": "b", "text": "é'.encode()[:-1])  # cut inside a character
        assert RunFolder.read(tmp_path).done() == {"a"}
        with RunFolder.open(tmp_path, config()) as run:
            assert run.done() == {"a"}
            run.add("b", {"n": 2})
        assert [record["n"] for record in RunFolder.read(tmp_path).records()] == [1, 2]

    def test_a_damaged_line_is_named(self, tmp_path: Path) -> None:
        RunFolder.open(tmp_path, config()).close()
        (tmp_path / CASES).write_text('{"case": "a"}\n{"no case": 1}\n')
        with pytest.raises(DataError, match=r"cases\.jsonl, line 2"):
            RunFolder.open(tmp_path, config())

    def test_another_config_is_refused_and_force_starts_anew(self, tmp_path: Path) -> None:
        with RunFolder.open(tmp_path, config()) as run:
            run.add("a", {})
        with pytest.raises(RequestError, match=r"another config: seed was 0, is now 1.*--force"):
            RunFolder.open(tmp_path, config(seed=1))
        assert RunFolder.read(tmp_path).done() == {"a"}
        with RunFolder.open(tmp_path, config(seed=1), force=True) as run:
            assert run.done() == frozenset()
        assert json.loads((tmp_path / RUN).read_text())["seed"] == 1
        with RunFolder.open(tmp_path, config(seed=1), force=True) as run:
            run.add("b", {})
        with RunFolder.open(tmp_path, config(seed=1), force=True) as run:  # the same config: nothing to throw away
            assert run.done() == {"b"}

    def test_other_code_goes_on_and_the_report_says_so(self, tmp_path: Path) -> None:
        RunFolder.open(tmp_path, config(code="old")).close()
        with RunFolder.open(tmp_path, config(code="new")) as run:
            run.finish({}, Report("t"))
        assert "Begun with code old, finished with new" in (tmp_path / REPORT_MD).read_text()

    def test_what_is_no_run_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "mine.txt").write_text("x")
        with pytest.raises(RequestError, match="holds something that is no run"):
            RunFolder.open(tmp_path, config(), force=True)
        with pytest.raises(RequestError, match="is a file"):
            RunFolder.open(tmp_path / "mine.txt", config())
        with pytest.raises(RequestError, match="no run in it"):
            RunFolder.read(tmp_path)
        (tmp_path / "mine.txt").unlink()
        (tmp_path / RUN).write_text("[]")
        with pytest.raises(DataError, match="damaged"):
            RunFolder.open(tmp_path, config())

    def test_one_process_at_a_time(self, tmp_path: Path) -> None:
        with RunFolder.open(tmp_path, config()), pytest.raises(RequestError, match="Another process"):
            RunFolder.open(tmp_path, config())
        RunFolder.open(tmp_path, config()).close()

    def test_threads_add_whole_lines(self, tmp_path: Path) -> None:
        with RunFolder.open(tmp_path, config()) as run:
            threads = [
                threading.Thread(target=lambda t=t: [run.add(f"{t} {n}", {"text": "x" * 500}) for n in range(50)])
                for t in range(8)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(RunFolder.read(tmp_path).records()) == 400

    def test_no_number_that_is_none(self, tmp_path: Path) -> None:
        with RunFolder.open(tmp_path, config()) as run:
            with pytest.raises(ValueError, match="JSON"):
                run.add("a", {"x": float("nan")})
            assert run.done() == frozenset()

    def test_the_order_of_work_and_its_times_leave_no_trace(self, tmp_path: Path) -> None:
        def run(name: str, order: str, took: float) -> dict[str, bytes]:
            with RunFolder.open(tmp_path / name, config()) as run:
                for case in order:
                    run.add(case, {"metrics": {"x": ord(case)}, "timings": took})
                run.finish({"x": 1}, report(), timings={"s": took})
            return {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}

        one, two = run("one", "abc", 1.0), run("two", "cab", 2.0)
        assert {name for name in one if one[name] != two[name]} == {TIMINGS, TIMES}

    def test_finished_means_metrics(self, tmp_path: Path) -> None:
        run = RunFolder.open(tmp_path, config())
        with pytest.raises(RequestError, match="not finished"):
            run.metrics()
        run.finish({"x": 1}, report())
        assert RunFolder.read(tmp_path).metrics() == {"x": 1}
        lead, tables = read_tables(tmp_path)
        assert (lead, tables[0].columns) == ([EVIL], ["a", "b"])
        (tmp_path / "tables.json").unlink()
        with pytest.raises(DataError, match=r"tables\.json"):
            read_tables(tmp_path)


class Strict(HTMLParser):
    """Every tag that was opened, and every address."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]


class TestReport:
    def test_no_text_becomes_markup(self) -> None:
        page, parser = html(report()), Strict()
        parser.feed(page)
        assert parser.tags.isdisjoint({"script", "img", "link", "iframe"})
        assert parser.links == []
        assert "&lt;script&gt;" in page
        assert not {"\x1b", "\u202e"} & set(page)
        text = markdown(report())
        assert "<script>" not in text
        assert "[a](b)" not in text
        assert not {"\x1b", "\u202e"} & set(text)
        rows = [line for line in text.splitlines() if line.startswith("| ") and "0.500" in line]
        assert rows[0].replace("\\|", "").count("|") == 3

    def test_wrong_shapes_are_refused(self) -> None:
        with pytest.raises(ValueError, match="1 cells for 2 columns"):
            Table("t", ("a", "b"), [(1,)])
        with pytest.raises(ValueError, match="2 values for 1 points"):
            BarChart("t", ["a"], {"s": [1, 2]})
        with pytest.raises(ValueError, match="not negative"):
            html(Report("t", charts=[BarChart("t", ["a"], {"s": [-1.0]})]))

    def test_an_empty_report_and_empty_charts(self) -> None:
        page = html(Report("t", charts=[BarChart("b", [], {}), LineChart("l", [], {"s": []})]))
        assert page.count("<svg") == 2


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return tiny_datasets(tmp_path / "datasets")


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in (TIMES, TIMINGS)}


ASKED: dict[str, Any] = {"dataset": "redial", "protocol": "novel", "split": "test", "limit_dialogues": 9}

KILLED = """
import os, signal, sys
from pathlib import Path
from convrec.eval import item_results
from convrec.eval.item_run import run_items
from convrec.eval.run_folder import RunFolder

item_results.BATCH = 1
add = RunFolder.add

def adding(self, case, record):
    if case == "popularity 00001":
        self._files[0].write('{"case": "half')
        self._files[0].flush()
        os.kill(os.getpid(), signal.SIGKILL)
    add(self, case, record)

RunFolder.add = adding
run_items(Path(sys.argv[1]), Path(sys.argv[2]), systems=["echo", "popularity"], seed=0,
    dataset="redial", protocol="novel", split="test", limit_dialogues=9)
"""


class TestItemRun:
    def test_twice_the_same_and_repeated_the_same(self, tiny: Path, tmp_path: Path) -> None:
        first = run_items(tmp_path / "a", tiny, systems=["popularity", "echo"], **ASKED)
        run_items(tmp_path / "b", tiny, systems=["popularity", "echo"], **ASKED)
        assert files(tmp_path / "a") == files(tmp_path / "b")
        again = run_items(tmp_path / "a", tiny, systems=["popularity", "echo"], **ASKED)
        assert files(tmp_path / "a") == files(tmp_path / "b")
        assert [row.figures() for row in again.rows] == [row.figures() for row in first.rows]
        assert {METRICS, REPORT_HTML, REPORT_MD, RUN} <= files(tmp_path / "a").keys()
        assert json.loads((tmp_path / "a" / RUN).read_text())["settings"]["systems"] == ["popularity", "echo"]

    def test_killed_and_resumed_gives_the_same(self, tiny: Path, tmp_path: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(tmp_path / "a"), str(tiny)],
            capture_output=True,
            check=False,
            timeout=120,
            env={**os.environ},
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert not (tmp_path / "a" / METRICS).exists()
        assert RunFolder.read(tmp_path / "a").done() == {"echo 00000", "echo 00001", "popularity 00000"}
        told: list[str] = []
        run_items(tmp_path / "a", tiny, systems=["echo", "popularity"], report=told.append, **ASKED)
        assert "popularity: fitting" in told
        assert "echo: fitting" not in told
        run_items(tmp_path / "b", tiny, systems=["echo", "popularity"], **ASKED)
        assert files(tmp_path / "a") == files(tmp_path / "b")

    def test_other_systems_are_another_run(self, tiny: Path, tmp_path: Path) -> None:
        run_items(tmp_path / "a", tiny, systems=["echo"], **ASKED)
        with pytest.raises(RequestError, match="another config: settings"):
            run_items(tmp_path / "a", tiny, systems=["popularity"], **ASKED)
        rows = run_items(tmp_path / "a", tiny, systems=["popularity"], force=True, **ASKED).rows
        assert [row.name for row in rows] == ["popularity"]

    def test_the_report_can_be_read(self, tiny: Path, tmp_path: Path) -> None:
        run_items(tmp_path / "a", tiny, systems=["echo", "popularity"], **ASKED)
        text = (tmp_path / "a" / REPORT_MD).read_text()
        assert "KBRD" in text
        assert "R@10 by messages before the case" in text
        units = RunFolder.read(tmp_path / "a").units()
        assert units["00000"]["dialogue"] == [["seeker", "Heat (1995)"]]  # ReDial's @1
        assert [unit["expected"] for unit in units.values()] == [["4"], ["3"]]
