"""The aftermath of runs: what is left to do when their answer is durable and given.

The CLI exits; what it still charges, in a result after the answer, is recorded next to the
execution; then what the run left on disk goes, or is kept for those who read along. No slot is held
for it and nobody waits. An activation that ends before it is through waits a little, as a CLI takes
to exit, and leaves what takes longer to the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from actors.subscription.context import STORE_RETRY_SECONDS, SubscriptionContext
from actors.subscription.correction import correct
from pool.claude.launch.launch_spec import Launch
from pool.claude.runner import Run
from pool.errors import StoreError
from pool.executions.intent import Intent
from pool.usage.records import UsageSource

EXIT_SECONDS = 2.0
"""How long an activation's end waits: longer than a CLI takes to exit, 0.1 s."""


class Aftermath:
    """The runs of a subscription whose executions have ended. ``launch`` makes a run's launch."""

    def __init__(
        self, context: SubscriptionContext, launch: Callable[[Intent], Awaitable[Launch]]
    ) -> None:
        self._context = context
        self._launch = launch
        self._tasks: set[asyncio.Task[None]] = set()
        self.being_discarded: set[str] = set()
        """Ended executions whose output is being removed: it is not to be read any more."""

    @property
    def is_any(self) -> bool:
        """Whether a run is looked after still."""
        return bool(self._tasks)

    def begin(self, intent: Intent, run: Run, *, is_watched: bool) -> None:
        """Look after a run whose execution has ended."""
        work = self._look_after(intent, run, is_watched=is_watched)
        task = self._context.spawn(work, intent.execution_id)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self) -> None:
        """Wait until all is looked after, as far as that comes soon."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=EXIT_SECONDS)

    async def _look_after(self, intent: Intent, run: Run, *, is_watched: bool) -> None:
        """Wait until a run can charge nothing more, count what it did, and tidy up."""
        usage = await run.later_usage()
        while usage is not None:
            try:
                await correct(self._context, intent, usage, UsageSource.CLI)
                break
            except StoreError as error:
                self._context.trouble(error)
                await asyncio.sleep(STORE_RETRY_SECONDS)
        if is_watched:
            await run.keep()
        else:
            await self._discard(run)

    async def take_up(self, left: Iterable[str]) -> frozenset[str]:
        """Go on with runs that an earlier activation left, by their ids; those it knows. Whoever
        read along then comes back with a cursor, perhaps.
        """
        known = set()
        for id_ in left:
            row = await self._context.ledger.execution(id_)
            if row is None or row.outcome is None:
                continue
            known.add(id_)
            launch = await self._launch(row.intent)
            run = await asyncio.to_thread(self._context.deps.runner.find, launch)
            if run is not None:
                self.begin(row.intent, run, is_watched=True)
        return frozenset(known)

    async def _discard(self, run: Run) -> None:
        """Remove what a run left. Where this activation ends meanwhile, its end waits for that."""
        self.being_discarded.add(run.run_id)
        removal = asyncio.ensure_future(run.discard())
        try:
            await asyncio.shield(removal)
        finally:
            await removal
            self.being_discarded.discard(run.run_id)
