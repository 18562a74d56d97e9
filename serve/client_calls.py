"""What the calls of the Python client send and how they read what comes back; no connection is made here.

Answers are read by the server's own models, leniently: a newer server may send fields that are not known here.
"""

from __future__ import annotations

import email.utils
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from convrec.core.errors import ApiBusy, ApiError, RequestError, ServerUnreachable
from convrec.serve.api import schemas
from pydantic import BaseModel, ValidationError

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

Constraint = Mapping[str, Any]
"""As the API takes it: ``{"field": "year", "op": "ge", "values": [1990], "negate": False}``."""
LONGEST_WAIT_S = 60.0
"""A server that says to come back later than that is not waited for, seconds."""
NO_ANSWER = "what the server sent is no answer of convrec's API: is the address right, and is it a newer server?"


@dataclass(frozen=True, slots=True)
class Answer:
    """One turn's answer."""

    text: str
    facts: schemas.TurnFacts
    """Items, plan, conditions, preferences applied and remembered, fallbacks, times."""

    @property
    def items(self) -> list[schemas.Recommended]:
        """The recommended items, best first."""
        return self.facts.items

    @property
    def proposal(self) -> schemas.Proposed | None:
        """The plan that waits for approval after this turn; None when none does."""
        return self.facts.proposal

    @property
    def conversation_id(self) -> str:
        """Give it to the next call to go on with this conversation."""
        return self.facts.conversation_id


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a streamed answer. The last one has no text and the whole ``answer``."""

    text: str
    answer: Answer | None = None


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request and how its answer is read."""

    method: str
    path: str
    read: Callable[[Any], T]
    json: Any = None
    params: Mapping[str, Any] = field(default_factory=dict)


def chat(
    text: str,
    user: str | None,
    conversation_id: str | None,
    *,
    ask_approval: bool | None = None,
    approve: bool | None = None,
    stream: bool = False,
) -> Call[Answer]:
    body = {"model": "convrec", "messages": [{"role": "user", "content": text}], "stream": stream}
    named = {"metadata": {"conversation_id": conversation_id}} if conversation_id is not None else {}
    given = _given(user=user, ask_approval=ask_approval, approve=approve)
    return Call("POST", "/v1/chat/completions", _answer, json=given | body | named)


def recommend(
    text: str = "",
    *,
    history: Sequence[Mapping[str, str]] = (),
    liked: Sequence[str] = (),
    disliked: Sequence[str] = (),
    exclude: Sequence[str] = (),
    constraints: Sequence[Constraint] = (),
    user: str | None = None,
    limit: int | None = None,
) -> Call[schemas.Recommendation]:
    body = {
        "text": text,
        "history": [dict(said) for said in history],
        "liked": list(liked),
        "disliked": list(disliked),
        "exclude": list(exclude),
        "constraints": [dict(c) for c in constraints],
    }
    return Call(
        "POST", "/v1/recommendations", model(schemas.Recommendation), json=body | _given(user=user, limit=limit)
    )


def recommend_many(requests: Sequence[Mapping[str, Any]]) -> Call[list[schemas.BatchEntry]]:
    read = _data(schemas.RecommendationBatch)
    return Call("POST", "/v1/recommendations/batch", read, json={"requests": [dict(r) for r in requests]})


def search_items(q: str, constraints: Sequence[Constraint], limit: int, offset: int) -> Call[schemas.ItemPage]:
    body = {"q": q, "constraints": [dict(c) for c in constraints], "limit": limit, "offset": offset}
    return Call("POST", "/v1/items/search", model(schemas.ItemPage), json=body)


def item(item_id: str) -> Call[schemas.ItemRecord]:
    return Call("GET", f"/v1/items/{_part('item_id', item_id)}", model(schemas.ItemRecord))


def item_fields() -> Call[list[schemas.FieldInfo]]:
    return Call("GET", "/v1/items/fields", _data(schemas.FieldList))


def preferences(user: str, history: bool) -> Call[list[schemas.PreferenceRecord]]:
    return Call("GET", _user(user, "/preferences"), _data(schemas.PreferenceList), params={"history": history})


def search_preferences(user: str, q: str, limit: int) -> Call[list[schemas.FoundPreference]]:
    path = _user(user, "/preferences/search")
    return Call("GET", path, _data(schemas.FoundPreferences), params={"q": q, "limit": limit})


def add_preference(
    user: str, text: str, polarity: str, item: str | None, constraint: Constraint | None, standing: bool
) -> Call[schemas.PreferenceRecord]:
    body = {"text": text, "polarity": polarity, "standing": standing}
    more = _given(item=item, constraint=None if constraint is None else dict(constraint))
    return Call("POST", _user(user, "/preferences"), model(schemas.PreferenceRecord), json=body | more)


def change_preference(
    user: str, preference: str, text: str | None, polarity: str | None
) -> Call[schemas.PreferenceRecord]:
    path = _user(user, f"/preferences/{_part('preference', preference)}")
    return Call("PATCH", path, model(schemas.PreferenceRecord), json=_given(text=text, polarity=polarity))


def forget_preference(user: str, preference: str) -> Call[schemas.Deleted]:
    return Call("DELETE", _user(user, f"/preferences/{_part('preference', preference)}"), model(schemas.Deleted))


def forget_preferences(user: str) -> Call[schemas.DeletedMany]:
    return Call("DELETE", _user(user, "/preferences"), model(schemas.DeletedMany))


def export_preferences(user: str) -> Call[dict[str, Any]]:
    return Call("GET", _user(user, "/preferences/export"), _object)


def import_preferences(user: str, document: Mapping[str, Any]) -> Call[schemas.Imported]:
    return Call("POST", _user(user, "/preferences/import"), model(schemas.Imported), json=dict(document))


def profile(user: str) -> Call[schemas.ProfileText]:
    return Call("GET", _user(user, "/profile"), model(schemas.ProfileText))


def feedback(user: str, conversation_id: str, item: str, kind: str) -> Call[schemas.FeedbackKept]:
    body = {"user": user, "conversation_id": conversation_id, "item": item, "kind": kind}
    return Call("POST", "/v1/feedback", model(schemas.FeedbackKept), json=body)


def sessions(user: str, limit: int) -> Call[list[schemas.SessionSummary]]:
    return Call("GET", "/v1/sessions", _data(schemas.SessionList), params={"user": user, "limit": limit})


def session(user: str, session_id: str) -> Call[schemas.SessionRecord]:
    path = f"/v1/sessions/{_part('session_id', session_id)}"
    return Call("GET", path, model(schemas.SessionRecord), params={"user": user})


def erase_session(user: str, session_id: str) -> Call[schemas.Deleted]:
    path = f"/v1/sessions/{_part('session_id', session_id)}"
    return Call("DELETE", path, model(schemas.Deleted), params={"user": user})


def erase_user(user: str) -> Call[schemas.UserErased]:
    return Call("DELETE", _user(user, ""), model(schemas.UserErased))


def health() -> Call[schemas.Health]:
    return Call("GET", "/healthz", model(schemas.Health))


# -- reading ----------------------------------------------------------------------------------------------------------


def model(kind: type[M]) -> Callable[[Any], M]:
    """Reads one of the server's models; fields that are not known here are left out."""

    def read(data: Any) -> M:
        try:
            return kind.model_validate(data, extra="ignore")
        except ValidationError as error:
            raise ServerUnreachable(f"{NO_ANSWER} ({kind.__name__}: {error.errors()[0]['msg']})") from error

    return read


def read(call: Call[T], content: bytes) -> T:
    """The answer to ``call``.

    Raises:
        ServerUnreachable: it is none.
    """
    try:
        data = json.loads(content)
    except ValueError as error:
        raise ServerUnreachable(NO_ANSWER) from error
    return call.read(data)


def error_from(status: int, headers: Mapping[str, str], content: bytes) -> ApiError:
    """The error that an answer of that status is. Header names in lower case or of any case, as httpx has them."""
    try:
        detail = json.loads(content)["error"]
        message, code, param = str(detail["message"]), detail.get("code"), detail.get("param")
    except (ValueError, KeyError, TypeError, AttributeError):  # a proxy's page, for example
        message, code, param = f"the server answered {status} without saying why", None, None
    later = _retry_after(headers.get("retry-after"))
    kind = ApiBusy if status == 429 or (status == 503 and later is not None) else ApiError
    return kind(
        message,
        status=status,
        code=code if isinstance(code, str) else None,
        field=param if isinstance(param, str) else None,
        request_id=headers.get("x-request-id"),
        retry_after=later,
    )


def wait_before_retry(error: ApiError, tried: int, retries: int) -> float | None:
    """How long to wait before the request is sent again, seconds; None: not at all.

    Only what the server turned away unread is sent again (see :class:`ApiBusy`); without Retry-After after 1, 2, 4 s.
    """
    if tried >= retries or not isinstance(error, ApiBusy):
        return None
    wait = error.retry_after if error.retry_after is not None else float(2**tried)
    return wait if wait <= LONGEST_WAIT_S else None


class StreamReader:
    """Puts the lines of a streamed answer together."""

    def __init__(self) -> None:
        self._said: list[str] = []
        self._done = False

    def feed(self, line: str) -> Piece | None:
        """What a line adds, None for nothing.

        Raises:
            ApiError: the turn failed on the way.
            ServerUnreachable: the line is none of this API's.
        """
        if not line.startswith("data:"):
            return None
        text = line.removeprefix("data:").strip()
        if text == "[DONE]":
            return None
        try:
            chunk = json.loads(text)
            if "error" in chunk:
                raise error_from(200, {}, text.encode())
            facts = chunk.get("convrec")
            delta = chunk["choices"][0]["delta"].get("content") if chunk["choices"] else None
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise ServerUnreachable(NO_ANSWER) from error
        if facts is not None:
            self._done = True
            return Piece("", Answer("".join(self._said), model(schemas.TurnFacts)(facts)))
        if not delta:
            return None
        self._said.append(str(delta))
        return Piece(str(delta))

    def end(self) -> None:
        """Raises:
        ServerUnreachable: the stream ended before the answer did.
        """
        if not self._done:
            raise ServerUnreachable("the stream broke off before the answer was whole; the turn may be repeated")


def _answer(data: Any) -> Answer:
    whole = model(schemas.ChatCompletion)(data)
    return Answer(whole.choices[0].message.content, whole.convrec)


def _data(kind: type[BaseModel]) -> Callable[[Any], Any]:
    reader = model(kind)
    return lambda data: getattr(reader(data), "data")  # noqa: B009 - all of these kinds have it


def _object(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise ServerUnreachable(NO_ANSWER)
    return data


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _user(user: str, rest: str) -> str:
    return f"/v1/users/{_part('user', user)}{rest}"


def _part(name: str, value: str) -> str:
    """An id as a part of an address. "" and ".." would make it another address."""
    if not value or value in (".", ".."):
        raise RequestError(name, value, "Give an id of one or more characters, other than '.' and '..'")
    try:
        return quote(value, safe="")
    except UnicodeEncodeError as error:
        raise RequestError(name, value, "Send whole characters, not half of a surrogate pair") from error


def _retry_after(given: str | None) -> float | None:
    """Seconds; the header may hold them or a date."""
    if given is None:
        return None
    if given.strip().isdigit():
        return float(given)
    try:
        at = email.utils.parsedate_to_datetime(given)
    except ValueError:
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
