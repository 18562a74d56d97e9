"""What the surfaces need of an agent, and nothing more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from convrec.agent.events import Event

if TYPE_CHECKING:
    from convrec.memory.preferences import PreferenceMemory
    from convrec.memory.session_states import Sessions
    from convrec.tools.catalogue import Catalogue

Approval: TypeAlias = Literal["ask", "off", "yes", "no"]
"""ask: show the plan and wait before any tool runs. off: act at once. yes, no: carry out, drop the plan that waits."""


@dataclass(frozen=True, slots=True)
class AgentInfo:
    """What answers: shown by every surface."""

    tier: str
    """served | embedded | none"""
    model: str
    """Model name, "rules" for the tier none."""
    catalogue: str
    items: int
    item_noun_plural: str
    note: str = ""
    """Why ``auto`` took this tier."""


class ConversationalAgent(Protocol):
    """An agent serves many users and sessions at once; all state is in the session, keyed by user and session id."""

    @property
    def info(self) -> AgentInfo: ...

    @property
    def catalogue(self) -> Catalogue: ...

    @property
    def preferences(self) -> PreferenceMemory: ...

    @property
    def sessions(self) -> Sessions: ...

    def turn(self, text: str, *, user: str, session_id: str, approval: Approval | None = None) -> Iterator[Event]:
        """Run one turn. Yields events as they happen; the last one is ``Finished``.

        Args:
            approval: whether a plan is shown first, or what is said outright of the one that waits, whatever ``text``
                says; None: as the setting ``turn.approve``, and ``text`` says the rest.

        Raises:
            RequestError: empty or too long ``text``, ``user`` or ``session_id``; ``approval`` is "yes" or "no" and no
                plan waits (before the first event).
        """
        ...

    def reset(self, *, user: str, session_id: str) -> None:
        """Forget the conversation (candidates, slates, conditions), not the user's preferences."""
        ...

    def history(self, *, user: str, session_id: str) -> list[tuple[str, str]]:
        """(user text, reply text) of the turns so far, oldest first."""
        ...

    def feedback(self, *, user: str, session_id: str, item_id: str, kind: str) -> str:
        """Record "liked", "disliked" or "seen" for an item of the catalogue; returns what was remembered, in words.

        Raises:
            RequestError: unknown item or kind.
        """
        ...

    def warm(self) -> None:
        """Load models and caches ahead of the first turn; safe to call from another thread, more than once."""
        ...

    def close(self) -> None: ...
