"""Messages between actors.

An execution leaves its subscription when its run failed before any output, or when it waits where
nothing can be started. The subscription keeps it, as ``moving``, until a router has brought it to
another or found that none takes it; it asks again after any crash, and the answer is the same.
"""

from __future__ import annotations

from pool.executions.attempt import Attempt
from pool.executions.execution import Execution
from pool.executions.intent import Intent
from pool.executions.request import ExecutionRequest
from pool.executions.row import Others
from pool.executions.status import ExecutionStatus
from pool.executions.tools.permissions import Grant
from pool.executions.tools.rounds import Continuation
from pool.keys.access import FULL_ACCESS, Access
from pool.subscriptions.admission import Refusal
from pool.subscriptions.report import Report
from pool.subscriptions.snapshot import Snapshot
from pool.telemetry.counters import Tally
from pool.telemetry.events import PoolEventPage
from pool.usage.records import UsageRecord
from pool.values import Instant, Value


class Activity(Value):
    """What a subscription did: what is new since a cursor, and all of its counts."""

    page: PoolEventPage
    tally: Tally


class Farewell(Value):
    """What a subscription leaves when it falls asleep, with its last events and counters."""

    snapshot: Snapshot
    activity: Activity


LONGEST_POLL_SECONDS = 30.0
"""How long one waiting call is held: rare enough, and short enough to notice a dead actor."""


class Started(Value):
    """The subscription has the execution: running, waiting, or ended already."""

    execution: Execution
    report: Report


class Recorded(Value):
    """Whether usage from outside was added, and the subscription afterwards."""

    added: bool
    report: Report


class Retracted(Value):
    """The records that take usage away, and the subscription afterwards."""

    records: tuple[UsageRecord, ...]
    more: bool
    """Whether there is more than this answer holds."""
    report: Report


class Listed(Value):
    """A question for a list of executions: which, and how many at most."""

    limit: int
    cursor: str | None = None
    status: ExecutionStatus | None = None
    session_id: str | None = None
    access: Access = FULL_ACCESS


class NotAdmitted(Value):
    """The subscription does not take it; nothing of it was kept."""

    refusal: Refusal
    report: Report


class CameLate(Value):
    """Results of calls that an execution does not wait for any more: another one goes on."""

    request: ExecutionRequest
    """Of that other one."""
    continues: Continuation
    idempotency_key: str
    """The same for the same results, however often they come."""
    caller: str
    """Whose execution it was, and the other one is."""
    grant: Grant


class Dispatch(Value):
    """A request on its way to a subscription."""

    execution_id: str
    request: ExecutionRequest
    caller: str = ""
    tenant: str | None = None
    """Whom it belongs to. The router says so, by the caller's key."""
    idempotency_key: str | None = None
    created_at: Instant
    grant: Grant = Grant()
    """What the caller may use of the machine; where it has a key, what that grants."""
    trace: str | None = None
    """The ``traceparent`` of whoever asks."""
    continues: Continuation | None = None
    """The results that it goes on from, of calls that another execution made."""
    conversation: str | None = None
    """The digest of the conversation that its session has to hold; ``Conflict`` where it does not
    any more."""

    @property
    def scoped_key(self) -> str | None:
        """The key as the directory knows it: two callers never share one."""
        key = self.idempotency_key
        return None if key is None else f"{self.caller}/{key}"


class HandoffRequest(Value):
    """An execution that its subscription hands on."""

    subscription_id: str
    """The subscription that hands it on."""
    intent: Intent
    attempts: tuple[Attempt, ...]
    """Every run for it so far."""
    why: Refusal
    """Why it is not run there."""
    report: Report
    """The subscription by now: what stops it is known before anybody else is sent there."""
    may_wait: bool
    """Whether it may join a queue elsewhere; else it goes only where it can run at once."""


class HandedOff(Value):
    """It goes on at another subscription, durably."""

    subscription_id: str


class NotTaken(Value):
    """It stays where it is."""

    reasons: str
    retry_at: Instant | None
    others: Others | None = None
    """What keeps those from it who have not said that they do not have its model."""
    placement: int | None = None
    """The number of the placement by which it is its owner's again."""
