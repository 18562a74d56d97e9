"""Replies that need no recommendation: facts from records, small talk, what is remembered."""

from __future__ import annotations

from collections.abc import Sequence

from convrec.agent.reasons import Fact, join, say
from convrec.core.items import Item
from convrec.memory.records import Preference
from convrec.tools.catalogue import Catalogue
from convrec.tools.linking_titles import UnknownTitle
from convrec.tools.references import Mention
from convrec.tools.schema import FieldSpec, Role
from convrec.tools.understand import Understanding

MAX_PEOPLE_SAID = 8
PROFILE_SAID = 15


def lookup(reading: Understanding, items: Sequence[Item], catalogue: Catalogue, other: Item | None) -> str:
    """The asked fields of each item, or a summary. ``other``: the item "it" might have meant instead."""
    lines = [_facts_of(item, reading.asked_fields, catalogue) for item in items]
    if other is not None:
        fields = reading.asked_fields
        lines.append(f"(If you meant {other.label}: {_facts_of(other, fields, catalogue)})")
    return " ".join(lines)


def _facts_of(item: Item, fields: Sequence[str], catalogue: Catalogue) -> str:
    schema = catalogue.schema
    specs = [spec for name in fields if (spec := schema.field(name)) is not None]
    if not specs:
        return summary(item, catalogue)
    known = [(spec, _value(item, spec)) for spec in specs]
    there = [_statement(spec, value) for spec, value in known if value]
    missing = [_noun(spec) for spec, value in known if not value]
    text = f"{item.label} {join(there)}." if there else ""
    if missing:
        absent = f"The catalogue does not record {join(missing)} for {item.label}."
        text = f"{text} {absent}" if text else f"{absent} What it has: {summary(item, catalogue)}"
    return text


def _statement(spec: FieldSpec, value: str) -> str:
    match spec.role:
        case Role.DURATION:
            return f"is {value} long"
        case Role.QUALITY:
            return f"has a {value}"
        case Role.CATEGORY:
            return f"is recorded as {value}"
        case Role.PERSON if spec.name == "cast":
            return f"has in its cast (in alphabetical order, as recorded) {value.removeprefix(spec.spoken).strip()}"
        case Role.DESCRIPTION:
            return f"is about this: {value.removeprefix(spec.spoken).lstrip(': ')}"
        case _:
            return f"is {value}"


def _noun(spec: FieldSpec) -> str:
    return {Role.PERSON: f"the {spec.name}", Role.CERTIFICATE: "a rating", Role.DESCRIPTION: "a plot"}.get(
        spec.role, f"the {spec.spoken}"
    )


def _value(item: Item, spec: FieldSpec) -> str:
    value = item.fields.get(spec.name)
    if isinstance(value, tuple) and spec.role is Role.PERSON:
        more = f" and {len(value) - MAX_PEOPLE_SAID} more" if len(value) > MAX_PEOPLE_SAID else ""
        return f"{spec.spoken} {join(list(value[:MAX_PEOPLE_SAID]))}{more}" if value else ""
    return say(spec, value)


def summary(item: Item, catalogue: Catalogue) -> str:
    """One sentence from the record."""
    noun = catalogue.schema.item_noun
    parts = []
    for spec in catalogue.schema.fields:
        if spec.role in (Role.YEAR, Role.POPULARITY, Role.OTHER):
            continue
        text = _value(item, spec) if spec.role is not Role.PERSON else _short_people(item, spec)
        if text:
            parts.append(text)
    return f"{item.label}: {'; '.join(parts)}." if parts else f"{item.label} is a {noun} of which no more is recorded."


def _short_people(item: Item, spec: FieldSpec) -> str:
    people = item.tags(spec.name)
    return f"{spec.spoken} {join(list(people[:4]))}" if people else ""


def not_found(unknown: Sequence[UnknownTitle], catalogue: Catalogue) -> str:
    """That a title is not in the catalogue, and what comes close."""
    lines = []
    for title in unknown:
        near = [catalogue.item(row).label for row in title.suggestions]
        nouns = catalogue.schema.item_noun_plural
        text = f"I could not find “{title.said}” in this catalogue of {catalogue.size:,} {nouns}."
        if near:
            text += f" The closest I have is {join(near[:2])}; did you mean that?"
        lines.append(text)
    return " ".join(lines)


def namesakes(mentions: Sequence[Mention], catalogue: Catalogue) -> str:
    """Which of several items of one name was taken, and how a misspelt one was read."""
    lines = []
    for mention in mentions:
        label = catalogue.item(mention.row).label
        if mention.how == "fuzzy":
            lines.append(f"I read “{mention.said}” as {label}.")
        elif mention.alternatives and mention.how != "reference":
            others = join([catalogue.item(row).label for row in mention.alternatives[:2]])
            lines.append(f"I took “{mention.said}” for {label}; there is also {others}.")
    return " ".join(lines)


def small_talk(act: str, catalogue: Catalogue) -> str:
    """Greetings, thanks, help, and what is out of domain."""
    noun, nouns = catalogue.schema.item_noun, catalogue.schema.item_noun_plural
    match act:
        case "greet":
            return f"Hello! Tell me what you are in the mood for: a {noun} you loved, a genre, a decade, a person."
        case "thanks":
            return f"You are welcome. Tell me when you want another {noun}."
        case "bye":
            return "Goodbye!"
        case "help":
            return (
                f"I recommend {nouns} from a catalogue of {catalogue.size:,}. Say what you like or dislike, name a "
                f"{noun}, a genre, a person, years or a length; narrow with “newer”, “shorter”, “but funnier”, “no "
                f"horror”; ask about one (“who directed the second one?”); ask “what do you know about me?”."
            )
        case _:
            return f"I can only help with {nouns}. What kind of {noun} are you in the mood for?"


def profile(preferences: Sequence[Preference]) -> str:
    """What is remembered, in words."""
    if not preferences:
        return "I remember nothing about you yet."
    more = f"; and {len(preferences) - PROFILE_SAID} more" if len(preferences) > PROFILE_SAID else ""
    return "What I remember about you: " + "; ".join(p.text for p in preferences[:PROFILE_SAID]) + f"{more}."


def why(item: Item, found: Sequence[Fact]) -> str:
    """The facts behind one recommendation."""
    if not found:
        return f"I picked {item.label} for its place in the ranking; its record says nothing more on your wish."
    return f"I picked {item.label} because of this: {'; '.join(f.text for f in found)}."
