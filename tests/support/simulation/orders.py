"""In which order a simulated pool asks its subscriptions: the pool's own, and what others do
instead.

All of them stand behind the same gates, queues, cooldowns and failover, and prefer a free slot to a
queue, so that only the order is compared. That flatters the two others: what is called round robin
or sticking elsewhere has none of these.
"""

from __future__ import annotations

from enum import StrEnum

from pool.routing.policy import RoutingPolicy, RoutingSettings, Strategy
from pool.routing.ranking import Ranking
from pool.subscriptions.admission import AdmissionLimits


class OrderName(StrEnum):
    HEALTHIEST = "healthiest"
    USE_BEFORE_RESET = "use before reset"
    ROUND_ROBIN = "round robin"
    STICK = "stick until 98%"


class SubscriptionOrder:
    """An order of the subscriptions, with what it has to remember."""

    def __init__(self, name: OrderName) -> None:
        self.name = name
        self._last = ""

    @property
    def limits(self) -> AdmissionLimits:
        sticks = self.name is OrderName.STICK
        return AdmissionLimits(new_work_percent=98.0) if sticks else AdmissionLimits()

    @property
    def policy(self) -> RoutingPolicy:
        uses = self.name is OrderName.USE_BEFORE_RESET
        strategy = Strategy.USE_BEFORE_RESET if uses else Strategy.HEALTHIEST
        return RoutingPolicy(limits=self.limits, settings=RoutingSettings(strategy=strategy))

    def of(self, ranking: Ranking) -> Ranking:
        """The ranking in this order; who must refuse still comes last."""
        if self.name not in {OrderName.ROUND_ROBIN, OrderName.STICK}:
            return ranking
        goes_round = self.name is OrderName.ROUND_ROBIN

        def place(at: int) -> tuple[bool, int, bool, bool, str]:
            each = ranking.candidates[at]
            id_ = each.report.id
            had_its_turn = goes_round and id_ <= self._last
            return (
                each.refusal is not None,
                each.report.tier,
                each.place.is_full,
                had_its_turn,
                id_,
            )

        order = sorted(range(len(ranking.candidates)), key=place)
        return Ranking(candidates=tuple(ranking.candidates[at] for at in order))

    def chosen(self, subscription_id: str) -> None:
        self._last = subscription_id
