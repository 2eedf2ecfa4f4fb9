"""The forecast of one subscription: what the present rate of spending leads to.

A function of what was observed, what was spent, and ``now``. The rate is that of the last hour,
exponentially weighted. It meets the weekly budget, whose old costs leave the seven days meanwhile,
and Anthropic's windows, where the price of their percent was learned. What is unknown is None,
never 0. What only an observation can change is found out once for each (``Study``), so that a
report, which is made at every change, costs microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import Field

from pool.limits.observations import LENGTHS, Observation, continued, observation
from pool.limits.outside_usage import Outside, outside
from pool.limits.past_window import PastWindow, past_window
from pool.limits.window_price import Confidence, WindowPrice, learned
from pool.limits.windows import RateLimitEvent
from pool.money import Usd, usd
from pool.usage.blocks import Block
from pool.usage.spending import WEEK, Spending
from pool.values import Instant, Value

BUDGET = "weekly_budget"
"""Names the pool's own limit where the name of a window could stand."""
_HOUR = timedelta(hours=1)
_PRECISION = timedelta(seconds=1)
_ROUNDS = 64


class OutsideUsage(Value):
    """The share of a window that was used outside the pool since it began: at least this."""

    percent: float
    evidence: str
    since: Instant
    observed_at: Instant
    age_seconds: float


class WindowForecast(Value):
    """One of Anthropic's windows, as far as the pool understands it."""

    usd_per_percent: Usd | None = None
    """What a percent of it costs, learned from the pool's own runs."""
    confidence: Confidence | None = None
    strides: int = 0
    """From how many stretches of at least 3 percent the price was learned."""
    percent: float | None = None
    """Used at this instant: as last observed, and what the pool spent since, at that price. None
    where it was reset or not seen for too long."""
    exhausted_at: Instant | None = None
    """None where it resets before, where nothing burns, or where no price is known."""
    outside: OutsideUsage | None = None
    """None where nobody can know, and after a reset."""
    past: PastWindow | None = None
    """The last one that has reset; None where none was seen."""


class SubscriptionForecast(Value):
    """What the present burn rate leads to for one subscription."""

    projected_block_usd: Usd
    """What the current block will have cost at its end."""
    exhausted_at: Instant | None = None
    """When the first of its limits is used up; None where none will be at this rate."""
    exhausted_by: str | None = None
    """Which limit that is: ``weekly_budget``, ``five_hour`` or ``seven_day``."""
    windows: dict[str, WindowForecast] = Field(default_factory=dict)
    """By their names; of a family of models once it has reset, with what it left alone."""


@dataclass(frozen=True)
class Study:
    """One window's observations, and what follows from them."""

    observations: tuple[Observation, ...]
    window_price: WindowPrice | None
    outside: Outside | None
    past: Observation | None = None
    """The last one of the window before."""


@dataclass(frozen=True)
class Prospect:
    """What a subscription's forecast is made from, besides its windows. Amounts in nano-dollars."""

    spending: Spending
    burn_nano_usd_per_hour: int
    block: Block
    block_nano_usd: int
    budget_nano_usd: int
    reserved_nano_usd: int
    windows_bind: bool
    """False for a subscription that may spend beyond its windows."""
    window_max_age: timedelta


def studied(
    studies: Mapping[str, Study], events: Iterable[RateLimitEvent], spending: Spending
) -> dict[str, Study]:
    """What is known of the windows after newer events, in the order of their time.

    ``spending`` has the costs of the runs that the events came from.
    """
    known: dict[str, tuple[Observation, ...]] = {}
    past = {name: study.past for name, study in studies.items()}
    for event in events:
        for name, window in event.windows.items():
            seen = observation(name, window, spending)
            if seen is not None:
                before = known[name] if name in known else _observations(studies, name)
                known[name] = after = continued(before, seen)
                if before and not after[-1].is_of_the_period_of(before[-1]):
                    past[name] = before[-1]
    return {
        **studies,
        **{name: _study(name, seen, past.get(name), spending) for name, seen in known.items()},
    }


def forecast(
    prospect: Prospect, studies: Mapping[str, Study], now: datetime
) -> SubscriptionForecast:
    """The subscription's forecast at ``now``."""
    windows = {
        name: _window(prospect, study, now)
        for name, study in sorted(studies.items())
        if name in LENGTHS
    }
    ends = [(budget_exhausted_at(prospect, now), BUDGET)]
    if prospect.windows_bind:
        ends += [(window.exhausted_at, name) for name, window in windows.items()]
    at, by = min(((at, by) for at, by in ends if at is not None), default=(None, None))
    left_hours = max(timedelta(0), prospect.block.ends_at - now) / _HOUR
    to_come = round(prospect.burn_nano_usd_per_hour * left_hours)
    return SubscriptionForecast(
        projected_block_usd=usd(prospect.block_nano_usd + to_come),
        exhausted_at=at,
        exhausted_by=by,
        windows={**windows, **_of_families(prospect.spending, studies, now)},
    )


def _of_families(
    spending: Spending, studies: Mapping[str, Study], now: datetime
) -> dict[str, WindowForecast]:
    """Of the windows of families that have reset: what they left, and nothing else is known."""
    past = {
        name: _past(spending, study, now)
        for name, study in sorted(studies.items())
        if name not in LENGTHS
    }
    return {name: WindowForecast(past=each) for name, each in past.items() if each is not None}


def budget_exhausted_at(prospect: Prospect, now: datetime) -> datetime | None:
    """When the last seven days will have cost the weekly budget; None if they never will.

    What leaves the seven days until then makes room again. Each round asks when the budget ends
    with the room that there is at the end the round before found: that never overshoots the true
    instant (unless adjustments that took away leave the week too), and reaches it within a second,
    or close by after 64 rounds. A rate that does not use
    up the budget in seven days never will.
    """
    at, burn = now, prospect.burn_nano_usd_per_hour
    limit = prospect.budget_nano_usd - prospect.reserved_nano_usd
    for _ in range(_ROUNDS):
        room = limit - prospect.spending.after(at - WEEK, now)
        if room <= 0:
            return at
        if not burn or room > burn * (WEEK // _HOUR):
            return None
        later = now + _HOUR * (room / burn)
        if later - at < _PRECISION:
            return later
        at = later
    return at


def _observations(studies: Mapping[str, Study], name: str) -> tuple[Observation, ...]:
    return studies[name].observations if name in studies else ()


def _study(
    name: str,
    observations: tuple[Observation, ...],
    past: Observation | None,
    spending: Spending,
) -> Study:
    if name not in LENGTHS:
        return Study(observations, None, None, past)
    window_price = learned(observations, spending)
    return Study(observations, window_price, outside(observations, spending, window_price), past)


def _window(prospect: Prospect, study: Study, now: datetime) -> WindowForecast:
    last, window_price = study.observations[-1], study.window_price
    is_running = now < last.resets_at
    percent = None
    if is_running and now - last.at <= prospect.window_max_age:
        since = max(0, prospect.spending.after(last.settled_at, now))
        percent = last.percent + (
            window_price.percent_of(since) if window_price is not None else 0.0
        )
    return WindowForecast(
        usd_per_percent=None if window_price is None else usd(window_price.nano_usd_per_percent),
        confidence=None if window_price is None else window_price.confidence,
        strides=0 if window_price is None else window_price.strides,
        percent=None if percent is None else round(percent, 1),
        exhausted_at=None if percent is None else _full_at(prospect, study, percent, now),
        outside=_shown(study.outside, now) if is_running else None,
        past=_past(prospect.spending, study, now),
    )


def _past(spending: Spending, study: Study, now: datetime) -> PastWindow | None:
    """The latest that has reset: the last one seen, or else the one before it."""
    last = study.observations[-1]
    of = last if now >= last.resets_at else study.past
    return None if of is None else past_window(of, study.window_price, spending, now)


def _full_at(prospect: Prospect, study: Study, percent: float, now: datetime) -> datetime | None:
    if percent >= 100:
        return now
    burn = prospect.burn_nano_usd_per_hour
    if study.window_price is None or not burn:
        return None
    hours = (100 - percent) * study.window_price.nano_usd_per_percent / burn
    resets_in = study.observations[-1].resets_at - now
    return now + _HOUR * hours if hours < resets_in / _HOUR else None


def _shown(found: Outside | None, now: datetime) -> OutsideUsage | None:
    if found is None:
        return None
    return OutsideUsage(
        percent=found.percent,
        evidence=found.evidence,
        since=found.since,
        observed_at=found.observed_at,
        age_seconds=max(0.0, round((now - found.observed_at).total_seconds(), 3)),
    )
