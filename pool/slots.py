"""Who holds a slot, who waits for one, and what each of them has reserved.

Nothing here awaits: taking a slot and the budget with it is one step for whoever decides (G6), and
letting go is one step too. What waits starts in the order it came, but two turns of one session
never run at once, for they would fork its history.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Hold:
    """What an execution holds until it has ended."""

    session_id: str
    reserved_nano_usd: int


@dataclass
class Slots:
    """Running and waiting executions of one subscription, by id."""

    running: dict[str, Hold] = field(default_factory=dict)
    waiting: dict[str, Hold] = field(default_factory=dict)

    @property
    def reserved_nano_usd(self) -> int:
        holds = (*self.running.values(), *self.waiting.values())
        return sum(hold.reserved_nano_usd for hold in holds)

    def is_busy(self, session_id: str) -> bool:
        """Whether a turn of this session is running."""
        return any(hold.session_id == session_id for hold in self.running.values())

    def take(self, execution_id: str, hold: Hold) -> None:
        self.running[execution_id] = hold

    def enqueue(self, execution_id: str, hold: Hold) -> None:
        self.waiting[execution_id] = hold

    def next(self, max_concurrent: int, unready: Container[str] = ()) -> str | None:
        """The id that may start now: the first that waits, is ready, and whose session is free."""
        if len(self.running) >= max_concurrent:
            return None
        ready = (
            id_
            for id_, hold in self.waiting.items()
            if id_ not in unready and not self.is_busy(hold.session_id)
        )
        return next(ready, None)

    def promote(self, execution_id: str) -> None:
        """From waiting to running."""
        self.running[execution_id] = self.waiting.pop(execution_id)

    def demote(self, execution_id: str) -> None:
        """From running back to waiting, before all others."""
        self.waiting = {execution_id: self.running.pop(execution_id), **self.waiting}

    def release(self, execution_id: str) -> None:
        """Let go of everything it holds; of nothing, if it holds nothing."""
        self.running.pop(execution_id, None)
        self.waiting.pop(execution_id, None)
