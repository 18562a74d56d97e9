"""OpenAI's chat completions format: what an answer, a chunk and an error look like."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from convrec.agent.events import TurnResult
from convrec.serve.openai_request import MODEL


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
