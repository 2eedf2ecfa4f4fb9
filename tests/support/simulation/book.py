"""What became of the requests of a simulated week."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from pool.executions.outcome import Completed, Failed, FailureKind
from pool.executions.row import ExecutionRow
from tests.support.simulation.traffic import Request

if TYPE_CHECKING:
    from tests.support.simulation.owner import Owner


@dataclass
class Entry:
    """One request's fate."""

    caller: str
    asked_at: datetime
    started_at: datetime | None = None
    subscriptions: list[str] = field(default_factory=list)
    """Where it was run, one attempt each."""
    end: str | None = None
    """``answered``, ``refused``, ``queue_timeout``, or the kind of its last failure."""

    @property
    def waited_seconds(self) -> float:
        since = self.started_at or self.asked_at
        return (since - self.asked_at).total_seconds()


@dataclass
class Book:
    """Every request once."""

    entries: dict[str, Entry] = field(default_factory=dict)
    ended_twice: list[str] = field(default_factory=list)
    answered_nano_usd: int = 0
    moves: int = 0
    """Sessions that went on at another subscription."""
    surprises: int = 0
    """Subscriptions that seemed to have a free slot, and had none when they were asked."""
    wrongly_refused: list[str] = field(default_factory=list)
    cautious: Counter[str] = field(default_factory=Counter)
    """Refusals while some subscription's true windows had room, by the reason it gave."""
    goes_on: Callable[[str, Request, ExecutionRow | None], None] = lambda *_: None
    """Told of every end: the caller's next turn may follow."""

    def asked(self, id_: str, request: Request, now: datetime) -> None:
        self.entries[id_] = Entry(request.caller, now)

    def started(self, id_: str, owner: Owner, request: Request, now: datetime) -> None:
        entry = self.entries[id_]
        entry.started_at = entry.started_at or now
        entry.subscriptions.append(owner.subscription.id)

    def ended(self, row: ExecutionRow, request: Request, owner: Owner, now: datetime) -> None:
        match row.outcome:
            case Completed() as completed:
                self.answered_nano_usd += completed.usage.cost_nano_usd
                self._end(row.intent.execution_id, "answered")
            case Failed(kind=kind):
                self._end(row.intent.execution_id, kind.value)
            case None:
                raise AssertionError("it ended without an outcome")
        self.goes_on(row.intent.execution_id, request, row)

    def refused(self, id_: str, request: Request) -> None:
        self._end(id_, "refused")
        self.goes_on(id_, request, None)

    def count(self, end: str) -> int:
        return sum(entry.end == end for entry in self.entries.values())

    @property
    def failed(self) -> int:
        good = {"answered", "refused", FailureKind.QUEUE_TIMEOUT.value}
        return sum(entry.end not in good for entry in self.entries.values())

    def _end(self, id_: str, end: str) -> None:
        if self.entries[id_].end is not None:
            self.ended_twice.append(id_)
        self.entries[id_].end = end
