"""What is shipped: packages, data files, version, public names."""

from __future__ import annotations

import ast
import importlib
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import convrec
import pytest

ROOT = Path(convrec.__file__).parent
ROOMS = ("core", "tools", "memory", "agent", "serve", "eval")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SOURCES = sorted(
    path for path in [*ROOT.glob("*.py"), *(p for room in ROOMS for p in (ROOT / room).rglob("*.py"))] if path.is_file()
)


def test_the_list_of_packages_is_what_lies_on_the_disk() -> None:
    found = {"convrec"}
    for room in ROOMS:
        for init in (ROOT / room).rglob("__init__.py"):
            found.add(".".join(("convrec", *init.parent.relative_to(ROOT).parts)))
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == found


def test_no_python_file_lies_outside_a_package() -> None:
    for path in SOURCES:
        assert (path.parent / "__init__.py").is_file(), path


def test_rooms_of_the_type_checker_are_those_of_the_disk() -> None:
    links = {path.name for path in (ROOT / "typings" / "convrec").iterdir()}
    assert links == {*ROOMS, "__init__.py", "app.py", "py.typed"}
    for path in (ROOT / "typings" / "convrec").iterdir():
        assert path.resolve() == ROOT / path.name


def test_version_is_written_once() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", convrec.__version__)
    assert PROJECT["project"]["dynamic"] == ["version"]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {convrec.__version__}" in changes


def _public_names(path: Path) -> list[str] | None:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            names = ast.literal_eval(node.value)
            assert isinstance(names, list)
            return [str(name) for name in names]
    return None


def test_all_is_true_wherever_it_is_written() -> None:
    assert _public_names(ROOT / "__init__.py") == ["AsyncClient", "Client", "__version__"]
    public = {name for name in vars(convrec) if not name.startswith("_")} - {*ROOMS, "app"}
    public -= {"annotations", "TYPE_CHECKING", "Any"}
    assert public == set(), "the root exports only what __all__ names"
    for path in SOURCES:
        names = _public_names(path)
        if names is None:
            continue
        module = importlib.import_module(".".join(("convrec", *path.relative_to(ROOT).with_suffix("").parts)))
        assert len(names) == len(set(names)), path
        missing = [name for name in names if not hasattr(module, name)]
        assert not missing, f"{path} names {missing}, which it has not"


def test_no_print_no_star_import_no_broad_except() -> None:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            where = f"{path}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.ImportFrom):
                assert all(alias.name != "*" for alias in node.names), where
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print", where
            if isinstance(node, ast.ExceptHandler):
                assert node.type is not None, where


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built with the setuptools of this environment, so that nothing is fetched, from a copy of the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "source"
    shutil.copytree(
        ROOT, copy, symlinks=True, ignore=shutil.ignore_patterns(".*", "*.egg-info", "build", "dist", "__pycache__")
    )
    command = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_wheel_holds_every_module_and_data_file_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    data = {*(ROOT / "agent" / "prompts").glob("*.txt"), *(ROOT / "agent" / "prompts").glob("*.jsonl")}
    data |= {*(ROOT / "tools" / "packs").iterdir()}
    data |= {*(ROOT / "eval" / "scenarios" / "data").glob("*.yaml")}
    data |= {*(ROOT / "eval" / "memory").glob("*.jsonl"), *(ROOT / "eval" / "requests" / "data").glob("*.jsonl")}
    data |= {*(ROOT / "eval" / "sim" / "prompts").glob("*.txt"), *(ROOT / "eval" / "wishes" / "data").glob("*.jsonl")}
    assert data, "there are no prompts"
    wanted = {f"convrec/{path.relative_to(ROOT).as_posix()}" for path in {*SOURCES, *data, ROOT / "py.typed"}}
    assert names == wanted


def test_wheel_has_licence_entry_point_and_light_requirements(wheel: zipfile.ZipFile) -> None:
    info = next(name for name in wheel.namelist() if name.endswith("/METADATA")).rsplit("/", 1)[0]
    assert "Apache License" in wheel.read(f"{info}/licenses/LICENSE").decode()
    assert "convrec = convrec.app:main" in wheel.read(f"{info}/entry_points.txt").decode()
    metadata = wheel.read(f"{info}/METADATA").decode()
    base = [line for line in metadata.splitlines() if line.startswith("Requires-Dist:") and "extra ==" not in line]
    heavy = ("torch", "chromadb", "gradio", "sentence", "langchain", "xllamacpp", "fastapi")
    assert base
    assert not [line for line in base if any(name in line for name in heavy)]


def test_constraints_pin_each_library_once() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    names = []
    for line in lines:
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([0-9A-Za-z.!]+)", line)
        assert match, f"{line!r} is no plain pin"
        names.append(re.sub(r"[-_.]+", "-", match[1]).lower())
    assert len(names) == len(set(names))
    assert "convrec" not in names
    project = PROJECT["project"]
    extras = [line for extra in project["optional-dependencies"].values() for line in extra]
    for requirement in (*project["dependencies"], *extras):
        name = re.sub(r"[-_.]+", "-", re.split(r"[\[<>=! ]", requirement)[0]).lower()
        assert name == "convrec" or name in names, f"{name} is not pinned in constraints.txt"
