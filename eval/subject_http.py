"""An agent behind an OpenAI-compatible endpoint: a convrec server, or any chat model that names titles in its text."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

import httpx
from convrec.core.errors import LLMBadOutput, LLMError, LLMTimeout, LLMUnavailable, RequestError
from convrec.core.text import clean, fold
from convrec.eval.subject import Reply, asks
from convrec.tools.catalogue import Catalogue

KEY_ENV = "CONVREC_SUBJECT_API_KEY"
"""Environment variable of the key; none is sent when it is not set."""
CONNECT_S = 5.0
MAX_WAIT_S = 30.0
"""Longest pause before a request is sent again, whatever the server asks for, seconds."""
MAX_TITLES = 50
"""Titles read from one answer."""
OURS = "convrec"
"""Name of the model that a convrec server lists."""
INSTRUCTION = (
    "You recommend {nouns} in conversation. Answer with a numbered list of at most 5 {nouns} that you recommend, one a "
    "line, each as: Title (Year). Ask one short question instead when you cannot recommend yet."
)
"""What a bare chat model is told first."""

_AGAIN = frozenset({429, 503})
"""The server says that it did nothing: it is safe to ask again."""
_BROKEN = frozenset({500, 502, 504})
_TITLE_YEAR = re.compile(r"([^\n\"“”*_]*?\S)[\"”*_]*\s*\(((?:18|19|20)\d\d)\)")
_LINE = re.compile(r"^\s*(?:\d+[.)]|[-*•])\s+(.+)$", re.MULTILINE)
_QUOTES = re.compile(r"[“\"]([^”\"\n]{1,100})[”\"]|\*\*([^*\n]{1,100})\*\*|(?<!\*)\*([^*\n]{1,100})\*(?!\*)")
_CAPITALS = re.compile(r"(?:[A-Z0-9]\S*)(?:\s+(?:[A-Z0-9]\S*|of|the|and|in|a|to|for|on|&|-))*$")
_AFTER = re.compile(r"\s+[-–—]\s+|:\s")


class HttpSubject:
    """Speaks to ``{base_url}/chat/completions``.

    A convrec server (it lists the model "convrec") is sent user and conversation, keeps both itself and answers with
    the field ``convrec``, which is read. Any other endpoint is stateless: it is sent the conversation so far, after an
    instruction, and titles in its text are linked to ``catalogue``; what cannot be linked stays in ``Reply.titles``.

    Args:
        base_url: ends in /v1.
        catalogue: what titles are linked to; the HttpSubject closes it.
        model: None: "convrec" if the endpoint lists it, else the first it lists.
        timeout_s: longest wait for one answer.
        retries: how often a request is sent again that the server refused unread (429, 503) or that did not reach it;
            of a stateless endpoint also one that broke or timed out. A turn of a convrec server that timed out is not
            sent again: it may have been carried out.
        instruction: for a bare model; None for :data:`INSTRUCTION`, "" for nothing.
    """

    def __init__(
        self,
        base_url: str,
        catalogue: Catalogue,
        *,
        model: str | None = None,
        key_env: str = KEY_ENV,
        timeout_s: float = 120.0,
        retries: int = 3,
        instruction: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        try:
            url = httpx.URL(base_url.rstrip("/"))
        except httpx.InvalidURL as error:
            raise RequestError("subject", base_url, f"It is no address ({error}); give http://host:port/v1.") from error
        if url.scheme not in ("http", "https") or not url.host:
            raise RequestError("subject", base_url, "It is no address; give http://host:port/v1.")
        key = os.environ.get(key_env, "")
        self.base_url, self.catalogue = str(url), catalogue
        self._key_env, self._retries, self._sleep, self._timeout_s = key_env, retries, sleep, timeout_s
        nouns = catalogue.schema.item_noun_plural
        self._instruction = INSTRUCTION.format(nouns=nouns) if instruction is None else instruction
        self._client = httpx.Client(
            timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s)),
            headers={"Authorization": f"Bearer {key}"} if key else {},
            follow_redirects=True,
        )
        self._said: dict[tuple[str, str], list[dict[str, str]]] = {}
        self._lock = threading.Lock()
        try:
            self.model = self._model(model)
        except BaseException:
            self._client.close()
            raise
        self.name = f"{self.model} at {url.host}"

    @property
    def ours(self) -> bool:
        """Whether it is a convrec server."""
        return self.model == OURS

    def say(self, text: str, *, user: str, session: str) -> Reply:
        with self._lock:
            before = list(self._said.get((user, session), ()))
        messages = [*before, {"role": "user", "content": text}]
        body: dict[str, Any] = {"model": self.model, "messages": messages}
        if self.ours:
            body |= {"user": user, "metadata": {"conversation_id": session}}
        elif self._instruction:
            body["messages"] = [{"role": "system", "content": self._instruction}, *messages]
        started = time.perf_counter()
        answer = self._request("POST", "/chat/completions", body)
        seconds = time.perf_counter() - started
        try:
            content = answer["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError) as error:
            raise LLMBadOutput(f"{self.name} does not answer as an OpenAI-compatible endpoint: no message") from error
        if not isinstance(content, str) or not content.strip():
            raise LLMBadOutput(f"{self.name} answered without text")
        with self._lock:
            self._said[user, session] = [*messages, {"role": "assistant", "content": content}]
        extension = answer.get("convrec")
        if isinstance(extension, dict):
            return _from_extension(content, extension, seconds, self.name)
        return self._from_text(content, answer.get("usage"), seconds)

    def forget(self, user: str) -> None:
        with self._lock:
            for key in [key for key in self._said if key[0] == user]:
                del self._said[key]
        if self.ours:
            self._request("DELETE", f"/users/{quote(user, safe='')}", None)

    def close(self) -> None:
        self._client.close()
        self.catalogue.close()

    # -- reading --------------------------------------------------------------------------------------------------

    def _from_text(self, text: str, usage: Any, seconds: float) -> Reply:
        ids, titles = linked_titles(text, self.catalogue)
        counts = usage if isinstance(usage, dict) else {}
        llm = {
            "calls": 1,
            "prompt_tokens": _count(counts.get("prompt_tokens")),
            "generated_tokens": _count(counts.get("completion_tokens")),
        }
        question = asks(text, [title.rsplit(" (", 1)[0] for title in titles])
        return Reply(text, ids, titles, question=question, seconds=seconds, llm=llm, source="text")

    def _model(self, wanted: str | None) -> str:
        listed = self._request("GET", "/models", None).get("data")
        names = [str(m["id"]) for m in listed if isinstance(m, dict) and "id" in m] if isinstance(listed, list) else []
        if not names and wanted is None:
            raise LLMUnavailable(f"{self.base_url} lists no model. Name one: {self.base_url}#model")
        if wanted is not None and names and wanted not in names:
            raise RequestError("subject", f"{self.base_url}#{wanted}", f"It serves: {', '.join(names[:10])}.")
        return wanted or (OURS if OURS in names else names[0])

    # -- asking ---------------------------------------------------------------------------------------------------

    def _request(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        url = self.base_url + path
        repeatable = method != "POST" or not getattr(self, "model", "") or not self.ours
        for attempt in range(self._retries + 1):
            last = attempt == self._retries
            try:
                response = self._client.request(method, url, json=body)
            except httpx.ConnectError as error:
                problem: LLMError = LLMUnavailable(f"{url} cannot be reached: {_words(error)}. Is the server running?")
            except httpx.TimeoutException as error:
                problem = LLMTimeout(f"{url} did not answer within {self._timeout_s:g} s ({type(error).__name__})")
                last = last or not (repeatable or isinstance(error, httpx.ConnectTimeout))
            except httpx.HTTPError as error:
                problem = LLMUnavailable(f"{url} broke off: {_words(error)}")
                last = last or not repeatable
            else:
                if response.is_success:
                    return self._json(response)
                problem = self._refused(response)
                again = response.status_code in _AGAIN or (repeatable and response.status_code in _BROKEN)
                if again and not last:
                    self._sleep(_pause(attempt, response.headers.get("retry-after")))
                    continue
                raise problem
            if last:
                raise problem
            self._sleep(_pause(attempt, None))
        raise AssertionError("the last attempt raises or returns")

    def _refused(self, response: httpx.Response) -> LLMError:
        said = _message(response)
        where = f"{response.request.url} answered {response.status_code}{f': {said}' if said else ''}"
        match response.status_code:
            case 401 | 403:
                return LLMUnavailable(f"{where}. Put the key into the environment variable {self._key_env}")
            case 404:
                return LLMUnavailable(f"{where}. Does the address end in /v1?")
            case code if code in _AGAIN or code in _BROKEN:
                return LLMUnavailable(f"{where}; tried {self._retries + 1} times")
            case _:
                return LLMError(where)

    def _json(self, response: httpx.Response) -> dict[str, Any]:
        try:
            value = response.json()
        except ValueError as error:
            raise LLMBadOutput(f"{response.request.url} does not answer with JSON. Does it end in /v1?") from error
        if not isinstance(value, dict):
            raise LLMBadOutput(f"{response.request.url}: expected a JSON object, got {type(value).__name__}")
        return value


def linked_titles(text: str, catalogue: Catalogue) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(ids, titles as shown) of what a text names, in order of first mention.

    Read are: "Title (Year)" anywhere, list lines up to a dash or colon, and what is quoted or set in bold. A title
    with a year must be of that year, give or take one; without a year the best reviewed item of the full title is
    taken. A title with a year or on a list line that the catalogue lacks comes after the others, as it was written.
    """
    found: dict[int, tuple[str, int | None, bool]] = {}
    for line in _LINE.finditer(text):
        head = _AFTER.split(line[1], maxsplit=1)[0]
        dated = _TITLE_YEAR.search(line[1])
        name, year = (dated[1], int(dated[2])) if dated else (head, None)
        found[line.start(1)] = (name, year, True)
    on_lines = set(found)
    spans = [(line.start(), line.end()) for line in _LINE.finditer(text)]
    for match in _TITLE_YEAR.finditer(text):
        if not any(start <= match.start(2) < end for start, end in spans):
            found.setdefault(match.start(2), (match[1], int(match[2]), True))
    for match in _QUOTES.finditer(text):
        if not any(start <= match.start() < end for start, end in spans):
            found.setdefault(match.start(), (next(g for g in match.groups() if g), None, False))
    ids: dict[str, str] = {}
    unlinked: dict[str, None] = {}
    for at, (name, year, certain) in sorted(found.items())[:MAX_TITLES]:
        row = _row(name, year, catalogue)
        if row is not None:
            item = catalogue.item(row)
            ids.setdefault(item.id, item.label)
        elif certain:
            plain = clean(name.strip("\"“”'*_ .,"), 120)
            if at not in on_lines and (capitals := _CAPITALS.search(plain)):
                plain = capitals[0]  # in prose the words before it are no part of the title
            unlinked.setdefault(f"{plain} ({year})" if year else plain, None)
    return tuple(ids), (*ids.values(), *unlinked)


def _row(name: str, year: int | None, catalogue: Catalogue) -> int | None:
    forms = _forms(name) if year is not None else [fold(name.strip("\"“”'*_ "))]
    hits = [hit for hit in catalogue.find_names(forms) if hit.kind == "title" and hit.row is not None]
    for form in forms:  # the longest form first: "Alien Resurrection" before "Resurrection"
        rows = [hit.row for hit in hits if hit.norm == form and (year is not None or hit.strength >= 1.0)]
        items = catalogue.items([row for row in rows if row is not None])
        if year is not None:
            items = [item for item in items if item.year is not None and abs(item.year - year) <= 1]
            items.sort(key=lambda item: abs((item.year or 0) - (year or 0)))
        elif items:
            items.sort(key=lambda item: -(item.number("reviews") or 0.0))
        if items:
            return items[0].row
    return None


def _forms(name: str) -> list[str]:
    """What may be the title at the end of ``name``: all of it, then what is left without words at its start."""
    words = fold(name).split()
    return [" ".join(words[start:]) for start in range(max(0, len(words) - 12), len(words))]


def _from_extension(text: str, data: dict[str, Any], seconds: float, name: str) -> Reply:
    try:
        items = data["items"]
        ids = tuple(dict.fromkeys(str(item["id"]) for item in items))
        titles = tuple(f"{i['title']} ({i['year']})" if i.get("year") is not None else str(i["title"]) for i in items)
        return Reply(
            text=text,
            items=ids,
            titles=titles,
            question=data.get("question") is not None or asks(text, [*titles, *(str(item["title"]) for item in items)]),
            relaxed=_texts(data.get("relaxed")),
            applied=_texts(data.get("applied_preferences")),
            fallbacks=tuple(f"{f['stage']}: {f['reason']}; {f['instead']}" for f in data.get("fallbacks") or ()),
            tools=tuple(
                (str(t["tool"]), int(t["candidates_in"]), int(t["candidates_out"])) for t in data.get("tools") or ()
            ),
            seconds=seconds,
            llm={key: _count(value) for key, value in (data.get("llm") or {}).items()},
            source="extension",
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LLMBadOutput(f"{name}: its field 'convrec' is not of the expected form ({error!r})") from error


def _texts(values: Sequence[Any] | None) -> tuple[str, ...]:
    return tuple(str(value) for value in values or ())


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _pause(attempt: int, asked: str | None) -> float:
    """Seconds before the next try: what the server asks for, else 0.5, 1, 2, ..."""
    try:
        wanted = float(asked) if asked is not None else 0.5 * 2**attempt
    except ValueError:  # a date: rare, and waiting the usual time does no harm
        wanted = 0.5 * 2**attempt
    return min(max(wanted, 0.0), MAX_WAIT_S)


def _message(response: httpx.Response) -> str:
    try:
        error = response.json()["error"]
        said = error["message"] if isinstance(error, dict) else error
    except (ValueError, KeyError, TypeError):
        said = response.reason_phrase
    return clean(str(said), 300)


def _words(error: Exception) -> str:
    return clean(str(error), 300) or type(error).__name__
