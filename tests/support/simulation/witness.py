"""What a simulated pool has been told, kept and judged apart from the pool's own rules.

Whoever breaks the pool's arithmetic must not break this as well: the ceilings, the week, the places
and the life of a window are counted here a second time, plainly. Only the end of a cooldown is
taken from the subscription's standing, and whether it may last that long is judged here too.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pool.executions.outcome import Completed, Failed, FailureKind, Outcome
from pool.limits.windows import Window
from pool.money import nano_usd
from pool.subscriptions.admission import AdmissionLimits
from pool.subscriptions.consequences.standing import Standing

WEEK = timedelta(days=7)
BELIEVED_FOR = timedelta(hours=6)
LONGEST = {
    FailureKind.USAGE_LIMIT: timedelta(hours=6),
    FailureKind.OVERLOADED: timedelta(seconds=60),
    FailureKind.AUTHENTICATION: timedelta(minutes=5),
}


@dataclass
class Witness:
    """One subscription, as far as anybody could tell the pool."""

    subscription_id: str
    budget_nano_usd: int
    slots: int
    places: int
    limits: AdmissionLimits
    windows: dict[str, Window] = field(default_factory=dict)
    costs: deque[tuple[datetime, int]] = field(default_factory=deque)
    spent: int = 0
    reserved: dict[str, int] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)
    is_unproved: bool = False
    """Something went wrong here, and nothing has succeeded since."""
    wrongs: list[str] = field(default_factory=list)
    """Every over-admission that was seen, as a sentence."""

    # -- what happens ----------------------------------------------------------------------------

    def admitted(self, id_: str, reserve: int, now: datetime) -> None:
        """A slot or a place was given."""
        self.waiting.add(id_)
        self.reserves(id_, reserve, now)

    def reserves(self, id_: str, reserve: int, now: datetime) -> None:
        """So much is held for it from now on."""
        is_more = reserve > self.reserved.get(id_, 0)
        self.reserved[id_] = reserve
        needed = self._spent(now) + sum(self.reserved.values())
        if is_more and needed > self.budget_nano_usd:
            self._wrong(now, "spent and reserved is more than the budget")

    def started(
        self, id_: str, model: str, standing: Standing, *, goes_on: bool, now: datetime
    ) -> None:
        self.waiting.discard(id_)
        self.running.add(id_)
        if len(self.running) > self.slots:
            self._wrong(now, f"{len(self.running)} runs in {self.slots} slots")
        if self.is_unproved and standing.cooldown is not None and len(self.running) > 1:
            self._wrong(now, "more than one went first after a cooldown")
        if self._cools(standing, now):
            self._wrong(now, "it was started in a cooldown")
        if self._is_limited(model, goes_on=goes_on, now=now):
            self._wrong(now, "work went to a subscription that was known to be limited")

    def left(self, id_: str) -> None:
        """It holds nothing here any more."""
        self.running.discard(id_)
        self.waiting.discard(id_)
        self.reserved.pop(id_, None)

    def told(self, outcome: Outcome, standing: Standing, now: datetime) -> None:
        """A run has ended, and this is what the CLI said."""
        for event in outcome.limits:
            self.windows |= event.windows
        cost = outcome.usage.cost_nano_usd
        self.costs.append((now, cost))
        self.spent += cost
        if isinstance(outcome, Completed):
            self.is_unproved = self._cools(standing, now)
        else:
            self._failed(outcome, standing, now)

    def _failed(self, outcome: Failed, standing: Standing, now: datetime) -> None:
        cooldown = standing.cooldown
        if cooldown is None:
            return
        self.is_unproved = True
        if cooldown.since == now and cooldown.until - now > LONGEST[outcome.kind]:
            self._wrong(now, f"a cooldown of {cooldown.until - now} for {outcome.kind}")

    # -- what could be ---------------------------------------------------------------------------

    def has_headroom(
        self, model: str, standing: Standing, reserve: int, *, goes_on: bool, now: datetime
    ) -> bool:
        """Whether the subscription could take such a request, by everything it has told."""
        if self._cools(standing, now) or self._is_limited(model, goes_on=goes_on, now=now):
            return False
        needed = self._spent(now) + sum(self.reserved.values()) + reserve
        return needed <= self.budget_nano_usd and self.has_place(standing)

    def has_place(self, standing: Standing) -> bool:
        return self.has_free_slot(standing) or len(self.waiting) < self.places

    def has_free_slot(self, standing: Standing) -> bool:
        slots = 1 if self.is_unproved and standing.cooldown is not None else self.slots
        return len(self.running) < slots

    # -- within ----------------------------------------------------------------------------------

    def _cools(self, standing: Standing, now: datetime) -> bool:
        return standing.cooldown is not None and now < standing.cooldown.until

    def _is_limited(self, model: str, *, goes_on: bool, now: datetime) -> bool:
        limits = self.limits
        ceiling = limits.running_session_percent if goes_on else limits.new_work_percent
        percents = [100 * self._spent(now) / self.budget_nano_usd]
        for name, window in self.windows.items():
            old = now - window.observed_at > BELIEVED_FOR
            reset = window.resets_at is not None and window.resets_at <= now
            other = name.startswith("seven_day_") and name.removeprefix("seven_day_") not in model
            if not (old or reset or other):
                rejected = window.status == "rejected"
                percents.append(100.0 if rejected else 100 * (window.utilization or 0))
        return max(percents) >= ceiling

    def _spent(self, now: datetime) -> int:
        while self.costs and self.costs[0][0] <= now - WEEK:
            self.spent -= self.costs.popleft()[1]
        return self.spent

    def _wrong(self, now: datetime, what: str) -> None:
        self.wrongs.append(f"{now:%a %H:%M:%S} {self.subscription_id}: {what}")


def witness_of(
    subscription_id: str, week_usd: float, slots: int, places: int, limits: AdmissionLimits
) -> Witness:
    return Witness(subscription_id, nano_usd(week_usd), slots, places, limits)
