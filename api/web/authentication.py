"""Authentication: who is calling, and what they may do.

Two kinds of keys. Those of ``pool.toml``: a key's value is read once at the start from the variable
that ``key_env`` names, and kept as its SHA-256. And those that administrators make while the pool
runs (``pool.keys.api_keys``): the pool is asked about them, by id and digest, and its answer is
believed for a second, so that a revocation is felt within two. A pool without any key is open to
run prompts and to look, which ``pool.config`` allows on loopback alone; once a key was made it
never opens again by itself. What changes a pool takes an administrator's key or the operator's
(``operator_key``), whatever other keys there are.
Callers are known before a byte of their body is read.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, NamedTuple, cast, get_args
from urllib.parse import urlsplit

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer, SecurityScopes
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from actors.client.client import PoolClient
from api.web.key_guesses import Guesses
from pool.config import ApiKeySpec, caller_key
from pool.errors import ConfigError, PoolError
from pool.keys import api_keys as pool_keys
from pool.keys.access import FULL_ACCESS, Access
from pool.keys.api_keys import KeyHolder, Presented, Scope

REMEMBERED_SECONDS = 1.0
"""How long what the pool said of a key is believed: well within the two seconds promised."""
MOST_REMEMBERED = 1000
MOST_PRESENTED = 4
"""Credentials of one request that are looked at: the pool may be asked about each."""


class Unauthorized(PoolError):
    """No key, or none that is known here."""

    def __str__(self) -> str:
        return "send a key of this pool as Authorization: Bearer <key>, or as x-api-key: <key>"


class Forbidden(PoolError):
    """A known key whose scopes do not cover the request."""

    name: str
    scopes: tuple[str, ...]
    """Any of them would do."""

    def __str__(self) -> str:
        needed = " or ".join(map(repr, self.scopes))
        return (
            f"the key {self.name!r} lacks the scope {needed}: use one that has it, or have "
            "an administrator make one"
        )


class OperatorNeeded(PoolError):
    """Something that is never done anonymously, also where there are no keys."""

    def __str__(self) -> str:
        return (
            "nobody does this anonymously: send the key in operator.key of the pool's data "
            "directory, as claude-pool does by itself on the pool's machine, or that of an "
            "administrator"
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
    """Whose key a request bears. Idempotency keys are scoped by ``name``."""

    name: str
    scopes: frozenset[str]
    sees: Access = FULL_ACCESS
    """What it may look at."""
    reaches: Access = FULL_ACCESS
    """What it may go on with, stop, or remove."""

    @classmethod
    def of(cls, holder: KeyHolder) -> Caller:
        return cls(holder.name, frozenset(holder.scopes), holder.sees, holder.reaches)


OPERATOR = Caller("", frozenset(get_args(Scope)))
"""Whoever has the operator's key: may do everything, and is limited by nothing."""
ANYBODY = Caller("", OPERATOR.scopes - {"admin"})
"""Whoever calls a pool without keys: may run prompts and look, and changes nothing."""


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


class _Static(NamedTuple):
    caller: Caller
    expires_at: datetime | None


class Keys:
    """The keys of ``pool.toml``, and the operator's. Holds digests only."""

    def __init__(self, known: Mapping[bytes, _Static], operator: str | None = None) -> None:
        self._known = dict(known)
        self._operators = {} if operator is None else {_digest(operator): _Static(OPERATOR, None)}

    def __len__(self) -> int:
        """The number of keys in ``pool.toml``: with the operator's alone a pool is one without
        keys.
        """
        return len(self._known)

    @classmethod
    def read(
        cls,
        specs: Iterable[ApiKeySpec],
        environ: Mapping[str, str],
        operator: str | None = None,
    ) -> Keys:
        """Take the values from ``environ``. ``ConfigError`` for one that is missing or shared."""
        known: dict[bytes, _Static] = {}
        for index, spec in enumerate(specs):
            field = f"api_keys[{index}].key_env"
            digest = _digest(caller_key(environ, spec, field))
            if digest in known:
                problem = f"has the value of key {known[digest].caller.name!r}: give each its own"
                raise ConfigError(field, problem)
            known[digest] = _Static(Caller.of(spec.holder), spec.expires_at)
        return cls(known, operator)

    def caller(self, presented: str, now: datetime) -> Caller | None:
        """Who presents this key; None where nobody does, or it has expired."""
        digest, found = _digest(presented), None
        for known, each in (*self._known.items(), *self._operators.items()):
            if hmac.compare_digest(digest, known):
                found = each
        if found is None or (found.expires_at is not None and found.expires_at <= now):
            return None
        return found.caller


class Authenticator:
    """Lets callers in by the keys of ``pool.toml``, or by those that the pool keeps."""

    def __init__(
        self,
        keys: Keys,
        client: PoolClient,
        clock: Callable[[], datetime],
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._client = client
        self._clock = clock
        self._timer = timer
        self._remembered: dict[Presented, tuple[float, KeyHolder | None]] = {}
        self._familiar: dict[Presented, None] = {}
        """Keys that opened the pool, the latest last: no guesses, whoever else is behind their
        address."""
        self._guesses = Guesses(timer)
        self._open_until = 0.0
        self._has_keys = len(keys) > 0
        """Once true it stays so."""

    async def caller(self, *presented: str, address: str = "") -> Caller:
        """Who presents one of these keys, the first that opens. ``Unauthorized`` where none does
        and the pool has keys; one that opens nothing is passed over beside another that does.
        ``TooManyGuesses`` where too many that are not known came from an address lately: then the
        pool is not asked about another one.
        """
        found = (self._keys.caller(each, self._clock()) for each in presented)
        if (caller := next(filter(None, found), None)) is not None:
            return caller
        for each in presented:
            shown = pool_keys.presented(each)
            holder = None if shown is None else await self._holder(shown, address)
            if holder is not None:
                self._has_keys = True
                return Caller.of(holder)
        if await self._is_open():
            return ANYBODY
        if presented:
            self._guesses.count(address)
        raise Unauthorized

    async def still_opens(self, caller: Caller, presented: Iterable[str]) -> bool:
        """Whether a caller who was let in would be let in again, as the same one."""
        for each in presented:
            known = self._keys.caller(each, self._clock())
            if known is not None and known.name == caller.name:
                return True
            shown = pool_keys.presented(each)
            holder = None if shown is None else await self._holder(shown, "")
            if holder is not None and holder.name == caller.name:
                return True
        return caller is ANYBODY and await self._is_open()

    async def _holder(self, shown: Presented, address: str) -> KeyHolder | None:
        until, holder = self._remembered.get(shown, (0.0, None))
        if self._timer() < until:
            return holder
        if shown not in self._familiar:
            self._guesses.check(address)
        asked_at = self._timer()
        holder = await self._client.authenticate(shown)
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[shown] = (asked_at + REMEMBERED_SECONDS, holder)
        self._familiar.pop(shown, None)
        if holder is not None:
            self._familiar[shown] = None
            if len(self._familiar) > MOST_REMEMBERED:
                del self._familiar[next(iter(self._familiar))]
        return holder

    async def _is_open(self) -> bool:
        if self._has_keys:
            return False
        asked_at = self._timer()
        if self._open_until <= asked_at:
            self._has_keys = not await self._client.is_open()
            self._open_until = asked_at + REMEMBERED_SECONDS
        return not self._has_keys


_OWN_SITES = frozenset({"none", "same-origin"})
"""Of ``Sec-Fetch-Site``, which a browser sets and no page can change: who typed the address
himself, or a page of the pool's own. What is no browser sends none."""
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def _is_local(authority: str) -> bool:
    try:
        return urlsplit(f"//{authority}").hostname in _LOCAL_NAMES
    except ValueError:
        return False


def _refuse_foreign(headers: Headers) -> None:
    """Loopback alone keeps no web page out: a page may post to it, and a name may be made to
    resolve to it. Both show in the headers that browsers set. A page of another port of this
    machine is another site's, too, and so is one that has an image fetched without an origin.
    """
    origin = headers.get("origin")
    is_local = _is_local(headers.get("host", "")) and (
        origin is None or _is_local(origin.partition("://")[2])
    )
    if not is_local or headers.get("sec-fetch-site", "none") not in _OWN_SITES:
        raise Foreign


def _presented(headers: Headers) -> list[str]:
    """The credentials of a request. Clients that have one of another service send it along."""
    sent = [each.partition(" ") for each in headers.getlist("authorization")]
    bearers = [credentials for scheme, _, credentials in sent if scheme.lower() == "bearer"]
    return [each.strip() for each in (*bearers, *headers.getlist("x-api-key"))][:MOST_PRESENTED]


_GUARDED = ("/v1", "/metrics")


class Authentication:
    """Lets nobody below ``/v1``, nor to ``/metrics``, whose key is not known."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        self._app = app
        self._authenticator = authenticator

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(_GUARDED):
            headers = Headers(scope=scope)
            address = (scope.get("client") or ("",))[0]
            presented = tuple(_presented(headers))
            caller = await self._authenticator.caller(*presented, address=address)
            if caller is ANYBODY:
                _refuse_foreign(headers)
            scope.setdefault("state", {}).update(caller=caller, presented=presented)
        await self._app(scope, receive, send)


_bearer = HTTPBearer(auto_error=False, description="A key of this pool.")
_header = APIKeyHeader(name="x-api-key", auto_error=False, description="A key of this pool.")


def _granted(request: Request, sufficient: SecurityScopes) -> Caller:
    """The caller, if it has one of these scopes; any key would do where none is named."""
    caller = cast("Caller", request.state.caller)
    if caller is ANYBODY and not caller.scopes & {*sufficient.scopes}:
        raise OperatorNeeded
    if not caller.scopes & {*sufficient.scopes}:
        raise Forbidden(caller.name, tuple(sufficient.scopes))
    return caller


MayExecute = Annotated[Caller, Security(_granted, scopes=["execute"])]
MayLook = Annotated[Caller, Security(_granted, scopes=["execute", "read", "read_all", "admin"])]
"""At what is its own; with one of the last two, at everybody's."""
MayAct = Annotated[Caller, Security(_granted, scopes=["execute", "admin"])]
"""On what is its own; with the latter, on everybody's."""
MayRead = Annotated[Caller, Security(_granted, scopes=["read", "read_all", "admin"])]
"""The state of the pool."""
MayReadAll = Annotated[Caller, Security(_granted, scopes=["read_all", "admin"])]
"""What is about everybody."""
MayReport = Annotated[Caller, Security(_granted, scopes=["report", "admin"])]
"""Telemetry of other programs: so that a developer's machine needs no key that may do more."""
MayAdminister = Annotated[Caller, Security(_granted, scopes=["admin"])]
ways_to_present_a_key = [Depends(_bearer), Depends(_header)]
"""For the OpenAPI document; ``Authentication`` is what reads the key."""
