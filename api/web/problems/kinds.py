"""The table from errors to statuses."""

from __future__ import annotations

from typing import NamedTuple

from api.web.authentication import Forbidden, Foreign, OperatorNeeded, Unauthorized
from api.web.key_guesses import TooManyGuesses
from api.web.problems.dialect_errors import RunFailed, Unsupported
from api.web.request.body import BodyTooIntricate, BodyTooLarge, BodyTooSlow, BrokenJson, NotJson
from api.web.request.compression import BrokenCoding, UnknownCoding
from api.web.request.head import AmbiguousLength, HeadTooLarge
from pool.errors import (
    ActorLost,
    AnswerRemoved,
    BadField,
    Conflict,
    Exhausted,
    KeyEnded,
    KeyLimited,
    KeyReused,
    ModelRefused,
    NotFound,
    NotPermitted,
    NotSupported,
    OverBudget,
    PoolError,
    RateLimited,
    SessionGone,
    StoreError,
    TooManyAtOnce,
    Unavailable,
    UnknownModel,
)


class NotReady(PoolError):
    """The process lives, but the pool behind it cannot be used yet."""

    problem: str

    def __str__(self) -> str:
        return self.problem


class Stopping(PoolError):
    """The service ends while a request still waits; what it asked for goes on."""

    def __str__(self) -> str:
        return (
            "the service is stopping, and what runs goes on: ask again with the same "
            "Idempotency-Key, or look for it under /v1/executions"
        )


class Kind(NamedTuple):
    """The answer to one class of errors."""

    status: int
    type: str
    title: str
    retry_after_seconds: int | None = None
    """Where asking again later may help and nobody knows when."""


KINDS: dict[type[PoolError], Kind] = {
    BrokenJson: Kind(400, "broken-json", "The body is no valid JSON"),
    AmbiguousLength: Kind(400, "ambiguous-length", "The request's length is given twice"),
    BrokenCoding: Kind(400, "broken-coding", "The body is not coded as its header says"),
    Unauthorized: Kind(401, "unauthorized", "A key is needed"),
    KeyEnded: Kind(401, "key-ended", "The key opens nothing any more"),
    OperatorNeeded: Kind(403, "operator-needed", "This takes the operator's key"),
    Foreign: Kind(403, "foreign", "This pool answers its own machine alone"),
    Forbidden: Kind(403, "forbidden", "The key does not allow this"),
    NotPermitted: Kind(403, "not-permitted", "The key does not cover this"),
    SessionGone: Kind(404, "session-not-found", "The session cannot be gone on with"),
    NotFound: Kind(404, "not-found", "Nothing is known by this id"),
    ModelRefused: Kind(404, "model-refused", "No subscription may use this model"),
    BodyTooSlow: Kind(408, "body-too-slow", "The body did not arrive in time", 1),
    Conflict: Kind(409, "conflict", "It does not fit the present state"),
    UnknownModel: Kind(404, "model-not-found", "No subscription has this model"),
    AnswerRemoved: Kind(410, "answer-removed", "The answer is not kept any more"),
    BodyTooLarge: Kind(413, "body-too-large", "The body is too large"),
    BodyTooIntricate: Kind(413, "body-too-intricate", "The body is nested too deep or too full"),
    NotJson: Kind(415, "not-json", "The body must be JSON"),
    UnknownCoding: Kind(415, "unknown-coding", "The body's coding is not read here"),
    BadField: Kind(422, "invalid-request", "The request cannot be accepted"),
    Unsupported: Kind(422, "unsupported", "The pool cannot do this"),
    HeadTooLarge: Kind(431, "head-too-large", "The address and headers are too large"),
    KeyReused: Kind(422, "key-reused", "The Idempotency-Key was used for another request"),
    Exhausted: Kind(429, "exhausted", "No subscription has headroom", 30),
    RunFailed: Kind(502, "run-failed", "The run ended without an answer"),
    TooManyGuesses: Kind(429, "too-many-guesses", "Too many unknown keys came from here", 1),
    RateLimited: Kind(429, "rate-limited", "The key makes requests too fast", 1),
    TooManyAtOnce: Kind(429, "too-many-at-once", "The key has as much running as it may", 2),
    OverBudget: Kind(429, "over-budget", "The key has spent its budget", 30),
    KeyLimited: Kind(429, "key-limited", "The key has no allowance left", 30),
    Unavailable: Kind(503, "unavailable", "No subscription is usable", 30),
    ActorLost: Kind(503, "peer-lost", "A part of the pool does not answer", 2),
    StoreError: Kind(503, "store-error", "The pool cannot keep anything at the moment", 5),
    Stopping: Kind(503, "stopping", "The service is stopping", 5),
    NotReady: Kind(503, "not-ready", "The pool is not ready", 2),
    NotSupported: Kind(501, "not-supported", "This pool cannot do that"),
    PoolError: Kind(500, "internal-error", "Something went wrong"),
}
"""Subclasses share the line of the nearest class that has one."""

HTTP_KINDS = {
    404: Kind(404, "no-such-route", "There is nothing at this address"),
    405: Kind(405, "method-not-allowed", "This address does not take this method"),
}
"""Of what the framework refuses by itself."""


def kind_of(error: PoolError) -> Kind:
    """The line of the table that an error falls under."""
    return next(KINDS[each] for each in type(error).__mro__ if each in KINDS)
