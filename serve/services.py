"""What the commands are given by the composition root."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convrec.agent.api import ConversationalAgent
    from convrec.core.settings import Settings


@dataclass(frozen=True, slots=True)
class Services:
    """Settings and the way to an agent; ``ctx.obj`` of every command."""

    settings: Settings
    open_agent: Callable[[Settings], ConversationalAgent]
    verbose: bool = False

    def with_settings(self, **changes: object) -> Settings:
        """The settings with the options of one command; None means "as set"."""
        update: dict[str, Any] = {key: value for key, value in changes.items() if value is not None}
        return self.settings.model_copy(update=update)

    @contextmanager
    def agent(self, settings: Settings) -> Iterator[ConversationalAgent]:
        """An agent that is closed at the end, also after an error."""
        agent = self.open_agent(settings)
        try:
            yield agent
        finally:
            agent.close()
