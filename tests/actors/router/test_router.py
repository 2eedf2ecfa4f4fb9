import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from actors.interfaces.messages import NotAdmitted, Started
from pool.errors import (
    Exhausted,
    InvalidRequest,
    KeyReused,
    NotFound,
    Unavailable,
    UnknownModel,
)
from pool.executions.execution import Execution
from pool.executions.intent import Intent
from pool.executions.outcome import Failed, FailureKind
from pool.executions.request import ExecutionRequest
from pool.executions.status import ExecutionStatus
from pool.limits.windows import RateLimitEvent
from pool.subscriptions.admission import Refusal, RefusalCause
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import spec

OpenPool = Callable[..., Awaitable[LocalPool]]


def ask(prompt: str = "q", **of: object) -> ExecutionRequest:
    return ExecutionRequest.model_validate({"prompt": prompt} | of)


async def test_a_burst_of_requests_spreads_over_all_subscriptions(
    local_pool: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True

    started = await asyncio.gather(*(local_pool.client.start(ask(str(n))) for n in range(6)))

    assert {2} == set(Counter(each.subscription_id for each in started).values())


async def test_thirty_requests_on_three_subscriptions_with_two_slots_are_all_answered(
    local_pool: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    asked = [asyncio.create_task(local_pool.client.execute(ask(str(n)))) for n in range(30)]
    for n in range(30):
        (await runner.wait_for_runs(n + 1))[n].end()

    executions = await asyncio.gather(*asked)

    assert {ExecutionStatus.SUCCEEDED} == {each.status for each in executions}
    assert runner.most_running <= 6


async def test_an_execution_says_why_it_went_there(local_pool: LocalPool) -> None:
    await local_pool.client.pause("sub1")

    execution = await local_pool.client.execute(ask())

    refusals = {each.subscription_id: each.refusal for each in execution.routing.candidates}
    assert execution.routing.reason == "the best of 2 that can take it"
    assert refusals["sub1"] == "paused by an operator; resume it to use it"


async def test_of_many_subscriptions_it_keeps_the_best_and_counts_of_the_others(
    open_pool: OpenPool,
) -> None:
    pool = await open_pool(*(spec(f"sub{n}") for n in range(12)))
    for paused in ("sub0", "sub1"):
        await pool.client.pause(paused)

    routing = (await pool.client.execute(ask())).routing

    assert [each.refusal for each in routing.candidates] == [None] * 8
    assert (routing.considered, routing.usable, routing.refused) == (12, 10, {"paused": 2})


async def test_where_one_would_go_is_told_of_every_subscription_if_that_is_asked(
    open_pool: OpenPool,
) -> None:
    pool = await open_pool(*(spec(f"sub{n}") for n in range(12)))

    few = await pool.client.route(ask())
    everybody = await pool.client.route(ask(), all_candidates=True)

    assert (len(few.candidates), len(everybody.candidates)) == (8, 12)
    assert few.candidates == everybody.candidates[:8]
    assert few.considered == everybody.considered == 12


async def test_a_request_for_one_of_many_is_refused_with_its_reason(open_pool: OpenPool) -> None:
    pool = await open_pool(*(spec(f"sub{n}") for n in range(12)))
    await pool.client.pause("sub7")

    with pytest.raises(Unavailable) as refused:
        await pool.client.execute(ask(subscription_id="sub7"))

    assert "sub7: paused by an operator" in str(refused.value)
    assert "of 11 others 11 other wanted" in str(refused.value)


async def test_a_session_goes_on_where_it_lives(local_pool: LocalPool) -> None:
    first = await local_pool.client.execute(ask())

    turns = [
        await local_pool.client.execute(ask(str(n), session_id=first.session_id)) for n in range(4)
    ]

    assert {(first.subscription_id, first.session_id)} == {
        (each.subscription_id, each.session_id) for each in turns
    }


async def test_a_session_is_found_again_by_a_new_router(local_pool: LocalPool) -> None:
    first = await local_pool.client.execute(ask())

    home = await local_pool.router._directory.session_home(first.session_id)

    assert home is not None
    assert first.subscription_id == home.subscription_id


async def test_a_subscription_that_was_asked_for_is_the_one(local_pool: LocalPool) -> None:
    execution = await local_pool.client.execute(ask(subscription_id="sub3"))

    assert (
        execution.subscription_id,
        execution.routing.reason,
    ) == ("sub3", "the caller asked for it")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"session_id": "634fbb1e-4256-459f-9794-14ea9ca8dac8"}, NotFound),
        ({"subscription_id": "nobody"}, NotFound),
        ({"model": "claude-no-such-model"}, UnknownModel),
        ({"tools": ["Bash"]}, InvalidRequest),
    ],
)
async def test_what_cannot_be_served_is_refused_before_anything_runs(
    local_pool: LocalPool, body: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await local_pool.client.execute(ask(**body))

    assert local_pool.runner.runs == []


async def test_the_same_key_with_the_same_body_is_the_same_execution(
    local_pool: LocalPool,
) -> None:
    answers = await asyncio.gather(
        *(local_pool.client.execute(ask(), idempotency_key="k") for _ in range(10))
    )

    assert len({each.id for each in answers}) == 1
    assert len(local_pool.runner.runs) == 1


async def test_of_two_dispatches_of_one_key_at_once_neither_starts_what_the_other_has_elsewhere(
    open_pool: OpenPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = await open_pool(spec("sub1"), spec("sub2", max_concurrent=1))
    first, second = pool.actors.subscription("sub1"), pool.actors.subscription("sub2")
    admit, go_elsewhere, asked = first.start, second.start, []

    async def refuses_once(intent: Intent, *, may_wait: bool = True) -> Started | NotAdmitted:
        asked.append(intent.execution_id)
        if len(asked) > 1:
            return await admit(intent, may_wait=may_wait)
        refusal = Refusal(cause=RefusalCause.QUEUE_FULL, detail="full for a moment")
        return NotAdmitted(refusal=refusal, report=await first.next_report(-1, -1, 0))

    async def slowly(intent: Intent, *, may_wait: bool = True) -> Started | NotAdmitted:
        await asyncio.sleep(0.1)
        return await go_elsewhere(intent, may_wait=may_wait)

    monkeypatch.setattr(first, "start", refuses_once)
    monkeypatch.setattr(second, "start", slowly)
    answers = await asyncio.gather(
        *(pool.client.execute(ask(), idempotency_key="k") for _ in range(2))
    )

    assert answers[0] == answers[1]
    assert len(pool.runner.runs) == 1


async def test_the_same_key_with_another_body_is_refused(local_pool: LocalPool) -> None:
    await local_pool.client.execute(ask("one"), idempotency_key="k")

    with pytest.raises(KeyReused):
        await local_pool.client.execute(ask("two"), idempotency_key="k")


async def test_two_callers_do_not_share_a_key(local_pool: LocalPool) -> None:
    answers = [
        await local_pool.client.execute(ask(), idempotency_key="k", caller=caller)
        for caller in ("a", "b")
    ]

    assert len({each.id for each in answers}) == 2


async def test_when_everybody_is_limited_the_earliest_reset_is_told(
    local_pool: LocalPool,
) -> None:
    for hours in (3, 1, 2):
        resets_at = local_pool.clock() + timedelta(hours=hours)
        event = RateLimitEvent(
            observed_at=local_pool.clock(), status="rejected", type="five_hour", resets_at=resets_at
        )
        limit = Failed(kind=FailureKind.USAGE_LIMIT, message="limit", limits=(event,))
        local_pool.runner.script.append(limit)

    ended = await local_pool.client.execute(ask())
    with pytest.raises(Exhausted) as caught:
        await local_pool.client.execute(ask())

    soonest = local_pool.clock() + timedelta(hours=1)
    assert ended.error is not None
    assert (soonest, soonest) == (caught.value.retry_at, ended.error.retry_at)
    assert len(local_pool.runner.runs) == 3


async def test_when_everybody_is_paused_the_pool_is_unavailable(local_pool: LocalPool) -> None:
    for id_ in ("sub1", "sub2", "sub3"):
        await local_pool.client.pause(id_)

    with pytest.raises(Unavailable, match="paused by an operator"):
        await local_pool.client.execute(ask())


async def test_a_pool_without_subscriptions_says_so(open_pool: OpenPool) -> None:
    pool = await open_pool()

    with pytest.raises(Unavailable, match="no subscription is known"):
        await pool.client.execute(ask())


async def test_a_decision_asks_one_subscription_however_many_there_are(
    open_pool: OpenPool, runner: FakeRunner
) -> None:
    pool = await open_pool(*(spec(f"sub{n}") for n in range(20)))
    asked: Counter[str] = Counter()
    for id_, subscription in pool.actors.subscriptions.items():
        _count_calls(subscription, asked, id_)

    await pool.client.execute(ask())

    assert sum(asked.values()) == 1


async def test_a_pool_that_stops_lets_work_end_and_starts_nothing(
    local_pool: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    running = await local_pool.client.start(ask("runs", subscription_id="sub1"))
    (run,) = await runner.wait_for_runs(1)
    stopping = asyncio.create_task(local_pool.client.stop(30))
    while (await local_pool.client.subscription("sub1")).state != "draining":
        await asyncio.sleep(0.01)

    with pytest.raises(Unavailable, match="the service is stopping"):
        await local_pool.client.start(ask("late"))
    run.end()
    await stopping

    assert not run.stopped
    ended = await local_pool.client.result(running.id)
    assert ended.status == ExecutionStatus.SUCCEEDED


async def test_a_pool_that_stops_interrupts_what_does_not_end_and_keeps_what_it_cost(
    local_pool: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    running = await local_pool.client.start(ask())
    await runner.wait_for_runs(1)

    await local_pool.client.stop(0)

    ended = await local_pool.client.result(running.id)
    assert (ExecutionStatus.INTERRUPTED, Decimal("0.0001")) == (ended.status, ended.usage.cost_usd)


async def test_what_waits_when_a_pool_stops_runs_after_the_next_start(
    open_pool: OpenPool, runner: FakeRunner
) -> None:
    pool = await open_pool(spec("sub1", max_concurrent=1))
    runner.hold = True
    await pool.client.start(ask("runs"))
    waiting = await pool.client.start(ask("waits"))
    await runner.wait_for_runs(1)

    await pool.client.stop(0)
    stopped = await pool.client.result(waiting.id)
    await pool.restart("sub1")
    (await runner.wait_for_runs(2))[1].end()

    ended = await pool.client.result(waiting.id, wait_seconds=10)
    assert (stopped.status, ended.status) == (ExecutionStatus.QUEUED, ExecutionStatus.SUCCEEDED)


async def test_executions_of_all_subscriptions_are_listed_newest_first(
    local_pool: LocalPool,
) -> None:
    made: list[Execution] = []
    for n in range(7):
        local_pool.clock.advance(timedelta(seconds=1))
        made.append(await local_pool.client.execute(ask(str(n))))

    first = await local_pool.client.executions(limit=4)
    rest = await local_pool.client.executions(limit=4, cursor=first.next_cursor)

    listed = [each.id for each in (*first.items, *rest.items)]
    assert [each.id for each in reversed(made)] == listed
    assert rest.next_cursor is None


def _count_calls(subscription: object, asked: "Counter[str]", id_: str) -> None:
    start = subscription.start  # type: ignore[attr-defined]

    async def counting(intent: object, *, may_wait: bool) -> object:
        asked[id_] += 1
        return await start(intent, may_wait=may_wait)

    subscription.start = counting  # type: ignore[attr-defined]


async def test_claims_that_are_older_than_the_retention_are_forgotten(
    local_pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.router.router.RETENTION_PERIOD", timedelta(seconds=0.01))
    old = await local_pool.client.execute(ask())
    local_pool.clock.advance(timedelta(days=36))
    retaining = asyncio.create_task(local_pool.router._retain())
    async with asyncio.timeout(10):
        while await local_pool.router._directory.locate(old.id) is not None:
            await asyncio.sleep(0.01)
    retaining.cancel()

    with pytest.raises(NotFound):
        await local_pool.client.result(old.id)


async def test_whoever_turns_out_to_be_busy_is_not_waited_for_while_another_is_free(
    open_pool: OpenPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = await open_pool(spec("sub1", max_concurrent=2), spec("sub2", max_concurrent=1))
    first = pool.actors.subscription("sub1")
    report = await first.next_report(-1, -1, 0)

    async def is_busy(_: Intent, *, may_wait: bool = True) -> Started | NotAdmitted:
        if may_wait:
            raise AssertionError("it was waited for")
        full = report.model_copy(update={"running": 2, "version": report.version + 1000})
        refusal = Refusal(cause=RefusalCause.BUSY, detail="all slots are taken")
        return NotAdmitted(refusal=refusal, report=full)

    monkeypatch.setattr(first, "start", is_busy)

    assert (await pool.client.execute(ask())).subscription_id == "sub2"
