from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from click.testing import Result

from actors.reconciler.poll import ReconcilerSettings
from actors.reconciler.reconciler import Reconciler
from api.demo.standin.bill import Bill, Usage
from pool.admin_api.organizations import Organization
from tests.support.admin_api.admin_standin import AdminStandin
from tests.support.admin_api.adminapi import KEY, Sleeper, billed, client_of
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import NOON, SONNET, spec
from tests.support.values.manual_clock import ManualClock

Cli = Callable[..., Awaitable[Result]]
RANGE = ("--since", "2026-01-28T12:00", "--until", "2026-01-28T13:00")


@pytest.fixture
async def mind(local_pool: LocalPool, clock: ManualClock) -> AsyncIterator[AdminStandin]:
    """A reconciler that looks by itself, of an organization with one API key."""
    await local_pool.router.add(spec("key1", kind="api_key"))
    mind = AdminStandin(Bill(), clock)
    clock.now = NOON.replace(hour=15)
    sleeper = Sleeper(clock)
    reconciler = await Reconciler.activate(
        await local_pool.stores.open_reconciliations(),
        local_pool.actors,
        ReconcilerSettings(
            organizations=(
                Organization(id="acme", admin_key_env="ACME_KEY", subscriptions=("key1",)),
            )
        ),
        lambda _, turn: client_of(mind, sleeper, turn=turn),
        clock,
        sleeper,
        local_pool.left.append,
    )
    local_pool.actors.the_reconciler = reconciler
    yield mind
    await reconciler.close()


async def test_agreement_is_shown(cli: Cli, mind: AdminStandin) -> None:
    result = await cli("reconcile", *RANGE, "--wait", "3")

    assert result.exit_code == 0, result.output
    assert "2026-01-28 12:00" in result.stdout
    assert "match" in result.stdout


async def test_a_difference_beyond_the_threshold_ends_with_1(cli: Cli, mind: AdminStandin) -> None:
    mind.extra(KEY, SONNET, Usage(input_tokens=1_000_000), NOON)
    billed(mind.bill, NOON.replace(hour=9))

    result = await cli("reconcile", *RANGE, "--wait", "3", "--json")

    assert result.exit_code == 1
    rows = json.loads(result.stdout)["items"]
    hours = [row for row in rows if row["kind"] == "usage"]
    assert [row["verdict"] for row in hours] == ["local_missing"]
    assert "1 of 2 hours and days" in result.stderr


async def test_a_pool_without_organizations_says_what_to_do(cli: Cli) -> None:
    result = await cli("reconcile")

    assert result.exit_code == 1
    assert "present state" in result.stderr
