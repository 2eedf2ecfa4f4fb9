"""Who is calling, and what they may do: the static keys of the configuration.

A key's value is read once at the start from the variable that ``key_env`` names, and kept as its
SHA-256. Without any key the service is open, which ``pool.config`` allows on loopback alone.
Callers are known before a byte of their body is read.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, cast, get_args
from urllib.parse import urlsplit

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer, SecurityScopes
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from pool.config import ApiKeySpec, Scope, secret
from pool.errors import ConfigError, PoolError


class Unauthorized(PoolError):
    """No key, or none that is known here."""

    def __str__(self) -> str:
        return "send a key of this pool as Authorization: Bearer <key>, or as x-api-key: <key>"


class Forbidden(PoolError):
    """A known key whose scopes do not cover the request."""

    def __init__(self, name: str, scope: str) -> None:
        super().__init__(name, scope)
        self.name = name
        self.scope = scope

    def __str__(self) -> str:
        return (
            f"the key {self.name!r} lacks the scope {self.scope!r}: use another one, or add the "
            "scope to it in pool.toml"
        )


class Foreign(PoolError):
    """A request to a pool without keys that another site or name made a browser send."""

    def __str__(self) -> str:
        return (
            "a pool without keys answers requests to localhost that no other site made: "
            "call it at 127.0.0.1, or add [[api_keys]] to pool.toml"
        )


@dataclass(frozen=True)
class Caller:
    """The owner of a key. Idempotency keys are scoped by ``name``."""

    name: str
    scopes: frozenset[str]


ANYBODY = Caller("", frozenset(get_args(Scope)))
"""Whoever calls a pool without keys."""


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


class Keys:
    """The keys of a pool. Holds digests only."""

    def __init__(self, callers: Mapping[bytes, Caller]) -> None:
        self._callers = dict(callers)

    def __len__(self) -> int:
        return len(self._callers)

    @classmethod
    def read(cls, specs: Iterable[ApiKeySpec], environ: Mapping[str, str]) -> Keys:
        """Take the values from ``environ``. ``ConfigError`` for one that is missing or shared."""
        callers: dict[bytes, Caller] = {}
        for index, spec in enumerate(specs):
            field = f"api_keys[{index}].key_env"
            digest = _digest(secret(environ, spec.key_env, field))
            if digest in callers:
                problem = f"has the value of key {callers[digest].name!r}: give each its own"
                raise ConfigError(field, problem)
            callers[digest] = Caller(spec.name, frozenset(spec.scopes))
        return cls(callers)

    def caller(self, presented: str) -> Caller:
        """Who presents this key. ``Unauthorized`` where nobody does."""
        if not self._callers:
            return ANYBODY
        digest, found = _digest(presented), None
        for known, caller in self._callers.items():
            if hmac.compare_digest(digest, known):
                found = caller
        if found is None:
            raise Unauthorized
        return found


_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def _is_local(authority: str) -> bool:
    try:
        return urlsplit(f"//{authority}").hostname in _LOCAL_NAMES
    except ValueError:
        return False


def _refuse_foreign(headers: Headers) -> None:
    """Loopback alone keeps no web page out: a page may post to it, and a name may be made to
    resolve to it. Both show in the headers that browsers set.
    """
    origin = headers.get("origin")
    if not _is_local(headers.get("host", "")) or (
        origin is not None and not _is_local(origin.partition("://")[2])
    ):
        raise Foreign


def _presented(headers: Headers) -> str:
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    return headers.get("x-api-key", "").strip()


class Authentication:
    """Lets nobody below ``/v1`` whose key is not known."""

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/v1"):
            headers = Headers(scope=scope)
            if not self._keys:
                _refuse_foreign(headers)
            caller = self._keys.caller(_presented(headers))
            scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, send)


_bearer = HTTPBearer(auto_error=False, description="A key of this pool.")
_header = APIKeyHeader(name="x-api-key", auto_error=False, description="A key of this pool.")


def _granted(request: Request, needed: SecurityScopes) -> Caller:
    caller = cast("Caller", request.state.caller)
    for scope in needed.scopes:
        if scope not in caller.scopes:
            raise Forbidden(caller.name, scope)
    return caller


MayExecute = Annotated[Caller, Security(_granted, scopes=["execute"])]
MayRead = Annotated[Caller, Security(_granted, scopes=["read"])]
MayAdminister = Annotated[Caller, Security(_granted, scopes=["admin"])]
ways_to_present_a_key = [Depends(_bearer), Depends(_header)]
"""For the OpenAPI document; ``Authentication`` is what reads the key."""
