"""The router: who there is, how they fare, and where a request goes.

It holds nothing that cannot be had again: reports come from the owners (``presence``), who runs
what stands in the directory (``dispatching``), and so does the ``registry``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from operator import attrgetter

from actors.aiokit import Tasks, every, forwarded
from actors.alerts.monitor import AlertMonitor
from actors.interfaces.messages import Dispatch, HandedOff, HandoffRequest, NotTaken
from actors.interfaces.protocols import SubscriptionActors
from actors.router.alarms import Alarms
from actors.router.backups import Backups
from actors.router.dispatching.dispatcher import Dispatcher
from actors.router.keys.callers import Caller
from actors.router.keys.key_registry import KeyRegistry
from actors.router.ledgers.archive import Archive
from actors.router.ledgers.resting import RestingLedgers
from actors.router.overviews import Overviews
from actors.router.presence.followers import Followers
from actors.router.presence.last_known import LastKnown
from actors.router.presence.newcomers import Newcomers
from actors.router.presence.sleepers import Sleepers
from actors.router.registry import Registry
from actors.router.sessions import Sessions
from actors.router.settings import RouterSettings
from actors.router.term import Term
from actors.router.tool_call_search import ToolCallSearch
from actors.telemetry.recorder import PoolRecorder
from actors.telemetry.tracing import OFF, Tracing
from pool.alerts.alerts import Alert, failover, session_moved
from pool.claude.runner import Runner
from pool.errors import NotFound, PoolError, StoreError
from pool.executions.execution import Execution
from pool.executions.request import ExecutionRequest
from pool.executions.routing_record import Routing
from pool.executions.session import SessionHome
from pool.keys.access import FULL_ACCESS, Access
from pool.keys.api_keys import ShownKey
from pool.routing.capacity import Capacity
from pool.storage.directory.directory import Directory
from pool.storage.directory.outbox import Outbox
from pool.storage.stores import RETENTION_PERIOD, Stores
from pool.subscriptions.reporting import SubscriptionPolicy
from pool.telemetry.events import PoolEvent

log = logging.getLogger(__name__)

LONGEST_REFRESH_SECONDS = 15.0
"""Between two reports of all who sleep, by which they are ranked: 0.3 ms each."""


class Router:
    """Ranks and dispatches, as ``RouterActor`` says. Made by ``activate``."""

    def __init__(
        self,
        directory: Directory,
        actors: SubscriptionActors,
        settings: RouterSettings,
        clock: Callable[[], datetime],
        stores: Stores,
        runner_of: Callable[[str], Runner],
        tracing: Tracing = OFF,
        term: Term | None = None,
    ) -> None:
        self._directory = directory
        self._term = term or Term(directory.terms)
        self._archive = Archive(
            *(stores, directory, runner_of, clock),
            keep_prompts=settings.keep_prompts,
            retention=settings.retention,
        )
        self._actors = actors
        self._settings = settings
        self._clock = clock
        self._tracing = tracing
        self._recorder = PoolRecorder(clock)
        policy = settings.dispatch.policy
        shown_by = SubscriptionPolicy(limits=policy.limits, weights=policy.weights)
        self._sleepers = Sleepers(directory.snapshots, shown_by, clock, settings.keep_prompts)
        self._followers = Followers(
            *(actors, self._sleepers, clock, self._hear),
            last_known=LastKnown(stores, shown_by, clock).report,
            activations_at_once=settings.activations_at_once,
            idle=settings.idle,
            released_after=timedelta(seconds=policy.settings.without_node_seconds),
        )
        self._resting = RestingLedgers(
            *(stores, self._followers, self._sleepers, actors), tags=settings.tags
        )
        self._registry = Registry(
            *(directory, actors, self._followers, self._sleepers),
            newcomers=Newcomers(stores, actors, self._followers, self._sleepers),
            archive=self._archive,
            clock=clock,
        )
        self._alarms = Alarms(
            *(self._sleepers, self._followers, self._resting, self._archive), clock=clock
        )
        self._tasks = Tasks()
        self._alerts = AlertMonitor(
            *(directory.outbox, settings.webhooks, settings.alerts, clock),
            tell=self._recorder.alerted,
        )
        self._keys = KeyRegistry(
            directory, actors, settings.keys, settings.dispatch.default_model, clock
        )
        self._dispatcher = Dispatcher(
            *(directory, actors, self._followers, self._keys, self._archive, self._resting),
            settings=settings.dispatch,
            clock=clock,
        )
        self._tool_calls = ToolCallSearch(actors, self._followers, self._resting)
        self._overviews = Overviews(actors, self._followers, self._recorder, clock)
        self._backups = Backups(
            *(directory, self._registry, self._resting, clock),
            folder=settings.backups_dir,
            keep_prompts=settings.keep_prompts,
        )
        self._sessions = Sessions(directory, actors, self._followers, clock, self._session_moved)

    @classmethod
    async def activate(
        cls,
        directory: Directory,
        actors: SubscriptionActors,
        settings: RouterSettings,
        clock: Callable[[], datetime],
        stores: Stores,
        runner_of: Callable[[str], Runner],
        tracing: Tracing = OFF,
        term: Term | None = None,
    ) -> Router:
        """Read the registry, and see to it that everybody in it runs. ``stores`` and ``runner_of``
        are for what subscriptions left that were removed. ``ConfigError``, and nothing is done,
        where the directory is that of another pool, which runs.
        """
        self = cls(directory, actors, settings, clock, stores, runner_of, tracing, term)
        await self._term.begin()
        await self._sleepers.recover()
        await self._registry.recover()
        await self._keys.recover()
        self._tasks.spawn(self._term.watch())
        self._tasks.spawn(self._retain())
        self._tasks.spawn(self._archive.tend())
        self._tasks.spawn(self._sessions.rebalance(settings.rebalancing))
        self._tasks.spawn(self._refresh())
        self._tasks.spawn(self._alarms.tend())
        self._alerts.follow(self._overviews.heard)
        return self

    # -- executions ------------------------------------------------------------------------------

    async def dispatch(self, dispatch: Dispatch) -> Execution:
        caller = await self._keys.caller(dispatch.caller)
        dispatch = dispatch.model_copy(update={"tenant": caller.tenant})
        try:
            execution = await self._traced(dispatch, caller)
        except PoolError as error:
            self._recorder.refused(dispatch, error)
            raise
        self._recorder.admitted(execution, dispatch.created_at)
        return execution

    async def _traced(self, dispatch: Dispatch, caller: Caller) -> Execution:
        ids = {"execution_id": dispatch.execution_id}
        with self._tracing.span("dispatch", dispatch.trace, **ids) as trace:
            traced = dispatch.model_copy(update={"trace": trace})
            return await self._dispatcher.dispatch(traced, caller)

    async def hand_off(self, handoff: HandoffRequest) -> HandedOff | NotTaken:
        answer = await self._dispatcher.hand_off(handoff)
        if isinstance(answer, HandedOff) and handoff.attempts:
            cause, execution_id = handoff.attempts[-1].outcome, handoff.intent.execution_id
            self._recorder.failed_over(handoff, answer.subscription_id, cause)
            await self._tell(failover(handoff.subscription_id, cause, execution_id, self._clock()))
        return answer

    async def route(
        self, request: ExecutionRequest, *, all_candidates: bool = False, caller: str = ""
    ) -> Routing:
        asks = await self._keys.caller(caller)
        return await self._dispatcher.route(request, asks, all_candidates=all_candidates)

    async def capacity(self, model: str | None, n: int, *, caller: str = "") -> Capacity:
        return await self._dispatcher.capacity(model, n, await self._keys.caller(caller))

    async def locate(self, execution_id: str, access: Access = FULL_ACCESS) -> str | Execution:
        claim = await self._directory.locate(execution_id)
        asked = None if claim is None else claim.subscription_id
        if asked is None or not access.covers_subscription(asked):
            raise NotFound("execution", execution_id)
        if asked not in self._registry:
            return await self._archive.execution(asked, execution_id, access)
        await self._followers.await_one({asked})  # it comes up first, if it has not
        if asked in self._followers.unusable:
            return await self._resting.ended(asked, execution_id, access) or asked
        return asked

    async def execution_of_calls(self, call_ids: Sequence[str], access: Access) -> str:
        return await self._tool_calls.execution(call_ids, access)

    resting_executions = forwarded(attrgetter("_resting"), RestingLedgers.executions)
    resting_usage = forwarded(attrgetter("_resting"), RestingLedgers.usage_by)
    resting_records = forwarded(attrgetter("_resting"), RestingLedgers.records)
    removed_executions = forwarded(attrgetter("_archive"), Archive.executions)

    # -- sessions and keys -----------------------------------------------------------------------

    session_home = forwarded(attrgetter("_sessions"), Sessions.home)
    session_arrived = forwarded(attrgetter("_sessions"), Sessions.arrived)
    session_returns = forwarded(attrgetter("_sessions"), Sessions.returns)
    session_gone = forwarded(attrgetter("_sessions"), Sessions.gone)
    sessions = forwarded(attrgetter("_sessions"), Sessions.page)
    session = forwarded(attrgetter("_sessions"), Sessions.one)
    forget_session = forwarded(attrgetter("_sessions"), Sessions.forget)
    session_of_conversation = forwarded(attrgetter("_sessions"), Sessions.of_conversation)
    conversation_answered = forwarded(attrgetter("_sessions"), Sessions.conversation_answered)

    is_open = forwarded(attrgetter("_keys"), KeyRegistry.is_open)
    authenticate = forwarded(attrgetter("_keys"), KeyRegistry.authenticate)
    keys = forwarded(attrgetter("_keys"), KeyRegistry.keys)
    key = forwarded(attrgetter("_keys"), KeyRegistry.key)
    create_key = forwarded(attrgetter("_keys"), KeyRegistry.create)
    rotate_key = forwarded(attrgetter("_keys"), KeyRegistry.rotate)

    async def revoke_key(self, key_id: str) -> ShownKey:
        """Let a key open nothing any more, and no process know what was asked with it."""
        shown = await self._keys.revoke(key_id)
        self._tasks.spawn(self._end_idle())
        return shown

    async def _end_idle(self) -> None:
        """Best effort: whoever cannot be asked now ends its processes as their time is over."""
        await asyncio.gather(
            *map(self._ended_idle, self._followers.known - self._followers.resting)
        )

    async def _ended_idle(self, subscription_id: str) -> None:
        with suppress(PoolError):
            await self._actors.subscription(subscription_id).end_idle()

    # -- what is known ---------------------------------------------------------------------------

    wake = forwarded(attrgetter("_followers"), Followers.wake)

    async def asleep(self) -> frozenset[str]:
        return self._sleepers.ids | self._followers.unusable.keys()

    subscriptions = forwarded(attrgetter("_overviews"), Overviews.subscriptions)
    shown_subscriptions = forwarded(attrgetter("_overviews"), Overviews.shown_subscriptions)
    heard_from = forwarded(attrgetter("_overviews"), Overviews.heard_from)
    pool = forwarded(attrgetter("_overviews"), Overviews.pool)
    nodes = forwarded(attrgetter("_overviews"), Overviews.nodes)
    figures = forwarded(attrgetter("_overviews"), Overviews.figures)
    shown_figures = forwarded(attrgetter("_overviews"), Overviews.shown_figures)
    happenings = forwarded(attrgetter("_recorder"), PoolRecorder.happenings)

    def _hear(self, event: PoolEvent) -> None:
        """Take over what an owner tells, for those who follow and for what ends with it."""
        self._recorder.received(event)
        self._keys.received(event)

    alerts = forwarded(attrgetter("_directory.outbox"), Outbox.alerts)
    raise_alert = forwarded(attrgetter("_alerts"), AlertMonitor.raise_)

    # -- the registry ----------------------------------------------------------------------------

    registrations = forwarded(attrgetter("_registry"), Registry.registrations)
    subscription_ids = forwarded(attrgetter("_registry"), Registry.subscription_ids)
    subscription = forwarded(attrgetter("_registry"), Registry.subscription)
    declare = forwarded(attrgetter("_registry"), Registry.declare)
    add = forwarded(attrgetter("_registry"), Registry.add)
    change = forwarded(attrgetter("_registry"), Registry.change)
    remove = forwarded(attrgetter("_registry"), Registry.remove)
    pause = forwarded(attrgetter("_registry"), Registry.pause)
    resume = forwarded(attrgetter("_registry"), Registry.resume)
    drain = forwarded(attrgetter("_registry"), Registry.drain)
    record = forwarded(attrgetter("_registry"), Registry.record)
    retract = forwarded(attrgetter("_registry"), Registry.retract)
    suspend = forwarded(attrgetter("_registry"), Registry.suspend)
    interrupt = forwarded(attrgetter("_registry"), Registry.interrupt)

    backup = forwarded(attrgetter("_backups"), Backups.take)

    async def close(self) -> None:
        await self._tasks.close()
        await self._registry.close()
        await self._alerts.close()
        await self._keys.close()
        await self._followers.close()
        await self._tracing.close()
        await self._directory.close()

    async def _session_moved(self, session: SessionHome, source: str, target: str) -> None:
        session_id = session.session_id
        self._recorder.session_moved(session, source, target)
        await self._tell(session_moved(session_id, source, target, self._clock()))

    async def _tell(self, alert: Alert) -> None:
        """Raise an alert about something that is done already: it may fail alone."""
        try:
            await self._alerts.raise_(alert)
        except StoreError as error:
            log.warning("alert not kept", extra={"alert": alert.kind, "problem": error.problem})

    async def _refresh(self) -> None:
        """Have nobody who sleeps be too old to be ranked."""
        most = self._settings.dispatch.policy.settings.max_report_age_seconds
        seconds = min(LONGEST_REFRESH_SECONDS, most / 4)
        refresh = partial(self._followers.refresh, timedelta(0))
        await every(seconds, refresh, "reports of those who sleep were not made")

    async def _retain(self) -> None:
        """Forget claims and homes of sessions that were not used for long; now and every hour."""
        await every(RETENTION_PERIOD.total_seconds(), self._expire, "retention waits")

    async def _expire(self) -> None:
        before = self._clock() - self._settings.retention
        await self._directory.expire(before)
        await self._keys.expire(before)
        await self._directory.outbox.expire(before)
