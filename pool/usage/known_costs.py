"""The expected costs of runs, from the reports of all subscriptions and kept up to date.

Only the dearest decide (``floor``), so only those are kept at hand that may be the dearest for some
length of prompt: of a thousand subscriptions a few. What it comes to is what ``floor`` comes to
over all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from pool.usage.expected_cost import ExpectedCost, Floor, Kind, floor
from pool.usage.records import RunSize


class KnownCosts:
    """The expected costs that subscriptions reported last."""

    def __init__(self) -> None:
        self._reported: dict[str, Sequence[ExpectedCost]] = {}
        self._kinds: dict[Kind, _OfKind] = {}

    def heard(self, subscription_id: str, costs: Sequence[ExpectedCost]) -> None:
        """Go by what a subscription reports now; by nothing, where it is not there any more."""
        before = self._reported.pop(subscription_id, ())
        if costs:
            self._reported[subscription_id] = costs
        now = {(each.model, each.uses_tools): each for each in costs}
        for kind in now.keys() | {(each.model, each.uses_tools) for each in before}:
            self._kinds.setdefault(kind, _OfKind()).put(subscription_id, now.get(kind))
            if not self._kinds[kind].costs:
                del self._kinds[kind]

    def floor(self, size: RunSize, runs_as: Collection[str] = frozenset()) -> Floor:
        """The least to be held for a run of a size."""
        dearest = (each for kind in self._kinds.values() for each in kind.dearest())
        return floor(dearest, size, runs_as)


class _OfKind:
    """What runs of a model cost, with tools or without."""

    def __init__(self) -> None:
        self.costs: dict[str, ExpectedCost] = {}
        self._runs = 0
        self._dearest: list[ExpectedCost] | None = []
        """None where it has to be found anew."""

    def put(self, subscription_id: str, cost: ExpectedCost | None) -> None:
        before = self.costs.pop(subscription_id, None)
        if before is not None:
            self._runs -= before.runs
            if self._dearest is not None and any(each is before for each in self._dearest):
                self._dearest = None
        if cost is not None:
            self.costs[subscription_id] = cost
            self._runs += cost.runs
            if self._dearest is not None:
                self._dearest = _with(self._dearest, cost)

    def dearest(self) -> Iterator[ExpectedCost]:
        """Those that may be the dearest, with the runs of all."""
        if self._dearest is None:
            self._dearest = []
            for cost in self.costs.values():
                self._dearest = _with(self._dearest, cost)
        first, *others = self._dearest
        runs = self._runs - sum(each.runs for each in others)
        yield first.model_copy(update={"runs": runs})
        yield from others


def _with(dearest: list[ExpectedCost], cost: ExpectedCost) -> list[ExpectedCost]:
    """One more among those that may be the dearest, less those that cannot be any more."""
    if any(_is_as_dear(each, cost) for each in dearest):
        return dearest
    return [each for each in dearest if not _is_as_dear(cost, each)] + [cost]


def _is_as_dear(one: ExpectedCost, other: ExpectedCost) -> bool:
    """Whether one is as dear as another for prompts of any length, by a price as sure."""
    return (
        one.price_source == other.price_source
        and one.input_usd_per_million >= other.input_usd_per_million
        and one.beyond_input_usd >= other.beyond_input_usd
    )
