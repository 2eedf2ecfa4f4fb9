"""What is SQLite's own: the lock, the fence, the group commit, a full disk, kill -9."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest
from paths import ROOT
from stored import NOW, record, row, settlement

from pool.errors import CommitUnknown, Fenced, StoreBusy, StoreError
from pool.executions.outcome import Completed
from pool.executions.request import ExecutionRequest
from pool.executions.status import ExecutionStatus
from pool.storage.directory.claims import NewClaim, Registration
from pool.storage.directory.directory import Directory
from pool.storage.ledger.ledger import Ledger
from pool.storage.owner import this_process
from pool.storage.sqlite import SqliteStores
from pool.storage.sqlite.connection import read_owner
from pool.subscriptions.settlement import Settlement
from pool.subscriptions.spec import SubscriptionSpec
from pool.subscriptions.standing import Standing


@pytest.fixture
def stores(tmp_path: Path) -> SqliteStores:
    return SqliteStores(tmp_path)


@pytest.fixture
def ledger_file(tmp_path: Path) -> Path:
    return tmp_path / "subscriptions" / "sub1" / "ledger.sqlite"


async def on_its_connection(store: Any, work: Callable[[apsw.Connection], Any]) -> Any:
    """Run something on a store's own thread and connection, which nobody else can have."""
    return await store._database._commits.read(work)


async def names(ledger: Ledger) -> set[str]:
    found: set[str] = set()
    cursor = None
    while True:
        page = await ledger.usage(limit=500, cursor=cursor)
        found.update(kept.id for kept in page.items)
        cursor = page.next_cursor
        if cursor is None:
            return found


# Another process


_CHILD = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from datetime import UTC, datetime
from pool.storage.sqlite import SqliteStores
from pool.usage.records import ModelUsage
from pool.usage.records import Usage
from pool.usage.records import UsageRecord

USAGE = Usage(models={"m": ModelUsage(cost_nano_usd=30)})
NOW = datetime(2026, 1, 28, 16, 30, tzinfo=UTC)

async def writer(ledger, prefix):
    number = 0
    while True:
        name = f"{prefix}-{number}"
        await ledger.record(
            UsageRecord(id=name, subscription_id="sub1", timestamp=NOW, usage=USAGE)
        )
        print(name, flush=True)
        number += 1

async def main():
    ledger = await SqliteStores(Path(sys.argv[2])).open_ledger("sub1", wait_seconds=5)
    print("open", flush=True)
    if sys.argv[3] == "hold":
        await asyncio.sleep(60)
    if sys.argv[3] != "leave":
        await asyncio.gather(*(writer(ledger, f"{sys.argv[3]}-{each}") for each in range(8)))

asyncio.run(main())
"""


@contextmanager
def child(data_dir: Path, task: str) -> Iterator[subprocess.Popen[str]]:
    """A process that opened the ledger, and then holds it, leaves, or writes under a prefix."""
    root = str(ROOT)
    argv = [sys.executable, "-c", _CHILD, root, str(data_dir), task]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            yield process
        finally:
            process.kill()


def acknowledged(process: subprocess.Popen[str], enough: int) -> set[str]:
    """Kill -9 after ``enough`` acknowledgements; all that were printed until then."""
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(enough)]
    process.kill()
    return {line.strip() for line in (*lines, *process.stdout) if line.endswith("\n")}


async def test_everything_acknowledged_survives_kill_9(
    stores: SqliteStores, tmp_path: Path
) -> None:
    told: set[str] = set()
    for life in range(5):
        with child(tmp_path, str(life)) as process:
            told |= acknowledged(process, enough=40 + 37 * life)

        ledger = await stores.open_ledger("sub1", wait_seconds=5)
        kept = await names(ledger)
        totals = (await ledger.recover(NOW)).totals
        await ledger.close()

        assert told <= kept
        assert (totals.records, totals.usage.cost_nano_usd) == (len(kept), 30 * len(kept))


async def test_an_earlier_owner_that_is_frozen_is_ended_and_its_store_taken_over(
    stores: SqliteStores, tmp_path: Path
) -> None:
    with child(tmp_path, "hold") as process:
        os.kill(process.pid, signal.SIGSTOP)

        ledger = await stores.open_ledger("sub1", wait_seconds=10)

        assert ledger.epoch == 2
        assert process.wait(10) == -signal.SIGKILL
    await ledger.close()


async def test_a_second_process_opens_only_after_the_death_of_the_first(
    stores: SqliteStores, tmp_path: Path
) -> None:
    with child(tmp_path, "hold") as process:
        with pytest.raises(StoreBusy, match=f"held by process {process.pid}, started at tick"):
            await stores.open_ledger("sub1", wait_seconds=0.1)

        opening = asyncio.ensure_future(stores.open_ledger("sub1", wait_seconds=5))
        await asyncio.sleep(0)
        process.kill()
        ledger = await opening

    assert ledger.epoch == 2
    await ledger.close()


def test_a_store_that_nobody_closed_does_not_keep_the_interpreter(tmp_path: Path) -> None:
    with child(tmp_path, "leave") as process:
        assert process.wait(timeout=20) == 0


# One owner


async def test_the_owner_is_noted_while_the_store_is_held(
    stores: SqliteStores, ledger_file: Path
) -> None:
    ledger = await stores.open_ledger("sub1")
    noted = read_owner(ledger_file)
    recorded = await on_its_connection(
        ledger, lambda db: db.execute("SELECT pid, boot_id, started_ticks FROM owner").fetchall()
    )
    await ledger.close()

    assert noted == this_process()
    assert recorded == [tuple(this_process().model_dump().values())]
    assert read_owner(ledger_file) is None


async def test_an_opening_that_was_given_up_does_not_take_the_store_later(
    stores: SqliteStores,
) -> None:
    holder = await stores.open_ledger("sub1")
    opening = asyncio.ensure_future(stores.open_ledger("sub1", wait_seconds=30))
    await asyncio.sleep(0)
    opening.cancel()
    await asyncio.wait([opening])
    await holder.close()

    ledger = await stores.open_ledger("sub1", wait_seconds=5)

    assert ledger.epoch <= 3
    await ledger.close()


async def test_a_directory_has_one_owner(stores: SqliteStores) -> None:
    directory = await stores.open_directory()

    with pytest.raises(StoreBusy, match="is held by"):
        await stores.open_directory(wait_seconds=0.1)
    await directory.close()


async def raise_epoch(store: Any) -> None:
    """Take the store over behind its owner's back."""
    await on_its_connection(
        store, lambda db: db.execute("UPDATE owner SET epoch = epoch + 1").fetchall()
    )


_LEDGER_WRITES: dict[str, Callable[[Ledger], Awaitable[Any]]] = {
    "begin": lambda ledger: ledger.begin(row("exec_new")),
    "update": lambda ledger: ledger.update(
        row("exec_1").model_copy(update={"cancel_requested_at": NOW})
    ),
    "settle": lambda ledger: ledger.settle(settlement("exec_1")),
    "record": lambda ledger: ledger.record(record("use_new")),
    "stand": lambda ledger: ledger.stand(Standing(paused=True)),
    "expire": lambda ledger: ledger.expire(NOW + timedelta(days=35)),
}


@pytest.mark.parametrize("kind", _LEDGER_WRITES)
async def test_a_ledger_that_was_taken_over_refuses_every_write_and_stays_closed(
    stores: SqliteStores, kind: str
) -> None:
    stale = await stores.open_ledger("sub1")
    await stale.begin(row("exec_1"))
    await stale.record(record("use_1"))
    before = await stale.recover(NOW)
    await raise_epoch(stale)

    with pytest.raises(Fenced):
        await _LEDGER_WRITES[kind](stale)

    assert stale.is_lost
    with pytest.raises(Fenced):
        await stale.execution("exec_1")
    await stale.close()
    ledger = await stores.open_ledger("sub1")
    after = await ledger.recover(NOW)
    kept = await names(ledger)
    await ledger.close()
    assert after.model_copy(update={"epoch": before.epoch}) == before
    assert kept == {"use_1"}


_DIRECTORY_WRITES: dict[str, Callable[[Directory], Awaitable[Any]]] = {
    "claim": lambda directory: directory.claim(new_claim("e2"), "sub1"),
    "place": lambda directory: directory.place("e1", "sub2", "s1", instead_of="sub1"),
    "register": lambda directory: directory.register(registration("sub2")),
    "unregister": lambda directory: directory.unregister("sub1"),
    "expire": lambda directory: directory.expire(NOW + timedelta(days=35)),
}


def new_claim(name: str) -> NewClaim:
    return NewClaim(execution_id=name, digest="d", at=NOW, session_id="s1")


def registration(name: str) -> Registration:
    return Registration(spec=SubscriptionSpec(id=name), declared=False, created_at=NOW)


@pytest.mark.parametrize("kind", _DIRECTORY_WRITES)
async def test_a_directory_that_was_taken_over_refuses_every_write(
    stores: SqliteStores, kind: str
) -> None:
    stale = await stores.open_directory()
    first = await stale.claim(new_claim("e1"), "sub1")
    await stale.register(registration("sub1"))
    await raise_epoch(stale)

    with pytest.raises(Fenced):
        await _DIRECTORY_WRITES[kind](stale)

    await stale.close()
    directory = await stores.open_directory()
    assert await directory.locate("e1") == first
    assert await directory.locate("e2") is None
    assert tuple(await directory.registrations()) == (registration("sub1"),)
    await directory.close()


async def test_all_who_wait_learn_that_the_store_was_taken_over(stores: SqliteStores) -> None:
    stale = await stores.open_ledger("sub1")
    await raise_epoch(stale)

    answers = await asyncio.gather(
        *(stale.record(record(f"use_{number}")) for number in range(16)), return_exceptions=True
    )

    assert {type(answer) for answer in answers} == {Fenced}
    await stale.close()


# Group commit


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


# A disk that is full or fails


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


# The files


def modes_below(folder: Path) -> dict[str, int]:
    return {
        path.relative_to(folder).as_posix(): stat.S_IMODE(path.stat().st_mode)
        for path in folder.rglob("*")
    }


async def test_files_and_folders_are_for_their_user_alone(
    stores: SqliteStores, tmp_path: Path
) -> None:
    ledger = await stores.open_ledger("sub1")
    directory = await stores.open_directory()
    modes = modes_below(tmp_path)
    await ledger.close()
    await directory.close()

    folder = "subscriptions/sub1"
    assert {modes["subscriptions"], modes[folder]} == {0o700}
    files = {mode for name, mode in modes.items() if name not in {"subscriptions", folder}}
    assert f"{folder}/ledger.sqlite-wal" in modes
    assert files == {0o600}


async def test_a_request_goes_with_its_execution(stores: SqliteStores) -> None:
    ledger = await stores.open_ledger("sub1")
    await ledger.begin(row("exec_1"))
    await ledger.begin(row("exec_2"))
    await ledger.settle(settlement("exec_1"))

    await ledger.expire(NOW + timedelta(days=35))

    kept = await on_its_connection(ledger, lambda db: db.execute("SELECT id FROM requests").get)
    await ledger.close()
    assert kept == "exec_2"


async def test_a_store_of_a_newer_version_is_refused(
    stores: SqliteStores, ledger_file: Path
) -> None:
    await (await stores.open_ledger("sub1")).close()
    db = apsw.Connection(str(ledger_file))
    db.pragma("user_version", 99)
    db.close()

    with pytest.raises(StoreError, match="has schema 99, and this version knows"):
        await stores.open_ledger("sub1")


def damage(file: Path, intact: int) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:intact] + b"\xff" * (len(content) - intact))


@pytest.mark.parametrize("intact", [0, 4096])
async def test_a_damaged_file_is_refused_with_the_remedy(
    stores: SqliteStores, ledger_file: Path, intact: int
) -> None:
    await (await stores.open_ledger("sub1")).close()
    damage(ledger_file, intact)

    with pytest.raises(StoreError, match=r"ledger\.sqlite: is damaged .*restore a backup"):
        await stores.open_ledger("sub1")


async def test_a_folder_that_cannot_be_made_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "subscriptions").write_text("a file where the folder should be")

    with pytest.raises(StoreError, match=r"ledger\.sqlite: cannot be opened"):
        await SqliteStores(tmp_path).open_ledger("sub1")


async def test_nothing_of_what_was_removed_can_be_read_from_the_files(
    stores: SqliteStores, ledger_file: Path
) -> None:
    """Rows of every length: pages split, and rows move from one to another as they change."""
    ledger = await stores.open_ledger("sub1")
    for number in range(300):
        begun = row(f"exec_{number:04}")
        request = ExecutionRequest(prompt=f"SECRET-{number} " * (1 + number * 7 % 900))
        begun = begun.model_copy(
            update={"intent": begun.intent.model_copy(update={"request": request})}
        )
        answer = Completed(result=f"SECRET-{number} " * (1 + number * 13 % 700))
        await ledger.begin(begun)
        end = {"status": ExecutionStatus.SUCCEEDED, "finished_at": NOW, "outcome": answer}
        await ledger.settle(Settlement(row=begun.model_copy(update=end)))
    before = read_all(ledger_file.parent)

    removed = await ledger.remove_content(NOW + timedelta(hours=1), NOW)
    after = read_all(ledger_file.parent)
    await ledger.close()

    assert removed == 300
    assert before.count(b"SECRET-") > 300
    assert after.count(b"SECRET-") == 0
    assert b"exec_0299" in after


def read_all(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))
