"""Who calls, and whose data they reach. The one place where a tenant's users are kept apart from another's."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Annotated

from convrec.core.errors import RequestError
from convrec.serve.keys import ApiKey
from pydantic import AfterValidator

MAX_USER, MAX_CONVERSATION = 128, 200
"""Characters. A stored user id is at most 48 (tenant) + 1 + 128 long; the stores take 200."""
_TEXT = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff/]+")


def _whole(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("it holds half of a surrogate pair; send whole characters") from None
    return text


WholeText = Annotated[str, AfterValidator(_whole)]
"""Text that can be stored and sent: JSON can write half of a character, no store can keep it."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request: a key of a tenant, or anybody when the server asks for no keys."""

    tenant: str = ""
    key_id: str = ""

    @classmethod
    def of(cls, key: ApiKey) -> Caller:
        return cls(key.tenant, key.id)

    def stored(self, user: str) -> str:
        """The id under which the stores know this caller's ``user``.

        A tenant's is ``tenant/user``. A user id as given never has a "/", so no caller can name a user of another
        tenant, nor, with a key, one of the terminal chat or of the page, nor the other way round.
        """
        checked = check_user(user)
        return f"{self.tenant}/{checked}" if self.tenant else checked


def check_user(user: str) -> str:
    """A user id as given.

    Raises:
        RequestError: empty, longer than 128 characters, or with '/', control characters or half surrogates.
    """
    return _checked("user", user, MAX_USER)


def check_conversation(conversation: str, field: str = "conversation_id") -> str:
    """A conversation id as given; the same rules, at most 200 characters."""
    return _checked(field, conversation, MAX_CONVERSATION)


def anonymous(conversation: str) -> str:
    """The user of a conversation without one: its own, so that no preference passes to another anonymous caller."""
    return "anon-" + hashlib.sha256(conversation.encode()).hexdigest()[:32]


def _checked(field: str, value: str, limit: int) -> str:
    if len(value) > limit or not _TEXT.fullmatch(value) or not value.strip():
        raise RequestError(field, value, f"It must have 1 to {limit} characters, without '/' and control characters")
    return value
