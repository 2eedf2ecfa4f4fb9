"""The one tree of errors of the project.

Every error is a dataclass that formats in ``__str__``. Its fields are its ``args``, too, since
whoever rebuilds an exception elsewhere does it as ``cls(*exc.args)``. A message says what happened,
to what, and what to do next. HTTP statuses for these stand in ``api/web/problems/kinds.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import dataclass_transform


@dataclass_transform(eq_default=False)
class PoolError(Exception):
    """Anything that the pool could not do for a caller."""

    def __init_subclass__(cls) -> None:
        dataclass(eq=False)(cls)

    def __post_init__(self) -> None:
        self.args = tuple(vars(self).values())


class BadField(PoolError):
    """Something that was sent and cannot be accepted; names the field and the remedy."""

    field: str
    problem: str

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}"


class ConfigError(BadField):
    """A configuration that cannot be used."""


class InvalidRequest(BadField):
    """A request that cannot be accepted as it is."""


class NotFound(PoolError):
    """Something named by id that the pool does not know. ``kind`` is the noun."""

    kind: str
    id: str

    def __str__(self) -> str:
        return f"no {self.kind} {self.id!r} is known to this pool"


class UnknownModel(PoolError):
    """A model that no subscription has, with the names that may have been meant."""

    field = "model"
    model: str
    nearest: tuple[str, ...]

    def __str__(self) -> str:
        meant = f"did you mean {' or '.join(map(repr, self.nearest))}? " if self.nearest else ""
        return f"no model {self.model!r} is known to this pool: {meant}See GET /v1/models"


class ModelRefused(PoolError):
    """Every subscription that could serve a request was refused its model."""

    reasons: str

    def __str__(self) -> str:
        return f"no subscription of this pool may use the model: {self.reasons}"


class Conflict(PoolError):
    """The thing exists, but the call does not fit its state."""

    problem: str

    def __str__(self) -> str:
        return self.problem


class KeyReused(PoolError):
    """An idempotency key that was used before for another body."""

    key: str
    execution_id: str

    def __str__(self) -> str:
        return (
            f"Idempotency-Key {self.key!r} was used before for another request "
            f"(execution {self.execution_id}): send a new key with a new body"
        )


class Exhausted(PoolError):
    """Every candidate is out of headroom; ``retry_at`` is the earliest known relief."""

    execution_id: str
    reason: str
    retry_at: datetime | None

    def __str__(self) -> str:
        return f"no subscription has headroom for this request: {self.reason}"


class Unavailable(PoolError):
    """No candidate is usable, for a reason other than headroom."""

    execution_id: str
    reason: str

    def __str__(self) -> str:
        return f"no subscription can serve this request: {self.reason}"


class NotPermitted(PoolError):
    """A field of a request that the caller's key does not cover."""

    key: str
    field: str
    problem: str

    def __str__(self) -> str:
        return f"{self.field}: {self.problem} (key {self.key!r})"


class KeyEnded(PoolError):
    """A key that was revoked, or has expired, while its request was on the way."""

    key: str
    problem: str

    def __str__(self) -> str:
        return f"the key {self.key!r} {self.problem}: ask an administrator for another one"


class KeyLimited(PoolError):
    """A key that has used what it may use for now. ``retry_at`` is when that lifts, where the clock
    alone says so; nothing runs, and the same id may be asked for again.
    """

    key: str
    execution_id: str
    reason: str
    detail: str
    retry_at: datetime | None

    def __str__(self) -> str:
        return f"the key {self.key!r} has no allowance left: {self.detail}"


class RateLimited(KeyLimited):
    """More requests than its rate allows."""


class TooManyAtOnce(KeyLimited):
    """As many executions as it may have run or wait already."""


class OverBudget(KeyLimited):
    """Spent and reserved, its daily or weekly budget leaves no room."""


class NotSupported(PoolError):
    """Something that cannot be done here at all; says what to do instead."""

    remedy: str

    def __str__(self) -> str:
        return self.remedy


class SessionGone(PoolError):
    """A session whose transcript is not there any more: no turn of it can be run."""

    execution_id: str
    problem: str

    def __str__(self) -> str:
        return f"{self.problem}: begin a new session"


class AnswerRemoved(PoolError):
    """An execution whose answer is asked for again after it was removed, as configured."""

    def __init__(self, execution_id: str) -> None:
        super().__init__(execution_id)
        self.execution_id = execution_id

    def __str__(self) -> str:
        return (
            f"the answer of execution {self.execution_id} was removed after pool.keep_prompts: "
            "ask again under a new key, or under none"
        )


class StoreError(PoolError):
    """A durable store that cannot do a call; nothing of it was kept."""

    store: str
    problem: str

    def __str__(self) -> str:
        return f"store {self.store}: {self.problem}"


class StoreAway(StoreError):
    """A database that cannot be reached for now. With the id of the execution that was asked for,
    where there is one: it may have begun, and asking again with the same id is safe.
    """

    execution_id: str | None = None


class StoreBusy(StoreError):
    """Another activation holds the store."""


class Fenced(StoreError):
    """A newer activation has taken the store over: this one must leave at once."""


class CommitUnknown(StoreError):
    """A commit whose fate is not known: close the store and ask again by id after reopening."""


class ActorLost(PoolError):
    """A part of the pool that does not answer: the call may or may not have run.

    Asking again with the same id is safe: of an execution it is named, as far as it is known here.
    """

    peer: str
    problem: str
    execution_id: str | None = None

    def __str__(self) -> str:
        return f"{self.peer} does not answer ({self.problem}); ask again with the same id"
