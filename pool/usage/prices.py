"""Prices, learned from what the pool's own runs were charged.

No price list is shipped: it would be wrong one day without saying so. What the CLI reports of a run
is one equation a model, ``tokens x prices = cost``, with a price for each kind of token. The
equations are kept in their reduced echelon form, in integers. That form is the same whatever their
order; it grows to four rows at most; and it decides exactly which costs follow from it. Two runs
with the same proportions of tokens teach one row, and price any run of these proportions.

Where the equations contradict each other, the price is not one (it changed; web searches were
charged as well; answers beyond the long context cost more), and nothing is said. One contradiction
is expected: the CLI gives one count for cache writes that live five minutes and an hour, whose
prices differ. Then runs without cache writes are still priced, from runs without them.

What does not follow may be estimated with the proportions of Anthropic's price lists, each of which
is named in the answer, is used only where it is needed, and gives way to what was learned: reading
the cache is a tenth of the input price on most models, and a twentieth on some. A cache write that
lives an hour costs twice the input price on all of them; where it is kept apart from the others, it
is priced as that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import combinations
from math import gcd
from types import MappingProxyType

from pydantic import Field

from pool.usage.records import ModelUsage, Usage, UsageRecord, UsageSource
from pool.values import Value

Row = tuple[int, int, int, int, int]
"""Tokens for input, output, writing and reading the cache, and what they cost together."""

_KINDS = 4
_ASSUMPTIONS: dict[str, Row] = {
    "output costs 5 x input": (5, -1, 0, 0, 0),
    "a cache write costs 1.25 x input": (5, 0, -4, 0, 0),
    "a cache read costs 0.1 x input": (1, 0, 0, -10, 0),
}
_HOUR_WRITES = "a cache write of an hour costs 2 x input"
_NONE: Mapping[str, int] = MappingProxyType({})


class Equations(Value):
    """What is known of one model's prices. ``rows``: the reduced echelon form, each row in lowest
    terms with a positive leading coefficient.
    """

    rows: tuple[Row, ...] = ()
    is_contradictory: bool = False

    def and_also(self, row: Row) -> Equations:
        """These equations and one more."""
        rest = _reduced(row, self.rows)
        if self.is_contradictory or not any(rest):
            return self
        if not any(rest[:_KINDS]):
            return Equations(is_contradictory=True)
        rows = [rest, *(_reduced(known, (rest,)) for known in self.rows)]
        if any(cost < 0 and sum(map(bool, kinds)) == 1 for *kinds, cost in rows):
            return Equations(is_contradictory=True)  # a price below nothing is none
        return Equations(rows=tuple(sorted(rows, key=_leading)))

    def cost(self, tokens: Row) -> Fraction | None:
        """What these tokens cost, where it follows. The last number of ``tokens`` is not used."""
        if self.is_contradictory:
            return None
        left, cost = [Fraction(count) for count in tokens[:_KINDS]], Fraction(0)
        for row in self.rows:
            factor = left[_leading(row)] / row[_leading(row)]
            left = [one - factor * other for one, other in zip(left, row, strict=False)]
            cost += factor * row[-1]
        return None if any(left) or cost < 0 else cost


class ModelPrices(Value):
    """What was learned about one model."""

    all: Equations = Equations()
    without_writes: Equations = Equations()
    """Of the runs alone that wrote nothing to the cache."""

    def having_seen(self, usage: ModelUsage) -> ModelPrices:
        row = _row(usage)
        writes = usage.cache_creation_input_tokens > 0
        return ModelPrices(
            all=self.all.and_also(row),
            without_writes=self.without_writes if writes else self.without_writes.and_also(row),
        )

    def cost(self, usage: ModelUsage, hour_writes: int) -> tuple[int, tuple[str, ...]] | None:
        """Nano-dollars, rounded down, and what had to be assumed; None where that is not enough."""
        row, kept = _row(usage, hour_writes), (_HOUR_WRITES,) if hour_writes else ()
        equations = self.without_writes if self.all.is_contradictory else self.all
        for size in range(len(_ASSUMPTIONS) + 1):
            for assumed in combinations(_ASSUMPTIONS, size):
                supposed = equations
                for name in assumed:
                    supposed = supposed.and_also(_ASSUMPTIONS[name])
                if (cost := supposed.cost(row)) is not None:
                    return int(cost), (*assumed, *kept)
        return None


class EstimatedCost(Value):
    """What tokens cost by the prices that were learned."""

    usage: Usage
    """The same tokens with their costs, 0 where a model is ``unpriced``."""
    unpriced: tuple[str, ...] = ()
    """Models whose tokens cannot be priced yet."""
    assumed: tuple[str, ...] = ()
    """Proportions of prices that were not learned, in words."""

    @property
    def cost_nano_usd(self) -> int:
        return self.usage.cost_nano_usd

    @property
    def known(self) -> bool:
        """Whether all of it follows from what was charged before."""
        return not self.unpriced and not self.assumed


class LearnedPrices(Value):
    """Prices by model, as far as they are known."""

    models: dict[str, ModelPrices] = Field(default_factory=dict)

    @classmethod
    def learned_from(cls, records: Iterable[UsageRecord]) -> LearnedPrices:
        """Prices that follow from records; only from what the CLI itself said of a whole run."""
        prices: dict[str, ModelPrices] = {}
        for record in records:
            if record.source is UsageSource.CLI:
                _learn(prices, record.usage)
        return cls(models=prices)

    def having_seen(self, usage: Usage) -> LearnedPrices:
        """These prices, and what one more run of the CLI teaches."""
        prices = dict(self.models)
        _learn(prices, usage)
        return LearnedPrices(models=prices)

    def estimate(self, usage: Usage, hour_writes: Mapping[str, int] = _NONE) -> EstimatedCost:
        """What ``usage`` costs; its own figures of cost are not looked at. ``hour_writes``: by
        model, how many of the tokens that it wrote to the cache live an hour.
        """
        priced: dict[str, ModelUsage] = {}
        unpriced: list[str] = []
        assumed: set[str] = set()
        for name, tokens in usage.models.items():
            found = self.models.get(name, ModelPrices()).cost(tokens, hour_writes.get(name, 0))
            if found is None:
                unpriced.append(name)
            cost, assumptions = found or (0, ())
            assumed.update(assumptions)
            priced[name] = tokens.model_copy(update={"cost_nano_usd": cost})
        return EstimatedCost(
            usage=Usage(models=priced),
            unpriced=tuple(sorted(unpriced)),
            assumed=tuple(sorted(assumed)),
        )


def _learn(prices: dict[str, ModelPrices], usage: Usage) -> None:
    for name, tokens in usage.models.items():
        if any(_row(tokens)):
            prices[name] = prices.get(name, ModelPrices()).having_seen(tokens)


def _row(usage: ModelUsage, hour_writes: int = 0) -> Row:
    """The tokens by their prices: one that is kept for an hour costs as much as two of input."""
    hour_writes = min(hour_writes, usage.cache_creation_input_tokens)
    return (
        usage.input_tokens + 2 * hour_writes,
        usage.output_tokens,
        usage.cache_creation_input_tokens - hour_writes,
        usage.cache_read_input_tokens,
        usage.cost_nano_usd,
    )


def _leading(row: Row) -> int:
    """The place of the first kind of token that stands in a row."""
    return next(place for place in range(_KINDS) if row[place])


def _reduced(row: Row, by: Iterable[Row]) -> Row:
    """A row without the leading kinds of others, in lowest terms."""
    numbers = list(row)
    for other in by:
        place = _leading(other)
        factor, own = numbers[place], other[place]
        numbers = [own * one - factor * two for one, two in zip(numbers, other, strict=True)]
    divisor = gcd(*numbers) or 1
    if next((number for number in numbers if number), 1) < 0:
        divisor = -divisor
    one, two, three, four, cost = (number // divisor for number in numbers)
    return one, two, three, four, cost
