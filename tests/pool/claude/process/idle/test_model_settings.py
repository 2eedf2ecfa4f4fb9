"""Settings of the model that idle processes are given before a turn, and everything that keeps a
turn from a process that may not have them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pool.claude.launch.launch_spec import Launch
from pool.claude.process.idle import model_settings, spares
from pool.claude.process.idle.kept import Keeping
from pool.executions.model_settings import ModelSettings
from pool.executions.outcome import Completed
from pool.executions.process_way import ProcessWay
from tests.support.clis.idle_processes import IdleProcesses
from tests.support.clis.talking_cli import MODEL, SESSION, TURN_NANO_USD, a_launch
from tests.support.suite.waiting import until

COLD, AHEAD = ProcessWay.COLD, ProcessWay.AHEAD
KEPT, REUSED = ProcessWay.KEPT, ProcessWay.REUSED
WAYS = pytest.mark.parametrize("way", [AHEAD, KEPT, REUSED])
SHORT = ModelSettings(max_tokens=77, stop_sequences=("ZZ",))
THOUGHTFUL = ModelSettings.model_validate(
    {
        "effort": "high",
        "thinking": {"type": "enabled", "budget_tokens": 2_000, "display": "summarized"},
    }
)
NONE = {
    "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "",
    "CLAUDE_CODE_EXTRA_BODY": "",
    "CLAUDE_CODE_DISABLE_THINKING": "",
    "CLAUDE_CODE_EFFORT_LEVEL": "",
}


class OneSubscription(IdleProcesses):
    """One subscription that has idle processes of every kind."""

    def __init__(self, folder: Path) -> None:
        known = {"seconds": 30, "places": folder / "places", "most": 4, "spares": 1}
        super().__init__(folder, Keeping.model_validate({**known, "reuses": True}))

    async def run(self, number: int, **fields: Any) -> ProcessWay | None:
        """The way of a run that has answered, counted once."""
        run = await self.runner.start(a_run(number, **fields), self.environment)
        outcome = await asyncio.wait_for(run.outcome(), 20)
        assert isinstance(outcome, Completed), outcome
        assert outcome.usage.cost_nano_usd == TURN_NANO_USD
        return run.way

    async def begin(self, number: int, **fields: Any) -> ProcessWay | None:
        """The way of a new session, as its subscription has it begin."""
        promised = await self.runner.promise(a_run(number, **fields), self.environment)
        session = promised or f"{number:08d}-4256-459f-9794-14ea9ca8dac8"
        return await self.run(number, session_id=session, **fields)

    async def by(self, way: ProcessWay, settings: ModelSettings) -> ProcessWay | None:
        """The way of a run with settings, where one without them has left what it could have."""
        if way is AHEAD:
            await self.runner.tend_spares(1, self.environment, MODEL)
            (spare,) = self.processes()
            await until(spare.started)
            return await self.begin(2, model_settings=settings)
        await self.run(1)
        if way is KEPT:
            return await self.run(2, resumes=True, model_settings=settings)
        return await self.begin(2, model_settings=settings)

    def told(self) -> list[dict[str, Any]]:
        """What processes were told, request by request."""
        try:
            lines = (self.folder / "settings").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        return [json.loads(line)["request"] for line in lines]

    def variables(self) -> list[dict[str, str]]:
        """The variables that they were told, one after the other."""
        return [each["settings"]["env"] for each in self.told() if "settings" in each]


def a_run(number: int, **fields: Any) -> Launch:
    known = {"system_prompt": "You are terse.", "owner": "the key of one"}
    return a_launch(f"exec_{number}", **{**known, **fields})


@pytest.fixture
async def subscription(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[OneSubscription]:
    monkeypatch.setattr(spares, "READY_SECONDS", 0.0)
    monkeypatch.setattr(spares, "has_room", lambda: True)
    subscription = OneSubscription(tmp_path)
    yield subscription
    await subscription.end()


@WAYS
async def test_a_process_is_given_the_settings_before_its_turn(
    subscription: OneSubscription, way: ProcessWay
) -> None:
    assert await subscription.by(way, SHORT) is way

    env, thinking = subscription.told()
    assert env["settings"]["env"] == {
        **NONE,
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "77",
        "CLAUDE_CODE_EXTRA_BODY": '{"stop_sequences":["ZZ"]}',
        "CLAUDE_CODE_DISABLE_THINKING": "1",
    }
    none = {"max_thinking_tokens": None, "thinking_display": None}
    assert thinking == {"subtype": "set_max_thinking_tokens", **none}


async def test_each_turn_has_its_own_and_nothing_of_the_one_before(
    subscription: OneSubscription,
) -> None:
    turns = [SHORT, THOUGHTFUL, ModelSettings(), SHORT]
    for number, settings in enumerate(turns):
        resumes = number > 0
        way = await subscription.run(number, resumes=resumes, model_settings=settings)
        assert way is (KEPT if resumes else COLD)

    effort = {**NONE, "CLAUDE_CODE_EFFORT_LEVEL": "high"}
    short = {"CLAUDE_CODE_MAX_OUTPUT_TOKENS": "77", "CLAUDE_CODE_DISABLE_THINKING": "1"}
    short |= {"CLAUDE_CODE_EXTRA_BODY": '{"stop_sequences":["ZZ"]}'}
    assert subscription.variables() == [effort, NONE, {**NONE, **short}]
    thinking = subscription.told()[1::2]
    assert [each["max_thinking_tokens"] for each in thinking] == [2_000, None, None]
    assert [each["thinking_display"] for each in thinking] == ["summarized", None, None]


async def test_whoever_brings_the_same_again_is_not_waited_for(
    subscription: OneSubscription,
) -> None:
    ways = [
        await subscription.run(number, resumes=number > 0, model_settings=SHORT)
        for number in range(3)
    ]

    assert ways == [COLD, KEPT, KEPT]
    assert subscription.told() == []


async def test_another_session_has_none_of_those_that_its_process_had(
    subscription: OneSubscription,
) -> None:
    await subscription.run(1, session_id=SESSION, model_settings=SHORT)

    assert await subscription.begin(2) is REUSED
    assert await subscription.begin(3, model_settings=SHORT) is REUSED

    assert [each["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] for each in subscription.variables()] == [
        "",
        "77",
    ]


async def test_what_the_operator_has_set_holds_on(subscription: OneSubscription) -> None:
    subscription.environment["CLAUDE_CODE_EFFORT_LEVEL"] = "low"
    subscription.environment["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] = "50"
    await subscription.run(1)

    assert await subscription.run(2, resumes=True, model_settings=SHORT) is KEPT

    (told,) = subscription.variables()
    assert told["CLAUDE_CODE_EFFORT_LEVEL"] == "low"
    assert told["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] == "50"


@WAYS
@pytest.mark.parametrize(
    "oddity",
    ["refuses-settings", "refuses-thinking", "dies-as-it-is-set", "hangs-as-it-is-set"],
)
async def test_a_process_that_does_not_take_them_is_ended_and_the_run_is_answered(
    subscription: OneSubscription, monkeypatch: pytest.MonkeyPatch, way: ProcessWay, oddity: str
) -> None:
    """In the same attempt, counted once: the process was not told of the run."""
    for module, name in ((model_settings, "SETTINGS_SECONDS"), (spares, "CLAIM_SECONDS")):
        monkeypatch.setattr(module, name, 0.5)
    (subscription.folder / oddity).touch()

    assert await subscription.by(way, SHORT) is COLD

    await until(lambda: subscription.alive() == 1)
