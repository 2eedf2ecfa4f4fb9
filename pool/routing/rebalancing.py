"""Rebalancing: which idle sessions move, so that no subscription carries all the old
conversations.

Sessions stay where they are as a rule: a move costs what the API had cached of them. So only idle
ones move, only from the subscription that spent most to one that spent less by a gap that matters,
and only a few at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, NamedTuple

from pydantic import Field

from pool.executions.session import Session, SessionAge
from pool.money import Usd
from pool.subscriptions.overview.verdict import serves
from pool.subscriptions.report import Report
from pool.values import Value


class Rebalancing(Value):
    """``[rebalancing]`` of the configuration."""

    interval_seconds: Annotated[float, Field(ge=0, le=86400)] = 0
    """Between two looks; 0: sessions move only where their home cannot serve them."""
    cost_gap_usd: Annotated[Usd, Field(gt=0, le=1_000_000)] = Decimal(5)
    """How much more a subscription must have spent in this block than another, for its plan's
    weight."""
    most_per_cycle: Annotated[int, Field(ge=1, le=100)] = 3


class Relocation(NamedTuple):
    """A session to be given another home."""

    session_id: str
    instead_of: str
    subscription_id: str


def relocations(
    reports: Iterable[Report], sessions: Mapping[str, Sequence[Session]], policy: Rebalancing
) -> tuple[Relocation, ...]:
    """The moves of one cycle. ``sessions``: those of each subscription."""
    costs = {each.id: _burden(each) for each in reports if serves(each)}
    moves: list[Relocation] = []
    if len(costs) < 2:
        return ()
    fullest = max(costs, key=lambda id_: (costs[id_], id_))
    lightest = min(costs, key=lambda id_: (costs[id_], id_))
    if costs[fullest] - costs[lightest] >= policy.cost_gap_usd:
        idle = [each for each in sessions.get(fullest, ()) if each.state is SessionAge.IDLE]
        moves += [Relocation(each.id, fullest, lightest) for each in idle[: policy.most_per_cycle]]
    return tuple(moves)


def _burden(report: Report) -> Decimal:
    return report.current_block.cost_usd / Decimal(str(report.weight))
