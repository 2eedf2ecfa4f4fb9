from decimal import Decimal

from pool.executions.request import ExecutionRequest
from tests.support.pools.localpool import LocalPool


def ask(prompt: str = "q", **of: object) -> ExecutionRequest:
    return ExecutionRequest.model_validate({"prompt": prompt} | of)


async def test_the_overview_adds_everything_up(local_pool: LocalPool) -> None:
    for n in range(5):
        await local_pool.client.execute(ask(str(n)))
    for id_ in ("sub1", "sub2", "sub3"):
        report = await local_pool.actors.subscription(id_).next_report(-1, -1, 0)
        local_pool.router._followers.remember(report)

    overview = await local_pool.client.pool()

    assert (3, 5, 5, Decimal("0.003")) == (
        overview.subscriptions,
        overview.executions,
        overview.records,
        overview.total_cost_usd,
    )
    assert {each.step: each.count for each in overview.latency}["dispatch"] == 5
