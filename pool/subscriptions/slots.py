"""Slots of a subscription: who holds one, who waits for one, and what each has reserved.

Nothing here awaits: taking a slot and the budget with it is one step for whoever decides (G6), and
letting go is one step too. Of those who wait, the caller with the fewest runs goes first, and then
whoever came first: a caller with a thousand requests starves nobody. Two turns of one session never
run at once, for they would fork its history, and they run in the order they came.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Hold:
    """What an execution holds until it has ended."""

    session_id: str
    reserved_nano_usd: int
    """0 while it waits for its session, and the budget had no room for it when it came."""
    caller: str = ""
    reads: str | None = None
    """Another session whose history it begins with, which may not change meanwhile."""

    def concerns(self, session_id: str) -> bool:
        return session_id in {self.session_id, self.reads}


@dataclass
class Slots:
    """Running and waiting executions of one subscription, by id."""

    running: dict[str, Hold] = field(default_factory=dict)
    waiting: dict[str, Hold] = field(default_factory=dict)
    leaving: dict[str, Hold] = field(default_factory=dict)
    """Those whose run has ended while another subscription is looked for: they hold nothing but
    their sessions, whose next turns come after them."""

    parked: dict[str, Hold] = field(default_factory=dict)
    """Those that wait for their callers, the longest first: they hold their session and their
    budget, and no slot."""

    @property
    def is_any(self) -> bool:
        """Whether anybody holds anything."""
        return bool(self.running or self.waiting or self.parked or self.leaving)

    @property
    def reserved_nano_usd(self) -> int:
        at_work = (*self.running.values(), *self.parked.values())
        return self.waiting_nano_usd + sum(hold.reserved_nano_usd for hold in at_work)

    @property
    def waiting_nano_usd(self) -> int:
        """What those who wait have reserved."""
        return sum(hold.reserved_nano_usd for hold in self.waiting.values())

    def is_running(self, session_id: str) -> bool:
        """Whether a turn of this session is running."""
        holds = (*self.running.values(), *self.parked.values())
        return any(hold.concerns(session_id) for hold in holds)

    def is_busy(self, session_id: str) -> bool:
        """Whether a turn of this session is running, waiting or leaving."""
        at_work = (*self.running.values(), *self.parked.values())
        holds = (*at_work, *self.waiting.values(), *self.leaving.values())
        return any(hold.concerns(session_id) for hold in holds)

    def take(self, execution_id: str, hold: Hold) -> None:
        self.running[execution_id] = hold

    def enqueue(self, execution_id: str, hold: Hold) -> None:
        self.waiting[execution_id] = hold

    def ready(self, unready: Container[str] = ()) -> Iterator[str]:
        """The ids that wait for nothing but a slot, as they came: of each session the first."""
        seen: set[str] = set()
        for id_, hold in self.waiting.items():
            sessions = {hold.session_id, hold.reads or hold.session_id}
            is_first = seen.isdisjoint(sessions)
            seen |= sessions
            if is_first and id_ not in unready and not any(map(self._is_held, sessions)):
                yield id_

    def next(self, capacity: int, unready: Container[str] = ()) -> str | None:
        """The id that may start now."""
        if len(self.running) >= capacity:
            return None
        runs = Counter(hold.caller for hold in self.running.values())
        return min(
            self.ready(unready), key=lambda id_: runs[self.waiting[id_].caller], default=None
        )

    def reserve(self, execution_id: str, reserved_nano_usd: int) -> None:
        """Let something that waits hold so much from now on."""
        hold = self.waiting[execution_id]
        self.waiting[execution_id] = replace(hold, reserved_nano_usd=reserved_nano_usd)

    def promote(self, execution_id: str) -> None:
        """From waiting to running."""
        self.running[execution_id] = self.waiting.pop(execution_id)

    def demote(self, execution_id: str) -> None:
        """From running back to waiting, before all others."""
        self.put_first(execution_id, self.running.pop(execution_id))

    def park(self, execution_id: str) -> None:
        """From running to waiting for its caller."""
        self.parked[execution_id] = self.running.pop(execution_id)

    def unpark(self, execution_id: str) -> None:
        """From waiting for its caller to running, where a slot is free."""
        self.running[execution_id] = self.parked.pop(execution_id)

    def put_first(self, execution_id: str, hold: Hold) -> None:
        """Let it wait, before all others."""
        self.waiting = {execution_id: hold, **self.waiting}

    def leave(self, execution_id: str) -> None:
        """Let go of everything but the session."""
        places = (self.running, self.waiting, self.parked)
        hold = next((each.pop(execution_id) for each in places if execution_id in each), None)
        if hold is not None:
            self.leaving[execution_id] = hold

    def release(self, execution_id: str) -> None:
        """Let go of everything it holds; of nothing, if it holds nothing."""
        self.running.pop(execution_id, None)
        self.waiting.pop(execution_id, None)
        self.leaving.pop(execution_id, None)
        self.parked.pop(execution_id, None)

    def _is_held(self, session_id: str) -> bool:
        holds = (*self.running.values(), *self.parked.values(), *self.leaving.values())
        return any(hold.concerns(session_id) for hold in holds)
