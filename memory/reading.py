"""What applies to a request: reasoned from the circumstances, the plan's slots and what the request calls for, and only
then from similarity. Every record that holds is judged; each gets a reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
from convrec.core.items import FloatArray
from convrec.core.text import clean, fold
from convrec.memory import aspects, confidence
from convrec.memory.profile import Profile
from convrec.memory.records import Preference, RecalledPreference
from convrec.memory.situations import ASKED, IMPLIED, Situation, applies, closed, content, plain, situation

NOTE_SIMILARITY = 0.45
"""Cosine from which a note or a taste in free words bears on a request, -1..1."""
SCOPE_SIMILARITY = 0.5
"""Cosine from which the words of a condition without known facets meet a request, -1..1."""
SITUATION, WORDS, ASPECT, SLOT = 1.0, 0.9, 0.8, 0.5
"""Added to the cosine in the order of recall: a condition that is met, words of the request in it, a called-for aspect,
a slot that is asked for."""
_PARTS = re.compile(r"[,;.!?]|\band\b|\bbut\b|\bwith\b|\bfor\b")

Similarity = Callable[[Sequence[str], Sequence[Preference]], FloatArray]
"""Cosines, float32 (len(records), len(queries))."""


@dataclass(frozen=True, slots=True)
class Need:
    """A request, as memory sees it."""

    text: str
    """The user's words."""
    at: datetime
    """When, where the user is: day and hour are read from it."""
    before: tuple[str, ...] = ()
    """Facets said earlier in the conversation."""
    slots: tuple[str, ...] = ()
    """Subjects asked for now: "genres=Horror", "person:tom hanks", "year"."""
    asked: tuple[str, ...] = ()
    """What is asked for, now or before in this conversation, as keys of the facets ``asked:...``."""
    queries: tuple[str, ...] = ()
    """Words of the plan's slots: labels of conditions, titles referred to."""
    similar: bool = True
    """Whether to look for similar notes too; False for a turn that recommends nothing."""


@dataclass(frozen=True, slots=True)
class Recollection:
    """What memory has to say on one request."""

    applied: tuple[RecalledPreference, ...] = ()
    """Most relevant first."""
    left_out: tuple[RecalledPreference, ...] = ()
    known: tuple[Preference, ...] = ()
    """All records that hold, of the profile and beside it, newest first; likings of items among them."""
    now: Situation = field(default_factory=Situation)
    retrieved: int = 0
    """Records read for this request; those in the profile do not count."""
    profile: Profile | None = None
    unmerged: int = 0
    """Records read that a new profile would take in."""


@dataclass(frozen=True, slots=True)
class _Judged:
    preference: Preference
    score: float
    reason: str
    applies: bool
    certain: bool = True
    """False: it depends on similarity, which is worked out last and only where needed."""


def names_in(records: Sequence[Preference]) -> dict[str, str]:
    """Facet by first name, from notes like "your daughter Emma is seven"."""
    return {
        str(p.payload["name"]): str(p.payload["facet"])
        for p in reversed(records)
        if "name" in p.payload and "facet" in p.payload
    }


def reasoned(
    records: Sequence[Preference],
    need: Need,
    *,
    at: datetime,
    similarity: Similarity,
    retrieved: int,
    profile: Profile | None,
) -> Recollection:
    """Judge every record that holds. ``at``: now, for fading and validity; ``need.at`` is the user's clock."""
    names = names_in(records)
    now = situation(need.text, need.at, need.before, names)
    now = replace(now, facets=now.facets | {f"{ASKED}:{key}" for key in need.asked})
    called = aspects.asked(need.text)
    judged = [_judge(p, need, now, called, at, names) for p in records if p.kind != "item"]
    judged = _by_similarity(judged, need, similarity)
    judged = _most_specific(judged)
    order = sorted(judged, key=lambda j: (-j.score, -j.preference.created.timestamp(), j.preference.id))
    recalled = [
        (j.applies, RecalledPreference(preference=j.preference, score=round(j.score, 4), reason=j.reason))
        for j in order
    ]
    return Recollection(
        tuple(r for used, r in recalled if used),
        tuple(r for used, r in recalled if not used),
        tuple(records),
        now,
        retrieved,
        profile,
    )


def _judge(
    p: Preference, need: Need, now: Situation, called: frozenset[str], at: datetime, names: Mapping[str, str]
) -> _Judged:
    if p.valid_from is not None and at < p.valid_from:
        return _Judged(p, 0.0, f"it holds from {p.valid_from:%Y-%m-%d}", False)
    if p.valid_until is not None and at >= p.valid_until:
        return _Judged(p, 0.0, f"it held until {p.valid_until:%Y-%m-%d}", False)
    sure = confidence.now(p, at)
    if sure < confidence.FLOOR:
        return _Judged(p, 0.0, f"said {_ago(p.created, at)} and not since: {sure:.0%} sure", False)
    shared = called & aspects.of(p)
    bonus = ASPECT if shared else 0.0
    if p.kind == "note":
        return _judge_note(p, now, shared, bonus, names, need)
    fits, why = applies(p.scope, now)
    if not p.scope.empty:
        worded = not (p.scope.facets or p.scope.unless)
        if not fits:
            return _Judged(p, 0.0, why, False, certain=not worded)
        return _Judged(p, SITUATION + bonus, why, True)
    if any(_same_slot(p, slot) for slot in need.slots):
        return _Judged(p, SLOT + bonus, "about what you ask for", True)
    if "words" in p.payload and p.kind != "standing":
        shown = _shared_words(str(p.payload["words"]), need.text)
        if shown:
            return _Judged(p, WORDS + bonus, f"you speak of {', '.join(sorted(shown))}", True)
        return _Judged(p, bonus, "a taste that this request does not touch", False, certain=False)
    if p.polarity in ("unwanted", "disliked"):
        return _Judged(p, bonus, "it rules things out at every request", True)
    return _Judged(p, bonus, "a standing instruction" if p.kind == "standing" else "a general taste", True)


def _judge_note(
    p: Preference, now: Situation, shared: frozenset[str], bonus: float, names: Mapping[str, str], need: Need
) -> _Judged:
    if p.scope.facets:  # about somebody: it matters when they are there
        there = _company_bonus(p, now, names, need)
        if there:
            return _Judged(p, there + bonus / 2, f"now: {', '.join(plain(f) for f in p.scope.facets)}", True)
        return _Judged(p, 0.0, f"only {' or '.join(plain(f) for f in p.scope.facets)}", False)
    if shared:
        return _Judged(p, bonus, f"it tells of {', '.join(sorted(shared))}", True)
    return _Judged(p, 0.0, "a fact that this request does not touch", False, certain=False)


def _company_bonus(p: Preference, now: Situation, names: Mapping[str, str], need: Need) -> float:
    """How exactly a note about somebody fits who is there: the named one, the relation, or the kind of company."""
    if not p.scope.facets:
        return 0.0
    facet = p.scope.facets[0]
    if facet in now.absent:
        return 0.0
    words = set(fold(need.text).split())
    named = [name for name in names if name in words]
    own = str(p.payload.get("name", ""))
    if own and own in words:
        return SITUATION + 0.5
    if facet in now.facets or facet in now.mentioned:
        # Another one of that relation is meant: "Lily" is not the other niece.
        return 0.3 if own and any(names[n] == facet for n in named) else SITUATION
    wider = closed([facet]) - {facet}
    # "The kids" may be the daughter; "my son" is not.
    exact = any(facet_ in now.facets for facet_ in IMPLIED if IMPLIED[facet_] and set(IMPLIED[facet_]) & wider)
    return SITUATION - 0.2 if wider & now.facets and not exact else 0.0


def _shared_words(own: str, request: str) -> set[str]:
    """Content words of both; a hyphenated word counts as one ("feel-good"), whatever it is made of."""
    joined = {word for word in own.lower().split() if "-" in word} & set(request.lower().split())
    return joined | (content(own) & content(request))


def _same_slot(p: Preference, slot: str) -> bool:
    return p.subject == slot or p.subject.split("=")[0] == slot


def _by_similarity(judged: Sequence[_Judged], need: Need, similarity: Similarity) -> list[_Judged]:
    """Settle what depends on similarity, and order the rest by it; nothing is embedded when nothing depends on it."""
    open_ = [j for j in judged if not j.certain]
    if not open_ or not need.similar or not need.text.strip():
        return list(judged)
    parts = [part.strip() for part in _PARTS.split(need.text)]
    queries = list(dict.fromkeys([need.text, *(p for p in parts if len(content(p)) >= 1), *need.queries]))[:6]
    cosines = similarity(queries, [j.preference for j in open_])
    best = {j.preference.id: float(np.max(row)) for j, row in zip(open_, cosines, strict=True)}
    out: list[_Judged] = []
    for j in judged:
        cosine = best.get(j.preference.id)
        if cosine is None:
            out.append(j)
            continue
        limit = SCOPE_SIMILARITY if not j.preference.scope.empty else NOTE_SIMILARITY
        if cosine >= limit:
            said = f'; you said: "{clean(j.preference.said, 120)}"' if j.preference.said else ""
            out.append(
                replace(j, score=j.score + cosine, applies=True, reason=f"close to this request ({cosine:.2f}){said}")
            )
        else:
            out.append(replace(j, score=j.score + max(0.0, cosine)))
    return out


def _most_specific(judged: Sequence[_Judged]) -> list[_Judged]:
    """Of contrary statements on one subject that both apply, the one made for these circumstances holds."""
    special = {
        j.preference.subject: j.preference
        for j in judged
        if j.applies and not j.preference.scope.empty and j.preference.kind != "note"
    }
    out: list[_Judged] = []
    for j in judged:
        winner = special.get(j.preference.subject)
        general = j.applies and j.preference.scope.empty and j.preference.kind != "note"
        if general and winner is not None and winner.polarity != j.preference.polarity:
            out.append(replace(j, applies=False, reason=f"“{winner.text}” was said for this occasion"))
        else:
            out.append(j)
    return out


def _ago(then: datetime, now: datetime) -> str:
    days = (now - then).days
    return f"{days} days ago" if days < 60 else f"{days // 30} months ago"
