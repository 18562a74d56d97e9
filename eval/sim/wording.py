"""What simulated users say: wishes, opinions and reactions in words, and how they are mistyped.

English templates in three manners. They are written for people, not for one agent: nothing here knows how an agent
reads them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from convrec.core.items import Item
from convrec.eval.sim.tastes import Wish
from convrec.tools.schema import FieldSpec, Role, Schema

Manner: TypeAlias = Literal["plain", "curt", "chatty"]

VAGUE = (
    "something good",
    "something worth my time",
    "surprise me",
    "I don't really know, something nice",
    "whatever you think is best",
)
"""Said in the place of a wish."""
_WORD = re.compile(r"[A-Za-z]{4,}")
_WITH_THE = re.compile(r"^United |(?:Republic|Union|Emirates|Islands)$|^(?:Netherlands|Philippines|Bahamas)$")
_BY = {"director": "directed by", "writer": "written by", "author": "by", "artist": "by", "composer": "by"}
_LIKED = {
    "plain": "I loved {}.",
    "curt": "liked {}",
    "chatty": "One thing I can tell you is that I loved {}, I could watch that again any day.",
}
_DISLIKED = {
    "plain": "I did not like {}.",
    "curt": "not {}",
    "chatty": "What I really did not like, though, was {}.",
}
_SEEN = {"plain": "I have seen {}.", "curt": "seen {}", "chatty": "I have already seen {}, so not that one again."}
_NONE = {
    "plain": ("None of these.", "Not these.", "None of those, please."),
    "curt": ("no", "nope", "not these"),
    "chatty": ("Hmm, none of these really.", "Thanks, but none of those are for me.", "None of these, sorry."),
}
_YES = {"plain": "Yes, please.", "curt": "yes", "chatty": "Oh yes, please do!"}
_MORE = {
    "plain": ("Anything else?", "What else do you have?", "Show me other ones."),
    "curt": ("next", "others?", "something else"),
    "chatty": ("Do you have anything else for me?", "Could you show me some other ones?", "What else is there?"),
}


class Voice:
    """Speaks for one user: chooses among wordings by the user's own random numbers."""

    def __init__(self, schema: Schema, manner: Manner, rng: np.random.Generator) -> None:
        self.schema, self.manner, self._rng = schema, manner, rng

    def opening(self, wishes: Sequence[Wish]) -> str:
        what = self.thing(wishes)
        return {
            "plain": f"I am looking for {what}.",
            "curt": what.removeprefix("a ").removeprefix("an "),
            "chatty": f"Hi there! I have a free evening and I am in the mood for {what}. What do you suggest?",
        }[self.manner]

    def addition(self, wishes: Sequence[Wish]) -> str:
        """A wish that comes after others."""
        what = " and ".join(self._standing_alone(wish) for wish in together(wishes))
        if wishes and self._role(wishes[0]) is Role.PERSON and self.manner != "curt":
            what = f"one {what}"
        return {
            "plain": f"It should be {what}.",
            "curt": what,
            "chatty": f"Oh, and it would be great if it was {what}.",
        }[self.manner]

    def taken_back(self, wish: Wish) -> str:
        value = str(wish.value).lower() if self._role(wish) is Role.CATEGORY else str(wish.value)
        return {
            "plain": f"Actually, no {value} after all.",
            "curt": f"no {value} after all",
            "chatty": f"You know what, I changed my mind: no {value} after all.",
        }[self.manner]

    def conceded(self, wish: Wish) -> str:
        return f"It does not have to be {self._standing_alone((wish,))}."

    def liked(self, items: Sequence[Item]) -> str:
        return _LIKED[self.manner].format(_names(items))

    def disliked(self, items: Sequence[Item]) -> str:
        return _DISLIKED[self.manner].format(_names(items))

    def seen(self, items: Sequence[Item]) -> str:
        return _SEEN[self.manner].format(_names(items))

    def none(self) -> str:
        return self._one(_NONE[self.manner])

    def more(self) -> str:
        return self._one(_MORE[self.manner])

    def yes(self) -> str:
        return _YES[self.manner]

    def vague(self) -> str:
        return self._one(VAGUE)

    def thing(self, wishes: Sequence[Wish]) -> str:
        """ "a crime comedy film from the 1990s with Bill Murray"; "a film" without wishes."""
        before = [str(w.value).lower() for w in wishes if w.kind == "is" and self._role(w) is Role.CATEGORY]
        after = [self._standing_alone(w) for w in together(wishes) if not self._is_category(w[0])]
        words = " ".join([*before, self.schema.item_noun])
        article = "an" if words[0] in "aeiou" else "a"
        return " ".join([article, words, *after])

    def _standing_alone(self, wishes: Sequence[Wish]) -> str:
        """One wish, or the two ends of a range, as it stands after "it should be"."""
        wish = wishes[0]
        spec = self.schema.field(wish.field)
        if len(wishes) == 2:
            low, high = sorted(int(w.value) for w in wishes)
            decade = low % 10 == 0 and high == low + 9
            return f"from the {low}s" if decade and self._role(wish) is Role.YEAR else f"between {low} and {high}"
        value = str(wish.value)
        match self._role(wish), wish.kind:
            case Role.CATEGORY, "not":
                return f"no {value.lower()}"
            case Role.CATEGORY, _:
                return f"{'an' if value[0].lower() in 'aeiou' else 'a'} {value.lower()} {self.schema.item_noun}"
            case Role.YEAR, "from":
                return f"from {value} or later"
            case Role.YEAR, "to":
                return f"from {value} or earlier"
            case Role.DURATION, kind:
                bound = "at most" if kind == "to" else "at least"
                return f"{bound} {value} {spec.unit if spec else ''}".strip()
            case Role.PERSON, _:
                return f"{_person_word(spec)} {value}"
            case Role.COUNTRY, _:
                return f"from {'the ' if _WITH_THE.search(value) else ''}{value}"
            case Role.LANGUAGE, _:
                return f"in {value}"
            case _:
                return f"with {spec.spoken if spec else wish.field} {value}"

    def _is_category(self, wish: Wish) -> bool:
        return wish.kind == "is" and self._role(wish) is Role.CATEGORY

    def _role(self, wish: Wish) -> Role:
        spec = self.schema.field(wish.field)
        return spec.role if spec is not None else Role.OTHER

    def _one(self, options: Sequence[str]) -> str:
        return options[int(self._rng.integers(len(options)))]


def together(wishes: Sequence[Wish]) -> list[tuple[Wish, ...]]:
    """Wishes one by one, the two ends of one field's range as a pair."""
    out: list[tuple[Wish, ...]] = []
    for wish in wishes:
        last = out[-1] if out else ()
        if wish.kind == "to" and len(last) == 1 and last[0].kind == "from" and last[0].field == wish.field:
            out[-1] = (last[0], wish)
        else:
            out.append((wish,))
    return out


def misspelt(text: str, rate: float, rng: np.random.Generator) -> str:
    """``text`` with words of four letters or more misspelt by chance ``rate``: two inner letters change places, one is
    left out, or one is doubled. The first letter, numbers and short words stay. Rate 0: unchanged; rate 1: each such
    word changed."""

    def slip(match: re.Match[str]) -> str:
        word = match[0]
        draws = rng.random(3)  # always as many, so that one rate's slips are another's too
        if draws[0] >= rate:
            return word
        kind, at = int(draws[1] * 3), 1 + int(draws[2] * (len(word) - 2))
        if kind == 0 and (swaps := [i for i in range(1, len(word) - 2) if word[i] != word[i + 1]]):
            i = min(swaps, key=lambda i: (abs(i - at), i))
            return word[:i] + word[i + 1] + word[i] + word[i + 2 :]
        return word[:at] + word[at + 1 :] if kind == 1 else word[: at + 1] + word[at:]

    return _WORD.sub(slip, text)


def _names(items: Sequence[Item]) -> str:
    """Titles as people say them, with the year where it tells namesakes apart."""
    names = [item.label for item in items]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _person_word(spec: FieldSpec | None) -> str:
    if spec is None:
        return "with"
    return next((word for stem, word in _BY.items() if spec.name.startswith(stem)), "with")
