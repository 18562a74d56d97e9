"""The request log: one JSON object per line, tied together by a request id, without what users said."""

from __future__ import annotations

import json
import logging
import re
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO
from uuid import uuid4

REQUEST_LOG = "convrec.serve.requests"
request_id: ContextVar[str] = ContextVar("convrec_request_id", default="")
"""Of the request under way; turns on threads of the pool have it too."""
_ID = re.compile(r"[A-Za-z0-9._:-]{1,100}")


def new_request_id(given: str | None) -> str:
    """The caller's id if it is harmless (letters, digits, ``._:-``, at most 100), else a random one."""
    return given if given is not None and _ID.fullmatch(given) else uuid4().hex


def fields(**values: Any) -> dict[str, Any]:
    """``extra`` of a log call: what the JSON line holds beside its message."""
    return {"convrec": values}


class JsonLines(logging.Formatter):
    """One JSON object per line: time (UTC), level, logger, message, request_id, the call's fields, a trace if any.

    ASCII only, so no text can begin a line of its own or drive a terminal.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
        }
        if current := request_id.get():
            line["request_id"] = current
        line |= getattr(record, "convrec", {})
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextLines(logging.Formatter):
    """The same for people."""

    def format(self, record: logging.LogRecord) -> str:
        said = " ".join(
            f"{name}={json.dumps(value, default=str)}" for name, value in getattr(record, "convrec", {}).items()
        )
        current = request_id.get()
        head = f"{datetime.fromtimestamp(record.created, UTC):%H:%M:%S} {record.levelname.lower()}"
        text = " ".join(part for part in (head, current[:12], record.getMessage(), said) if part)
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def log_requests(form: str, stream: TextIO | None = None) -> logging.Handler:
    """Write all of convrec's log lines to ``stream`` (standard error), the request log from INFO on.

    ``form``: "json" or "text". Returns the handler; a second call replaces the first one's.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    handler.set_name("convrec-requests")
    logger = logging.getLogger("convrec")
    for old in [h for h in logger.handlers if h.get_name() == "convrec-requests"]:
        logger.removeHandler(old)
    logger.addHandler(handler)
    logger.propagate = False
    logging.getLogger(REQUEST_LOG).setLevel(logging.INFO)
    return handler
