"""A plan that waits for approval as JSON, in the session it belongs to: what is approved is what was shown.

Rows are kept as they are, since a plan is tied to the state of the catalogue it was made over: over another one it is
not restored.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from convrec.agent.events import Proposal
from convrec.agent.plan import Plan
from convrec.agent.request import Request
from convrec.agent.session import Session, rows_of
from convrec.core.errors import ToolRetry
from convrec.tools.catalogue import Catalogue
from convrec.tools.linking_people import PersonLink
from convrec.tools.linking_titles import UnknownTitle
from convrec.tools.predicates import condition_from_json, condition_to_json
from convrec.tools.ranking_model import Conversation
from convrec.tools.references import Mention
from convrec.tools.understand import Understanding
from pydantic import TypeAdapter, ValidationError

_MENTIONS = TypeAdapter(tuple[Mention, ...])
_PEOPLE = TypeAdapter(tuple[PersonLink, ...])
_UNKNOWN = TypeAdapter(tuple[UnknownTitle, ...])
_PROPOSAL = TypeAdapter(Proposal)
_SAID = TypeAdapter(Conversation | None)
_CONDITIONS = ("conditions", "dropped")
_WORDS = ("asked_fields", "adds", "lifted")
_ROWS = ("references", "profile", "disliked")


@dataclass(frozen=True, slots=True)
class Pending:
    """A plan that waits: everything that carrying it out needs."""

    reading: Understanding
    request: Request
    plan: Plan
    planner: str
    proposal: Proposal
    """As it was shown."""
    kept: bool = True
    """Whether what was stated with it was remembered."""
    heard: tuple[tuple[Understanding, int], ...] = ()
    """The messages it was made of, and the numbers of their turns."""

    def to_json(self, catalogue: Catalogue) -> dict[str, Any]:
        """JSON-ready, with what the next message may change about it."""
        asked = [c for c in self.request.conditions if c.source not in ("memory", "llm")]
        asked = [c for c in asked if not (self.kept and c.standing)]
        return {
            "catalogue": catalogue.fingerprint,
            "reading": _reading_to_json(self.reading),
            "request": _request_to_json(self.request),
            "plan": self.plan.model_dump(mode="json"),
            "planner": self.planner,
            "kept": self.kept,
            "heard": [[_reading_to_json(reading), turn] for reading, turn in self.heard],
            "proposal": asdict(self.proposal),
            "running": {
                "conditions": [condition_to_json(c) for c in asked],
                "references": [item.id for item in catalogue.items(self.request.references)],
                "query": self.request.query.removesuffix(self.request.query_remembered).strip(),
                "began": self.request.said.began if self.request.said is not None else 0,
            },
        }

    @classmethod
    def of(cls, session: Session, catalogue: Catalogue) -> Pending | None:
        """What waits in a session; None when nothing does, or it was made over another state of the catalogue.

        What was turned down meanwhile is left out beside what the plan leaves out.
        """
        data = session.pending
        if not data or data.get("catalogue") != catalogue.fingerprint:
            return None
        try:
            request = _request_from_json(data["request"])
            since = rows_of(catalogue, [*session.rejected, *session.disliked, *session.seen])
            request.excluded |= set(since)
            return cls(
                reading=_reading_from_json(data["reading"]),
                request=request,
                plan=Plan.model_validate(data["plan"]),
                planner=str(data["planner"]),
                kept=bool(data["kept"]),
                proposal=_PROPOSAL.validate_python(data["proposal"]),
                heard=tuple((_reading_from_json(reading), int(turn)) for reading, turn in data["heard"]),
            )
        except (KeyError, TypeError, ValueError, ToolRetry, ValidationError):  # written by another version
            return None


def as_running(session: Session) -> Session:
    """The session as if its waiting plan had been carried out, for reading what the next message says about it."""
    running = session.pending.get("running")
    if not isinstance(running, dict) or session.pending.get("plan", {}).get("action") != "recommend":
        return session
    try:
        conditions = [condition_from_json(c) for c in running["conditions"]]
        return replace(
            session,
            conditions=conditions,
            references=list(running["references"]),
            query=str(running["query"]),
            began=int(running["began"]),
        )
    except (KeyError, TypeError, ToolRetry):
        return session


def _reading_to_json(reading: Understanding) -> dict[str, Any]:
    own: dict[str, Any] = {spec.name: getattr(reading, spec.name) for spec in fields(reading)}
    for name in _CONDITIONS:
        own[name] = [condition_to_json(c) for c in own[name]]
    for name in ("mentions", "people", "unknown"):
        own[name] = [asdict(part) for part in own[name]]
    return own


def _reading_from_json(data: dict[str, Any]) -> Understanding:
    own = dict(data)
    for name in _CONDITIONS:
        own[name] = tuple(condition_from_json(c) for c in own[name])
    for name in _WORDS:
        own[name] = tuple(own[name])
    own["mentions"] = _MENTIONS.validate_python(own["mentions"])
    own["people"] = _PEOPLE.validate_python(own["people"])
    own["unknown"] = _UNKNOWN.validate_python(own["unknown"])
    if own["person_of"] is not None:
        name, rows = own["person_of"]
        own["person_of"] = (name, tuple(rows))
    return Understanding(**own)


def _request_to_json(request: Request) -> dict[str, Any]:
    own: dict[str, Any] = {spec.name: getattr(request, spec.name) for spec in fields(request)}
    own["conditions"] = [condition_to_json(c) for c in request.conditions]
    own["excluded"] = sorted(int(row) for row in request.excluded)
    own["said"] = None if request.said is None else asdict(request.said)
    return own | {name: [int(row) for row in own[name]] for name in _ROWS}


def _request_from_json(data: dict[str, Any]) -> Request:
    own = dict(data)
    own["conditions"] = [condition_from_json(c) for c in own["conditions"]]
    own["excluded"] = frozenset(own["excluded"])
    own["said"] = _SAID.validate_python(own["said"])
    return Request(**own | {name: tuple(own[name]) for name in _ROWS})
