"""How a preference lies in a vector store: words as the vector, fields as the body, what is filtered by as tags."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from convrec.core.errors import MemoryStoreError
from convrec.core.items import FloatArray
from convrec.core.text import clean, fold
from convrec.memory.reading import Similarity
from convrec.memory.records import NewPreference, Preference, RecalledPreference
from convrec.memory.store import StoredRecord, VectorStore
from pydantic import ValidationError

HOLDS, PAST = "yes", "no"
NEAR = 50
"""Nearest records looked at per query of a request; farther ones count as not similar."""


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


def literal_first(
    held: Sequence[Preference], sought: Sequence[str], near: Sequence[tuple[StoredRecord, float]], least: float
) -> list[RecalledPreference]:
    """Records with all words of ``sought``, folded, then those of ``near`` with a cosine of at least ``least``."""
    literal = [p for p in held if all(w in f"{fold(p.text)} {fold(p.said)}" for w in sought)]
    score = {record.id: min(1.0, cosine) for record, cosine in near}
    found = [RecalledPreference(preference=p, score=score.get(p.id, 1.0), reason="has these words") for p in literal]
    known = {p.id for p in literal}
    for record, cosine in near:
        if record.id not in known and cosine >= least:
            p = from_stored(record)
            found.append(RecalledPreference(preference=p, score=min(1.0, cosine), reason=nearness(p, cosine)))
    return found


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


def similarity_of(user: str, store: VectorStore, embed: Callable[[Sequence[str]], FloatArray]) -> Similarity:
    """Cosines from the stored vectors: only the queries are embedded."""

    def similarity(queries: Sequence[str], records: Sequence[Preference]) -> FloatArray:
        place = {p.id: row for row, p in enumerate(records)}
        out = np.zeros((len(records), len(queries)), dtype=np.float32)
        for column, vector in enumerate(embed(queries)):
            for record, score in store.query(user, vector, NEAR, where={"holds": HOLDS, "recall": "by similarity"}):
                if record.id in place:
                    out[place[record.id], column] = score
        return out

    return similarity
