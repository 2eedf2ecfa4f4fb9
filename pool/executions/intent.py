"""The intent of an execution: what is made durable before anything is spawned (T1)."""

from __future__ import annotations

import json
import os
from datetime import datetime
from decimal import Decimal

from pool.executions.attempt import Attempt
from pool.executions.request import ExecutionRequest, SessionId, SubscriptionId
from pool.executions.routing_record import Routing
from pool.executions.tools.permissions import Grant
from pool.executions.tools.rounds import Continuation
from pool.usage.records import RunSize
from pool.values import Instant, Value


def new_execution_id(now: datetime) -> str:
    """A new id that sorts by the time it was made."""
    return f"exec_{int(now.timestamp() * 1000):012x}{os.urandom(8).hex()}"


class Intent(Value):
    """What a subscription makes durable before it spawns a run (T1)."""

    execution_id: str
    request: ExecutionRequest
    session_id: SessionId
    """The session that is resumed, or the one that this run begins."""
    resumes: bool
    model: str
    timeout_seconds: float
    reserved_nano_usd: int
    routing: Routing
    created_at: Instant
    caller: str = ""
    """Whose request it is: who waits is served in turn."""
    tenant: str | None = None
    """Whom it belongs to; None for nobody, and in rows that were kept before it was noted."""
    grant: Grant = Grant()
    """What the caller's key lets it use of the machine."""
    earlier_attempts: tuple[Attempt, ...] = ()
    """Attempts of this execution on other subscriptions."""
    earlier_owners: tuple[SubscriptionId, ...] = ()
    """Subscriptions that handed it on: it never comes back to them."""
    forks: SessionId | None = None
    """The session whose history this run goes on from, in a session of its own."""
    session_from: SubscriptionId | None = None
    """Where the session's transcript may have to be fetched from first."""
    session_total_nano_usd: int | None = None
    """The running total that the session was fetched with."""
    history_tokens: int = 0
    """About how many tokens of history its session begins with; 0 where nobody knows."""
    queue_timeout_seconds: float = 600
    placement: int = 0
    """The number of the placement that brought it to its subscription; 0 where none is known."""
    placed_for: int = 0
    """The activation of its subscription for which it was placed so; 0 where none is known."""
    trace: str | None = None
    """The ``traceparent`` that its spans belong to, where it is traced."""
    continues: Continuation | None = None
    """The results that it goes on from, of calls that another execution made."""

    @property
    def belongs_to(self) -> str | None:
        """The tenant that sees it. Before there were tenants, each key was one by itself."""
        return self.tenant or self.caller or None

    @property
    def process_owner(self) -> str:
        """Names those who may have its process after it: the same key, with the same grant."""
        return json.dumps([self.tenant, self.caller, self.grant.model_dump(mode="json")])

    @property
    def reads(self) -> str | None:
        """The session whose history it goes on from, if it does."""
        return self.forks or (self.session_id if self.resumes else None)

    @property
    def budget_usd(self) -> Decimal | None:
        """What earlier attempts have left of its budget, if it has one."""
        budget = self.request.max_budget_usd
        return budget and budget - sum(each.cost_usd for each in self.earlier_attempts)


def run_size(intent: Intent, model: str) -> RunSize:
    """What a run of an intent is given to do, by a model's name."""
    request = intent.request
    return RunSize(
        model=model,
        input_tokens=request.input_tokens + intent.history_tokens,
        uses_tools=request.uses_tools,
    )
