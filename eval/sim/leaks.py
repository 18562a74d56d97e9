"""Whether a simulated user gave its target away: what it said before the agent showed it (arXiv:2403.16416)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from convrec.core.items import Item
from convrec.core.text import fold
from convrec.eval.titles import Spelling, located
from convrec.tools.recommenders.text import content_tokens

WORDS_LEAK = 0.5
"""Share of a title's content words, said by the user, from which the words count as a leak."""


@dataclass(frozen=True, slots=True)
class Leak:
    """``title``: the full title of a target was said. ``words``: largest share, 0..1, of a target title's content words
    that were said. ``ngram``: content words in a row, in the title's order, that were said; the most of any target.
    ``item``: id of the target whose words were said most, "" for none."""

    title: bool = False
    words: float = 0.0
    ngram: int = 0
    item: str = ""

    @property
    def leaked(self) -> bool:
        return self.title or self.words >= WORDS_LEAK


def leak(texts: Sequence[str], targets: Iterable[Item], known: Iterable[Item] = ()) -> Leak:
    """What ``texts``, the user's messages in order, say of the titles of ``targets``.

    Titles of ``known`` items, which the user may name, are set aside first: who loved "Toy Story" has not said
    "Toy Story 2". Case, accents and punctuation do not count. A title without content words ("It") can only leak as a
    title with its year. Words of a wish that happen to be in a title count: a title's words help to find it, whatever
    they were said for.
    """
    wanted = {item.id: item for item in targets}
    named = {f"known {item.id}": item for item in known if item.id not in wanted}
    spellings = {key: [_spelling(item)] for key, item in (wanted | named).items()}
    titles = {item_id for line in located(texts, spellings) for item_id in line if item_id in wanted}
    said = [content_tokens(_without(text, named.values())) for text in texts]
    words = {word for line in said for word in line}
    best = Leak()
    for item in sorted(wanted.values(), key=lambda item: item.id):
        title = content_tokens(fold(item.title))
        share = len(words.intersection(title)) / len(set(title)) if title else 0.0
        found = Leak(item.id in titles, max(share, float(item.id in titles)), _run(title, said), item.id)
        if (found.title, found.words, found.ngram) > (best.title, best.words, best.ngram):
            best = found
    return best


def _spelling(item: Item) -> Spelling:
    return Spelling(item.title, f"{item.title} {item.year}" if item.year is not None else "")


def _without(text: str, items: Iterable[Item]) -> str:
    """The folded text without the titles of ``items``, longest first."""
    line = f" {fold(text)} "
    for title in sorted({fold(item.title) for item in items}, key=lambda t: (-len(t), t)):
        line = line.replace(f" {title} ", "  ")
    return line


def _run(title: Sequence[str], said: Sequence[Sequence[str]]) -> int:
    """Length of the longest run of the title's words that some message has in the same order."""
    for size in range(len(title), 0, -1):
        runs = {tuple(title[i : i + size]) for i in range(len(title) - size + 1)}
        if any(tuple(line[i : i + size]) in runs for line in said for i in range(len(line) - size + 1)):
            return size
    return 0
