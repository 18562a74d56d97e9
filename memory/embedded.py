"""Which words of a stored record its vector is made of; for stores that have to make vectors anew."""

from __future__ import annotations

from collections.abc import Callable

from convrec.memory.profile import PROFILE_ID
from convrec.memory.store import StoredRecord
from convrec.memory.stored import from_stored, words

TextOf = Callable[[StoredRecord], str | None]


def embedded_text(record: StoredRecord) -> str | None:
    """The words whose vector belongs to a record; None when it has none, for it is never searched for.

    Raises:
        MemoryStoreError: the record is no preference of this version.
    """
    return None if record.id == PROFILE_ID else words(from_stored(record))
