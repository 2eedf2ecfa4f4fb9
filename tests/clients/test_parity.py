"""One suite through HTTP, through the asynchronous client and through the blocking one."""

from __future__ import annotations

from typing import Any

import pytest
from behaviours import BEHAVIOURS, Behaviour, ask
from drivers import Blocking, HttpClient
from localpool import LocalPool

from actors.client import PoolClient

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda each: each.__name__)
async def test_every_way_behaves_alike(behaviour: Behaviour, client: Any) -> None:
    await behaviour(client)


async def test_every_way_shows_the_same_values(
    pool: LocalPool, http: HttpClient, remote: PoolClient, blocking: Blocking
) -> None:
    ended = await remote.execute(ask())
    id_ = ended.subscription_id

    for other in (http, blocking):
        assert ended == await other.result(ended.id)
        assert await remote.subscription(id_) == await other.subscription(id_)
        assert await remote.executions() == await other.executions()
        assert await remote.usage(id_) == await other.usage(id_)
        assert await remote.blocks(id_) == await other.blocks(id_)
        assert await remote.sessions() == await other.sessions()
        assert await remote.usage_by() == await other.usage_by()
        assert await remote.pool() == await other.pool()
        assert await remote.route(ask()) == await other.route(ask())
