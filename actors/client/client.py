"""The client of the pool, for programs with an event loop.

What HTTP can do, a client can do, with the same values and the same errors. Every request has an
execution id before it leaves; when a part of the pool dies on the way, asking again by that id
gives the same run and the same answer, so that a caller does not feel it (G5).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import UTC, datetime

from pydantic import SecretStr

from actors.aiokit import forwarded
from actors.client.concurrency import MAX_IN_FLIGHT, ConcurrencyLimit
from actors.client.follow import ExecutionFollower
from actors.client.rest import put_to_rest
from actors.client.retry import RetrySchedule, next_key, turned_away
from actors.client.telemetry import count_telemetry
from actors.client.tool_calling import Functions, results_of, with_tools
from actors.interfaces.messages import LONGEST_POLL_SECONDS, Dispatch, Listed
from actors.interfaces.protocols import Actors, ReconcilerActor, RouterActor, SubscriptionActor
from actors.telemetry.tracing import current_trace
from pool.claude.transcripts.telemetry import Export, Taken
from pool.errors import Exhausted, InvalidRequest, KeyLimited, NotFound
from pool.executions.execution import Execution, ExecutionStatus, new_execution_id
from pool.executions.progress import Event, ProgressPage, WaitsForCaller
from pool.executions.request import ExecutionRequest
from pool.executions.session import Session
from pool.executions.tools.client_tools import ToolResult
from pool.executions.tools.permissions import Grant
from pool.keys.access import FULL_ACCESS, Access
from pool.keys.api_keys import (
    DEFAULT_GRACE_SECONDS,
    IssuedKey,
    KeySpec,
    fingerprint,
    new_key_id,
    new_secret,
)
from pool.keys.own_usage import OwnUsage, own_question, own_usage
from pool.money import usd
from pool.routing.capacity import MOST_ASKED, Capacity
from pool.storage.backup import Backup, backup_name
from pool.storage.paging import Page, newest_first
from pool.subscriptions.overview.pool_overview import Overview
from pool.subscriptions.report import Report
from pool.subscriptions.spec import SubscriptionChange, SubscriptionSpec
from pool.telemetry.counters import Figures, only
from pool.telemetry.events import EventFilter, PoolEventPage, StoredEvent
from pool.usage.breakdown import GroupBy, Grouping, Question, UsageBreakdown, breakdown, question
from pool.usage.reported import (
    RecordedUsage,
    ReportedUsage,
    ShownRecord,
    record_of,
    shown_block,
    shown_record,
)
from pool.usage.retraction import RetractedUsage, UsageToRetract
from pool.usage.totals import BlockReport

_KEY = re.compile(r"[\x21-\x7e]{1,200}")


def now_in_utc() -> datetime:
    """The clock of the real world."""
    return datetime.now(UTC)


class PoolClient:
    """The pool, from inside an event loop, one at a time. Cheap to make and to send to Ray's tasks
    and actors; holds nothing but its peers. What it only passes on stands in ``protocols``.

    ``execute`` and ``stream`` together have at most ``max_in_flight`` executions on their way; a
    further one waits here, not in a queue of the pool.
    """

    def __init__(
        self,
        actors: Actors,
        clock: Callable[[], datetime] = now_in_utc,
        *,
        max_in_flight: int | ConcurrencyLimit = MAX_IN_FLIGHT,
        access: Access = FULL_ACCESS,
    ) -> None:
        self._actors = actors
        self._clock = clock
        self._access = access
        self._following = ExecutionFollower(actors, access)
        if isinstance(max_in_flight, int):
            max_in_flight = ConcurrencyLimit(max_in_flight)
        self._in_flight = max_in_flight

    def __getstate__(self) -> tuple[Actors, Callable[[], datetime], int, Access | None]:
        access = None if self._access == FULL_ACCESS else self._access
        return self._actors, self._clock, self._in_flight.most, access

    def __setstate__(
        self, state: tuple[Actors, Callable[[], datetime], int, Access | None]
    ) -> None:
        actors, clock, most, access = state
        PoolClient.__init__(self, actors, clock, max_in_flight=most, access=access or FULL_ACCESS)

    def with_access(self, access: Access) -> PoolClient:
        """The pool as somebody sees it: what is not theirs is not there. Both clients share their
        places for executions on their way.
        """
        if access == self._access:
            return self
        return PoolClient(self._actors, self._clock, max_in_flight=self._in_flight, access=access)

    def _router(self) -> RouterActor:
        return self._actors.router()

    def _reconciler(self) -> ReconcilerActor:
        return self._actors.reconciler()

    # -- executions ------------------------------------------------------------------------------

    async def start(
        self,
        request: ExecutionRequest,
        *,
        idempotency_key: str | None = None,
        caller: str = "",
        execution_id: str | None = None,
        grant: Grant | None = None,
    ) -> Execution:
        """Have a request admitted, and answer at once: it runs, waits, or has ended already.

        ``grant`` is what a request of a program that has no key may use of the machine. Raises
        ``Exhausted``, ``Unavailable``, ``KeyReused``, ``NotFound``, ``Conflict`` or
        ``InvalidRequest``; then nothing runs and nothing was spent.
        """
        dispatch = self._dispatch(request, idempotency_key, caller, execution_id, grant)
        return await self._router().dispatch(dispatch)

    async def execute(
        self,
        request: ExecutionRequest,
        *,
        idempotency_key: str | None = None,
        caller: str = "",
        execution_id: str | None = None,
        grant: Grant | None = None,
        patience_seconds: float = 0,
        tools: Functions | None = None,
    ) -> Execution:
        """Run a request to its end, however it ends: its ``status`` says how.

        ``tools`` are functions of this program that the model may call, by name; they are described
        as they are written where the request has no ``client_tools``. Without functions, one whose
        model calls some ends in ``waiting_for_caller``: see ``tool_results``.

        With ``patience_seconds`` a request that is refused for want of headroom waits for relief
        and is asked again, and one that limits ended before it cost anything is asked
        anew, as a further execution. Once they have passed: ``Exhausted`` or ``KeyLimited``, or the
        execution that ended.
        """
        async with self._in_flight.place:
            if tools:
                request = with_tools(request, tools)
            dispatch = self._dispatch(request, idempotency_key, caller, execution_id, grant)
            execution = await self._served(dispatch, RetrySchedule(patience_seconds))
            while tools and execution.status is ExecutionStatus.WAITING_FOR_CALLER:
                results = await results_of(execution.tool_calls, tools)
                went_on = await self.tool_results(execution.id, results)
                execution = await self.ended(went_on)
            return execution

    async def _served(self, dispatch: Dispatch, retries: RetrySchedule) -> Execution:
        """Ask until it was served, or its time is over."""
        key, executions = dispatch.idempotency_key or dispatch.execution_id, 1
        while True:
            try:
                execution = await self.ended(await self._router().dispatch(dispatch))
            except (Exhausted, KeyLimited) as error:
                pause = retries.pause(error.retry_at, self._clock())
                if pause is None:
                    raise
                anew = {}
            else:
                failure = execution.error
                if failure is None or not turned_away(execution):
                    return execution
                pause = retries.pause(failure.retry_at, self._clock())
                if pause is None:
                    return execution
                executions += 1
                anew = {
                    "execution_id": new_execution_id(self._clock()),
                    "idempotency_key": next_key(key, executions),
                }
            await asyncio.sleep(pause)
            # Its time in a queue counts from here.
            dispatch = dispatch.model_copy(update={**anew, "created_at": self._clock()})

    def _dispatch(
        self,
        request: ExecutionRequest,
        idempotency_key: str | None,
        caller: str,
        execution_id: str | None,
        grant: Grant | None,
    ) -> Dispatch:
        if idempotency_key is not None and not _KEY.fullmatch(idempotency_key):
            raise InvalidRequest("idempotency_key", "takes 1 to 200 visible ASCII characters")
        now = self._clock()
        return Dispatch(
            execution_id=execution_id or new_execution_id(now),
            request=request,
            caller=caller,
            grant=grant or Grant(),
            idempotency_key=idempotency_key,
            created_at=now,
            trace=current_trace(),
        )

    async def stream(
        self,
        request: ExecutionRequest,
        *,
        idempotency_key: str | None = None,
        caller: str = "",
        execution_id: str | None = None,
        grant: Grant | None = None,
    ) -> AsyncGenerator[Event, None]:
        """Run a request and show it while it goes on; the last event is ``Ended``, or
        ``WaitsForCaller``: what follows is among the ``events`` after that.

        Raises as ``start`` does, instead of a first event. Who stops reading stops nothing.
        """
        async with self._in_flight.place:
            execution = await self.start(
                request.model_copy(update={"stream": True}),
                idempotency_key=idempotency_key,
                caller=caller,
                execution_id=execution_id,
                grant=grant,
            )
            holder = self._following.at(execution.subscription_id)
            async for event in self._following.events(execution.id, holder, None, raw=False):
                yield event
                if isinstance(event.progress, WaitsForCaller):
                    return

    async def events(
        self, execution_id: str, *, after: str | None = None, raw: bool = False
    ) -> AsyncGenerator[Event, None]:
        """The events of an execution after a cursor, or all; the last one is ``Ended``. With
        ``raw`` the CLI's own messages are among them.

        Raises ``NotFound``, ``InvalidRequest`` for a cursor that is none, and ``ActorLost`` for an
        subscription that stays away; one that comes back is asked for the rest.
        """
        holder = await self._following.open(execution_id)
        async for event in self._following.events(execution_id, holder, after, raw=raw):
            yield event

    async def progress(
        self,
        execution_id: str,
        *,
        after: str | None = None,
        wait_seconds: float = 0,
        raw: bool = False,
    ) -> ProgressPage:
        """One page of an execution's events; an empty one where none came while it was waited."""
        holder = await self._following.open(execution_id)
        return await holder().progress(execution_id, after, wait_seconds, raw=raw)

    async def ended(self, execution: Execution) -> Execution:
        """Wait until an execution that was started has ended, or waits for its caller."""
        return await self._following.ended(execution)

    async def result(self, execution_id: str, *, wait_seconds: float = 0) -> Execution:
        """An execution; with ``wait_seconds``, once it has ended, waits for its caller, or so much
        time has passed.
        """
        return await self._following.result(execution_id, wait_seconds)

    async def tool_results(self, execution_id: str, results: Sequence[ToolResult]) -> Execution:
        """Give an execution the results of the calls that it waits for, and answer once they are
        durable: it goes on. Asked again with the same results: as it is now, and nothing is done.

        Where it does not wait any more, since the caller took too long or its process is gone, the
        answer is another execution of the same caller's, which ``continues`` it. ``NotFound``,
        ``InvalidRequest`` for results that lack a call or are of none, ``Conflict`` where other
        results came before.
        """
        given = tuple(results)
        answer = await self._following.tool_results(execution_id, given)
        if isinstance(answer, Execution):
            return answer
        dispatch = self._dispatch(answer.request, None, answer.caller, None, answer.grant)
        late = {"idempotency_key": answer.idempotency_key, "continues": answer.continues}
        return await self._router().dispatch(dispatch.model_copy(update=late))

    async def round_ended(self, execution_id: str, number: int) -> Execution:
        """Wait until a round of an execution has ended; or the execution itself, or until it waits
        for its caller in an earlier one.
        """
        execution = await self.result(execution_id)
        while len(execution.rounds) <= number and not execution.status.rests:
            execution = await self.result(execution_id, wait_seconds=LONGEST_POLL_SECONDS)
        return execution

    async def execution_of_calls(self, tool_use_ids: Sequence[str]) -> Execution:
        """The execution that made some calls of callers' tools, whichever API process told of them,
        as long as executions are kept. ``NotFound`` for a call that is not known, or belongs to
        somebody else; ``InvalidRequest`` for calls of several executions.
        """
        ids = tuple(tool_use_ids)
        return await self.result(await self._router().execution_of_calls(ids, self._access))

    async def cancel(self, execution_id: str) -> Execution:
        """Stop an execution and wait for its end; one that has ended stays as it is."""
        return await self._following.cancel(execution_id)

    route = forwarded(_router, RouterActor.route)

    async def capacity(self, model: str | None = None, *, n: int = 1, caller: str = "") -> Capacity:
        """How many of ``n`` further requests of a model would start at once, and, where those are
        fewer, why and when more can; at the subscriptions that the caller's key may use. Nothing is
        reserved; ``InvalidRequest`` for less than one.
        """
        if not 1 <= n <= MOST_ASKED:
            raise InvalidRequest("n", f"is {n}: ask for 1 to {MOST_ASKED}")
        return await self._router().capacity(model, n, caller=caller)

    async def executions(
        self,
        *,
        limit: int = 50,
        cursor: str | None = None,
        status: ExecutionStatus | None = None,
        session_id: str | None = None,
        subscription_id: str | None = None,
    ) -> Page[Execution]:
        """Executions of every subscription, newest first; of those too that were removed, as long
        as they are kept.
        """
        wanted = Listed(
            limit=limit,
            cursor=cursor,
            status=status,
            session_id=session_id,
            access=self._access,
        )
        known, router = await self._known(), self._router()
        ids = [id_ for id_ in known if subscription_id in {None, id_}]
        resting = sorted(await router.asleep() & set(ids))
        actors = (self._actors.subscription(id_) for id_ in ids if id_ not in resting)
        asked = [actor.executions(**dict(wanted)) for actor in actors]
        if resting:
            asked.append(router.resting_executions(wanted, resting))
        if subscription_id is None or not ids:
            asked.append(router.removed_executions(wanted, subscription_id))
        return newest_first(await asyncio.gather(*asked), limit)

    # -- sessions and subscriptions --------------------------------------------------------------

    async def sessions(
        self, *, limit: int = 50, cursor: str | None = None, subscription_id: str | None = None
    ) -> Page[Session]:
        """Sessions, those used last first."""
        return await self._router().sessions(
            limit=limit, cursor=cursor, subscription_id=subscription_id, access=self._access
        )

    async def session(self, session_id: str) -> Session:
        """One session, with the moves it has made."""
        return await self._router().session(session_id, self._access)

    async def forget_session(self, session_id: str) -> None:
        """Remove a session and its transcripts, wherever it has been. ``Conflict`` while a turn of
        it is at work.
        """
        await self._router().forget_session(session_id, self._access)

    async def subscriptions(self) -> tuple[Report, ...]:
        """The latest report of every subscription, by id, from memory."""
        reports = await self._router().subscriptions()
        return tuple(self._seen(each) for each in reports if self._covers(each.id))

    async def subscription(self, subscription_id: str) -> Report:
        """The latest report of one subscription."""
        return self._seen(await self._open_router(subscription_id).subscription(subscription_id))

    async def add(self, spec: SubscriptionSpec) -> Report:
        """Add a subscription while the pool runs. ``Conflict`` where the id is taken."""
        return await self._open_router(spec.id).add(spec)

    async def change(self, subscription_id: str, change: SubscriptionChange) -> Report:
        """Change settings of a subscription. One that is declared in ``pool.toml`` has those of
        the file again after the next start.
        """
        return await self._open_router(subscription_id).change(subscription_id, change)

    async def remove(self, subscription_id: str) -> None:
        """Drain a subscription and forget it; its ledger stays on disk. ``Conflict`` while it still
        has work.
        """
        await self._open_router(subscription_id).remove(subscription_id)

    async def pause(self, subscription_id: str) -> Report:
        """Have it take no new work; what runs or waits goes on."""
        return await self._open_router(subscription_id).pause(subscription_id)

    async def resume(self, subscription_id: str) -> Report:
        """Have it take work again, after a pause, a drain or a cooldown."""
        return await self._open_router(subscription_id).resume(subscription_id)

    async def drain(self, subscription_id: str) -> Report:
        """Have it end what runs or waits, and take nothing new."""
        return await self._open_router(subscription_id).drain(subscription_id)

    async def report_usage(self, subscription_id: str, reported: ReportedUsage) -> RecordedUsage:
        """Count usage that the pool did not see. The same id counts once."""
        record = record_of(subscription_id, reported, self._clock())
        added = await self._open_router(subscription_id).record(record)
        return RecordedUsage(record=shown_record(record), added=added)

    async def retract_usage(
        self, subscription_id: str, wanted: UsageToRetract, *, by: str = ""
    ) -> RetractedUsage:
        """Take back usage that the pool did not see: what was reported, found in transcripts or
        told by telemetry. The same usage told again is not counted.
        """
        retracted = await self._open_router(subscription_id).retract(subscription_id, wanted, by)
        return RetractedUsage(
            records=tuple(shown_record(each) for each in retracted.records),
            cost_usd=usd(-sum(each.usage.cost_nano_usd for each in retracted.records)),
            more=retracted.more,
        )

    async def report_telemetry(self, export: Export, subscription_id: str | None = None) -> Taken:
        """Count what Claude Code tells of its own requests, once each; those of the pool's own
        sessions are counted already. ``NotFound`` for a subscription that is named and not known;
        requests that name none, or one that is not known, are rejected.
        """
        if subscription_id is not None:
            await self.subscription(subscription_id)
        known = await self._known()
        return await count_telemetry(self._actors, export, subscription_id, known, self._clock())

    async def usage(
        self,
        subscription_id: str,
        *,
        limit: int = 50,
        cursor: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Page[ShownRecord]:
        """Usage records with ``since <= timestamp < until``, newest first."""
        actor = await self._subscription_actor(subscription_id)
        page = await actor.usage(
            limit=limit, cursor=cursor, since=since, until=until, tenant=self._access.tenant
        )
        items = tuple(shown_record(each) for each in page.items)
        return Page[ShownRecord](items=items, next_cursor=page.next_cursor)

    async def usage_by(
        self,
        group_by: Sequence[GroupBy] = (Grouping.DAY,),
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        subscription_id: str | None = None,
        by_totals: bool = False,
    ) -> UsageBreakdown:
        """The sums of the usage with ``since <= timestamp < until``, by up to three groupings: of
        the last seven days, where nothing else is said, and of every subscription. ``by_totals``
        adds up the totals of whole blocks instead of records, which costs the same however many
        these are. A grouping ``tag:KEY`` is by a key of the requests' metadata that ``pool.tags``
        names.

        ``InvalidRequest`` for more than 366 days, or more groups than one answer holds.
        """
        tenant = self._access.tenant
        asked = question(group_by, since, until, self._clock(), tenant, by_totals=by_totals)
        return await self._broken_down(asked, await self._ids(subscription_id))

    async def own_usage(self, *, caller: str = "") -> OwnUsage:
        """What the tenant of a key has used today, in this block and in seven days, by model, and
        what is left of the key's budgets; for whoever has no key, what everybody has used.
        """
        key, now = await self._router().key(caller), self._clock()
        tenant = self._access.tenant if key is None else key.belongs_to
        found = await self._broken_down(own_question(tenant, now), await self._ids(None))
        return own_usage(found, tenant, key, now)

    async def _broken_down(
        self, asked: Question, subscription_ids: Sequence[str]
    ) -> UsageBreakdown:
        resting = sorted(await self._router().asleep() & set(subscription_ids))
        awake = (self._actors.subscription(id_) for id_ in subscription_ids if id_ not in resting)
        tables = await asyncio.gather(*(actor.usage_by(asked) for actor in awake))
        if resting:
            tables += await self._router().resting_usage(asked, resting)
        return await asyncio.to_thread(breakdown, asked, tables)

    async def blocks(
        self, subscription_id: str, *, limit: int = 50, cursor: str | None = None
    ) -> Page[BlockReport]:
        """The blocks in which something was spent, newest first."""
        expected = (await self.subscription(subscription_id)).expected_block_usd
        page = await self._actors.subscription(subscription_id).blocks(limit=limit, cursor=cursor)
        items = tuple(shown_block(each, expected) for each in page.items)
        return Page[BlockReport](items=items, next_cursor=page.next_cursor)

    # -- keys ------------------------------------------------------------------------------------

    is_open = forwarded(_router, RouterActor.is_open)
    authenticate = forwarded(_router, RouterActor.authenticate)
    keys = forwarded(_router, RouterActor.keys)
    revoke_key = forwarded(_router, RouterActor.revoke_key)

    async def create_key(self, spec: KeySpec) -> IssuedKey:
        """Make a key. Its secret is made here and goes nowhere else: the pool gets its digest.

        ``Conflict`` where the name is taken, ``InvalidRequest`` for one that has expired already.
        """
        secret = new_secret(new_key_id())
        key = await self._router().create_key(spec, fingerprint(secret))
        return IssuedKey(secret=SecretStr(secret), key=key)

    async def rotate_key(
        self, key_id: str, *, grace_seconds: float = DEFAULT_GRACE_SECONDS
    ) -> IssuedKey:
        """Give a key a new secret; the old one is valid for ``grace_seconds`` more."""
        secret = new_secret(key_id)
        digest = fingerprint(secret).digest
        key = await self._router().rotate_key(key_id, digest, grace_seconds)
        return IssuedKey(secret=SecretStr(secret), key=key)

    # -- the whole -------------------------------------------------------------------------------

    async def backup(self) -> Backup:
        """Copy every store of the running pool into a new folder of its data directory.

        ``StoreError`` for a pool in PostgreSQL, which has tools of its own for that.
        """
        return await self._router().backup(backup_name(self._clock()))

    async def stop(self, drain_seconds: float) -> None:
        """Put the pool at rest: take no new work, let what runs end for ``drain_seconds``, then
        interrupt it and see it settled. What waits stays where it is, for the next start.
        """
        await put_to_rest(self._router(), drain_seconds)

    async def pool(self) -> Overview:
        """Totals, states and forecast of the whole pool."""
        return await self._router().pool(self._access)

    alerts = forwarded(_router, RouterActor.alerts)
    nodes = forwarded(_router, RouterActor.nodes)

    async def figures(self) -> Figures:
        """What metrics are made of, from memory; nobody is asked and nothing is waited for."""
        return only(await self._router().figures(), self._covers)

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
        wanted = (wanted or EventFilter()).model_copy(update={"access": self._access})
        return await self._router().happenings(
            after=after, wanted=wanted, wait_seconds=wait_seconds
        )

    async def watch(
        self, *, after: str | None = None, wanted: EventFilter | None = None
    ) -> AsyncGenerator[StoredEvent, None]:
        """What happens in the pool, after an id or from now on, without an end. Where something may
        be missing, a ``gap`` comes first. ``ActorLost`` for a router who stays away.
        """
        cursor = after or (await self.happenings()).cursor
        while True:
            page = await self.happenings(
                after=cursor, wanted=wanted, wait_seconds=LONGEST_POLL_SECONDS
            )
            for event in page.items:
                yield event
            cursor = page.cursor

    # -- reconciliation --------------------------------------------------------------------------

    reconcile = forwarded(_reconciler, ReconcilerActor.reconcile)
    reconciliations = forwarded(_reconciler, ReconcilerActor.reconciliations)
    reconciliation = forwarded(_reconciler, ReconcilerActor.reconciliation)
    reverse_adjustments = forwarded(_reconciler, ReconcilerActor.reverse_adjustments)

    async def _ids(self, subscription_id: str | None) -> list[str]:
        """Those of all subscriptions, or of one; ``NotFound`` where that is not known."""
        known = await self._known()
        if subscription_id is not None and subscription_id not in known:
            raise NotFound("subscription", subscription_id)
        return known if subscription_id is None else [subscription_id]

    async def _subscription_actor(self, subscription_id: str) -> SubscriptionActor:
        """The actor of a subscription that exists; ``NotFound`` otherwise."""
        await self.subscription(subscription_id)
        return self._actors.subscription(subscription_id)

    async def _known(self) -> list[str]:
        """The subscriptions that there are for whoever asks."""
        ids = (each.spec.id for each in await self._router().registrations())
        return [id_ for id_ in ids if self._covers(id_)]

    def _covers(self, subscription_id: str) -> bool:
        return self._access.covers_subscription(subscription_id)

    def _open_router(self, subscription_id: str) -> RouterActor:
        """The router, to be asked about a subscription; ``NotFound`` for one that is not there for
        whoever asks.
        """
        if not self._covers(subscription_id):
            raise NotFound("subscription", subscription_id)
        return self._router()

    def _seen(self, report: Report) -> Report:
        """A report as whoever asks sees it: which session was the last is its tenant's business."""
        hidden = {} if self._access.tenant is None else {"session_id": None}
        return report.model_copy(update=hidden)
