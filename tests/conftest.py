"""For all tests: a home of their own, settings of their own, and no network but the loopback."""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("recommender_contract")  # so that the shared suite's failures show their values

KEPT = {"CONVREC_CACHE", "CONVREC_DATA_MIRROR", "CONVREC_MODELS_SOURCE"}
"""Where weights and data sets are found on this machine; every other setting is a test's own."""


DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
"""Where the tests of real data look when CONVREC_DATA_MIRROR is not set."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A clone without the data sets can still run its tests; what was left out is named at the end."""
    if not os.environ.get("CONVREC_DATA_MIRROR") and not DATA.is_dir():
        skip = pytest.mark.skip(reason="no data sets: set CONVREC_DATA_MIRROR to a folder or address that has them")
        for item in items:
            if item.get_closest_marker("data") is not None:
                item.add_marker(skip)


# A shell that starts the tests in the background makes them ignore Ctrl-C, and all their children with them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _own_settings(patch: pytest.MonkeyPatch, home: Path) -> None:
    for name in os.environ:
        if name.startswith("CONVREC_") and name not in KEPT:
            patch.delenv(name)
    patch.setenv("CONVREC_HOME", str(home))


@pytest.fixture(scope="session", autouse=True)
def _session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For fixtures of a module or the session, which come before those of a test."""
    with pytest.MonkeyPatch.context() as patch:
        _own_settings(patch, tmp_path_factory.mktemp("home"))
        _forbid_network(patch)
        yield


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of this test; it does not exist yet."""
    folder = tmp_path / "convrec-home"
    _own_settings(monkeypatch, folder)
    return folder


@pytest.fixture(autouse=True)
def _log_levels() -> Iterator[None]:
    """A command run inside the test process sets levels and handlers that would hide another test's log lines."""
    logs = [logging.getLogger(name) for name in ("convrec", "convrec.agent", "convrec.serve.requests")]
    before = [(log, log.level, list(log.handlers), log.propagate) for log in logs]
    yield
    for log, level, handlers, propagate in before:
        log.setLevel(level)
        log.handlers, log.propagate = handlers, propagate


def _forbid_network(patch: pytest.MonkeyPatch) -> None:
    real_connect, real_connect_ex, real_look_up = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def connect(self: socket.socket, address: Any) -> None:
        _check(self.family, address)
        real_connect(self, address)

    def connect_ex(self: socket.socket, address: Any) -> int:
        _check(self.family, address)
        return real_connect_ex(self, address)

    def look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        if not _is_number(host):  # turning "192.0.2.1" into an address asks nobody; connecting to it is checked
            _check(socket.AF_INET, (host,))
        return real_look_up(host, *args, **kwargs)

    patch.setattr(socket.socket, "connect", connect)
    patch.setattr(socket.socket, "connect_ex", connect_ex)
    patch.setattr(socket, "getaddrinfo", look_up)


def _is_number(host: Any) -> bool:
    try:
        ipaddress.ip_address(host.decode() if isinstance(host, bytes) else host)
    except ValueError:
        return False
    return True


def _check(family: int, address: Any) -> None:
    if family not in (socket.AF_INET, socket.AF_INET6):
        return
    host = address[0]
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost", "0.0.0.0", "::"):
        return
    try:
        allowed = ipaddress.ip_address(name).is_loopback
    except ValueError:
        allowed = False
    if not allowed:
        pytest.fail(f"a test reached for {name!r}; tests may use the loopback only")


@pytest.fixture(scope="session")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set folder with ReDial and INSPIRED in it, fetched once; tests only read it."""
    from convrec.tools.dataset_fetch import fetch_dataset
    from convrec.tools.dataset_sources import DATASETS

    mirror = os.environ.get("CONVREC_DATA_MIRROR") or (DATA if DATA.is_dir() else None)
    if mirror is None:
        pytest.fail("ReDial is not there: set CONVREC_DATA_MIRROR to the data mirror (see: convrec data fetch redial)")
    root = tmp_path_factory.mktemp("datasets")
    for name in ("redial", "inspired"):
        fetch_dataset(DATASETS[name], root, mirror=mirror)
    return root
