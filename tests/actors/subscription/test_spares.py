"""Sessions of processes that were started ahead: promised with the admission, known to all."""

from __future__ import annotations

from typing import Any

import pytest

from actors.router.dispatching.claims import Claims
from actors.subscription import spares
from pool.errors import ActorLost, NotFound
from pool.executions.intent import new_execution_id
from pool.executions.request import ExecutionRequest
from pool.executions.status import ExecutionStatus
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.localpool import LocalPool
from tests.support.suite.waiting import until
from tests.support.values.examples import NOON, spec

AHEAD = "0d9e1f6a-4256-459f-9794-14ea9ca8dac8"

ID = new_execution_id(NOON)


@pytest.fixture
async def pool(runner: FakeRunner, open_pool: Any) -> LocalPool:
    pool: LocalPool = await open_pool(spec("sub1"))
    return pool


def ask(**of: Any) -> ExecutionRequest:
    return ExecutionRequest(prompt="say yes", **of)


async def test_a_session_that_begins_has_the_id_of_a_spare_and_lives_by_that(
    pool: LocalPool, runner: FakeRunner
) -> None:
    runner.spares = [AHEAD]

    first = await pool.client.execute(ask())
    second = await pool.client.execute(ask(session_id=AHEAD))

    assert (first.session_id, second.session_id) == (AHEAD, AHEAD)
    assert [run.launch.session_id for run in runner.runs] == [AHEAD, AHEAD]
    assert [run.launch.resumes for run in runner.runs] == [False, True]
    assert [each.id for each in (await pool.client.sessions()).items] == [AHEAD]


async def test_the_next_turn_of_such_a_session_waits_for_the_one_that_began_it(
    pool: LocalPool, runner: FakeRunner
) -> None:
    runner.spares, runner.hold = [AHEAD], True
    first = await pool.client.start(ask())
    second = await pool.client.start(ask(session_id=AHEAD, background=True))

    assert (first.session_id, second.status) == (AHEAD, ExecutionStatus.QUEUED)


async def test_a_defect_of_who_promises_keeps_no_slot(
    pool: LocalPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*args: Any) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(runner, "promise", fails)

    assert (await pool.client.execute(ask())).status is ExecutionStatus.SUCCEEDED


async def test_without_a_spare_it_has_an_id_of_its_own(pool: LocalPool) -> None:
    first = await pool.client.execute(ask())

    assert (await pool.client.session(first.session_id)).subscription_id == "sub1"


@pytest.mark.parametrize(
    "fields",
    [
        {"max_turns": 2},
        {"max_budget_usd": "1"},
        {"json_schema": {"type": "object", "properties": {"n": {"type": "integer"}}}},
    ],
    ids=lambda fields: next(iter(fields)),
)
async def test_what_no_spare_can_serve_takes_none(
    pool: LocalPool, runner: FakeRunner, fields: dict[str, Any]
) -> None:
    runner.spares = [AHEAD]

    await pool.client.execute(ask(**fields))

    assert runner.spares == [AHEAD]


async def test_a_request_with_settings_of_the_model_takes_one(
    pool: LocalPool, runner: FakeRunner
) -> None:
    """As every SDK's has them."""
    runner.spares = [AHEAD]

    begun = await pool.client.execute(ask(model_settings={"max_tokens": 500}))

    assert (begun.session_id, runner.spares) == (AHEAD, [])


async def test_a_turn_or_a_fork_of_a_session_takes_none(
    pool: LocalPool, runner: FakeRunner
) -> None:
    first = await pool.client.execute(ask())
    runner.spares = [AHEAD]

    await pool.client.execute(ask(session_id=first.session_id))
    await pool.client.execute(ask(session_id=first.session_id, fork_session=True))

    assert runner.spares == [AHEAD]


async def test_where_a_router_died_before_it_was_noted_asking_again_notes_it(
    pool: LocalPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner.spares, begun_as, deaths = [AHEAD], Claims.begun_as, [1]

    async def dies_once(*args: Any) -> None:
        if deaths:
            deaths.pop()
            raise ActorLost("router", "it was killed")
        await begun_as(*args)

    monkeypatch.setattr(Claims, "begun_as", dies_once)
    monkeypatch.setattr("actors.client.patience.LOST_SECONDS", -1)

    with pytest.raises(ActorLost):
        await pool.client.execute(ask(), execution_id=ID)
    with pytest.raises(NotFound):
        await pool.client.session(AHEAD)
    ended = await pool.client.execute(ask(), execution_id=ID)

    assert ended.session_id == AHEAD
    assert len(runner.runs) == 1
    assert (await pool.client.session(AHEAD)).subscription_id == "sub1"
    assert len((await pool.client.sessions()).items) == 1


async def test_spares_are_looked_after_by_what_began_lately(
    pool: LocalPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = pool.actors.subscription("sub1")._spares
    await keeper._tend()
    assert runner.tended == [], "nothing has begun yet"

    for _ in range(3):
        await pool.client.execute(ask())
    await keeper._tend()
    assert runner.tended[-1] == 3

    monkeypatch.setattr(spares, "RECENT_SECONDS", 0.0)
    await keeper._tend()
    assert runner.tended[-1] == 0


async def test_one_that_takes_no_more_work_has_none_started(
    pool: LocalPool, runner: FakeRunner
) -> None:
    await pool.client.execute(ask())
    await pool.client.drain("sub1")
    before = len(runner.tended)

    await pool.actors.subscription("sub1")._spares._tend()

    async def has_settled() -> bool:
        return len(runner.tended) == before

    await until(has_settled)
