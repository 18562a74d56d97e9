"""What the tests of language models ask of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from convrec.agent.llm.base import Message
from convrec.core.pull import path as model_path
from convrec.core.settings import load_settings

SMOL = "smollm2-135m-instruct"
CONTEXT = int(os.environ.get("CONVREC_CONTRACT_CONTEXT", "1024"))
TIMEOUT_S = 120.0
HELLO: list[Message] = [("system", "You are brief."), ("user", "Say hello to Ann.")]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "action": {"enum": ["recommend", "chat"]},
        "genres": {"type": "array", "items": {"enum": ["Comedy", "Drama"]}, "maxItems": 2},
    },
    "required": ["action", "genres"],
    "additionalProperties": False,
}
QUESTIONS: list[list[Message]] = [
    [("system", "Answer Yes or No."), ("user", f"Is {what} an animal? Answer Yes or No.")]
    for what in ("a dog", "a stone", "a cat")
]
POEM: list[Message] = [("user", "Write a long poem about the sea.")]


def smol_file() -> Path:
    file = model_path(SMOL, load_settings())
    if file is None:
        pytest.fail(f"the weights of {SMOL} are missing. Run: convrec models pull {SMOL}")
    return file
