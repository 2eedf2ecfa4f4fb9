"""The clocks of nodes: how far one is from another, as far as that can be known.

Deadlines, blocks and weeks are a subscription's by the clock of the node where it is, and go on by
that of another one when it moves: with clocks that differ much the slot of a run that is out of
reach would be free too early, and records would stand in another block than they belong to.
"""

from __future__ import annotations

from datetime import datetime, timedelta

TOLERATED = timedelta(seconds=30)
"""Far more than any clock that is set by a network is off, and no more than the grace that
a run out of reach has beyond its deadline."""


def ahead(theirs: datetime | None, asked_at: datetime, answered_at: datetime) -> timedelta:
    """How far at least a clock is ahead of the one here (behind: less than nothing), of which only
    what it said between two instants is known.
    """
    if theirs is None or asked_at <= theirs <= answered_at:
        return timedelta()
    return theirs - (answered_at if theirs > answered_at else asked_at)


def problem(ahead: timedelta) -> str | None:
    """What is wrong with a clock that is so far ahead; None where nothing is."""
    if abs(ahead) <= TOLERATED:
        return None
    side = "ahead of" if ahead > timedelta() else "behind"
    seconds = abs(ahead).total_seconds()
    return f"its clock is {seconds:.0f} s {side} that of the router's node: set them (NTP)"
