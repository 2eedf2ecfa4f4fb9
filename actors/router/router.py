"""The router: who there is, how they fare, and where a request goes.

It holds nothing that cannot be had again: reports come from the owners (``report_cache``), who runs
what stands in the directory (``dispatcher``), and so does the registry, which is kept here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path

from actors.aiokit import Tasks, every
from actors.alerts.monitor import AlertMonitor
from actors.interfaces.messages import Dispatch, HandedOff, HandoffRequest, NotTaken
from actors.interfaces.protocols import SubscriptionActor, SubscriptionActors
from actors.router.dispatcher import Dispatcher, DispatchSettings
from actors.router.keys import KeyRegistry
from actors.router.report_cache import ReportCache
from actors.router.sessions import Sessions
from actors.telemetry.recorder import PoolRecorder
from actors.telemetry.tracing import OFF, Tracing
from pool.alerts.alerts import Alert, AlertSettings, failover, session_moved
from pool.alerts.delivery import ListedAlert
from pool.alerts.webhooks import Webhook
from pool.errors import ActorLost, Conflict, NotFound, PoolError, StoreError
from pool.executions.execution import Execution
from pool.executions.request import ExecutionRequest
from pool.executions.routing_record import Routing
from pool.executions.session import Session, SessionHome
from pool.keys.api_keys import KeyHolder, KeySpec, Presented, ShownKey
from pool.routing.rebalancing import Rebalancing
from pool.storage.backup import Backup
from pool.storage.paging import Page
from pool.storage.protocol import RETENTION_PERIOD, Directory, Registration
from pool.subscriptions.pool_overview import Overview, overview
from pool.subscriptions.report import Report
from pool.subscriptions.spec import SubscriptionChange, SubscriptionSpec, changed
from pool.telemetry.counters import Figures
from pool.telemetry.events import EventFilter, PoolEvent, PoolEventPage
from pool.usage.records import UsageRecord
from pool.values import Value

log = logging.getLogger(__name__)


class RouterSettings(Value):
    """What a router takes from configuration."""

    dispatch: DispatchSettings
    backups_dir: Path = Path("backups")
    retention: timedelta = timedelta(days=35)
    rebalancing: Rebalancing = Rebalancing()
    alerts: AlertSettings = AlertSettings()
    webhooks: tuple[Webhook, ...] = ()
    keys: tuple[KeySpec, ...] = ()
    """Those that stand in ``pool.toml``."""


class Router:
    """Ranks and dispatches. Made by ``activate``."""

    def __init__(
        self,
        directory: Directory,
        actors: SubscriptionActors,
        settings: RouterSettings,
        clock: Callable[[], datetime],
        tracing: Tracing = OFF,
    ) -> None:
        self._directory = directory
        self._actors = actors
        self._settings = settings
        self._clock = clock
        self._registrations: dict[str, Registration] = {}
        self._tracing = tracing
        self._recorder = PoolRecorder(clock)
        self._reports = ReportCache(actors, self._hear)
        self._tasks = Tasks()
        self._alerts = AlertMonitor(
            *(directory.outbox, settings.webhooks, settings.alerts, clock),
            tell=self._recorder.alerted,
        )
        self._keys = KeyRegistry(
            directory, actors, settings.keys, settings.dispatch.default_model, clock
        )
        self._dispatcher = Dispatcher(
            directory, actors, self._reports, self._keys, settings.dispatch, clock
        )
        self._sessions = Sessions(directory, actors, self._reports, clock, self._session_moved)

    @classmethod
    async def activate(
        cls,
        directory: Directory,
        actors: SubscriptionActors,
        settings: RouterSettings,
        clock: Callable[[], datetime],
        tracing: Tracing = OFF,
    ) -> Router:
        """Read the registry, and see to it that everybody in it runs."""
        self = cls(directory, actors, settings, clock, tracing)
        for registration in await directory.registrations():
            self._adopt(registration)
        await self._keys.recover()
        self._tasks.spawn(self._retain())
        self._tasks.spawn(self._sessions.rebalance(settings.rebalancing))
        self._alerts.follow(self._heard)
        return self

    # -- executions ------------------------------------------------------------------------------

    async def dispatch(self, dispatch: Dispatch) -> Execution:
        """Bring a request to a subscription that admits it; see ``Dispatcher.dispatch``."""
        try:
            execution = await self._traced(dispatch)
        except PoolError as error:
            self._recorder.refused(dispatch.execution_id, error)
            raise
        self._recorder.admitted(execution, dispatch.created_at)
        return execution

    async def _traced(self, dispatch: Dispatch) -> Execution:
        ids = {"execution_id": dispatch.execution_id}
        with self._tracing.span("dispatch", dispatch.trace, **ids) as trace:
            return await self._dispatcher.dispatch(dispatch.model_copy(update={"trace": trace}))

    async def hand_off(self, handoff: HandoffRequest) -> HandedOff | NotTaken:
        """Find another subscription for an execution; see ``Dispatcher.hand_off``."""
        answer = await self._dispatcher.hand_off(handoff)
        if isinstance(answer, HandedOff) and handoff.attempts:
            cause, execution_id = handoff.attempts[-1].outcome, handoff.intent.execution_id
            self._recorder.failed_over(
                handoff.subscription_id, answer.subscription_id, execution_id, cause
            )
            await self._tell(failover(handoff.subscription_id, cause, execution_id, self._clock()))
        return answer

    async def route(self, request: ExecutionRequest) -> Routing:
        """Where a request would go now, and why; see ``Dispatcher.route``."""
        return await self._dispatcher.route(request)

    async def locate(self, execution_id: str) -> str:
        """The subscription that has an execution."""
        claim = await self._directory.locate(execution_id)
        if claim is None or claim.subscription_id is None:
            raise NotFound("execution", execution_id)
        return claim.subscription_id

    # -- sessions --------------------------------------------------------------------------------

    async def session_home(self, session_id: str) -> SessionHome | None:
        """Which subscription holds a session."""
        return await self._sessions.home(session_id)

    async def session_arrived(self, session_id: str, subscription_id: str) -> bool:
        """Note that a session's transcript was fetched by its new home. False where that is not
        its home any more.
        """
        return await self._sessions.arrived(session_id, subscription_id)

    async def session_returns(self, session_id: str, instead_of: str, source: str) -> None:
        """Let a session that could not be fetched live again where its transcript is."""
        await self._sessions.returns(session_id, instead_of, source)

    async def session_gone(self, session_id: str, held_by: str) -> None:
        """Forget a session whose transcript is not where it was kept, unless it is elsewhere."""
        await self._sessions.gone(session_id, held_by)

    async def sessions(
        self, *, limit: int, cursor: str | None = None, subscription_id: str | None = None
    ) -> Page[Session]:
        """Sessions, those used last first."""
        return await self._sessions.page(limit, cursor, subscription_id)

    async def session(self, session_id: str) -> Session:
        """One session, with its moves."""
        return await self._sessions.one(session_id)

    async def forget_session(self, session_id: str) -> None:
        """Remove a session and its transcripts, wherever it has been. ``Conflict`` at work."""
        await self._sessions.forget(session_id, self._registrations)

    # -- keys ------------------------------------------------------------------------------------

    async def is_open(self) -> bool:
        """Whether no key was ever made: then whoever reaches the pool may use it."""
        return await self._keys.is_open()

    async def authenticate(self, shown: Presented) -> KeyHolder | None:
        """Whose key it is; None for one that opens nothing."""
        return await self._keys.authenticate(shown)

    async def keys(self) -> tuple[ShownKey, ...]:
        return await self._keys.keys()

    async def create_key(self, spec: KeySpec, shown: Presented) -> ShownKey:
        return await self._keys.create(spec, shown)

    async def revoke_key(self, key_id: str) -> ShownKey:
        return await self._keys.revoke(key_id)

    async def rotate_key(self, key_id: str, digest: str, grace_seconds: float) -> ShownKey:
        return await self._keys.rotate(key_id, digest, grace_seconds)

    # -- what is known ---------------------------------------------------------------------------

    async def reports(self) -> tuple[Report, ...]:
        """The latest report of every subscription, by id."""
        await self._reports.await_all()
        return self._reports.reports

    async def report(self, subscription_id: str) -> Report:
        """The latest report of one subscription."""
        self._known(subscription_id)
        report = await self._reports.report(subscription_id)
        if report is None:
            raise ActorLost(subscription_id, "it was never heard of: see its log")
        return report

    async def overview(self) -> Overview:
        unheard = await self._reports.await_all()
        return overview(self._reports.reports, self._clock(), unheard)

    async def happenings(
        self, after: str | None, wanted: EventFilter, wait_seconds: float
    ) -> PoolEventPage:
        """What happened after an id, as soon as something did; see ``EventLog.next_page``."""
        return await self._recorder.page(after, wanted, wait_seconds)

    def _hear(self, event: PoolEvent) -> None:
        """Take over what an owner tells, for those who follow and for what ends with it."""
        self._recorder.heard(event)
        self._keys.heard(event)

    async def figures(self) -> Figures:
        """What metrics are made of, from memory; nobody is asked and nothing is waited for."""
        reports, unheard = self._heard()
        return Figures(
            reports=reports,
            tallies=self._reports.tallies,
            router=self._recorder.tally,
            unheard=tuple(sorted(unheard)),
            observed_at=self._clock(),
        )

    async def registrations(self) -> tuple[Registration, ...]:
        return tuple(self._registrations[id_] for id_ in sorted(self._registrations))

    def _heard(self) -> tuple[tuple[Report, ...], frozenset[str]]:
        """The latest reports, and who was not heard of yet."""
        reports = self._reports.reports
        return reports, self._reports.followed - {report.id for report in reports}

    # -- alerts ----------------------------------------------------------------------------------

    async def alerts(self, *, limit: int, cursor: str | None = None) -> Page[ListedAlert]:
        """What operators were told of, newest first."""
        return await self._directory.outbox.alerts(limit=limit, cursor=cursor)

    async def raise_alert(self, alert: Alert) -> bool:
        """Tell operators of a single happening. False where it was told before."""
        return await self._alerts.raise_(alert)

    # -- the registry ----------------------------------------------------------------------------

    async def declare(self, specs: Iterable[SubscriptionSpec]) -> None:
        """Make the registry agree with ``pool.toml``: what stands there wins, what was declared
        earlier and stands there no more goes. Subscriptions added while running stay.
        """
        declared = {spec.id: spec for spec in specs}
        for known in tuple(self._registrations.values()):
            if known.declared and known.spec.id not in declared:
                await self._forget(known.spec.id)
        for spec in declared.values():
            await self._register(spec, declared=True)

    async def add(self, spec: SubscriptionSpec) -> Report:
        """Add a subscription while the pool runs."""
        known = self._registrations.get(spec.id)
        if known is not None and known.spec != spec:
            raise Conflict(f"subscription {spec.id!r} exists: change it with PATCH")
        if known is None:
            await self._register(spec, declared=False)
        return await self.report(spec.id)

    async def change(self, subscription_id: str, change: SubscriptionChange) -> Report:
        """Change settings. Those of a declared subscription hold until the next start."""
        known = self._known(subscription_id)
        spec = changed(known.spec, change)
        await self._register(spec, declared=known.declared)
        return await self._ordered(subscription_id, lambda owner: owner.configure(spec))

    async def pause(self, subscription_id: str) -> Report:
        return await self._ordered(subscription_id, lambda owner: owner.pause())

    async def resume(self, subscription_id: str) -> Report:
        return await self._ordered(subscription_id, lambda owner: owner.resume())

    async def drain(self, subscription_id: str) -> Report:
        return await self._ordered(subscription_id, lambda owner: owner.drain())

    async def record(self, record: UsageRecord) -> bool:
        """Have usage from outside the pool counted. False where its id was counted before."""
        self._known(record.subscription_id)
        recorded = await self._actors.subscription(record.subscription_id).record(record)
        self._reports.remember(recorded.report)
        return recorded.added

    async def backup(self, name: str) -> Backup:
        """Copy every store into the folder ``name`` below the backups. Asked again, it goes on."""
        folder = self._settings.backups_dir / name
        directory = folder / "directory.sqlite"
        if not directory.exists():
            await self._directory.backup(directory)
        for subscription_id in self._registrations:
            file = folder / "subscriptions" / subscription_id / "ledger.sqlite"
            await self._actors.subscription(subscription_id).backup(file)
        return Backup(
            path=str(folder),
            subscriptions=tuple(sorted(self._registrations)),
            bytes=sum(file.stat().st_size for file in folder.rglob("*.sqlite")),
            taken_at=self._clock(),
        )

    async def suspend(self) -> None:
        """Have nobody start anything, until this activation ends: the service is stopping."""
        for subscription_id in self._registrations:
            await self._ordered(subscription_id, lambda owner: owner.suspend())

    async def interrupt(self) -> None:
        """Have everybody ask what runs to end."""
        for subscription_id in self._registrations:
            await self._ordered(subscription_id, lambda owner: owner.interrupt())

    async def remove(self, subscription_id: str) -> None:
        """Forget a subscription that has nothing left to do; its ledger stays on disk."""
        known = self._known(subscription_id)
        if known.declared:
            raise Conflict(f"subscription {subscription_id!r} stands in pool.toml: remove it there")
        report = await self.drain(subscription_id)
        if report.running or report.queued:
            raise Conflict(
                f"subscription {subscription_id!r} still runs {report.running} and holds "
                f"{report.queued} waiting executions; it drains now, remove it afterwards"
            )
        await self._forget(subscription_id)

    async def close(self) -> None:
        await self._tasks.close()
        await self._alerts.close()
        await self._keys.close()
        await self._reports.close()
        await asyncio.to_thread(self._tracing.close)
        await self._directory.close()

    async def _ordered(
        self, subscription_id: str, order: Callable[[SubscriptionActor], Awaitable[Report]]
    ) -> Report:
        """Pass an order on, and know its effect at once: the next request is ranked by it."""
        self._known(subscription_id)
        report = await order(self._actors.subscription(subscription_id))
        self._reports.remember(report)
        return report

    async def _session_moved(self, session_id: str, source: str, target: str) -> None:
        self._recorder.session_moved(session_id, source, target)
        await self._tell(session_moved(session_id, source, target, self._clock()))

    async def _tell(self, alert: Alert) -> None:
        """Raise an alert about something that is done already: it may fail alone."""
        try:
            await self._alerts.raise_(alert)
        except StoreError as error:
            log.warning("alert not kept", extra={"alert": alert.kind, "problem": error.problem})

    async def _retain(self) -> None:
        """Forget claims and homes of sessions that were not used for long; now and every hour."""
        await every(RETENTION_PERIOD.total_seconds(), self._expire, "retention waits")

    async def _expire(self) -> None:
        before = self._clock() - self._settings.retention
        await self._directory.expire(before)
        await self._keys.expire(before)
        await self._directory.outbox.expire(before)

    def _known(self, subscription_id: str) -> Registration:
        registration = self._registrations.get(subscription_id)
        if registration is None:
            raise NotFound("subscription", subscription_id)
        return registration

    async def _register(self, spec: SubscriptionSpec, *, declared: bool) -> None:
        known = self._registrations.get(spec.id)
        created_at = known.created_at if known else self._clock()
        registration = Registration(spec=spec, declared=declared, created_at=created_at)
        if registration != known:
            await self._directory.register(registration)
        self._adopt(registration)

    def _adopt(self, registration: Registration) -> None:
        self._registrations[registration.spec.id] = registration
        self._reports.follow(registration.spec)

    async def _forget(self, subscription_id: str) -> None:
        await self._reports.unfollow(subscription_id)
        await self._actors.deactivate(subscription_id)
        await self._directory.unregister(subscription_id)
        self._registrations.pop(subscription_id, None)
