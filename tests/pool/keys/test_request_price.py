from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from pool.executions.request import ExecutionRequest
from pool.keys.api_keys import KeySpec
from pool.keys.request_price import limited_price, reserved_amount
from pool.money import NANO_PER_USD
from pool.usage.expected_cost import Floor

USD = NANO_PER_USD


def ask(**of: object) -> ExecutionRequest:
    return ExecutionRequest.model_validate({"prompt": "q"} | of)


def key(**of: object) -> KeySpec:
    return KeySpec.model_validate({"name": "ci"} | of)


claims = st.none() | st.integers(1, 10**10).map(lambda nano: Decimal(nano) / NANO_PER_USD)
amounts = st.integers(0, 10 * USD)


def test_a_request_holds_its_own_price_or_that_of_its_key_or_what_such_requests_cost() -> None:
    dear, cheap = ask(max_budget_usd="0.75"), ask(max_budget_usd="0.000001")
    seen = Floor(seen=USD // 4)

    assert reserved_amount(key(max_request_usd=2), dear, seen) == 3 * USD // 4
    assert reserved_amount(key(max_request_usd=2), ask(), seen) == 2 * USD
    assert reserved_amount(key(max_request_usd=2), cheap, seen) == USD // 4
    assert reserved_amount(key(daily_budget_usd=2), ask(), seen) == USD // 4


@given(claims, claims, amounts, amounts)
def test_whatever_a_caller_claims_no_less_is_held_than_such_requests_cost(
    claimed: Decimal | None, of_the_key: Decimal | None, seen: int, spent: int
) -> None:
    limits, request = key(max_request_usd=of_the_key), ask(max_budget_usd=claimed)

    held = reserved_amount(limits, request, Floor(seen=seen), spent)

    assert held >= spent + seen
    assert held >= (claimed or 0) * NANO_PER_USD


def test_the_price_of_a_key_ends_runs_with_tools_and_no_answer_that_is_paid_for() -> None:
    limits, tools = key(max_request_usd=2), {"tools": ["Read"]}

    assert limited_price(limits, ask(**tools)).max_budget_usd == 2
    assert limited_price(limits, ask(**tools, max_budget_usd=1)).max_budget_usd == 1
    assert limited_price(limits, ask()).max_budget_usd is None
    assert limited_price(limits, ask(max_budget_usd=1)).max_budget_usd == 1
    assert limited_price(key(), ask(**tools)).max_budget_usd is None
