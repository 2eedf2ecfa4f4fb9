"""An execution that has not ended, as its subscription holds it in memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

from actors.aiokit import News
from pool.claude.runner import Run
from pool.executions.row import ExecutionRow
from pool.executions.status import ExecutionStatus


@dataclass
class LiveExecution:
    """An execution that has not ended."""

    row: ExecutionRow
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """Its intent is durable, or it was given up."""
    is_durable: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """It has ended here, for good or because it went on elsewhere."""
    run: Run | None = None
    is_found: asyncio.Event = field(default_factory=asyncio.Event)
    """Its run is there; or it has ended, and has none."""
    waits_since: datetime | None = None
    """Since when it waits in this activation: what waited while nobody was there waits anew."""
    is_followed: bool = False
    """Somebody reads along: what it prints is kept for a while after its end."""
    is_being_settled: bool = False
    """Its outcome is on its way into the ledger: nothing older may be written after it."""
    may_be_elsewhere: bool = False
    """A router got the order to hand it on, and may have done it."""
    turned: News = field(default_factory=News)
    """Of its turning to its caller, and from there."""
    giving: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while results of its caller's are made durable."""
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    """Its caller is not waited for any more."""
    takes_no_results: bool = False
    """Its process is gone, or is to end: results of its caller's are for another one."""
    has_slot: asyncio.Event = field(default_factory=asyncio.Event)
    """It has a slot again after its caller's turn."""

    @property
    def id(self) -> str:
        return self.row.intent.execution_id

    @property
    def is_its_callers_turn(self) -> bool:
        """Whether it waits for its caller's results, and they have not come."""
        row = self.row
        return row.status is ExecutionStatus.WAITING_FOR_CALLER and not row.results_came

    async def rests(self, seconds: float) -> None:
        """Wait until it has ended or it is its caller's turn, for so many seconds at most."""
        await self.turned.until(lambda: self.ended.is_set() or self.is_its_callers_turn, seconds)

    def becomes(self, **changes: object) -> None:
        self.row = self.row.model_copy(update=changes)
