"""One suite through HTTP, through the asynchronous client and through the blocking one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from actors.client.client import PoolClient
from pool.executions.execution import Execution
from tests.support.callers.behaviours import BEHAVIOURS, Behaviour, ask
from tests.support.callers.drivers import Blocking, HttpClient

pytestmark = pytest.mark.timeout(60)
Read = Callable[[], Awaitable[Any]]


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda each: each.__name__)
async def test_every_way_behaves_alike(behaviour: Behaviour, client: Any) -> None:
    await behaviour(client)


async def undisturbed(one: Read, other: Read) -> tuple[Any, Any]:
    """What both show of the same moment: the pool moves on by itself, if only by a report's
    version, and what moved between two looks says nothing of how it is shown.
    """
    for _ in range(100):
        before, shown, after = await one(), await other(), await one()
        if before == after:
            return before, shown
    raise AssertionError(f"it never stood still, and is now {after}")


READS: dict[str, Callable[[Any, Execution], Awaitable[Any]]] = {
    "result": lambda way, ended: way.result(ended.id),
    "subscription": lambda way, ended: way.subscription(ended.subscription_id),
    "executions": lambda way, _: way.executions(),
    "usage": lambda way, ended: way.usage(ended.subscription_id),
    "blocks": lambda way, ended: way.blocks(ended.subscription_id),
    "sessions": lambda way, _: way.sessions(),
    "usage_by": lambda way, _: way.usage_by(),
    "own_usage": lambda way, _: way.own_usage(),
    "pool": lambda way, _: way.pool(),
    "route": lambda way, _: way.route(ask()),
    "capacity": lambda way, _: way.capacity(n=3),
}


async def test_every_way_shows_the_same_values(
    http: HttpClient, remote: PoolClient, blocking: Blocking
) -> None:
    ended = await remote.execute(ask())

    for name, read in READS.items():
        for other in (http, blocking):
            expected, shown = await undisturbed(
                partial(read, remote, ended), partial(read, other, ended)
            )
            assert expected == shown, name
    assert ended == await remote.result(ended.id)
