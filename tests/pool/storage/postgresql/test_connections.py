"""The database and the connections to it: tables, settings, sharing, and secrets."""

from __future__ import annotations

import asyncio
import traceback
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from pool.errors import InvalidRequest, NotSupported, StoreError
from pool.storage.postgresql import PostgresqlStores, schema
from pool.storage.postgresql.connection import connections
from tests.support.stores.postgres import PASSWORD, Server
from tests.support.stores.stored import in_its_transaction, names, opened, record


async def test_many_may_make_the_tables_at_the_same_time(url: str) -> None:
    many = [PostgresqlStores(f"{url}&extra_float_digits={digits}") for digits in (0, 1, 2, 3)]

    ledgers = await asyncio.gather(
        *(each.open_ledger(f"sub{number}") for number, each in enumerate(many * 2))
    )

    assert {ledger.epoch for ledger in ledgers} == {1}
    for ledger in ledgers:
        await ledger.close()


async def test_a_migration_may_take_longer_than_any_statement_and_others_wait_for_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = {"statement_timeout": "1s", "lock_timeout": "500ms"}
    monkeypatch.setattr(connections, "SETTINGS", connections.SETTINGS | short)
    monkeypatch.setattr(connections, "ANSWER_SECONDS", 1.0)
    long = (*schema.migrations(), (10_000, "SELECT pg_sleep(1.5)"))
    monkeypatch.setattr(schema, "migrations", lambda: long)
    two = [PostgresqlStores(f"{url}&extra_float_digits={digits}") for digits in (0, 1)]

    ledgers = await asyncio.gather(
        *(each.open_ledger(f"sub{number}") for number, each in enumerate(two))
    )

    assert {ledger.epoch for ledger in ledgers} == {1}
    for ledger in ledgers:
        limits = await in_its_transaction(ledger, _limits)
        assert limits == short, "of whatever comes next"
        await ledger.close()


async def test_a_table_that_a_migration_changed_is_not_locked_while_the_next_one_works(
    url: str, stores: PostgresqlStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = (10_000, "ALTER TABLE seats ADD COLUMN more text")
    works = (10_001, "SELECT pg_advisory_xact_lock(7)")
    both = (*schema.migrations(), changed, works)
    monkeypatch.setattr(schema, "migrations", lambda: both)
    other = await asyncpg.connect(url)
    await other.execute("SELECT pg_advisory_lock(7)")

    opening = asyncio.ensure_future(stores.open_ledger("sub1"))
    async with asyncio.timeout(10):
        while not await other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.01)
    await other.execute("SET lock_timeout = '1s'; UPDATE seats SET more = 'is there'")
    await other.execute("SELECT pg_advisory_unlock(7)")

    await (await opening).close()
    await other.close()


async def _limits(db: Any) -> dict[str, str]:
    return {
        name: await db.fetchval(f"SHOW {name}") for name in ("statement_timeout", "lock_timeout")
    }


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
