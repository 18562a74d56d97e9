"""``/v1/items``: the catalogue as data."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from convrec.core.errors import RequestError
from convrec.core.items import Item
from convrec.core.text import fold
from convrec.serve.api import schemas
from convrec.serve.api.answers import ERRORS
from convrec.serve.api.constraints import Constraint, all_of, conditions
from convrec.serve.api.context import Api, caller_with
from convrec.serve.api.identity import WholeText
from convrec.serve.keys import Scope
from convrec.tools.catalogue import Catalogue
from convrec.tools.schema import Role
from fastapi import APIRouter, HTTPException, Path, Query
from pydantic import BaseModel, ConfigDict, Field

MAX_PAGE = 100
_NAMED, _STARTS, _WORDS, _INSIDE = 3.0, 2.0, 1.0, 0.0


class ItemQuery(BaseModel):
    """What to look for in the catalogue: words of the title, conditions, or both."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"q": "murder", "constraints": [{"field": "year", "op": "ge", "values": [2000]}], "limit": 5}]
        },
    )

    q: WholeText = Field("", max_length=200, description="part of a title; accents and case do not matter")
    constraints: list[Constraint] = Field(default_factory=list, max_length=20)
    limit: int = Field(20, ge=1, le=MAX_PAGE)
    offset: int = Field(0, ge=0, le=10_000_000)


def item_routes(api: Api) -> APIRouter:
    """Search and look-up over the catalogue of ``api``."""
    router = APIRouter(prefix="/v1", tags=["items"], responses=ERRORS, dependencies=[caller_with(api, Scope.ITEMS)])
    catalogue = api.agent.catalogue

    @router.get("/items", summary="Items by words of their title, best match first, then best known")
    def search(
        q: Annotated[str, Query(max_length=200, description="part of a title; accents and case do not matter")] = "",
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 20,
        offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    ) -> schemas.ItemPage:
        return _search(catalogue, ItemQuery(q=q, limit=limit, offset=offset))

    @router.post("/items/search", summary="Items by words of their title and typed conditions")
    def search_typed(body: ItemQuery) -> schemas.ItemPage:
        return _search(catalogue, body)

    @router.get("/items/fields", summary="The fields that constraints may name")
    def fields() -> schemas.FieldList:
        found = [
            schemas.FieldInfo(name=f.name, type=f.type.value, role=f.role.value, unit=f.unit)
            for f in catalogue.schema.fields
        ]
        return schemas.FieldList(catalogue=api.agent.info.catalogue, data=found)

    @router.get("/items/{item_id:path}", summary="One item's record")
    def item(item_id: Annotated[str, Path(description="the item's id", max_length=500)]) -> schemas.ItemRecord:
        row = catalogue.row_of(item_id)
        if row is None:
            raise HTTPException(404, f"no item {item_id[:100]!r} in the catalogue {api.agent.info.catalogue!r}")
        return _record(catalogue.item(row))

    return router


def checked_items(catalogue: Catalogue, ids: list[str], field: str) -> list[str]:
    """Those ids, once each.

    Raises:
        RequestError: the catalogue has not all of them.
    """
    wanted = list(dict.fromkeys(ids))
    for item_id, row in zip(wanted, catalogue.rows_of(wanted), strict=True):
        if row is None:
            raise RequestError(field, item_id, "This catalogue has no such item; find ids with GET /v1/items?q=...")
    return wanted


def _search(catalogue: Catalogue, query: ItemQuery) -> schemas.ItemPage:
    expr = all_of(conditions(query.constraints, catalogue))
    match = np.full(catalogue.size, -1.0 if query.q.strip() else 0.0)
    words = fold(query.q)
    if words:
        norms, rows = catalogue.title_norms()
        for norm, row in zip(norms, rows.tolist(), strict=True):
            if words in norm and (how := _how(words, norm)) > match[row] - 1e-9:
                match[row] = how
    allowed = np.zeros(catalogue.size, dtype=np.bool_)
    allowed[catalogue.rows(expr)] = True
    rows_found = np.flatnonzero(allowed & (match >= 0))
    spec = catalogue.schema.by_role(Role.POPULARITY)
    known = np.nan_to_num(catalogue.numeric(spec.name), nan=-1.0) if spec else np.zeros(catalogue.size)
    order = np.lexsort((rows_found, -known[rows_found], -match[rows_found]))
    page = rows_found[order][query.offset : query.offset + query.limit]
    data = [_record(item) for item in catalogue.items([int(row) for row in page])]
    return schemas.ItemPage(total=len(rows_found), offset=query.offset, data=data)


def _how(words: str, norm: str) -> float:
    if norm == words:
        return _NAMED
    if norm.startswith(words + " "):
        return _STARTS
    return _WORDS if f" {words} " in f" {norm} " else _INSIDE


def _record(item: Item) -> schemas.ItemRecord:
    fields: dict[str, schemas.FieldValue] = {}
    for name, value in item.fields.items():
        if value is not None and value != ():
            fields[name] = list(value) if isinstance(value, tuple) else value
    return schemas.ItemRecord(id=item.id, title=item.title, year=item.year, fields=fields)
