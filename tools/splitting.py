"""How well a question about one field would split the candidates: expected entropy reduction, after decision-tree
recommenders (Zhou et al., WSDM 2011) and SCPR (arXiv 2007.00194).

A person who has item *i* in mind answers with one of its values, each as likely as another. The information of the
answer is then H(answer) - sum of p(i) log2(values of i), in bits; items whose value is not on record tell nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from convrec.core.items import FloatArray, RowArray
from convrec.tools.catalogue import Catalogue
from convrec.tools.predicates import AllOf, Condition, Expr, Op, Test
from convrec.tools.schema import FieldSpec, FieldType, Role
from scipy import sparse

ANSWERABLE = {
    Role.CATEGORY: 1.0,
    Role.YEAR: 0.8,
    Role.COUNTRY: 0.5,
    Role.LANGUAGE: 0.5,
    Role.DURATION: 0.6,
    Role.CERTIFICATE: 0.4,
}
"""How often people have a preference there, 0..1, relative to categories; set by hand. Fields that can be asked for."""
SHORT, LONG = 90, 120
"""Running times, minutes: what people call short and long."""
PREVALENT = 0.95
"""A value that so many candidates share splits nothing."""


@dataclass(frozen=True, slots=True)
class Facet:
    """One field as a question: which answers each item allows."""

    spec: FieldSpec
    slot: str
    """Of the conditions an answer makes."""
    answers: tuple[Condition, ...]
    shares: sparse.csr_matrix
    """float32 (n_items, n_answers): 1 / (values of the item) where it has the value; empty rows are not on record."""
    spread: FloatArray
    """log2 of the number of values of each item, float32 (n_items,); 0 where none."""


@dataclass(frozen=True, slots=True)
class Split:
    """What asking about one field would bring."""

    facet: Facet
    bits: float
    """Expected entropy reduction times how likely people are to have an answer."""
    common: tuple[int, ...]
    """The answers in question, most likely first."""


@dataclass(slots=True)
class Splitter:
    """Facets of one catalogue, made on first use. Thread-safe."""

    catalogue: Catalogue
    _facets: list[Facet] | None = field(init=False, default=None)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def facets(self) -> list[Facet]:
        with self._lock:
            if self._facets is None:
                made = [_facet(self.catalogue, spec) for spec in self.catalogue.schema.fields]
                self._facets = [facet for facet in made if facet is not None]
            return self._facets

    def splits(self, rows: RowArray, weights: FloatArray) -> list[Split]:
        """Every facet over the candidates ``rows``, best first. ``weights``: how likely each is, float (len(rows),),
        summing to 1. Facets without two answers are left out."""
        out = []
        for facet in self.facets():
            mass = np.asarray(facet.shares[rows].T @ weights, dtype=np.float64).ravel()
            common = [int(i) for i in np.argsort(-mass, kind="stable") if mass[i] > 0]
            if len(common) < 2 or mass[common[0]] > PREVALENT * mass.sum():
                continue
            share = mass / mass.sum()
            present = share[share > 0]
            known = float(mass.sum())
            bits = known * float(-(present * np.log2(present)).sum()) - float(facet.spread[rows] @ weights)
            out.append(Split(facet, ANSWERABLE[facet.spec.role] * max(bits, 0.0), tuple(common)))
        return sorted(out, key=lambda split: -split.bits)


def likelihood(scores: FloatArray, temperature: float) -> FloatArray:
    """Softmax of ranking scores, float64 (n,), summing to 1: how likely each candidate is the one wanted."""
    shifted = np.exp((scores.astype(np.float64) - scores.max()) / temperature)
    return np.asarray(shifted / shifted.sum())


def entropy(weights: FloatArray) -> float:
    """Shannon entropy, bits, of what sums to 1."""
    present = weights[weights > 0]
    return float(-(present * np.log2(present)).sum())


def _facet(catalogue: Catalogue, spec: FieldSpec) -> Facet | None:
    if spec.role not in ANSWERABLE:
        return None
    if spec.role is Role.LANGUAGE and (country := catalogue.schema.by_role(Role.COUNTRY)) is not None:
        return None if catalogue.tags(country.name).matrix.nnz else _tags(catalogue, spec)
    if spec.type is FieldType.TAGS:
        return _tags(catalogue, spec)
    if spec.role is Role.YEAR:
        return _decades(catalogue, spec)
    if spec.role is Role.DURATION and spec.unit == "minutes":
        return _lengths(catalogue, spec)
    if spec.role is Role.CERTIFICATE and spec.ordered:
        texts = catalogue.text_column(spec.name)
        place = {value: n for n, value in enumerate(spec.ordered)}
        codes = np.array([place.get(text or "", -1) for text in texts], dtype=np.int64)
        return _coded(spec, codes, [_is(spec, value, f"rated {value}") for value in spec.ordered])
    return None


def _tags(catalogue: Catalogue, spec: FieldSpec) -> Facet | None:
    tags = catalogue.tags(spec.name)
    if not tags.matrix.nnz:
        return None
    counts = np.diff(tags.matrix.indptr)
    shares = sparse.csr_matrix(
        (np.repeat(1.0 / np.maximum(counts, 1), counts).astype(np.float32), tags.matrix.indices, tags.matrix.indptr),
        shape=tags.matrix.shape,
    )
    place = spec.role in (Role.COUNTRY, Role.LANGUAGE)
    label = "from {}" if spec.role is Role.COUNTRY else "in {}"
    answers = [_is(spec, v, label.format(v) if place else v.lower()) for v in tags.vocabulary]
    spread = np.log2(np.maximum(counts, 1)).astype(np.float32)
    return Facet(spec, answers[0].slot, tuple(answers), shares, spread)


def _is(spec: FieldSpec, value: str, label: str) -> Condition:
    slot = "origin" if spec.role in (Role.COUNTRY, Role.LANGUAGE) else spec.name
    return Condition(Test(spec.name, Op.ANY, (value,)), label, slot)


def _between(spec: FieldSpec, label: str, low: int | None, high: int | None) -> Condition:
    parts: list[Expr] = []
    if low is not None:
        parts.append(Test(spec.name, Op.GE, (low,)))
    if high is not None:
        parts.append(Test(spec.name, Op.LE, (high,)))
    return Condition(parts[0] if len(parts) == 1 else AllOf(tuple(parts)), label, spec.name)


def _decades(catalogue: Catalogue, spec: FieldSpec) -> Facet | None:
    years = catalogue.numeric(spec.name)
    known = np.isfinite(years)
    if not known.any():
        return None
    starts = np.unique((years[known] // 10).astype(np.int64) * 10)
    codes = np.full(len(years), -1, dtype=np.int64)
    codes[known] = np.searchsorted(starts, (years[known] // 10).astype(np.int64) * 10)
    return _coded(spec, codes, [_between(spec, f"from the {d}s", int(d), int(d) + 9) for d in starts])


def _lengths(catalogue: Catalogue, spec: FieldSpec) -> Facet | None:
    minutes = catalogue.numeric(spec.name)
    codes = np.where(np.isfinite(minutes), np.digitize(np.nan_to_num(minutes), [SHORT, LONG + 1]), -1)
    answers = [
        _between(spec, f"under {SHORT} minutes", None, SHORT - 1),
        _between(spec, f"{SHORT} to {LONG} minutes", SHORT, LONG),
        _between(spec, f"over {LONG} minutes", LONG + 1, None),
    ]
    return _coded(spec, codes, answers)


def _coded(spec: FieldSpec, codes: np.ndarray, answers: Sequence[Condition]) -> Facet | None:
    """A facet of a field with one value an item; code -1: not on record."""
    rows = np.flatnonzero(codes >= 0)
    if not len(rows):
        return None
    ones = np.ones(len(rows), dtype=np.float32)
    shares = sparse.csr_matrix((ones, (rows, codes[rows])), shape=(len(codes), len(answers)))
    return Facet(spec, answers[0].slot, tuple(answers), shares, np.zeros(len(codes), dtype=np.float32))
