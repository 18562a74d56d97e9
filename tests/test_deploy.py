"""What is shipped for operating servers: compose.yaml, Dockerfile, nginx's configuration, also by running nginx."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import convrec
import httpx
import pytest
import typer
import yaml
from convrec.app import GROUPS
from convrec.core.settings import Settings, load_settings
from convrec.serve.cli import build_cli
from pydantic import BaseModel

ROOT = Path(convrec.__file__).parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
NGINX = (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
APPS = ("app-1", "app-2")


def instructions(name: str) -> list[str]:
    joined = re.sub(r"\\\n\s*", " ", DOCKERFILE)
    return [line.removeprefix(f"{name} ") for line in joined.splitlines() if line.startswith(f"{name} ")]


def parsed(arguments: list[str]) -> Any:
    """The command that these arguments call and its options; wrong ones raise."""
    root = typer.main.get_command(build_cli(lambda *_: None, GROUPS))  # type: ignore[arg-type, return-value]
    command = root.get_command(typer.Context(root), arguments[0])  # type: ignore[attr-defined]
    assert command is not None, arguments
    return command.make_context(arguments[0], arguments[1:]).params


def setting_exists(name: str) -> bool:
    kind: type[BaseModel] = Settings
    *sections, last = name.removeprefix("CONVREC_").lower().split("__")
    for section in sections:
        found = kind.model_fields.get(section)
        if found is None or not isinstance(found.annotation, type):
            return False
        kind = found.annotation
    return last in kind.model_fields


def routes() -> set[str]:
    pytest.importorskip("fastapi")
    import scripted_agent
    from convrec.serve.http import create_app

    app = create_app(scripted_agent.ScriptedAgent(), settings=Settings())
    return set(app.openapi()["paths"])


class TestCompose:
    def test_the_parts(self) -> None:
        assert {*APPS, "postgres", "chroma", "vllm", "proxy"} <= set(SERVICES)

    @pytest.mark.parametrize("app", [*APPS, "setup"])
    def test_its_settings_are_settings(self, app: str, monkeypatch: pytest.MonkeyPatch) -> None:
        env = SERVICES[app]["environment"]
        key = load_settings().llm.api_key_env
        assert key in env
        assert [name for name in env if name != key and not setting_exists(name)] == []
        for name, value in env.items():
            monkeypatch.setenv(name, re.sub(r"\$\{\w+(?::-(\w*))?[^}]*\}", lambda m: m[1] or "x", value))
        settings = load_settings()
        assert settings.server.keys == "required"
        assert settings.sessions.url is not None
        assert settings.memory.url == "http://chroma:8000"
        assert "postgres" in SERVICES
        assert settings.tier == "served"

    def test_its_commands_are_commands(self) -> None:
        options = parsed(SERVICES["app-1"]["command"])
        assert (options["http"], options["host"], options["port"]) == (True, "0.0.0.0", 8000)
        assert parsed(SERVICES["setup"]["command"])["no_llm"] is True
        assert parsed(json.loads(instructions("CMD")[0]))["port"] == 8000

    def test_nothing_but_the_proxy_is_open_and_that_to_this_machine(self) -> None:
        assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]
        assert all("127.0.0.1" in port for port in SERVICES["proxy"]["ports"])
        assert COMPOSE["networks"]["inside"]["internal"] is True
        for app in (*APPS, "chroma", "postgres"):
            assert SERVICES[app]["networks"] == ["inside"]

    def test_images_are_pinned_and_secrets_are_not_in_the_file(self) -> None:
        for name, service in SERVICES.items():
            tag = service["image"].rpartition(":")[2]
            assert tag == "local" or re.search(r"\d+\.\d+", tag), name
            for variable, value in service.get("environment", {}).items():
                if re.search("PASSWORD|KEY$", variable):
                    assert value.startswith("${"), variable
                    assert ":?" in value, f"{variable} would be empty when it is not set"

    def test_every_server_says_how_it_is(self) -> None:
        for name, service in SERVICES.items():
            assert "healthcheck" in service or service["image"] == "convrec:local", name
        assert SERVICES["app-1"]["depends_on"]["postgres"]["condition"] == "service_healthy"

    def test_what_is_kept_is_on_volumes(self) -> None:
        used = {
            v.split(":")[0] for service in SERVICES.values() for v in service.get("volumes", ()) if v[0] not in "./$"
        }
        assert used == set(COMPOSE["volumes"])
        for app in APPS:
            assert {"home:/data/home", "cache:/data/cache"} <= set(SERVICES[app]["volumes"])
            assert SERVICES[app]["read_only"] is True

    def test_turns_have_the_time_to_end(self) -> None:
        grace = int(SERVICES["app-1"]["stop_grace_period"].removesuffix("s"))
        assert grace > int(SERVICES["app-1"]["environment"]["CONVREC_SERVER__SHUTDOWN_S"])
        read = int(re.search(r"proxy_read_timeout (\d+)s", NGINX)[1])  # type: ignore[index]
        assert read > Settings().server.turn_timeout_s


class TestDockerfile:
    def test_it_runs_as_nobody_in_particular(self) -> None:
        assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", instructions("USER")[-1])
        assert DOCKERFILE.rindex("USER ") > DOCKERFILE.rindex("RUN ")

    def test_two_stages_of_one_pinned_base(self) -> None:
        assert [line.split()[0] for line in instructions("FROM")] == ["${PYTHON}", "${PYTHON}"]
        assert re.search(r"ARG PYTHON=python:3\.\d+\.\d+-slim", DOCKERFILE)
        assert "--constraint constraints.txt" in DOCKERFILE
        assert "constraints.txt" in (ROOT / ".dockerignore").read_text(encoding="utf-8")

    def test_its_health_is_asked_where_the_server_answers(self) -> None:
        path = re.search(r"http://127\.0\.0\.1:8000(/\w+)", instructions("HEALTHCHECK")[0])
        assert path is not None
        assert path[1] in routes()

    def test_the_extras_exist(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        named = re.search(r'"\.\[([\w,-]+)\]"', DOCKERFILE)
        assert named is not None
        assert set(named[1].split(",")) <= set(project["optional-dependencies"])

    def test_the_build_sees_all_it_packs_and_no_more(self) -> None:
        lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        let_in = {line.removeprefix("!") for line in lines if line.startswith("!")}
        rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")}
        assert let_in == rooms | {
            "pyproject.toml", "constraints.txt", "README.md", "LICENSE", "py.typed", "__init__.py", "app.py"
        }  # fmt: skip


# -- nginx ------------------------------------------------------------------------------------------------------------

PROGRAM = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def test_nginx_knows_the_servers_of_compose() -> None:
    servers = re.findall(r"server (\S+):(\d+) max_fails", NGINX)
    assert servers == [(app, "8000") for app in APPS]
    assert re.search(r"listen 8443 ssl", NGINX)
    image = re.fullmatch(r"nginx:(\d+)\.(\d+)\.(\d+)", SERVICES["proxy"]["image"])
    assert image is not None
    assert tuple(map(int, image.groups())) >= (1, 27, 3), "`resolve` is not known to it"


@contextmanager
def proxy(folder: Path, first: str, second: str) -> Iterator[str]:
    """nginx with the shipped configuration, but for names, ports and folders."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    subject = ["-subj", "/CN=localhost", "-keyout", folder / "privkey.pem", "-out", folder / "fullchain.pem"]
    openssl = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject]
    subprocess.run(openssl, check=True, capture_output=True)
    text = NGINX.replace("/tmp/", f"{folder}/").replace("app-1:8000", first).replace("app-2:8000", second)
    text = text.replace("listen 8443 ssl", f"listen 127.0.0.1:{port} ssl").replace("/etc/nginx/tls", str(folder))
    text = text.replace("/dev/stdout", f"{folder}/access.log").replace("/dev/stderr", f"{folder}/error.log")
    version = subprocess.run([str(PROGRAM), "-v"], capture_output=True, text=True, check=True).stderr
    known = tuple(map(int, re.findall(r"\d+", version)[:3]))
    if known < (1, 25, 1):  # before that it was a word of `listen`
        text = text.replace("http2 on;", "")
    if known < (1, 27, 3):  # before that names were looked up once
        text = text.replace(" resolve;", ";")
    (folder / "nginx.conf").write_text(f"daemon off;\n{'user root;' if os.geteuid() == 0 else ''}\n{text}")
    command = [str(PROGRAM), "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", str(folder / "early.log")]
    subprocess.run([*command, "-t"], check=True, capture_output=True)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + 20
            while socket.socket().connect_ex(("127.0.0.1", port)) != 0:
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.02)
            yield f"https://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


@pytest.mark.skipif(PROGRAM is None or shutil.which("openssl") is None, reason="no nginx or no openssl")
def test_behind_the_real_nginx(tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    from api_server import say, serving

    for name in "abp":
        (tmp_path / name).mkdir()
    with ExitStack() as stack:
        second = stack.enter_context(serving(tmp_path / "b"))
        ending = stack.enter_context(ExitStack())
        first = ending.enter_context(serving(tmp_path / "a"))
        addresses = [server.url.removeprefix("http://") for server in (first, second)]
        url = stack.enter_context(proxy(tmp_path / "p", *addresses))
        web = stack.enter_context(httpx.Client(base_url=url, verify=False, timeout=30))
        for _ in range(4):
            assert web.get("/healthz").status_code == 200
        assert web.get("/metrics").status_code == 404
        assert web.post("/v1/chat/completions", content=b"x" * (1 << 20 | 1)).status_code == 413
        with convrec.Client(url, transport=httpx.HTTPTransport(verify=False)) as client:
            assert client.chat("x", user="zanzibar").items
            assert client.preferences("zanzibar") == []
        # A stream comes as it is made: its first piece is here while the turn still runs.
        slowly = say("slow " + "word " * 30, stream=True)
        with web.stream("POST", "/v1/chat/completions", json=slowly) as response:
            assert any('"content": "' in line for line in response.iter_lines())
            assert first.api.pool.running + second.api.pool.running == 1
        log = (tmp_path / "p" / "access.log").read_text()
        assert "zanzibar" not in log  # addresses hold users' ids
        assert {json.loads(line)["upstream"] for line in log.splitlines()} >= set(addresses)
        ending.close()  # one server is gone: callers do not notice
        assert [web.post("/v1/chat/completions", json=say("x")).status_code for _ in range(4)] == [200] * 4
