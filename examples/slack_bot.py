"""A Slack bot that recommends, over a convrec server.

What it shows: an event's payload in, message blocks out; signatures checked
(https://docs.slack.dev/authentication/verifying-requests-from-slack); each event answered within Slack's three seconds
and the turn run afterwards; events that Slack sends twice run once; a thread is a conversation, a Slack user of a
workspace is a user; the buttons under each item become feedback. It talks to a server by `convrec.AsyncClient`, and
knows nothing of recommending.

    pip install 'convrec[app]'
    convrec serve &
    export SLACK_SIGNING_SECRET=... SLACK_BOT_TOKEN=xoxb-...     # and CONVREC_API_KEY, if the server asks for keys
    python examples/slack_bot.py --port 3000

In Slack: subscribe the app to `app_mention` and `message.im` at https://.../slack/events, set the interactivity address
to https://.../slack/actions, and give it the scopes `chat:write`, `app_mentions:read` and `im:history`.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import logging
import os
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

import convrec
import httpx
import uvicorn
from convrec.core.errors import ClientError
from convrec.serve.client import Answer
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

log = logging.getLogger("slack_bot")

SLACK = "https://slack.com/api"
OLDEST_S = 300
"""A signature older than that is a replay, seconds; Slack's own advice."""
MAX_BODY = 1 << 20
KNOWN_EVENTS = 10_000
MAX_TEXT = 2900
"""Slack takes 3,000 characters per block of text."""

Block = dict[str, Any]
Post = Callable[[dict[str, Any]], Awaitable[None]]
"""Sends a message: the arguments of Slack's chat.postMessage."""


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Slack's signature of a request."""
    return "v0=" + hmac.new(secret.encode(), b"v0:" + timestamp.encode() + b":" + body, hashlib.sha256).hexdigest()


def is_genuine(secret: str, headers: Mapping[str, str], body: bytes, now: float | None = None) -> bool:
    """Whether Slack sent this, and lately."""
    timestamp = headers.get("x-slack-request-timestamp", "")
    if not timestamp.isdecimal() or abs((now or time.time()) - int(timestamp)) > OLDEST_S:
        return False
    given = headers.get("x-slack-signature", "")
    return hmac.compare_digest(signature(secret, timestamp, body).encode(), given.encode())


def escaped(text: str) -> str:
    """Text as Slack's mrkdwn shows it: no mention, link or channel can be written with it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def blocks_of(answer: Answer) -> list[Block]:
    """The answer in words, then each item with its reason and its buttons."""
    blocks: list[Block] = [_words(escaped(answer.text))]
    for item in answer.items:
        year = f" ({item.year})" if item.year else ""
        blocks.append(_words(f"*{escaped(item.title)}*{year}\n{escaped(item.reason)}"))
        value = json.dumps({"item": item.id, "conversation": answer.conversation_id})
        buttons = (("liked", "I like it"), ("disliked", "Not for me"), ("seen", "Seen it"))
        if len(value) <= 2000:  # Slack's limit of a button's value
            blocks.append(
                {
                    "type": "actions",
                    "elements": [
                        {
                            "type": "button",
                            "action_id": kind,
                            "value": value,
                            "text": {"type": "plain_text", "text": said},
                        }
                        for kind, said in buttons
                    ],
                }
            )
    for fallback in answer.facts.fallbacks:  # what did not work is said
        note = escaped(f"{fallback.stage}: {fallback.reason}; instead: {fallback.instead}")
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": note[:MAX_TEXT]}]})
    return blocks[:50]  # Slack's limit of a message


def _words(text: str) -> Block:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:MAX_TEXT] or "…"}}


class Bot:
    """Answers events. Keeps the ids of the last events and nothing of any user."""

    def __init__(self, client: convrec.AsyncClient, post: Post) -> None:
        self._client, self._post = client, post
        self._seen: OrderedDict[str, None] = OrderedDict()

    def is_new(self, event_id: str) -> bool:
        """Whether this event was not taken yet; Slack sends one again when the answer took long."""
        if event_id in self._seen:
            return False
        self._seen[event_id] = None
        if len(self._seen) > KNOWN_EVENTS:
            self._seen.popitem(last=False)
        return True

    async def answer(self, payload: dict[str, Any]) -> None:
        """Run the turn of an event and post what came of it."""
        message = await self.message_for(payload)
        if message is not None:
            await self._post(message)

    async def message_for(self, payload: dict[str, Any]) -> dict[str, Any] | None:
        """The message that answers an event; None for one that wants none."""
        event = payload.get("event", {})
        ours = event.get("type") == "app_mention" or (
            event.get("type") == "message" and event.get("channel_type") == "im"
        )
        if not ours or event.get("bot_id") or event.get("subtype"):
            return None
        thread = event.get("thread_ts") or event["ts"]
        where = {"channel": event["channel"], "thread_ts": thread}
        text = re.sub(r"<@[A-Z0-9]+>", "", event.get("text", "")).strip()
        text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        if not text:
            return where | {"text": "What are you in the mood for?"}
        user = f"slack-{payload['team_id']}-{event['user']}"
        # One conversation per thread and person: two people in a thread do not speak for each other.
        conversation = f"{payload['team_id']}-{event['channel']}-{thread}-{event['user']}"
        try:
            answer = await self._client.chat(text, user=user, conversation_id=conversation)
        except ClientError as error:
            log.warning("no answer: %s", error)
            return where | {"text": "I cannot answer just now. Please try again in a minute."}
        return where | {"text": escaped(answer.text)[:MAX_TEXT], "blocks": blocks_of(answer), "unfurl_links": False}

    async def react(self, payload: dict[str, Any]) -> None:
        """A button was pressed: remember it and say so in the thread."""
        if payload.get("type") != "block_actions":
            return
        team, user, message = payload["team"]["id"], payload["user"]["id"], payload.get("message", {})
        for action in payload.get("actions", ()):
            try:
                value = json.loads(action["value"])
                item, conversation, kind = str(value["item"]), str(value["conversation"]), str(action["action_id"])
                said = await self._client.feedback(f"slack-{team}-{user}", conversation, item, kind)
            except (ValueError, KeyError, TypeError, ClientError) as error:
                log.warning("a button was not understood: %s", error)
                continue
            thread = message.get("thread_ts") or message.get("ts")
            where = {"channel": payload["channel"]["id"], "thread_ts": thread}
            await self._post(where | {"text": escaped(f"Noted: {said}")})


def app_of(bot: Bot, secret: str) -> Starlette:
    """The addresses that Slack calls."""

    async def genuine(request: Request) -> bytes | None:
        if int(request.headers.get("content-length") or 0) > MAX_BODY:
            return None
        body = await request.body()
        return body if is_genuine(secret, request.headers, body) else None

    async def events(request: Request) -> Response:
        body = await genuine(request)
        if body is None:
            return Response(status_code=401)
        payload = json.loads(body)
        if payload.get("type") == "url_verification":
            return JSONResponse({"challenge": payload["challenge"]})
        if payload.get("type") != "event_callback" or not bot.is_new(payload["event_id"]):
            return Response()
        return Response(background=BackgroundTask(bot.answer, payload))

    async def actions(request: Request) -> Response:
        body = await genuine(request)
        if body is None:
            return Response(status_code=401)
        payload = json.loads(parse_qs(body.decode())["payload"][0])
        return Response(background=BackgroundTask(bot.react, payload))

    routes = [
        Route("/slack/events", events, methods=["POST"]),
        Route("/slack/actions", actions, methods=["POST"]),
    ]
    return Starlette(routes=routes)


def poster(token: str, base_url: str = SLACK) -> Post:
    """Posts by Slack's web API."""

    async def post(message: dict[str, Any]) -> None:
        async with httpx.AsyncClient(timeout=20) as web:
            sent = await web.post(
                f"{base_url}/chat.postMessage", json=message, headers={"Authorization": f"Bearer {token}"}
            )
        if not sent.is_success or not sent.json().get("ok"):
            log.error("Slack did not take the message: %s", sent.text[:200])

    return post


def main() -> None:
    parser = argparse.ArgumentParser(description="A Slack bot over a convrec server.")
    parser.add_argument("--server", default="http://127.0.0.1:8000", help="address of convrec serve")
    parser.add_argument("--port", type=int, default=3000)
    options = parser.parse_args()
    missing = [name for name in ("SLACK_SIGNING_SECRET", "SLACK_BOT_TOKEN") if not os.environ.get(name)]
    if missing:
        parser.error(f"set {' and '.join(missing)}; Slack shows them on the app's pages")
    bot = Bot(convrec.AsyncClient(options.server), poster(os.environ["SLACK_BOT_TOKEN"]))
    uvicorn.run(app_of(bot, os.environ["SLACK_SIGNING_SECRET"]), host="127.0.0.1", port=options.port)


if __name__ == "__main__":
    main()
