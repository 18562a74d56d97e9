"""What else a user says in sixty conversations: tastes, films, facts, instructions for other times, small talk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from convrec.memory.situations import content
from convrec.tools.catalogue import Catalogue
from convrec.tools.schema import Role

KNOWN_ITEMS = 150
"""Best known items of the catalogue that are spoken of."""
_GENRE = ("I love {}", "I don't like {}", "I enjoy a good {} now and then", "I'm into {}", "{} bores me")
_ITEM = ("I loved {}", "I didn't like {}", "I have seen {}", "{} was great")
_FACTS = (
    "my cousin Ben is a baker",
    "my uncle Karl loves fishing films",
    "I live in Hamburg",
    "my aunt hates musicals",
    "I work as a gardener",
    "I have a dog",
    "my neighbour is a dentist",
    "I'm forty-one",
    "my boss loves golf films",
    "my friend Olga is from Poland",
    "my cousin Zoe is twenty",
    "I'm married",
    "my uncle is deaf in one ear",
    "I get nightmares from war films",
    "my friend Sam is a drummer",
    "I'm scared of heights",
    "my aunt Rosa is ninety",
    "I have two cats",
    "my colleague Jan hates animation",
    "I'm left-handed",
    "my grandfather is a farmer",
    "my grandfather loves westerns",
    "I speak German",
    "I'm allergic to pollen",
    "my cousin hates romance",
)
_RULES = (
    "in the gym only action films",
    "never musicals on a train",
    "at Easter I always want family films",
    "when it snows I always want mysteries",
    "always short films in hotels",
    "never dramas on my laptop",
    "when I'm studying, always documentaries",
    "on game nights only comedies",
    "never war films at breakfast",
    "in the garden always adventure films",
    "when I'm stressed, never thrillers",
    "with my uncle never animation",
    "with my cousin always fantasy",
    "at the hospital only comedies",
    "on birthdays always animated films",
)
_TALK = (
    "thanks, that was a good tip",
    "tell me something funny for tonight",
    "a thriller for tonight please",
    "anything newer?",
    "what do you think of long films?",
    "we had pizza and watched a film",
    "no idea what I want",
    "film night was fun",
    "something with a twist",
    "I watched nothing this week",
    "show me more",
    "that actor again!",
    "what else is there?",
)


def pool(catalogue: Catalogue) -> list[str]:
    """All of them for one catalogue, in a fixed order."""
    category, fame = catalogue.schema.by_role(Role.CATEGORY), catalogue.schema.by_role(Role.POPULARITY)
    genres = [value.lower() for value, _ in catalogue.common_values(category.name, 12)] if category else []
    out = [form.format(_plural(genre)) for genre in genres for form in _GENRE]
    if fame is not None:
        rows = np.argsort(-np.nan_to_num(catalogue.numeric(fame.name)), kind="stable")[:KNOWN_ITEMS]
        titles = [item.title for item in catalogue.items(rows.tolist())]
        out += [_ITEM[n % len(_ITEM)].format(title) for n, title in enumerate(titles)]
    return [*out, *_FACTS, *_RULES, *_TALK]


def drawn(everything: Sequence[str], apart_from: Sequence[str], count: int, rng: np.random.Generator) -> list[str]:
    """``count`` of them, with repetitions, none that shares a content word with what is planted or asked."""
    taken = set().union(*(content(text) for text in apart_from))
    free = [text for text in everything if not content(text) & taken]
    return [free[i] for i in rng.integers(0, len(free), count)]


def _plural(genre: str) -> str:
    return {
        "comedy": "comedies",
        "mystery": "mysteries",
        "documentary": "documentaries",
        "biography": "biographies",
        "thriller": "thrillers",
        "western": "westerns",
        "drama": "dramas",
        "musical": "musicals",
    }.get(genre, f"{genre} films")
