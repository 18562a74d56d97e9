"""Merges a model's draft into the rule reading. The result is a reading: what follows need not know who read what.

Rules keep the last word on numbers, denials, origins, ratings and whatever they linked. From the draft come, each only
when grounded in the user's own words and linked to the catalogue:

- the action, where the rules saw none, or saw a wish in nothing but loose words;
- titles and people that the rules left unexplained, also misspelt ones;
- denied categories that stand denied in the message (misspelt); categories as preferences where the rules read none;
- a mood to search for, when at least half of its words are the user's own and no condition says it already.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from convrec.agent.plan import Draft
from convrec.core.text import clean, fold
from convrec.tools.catalogue import Catalogue
from convrec.tools.lexicon import CATEGORY_WORDS, FUNCTION_WORDS
from convrec.tools.linking_people import fame
from convrec.tools.predicates import AnyOf, Condition, Expr, Not, Op, Test
from convrec.tools.references import Mention, Polarity
from convrec.tools.schema import Role
from convrec.tools.spans import Message
from convrec.tools.understand import Understanding
from rapidfuzz import fuzz

LIKENESS = 85.0
"""Least likeness (0-100) of a title, name or category to the user's words, for a misspelt one."""
LEAST_TITLE_LETTERS = 4
MOST_SOFT = 2
"""Categories taken from a draft as preferences."""


@dataclass(frozen=True, slots=True)
class Merged:
    """The merged reading, and what of the draft was refused, in words (for the trace, and to judge the draft)."""

    reading: Understanding
    refused: tuple[str, ...] = ()


@dataclass(slots=True)
class Merger:
    """For one catalogue; holds caches only."""

    catalogue: Catalogue
    reserved: frozenset[str] = frozenset()
    """Folded words that are no titles: categories and nationalities."""
    _people: dict[str, tuple[str, tuple[str, ...]]] | None = field(init=False, default=None)

    def merge(self, reading: Understanding, draft: Draft) -> Merged:
        """Everything of ``draft`` that stands up to the message, added to ``reading``."""
        message = Message.of(reading.text)
        refused: list[str] = []
        reading = self._action(reading, draft)
        if reading.act != "recommend":
            return Merged(reading, tuple(refused))
        reading = self._titles(reading, draft, message, refused)
        reading = self._persons(reading, draft, message, refused)
        reading = self._kinds(reading, draft, message, refused)
        mood = self._mood(reading, draft)
        if mood:
            words = reading.query.split()
            said = {fold(word)[:5] for word in words}
            new = [word for word in mood.split() if fold(word)[:5] not in said]
            reading = replace(reading, query=" ".join([*words, *new]))
        return Merged(reading, tuple(refused))

    # -- the action -------------------------------------------------------------------------------------------------

    def _action(self, reading: Understanding, draft: Draft) -> Understanding:
        substance = bool(
            reading.conditions
            or reading.mentions
            or reading.people
            or reading.unknown
            or reading.person_of
            or reading.wants_more
            or reading.dropped
            or reading.reference_unclear
        )
        if reading.act == "other" and draft.action == "recommend":
            said = set(fold(reading.text).split())
            grounded = [w for w in fold(draft.mood).split() if w in said and w not in FUNCTION_WORDS]
            asked = any(_near(fold(name), fold(reading.text)) for name in (*draft.liked, *draft.people))
            if grounded or asked or self._spoken(draft, reading.text):
                return replace(reading, act="recommend")
        if reading.act == "recommend" and draft.action == "chat" and not substance and not reading.continues:
            return replace(reading, act="other")  # loose words alone made it a wish
        named = [m for m in reading.mentions if m.polarity == "named"]
        if (
            reading.act == "recommend"
            and draft.action == "lookup"
            and named
            and len(named) == len(reading.mentions)
            and not reading.conditions
            and reading.text.rstrip().endswith("?")
        ):
            asked_of = tuple(replace(m, polarity="asked") for m in reading.mentions)
            return replace(reading, act="lookup", mentions=asked_of)
        return reading

    def _spoken(self, draft: Draft, text: str) -> bool:
        return any(_near(fold(name), fold(text)) for name in draft.genres)

    # -- titles and people --------------------------------------------------------------------------------------------

    def _titles(self, reading: Understanding, draft: Draft, message: Message, refused: list[str]) -> Understanding:
        opinions: tuple[tuple[tuple[str, ...], Polarity], ...] = ((draft.liked, "like"), (draft.disliked, "disliked"))
        mentions = list(reading.mentions)
        unknown = list(reading.unknown)
        for titles, polarity in opinions:
            for title in titles:
                norm = fold(title)
                row = self._row(norm)
                known = next((i for i, m in enumerate(mentions) if row is not None and _same(m, row)), None)
                if known is not None:
                    if mentions[known].polarity == "named" and not message.negated(reading.text.find(title)):
                        mentions[known] = replace(mentions[known], polarity=polarity)
                    continue
                if any(fold(m.said) in norm or norm in fold(m.said) for m in mentions if m.said):
                    continue  # linked by rule to another film of that name, or to a longer one
                said = _near(norm, fold(reading.text))
                if row is None or said is None or not self._is_free(norm, said, reading):
                    refused.append(f"title {clean(title, 60)!r}")
                    continue
                mentions.append(Mention(row, said, polarity, "fuzzy"))
                unknown = [u for u in unknown if fuzz.ratio(fold(u.said), norm) < LIKENESS]
        return replace(reading, mentions=tuple(mentions), unknown=tuple(unknown))

    def _row(self, norm: str) -> int | None:
        """The best known item of exactly that title (a leading article may be missing)."""
        if len(norm) < LEAST_TITLE_LETTERS or norm in self.reserved or norm in FUNCTION_WORDS:
            return None
        known = fame(self.catalogue)
        hits = self.catalogue.find_names([norm, f"the {norm}"])
        rows = [hit.row for hit in hits if hit.kind == "title" and hit.row is not None and hit.strength >= 1.0]
        return max(rows, key=lambda row: float(known[row]), default=None)

    def _is_free(self, norm: str, said: str, reading: Understanding) -> bool:
        """Whether the words are not explained by something else that was read. One plain word is too little."""
        words = set(said.split())
        taken = {w for c in reading.conditions for w in fold(f"{c.said} {c.label}").split()}
        taken |= {w for p in reading.people for w in fold(p.said).split()}
        capital = any(word[:1].isupper() and fold(word) in words for word in reading.text.split()[1:])
        # Spelt right, in small letters, and left by the rules: everyday words ("not in black and white").
        return bool(words - taken - FUNCTION_WORDS) and (capital or (len(norm.split()) > 1 and said != norm))

    def _persons(self, reading: Understanding, draft: Draft, message: Message, refused: list[str]) -> Understanding:
        conditions = list(reading.conditions)
        linked = {fold(p.name) for p in reading.people}
        titles = {word for m in reading.mentions for word in fold(m.said).split()}
        for name in draft.people:
            norm = fold(name)
            found = self._names().get(norm)
            said = _near(norm, fold(reading.text))
            if norm in linked or any(set(norm.split()) & set(fold(p.said).split()) for p in reading.people):
                continue
            if found is None or said is None or len(norm.split()) < 2 or set(said.split()) <= titles:
                refused.append(f"person {clean(name, 60)!r}")
                continue
            exact, fields = found
            tests: tuple[Expr, ...] = tuple(Test(field_name, Op.ANY, (exact,)) for field_name in fields)
            expr = tests[0] if len(tests) == 1 else AnyOf(tests)
            at = max(message.low.find(said.split()[0]), 0)
            slot, label = f"person:{norm}", f"with or by {exact}"
            if message.negated(at):
                conditions.append(Condition(Not(expr), f"not {label}", slot, True, source="llm", said=said))
            else:
                soft = message.hedged(at, at + len(said))
                conditions.append(Condition(expr, label, slot, source="llm", said=said, hard=not soft))
        query = reading.query
        if len(conditions) > len(reading.conditions):
            spoken = {word for c in conditions for word in fold(c.said).split() if c.slot.startswith("person:")}
            query = " ".join(word for word in query.split() if fold(word) not in spoken)
        return replace(reading, conditions=tuple(conditions), query=query)

    def _names(self) -> dict[str, tuple[str, tuple[str, ...]]]:
        if self._people is None:
            table: dict[str, tuple[str, tuple[str, ...]]] = {}
            for spec in self.catalogue.schema.people():
                for name in self.catalogue.tags(spec.name).vocabulary:
                    exact, fields = table.get(fold(name), (name, ()))
                    table[fold(name)] = (exact, (*fields, spec.name))
            self._people = table
        return self._people

    # -- categories and mood -----------------------------------------------------------------------------------------

    def _kinds(self, reading: Understanding, draft: Draft, message: Message, refused: list[str]) -> Understanding:
        spec = self.catalogue.schema.by_role(Role.CATEGORY)
        if spec is None:
            return reading
        known = set(self.catalogue.tags(spec.name).vocabulary)
        taken = {str(v) for c in reading.conditions for v in _values(c)}
        new: list[Condition] = []
        text = fold(reading.text)
        for name in draft.exclude:
            said = next((hit for form in _forms(name) if (hit := _near(form, text))), None)
            if said is not None and said in _forms(name):
                continue  # spelt right: the rules have seen it and know why they left it ("no World War 2")
            at = message.low.find(said.split()[0]) if said else -1
            if name not in known or name in taken:
                continue
            if said is None or at < 0 or not message.negated(at):
                refused.append(f"denial of {name}")
                continue
            new.append(Condition(Not(Test(spec.name, Op.ANY, (name,))), f"not {name.lower()}", spec.name, True, "llm",
                                 said))  # fmt: skip
        if not any(c.slot == spec.name and not c.negative for c in reading.conditions):
            fresh = [g for g in dict.fromkeys(draft.genres) if g in known and g not in {*taken, *draft.exclude}]
            if not self._moody(reading):  # a film or a person named says it better than what the model makes of it
                misspelt = [g for g in fresh if any((_near(form, text) or form) != form for form in _forms(g))]
                guessed = [g for g in fresh if g not in misspelt]
                refused += [f"category {g}, of which nothing was said" for g in guessed]
                fresh = [g for g in fresh if g not in guessed]
            new += [
                Condition(Test(spec.name, Op.ANY, (g,)), g.lower(), spec.name, source="llm", hard=False)
                for g in fresh[:MOST_SOFT]
            ]
        return replace(reading, conditions=(*reading.conditions, *new)) if new else reading

    def _moody(self, reading: Understanding) -> bool:
        """Whether a new wish is nothing but loose words: there a category that the model thinks of is worth having."""
        read = reading.conditions or reading.mentions or reading.people or reading.unknown or reading.person_of
        return bool(reading.query) and not read and not reading.continues and not reading.wants_more

    def _mood(self, reading: Understanding, draft: Draft) -> str:
        words = fold(draft.mood).split()
        said = set(fold(reading.text).split())
        explained = {w for c in reading.conditions for w in fold(f"{c.said} {c.label}").split()}
        explained |= {w for m in reading.mentions for w in fold(m.said).split()}
        new = [w for w in words if w not in explained and w not in FUNCTION_WORDS]
        grounded = sum(word in said for word in words)
        denied = any(word in ("no", "not", "without", "less") for word in words)
        return " ".join(new) if new and 2 * grounded >= len(words) and not denied else ""


def _forms(category: str) -> Iterator[str]:
    norm = fold(category)
    yield norm
    yield from (phrase for phrase, names in CATEGORY_WORDS.items() if names == (norm,))


def _near(norm: str, text: str) -> str | None:
    """The words of the folded ``text`` that are ``norm`` or a misspelling of it; None when none are."""
    count = len(norm.split())
    words = text.split()
    if not count or not words:
        return None
    windows = [" ".join(words[i : i + n]) for n in {count, max(count - 1, 1)} for i in range(len(words) - n + 1)]
    best = max(windows, key=lambda window: fuzz.ratio(window, norm), default="")
    return best if best and fuzz.ratio(best, norm) >= LIKENESS else None


def _same(mention: Mention, row: int) -> bool:
    return row == mention.row or row in mention.alternatives


def _values(condition: Condition) -> tuple[object, ...]:
    expr = condition.expr
    inner = getattr(expr, "part", expr)
    return tuple(getattr(inner, "values", ()))
