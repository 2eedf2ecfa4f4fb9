"""A reconciler and one account, in a world with a clock of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.demo.standin.bill import Bill
from tests.support.admin_api.admin_standin import AdminStandin
from tests.support.admin_api.adminapi import Sleeper
from tests.support.admin_api.ledgers import LedgerAccount, LedgerPeers
from tests.support.admin_api.reconciled import MIDNIGHT, World
from tests.support.values.manual_clock import ManualClock


@pytest.fixture
async def world(tmp_path: Path, clock: ManualClock) -> AsyncIterator[World]:
    """An organization with one API key, seen first at midnight."""
    mind = AdminStandin(Bill(), clock)
    actors = LedgerPeers(tmp_path)
    await actors.add("key1")
    organization = {"id": "acme", "admin_key_env": "ACME_KEY", "subscriptions": ["key1"]}
    world = World(tmp_path, clock, mind, actors, Sleeper(clock), [organization])
    clock.now = MIDNIGHT
    await world.begin()
    await world.look()
    yield world
    await world.end()
    await actors.close()


@pytest.fixture
def account(world: World) -> LedgerAccount:
    return world.actors.accounts["key1"]
