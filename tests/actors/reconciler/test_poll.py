"""Looks of a reconciler: reports that cannot be used, and hours that none may leave out."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from api.demo.standin.bill import Usage
from pool.reconciliation.findings import ReconciliationState, ReportKind, Verdict
from pool.reconciliation.problems import ProblemKind
from pool.usage.records import UsageSource
from tests.support.admin_api.admin_standin import Fault, Harm
from tests.support.admin_api.adminapi import KEY
from tests.support.admin_api.ledgers import LedgerAccount, ran
from tests.support.admin_api.reconciled import (
    DAY,
    HOUR,
    MIDNIGHT,
    MILLION,
    World,
    after,
    of_source,
    spent,
)
from tests.support.values.examples import SONNET


@pytest.mark.parametrize(
    ("faults", "kind"),
    [
        ([Fault(status=401)], ProblemKind.UNAUTHORIZED),
        ([Fault(status=403)], ProblemKind.FORBIDDEN),
        ([Fault(status=404)], ProblemKind.NOT_FOUND),
        ([Fault(status=429)] * 4, ProblemKind.RATE_LIMITED),
        ([Fault(status=500)] * 4, ProblemKind.SERVER_ERROR),
        ([Fault(harm="cut")], ProblemKind.TRUNCATED),
        ([Fault(harm="no_next")], ProblemKind.TRUNCATED),
        ([Fault(harm="same_page")] * 9, ProblemKind.REPEATED_PAGE),
        ([Fault(harm="gap")], ProblemKind.INCOMPLETE),
        ([Fault(harm="twice")], ProblemKind.INCOMPLETE),
        ([Fault(harm="bad_count")], ProblemKind.MALFORMED),
        ([Fault(harm="skewed")], ProblemKind.CLOCK_SKEW),
    ],
)
async def test_what_cannot_be_used_is_a_state_and_nothing_is_adjusted(
    world: World, account: LedgerAccount, faults: list[Fault], kind: ProblemKind
) -> None:
    world.settings["adjust"] = True
    await world.end()
    await world.begin()
    await ran(account, world.bill, MIDNIGHT, usage=MILLION)
    world.mind.extra(KEY, f"{SONNET}-20250929", MILLION, MIDNIGHT + HOUR)
    world.mind.next(*faults)
    after(1, world)

    await world.look()

    rows = await world.rows()
    assert {row.state for row in rows} == {ReconciliationState.FAILED}
    assert {row.problem.kind for row in rows if row.problem} == {kind}
    assert all(row.next_attempt_at for row in rows)
    assert await of_source(account, UsageSource.ADJUSTMENT) == []

    world.mind._faults.clear()
    world.clock.advance(HOUR)
    await world.look()

    first = await world.row(MIDNIGHT)
    assert (first.state, first.verdict) == (ReconciliationState.COMPARED, Verdict.MATCH)
    assert (first.problem, first.attempts) == (None, 0)
    assert (await world.row(MIDNIGHT + HOUR)).verdict is Verdict.LOCAL_MISSING


@pytest.mark.parametrize("harm", ["bad_amount", "gap"])
async def test_a_bad_cost_report_is_a_state(
    world: World, account: LedgerAccount, harm: Harm
) -> None:
    await ran(account, world.bill, MIDNIGHT)
    after(23, world)
    world.mind.next(Fault(), Fault(harm=harm))

    await world.look()

    assert (await world.row(MIDNIGHT)).state is ReconciliationState.COMPARED
    assert (await world.row(MIDNIGHT, ReportKind.COST)).state is ReconciliationState.FAILED


async def test_buckets_in_another_order_are_put_in_order(
    world: World, account: LedgerAccount
) -> None:
    await ran(account, world.bill, MIDNIGHT)
    await ran(account, world.bill, MIDNIGHT + HOUR, usage=MILLION)
    world.mind.next(Fault(harm="reversed"))
    after(1, world)

    await world.look()

    assert {row.verdict for row in await world.rows()} == {Verdict.MATCH}


async def test_a_failure_is_tried_again_at_growing_intervals(world: World) -> None:
    world.mind.next(*[Fault(status=401)] * 3)
    after(0, world)
    waits = []
    for _ in range(3):
        await world.look()
        row = await world.row(MIDNIGHT)
        assert row.next_attempt_at is not None
        waits.append(row.next_attempt_at - world.clock())
        world.clock.now = row.next_attempt_at

    assert waits == [timedelta(minutes=5), timedelta(minutes=10), timedelta(minutes=20)]


async def test_an_owner_who_is_away_is_a_state(world: World, account: LedgerAccount) -> None:
    await ran(account, world.bill, MIDNIGHT)
    after(0, world)
    account.is_away = True

    await world.look()

    row = await world.row(MIDNIGHT)
    assert row.state is ReconciliationState.FAILED
    assert row.problem is not None
    assert row.problem.kind is ProblemKind.LOCAL
    assert world.mind.asked == []

    account.is_away = False
    world.clock.advance(HOUR)
    await world.look()

    assert (await world.row(MIDNIGHT)).verdict is Verdict.MATCH


def gaps(times: Iterable[datetime]) -> list[timedelta]:
    ordered = sorted(times)
    return [later - earlier for earlier, later in pairwise(ordered)]


async def test_two_days_with_a_downtime_leave_no_hour_out_and_take_none_twice(
    world: World, account: LedgerAccount
) -> None:
    world.settings["adjust"] = True
    await world.end()
    await world.begin()
    end = MIDNIGHT + 2 * DAY
    down = {*range(5, 9), *range(20, 40)}  # hours in which no reconciler runs
    step = 0
    while world.clock.now < end + 2 * HOUR:
        hour = (world.clock.now - MIDNIGHT) // HOUR
        if world.clock.now < end:
            await ran(account, world.bill, world.clock.now, usage=Usage(input_tokens=1000 + step))
            if hour % 7 == 3:
                world.mind.extra(KEY, f"{SONNET}-20250929", Usage(), world.clock.now)
        if hour in down and world.reconciler is not None:
            await world.end()
        elif hour not in down:
            if world.reconciler is None or step % 5 == 0:  # and restarts in between
                await world.end()
                await world.begin()
            await world.look()
        world.clock.advance(timedelta(minutes=30))
        step += 1

    hours = await world.rows(kind=ReportKind.USAGE, until=end)
    assert [row.starts_at for row in reversed(hours)] == [MIDNIGHT + n * HOUR for n in range(48)]
    assert {row.state for row in hours} == {ReconciliationState.COMPARED}
    assert {row.starts_at for row in hours if row.verdict is Verdict.DIFFERS} == {
        MIDNIGHT + n * HOUR for n in range(48) if n % 7 == 3
    }
    days = await world.rows(kind=ReportKind.COST)
    assert [row.starts_at for row in reversed(days)] == [MIDNIGHT, MIDNIGHT + DAY]

    polled = [each for each in world.mind.asked if each.page is None]
    assert min(gaps(each.at for each in polled)) >= timedelta(minutes=1)
    asked = [hour for each in polled for hour in hours_of(each)]
    assert sorted(asked) == sorted(set(asked)) == [MIDNIGHT + n * HOUR for n in range(49)]

    adjusted = await of_source(account, UsageSource.ADJUSTMENT)
    assert len(adjusted) == len([n for n in range(48) if n % 7 == 3])
    reported = sum(line.cost_nano_usd or 0 for line in world.mind.lines(MIDNIGHT, end))
    assert await spent(account) == reported


def hours_of(asked: Any) -> list[datetime]:
    """The hours that a poll of the usage report asked for."""
    if not asked.path.endswith("/messages"):
        return []
    params = dict(asked.params)
    start = datetime.fromisoformat(params["starting_at"])
    end = datetime.fromisoformat(params["ending_at"])
    return [start + n * HOUR for n in range((end - start) // HOUR)]


async def test_downtime_beyond_the_bound_is_not_made_up_for(world: World) -> None:
    world.settings["catch_up_days"] = 1
    await world.end()
    await world.begin()
    world.clock.now = MIDNIGHT + 10 * DAY

    await world.look()

    rows = await world.rows(kind=ReportKind.USAGE)
    assert min(row.starts_at for row in rows) == MIDNIGHT + 9 * DAY


async def test_two_entries_with_one_key_share_its_minute(world: World) -> None:
    await world.actors.add("key2")
    world.organizations.append({"id": "b", "admin_key_env": "ACME_KEY", "subscriptions": ["key2"]})
    await world.end()
    await world.begin()
    await world.look()
    after(0, world)

    await world.look()

    assert len(world.mind.asked) == 2
    assert min(gaps(each.at for each in world.mind.asked)) >= timedelta(minutes=1)
