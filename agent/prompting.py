"""Prompts are files; this renders them. The fixed part comes first and is byte-identical, so that it is cached once."""

from __future__ import annotations

from functools import cache
from importlib import resources
from string import Template

from convrec.core.text import clean
from convrec.tools.schema import Schema

MESSAGE_CHARS = 1200
"""How much of one user message goes into a prompt."""


@cache
def _template(name: str) -> Template:
    return Template(resources.files("convrec.agent").joinpath("prompts", f"{name}.txt").read_text(encoding="utf-8"))


def render(name: str, schema: Schema, **values: object) -> str:
    """A prompt file with its placeholders filled; an unknown placeholder is an error (KeyError)."""
    filled = {"noun": schema.item_noun, "nouns": schema.item_noun_plural, **{k: str(v) for k, v in values.items()}}
    return _template(name).substitute(filled)


def tagged(tag: str, text: str, limit: int = MESSAGE_CHARS) -> str:
    """Untrusted text as data between tags: control characters and anything that could close the tag are taken out."""
    return f"<{tag}>{clean(text, limit).replace('<', '(').replace('>', ')')}</{tag}>"
