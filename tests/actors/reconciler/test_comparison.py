"""Verdicts of a reconciler: what was billed, beside what was recorded."""

from __future__ import annotations

import logging
from datetime import timedelta
from decimal import Decimal

import pytest

from api.demo.standin.bill import Usage
from pool.reconciliation.findings import ReconciliationState, ReportKind, Verdict
from tests.support.admin_api.adminapi import ACCOUNT, KEY
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
from tests.support.values.examples import SONNET

HAIKU = "claude-haiku-4-5"


async def test_what_was_billed_and_recorded_matches(world: World, account: LedgerAccount) -> None:
    for minute in range(3):
        await ran(account, world.bill, MIDNIGHT + timedelta(minutes=minute), usage=MILLION)
    after(0, world)

    await world.look()

    row = await world.row(MIDNIGHT)
    assert (row.state, row.verdict) == (ReconciliationState.COMPARED, Verdict.MATCH)
    assert only(row).model == SONNET
    assert only(row).local == only(row).remote
    assert (row.difference_usd, row.exceeds) == (0, False)


async def test_use_beside_the_pool_is_found(
    world: World, account: LedgerAccount, caplog: pytest.LogCaptureFixture
) -> None:
    await ran(account, world.bill, MIDNIGHT, usage=MILLION)
    world.mind.extra(KEY, f"{SONNET}-20250929", MILLION, MIDNIGHT + HOUR)
    after(1, world)

    with caplog.at_level(logging.WARNING, "actors.reconciler.poll"):
        await world.look()

    row = await world.row(MIDNIGHT + HOUR)
    assert row.verdict is Verdict.LOCAL_MISSING
    assert row.exceeds
    assert row.difference_usd == Decimal("4.5")
    (told,) = [each for each in caplog.records if each.message == "reconciliation differs"]
    assert vars(told)["reconciliation_id"] == row.id
    assert vars(told)["difference_usd"] == 4.5
    assert [alert.data["reconciliation_id"] for alert in world.actors.alerts] == [row.id]


async def test_what_anthropic_does_not_report_is_found(
    world: World, account: LedgerAccount
) -> None:
    await ran(account, world.bill, MIDNIGHT, usage=MILLION)
    world.mind.lose(world.bill.lines()[0].message_id)
    after(0, world)

    await world.look()

    row = await world.row(MIDNIGHT)
    assert (row.verdict, row.difference_usd) == (Verdict.REMOTE_MISSING, Decimal("-4.5"))


async def test_a_difference_in_one_model_is_told_of_that_model(
    world: World, account: LedgerAccount
) -> None:
    await ran(account, world.bill, MIDNIGHT)
    await ran(account, world.bill, MIDNIGHT, model=HAIKU)
    world.mind.extra(KEY, f"{HAIKU}-20251001", Usage(), MIDNIGHT)
    after(0, world)

    await world.look()

    verdicts = {each.model: each.verdict for each in (await world.row(MIDNIGHT)).findings}
    assert verdicts == {SONNET: Verdict.MATCH, HAIKU: Verdict.DIFFERS}
    assert not (await world.row(MIDNIGHT)).exceeds  # a tenth of a cent


async def test_an_unknown_model_is_told_without_an_amount(
    world: World, account: LedgerAccount
) -> None:
    world.mind.extra(KEY, "claude-next-9", MILLION, MIDNIGHT)
    after(0, world)

    await world.look()

    row = await world.row(MIDNIGHT)
    finding = only(row)
    assert (finding.model, finding.verdict) == ("claude-next-9", Verdict.LOCAL_MISSING)
    assert finding.remote is not None
    assert finding.remote.cost_usd is None
    assert row.difference_usd is None
    assert row.exceeds  # all of it is beside the pool, whatever it costs
    assert "no price" in str(finding.reason)


async def test_dollars_of_a_day_are_compared_with_the_cost_report(
    world: World, account: LedgerAccount
) -> None:
    await ran(account, world.bill, MIDNIGHT + 3 * HOUR, usage=MILLION)
    await ran(account, world.bill, MIDNIGHT + 5 * HOUR, model=HAIKU, usage=MILLION)
    world.mind.extra(KEY, f"{HAIKU}-20251001", MILLION, MIDNIGHT + 9 * HOUR)
    after(23, world)

    await world.look()

    row = await world.row(MIDNIGHT, ReportKind.COST)
    verdicts = {each.model: each.verdict for each in row.findings}
    assert verdicts == {SONNET: Verdict.MATCH, HAIKU: Verdict.DIFFERS}
    assert (row.difference_usd, row.exceeds) == (Decimal("1.5"), True)


async def test_a_subscription_of_a_team_is_compared_by_person_and_day(world: World) -> None:
    account = await world.actors.add("sub1", kind="team", email="User1@example.com")
    world.organizations[0]["subscriptions"] = ["sub1"]
    world.organizations[0]["emails"] = ["user2@example.com"]
    world.mind.person(ACCOUNT, "user1@example.com")
    world.mind.person("test-token-2", "user2@example.com")
    world.mind.person("test-token-3", "stranger@example.com")
    await world.end()
    await world.begin()
    await ran(account, world.bill, MIDNIGHT + HOUR, token=ACCOUNT)
    world.mind.extra("test-token-2", f"{SONNET}-20250929", MILLION, MIDNIGHT)
    world.mind.extra("test-token-3", f"{SONNET}-20250929", MILLION, MIDNIGHT)
    world.clock.now = MIDNIGHT + DAY + HOUR + LATENCY

    await world.look()

    row = await world.row(MIDNIGHT, ReportKind.CLAUDE_CODE)
    assert {each.email: each.verdict for each in row.findings} == {
        "user1@example.com": Verdict.MATCH,
        "user2@example.com": Verdict.LOCAL_MISSING,
    }
    hour = await world.row(MIDNIGHT)
    assert hour.verdict is Verdict.NOT_RECONCILABLE
    assert "Claude Code report" in str(only(hour).reason)


@pytest.mark.parametrize("kind", ["pro", "max"])
async def test_a_pro_or_max_subscription_never_matches(world: World, kind: str) -> None:
    await world.actors.add("sub1", kind=kind)
    world.organizations[0]["subscriptions"] = ["sub1"]
    await world.end()
    await world.begin()
    after(23, world)

    await world.look()

    rows = await world.rows()
    assert {row.verdict for row in rows} == {Verdict.NOT_RECONCILABLE}
    assert {row.state for row in rows} == {ReconciliationState.NOT_RECONCILABLE}
    assert "no Admin API" in str(only(rows[0]).reason)
    assert world.mind.asked == []


async def test_beside_what_matches_stands_what_cannot_be_compared(
    world: World, account: LedgerAccount
) -> None:
    await world.actors.add("sub1", kind="max")
    world.organizations[0]["subscriptions"] = ["key1", "sub1", "nobody"]
    await world.end()
    await world.begin()
    await ran(account, world.bill, MIDNIGHT)
    after(0, world)

    await world.look()

    row = await world.row(MIDNIGHT)
    by_subscription = {each.subscription_id: each.verdict for each in row.findings}
    assert by_subscription == {
        None: Verdict.MATCH,
        "sub1": Verdict.NOT_RECONCILABLE,
        "nobody": Verdict.NOT_RECONCILABLE,
    }
    assert row.verdict is Verdict.MATCH


async def test_dollars_of_api_keys_need_a_workspace(world: World, account: LedgerAccount) -> None:
    world.mind.api_key(KEY, "apikey_1", "wrkspc_1")
    world.organizations[0]["api_key_ids"] = ["apikey_1"]
    await world.end()
    await world.begin()
    await ran(account, world.bill, MIDNIGHT)
    world.mind.extra("another", f"{SONNET}-20250929", MILLION, MIDNIGHT)
    after(23, world)

    await world.look()

    assert (await world.row(MIDNIGHT)).verdict is Verdict.MATCH
    day = await world.row(MIDNIGHT, ReportKind.COST)
    assert day.verdict is Verdict.NOT_RECONCILABLE
    assert "workspace_ids" in str(only(day).reason)


async def test_one_that_sleeps_is_compared_and_does_not_wake(
    world: World, account: LedgerAccount
) -> None:
    await ran(account, world.bill, MIDNIGHT + HOUR, usage=MILLION)
    account.is_asleep = True
    after(1, world)

    await world.look()

    assert only(await world.row(MIDNIGHT + HOUR)).verdict is Verdict.MATCH
    assert account.woken == 0
