"""An execution that has not ended, as its subscription holds it in memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

from pool.claude.runner import Run
from pool.executions.execution import ExecutionRow


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
    waits_since: datetime | None = None
    """Since when it waits in this activation: what waited while nobody was there waits anew."""
    is_followed: bool = False
    """Somebody reads along: what it prints is kept for a while after its end."""
    is_being_settled: bool = False
    """Its outcome is on its way into the ledger: nothing older may be written after it."""
    may_be_elsewhere: bool = False
    """A router was asked to hand it on, and may have done it."""

    @property
    def id(self) -> str:
        return self.row.intent.execution_id

    def becomes(self, **changes: object) -> None:
        self.row = self.row.model_copy(update=changes)
