"""A record as its user corrects it, and records of an export beside those that are there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from convrec.core.errors import RequestError
from convrec.core.text import clean
from convrec.memory.records import NewPreference, Polarity, Preference, Scope
from pydantic import ValidationError

Rereader: TypeAlias = Callable[[str, NewPreference], NewPreference]
"""Given a corrected text and the record with its new polarity: the record as it would be read from those words."""


def corrected(
    old: Preference,
    at: datetime,
    reread: Rereader | None,
    *,
    text: str | None,
    polarity: Polarity | None,
    payload: dict[str, Any] | None,
    scope: Scope | None,
) -> Preference:
    """``old`` with what is given in its place, said at ``at``; sure, for it is the user's own correction.

    Raises:
        RequestError: a bad text or polarity.
    """
    change: dict[str, Any] = {"confidence": 1.0, "created": at}
    if payload is not None or (old.kind != "item" and (text is not None or polarity is not None)):
        change["payload"] = payload or {}
    if text is not None:
        change |= {"text": clean(text, len(text)), "said": clean(text, len(text))}
    if polarity is not None:
        change["polarity"] = polarity
    if scope is not None:
        change["scope"] = scope
    try:
        edited = Preference.model_validate(old.model_dump() | change)
        if payload is None and old.kind != "item" and reread is not None and "payload" in change:
            said = NewPreference(**edited.model_dump(include=set(NewPreference.model_fields)))
            edited = Preference.model_validate(edited.model_dump() | reread(edited.text, said).model_dump())
    except ValidationError as error:
        problem = error.errors()[0]
        raise RequestError(str(problem["loc"][0]), problem["input"], f"{problem['msg']}.") from error
    return edited


def joined(records: Sequence[Preference], here: Mapping[str, Preference]) -> tuple[list[Preference], list[Preference]]:
    """What to write when ``records`` come to those that are ``here``: the new ones, and old ones that they supersede.

    Of two that hold on one subject and scope the newer one does from then on.
    """
    fresh = {p.id: p for p in records if p.id not in here}
    held = {(p.subject, p.scope.key): p for p in here.values() if p.superseded_by is None}
    changed: dict[str, Preference] = {}
    for new in list(fresh.values()):
        old = held.get((new.subject, new.scope.key))
        if new.superseded_by is not None or old is None:
            continue
        older, newer = (old, new) if old.created <= new.created else (new, old)
        marked = older.model_copy(update={"superseded_by": newer.id, "superseded_at": newer.created})
        (fresh if older is new else changed)[older.id] = marked
        held[(new.subject, new.scope.key)] = newer
    return list(fresh.values()), list(changed.values())
