"""The labelled requests: their form, where they are, which split each belongs to, and whether they are sound.

One request per line of ``data/requests.jsonl`` (halves "dev" and "heldout") and of ``data/practice.jsonl`` (split
"practice": more requests for working with, written after the rules were first measured). Labels say what the user
means, not what the agent can read; those of each file were written before any reading was measured on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from typing import Literal, TypeAlias

from convrec.core.errors import DataError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

Intent: TypeAlias = Literal["recommend", "lookup", "feedback", "profile", "forget", "why", "chat"]
Split: TypeAlias = Literal["dev", "heldout", "practice"]
SPLITS: tuple[Split, ...] = ("dev", "heldout", "practice")
FILE = "requests.jsonl"
PRACTICE_FILE = "practice.jsonl"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Slots(_Strict):
    """What one message says. In lists of names "A|B" means either of both; all entries of a list are meant.

    Titles are labels of the demo catalogue ("Heat (1995)"), people and categories its spellings.
    """

    genres: tuple[str, ...] = ()
    """Asked for without a reservation: hard."""
    prefer: tuple[str, ...] = ()
    """Asked for as a preference ("maybe", "ideally"): soft."""
    kinds: tuple[str, ...] = ()
    """Asked for; whether as a condition or a preference is a matter of taste ("something funny")."""
    not_genres: tuple[str, ...] = ()
    year_min: int | None = None
    year_max: int | None = None
    not_years: tuple[str, ...] = ()
    """"1980-1989"."""
    runtime_min: int | None = None
    """Minutes; "under two hours" is runtime_max 120."""
    runtime_max: int | None = None
    people: tuple[str, ...] = ()
    """In any role."""
    directors: tuple[str, ...] = ()
    cast: tuple[str, ...] = ()
    writers: tuple[str, ...] = ()
    not_people: tuple[str, ...] = ()
    origin: tuple[str, ...] = ()
    """Languages and countries: "French|France" holds for a film in French or of France."""
    not_origin: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    """All that will do."""
    not_certificates: tuple[str, ...] = ()
    audience: Literal["kids"] | None = None
    score_min: int | None = None
    quality: Literal["acclaimed", "popular", "hidden"] | None = None
    critique: tuple[Literal["older", "newer", "shorter", "longer", "less_violent", "funnier"], ...] = ()
    """Relative to what was named or shown."""
    liked: tuple[str, ...] = ()
    """Liked, or to be similar to."""
    disliked: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    about: tuple[str, ...] = ()
    """What a look-up or a "why" is about."""
    unknown: tuple[str, ...] = ()
    """Titles meant that the catalogue lacks."""
    unclear: bool = False
    """It points at something that is not there ("number nine" of five)."""
    asked: tuple[str, ...] = ()
    """Fields a look-up asks for."""
    count: int | None = None
    more: bool = False
    """Wants others than those shown."""
    refines: bool = False
    """Narrows what was asked before."""
    standing: bool = False
    """To be kept for good."""
    mood: tuple[str, ...] = ()
    """Words of the wish that no other slot says."""


Slot: TypeAlias = Literal[
    "genres", "prefer", "kinds", "not_genres", "year_min", "year_max", "not_years", "runtime_min", "runtime_max",
    "people", "directors", "cast", "writers", "not_people", "origin", "not_origin", "certificates", "not_certificates",
    "audience", "score_min", "quality", "critique", "liked", "disliked", "seen", "about", "unknown", "unclear", "asked",
    "count", "more", "refines", "standing", "mood",
]  # fmt: skip


class Past(_Strict):
    """An earlier turn: what the user wrote and, when a list was given, what was on it."""

    text: str = Field(min_length=1)
    shown: tuple[str, ...] = ()


class LabelledRequest(_Strict):
    id: str = Field(pattern=r"^[rp]\d{3}$")
    """r: a half of the first file; p: practice."""
    group: str
    """What kind of difficulty it stands for."""
    text: str = Field(min_length=1, max_length=1000)
    intent: tuple[Intent, ...] = Field(min_length=1)
    """Any of these is right."""
    history: tuple[Past, ...] = ()
    slots: Slots = Slots()
    may: tuple[Slot, ...] = ()
    """Slots in which whatever is read counts neither for nor against, but for what is labelled and found."""
    in_force: Slots = Slots()
    """Hard conditions of earlier turns that still hold."""

    @property
    def split(self) -> Split:
        """Fixed by the file and the text alone, so that added requests move no other."""
        if self.id.startswith("p"):
            return "practice"
        return "dev" if hashlib.sha256(f"requests-1:{self.text}".encode()).digest()[0] % 2 == 0 else "heldout"


@cache
def all_requests(file: str = FILE) -> tuple[LabelledRequest, ...]:
    """Every labelled request of a file, in file order.

    Raises:
        DataError: a line is not of the form; names the line and the field.
    """
    return tuple(_read(_file(file).read_text(encoding="utf-8").splitlines(), file))


def requests(split: Split) -> tuple[LabelledRequest, ...]:
    return tuple(request for request in all_requests(_file_of(split)) if request.split == split)


def file_hash(split: Split) -> str:
    """sha256 of the data file that ``split`` is in, hex."""
    return hashlib.sha256(_file(_file_of(split)).read_bytes()).hexdigest()


def _file_of(split: Split) -> str:
    return PRACTICE_FILE if split == "practice" else FILE


def _file(name: str) -> resources.abc.Traversable:
    return resources.files("convrec.eval.requests").joinpath("data", name)


def _read(lines: Sequence[str], file: str = FILE) -> Iterator[LabelledRequest]:
    taken: set[str] = set()
    for number, line in enumerate(lines, start=1):
        try:
            request = LabelledRequest.model_validate_json(line)
        except ValidationError as error:
            raise DataError(f"{file}, line {number}: {error}. Correct the line") from error
        if {request.id, request.text} & taken:
            raise DataError(f"{file}, line {number}: {request.id} or its text occurs twice. Give each request once")
        taken |= {request.id, request.text}
        yield request
