"""A lock that many share or one has alone."""

from __future__ import annotations

import threading

import pytest
from convrec.memory.gate import Gate


def test_many_share_and_one_has_it_alone() -> None:
    gate, inside, go_on = Gate(), threading.Barrier(3), threading.Event()
    order: list[str] = []

    def share() -> None:
        with gate.shared(), gate.shared():
            inside.wait(30)
            assert go_on.wait(30)
            order.append("shared")

    def alone() -> None:
        with gate.alone(), gate.alone(), gate.shared():
            order.append("alone")

    sharers = [threading.Thread(target=share) for _ in range(2)]
    for thread in sharers:
        thread.start()
    inside.wait(30)  # both are in it at once
    waiting = threading.Thread(target=alone)
    waiting.start()
    assert order == []
    go_on.set()
    for thread in (*sharers, waiting):
        thread.join(30)
    assert order == ["shared", "shared", "alone"]


def test_what_is_shared_cannot_be_had_alone() -> None:
    gate = Gate()
    with gate.shared(), pytest.raises(RuntimeError, match="shared"), gate.alone():
        pass
    with gate.alone():  # nothing is left of it
        pass


def test_no_change_is_lost() -> None:
    gate, seen, torn = Gate(), [0, 0], list[int]()

    def change() -> None:
        for _ in range(300):
            with gate.alone():
                seen[0] += 1
                seen[1] += 1

    def read() -> None:
        for _ in range(300):
            with gate.shared():
                if seen[0] != seen[1]:
                    torn.append(seen[0])

    threads = [threading.Thread(target=act) for act in (change, change, read, read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (seen, torn) == ([600, 600], [])
