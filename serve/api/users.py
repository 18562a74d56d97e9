"""What is stored about users: preferences, sessions, feedback; and how all of it is erased."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from convrec.core.errors import RequestError
from convrec.memory.preferences import PreferenceMemory
from convrec.memory.records import Kind, NewPreference, Polarity, Preference
from convrec.serve.api import schemas
from convrec.serve.api.answers import ERRORS
from convrec.serve.api.constraints import Constraint
from convrec.serve.api.context import Api, caller_with
from convrec.serve.api.identity import Caller, WholeText, check_conversation
from convrec.serve.api.items import checked_items
from convrec.serve.http_errors import SafeJSONResponse
from convrec.serve.keys import Scope
from convrec.tools.predicates import condition_to_json
from fastapi import APIRouter, Body, HTTPException, Path, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

UserId = Annotated[str, Path(description="the user's id, as given in `user` of the chat", min_length=1, max_length=128)]
PreferenceId = Annotated[str, Path(description="the preference's `id`", min_length=1, max_length=200)]
SessionId = Annotated[str, Path(description="the conversation's id", min_length=1, max_length=200)]
UserQuery = Annotated[str, Query(description="whose", min_length=1, max_length=128)]
Text = Annotated[WholeText, Field(min_length=1, max_length=500)]


class PreferenceNew(BaseModel):
    """A statement about a user: on an item, on a field's value, or in words alone."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "text": "always: no horror",
                    "polarity": "unwanted",
                    "constraint": {"field": "genres", "values": ["Horror"], "negate": True},
                    "standing": True,
                },
                {"text": "liked Heat", "polarity": "liked", "item": "tt0113277"},
            ]
        },
    )

    text: Text = Field(description="plain words, as shown to the user")
    polarity: Polarity
    item: WholeText | None = Field(None, min_length=1, max_length=500, description="id of the item it is about")
    constraint: Constraint | None = Field(None, description="what it means for the search")
    standing: bool = Field(False, description="an instruction for every request; needs a constraint")


IMPORTED = {
    "format": "convrec-preferences",
    "version": 1,
    "preferences": [
        {
            "id": "0123456789abcdef0123456789abcdef",
            "kind": "note",
            "polarity": "neutral",
            "subject": "note:watches with subtitles",
            "text": "watches with subtitles",
            "user": "alice",
            "created": "2026-01-31T20:00:00Z",
        }
    ],
}


class PreferenceChange(BaseModel):
    """What to correct in a preference; what is left out stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"text": "no horror after 9 pm"}]})

    text: Text | None = None
    polarity: Polarity | None = None


class Feedback(BaseModel):
    """A reaction to an item in a conversation."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"user": "alice", "conversation_id": "alice-1", "item": "tt0113277", "kind": "liked"}]
        },
    )

    user: str
    conversation_id: str
    item: WholeText = Field(min_length=1, max_length=500, description="the item's id")
    kind: Literal["liked", "disliked", "seen"]


def user_routes(api: Api) -> APIRouter:
    """Preferences, sessions and feedback in the stores of ``api``'s agent; they block, so each call is on a thread."""
    router = APIRouter(prefix="/v1", responses=ERRORS)
    _preferences(router, api, api.agent.preferences)
    _sessions(router, api)
    _feedback_and_erasure(router, api)
    return router


def _preferences(router: APIRouter, api: Api, memory: PreferenceMemory) -> None:
    readers, writers = caller_with(api, Scope.PREFERENCES_READ), caller_with(api, Scope.PREFERENCES_WRITE)
    tags: list[Any] = ["preferences"]
    base = "/users/{user}/preferences"

    @router.get(base, tags=tags, summary="What is believed about a user, newest first")
    def all_preferences(
        user: UserId,
        caller: Caller = readers,
        history: Annotated[bool, Query(description="also what was superseded")] = False,
    ) -> schemas.PreferenceList:
        found = memory.list(caller.stored(user), include_superseded=history)
        return schemas.PreferenceList(user=user, data=[_record(p, user) for p in found])

    @router.get(base + "/search", tags=tags, summary="Those that hold these words, then the nearest in meaning")
    def search(
        user: UserId,
        q: Annotated[str, Query(min_length=1, max_length=500, description="words or a request")],
        caller: Caller = readers,
        limit: Annotated[int, Query(ge=1, le=50)] = 8,
    ) -> schemas.FoundPreferences:
        found = memory.search(caller.stored(user), q, limit)
        data = [
            schemas.FoundPreference(preference=_record(r.preference, user), score=r.score, reason=r.reason)
            for r in found
        ]
        return schemas.FoundPreferences(user=user, data=data)

    @router.get(base + "/export", tags=tags, summary="All that is remembered about a user, as a file")
    def export(user: UserId, caller: Caller = readers) -> JSONResponse:
        data = _renamed(memory.export(caller.stored(user)), user)
        return SafeJSONResponse(
            data, headers={"Content-Disposition": 'attachment; filename="convrec-preferences.json"'}
        )

    @router.post(
        base + "/import", tags=tags, summary="Take in what export wrote, of this user or another; all or nothing"
    )
    def import_preferences(
        user: UserId,
        caller: Caller = writers,
        document: dict[str, Any] = Body(examples=[IMPORTED]),  # noqa: B008 - FastAPI reads it once
    ) -> schemas.Imported:
        try:
            json.dumps(document, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise RequestError("document", "half of a surrogate pair", "Send whole characters") from error
        report = memory.import_(caller.stored(user), document)
        return schemas.Imported(user=user, added=report.added, unchanged=report.unchanged, skipped=report.skipped)

    @router.get("/users/{user}/profile", tags=tags, summary="What holds at every turn, in plain words")
    def profile(user: UserId, caller: Caller = readers) -> schemas.ProfileText:
        made = memory.profile(caller.stored(user))
        return schemas.ProfileText(user=user, text=made.summary() if made else "", built=made.built if made else None)

    @router.post(base, tags=tags, status_code=201, summary="Add one")
    def add(user: UserId, body: PreferenceNew, caller: Caller = writers) -> schemas.PreferenceRecord:
        return _record(memory.add(caller.stored(user), _new(api, body)), user)

    @router.patch(base + "/{preference}", tags=tags, summary="Correct one")
    def change(
        user: UserId, preference: PreferenceId, body: PreferenceChange, caller: Caller = writers
    ) -> schemas.PreferenceRecord:
        if body.text is None and body.polarity is None:
            raise RequestError("body", {}, "Send 'text', 'polarity' or both")
        stored = caller.stored(user)
        _known(memory, stored, preference)
        return _record(memory.edit(stored, preference, text=body.text, polarity=body.polarity), user)

    @router.delete(base + "/{preference}", tags=tags, summary="Forget one, for good")
    def forget(user: UserId, preference: PreferenceId, caller: Caller = writers) -> schemas.Deleted:
        stored = caller.stored(user)
        _known(memory, stored, preference)
        memory.forget(stored, preference)
        return schemas.Deleted(id=preference, object="preference", deleted=True)

    @router.delete(base, tags=tags, summary="Forget all, for good")
    def forget_all(user: UserId, caller: Caller = writers) -> schemas.DeletedMany:
        return schemas.DeletedMany(user=user, deleted=memory.forget_all(caller.stored(user)))


def _sessions(router: APIRouter, api: Api) -> None:
    readers, writers = caller_with(api, Scope.SESSIONS_READ), caller_with(api, Scope.SESSIONS_WRITE)
    tags: list[Any] = ["sessions"]
    agent = api.agent

    @router.get("/sessions", tags=tags, summary="A user's conversations, last used first")
    def all_sessions(
        user: UserQuery, caller: Caller = readers, limit: Annotated[int, Query(ge=1, le=1000)] = 100
    ) -> schemas.SessionList:
        found = agent.sessions.list(caller.stored(user))[:limit]
        data = [schemas.SessionSummary(id=s.session_id, created=s.created, updated=s.updated) for s in found]
        return schemas.SessionList(user=user, data=data)

    @router.get("/sessions/{session}", tags=tags, summary="What was said in one")
    def one_session(session: SessionId, user: UserQuery, caller: Caller = readers) -> schemas.SessionRecord:
        stored, known = caller.stored(user), check_conversation(session)
        if agent.sessions.load(stored, known) is None:
            raise _no_session(known)
        turns = [schemas.SaidTurn(user=u, assistant=a) for u, a in agent.history(user=stored, session_id=known)]
        return schemas.SessionRecord(id=known, user=user, turns=turns)

    @router.delete("/sessions/{session}", tags=tags, summary="Erase one, for good; preferences stay")
    def erase_session(session: SessionId, user: UserQuery, caller: Caller = writers) -> schemas.Deleted:
        stored, known = caller.stored(user), check_conversation(session)
        if agent.sessions.load(stored, known) is None:
            raise _no_session(known)
        agent.reset(user=stored, session_id=known)
        return schemas.Deleted(id=known, object="session", deleted=True)


def _feedback_and_erasure(router: APIRouter, api: Api) -> None:
    agent = api.agent
    chatters, erasers = caller_with(api, Scope.CHAT), caller_with(api, Scope.USERS_ERASE)

    @router.post("/feedback", tags=["feedback"], summary="Liked, disliked or seen: remembered, and used at once")
    def feedback(body: Feedback, caller: Caller = chatters) -> schemas.FeedbackKept:
        stored, session = caller.stored(body.user), check_conversation(body.conversation_id)
        checked_items(agent.catalogue, [body.item], "item")
        said = agent.feedback(user=stored, session_id=session, item_id=body.item, kind=body.kind)
        return schemas.FeedbackKept(user=body.user, remembered=said)

    @router.delete("/users/{user}", tags=["users"], summary="Erase everything about a user, for good")
    async def erase(user: UserId, caller: Caller = erasers) -> schemas.UserErased:
        stored = caller.stored(user)
        await api.pool.stop_user(stored)  # a turn under way would write again what is being erased

        def work() -> tuple[int, int]:
            sessions = agent.sessions.list(stored)
            for session in sessions:  # each waits for a turn that another worker may still be running
                agent.reset(user=stored, session_id=session.session_id)
            agent.sessions.delete_user(stored)
            return agent.preferences.forget_all(stored), len(sessions)

        preferences, sessions = await run_in_threadpool(work)
        return schemas.UserErased(user=user, preferences=preferences, sessions=sessions)


def _new(api: Api, body: PreferenceNew) -> NewPreference:
    catalogue = api.agent.catalogue
    if body.item is not None and body.constraint is not None:
        raise RequestError("item", body.item, "Give 'item' or 'constraint', not both")
    if body.standing and body.constraint is None:
        raise RequestError("standing", True, "A standing instruction needs a 'constraint'")
    subject, payload = f"note:{body.text}", dict[str, Any]()
    kind: Kind = "note"
    if body.item is not None:
        [item] = checked_items(catalogue, [body.item], "item")
        kind, subject, payload = "item", f"item:{item}", {"item": item, "catalogue": catalogue.name}
    elif body.constraint is not None:
        condition = body.constraint.condition(catalogue, "constraint")
        words = ",".join(map(str, body.constraint.values))
        kind = "standing" if body.standing else "attribute"
        subject = f"{body.constraint.field}={words}" if body.constraint.op in ("any", "all") else body.constraint.field
        payload = {"condition": condition_to_json(condition)}
    return NewPreference(
        kind=kind,
        polarity=body.polarity,
        subject=subject[:200],
        text=body.text,
        said=body.text,
        confidence=1.0,
        payload=payload,
    )


def _known(memory: PreferenceMemory, stored: str, preference: str) -> None:
    try:
        memory.get(stored, preference)
    except RequestError as error:
        if error.field != "preference":
            raise
        raise HTTPException(404, str(error)) from error


def _no_session(session: str) -> HTTPException:
    return HTTPException(404, f"this user has no session {session[:100]!r}")


def _record(preference: Preference, user: str) -> schemas.PreferenceRecord:
    """With the user's id as the caller knows it."""
    return schemas.PreferenceRecord.model_validate(preference.model_dump() | {"user": user})


def _renamed(document: dict[str, Any], user: str) -> dict[str, Any]:
    return document | {"user": user, "preferences": [p | {"user": user} for p in document["preferences"]]}
