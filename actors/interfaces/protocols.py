"""Protocols of the actors: every call that crosses from one to another.

A router, a client and a subscription speak to each other as if they were objects in the same
process; where they really are is the business of whoever provides the ``SubscriptionActors``. Every
method that crosses here may be called again with the same arguments (executions and usage records
are known by their ids), so a provider repeats a call whose fate it does not know, and raises
``ActorLost`` for one who stays away.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from actors.interfaces.messages import (
    LONGEST_POLL_SECONDS,
    Activity,
    CameLate,
    Dispatch,
    Farewell,
    HandedOff,
    HandoffRequest,
    Listed,
    NotAdmitted,
    NotTaken,
    Recorded,
    Retracted,
    Started,
)
from pool.alerts.alerts import Alert
from pool.alerts.delivery import ListedAlert
from pool.claude.transcripts.copy import SessionCopy
from pool.executions.execution import Execution, ExecutionStatus, Intent
from pool.executions.outcome import FailureKind
from pool.executions.progress import ProgressPage
from pool.executions.request import ExecutionRequest
from pool.executions.routing_record import Routing
from pool.executions.session import Session, SessionHome
from pool.executions.tools.client_tools import ToolResult
from pool.keys.access import FULL_ACCESS, Access
from pool.keys.api_keys import KeyHolder, KeySpec, Presented, ShownKey
from pool.nodes.overview import KnownNode, NodeList
from pool.reconciliation.findings import (
    Reconciliation,
    ReconciliationOrder,
    ReconciliationRange,
    ReportKind,
)
from pool.routing.capacity import Capacity
from pool.storage.backup import Backup
from pool.storage.directory.claims import Registration
from pool.storage.paging import Page
from pool.subscriptions.overview.pool_overview import Overview
from pool.subscriptions.report import Report
from pool.subscriptions.spec import SubscriptionChange, SubscriptionSpec
from pool.telemetry.counters import Figures
from pool.telemetry.events import EventFilter, PoolEventPage
from pool.usage.breakdown import Question, UsageTable
from pool.usage.records import UsageRecord
from pool.usage.retraction import UsageToRetract
from pool.usage.totals import BlockTotal


class SubscriptionActor(Protocol):
    """A subscription's actor, as a router and a client call it. See ``actors.subscription``."""

    async def start(self, intent: Intent, *, may_wait: bool = True) -> Started | NotAdmitted: ...

    async def result(
        self, execution_id: str, wait_seconds: float = LONGEST_POLL_SECONDS
    ) -> Execution: ...

    async def progress(
        self, execution_id: str, after: str | None, wait_seconds: float, *, raw: bool = False
    ) -> ProgressPage: ...

    async def cancel(self, execution_id: str) -> Execution: ...

    async def tool_results(
        self, execution_id: str, results: tuple[ToolResult, ...]
    ) -> Execution | CameLate:
        """Give an execution results of its caller's tools, durably; or what to do with them."""
        ...

    async def execution_of_call(self, call_id: str, tenant: str | None) -> str | None:
        """The id of the execution that made a call of its caller's tools, of a tenant's where one
        is named; None for a call that nobody here made.
        """
        ...

    async def is_open(self, execution_id: str, access: Access) -> bool:
        """Whether an execution that is here is one that somebody has access to."""
        ...

    async def was_cancelled(self, execution_id: str) -> bool: ...

    async def suspect(self, kind: FailureKind) -> None: ...

    async def session_copy(self, session_id: str, execution_id: str) -> SessionCopy: ...

    async def history_tokens(self, session_id: str) -> int: ...

    async def has_at_work(self, session_id: str) -> bool: ...

    async def forget_session(self, session_id: str) -> None: ...

    async def next_report(self, epoch: int, version: int, wait_seconds: float) -> Report: ...

    async def activity(self, after: str | None) -> Activity: ...

    async def executions(
        self,
        *,
        limit: int,
        cursor: str | None = None,
        status: ExecutionStatus | None = None,
        session_id: str | None = None,
        access: Access = FULL_ACCESS,
    ) -> Page[Execution]: ...

    async def usage(
        self,
        *,
        limit: int,
        cursor: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        tenant: str | None = None,
    ) -> Page[UsageRecord]: ...

    async def usage_by(self, asked: Question) -> UsageTable: ...

    async def blocks(self, *, limit: int, cursor: str | None = None) -> Page[BlockTotal]: ...

    async def record(self, record: UsageRecord) -> Recorded: ...

    async def retract(self, wanted: UsageToRetract, by: str) -> Retracted: ...

    async def pause(self) -> Report: ...

    async def drain(self) -> Report: ...

    async def resume(self) -> Report: ...

    async def suspend(self) -> Report: ...

    async def interrupt(self) -> Report: ...

    async def end_idle(self) -> None: ...

    async def retire(self) -> int:
        """Let go of all executions, for good: how many have not ended there yet."""
        ...

    async def backup(self, file: Path) -> None: ...

    async def configure(self, spec: SubscriptionSpec) -> Report: ...


class RouterActor(Protocol):
    """The router's actor, as a client and a subscription call it. See ``actors.router``."""

    async def dispatch(self, dispatch: Dispatch) -> Execution:
        """Bring a request to a subscription that admits it; see ``Dispatcher.dispatch``."""
        ...

    async def hand_off(self, handoff: HandoffRequest) -> HandedOff | NotTaken:
        """Find another subscription for an execution; see ``Dispatcher.hand_off``."""
        ...

    async def route(
        self, request: ExecutionRequest, *, all_candidates: bool = False, caller: str = ""
    ) -> Routing:
        """Where a request would go now, and why. Nothing is claimed, reserved or run.

        Tells as much as an execution keeps, which is the best candidates and counts of the others;
        with ``all_candidates`` it tells every subscription.

        Raises what ``dispatch`` would raise, but for want of the limits of the caller's key.
        """
        ...

    async def capacity(self, model: str | None, n: int, *, caller: str = "") -> Capacity:
        """How many further requests would start now; see ``Dispatcher.capacity``."""
        ...

    async def locate(self, execution_id: str, access: Access = FULL_ACCESS) -> str | Execution:
        """The subscription that has an execution, and knows whose it is; where that was removed,
        the execution itself. ``NotFound`` for what ``access`` is known not to cover.
        """
        ...

    async def execution_of_calls(self, call_ids: Sequence[str], access: Access) -> str:
        """The id of the execution that made some calls of its caller's tools. ``NotFound`` for a
        call that nobody made whom ``access`` covers, ``InvalidRequest`` for calls of several.
        """
        ...

    async def resting_executions(
        self, wanted: Listed, subscription_ids: Sequence[str]
    ) -> Page[Execution]:
        """Those of some subscriptions of which most sleep, newest first; nobody is woken for it."""
        ...

    async def resting_usage(
        self, asked: Question, subscription_ids: Sequence[str]
    ) -> tuple[UsageTable, ...]:
        """The sums of the usage of some subscriptions of which most sleep; see ``usage_by``."""
        ...

    async def removed_executions(
        self, wanted: Listed, subscription_id: str | None = None
    ) -> Page[Execution]:
        """Those of subscriptions that were removed, newest first: of all, or of one; ``NotFound``
        for one that there never was.
        """
        ...

    async def session_home(self, session_id: str) -> SessionHome | None:
        """Which subscription holds a session."""
        ...

    async def session_arrived(self, session_id: str, subscription_id: str) -> bool:
        """Note that a session's transcript was fetched by its new home. False where that is not
        its home any more.
        """
        ...

    async def session_returns(self, session_id: str, instead_of: str, source: str) -> None:
        """Let a session that could not be fetched live again where its transcript is."""
        ...

    async def session_gone(self, session_id: str, held_by: str) -> None:
        """Forget a session whose transcript is not where it was kept, unless it is elsewhere."""
        ...

    async def sessions(
        self,
        *,
        limit: int = 50,
        cursor: str | None = None,
        subscription_id: str | None = None,
        access: Access = FULL_ACCESS,
    ) -> Page[Session]:
        """Sessions, those used last first."""
        ...

    async def session(self, session_id: str, access: Access = FULL_ACCESS) -> Session:
        """One session, with the moves it has made."""
        ...

    async def forget_session(self, session_id: str, access: Access = FULL_ACCESS) -> None:
        """Remove a session and its transcripts, wherever it has been. ``Conflict`` while a turn of
        it is at work.
        """
        ...

    async def is_open(self) -> bool:
        """Whether no key was ever made: then whoever reaches the pool may use it."""
        ...

    async def authenticate(self, shown: Presented) -> KeyHolder | None:
        """Whose key it is; None for one that opens nothing."""
        ...

    async def keys(self) -> tuple[ShownKey, ...]:
        """Every key with its limits and what it has used; neither secrets nor digests."""
        ...

    async def key(self, name: str) -> ShownKey | None:
        """The key of a name; None where nobody bears it."""
        ...

    async def create_key(self, spec: KeySpec, shown: Presented) -> ShownKey: ...

    async def revoke_key(self, key_id: str) -> ShownKey:
        """Let a key open nothing any more; what it has running goes on."""
        ...

    async def rotate_key(self, key_id: str, digest: str, grace_seconds: float) -> ShownKey: ...

    async def subscriptions(self) -> tuple[Report, ...]:
        """The latest report of every subscription, by id, from memory."""
        ...

    async def subscription(self, subscription_id: str) -> Report:
        """The latest report of one subscription."""
        ...

    async def wake(self, subscription_id: str) -> None:
        """See to it that a subscription is up, where it sleeps or is about to; at once where it
        does neither. Whoever calls one and finds that it has left asks for this, and calls again.
        """
        ...

    async def asleep(self) -> frozenset[str]:
        """The ids of those who sleep now."""
        ...

    async def pool(self, access: Access = FULL_ACCESS) -> Overview:
        """Totals, states and forecast of the subscriptions that somebody has access to."""
        ...

    async def nodes(self) -> NodeList:
        """The nodes of the pool's Ray: what each is called, whether it lives, and what is there."""
        ...

    async def happenings(
        self,
        *,
        after: str | None = None,
        wanted: EventFilter | None = None,
        wait_seconds: float = 0,
    ) -> PoolEventPage:
        """One page of what happens in the pool, after an id or from now on; an empty one where
        nothing did while it was waited (at most 30 s). ``InvalidRequest`` for an id that is none.
        """
        ...

    async def figures(self) -> Figures:
        """What metrics are made of, from memory; nobody is asked and nothing is waited for."""
        ...

    async def registrations(self) -> tuple[Registration, ...]: ...

    async def alerts(self, *, limit: int = 50, cursor: str | None = None) -> Page[ListedAlert]:
        """The alerts and whether they arrived, newest first."""
        ...

    async def raise_alert(self, alert: Alert) -> bool:
        """Alert operators of a single event. False where that was done before."""
        ...

    async def declare(self, specs: Iterable[SubscriptionSpec]) -> None:
        """Make the registry agree with ``pool.toml``: what stands there wins, what was declared
        earlier and stands there no more goes. Subscriptions added while running stay.
        """
        ...

    async def add(self, spec: SubscriptionSpec) -> Report:
        """Add a subscription while the pool runs. ``Conflict`` where the id is taken."""
        ...

    async def change(self, subscription_id: str, change: SubscriptionChange) -> Report:
        """Change settings of a subscription. One that is declared in ``pool.toml`` has those of
        the file again after the next start.
        """
        ...

    async def pause(self, subscription_id: str) -> Report:
        """Have it take no new work; what runs or waits goes on."""
        ...

    async def resume(self, subscription_id: str) -> Report:
        """Have it take work again, after a pause, a drain or a cooldown."""
        ...

    async def drain(self, subscription_id: str) -> Report:
        """Have it end what runs or waits, and take nothing new."""
        ...

    async def record(self, record: UsageRecord) -> bool:
        """Have usage from outside the pool counted. False where its id was counted before."""
        ...

    async def retract(self, subscription_id: str, wanted: UsageToRetract, by: str) -> Retracted:
        """Have usage from outside the pool taken back, as ``by`` orders. Once, however often it is
        asked; ``NotFound`` or ``InvalidRequest`` for a record that cannot be.
        """
        ...

    async def backup(self, name: str) -> Backup:
        """Copy every store into the folder ``name`` below the backups. Asked again, it goes on."""
        ...

    async def suspend(self) -> None:
        """Have nobody start anything, until this activation ends: the service is stopping. Who has
        not come up yet does not any more.
        """
        ...

    async def interrupt(self) -> None:
        """Have everybody ask what runs to end."""
        ...

    async def remove(self, subscription_id: str) -> None:
        """Drain a subscription and forget it; its ledger stays on disk. ``Conflict`` while it still
        has work.
        """
        ...


class ReconcilerActor(Protocol):
    """The reconciler's actor, as a client calls it. See ``actors.reconciler``."""

    async def reconcile(self, wanted: ReconciliationRange) -> ReconciliationOrder:
        """Have a range compared with Anthropic's reports, again where it was; what has not ended,
        once it has. The results appear in ``reconciliations``. ``Conflict`` where no organization
        is configured.
        """
        ...

    async def reconciliations(
        self,
        *,
        limit: int = 50,
        cursor: str | None = None,
        organization_id: str | None = None,
        kind: ReportKind | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Page[Reconciliation]:
        """Those whose hour or day begins in ``since <= start < until``, newest first."""
        ...

    async def reconciliation(self, reconciliation_id: str) -> Reconciliation:
        """One reconciliation. ``NotFound`` for an id that is none."""
        ...

    async def reverse_adjustments(self, reconciliation_id: str) -> Reconciliation:
        """Take back what was adjusted by a reconciliation, and adjust there no more."""
        ...

    async def is_there(self) -> bool:
        """Asked every now and then, so that a reconciler that was ended begins again."""
        ...

    async def look(self) -> None:
        """Compare everything that is due."""
        ...


class Actors(Protocol):
    """Where the router is found, the subscriptions, and the reconciler."""

    def router(self) -> RouterActor: ...

    def subscription(self, subscription_id: str) -> SubscriptionActor: ...

    def reconciler(self) -> ReconcilerActor:
        """``Conflict`` where the pool has none, since no organization is configured."""
        ...


class SubscriptionActors(Protocol):
    """Where subscriptions are found, and how they come and go."""

    def subscription(self, subscription_id: str) -> SubscriptionActor: ...

    async def activate(self, spec: SubscriptionSpec) -> bool:
        """Make sure that the subscription runs, with this specification. Whether its actor is one
        of an earlier version or configuration, which does what it can and is to be renewed.
        ``ConfigError`` where it can run on no node, as it is configured.
        """
        ...

    async def renew(self, spec: SubscriptionSpec) -> None:
        """Have an actor leave in order, and its successor take its place."""
        ...

    async def fall_asleep(self, subscription_id: str, after: str | None) -> Farewell | None:
        """Have a subscription's actor leave, where it has nothing to do and nobody calls it; what
        it leaves, with what happened there after a cursor. None where it stays. Whatever this
        raises, the actor is gone.
        """
        ...

    async def deactivate(self, subscription_id: str) -> None:
        """End a subscription's actor; its ledger stays."""
        ...

    async def nodes(self) -> tuple[KnownNode, ...]:
        """The nodes that live, and those that were seen to. Each is asked what it has, unless it
        said so a moment ago.
        """
        ...
