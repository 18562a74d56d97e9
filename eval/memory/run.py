"""``convrec eval memory``: all checks into one run folder, with the figures and a report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from convrec.agent.api import AgentInfo
from convrec.agent.executor import Toolbox
from convrec.agent.llm.base import LLM
from convrec.agent.turn import Agent
from convrec.core.embedding import Embedder
from convrec.core.settings import TurnSettings
from convrec.eval.memory import cases, checks, following
from convrec.eval.memory.world import Ears
from convrec.eval.report import Report, Table
from convrec.eval.run_folder import RunFolder, run_config
from convrec.memory.preferences import PreferenceMemory
from convrec.memory.sessions import SessionStore
from convrec.memory.store import InMemoryStore
from convrec.tools.catalogue import Catalogue
from convrec.tools.item_index import ItemIndex

CHECKS = ("recall", "conditional", "writing", "newest", "following", "profile")
TARGETS = {
    "recall@3": 0.95, "conditional_f1": 0.90, "false_memories": 0.02, "newest_wins": 1.0, "following_turn_10": 1.0,
    "following_turn_50": 1.0, "profile_share_read": 0.25,
}  # fmt: skip
"""What is aimed at; ``false_memories`` and ``profile_share_read`` are upper bounds, the first exclusive."""


def config(
    catalogue: Catalogue, embedder: Embedder, wanted: Sequence[str], seed: int, llm: LLM | None = None
) -> dict[str, Any]:
    settings = {
        "checks": list(wanted),
        "embedder": embedder.name,
        "catalogue": catalogue.name,
        "sessions": checks.SESSIONS,
        "per_session": checks.PER_SESSION,
        "k": checks.K,
        "tier": llm.tier if llm is not None else "none",
        "model": llm.name if llm is not None else "",
    }
    return run_config("memory", settings, seed=seed, data=cases.hashes())


def evaluate(
    catalogue: Catalogue,
    embedder: Embedder,
    index: ItemIndex | None,
    run: RunFolder,
    *,
    wanted: Sequence[str] = CHECKS,
    seed: int = 0,
    llm: LLM | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Run what is not in the folder yet, then the figures of all. ``llm``: reads what the rules left unread.

    Raises:
        LLMError: the model failed.
    """
    ears = Ears(catalogue, llm)
    toolbox = Toolbox.build(catalogue, embedder if index is not None else None, index)

    def agent() -> Agent:
        return Agent(
            info=AgentInfo("none", "rules", catalogue.name, catalogue.size, catalogue.schema.item_noun_plural),
            catalogue=Borrowed(catalogue),  # type: ignore[arg-type]
            preferences=PreferenceMemory(InMemoryStore(), embedder),
            sessions=SessionStore(":memory:"),
            toolbox=toolbox,
            settings=TurnSettings(),
        )

    parts: dict[str, Callable[[], Iterator[checks.Record]]] = {
        "recall": lambda: checks.recall(ears, embedder, seed),
        "conditional": lambda: checks.conditional(ears, embedder),
        "writing": lambda: checks.writing(ears, embedder),
        "newest": lambda: checks.newest(ears, embedder, seed),
        "following": lambda: following.kept(agent, seed),
        "profile": lambda: following.profiled(agent),
    }
    done = run.done()
    finished = {name for name in wanted if f"{name}/-" in done}
    for number, name in enumerate(wanted):
        progress(number, len(wanted))
        if name in finished:
            continue
        for case, record in parts[name]():
            if case not in run.done():
                run.add(case, record)
        run.add(f"{name}/-", {"check": "done", "split": "", "group": name, "metrics": {}})
    progress(len(wanted), len(wanted))
    records = [r for r in run.records() if r["check"] != "done"]
    metrics = figures(records)
    run.finish(metrics, _report(metrics))
    return metrics


class Borrowed:
    """A catalogue that several agents use one after the other: closing one of them leaves it open."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def __getattr__(self, name: str) -> Any:
        return getattr(self._catalogue, name)

    def close(self) -> None:
        pass


def figures(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Figures by check and split; each with its n. A check without cases has no figure."""
    out: dict[str, Any] = {}
    for split in (*cases.SPLITS, "generated"):
        found = [r for r in records if r["split"] == split]
        own = {**_recall(found), **_conditional(found), **_writing(found), **_rest(found)}
        if own:
            out[split] = own
    return out


def _of(records: Sequence[dict[str, Any]], check: str, metric: str) -> list[dict[str, Any]]:
    return [r for r in records if r["check"] == check and metric in r["metrics"]]


def _mean(records: Sequence[dict[str, Any]], metric: str) -> float:
    return float(sum(r["metrics"][metric] for r in records)) / len(records)


def _recall(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    found = _of(records, "recall", "reasoned")
    if not found:
        return {}
    facts = sum(r["facts"] for r in found)
    two = [r for r in found if r["facts"] == 2]
    out = {
        "recall@3": sum(r["metrics"]["reasoned"] * r["facts"] for r in found) / facts,
        "recall@3_raw": sum(r["metrics"]["raw"] * r["facts"] for r in found) / facts,
        "recall_facts": facts,
    }
    if two:
        out["both_of_two"] = sum(r["metrics"]["reasoned"] == 1 for r in two) / len(two)
        out["both_of_two_raw"] = sum(r["metrics"]["raw"] == 1 for r in two) / len(two)
    return out


def _conditional(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    found = _of(records, "conditional", "right")
    if not found:
        return {}
    right = sum(r["applied"] and r["applies"] for r in found)
    applied, applies = sum(r["applied"] for r in found), sum(r["applies"] for r in found)
    return {
        "conditional_f1": 2 * right / (applied + applies) if applied + applies else 0.0,
        "conditional_precision": right / applied if applied else 0.0,
        "conditional_recall": right / applies if applies else 0.0,
        "conditional_cases": len(found),
    }


def _writing(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    not_his, own = _of(records, "writing", "false"), _of(records, "writing", "remembered")
    out: dict[str, Any] = {}
    if not_his:
        out |= {"false_memories": _mean(not_his, "false"), "false_memories_of": len(not_his)}
    if own:
        out |= {"remembered": _mean(own, "remembered"), "remembered_of": len(own), "contrary": _mean(own, "contrary")}
    return out


def _rest(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if newest := _of(records, "newest", "right"):
        out |= {"newest_wins": _mean(newest, "right"), "newest_cases": len(newest)}
    for turn in following.ASKED_AT:
        if found := _of(records, "following", f"turn_{turn}"):
            out |= {f"following_turn_{turn}": _mean(found, f"turn_{turn}"), "following_cases": len(found)}
            out["violations"] = sum(r["violations"] for r in found)
    if profile := _of(records, "profile", "same_slate"):
        out |= {"profile_same_slate": _mean(profile, "same_slate"), "profile_share_read": _mean(profile, "share_read")}
    return out


def _report(metrics: dict[str, Any]) -> Report:
    names = sorted({name for own in metrics.values() for name in own})
    splits = list(metrics)
    rows = [[name, *(metrics[split].get(name) for split in splits), TARGETS.get(name)] for name in names]
    return Report(
        "Memory",
        lead=("Rules were written on the dev split only; held-out and test say what is to be expected.",),
        tables=(Table("Figures by split", ["figure", *splits, "aim"], rows),),
    )
