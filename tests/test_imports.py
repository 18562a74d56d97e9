"""Who may import whom, and what an import may cost."""

from __future__ import annotations

import ast
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import convrec
import pytest

ROOT = Path(convrec.__file__).parent
ALLOWED = {
    "core": {"core"},
    "tools": {"core", "tools"},
    "memory": {"core", "tools", "memory"},
    "agent": {"core", "tools", "memory", "agent"},
    "serve": {"core", "tools", "memory", "agent", "serve"},
    "eval": {"core", "tools", "memory", "agent", "eval"},
}
HEAVY = ("torch", "sentence_transformers", "chromadb", "gradio", "fastapi", "langchain_core", "langchain_openai")
HEAVY_ANYWHERE = (*HEAVY, "xllamacpp", "transformers", "pandas", "pyarrow", "scipy", "uvicorn", "duckdb")
ADAPTERS = {
    "memory/chroma_store.py": {"chromadb"},
    "memory/embedders.py": {"sentence_transformers", "torch", "transformers"},
    "agent/llm/base.py": {"langchain_core"},
    "agent/llm/openai_compatible.py": {"langchain_openai", "langchain_core", "openai"},
    "agent/llm/scripted.py": {"langchain_core"},
    "agent/llm/xllamacpp_chat.py": {"langchain_core", "xllamacpp"},
    "agent/llm/transformers_chat.py": {"langchain_core", "transformers", "torch"},
    "serve/mcp_server.py": {"mcp"},
}
"""The only modules that may import these libraries at their top; the web's own are those of ``serve``."""
LIGHT_S = 0.5


def _modules() -> Iterator[Path]:
    for room in ALLOWED:
        yield from sorted((ROOT / room).rglob("*.py"))


def _imported(path: Path) -> Iterator[tuple[str, int]]:
    """Dotted names imported anywhere in the file, also late ones and those for type checkers."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            assert node.module is not None
            if node.module == "convrec":
                yield from ((f"convrec.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield node.module, node.lineno


def _at_top(path: Path) -> Iterator[str]:
    """What importing the file imports: not in functions, not under TYPE_CHECKING."""
    waiting: list[ast.stmt] = list(ast.parse(path.read_text(encoding="utf-8")).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test):
            waiting += [*node.body, *node.orelse]
        elif isinstance(node, ast.Try):
            waiting += [*node.body, *node.orelse, *node.finalbody, *(s for h in node.handlers for s in h.body)]


def test_rooms_import_only_to_their_left() -> None:
    wrong = []
    for path in _modules():
        room = path.relative_to(ROOT).parts[0]
        for name, number in _imported(path):
            parts = name.split(".")
            assert parts[0] not in ALLOWED, f"{path}:{number}: import convrec.{name}"
            if parts[0] == "convrec" and len(parts) > 1 and parts[1] not in ALLOWED[room]:
                wrong.append(f"{path.relative_to(ROOT)}:{number} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_heavy_libraries_are_imported_by_their_adapter_alone() -> None:
    wrong = []
    for path in _modules():
        name = path.relative_to(ROOT).as_posix()
        for module in _at_top(path):
            library = module.split(".")[0]
            if library in ("torch", "sentence_transformers", "chromadb", "langchain_core", "langchain_openai", "mcp"):
                if library not in ADAPTERS.get(name, set()):
                    wrong.append(f"{name} imports {library}")
            elif library in ("gradio", "fastapi", "uvicorn", "starlette") and not name.startswith("serve/"):
                wrong.append(f"{name} imports {library}")
    assert not wrong, "\n".join(wrong)


def _seconds(code: str) -> tuple[float, str]:
    """Processor seconds of a Python that runs ``code``, the least of three, and its output. Not the clock's: that
    measures what else the machine is doing."""
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = _python(code)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.returncode == 0, done.stderr
        times.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
        if times[-1] < LIGHT_S:
            break
    return min(times), done.stdout


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("module", ["convrec", "convrec.core.settings", "convrec.app", "convrec.agent.api"])
def test_light_modules_are_light(module: str) -> None:
    heavy = HEAVY if module == "convrec.agent.api" else HEAVY_ANYWHERE
    code = f"import sys, {module}; bad = [m for m in {heavy} if m in sys.modules]; assert not bad, bad"
    seconds, _ = _seconds(code)
    assert seconds < LIGHT_S


def test_help_is_there_at_once_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from convrec.app import main; sys.argv = ['convrec', '--help']\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0\n"
        f"bad = [m for m in {(*HEAVY_ANYWHERE, 'numpy')} if m in sys.modules]; assert not bad, bad"
    )
    seconds, shown = _seconds(code)
    assert "chat" in shown
    assert seconds < LIGHT_S


BLOCKED = (
    "chromadb",
    "gradio",
    "torch",
    "sentence_transformers",
    "transformers",
    "xllamacpp",
    "langchain_core",
    "langchain_openai",
    "fastapi",
    "uvicorn",
    "starlette",
    "mcp",
    "limits",
    "prometheus_client",
    "opentelemetry",
    "bokeh_sampledata",
    "pandas",
    "pyarrow",
)
NEEDS_AN_EXTRA = {
    "convrec.memory.chroma_store",
    "convrec.agent.llm.openai_compatible",
    "convrec.agent.llm.scripted",
    "convrec.agent.llm.transformers_chat",
    "convrec.agent.llm.xllamacpp_chat",
    "convrec.serve.api.answers",
    "convrec.serve.api.chat",
    "convrec.serve.api.context",
    "convrec.serve.api.envelope",
    "convrec.serve.api.items",
    "convrec.serve.api.limiting",
    "convrec.serve.api.recommendations",
    "convrec.serve.api.server",
    "convrec.serve.api.users",
    "convrec.serve.http",
    "convrec.serve.http_errors",
    "convrec.serve.mcp_server",
    "convrec.serve.metrics",
    "convrec.serve.page",
    "convrec.serve.run",
    "convrec.serve.workers",
}
"""May fail to import without the extras; all others must not."""


def test_all_but_the_adapters_import_without_any_extra() -> None:
    names = [
        ".".join(("convrec", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        for path in [*_modules(), ROOT / "app.py"]
    ]
    wanted = [name for name in names if name not in NEEDS_AN_EXTRA]
    code = f"""
import importlib, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {BLOCKED}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        return None

sys.meta_path.insert(0, Blocker())
for name in {wanted}:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        print(name, "needs", error.name)
"""
    done = _python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "", done.stdout


def test_every_exception_of_that_list_exists() -> None:
    for name in NEEDS_AN_EXTRA:
        assert (ROOT / Path(*name.split(".")[1:])).with_suffix(".py").is_file(), name
    for name in ADAPTERS:
        assert (ROOT / name).is_file(), name


def test_a_server_computes_each_turn_on_one_thread_unless_told_otherwise() -> None:
    code = (
        "import os, sys; from convrec.core.threads import one_thread_each; assert 'numpy' not in sys.modules; "
        "one_thread_each(); import numpy; from threadpoolctl import threadpool_info; "
        "print(*{found['num_threads'] for found in threadpool_info() if found['user_api'] == 'blas'})"
    )
    for told, expected in ((None, "1"), ("2", "2")):
        environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
        environment |= {"OPENBLAS_NUM_THREADS": told} if told else {}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() in (expected, "1")  # one core has one thread whatever is said
