"""The tables of a catalogue file, and typed conditions compiled to parameterised SQL.

Layout (all in the attached database ``cat``; ``row`` is 0..n-1, in the order of the items' ids):

- ``items(row, id, title, <one column per field>)``: what a record is. A tags field is a VARCHAR[] in the source's
  order; a missing value is NULL (an empty list too), so that "missing" reads a validity mask and nothing else.
- ``tag_<field>(value, row)``, sorted by value, then row: one per tags field. Its zone maps let a test on one value read
  only the few blocks that hold it, which a scan of 1,000,000 lists does not (2 ms against 250 ms for one actor).
- ``texts(row, search_text, aliases)``: wide texts, out of the way of filters.
- ``names(key, norm, kind, row, field, value, strength)``, sorted by key, 64 bits of norm's MD5: folded titles, aliases
  and values, for linking. Looking for numbers spares reading millions of texts.
- ``meta(manifest)``: one JSON document.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import TypeAlias

from convrec.core.errors import CatalogueError
from convrec.tools.predicates import AllOf, AnyOf, Expr, Not, Op, Test, Value
from convrec.tools.schema import FieldSpec, FieldType, Schema

SqlValue: TypeAlias = str | int | float
Compiled: TypeAlias = tuple[str, list[SqlValue]]

DATABASE = "cat"
"""Alias under which the catalogue's file is attached."""
INT64_MAX = 2**63 - 1
SQL_TYPES = {
    FieldType.TEXT: "VARCHAR",
    FieldType.INTEGER: "BIGINT",
    FieldType.NUMBER: "DOUBLE",
    FieldType.TAGS: "VARCHAR[]",
}
_FALSE: Compiled = ("FALSE", [])


def column(spec: FieldSpec) -> str:
    """A field's column in ``items``, quoted. The name comes from a validated schema: letters, digits, underscore."""
    return f'"{spec.name}"'


def tag_table(spec: FieldSpec) -> str:
    """The (value, row) table of a tags field, qualified and quoted."""
    return f'{DATABASE}."tag_{spec.name}"'


def path_literal(path: str) -> str:
    """A path as an SQL string: ATTACH takes no parameters."""
    return "'" + path.replace("'", "''") + "'"


def utf8(text: str) -> bool:
    """Whether the text can be stored; a lone surrogate cannot, hence matches nothing."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def compile_sql(expr: Expr, schema: Schema) -> Compiled:
    """A condition as an SQL expression over ``cat.items`` and its parameters, in order.

    The expression is TRUE or FALSE for every row, never NULL, so that ``Not`` is SQL's NOT and the outcome is that of
    :func:`convrec.tools.predicates.holds`. Field names are only ever taken from ``schema``; values are only ever
    parameters. ``expr`` must have passed :func:`convrec.tools.predicates.check`.

    Raises:
        CatalogueError: ``expr`` names a field the schema has not.
    """
    match expr:
        case AllOf(parts):
            return _join([compile_sql(part, schema) for part in parts], "AND", "TRUE")
        case AnyOf(parts):
            return _any_of(parts, schema)
        case Not(part):
            sql, params = compile_sql(part, schema)
            return f"(NOT {sql})", params
        case Test(name, op, values):
            spec = _spec(schema, name)
            if op is Op.MISSING:
                return f"({column(spec)} IS NULL)", []
            if spec.type is FieldType.TAGS:
                return _tags(spec, op, values)
            if spec.type is FieldType.TEXT:
                return _membership(column(spec), [value for value in values if isinstance(value, str) and utf8(value)])
            return _numeric(spec, op, [value for value in values if not isinstance(value, str)])


def _spec(schema: Schema, name: str) -> FieldSpec:
    spec = schema.field(name)
    if spec is None:
        known = ", ".join(field.name for field in schema.fields)
        raise CatalogueError(f"field {name!r} is not in this catalogue, which has: {known}")
    return spec


def _join(parts: Sequence[Compiled], operator: str, empty: str) -> Compiled:
    if not parts:
        return empty, []
    return "(" + f" {operator} ".join(sql for sql, _ in parts) + ")", [value for _, params in parts for value in params]


def _any_of(parts: Sequence[Expr], schema: Schema) -> Compiled:
    """Tests on tags become one semi-join over the union of their rows: one hash table instead of one per test."""
    selects: list[Compiled] = []
    others: list[Compiled] = []
    for part in parts:
        spec = _spec(schema, part.field) if isinstance(part, Test) else None
        if isinstance(part, Test) and spec is not None and spec.type is FieldType.TAGS and part.op is Op.ANY:
            selects.append(_tag_rows(spec, part.values))
        else:
            others.append(compile_sql(part, schema))
    if selects:
        union = " UNION ALL ".join(sql for sql, _ in selects)
        others.insert(0, (f"(row IN ({union}))", [value for _, params in selects for value in params]))
    return _join(others, "OR", "FALSE")


def _tag_rows(spec: FieldSpec, values: Sequence[Value]) -> Compiled:
    known = [value for value in values if isinstance(value, str) and utf8(value)]
    test, params = _membership("value", known)
    return f"SELECT row FROM {tag_table(spec)} WHERE {test}", params  # noqa: S608


def _tags(spec: FieldSpec, op: Op, values: Sequence[Value]) -> Compiled:
    if op is Op.ANY:
        sql, params = _tag_rows(spec, values)
        return f"(row IN ({sql}))", params
    parts = [_tag_rows(spec, [value]) for value in values]
    return _join([(f"row IN ({sql})", params) for sql, params in parts], "AND", "FALSE")


def _membership(name: str, values: Sequence[SqlValue]) -> Compiled:
    if not values:
        return _FALSE
    marks = ", ".join("?" * len(values))
    return f"({name} IS NOT NULL AND {name} IN ({marks}))", list(values)


def _numeric(spec: FieldSpec, op: Op, values: Sequence[int | float]) -> Compiled:
    """Bounds are brought to the column's own type, so that neither a cast of the column nor rounding gets in."""
    name, integer = column(spec), spec.type is FieldType.INTEGER
    if op is Op.ANY:
        return _membership(name, [exact for value in values if (exact := _exact(value, integer)) is not None])
    bound = _known(values[0])
    if math.isnan(bound):
        return _FALSE  # no number is <= or >= NaN; in SQL it would be the greatest
    if integer and not math.isinf(bound):
        bound = _known(math.floor(bound) if op is Op.LE else math.ceil(bound), INT64_MAX)
    if math.isinf(bound):
        return (f"({name} IS NOT NULL)", []) if (bound > 0) is (op is Op.LE) else _FALSE
    sign = "<=" if op is Op.LE else ">="
    return f"({name} IS NOT NULL AND {name} {sign} ?)", [bound if integer else float(bound)]


def _known(value: int | float, largest: float = sys.float_info.max) -> int | float:
    """Infinity for what lies beyond every number that the column can hold."""
    if abs(value) > largest:
        return math.inf if value > 0 else -math.inf
    return value


def _exact(value: int | float, integer: bool) -> int | float | None:
    """The value in the column's type, None when no stored value can equal it."""
    value = _known(value, INT64_MAX if integer else sys.float_info.max)
    if not math.isfinite(value):
        return None
    same = int(value) if integer else float(value)
    return same if same == value else None
