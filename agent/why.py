"""Why an item that was asked after is not on the list: what was said of it, a condition it breaks, or its rank."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from convrec.agent.conversation import conversation_of
from convrec.agent.executor import Executor
from convrec.agent.planner import plan_by_rules
from convrec.agent.reasons import fields_of, join, say
from convrec.agent.request import Request
from convrec.agent.session import Session, rows_of
from convrec.agent.turn_state import Turn
from convrec.agent.verifier import violations
from convrec.core.items import Item
from convrec.tools.candidates import Candidates
from convrec.tools.catalogue import Catalogue
from convrec.tools.predicates import Condition

BREAKS_SAID = 3
"""Conditions named at most."""


def reruns(turn: Turn, item: Item) -> bool:
    """Whether :func:`why_not` has to run the request again to answer."""
    slate = turn.session.slate
    return bool(slate) and item.id not in slate and not next(_known(turn, item), "")


def why_not(turn: Turn, item: Item, executor: Executor) -> str:
    """The reason on record why ``item`` is not on the last list. The request is run again, so that a rank is a fact."""
    catalogue = executor.catalogue
    if not turn.session.slate:
        return f"I have not recommended anything in this conversation yet, so {item.label} was not left out of a list."
    if said := next(_known(turn, item), ""):
        return f"{item.label} is not on the list because {said}."
    request = _running(turn, item, catalogue)
    bus = Candidates(rows=catalogue.rows(None)[:0])
    plan = plan_by_rules(replace(turn.reading, act="recommend"), request, catalogue, rerank=False)
    list(executor.run(plan, request, bus))
    kept = [c for c in request.hard if c not in bus.relaxed]
    if broken := [condition for _, condition in violations([item], kept)]:
        told = join([_broken(condition, item, catalogue) for condition in broken[:BREAKS_SAID]])
        return f"{item.label} is not on the list because it does not fit what you asked for: {told}."
    ranked = bus.ranked.rows.tolist() if bus.ranked is not None else []
    if item.row in ranked:
        place = f"number {ranked.index(item.row) + 1} of {len(ranked):,}"
        return f"{item.label} fits what you asked for, but others rank higher: it is {place}."
    return f"{item.label} breaks none of your conditions, but the ranking did not bring it up for this wish."


def _known(turn: Turn, item: Item) -> Iterator[str]:
    """What was said of the item, the weightiest first."""
    session: Session = turn.session
    remembered = [p for p in turn.remembered if p.subject == f"item:{item.id}"]
    if item.id in session.disliked or any(p.polarity in ("disliked", "rejected") for p in remembered):
        yield "you said that you did not like it"
    if item.id in session.rejected:
        yield "you turned it down"
    if item.id in session.seen or any(p.polarity == "seen" for p in remembered):
        yield "you said that you have seen it"
    if item.id in session.liked or item.id in session.given or any(p.polarity == "liked" for p in remembered):
        yield "you like it and so know it already; it says what to look for"
    if item.id in session.named or item.id in session.references:
        yield "you named it yourself"
    if item.id in session.shown:
        yield "I showed it to you before in this conversation"


def _running(turn: Turn, item: Item, catalogue: Catalogue) -> Request:
    """The running request as the list was made, with ``item`` let in."""
    session, now = turn.session, turn.request
    remembered = [c for c in now.conditions if c.source == "memory" and c not in session.conditions]
    return Request(
        conditions=[*session.conditions, *remembered],
        carried=len(session.conditions),
        references=rows_of(catalogue, session.references),
        profile=now.profile,
        disliked=now.disliked,
        excluded=now.excluded - {item.row} - set(rows_of(catalogue, session.slate)),
        query=session.query,
        said=conversation_of(session, catalogue),
    )


def _broken(condition: Condition, item: Item, catalogue: Catalogue) -> str:
    said = []
    for name in sorted(fields_of(condition.expr)):
        spec = catalogue.schema.field(name)
        if spec is not None:
            said.append(say(spec, item.fields.get(name)) or f"no {spec.spoken} on record")
    whose = "remembered: " if condition.source == "memory" else ""
    return f"{whose}“{condition.label}”, but it is {', '.join(said)}" if said else f"{whose}“{condition.label}”"
