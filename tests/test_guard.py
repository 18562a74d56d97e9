"""The guard of ``conftest.py`` holds: no test can reach the network without failing."""

from __future__ import annotations

import socket

import pytest


def test_no_test_connects_to_another_machine() -> None:
    with socket.socket() as outgoing, pytest.raises(pytest.fail.Exception, match=r"192\.0\.2\.1"):
        outgoing.connect(("192.0.2.1", 80))
    with socket.socket() as outgoing, pytest.raises(pytest.fail.Exception):
        outgoing.connect_ex(("192.0.2.1", 80))


def test_no_test_asks_a_name_server() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"convrec\.invalid"):
        socket.getaddrinfo("convrec.invalid", 80)


def test_the_loopback_is_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), timeout=5):
        pass
    assert socket.getaddrinfo("localhost", 80)
