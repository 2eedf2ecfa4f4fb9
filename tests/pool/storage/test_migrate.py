"""A pool that moves to another kind of store, and back."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from pool.errors import StoreError
from pool.executions.intent import Intent
from pool.executions.outcome import Completed, FailureKind
from pool.executions.request import ExecutionRequest
from pool.executions.routing_record import Routing
from pool.executions.row import ExecutionRow
from pool.executions.session import SessionTotal
from pool.executions.status import ExecutionStatus
from pool.limits.windows import RateLimitEvent, Window
from pool.reconciliation.findings import Bucket, ReportKind, untouched
from pool.storage.directory.claims import NewClaim, Registration
from pool.storage.ledger.ledger import Ledger
from pool.storage.ledger.portion import LedgerPortion
from pool.storage.migrate import Moved, move
from pool.storage.postgresql import PostgresqlStores
from pool.storage.sqlite import SqliteStores
from pool.storage.stores import Stores
from pool.subscriptions.consequences.settlement import Settlement
from pool.subscriptions.consequences.standing import Cooldown, Standing
from pool.subscriptions.spec import SubscriptionSpec
from pool.usage.records import ModelUsage, Usage, UsageRecord
from tests.support.stores.postgres import Server

NOW = datetime(2026, 1, 28, 16, 30, 0, 123457, tzinfo=UTC)
TICK, HOUR = timedelta(microseconds=1), timedelta(hours=1)
SESSION = "634fbb1e-4256-459f-9794-14ea9ca8dac8"


def row(name: str, *, created_at: datetime = NOW) -> ExecutionRow:
    intent = Intent(
        execution_id=name,
        request=ExecutionRequest(prompt="Gr\u00fc\u00dfe \U0001f600", metadata={"a": "\u00fc"}),
        session_id=SESSION,
        resumes=False,
        model="m",
        timeout_seconds=1,
        reserved_nano_usd=1,
        routing=Routing(score=99.123456789, reason="r"),
        created_at=created_at,
    )
    return ExecutionRow(intent=intent, status=ExecutionStatus.QUEUED)


def record(name: str, at: datetime, *models: str) -> UsageRecord:
    usage = Usage(models={model: ModelUsage(cost_nano_usd=1, input_tokens=3) for model in models})
    return UsageRecord(id=name, subscription_id="sub1", timestamp=at, usage=usage)


def settlement(name: str, at: datetime) -> Settlement:
    end = row(name).model_copy(
        update={
            "status": ExecutionStatus.SUCCEEDED,
            "finished_at": at,
            "outcome": Completed(result="ja", structured_output={"a": [1, 2.5, None, "\u2603"]}),
        }
    )
    window = Window(status="allowed", observed_at=at, utilization=0.1)
    cooldown = Cooldown(cause=FailureKind.USAGE_LIMIT, evidence="e", since=at, until=at + TICK)
    return Settlement(
        row=end,
        record=record(f"of_{name}", at, "opus", "haiku", "\u00fcber"),
        session=SessionTotal(session_id=f"s-{name}", total_nano_usd=7, last_used_at=at),
        standing=Standing(paused=True, cooldown=cooldown, consecutive_failures=2),
        limits=tuple(
            RateLimitEvent(observed_at=NOW, status="allowed", windows={"w": window}, raw={"n": n})
            for n in range(3)
        ),
    )


async def lived(stores: Stores) -> None:
    """A pool with a past: some of it removed by retention, some of it still going on."""
    ledger = await stores.open_ledger("sub1")
    old = NOW - timedelta(days=40)
    await ledger.begin(row("exec_old", created_at=old))
    await ledger.settle(settlement("exec_old", old))
    await ledger.expire(NOW - timedelta(days=35))
    for name in ("exec_1", "exec_2"):
        await ledger.begin(row(name))
    await ledger.settle(settlement("exec_1", NOW))
    await asyncio.gather(
        *(ledger.record(record(f"use_{n}", NOW + n * TICK, "opus")) for n in range(1201))
    )
    await ledger.close()
    history = await stores.open_reconciliations()
    await history.begin("acme", NOW)
    await history.note_poll("ACME_KEY", NOW + TICK)
    hours = (
        Bucket(organization_id="acme", kind=ReportKind.USAGE, starts_at=NOW + n * HOUR)
        for n in range(250)
    )
    await history.keep([untouched(bucket, NOW) for bucket in hours])
    await history.close()
    directory = await stores.open_directory()
    for name in ("sub1", "sub2"):
        await directory.register(
            Registration(spec=SubscriptionSpec(id=name), declared=True, created_at=NOW)
        )
    await directory.claim(
        NewClaim(execution_id="exec_1", key="ci/k", digest="d", at=NOW, session_id=SESSION), "sub1"
    )
    await directory.claim(
        NewClaim(execution_id="exec_3", digest="d", at=NOW + TICK, session_id="s-gone"), "gone"
    )
    await directory.close()


async def held(stores: Stores) -> list[Any]:
    """Everything in them."""
    directory = await stores.open_directory()
    portions: list[Any] = [portion async for portion in directory.export()]
    await directory.close()
    history = await stores.open_reconciliations()
    portions += [portion async for portion in history.export()]
    portions.append(await history.polled_at("ACME_KEY"))
    await history.close()
    for name in ("sub1", "sub2", "gone"):
        ledger = await stores.open_ledger(name)
        portions += [portion async for portion in ledger.export()]
        recovery = await ledger.recover(NOW - timedelta(days=7))
        portions.append(recovery.model_copy(update={"epoch": 0}))
        portions.append(await ledger.blocks(limit=500))
        portions.append((await ledger.limits(limit=500)).items)
        await ledger.close()
    return portions


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a pool that has lived."""
    folder = tmp_path_factory.mktemp("past")
    asyncio.run(lived(SqliteStores(folder)))
    return folder


@pytest.fixture
def source(past: Path, tmp_path: Path) -> SqliteStores:
    copytree(past, tmp_path / "source")
    return SqliteStores(tmp_path / "source")


@pytest.fixture
def target(database: Server) -> PostgresqlStores:
    return PostgresqlStores(database.fresh_schema())


async def test_a_pool_that_moved_there_and_back_is_what_it_was(
    source: SqliteStores, target: PostgresqlStores, tmp_path: Path
) -> None:
    back = SqliteStores(tmp_path / "back")
    before = await held(source)

    there = await move(source, target, ["sub1"])
    again = await move(target, back, [])

    assert there == again
    assert there == Moved(
        subscriptions=("gone", "sub1", "sub2"),
        executions=2,
        records=1202,
        cost_nano_usd=1201 + 2 * 3,
        claims=2,
        registrations=2,
        reconciliations=250,
    )
    assert before == await held(target) == await held(back)


async def test_what_moved_goes_on_where_it_was(
    source: SqliteStores, target: PostgresqlStores
) -> None:
    await move(source, target, [])

    ledger = await target.open_ledger("sub1")
    assert not await ledger.settle(settlement("exec_1", NOW))
    assert not await ledger.record(record("use_7", NOW, "opus"))
    assert await ledger.settle(settlement("exec_2", NOW))
    assert (await ledger.recover(NOW)).totals.usage.cost_nano_usd == 1201 + 3 * 3
    await ledger.close()
    directory = await target.open_directory()
    claim = await directory.locate("other", "ci/k")
    assert claim is not None
    assert (claim.execution_id, claim.subscription_id) == ("exec_1", "sub1")
    await directory.close()


async def test_a_target_that_holds_something_is_refused_and_left_alone(
    source: SqliteStores, target: PostgresqlStores
) -> None:
    ledger = await target.open_ledger("sub2")
    await ledger.stand(Standing(paused=True))
    await ledger.close()
    before = await held(target)

    with pytest.raises(StoreError, match=r"ledger of sub2: is not empty.*nothing was moved"):
        await move(source, target, [])

    assert before == await held(target)


async def test_nothing_is_moved_twice(source: SqliteStores, target: PostgresqlStores) -> None:
    await move(source, target, [])
    before = await held(target)

    with pytest.raises(StoreError, match="directory: is not empty in the target"):
        await move(source, target, [])

    assert before == await held(target)


class _Leaky:
    """A ledger that drops what it should load."""

    def __init__(self, ledger: Ledger, dropped: dict[str, Any]) -> None:
        self._ledger = ledger
        self._dropped = dropped

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    async def load(self, portion: LedgerPortion) -> None:
        await self._ledger.load(portion.model_copy(update=self._dropped))


class _LeakyStores(PostgresqlStores):
    dropped: dict[str, Any] = {}  # noqa: RUF012

    async def open_ledger(self, subscription_id: str, *, wait_seconds: float = 10.0) -> Any:
        ledger = await super().open_ledger(subscription_id, wait_seconds=wait_seconds)
        return _Leaky(ledger, self.dropped)


@pytest.mark.parametrize(
    ("dropped", "difference"),
    [
        ({"blocks": ()}, "the total differs by -1207 nano-dollars"),
        ({"executions": ()}, "there are 0 of 2 executions"),
        ({"subscription": {}}, "rows came back changed"),
    ],
)
async def test_what_does_not_arrive_is_told(
    source: SqliteStores, database: Server, dropped: dict[str, Any], difference: str
) -> None:
    target = _LeakyStores(database.fresh_schema())
    target.dropped = {
        kind: LedgerPortion().subscription if kind == "subscription" else value
        for kind, value in dropped.items()
    }

    with pytest.raises(StoreError, match=difference):
        await move(source, target, [])
