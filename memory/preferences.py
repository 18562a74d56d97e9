"""What is remembered about each user: add, recall for a request, correct, erase, export."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeAlias

import numpy as np
from convrec.core.embedding import Embedder
from convrec.core.errors import MemoryStoreError, ModelError, RequestError
from convrec.core.items import FloatArray
from convrec.core.text import fold
from convrec.memory import confidence, correcting, portable, profile
from convrec.memory.correcting import Rereader
from convrec.memory.profile import PROFILE_ID, Profile
from convrec.memory.reading import Need, Recollection, reasoned
from convrec.memory.records import (
    MAX_SOURCES,
    ImportReport,
    NewPreference,
    Polarity,
    Preference,
    RecalledPreference,
    Scope,
)
from convrec.memory.store import StoredRecord, VectorStore, checked_user, has_tags
from convrec.memory.stored import (
    HOLDS,
    from_stored,
    literal_first,
    nearness,
    newest_first,
    same_statement,
    similarity_of,
    to_stored,
    words,
)

MIN_SIMILARITY = 0.3
"""Cosine below which a preference is not recalled for a request. Range -1..1; chosen on 12 requests and 12 preferences
under all-MiniLM-L6-v2, see docs/memory.md."""

# Named outside the class: inside it, ``list`` is the method.
Preferences: TypeAlias = list[Preference]
Recalled: TypeAlias = list[RecalledPreference]
Eraser: TypeAlias = Callable[[str, Sequence[Preference] | None], None]
"""Called with the user and the records about to be erased (None: all of the user) before they leave the store."""
Clock: TypeAlias = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


class PreferenceMemory:
    """The preferences of all users, over one vector store. Thread-safe.

    The newest statement on a subject and scope holds; the ones before it stay as history until they are forgotten.
    Store and embedder failures are :class:`MemoryStoreError`; a turn can go on without memory after one.

    Args:
        min_similarity: cosine from which :meth:`relevant` recalls, -1..1.
        clock: the time now, in UTC; for tests and replays.
    """

    def __init__(
        self,
        store: VectorStore,
        embedder: Embedder,
        *,
        min_similarity: float = MIN_SIMILARITY,
        clock: Clock = utc_now,
    ) -> None:
        self._store, self._embedder, self._min_similarity = store, embedder, min_similarity
        self.clock = clock
        self._lock = threading.RLock()  # a change reads, decides and writes
        self._erasers: list[Eraser] = []
        self.reread: Rereader | None = None
        """Reads the words of an edit; None: an edited record acts on nothing until it is said again."""

    # -- writing ------------------------------------------------------------------------------------------------------

    def add(self, user: str, new: NewPreference, *, supersedes: Sequence[str] = ()) -> Preference:
        """Remember a statement; returns the preference that now holds on its subject.

        The same statement again (same subject, scope, kind, polarity and words) makes no second one: its confidence
        grows (:mod:`convrec.memory.confidence`), and it counts as said now. Any other statement on the subject and
        scope supersedes the one before, and so are the ids in ``supersedes``, where they still hold.
        """
        with self._lock:
            at = self.clock()
            before = [
                p
                for p in self._read(user, {"subject": new.subject})
                if p.superseded_by is None and p.scope.key == new.scope.key
            ]
            if extra := set(supersedes) - {p.id for p in before}:
                before += [p for p in map(from_stored, self._store.get(user, ids=sorted(extra)))
                           if p.superseded_by is None]  # fmt: skip
            same = next((p for p in before if same_statement(p, new)), None)
            if same is not None:
                surer = confidence.repeated(confidence.now(same, at), new.confidence)
                again: dict[str, Any] = {
                    "confidence": surer,
                    "times": same.times + 1,
                    "sources": same.origins[-MAX_SOURCES:],
                    "strength": max(same.strength, new.strength),
                }
                now = Preference(**new.model_dump() | again, id=same.id, user=user, created=at)
            else:
                now = Preference(**new.model_dump(), user=user, created=at)
            past = [
                p.model_copy(update={"superseded_by": now.id, "superseded_at": at}) for p in before if p.id != now.id
            ]
            self._write(user, [now, *past])
            return now

    def edit(
        self,
        user: str,
        preference_id: str,
        *,
        text: str | None = None,
        polarity: Polarity | None = None,
        payload: dict[str, Any] | None = None,
        scope: Scope | None = None,
    ) -> Preference:
        """Correct a preference in place: the user's own correction, so it is sure (confidence 1) and said now.

        The payload is what machines act on, and it was read from the old words: unless a new one is given, it is read
        from the new words by ``reread``, or dropped. Only an item's payload stays, since it says which item, not what
        was thought of it.

        Raises:
            RequestError: no such preference, it is history, nothing to change, or a bad text or polarity.
        """
        with self._lock:
            old = self.get(user, preference_id)
            if old.superseded_by is not None:
                raise RequestError("preference", preference_id, f"It was superseded; edit {old.superseded_by} instead.")
            if text is None and polarity is None and payload is None and scope is None:
                raise RequestError("edit", None, "Give a new text, a new polarity, or both.")
            edited = correcting.corrected(
                old, self.clock(), self.reread, text=text, polarity=polarity, payload=payload, scope=scope
            )
            self._write(user, [edited])
            return edited

    def import_(self, user: str, data: object) -> ImportReport:
        """Take in what :meth:`export` wrote, of this user or of another store. All or nothing; doing it twice changes
        nothing more.

        A record that is here already stays as it is, also when it was corrected here since. An imported statement that
        holds supersedes an older one of this store on its subject and scope, or is superseded by a newer one.

        Raises:
            RequestError: it is no valid export.
        """
        records = portable.parse(checked_user(user), data)
        with self._lock:
            here = {p.id: p for p in self.list(user, include_superseded=True)}
            fresh, changed = correcting.joined(records, here)
            self._write(user, [*fresh, *changed])
            same = sum(here[p.id] == p for p in records if p.id in here)
            return ImportReport(added=len(fresh), unchanged=same, skipped=len(records) - len(fresh) - same)

    # -- looking ------------------------------------------------------------------------------------------------------

    def list(self, user: str, *, include_superseded: bool = False) -> Preferences:
        """Newest first; what was superseded only when asked for."""
        return self._read(user, {} if include_superseded else {"holds": HOLDS})

    def get(self, user: str, preference_id: str) -> Preference:
        """One preference, superseded or not.

        Raises:
            RequestError: this user has none with that id.
        """
        found = self._store.get(user, ids=[preference_id]) if preference_id != PROFILE_ID else []
        if not found:
            raise RequestError("preference", preference_id, "This user has no preference with that id; list them.")
        return from_stored(found[0])

    def search(self, user: str, query: str, k: int = 10) -> Recalled:
        """At most ``k`` records that hold: those with all words of ``query`` first, then the nearest in meaning.

        Raises:
            RequestError: an empty query.
        """
        sought = fold(query).split()
        if not sought:
            raise RequestError("query", query, "Say what to look for, in a word or more.")
        held = self.list(user)
        near = self._store.query(user, self._embed([query])[0], k, where={"holds": HOLDS}) if k > 0 else []
        return literal_first(held, sought, near, self._min_similarity)[: max(k, 0)]

    def recall(self, user: str, need: Need) -> Recollection:
        """What applies to a request and what does not, each with its reason: see :mod:`convrec.memory.reading`."""
        records = self._store.get(user)  # all at once: a second question to a server costs more than what is left out
        found = [r for r in records if has_tags(r, {"each_turn": "yes"})]
        made = next((Profile.model_validate(r.body) for r in found if r.id == PROFILE_ID), None)
        if made is None:  # none yet, or records from before there were profiles
            fresh = newest_first([from_stored(r) for r in records if has_tags(r, {"holds": HOLDS})])
            held = fresh
        else:
            fresh = newest_first([from_stored(r) for r in found if r.id != PROFILE_ID])
            held = fresh + made.preferences(user)
        judged = reasoned(
            held,
            need,
            at=self.clock(),
            similarity=similarity_of(user, self._store, self._embed),
            retrieved=len(fresh),
            profile=made,
        )
        return replace(judged, unmerged=sum(profile.steady(p) for p in fresh))

    def relevant(self, user: str, query: str, k: int = 8) -> Recalled:
        """The plain way, by similarity alone: all standing instructions, newest first, then at most ``k`` others.

        The others are those with a cosine to the request of at least ``min_similarity``, nearest first. What was
        superseded is never recalled.
        """
        standing = [
            RecalledPreference(preference=p, score=1.0, reason="a standing instruction: it applies to every request")
            for p in self._read(user, {"holds": HOLDS, "kind": "standing"})
        ]
        if k < 1 or not query.strip():
            return standing
        vector = self._embed([query])[0]
        near = self._store.query(user, vector, k, where={"holds": HOLDS, "recall": "by similarity"})
        return standing + [
            RecalledPreference(preference=p, score=min(1.0, score), reason=nearness(p, score))
            for p, score in ((from_stored(record), score) for record, score in near)
            if score >= self._min_similarity
        ]

    # -- the profile --------------------------------------------------------------------------------------------------

    def profile(self, user: str) -> Profile | None:
        """The profile as it was made last and kept since; None when there is none yet."""
        found = self._store.get(user, ids=[PROFILE_ID])
        return Profile.model_validate(found[0].body) if found else None

    def refresh_profile(self, user: str) -> Profile:
        """Make the profile from all records that hold; off the path of a turn, since it reads everything."""
        with self._lock:
            old, held = self.profile(user), self.list(user)
            made = profile.build(held, self.clock())
            # Without a profile before, records may be from a time without such tags: all are written anew.
            moved = held if old is None else [p for p in held if (p.id in made.covers) != (p.id in old.covers)]
            if held:
                self._put(user, moved, made)
            elif old is not None:
                self._store.delete(user, [PROFILE_ID])
            return made

    def drop_profile(self, user: str) -> None:
        """Go back to reading the records themselves, until a profile is made again."""
        with self._lock:
            made = self.profile(user)
            if made is not None:
                held = [p for p in self.list(user) if p.id in made.covers]
                self._put(user, held, Profile(built=made.built))
                self._store.delete(user, [PROFILE_ID])

    # -- erasing and taking along -------------------------------------------------------------------------------------

    def on_erase(self, eraser: Eraser) -> None:
        """Have ``eraser`` called before anything is erased here, so that other places forget it first: when that fails,
        the record is still here and erasing it again does the rest."""
        self._erasers.append(eraser)

    def forget(self, user: str, preference_id: str) -> Preference:
        """Erase a preference for good, and with one that holds all its history on the same subject and scope.

        Erasing one of the history leaves the rest as it is.

        Raises:
            RequestError: this user has none with that id.
        """
        for eraser in self._erasers:  # without the lock: they wait for turns, and turns write here
            eraser(user, self._leaving(user, preference_id))
        with self._lock:
            leaving = self._leaving(user, preference_id)
            gone, ids = leaving[0], [p.id for p in leaving]
            made = self.profile(user)
            if made is not None and made.covers & set(ids):
                self._put(user, [], made.without(ids))
            if gone.superseded_by is not None:
                heirs = [p for p in self._read(user, {"subject": gone.subject}) if p.superseded_by == gone.id]
                self._write(user, [p.model_copy(update={"superseded_by": gone.superseded_by}) for p in heirs])
            self._store.delete(user, ids)
            return gone

    def _leaving(self, user: str, preference_id: str) -> Preferences:
        """The record and, when it holds, its history: what is erased with it."""
        gone = self.get(user, preference_id)
        if gone.superseded_by is not None:
            return [gone]
        same = [p for p in self._read(user, {"subject": gone.subject}) if p.scope.key == gone.scope.key]
        return [gone, *(p for p in same if p.id != gone.id)]

    def forget_all(self, user: str) -> int:
        """Erase everything about the user for good; returns how many preferences that were, history included."""
        for eraser in self._erasers:
            eraser(user, None)
        with self._lock:
            ids = [record.id for record in self._store.get(user)]
            return self._store.delete(user, ids) - (PROFILE_ID in ids)

    def export(self, user: str) -> dict[str, Any]:
        """Everything about the user as JSON, history included, newest first."""
        return portable.document(checked_user(user), self.list(user, include_superseded=True), self.clock())

    def close(self) -> None:
        self._store.close()

    # -- the store ----------------------------------------------------------------------------------------------------

    def _read(self, user: str, where: dict[str, str]) -> Preferences:
        return newest_first([from_stored(r) for r in self._store.get(user, where=where) if r.id != PROFILE_ID])

    def warm(self) -> None:
        """Load the embedder, so that the first statement does not wait for it."""
        self._embed(["warm"])

    def _embed(self, texts: Sequence[str]) -> FloatArray:
        try:
            return self._embedder.embed(texts)
        except ModelError as error:
            raise MemoryStoreError(f"the words could not be embedded: {error}") from error

    def _write(self, user: str, changed: Preferences) -> None:
        """All in one step of the store, the profile too: a supersession is never half done."""
        if changed:
            made = self.profile(user)
            self._put(user, changed, made.without(p.id for p in changed) if made is not None else None)

    def _put(self, user: str, preferences: Preferences, made: Profile | None) -> None:
        vectors = self._embed([words(p) for p in preferences])
        covered = made.covers if made is not None else frozenset[str]()
        records = [to_stored(p, p.id in covered) for p in preferences]
        if made is not None:  # no vector: it is never searched for
            records.append(StoredRecord(PROFILE_ID, made.model_dump(mode="json"), {"each_turn": "yes"}))
            vectors = np.vstack([vectors, np.zeros((1, self._embedder.dimension), dtype=np.float32)])
        self._store.put(user, records, vectors)
