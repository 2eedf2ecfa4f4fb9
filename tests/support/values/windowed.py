"""An account whose windows fill with what the pool and others spend, at a planted price."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pool.limits.forecast import Study, studied
from pool.limits.observations import length_of
from pool.limits.windows import FIVE_HOUR, RateLimitEvent, Window
from pool.money import nano_usd
from pool.usage.spending import Spending
from tests.support.values.examples import NOON


@dataclass
class Account:
    """Utilization is told in whole percents, rounded down, a moment before the run is settled."""

    usd_per_percent: float = 0.5
    name: str = FIVE_HOUR
    starts_at: datetime = NOON
    now: datetime = NOON
    percent: float = 0.0
    spending: Spending = field(default_factory=Spending)
    events: list[RateLimitEvent] = field(default_factory=list)
    lag: timedelta = timedelta(milliseconds=300)

    @property
    def resets_at(self) -> datetime:
        length = length_of(self.name)
        assert length is not None
        return self.starts_at + length

    def others_use(self, percent: float) -> None:
        """Somebody uses the account outside the pool."""
        self.percent += percent

    def run(self, cost_usd: float, after: timedelta = timedelta(minutes=1)) -> None:
        """A run of the pool ends some time after the last one."""
        self.now += after
        self.percent += cost_usd / self.usd_per_percent
        self.see()
        if cost_usd:
            self.spending.add(self.now + self.lag, nano_usd(cost_usd))

    def see(self, status: str = "allowed") -> None:
        shown = Window(
            status=status,
            observed_at=self.now,
            utilization=min(100, math.floor(self.percent + 1e-9)) / 100,
            resets_at=self.resets_at,
        )
        self.events.append(
            RateLimitEvent(observed_at=self.now, status=status, windows={self.name: shown})
        )

    def reset(self) -> None:
        """The next period begins."""
        self.starts_at = self.now = max(self.now, self.resets_at)
        self.percent = 0.0

    def studies(self) -> dict[str, Study]:
        return studied({}, self.events, self.spending)

    def study(self) -> Study:
        return self.studies()[self.name]
