"""A subject whose answers are a plain function: for verdicts that must be able to fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from convrec.core.items import Item
from convrec.eval.subject import Reply


class SpokenSubject:
    """Answers by ``answer(text, user, session)``; keeps what it was told."""

    name = "spoken"

    def __init__(self, answer: Callable[[str, str, str], Reply]) -> None:
        self.answer = answer
        self.heard: list[tuple[str, str]] = []
        self.forgotten: list[str] = []

    def say(self, text: str, *, user: str, session: str) -> Reply:
        self.heard.append((user, text))
        return self.answer(text, user, session)

    def forget(self, user: str) -> None:
        self.forgotten.append(user)

    def close(self) -> None:
        pass


def shows(items: Sequence[Item], text: str = "Here you are.", **more: object) -> Reply:
    """A reply with these items."""
    return Reply(text, tuple(i.id for i in items), tuple(i.label for i in items), **more)  # type: ignore[arg-type]
