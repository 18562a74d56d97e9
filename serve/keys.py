"""Keys of the HTTP API: one tenant each, hashed at rest, with scopes and a rate.

A key is ``convrec_<id>_<secret>``: the id is public and finds the record, the secret has 256 random bits. SHA-256 is
enough at rest, since there is nothing to guess: a slow hash protects what people choose, not what a generator draws.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import threading
import time
from collections.abc import Collection
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from convrec.core.errors import RequestError, SettingsError
from convrec.core.files import write_json
from convrec.core.locks import locked
from pydantic import BaseModel, ConfigDict, ValidationError

FORMAT = 1
LOOK_S = 1.0
"""How often a running server looks whether the file has changed, seconds: a revoked key works that long at most."""
_TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")
_RATE = re.compile(r"[1-9][0-9]{0,8}/(second|minute|hour|day)")


class Scope(StrEnum):
    """What a key may do."""

    CHAT = "chat"
    """Chat, recommendations, feedback."""
    ITEMS = "items"
    SESSIONS_READ = "sessions:read"
    SESSIONS_WRITE = "sessions:write"
    PREFERENCES_READ = "preferences:read"
    PREFERENCES_WRITE = "preferences:write"
    USERS_ERASE = "users:erase"
    METRICS = "metrics"
    ADMIN = "admin"
    """All of them."""


DEFAULT_SCOPES = tuple(scope for scope in Scope if scope not in (Scope.METRICS, Scope.ADMIN))


class ApiKey(BaseModel):
    """One key as it is stored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    tenant: str
    name: str = ""
    sha256: str
    """Of the whole key, hex."""
    scopes: tuple[Scope, ...]
    rate: str | None = None
    """As "120/minute"; None: the server's setting; "": no limit."""
    created: datetime
    revoked: datetime | None = None

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes


class KeyRing:
    """The keys of one file. Written atomically, under a lock between processes; read again when it has changed.

    Raises:
        SettingsError: the file cannot be read. A server never goes on without the keys that it was told to ask for.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = threading.Lock()
        self._keys: dict[str, ApiKey] = {}
        self._stamp: tuple[int, int, int] | None = None
        self._next_look = 0.0

    @property
    def exists(self) -> bool:
        """Whether a key was ever made here: revoking the last one does not open the server."""
        return self._path.exists()

    @property
    def active(self) -> bool:
        return any(key.revoked is None for key in self.list())

    def list(self) -> list[ApiKey]:
        """All keys, revoked ones too, oldest first."""
        with self._guard:
            self._refresh()
            return sorted(self._keys.values(), key=lambda key: (key.created, key.id))

    def create(
        self, tenant: str, *, name: str = "", scopes: Collection[Scope] = DEFAULT_SCOPES, rate: str | None = None
    ) -> tuple[ApiKey, str]:
        """A new key and its text, which is shown once and stored nowhere.

        Raises:
            RequestError: a bad tenant, name, rate, or no scope.
        """
        if not _TENANT.fullmatch(tenant):
            raise RequestError("tenant", tenant, "Give 1 to 48 lower case letters, digits and '-'")
        if len(name) > 100 or not name.isprintable():
            raise RequestError("name", name, "Give at most 100 printable characters")
        if not scopes:
            raise RequestError("scopes", [], f"Give one or more of: {', '.join(Scope)}")
        if rate and not _RATE.fullmatch(rate):
            raise RequestError("rate", rate, "Give requests per time, as 120/minute (second, minute, hour, day)")
        key_id = secrets.token_hex(6)
        text = f"convrec_{key_id}_{secrets.token_urlsafe(32)}"
        ordered = tuple(scope for scope in Scope if scope in scopes)
        key = ApiKey(
            id=key_id,
            tenant=tenant,
            name=name,
            sha256=_hash(text),
            scopes=ordered,
            rate=rate,
            created=datetime.now(UTC),
        )
        self._change(key)
        return key, text

    def revoke(self, key_id: str) -> ApiKey:
        """End a key; a second time changes nothing.

        Raises:
            RequestError: no key with that id.
        """
        found = next((key for key in self.list() if key.id == key_id), None)
        if found is None:
            raise RequestError("key", key_id, "There is none with that id, see: convrec keys list")
        if found.revoked is None:
            found = found.model_copy(update={"revoked": datetime.now(UTC)})
            self._change(found)
        return found

    def find(self, text: str) -> ApiKey | None:
        """The key of that text, None when there is none or it was revoked. Takes a microsecond; reads no file but when
        it has changed."""
        parts = text.split("_", 2)
        with self._guard:
            if time.monotonic() >= self._next_look:
                self._refresh()
            key = self._keys.get(parts[1]) if len(parts) == 3 else None
        # The hash is made and compared in any case: an unknown id takes as long as a wrong secret.
        same = hmac.compare_digest(_hash(text), key.sha256 if key is not None else "0" * 64)
        return key if key is not None and same and key.revoked is None else None

    def _change(self, key: ApiKey) -> None:
        with self._guard, locked(self._path.with_suffix(".lock")):
            self._refresh()
            keys = {**self._keys, key.id: key}
            write_json(self._path, {"format": FORMAT, "keys": [k.model_dump(mode="json") for k in keys.values()]})
            self._refresh()

    def _refresh(self) -> None:
        self._next_look = time.monotonic() + LOOK_S
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            self._keys, self._stamp = {}, None
            return
        except OSError as error:
            raise SettingsError(f"the keys in {self._path} cannot be read: {error}") from error
        stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if stamp == self._stamp:
            return
        try:
            data = json.loads(self._path.read_text(encoding="utf-8"))
            if data["format"] != FORMAT:
                raise SettingsError(f"{self._path} has format {data['format']!r}; this convrec reads {FORMAT}")
            self._keys = {key.id: key for key in map(ApiKey.model_validate, data["keys"])}
        except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
            raise SettingsError(
                f"the keys in {self._path} cannot be read ({type(error).__name__}). Restore the file from a backup, or "
                "move it away and make new keys: convrec keys create"
            ) from error
        self._stamp = stamp


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
