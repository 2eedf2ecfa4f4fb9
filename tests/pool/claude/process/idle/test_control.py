"""Idle processes that are asked what is used of the account's limits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pool.claude.process import process_runner
from pool.claude.process.idle import spares
from pool.claude.process.idle.kept import Keeping
from pool.errors import ConfigError
from pool.executions.outcome import Completed
from pool.executions.process_way import ProcessWay
from pool.limits.usage_reading import NoProfile, UsageReading
from tests.support.clis.idle_processes import IdleProcesses
from tests.support.clis.talking_cli import MODEL, SESSION, a_launch
from tests.support.suite.waiting import until

NOW = datetime(2026, 1, 28, 12, tzinfo=UTC)
LIMITS = {"five_hour": {"utilization": 40, "resets_at": None}}


class OneSubscription(IdleProcesses):
    """One subscription with an idle process, which alone knows what is used of its limits."""

    def says(self, subtype: str = "success", **told: Any) -> None:
        answer = {"subtype": subtype, "request_id": "usage", "response": told}
        line = json.dumps({"type": "control_response", "response": answer})
        (self.folder / "usage").write_text(line + "\n", encoding="utf-8")

    async def keep(self) -> None:
        run = await self.runner.start(a_launch(), self.environment)
        assert isinstance(await run.outcome(), Completed)
        await until(lambda: self.runner._kept._known[SESSION].is_idle)

    async def park(self) -> None:
        await self.runner.tend_spares(1, self.environment, MODEL)
        (spare,) = self.processes()
        await until(spare.started)

    async def usage(self) -> UsageReading | NoProfile:
        return await self.runner.usage(self.environment, NOW)


@pytest.fixture
async def subscription(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[OneSubscription]:
    monkeypatch.setattr(spares, "READY_SECONDS", 0.0)
    monkeypatch.setattr(spares, "has_room", lambda: True)

    async def is_started(*_: Any) -> None:
        raise ConfigError("claude.path", "a CLI was started to be asked")

    monkeypatch.setattr(process_runner.reported_limits, "read_usage", is_started)
    keeping = Keeping(seconds=30, places=tmp_path / "places", most=4, spares=1)
    subscription = OneSubscription(tmp_path, keeping)
    yield subscription
    await subscription.end()


async def test_a_process_that_is_kept_is_asked_and_runs_its_next_turn_as_ever(
    subscription: OneSubscription,
) -> None:
    subscription.says(rate_limits_available=True, rate_limits=LIMITS)
    await subscription.keep()

    readings = [await subscription.usage() for _ in range(2)]
    run = await subscription.runner.start(
        a_launch("exec_2", resumes=True), subscription.environment
    )

    for reading in readings:
        assert isinstance(reading, UsageReading)
        assert reading.event.windows["five_hour"].utilization == 0.4
    assert run.way is ProcessWay.KEPT
    assert isinstance(await run.outcome(), Completed)


async def test_a_spare_is_asked_and_can_be_claimed_all_the_same(
    subscription: OneSubscription,
) -> None:
    subscription.says(rate_limits_available=False)
    await subscription.park()

    assert await subscription.usage() == NoProfile()

    launch = a_launch(system_prompt="You are terse.")
    session = await subscription.runner.promise(launch, subscription.environment)
    launch = launch.model_copy(update={"session_id": session})
    run = await subscription.runner.start(launch, subscription.environment)
    assert run.way is ProcessWay.AHEAD
    assert isinstance(await run.outcome(), Completed)


async def test_where_anthropic_does_not_answer_it_no_other_is_asked(
    subscription: OneSubscription,
) -> None:
    subscription.says(rate_limits_available=True, rate_limits=None)
    await subscription.keep()

    with pytest.raises(ConfigError, match="does not say what is used"):
        await subscription.usage()


@pytest.mark.parametrize("why", ["none is idle", "another login", "an error", "no answer", "died"])
async def test_a_cli_is_started_to_be_asked_where_no_process_answers(
    subscription: OneSubscription, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    monkeypatch.setattr(process_runner, "USAGE_SECONDS", 0.2)
    subscription.says(rate_limits_available=False)
    if why != "none is idle":
        await subscription.keep()
    if why == "another login":
        subscription.login.write_text("{}", encoding="utf-8")
    if why == "an error":
        subscription.says("error")
    if why == "no answer":
        await asyncio.to_thread((subscription.folder / "usage").unlink)
    if why == "died":
        await subscription.end()

    with pytest.raises(ConfigError, match="was started"):
        await subscription.usage()
