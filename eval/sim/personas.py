"""How a simulated user behaves: patience, vagueness, typing, changes of mind, reactions. All by numbers and a seed."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from convrec.core.errors import RequestError
from pydantic import BaseModel, ConfigDict, Field


class Persona(BaseModel):
    """The manner of a user; what the user likes is a :class:`convrec.eval.sim.tastes.Taste`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=40)
    patience: int = Field(8, ge=1, description="answers without an item the user would take, after which they give up")
    reveal: int = Field(1, ge=1, le=4, description="wishes or likes told per message")
    vagueness: float = Field(0.0, ge=0, le=1, description="chance that a wish is told as 'something good' instead")
    typos: float = Field(0.0, ge=0, le=1, description="chance that a word of four letters or more is misspelt")
    mind_changes: int = Field(0, ge=0, le=2, description="wishes that are told first and taken back later")
    leave: float = Field(0.0, ge=0, le=1, description="chance to leave after any answer, whatever it was")
    feedback: Literal["named", "all", "none"] = Field(
        "named", description="on what was recommended: names what they have seen or dislike, rejects all, or is silent"
    )
    answers: float = Field(1.0, ge=0, le=1, description="chance to answer what the agent asks before going on")
    manner: Literal["plain", "curt", "chatty"] = "plain"


_PRESETS = (
    Persona(name="plain"),
    Persona(name="curt", manner="curt", feedback="all", patience=5),
    Persona(name="chatty", manner="chatty", reveal=2),
    Persona(name="vague", vagueness=0.5),
    Persona(name="typing", typos=0.15),
    Persona(name="fickle", mind_changes=2),
    Persona(name="impatient", patience=2, reveal=2, leave=0.1),
    Persona(name="silent", feedback="none", answers=0.0),
    Persona(name="hard", vagueness=0.3, typos=0.1, mind_changes=1, leave=0.05, patience=4, feedback="all"),
)
PERSONAS: Mapping[str, Persona] = MappingProxyType({persona.name: persona for persona in _PRESETS})
"""The presets by name."""


def personas(names: str) -> list[Persona]:
    """The presets of a comma-separated list; "all" for every one.

    Raises:
        RequestError: an unknown name, a name twice, or none.
    """
    if names.strip() == "all":
        return list(PERSONAS.values())
    asked = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in asked if name not in PERSONAS]
    if unknown or not asked or len(set(asked)) != len(asked):
        raise RequestError("persona", names, f"Give all, or some of: {', '.join(PERSONAS)} (comma-separated).")
    return [PERSONAS[name] for name in asked]
