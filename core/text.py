"""Text normalisation shared by linking, rule reading and verification."""

from __future__ import annotations

import re
import unicodedata

_APOSTROPHES = re.compile(r"[’‘`´']")
_NOT_WORD = re.compile(r"[^0-9a-z]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
# Letters that NFKD does not take apart.
_SPECIAL = str.maketrans(
    {"ø": "o", "Ø": "o", "ł": "l", "Ł": "l", "ß": "ss", "æ": "ae", "Æ": "ae", "œ": "oe", "&": " and "}
)


def fold(text: str) -> str:
    """Lower case, accents and apostrophes removed, everything else that is no letter or digit one space.

    ``"Amélie's  Été!"`` -> ``"amelies ete"``. A text with no Latin letter or digit keeps its case-folded form, so that
    a Japanese title is still a key.
    """
    base = text.translate(_SPECIAL)
    if base.isascii():  # nothing to take apart; most texts, and several times as fast
        base = base.lower()
    else:
        base = unicodedata.normalize("NFKD", base).casefold()
        base = "".join(c for c in base if not unicodedata.combining(c))
    folded = _NOT_WORD.sub(" ", _APOSTROPHES.sub("", base)).strip()
    return folded or " ".join(base.split())


def clean(text: str, limit: int) -> str:
    """Untrusted text made safe to show or to put in a prompt: no control or direction characters, at most ``limit``
    characters, white space runs folded to one space."""
    return " ".join(_CONTROL.sub(" ", text).split())[:limit]


def visible(text: str) -> str:
    """Untrusted text made safe for a terminal, spaces and line breaks kept: no escape, control or direction characters.

    Works piece by piece, so that a streamed text can be passed through as it comes.
    """
    return _CONTROL.sub("", text.replace("\r", " "))
