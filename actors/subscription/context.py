"""One activation of a subscription: from the opening of its ledger to the end of its process.

It holds what every part of the subscription shares: the state, the ledger, what the subscription
was given, its tasks, and the news that its report has changed. When the ledger refuses a write, the
subscription takes no work until a write succeeds again. When the ledger is lost, to another
activation or by a commit that is in doubt, the process ends: whatever it did from then on could not
be made durable.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Mapping
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from actors.aiokit import News, Tasks, every
from actors.interfaces.other_nodes import NONE_REACHABLE, OtherNodes
from actors.interfaces.protocols import Actors
from actors.telemetry import logs
from actors.telemetry.recorder import SubscriptionRecorder
from actors.telemetry.tracing import OFF, Tracing
from pool.claude.runner import Runner
from pool.errors import ConfigError, StoreError
from pool.storage.ledger.ledger import Ledger
from pool.storage.stores import RETENTION_PERIOD
from pool.subscriptions.consequences.standing import Standing
from pool.subscriptions.report import Report
from pool.subscriptions.reporting import SubscriptionPolicy, report
from pool.subscriptions.spec import SubscriptionSpec
from pool.subscriptions.state import State

log = logging.getLogger(__name__)

STORE_RETRY_SECONDS = 1.0
"""Between two tries to write while the disk refuses."""
LEFTOVER_AGE = timedelta(hours=1)

T = TypeVar("T")


@dataclass(frozen=True)
class Dependencies:
    """What a subscription is given besides its rows."""

    runner: Runner
    environment: Callable[[SubscriptionSpec], Mapping[str, str]]
    """The variables of a run; raises ``ConfigError`` where the credential is missing."""
    clock: Callable[[], datetime]
    actors: Actors
    leave: Callable[[StoreError], None]
    """Called when the ledger is lost to this activation: it must end the process."""
    policy: SubscriptionPolicy
    system_prompt: str
    retention: timedelta
    keep_prompts: timedelta = timedelta(days=1)
    """How long prompt and answer are kept after the end of an execution."""
    tracing: Tracing = OFF
    ledgers_lost: int = 0
    """How many activations have left, in this place, since their ledger was lost to them."""
    node: str | None = None
    """The node that this is, by its name for good."""
    build: str | None = None
    """The version of the code that runs here."""
    nodes_here: frozenset[str] = frozenset()
    """The names of all nodes whose disk this is, or was."""
    other_nodes: OtherNodes = NONE_REACHABLE
    roots: tuple[Path, ...] = ()
    """Below these a run may work, where its caller's key grants it."""


class SubscriptionContext:
    """What the parts of a subscription share."""

    def __init__(self, state: State, ledger: Ledger, dependencies: Dependencies) -> None:
        self.state = state
        self.ledger = ledger
        self.deps = dependencies
        self.news = News()
        """Told when the report has changed."""
        self.leaves_since = "its subscription was removed from the pool"
        """Why the subscription lets go of everything, where it does (``state.retired``)."""
        self.recorder = SubscriptionRecorder(
            *(state.spec.id, state.epoch, dependencies.clock, self.changed),
            tracing=dependencies.tracing,
            ledgers_lost=dependencies.ledgers_lost,
        )
        self._tasks = Tasks(subscription_id=state.spec.id)

    def now(self) -> datetime:
        return self.deps.clock()

    def is_elsewhere(self, node: str | None) -> bool:
        """Whether what was left on a node is on the disk of another one than this."""
        return node is not None and node not in {self.deps.node, *self.deps.nodes_here}

    @property
    def takes_no_more(self) -> bool:
        """Whether the subscription is stopping, leaves the pool or drains: then no process is kept
        for a next turn.
        """
        return self.state.suspended or self.state.retired or self.state.standing.draining

    def report(self) -> Report:
        """The subscription at this instant."""
        return report(self.state, self.deps.policy, self.now())

    def changed(self) -> None:
        """Let whoever waits for a report have one."""
        self.state.version += 1
        self.news.tell()

    def spawn(
        self, work: Coroutine[Any, Any, T], execution_id: str | None = None
    ) -> asyncio.Task[T]:
        """Start a task that outlives the call that caused it, though not this activation. What it
        logs bears the id of the execution that it is about, if it is about one.
        """
        context = copy_context()
        context.run(logs.about, execution_id=execution_id)
        return self._tasks.spawn(work, context)

    async def stand(self, standing: Standing) -> None:
        """Make a new standing durable, then apply it."""
        if standing != self.state.standing:
            await self.ledger.stand(standing)
            self.state.standing = standing
            self.changed()

    def trouble(self, error: StoreError) -> None:
        """Take no work until a write succeeds again. With the ledger lost leave at once: nobody may
        be told that a write was refused while it is only in doubt.
        """
        if self.ledger.is_lost:
            self.deps.leave(error)
        log.error(
            "store refused a write",
            extra={"subscription_id": self.state.spec.id, "problem": error.problem},
        )
        self.recorder.store_failed()
        if self.state.store_problem is None:
            self.state.store_problem = str(error)
            self.changed()
            self.spawn(self._probe())

    async def end_with_ledger(self) -> None:
        """Leave once the ledger is lost, whichever call found it out."""
        await self.ledger.until_lost()
        problem = "it belongs to another activation, or its last commit is in doubt"
        self.deps.leave(StoreError(self.state.spec.id, problem))

    async def retain(self) -> None:
        """Remove what is older than the retention, and what dead CLIs left; now and every hour."""
        await every(RETENTION_PERIOD.total_seconds(), self._expire, "retention waits")

    async def _expire(self) -> None:
        with contextlib.suppress(ConfigError, OSError):
            environment = self.deps.environment(self.state.spec)
            stale = self.now() - LEFTOVER_AGE
            await asyncio.to_thread(self.deps.runner.clean, environment, stale)
        await self.ledger.expire(self.now() - self.deps.retention)

    async def rest(self) -> None:
        """End all tasks of this activation."""
        await self._tasks.close()

    async def close(self) -> None:
        await self.rest()
        await self.ledger.close()
        await self.deps.tracing.close()

    async def _probe(self) -> None:
        """Write the standing, which changes nothing, until the disk takes it."""
        while self.state.store_problem is not None:
            await asyncio.sleep(STORE_RETRY_SECONDS)
            with contextlib.suppress(StoreError):
                await self.ledger.stand(self.state.standing)
                self.state.store_problem = None
                self.changed()
