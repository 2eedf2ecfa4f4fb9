"""Orders to a reconciler: what is compared again, and what is refused."""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path

import pytest

from api.demo.standin.bill import Usage
from pool.errors import InvalidRequest, NotFound
from pool.reconciliation.findings import (
    ReconciliationRange,
    ReconciliationState,
    ReportKind,
    Verdict,
)
from pool.storage.sqlite import SqliteStores
from tests.support.admin_api.admin_standin import Fault
from tests.support.admin_api.adminapi import ADMIN_KEY, KEY
from tests.support.admin_api.ledgers import LedgerAccount, ran
from tests.support.admin_api.reconciled import (
    DAY,
    HOUR,
    LATENCY,
    MIDNIGHT,
    MILLION,
    World,
    after,
    only,
)
from tests.support.values.examples import NOON, SONNET


async def test_an_order_compares_what_was_compared_again(
    world: World, account: LedgerAccount
) -> None:
    await ran(account, world.bill, MIDNIGHT)
    after(0, world)
    await world.look()
    world.mind.extra(KEY, f"{SONNET}-20250929", Usage(), MIDNIGHT)

    await world.order(MIDNIGHT, MIDNIGHT + HOUR)
    assert (await world.row(MIDNIGHT)).state is ReconciliationState.PENDING
    await world.look()

    assert (await world.row(MIDNIGHT)).verdict is Verdict.DIFFERS


async def test_what_has_not_ended_is_pending_until_it_has(
    world: World, account: LedgerAccount
) -> None:
    world.clock.now = NOON + HOUR / 2
    await ran(account, world.bill, NOON)

    await world.order(NOON, NOON + HOUR)
    await world.look()

    row = await world.row(NOON)
    assert (row.state, row.verdict) == (ReconciliationState.PENDING, Verdict.PENDING)
    assert row.next_attempt_at == NOON + HOUR + LATENCY

    world.clock.now = NOON + HOUR + LATENCY
    await world.look()

    assert (await world.row(NOON)).verdict is Verdict.MATCH


@pytest.mark.parametrize(
    ("since", "until", "field"),
    [
        (NOON, NOON, "ends_at"),
        (NOON + 9 * DAY, NOON + 10 * DAY, "ends_at"),
        (NOON - 36 * DAY, NOON - 35 * DAY, "starts_at"),
        (NOON - 33 * DAY, NOON, "ends_at"),
    ],
)
async def test_a_range_that_cannot_be_compared_is_refused(
    world: World, since: datetime, until: datetime, field: str
) -> None:
    world.clock.now = NOON

    with pytest.raises(InvalidRequest) as raised:
        await world.order(since, until)

    assert raised.value.field == field


async def test_a_day_whose_records_are_partly_gone_is_not_compared(
    world: World, account: LedgerAccount
) -> None:
    world.clock.now = MIDNIGHT + 36 * DAY - HOUR / 120  # and the second poll waits a minute
    world.mind.extra(KEY, SONNET, MILLION, NOON + DAY)

    await world.order(NOON + DAY, NOON + DAY + HOUR)
    await world.look()

    day = await world.row(MIDNIGHT + DAY, ReportKind.COST)
    assert day.verdict is Verdict.NOT_RECONCILABLE
    assert "older than the records" in str(only(day).reason)


async def test_nobody_and_nothing_are_not_found(world: World) -> None:
    assert world.reconciler is not None
    with pytest.raises(NotFound):
        await world.reconciler.reconciliation("acme:usage:never")
    with pytest.raises(NotFound):
        await world.reconciler.reconcile(
            ReconciliationRange(
                starts_at=MIDNIGHT - HOUR, ends_at=MIDNIGHT, organization_id="nobody"
            )
        )


async def test_the_admin_key_is_in_no_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    world.mind.next(Fault(status=403))
    after(0, world)

    await world.look()

    assert ADMIN_KEY not in caplog.text


async def test_its_history_is_copied_with_a_backup_once(world: World, tmp_path: Path) -> None:
    after(1, world)
    await world.look()
    assert world.reconciler is not None
    world.reconciler._settings = world.reconciler._settings.model_copy(
        update={"backups_dir": tmp_path / "backups"}
    )

    for _ in range(2):
        await world.reconciler.backup("monday")

    copy = await SqliteStores(tmp_path / "backups" / "monday").open_reconciliations()
    rows = (await copy.page(limit=500)).items
    await copy.close()
    assert rows == await world.rows()
    assert rows
