"""A run on the node where the subscription was before, followed from the node where it is now.

It holds its slot, for its CLI may run on over there (G6): until that node says how it ended, and
where the node cannot be reached, until the run's own deadline has passed. Only then it is not known
what became of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from actors.interfaces.other_nodes import RunElsewhere, RunState
from actors.subscription.context import SubscriptionContext
from pool.claude.launch.launch_spec import Launch
from pool.claude.output.tool_calls import CallsMade
from pool.errors import PoolError
from pool.executions.outcome import Failed, FailureKind, Outcome
from pool.executions.process_way import ProcessWay
from pool.executions.row import ExecutionRow
from pool.executions.tools.client_tools import ToolResult
from pool.usage.records import Usage

log = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
"""Between two tries to reach a node."""
GRACE = timedelta(seconds=30)
"""Beyond the deadline, for a CLI to be made to end by whoever watches over it there."""


def _lost(why: str) -> Failed:
    message = f"{why}; what became of it is not known"
    return Failed(kind=FailureKind.KILLED, message=message, evidence=False)


class FollowedRun:
    """A ``Run`` of another node. It is settled with all that it was charged, so that nothing is
    left to be charged later.
    """

    def __init__(
        self, context: SubscriptionContext, node: str, row: ExecutionRow, launch: Launch
    ) -> None:
        self._context = context
        self._node = node
        self._row = row
        self._launch = launch
        self._stops = False
        self._known: RunElsewhere | None = None
        self._way: ProcessWay | None = None

    @property
    def run_id(self) -> str:
        return self._launch.run_id

    @property
    def way(self) -> ProcessWay | None:
        return self._way or self._row.process

    async def never_ran(self) -> bool:
        """Whether the node says that no process was ever given it: it may be started anew."""
        found = await self._ask()
        self._way = None if found is None else found.way
        return found is not None and found.state is RunState.NEVER_RAN

    async def outcome(self) -> Outcome:
        found = await self._end()
        if found is None:
            return _lost(f"its node {self._node} could not be reached until its deadline")
        return found.outcome or _lost(f"its node {self._node} was started anew meanwhile")

    async def later_usage(self) -> Usage | None:
        return None

    async def stop(self) -> None:
        """Have the next look at it, seconds from now, ask it to end."""
        self._stops = True

    async def next_calls(self, number: int, results: Sequence[ToolResult] = ()) -> CallsMade:
        await asyncio.Event().wait()
        raise AssertionError((number, results))

    async def misfit(self) -> str | None:
        return None

    async def spent(self) -> Usage | None:
        return None

    async def lives(self) -> bool:
        return False

    async def give_time(self, seconds: float) -> None: ...

    async def discard(self) -> None:
        """Remove what it left. Where the node is away, its next activation there finds it."""
        with suppress(PoolError):
            await self._context.deps.other_nodes.discard(self._node, self._launch)

    async def keep(self) -> None:
        """Nobody can read along from another node."""
        await self.discard()

    @property
    def _deadline(self) -> datetime:
        began = self._row.started_at or self._row.intent.created_at
        return began + timedelta(seconds=self._launch.timeout_seconds) + GRACE

    async def _end(self) -> RunElsewhere | None:
        """What the node says once the run has ended; None as ``_ask`` has it."""
        found = await self._ask()
        while found is not None and found.state is RunState.RUNS:
            self._known = None
            found = await self._ask()
        return found

    async def _ask(self) -> RunElsewhere | None:
        """What the node says; None where it could not be reached up to the run's deadline."""
        nodes, place, is_told = self._context.deps.other_nodes, self._row.place or "", False
        while self._known is None:
            try:
                self._known = await nodes.ask(self._node, place, self._launch, stops=self._stops)
            except PoolError as error:
                if self._context.now() >= self._deadline:
                    return None
                if not is_told:
                    ids = {"execution_id": self.run_id, "node": self._node}
                    log.warning("run is out of reach", extra={**ids, "problem": str(error)})
                is_told = True
                await asyncio.sleep(RETRY_SECONDS)
        return self._known


class AnsweredRun(FollowedRun):
    """A run of another node whose answer was settled while the subscription was there: what it was
    charged after that is left.
    """

    async def later_usage(self) -> Usage | None:
        found = await self._end()
        return None if found is None else found.later
