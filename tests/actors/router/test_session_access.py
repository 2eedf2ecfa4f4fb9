from __future__ import annotations

from actors.router.session_access import is_open
from pool.executions.request import ExecutionRequest
from pool.executions.session import SessionHome
from pool.keys.access import FULL_ACCESS, Access
from pool.keys.api_keys import KeySpec
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import NOON

CI, OTHER = Access(tenant="ci"), Access(tenant="other")


async def old(pool: LocalPool) -> SessionHome:
    """A session of the key ``ci``, as the directory knew it before it noted tenants."""
    await pool.client.create_key(KeySpec(name="ci", scopes=("admin",)))
    turn = await pool.client.execute(ExecutionRequest(prompt="say yes"), caller="ci")
    return SessionHome(
        session_id=turn.session_id, subscription_id=turn.subscription_id, used_at=NOON
    )


async def test_an_old_session_is_open_to_those_whose_turns_are_in_it(local_pool: LocalPool) -> None:
    home, known = await old(local_pool), {"sub1", "sub2", "sub3"}

    found = [
        await is_open(home, access, local_pool.actors, known)
        for access in (CI, OTHER, FULL_ACCESS, Access(tenant="ci", models=("claude-haiku-*",)))
    ]

    assert found == [True, False, True, True]


async def test_an_old_session_of_a_removed_subscription_is_open_to_operators(
    local_pool: LocalPool,
) -> None:
    home = await old(local_pool)

    assert not await is_open(home, CI, local_pool.actors, ())
    assert await is_open(home, FULL_ACCESS, local_pool.actors, ())


async def test_a_session_whose_tenant_is_known_is_open_to_that_alone(local_pool: LocalPool) -> None:
    home = (await old(local_pool)).model_copy(update={"tenant": "other"})

    assert not await is_open(home, CI, local_pool.actors, {home.subscription_id})
    assert await is_open(home, OTHER, local_pool.actors, ())
