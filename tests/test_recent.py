"""The bounded store of what was used last, and the catalogue's use of it."""

from __future__ import annotations

import threading

import demo_agent
import pytest
from convrec.core.errors import CatalogueError
from convrec.core.recent import Recent
from convrec.tools.catalogue import Catalogue


def test_what_was_used_longest_ago_goes_first() -> None:
    recent: Recent[str, int] = Recent(2)
    recent.put({"a": 1, "b": 2})
    assert recent.get(["a", "x"]) == {"a": 1}
    recent.put({"c": 3})
    assert recent.get(["a", "b", "c"]) == {"a": 1, "c": 3}
    recent.clear()
    assert recent.get(["a", "c"]) == {}


def test_it_never_grows_over_its_limit_under_threads() -> None:
    recent: Recent[int, int] = Recent(50)

    def work(start: int) -> None:
        for n in range(start, start + 500):
            recent.put({n: n})
            recent.get([n - 1, n])

    threads = [threading.Thread(target=work, args=(1000 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = recent.get(range(5000))
    assert len(kept) == 50
    assert all(key == value for key, value in kept.items())


def test_kept_records_are_the_catalogue_s_and_end_with_it() -> None:
    catalogue = Catalogue.open(demo_agent.demo_catalogue().folder)
    first = catalogue.items([3, 1, 3])
    again = catalogue.items([1, 2, 3])
    assert [item.row for item in first] == [3, 1, 3]
    assert [item.row for item in again] == [1, 2, 3]
    assert again[2] == first[0]
    ids = [item.id for item in again]
    assert catalogue.rows_of([*ids, "no such id"]) == [1, 2, 3, None]
    assert catalogue.rows_of(ids[::-1]) == [3, 2, 1]
    catalogue.close()
    with pytest.raises(CatalogueError):
        catalogue.items([1])
    with pytest.raises(CatalogueError):
        catalogue.row_of(ids[0])
