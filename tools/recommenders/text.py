"""The words of a conversation: messages with titles written out, or without them, and their tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from convrec.core.items import RowArray
from convrec.tools.datasets import MENTION, Message
from convrec.tools.recommenders.data import Context, ItemDetails

_TOKEN = re.compile(r"[^\W_]+(?:[-'][^\W_]+)*")
_YEAR = r"(?:\s*\(\d{4}\))?"
LONGEST_WORD = 30
"""Longer tokens are slips and links; leaving them out also bounds the stored vocabulary, a fixed-width array."""

_STOPWORDS = """
a about after again all also am an and any anything are aren't as at be because been before being but by can can't
could couldn't did didn't do does doesn't doing don't down for from get go going good got great had has hasn't have
haven't having he her here hers him his how i i'd i'll i'm i've if in into is isn't it it's its just let like liked
likes looking love loved many maybe me more most much my myself no nor not of off oh ok okay on once one ones only
or other our ours out over own please really recommend recommendation recommendations same see seen she should so
some something such sure than thank thanks that that's the their theirs them then there these they thing things
think this those though through to too up us very want was wasn't watch watched watching we we're well were what
what's when where which while who whom why will with won't would wouldn't yeah yes yet you you're you've your yours
bye cool enjoy hello hey hi nice suggest suggestion suggestions movie movies film films
"""
STOPWORDS = frozenset(_STOPWORDS.split())
"""Words that say nothing of what is wanted: English function words, and those of talk about films in general."""


def written_out(message: Message, names: Mapping[str, str]) -> str:
    """The text with every ``@id`` replaced by ``names[id]``; an unknown id is removed. White space is normalised."""
    return " ".join(MENTION.sub(lambda mark: f" {names.get(mark[1], '')} ", message.text).split())


def plain_words(message: Message, titles: Mapping[str, str]) -> str:
    """The text without its titles: no ``@id`` marks, and the title ("Heat" or "Heat (1995)", in any case) of no item
    in ``message.mentions``. White space is normalised."""
    text = MENTION.sub(" ", message.text)
    for item in message.mentions:
        title = titles.get(item, "").strip()
        if title and title.casefold() in text.casefold():  # ReDial has marks only: this saves nearly every pattern
            text = re.sub(rf"(?<!\w){re.escape(title)}{_YEAR}(?!\w)", " ", text, flags=re.IGNORECASE)
    return " ".join(text.split())


def tokens(text: str) -> list[str]:
    """Lower-case words of 2 to :data:`LONGEST_WORD` characters, in order; with inner hyphens and apostrophes."""
    return [word for word in _TOKEN.findall(text.lower().replace("’", "'")) if 2 <= len(word) <= LONGEST_WORD]


def content_tokens(text: str) -> list[str]:
    """:func:`tokens` without :data:`STOPWORDS`."""
    return [word for word in tokens(text) if word not in STOPWORDS]


def weighted_words(
    context: Context, titles: Mapping[str, str], *, last: int, seeker: float = 1.0, recommender: float = 1.0
) -> dict[str, float]:
    """How often each content word occurs in the plain words of the ``last`` messages, an occurrence counted as the
    weight of who says it."""
    counted: dict[str, float] = {}
    for message in context.messages[-last:]:
        weight = seeker if message.speaker == "seeker" else recommender
        if weight:
            for word in content_tokens(plain_words(message, titles)):
                counted[word] = counted.get(word, 0.0) + weight
    return counted


def titles_of(item_ids: Sequence[str] | None, titles: Iterable[str]) -> dict[str, str]:
    """Title by item id; ``titles`` in the order of ``item_ids``, or empty where none are known."""
    return dict(zip(item_ids or (), titles, strict=False))


def named_weights(named: RowArray, decay: float) -> list[float]:
    """Weight of each named item: 1 for the newest, ``decay`` (0..1) times less with every step back."""
    return [decay**age for age in range(named.size - 1, -1, -1)]


def titles_in(details: ItemDetails | None) -> tuple[str, ...]:
    """The titles on record, () without details."""
    return () if details is None else details.titles
