"""What is due at those who sleep is done by who is always there."""

from __future__ import annotations

from datetime import timedelta

from actors.router.alarms import ONE_COMES_UP
from actors.router.presence.sleepers import LOOK_EVERY
from tests.support.pools.localpool import LocalPool
from tests.support.pools.sleepy_pool import Start, ask, asleep, peers
from tests.support.suite.waiting import until
from tests.support.values.examples import spec
from tests.support.values.manual_clock import ManualClock

A_DAY = timedelta(days=1)


async def test_what_was_asked_and_answered_is_removed_on_time_and_nobody_wakes(
    sleepy_pool: LocalPool, clock: ManualClock
) -> None:
    early = await sleepy_pool.client.execute(ask(prompt="the early one"))
    await asleep(sleepy_pool, clock, after=timedelta(hours=3))
    late = await sleepy_pool.client.execute(ask(prompt="the late one"))
    await asleep(sleepy_pool, clock, after=timedelta(hours=21) - timedelta(microseconds=1))

    await sleepy_pool.router._alarms.ring()
    kept = await sleepy_pool.client.executions()
    clock.advance(timedelta(seconds=1))
    await sleepy_pool.router._alarms.ring()
    one_left = await sleepy_pool.client.executions()

    assert [each.result for each in kept.items] == ["yes", "yes"]
    assert {each.id: each.result for each in one_left.items} == {early.id: None, late.id: "yes"}
    assert peers(sleepy_pool).there == {}
    assert sleepy_pool.router._sleepers.to_be_cleaned(clock.now) == ()
    assert sleepy_pool.router._sleepers.to_be_cleaned(clock.now + timedelta(hours=3)) == ("sub1",)


async def test_what_was_due_while_nothing_ran_is_done_after_the_next_start(
    start: Start, clock: ManualClock
) -> None:
    pool = await start(spec("sub1"))
    await pool.client.execute(ask())
    await asleep(pool, clock)
    await pool.close()
    clock.advance(3 * A_DAY)

    again = await start(spec("sub1"))

    await again.router._alarms.ring()
    (cleaned,) = (await again.client.executions()).items
    assert cleaned.result is None


async def test_once_a_day_each_comes_up_one_after_the_other(
    start: Start, clock: ManualClock
) -> None:
    pool = await start(spec("sub1"), spec("sub2"))
    await asleep(pool, clock, "sub1", "sub2")
    clock.advance(LOOK_EVERY - timedelta(seconds=1))
    await pool.router._alarms.ring()
    none_yet = set(peers(pool).there)

    clock.advance(timedelta(seconds=1))
    for _ in range(3):
        await pool.router._alarms.ring()
    first = set(peers(pool).there)
    clock.advance(ONE_COMES_UP)
    await pool.router._alarms.ring()

    assert none_yet == set()
    assert first == {"sub1"}
    assert set(peers(pool).there) == {"sub1", "sub2"}


async def test_one_that_came_up_for_its_look_falls_asleep_again(
    sleepy_pool: LocalPool, clock: ManualClock
) -> None:
    await asleep(sleepy_pool, clock)
    clock.advance(LOOK_EVERY)
    await sleepy_pool.router._alarms.ring()

    await until(lambda: peers(sleepy_pool).activations["sub1"] == 2)
    await asleep(sleepy_pool, clock)

    assert peers(sleepy_pool).there == {}
