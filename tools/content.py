"""Content similarity over the catalogue's own fields, and the priors every ranking starts from."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from convrec.core.items import FloatArray
from convrec.tools.catalogue import Catalogue
from convrec.tools.linking_people import fame
from convrec.tools.schema import FieldType, Role
from pydantic import BaseModel, ConfigDict, Field
from scipy import sparse


class ContentConfig(BaseModel):
    """Weights of the fields in the similarity of two items; they need not sum to 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    category: float = Field(1.0, ge=0)
    person: float = Field(0.8, ge=0)
    """Shared by all person fields of the schema."""
    keywords: float = Field(1.0, ge=0)
    language: float = Field(0.15, ge=0)
    country: float = Field(0.15, ge=0)
    year_scale: float = Field(15.0, gt=0)
    """Years at which the nearness of two years has fallen to 1/e."""
    year: float = Field(0.25, ge=0)
    quality_prior_reviews: float = Field(20.0, ge=0)
    """Weight of the mean in the shrunk quality score, in reviews."""


_Field: TypeAlias = tuple[float, sparse.csr_matrix, sparse.csr_matrix]
"""Weight, TF-IDF by item, the same by tag."""


@dataclass(slots=True)
class ContentModel:
    """Item-item similarity from tags (TF-IDF cosine per field, Salton & Buckley 1988) and nearness in time.

    Needs no training; matrices are built once, on first use. Thread-safe.
    """

    catalogue: Catalogue
    config: ContentConfig = field(default_factory=ContentConfig)
    _matrices: list[_Field] | None = field(init=False, default=None)
    _priors: tuple[FloatArray, FloatArray] | None = field(init=False, default=None)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def similar(self, rows: Sequence[int]) -> FloatArray:
        """Similarity of every item to the given ones, float32 (n,), 0..1: half the mean and half the best over rows.

        The mean asks for what the references share, the best keeps an item that is close to one of them.
        """
        n = self.catalogue.size
        if not rows:
            return np.zeros(n, dtype=np.float32)
        per_row = np.zeros((len(rows), n), dtype=np.float32)
        total = 0.0
        for weight, matrix, transposed in self._tag_matrices():
            per_row += weight * np.asarray((matrix[list(rows)] @ transposed).todense(), dtype=np.float32)
            total += weight
        if self.config.year > 0 and (spec := self.catalogue.schema.by_role(Role.YEAR)):
            years = self.catalogue.numeric(spec.name)
            gap = np.abs(years[None, :] - years[list(rows)][:, None])
            per_row += self.config.year * np.nan_to_num(np.exp(-gap / self.config.year_scale), nan=0.0).astype(
                np.float32
            )
            total += self.config.year
        out = 0.5 * per_row.mean(axis=0) + 0.5 * per_row.max(axis=0)
        return np.asarray(out / max(total, 1e-9), dtype=np.float32)

    def fame(self) -> FloatArray:
        """Popularity percentile, float32 (n,), 0..1."""
        return self._prior_arrays()[0]

    def quality(self) -> FloatArray:
        """Quality shrunk to the catalogue's mean where reviews are few, float32 (n,), 0..1; the mean where unknown."""
        return self._prior_arrays()[1]

    def _tag_matrices(self) -> list[_Field]:
        with self._lock:
            if self._matrices is None:
                self._matrices = self._build()
            return self._matrices

    def _build(self) -> list[_Field]:
        weights = {
            Role.CATEGORY: self.config.category,
            Role.KEYWORDS: self.config.keywords,
            Role.LANGUAGE: self.config.language,
            Role.COUNTRY: self.config.country,
        }
        schema = self.catalogue.schema
        people = [spec for spec in schema.people() if spec.type is FieldType.TAGS]
        out: list[_Field] = []
        for spec in schema.fields:
            weight = self.config.person / max(len(people), 1) if spec in people else weights.get(spec.role, 0.0)
            if spec.type is not FieldType.TAGS or weight <= 0:
                continue
            matrix = self.catalogue.tags(spec.name).matrix
            if matrix.nnz == 0:
                continue
            counts = np.asarray(matrix.sum(axis=0)).ravel()
            idf = np.log((1.0 + matrix.shape[0]) / (1.0 + counts))
            scaled = matrix @ sparse.diags(idf)
            norms = np.sqrt(np.asarray(scaled.multiply(scaled).sum(axis=1)).ravel())
            scaled = sparse.diags(1.0 / np.maximum(norms, 1e-9)) @ scaled
            rows = sparse.csr_matrix(scaled, dtype=np.float32)
            out.append((weight, rows, rows.T.tocsr()))  # turned once: each product would do it again
        return out

    def _prior_arrays(self) -> tuple[FloatArray, FloatArray]:
        with self._lock:
            if self._priors is None:
                self._priors = fame(self.catalogue), self._shrunk_quality()
            return self._priors

    def _shrunk_quality(self) -> FloatArray:
        spec, popularity = self.catalogue.schema.by_role(Role.QUALITY), self.catalogue.schema.by_role(Role.POPULARITY)
        if spec is None:
            return np.full(self.catalogue.size, 0.5, dtype=np.float32)
        score = self.catalogue.numeric(spec.name).astype(np.float64)
        low, high = (np.nanmin(score), np.nanmax(score)) if np.isfinite(score).any() else (0.0, 1.0)
        score = (score - low) / max(high - low, 1e-9)
        mean = float(np.nanmean(score)) if np.isfinite(score).any() else 0.5
        count = np.nan_to_num(self.catalogue.numeric(popularity.name), nan=0.0) if popularity else np.ones_like(score)
        count = np.where(np.isfinite(score), count, 0.0)
        weight = count / (count + self.config.quality_prior_reviews)
        return (weight * np.nan_to_num(score, nan=mean) + (1 - weight) * mean).astype(np.float32)
