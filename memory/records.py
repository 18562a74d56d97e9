"""What is believed about a user: one record per statement, with where it came from and when it holds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Kind = Literal["item", "attribute", "standing", "note"]
Polarity = Literal["liked", "disliked", "seen", "rejected", "wanted", "unwanted", "neutral"]

MAX_SOURCES = 50
"""Places of origin kept per record, the newest; each repetition adds one."""


class Scope(BaseModel):
    """When a statement applies: "with the kids", "on weekdays", "at work", "except at Christmas".

    Facets are ``group:value`` as :mod:`convrec.memory.situations` reads them: ``company:children``, ``day:weekday``,
    ``place:work``. Facets of one group are alternatives, groups are all required.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    facets: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    """It does not apply when one of these does."""
    words: str = Field("", max_length=200)
    """The user's own words of the condition; what decides when no facet was read from them."""

    @property
    def empty(self) -> bool:
        """It applies always."""
        return not (self.facets or self.unless or self.words)

    @property
    def key(self) -> str:
        """The same for the same scope in other words; "" when it applies always."""
        if self.empty:
            return ""
        parts = [*sorted(self.facets), *(f"!{facet}" for facet in sorted(self.unless))]
        return "+".join(parts) if parts else self.words.casefold()[:60]


ALWAYS = Scope()


class Source(BaseModel):
    """One time a statement was made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    session: str = ""
    turn: int = Field(0, ge=0)
    said: str = Field("", max_length=500)


class NewPreference(BaseModel):
    """A statement to be remembered, before it has an id."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    polarity: Polarity
    subject: str = Field(min_length=1, max_length=200)
    """What it is about, as a key: ``item:tt0113277``, ``genres=Horror``, ``people=Al Pacino``, ``audience=children``.
    A new statement on the same subject, with the same scope, supersedes the old one."""
    text: str = Field(min_length=1, max_length=500)
    """Plain words, as shown to the user: "never horror", "liked Heat (1995)"."""
    said: str = Field("", max_length=500)
    """The user's words it was read from."""
    confidence: float = Field(0.9, ge=0.0, le=1.0)
    """As of ``created``; it fades from there, see :func:`convrec.memory.confidence.now`."""
    strength: float = Field(0.7, ge=0.0, le=1.0)
    """How much it is liked or disliked: "loved" 1, "liked" .7, "fine" .4."""
    scope: Scope = ALWAYS
    valid_from: AwareDatetime | None = None
    valid_until: AwareDatetime | None = None
    """It holds before this time: "this week". None: until it is superseded."""
    payload: dict[str, Any] = Field(default_factory=dict)
    """JSON for machines: the condition to apply, the item's id."""
    source_session: str = ""
    source_turn: int = Field(0, ge=0)


class Preference(NewPreference):
    """A remembered statement."""

    id: str = Field(default_factory=lambda: uuid4().hex)
    user: str = Field(min_length=1, max_length=200)
    created: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))
    """When it was said last."""
    times: int = Field(1, ge=1)
    """How often it was said."""
    sources: tuple[Source, ...] = ()
    """Where it was said before, oldest first, the last time (``source_session``, ``source_turn``, ``said``) not
    among them."""
    superseded_by: str | None = None
    """Id of the newer statement on the same subject; None while it holds."""
    superseded_at: AwareDatetime | None = None

    @property
    def origins(self) -> tuple[Source, ...]:
        """Every known place where it was said, oldest first."""
        return (*self.sources, Source(session=self.source_session, turn=self.source_turn, said=self.said))


class RecalledPreference(BaseModel):
    """A preference as recalled for one request."""

    model_config = ConfigDict(frozen=True)

    preference: Preference
    score: float
    """Relevance to the request, -1..1; 1.0 for those that always apply."""
    reason: str
    """Why it was recalled or left out, in plain words."""


class ImportReport(BaseModel):
    """What an import did."""

    model_config = ConfigDict(frozen=True)

    added: int
    unchanged: int
    """Already there, word for word."""
    skipped: int = 0
    """The user has a newer record under the same id."""
