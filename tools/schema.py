"""What the columns of a catalogue are and what they mean.

The agent never speaks of "genres" or "runtime" by name: it asks the schema for the field that plays a role. A catalogue
of games, books or restaurants is another schema, not another program.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cached_property

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
RESERVED = frozenset({"row", "id", "title", "aliases", "search_text"})


class FieldType(StrEnum):
    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    TAGS = "tags"
    """Several short values, e.g. genres or people."""


class Role(StrEnum):
    """What a field means to the agent. At most one field per role, but for PERSON."""

    YEAR = "year"
    DURATION = "duration"
    CATEGORY = "category"
    PERSON = "person"
    LANGUAGE = "language"
    COUNTRY = "country"
    CERTIFICATE = "certificate"
    POPULARITY = "popularity"
    QUALITY = "quality"
    DESCRIPTION = "description"
    KEYWORDS = "keywords"
    OTHER = "other"


_NUMERIC = (FieldType.INTEGER, FieldType.NUMBER)
_TYPES_OF_ROLE: dict[Role, tuple[FieldType, ...]] = {
    Role.YEAR: _NUMERIC,
    Role.DURATION: _NUMERIC,
    Role.POPULARITY: _NUMERIC,
    Role.QUALITY: _NUMERIC,
    Role.CATEGORY: (FieldType.TAGS,),
    Role.PERSON: (FieldType.TAGS,),
    Role.LANGUAGE: (FieldType.TAGS,),
    Role.COUNTRY: (FieldType.TAGS,),
    Role.KEYWORDS: (FieldType.TAGS,),
    Role.CERTIFICATE: (FieldType.TEXT,),
    Role.DESCRIPTION: (FieldType.TEXT,),
}


class FieldSpec(BaseModel):
    """One typed column."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    type: FieldType
    role: Role = Role.OTHER
    label: str = ""
    """How a person would say it: "directed by", "running time"."""
    unit: str = ""
    ordered: tuple[str, ...] = ()
    """For a text field with an order, mildest first: ("G", "PG", "PG-13", "R")."""
    searchable: bool = True
    """Whether its words go into the search text."""

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name) or name in RESERVED:
            raise ValueError(
                f"field name {name!r} must be lower case letters, digits and '_' (at most 40), start with a letter, "
                f"and be none of {', '.join(sorted(RESERVED))}"
            )
        return name

    @property
    def spoken(self) -> str:
        return self.label or self.name.replace("_", " ")


class Schema(BaseModel):
    """The typed columns of one catalogue, beside ``id``, ``title``, ``aliases`` and ``search_text``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    item_noun: str = "item"
    item_noun_plural: str = "items"
    fields: tuple[FieldSpec, ...]

    @model_validator(mode="after")
    def _unique(self) -> Schema:
        names = [field.name for field in self.fields]
        if len(set(names)) != len(names):
            raise ValueError(f"field names must differ, got {names}")
        for spec in self.fields:
            wanted = _TYPES_OF_ROLE.get(spec.role)
            if wanted and spec.type not in wanted:
                fitting = " or ".join(t.value for t in wanted)
                raise ValueError(
                    f"field {spec.name!r}: role {spec.role.value} needs type {fitting}, got {spec.type.value}"
                )
        single = [f.role for f in self.fields if f.role not in (Role.PERSON, Role.OTHER)]
        if len(set(single)) != len(single):
            raise ValueError(f"a role may be given once (but person and other), got {single}")
        return self

    def field(self, name: str) -> FieldSpec | None:
        return next((field for field in self.fields if field.name == name), None)

    def by_role(self, role: Role) -> FieldSpec | None:
        """The first field with that role, None when the catalogue has none."""
        return next((field for field in self.fields if field.role is role), None)

    def people(self) -> tuple[FieldSpec, ...]:
        return self._people

    @cached_property
    def _people(self) -> tuple[FieldSpec, ...]:
        return tuple(field for field in self.fields if field.role is Role.PERSON)


FILM_SCHEMA = Schema(
    item_noun="film",
    item_noun_plural="films",
    fields=(
        FieldSpec(name="year", type=FieldType.INTEGER, role=Role.YEAR, label="year"),
        FieldSpec(name="runtime", type=FieldType.INTEGER, role=Role.DURATION, label="running time", unit="minutes"),
        FieldSpec(
            name="certificate",
            type=FieldType.TEXT,
            role=Role.CERTIFICATE,
            label="rated",
            ordered=("G", "PG", "PG-13", "R", "NC-17"),
        ),
        FieldSpec(name="genres", type=FieldType.TAGS, role=Role.CATEGORY, label="genre"),
        FieldSpec(name="directors", type=FieldType.TAGS, role=Role.PERSON, label="directed by"),
        FieldSpec(name="writers", type=FieldType.TAGS, role=Role.PERSON, label="written by"),
        FieldSpec(name="cast", type=FieldType.TAGS, role=Role.PERSON, label="with"),
        FieldSpec(name="languages", type=FieldType.TAGS, role=Role.LANGUAGE, label="language"),
        FieldSpec(name="countries", type=FieldType.TAGS, role=Role.COUNTRY, label="country"),
        FieldSpec(name="critics_score", type=FieldType.INTEGER, role=Role.QUALITY, label="critics' score", unit="%"),
        FieldSpec(name="reviews", type=FieldType.INTEGER, role=Role.POPULARITY, label="critics' reviews"),
        FieldSpec(name="plot", type=FieldType.TEXT, role=Role.DESCRIPTION, label="plot"),
        FieldSpec(name="keywords", type=FieldType.TAGS, role=Role.KEYWORDS, label="keywords"),
    ),
)
"""The default schema. Fields a catalogue does not fill stay empty."""
