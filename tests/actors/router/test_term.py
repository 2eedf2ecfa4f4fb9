"""A router that another one has taken over from leaves, and one of another pool does not begin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import apsw
import pytest

from actors.router import term
from actors.router.term import Term
from pool.errors import ConfigError, Fenced, StoreError
from pool.storage.directory.directory import Directory
from pool.storage.directory.terms import Rival, TermStore
from pool.storage.postgresql import PostgresqlStores
from pool.storage.sqlite import SqliteStores
from tests.support.pools.localpool import LocalPool
from tests.support.stores.postgres import Server
from tests.support.suite.waiting import until

pytestmark = pytest.mark.timeout(30)


@pytest.fixture
async def terms(database: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TermStore]:
    """Of a directory that several routers have open."""
    monkeypatch.setattr(term, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(term, "WATCH_SECONDS", 0.02)
    monkeypatch.setattr(term, "SILENT_SECONDS", 0.5)
    directory = await PostgresqlStores(database.fresh_schema()).open_directory()
    yield directory.terms
    await directory.close()


async def test_of_two_routers_of_a_pool_the_one_that_began_first_leaves(terms: TermStore) -> None:
    left: list[tuple[str, StoreError]] = []
    first = Term(terms, "a pool", lambda why: left.append(("first", why)))
    second = Term(terms, "a pool", lambda why: left.append(("second", why)))
    await first.begin()
    await first.look()
    await second.begin()

    await first.look()
    await second.look()

    assert [who for who, _ in left] == ["first"]
    assert "term 2 has taken over from that of 1" in str(left[0][1])


async def test_a_router_that_cannot_ask_for_its_head_keeps_its_database(terms: TermStore) -> None:
    async def has_head() -> bool:
        raise AttributeError("internal_kv_get")

    asks = Term(terms, "a pool", has_cluster=has_head)
    await asks.begin()
    before = await terms.begin("another pool")

    await asks.look()
    after = await terms.begin("another pool")

    assert isinstance(before, Rival)
    assert isinstance(after, Rival)
    assert after.beats == before.beats + 1


async def test_with_sqlite_a_router_whose_directory_was_taken_over_leaves(tmp_path: Path) -> None:
    left: list[StoreError] = []
    stores = SqliteStores(tmp_path)
    directory = await stores.open_directory()
    overtaken = Term(directory.terms, leave=left.append)
    await overtaken.begin()
    await overtaken.look()
    before = list(left)

    await take_over(directory)
    await overtaken.look()
    await directory.close()

    assert before == []
    assert ["has taken over from that of 1" in each.problem for each in left] == [True]


async def take_over(directory: Directory) -> None:
    """As another process does that may have its file."""

    def raised(db: apsw.Connection) -> None:
        db.execute("UPDATE owner SET epoch = epoch + 1")

    await directory.terms._database._commits.read(raised)


async def test_of_a_pool_whose_beats_are_refused_the_router_leaves() -> None:
    class Refusing:
        async def beat(self, _: int) -> int:
            raise Fenced("directory", "another owns it now")

    left: list[StoreError] = []

    await Term(cast(TermStore, Refusing()), leave=left.append).look()

    assert [type(each) for each in left] == [Fenced]


async def test_a_router_begins_a_term_as_it_begins(local_pool: LocalPool) -> None:
    assert local_pool.router._term._number == await local_pool.router._directory.terms.latest() > 0


async def test_a_pool_whose_database_another_one_uses_is_refused_and_that_is_undisturbed(
    terms: TermStore,
) -> None:
    left: list[StoreError] = []
    first, second = Term(terms, "the pool 'one'", left.append), Term(terms, "the pool 'two'")
    await first.begin()
    watching = asyncio.create_task(first.watch())

    with pytest.raises(ConfigError) as refused:
        await second.begin()

    await first.look()
    watching.cancel()
    assert refused.value.field == "pool.store"
    assert "the pool 'one' has this database, and runs" in refused.value.problem
    assert "a schema (?search_path=) of its own" in refused.value.problem
    assert (await terms.latest(), left) == (1, [])


async def test_a_pool_that_was_killed_is_waited_for_until_another_may_have_its_database(
    terms: TermStore,
) -> None:
    await terms.begin("the pool 'one'")
    second = asyncio.create_task(Term(terms, "the pool 'two'").begin())

    await asyncio.wait([second], timeout=0.2)
    has_waited = not second.done()
    await second

    assert has_waited
    assert isinstance(await terms.begin("the pool 'one'"), Rival)


async def test_a_pool_that_was_killed_has_its_own_database_at_once(terms: TermStore) -> None:
    await Term(terms, "a pool").begin()

    assert await terms.begin("a pool") == 2


async def test_a_database_of_an_earlier_release_has_no_other_pool(terms: TermStore) -> None:
    """That counted the terms on, and said nothing of its pool."""
    await terms.begin("the router")

    assert await terms.begin("the pool 'two'") == 2


async def test_a_router_without_a_head_does_not_keep_a_new_cluster_of_its_pool_out(
    terms: TermStore,
) -> None:
    looked: list[str] = []

    async def has_head() -> bool:
        looked.append("asked for its head")
        return False

    left: list[StoreError] = []
    first = Term(terms, "the pool of the cluster before", left.append, has_head)
    await first.begin()
    watching = asyncio.create_task(first.watch())
    await until(lambda: len(looked) > 1)

    await Term(terms, "the pool of the new cluster").begin()

    await until(lambda: bool(left))
    watching.cancel()
