"""What every store of snapshots does, whatever it is kept in."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pool.storage.directory.claims import Registration
from pool.storage.directory.directory import Directory
from pool.storage.directory.snapshots import SnapshotStore
from pool.storage.sqlite import SqliteStores
from pool.storage.stores import Stores
from pool.subscriptions.recovery import Recovery
from pool.subscriptions.snapshot import Snapshot, snapshot
from tests.support.stores.engines import Engine, SqliteEngine
from tests.support.values.reports import state

NOW = datetime(2026, 1, 28, 16, 30, 0, 123457, tzinfo=UTC)


@pytest.fixture
def snapshots(directory: Directory) -> SnapshotStore:
    return directory.snapshots


def left(epoch: int = 1, version: int = 7) -> Snapshot:
    costs = ((NOW - timedelta(days=6, microseconds=1), 123_456_789), (NOW, 1))
    of = replace(state(), epoch=epoch, version=version)
    return snapshot(of, Recovery(epoch=epoch, costs=costs, open=()), NOW)


async def test_a_snapshot_comes_back_as_it_was_left(snapshots: SnapshotStore) -> None:
    assert await snapshots.sleeps("sub1", left())

    assert await snapshots.all() == {"sub1": left()}


async def test_the_snapshot_of_an_earlier_activation_does_not_replace_that_of_a_later_one(
    snapshots: SnapshotStore,
) -> None:
    await snapshots.sleeps("sub1", left(epoch=2, version=1))

    overtaken = [
        await snapshots.sleeps("sub1", left(epoch=1, version=900)),
        await snapshots.sleeps("sub1", left(epoch=2, version=0)),
    ]

    assert overtaken == [False, False]
    assert await snapshots.all() == {"sub1": left(epoch=2, version=1)}


async def test_the_same_snapshot_may_be_left_again(snapshots: SnapshotStore) -> None:
    await snapshots.sleeps("sub1", left())

    assert await snapshots.sleeps("sub1", left())


async def test_one_that_wakes_does_not_sleep_and_nothing_earlier_says_so(
    snapshots: SnapshotStore,
) -> None:
    await snapshots.sleeps("sub1", left(epoch=3))

    await snapshots.wakes("sub1")
    await snapshots.wakes("sub1")

    assert await snapshots.all() == {}
    assert not await snapshots.sleeps("sub1", left(epoch=3, version=900))
    assert await snapshots.sleeps("sub1", left(epoch=4))


async def test_of_one_that_runs_no_earlier_activation_is_believed_to_be_the_last(
    snapshots: SnapshotStore,
) -> None:
    await snapshots.is_awake("sub1", 5)

    assert not await snapshots.sleeps("sub1", left(epoch=4, version=900))
    assert await snapshots.all() == {}
    assert await snapshots.sleeps("sub1", left(epoch=5))


async def test_it_is_not_said_late_that_one_runs_which_sleeps(snapshots: SnapshotStore) -> None:
    await snapshots.sleeps("sub1", left(epoch=5))

    await snapshots.is_awake("sub1", 5)

    assert await snapshots.all() == {"sub1": left(epoch=5)}


async def test_what_a_removed_subscription_left_is_forgotten_with_it(
    directory: Directory, snapshots: SnapshotStore
) -> None:
    spec = state().spec
    await directory.register(Registration(spec=spec, declared=True, created_at=NOW))
    await snapshots.sleeps("sub1", left(epoch=5))

    await directory.unregister("sub1")

    assert await snapshots.all() == {}
    assert await snapshots.sleeps("sub1", left(epoch=1))


async def test_in_a_copy_of_the_directory_nobody_sleeps(
    engine: Engine, stores: Stores, tmp_path: Path
) -> None:
    if not isinstance(engine, SqliteEngine):
        return  # its copies are of one instant
    directory = await stores.open_directory()
    await directory.snapshots.sleeps("sub1", left())

    await directory.backup(tmp_path / "copy" / "directory.sqlite")

    copy = await SqliteStores(tmp_path / "copy").open_directory()
    assert await copy.snapshots.all() == {}
    assert await directory.snapshots.all() == {"sub1": left()}
    await copy.close()
    await directory.close()
