"""``convrec data pack``: what it says and its exit codes; the building itself is stood in for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from convrec.core.settings import Settings
from convrec.serve import commands_pack
from convrec.tools.pack import PACK_FILE, read_pack
from typer.testing import CliRunner, Result


def run(*arguments: str, home: Path) -> Result:
    app = typer.Typer()
    app.callback()(lambda: None)
    commands_pack.register(app)
    return CliRunner().invoke(app, arguments, obj=SimpleNamespace(settings=Settings(home=home)))


def stand_in(extra: bytes) -> Any:
    def build(datasets: Path, out: Path, progress: Any = None) -> Mapping[str, Any]:
        out.write_bytes(PACK_FILE.read_bytes() + extra)
        return read_pack().manifest

    return build


@pytest.mark.parametrize(("extra", "code", "same"), [(b"", 0, True), (b"x", 1, False)])
def test_check_says_same_or_different(
    extra: bytes, code: int, same: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands_pack, "build_pack", stand_in(extra))
    done = run("pack", "--check", "--json", home=tmp_path)
    assert (done.exit_code, json.loads(done.stdout)["same_as_shipped"]) == (code, same)
    shown = run("pack", "--check", home=tmp_path)
    assert ("same" if same else "different") in shown.stdout


def test_out_is_written_and_nothing_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands_pack, "build_pack", stand_in(b"x"))
    done = run("pack", "--out", str(tmp_path / "mine.zip"), "--json", home=tmp_path)
    assert done.exit_code == 0
    assert json.loads(done.stdout)["same_as_shipped"] is None
    assert (tmp_path / "mine.zip").is_file()


def test_wrong_use_and_missing_data(tmp_path: Path) -> None:
    assert run("pack", home=tmp_path).exit_code == 2
    done = run("pack", "--check", home=tmp_path)
    assert done.exit_code == 1
    assert "convrec data fetch redial" in " ".join(done.stderr.split())
