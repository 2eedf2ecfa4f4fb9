"""The keys of callers: what one may do, and how it is recognised.

A key reads ``cp_<id>_<secret>``. It is found by its id, which is no secret, and recognised by the
SHA-256 of its secret, compared in constant time. The secret is 256 bits from the system's random
source, so nobody can find it by trying: a slow hash, which guards what people make up, would add
nothing but its delay to every request. Only the digest is ever kept, or leaves the process that
made or received the secret.

After a rotation the old secret stays valid for a while, so that callers can change over. A key that
was revoked is kept for as long as records are, and its name with it: the name scopes idempotency.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from math import ceil
from typing import Annotated, Literal, NamedTuple

from pydantic import (
    Field,
    PlainSerializer,
    SecretStr,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from pool.errors import Conflict
from pool.executions.tools.permissions import MOST_GRANTED, Grant, GrantedMode, WorkingDirectory
from pool.executions.tools.tool import Tool
from pool.keys.access import ALL, Access
from pool.money import Usd
from pool.usage.model_names import is_meant
from pool.values import Instant, Value

Scope = Literal["execute", "read", "read_all", "report", "admin"]
"""``execute`` runs, and sees and stops its own; ``read`` sees the pool, and its own; ``read_all``
sees everybody's; ``report`` reports usage beside the pool; ``admin`` changes things, and sees all.
"""
KeyName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
KeyBudget = Annotated[Usd, Field(gt=0, le=1_000_000, decimal_places=9)]
Pattern = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:@/*?-]{1,100}$")]
"""A name in which ``*`` and ``?`` stand for any text and any character."""

MAX_KEYS = 1000
MOST_PATTERNS = 100
DEFAULT_GRACE_SECONDS = 3600.0
LONGEST_GRACE_SECONDS = 7 * 86400.0
_WHOLE = re.compile(r"cp_[0-9a-f]{16}_[A-Za-z0-9_-]{43}")


class KeyLimits(Value):
    """What a key may use. What is absent is not limited."""

    requests_per_minute: Annotated[float, Field(gt=0, le=100_000)] | None = None
    burst: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Requests at once before the rate holds; without it as many as a minute has."""
    max_concurrent: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Executions that run or wait at the same time."""
    daily_budget_usd: KeyBudget | None = None
    """For each day in UTC."""
    weekly_budget_usd: KeyBudget | None = None
    """For the last seven days, to the hour."""
    max_request_usd: KeyBudget | None = None
    """The most that a request may ask to cost. One that names no budget holds so much, and is ended
    there where it uses tools; without tools it is one call, and its answer comes whatever it has
    cost."""
    models: Annotated[tuple[Pattern, ...], Field(min_length=1, max_length=MOST_PATTERNS)] = ALL
    subscriptions: Annotated[tuple[Pattern, ...], Field(min_length=1, max_length=MOST_PATTERNS)] = (
        ALL
    )

    @model_validator(mode="after")
    def _fit_together(self) -> KeyLimits:
        if self.burst is not None and self.requests_per_minute is None:
            raise ValueError("burst needs requests_per_minute: name the rate, or leave burst out")
        price = self.max_request_usd
        if any(price and budget and price > budget for budget in self.budgets_usd):
            raise ValueError("max_request_usd is more than a budget of the key: lower it")
        return self

    @property
    def is_metered(self) -> bool:
        """Whether use has to be counted."""
        counted = (self.requests_per_minute, self.max_concurrent, *self.budgets_usd)
        return any(limit is not None for limit in counted)

    @property
    def budgets_usd(self) -> tuple[Decimal | None, Decimal | None]:
        return self.daily_budget_usd, self.weekly_budget_usd

    @property
    def pace(self) -> tuple[timedelta, int] | None:
        """The time from one request to the next, and how many may come at once."""
        if self.requests_per_minute is None:
            return None
        each = timedelta(minutes=1) / self.requests_per_minute
        return each, self.burst or ceil(self.requests_per_minute)

    def covers_model(self, model: str, runs_as: Collection[str] = frozenset()) -> bool:
        """Whether it may be asked for; ``runs_as``: what it stands for, if it is an alias."""
        return is_meant(model, self.models, runs_as)

    def covers_subscription(self, subscription_id: str) -> bool:
        return any(fnmatchcase(subscription_id, pattern) for pattern in self.subscriptions)


class KeySpec(KeyLimits):
    """A key as an administrator asks for it, over HTTP or in ``pool.toml``."""

    name: KeyName
    tenant: KeyName | None = None
    """The team that it is of: keys of one see, continue and stop each other's executions and
    sessions. Absent: it is one by itself, under its name."""
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1, max_length=5)] = ("execute", "read")
    tools: Annotated[tuple[Tool, ...], Field(max_length=MOST_GRANTED)] = ()
    working_directories: Annotated[
        tuple[WorkingDirectory, ...], Field(max_length=MOST_GRANTED)
    ] = ()
    permission_modes: Annotated[tuple[GrantedMode, ...], Field(max_length=2)] = ()
    mcp_servers: bool = False
    """Whether its requests may bring MCP servers, which are programs that the CLI starts."""
    sub_agents: bool = False
    expires_at: Instant | None = None

    @property
    def grant(self) -> Grant:
        return Grant(
            tools=self.tools,
            working_directories=self.working_directories,
            permission_modes=self.permission_modes,
            mcp_servers=self.mcp_servers,
            sub_agents=self.sub_agents,
            models=self.models,
        )

    @property
    def belongs_to(self) -> str:
        """The tenant that its executions and sessions belong to."""
        return self.tenant or self.name

    @property
    def holder(self) -> KeyHolder:
        return KeyHolder(
            name=self.name,
            scopes=self.scopes,
            tenant=self.belongs_to,
            subscriptions=self.subscriptions,
            models=self.models,
        )

    def has_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now


class Presented(NamedTuple):
    """A key that a caller showed: its id, and the digest of its secret."""

    id: str
    digest: str


class ApiKey(KeySpec):
    """A key as it is kept. Holds digests, never a secret."""

    id: str
    digest: Annotated[str, Field(repr=False)]
    """SHA-256 of the secret, as hexadecimal digits."""
    created_at: Instant
    rotated_at: Instant | None = None
    previous_digest: Annotated[str | None, Field(repr=False)] = None
    previous_until: Instant | None = None
    """Until when the secret before the last rotation is valid."""
    revoked_at: Instant | None = None


class KeyStanding(Value):
    """What a key has used of its limits."""

    running: int
    """Executions that run or wait."""
    today_usd: Usd
    week_usd: Usd
    reserved_usd: Usd


class ShownKey(KeySpec):
    """A key as administrators see it: neither secret nor digest."""

    id: str
    declared: bool
    """It stands in ``pool.toml``; only there it can be changed."""
    created_at: Instant | None = None
    rotated_at: Instant | None = None
    previous_until: Instant | None = None
    revoked_at: Instant | None = None
    used: KeyStanding | None = None
    """Absent where nothing is counted, since nothing is limited."""


_Told = Annotated[
    SecretStr,
    PlainSerializer(SecretStr.get_secret_value, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "password", "title": "Secret"}),  # it is read here
]


class IssuedKey(Value):
    """A key that was just made or rotated. This is the only time that its secret is shown."""

    secret: _Told
    """The whole key, as callers send it."""
    key: ShownKey


class KeyHolder(Value):
    """Whoever a key belongs to."""

    name: str
    scopes: tuple[Scope, ...]
    tenant: str
    subscriptions: tuple[str, ...] = ALL
    models: tuple[str, ...] = ALL

    @property
    def sees(self) -> Access:
        """What it may look at."""
        return self._access({"read_all", "admin"})

    @property
    def reaches(self) -> Access:
        """What it may go on with, stop, or remove."""
        return self._access({"admin"})

    def _access(self, of_everybody: set[Scope]) -> Access:
        return Access(
            tenant=None if of_everybody & {*self.scopes} else self.tenant,
            sees_pool=bool({"read", "read_all", "admin"} & {*self.scopes}),
            subscriptions=self.subscriptions,
            models=self.models,
        )


# -- secrets -------------------------------------------------------------------------------------


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def new_secret(key_id: str) -> str:
    """A new key for an id, as its caller will send it."""
    return f"cp_{key_id}_{secrets.token_urlsafe(32)}"


def new_key_id() -> str:
    return os.urandom(8).hex()


def presented(text: str) -> Presented | None:
    """What a caller sent, if it has the form of a key of this pool. The secret ends here."""
    return fingerprint(text) if _WHOLE.fullmatch(text) else None


def fingerprint(secret: str) -> Presented:
    """A key that was made here, as it is shown to the pool."""
    _, key_id, rest = secret.split("_", 2)
    return Presented(key_id, digest_of(rest))


def verify(key: ApiKey, digest: str, now: datetime) -> bool:
    """Whether the digest of a secret is the key's, and the key still opens anything.

    Both digests are compared, whatever the first comparison says: how long it takes tells nothing.
    """
    is_present = hmac.compare_digest(digest.encode(), key.digest.encode())
    is_previous = hmac.compare_digest(digest.encode(), (key.previous_digest or "").encode())
    in_grace = key.previous_until is not None and now < key.previous_until
    return (is_present or (is_previous and in_grace)) and ended(key, now) is None


def ended(key: KeySpec, now: datetime) -> str | None:
    """Why a key opens nothing any more; None while it does."""
    if isinstance(key, ApiKey) and key.revoked_at is not None:
        return "was revoked"
    return "has expired" if key.has_expired(now) else None


# -- the life of a key ---------------------------------------------------------------------------


def made(spec: KeySpec, shown: Presented, now: datetime) -> ApiKey:
    return ApiKey(**spec.model_dump(), id=shown.id, digest=shown.digest, created_at=now)


def rotated(key: ApiKey, digest: str, grace: timedelta, now: datetime) -> ApiKey:
    """The key with a new secret; the one before stays valid for ``grace``. Done again with the same
    digest it changes nothing. ``Conflict`` for a key that opens nothing.
    """
    if key.digest == digest:
        return key
    why = ended(key, now)
    if why is not None:
        raise Conflict(f"key {key.name!r} {why}: create a new one")
    return key.model_copy(
        update={
            "digest": digest,
            "previous_digest": key.digest,
            "previous_until": now + grace,
            "rotated_at": now,
        }
    )


def revoked(key: ApiKey, now: datetime) -> ApiKey:
    """The key, opening nothing from now on."""
    return key if key.revoked_at else key.model_copy(update={"revoked_at": now})


_HIDDEN = {"digest", "previous_digest"}


def shown_key(key: ApiKey, used: KeyStanding | None = None) -> ShownKey:
    return ShownKey(**key.model_dump(exclude=_HIDDEN), declared=False, used=used)


def declared_id(name: str) -> str:
    """The id of a key of ``pool.toml``; no other key can have it."""
    return f"config:{name}"


def declared_key(spec: KeySpec, used: KeyStanding | None = None) -> ShownKey:
    plain = {name: getattr(spec, name) for name in KeySpec.model_fields}
    return ShownKey(**plain, id=declared_id(spec.name), declared=True, used=used)
