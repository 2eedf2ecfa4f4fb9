"""The price of a request: what it may cost, and what is held for it until it has ended.

What a run costs is known when it has ended. Until then it holds what runs like it have cost by the
pool's own records; a price that its caller names may raise that, never lower it. A run that costs
more than it holds is counted in full.
"""

from __future__ import annotations

from decimal import Decimal

from pool.executions.request import ExecutionRequest
from pool.keys.api_keys import KeyLimits
from pool.money import nano_usd
from pool.usage.expected_cost import Floor


def price_limit(limits: KeyLimits, request: ExecutionRequest) -> Decimal | None:
    """What the run may cost: as the request says, or else the key; None where neither does."""
    asked = request.max_budget_usd
    return limits.max_request_usd if asked is None else asked


def reserved_amount(
    limits: KeyLimits, request: ExecutionRequest, least: Floor, spent_nano_usd: int = 0
) -> int:
    """Nano-dollars to hold for a request of which earlier attempts have spent so much: what runs
    like it have cost, or its price limit where that is more.
    """
    price = price_limit(limits, request)
    return max(0 if price is None else nano_usd(price), spent_nano_usd + least.seen)


def limited_price(limits: KeyLimits, request: ExecutionRequest) -> ExecutionRequest:
    """The request with the price limit at which its run is to be ended early.

    The CLI looks at it between two calls of the model. A run without tools is one call: nothing of
    it could be saved, and its answer, which is paid for by then, would be lost. So there the limit
    of a key decides what is held, and ends nothing that the caller has not asked to be ended.
    """
    if not request.uses_tools:
        return request
    return request.model_copy(update={"max_budget_usd": price_limit(limits, request)})
