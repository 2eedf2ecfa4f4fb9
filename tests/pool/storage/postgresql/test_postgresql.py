"""What is PostgreSQL's own: takeover, fence, lost connections, commits in doubt, many routers."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from paths import ROOT
from postgres import PASSWORD, Server
from proxy import Fault, Proxy
from stored import NOW, record, row, settlement

from pool.errors import (
    CommitUnknown,
    Fenced,
    InvalidRequest,
    NotSupported,
    StoreBusy,
    StoreError,
    TooManyAtOnce,
)
from pool.keys.api_keys import KeySpec
from pool.keys.quotas import Charge, Reservation
from pool.storage.directory.claims import Claim, NewClaim, Registration
from pool.storage.directory.directory import Directory
from pool.storage.ledger.ledger import Ledger
from pool.storage.owner import this_process
from pool.storage.postgresql import PostgresqlStores
from pool.storage.postgresql.connection import transactions
from pool.subscriptions.spec import SubscriptionSpec
from pool.subscriptions.standing import Standing


@pytest.fixture
def url(database: Server) -> str:
    return database.fresh_schema()


@pytest.fixture
def stores(url: str) -> PostgresqlStores:
    return PostgresqlStores(url)


@pytest.fixture
async def proxy(database: Server) -> AsyncIterator[Proxy]:
    async with Proxy.to(database.port) as proxy:
        yield proxy


@pytest.fixture
def through(database: Server, url: str, proxy: Proxy) -> PostgresqlStores:
    """The same stores, by a wire that can be cut."""
    return PostgresqlStores(url.replace(f":{database.port}/", f":{proxy.port}/"))


@asynccontextmanager
async def opened(stores: PostgresqlStores) -> AsyncIterator[Ledger]:
    ledger = await stores.open_ledger("sub1")
    try:
        yield ledger
    finally:
        await ledger.close()


async def names(ledger: Ledger) -> set[str]:
    found: set[str] = set()
    cursor = None
    while True:
        page = await ledger.usage(limit=500, cursor=cursor)
        found.update(kept.id for kept in page.items)
        cursor = page.next_cursor
        if cursor is None:
            return found


async def in_its_transaction(ledger: Ledger, work: Callable[[Any], Awaitable[Any]]) -> Any:
    """Run something in a transaction of the ledger's own."""
    return await ledger._database._commits.write(work)  # type: ignore[attr-defined]


# One owner


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
    stores: PostgresqlStores, kind: str
) -> None:
    stale = await stores.open_ledger("sub1")
    await stale.begin(row("exec_1"))
    await stale.record(record("use_1"))
    before = await stale.recover(NOW)

    async with opened(stores) as ledger:
        with pytest.raises(Fenced):
            await _LEDGER_WRITES[kind](stale)

        assert stale.is_lost
        with pytest.raises(Fenced):
            await stale.execution("exec_1")
        after = await ledger.recover(NOW)
        assert after.model_copy(update={"epoch": before.epoch}) == before
        assert await names(ledger) == {"use_1"}
    await stale.close()


async def test_all_who_wait_learn_that_the_ledger_was_taken_over(stores: PostgresqlStores) -> None:
    stale = await stores.open_ledger("sub1")
    async with opened(stores):
        answers = await asyncio.gather(
            *(stale.record(record(f"use_{number}")) for number in range(16)),
            return_exceptions=True,
        )

    assert {type(answer) for answer in answers} == {Fenced}
    await stale.close()


async def test_a_takeover_waits_for_the_transaction_that_the_owner_is_in(
    stores: PostgresqlStores,
) -> None:
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def gate(_: Any) -> bool:
        inside.set()
        return await go_on.wait()

    first = await stores.open_ledger("sub1")
    writing = asyncio.ensure_future(in_its_transaction(first, gate))
    await inside.wait()

    with pytest.raises(StoreBusy, match=f"is held by process {this_process().pid}"):
        await stores.open_ledger("sub1", wait_seconds=0.1)

    go_on.set()
    assert await writing
    assert await first.record(record("use_1"))
    await first.close()


_ZOMBIE = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from pool.storage.postgresql import PostgresqlStores
from pool.storage.ledger import records
from datetime import UTC, datetime
from pool.usage.records import ModelUsage
from pool.usage.records import Usage
from pool.usage.records import UsageRecord

STALE = UsageRecord(
    id="stale", subscription_id="sub1", timestamp=datetime(2026, 1, 28, 16, 30, tzinfo=UTC),
    usage=Usage(models={"m": ModelUsage(cost_nano_usd=30)}),
)

async def main():
    ledger = await PostgresqlStores(sys.argv[2]).open_ledger("sub1")

    async def frozen_inside(db):
        added = await records.add(db, STALE)
        print("inside", flush=True)
        sys.stdin.readline()
        return added

    try:
        await ledger._database.write(frozen_inside)
    except Exception as error:
        print(type(error).__name__, ledger.is_lost, flush=True)

asyncio.run(main())
"""


@contextmanager
def zombie(url: str) -> Iterator[subprocess.Popen[str]]:
    """A process that stands inside a transaction of its ledger."""
    root = str(ROOT)
    argv = [sys.executable, "-c", _ZOMBIE, root, url]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "inside\n"
            yield process
        finally:
            process.kill()


async def test_an_owner_frozen_inside_a_transaction_is_taken_over_and_never_writes_again(
    stores: PostgresqlStores, url: str
) -> None:
    with zombie(url) as process:
        process.send_signal(signal.SIGSTOP)
        started = time.monotonic()
        async with opened(stores) as ledger:
            took = time.monotonic() - started
            await ledger.record(record("use_1"))
            process.send_signal(signal.SIGCONT)
            said, _ = await asyncio.to_thread(process.communicate, "go on\n", timeout=20)

            assert said == "Fenced True\n"
            assert await names(ledger) == {"use_1"}
            assert ledger.epoch == 2
    assert took < 3.5


# Group commit


async def test_writers_at_the_same_time_share_one_commit(
    stores: PostgresqlStores, database: Server, url: str
) -> None:
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def gate(_: Any) -> bool:
        inside.set()
        return await go_on.wait()

    async with opened(stores) as ledger:
        waiting = asyncio.ensure_future(in_its_transaction(ledger, gate))
        await inside.wait()
        writers = [asyncio.ensure_future(ledger.record(record(f"use_{n}"))) for n in range(64)]
        await asyncio.sleep(0)
        go_on.set()

        assert await asyncio.gather(waiting, *writers) == [True] * 65
    schema = url.rpartition("=")[2]
    assert database.sql(f"SELECT seq FROM {schema}.owner") == "2"


async def test_nobody_is_answered_before_the_commit(
    through: PostgresqlStores, proxy: Proxy
) -> None:
    async with opened(through) as ledger:
        proxy.fault = Fault.HOLD
        writing = asyncio.ensure_future(ledger.record(record("use_1")))
        await proxy.struck.wait()
        answered_early, seen_early = writing.done(), await names(ledger)
        proxy.let_go.set()

        assert await writing
        assert (answered_early, seen_early) == (False, set())
        assert await names(ledger) == {"use_1"}


async def test_what_was_asked_before_the_close_is_answered(stores: PostgresqlStores) -> None:
    ledger = await stores.open_ledger("sub1")
    calls = [asyncio.ensure_future(ledger.record(record(f"use_{n}"))) for n in range(20)]
    await asyncio.sleep(0)
    await ledger.close()

    assert await asyncio.gather(*calls) == [True] * 20


# A connection that is lost at the COMMIT


_CUTS = (Fault.BEFORE, Fault.AFTER, Fault.LATE)


@pytest.mark.parametrize("fault", _CUTS)
async def test_a_connection_lost_at_the_commit_is_answered_with_the_truth(
    through: PostgresqlStores, proxy: Proxy, fault: Fault
) -> None:
    async with opened(through) as ledger:
        await ledger.begin(row("exec_1"))

        proxy.fault = fault
        assert await ledger.settle(settlement("exec_1"))

        assert proxy.struck.is_set()
        recovery = await ledger.recover(NOW)
        assert (recovery.totals.executions, recovery.totals.usage.cost_nano_usd) == (1, 30)
        assert not await ledger.settle(settlement("exec_1"))
        assert not ledger.is_lost


@pytest.mark.parametrize("fault", _CUTS)
async def test_all_calls_of_a_commit_in_doubt_are_answered_with_the_truth(
    through: PostgresqlStores, proxy: Proxy, fault: Fault
) -> None:
    async with opened(through) as ledger:
        await ledger.record(record("use_1"))

        proxy.fault = fault
        answers = await asyncio.gather(*(ledger.record(record(f"use_{n}")) for n in range(4)))

        assert answers == [True, False, True, True]
        assert (await ledger.recover(NOW)).totals.records == 4


@pytest.mark.parametrize(("fault", "kept"), [(Fault.AFTER, True), (Fault.BEFORE, False)])
async def test_a_commit_in_doubt_is_told_apart_after_a_takeover_too(
    through: PostgresqlStores, stores: PostgresqlStores, proxy: Proxy, fault: Fault, kept: bool
) -> None:
    stale = await through.open_ledger("sub1")
    proxy.fault, proxy.is_open = fault, False
    writing = asyncio.ensure_future(stale.record(record("use_1")))
    await proxy.struck.wait()
    async with opened(stores) as ledger:
        proxy.is_open = True
        answer = (await asyncio.gather(writing, return_exceptions=True))[0]

        assert (answer is True, type(answer) is Fenced) == (kept, not kept)
        assert await names(ledger) == ({"use_1"} if kept else set())
        with pytest.raises(Fenced):
            await stale.record(record("use_2"))
    await stale.close()


async def test_a_commit_whose_fate_cannot_be_found_out_is_unknown_and_ends_the_activation(
    through: PostgresqlStores,
    stores: PostgresqlStores,
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transactions, "DOUBT_SECONDS", 0.3)
    ledger = await through.open_ledger("sub1")
    proxy.fault, proxy.is_open = Fault.AFTER, False

    with pytest.raises(CommitUnknown):
        await ledger.record(record("use_1"))

    assert ledger.is_lost
    proxy.is_open = True
    with pytest.raises(StoreError, match="fate of a commit was unknown"):
        await ledger.record(record("use_2"))
    await ledger.close()
    async with opened(stores) as again:
        assert await names(again) == {"use_1"}


@pytest.mark.parametrize("fault", _CUTS)
async def test_a_directory_that_loses_its_connection_at_the_commit_answers_the_truth(
    through: PostgresqlStores, proxy: Proxy, fault: Fault
) -> None:
    directory = await through.open_directory()
    await directory.register(Registration(spec=_SPEC, declared=False, created_at=NOW))

    proxy.fault = fault
    claim = await directory.claim(new_claim("e1", key="ci/k", reservation=_RESERVATION), "sub1")
    proxy.fault = fault
    placed = await directory.place("e1", "sub2", "s1", instead_of="sub1")
    proxy.fault = fault
    removed = await directory.unregister("sub1")

    assert (claim.subscription_id, placed.subscription_id, removed) == ("sub1", "sub2", True)
    assert proxy.fault is None
    assert await directory.claim(new_claim("e1"), "sub3") == placed
    assert tuple(await directory.keys.open_charges()) == (_RESERVATION.charge,)
    await directory.close()


def new_claim(name: str, **of: Any) -> NewClaim:
    return NewClaim(execution_id=name, digest="d", at=NOW, session_id="s1", **of)


_RESERVATION = Reservation(
    charge=Charge(execution_id="e1", key_id="k", amount_nano_usd=1, at=NOW),
    key=KeySpec(name="ci", max_concurrent=1),
)
_SPEC = SubscriptionSpec(id="sub1")


# A server that goes away


async def test_writes_go_on_after_the_server_was_killed_and_nothing_acknowledged_is_lost(
    stores: PostgresqlStores, database: Server
) -> None:
    kept: set[str] = set()
    refused: dict[str, type[StoreError]] = {}
    stopping = asyncio.Event()

    async def writer(ledger: Ledger, prefix: int) -> None:
        number = 0
        while not stopping.is_set():
            name = f"use_{prefix}_{number}"
            try:
                assert await ledger.record(record(name))
                kept.add(name)
            except StoreError as error:
                refused[name] = type(error)
                await asyncio.sleep(0)  # one that is closed refuses at once
            number += 1

    async with opened(stores) as ledger:
        writers = [asyncio.ensure_future(writer(ledger, prefix)) for prefix in range(8)]
        # A write waits 2 s for the server, but 10 s for one that was killed at its COMMIT.
        for away_seconds in (0, transactions.AWAY_SECONDS + 2):
            before = len(kept)
            while len(kept) < before + 100:
                await asyncio.sleep(0.01)
            database.kill()
            until = time.monotonic() + away_seconds
            while not refused and time.monotonic() < until:
                await asyncio.sleep(0.01)
            database.start()
        before = len(kept)
        while len(kept) < before + 100:
            await asyncio.sleep(0.01)
        stopping.set()
        await asyncio.gather(*writers)

        assert await names(ledger) == kept
        assert set(refused.values()) <= {StoreError}
        assert not refused.keys() & kept
        totals = (await ledger.recover(NOW)).totals
        assert (totals.records, totals.usage.cost_nano_usd) == (len(kept), 30 * len(kept))
        assert (ledger.epoch, ledger.is_lost) == (1, False)


async def test_calls_fail_within_a_bound_while_the_server_is_away_and_work_again_when_it_is_back(
    stores: PostgresqlStores, database: Server
) -> None:
    directory = await stores.open_directory()
    async with opened(stores) as ledger:
        await ledger.record(record("use_1"))
        database.kill()
        started = time.monotonic()
        answers = await asyncio.gather(
            ledger.record(record("use_2")),
            ledger.execution("exec_1"),
            directory.locate("e1"),
            directory.claim(new_claim("e1"), "sub1"),
            stores.open_ledger("sub2", wait_seconds=0.1),
            return_exceptions=True,
        )
        took = time.monotonic() - started
        database.start()

        assert {type(answer) for answer in answers} == {StoreError}
        assert all("is away" in str(answer) for answer in answers)
        assert took < transactions.AWAY_SECONDS + 1
        assert await ledger.record(record("use_2"))
        assert await names(ledger) == {"use_1", "use_2"}
        assert (await directory.claim(new_claim("e1"), "sub2")).subscription_id == "sub2"
    await directory.close()


async def test_a_restart_of_the_server_is_waited_for_and_not_felt(
    stores: PostgresqlStores, database: Server
) -> None:
    async with opened(stores) as ledger:
        await ledger.record(record("use_1"))
        database.kill()
        calls = [
            asyncio.ensure_future(ledger.record(record("use_2"))),
            asyncio.ensure_future(ledger.execution("exec_1")),
        ]
        await asyncio.wait(calls, timeout=0.2)
        await asyncio.to_thread(database.start)

        assert await asyncio.gather(*calls) == [True, None]


async def test_an_activation_waits_for_a_server_that_is_starting(
    stores: PostgresqlStores, database: Server
) -> None:
    database.kill()
    opening = asyncio.ensure_future(stores.open_ledger("sub1"))
    await asyncio.sleep(0)
    database.start()

    ledger = await opening

    assert await ledger.record(record("use_1"))
    await ledger.close()


# Routers that share a directory


def of_another_process(url: str) -> PostgresqlStores:
    """Stores that share no connection with those of the plain URL."""
    return PostgresqlStores(f"{url}&extra_float_digits=1")


async def test_of_two_routers_exactly_one_takes_an_id_or_a_key(
    stores: PostgresqlStores, url: str
) -> None:
    first, second = (
        await stores.open_directory(),
        await of_another_process(url).open_directory(),
    )

    async def claims(directory: Directory, router: str) -> list[Claim]:
        return await asyncio.gather(
            *(directory.claim(new_claim(f"{router}{n}", key=f"k{n}"), router) for n in range(30)),
            *(directory.claim(new_claim(f"e{n}", key=f"{router}{n}"), router) for n in range(30)),
        )

    mine, theirs = await asyncio.gather(claims(first, "a"), claims(second, "b"))

    assert mine[:30] == theirs[:30]
    assert mine[30:] == theirs[30:]
    assert {each.subscription_id for each in mine[:30] if each.execution_id[0] == "a"} <= {"a"}
    await first.close()
    await second.close()


async def test_of_two_routers_that_place_an_execution_one_decides(
    stores: PostgresqlStores, url: str
) -> None:
    first, second = (
        await stores.open_directory(),
        await of_another_process(url).open_directory(),
    )
    for number in range(20):
        await first.claim(new_claim(f"e{number}"), "sub0")

    async def places(directory: Directory, where: str) -> list[str | None]:
        placed = await asyncio.gather(
            *(directory.place(f"e{n}", where, f"t{n}", instead_of="sub0") for n in range(20))
        )
        return [claim.subscription_id for claim in placed]

    mine, theirs = await asyncio.gather(places(first, "sub1"), places(second, "sub2"))
    homes = [await first.session_home(f"t{number}") for number in range(20)]

    assert mine == theirs == [home and home.subscription_id for home in homes]
    await first.close()
    await second.close()


async def test_of_two_routers_no_more_is_claimed_under_a_key_than_its_limits_leave_room_for(
    stores: PostgresqlStores, url: str
) -> None:
    first, second = (
        await stores.open_directory(),
        await of_another_process(url).open_directory(),
    )
    key = KeySpec(name="ci", max_concurrent=7)

    async def claims(directory: Directory, router: str) -> list[Claim | BaseException]:
        charges = [
            Charge(execution_id=f"{router}{n}", key_id="k", amount_nano_usd=1, at=NOW)
            for n in range(20)
        ]
        return await asyncio.gather(
            *(
                directory.claim(
                    new_claim(
                        each.execution_id,
                        key=f"k{n}",
                        reservation=Reservation(charge=each, key=key),
                    ),
                    router,
                )
                for n, each in enumerate(charges)
            ),
            return_exceptions=True,
        )

    answers = [*await asyncio.gather(claims(first, "a"), claims(second, "b"))]
    taken = {each.execution_id for many in answers for each in many if isinstance(each, Claim)}
    refused = {type(each) for many in answers for each in many if not isinstance(each, Claim)}

    assert (len(taken), refused) == (7, {TooManyAtOnce})
    assert {each.execution_id for each in await first.keys.open_charges()} == taken
    await first.close()
    await second.close()


# The database


async def test_many_may_make_the_tables_at_the_same_time(url: str) -> None:
    many = [PostgresqlStores(f"{url}&extra_float_digits={digits}") for digits in (0, 1, 2, 3)]

    ledgers = await asyncio.gather(
        *(each.open_ledger(f"sub{number}") for number, each in enumerate(many * 2))
    )

    assert {ledger.epoch for ledger in ledgers} == {1}
    for ledger in ledgers:
        await ledger.close()


async def test_tables_of_a_newer_version_are_refused(
    stores: PostgresqlStores, database: Server, url: str
) -> None:
    async with opened(stores):
        pass
    schema = url.rpartition("=")[2]
    database.sql(f"INSERT INTO {schema}.schema_version VALUES (99)")

    with pytest.raises(StoreError, match="has schema 99, and this version knows"):
        await stores.open_ledger("sub1")


async def test_what_the_guarantees_rest_on_is_not_left_to_the_servers_configuration(
    stores: PostgresqlStores, database: Server
) -> None:
    database.sql("ALTER ROLE pool SET synchronous_commit = off")
    database.sql("ALTER ROLE pool SET default_transaction_isolation = 'serializable'")
    try:
        async with opened(stores) as ledger:
            asked = (
                "idle_in_transaction_session_timeout",
                "lock_timeout",
                "statement_timeout",
                "tcp_keepalives_idle",
                "synchronous_commit",
                "transaction_isolation",
            )

            async def settings(db: Any) -> list[str]:
                return [await db.fetchval(f"SHOW {name}") for name in asked]

            shown = await in_its_transaction(ledger, settings)
    finally:
        database.sql("ALTER ROLE pool RESET ALL")

    assert shown == ["2s", "5s", "15s", "10", "on", "read committed"]


async def test_many_ledgers_of_a_process_share_a_few_connections_and_give_them_back(
    stores: PostgresqlStores, database: Server
) -> None:
    ledgers = [await stores.open_ledger(f"sub{number}") for number in range(8)]
    await asyncio.gather(*(ledger.record(record("use_1")) for ledger in ledgers for _ in range(4)))

    counting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'claude-pool'"
    during = int(database.sql(counting))
    for ledger in ledgers:
        await ledger.close()

    assert 1 <= during <= 4
    await none_is_left(database)


async def test_a_ledger_at_rest_holds_no_connection_and_has_one_again_when_it_is_asked(
    stores: PostgresqlStores, database: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pool.storage.postgresql.connection.connections.IDLE_SECONDS", 0.1)
    async with opened(stores) as ledger:
        await ledger.record(record("use_1"))
        await none_is_left(database)

        assert await names(ledger) == {"use_1"}


async def none_is_left(database: Server) -> None:
    """Wait until no connection of a pool is left."""
    counting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'claude-pool'"
    async with asyncio.timeout(5):
        while database.sql(counting) != "0":
            await asyncio.sleep(0.02)


async def test_a_number_that_is_too_large_is_no_fault_of_its_neighbours(
    stores: PostgresqlStores,
) -> None:
    async with opened(stores) as ledger:
        answers = await asyncio.gather(
            ledger.record(record("use_1")),
            ledger.record(record("use_big", nano_usd=2**70)),
            ledger.record(record("nul\x00")),
            ledger.record(record("use_2")),
            return_exceptions=True,
        )

        assert [type(answer) for answer in answers] == [bool, StoreError, StoreError, bool]
        assert await names(ledger) == {"use_1", "use_2"}


# Secrets


async def test_a_password_stands_in_no_error(database: Server) -> None:
    secret = "hush%2Fhush"
    urls = {
        "a wrong password": database.url(password=secret),
        "no such database": database.url().replace("/postgres", "/absent"),
        "nobody there": database.url(port=1, password=secret),
        "no such host": f"postgresql://pool:{secret}@absent.invalid/pool",
        "a query that is none": f"postgresql://pool:{secret}@127.0.0.1/pool?{secret}",
        "in the query": f"postgresql://127.0.0.1:1/pool?password={secret}",
    }
    for what, url in urls.items():
        stores = PostgresqlStores(url)
        with pytest.raises(StoreError) as raised:
            await stores.open_ledger("sub1", wait_seconds=0)
        told = "".join(traceback.format_exception(raised.value)) + repr(vars(stores))
        assert not any(each in told for each in (secret, "hush/hush", PASSWORD)), what


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://pool:hu/sh@127.0.0.1/pool",
        "postgresql://pool:hu@sh@127.0.0.1/pool",
        "postgresql://pool:hu#sh@127.0.0.1/pool",
        "postgresql://pool:hush@127.0.0.1",
        "postgresql://pool:hush/pool",
        "postgresql://pool:hush@127.0.0.1:hush/pool",
        "mysql://pool:hush@127.0.0.1/pool",
        "hush",
    ],
)
def test_a_url_that_is_none_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(StoreError, match="is no URL of a database") as raised:
        PostgresqlStores(url)

    assert not any(part in str(raised.value) for part in ("hush", "hu/", "hu@", "hu#"))


async def test_an_id_that_is_no_plain_name_is_refused_before_anything_is_opened() -> None:
    with pytest.raises(InvalidRequest, match="subscription_id"):
        await PostgresqlStores("postgresql://127.0.0.1:1/pool").open_ledger("../sub1")


async def test_a_copy_in_a_file_is_left_to_the_tools_of_postgresql(
    stores: PostgresqlStores, tmp_path: Path
) -> None:
    directory = await stores.open_directory()
    async with opened(stores) as ledger:
        for store in (ledger, directory):
            with pytest.raises(NotSupported, match="use pg_dump"):
                await store.backup(tmp_path / "copy.sqlite")
    await directory.close()
