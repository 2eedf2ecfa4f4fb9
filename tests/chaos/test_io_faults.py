"""A disk that fails at every single operation of a store's life, one after the other.

The scenario opens a ledger, begins, settles and records, opens it again and goes on. For every N
the Nth write, sync or truncation fails, once or from then on, with an I/O error or for lack of
room. Whatever then happens: what was acknowledged is there when the disk is well again; what was
refused for certain is not; and the store opens and takes work.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import pytest

from pool.errors import CommitUnknown, StoreError
from pool.executions.row import ExecutionRow
from pool.executions.status import ExecutionStatus
from pool.storage.ledger.ledger import Ledger
from pool.storage.sqlite import SqliteStores
from pool.subscriptions.consequences.settlement import settlement
from pool.subscriptions.consequences.standing import Standing
from tests.support.chaos.disk import FailingDisk, Operation
from tests.support.chaos.forge import a_record
from tests.support.chaos.invariants import Ledgers, checked_ledger
from tests.support.chaos.one_subscription import IS_FULL, execution_id, full, intent
from tests.support.chaos.tally import Lost, injected
from tests.support.values.examples import NOON, completed

MOST_OPERATIONS = 400
"""More than the scenario has; the test ends at the first N that nothing reaches."""


@pytest.fixture
def disk() -> Iterator[FailingDisk]:
    disk = FailingDisk()
    yield disk
    disk.unregister()


def begun(number: int) -> ExecutionRow:
    return ExecutionRow(intent=intent(number), status=ExecutionStatus.RUNNING, started_at=NOON)


@dataclass
class StoredEvent:
    """What callers know: done, refused for certain, or in doubt."""

    done: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)

    async def call(self, name: str, work: Awaitable[Any]) -> None:
        try:
            await work
        except CommitUnknown:
            return
        except StoreError as error:
            if "unknown" not in str(error):
                self.refused.add(name)
        else:
            self.done.add(name)


def _settled(number: int) -> Any:
    return settlement("sub1", begun(number), completed(), Standing(), NOON)


_LIFE: tuple[tuple[str, Callable[[Ledger, int], Awaitable[Any]]], ...] = (
    ("begin", lambda ledger, n: ledger.begin(begun(n))),
    ("settle", lambda ledger, n: ledger.settle(_settled(n))),
    ("record", lambda ledger, n: ledger.record(a_record(f"outside-{n}"))),
)


async def scenario(stores: SqliteStores, told: StoredEvent) -> None:
    """Two lives of a ledger, each with an execution and usage from outside."""
    for number in (1, 2):
        with suppress(StoreError):
            ledger = await stores.open_ledger("sub1", wait_seconds=5)
            try:
                await ledger.recover(NOON)
                for what, work in _LIFE:
                    if what != "settle" or f"begin-{number}" in told.done:
                        await told.call(f"{what}-{number}", work(ledger, number))
            finally:
                with suppress(StoreError):
                    await ledger.close()


def kept(found: Ledgers) -> set[str]:
    names = {record.id.replace("outside", "record") for record in found.records}
    names -= {execution_id(1), execution_id(2)}
    for number in (1, 2):
        row = found.execution(number)
        if row is not None:
            names.add(f"begin-{number}")
            if row.status.is_final:
                names.add(f"settle-{number}")
    return names


async def check_well_again(stores: SqliteStores, told: StoredEvent) -> None:
    ledger = await stores.open_ledger("sub1", wait_seconds=5)
    found = await checked_ledger(ledger, NOON)
    names = kept(found)
    if lost := told.done - names:
        raise Lost(f"acknowledged and lost: {lost}")
    assert not told.refused & names, f"refused and kept: {told.refused & names}"
    assert await ledger.record(a_record("afterwards"))
    await checked_ledger(ledger, NOON)
    await ledger.close()


FAULTS: tuple[tuple[Operation, type[apsw.Error]], ...] = (
    ("write", apsw.IOError),
    ("write", apsw.FullError),
    ("sync", apsw.IOError),  # SQLite makes this of every sync that fails, also for lack of room
    ("truncate", apsw.IOError),
)


def tried(operation: Operation, error: type[apsw.Error], *, lasts: bool) -> range:
    """Which operations fail; in short of the many writes half of them once, and the others from
    then on, and a third for lack of room.
    """
    if operation != "write" or IS_FULL:
        return range(1, MOST_OPERATIONS)
    return range(1 + lasts, MOST_OPERATIONS, 2 if error is apsw.IOError else 3)


# What a VFS in Python raises, apsw raises again where SQLite itself only notes it: at the close.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.timeout(full(120, 600))
@pytest.mark.parametrize(
    ("operation", "error"),
    FAULTS,
    ids=lambda each: each if isinstance(each, str) else each.__name__,
)
@pytest.mark.parametrize("lasts", [False, True], ids=["once", "from then on"])
async def test_whichever_operation_of_the_disk_fails_nothing_acknowledged_is_lost(
    disk: FailingDisk, tmp_path: Path, operation: Operation, lasts: bool, error: type[apsw.Error]
) -> None:
    with injected(0) as figures:
        for number in tried(operation, error, lasts=lasts):
            stores, told = SqliteStores(tmp_path / str(number)), StoredEvent()
            disk.fail(operation, number, lasts=lasts, error=error)
            await scenario(stores, told)
            disk.heal()
            if not disk.struck:
                assert {f"{what}-{n}" for what, _ in _LIFE for n in (1, 2)} == told.done
                break
            figures["faults"] += 1
            await check_well_again(stores, told)
        assert figures["faults"], "the scenario never does this"
        assert number < MOST_OPERATIONS - 3


@pytest.mark.parametrize("pages", range(0, 30, full(6, 1)))
async def test_a_file_that_may_not_grow_any_more_keeps_what_it_acknowledged(
    tmp_path: Path, pages: int
) -> None:
    """SQLITE_FULL at every size: the store stays open, serves reads, and resumes by itself."""
    ledger: Any = await SqliteStores(tmp_path).open_ledger("sub1")
    size = await ledger._database._commits.read(lambda db: db.pragma("page_count"))
    await ledger._database._commits.read(lambda db: db.pragma("max_page_count", size + pages))
    told = StoredEvent()
    for number in range(400):
        await told.call(f"record-{number}", ledger.record(a_record(f"outside-{number}")))
        if told.refused:
            break

    found = await checked_ledger(ledger, NOON)
    assert told.refused
    assert not ledger.is_lost
    assert {record.id.replace("outside", "record") for record in found.records} == told.done
    await ledger._database._commits.read(lambda db: db.pragma("max_page_count", 1_000_000))
    assert await ledger.record(a_record("afterwards"))
    await checked_ledger(ledger, NOON)
    await ledger.close()
