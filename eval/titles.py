"""Where a conversation names titles that it is known to name: for data that lists them without saying where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from convrec.core.text import fold
from convrec.tools.recommenders.text import STOPWORDS

_folded = lru_cache(maxsize=20_000)(fold)
"""The texts of a dialogue come again with each of its cases."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """How an item may be typed. ``title``: without the year. ``dated``: with it, or "" when unknown."""

    title: str
    dated: str = ""


def located(texts: Sequence[str], spellings: Mapping[str, Sequence[Spelling]]) -> list[tuple[str, ...]]:
    """For each text the items it names, in order of appearance, without repeats.

    Case, accents and punctuation do not count; words are matched whole. A longer title goes first and takes its words,
    so that "Alien 3" is not "Alien". An item that some text names with its year is looked for with its year only;
    without a year, a title all of whose words are common ("It", "Up") is not looked for. A title that two of the items
    share names both.
    """
    lines = [f" {_folded(text)} " for text in texts]
    dated = _keys(spellings, "dated")
    dated = {key: items for key, items in dated.items() if any(f" {key} " in line for line in lines)}
    done = {item for items in dated.values() for item in items}
    rest = {item: forms for item, forms in spellings.items() if item not in done}
    plain = {key: items for key, items in _keys(rest, "title").items() if not STOPWORDS.issuperset(key.split())}
    keys = dated | {key: dated.get(key, []) + items for key, items in plain.items()}
    longest_first = sorted(keys, key=len, reverse=True)
    return [_named(line, longest_first, keys) for line in lines]


def _keys(spellings: Mapping[str, Sequence[Spelling]], field: str) -> dict[str, list[str]]:
    """The items of each folded spelling."""
    out: dict[str, list[str]] = {}
    for item, forms in spellings.items():
        for key in dict.fromkeys(_folded(getattr(form, field)) for form in forms):
            if key:
                out.setdefault(key, []).append(item)
    return out


def _named(line: str, longest_first: Sequence[str], items: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    found: list[tuple[int, str]] = []
    for key in longest_first:
        start = line.find(f" {key} ")
        while start >= 0:
            found += [(start, item) for item in items[key]]
            # Taken: no shorter title may use these words. The spaces at the ends stay, for the neighbours.
            line = f"{line[: start + 1]}{'_' * len(key)}{line[start + 1 + len(key) :]}"
            start = line.find(f" {key} ", start)
    return tuple(dict.fromkeys(item for _, item in sorted(found, key=lambda pair: pair[0])))
