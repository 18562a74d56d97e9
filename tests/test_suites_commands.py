"""``convrec eval scenarios`` and ``convrec eval suite`` as commands, with a subject that is a plain function."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from convrec.core.errors import DatasetError, RequestError
from convrec.core.settings import Settings, load_settings
from convrec.eval import commands_scenarios, commands_suites
from convrec.eval.scenarios.load import SHIPPED
from convrec.eval.subject import Reply
from demo_agent import demo_catalogue
from spoken_subject import SpokenSubject
from typer import Context, Typer
from typer.testing import CliRunner, Result


class _Open:
    """The demo catalogue, which other tests use too: closing it here does nothing."""

    def __getattr__(self, name: str) -> Any:
        return getattr(demo_catalogue(), name)

    def close(self) -> None:
        pass


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Any:
    subject = SpokenSubject(lambda text, user, session: Reply("No film here fits."))
    for module in (commands_scenarios, commands_suites):
        monkeypatch.setattr(module, "open_catalogue", lambda settings: _Open())
        monkeypatch.setattr(module, "opened", lambda spec, settings, tier: nullcontext(subject))
    app = Typer()

    @app.callback()
    def _set(ctx: Context) -> None:
        settings: Settings = load_settings()
        ctx.obj = SimpleNamespace(settings=settings)

    app.add_typer(commands_scenarios.app, name="scenarios")
    commands_suites.register(app)

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(a) for a in arguments])

    return run


def test_scenarios_as_json_and_as_a_run_folder(cli: Any, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = cli("scenarios", "--family", "nothing", "--family", "simple", "--repeats", 2, "--json", "--out", out)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["families"]["nothing"]["pass^2"] == 1.0  # to say that nothing fits is right there
    assert found["families"]["simple"]["pass^2"] == 0.0  # and wrong here
    assert (out / "report.html").is_file()
    assert "no item was recommended" in (out / "report.md").read_text(encoding="utf-8")
    table = cli("scenarios", "--family", "nothing", "--repeats", 1)
    assert "nothing" in table.stdout
    assert "pass^2" not in table.stdout


def test_checking_files(cli: Any, tmp_path: Path) -> None:
    good = (SHIPPED / "single.yaml").read_text(encoding="utf-8")
    path = tmp_path / "single.yaml"
    path.write_text(good, encoding="utf-8")
    assert cli("scenarios", "check", "--from", path).exit_code == 0
    path.write_text(good.replace("  solutions: ", "  solutions: 1", 1), encoding="utf-8")
    wrong = cli("scenarios", "check", "--from", path)
    assert wrong.exit_code == 1
    assert "correct the number" in wrong.stdout


def test_generating_files(cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from convrec.eval.scenarios import families

    monkeypatch.setattr(families, "FAMILIES", {"simple": families.simple})
    assert cli("scenarios", "generate", "--out", tmp_path, "--per-family", 2, "--seed", 7).exit_code == 0
    first = (tmp_path / "simple.yaml").read_bytes()
    assert cli("scenarios", "generate", "--out", tmp_path, "--per-family", 2, "--seed", 7).exit_code == 0
    assert (tmp_path / "simple.yaml").read_bytes() == first
    assert cli("scenarios", "generate", "--out", tmp_path, "--per-family", 2, "--seed", 8).exit_code == 0
    assert (tmp_path / "simple.yaml").read_bytes() != first


def test_wrong_names_are_told(cli: Any, tmp_path: Path) -> None:
    assert isinstance(cli("scenarios", "--family", "nope").exception, RequestError)
    assert isinstance(cli("scenarios", "check", "--from", tmp_path).exception, DatasetError)
    assert isinstance(cli("suite", "nope").exception, RequestError)


def test_a_suite_as_json_and_as_a_table(cli: Any, tmp_path: Path) -> None:
    done = cli("suite", "persona", "--small", "--json", "--subject", "test:subject", "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [one["suite"] for one in found["suites"]] == ["persona"]
    assert (tmp_path / "run" / "metrics.json").is_file()
    assert "same_list" in cli("suite", "persona", "--small", "--subject", "test:subject").stdout


def test_all_suites_name_what_was_left_out(cli: Any, tmp_path: Path) -> None:
    done = cli("suite", "all", "--small", "--json", "--subject", "test:subject", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout[done.stdout.index("{") :])
    assert set(found["left_out"]) == {"shuffle", "quality"}  # another catalogue's order; no data set here
    assert "convrec data fetch" in found["left_out"]["quality"]
    assert (tmp_path / "persona" / "metrics.json").is_file()
