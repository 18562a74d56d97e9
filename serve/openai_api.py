"""OpenAI's chat completions format: what is read from a request, and what an answer, a chunk and an error look like."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal
from uuid import uuid4

from convrec.agent.events import TurnResult
from convrec.core.errors import RequestError
from pydantic import BaseModel, ConfigDict, Field

MODEL = "convrec"
MAX_REPLAY = 10
"""Earlier user messages that are run again, silently, when a conversation is not known; older ones are left out."""
MAX_CONVERSATIONS = 10_000
"""Conversations without an id that are remembered at once; the longest unused one goes first."""
_ID = re.compile(r"[^\x00-\x1f\x7f/]{1,200}")

# Accepted because clients send them unasked, and without effect: the agent does not sample its picks.
IGNORED = (
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "reasoning_effort",
    "verbosity",
)


class ContentPart(BaseModel):
    """One part of a message; only ``text`` parts are read."""

    model_config = ConfigDict(extra="allow")

    type: str
    text: str | None = None


class ChatMessage(BaseModel):
    """One message of the history."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[ContentPart] | None = None


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="allow")

    include_usage: bool | None = None


class ChatRequest(BaseModel):
    """The body of ``POST /v1/chat/completions``. Sampling parameters are accepted and have no effect."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "model": MODEL,
                    "messages": [{"role": "user", "content": "a Korean thriller under two hours"}],
                    "user": "alice",
                    "metadata": {"conversation_id": "alice-2026-01-31"},
                }
            ]
        },
    )

    model: str = Field(description=f'always "{MODEL}"')
    messages: list[ChatMessage] = Field(min_length=1, description="the last user message is the turn")
    stream: bool | None = Field(None, description="server-sent events instead of one JSON object")
    stream_options: StreamOptions | None = None
    user: str | None = Field(None, description="whose preferences are read and written; none: anonymous")
    metadata: dict[str, str] | None = Field(None, description="``conversation_id`` names the conversation")
    n: int | None = Field(None, description="only 1")
    response_format: Any = Field(None, description='only {"type": "text"}')
    tools: Any = Field(None, description="not supported")
    tool_choice: Any = Field(None, description="not supported")
    functions: Any = Field(None, description="not supported")
    function_call: Any = Field(None, description="not supported")
    audio: Any = Field(None, description="not supported")
    modalities: Any = Field(None, description='only ["text"]')
    logprobs: bool | None = Field(None, description="not supported")


@dataclass(frozen=True, slots=True)
class ChatTurn:
    """What one request asks for."""

    text: str
    user: str | None
    conversation: str | None
    """As named by the client, None when it named none."""
    earlier: tuple[tuple[str, str], ...]
    """(role, text) of the user and assistant messages before the turn."""
    stream: bool
    include_usage: bool
    ignored: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Conversation:
    """Where a turn is run."""

    user: str
    session_id: str
    replay: tuple[str, ...]
    """Earlier user messages to run first if the agent does not know the session."""
    named: bool
    """The client named it; else it is found again by what was said."""


def read_turn(request: ChatRequest, *, header_id: str | None, max_chars: int) -> ChatTurn:
    """The turn of a request.

    Raises:
        RequestError: something that cannot be honoured; the field is named as OpenAI's ``param``.
    """
    _refuse_unsupported(request)
    texts = [_text(message, index) for index, message in enumerate(request.messages)]
    last = max((i for i, message in enumerate(request.messages) if message.role == "user"), default=None)
    if last is None:
        raise RequestError("messages", [m.role for m in request.messages], "Send at least one message with role 'user'")
    if any(message.role == "assistant" for message in request.messages[last + 1 :]):
        raise RequestError("messages", "assistant", "The last message must have the role 'user'")
    text = texts[last].strip()
    if not text:
        raise RequestError(f"messages[{last}].content", texts[last], "Say what you are after: it must not be empty")
    for index, message in enumerate(request.messages):
        if message.role == "user" and len(texts[index].strip()) > max_chars:
            remedy = f"It has {len(texts[index])} characters; at most {max_chars} are read"
            raise RequestError(f"messages[{index}].content", texts[index][:40] + "...", remedy)
    ignored = [name for name in IGNORED if (request.model_extra or {}).get(name) is not None]
    if any(message.role in ("system", "developer") for message in request.messages):
        ignored.append("system messages")
    named = (request.metadata or {}).get("conversation_id", header_id)
    return ChatTurn(
        text=text,
        user=None if request.user is None else check_id("user", request.user),
        conversation=None if named is None else check_id("metadata.conversation_id", named),
        earlier=tuple(
            (message.role, texts[i])
            for i, message in enumerate(request.messages[:last])
            if message.role in ("user", "assistant") and texts[i].strip()
        ),
        stream=bool(request.stream),
        include_usage=bool(request.stream_options and request.stream_options.include_usage),
        ignored=tuple(ignored),
    )


def check_id(field: str, value: str) -> str:
    """A user or conversation id as given.

    Raises:
        RequestError: empty, longer than 200 characters, or with '/' or control characters (it is part of addresses).
    """
    if not _ID.fullmatch(value) or not value.strip():
        raise RequestError(field, value, "It must have 1 to 200 characters, without '/' and control characters")
    return value


def _refuse_unsupported(request: ChatRequest) -> None:
    for name in ("tools", "functions", "audio", "logprobs"):
        value = getattr(request, name)
        if value:
            raise RequestError(name, value, f"This model does not support it: leave {name!r} out")
    for name in ("tool_choice", "function_call"):
        value = getattr(request, name)
        if value not in (None, "none", "auto"):
            raise RequestError(name, value, f"This model calls no client tools: leave {name!r} out")
    if request.n not in (None, 1):
        raise RequestError("n", request.n, "One answer is given per request: send 1 or leave 'n' out")
    if request.modalities not in (None, ["text"]):
        raise RequestError("modalities", request.modalities, 'Only ["text"] is supported')
    chosen = request.response_format
    if chosen is not None and chosen != {"type": "text"}:
        raise RequestError(
            "response_format", chosen, "Only text is supported; recommendations come as data in the field 'convrec'"
        )


def _text(message: ChatMessage, index: int) -> str:
    content = message.content
    if content is None:
        if message.role == "assistant":
            return ""
        raise RequestError(f"messages[{index}].content", None, "Send a string or a list of text parts")
    if isinstance(content, str):
        return content
    for number, part in enumerate(content):
        if part.type != "text" or part.text is None:
            where = f"messages[{index}].content[{number}]"
            raise RequestError(where, part.type, "Only parts {'type': 'text', 'text': '...'} are supported")
    return "\n".join(part.text or "" for part in content)


class Conversations:
    """Finds the conversation that a request continues.

    A named one is taken by its name. OpenAI's clients name none and send the whole history instead: such a
    conversation is found again by a fingerprint of exactly that history, answers included. The entry is used up when it
    is continued, so two callers who happen to have had the same words and answers never come to share a session.
    Not thread-safe: used from the event loop only.
    """

    def __init__(self, limit: int = MAX_CONVERSATIONS) -> None:
        self._limit = limit
        self._sessions: OrderedDict[str, list[str]] = OrderedDict()

    def resolve(self, turn: ChatTurn) -> Conversation:
        replay = tuple(text for role, text in turn.earlier if role == "user")[-MAX_REPLAY:]
        session = turn.conversation
        if session is None and turn.earlier:
            session = self._take(_fingerprint(turn.user, turn.earlier))
        if session is None:
            session = uuid4().hex
        return Conversation(turn.user or _anonymous(session), session, replay, turn.conversation is not None)

    def finished(self, turn: ChatTurn, conversation: Conversation, reply: str) -> None:
        """Remember what a request that continues this turn will send as its history."""
        if conversation.named:
            return
        key = _fingerprint(turn.user, (*turn.earlier, ("user", turn.text), ("assistant", reply)))
        self._sessions.setdefault(key, []).append(conversation.session_id)
        self._sessions.move_to_end(key)
        while len(self._sessions) > self._limit:
            self._sessions.popitem(last=False)

    def _take(self, key: str) -> str | None:
        sessions = self._sessions.get(key)
        if not sessions:
            return None
        session = sessions.pop()
        if not sessions:
            del self._sessions[key]
        return session


def _fingerprint(user: str | None, messages: Sequence[tuple[str, str]]) -> str:
    said = [[role, " ".join(text.split())] for role, text in messages]
    return hashlib.sha256(json.dumps([user, said]).encode()).hexdigest()


def _anonymous(session_id: str) -> str:
    """The user of a conversation without one: its own, so that no preference passes to another anonymous caller."""
    return "anon-" + hashlib.sha256(session_id.encode()).hexdigest()[:32]


def extension(result: TurnResult, turn: ChatTurn, conversation: Conversation, replayed: int) -> dict[str, Any]:
    """The field ``convrec``: what the turn found, as data."""
    data = asdict(result)
    kept = ("items", "plan", "planner", "tier", "conditions", "relaxed", "applied_preferences", "remembered")
    return {
        **{name: data[name] for name in (*kept, "fallbacks", "tools", "timings", "llm")},
        "llm_model": result.model,
        "user": conversation.user,
        "conversation_id": conversation.session_id,
        "turn": result.turn,
        "replayed": replayed,
        "ignored": list(turn.ignored),
    }


def usage(result: TurnResult) -> dict[str, int]:
    """Tokens of all language model calls of the turn; zeros when none was made."""
    prompt, generated = result.llm.get("prompt_tokens", 0), result.llm.get("generated_tokens", 0)
    return {"prompt_tokens": prompt, "completion_tokens": generated, "total_tokens": prompt + generated}


def completion(result: TurnResult, extra: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request that does not stream."""
    return {
        "id": f"chatcmpl-{uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": result.text, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": usage(result),
        "convrec": extra,
    }


class ChunkWriter:
    """The chunks of one streamed answer, as lines of server-sent events."""

    def __init__(self, *, include_usage: bool) -> None:
        self._head = {
            "id": f"chatcmpl-{uuid4().hex}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": MODEL,
        }
        # OpenAI: with include_usage every chunk has the field, null but in the last.
        self._usage: dict[str, Any] = {"usage": None} if include_usage else {}

    def role(self) -> str:
        return self._chunk({"role": "assistant", "content": ""}, None)

    def delta(self, text: str) -> str:
        return self._chunk({"content": text}, None)

    def last(self, result: TurnResult, extra: dict[str, Any]) -> str:
        """The chunk with the finish reason and the field ``convrec``, then the usage when it was asked for."""
        out = self._chunk({}, "stop", convrec=extra)
        if self._usage:
            out += sse({**self._head, "choices": [], "usage": usage(result)})
        return out

    def _chunk(self, delta: dict[str, Any], finish: str | None, **more: Any) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return sse({**self._head, "choices": [choice], **self._usage, **more})


DONE = "data: [DONE]\n\n"


def sse(value: dict[str, Any]) -> str:
    # ASCII: no character that some reader takes for a line end, U+2028 among them, comes through.
    return f"data: {json.dumps(value)}\n\n"


def error_body(message: str, *, kind: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """OpenAI's error object."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def param_name(location: Sequence[str | int]) -> str | None:
    """pydantic's place of an error as OpenAI writes it: ("body", "messages", 0, "role") -> "messages[0].role"."""
    name = ""
    for part in location[1:] if location and location[0] in ("body", "path", "query", "header") else location:
        if isinstance(part, int):
            name += f"[{part}]"
        elif part == "str" or "[" in part:  # the branch of a union, no field
            continue
        else:
            name += f".{part}" if name else part
    return name or None
