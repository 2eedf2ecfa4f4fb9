"""The choices of a router: which subscriptions a request could go to, by the reports as they come.

Nothing here looks at all subscriptions for one request: orders, and the catalogue of models, are
kept up to date as reports come and requests are sent, so that a decision costs about the same
whether there are ten of them or a thousand. The choice itself, with the session's home in it, is
made from the ranking by ``placement.target_of``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from actors.router.dispatching.placement import Order, first_heard, question_of
from actors.router.presence.followers import Followers
from pool.routing.live_ranking import MOST_TOLD, LiveRankings
from pool.routing.model_catalogue import Catalogue, KnownModels
from pool.routing.policy import RoutingPolicy
from pool.routing.ranking import Ranking
from pool.subscriptions.admission import Refusal
from pool.subscriptions.report import Report
from pool.usage.expected_cost import Floor
from pool.usage.known_costs import KnownCosts
from pool.usage.records import RunSize


class Choices:
    """What is known of the subscriptions of a pool, for one request after the other."""

    def __init__(
        self,
        followers: Followers,
        policy: RoutingPolicy,
        default_model: str,
        models: tuple[str, ...],
        clock: Callable[[], datetime],
    ) -> None:
        self._followers = followers
        self._default_model = default_model
        self._clock = clock
        self._rankings = LiveRankings(policy)
        self._models = KnownModels(default_model, models)
        self._costs = KnownCosts()
        followers.add_reader(self)

    def heard(self, report: Report) -> None:
        self._rankings.heard(report, self._clock())
        self._models.heard(report)
        self._costs.heard(report.id, report.expected_costs)

    def left(self, subscription_id: str) -> None:
        self._rankings.left(subscription_id, self._clock())
        self._models.left(subscription_id)
        self._costs.heard(subscription_id, ())

    @property
    def catalogue(self) -> Catalogue:
        return self._models.catalogue

    def floor(self, size: RunSize, runs_as: Collection[str]) -> Floor:
        """The least to be held for a run of a size, wherever it runs."""
        return self._costs.floor(size, runs_as)

    def ranking(
        self,
        order: Order,
        refusals: Mapping[str, Refusal],
        *,
        asked: str | None = None,
        most: int = MOST_TOLD,
    ) -> Ranking:
        """The best ``most`` for an order, and what it has to do with. ``asked``: who was asked for
        it before; ``refusals``: of those that it was brought to.
        """
        question = question_of(order, refusals, self._default_model, asked)
        return self._rankings.ranking(question, self._clock(), most)

    def whole(self, order: Order) -> Ranking:
        """All that an order's caller may know of, one by one."""
        question = question_of(order, order.barred, self._default_model)
        return self._rankings.whole(question, self._clock())

    async def hear(self, order: Order) -> None:
        """Wait, within bounds, until there is somebody to choose from."""
        only = first_heard(order)
        await (self._followers.await_any() if only is None else self._followers.await_one([only]))
        await self._followers.await_enough(
            lambda: bool(self.ranking(order, order.barred, most=1).usable)
        )

    @contextmanager
    def sending_to(self, subscription_id: str) -> Iterator[None]:
        """Count a request that is on its way, from the very step that chose its goal: that has less
        room for others, and does not fall asleep.
        """
        self._sent(subscription_id, 1)
        try:
            yield
        finally:
            self._sent(subscription_id, -1)

    def _sent(self, subscription_id: str, more: int) -> None:
        self._rankings.sent(subscription_id, more, self._clock())
        self._followers.sent(subscription_id, more)
