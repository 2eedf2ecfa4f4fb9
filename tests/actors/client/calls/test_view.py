import pytest

from pool.errors import NotFound
from pool.keys.access import Access
from tests.support.pools.localpool import LocalPool


async def test_a_call_about_a_subscription_takes_its_id_by_place_or_by_name(
    local_pool: LocalPool,
) -> None:
    paused = await local_pool.client.pause("sub1")
    resumed = await local_pool.client.resume(subscription_id="sub1")

    assert (paused.state, resumed.state) == ("paused", "available")


@pytest.mark.parametrize("order", ["pause", "resume", "drain", "remove"])
async def test_a_subscription_that_somebody_has_no_access_to_is_not_there(
    local_pool: LocalPool, order: str
) -> None:
    client = local_pool.client.with_access(Access(subscriptions=("sub2",)))

    with pytest.raises(NotFound):
        await getattr(client, order)("sub1")

    assert (await local_pool.client.subscription("sub1")).state == "available"
