"""An execution wherever it goes: waited for, stopped and read along.

Whoever hands an execution on names the subscription at which it goes on, so following it takes one
call a step. For an instant the directory may name somebody who does not have it yet.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import TypeVar, cast

from actors.client.patience import Patience, patiently
from actors.interfaces.messages import LONGEST_POLL_SECONDS, CameLate
from actors.interfaces.protocols import Actors
from actors.interfaces.subscription_actor import SubscriptionActor
from pool.errors import Conflict, NotFound, PoolError
from pool.executions.execution import Execution
from pool.executions.progress import Ended, Event, ProgressPage
from pool.executions.tools.client_tools import ToolResult
from pool.keys.access import FULL_ACCESS, Access

Answer = TypeVar("Answer")
Holder = Callable[[], SubscriptionActor]
"""Finds whoever has an execution, each time that it is called."""

ARRIVES_SECONDS = 10.0
"""How long an execution may be on its way to the subscription that the directory names."""
ASK_AGAIN_SECONDS = 0.05


async def _result(execution_id: str, seconds: float, holder: SubscriptionActor) -> Execution:
    return await holder.result(execution_id, seconds)


async def _page(
    execution_id: str, after: str | None, raw: bool, holder: SubscriptionActor
) -> ProgressPage:
    return await holder.progress(execution_id, after, LONGEST_POLL_SECONDS, raw=raw)


async def _given(
    execution_id: str, results: tuple[ToolResult, ...], holder: SubscriptionActor
) -> Execution | CameLate:
    return await holder.tool_results(execution_id, results)


async def _is_open(execution_id: str, access: Access, holder: SubscriptionActor) -> bool:
    return await holder.is_open(execution_id, access)


class RemovedOwner:
    """Stands for a subscription that was removed, and answers for one of its executions."""

    def __init__(self, execution: Execution) -> None:
        self._execution = execution

    async def result(self, _: str, __: float = 0) -> Execution:
        return self._execution

    async def cancel(self, _: str) -> Execution:
        return self._execution

    async def tool_results(self, _: str, __: tuple[ToolResult, ...]) -> Execution:
        raise Conflict("its subscription was removed from the pool: ask anew")

    async def is_open(self, _: str, __: Access) -> bool:
        """Whoever was given it has access to it."""
        return True

    async def progress(
        self, _: str, after: str | None, __: float, *, raw: bool = False
    ) -> ProgressPage:
        """Its end, which holds everything; the rest went with its subscription."""
        del after, raw
        cursor = f"{max(0, len(self._execution.attempts) - 1)}-end"
        end = Event(cursor=cursor, progress=Ended(execution=self._execution))
        return ProgressPage(events=(end,), cursor=cursor, is_end=True)


class ExecutionFollower:
    """Calls the holder of an execution, whoever that is by then, for somebody with an access."""

    def __init__(self, actors: Actors, access: Access = FULL_ACCESS) -> None:
        self._actors = actors
        self._access = access

    def at(self, subscription_id: str) -> Holder:
        return partial(self._actors.subscription, subscription_id)

    async def open(self, execution_id: str) -> Holder:
        """The holder of an execution by now; ``NotFound``, too, where it is not for whoever asks.
        That is checked once, before any other question: whose it is never changes.
        """
        holder = await self.holder(execution_id)
        if self._access == FULL_ACCESS:
            return holder
        looking = partial(_is_open, execution_id, self._access)
        if not await self._asked(execution_id, holder, looking):
            raise NotFound("execution", execution_id)
        return holder

    async def holder(self, execution_id: str) -> Holder:
        """The holder of an execution by now, or whoever answers for it."""
        found = await patiently(
            execution_id, lambda: self._actors.router().locate(execution_id, self._access)
        )
        if isinstance(found, Execution):
            removed = cast(SubscriptionActor, RemovedOwner(found))
            return lambda: removed
        return self.at(found)

    async def ended(self, execution: Execution) -> Execution:
        """The execution once it has ended, or waits for its caller."""
        execution_id = execution.id
        while not execution.status.rests:
            execution = await self._asked(
                execution_id,
                self.at(execution.subscription_id),
                lambda holder: holder.result(execution_id, LONGEST_POLL_SECONDS),
            )
        return execution

    async def result(self, execution_id: str, wait_seconds: float) -> Execution:
        """The execution once it has ended, or so much time has passed."""
        deadline = time.monotonic() + wait_seconds
        holder = await self.open(execution_id)
        while True:
            left = min(max(0.0, deadline - time.monotonic()), LONGEST_POLL_SECONDS)
            waiting = partial(_result, execution_id, left)
            execution = await self._asked(execution_id, holder, waiting)
            if execution.status.rests or time.monotonic() >= deadline:
                return execution
            holder = self.at(execution.subscription_id)

    async def tool_results(
        self, execution_id: str, results: tuple[ToolResult, ...]
    ) -> Execution | CameLate:
        """Give it the results of its caller's tools."""
        holder = await self.open(execution_id)
        giving = partial(_given, execution_id, results)
        return await self._asked(execution_id, holder, giving)

    async def cancel(self, execution_id: str) -> Execution:
        """Stop it, and wait for its end."""
        holder = await self.open(execution_id)
        while True:
            execution = await self._asked(
                execution_id, holder, lambda holder: holder.cancel(execution_id)
            )
            if execution.status.is_final:
                return execution
            holder = self.at(execution.subscription_id)

    async def events(
        self, execution_id: str, holder: Holder, after: str | None, *, raw: bool
    ) -> AsyncGenerator[Event, None]:
        """Its events after a cursor; one call a page, never one an event."""
        while True:
            reading = partial(_page, execution_id, after, raw)
            page = await self._asked(execution_id, holder, reading)
            for event in page.events:
                yield event
            if page.is_end:
                return
            if page.moved_to is not None:
                holder = self.at(page.moved_to)
            after = page.cursor

    async def _asked(
        self,
        execution_id: str,
        holder: Holder,
        question: Callable[[SubscriptionActor], Awaitable[Answer]],
    ) -> Answer:
        """The answer of the subscription, or of the one that has it by now; where it is away, once
        it is back.
        """
        deadline, patience = time.monotonic() + ARRIVES_SECONDS, Patience(execution_id)
        while True:
            try:
                return await question(holder())
            except NotFound:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(ASK_AGAIN_SECONDS)
            except PoolError as error:
                await patience.wait(error)
            holder = await self.holder(execution_id)
