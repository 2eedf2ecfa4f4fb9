"""The end of a login, from where the CLI keeps it to the report and the alerts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from pool.alerts.alerts import AlertKind
from pool.errors import ConfigError
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.localpool import LocalPool
from tests.support.suite.waiting import until
from tests.support.values.examples import NOON, spec

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.subscription.upkeep.login_check.READ_SECONDS", 0.01)
    monkeypatch.setattr("actors.alerts.monitor.LOOK_SECONDS", 0.01)


async def told(pool: LocalPool) -> list[str]:
    """What was told of logins, the oldest first."""
    items = (await pool.client.alerts(limit=20)).items
    return [each.message for each in items if each.kind == AlertKind.LOGIN_EXPIRES][::-1]


async def shows(pool: LocalPool, ends_at: datetime | None) -> None:
    """Wait until the router has a report with this end."""

    async def does() -> bool:
        return (await pool.router.subscription("sub1")).login_expires_at == ends_at

    await until(does)


async def test_the_end_of_a_login_stands_in_its_report_alone(
    runner: FakeRunner, open_pool: Any
) -> None:
    runner.login_ends["sub1"] = NOON + 20 * DAY
    pool: LocalPool = await open_pool(spec("sub1"), spec("sub2"))

    await shows(pool, NOON + 20 * DAY)

    assert (await pool.router.subscription("sub2")).login_expires_at is None
    assert await told(pool) == []


async def test_it_is_told_days_before_and_when_it_is_over_and_again_of_the_next_login(
    runner: FakeRunner, open_pool: Any
) -> None:
    runner.login_ends["sub1"] = NOON + 6 * DAY
    pool: LocalPool = await open_pool(spec("sub1"))

    async def has_told(count: int) -> bool:
        return len(await told(pool)) == count

    await until(lambda: has_told(1))
    pool.clock.advance(6 * DAY)
    await pool.client.pause("sub1")
    await until(lambda: has_told(2))
    runner.login_ends["sub1"] = NOON + 36 * DAY
    await shows(pool, NOON + 36 * DAY)
    resolved = await told(pool)
    pool.clock.advance(24 * DAY)
    runner.login_ends["sub1"] = NOON + 35 * DAY
    await until(lambda: has_told(3))

    assert resolved == [
        "the login of sub1 ends by 2026-02-03T12:00:00.000Z: sign in again before then",
        "the login of sub1 ended by 2026-02-03T12:00:00.000Z: sign in again",
    ]
    assert (await told(pool))[2] == (
        "the login of sub1 ends by 2026-03-04T12:00:00.000Z: sign in again before then"
    )


async def test_what_was_known_stays_where_nothing_can_be_said(
    runner: FakeRunner, open_pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner.login_ends["sub1"] = NOON + 20 * DAY
    pool: LocalPool = await open_pool(spec("sub1"))
    await shows(pool, NOON + 20 * DAY)
    asked = []

    async def refuses(*_: Any) -> None:
        asked.append(_)
        raise ConfigError("claude.path", "says nothing")

    monkeypatch.setattr(runner, "login_expires_at", refuses)
    await until(lambda: len(asked) > 2)

    assert (await pool.router.subscription("sub1")).login_expires_at == NOON + 20 * DAY


async def test_an_end_that_does_not_change_is_no_news(runner: FakeRunner, open_pool: Any) -> None:
    runner.login_ends["sub1"] = NOON + 20 * DAY
    pool: LocalPool = await open_pool(spec("sub1"))
    await shows(pool, NOON + 20 * DAY)

    version, asked = (await pool.router.subscription("sub1")).version, runner.asked_for_logins
    await until(lambda: runner.asked_for_logins > asked + 2)

    assert (await pool.router.subscription("sub1")).version == version
