"""Observations of one of Anthropic's windows, one run after the other, while they still teach.

A window shows at the end of runs only, and in steps of a percent as a rule. Of a plateau its first
and its last observation are kept, so that a few hundred of them cover several periods of a busy
subscription. Its reset names a period; how long it lasts is in the window's name, which is all
that is ever computed of it, and only to look back: what was spent since it began.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from pool.limits.windows import FIVE_HOUR, REJECTED, SEVEN_DAY, Window
from pool.usage.spending import WEEK, Spending

LENGTHS = {FIVE_HOUR: timedelta(hours=5), SEVEN_DAY: WEEK}
"""The windows that everything a subscription spends counts in. Those of single families of models,
whose names begin with these, are observed for what they leave; no price is learned of them, since
what is kept in memory of costs does not say which model they were for."""
MAX_OBSERVATIONS = 200
KEPT_FOR = WEEK + timedelta(days=1)
"""As long as costs are remembered: without them, growth would look like somebody else's."""
SETTLED_WITHIN = timedelta(seconds=5)
"""A run's record is stamped when it is settled, a moment after its output showed the window: the
next cost within this time is taken for the one of the run that saw it."""
_SAME_RESET = timedelta(minutes=1)


@dataclass(frozen=True)
class Observation:
    """A window as a run saw it."""

    at: datetime
    settled_at: datetime
    """What the pool spent until then, this included, was before the observation."""
    percent: float
    starts_at: datetime
    resets_at: datetime

    def is_of_the_period_of(self, other: Observation) -> bool:
        return abs(self.resets_at - other.resets_at) <= _SAME_RESET


def observation(name: str, window: Window, spending: Spending) -> Observation | None:
    """What a reported window teaches; None where it lacks its utilization or its reset.

    ``spending`` has the cost of the run that saw it.
    """
    length = length_of(name)
    share = 1.0 if window.status == REJECTED else window.utilization
    if length is None or share is None or window.resets_at is None:
        return None
    seen_at = window.observed_at
    settled_at = spending.first_from(seen_at) or seen_at
    return Observation(
        at=seen_at,
        settled_at=settled_at if settled_at - seen_at <= SETTLED_WITHIN else seen_at,
        percent=100 * share,
        starts_at=window.resets_at - length,
        resets_at=window.resets_at,
    )


def length_of(window: str) -> timedelta | None:
    """How long a window lasts, of all models or of a family; None where its name does not say."""
    return next((LENGTHS[name] for name in LENGTHS if f"{window}_".startswith(f"{name}_")), None)


def continued(known: tuple[Observation, ...], new: Observation) -> tuple[Observation, ...]:
    """The observations and one more; one that is older than the last teaches nothing."""
    if known and new.at < known[-1].at:
        return known
    kept = known[:-1] if known and new.at == known[-1].at else known
    if len(kept) > 1 and all(_is_level(each, new) for each in kept[-2:]):
        kept = kept[:-1]
    recent = tuple(each for each in kept if each.at >= new.at - KEPT_FOR)
    return (*recent, new)[-MAX_OBSERVATIONS:]


def _is_level(known: Observation, new: Observation) -> bool:
    return known.percent == new.percent and known.is_of_the_period_of(new)
