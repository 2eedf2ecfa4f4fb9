"""A subscription with nothing to do leaves, is shown as if it were there, and is there when it is
needed.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random

import pytest

from actors.router.ledgers import resting
from actors.router.presence import followers
from actors.subscription import subscription
from pool.errors import StoreError
from pool.executions.outcome import Failed, FailureKind
from pool.executions.status import ExecutionStatus
from pool.subscriptions.report import Report, SubscriptionState
from pool.subscriptions.spec import SubscriptionChange
from pool.usage.breakdown.question import Grouping
from tests.support.chaos.one_subscription import intent
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.localpool import LocalPool, local_pool_at
from tests.support.pools.sleepy_peers import SleepyPeers
from tests.support.pools.sleepy_pool import IDLE, Start, ask, asleep, peers
from tests.support.suite.fuzz import examples
from tests.support.suite.waiting import until
from tests.support.values.examples import completed, spec
from tests.support.values.manual_clock import ManualClock


@pytest.fixture
def pool(sleepy_pool: LocalPool) -> LocalPool:
    return sleepy_pool


async def having_ended(pool: LocalPool, executions: int) -> Report:
    """What the router knows of ``sub1``, once that is so many."""
    report = pool.router._followers.known_report
    await until(lambda: (it := report("sub1")) is not None and it.totals.executions == executions)
    return await pool.client.subscription("sub1")


async def stays_awake(pool: LocalPool, clock: ManualClock, after: timedelta = IDLE) -> None:
    clock.advance(after)
    await asyncio.sleep(0.1)
    assert not pool.router._sleepers.ids
    assert "sub1" in peers(pool).there


async def test_one_that_has_had_nothing_to_do_for_long_leaves(
    pool: LocalPool, clock: ManualClock
) -> None:
    await stays_awake(pool, clock, IDLE - timedelta(seconds=1))

    await asleep(pool, clock, after=timedelta(seconds=1))

    assert peers(pool).there == {}
    assert (await pool.client.subscription("sub1")).presence == "asleep"


async def test_none_leaves_where_nobody_is_to(start: Start, clock: ManualClock) -> None:
    pool = await start(spec("sub1"), idle=timedelta(0))

    await stays_awake(pool, clock, timedelta(days=30))


async def test_a_request_has_it_come_up_and_is_answered(
    pool: LocalPool, clock: ManualClock
) -> None:
    await asleep(pool, clock)

    execution = await pool.client.execute(ask())

    assert execution.status is ExecutionStatus.SUCCEEDED
    assert peers(pool).activations == {"sub1": 2}
    assert (await pool.client.subscription("sub1")).presence == "awake"


async def test_one_at_work_does_not_leave_and_its_time_begins_with_the_end(
    pool: LocalPool, clock: ManualClock
) -> None:
    pool.runner.hold = True
    running = asyncio.create_task(pool.client.execute(ask()))
    (run,) = await pool.runner.wait_for_runs(1)
    await stays_awake(pool, clock, 4 * IDLE)

    run.end()
    await running

    await stays_awake(pool, clock, IDLE - timedelta(seconds=1))
    await asleep(pool, clock, after=timedelta(seconds=1))


async def test_one_with_a_process_that_is_kept_does_not_leave(
    pool: LocalPool, clock: ManualClock
) -> None:
    pool.runner.keeps_any = True
    await stays_awake(pool, clock)

    pool.runner.keeps_any = False

    await asleep(pool, clock, after=timedelta(0))


async def test_what_it_shows_goes_on_with_the_clock(pool: LocalPool, clock: ManualClock) -> None:
    pool.runner.script = [completed(cost_usd="3")]
    await pool.client.execute(ask())
    before = await having_ended(pool, 1)
    await asleep(pool, clock)

    clock.advance(timedelta(hours=5))
    in_the_next_block = (await pool.client.subscriptions())[0]
    clock.advance(timedelta(days=7))
    a_week_later = await pool.client.subscription("sub1")

    assert before.current_block.cost_usd == before.weekly.used_usd == Decimal(3)
    assert (Decimal(0), Decimal(3), clock.now - timedelta(days=7)) == (
        in_the_next_block.current_block.cost_usd,
        in_the_next_block.weekly.used_usd,
        in_the_next_block.observed_at,
    )
    assert (Decimal(0), before.totals) == (a_week_later.weekly.used_usd, a_week_later.totals)
    assert peers(pool).there == {}


async def test_its_cooldown_lifts_by_the_clock(pool: LocalPool, clock: ManualClock) -> None:
    pool.runner.script = [Failed(kind=FailureKind.SPEND_LIMIT, message="no more credit")] * 2
    await pool.client.execute(ask())
    cooling = await pool.client.subscription("sub1")
    assert cooling.state is SubscriptionState.COOLDOWN
    assert cooling.state_until is not None
    await asleep(pool, clock, after=IDLE)

    clock.now = cooling.state_until - timedelta(microseconds=1)
    holds = await pool.client.subscription("sub1")
    clock.now = cooling.state_until
    lifts = await pool.client.subscription("sub1")

    assert (holds.state, lifts.state) == (SubscriptionState.COOLDOWN, SubscriptionState.AVAILABLE)


async def test_it_is_as_good_a_choice_as_one_that_is_awake(
    start: Start, clock: ManualClock
) -> None:
    pool = await start(spec("sub1", weekly_budget_usd=10), spec("sub2", weekly_budget_usd=10))
    pool.runner.script = [completed(cost_usd="5")]
    await pool.client.execute(ask(subscription_id="sub2"))
    await asleep(pool, clock, "sub1", "sub2")
    await pool.client.execute(ask(subscription_id="sub2"))

    routed = await pool.client.route(ask())

    assert [each.subscription_id for each in routed.candidates] == ["sub1", "sub2"]
    assert set(peers(pool).there) == {"sub2"}


async def test_one_that_slept_sleeps_on_at_the_next_start(start: Start, clock: ManualClock) -> None:
    pool = await start(spec("sub1"), spec("sub2"))
    pool.runner.script = [completed(cost_usd="3")]
    await pool.client.execute(ask(subscription_id="sub1"))
    await asleep(pool, clock, "sub1", "sub2")
    await pool.client.execute(ask(subscription_id="sub2"))
    await pool.close()

    again = await start(spec("sub1", weekly_budget_usd=30), spec("sub2"))

    shown = await again.client.subscription("sub1")
    assert set(peers(again).there) == {"sub2"}
    assert (Decimal(3), 10.0, "asleep") == (
        shown.weekly.used_usd,
        shown.weekly.percent,
        shown.presence,
    )


async def test_where_nobody_is_to_sleep_any_more_all_come_up(
    start: Start, clock: ManualClock
) -> None:
    pool = await start(spec("sub1"))
    await asleep(pool, clock)
    await pool.close()

    again = await start(spec("sub1"), idle=timedelta(0))

    await until(lambda: "sub1" in peers(again).there)
    await until(lambda: again.router._followers.reports[0].presence == "awake")


async def test_one_whose_router_died_as_it_woke_it_comes_up_at_the_next_start(
    start: Start, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its actor may be there by then, with work that nobody else knows of."""
    pool, begun = await start(spec("sub1")), asyncio.Event()

    async def hangs(_: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    await asleep(pool, clock)
    monkeypatch.setattr(pool.actors, "activate", hangs)
    asked = asyncio.create_task(pool.client.execute(ask()))
    await begun.wait()
    await pool.router.close()
    asked.cancel()

    again = await start(spec("sub1"))

    await until(lambda: "sub1" in peers(again).there)


async def test_work_that_came_in_the_last_moment_is_done(
    pool: LocalPool, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was given in the very step before the last, and its caller is gone."""
    pool.runner.hold = True
    calls = peers(pool).there["sub1"]
    subscription, started = pool.actors.subscriptions["sub1"], []

    async def leave(after: str | None) -> object:
        if not started:
            started.append(await calls.call("start", (intent(1),), {}))
            await pool.runner.wait_for_runs(1)
        return await type(subscription).fall_asleep(subscription, after)

    monkeypatch.setattr(subscription, "fall_asleep", leave)
    monkeypatch.setattr(calls, "_see_through", lambda: asyncio.sleep(0))
    clock.advance(IDLE)
    await until(lambda: peers(pool).activations["sub1"] == 2)

    pool.runner.runs[0].end()
    ended = await pool.actors.subscription("sub1").result(started[0].execution.id)

    assert ended.status is ExecutionStatus.SUCCEEDED
    assert len(pool.runner.runs) == 1


async def test_one_whose_ledger_belongs_to_another_activation_leaves_nothing(
    pool: LocalPool, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def overtaken(_: object) -> None:
        raise StoreError("sub1", "another activation owns it")

    subscription = pool.actors.subscriptions["sub1"]
    monkeypatch.setattr(followers, "PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr(subscription._context.ledger, "observe", overtaken)

    clock.advance(IDLE)
    await until(lambda: peers(pool).departures["sub1"] == 1)
    await subscription.close()
    await until(lambda: peers(pool).activations["sub1"] == 2)

    assert await pool.router._directory.snapshots.all() == {}


async def test_settings_of_one_that_sleeps_are_changed_and_it_comes_up_with_them(
    pool: LocalPool, clock: ManualClock
) -> None:
    await asleep(pool, clock)

    changed = await pool.client.change("sub1", SubscriptionChange(max_concurrent=9))

    assert (changed.max_concurrent, changed.presence) == (9, "awake")


async def test_a_declaration_that_changes_settings_wakes_nobody(
    pool: LocalPool, clock: ManualClock
) -> None:
    await asleep(pool, clock)

    await pool.router.declare([spec("sub1", max_concurrent=7)])

    shown = await pool.client.subscription("sub1")
    assert (shown.max_concurrent, shown.presence) == (7, "asleep")
    assert (await pool.client.execute(ask())).status is ExecutionStatus.SUCCEEDED
    assert (await pool.client.subscription("sub1")).max_concurrent == 7


async def test_lists_of_executions_show_what_those_did_who_sleep(
    start: Start, clock: ManualClock
) -> None:
    pool = await start(*(spec(f"sub{n}") for n in (1, 2, 3)))
    asked = []
    for n in (1, 2, 3, 1, 2):
        clock.advance(timedelta(seconds=1))
        asked.append((await pool.client.execute(ask(subscription_id=f"sub{n}"))).id)
    await asleep(pool, clock, "sub1", "sub2", "sub3")

    first = await pool.client.executions(limit=2)
    rest = await pool.client.executions(limit=10, cursor=first.next_cursor)
    of_one = await pool.client.executions(subscription_id="sub3")

    assert [each.id for each in (*first.items, *rest.items)] == asked[::-1]
    assert [each.id for each in of_one.items] == [asked[2]]
    assert peers(pool).there == {}


async def test_sums_of_usage_hold_what_those_used_who_sleep(
    start: Start, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = await start(*(spec(f"sub{n}") for n in (1, 2, 3)))
    pool.runner.script = [completed(cost_usd="1"), completed(cost_usd="2"), completed(cost_usd="4")]
    for id_ in ("sub1", "sub1", "sub2"):
        await pool.client.execute(ask(subscription_id=id_, metadata={"project": "p"}))
    how = {"since": clock.now - timedelta(days=5), "until": clock.now + timedelta(hours=1)}
    by = (Grouping.SUBSCRIPTION, "tag:project")
    awake = await pool.client.usage_by(by, **how)
    await asleep(pool, clock, "sub1", "sub2", "sub3")

    sleeping = await pool.client.usage_by(by, **how)
    own = await pool.client.own_usage()

    assert awake.total.cost_usd == own.week.cost_usd == 7
    assert (sleeping.total, sleeping.items) == (awake.total, awake.items)
    assert sorted(map(str, sleeping.covered)) == sorted(map(str, awake.covered))
    assert peers(pool).there == {}

    monkeypatch.setattr(resting, "MOST_READ", 1)
    assert (await pool.client.usage_by(by, **how)).total == awake.total
    assert peers(pool).there == {}, "totals are few, however many records there are"
    assert (await pool.client.usage_by([Grouping.SESSION], **how)).total == awake.total
    assert set(peers(pool).there) == {"sub1"}


async def test_an_execution_of_one_that_sleeps_is_read(pool: LocalPool, clock: ManualClock) -> None:
    execution = await pool.client.execute(ask())
    await asleep(pool, clock)

    assert (await pool.client.result(execution.id)).result == execution.result


async def test_a_copy_of_the_pool_is_taken_with_what_those_have_who_sleep(
    pool: LocalPool, clock: ManualClock
) -> None:
    await asleep(pool, clock)

    taken = await pool.client.backup()

    assert (Path(taken.path) / "subscriptions" / "sub1" / "ledger.sqlite").exists()
    assert peers(pool).there == {}


async def test_one_that_was_removed_while_it_slept_is_gone_at_once(
    pool: LocalPool, clock: ManualClock
) -> None:
    await asleep(pool, clock)

    await pool.router.declare([])

    assert await pool.client.subscriptions() == ()
    assert peers(pool).activations == {"sub1": 1}


async def test_at_a_stop_nobody_is_woken_and_nothing_new_goes_to_who_sleeps(
    pool: LocalPool, clock: ManualClock
) -> None:
    await asleep(pool, clock)

    await pool.client.stop(0)

    (shown,) = await pool.client.subscriptions()
    assert (shown.state, peers(pool).there) == (SubscriptionState.DRAINING, {})


async def test_what_was_counted_before_it_fell_asleep_stays_counted(
    pool: LocalPool, clock: ManualClock
) -> None:
    await pool.client.execute(ask())
    await having_ended(pool, 1)

    await asleep(pool, clock)

    assert (await pool.client.figures()).tallies["sub1"].counts["executions"] == {"succeeded": 1}


async def test_nothing_seems_missing_in_what_happens_when_one_has_slept(
    pool: LocalPool, clock: ManualClock
) -> None:
    await asleep(pool, clock)
    cursor = (await pool.client.happenings()).cursor

    await pool.client.execute(ask())

    async with asyncio.timeout(5):
        kinds: list[str] = []
        while "execution_ended" not in kinds:
            page = await pool.client.happenings(after=cursor, wait_seconds=1)
            cursor, kinds = page.cursor, kinds + [each.happening.kind for each in page.items]
    assert "gap" not in kinds
    assert "execution_started" in kinds


class TickingClock(ManualClock):
    """Goes on a little with each look, so that whoever does nothing has done so for long."""

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now


ROUNDS = examples(20, 120)


@pytest.mark.hypothesis  # many more of them in ``make fuzz``
@pytest.mark.parametrize("seed", range(examples(1, 10)))
async def test_no_request_is_lost_or_refused_however_leaving_and_arriving_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Subscriptions leave as soon as they can, and requests come at drawn moments: each of them is
    another order of the steps of leaving, calling and coming up.
    """
    monkeypatch.setattr(followers, "HEARTBEAT_SECONDS", 0.001)
    monkeypatch.setattr(followers, "POLL_SPACING_SECONDS", 0)
    monkeypatch.setattr(subscription, "PRICED_RECORDS", 5)  # read at each of many activations
    random, runner = Random(seed), FakeRunner()
    pool = await local_pool_at(
        tmp_path,
        *(spec(f"sub{n}", max_concurrent=50, max_queued=500) for n in (1, 2)),
        clock=TickingClock(),
        runner_of=lambda _: runner,
        peers=partial(SleepyPeers, random=random),
        idle=timedelta(microseconds=1),
    )

    async def one() -> str:
        for _ in range(random.randrange(60)):
            await asyncio.sleep(0)
        execution = await pool.client.start(ask())
        for _ in range(random.randrange(60)):
            await asyncio.sleep(0)
        ended = await pool.client.result(execution.id, wait_seconds=10)
        assert ended.status is ExecutionStatus.SUCCEEDED
        return execution.id

    asked = [id_ for _ in range(ROUNDS) for id_ in await asyncio.gather(*(one() for _ in range(8)))]

    await until(lambda: pool.router._sleepers.ids == {"sub1", "sub2"})
    counted = [each.totals.executions for each in await pool.client.subscriptions()]
    runs = [each.run_id for each in runner.runs]
    assert sorted(asked) == sorted(runs)
    assert sum(counted) == len(asked) == 8 * ROUNDS
    assert peers(pool).departures.total() > ROUNDS
    await pool.close()
