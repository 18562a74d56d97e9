"""What is believed about a user: one record per statement, with where it came from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["item", "attribute", "standing", "note"]
Polarity = Literal["liked", "disliked", "seen", "rejected", "wanted", "unwanted", "neutral"]


class NewPreference(BaseModel):
    """A statement to be remembered, before it has an id."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    polarity: Polarity
    subject: str = Field(min_length=1, max_length=200)
    """What it is about, as a key: ``item:tt0113277``, ``genres=Horror``, ``people=Al Pacino``, ``audience=children``.
    A new statement on the same subject supersedes the old one."""
    text: str = Field(min_length=1, max_length=500)
    """Plain words, as shown to the user: "never horror", "liked Heat (1995)"."""
    said: str = Field("", max_length=500)
    """The user's words it was read from."""
    confidence: float = Field(0.9, ge=0.0, le=1.0)
    payload: dict[str, Any] = Field(default_factory=dict)
    """JSON for machines: the condition to apply, the item's id."""
    source_session: str = ""
    source_turn: int = Field(0, ge=0)


class Preference(NewPreference):
    """A remembered statement."""

    id: str = Field(default_factory=lambda: uuid4().hex)
    user: str = Field(min_length=1, max_length=200)
    created: datetime = Field(default_factory=lambda: datetime.now(UTC))
    superseded_by: str | None = None
    """Id of the newer statement on the same subject; None while it holds."""


class RecalledPreference(BaseModel):
    """A preference as recalled for one request."""

    model_config = ConfigDict(frozen=True)

    preference: Preference
    score: float
    """Cosine similarity to the request, -1..1; 1.0 for those that always apply."""
    reason: str
    """Why it was recalled, in plain words."""
