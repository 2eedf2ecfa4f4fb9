"""The one tree of errors of the project.

Every error stores its arguments and formats in ``__str__``: Ray rebuilds an exception as
``cls(*exc.args)``, so all arguments go to ``super().__init__``. A message says what happened, to
what, and what to do next. HTTP statuses for these stand in ``api/web/problems.py``.
"""

from __future__ import annotations

from datetime import datetime


class PoolError(Exception):
    """Anything the pool tells a caller it could not do."""


class BadField(PoolError):
    """Something that was told and cannot be accepted; names the field and the remedy."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.field = field
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}"


class ConfigError(BadField):
    """A configuration that cannot be used."""


class InvalidRequest(BadField):
    """A request that cannot be accepted as it is."""


class NotFound(PoolError):
    """Something named by id that the pool does not know. ``kind`` is the noun."""

    def __init__(self, kind: str, id_: str) -> None:
        super().__init__(kind, id_)
        self.kind = kind
        self.id = id_

    def __str__(self) -> str:
        return f"no {self.kind} {self.id!r} is known to this pool"


class UnknownModel(PoolError):
    """A model that no subscription has, with the names that may have been meant."""

    field = "model"

    def __init__(self, model: str, nearest: tuple[str, ...]) -> None:
        super().__init__(model, nearest)
        self.model = model
        self.nearest = nearest

    def __str__(self) -> str:
        meant = f"did you mean {' or '.join(map(repr, self.nearest))}? " if self.nearest else ""
        return f"no model {self.model!r} is known to this pool: {meant}See GET /v1/models"


class ModelRefused(PoolError):
    """Every subscription that could serve a request was refused its model."""

    def __init__(self, reasons: str) -> None:
        super().__init__(reasons)
        self.reasons = reasons

    def __str__(self) -> str:
        return f"no subscription of this pool may use the model: {self.reasons}"


class Conflict(PoolError):
    """The thing exists, but what was asked does not fit its state."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return self.problem


class KeyReused(PoolError):
    """An idempotency key that was used before for another body."""

    def __init__(self, key: str, execution_id: str) -> None:
        super().__init__(key, execution_id)
        self.key = key
        self.execution_id = execution_id

    def __str__(self) -> str:
        return (
            f"Idempotency-Key {self.key!r} was used before for another request "
            f"(execution {self.execution_id}): send a new key with a new body"
        )


class Exhausted(PoolError):
    """Every candidate is out of headroom; ``retry_at`` is the earliest known relief."""

    def __init__(self, execution_id: str, reason: str, retry_at: datetime | None) -> None:
        super().__init__(execution_id, reason, retry_at)
        self.execution_id = execution_id
        self.reason = reason
        self.retry_at = retry_at

    def __str__(self) -> str:
        return f"no subscription has headroom for this request: {self.reason}"


class Unavailable(PoolError):
    """No candidate is usable, for a reason other than headroom."""

    def __init__(self, execution_id: str, reason: str) -> None:
        super().__init__(execution_id, reason)
        self.execution_id = execution_id
        self.reason = reason

    def __str__(self) -> str:
        return f"no subscription can serve this request: {self.reason}"


class NotPermitted(PoolError):
    """A field of a request that the caller's key does not cover."""

    def __init__(self, key: str, field: str, problem: str) -> None:
        super().__init__(key, field, problem)
        self.key = key
        self.field = field
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.field}: {self.problem} (key {self.key!r})"


class KeyEnded(PoolError):
    """A key that was revoked, or has expired, while its request was on the way."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(key, problem)
        self.key = key
        self.problem = problem

    def __str__(self) -> str:
        return f"the key {self.key!r} {self.problem}: ask an administrator for another one"


class KeyLimited(PoolError):
    """A key that has used what it may use for now. ``retry_at`` is when that lifts, where the clock
    alone says so; nothing runs, and the same id may be asked for again.
    """

    def __init__(
        self, key: str, execution_id: str, reason: str, detail: str, retry_at: datetime | None
    ) -> None:
        super().__init__(key, execution_id, reason, detail, retry_at)
        self.key = key
        self.execution_id = execution_id
        self.reason = reason
        self.detail = detail
        self.retry_at = retry_at

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

    def __init__(self, remedy: str) -> None:
        super().__init__(remedy)
        self.remedy = remedy

    def __str__(self) -> str:
        return self.remedy


class SessionGone(PoolError):
    """A session whose transcript is not there any more: no turn of it can be run."""

    def __init__(self, execution_id: str, problem: str) -> None:
        super().__init__(execution_id, problem)
        self.execution_id = execution_id
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.problem}: begin a new session"


class StoreError(PoolError):
    """A durable store that cannot do what it was asked; nothing of it was kept."""

    def __init__(self, store: str, problem: str) -> None:
        super().__init__(store, problem)
        self.store = store
        self.problem = problem

    def __str__(self) -> str:
        return f"store {self.store}: {self.problem}"


class StoreBusy(StoreError):
    """Another activation holds the store."""


class Fenced(StoreError):
    """A newer activation has taken the store over: this one must leave at once."""


class CommitUnknown(StoreError):
    """A commit whose fate is not known: close the store and ask again by id after reopening."""


class ActorLost(PoolError):
    """A part of the pool that does not answer: what was asked of it may or may not have run.

    Asking again with the same id is safe.
    """

    def __init__(self, peer: str, problem: str) -> None:
        super().__init__(peer, problem)
        self.peer = peer
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.peer} does not answer ({self.problem}); ask again with the same id"
