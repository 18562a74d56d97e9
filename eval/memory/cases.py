"""The written cases by split: ``dev`` to work with, ``held-out`` looked at once, ``test`` for the figures. Of the
sentences there are two more, written later and together: ``fresh``, whose errors were read after its first run, and
``unread``, whose errors never were; ``unread2``, written after the rules had been mended on all these, is kept unread
too; ``indirect`` holds tastes of one's own that are not put as such."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
FILES = ("conditional.jsonl", "statements.jsonl", "facts.jsonl")
DEV, HELD_OUT, TEST, FRESH, UNREAD, INDIRECT = "dev", "held-out", "test", "fresh", "unread", "indirect"
UNREAD2 = "unread2"
SPLITS = (DEV, HELD_OUT, TEST, FRESH, UNREAD, UNREAD2, INDIRECT)


@dataclass(frozen=True, slots=True)
class Conditional:
    """A standing instruction with a condition, and a request that meets it or does not."""

    id: str
    split: str
    instruction: str
    request: str
    at: datetime
    applies: bool


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence of a user; what is to be remembered of it, or nothing (``polarity`` is None)."""

    id: str
    split: str
    text: str
    polarity: str | None
    word: str


@dataclass(frozen=True, slots=True)
class Planted:
    """One or two things said once, and a later request that needs them all without naming them."""

    id: str
    split: str
    facts: tuple[str, ...]
    request: str


def conditionals() -> list[Conditional]:
    return [
        Conditional(c["id"], c["split"], c["instruction"], c["request"], datetime.fromisoformat(c["at"]), c["applies"])
        for c in _lines("conditional.jsonl")
    ]


def statements() -> list[Said]:
    out = []
    for c in _lines("statements.jsonl"):
        wanted = c["remember"] or {"polarity": None, "word": ""}
        out.append(Said(c["id"], c["split"], c["text"], wanted["polarity"], wanted["word"]))
    return out


def planted() -> list[Planted]:
    return [Planted(c["id"], c["split"], tuple(c["facts"]), c["request"]) for c in _lines("facts.jsonl")]


def hashes() -> dict[str, str]:
    """SHA-256 of each file of cases."""
    return {name: hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() for name in FILES}


def _lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(text) for text in (FOLDER / name).read_text(encoding="utf-8").splitlines() if text]
