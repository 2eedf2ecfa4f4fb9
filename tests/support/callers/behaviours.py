"""What a pool does for its callers, each as one function of any client: the table that is gone
through over HTTP, through the asynchronous client and through the blocking one.

The pool has subscriptions ``sub1`` and ``sub2``, declared and without limits; ``SUB9_TOKEN`` is set
where it runs. A prompt that holds ``SLOW`` runs until it is cancelled, every other one ends at
once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from pool.errors import (
    Conflict,
    Exhausted,
    InvalidRequest,
    KeyReused,
    NotFound,
    Unavailable,
    UnknownModel,
)
from pool.executions.execution import Execution
from pool.executions.progress import Ended
from pool.executions.request import ExecutionRequest
from pool.executions.status import ExecutionStatus
from pool.keys.api_keys import KeySpec
from pool.reconciliation.findings import ReconciliationRange
from pool.subscriptions.spec import SubscriptionChange, SubscriptionSpec
from pool.telemetry.events import PoolEventKind
from pool.usage.breakdown.question import Grouping
from pool.usage.reported import ReportedUsage
from tests.support.callers.drivers import collected
from tests.support.clis.stubcli import SLOW
from tests.support.suite.waiting import until

NOBODY = "634fbb1e-4256-459f-9794-14ea9ca8dac8"

Behaviour = Callable[[Any], Awaitable[None]]
BEHAVIOURS: list[Behaviour] = []
BRINGING_A_SUBSCRIPTION: list[Behaviour] = []
"""Those among them that add one."""


def behaviour(each: Behaviour) -> Behaviour:
    BEHAVIOURS.append(each)
    return each


def ask(prompt: str = "q", **of: object) -> ExecutionRequest:
    return ExecutionRequest.model_validate({"prompt": prompt} | of)


def bringing_a_subscription(each: Behaviour) -> Behaviour:
    BRINGING_A_SUBSCRIPTION.append(each)
    return behaviour(each)


def new_id() -> str:
    """Of a subscription that was never there: one that comes back is as its ledger has it."""
    return f"subscription-{uuid4().hex[:8]}"


def subscription(id_: str, **settings: object) -> SubscriptionSpec:
    return SubscriptionSpec.model_validate(
        {"id": id_, "credential": {"oauth_token_env": "SUB9_TOKEN"}, **settings}
    )


async def running(client: Any, execution: Execution) -> None:
    async def runs() -> bool:
        found = await client.result(execution.id)
        return bool(found.status is ExecutionStatus.RUNNING)

    await until(runs)


async def left(client: Any, id_: str) -> None:
    """Remove a subscription, once it has nothing left to do."""

    async def is_idle() -> bool:
        report = await client.subscription(id_)
        return not (report.running or report.queued)

    await until(is_idle)
    await client.remove(id_)


# -- executions ----------------------------------------------------------------------------------


@behaviour
async def a_request_is_run_to_its_end(client: Any) -> None:
    ended = await client.execute(ask(metadata={"order": "4711"}))

    assert ended.status is ExecutionStatus.SUCCEEDED
    assert ended.usage.cost_usd == Decimal("0.0006")
    assert ended.metadata == {"order": "4711"}
    assert ended == await client.result(ended.id)


@behaviour
async def a_key_that_comes_again_gives_the_same_execution(client: Any) -> None:
    key = uuid4().hex
    first = await client.execute(ask("one"), idempotency_key=key)

    assert first == await client.execute(ask("one"), idempotency_key=key)
    with pytest.raises(KeyReused):
        await client.execute(ask("two"), idempotency_key=key)


@behaviour
async def a_key_that_is_none_is_refused(client: Any) -> None:
    for key in ("with space", "x" * 201):
        with pytest.raises(InvalidRequest):
            await client.execute(ask(), idempotency_key=key)


@behaviour
async def what_was_started_is_waited_for_by_its_id(client: Any) -> None:
    started = await client.start(ask("later"))

    ended = await client.result(started.id, wait_seconds=20)

    assert (started.id, ExecutionStatus.SUCCEEDED) == (ended.id, ended.status)


@behaviour
async def a_stream_ends_with_the_execution(client: Any) -> None:
    events = await collected(client.stream(ask("streamed")))

    last = events[-1].progress
    assert isinstance(last, Ended)
    assert last.execution == await client.result(last.execution.id)


@behaviour
async def the_rest_of_a_stream_is_had_from_any_cursor(client: Any) -> None:
    """What a run printed is kept for those who watched it alone, so it is one that was streamed."""
    events = await collected(client.stream(ask("streamed")))
    last = events[-1].progress
    assert isinstance(last, Ended)
    ended = last.execution

    for place, event in enumerate(events[:-1], 1):
        assert events[place:] == await collected(client.events(ended.id, after=event.cursor))
    with pytest.raises(InvalidRequest):
        await collected(client.events(ended.id, after="x"))
    with pytest.raises(NotFound):
        await collected(client.events("exec_unknown"))


@behaviour
async def a_run_is_cancelled_and_stays_so(client: Any) -> None:
    started = await client.start(ask(SLOW))
    await running(client, started)

    cancelled = await client.cancel(started.id)

    assert cancelled.status is ExecutionStatus.CANCELLED
    assert cancelled == await client.cancel(started.id)
    with pytest.raises(NotFound):
        await client.cancel("exec_unknown")


@behaviour
async def executions_are_listed_page_by_page(client: Any) -> None:
    first = await client.execute(ask("turn 1"))
    session = first.session_id
    turns = [first] + [await client.execute(ask(f"turn {n}", session_id=session)) for n in (2, 3)]

    page = await client.executions(limit=2, session_id=session)
    rest = await client.executions(limit=2, session_id=session, cursor=page.next_cursor)

    assert [len(page.items), len(rest.items)] == [2, 1]
    assert {each.id for each in turns} == {each.id for each in (*page.items, *rest.items)}
    assert rest.next_cursor is None
    assert (await client.executions(session_id=session, status=ExecutionStatus.QUEUED)).items == ()


@behaviour
async def a_list_says_what_it_cannot_answer(client: Any) -> None:
    with pytest.raises(InvalidRequest):
        await client.executions(cursor="none")
    with pytest.raises(InvalidRequest):
        await client.executions(limit=0)
    with pytest.raises(NotFound):
        await client.executions(subscription_id="nobody")


@behaviour
async def what_is_not_known_is_said_to_be_so(client: Any) -> None:
    for call in (
        client.result("exec_unknown"),
        client.execute(ask(session_id=NOBODY)),
        client.execute(ask(subscription_id="nobody")),
        client.session(NOBODY),
        client.subscription("nobody"),
        client.pause("nobody"),
        client.usage("nobody"),
        client.blocks("nobody"),
        client.usage_by(subscription_id="nobody"),
        client.revoke_key("nobody"),
    ):
        with pytest.raises(NotFound):
            await call


@behaviour
async def a_model_that_is_not_served_is_refused(client: Any) -> None:
    for call in (client.execute(ask(model="gpt-4")), client.route(ask(model="gpt-4"))):
        with pytest.raises(UnknownModel) as caught:
            await call

        assert "gpt-4" in str(caught.value)


@behaviour
async def a_second_turn_of_a_session_may_be_refused(client: Any) -> None:
    first = await client.execute(ask("turn 1"))
    slow = await client.start(ask(SLOW, session_id=first.session_id))
    await running(client, slow)

    with pytest.raises(Conflict):
        await client.start(ask("turn 3", session_id=first.session_id, session_busy="refuse"))
    with pytest.raises(Conflict):
        await client.forget_session(first.session_id)

    await client.cancel(slow.id)


@bringing_a_subscription
async def a_full_subscription_says_that_it_is_exhausted(client: Any) -> None:
    id_ = new_id()
    await client.add(subscription(id_, max_concurrent=1, max_queued=0))
    slow = await client.start(ask(SLOW, subscription_id=id_))

    for call in (client.execute, client.start):
        with pytest.raises(Exhausted) as caught:
            await call(ask(subscription_id=id_))
        assert caught.value.execution_id

    await client.cancel(slow.id)
    await left(client, id_)


@bringing_a_subscription
async def a_subscription_that_rests_is_unavailable(client: Any) -> None:
    id_ = new_id()
    await client.add(subscription(id_))
    await client.pause(id_)

    for call in (client.execute, client.route):
        with pytest.raises(Unavailable):
            await call(ask(subscription_id=id_))

    await left(client, id_)


@behaviour
async def a_route_says_where_and_why(client: Any) -> None:
    routing = await client.route(ask(subscription_id="sub2"))

    assert routing.reason == "the caller asked for it"
    assert {"sub1", "sub2"} <= {each.subscription_id for each in routing.candidates}


# -- sessions ------------------------------------------------------------------------------------


@behaviour
async def a_session_is_shown_and_forgotten(client: Any) -> None:
    ended = await client.execute(ask("begin"))

    session = await client.session(ended.session_id)
    listed = await client.sessions(subscription_id=ended.subscription_id)
    await client.forget_session(ended.session_id)

    assert (session.id, session.subscription_id) == (ended.session_id, ended.subscription_id)
    assert session in listed.items
    with pytest.raises(NotFound):
        await client.session(ended.session_id)
    with pytest.raises(InvalidRequest):
        await client.sessions(cursor="none")


# -- subscriptions -------------------------------------------------------------------------------


@bringing_a_subscription
async def a_subscription_comes_and_goes(client: Any) -> None:
    id_ = new_id()
    added = await client.add(subscription(id_, weight=2))
    same = await client.add(subscription(id_, weight=2))
    with pytest.raises(Conflict):
        await client.add(subscription(id_, weight=3))

    changed = await client.change(id_, SubscriptionChange(weight=4, max_queued=7))
    paused = await client.pause(id_)
    resumed = await client.resume(id_)
    drained = await client.drain(id_)
    listed = await client.subscriptions()
    await client.remove(id_)

    assert (id_, 2) == (added.id, added.weight) == (same.id, same.weight)
    assert (changed.weight, changed.max_queued) == (4, 7)
    states = [each.state.value for each in (paused, resumed, drained)]
    assert states == ["paused", "available", "draining"]
    assert {id_, "sub1", "sub2"} <= {each.id for each in listed}
    with pytest.raises(NotFound):
        await client.subscription(id_)


@bringing_a_subscription
async def a_subscription_with_work_is_not_removed_and_a_declared_one_never(client: Any) -> None:
    id_ = new_id()
    await client.add(subscription(id_))
    slow = await client.start(ask(SLOW, subscription_id=id_))
    await running(client, slow)

    with pytest.raises(Conflict):
        await client.remove(id_)
    with pytest.raises(Conflict):
        await client.remove("sub1")

    await client.cancel(slow.id)
    await left(client, id_)


# -- usage ---------------------------------------------------------------------------------------


@behaviour
async def usage_from_outside_counts_once(client: Any) -> None:
    reported = ReportedUsage.model_validate(
        {"id": uuid4().hex, "models": {"claude-sonnet-4-5": {"cost_usd": "0.5"}}}
    )

    first = await client.report_usage("sub2", reported)
    again = await client.report_usage("sub2", reported)
    page = await client.usage("sub2", limit=1)

    assert (first.added, again.added) == (True, False)
    assert first.record.id == again.record.id
    assert (first.record,) == page.items
    with pytest.raises(InvalidRequest):
        await client.usage("sub2", cursor="none")


@behaviour
async def what_was_spent_is_shown_by_block_and_by_subscription(client: Any) -> None:
    ended = await client.execute(ask())
    id_ = ended.subscription_id

    (block, *_) = (await client.blocks(id_)).items
    table = await client.usage_by(
        (Grouping.SUBSCRIPTION, Grouping.MODEL),
        since=block.starts_at,
        until=block.ends_at,
        subscription_id=id_,
    )

    assert block.cost_usd == table.total.cost_usd == sum(row.cost_usd for row in table.items)
    assert ended.model in {row.model for row in table.items}


# -- the pool ------------------------------------------------------------------------------------


@behaviour
async def the_whole_is_shown_at_one_glance(client: Any) -> None:
    overview = await client.pool()

    assert overview.subscriptions >= 2


@behaviour
async def alerts_are_listed(client: Any) -> None:
    assert (await client.alerts(limit=5)).items == ()
    with pytest.raises(InvalidRequest):
        await client.alerts(cursor="none")


@behaviour
async def what_happens_is_told(client: Any) -> None:
    def is_end(told: Any) -> bool:
        return bool(told.happening.kind is PoolEventKind.EXECUTION_ENDED)

    watching = asyncio.create_task(collected(client.watch(), is_end))
    async with asyncio.timeout(20):
        while not watching.done():
            ended = await client.execute(ask())
            await asyncio.wait({watching}, timeout=0.2)

    told = await watching
    assert told[-1].happening.execution_id <= ended.id
    assert len({each.id for each in told}) == len(told)


@behaviour
async def a_key_is_made_rotated_and_revoked(client: Any) -> None:
    name = f"key-{uuid4().hex[:8]}"
    spec = KeySpec(name=name, scopes=("execute", "read", "admin"))

    await client.create_key(KeySpec(name=f"{name}-other", scopes=("admin",)))
    issued = await client.create_key(spec)
    with pytest.raises(Conflict):
        await client.create_key(spec)
    rotated = await client.rotate_key(issued.key.id)
    listed = await client.keys()
    await client.revoke_key(issued.key.id)

    assert issued.secret != rotated.secret
    assert (name, issued.key.id) in {(each.name, each.id) for each in listed}


@behaviour
async def nothing_is_reconciled_where_no_organization_is_configured(client: Any) -> None:
    noon = "2026-01-28T12:00:00Z"
    wanted = ReconciliationRange.model_validate({"starts_at": noon, "ends_at": noon})

    with pytest.raises(Conflict):
        await client.reconciliations()
    with pytest.raises(Conflict):
        await client.reconcile(wanted)


@behaviour
async def a_running_pool_is_copied(client: Any) -> None:
    backup = await client.backup()

    assert {"sub1", "sub2"} <= set(backup.subscriptions)
    assert backup.bytes > 0
