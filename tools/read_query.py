"""What is left of a wish once names and conditions are taken out: the words to search for by meaning.

Most words of a sentence that holds a condition are talk ("I'm on a Michael Caine kick", "a comedy that's done in 90
minutes"), so that in such a sentence only words count that stand where topics stand: after "about", "with", "set in",
before or after the word for the kind of item, after "something". A clause without any condition is a topic as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from convrec.core.text import fold
from convrec.tools.lexicon import FUNCTION_WORDS, NARROWER
from convrec.tools.lexicon_words import NO_ADVERBS, STRAY_WORDS
from convrec.tools.predicates import Condition
from convrec.tools.spans import Message, Token

_DENIES = re.compile(
    r"\b(?:no|not|nothing|without|never|don'?t|doesn'?t|isn'?t|aren'?t|hate|avoid|minus|except|excluding|sans|skip|"
    r"can'?t stand|"
    r"neither)\b"
)
_DENIED = re.compile(
    _DENIES.pattern
    + r".*?(?:$|[.;!?]|\b(?=(?:but|maybe|perhaps|instead|rather|preferably|just|only|something|i want|i'd)\b))",
    re.DOTALL,
)
_KIN = (
    r"(?:wife|husband|partner|spouse|girlfriend|boyfriend|fianc\w+|mum|mom|mother|dad|father|parents|gran\w*|sisters?|"
    r"brothers?|siblings?|sons?|daughters?|nephews?|nieces?|cousins?|friends?|mates?|flatmates?|roommates?|colleagues?|"
    r"coworkers?|neighbou?rs?|in-?laws|uncle|aunt\w*|family)"
)
_COMPANY = re.compile(
    rf"\b(?:for|with|and|,) (?:my|our) (?:[\w-]+ ){{0,2}}{_KIN}\b(?:(?:,| and| &) (?:me|i|myself)\b)?"
)
"""Who watches too: no topic to search for ("a comedy for my daughter and me")."""
_CONTRACTED = re.compile(r"n't$|'(?:re|ll|ve|d|m)$|^(?:there|that|it|he|she|what|who|where|here|how|let|when)'?s$")
_STOP = FUNCTION_WORDS | STRAY_WORDS
_CLAUSE = re.compile(r"[.;!?,:\n]+|\bbut\b|\s[-–—]+\s")
_LEADS = frozenset(
    """about with featuring involving set of where who whose which on in during around under inside like full from
    something anything sth that to""".split()  # noqa: SIM905
)
"""Words that a topic may follow, anywhere later in the clause."""
_TIES = frozenset("from in by of with before after set made about on starring between directed".split())  # noqa: SIM905
_LISTS = frozenset("and or".split())  # noqa: SIM905


def read_query(rest: Message, conditions: Sequence[Condition], nouns: Collection[str]) -> str:
    """The words of ``rest`` (names masked) to search for. ``nouns``: words for an item ("film")."""
    # What was read is explained, but for a word that says more than the category it was read as: "heist" for crime.
    said = {word for c in conditions for word in fold(c.said).split()} - NARROWER
    # What follows a denial is not wished for: nothing "sad" is to be searched for after "nothing violent or sad".
    critiques = [c.said for c in conditions if c.source == "critique"]
    denied = [_reach(m, critiques) for m in _DENIED.finditer(rest.low)]
    denied += [m.span() for m in _COMPANY.finditer(rest.low)]
    words: list[str] = []
    for start, end in _clauses(rest.low):
        tokens = [t for t in rest.tokens if start <= t.start < end]
        known = {t.start for t in tokens if t.norm in said or t.norm in nouns}
        masked = re.search(r"\S", rest.text[start:end]) is not None and any(
            not rest.low[i].strip() and rest.text[i].strip() for i in range(start, end)
        )
        explained = masked or any(t.norm in said for t in tokens)
        led = False
        beside = _opens(tokens, known)
        for index, token in enumerate(tokens):
            following = tokens[index + 1] if index + 1 < len(tokens) else None
            content = (
                not any(first <= token.start < last for first, last in denied)
                and token.start not in known
                and _is_content(token.norm, token.text)
            )
            if content:
                before = _run_before_kind(tokens, index, known, rest.low)
                if not explained or led or beside or before:
                    words.append(token.text)
                    beside = True
                else:
                    beside = False
            else:
                beside = token.start in known or (beside and token.norm in _LISTS)
                led = led or token.norm in _LEADS
                if token.start in known and following is not None and following.norm in _LEADS:
                    led = False
    return " ".join(dict.fromkeys(words))


def _reach(denial: re.Match[str], critiques: Sequence[str]) -> tuple[int, int]:
    """From where to where a denial speaks; "not too scary" speaks for itself alone."""
    own = next((said for said in critiques if denial[0].startswith(said)), denial[0])
    return denial.start(), denial.start() + len(own)


def _is_content(norm: str, text: str) -> bool:
    return (
        norm not in _STOP
        and len(norm) > 2
        and not any(ch.isdigit() for ch in norm)
        and not _CONTRACTED.search(text.lower().replace("’", "'"))
        and (not norm.endswith("ly") or norm in NO_ADVERBS)
    )


def _run_before_kind(tokens: Sequence[Token], index: int, known: Collection[int], low: str) -> bool:
    """Whether the words from ``index`` on run into a word for a kind of item: "slow burn psychological thriller"."""
    for position in range(index, len(tokens)):
        token = tokens[position]
        if position > index and low[tokens[position - 1].end : token.start].strip(" -"):
            return False
        if token.start in known:
            return True
        if token.norm in _STOP and (position == index or token.norm not in _LISTS):
            return False
    return False


def _opens(tokens: Sequence[Token], known: Collection[int]) -> bool:
    """Whether a clause opens with its topic: "martial arts from Hong Kong"."""
    for position, token in enumerate(tokens):
        if token.start in known:
            return False
        if not _is_content(token.norm, token.text):
            return position > 0 and token.norm in _TIES
    return False


def _clauses(low: str) -> list[tuple[int, int]]:
    out, start = [], 0
    for m in _CLAUSE.finditer(low):
        out.append((start, m.start()))
        start = m.end()
    return [*out, (start, len(low))]
