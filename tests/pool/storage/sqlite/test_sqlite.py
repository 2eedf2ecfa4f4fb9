"""One owner of a store in SQLite: the lock, the fence, and kill -9."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pool.errors import Fenced, StoreBusy
from pool.storage.directory.claims import Registration
from pool.storage.directory.directory import Directory
from pool.storage.ledger.ledger import Ledger
from pool.storage.owner import this_process
from pool.storage.sqlite import SqliteStores
from pool.storage.sqlite.connection import read_owner
from pool.subscriptions.consequences.standing import Standing
from pool.subscriptions.spec import SubscriptionSpec
from tests.support.stores.stored import (
    NOW,
    names,
    new_claim,
    on_its_connection,
    record,
    row,
    settlement,
)
from tests.support.suite.paths import ROOT

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
    for life in range(3):
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
