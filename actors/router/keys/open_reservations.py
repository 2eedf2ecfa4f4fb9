"""Open reservations: what running executions hold of their keys' limits, until they have ended.

A reservation is made elsewhere: ``key_registry`` says how much is to be held, and
``pool/storage/directory/reservations`` holds it, in the transaction that claims the execution and
places it (``Directory.claim``). Here each open reservation has a task, which replaces it by the
execution's cost. The news of the subscriptions, which the router follows anyway, say when an
execution has ended; then the execution is asked for once, since it alone says what every attempt
cost. News may be lost with whoever tells it, so each task also looks by itself from time to time,
and a router that comes to life takes up the reservations that it finds open. So whatever dies, a
cost is counted once, and a reservation is given back only where its execution is nowhere.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from actors.aiokit import Keyed, end, within
from actors.interfaces.protocols import SubscriptionActors
from pool.errors import CommitUnknown, KeyLimited, NotFound, PoolError
from pool.executions.execution import Execution
from pool.executions.status import ExecutionStatus
from pool.keys.account import Charge, Settled
from pool.money import nano_usd
from pool.storage.directory.directory import Directory
from pool.telemetry.events import PoolEvent, PoolEventKind
from pool.usage.blocks import block_at

log = logging.getLogger(__name__)

LOOK_SECONDS = 30.0
"""Between two looks at an execution of which no news comes: lost only with a subscription or a
router that dies."""
RETRY_SECONDS = 2.0
"""After an owner or a store that did not answer."""
LONGEST_HOLD = timedelta(days=2)
"""A day to wait and a day to run is all there is; what cannot be found out by then has cost
what it reserved."""
NOWHERE_SECONDS = 90.0
"""How long an execution that nobody knows may still be on its way, sent by another router or
moving from subscription to subscription: longer than any call takes."""


class OpenReservations:
    """The reservations of all keys."""

    def __init__(
        self,
        directory: Directory,
        actors: SubscriptionActors,
        clock: Callable[[], datetime],
        *,
        look_seconds: float = LOOK_SECONDS,
        nowhere_seconds: float = NOWHERE_SECONDS,
    ) -> None:
        self._directory = directory
        self._store = directory.keys
        self._actors = actors
        self._clock = clock
        self._look_seconds = look_seconds
        self._nowhere_seconds = nowhere_seconds
        self._waiting: dict[str, asyncio.Task[None]] = {}
        self._news = Keyed(asyncio.Event)
        """Set when there is news of an execution, for as long as somebody cares."""
        self._locks = Keyed(asyncio.Lock)
        """Nobody gives a reservation back while its execution is being placed."""

    async def recover(self) -> None:
        """Take up what earlier activations left open."""
        for charge in await self._store.open_charges():
            self._await_end(charge, None, self._news[charge.execution_id])

    async def close(self) -> None:
        """Leave what is open to the next activation."""
        await end(self._waiting.values())

    def received(self, event: PoolEvent) -> None:
        """Look at what has ended, as its owner tells; and at everything where news was lost."""
        if event.kind is PoolEventKind.GAP:
            for news in self._news.values():
                news.set()
        elif event.kind is PoolEventKind.EXECUTION_ENDED and event.execution_id is not None:
            self._news[event.execution_id].set()

    async def held(self, charge: Charge, place: Callable[[], Awaitable[Execution]]) -> Execution:
        """Place an execution with its reservation, and see to it that this is settled.

        Raises what ``place`` does. Where that fails and the execution is nowhere, nothing is held
        any more.
        """
        async with self._locks[charge.execution_id]:
            news = self._news[charge.execution_id]  # it may end before its owner answers
            try:
                execution = await place()
            except BaseException as error:
                if not await self._came_to_nothing(charge, error):
                    self._await_end(charge, None, news)
                raise
            self._await_end(charge, execution, news)
            return execution

    async def _came_to_nothing(self, charge: Charge, error: BaseException) -> bool:
        """Whether, after an error, nothing runs and nothing is held any more; surely so."""
        if isinstance(error, KeyLimited):
            return True
        is_known = isinstance(error, PoolError) and not isinstance(error, CommitUnknown)
        if not is_known or charge.execution_id in self._waiting:
            return False
        try:
            return await self._was_given_back(charge.execution_id)
        except PoolError:
            return False

    async def _was_given_back(self, execution_id: str) -> bool:
        """Give back what an execution holds that is nowhere; False where it is somewhere."""
        if await self._found(execution_id) is not None:
            return False
        await self._store.release(execution_id)
        return True

    def _await_end(self, charge: Charge, execution: Execution | None, news: asyncio.Event) -> None:
        """See to it that a reservation is settled. ``execution`` is as it was placed, None where it
        has to be looked for.
        """
        execution_id = charge.execution_id
        if execution_id in self._waiting:
            return
        settling = self._settle(charge, execution, news)
        task = asyncio.create_task(settling, name=f"settles {execution_id}")
        self._waiting[execution_id] = task
        task.add_done_callback(lambda _: self._waiting.pop(execution_id, None))

    async def _settle(
        self, charge: Charge, execution: Execution | None, news: asyncio.Event
    ) -> None:
        """Put an execution's cost in the place of its reservation, once it has ended."""
        seen = asyncio.get_running_loop().time()
        while True:
            try:
                execution = execution or await self._found(charge.execution_id)
                if execution is not None:
                    seen = asyncio.get_running_loop().time()
                if await self._is_over(charge, execution, seen):
                    return
                pause = self._look_seconds
            except PoolError as error:
                pause = RETRY_SECONDS
                log.warning(
                    "reservation waits",
                    extra={"execution_id": charge.execution_id, "problem": str(error)},
                )
            await within(pause, news)
            news.clear()  # what comes while it is looked for is looked at again
            execution = None

    async def _is_over(self, charge: Charge, execution: Execution | None, seen: float) -> bool:
        """Settle or release a reservation where its time has come."""
        if execution is not None and execution.status.is_final:
            await self._store.settle(charge, _settled(execution, self._clock()))
            return True
        if self._clock() - charge.at > LONGEST_HOLD:
            cost = Settled(cost_nano_usd=charge.amount_nano_usd, at=self._clock())
            await self._store.settle(charge, cost)
            return True
        if asyncio.get_running_loop().time() - seen < self._nowhere_seconds:
            return False
        async with self._locks[charge.execution_id]:
            return await self._was_given_back(charge.execution_id)

    async def _found(self, execution_id: str) -> Execution | None:
        """An execution as it is; None where nobody has it."""
        claim = await self._directory.locate(execution_id)
        if claim is None or claim.subscription_id is None:
            return None
        try:
            owner = self._actors.subscription(claim.subscription_id)
            return await owner.result(execution_id, 0)
        except NotFound:
            return None


def _settled(execution: Execution, now: datetime) -> Settled:
    """What an execution that has ended cost, on every subscription where it was tried. Where
    that is in doubt, its reservation is held as long as its subscription holds its own.
    """
    at = execution.finished_at or now
    was_cut_off = execution.status is ExecutionStatus.CANCELLED and execution.usage.partial
    in_doubt = was_cut_off or execution.status is ExecutionStatus.UNCERTAIN
    return Settled(
        cost_nano_usd=sum(nano_usd(attempt.cost_usd) for attempt in execution.attempts),
        at=at,
        held_until=block_at(at).ends_at if in_doubt else None,
    )
