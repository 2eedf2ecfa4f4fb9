"""Idleness: for how long a subscription has nothing to do before it falls asleep."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from pool.subscriptions.report import Report

KEPT_UP = 10
"""So many subscriptions may be up without having run anything. Of hundreds that are registered,
each one more would take some 80 MB for nothing."""
UNUSED = timedelta(seconds=60)
"""How long a subscription beyond ``KEPT_UP`` stays up that has run nothing: its login, its models
and its account's limits are read by then."""
TURNED_SECONDS = 0.02
"""Before a subscription is asked again whose report was overtaken by the clock on its way."""


def until_it_sleeps(
    report: Report, up_since: datetime, now: datetime, idle: timedelta, *, is_one_too_many: bool
) -> float:
    """Seconds until a subscription is to fall asleep; infinite for one that has something to do.
    ``idle``: for how long one is kept up that has run something since it came up; any one, where
    there is room for all.
    """
    if report.idle_since is None:
        return math.inf
    is_used = report.last_request_at is not None and report.last_request_at >= up_since
    kept = min(idle, UNUSED) if is_one_too_many and not is_used else idle
    return (report.idle_since + kept - now).total_seconds()


def until_it_turns(report: Report, now: datetime) -> float:
    """Seconds until a subscription's state changes by the clock alone, which nobody tells of. Soon,
    where it has changed since the report was made.
    """
    until = report.state_until
    if until is None:
        return math.inf
    has_turned = report.observed_at < until <= now
    return TURNED_SECONDS if has_turned else (until - now).total_seconds()
