"""``convrec eval all``: every part in a folder, what cannot run is named, a second run changes nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from convrec.core.errors import DatasetError
from convrec.eval.all import Asked, Part, found_models, parts, run_parts, splits_of
from convrec.eval.commands import app as eval_app
from convrec.eval.report import Report, Table
from convrec.eval.run_folder import METRICS, REPORT_HTML, REPORT_MD, RunFolder, read_tables, run_config
from convrec.tools.datasets import RedialData
from convrec.tools.recommenders.popularity import Popularity
from convrec.tools.recommenders.training_sets import redial_train
from tiny_datasets import tiny_datasets
from typer.testing import CliRunner


def model(tiny: Path, folder: Path, *splits: str) -> Path:
    fitted = Popularity().fit(redial_train(RedialData(tiny / "redial")))
    fitted.info = {"splits": list(splits)}
    fitted.save(folder)
    return folder


class TestParts:
    def test_every_protocol_and_every_kind(self) -> None:
        names = [part.name for part in parts(Asked())]
        wanted = {f"items-redial-{protocol}" for protocol in ("novel", "full", "cikm", "unicrs")}
        assert wanted | {
            "items-inspired-cikm",
            "items-inspired-unicrs",
            "scenarios",
            "suite-injection",
            "memory",
        } <= set(names)
        assert any(name.startswith("users-") for name in names)
        assert len(names) == len(set(names))

    def test_models_go_where_they_were_trained(self, tmp_path: Path) -> None:
        tiny = tiny_datasets(tmp_path / "datasets")
        home = tmp_path / "home"
        redial = model(tiny, home / "models/r", "redial-train")
        both = model(tiny, home / "models/b", "redial-train", "inspired-train")
        model(tiny, home / "models/seen", "redial-train", "redial-valid")
        model(tiny, home / "models/silent")
        (home / "models/damaged").mkdir()
        (home / "models/damaged/manifest.json").write_text("{")
        assert found_models(home) == [both, redial]
        assert splits_of(home / "models/damaged") == ()
        by_name = {part.name: part.arguments for part in parts(Asked(models=[both, redial], systems=["acme"]))}
        assert str(redial) in by_name["items-redial-full"]
        assert str(redial) not in by_name["items-inspired-cikm"]
        assert str(both) in by_name["items-inspired-cikm"]
        assert all("acme" in arguments for name, arguments in by_name.items() if name.startswith("items-"))

    def test_every_command_of_every_part_is_there(self) -> None:
        """The option names too: a part that cannot be read would be named as not run, for ever."""
        commands = typer.main.get_command(eval_app)
        for quick in (False, True):
            for part in parts(Asked(quick=quick, models=[Path("x")], systems=["y"])):
                name, *options = part.arguments
                command: Any = commands.commands[name]  # type: ignore[attr-defined]
                known = {text for parameter in command.params for text in parameter.opts}
                assert {text for text in options if text.startswith("--")} | {"--out", "--json", "--force"} <= known, (
                    part
                )


class TestRunning:
    def command(self, arguments: Sequence[str]) -> None:
        out = Path(arguments[arguments.index("--out") + 1])
        if arguments[0] == "buggy":
            raise NameError("name 'x' is not defined")
        if arguments[0] == "broken":
            raise DatasetError("the data set x is not there. Run: convrec data fetch x")
        with RunFolder.open(out, run_config("x", {"name": arguments[0]}, seed=0)) as run:
            if "c" not in run.done():
                run.add("c", {"metrics": {"m": 1.0}})
            run.finish({"m": 1.0}, Report("r", ["n = 1"], [Table("t", ("a", "b"), [(arguments[0], 0.5)])]))

    def test_what_cannot_run_is_named(self, tmp_path: Path) -> None:
        chosen = [Part("bug", "Bug", ("buggy",)), Part("bad", "Bad", ("broken", "--model", "/x/y"))]
        chosen.append(Part("one", "One", ("one",)))
        told: list[str] = []
        done = run_parts(tmp_path, chosen, self.command, force=False, tell=told.append)
        assert [bool(reason) for _, reason in done] == [True, True, False]
        assert told == ["1/3 Bug", "2/3 Bad", "3/3 One"]
        _, (table, missing) = read_tables(tmp_path)
        assert (table.title, table.note, list(table.rows[0])) == ("One", "n = 1", ["one", 0.5])
        assert missing.title == "Not run"
        assert [row[0] for row in missing.rows] == ["Bug", "Bad"]
        assert "NameError" in missing.rows[0][1]
        assert "convrec data fetch x" in (tmp_path / REPORT_MD).read_text()
        figures = json.loads((tmp_path / METRICS).read_text())
        assert figures["figures"] == {"one": {"m": 1.0}}
        assert figures["parts"]["bad"]["command"] == "convrec eval broken --model y"
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
        run_parts(tmp_path, chosen, self.command, force=False, tell=told.append)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


class TestCommand:
    @pytest.fixture
    def app(self, tmp_path: Path) -> typer.Typer:
        tiny = tiny_datasets(tmp_path / "datasets")
        app = typer.Typer()

        @app.callback()
        def start(ctx: typer.Context) -> None:
            settings = SimpleNamespace(datasets=tiny, home=tmp_path / "home", models=tmp_path / "weights")
            ctx.obj = SimpleNamespace(settings=settings)

        app.add_typer(eval_app, name="eval")
        return app

    def test_item_parts_end_to_end(self, app: typer.Typer, tmp_path: Path) -> None:
        out = tmp_path / "out"
        command = ["eval", "all", "--quick", "--only", "items-redial", "--out", str(out)]
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, result.output
        assert "Item recommendation: redial, novel" in result.stdout
        assert "not run: Item recommendation: redial, unicrs" in result.stderr  # the tiny data has no such file
        assert (out / REPORT_HTML).exists()
        assert (out / "items-redial-novel" / METRICS).exists()
        state = json.loads((out / METRICS).read_text())["parts"]
        assert [name for name, part in state.items() if part["reason"]] == ["items-redial-unicrs"]
        as_json = CliRunner().invoke(app, [*command, "--json"])
        assert json.loads(as_json.stdout)["parts"] == state

    def test_no_such_part(self, app: typer.Typer, tmp_path: Path) -> None:
        result = CliRunner().invoke(app, ["eval", "all", "--only", "x", "--out", str(tmp_path / "out")])
        assert result.exit_code == 2
        assert not (tmp_path / "out").exists()
