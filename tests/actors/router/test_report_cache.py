"""The watch over subscriptions: what is declared holds, whatever was activated before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal

from localpool import LocalPool, spec

from pool.subscriptions.spec import SubscriptionChange

OpenPool = Callable[..., Awaitable[LocalPool]]


async def budgets(pool: LocalPool) -> dict[str, Decimal]:
    return {each.id: each.weekly.budget_usd for each in await pool.client.subscriptions()}


async def test_what_stands_in_the_file_holds_at_the_very_next_start(open_pool: OpenPool) -> None:
    first = await open_pool(spec("sub1", weekly_budget_usd=456), spec("sub2"))
    await first.close()

    second = await open_pool(spec("sub1", weekly_budget_usd=100), spec("sub2"))

    assert await budgets(second) == {"sub1": Decimal(100), "sub2": Decimal(456)}


async def test_a_change_in_the_file_wins_over_one_that_was_made_while_it_ran(
    open_pool: OpenPool,
) -> None:
    first = await open_pool(spec("sub1", max_concurrent=2))
    await first.client.change("sub1", SubscriptionChange(max_concurrent=9))
    await first.close()

    second = await open_pool(spec("sub1", max_concurrent=3))

    assert (await second.client.subscription("sub1")).max_concurrent == 3
    assert second.actors.subscription("sub1")._context.state.spec.max_concurrent == 3


async def test_a_router_that_runs_already_has_a_new_declaration_hold_when_it_returns(
    local_pool: LocalPool,
) -> None:
    declared = [spec(f"sub{n}", weekly_budget_usd=100) for n in (1, 2, 3)]

    await local_pool.router.declare(declared)

    assert set((await budgets(local_pool)).values()) == {Decimal(100)}
