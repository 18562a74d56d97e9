"""The graded wishes: their form, where they are, whether they are sound.

One wish per line of ``data/wishes.jsonl``. Each has the candidates that the agent's tools put in front (tier "none",
see ``pool.py``) in their fused order and, for every one of them, a grade. The grades were given by a large language
model that saw the wish and the records in shuffled order, and no ranking and no score; docs/reranking.md says more. A
file of the same form can be used instead.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, TypeVar

from convrec.core.errors import DataError, RequestError
from convrec.core.text import clean
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

Split: TypeAlias = Literal["dev", "heldout"]
SPLITS: tuple[Split, ...] = ("dev", "heldout")
FILE = "wishes.jsonl"
BEST_GRADE = 2
"""0 does not suit, 1 suits partly, 2 suits well."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Graded(_Strict):
    """A candidate. ``label``: for who reads the file; ``item`` alone counts."""

    item: str = Field(min_length=1)
    label: str = ""
    score: float = Field(allow_inf_nan=False)
    """Fused score, any range, higher is better."""
    grade: int = Field(ge=0, le=BEST_GRADE, strict=True)


class Wish(_Strict):
    id: str = Field(pattern=r"^[\w.-]{1,40}$")
    kind: str = Field(min_length=1, max_length=40)
    """loose: nothing but loose words; hard: a hard condition too; liked: a title they liked; follow: a second turn."""
    split: Split
    turns: tuple[Annotated[str, Field(min_length=1, max_length=1000)], ...] = Field(min_length=1)
    """What the user wrote; the wish is what the last turn asks for, after the others."""


class LabelledWish(Wish):
    asked: str = Field(min_length=1, max_length=2000)
    """What the agent tells a reranker of the wish: the last turn and the conditions that were read."""
    candidates: tuple[Graded, ...]
    """In fused order, best first, whatever the order in the file."""

    @field_validator("candidates")
    @classmethod
    def _by_score(cls, candidates: tuple[Graded, ...]) -> tuple[Graded, ...]:
        if len(candidates) < 2:
            raise ValueError("give at least two")
        items = [one.item for one in candidates]
        twice = next((item for item in items if items.count(item) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice} occurs twice")
        return tuple(sorted(candidates, key=lambda one: -one.score))

    @property
    def suits(self) -> bool:
        """Whether any candidate suits at all: without one, no order is better than another."""
        return any(one.grade for one in self.candidates)


W = TypeVar("W", bound=Wish)


def all_wishes(file: Path | None = None) -> tuple[LabelledWish, ...]:
    """Every wish of a file, in file order; None: of the shipped one.

    Raises:
        RequestError: there is no such file.
        DataError: a line is not of the form, or a wish is there twice; names file, line and field.
    """
    return tuple(_read(file, LabelledWish))


def ungraded(file: Path) -> tuple[Wish, ...]:
    """Wishes that have no candidates yet, in file order; raises as :func:`all_wishes`."""
    return tuple(_read(file, Wish))


def wishes(split: Split, file: Path | None = None) -> tuple[LabelledWish, ...]:
    """The wishes of a half.

    Raises:
        RequestError: the file has none of that half, or is not there.
        DataError: as :func:`all_wishes`.
    """
    found = tuple(wish for wish in all_wishes(file) if wish.split == split)
    if not found:
        raise RequestError("--split", split, f"{file or FILE} has no wish of that split; give some of its wishes one.")
    return found


def file_hash(file: Path | None = None) -> str:
    """sha256 of the file, hex."""
    return hashlib.sha256(_bytes(file)).hexdigest()


def _bytes(file: Path | None) -> bytes:
    if file is None:
        return resources.files("convrec.eval.wishes").joinpath("data", FILE).read_bytes()
    try:
        return file.read_bytes()
    except OSError as error:
        remedy = f"It cannot be read ({error.strerror}). Give a JSON Lines file."
        raise RequestError("--file", str(file), remedy) from error


def _read(file: Path | None, form: type[W]) -> Iterator[W]:
    name = FILE if file is None else str(file)
    try:
        lines = _bytes(file).decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is no UTF-8 text ({error}). Save it as UTF-8.") from error
    taken: set[str | tuple[str, ...]] = set()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            wish = form.model_validate_json(line)
        except ValidationError as error:
            raise DataError(f"{name}, line {number}: {_wrong(error)}. Correct the line") from error
        if {wish.id, wish.turns} & taken:
            raise DataError(f"{name}, line {number}: the wish {wish.id} or its words occur twice. Give each wish once")
        taken |= {wish.id, wish.turns}
        yield wish


def _wrong(error: ValidationError) -> str:
    """The first three faults by field: a wish that was not graded yet has one per candidate."""
    faults = [
        f"{'.'.join(map(str, fault['loc'])) or 'line'}: {fault['msg']}, got {clean(repr(fault['input']), 60)}"
        for fault in error.errors()
    ]
    more = f" and {len(faults) - 3} more faults" if len(faults) > 3 else ""
    return "; ".join(faults[:3]) + more
