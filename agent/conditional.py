"""Instructions for what is asked for: "for thrillers at most 110 minutes", "for comedies only British ones".

:mod:`convrec.memory.statements` knows circumstances, but nothing of a catalogue. Here the words of a condition become
facets ``asked:genres=Horror``, ``asked:person:akira kurosawa``: the same for the same thing in other words, so that a
newer instruction for it takes the place of an older one, and met only by a request for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from convrec.memory.records import Scope
from convrec.memory.situations import ASKED, BOTH
from convrec.memory.statements import Clause
from convrec.tools.predicates import AllOf, AnyOf, Condition, Expr, Not, Op, Test

Reader = Callable[[str], list[Condition]]
"""The conditions of a lower-case text."""

_OPENING = (
    r"^\W*(?:(?:and|but|also|oh|ok(?:ay)?|so|please|yes|no|from now on|in general|"
    r"(?:remember|note|know|keep in mind)(?: that)?)\W+)*"
)
_ABOUT = r"(?:as for|for|when it comes to|if it comes to|in the case of|in case of|regarding|if it(?:'s| is))"
_ORDER = r"(?:please\s+)?(?:always|never|only|nothing|none|no|not|at (?:most|least)|make|keep|stick|use|(?:i|we|you)\b)"
_NOUN = (
    r"(?!(?:i|we|you|he|she|it|they|my|is|are|am|love|like|hate|enjoy|prefer|stand|want|can|do|will|would|please|"
    r"always|never|only|no|not|nothing)\b|\w+n't\b)[\w'-]+"
)
_GENERIC = re.compile(rf"{_OPENING}(?:as for|regarding|in the case of)\b")
"""A rule without a word for always: as for westerns, I only want ones from before 1970."""
_BEFORE = re.compile(rf"{_OPENING}(?P<said>(?:{_ABOUT}|with|among)\s+(?P<what>(?:[\w'-]+,?\s+){{1,6}}?))(?={_ORDER})")
"""For thrillers always at most 110 minutes."""
_BEHIND = re.compile(rf"(?<!\bgo )(?<!\blook )(?<!\bask )\b(?P<said>{_ABOUT}\s+(?P<what>(?:[\w'-]+\s*){{1,5}}))\W*$")
"""Never over 110 minutes for thrillers."""
_SUBJECT = re.compile(
    rf"{_OPENING}(?P<said>(?P<what>(?:{_NOUN}\s+){{0,3}}{_NOUN}))\s*:?\s+"
    r"(?=(?:(?:should|must|have to|has to|need to|may|can)\s+)?(?:always|never)\b(?!\W*$|\s*,))"
)
"""Horror films always from 2000 or later."""
_LISTED = re.compile(r"\b(?:or|and)\b|[,/]")


def subjects(condition: Condition) -> tuple[str, ...]:
    """What a condition asks for, as keys: one for each value of a field of words, one for an origin or a person; ()
    for a denial, a number and a mood."""
    if condition.negative or isinstance(condition.expr, Not):
        return ()
    if condition.slot.startswith("person:"):
        return (condition.slot,)
    if condition.slot == "origin":
        return (f"origin={condition.label}",)
    return tuple(f"{condition.slot}={value}" for value in _values(condition.expr, condition.slot))


def asked(conditions: Iterable[Condition]) -> tuple[str, ...]:
    """What a request asks for, as :func:`subjects`."""
    return tuple(dict.fromkeys(key for c in conditions for key in subjects(c)))


def bound(clause: Clause, read: Reader, category: str) -> Clause:
    """The clause with what it makes its condition taken out of its body and put into its scope, if it does."""
    if clause.refused or clause.whose:
        return clause
    scope = clause.scope
    if scope.words and not (scope.facets or scope.unless):  # "when i ask for a thriller": a condition already
        facets = _facets(read(scope.words), category, scope.words)
        return replace(clause, scope=_with(scope, facets)) if facets else clause
    generic = not clause.today and _GENERIC.match(clause.body) is not None
    if not (clause.standing or generic) or not scope.empty:
        return clause
    for pattern in (_BEFORE, _BEHIND, _SUBJECT):
        match = pattern.search(clause.body)
        if match is None:
            continue
        facets = _facets(read(match["what"]), category, match["what"])
        body = clause.body[: match.start()] + " " * (match.end() - match.start()) + clause.body[match.end() :]
        if facets and read(body):  # else what is named is what is wished: "horror films always, please"
            words = match["said"].strip(" ,.!?;:")
            return replace(clause, scope=_with(Scope(words=words[:200]), facets), body=body, standing=True)
    return clause


def _with(scope: Scope, facets: Sequence[str]) -> Scope:
    return scope.model_copy(update={"facets": tuple(sorted(facets))})


def _facets(conditions: Sequence[Condition], category: str, words: str) -> tuple[str, ...]:
    """What makes a condition: categories, origins and people; the rest of what a text asks for is about the items.
    Alternatives where they are listed ("horror and thrillers"), all at once otherwise ("romantic comedies")."""
    kinds = (f"{category}=", "origin=", "person:")
    keys = [found for c in conditions if (found := tuple(key for key in subjects(c) if key.startswith(kinds)))]
    if not keys:
        return ()
    listed = _LISTED.search(words) is not None or any(isinstance(c.expr, AnyOf) for c in conditions)
    if listed or (len(keys) == 1 and not _together(conditions)):
        return tuple(dict.fromkeys(f"{ASKED}:{key}" for found in keys for key in found))
    return (f"{ASKED}:" + BOTH.join(dict.fromkeys(key for found in keys for key in found)),)


def _together(conditions: Sequence[Condition]) -> bool:
    return any(isinstance(c.expr, AllOf) or (isinstance(c.expr, Test) and c.expr.op is Op.ALL) for c in conditions)


def _values(expr: Expr, name: str) -> tuple[str, ...]:
    match expr:
        case AllOf(parts) | AnyOf(parts):
            return tuple(value for part in parts for value in _values(part, name))
        case Test(field, _, values) if field == name:
            return tuple(value for value in values if isinstance(value, str))
        case _:
            return ()
