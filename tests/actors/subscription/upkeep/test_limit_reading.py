"""Limits that are read without a run: where a subscription has a login, and seldom."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from actors.subscription.upkeep import limit_reading
from actors.subscription.upkeep.limit_reading import LimitReading
from pool.executions.request import ExecutionRequest
from pool.limits.usage_reading import ExtraUsage, NoProfile, UsageReading
from pool.limits.windows import RateLimitEvent, Window
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.localpool import LocalPool
from tests.support.suite.waiting import until
from tests.support.values.examples import NOON, spec
from tests.support.values.manual_clock import ManualClock

RESET = NOON + timedelta(hours=3)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit_reading, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(limit_reading, "LOOK_SECONDS", 0.01)


def reading(share: float = 0.9) -> UsageReading:
    window = Window(
        status="allowed",
        observed_at=NOON,
        utilization=share,
        resets_at=RESET,
        source="get_usage",
    )
    event = RateLimitEvent(observed_at=NOON, status="read", windows={"five_hour": window})
    extra = ExtraUsage(is_enabled=True, monthly_limit=50, observed_at=NOON)
    return UsageReading(event=event, extra_usage=extra)


def with_a_login(**fields: Any) -> Any:
    return spec("sub1").model_copy(update={"credential": None, **fields})


async def has_read(pool: LocalPool) -> bool:
    return (await pool.router.subscription("sub1")).limits_read_at is not None


async def test_windows_are_known_without_a_run_and_count(
    runner: FakeRunner, open_pool: Any
) -> None:
    runner.reads = reading()
    pool: LocalPool = await open_pool(with_a_login())

    await until(lambda: has_read(pool))
    report = await pool.router.subscription("sub1")

    window = report.windows["five_hour"]
    assert (window.source, window.utilization, window.observed_at) == ("get_usage", 0.9, NOON)
    assert report.block_percent == 90
    assert report.state == "limited"
    assert report.extra_usage == reading().extra_usage
    assert (report.limits_read_at, report.limits_unreadable) == (NOON, None)
    assert runner.runs == []


async def test_they_are_durable(runner: FakeRunner, open_pool: Any) -> None:
    runner.reads = reading()
    pool: LocalPool = await open_pool(with_a_login())
    await until(lambda: has_read(pool))

    runner.reads = None
    again = await pool.restart("sub1")

    window = (await again.next_report(-1, -1, 0)).windows["five_hour"]
    assert (window.source, window.utilization) == ("get_usage", 0.9)


@pytest.mark.parametrize(
    ("credential", "why"),
    [
        ({"oauth_token_env": "SUB_TOKEN"}, limit_reading.OF_A_SETUP),
        ({"api_key_env": "SUB_TOKEN"}, limit_reading.OF_A_KEY),
    ],
    ids=["token", "key"],
)
async def test_who_has_no_profile_is_not_asked_and_it_is_said_why(
    runner: FakeRunner, open_pool: Any, credential: Any, why: str
) -> None:
    pool: LocalPool = await open_pool(spec("sub1", credential=credential))

    async def is_said() -> bool:
        return (await pool.router.subscription("sub1")).limits_unreadable == why

    await until(is_said)
    assert runner.readings == 0


async def test_where_the_cli_says_that_nothing_can_be_had_it_is_said(
    runner: FakeRunner, open_pool: Any
) -> None:
    runner.reads = NoProfile()
    pool: LocalPool = await open_pool(with_a_login())

    async def is_said() -> bool:
        report = await pool.router.subscription("sub1")
        return report.limits_unreadable == limit_reading.OF_NO_PROFILE

    await until(is_said)
    assert runner.readings == 1


async def test_it_is_not_asked_again_before_its_time(
    runner: FakeRunner, open_pool: Any, clock: ManualClock
) -> None:
    runner.reads = reading()
    pool: LocalPool = await open_pool(with_a_login())
    await until(lambda: has_read(pool))
    context = pool.actors.subscription("sub1")._context
    own = LimitReading(context)

    await own._look()  # another life has just read, which its windows tell
    assert runner.readings == 1

    clock.advance(timedelta(minutes=37))

    async def was_asked_again() -> bool:
        return runner.readings >= 2

    await until(was_asked_again)


async def test_what_fails_is_asked_less_often_and_changes_nothing(
    runner: FakeRunner, open_pool: Any, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limit_reading, "FIRST_SECONDS", 1e6)
    pool: LocalPool = await open_pool(with_a_login())
    own = LimitReading(pool.actors.subscription("sub1")._context)
    asked = []
    for _ in range(4):
        await own._look()
        asked.append(runner.readings)
        clock.advance(timedelta(minutes=7))

    report = own._context.report()
    assert asked == [1, 1, 2, 2]
    assert (report.limits_read_at, report.limits_unreadable) == (None, None)


async def test_work_goes_on_while_nothing_can_be_read(runner: FakeRunner, open_pool: Any) -> None:
    pool: LocalPool = await open_pool(with_a_login())

    ended = await pool.client.execute(ExecutionRequest(prompt="hello"))

    assert ended.result == "yes"
