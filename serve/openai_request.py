"""OpenAI's chat completions format: what is read from a request, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from convrec.agent.api import Approval
from convrec.core.errors import RequestError
from convrec.serve.api.identity import WholeText, check_conversation, check_user
from pydantic import BaseModel, ConfigDict, Field

MODEL = "convrec"

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
    text: WholeText | None = None


class ChatMessage(BaseModel):
    """One message of the history."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant"]
    content: WholeText | list[ContentPart] | None = None


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
    ask_approval: bool | None = Field(
        None,
        description="not OpenAI's: show the plan, run no tool before it is approved; none: the server's setting",
    )
    approve: bool | None = Field(
        None,
        description="not OpenAI's: true carries out the plan that waits in this conversation, false drops it, whatever "
        "the last message says",
    )
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
    approval: Approval | None = None


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
        user=None if request.user is None else check_user(request.user),
        conversation=None if named is None else check_conversation(named, "metadata.conversation_id"),
        earlier=tuple(
            (message.role, texts[i])
            for i, message in enumerate(request.messages[:last])
            if message.role in ("user", "assistant") and texts[i].strip()
        ),
        stream=bool(request.stream),
        include_usage=bool(request.stream_options and request.stream_options.include_usage),
        ignored=tuple(ignored),
        approval=_approval(request),
    )


def _approval(request: ChatRequest) -> Approval | None:
    if request.approve is not None:
        return "yes" if request.approve else "no"
    if request.ask_approval is not None:
        return "ask" if request.ask_approval else "off"
    return None


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
