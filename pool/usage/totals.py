"""Sums of usage records: of a block, and of a subscription's whole life."""

from __future__ import annotations

from collections.abc import Iterable

from pool.money import Usd
from pool.usage.records import Usage
from pool.values import Instant, Value


class BlockTotal(Value):
    """The sum of a block's records, kept in the transaction that adds one."""

    block_id: str
    starts_at: Instant
    ends_at: Instant
    records: int
    in_periods: int = 0
    """How many of them the totals of periods hold: all, until these are removed with the records.
    Where it is less they say nothing of the block."""
    usage: Usage


class LifetimeTotal(Value):
    """Everything ever recorded; retention does not lower it."""

    executions: int = 0
    records: int = 0
    usage: Usage = Usage()


class BlockReport(Value):
    """What a block cost. ``percent`` is of the expected block cost, from local records."""

    id: str
    starts_at: Instant
    ends_at: Instant
    cost_usd: Usd
    percent: float
    records: int | None = None


def total_usage(parts: Iterable[Usage]) -> Usage:
    """The sum of many usages."""
    return sum(parts, Usage())
