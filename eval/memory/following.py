"""Over whole turns: is a preference of turn 1 kept at turns 10 and 50, and does a profile answer like its records?"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from convrec.agent.events import Finished, TurnResult
from convrec.agent.turn import Agent
from convrec.core.items import Item
from convrec.memory.reading import Need
from convrec.tools.predicates import condition_from_json, holds

Record = tuple[str, dict[str, Any]]
ASKED_AT = (10, 50)
STATED = (
    "never show me horror",
    "I can't stand westerns",
    "please never recommend musicals",
    "I hate war films",
    "from now on only films from after 1990",
    "never anything longer than two hours",
    "I don't like animated films",
    "never anything with Tom Cruise",
    "I always want comedies",
    "I dislike documentaries",
    "never any romance",
    "I'm not into science fiction",
)
_TALK = (
    "something with a strong story",
    "a well reviewed drama",
    "anything else?",
    "thanks",
    "something newer",
    "a classic from the 60s",
    "who directed the first one?",
    "a crime film",
    "something set at sea",
    "shorter please",
    "I loved Chinatown",
    "an Italian film",
    "something dark and tense",
    "a film about friendship",
    "another one",
    "what about something from the 80s?",
    "a mystery",
)
_ASK = (
    "recommend me something gripping",
    "something my friends would not know",
    "recommend me a film",
    "what should I watch tonight?",
)
LIKES = (
    "I love comedies",
    "I love crime films",
    "I hate horror",
    "never show me musicals",
    "I loved Heat",
    "I loved Fargo",
    "I liked Alien",
    "I loved Chinatown",
    "I didn't like Titanic",
    "I hate war films",
    "I have seen Jaws",
    "I enjoy mysteries",
    "I loved Vertigo",
    "I don't like westerns",
    "I liked Amadeus",
    "I loved Casablanca",
    "I'm a fan of thrillers",
    "I hated Gladiator",
    "I have seen Rocky",
    "I liked The Godfather",
    "I loved Psycho",
    "I loved Goodfellas",
    "my sister Ana loves romance",
    "I'm colour blind",
)


def kept(make: Callable[[], Agent], seed: int, stated: tuple[str, ...] = STATED) -> Iterator[Record]:
    """A preference of turn 1, then other talk; the slates of turns 10 and 50 are held against it, record by record."""
    for number, text in enumerate(stated):
        case = f"following/{number:02}"
        rng = np.random.default_rng([seed, zlib.crc32(case.encode())])
        agent = make()
        try:
            _ask(agent, text)
            rules = [
                condition_from_json(p.payload["condition"])
                for p in agent.preferences.list("user")
                if isinstance(p.payload.get("condition"), dict)
            ]
            broken: dict[int, int] = {}
            shown: dict[int, int] = {}
            for turn in range(2, max(ASKED_AT) + 1):
                said = _ASK[int(rng.integers(len(_ASK)))] if turn in ASKED_AT else _TALK[int(rng.integers(len(_TALK)))]
                items = _items(agent, _ask(agent, said))
                bad = sum(not all(holds(rule.expr, item) for rule in rules) for item in items)
                if turn in ASKED_AT:
                    broken[turn], shown[turn] = bad, len(items)
        finally:
            agent.close()
        obeyed = {f"turn_{turn}": float(bool(rules) and not broken[turn] and shown[turn] > 0) for turn in ASKED_AT}
        record = {
            "check": "following",
            "split": "generated",
            "group": case,
            "metrics": obeyed,
            "violations": sum(broken.values()),
            "show": {"stated": text, "read as": "; ".join(rule.label for rule in rules), "items": str(shown)},
        }
        yield case, record


def profiled(make: Callable[[], Agent]) -> Iterator[Record]:
    """The same requests with the records alone and with the profile: equal slates from how many records read?"""
    agent = make()
    try:
        for number, text in enumerate(LIKES):
            _ask(agent, text, session=f"said{number}")
        agent.profiles.close()  # from here on profiles are made and dropped by hand
        read: dict[str, list[int]] = {"records": [], "profile": []}
        slates: dict[str, list[list[str]]] = {"records": [], "profile": []}
        for way in ("records", "profile"):
            if way == "profile":
                agent.preferences.refresh_profile("user")
            else:
                agent.preferences.drop_profile("user")
            for number, text in enumerate(_ASK):
                need = Need(text, agent.preferences.clock())
                read[way].append(agent.preferences.recall("user", need).retrieved)
                result = _ask(agent, text, session=f"{way}{number}")
                slates[way].append([item.id for item in result.items])
        for number, text in enumerate(_ASK):
            same = slates["records"][number] == slates["profile"][number]
            share = read["profile"][number] / max(1, read["records"][number])
            record = {
                "check": "profile",
                "split": "generated",
                "group": f"profile/{number}",
                "metrics": {"same_slate": float(same), "share_read": share},
                "show": {"request": text},
            }
            yield f"profile/{number}", record
    finally:
        agent.close()


def _ask(agent: Agent, text: str, *, session: str = "s") -> TurnResult:
    last = None
    for event in agent.turn(text, user="user", session_id=session, approval="off"):
        last = event
    assert isinstance(last, Finished)
    return last.result


def _items(agent: Agent, result: TurnResult) -> list[Item]:
    rows = [row for row in agent.catalogue.rows_of([item.id for item in result.items]) if row is not None]
    return agent.catalogue.items(rows)
