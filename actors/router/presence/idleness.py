"""Idleness: for how long a subscription has nothing to do before it falls asleep."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from pool.subscriptions.report import Report

KEPT_UP = 10
"""As many may be up without having run anything; what there is beyond that, of hundreds that are
registered, has some 80 MB each for something else."""
UNUSED = timedelta(seconds=60)
"""How long one beyond these is up that has run nothing: its login, its models and its account's
limits are read by then."""
TURNED_SECONDS = 0.02
"""Before one is asked again whose report was overtaken by the clock on its way."""


def until_it_sleeps(
    report: Report, up_since: datetime, now: datetime, idle: timedelta, *, is_one_too_many: bool
) -> float:
    """Seconds; infinite for one that has something to do. ``idle``: for how long one is kept up
    that has run something since it came up, or where there is room for all.
    """
    if report.idle_since is None:
        return math.inf
    is_used = report.last_request_at is not None and report.last_request_at >= up_since
    kept = min(idle, UNUSED) if is_one_too_many and not is_used else idle
    return (report.idle_since + kept - now).total_seconds()


def until_it_turns(report: Report, now: datetime) -> float:
    """Seconds until its state is another one by the clock alone: nobody tells of that. Soon, where
    it has turned since the report was made.
    """
    until = report.state_until
    if until is None:
        return math.inf
    has_turned = report.observed_at < until <= now
    return TURNED_SECONDS if has_turned else (until - now).total_seconds()
