"""Group commit in SQLite, and a disk that is full or fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import apsw
import pytest

from pool.errors import CommitUnknown, StoreError
from pool.storage.sqlite import SqliteStores
from tests.support.stores.stored import names, on_its_connection, record


async def test_writers_at_the_same_time_share_one_commit(stores: SqliteStores) -> None:
    ledger = await stores.open_ledger("sub1")
    commits: list[None] = []
    reached, go_on = threading.Event(), threading.Event()

    def gate(db: apsw.Connection) -> bool:
        db.set_commit_hook(lambda: commits.append(None) is not None)
        reached.set()
        return go_on.wait(10)

    waiting = asyncio.ensure_future(on_its_connection(ledger, gate))
    assert await asyncio.to_thread(reached.wait, 10)
    writers = [asyncio.ensure_future(ledger.record(record(f"use_{n}"))) for n in range(64)]
    await asyncio.sleep(0)

    go_on.set()

    assert await asyncio.gather(waiting, *writers) == [True] * 65
    assert len(commits) == 1
    await ledger.close()


async def test_nobody_is_answered_before_the_commit(stores: SqliteStores) -> None:
    ledger = await stores.open_ledger("sub1")
    committing, go_on = threading.Event(), threading.Event()

    def hook() -> bool:
        committing.set()
        go_on.wait(10)
        return False

    await on_its_connection(ledger, lambda db: db.set_commit_hook(hook))
    writing = asyncio.ensure_future(ledger.record(record("use_1")))
    assert await asyncio.to_thread(committing.wait, 10)
    answered_early = writing.done()
    go_on.set()

    assert await writing
    assert not answered_early
    await ledger.close()


async def test_what_was_asked_before_the_close_is_answered(stores: SqliteStores) -> None:
    ledger = await stores.open_ledger("sub1")
    reached, go_on = threading.Event(), threading.Event()

    def gate(_: apsw.Connection) -> bool:
        reached.set()
        return go_on.wait(10)

    waiting = asyncio.ensure_future(on_its_connection(ledger, gate))
    assert await asyncio.to_thread(reached.wait, 10)
    calls = [asyncio.ensure_future(ledger.record(record(f"use_{n}"))) for n in range(20)]
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(ledger.close())
    await asyncio.sleep(0)
    go_on.set()

    assert await asyncio.wait_for(asyncio.gather(waiting, *calls), 10) == [True] * 21
    await closing


async def test_without_room_nothing_is_kept_reads_go_on_and_writes_resume(
    stores: SqliteStores,
) -> None:
    ledger = await stores.open_ledger("sub1")
    await ledger.record(record("use_1"))
    pages = await on_its_connection(ledger, lambda db: db.pragma("page_count"))
    await on_its_connection(ledger, lambda db: db.pragma("max_page_count", pages))

    answers = await asyncio.gather(
        ledger.record(record("use_small")),
        ledger.record(record("use_big", model="m" * 100_000)),
        return_exceptions=True,
    )

    assert {StoreError} == {type(answer) for answer in answers}
    assert "disk is full" in str(answers[1])
    assert not ledger.is_lost
    assert {"use_1"} == await names(ledger)
    await on_its_connection(ledger, lambda db: db.pragma("max_page_count", 1_000_000))
    assert await ledger.record(record("use_big", model="m" * 100_000))
    assert {"use_1", "use_big"} == await names(ledger)
    await ledger.close()


class _FaultyFile(apsw.VFSFile):
    def __init__(self, disk: FaultyDisk, name: Any, flags: list[int]) -> None:
        super().__init__(disk.below, name, flags)
        self._disk = disk

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        if self._disk.is_full:
            raise apsw.FullError
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        if self._disk.sync_fails:
            raise apsw.IOError
        super().xSync(flags)


class FaultyDisk(apsw.VFS):
    """The disk below all stores, which can be full, or fail to sync."""

    def __init__(self) -> None:
        self.is_full = False
        self.sync_fails = False
        self.below = apsw.vfs_names()[0]
        super().__init__("faulty", self.below, makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> _FaultyFile:  # noqa: N802
        return _FaultyFile(self, name, flags)


@pytest.fixture
def disk() -> Iterator[FaultyDisk]:
    disk = FaultyDisk()
    yield disk
    disk.unregister()


async def test_a_sync_that_fails_leaves_the_commit_unknown_and_the_store_closed(
    disk: FaultyDisk, stores: SqliteStores
) -> None:
    ledger = await stores.open_ledger("sub1")
    await ledger.record(record("use_1"))

    disk.sync_fails = True
    answers = await asyncio.gather(
        *(ledger.record(record(f"lost_{number}")) for number in range(3)), return_exceptions=True
    )

    assert CommitUnknown is type(answers[0])
    assert all(isinstance(answer, StoreError) for answer in answers)
    assert ledger.is_lost
    disk.sync_fails = False
    with pytest.raises(StoreError, match="unknown"):
        await ledger.record(record("use_2"))
    with pytest.raises(StoreError, match="unknown"):
        await names(ledger)
    await ledger.close()
    again = await stores.open_ledger("sub1")
    assert "use_1" in await names(again)
    assert await again.record(record("use_2"))
    await again.close()


async def test_a_log_without_room_for_the_commit_keeps_nothing_and_the_store_open(
    disk: FaultyDisk, stores: SqliteStores
) -> None:
    ledger = await stores.open_ledger("sub1")
    await ledger.record(record("use_1"))

    disk.is_full = True
    with pytest.raises(StoreError, match="disk is full") as refused:
        await ledger.record(record("use_2"))

    assert type(refused.value) is StoreError
    assert {"use_1"} == await names(ledger)
    disk.is_full = False
    assert await ledger.record(record("use_3"))
    await ledger.close()
    again = await stores.open_ledger("sub1")
    assert {"use_1", "use_3"} == await names(again)
    await again.close()
