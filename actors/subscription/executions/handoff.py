"""The handoff of an execution from its subscription to another one.

It is durable as ``moving`` before a router is asked, and stays so until the answer is durable too:
an activation that finds it so asks again, and the router finds what it did before. So it goes on in
one place, or ends here (G3, G4).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol, assert_never

from actors.interfaces.messages import HandedOff, HandoffRequest, NotTaken
from actors.subscription.context import SubscriptionContext
from actors.subscription.executions.live_execution import LiveExecution
from pool.errors import Conflict, PoolError, StoreError
from pool.executions.outcome import Failed, FailureKind
from pool.executions.row import ExecutionRow, attempts
from pool.executions.status import ExecutionStatus
from pool.subscriptions.admission import Refusal, RefusalCause
from pool.subscriptions.consequences.settlement import Settlement, given_up, moved
from pool.subscriptions.consequences.standing import OF_A_LIMIT, Cooldown, active_cooldown
from pool.subscriptions.report import Report

log = logging.getLogger(__name__)

ASK_AGAIN_SECONDS = 3.0
"""Between two tries to find another place for what waits."""
ROUTER_AWAY_SECONDS = 1.0
SETTLES_IN = timedelta(seconds=2)
"""How long something waits for a slot here before another subscription's free one is looked for."""


def why_not_again(context: SubscriptionContext, row: ExecutionRow) -> Refusal:
    """Why an execution whose run failed here does not come back."""
    failed = row.outcome if isinstance(row.outcome, Failed) else None
    why = f"{failed.kind.value}: {failed.message}" if failed else "it was being handed on"
    cooldown = active_cooldown(context.state.standing, context.now())
    if cooldown is None:
        return Refusal(cause=RefusalCause.ATTEMPTED, detail=f"tried there: {why}")
    return Refusal(
        cause=_cause_of(cooldown),
        detail=f"tried there: {why}",
        until=cooldown.until,
    )


def _cause_of(cooldown: Cooldown) -> RefusalCause:
    if cooldown.cause is FailureKind.AUTHENTICATION:
        return RefusalCause.NEEDS_LOGIN
    return RefusalCause.COOLDOWN if cooldown.cause in OF_A_LIMIT else RefusalCause.FAILING


class HandoffExecutions(Protocol):
    """The live executions of a subscription, as far as a handoff needs them."""

    def get(self, execution_id: str) -> LiveExecution | None: ...

    def waits_again(self, live: LiveExecution) -> None: ...

    async def end(self, live: LiveExecution, make: Callable[[], Settlement]) -> None: ...


class Handoff:
    """Hands executions on, and writes down where they went."""

    def __init__(self, context: SubscriptionContext, held: HandoffExecutions) -> None:
        self._context = context
        self._held = held
        self._asked: dict[str, float] = {}
        """When somebody was last looked for, by id, on the monotonic clock."""
        self._offered_last: set[str] = set()
        """Those for which that was done once they had waited as long as they may."""

    def may_be_offered(self, live: LiveExecution) -> bool:
        """Whether somebody else is looked for once more, before it is given up."""
        intent = live.row.intent
        is_bound = intent.request.subscription_id is not None or intent.resumes
        return not is_bound and intent.forks is None and live.id not in self._offered_last

    def reason(
        self, live: LiveExecution, refused: Refusal | None, report: Report, *, is_last: bool
    ) -> Refusal | None:
        """Why something that waits should be handed on now; None where it should not."""
        intent = live.row.intent
        asked_at = self._asked.get(live.id, float("-inf"))
        if intent.request.subscription_id is not None:
            return None
        if is_last and self.may_be_offered(live):
            self._offered_last.add(live.id)
            return refused or Refusal(cause=RefusalCause.BUSY, detail="it waited there in vain")
        if time.monotonic() - asked_at < ASK_AGAIN_SECONDS:
            return None
        has_session = intent.resumes or intent.forks is not None
        now = self._context.now()
        waits = now - (live.waits_since or now) >= SETTLES_IN
        is_full = report.running >= report.capacity
        if refused is None and is_full and waits and not has_session:
            return Refusal(cause=RefusalCause.BUSY, detail="it waits there for a slot")
        return refused

    async def hand_off(self, live: LiveExecution, why: Refusal) -> None:
        """Bring it to somebody else, or find that nobody takes it."""
        has_run = live.row.outcome is not None
        if not has_run and not await self._mark(live, ExecutionStatus.MOVING):
            self._held.waits_again(live)
            return
        self._asked[live.id] = time.monotonic()
        match await self._answer(live, why):
            case HandedOff(subscription_id=there):
                await self._went(live, there)
            case NotTaken(retry_at=retry_at, others=others) if has_run:
                outcome = live.row.outcome
                assert outcome is not None  # noqa: S101 - has_run says so
                await self._held.end(
                    live, lambda: given_up(live.row, outcome, self._context.now(), retry_at, others)
                )
            case NotTaken(placement=placement):
                await self._stays(live, placement)
            case never:
                assert_never(never)
        self._asked = {id_: at for id_, at in self._asked.items() if self._held.get(id_)}
        self._offered_last = {id_ for id_ in self._offered_last if self._held.get(id_)}

    async def _answer(self, live: LiveExecution, why: Refusal) -> HandedOff | NotTaken:
        """The router's answer, asked until there is one. What was cancelled before that goes
        nowhere; what is cancelled later is not started where it goes.
        """
        handoff_request = HandoffRequest(
            subscription_id=self._context.state.spec.id,
            intent=live.row.intent,
            attempts=attempts(self._context.state.spec.id, live.row),
            why=why,
            report=self._context.report(),
            may_wait=why.cause is not RefusalCause.BUSY,
        )
        while True:
            if live.row.cancel_requested_at is not None and not live.may_be_elsewhere:
                return NotTaken(reasons="it was cancelled", retry_at=None)
            live.may_be_elsewhere = True
            try:
                return await self._context.deps.actors.router().hand_off(handoff_request)
            except PoolError as error:
                log.warning(
                    "nobody could be asked to take an execution over",
                    extra={"execution_id": live.id, "problem": str(error)},
                )
                await asyncio.sleep(ROUTER_AWAY_SECONDS)

    async def _went(self, live: LiveExecution, there: str) -> None:
        await self._held.end(live, lambda: moved(live.row, there, self._context.now()))
        log.info(
            "execution went on elsewhere",
            extra={
                "execution_id": live.id,
                "subscription_id": self._context.state.spec.id,
                "moved_to": there,
            },
        )
        if live.row.cancel_requested_at is not None:
            await self._context.deps.actors.subscription(there).cancel(live.id)

    async def _stays(self, live: LiveExecution, placement: int | None) -> None:
        """It goes on waiting, by the number of its ``placement`` here. While that cannot be written
        down, the next activation would ask once more, which is as good.
        """
        if placement is not None:
            live.becomes(intent=live.row.intent.model_copy(update={"placement": placement}))
        await self._mark(live, ExecutionStatus.QUEUED)
        live.becomes(status=ExecutionStatus.QUEUED)
        live.may_be_elsewhere = False
        self._held.waits_again(live)

    async def _mark(self, live: LiveExecution, status: ExecutionStatus) -> bool:
        before = live.row.status
        live.becomes(status=status)
        try:
            await self._context.ledger.update(live.row)
        except StoreError as error:
            live.becomes(status=before)
            self._context.trouble(error)
            return False
        except Conflict:  # it was cancelled meanwhile
            return False
        return True
