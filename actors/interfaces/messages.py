"""What an owner asks of a router when it cannot serve an execution that it has.

An execution leaves its owner when its run failed before any output, or when it waits where nothing
can be started. The owner keeps it, as ``moving``, until a router has brought it to somebody else or
found that nobody takes it; it asks again after any crash, and the answer is the same.
"""

from __future__ import annotations

from pool.executions.execution import Attempt, Intent, Others
from pool.subscriptions.admission import Refusal
from pool.subscriptions.report import Report
from pool.values import Instant, Value


class Handover(Value):
    """An execution that its owner hands on."""

    subscription_id: str
    """The owner."""
    intent: Intent
    attempts: tuple[Attempt, ...]
    """Every run for it so far."""
    why: Refusal
    """Why the owner does not run it."""
    report: Report
    """The owner by now: what stops it is known before anybody else is sent there."""
    may_wait: bool
    """Whether it may join a queue elsewhere; else it goes only where it can run at once."""


class HandedOver(Value):
    """It goes on at another subscription, durably."""

    subscription_id: str


class NobodyTakesIt(Value):
    """It stays with its owner."""

    reasons: str
    retry_at: Instant | None
    others: Others | None = None
    """What keeps those from it who have not said that they do not have its model."""
