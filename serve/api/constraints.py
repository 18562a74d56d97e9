"""Typed conditions as the API takes them, turned into those the tools know."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

from convrec.core.errors import RequestError, ToolRetry
from convrec.core.text import fold
from convrec.serve.api.identity import WholeText
from convrec.tools.catalogue import Catalogue
from convrec.tools.predicates import AllOf, Condition, Expr, Not, Op, Test, Value, check
from convrec.tools.schema import FieldType
from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StringConstraints

_LARGEST = 1e15
"""Numbers beyond it are no year, length, score or count of anything."""
Word = Annotated[WholeText, StringConstraints(min_length=1, max_length=200)]
_SAID = {Op.ANY: "", Op.ALL: "all of ", Op.LE: "at most ", Op.GE: "at least "}


class Constraint(BaseModel):
    """A hard condition on a field of the catalogue; ``GET /v1/items/fields`` lists them."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"field": "year", "op": "ge", "values": [1990]},
                {"field": "genres", "op": "any", "values": ["Horror"], "negate": True},
            ]
        },
    )

    field: WholeText = Field(min_length=1, max_length=40)
    op: Literal["any", "all", "ge", "le", "missing"] = Field(
        "any", description="any/all: one/all of `values`; ge/le: at least/at most the one value; missing: not on record"
    )
    values: list[Word | StrictInt | StrictFloat] = Field(default_factory=list, max_length=50)
    negate: bool = Field(False, description="the opposite")

    def condition(self, catalogue: Catalogue, where: str) -> Condition:
        """What the tools filter by. It is never relaxed.

        Raises:
            RequestError: no such field, an operator that does not fit it, or a value the catalogue has not.
        """
        spec = catalogue.schema.field(self.field)
        if spec is None:
            known = ", ".join(f.name for f in catalogue.schema.fields)
            raise RequestError(f"{where}.field", self.field, f"This catalogue has: {known}")
        op = Op(self.op)
        values = tuple(self._value(value, where) for value in self.values)
        if op in (Op.ANY, Op.ALL) and spec.type in (FieldType.TAGS, FieldType.TEXT):
            values = tuple(_spelled(catalogue, self.field, value, where) for value in values)
        expr: Expr = Test(self.field, op, values)
        try:
            check(expr, catalogue.schema)
        except ToolRetry as error:
            raise RequestError(where, self.model_dump(), f"{error}.") from error
        words = "not on record" if op is Op.MISSING else f"{_SAID[op]}{', '.join(map(str, values))}"
        label = f"{'not ' if self.negate else ''}{self.field}: {words}"
        expr = Not(expr) if self.negate else expr
        return Condition(expr, label, self.field, negative=self.negate, said=words, standing=True)

    def _value(self, value: Value, where: str) -> Value:
        if not isinstance(value, str) and (not math.isfinite(value) or abs(value) > _LARGEST):
            raise RequestError(f"{where}.values", value, f"Give a number within ±{_LARGEST:.0e}")
        return value


def conditions(given: Sequence[Constraint], catalogue: Catalogue, name: str = "constraints") -> list[Condition]:
    """All of them."""
    return [constraint.condition(catalogue, f"{name}[{i}]") for i, constraint in enumerate(given)]


def all_of(found: Sequence[Condition]) -> Expr | None:
    """One expression, None for none."""
    return AllOf(tuple(c.expr for c in found)) if found else None


def _spelled(catalogue: Catalogue, field: str, value: Value, where: str) -> Value:
    """A value in the catalogue's own spelling."""
    if not isinstance(value, str):
        return value
    norms, values = catalogue.value_norms(field)
    wanted = fold(value)
    for norm, spelled in zip(norms, values, strict=True):
        if norm == wanted:
            return spelled
    common = ", ".join(repr(v) for v, _ in catalogue.common_values(field, 8))
    raise RequestError(f"{where}.values", value, f"No item has it in {field!r}. Common ones: {common}")
