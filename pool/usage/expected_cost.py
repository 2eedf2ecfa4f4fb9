"""The expected cost of a run: the least that is held for it, whatever its caller says.

Money is reserved before a run and known after it, so what is held goes by the pool's own records. A
cost is taken apart: what the input costs that is known to be sent, as if none of it were cached;
and what a run costs beyond that, for its answer, for what the CLI adds and for further calls. Of
the latter an upper quantile of the model's latest runs counts, and runs with tools are counted
apart, since they ask the model many times. So a long prompt holds more than a short one, and a
caller whose answers turn out long holds more the next time.

Until enough runs of a model were seen, a long answer is assumed too, at the model's price as far as
it was learned, else at a price of its family that is rather too high. No account is kept by these
prices: they give way to the first run's. A name of which nothing is known costs as the dearest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from types import MappingProxyType
from typing import Literal

from pool.money import Usd, nano_usd, usd
from pool.usage.model_names import FAMILIES, base_name, family_of, plain_name
from pool.usage.prices import LearnedPrices
from pool.usage.records import ModelUsage, RunSize, Usage, UsageRecord, UsageSource
from pool.values import Value

QUANTILE = 0.95
RECENT_RUNS = 100
"""Runs of a model, with tools or without, that are looked at: the latest."""
ENOUGH_RUNS = 20
"""Of fewer the quantile is no more than their maximum."""
MOST_KINDS = 16
"""How many models, with tools and without, are kept apart: those that ran last."""

LONG_ANSWER_TOKENS = 8_192
ADDED_TOKENS = {False: 1_000, True: 30_000}
"""What the CLI adds to a prompt, without tools and with them: 2 KB and 87 KB were measured."""

MILLION = 1_000_000
_OUTPUT_BY_INPUT = 4
"""An answer's token costs 5 times one of input, and one that is written to the cache 1.25 times."""
_MOST_BY_ASSUMED = 4
"""A price that is more times what is assumed is none: something else than tokens was charged too,
such as searches, in the few runs that it was learned from.
"""
_ASSUMED_USD: Mapping[str | None, str] = MappingProxyType(
    {"haiku": "1.25", "sonnet": "3.75", "opus": "18.75", None: "18.75"}
)
"""US dollars for a million tokens of input that are written to the cache."""

PriceSource = Literal["learned", "assumed"]


class Floor(Value):
    """The least that is held for a run, in nano-dollars."""

    seen: int = 0
    """By what runs like it have cost here."""
    assumed: int = 0
    """By assumption, as long as too few were seen."""

    @property
    def nano_usd(self) -> int:
        return max(self.seen, self.assumed)


class ExpectedCost(Value):
    """What runs of a model are expected to cost, by the latest of them."""

    model: str
    uses_tools: bool
    runs: int
    """How many it is learned from."""
    input_usd_per_million: Usd
    """For a million tokens that are sent for the first time."""
    price_source: PriceSource
    beyond_input_usd: Usd
    """What 95 of 100 runs cost at most beyond their input."""

    @property
    def price(self) -> int:
        return nano_usd(self.input_usd_per_million)

    def of(self, input_tokens: int) -> int:
        """Nano-dollars of a run with so much input."""
        return _cost(input_tokens, self.price) + nano_usd(self.beyond_input_usd)


Kind = tuple[str, bool]
"""A model, and whether runs of it use tools."""
Seen = tuple[int, int]
"""Tokens of input, and nano-dollars, of one run."""


@dataclass(frozen=True)
class RecentCosts:
    """What the latest runs have cost, by model and apart for those with tools."""

    runs: Mapping[Kind, tuple[Seen, ...]] = field(default_factory=dict)
    """Those of the kind that ran last come last."""
    expected: Mapping[Kind, ExpectedCost] = field(default_factory=dict)
    """What follows from them."""

    @classmethod
    def of_records(cls, newest_first: Sequence[UsageRecord], prices: LearnedPrices) -> RecentCosts:
        runs: Mapping[Kind, tuple[Seen, ...]] = {}
        for record in reversed(newest_first):
            runs = _followed(runs, record)
        expected = {kind: _expected(kind, latest, prices) for kind, latest in runs.items()}
        return cls(runs, expected)

    def having_seen(self, record: UsageRecord, prices: LearnedPrices) -> RecentCosts:
        """These costs and one more."""
        runs = _followed(self.runs, record)
        if runs is self.runs:
            return self
        *others, kind = runs
        expected = {each: self.expected[each] for each in others}
        return RecentCosts(runs, {**expected, kind: _expected(kind, runs[kind], prices)})


def _followed(
    runs: Mapping[Kind, tuple[Seen, ...]], record: UsageRecord
) -> Mapping[Kind, tuple[Seen, ...]]:
    """Runs and one more, where the CLI itself has said what all of it cost."""
    size, cost = record.size, record.usage.cost_nano_usd
    if size is None or cost <= 0 or record.source is not UsageSource.CLI:
        return runs
    kind = (base_name(size.model), size.uses_tools)
    latest = (*runs.get(kind, ()), (size.input_tokens, cost))[-RECENT_RUNS:]
    others = [each for each in runs if each != kind][-(MOST_KINDS - 1) :]
    return {**{each: runs[each] for each in others}, kind: latest}


def _expected(kind: Kind, runs: tuple[Seen, ...], prices: LearnedPrices) -> ExpectedCost:
    model, uses_tools = kind
    learned, price = _learned_price(model, prices), _assumed_price(model)
    is_learned = learned is not None and learned <= _MOST_BY_ASSUMED * price
    price = learned if learned is not None and is_learned else price
    beyond = (max(0, cost - _cost(tokens, price)) for tokens, cost in runs)
    return ExpectedCost(
        model=model,
        uses_tools=uses_tools,
        runs=len(runs),
        input_usd_per_million=usd(price),
        price_source="learned" if is_learned else "assumed",
        beyond_input_usd=usd(quantile(beyond)),
    )


def quantile(costs: Iterable[int]) -> int:
    """The least of some costs that at least so many of them do not go beyond."""
    ordered = sorted(costs)
    return ordered[ceil(QUANTILE * len(ordered)) - 1]


def floor(
    expected: Iterable[ExpectedCost], size: RunSize, runs_as: Collection[str] = frozenset()
) -> Floor:
    """The least to be held for a run of a size. Where several subscriptions know what it costs, or
    its model may run as several (``runs_as``), the dearest counts.
    """
    of_model = [each for each in expected if _is_same(each.model, size.model, runs_as)]
    alike = [each for each in of_model if each.uses_tools == size.uses_tools]
    seen = max((each.of(size.input_tokens) for each in alike), default=0)
    if sum(each.runs for each in alike) >= ENOUGH_RUNS:
        return Floor(seen=seen)
    learned = (each.price for each in of_model if each.price_source == "learned")
    price = max(learned, default=_assumed_price(size.model, runs_as))
    answer = LONG_ANSWER_TOKENS * _OUTPUT_BY_INPUT
    tokens = size.input_tokens + ADDED_TOKENS[size.uses_tools] + answer
    return Floor(seen=seen, assumed=_cost(tokens, price))


def _is_same(model: str, wanted: str, runs_as: Collection[str]) -> bool:
    """Whether the costs of one model's runs say what another's cost. An alias may be any of its
    family as long as nobody knows what it stands for.
    """
    if not runs_as and plain_name(wanted) in FAMILIES:
        return family_of(model) == plain_name(wanted)
    return base_name(model) in map(base_name, (wanted, *runs_as))


def _cost(tokens: int, price: int) -> int:
    """Nano-dollars of tokens at a price for a million; rounded up."""
    return -(-tokens * price // MILLION)


def _learned_price(model: str, prices: LearnedPrices) -> int | None:
    """Nano-dollars for a million tokens of new input; None where that does not follow."""
    tokens = ModelUsage(cache_creation_input_tokens=MILLION)
    names = [name for name in prices.models if base_name(name) == model]
    found = [prices.estimate(Usage(models={name: tokens})) for name in names]
    return max((each.cost_nano_usd for each in found if not each.unpriced), default=None)


def _assumed_price(model: str, runs_as: Collection[str] = frozenset()) -> int:
    families = map(family_of, runs_as or (model,))
    return max(nano_usd(_ASSUMED_USD.get(each, _ASSUMED_USD[None])) for each in families)
