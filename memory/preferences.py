"""What is remembered about each user: add, recall for a request, correct, erase, export."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

from convrec.core.embedding import Embedder
from convrec.core.errors import MemoryStoreError, ModelError, RequestError
from convrec.core.items import FloatArray
from convrec.core.text import clean, fold
from convrec.memory.records import NewPreference, Polarity, Preference, RecalledPreference
from convrec.memory.store import StoredRecord, VectorStore, checked_user
from pydantic import ValidationError

EXPORT_FORMAT, EXPORT_VERSION = "convrec-preferences", 1
MIN_SIMILARITY = 0.3
"""Cosine below which a preference is not recalled for a request. Range -1..1; chosen on 12 requests and 12 preferences
under all-MiniLM-L6-v2, see docs/memory.md."""

_HOLDS, _PAST = "yes", "no"

# Named outside the class: inside it, ``list`` is the method.
Preferences: TypeAlias = list[Preference]
Recalled: TypeAlias = list[RecalledPreference]


class PreferenceMemory:
    """The preferences of all users, over one vector store. Thread-safe.

    The newest statement on a subject holds; the ones before it stay as history until they are forgotten. Store and
    embedder failures are :class:`MemoryStoreError`; a turn can go on without memory after one.
    """

    def __init__(self, store: VectorStore, embedder: Embedder, *, min_similarity: float = MIN_SIMILARITY) -> None:
        self._store, self._embedder, self._min_similarity = store, embedder, min_similarity
        self._lock = threading.RLock()  # a change reads, decides and writes

    def add(self, user: str, new: NewPreference) -> Preference:
        """Remember a statement; returns the preference that now holds on its subject.

        The same statement again (same subject, kind, polarity and words) makes no second one: its confidence c rises
        to 1 - (1 - c)(1 - c_new), as of two independent sources, and it counts as said now. Any other statement on the
        subject supersedes the one before.
        """
        with self._lock:
            before = [p for p in self._read(user, {"subject": new.subject}) if p.superseded_by is None]
            same = next((p for p in before if _same_statement(p, new)), None)
            if same is not None:
                confidence = 1.0 - (1.0 - same.confidence) * (1.0 - new.confidence)
                now = Preference(**new.model_dump() | {"confidence": confidence}, id=same.id, user=user)
            else:
                now = Preference(**new.model_dump(), user=user)
            past = [p.model_copy(update={"superseded_by": now.id}) for p in before if p.id != now.id]
            self._write(user, [now, *past])
            return now

    def list(self, user: str, *, include_superseded: bool = False) -> Preferences:
        """Newest first; what was superseded only when asked for."""
        return self._read(user, {} if include_superseded else {"holds": _HOLDS})

    def get(self, user: str, preference_id: str) -> Preference:
        """One preference, superseded or not.

        Raises:
            RequestError: this user has none with that id.
        """
        found = self._store.get(user, ids=[preference_id])
        if not found:
            raise RequestError("preference", preference_id, "This user has no preference with that id; list them.")
        return _preference(found[0])

    def edit(
        self,
        user: str,
        preference_id: str,
        *,
        text: str | None = None,
        polarity: Polarity | None = None,
        payload: dict[str, Any] | None = None,
    ) -> Preference:
        """Correct a preference in place: the user's own correction, so it is sure (confidence 1) and said now.

        The payload is what machines act on, and it was read from the old words: it is dropped unless a new one is
        given. Only an item's payload stays, since it says which item, not what was thought of it.

        Raises:
            RequestError: no such preference, it is history, nothing to change, or a bad text or polarity.
        """
        with self._lock:
            old = self.get(user, preference_id)
            if old.superseded_by is not None:
                raise RequestError("preference", preference_id, f"It was superseded; edit {old.superseded_by} instead.")
            if text is None and polarity is None and payload is None:
                raise RequestError("edit", None, "Give a new text, a new polarity, or both.")
            change: dict[str, Any] = {"confidence": 1.0, "created": datetime.now(UTC)}
            if payload is not None or old.kind != "item":
                change["payload"] = payload or {}
            if text is not None:
                change |= {"text": clean(text, len(text)), "said": clean(text, len(text))}
            if polarity is not None:
                change["polarity"] = polarity
            try:
                edited = Preference(**old.model_dump() | change)
            except ValidationError as error:
                problem = error.errors()[0]
                field = str(problem["loc"][0])
                raise RequestError(field, problem["input"], f"{problem['msg']}.") from error
            self._write(user, [edited])
            return edited

    def forget(self, user: str, preference_id: str) -> Preference:
        """Erase a preference for good, and with one that holds all its history on the same subject.

        Erasing one of the history leaves the rest as it is.

        Raises:
            RequestError: this user has none with that id.
        """
        with self._lock:
            gone = self.get(user, preference_id)
            related = [p for p in self._read(user, {"subject": gone.subject}) if p.id != gone.id]
            if gone.superseded_by is None:
                self._store.delete(user, [gone.id, *(p.id for p in related)])
            else:
                heirs = [p for p in related if p.superseded_by == gone.id]
                self._write(user, [p.model_copy(update={"superseded_by": gone.superseded_by}) for p in heirs])
                self._store.delete(user, [gone.id])
            return gone

    def forget_all(self, user: str) -> int:
        """Erase everything about the user for good; returns how many preferences that were, history included."""
        with self._lock:
            return self._store.delete(user, [record.id for record in self._store.get(user)])

    def export(self, user: str) -> dict[str, Any]:
        """Everything about the user as JSON, history included, newest first."""
        return {
            "format": EXPORT_FORMAT,
            "version": EXPORT_VERSION,
            "user": checked_user(user),
            "exported": datetime.now(UTC).isoformat(),
            "preferences": [p.model_dump(mode="json") for p in self.list(user, include_superseded=True)],
        }

    def relevant(self, user: str, query: str, k: int = 8) -> Recalled:
        """What applies to a request: all standing instructions, newest first, then at most ``k`` others.

        The others are those with a cosine to the request of at least ``min_similarity``, nearest first. What was
        superseded is never recalled.
        """
        standing = [
            RecalledPreference(preference=p, score=1.0, reason="a standing instruction: it applies to every request")
            for p in self._read(user, {"holds": _HOLDS, "kind": "standing"})
        ]
        if k < 1 or not query.strip():
            return standing
        vector = self._embed([query])[0]
        near = self._store.query(user, vector, k, where={"holds": _HOLDS, "recall": "by similarity"})
        return standing + [
            RecalledPreference(preference=p, score=min(1.0, score), reason=_reason(p, score))
            for p, score in ((_preference(record), score) for record, score in near)
            if score >= self._min_similarity
        ]

    def close(self) -> None:
        self._store.close()

    def _read(self, user: str, where: dict[str, str]) -> Preferences:
        found = [_preference(record) for record in self._store.get(user, where=where)]
        return sorted(found, key=lambda p: (p.created, p.id), reverse=True)

    def _embed(self, texts: Sequence[str]) -> FloatArray:
        try:
            return self._embedder.embed(texts)
        except ModelError as error:
            raise MemoryStoreError(f"the words could not be embedded: {error}") from error

    def _write(self, user: str, preferences: Preferences) -> None:
        """All in one step of the store: a supersession is never half done."""
        if preferences:
            vectors = self._embed([_words(p) for p in preferences])
            self._store.put(user, [_record(p) for p in preferences], vectors)


def _same_statement(old: Preference, new: NewPreference) -> bool:
    return (old.kind, old.polarity, fold(old.text)) == (new.kind, new.polarity, fold(new.text))


def _words(preference: Preference) -> str:
    """What is embedded: the short form, and the user's words where they say more."""
    return preference.text if preference.said in ("", preference.text) else f"{preference.text}. {preference.said}"


def _reason(preference: Preference, score: float) -> str:
    said = f'; you said: "{clean(preference.said, 120)}"' if preference.said else ""
    return f"close to this request (similarity {score:.2f}){said}"


def _record(preference: Preference) -> StoredRecord:
    tags = {
        "subject": preference.subject,
        "kind": preference.kind,
        "holds": _HOLDS if preference.superseded_by is None else _PAST,
        "recall": "always" if preference.kind == "standing" else "by similarity",
    }
    return StoredRecord(preference.id, preference.model_dump(mode="json"), tags)


def _preference(record: StoredRecord) -> Preference:
    try:
        return Preference.model_validate(record.body)
    except ValidationError as error:
        raise MemoryStoreError(
            f"The stored preference {record.id} cannot be read ({error.error_count()} wrong fields). It was written by "
            "another version of convrec or damaged; update convrec, or forget all preferences of this user."
        ) from error
