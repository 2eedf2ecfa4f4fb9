from __future__ import annotations

from typing import Any

import pytest

from pool.errors import NotPermitted, UnknownModel
from pool.executions.request import ExecutionRequest
from pool.keys.api_keys import KeySpec
from pool.subscriptions.state import ask_of
from tests.support.chaos.one_subscription import intent
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.localpool import LocalPool
from tests.support.suite.waiting import until
from tests.support.values.examples import spec

OFFER = {"sonnet": "claude-sonnet-5-5", "haiku": "claude-haiku-5-5", "default": "claude-haiku-5-5"}


@pytest.fixture
async def offering(runner: FakeRunner, open_pool: Any) -> LocalPool:
    """A pool whose CLI has said what it offers."""
    runner.offers = OFFER
    pool: LocalPool = await open_pool(spec("sub1"))

    async def has_said() -> bool:
        return (await pool.router.subscription("sub1")).models == OFFER

    await until(has_said)
    return pool


def ask(**of: Any) -> ExecutionRequest:
    return ExecutionRequest(prompt="say yes", **of)


async def test_a_name_that_nobody_has_is_refused_before_anything_is_started(
    offering: LocalPool,
) -> None:
    for call in (offering.client.execute, offering.client.route):
        with pytest.raises(UnknownModel, match=r"did you mean .*'claude-sonnet-5-5'"):
            await call(ask(model="claude-sonnet-4.6"))

    assert offering.runner.runs == []


async def test_a_provider_is_taken_off_before_the_cli_is_told(offering: LocalPool) -> None:
    await offering.client.execute(ask(model="openrouter/anthropic/claude-haiku-5-5"))

    assert [run.launch.model for run in offering.runner.runs] == ["claude-haiku-5-5"]


async def test_an_alias_is_left_to_the_cli_and_shown_as_what_it_runs_as(
    offering: LocalPool,
) -> None:
    offering.runner.hold = True
    begun = await offering.client.start(ask(model="haiku"))
    (run,) = await offering.runner.wait_for_runs(1)
    shown = await offering.client.result(begun.id)
    run.end()

    assert run.launch.model == "haiku"
    assert (begun.model, shown.model) == ("claude-haiku-5-5", "claude-haiku-5-5")


async def test_without_a_word_of_the_cli_a_plausible_name_is_run(local_pool: LocalPool) -> None:
    await local_pool.client.execute(ask(model="claude-opus-4-5-20251101"))

    assert [run.launch.model for run in local_pool.runner.runs] == ["claude-opus-4-5-20251101"]


async def test_a_key_covers_an_alias_by_what_it_runs_as(offering: LocalPool) -> None:
    limits = KeySpec(name="ci", scopes=("admin", "execute"), models=("claude-haiku-*",))
    await offering.client.create_key(limits)

    for alias in ("haiku", "default"):
        await offering.client.execute(ask(model=alias), caller="ci")
    with pytest.raises(NotPermitted, match="model: 'sonnet' is not among the models of this key"):
        await offering.client.execute(ask(model="sonnet"), caller="ci")

    assert [run.launch.model for run in offering.runner.runs] == ["haiku", "default"]


async def test_a_limit_of_a_model_holds_for_the_alias_that_runs_as_it(
    offering: LocalPool,
) -> None:
    intents = [intent(1, model=name) for name in ("default", "claude-haiku-5-5", "unheard-of")]
    state = offering.actors.subscriptions["sub1"]._context.state

    models = [ask_of(state, each).model for each in intents]

    assert models == ["claude-haiku-5-5", "claude-haiku-5-5", "unheard-of"]


async def test_a_cli_is_asked_again_and_what_it_said_stays_where_it_cannot_say(
    runner: FakeRunner, open_pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.subscription.upkeep.models.RETRY_SECONDS", 0.01)
    monkeypatch.setattr("actors.subscription.upkeep.models.ASK_SECONDS", 0.01)
    state = (await open_pool(spec("sub1"))).actors.subscriptions["sub1"]._context.state

    runner.offers = OFFER
    await until(lambda: state.models == OFFER)
    runner.offers = {"sonnet": "claude-sonnet-6"}
    await until(lambda: state.models == {"sonnet": "claude-sonnet-6"})
    runner.offers, asked = {}, runner.asked
    await until(lambda: runner.asked > asked + 1)

    assert state.models == {"sonnet": "claude-sonnet-6"}
