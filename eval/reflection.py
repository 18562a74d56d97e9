"""How many planted faults the critic catches, and how often it cries wolf: real turns on the demo catalogue, spoilt."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from convrec.agent.api import AgentInfo
from convrec.agent.budget import Budget
from convrec.agent.critic import UNSUPPORTED_BELOW, Critic, Fault, supported
from convrec.agent.executor import Toolbox
from convrec.agent.llm.base import LLM
from convrec.agent.reply import slate_lines
from convrec.agent.turn import Agent
from convrec.agent.turn_state import Turn
from convrec.agent.verifier import sentences
from convrec.core.embedding import HashingEmbedder
from convrec.core.errors import LLMError
from convrec.core.settings import TurnSettings
from convrec.eval.reflection_plants import KINDS, Base, Made, Phrasing, Planter
from convrec.eval.report import Report, Table
from convrec.eval.run_folder import RunFolder, run_config
from convrec.memory.preferences import PreferenceMemory
from convrec.memory.sessions import SessionStore
from convrec.memory.store import InMemoryStore
from convrec.tools.catalogue import Catalogue

CAUGHT_AIM, FALSE_AIM = 0.95, 0.02
LLM_BUDGET_S = 300.0
_GENRES = ("comedy", "drama", "thriller", "horror", "romance", "crime", "action", "adventure", "western", "mystery")
_RIGHT = {"year": {"year"}, "director": {"person"}, "category": {"condition"}, "outside": {"outside"}, "seen": {"seen"}}
"""Kinds of fault by which a planted one is named rightly; any fault counts as caught."""


def config(catalogue: Catalogue, plants: int, phrasing: Phrasing, model: str, judged: int, seed: int) -> dict[str, Any]:
    asked = {"plants": plants, "phrasing": phrasing, "model": model, "judged": judged}
    digest = hashlib.sha256(f"{catalogue.name} {catalogue.size}".encode()).hexdigest()
    return run_config("reflection", asked, seed=seed, data={"catalogue": digest})


def run_reflection(
    catalogue: Catalogue,
    run: RunFolder,
    *,
    plants: int,
    phrasing: Phrasing,
    seed: int,
    llm: LLM | None = None,
    judged: int = 0,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> dict[str, Any]:
    """``plants``: faulty drafts of each kind, and as many clean ones as faulty ones in all. ``llm``: also judges the
    free sentences of the first ``judged`` drafts."""
    critic = Critic(catalogue)
    total = 2 * plants * len(KINDS)
    for number, (kind, base, made) in enumerate(_drafts(catalogue, plants, phrasing, seed)):
        case = f"{number:05d}"
        progress(number, total)
        if case in run.done():
            continue
        draft, candidates, where = made
        found = critic.draft(
            draft, base.request, candidates=np.array(sorted(candidates), dtype=np.int32), message=base.message
        )
        record: dict[str, Any] = {
            "group": base.text,
            "kind": kind,
            "where": where,
            "metrics": {"flagged": float(bool(found)), "right": float(_named(kind, found))},
            "found": [f"{fault.kind}: {fault.what}" for fault in found][:5],
            "text": draft.text,
        }
        if llm is not None and number < judged and (said := _free(draft.text)):
            record["doubted"] = _doubted(llm, critic, said, slate_lines(base.items))
        run.add(case, record)
    progress(total, total)
    metrics = figures(run.records())
    run.finish(metrics, report(metrics, phrasing))
    return metrics


def figures(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Shares by kind, with n; ``false_alarms`` over the clean drafts."""
    out: dict[str, Any] = {"kinds": {}}
    spoilt = [r for r in records if r["kind"] != "clean"]
    clean = [r for r in records if r["kind"] == "clean"]
    for kind in KINDS:
        own = [r for r in spoilt if r["kind"] == kind]
        by_place = {
            where: _share([r for r in own if r["where"] == where]) for where in sorted({r["where"] for r in own})
        }
        out["kinds"][kind] = {**_share(own), "named_right": _mean(own, "right"), "where": by_place}
    out["caught"] = _share(spoilt)
    out["false_alarms"] = _share(clean)
    judged = [r for r in records if "doubted" in r]
    if judged:
        told = {
            "spoilt": [r for r in judged if r["where"] == "sentence"],
            "clean": [r for r in judged if r["kind"] == "clean"],
        }
        out["model"] = {
            name: {"n": len(own), "doubted": sum(r["doubted"] is True for r in own) / len(own) if own else None}
            for name, own in told.items()
        }
    return out


def report(metrics: dict[str, Any], phrasing: str) -> Report:
    rows = [
        [kind, own["n"], own["share"], own["named_right"], *(own["where"].get(w, {}).get("share") for w in _PLACES)]
        for kind, own in metrics["kinds"].items()
    ]
    for name, own in (("all", metrics["caught"]), ("none (false alarms)", metrics["false_alarms"])):
        rows.append([name, own["n"], own["share"], None, None, None, None])
    note = f"Aims: at least {CAUGHT_AIM:.0%} caught, under {FALSE_AIM:.0%} false alarms. Phrasings: {phrasing}."
    columns = ["planted", "n", "flagged", "named rightly", *(f"in the {place}" for place in _PLACES)]
    tables = [Table("Planted faults", columns, rows, note)]
    if "model" in metrics:
        told = [[name, own["n"], own["doubted"]] for name, own in metrics["model"].items()]
        tables.append(Table("Sentences doubted by the model alone", ["sentence", "n", "doubted"], told))
    return Report("Reflection", lead=("Real turns by rule on the demo catalogue, one fault planted in each.",),
                  tables=tuple(tables))  # fmt: skip


_PLACES = ("list", "record", "sentence")


def _share(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"n": len(records), "share": _mean(records, "flagged")}


def _mean(records: Sequence[dict[str, Any]], name: str) -> float | None:
    return sum(r["metrics"][name] for r in records) / len(records) if records else None


def _named(kind: str, found: Sequence[Fault]) -> bool:
    return bool({fault.kind for fault in found} & _RIGHT.get(kind, set()))


def _free(text: str) -> str:
    """The sentence behind the list, "" when there is none."""
    last = text.splitlines()[-1]
    return sentences(last)[-1] if not last[:1].isdigit() else ""


def _doubted(llm: LLM, critic: Critic, said: str, facts: str) -> bool | None:
    try:
        margin = supported(llm, critic, said, facts, Budget(LLM_BUDGET_S))
    except LLMError:
        return None
    return None if margin is None else margin < UNSUPPORTED_BELOW


def _drafts(catalogue: Catalogue, plants: int, phrasing: Phrasing, seed: int) -> Iterator[tuple[str, Base, Made]]:
    """Spoilt and clean drafts in turn: every spoilt one is followed by a clean one of another turn."""
    rng = random.Random(f"{seed} {phrasing}")  # noqa: S311 - draws cases
    planter = Planter(catalogue, phrasing, rng)
    bases = _bases(catalogue, rng)
    for _ in range(plants):
        for kind in KINDS:
            made = None
            while made is None:
                base = next(bases)
                made = planter.plant(kind, base)
            yield kind, base, made
            base = next(bases)
            yield "clean", base, planter.clean(base)


def _bases(catalogue: Catalogue, rng: random.Random) -> Iterator[Base]:
    """Real turns, without end: what each was about to say."""
    seen: list[Turn] = []
    embedder = HashingEmbedder()
    agent = Agent(
        info=AgentInfo("none", "rules", catalogue.name, catalogue.size, catalogue.schema.item_noun_plural),
        catalogue=catalogue,
        preferences=PreferenceMemory(InMemoryStore(), embedder),
        sessions=SessionStore(":memory:"),
        toolbox=Toolbox.build(catalogue, None, None),
        settings=TurnSettings(reflection="off"),
        observer=seen.append,
    )
    popular = [int(row) for row in (-catalogue.numeric("reviews")).argsort(kind="stable")[:3000]]
    number = 0
    while True:
        number += 1
        user = f"u{number}"
        named = catalogue.item(rng.choice(popular))
        for text in (f"I have seen {named.label}.", _request(catalogue, rng, popular)):
            for _ in agent.turn(text, user=user, session_id=user, approval="off"):
                pass
        turn = seen[-1]
        seen.clear()
        if len(turn.items) < 2 or turn.relaxed:  # what was let go may be broken: no place for a planted fault
            continue
        opening = turn.text.split("\n1. ")[0].strip()
        yield Base(
            turn.reading.text,
            turn.request,
            tuple(turn.items),
            opening,
            tuple(turn.candidates.tolist()),
            turn.reading.text,
        )


def _request(catalogue: Catalogue, rng: random.Random, popular: Sequence[int]) -> str:
    wanted, denied = rng.sample(_GENRES, 2)
    decade = rng.choice((1960, 1970, 1980, 1990, 2000))
    like = catalogue.item(rng.choice(popular)).label
    forms = (
        f"a {wanted} film, no {denied}",
        f"{wanted} from the {decade}s, but not {denied}",
        f"something like {like} but no {denied}",
        f"{wanted} under {rng.choice((95, 110, 120))} minutes, no {denied}",
        f"a {wanted} made after {decade}, without {denied}",
        f"films like {like}",
    )
    return rng.choice(forms)
