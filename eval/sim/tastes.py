"""Who is simulated: what a user may speak of, and what they would take, kept apart.

A :class:`Taste` has two halves. :class:`Known` is what the user can put into words; it is all that a target-free
simulator is ever given. ``targets`` are the items the user would take; only the judge (``dialogue``) and the
target-aware simulators see them. So a target-free simulator cannot leak what it was never told (arXiv:2403.16416).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from convrec.core.errors import RequestError
from convrec.core.items import BoolArray, Item, RowArray
from convrec.tools.catalogue import Catalogue
from convrec.tools.predicates import AllOf, Expr, Not, Op, Test
from convrec.tools.schema import FieldType, Role

if TYPE_CHECKING:
    from scipy.sparse import csc_matrix

WishKind: TypeAlias = Literal["is", "not", "from", "to"]

MIN_TARGETS, MAX_TARGETS = 3, 60
"""Items that fit a self-made taste: enough for one to be found, few enough that a list does not hit them by chance."""
KNOWN_ENOUGH = 0.6
"""Popularity percentile from which an item may be what a taste starts from: people talk of what is known."""
MAX_ANCHORS = 5000
MIN_OF_PERSON = 4
"""Items a person must have to be asked for."""
ROUND_MINUTES = 30
_TRIES = 200


@dataclass(frozen=True, slots=True)
class Wish:
    """One thing wanted of an item: a tag ("is", "not") or a bound of a number ("from", "to", both inclusive)."""

    field: str
    kind: WishKind
    value: str | int

    def expr(self) -> Expr:
        match self.kind:
            case "is":
                return Test(self.field, Op.ANY, (str(self.value),))
            case "not":
                return Not(Test(self.field, Op.ANY, (str(self.value),)))
            case "from":
                return Test(self.field, Op.GE, (int(self.value),))
            case "to":
                return Test(self.field, Op.LE, (int(self.value),))


@dataclass(frozen=True, slots=True)
class Known:
    """What a user may speak of. Items are records of the catalogue."""

    liked: tuple[Item, ...] = ()
    disliked: tuple[Item, ...] = ()
    seen: tuple[Item, ...] = ()
    """Seen without an opinion. Not volunteered; recognised when recommended."""
    wishes: tuple[Wish, ...] = ()
    """In the order in which they are told."""
    phrases: tuple[str, ...] = ()
    """The user's own words, from a recorded dialogue; no target is named in them."""
    slips: tuple[Wish, ...] = ()
    """Wishes the user does not really have: said and taken back by someone who changes their mind."""


@dataclass(frozen=True, slots=True)
class Taste:
    """One simulated user. ``targets``: ids of the items the user would take, none of which is in ``known``."""

    id: str
    source: str
    known: Known
    targets: frozenset[str]
    unsaid: tuple[Wish, ...] = field(default=())
    """What the user wants and never says, for the report; the targets fulfil it."""


def demo_tastes(catalogue: Catalogue, n: int, seed: int) -> list[Taste]:
    """Self-made tastes over any catalogue with categories: no data set needed.

    A taste starts from a well-known item: two to four of its properties are the wishes, told one by one, one or none
    is kept to oneself. All items that fulfil everything are what the user likes; up to two of them are known to the
    user and named, some well-known ones are seen already, the rest are the targets. The same arguments give the same
    tastes, and the first n are the same for every larger n.

    Raises:
        RequestError: the catalogue has no categories or nothing that could be asked for.
    """
    maker = _Maker(catalogue)
    return [maker.taste(index, seed) for index in range(n)]


class _Maker:
    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        schema = catalogue.schema
        category = schema.by_role(Role.CATEGORY)
        if category is None or category.type is not FieldType.TAGS:
            raise RequestError("source", "demo", f"Catalogue {catalogue.name!r} has no categories to make tastes of.")
        self.category = category.name
        self._columns: dict[str, tuple[dict[str, int], csc_matrix]] = {}
        self.categories = [value for value, _ in catalogue.common_values(self.category, 12)]
        popularity = schema.by_role(Role.POPULARITY)
        known = np.nan_to_num(catalogue.numeric(popularity.name), nan=-1.0) if popularity else np.zeros(catalogue.size)
        order = np.lexsort((np.arange(catalogue.size), known))
        self.fame = np.empty(catalogue.size)
        self.fame[order] = np.arange(catalogue.size) / max(catalogue.size - 1, 1)
        anchors = np.flatnonzero(self.fame >= KNOWN_ENOUGH).astype(np.int32)
        if not anchors.size:
            raise RequestError("source", "demo", f"Catalogue {catalogue.name!r} has no items.")
        self.anchors = anchors[:: -(-anchors.size // MAX_ANCHORS)]
        self.records = {item.row: item for item in catalogue.items(self.anchors)}  # one by one takes 3 ms each
        self.ids = catalogue.text_column("id")

    def taste(self, index: int, seed: int) -> Taste:
        rng = np.random.default_rng([seed, index])
        for _ in range(_TRIES):
            anchor = self.records[int(rng.choice(self.anchors))]
            made = self._of(anchor, rng)
            if made is not None:
                known, targets, unsaid = made
                return Taste(f"demo-{seed}-{index:05d}", "demo", known, targets, unsaid)
        raise RequestError(
            "source", "demo", f"Of {_TRIES} items of {self.catalogue.name!r} none has {MIN_TARGETS} others like it."
        )

    def _of(self, anchor: Item, rng: np.random.Generator) -> tuple[Known, frozenset[str], tuple[Wish, ...]] | None:
        genres = anchor.tags(self.category)
        if not genres:
            return None
        wishes = [Wish(self.category, "is", str(rng.choice(genres)))]
        rows = self._rows(wishes)
        options = self._options(anchor, wishes[0], rng)
        for option in options:
            if len(wishes) >= 4 or (len(wishes) >= 2 and len(rows) <= MAX_TARGETS):
                break
            narrowed = self._rows([*wishes, *option])
            if MIN_TARGETS + 2 <= len(narrowed) < len(rows):
                wishes += option
                rows = narrowed
        if len(wishes) < 2 or not MIN_TARGETS + 2 <= len(rows) <= 4 * MAX_TARGETS:
            return None
        unsaid = self._unsaid(wishes, rows, rng)
        if unsaid:
            rows = self._rows([*wishes, *unsaid])
        if not MIN_TARGETS + 2 <= len(rows) <= MAX_TARGETS:
            return None
        by_fame = [int(row) for row in sorted(rows.tolist(), key=lambda row: (-self.fame[row], row))]
        liked = by_fame[: int(rng.integers(1, 3))]
        left = by_fame[len(liked) :]
        seen = [row for row in left[: len(left) // 2] if rng.random() < 0.25]
        targets = [row for row in left if row not in set(seen)]
        if len(targets) < MIN_TARGETS:
            return None
        wanted = {str(wish.value) for wish in [*wishes, *unsaid]}
        others = [value for value in self.categories if value not in genres and value not in wanted]
        slips = tuple(Wish(self.category, "is", str(v)) for v in rng.permutation(others)[:2])
        known = Known(
            liked=tuple(self.catalogue.items(liked)),
            seen=tuple(self.catalogue.items(seen)),
            disliked=self._disliked(wishes, rng),
            wishes=tuple(wishes),
            slips=slips,
        )
        return known, frozenset(str(self.ids[row]) for row in targets), tuple(unsaid)

    def _options(self, anchor: Item, first: Wish, rng: np.random.Generator) -> list[list[Wish]]:
        """What else may be asked for, in random order; a list of two is said in one breath (a decade)."""
        schema, out = self.catalogue.schema, []
        if (spec := schema.by_role(Role.YEAR)) and anchor.year is not None:
            decade = anchor.year // 10 * 10
            out.append([Wish(spec.name, "from", decade), Wish(spec.name, "to", decade + 9)])
        for spec in schema.people():
            names = [name for name in anchor.tags(spec.name) if self._many(spec.name, name)]
            if names:
                out.append([Wish(spec.name, "is", str(rng.choice(names)))])
        others = [value for value in anchor.tags(self.category) if value != first.value]
        if others:
            out.append([Wish(self.category, "is", str(rng.choice(others)))])
        if (spec := schema.by_role(Role.DURATION)) and (minutes := anchor.number(spec.name)):
            out.append([Wish(spec.name, "to", int(-(-minutes // ROUND_MINUTES)) * ROUND_MINUTES)])
        if (spec := schema.by_role(Role.COUNTRY)) and spec.type is FieldType.TAGS and anchor.tags(spec.name):
            out.append([Wish(spec.name, "is", anchor.tags(spec.name)[0])])
        return [out[i] for i in rng.permutation(len(out))]

    def _unsaid(self, wishes: Sequence[Wish], rows: RowArray, rng: np.random.Generator) -> list[Wish]:
        """A category the user would rather not have, or nothing: half of the users keep something to themselves."""
        if rng.random() < 0.5:
            return []
        matrix = self.catalogue.tags(self.category)
        share = np.asarray(matrix.matrix[rows].mean(axis=0)).ravel()
        wanted = {str(wish.value) for wish in wishes}
        common = [
            value
            for value, part in zip(matrix.vocabulary, share.tolist(), strict=True)
            if 0.15 <= part <= 0.6 and value not in wanted
        ]
        return [Wish(self.category, "not", str(rng.choice(common)))] if common else []

    def _disliked(self, wishes: Sequence[Wish], rng: np.random.Generator) -> tuple[Item, ...]:
        """A well-known item of quite another kind, for half of the users."""
        if rng.random() < 0.5:
            return ()
        wanted = {str(wish.value) for wish in wishes}
        for row in rng.choice(self.anchors, size=20):
            item = self.records[int(row)]
            if item.tags(self.category) and wanted.isdisjoint(item.tags(self.category)):
                return (item,)
        return ()

    def _many(self, name: str, value: str) -> bool:
        return int(self._mask(Wish(name, "is", value)).sum()) >= MIN_OF_PERSON

    def _rows(self, wishes: Sequence[Wish]) -> RowArray:
        """As :func:`fulfilling`, on arrays: a thousand tastes ask a hundred thousand times."""
        return np.flatnonzero(np.logical_and.reduce([self._mask(wish) for wish in wishes])).astype(np.int32)

    def _mask(self, wish: Wish) -> BoolArray:
        if wish.kind in ("from", "to"):
            numbers = self.catalogue.numeric(wish.field)
            return numbers >= int(wish.value) if wish.kind == "from" else numbers <= int(wish.value)
        if wish.field not in self._columns:
            tags = self.catalogue.tags(wish.field)
            self._columns[wish.field] = {value: i for i, value in enumerate(tags.vocabulary)}, tags.matrix.tocsc()
        at, matrix = self._columns[wish.field]
        has = np.zeros(self.catalogue.size, dtype=np.bool_)
        column = at[str(wish.value)]
        has[matrix.indices[matrix.indptr[column] : matrix.indptr[column + 1]]] = True
        return has if wish.kind == "is" else ~has


def fulfilling(catalogue: Catalogue, wishes: Sequence[Wish]) -> RowArray:
    """The rows that fulfil all of ``wishes``; a missing value fulfils nothing but "not"."""
    return catalogue.rows(AllOf(tuple(wish.expr() for wish in wishes)) if wishes else None)


def digest(tastes: Sequence[Taste]) -> str:
    """SHA-256 over what makes the tastes: in a run's config it says that two runs met the same users."""
    told = hashlib.sha256()
    for taste in tastes:
        known = taste.known
        parts = [
            taste.id,
            *(item.id for items in (known.liked, known.disliked, known.seen) for item in items),
            *(f"{w.field} {w.kind} {w.value}" for w in (*known.wishes, *known.slips, *taste.unsaid)),
            *known.phrases,
            *sorted(taste.targets),
        ]
        told.update("\x1f".join(parts).encode() + b"\x1e")
    return told.hexdigest()
