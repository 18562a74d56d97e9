"""The profile of a user: what holds at every turn, compiled from many records into one.

A turn then reads one profile and the few records that are not in it, instead of all: those said since it was made, and
those that hold only at times (summarise, then retrieve: LettinGo, arXiv:2506.18309). It is made off the turn's path and
kept true by every write: a record that is changed or erased leaves the profile in the same step of the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from convrec.memory import confidence
from convrec.memory.records import Polarity, Preference
from pydantic import AwareDatetime, BaseModel, ConfigDict

PROFILE_ID = "profile"
REFRESH_AFTER = 5
"""New records after which the profile is made again."""
REFRESH_DAYS = 7.0
"""Age after which it is made again, since confidence fades."""
LISTED = 6
"""Things named per line of the summary; more are counted."""


class Rule(BaseModel):
    """One statement that holds at every turn."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    kind: str
    polarity: Polarity
    subject: str
    text: str
    payload: dict[str, Any]
    confidence: float
    created: AwareDatetime


class Liking(BaseModel):
    """What is thought of one item."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    item: str
    catalogue: str
    label: str
    polarity: Polarity
    strength: float


class Profile(BaseModel):
    """Compiled from the records ``covers``; no words of the user are in it but those of the rules' short forms."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    built: AwareDatetime
    rules: tuple[Rule, ...] = ()
    likings: tuple[Liking, ...] = ()

    @property
    def covers(self) -> frozenset[str]:
        """Ids of the records that need not be read beside it."""
        return frozenset([*(rule.id for rule in self.rules), *(liking.id for liking in self.likings)])

    def without(self, ids: Iterable[str]) -> Profile:
        """A copy that knows nothing of these records."""
        gone = frozenset(ids)
        return self.model_copy(
            update={
                "rules": tuple(r for r in self.rules if r.id not in gone),
                "likings": tuple(i for i in self.likings if i.id not in gone),
            }
        )

    def stale(self, fresh: int, at: datetime) -> bool:
        """Whether to make it again: ``fresh`` records are not in it yet."""
        return fresh >= REFRESH_AFTER or (at - self.built).total_seconds() > REFRESH_DAYS * 86400

    def preferences(self, user: str) -> list[Preference]:
        """As records, for whoever applies them; without the words and turns they came from."""
        rules = [
            Preference(
                id=r.id, user=user, kind=r.kind, polarity=r.polarity, subject=r.subject, text=r.text,
                payload=r.payload, confidence=r.confidence, created=r.created,
            )
            for r in self.rules
        ]  # fmt: skip
        likings = [
            Preference(
                id=i.id, user=user, kind="item", polarity=i.polarity, subject=f"item:{i.item}"[:200],
                text=f"{i.polarity} {i.label}"[:500], strength=i.strength,
                payload={"item": i.item, "catalogue": i.catalogue}, created=self.built,
            )
            for i in self.likings
        ]  # fmt: skip
        return rules + likings

    def summary(self) -> str:
        """The profile in plain words, a sentence per line; "" when it holds nothing."""
        always = [r.text.removeprefix("always: ") for r in self.rules if r.kind == "standing"]
        wanted = [r.text.removeprefix("likes: ") for r in self.rules
                  if r.kind == "attribute" and r.polarity in ("wanted", "liked")]  # fmt: skip
        unwanted = [r.text.removeprefix("not ") for r in self.rules
                    if r.kind == "attribute" and r.polarity in ("unwanted", "disliked")]  # fmt: skip
        lines = [("Always", always), ("Likes", wanted), ("Does not like", unwanted)]
        for head, polarity in (("Liked", "liked"), ("Disliked", "disliked"), ("Has seen", "seen")):
            lines.append((head, [i.label for i in self.likings if i.polarity == polarity]))
        return "\n".join(f"{head}: {_listed(things)}." for head, things in lines if things)


def build(records: Sequence[Preference], at: datetime) -> Profile:
    """Compile what holds at every turn; what holds only at times, notes and what has faded are left to be read."""
    rules: list[Rule] = []
    likings: list[Liking] = []
    for p in records:
        sure = confidence.now(p, at)
        if not steady(p) or sure < confidence.FLOOR:
            continue
        if p.kind == "item":
            likings.append(
                Liking(
                    id=p.id,
                    item=p.subject.removeprefix("item:"),
                    catalogue=str(p.payload.get("catalogue", "")),
                    label=p.text.removeprefix(f"{p.polarity} "),
                    polarity=p.polarity,
                    strength=p.strength,
                )
            )
        else:
            rules.append(
                Rule(
                    id=p.id, kind=p.kind, polarity=p.polarity, subject=p.subject, text=p.text, payload=p.payload,
                    confidence=round(sure, 4), created=p.created,
                )
            )  # fmt: skip
    return Profile(built=at, rules=tuple(rules), likings=tuple(likings))


def steady(preference: Preference) -> bool:
    """Whether it belongs into a profile: it holds now, at every turn, and says something machines can act on."""
    timeless = preference.valid_from is None and preference.valid_until is None
    acts = preference.kind == "item" or isinstance(preference.payload.get("condition"), dict)
    return preference.superseded_by is None and preference.scope.empty and timeless and acts


def _listed(things: Sequence[str]) -> str:
    more = f" and {len(things) - LISTED} more" if len(things) > LISTED else ""
    return ", ".join(things[:LISTED]) + more
