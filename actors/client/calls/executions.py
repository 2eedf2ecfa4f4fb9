"""Executions, as a client starts, follows and lists them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import datetime
from functools import partial

from actors.aiokit import forwarded
from actors.client.calls.view import PoolView, router
from actors.client.concurrency import ConcurrencyLimit
from actors.client.follow import ExecutionFollower
from actors.client.merged_pages import Source, merged_page
from actors.client.patience import patiently
from actors.client.retry import RetrySchedule, next_key, turned_away
from actors.client.tool_calling import Functions, results_of, with_tools
from actors.interfaces.messages import LONGEST_POLL_SECONDS, Dispatch, Listed
from actors.interfaces.protocols import Actors
from actors.interfaces.router_actor import RouterActor
from actors.telemetry.tracing import current_trace
from pool.errors import Exhausted, InvalidRequest, KeyLimited
from pool.executions.execution import Execution
from pool.executions.intent import new_execution_id
from pool.executions.progress import Event, ProgressPage, WaitsForCaller
from pool.executions.request import ExecutionRequest
from pool.executions.status import ExecutionStatus
from pool.executions.tools.client_tools import ToolResult
from pool.executions.tools.permissions import Grant
from pool.keys.access import Access
from pool.routing.capacity import MOST_ASKED, Capacity
from pool.storage.paging import Page, check_limit

_KEY = re.compile(r"[\x21-\x7e]{1,200}")


class ExecutionCalls(PoolView):
    """What a client does with executions. At most so many of them are on their way at a time as
    ``in_flight`` has places.
    """

    def __init__(
        self,
        actors: Actors,
        clock: Callable[[], datetime],
        access: Access,
        in_flight: ConcurrencyLimit,
    ) -> None:
        super().__init__(actors, clock, access)
        self._following = ExecutionFollower(actors, access)
        self._in_flight = in_flight

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
        return await self._dispatched(dispatch)

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
        and is tried again, and one that limits ended before it cost anything is made anew,
        as a further execution. Once they have passed: ``Exhausted`` or ``KeyLimited``, or the
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
                execution = await self.ended(await self._dispatched(dispatch))
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

    async def _dispatched(self, dispatch: Dispatch) -> Execution:
        """Have it dispatched, by the router that there is then; asked again, it is the same."""
        return await patiently(dispatch.execution_id, lambda: self._router().dispatch(dispatch))

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

        Raises ``NotFound``, ``InvalidRequest`` for a cursor that is none, and ``ActorLost`` for a
        subscription that stays away; from one that comes back the rest follows.
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
        return await self._dispatched(dispatch.model_copy(update=late))

    async def round_ended(self, execution_id: str, number: int) -> Execution:
        """Wait until a round of an execution has ended; or the execution itself, or until it waits
        for its caller in an earlier one.
        """
        execution = await self.result(execution_id)
        while len(execution.rounds) <= number and not execution.status.rests:
            execution = await self.result(execution_id, wait_seconds=LONGEST_POLL_SECONDS)
        return execution

    async def execution_of_calls(self, tool_use_ids: Sequence[str]) -> Execution:
        """The execution that made some calls of callers' tools, whichever API process showed them,
        as long as executions are kept. ``NotFound`` for a call that is not known, or belongs to
        somebody else; ``InvalidRequest`` for calls of several executions.
        """
        ids = tuple(tool_use_ids)
        return await self.result(await self._router().execution_of_calls(ids, self._access))

    async def cancel(self, execution_id: str) -> Execution:
        """Stop an execution and wait for its end; one that has ended stays as it is."""
        return await self._following.cancel(execution_id)

    route = forwarded(router, RouterActor.route)

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
        check_limit(limit)
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
        sources = [self._listing(id_) for id_ in ids if id_ not in resting]
        if resting:
            asleep = partial(router.resting_executions, subscription_ids=resting)
            sources.append(Source(asleep, ledgers=len(resting)))
        if subscription_id is None or not ids:
            removed = partial(router.removed_executions, subscription_id=subscription_id)
            sources.append(Source(removed))
        return await merged_page(sources, wanted)

    def _listing(self, subscription_id: str) -> Source:
        actor = self._actors.subscription(subscription_id)
        return Source(lambda wanted: actor.executions(**dict(wanted)))
