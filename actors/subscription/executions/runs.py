"""The runs of executions that have a slot: started with their session at hand, or found again, and
followed to their end.
"""

from __future__ import annotations

import asyncio
import logging
from typing import assert_never

from actors.subscription.context import SubscriptionContext
from actors.subscription.executions.aftermath import Aftermath
from actors.subscription.executions.launches import Launches
from actors.subscription.executions.live_execution import LiveExecution
from actors.subscription.executions.settlements import Settlements
from actors.subscription.executions.tool_rounds import ToolRounds
from actors.subscription.sessions.session_transfer import Elsewhere, fetched
from pool.claude.runner import Run
from pool.claude.transcripts.copy import CopyRefused
from pool.errors import ConfigError, InvalidRequest, PoolError, StoreError
from pool.executions.outcome import Failed, FailureKind, Outcome
from pool.executions.row import ExecutionRow

log = logging.getLogger(__name__)

WANTED_SECONDS = 2.0
"""How long to wait for an earlier subscription to say whether an execution is wanted still: one
that is being started again answers later, and would hold up what may have left it for that
reason."""

CANCELLED = Failed(kind=FailureKind.CANCELLED, message="cancelled before it was started")


class Runs:
    """Runs the executions of one subscription."""

    def __init__(
        self,
        context: SubscriptionContext,
        launches: Launches,
        tool_rounds: ToolRounds,
        aftermath: Aftermath,
        settlements: Settlements,
    ) -> None:
        self._context = context
        self._launches = launches
        self._tool_rounds = tool_rounds
        self._aftermath = aftermath
        self._settlements = settlements

    async def run_next(self, live: LiveExecution) -> None:
        """Run one that waited."""
        await self.run(live, waited=True)

    async def run(self, live: LiveExecution, *, waited: bool = False) -> None:
        """Start its CLI, once its session is here and where it is wanted still, and follow it."""
        try:
            if waited:
                await self._context.ledger.update(live.row)
                self._context.recorder.started(live.row)
            here = await self._with_session(live, waited=waited)
            if isinstance(here, Failed):
                await self._settlements.settle(live, here)
                return
            if isinstance(here, Elsewhere):
                live.becomes(started_at=None)
                await self._settlements.settle(live, here.as_failure(), follows=True)
                return
            live.row = here.model_copy(update={"cancel_requested_at": live.row.cancel_requested_at})
            launch = await self._launches.at_its_place(live.row.intent)
            environment = self._launches.environment(live.row.intent)
            run = None
            if await self._is_wanted(live):
                run = await self._context.deps.runner.start(launch, environment)
        except (StoreError, ConfigError, InvalidRequest) as error:
            if isinstance(error, StoreError):
                self._context.trouble(error)
            await self._settlements.settle(live, _not_begun(error))
        else:
            if run is not None:
                await self.follow(live, run)
            else:
                live.becomes(started_at=None)
                await self._settlements.settle(live, CANCELLED)

    async def follow(self, live: LiveExecution, run: Run) -> None:
        """Wait for the end of a run, and settle it."""
        live.run = run
        live.is_found.set()
        live.becomes(process=run.way)
        if live.row.cancel_requested_at is not None:
            await run.stop()
        try:
            outcome = await self._tool_rounds.outcome(live, run)
        except Exception:  # a defect must not keep the slot, nor claim to know what was spent
            ids = {"subscription_id": self._context.state.spec.id, "execution_id": live.id}
            log.exception("run could not be read", extra=ids)
            message = "the run could not be read; what it spent is not known"
            outcome = Failed(kind=FailureKind.EXECUTION_ERROR, message=message, evidence=False)
        if self._context.state.retired:
            outcome = _interrupted(outcome, self._context.leaves_since)
        await self._settlements.settle(live, outcome)
        is_watched = live.is_followed or live.row.intent.request.stream
        self._aftermath.begin(live.row.intent, run, is_watched=is_watched)
        if self._context.takes_no_more:
            await self._context.deps.runner.let_go()

    async def _with_session(
        self, live: LiveExecution, *, waited: bool
    ) -> ExecutionRow | Failed | Elsewhere:
        """The execution once its session is here (``fetched``); where it goes on from results, made
        of the one that they were called for in.
        """
        here = await fetched(self._context, live.row, waited=waited)
        intent, runner = live.row.intent, self._context.deps.runner
        if intent.continues is None or intent.forks is None or not isinstance(here, ExecutionRow):
            return here
        await runner.quiet(intent.forks)
        wanted = (intent.forks, await self._launches.launch(intent), intent.continues)
        try:
            await asyncio.to_thread(
                runner.continue_session, self._launches.environment(intent), *wanted
            )
        except CopyRefused as error:
            return Failed(kind=FailureKind.SESSION_NOT_FOUND, message=str(error))
        return here

    async def _is_wanted(self, live: LiveExecution) -> bool:
        """Whether nobody has cancelled it, here or where it was before. Its caller may have hung up
        as it was on its way here, when only an earlier subscription could learn of it.
        """
        ids, row = live.row.intent.earlier_owners, live.row
        if row.cancel_requested_at is None and ids:
            asked = await asyncio.gather(*(self._was_cancelled_at(each, live.id) for each in ids))
            if any(asked):
                live.becomes(cancel_requested_at=self._context.now())
        return live.row.cancel_requested_at is None

    async def _was_cancelled_at(self, subscription_id: str, execution_id: str) -> bool:
        """Whether an earlier subscription knows that it was cancelled. One that is away does not
        say.
        """
        try:
            async with asyncio.timeout(WANTED_SECONDS):
                earlier = self._context.deps.actors.subscription(subscription_id)
                return await earlier.was_cancelled(execution_id)
        except (PoolError, TimeoutError) as error:
            fields = {"subscription_id": subscription_id, "execution_id": execution_id}
            problem = {**fields, "problem": str(error)}
            log.warning("earlier subscription did not answer", extra=problem)
            return False


def _not_begun(error: StoreError | ConfigError | InvalidRequest) -> Failed:
    """What something ends as whose CLI could not be started."""
    match error:
        case StoreError():
            kind = FailureKind.NOT_STARTED
        case ConfigError():
            kind = FailureKind.AUTHENTICATION
        case InvalidRequest():
            kind = FailureKind.INVALID_REQUEST
        case never:
            assert_never(never)
    return Failed(kind=kind, message=str(error))


def _interrupted(outcome: Outcome, why: str) -> Outcome:
    """What a run ended as that was interrupted for its subscription's sake."""
    if isinstance(outcome, Failed) and outcome.kind is FailureKind.INTERRUPTED:
        return outcome.model_copy(update={"message": f"interrupted: {why}"})
    return outcome
