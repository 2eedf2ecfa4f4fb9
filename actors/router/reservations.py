"""Reservations: what running executions hold of their keys' limits, until they have ended.

A reservation is made in one transaction (``pool.storage.key_store``) before its execution is
placed. From then on it has a task that waits for the execution's end at its owner, wherever it
moves, and puts its cost in the reservation's place. A router that comes to life takes up the
reservations that it finds open; so whatever dies, a cost is counted once, and a reservation is
given back only where its execution is nowhere.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import assert_never
from weakref import WeakValueDictionary

from actors.interfaces.protocols import SubscriptionActors
from pool.errors import (
    KeyLimited,
    NotFound,
    OverBudget,
    PoolError,
    RateLimited,
    TooManyAtOnce,
)
from pool.executions.execution import Execution, ExecutionStatus
from pool.keys.api_keys import KeySpec
from pool.keys.quotas import Charge, LimitCause, Limited, Settled
from pool.money import nano_usd
from pool.storage.protocol import Directory
from pool.usage.blocks import block_at

log = logging.getLogger(__name__)

POLL_SECONDS = 30.0
"""How long an owner is asked to wait for an execution's end."""
PAUSE_SECONDS = 0.5
"""Between two polls: an execution on its way to another subscription answers at once."""
RETRY_SECONDS = 2.0
"""After an owner or a store that did not answer."""
LONGEST_HOLD = timedelta(days=2)
"""A day to wait and a day to run is all there is; what cannot be found out by then has cost
what it reserved."""
NOWHERE_SECONDS = 90.0
"""How long an execution that nobody knows may still be on its way, sent by another router or
moving from subscription to subscription: longer than any call takes."""


class Reservations:
    """The reservations of all keys."""

    def __init__(
        self,
        directory: Directory,
        actors: SubscriptionActors,
        clock: Callable[[], datetime],
        *,
        poll_seconds: float = POLL_SECONDS,
        nowhere_seconds: float = NOWHERE_SECONDS,
    ) -> None:
        self._directory = directory
        self._store = directory.keys
        self._actors = actors
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._nowhere_seconds = nowhere_seconds
        self._waiting: dict[str, asyncio.Task[None]] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def recover(self) -> None:
        """Take up what earlier activations left open."""
        for charge in await self._store.open_charges():
            self._await_end(charge)

    async def close(self) -> None:
        """Leave what is open to the next activation."""
        tasks = tuple(self._waiting.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @asynccontextmanager
    async def held(self, key: KeySpec, charge: Charge) -> AsyncIterator[None]:
        """Hold what an execution may cost, for the time in which it is placed and until it ends.

        Raises a ``KeyLimited`` where the limits leave no room; then nothing is held. One that is
        held or settled already takes nothing more. Where placing it fails and it is nowhere, what
        it held is given back.
        """
        async with self._alone(charge.execution_id):
            try:
                await self._reserve(key, charge)
                yield
            except BaseException as error:
                if not await self._came_to_nothing(charge, error):
                    self._await_end(charge)
                raise
            self._await_end(charge)

    async def _reserve(self, key: KeySpec, charge: Charge) -> None:
        refusal = await self._store.reserve(charge, key)
        if refusal is not None:
            raise _limited(key.name, charge.execution_id, refusal)

    @asynccontextmanager
    async def _alone(self, execution_id: str) -> AsyncIterator[None]:
        """Nobody gives a reservation back while its execution is being placed."""
        async with self._locks.setdefault(execution_id, asyncio.Lock()):
            yield

    async def _came_to_nothing(self, charge: Charge, error: BaseException) -> bool:
        """Whether, after an error, nothing runs and nothing is held any more; surely so."""
        if isinstance(error, KeyLimited):
            return True
        if not isinstance(error, PoolError) or charge.execution_id in self._waiting:
            return False
        try:
            if await self._found(charge.execution_id, 0) is not None:
                return False
            await self._store.release(charge.execution_id)
        except PoolError:
            return False
        return True

    def _await_end(self, charge: Charge) -> None:
        """See to it that a reservation is settled."""
        execution_id = charge.execution_id
        if execution_id in self._waiting:
            return
        task = asyncio.create_task(self._settle(charge), name=f"settles {execution_id}")
        self._waiting[execution_id] = task
        task.add_done_callback(lambda _: self._waiting.pop(execution_id, None))

    async def _settle(self, charge: Charge) -> None:
        """Wait until an execution has ended, and put its cost in the place of its reservation."""
        seen = asyncio.get_running_loop().time()
        while True:
            try:
                execution = await self._found(charge.execution_id, self._poll_seconds)
                if execution is not None:
                    seen = asyncio.get_running_loop().time()
                if await self._is_over(charge, execution, seen):
                    return
                pause = PAUSE_SECONDS
            except PoolError as error:
                pause = RETRY_SECONDS
                log.warning(
                    "reservation waits",
                    extra={"execution_id": charge.execution_id, "problem": str(error)},
                )
            await asyncio.sleep(pause)

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
        async with self._alone(charge.execution_id):
            if await self._found(charge.execution_id, 0) is not None:
                return False
            await self._store.release(charge.execution_id)
            return True

    async def _found(self, execution_id: str, wait_seconds: float) -> Execution | None:
        """An execution, after its end or a while; None where nobody has it."""
        claim = await self._directory.locate(execution_id)
        if claim is None or claim.subscription_id is None:
            return None
        try:
            owner = self._actors.subscription(claim.subscription_id)
            return await owner.result(execution_id, wait_seconds)
        except NotFound:
            return None


def _limited(key: str, execution_id: str, no: Limited) -> KeyLimited:
    match no.cause:
        case LimitCause.RATE:
            error: type[KeyLimited] = RateLimited
        case LimitCause.CONCURRENCY:
            error = TooManyAtOnce
        case LimitCause.DAILY_BUDGET | LimitCause.WEEKLY_BUDGET:
            error = OverBudget
        case never:
            assert_never(never)
    return error(key, execution_id, no.cause.value, no.detail, no.until)


def _settled(execution: Execution, now: datetime) -> Settled:
    """What an execution that has ended cost, on every subscription where it was tried. Where
    that is in doubt, its reservation is held as long as its subscription holds its own.
    """
    at = execution.finished_at or now
    in_doubt = execution.status is ExecutionStatus.UNCERTAIN
    return Settled(
        cost_nano_usd=sum(nano_usd(attempt.cost_usd) for attempt in execution.attempts),
        at=at,
        held_until=block_at(at).ends_at if in_doubt else None,
    )
