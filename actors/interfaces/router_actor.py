"""The router's actor, as clients and subscriptions call it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

from actors.interfaces.messages import (
    Dispatch,
    HandedOff,
    HandoffRequest,
    Listed,
    NotTaken,
    Retracted,
)
from pool.alerts.alerts import Alert
from pool.alerts.delivery import ListedAlert
from pool.executions.execution import Execution
from pool.executions.request import ExecutionRequest
from pool.executions.routing_record import Routing
from pool.executions.session import Session, SessionHome
from pool.keys.access import FULL_ACCESS, Access
from pool.keys.api_keys import KeyHolder, KeySpec, Presented, ShownKey
from pool.nodes.overview import NodeList
from pool.routing.capacity import Capacity
from pool.storage.backup import Backup
from pool.storage.directory.claims import Registration
from pool.storage.paging import Page
from pool.subscriptions.overview.pool_overview import Overview
from pool.subscriptions.report import Report
from pool.subscriptions.spec import SubscriptionChange, SubscriptionSpec
from pool.telemetry.counters import Figures
from pool.telemetry.events import EventFilter, PoolEventPage
from pool.usage.breakdown.breakdown import UsageTable
from pool.usage.breakdown.question import Question
from pool.usage.records import UsageRecord
from pool.usage.retraction import UsageToRetract


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

        Lists as many as an execution keeps, which is the best candidates and counts of the others;
        with ``all_candidates`` every subscription.

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

    async def resting_records(
        self,
        subscription_id: str,
        *,
        limit: int,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Page[UsageRecord] | None:
        """The first page of the records of one that sleeps, newest first, read from its ledger at
        rest; None for one that is awake, which is to be asked itself.
        """
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
        """The subscription that holds a session, if any does."""
        ...

    async def session_of_conversation(self, conversation: str) -> str | None:
        """The session that holds a conversation, by its digest; None where none does."""
        ...

    async def conversation_answered(
        self, conversation: str, session_id: str, execution_id: str
    ) -> None:
        """Note which conversation a session holds after the answer of an execution, for the next
        one; nothing, where another one was placed in it since.
        """
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
        """The holder of a key; None for one that opens nothing."""
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

    async def shown_subscriptions(
        self, access: Access = FULL_ACCESS, *, limit: int | None = None, cursor: str | None = None
    ) -> str:
        """A page of the reports that somebody has access to, by id, as the JSON that is sent."""
        ...

    async def heard_from(self) -> int:
        """How many subscriptions have sent a report, from memory."""
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
        """The ids of those who have no actor now, since they sleep or cannot come up: the router
        reads their ledgers.
        """
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

    async def shown_figures(
        self, access: Access = FULL_ACCESS, *, openmetrics: bool = False
    ) -> str:
        """Those that somebody has access to, as the text that Prometheus reads."""
        ...

    async def registrations(self) -> tuple[Registration, ...]: ...

    async def subscription_ids(self) -> tuple[str, ...]:
        """The ids of all that are registered."""
        ...

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
