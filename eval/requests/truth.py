"""Whether a slate holds what was labelled as hard, told from the records alone: no code of the reading is used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from convrec.core.items import Item
from convrec.eval.requests.labels import LabelledRequest, Slots

CHILD_RATINGS = frozenset({"G", "PG"})
SOFT = frozenset(
    "prefer kinds quality about unknown unclear asked count more refines standing mood".split()  # noqa: SIM905
)
"""Slots that no record can break."""
NAMED = ("liked", "disliked", "seen")
"""What the user named like this is never to be recommended back."""


def either(entry: str) -> frozenset[str]:
    """The names of one entry: "A|B" holds two."""
    return frozenset(entry.split("|"))


def broken(item: Item, slots: Slots) -> Iterator[str]:
    """The hard conditions that an item does not hold, as "slot=value". What is not on record does not hold."""
    genres = frozenset(item.tags("genres"))
    places = frozenset(item.tags("languages")) | frozenset(item.tags("countries"))
    directors, cast, writers = (frozenset(item.tags(name)) for name in ("directors", "cast", "writers"))
    certificate = item.text("certificate")
    for field, have in (
        ("genres", genres),
        ("origin", places),
        ("people", directors | cast | writers),
        ("directors", directors),
        ("cast", cast),
        ("writers", writers),
    ):
        yield from (f"{field}={entry}" for entry in getattr(slots, field) if not have & either(entry))
    for field, have in (
        ("not_genres", genres),
        ("not_origin", places),
        ("not_people", cast if slots.directors else directors | cast | writers),
    ):
        # Of "United States|English" the first is what is denied, the second another way to say it.
        yield from (f"{field}={entry}" for entry in getattr(slots, field) if entry.split("|")[0] in have)
    yield from _numbers(item, slots)
    if slots.certificates and certificate not in slots.certificates:
        yield f"certificates={certificate}"
    if certificate in slots.not_certificates:
        yield f"not_certificates={certificate}"
    if slots.audience == "kids" and certificate not in CHILD_RATINGS and (certificate or "Family" not in genres):
        yield "audience=kids"


def _numbers(item: Item, slots: Slots) -> Iterator[str]:
    for field, low, high in (
        ("year", slots.year_min, slots.year_max),
        ("runtime", slots.runtime_min, slots.runtime_max),
        ("critics_score", slots.score_min, None),
    ):
        value = item.number(field)
        if low is not None and (value is None or value < low):
            yield f"{field}>={low}"
        if high is not None and (value is None or value > high):
            yield f"{field}<={high}"
    for span in slots.not_years:
        first, last = (int(part) for part in span.split("-"))
        if item.year is not None and first <= item.year <= last:
            yield f"not_years={span}"


def has_hard(request: LabelledRequest) -> bool:
    """Whether anything of it can be broken at all."""
    return any(set(slots.model_dump(exclude_defaults=True)) - SOFT for slots in (request.slots, request.in_force))


def violations(request: LabelledRequest, slate: Sequence[Item], shown: Sequence[Item]) -> list[str]:
    """What on a slate breaks a hard condition of the request, as "title: slot=value"; empty when all holds.

    ``shown``: the records of the titles that the conversation's last list held, for what is relative to them.
    """
    out = [
        f"{item.label}: {fault}"
        for item in slate
        for slots in (request.slots, request.in_force)
        for fault in broken(item, slots)
    ]
    named = {label for name in NAMED for label in getattr(request.slots, name)}
    out += [f"{item.label}: named by the user" for item in slate if item.label in named]
    for critique in request.slots.critique:
        out += [f"{item.label}: not {critique}" for item in slate if not _relative(item, critique, shown)]
    return out


def _relative(item: Item, critique: str, others: Sequence[Item]) -> bool:
    """Older than the newest of the others, shorter than the longest, and so on: the weakest sense of the word."""
    field = {"older": "year", "newer": "year", "shorter": "runtime", "longer": "runtime"}.get(critique)
    if field is None:
        return True  # no column says how funny or violent a film is
    values = [value for other in others if (value := other.number(field)) is not None]
    own = item.number(field)
    if not values or own is None:
        return not values
    return own < max(values) if critique in ("older", "shorter") else own > min(values)
