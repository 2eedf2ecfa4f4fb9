"""The reconciler before the Admin API's stand-in, whose figures derive from the bill."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from admin_standin import AdminStandin, Fault, Harm
from adminapi import ACCOUNT, ADMIN_KEY, KEY, Sleeper, client_of
from ledgers import LedgerAccount, LedgerPeers, ran
from localpool import NOON, SONNET, ManualClock

from actors.reconciler.poll import ReconcilerSettings
from actors.reconciler.reconciler import Reconciler
from api.demo.standin.bill import Bill, Usage
from pool.admin_api.client import AdminApi
from pool.admin_api.organizations import Organization, ReconciliationSettings
from pool.errors import InvalidRequest, NotFound, StoreError
from pool.reconciliation.findings import (
    Finding,
    Reconciliation,
    ReconciliationRange,
    ReconciliationState,
    ReportKind,
    Verdict,
)
from pool.reconciliation.problems import ProblemKind, ReportProblem
from pool.storage.sqlite import SqliteStores
from pool.usage.records import UsageSource
from pool.usage.weekly import weekly_total

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MIDNIGHT = NOON.replace(hour=0)
LATENCY = timedelta(minutes=15)
MILLION = Usage(input_tokens=1_000_000, output_tokens=100_000)  # 4.50 USD on Sonnet
HAIKU = "claude-haiku-4-5"


@dataclass
class World:
    """One life of a reconciler after another, before the same stand-in and ledgers."""

    folder: Path
    clock: ManualClock
    mind: AdminStandin
    actors: LedgerPeers
    sleeper: Sleeper
    organizations: list[dict[str, Any]]
    settings: dict[str, Any] = field(default_factory=dict)
    reconciler: Reconciler | None = None
    left: list[StoreError] = field(default_factory=list)

    @property
    def bill(self) -> Bill:
        return self.mind.bill

    async def begin(self) -> Reconciler:
        """A new life. It looks when it is told to, not by itself."""
        self.reconciler = Reconciler(
            await SqliteStores(self.folder).open_reconciliations(),
            self.actors,  # type: ignore[arg-type] # as much of it as is asked for
            ReconcilerSettings(
                organizations=tuple(Organization(**each) for each in self.organizations),
                settings=ReconciliationSettings(**self.settings),
            ),
            self.reports,
            self.clock,
            self.sleeper,
            self.left.append,
        )
        return self.reconciler

    def reports(
        self, organization: Organization, turn: Callable[[], Awaitable[None]]
    ) -> AdminApi | ReportProblem:
        return client_of(self.mind, self.sleeper, turn=turn)

    async def end(self) -> None:
        if self.reconciler is not None:
            await self.reconciler.close()
            self.reconciler = None

    async def look(self) -> None:
        assert self.reconciler is not None
        await self.reconciler.look()

    async def rows(self, **wanted: Any) -> tuple[Reconciliation, ...]:
        assert self.reconciler is not None
        found, cursor = [], None
        while True:
            page = await self.reconciler.reconciliations(limit=500, cursor=cursor, **wanted)
            found += page.items
            cursor = page.next_cursor
            if cursor is None:
                return tuple(found)

    async def row(self, at: datetime, kind: ReportKind = ReportKind.USAGE) -> Reconciliation:
        (found,) = await self.rows(kind=kind, since=at, until=at + timedelta(seconds=1))
        return found

    async def order(self, since: datetime, until: datetime) -> None:
        assert self.reconciler is not None
        await self.reconciler.reconcile(ReconciliationRange(starts_at=since, ends_at=until))


@pytest.fixture
async def world(tmp_path: Path, clock: ManualClock) -> AsyncIterator[World]:
    """An organization with one API key, seen first at midnight."""
    mind = AdminStandin(Bill(), clock)
    actors = LedgerPeers(tmp_path)
    await actors.add("key1")
    organization = {"id": "acme", "admin_key_env": "ACME_KEY", "subscriptions": ["key1"]}
    world = World(tmp_path, clock, mind, actors, Sleeper(clock), [organization])
    clock.now = MIDNIGHT
    await world.begin()
    await world.look()
    yield world
    await world.end()
    await actors.close()


@pytest.fixture
def account(world: World) -> LedgerAccount:
    return world.actors.accounts["key1"]


def after(hour: int, world: World) -> None:
    """Let it be long enough after an hour of the day."""
    world.clock.now = MIDNIGHT + (hour + 1) * HOUR + LATENCY


def only(row: Reconciliation) -> Finding:
    (finding,) = row.findings
    return finding


async def of_source(account: LedgerAccount, source: UsageSource) -> list[Any]:
    page = await account.ledger.usage(limit=500)
    return [record for record in page.items if record.source is source]


async def spent(account: LedgerAccount) -> int:
    recovery = await account.ledger.recover(MIDNIGHT - 30 * DAY)
    return sum(cost for _, cost in recovery.costs)


async def test_one_that_sleeps_is_compared_and_does_not_wake(
    world: World, account: LedgerAccount
) -> None:
    await ran(account, world.bill, MIDNIGHT + HOUR, usage=MILLION)
    account.is_asleep = True
    after(1, world)

    await world.look()

    assert only(await world.row(MIDNIGHT + HOUR)).verdict is Verdict.MATCH
    assert account.woken == 0


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


# -- verdicts ------------------------------------------------------------------------------------


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


# -- bad input -----------------------------------------------------------------------------------


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


# -- orders --------------------------------------------------------------------------------------


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


# -- two days ------------------------------------------------------------------------------------


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


# -- adjustments ---------------------------------------------------------------------------------


@pytest.fixture
async def adjusting(world: World) -> World:
    world.settings["adjust"] = True
    await world.end()
    await world.begin()
    return world


async def test_an_adjustment_makes_the_ledger_agree_and_keeps_its_evidence(
    adjusting: World, account: LedgerAccount
) -> None:
    await ran(account, adjusting.bill, MIDNIGHT, usage=MILLION)
    adjusting.mind.extra(KEY, f"{SONNET}-20250929", MILLION, MIDNIGHT)
    after(0, adjusting)

    await adjusting.look()

    (record,) = await of_source(account, UsageSource.ADJUSTMENT)
    assert record.id == f"adjustment:acme:2026-01-28T00:00:00.000Z:{SONNET}:1"
    assert record.usage.models[SONNET].input_tokens == 1_000_000
    assert await spent(account) == 9_000_000_000
    (made,) = (await adjusting.row(MIDNIGHT)).adjustments
    assert made.record_id == record.id
    assert made.remote is not None
    assert made.remote.input_tokens == 2_000_000


async def test_the_same_report_again_adds_nothing(adjusting: World, account: LedgerAccount) -> None:
    adjusting.mind.extra(KEY, f"{SONNET}-20250929", MILLION, MIDNIGHT)
    await ran(account, adjusting.bill, MIDNIGHT, usage=MILLION)
    after(0, adjusting)
    await adjusting.look()

    for _ in range(3):
        await adjusting.order(MIDNIGHT, MIDNIGHT + HOUR)
        await adjusting.end()
        await adjusting.begin()
        await adjusting.look()

    assert len(await of_source(account, UsageSource.ADJUSTMENT)) == 1


async def test_a_revised_report_adds_its_increment(
    adjusting: World, account: LedgerAccount
) -> None:
    await ran(account, adjusting.bill, MIDNIGHT, usage=MILLION)
    adjusting.mind.extra(KEY, f"{SONNET}-20250929", MILLION, MIDNIGHT)
    after(0, adjusting)
    await adjusting.look()
    adjusting.mind._extra.clear()
    adjusting.mind.extra(
        KEY, f"{SONNET}-20250929", Usage(input_tokens=400_000, output_tokens=0), MIDNIGHT
    )

    await adjusting.order(MIDNIGHT, MIDNIGHT + HOUR)
    await adjusting.look()

    second, first = sorted(
        await of_source(account, UsageSource.ADJUSTMENT), key=lambda each: each.id, reverse=True
    )
    assert (first.id[-2:], second.id[-2:]) == (":1", ":2")
    assert second.usage.models[SONNET].input_tokens == -600_000
    assert await spent(account) == 4_500_000_000 + 1_200_000_000


async def test_a_run_over_the_hour_is_not_counted_twice(
    adjusting: World, account: LedgerAccount
) -> None:
    await ran(account, adjusting.bill, MIDNIGHT, usage=MILLION, settled_at=MIDNIGHT + HOUR)
    after(1, adjusting)

    await adjusting.look()

    assert await spent(account) == 4_500_000_000
    assert len(await of_source(account, UsageSource.ADJUSTMENT)) == 2


async def test_adjustments_can_be_taken_back_for_good(
    adjusting: World, account: LedgerAccount
) -> None:
    await ran(account, adjusting.bill, MIDNIGHT, usage=MILLION)
    adjusting.mind.extra(KEY, f"{SONNET}-20250929", MILLION, MIDNIGHT)
    after(0, adjusting)
    await adjusting.look()
    row = await adjusting.row(MIDNIGHT)
    assert adjusting.reconciler is not None

    await adjusting.reconciler.reverse_adjustments(row.id)
    await adjusting.reconciler.reverse_adjustments(row.id)
    await adjusting.order(MIDNIGHT, MIDNIGHT + HOUR)
    await adjusting.look()

    assert await spent(account) == 4_500_000_000
    row = await adjusting.row(MIDNIGHT)
    assert row.reversed_at is not None
    assert len(row.adjustments) == 2


async def test_what_is_taken_back_while_a_report_is_waited_for_stays_taken_back(
    adjusting: World, account: LedgerAccount
) -> None:
    await ran(account, adjusting.bill, MIDNIGHT, usage=MILLION)
    adjusting.mind.extra(KEY, f"{SONNET}-20250929", MILLION, MIDNIGHT)
    after(0, adjusting)
    await adjusting.look()
    reconciler, row = adjusting.reconciler, await adjusting.row(MIDNIGHT)
    assert reconciler is not None
    await adjusting.order(MIDNIGHT, MIDNIGHT + HOUR)

    async def meanwhile(seconds: float) -> None:
        adjusting.clock.advance(timedelta(seconds=seconds))
        async with asyncio.timeout(5):
            await reconciler.reverse_adjustments(row.id)

    reconciler._poll._pace._sleep = meanwhile
    await adjusting.look()

    assert (await adjusting.row(MIDNIGHT)).reversed_at is not None
    assert await spent(account) == 4_500_000_000


async def test_what_has_no_price_is_not_adjusted_until_it_has_one(
    adjusting: World, account: LedgerAccount
) -> None:
    adjusting.mind.extra(KEY, f"{SONNET}-20250929", MILLION, MIDNIGHT)
    after(0, adjusting)
    await adjusting.look()
    assert await of_source(account, UsageSource.ADJUSTMENT) == []

    await ran(account, adjusting.bill, MIDNIGHT + HOUR, usage=MILLION)
    await adjusting.order(MIDNIGHT, MIDNIGHT + HOUR)
    await adjusting.look()

    assert await spent(account) == 9_000_000_000


async def test_nothing_is_adjusted_unless_it_is_wished(
    world: World, account: LedgerAccount
) -> None:
    await ran(account, world.bill, MIDNIGHT, usage=MILLION)
    world.mind.extra(KEY, f"{SONNET}-20250929", MILLION, MIDNIGHT)
    after(0, world)

    await world.look()

    assert await of_source(account, UsageSource.ADJUSTMENT) == []


async def test_adjustments_count_in_the_week(adjusting: World, account: LedgerAccount) -> None:
    from pool.usage.weekly import Spending

    await ran(account, adjusting.bill, MIDNIGHT, usage=MILLION)
    adjusting.mind.lose(adjusting.bill.lines()[0].message_id)
    after(0, adjusting)

    await adjusting.look()

    recovery = await account.ledger.recover(MIDNIGHT - DAY)
    spending = Spending(recovery.costs)
    assert weekly_total(spending, adjusting.clock()) == 0
    assert recovery.totals.usage.cost_nano_usd == 0
    (block,) = (await account.ledger.blocks(limit=5)).items
    assert block.usage.cost_nano_usd == 0


async def test_the_admin_key_is_in_no_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    world.mind.next(Fault(status=403))
    after(0, world)

    await world.look()

    assert ADMIN_KEY not in caplog.text
