"""One subscription: it alone owns its ledger, its state, its slots and its queue.

What is admitted stands in ``admissions``, what becomes of it in ``executions``. Every method may be
called again with the same arguments; nothing happens twice.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Container
from operator import attrgetter
from pathlib import Path

from actors.aiokit import forwarded, within
from actors.interfaces.messages import (
    LONGEST_POLL_SECONDS,
    Activity,
    CameLate,
    Farewell,
    Recorded,
    Retracted,
)
from actors.subscription.admissions import Admissions, shown_here
from actors.subscription.context import Dependencies, SubscriptionContext
from actors.subscription.event_stream import EventStreams
from actors.subscription.executions.live_execution import LiveExecution
from actors.subscription.executions.live_executions import LiveExecutions
from actors.subscription.executions.tool_rounds import came_late
from actors.subscription.sessions.session_history import history_tokens
from actors.subscription.sessions.transcripts import Transcripts
from actors.subscription.spares import SpareKeeper
from actors.subscription.upkeep.content_removal import remove_content
from actors.subscription.upkeep.external_usage import ExternalUsage
from actors.subscription.upkeep.limit_reading import LimitReading
from actors.subscription.upkeep.login_check import check_login, follow_login
from actors.subscription.upkeep.models import learn_models
from actors.subscription.upkeep.uncertain_cost import UncertainCosts
from pool.claude.runner import Runner
from pool.errors import NotFound, StoreError
from pool.executions.execution import Execution
from pool.executions.outcome import FailureKind
from pool.executions.status import ExecutionStatus
from pool.executions.tools.client_tools import ToolResult
from pool.executions.tools.rounds import answered
from pool.keys.access import FULL_ACCESS, Access
from pool.storage.ledger.ledger import Ledger
from pool.storage.ledger.usage_query import usage_table
from pool.storage.paging import Page
from pool.subscriptions.consequences.standing import Standing, suspected
from pool.subscriptions.report import Report
from pool.subscriptions.snapshot import snapshot
from pool.subscriptions.spec import SubscriptionSpec
from pool.subscriptions.state import REMEMBERED, recovered
from pool.usage.breakdown.breakdown import UsageTable
from pool.usage.breakdown.question import Question
from pool.usage.records import UsageRecord, UsageSource
from pool.usage.retraction import UsageToRetract

OBSERVED_EVENTS = 500
"""How many of the newest limit events the forecast is learned from at activation."""
PRICED_RECORDS = 200
"""How many of the newest records are learned from at activation what runs cost."""


class Subscription:
    """The one actor of a subscription, and the one writer of its ledger. Made by ``activate``."""

    def __init__(self, context: SubscriptionContext) -> None:
        self._context = context
        self._executions = LiveExecutions(context)
        self._event_streams = EventStreams(context, self._executions)
        self._transcripts = Transcripts(context, self._executions.launch)
        self._external_usage = ExternalUsage(context)
        self._spares = SpareKeeper(context)
        self._admissions = Admissions(context, self._executions, self._spares)

    @classmethod
    async def activate(
        cls,
        spec: SubscriptionSpec,
        ledger: Ledger,
        dependencies: Dependencies,
        *,
        released: str | None = None,
    ) -> Subscription:
        """Rebuild the subscription from its ledger, and go on with what had not ended. ``released``
        says why it is to start nothing of that: it is there to let go of it.
        """
        recovery = await ledger.recover(dependencies.clock() - REMEMBERED)
        context = SubscriptionContext(recovered(spec, recovery), ledger, dependencies)
        context.state.node, context.state.build = dependencies.node, dependencies.build
        context.state.idle_since = dependencies.clock()
        self = cls(context)
        if released is not None:
            self._executions.release(released)
        priced = await ledger.usage(limit=PRICED_RECORDS)
        context.state.learn(priced.items)
        seen = await ledger.limits(limit=OBSERVED_EVENTS)
        context.state.recall(seen.items, dependencies.clock() - REMEMBERED)
        uncertain_costs = UncertainCosts(context, self._executions.launch)
        await uncertain_costs.recover()
        open_ids = {row.intent.execution_id for row in recovery.open}
        await dependencies.runner.let_go()
        left = await asyncio.to_thread(_prepare, dependencies.runner, open_ids)
        known = await self._executions.aftermath.take_up(left)
        await asyncio.to_thread(dependencies.runner.sweep, open_ids | known)
        await self._executions.take_up(recovery.open)
        for as_long_as_it_lives in (
            context.end_with_ledger(),
            context.retain(),
            remove_content(context),
            self._executions.tend(),
            check_login(context),
            follow_login(context),
            learn_models(context),
            LimitReading(context).read(),
            self._spares.tend(),
            uncertain_costs.rescan(),
            self._external_usage.watch(),
            self._event_streams.expire(),
        ):
            context.spawn(as_long_as_it_lives)
        return self

    # -- what routers and callers ask ------------------------------------------------------------

    start = forwarded(attrgetter("_admissions"), Admissions.start)

    async def result(
        self, execution_id: str, wait_seconds: float = LONGEST_POLL_SECONDS
    ) -> Execution:
        """The execution, once it has ended or ``wait_seconds`` (at most 30) have passed."""
        return await self._result(execution_id, self._executions.get(execution_id), wait_seconds)

    async def _result(
        self, execution_id: str, live: LiveExecution | None, wait_seconds: float
    ) -> Execution:
        if live is not None:
            await live.rests(min(wait_seconds, LONGEST_POLL_SECONDS))
        row = await self._executions.row(execution_id, live)
        if row is None:
            raise NotFound("execution", execution_id)
        return shown_here(self._context, row)

    progress = forwarded(attrgetter("_event_streams"), EventStreams.page)

    async def cancel(self, execution_id: str) -> Execution:
        """Stop an execution and wait for its end. One that has ended stays as it is; one that is
        not here yet (``NotFound``) is not started if it comes.
        """
        live = self._executions.get(execution_id)
        if live is not None:
            await self._executions.cancel(live)
        else:
            await self._executions.cancel_ahead(execution_id)
        live = live or self._executions.get(execution_id)
        return await self._result(execution_id, live, LONGEST_POLL_SECONDS)

    async def tool_results(
        self, execution_id: str, results: tuple[ToolResult, ...]
    ) -> Execution | CameLate:
        """Give an execution results of its caller's tools, durably. Where it does not wait for them
        any more, what to do with them; see ``rounds.answered`` for what is refused.
        """
        live = self._executions.get(execution_id)
        if live is not None and await self._executions.tool_rounds.give(live, results):
            return shown_here(self._context, live.row)
        row = await self._executions.row(execution_id, live)
        if row is None:
            raise NotFound("execution", execution_id)
        made = answered(row.rounds, results)
        return (
            shown_here(self._context, row) if made in row.rounds else came_late(row, made, results)
        )

    async def execution_of_call(self, call_id: str, tenant: str | None) -> str | None:
        """The id of the execution that made a call of its caller's tools, if any did."""
        return await self._context.ledger.execution_of_call(call_id, tenant)

    async def is_open(self, execution_id: str, access: Access) -> bool:
        """Whether somebody has access to an execution; ``NotFound`` for one that is not here."""
        row = await self._executions.row(execution_id, self._executions.get(execution_id))
        if row is None:
            raise NotFound("execution", execution_id)
        return access.covers(row)

    was_cancelled = forwarded(attrgetter("_executions"), LiveExecutions.was_cancelled)

    async def suspect(self, kind: FailureKind) -> None:
        """Another subscription has answered what a run here was refused with ``kind``.

        Best effort: where this is lost, the next request of that kind brings it again.
        """
        with contextlib.suppress(StoreError):
            await self._context.stand(
                suspected(self._context.state.standing, kind, self._context.now())
            )

    session_copy = forwarded(attrgetter("_transcripts"), Transcripts.copy)
    has_at_work = forwarded(attrgetter("_transcripts"), Transcripts.is_at_work)
    forget_session = forwarded(attrgetter("_transcripts"), Transcripts.forget)

    async def history_tokens(self, session_id: str) -> int:
        """About how many tokens the next turn of a session begins with; 0 where nobody knows."""
        return await history_tokens(self._context, session_id)

    # -- what is known ---------------------------------------------------------------------------

    async def next_report(self, epoch: int, version: int, wait_seconds: float) -> Report:
        """A report as soon as it differs from the one named; an unchanged one, with its new time,
        after ``wait_seconds``.
        """
        if (epoch, version) == (self._context.state.epoch, self._context.state.version):
            await within(min(wait_seconds, LONGEST_POLL_SECONDS), self._context.news.next)
        return self._context.report()

    async def activity(self, after: str | None) -> Activity:
        """What happened after a cursor, and what was counted in this activation. Without a cursor
        nothing happened yet; ``next_report`` answers once there is more.
        """
        return self._context.recorder.since(after)

    async def executions(
        self,
        *,
        limit: int,
        cursor: str | None = None,
        status: ExecutionStatus | None = None,
        session_id: str | None = None,
        access: Access = FULL_ACCESS,
    ) -> Page[Execution]:
        page = await self._context.ledger.executions(
            limit=limit, cursor=cursor, status=status, session_id=session_id, access=access
        )
        items = tuple(shown_here(self._context, row) for row in page.items)
        return Page[Execution](items=items, next_cursor=page.next_cursor)

    usage = forwarded(attrgetter("_context.ledger"), Ledger.usage)
    blocks = forwarded(attrgetter("_context.ledger"), Ledger.blocks)

    async def usage_by(self, asked: Question) -> UsageTable:
        """The sums of its usage, by what is asked; see ``pool.storage.ledger.usage_query``."""
        return await usage_table(self._context.ledger, asked, self._context.deps.policy.tags)

    async def record(self, record: UsageRecord) -> Recorded:
        """Count usage from outside the pool. Nothing is added where its id was counted before."""
        if record.source is UsageSource.OUTSIDE:
            added = await self._external_usage.count(record)
            return Recorded(added=added, report=self._context.report())
        added = await self._context.ledger.record(record)
        if added:
            self._context.state.spend(record)
            self._context.recorder.recorded(record)
        return Recorded(added=added, report=self._context.report())

    async def retract(self, wanted: UsageToRetract, by: str) -> Retracted:
        """Take usage from outside back: once, whoever asks how often. See ``UsageToRetract``."""
        made, more = await self._external_usage.retract(wanted, by)
        return Retracted(records=made, more=more, report=self._context.report())

    # -- what operators order --------------------------------------------------------------------

    async def pause(self) -> Report:
        """Take no new work; what runs or waits goes on."""
        return await self._standing(
            self._context.state.standing.model_copy(update={"paused": True})
        )

    async def drain(self) -> Report:
        """Take no new work, for good: the step before removal."""
        report = await self._standing(
            self._context.state.standing.model_copy(update={"draining": True})
        )
        await self._context.deps.runner.let_go()
        return report

    async def resume(self) -> Report:
        """Take work again, whatever it was that stopped it: an order, or a cooldown."""
        return await self._standing(Standing())

    async def suspend(self) -> Report:
        """Start nothing more in this activation; what waits is left to the next one."""
        self._context.state.suspended = True
        self._context.changed()
        await self._context.deps.runner.let_go()
        return self._context.report()

    async def interrupt(self) -> Report:
        """Ask everything that runs to end; it is settled with what it cost."""
        await self._executions.interrupt()
        return self._context.report()

    async def end_idle(self) -> None:
        """End the processes that have nothing to do: a key was revoked, and they may have run it.
        What is at work there ends as ever, and its process with it.
        """
        await self._context.deps.runner.let_go()

    async def retire(self) -> int:
        """Let go of all executions, for good; see ``LiveExecutions.retire``."""
        left = await self._executions.retire()
        self._context.changed()
        return left

    async def backup(self, file: Path) -> None:
        """Write a copy of the ledger to a file. One that is there already stands for this one."""
        if not await asyncio.to_thread(file.exists):
            await self._context.ledger.backup(file)

    async def configure(self, spec: SubscriptionSpec) -> Report:
        """Go on with changed settings."""
        if spec != self._context.state.spec:
            self._context.state.spec = spec
            self._context.changed()
            self._executions.start_waiting()
        return self._context.report()

    def is_idle(self) -> bool:
        """Whether there is nothing to do here, so that it can fall asleep."""
        context = self._context
        is_idle = context.state.is_idle(context.now()) and not self._executions.is_any
        return is_idle and not context.deps.runner.keeps_any

    async def fall_asleep(self, after: str | None) -> Farewell:
        """Let go of everything; what it leaves, and what happened after a cursor. ``StoreError``
        where another activation has the ledger by now: then this one leaves nothing.

        Nobody calls it any more. What began in the very moment before is in its ledger, and the
        snapshot says that it has to come up again.
        """
        context = self._context
        await self._rest()
        await context.ledger.observe(())  # writes nothing, and fails where another one owns it
        now = context.now()
        recovery = await context.ledger.recover(now - REMEMBERED)
        left = snapshot(context.state, recovery, now, await context.ledger.first_content())
        activity = context.recorder.since(after)
        await context.close()
        return Farewell(snapshot=left, activity=activity)

    async def close(self) -> None:
        """Let go of the ledger. Runs go on, and the next activation adopts them."""
        await self._rest()
        await self._context.close()

    async def _rest(self) -> None:
        """Do nothing more; what is under way is left to the next activation."""
        await self._context.deps.runner.let_go()
        await self._executions.aftermath.end()
        await self._context.rest()

    # -- within ----------------------------------------------------------------------------------

    async def _standing(self, standing: Standing) -> Report:
        await self._context.stand(standing)
        return self._context.report()


def _prepare(runner: Runner, open_ids: Container[str]) -> tuple[str, ...]:
    """Read what taking a slot needs to know at once; the runs that were left. Blocking."""
    _ = runner.place
    return runner.left(open_ids)
