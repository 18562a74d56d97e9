"""How a preference lies in a vector store: words as the vector, fields as the body, what is filtered by as tags."""

from __future__ import annotations

from convrec.core.errors import MemoryStoreError
from convrec.core.text import clean, fold
from convrec.memory.records import NewPreference, Preference
from convrec.memory.store import StoredRecord
from pydantic import ValidationError

HOLDS, PAST = "yes", "no"


def newest_first(preferences: list[Preference]) -> list[Preference]:
    return sorted(preferences, key=lambda p: (p.created, p.id), reverse=True)


def same_statement(old: Preference, new: NewPreference) -> bool:
    return (old.kind, old.polarity, fold(old.text)) == (new.kind, new.polarity, fold(new.text))


def words(preference: Preference) -> str:
    """What is embedded: the short form, and the user's words where they say more."""
    return preference.text if preference.said in ("", preference.text) else f"{preference.text}. {preference.said}"


def nearness(preference: Preference, score: float) -> str:
    said = f'; you said: "{clean(preference.said, 120)}"' if preference.said else ""
    return f"close to this request (similarity {score:.2f}){said}"


def to_stored(preference: Preference, covered: bool) -> StoredRecord:
    holds = preference.superseded_by is None
    tags = {
        "subject": preference.subject,
        "kind": preference.kind,
        "holds": HOLDS if holds else PAST,
        "recall": "always" if preference.kind == "standing" and preference.scope.empty else "by similarity",
        "each_turn": "yes" if holds and not covered else "no",
    }
    return StoredRecord(preference.id, preference.model_dump(mode="json"), tags)


def from_stored(record: StoredRecord) -> Preference:
    try:
        return Preference.model_validate(record.body)
    except ValidationError as error:
        raise MemoryStoreError(
            f"The stored preference {record.id} cannot be read ({error.error_count()} wrong fields). It was written by "
            "another version of convrec or damaged; update convrec, or forget all preferences of this user."
        ) from error
