"""A session goes on where it lives, moves where it must, and its history never forks."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from actors.aiokit import end
from actors.interfaces.messages import HandedOff, HandoffRequest, NotAdmitted, NotTaken
from actors.subscription.subscription import Subscription
from pool.alerts.alerts import AlertKind
from pool.claude.transcripts.copy import CopyRefused, SessionCopy
from pool.errors import ActorLost, Conflict, Exhausted, NotFound, Unavailable
from pool.executions.execution import Execution
from pool.executions.intent import Intent
from pool.executions.outcome import Completed, FailureKind
from pool.executions.session import SessionAge, SessionMove
from pool.executions.status import ExecutionStatus
from pool.routing.rebalancing import Rebalancing
from pool.subscriptions.admission import Refusal, RefusalCause
from pool.subscriptions.consequences.standing import Standing, after
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.localpool import LocalPool
from tests.support.pools.pool_requests import ask, failed, later, limit, runs_at, stop_for
from tests.support.suite.waiting import until
from tests.support.values.examples import completed, spec, usage_of

OpenPool = Callable[..., Awaitable[LocalPool]]


@pytest.fixture
async def two(open_pool: OpenPool) -> LocalPool:
    """Two subscriptions with slots to spare; the first is asked first."""
    return await open_pool(spec("sub1", max_concurrent=3), spec("sub2", max_concurrent=3))


def history(pool: LocalPool, at: str, session_id: str) -> list[str]:
    """The prompts in the transcript that a subscription has."""
    return pool.runner.sessions[at, session_id].files[0].data.decode().split("\n")[:-1]


async def lives_at(pool: LocalPool, session_id: str) -> str:
    return (await pool.client.session(session_id)).subscription_id


async def turn(pool: LocalPool, session_id: str, prompt: str, **of: object) -> Execution:
    pool.clock.advance(timedelta(seconds=1))
    return await pool.client.execute(ask(prompt, session_id=session_id, **of))


# -- moving ------------------------------------------------------------------------------------


async def test_a_session_whose_home_is_limited_moves_with_its_history(two: LocalPool) -> None:
    first = await runs_at(two, "sub1", "one")
    await stop_for(two, "sub1")

    second = await turn(two, first.session_id, "two")
    third = await turn(two, first.session_id, "three")

    assert {("sub2", first.session_id)} == {
        (each.subscription_id, each.session_id) for each in (second, third)
    }
    assert history(two, "sub2", first.session_id) == ["one", "two", "three"]
    assert "moves there from sub1" in second.routing.reason
    assert third.routing.reason == "its session lives on sub2"


async def test_a_move_is_recorded_with_both_ends_and_told_once(two: LocalPool) -> None:
    first = await runs_at(two, "sub1")
    await stop_for(two, "sub1")
    for n in range(2):
        await turn(two, first.session_id, str(n))

    session = await two.client.session(first.session_id)
    alerts = (await two.router.alerts(limit=99)).items

    move = SessionMove(
        session_id=first.session_id,
        from_subscription_id="sub1",
        to_subscription_id="sub2",
        moved_at=two.clock() - timedelta(seconds=1),
    )
    assert (session.subscription_id, session.fetch_from, session.moves) == ("sub2", None, (move,))
    assert [each.kind for each in alerts].count(AlertKind.SESSION_MOVED) == 1


async def test_a_turn_that_hits_the_limit_goes_on_elsewhere_without_the_failed_prompt(
    two: LocalPool, runner: FakeRunner
) -> None:
    first = await runs_at(two, "sub1", "one")
    runner.scripts["sub1"] = [limit()]

    second = await turn(two, first.session_id, "two")

    assert (second.status, second.subscription_id) == (ExecutionStatus.SUCCEEDED, "sub2")
    assert history(two, "sub1", first.session_id) == ["one", "two"]
    assert history(two, "sub2", first.session_id) == ["one", "two"]


async def test_turns_that_failed_before_are_not_in_the_copy(
    two: LocalPool, runner: FakeRunner
) -> None:
    first = await runs_at(two, "sub1", "one")
    runner.scripts["sub1"] = [
        failed(FailureKind.INVALID_REQUEST),
        completed(),
        failed(FailureKind.INVALID_REQUEST),
    ]
    for prompt in ("bad", "two", "worse"):
        await turn(two, first.session_id, prompt)
    await stop_for(two, "sub1")

    await turn(two, first.session_id, "three")

    assert history(two, "sub2", first.session_id) == ["one", "bad", "two", "three"]


async def test_a_failed_prompt_is_not_in_the_copy_though_another_turn_waits_behind_it(
    two: LocalPool, runner: FakeRunner
) -> None:
    first = await runs_at(two, "sub1", "one")
    runner.hold = True
    turns = [asyncio.create_task(turn(two, first.session_id, "two"))]
    (await runner.wait_for_runs(2))[1]
    turns.append(asyncio.create_task(turn(two, first.session_id, "three")))
    await until(lambda: _queued(two, "sub1", 1))

    runner.runs[1].end(limit())
    (await runner.wait_for_runs(3))[2].end()
    (await runner.wait_for_runs(4))[3].end()
    ended = await asyncio.gather(*turns)

    assert [(e.subscription_id, e.status.value) for e in ended] == [("sub2", "succeeded")] * 2
    assert history(two, "sub2", first.session_id) == ["one", "two", "three"]


async def _queued(pool: LocalPool, at: str, count: int) -> bool:
    report = await pool.actors.subscription(at).next_report(-1, -1, 0)
    return report.queued == count


async def test_what_waits_behind_a_turn_that_moved_follows_it_though_its_subscription_is_well(
    two: LocalPool, runner: FakeRunner
) -> None:
    first = await runs_at(two, "sub1", "one")
    runner.hold = True
    turns = [asyncio.create_task(turn(two, first.session_id, "two"))]
    await runner.wait_for_runs(2)
    turns.append(asyncio.create_task(turn(two, first.session_id, "three")))
    await until(lambda: _queued(two, "sub1", 1))

    runner.runs[1].end(failed(FailureKind.NOT_STARTED))
    (await runner.wait_for_runs(3))[2].end()
    (await runner.wait_for_runs(4))[3].end()
    ended = await asyncio.gather(*turns)

    assert [each.subscription_id for each in ended] == ["sub2", "sub2"]
    assert history(two, "sub2", first.session_id) == ["one", "two", "three"]
    assert history(two, "sub1", first.session_id) == ["one", "two"]


async def test_a_turn_that_comes_while_another_is_handed_on_goes_behind_it(
    two: LocalPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, may_answer, hand_off = asyncio.Event(), asyncio.Event(), two.router.hand_off

    async def late(handoff: HandoffRequest) -> HandedOff | NotTaken:
        asked.set()
        await may_answer.wait()
        return await hand_off(handoff)

    monkeypatch.setattr(two.router, "hand_off", late)
    first = await runs_at(two, "sub1", "one")
    runner.hold = True
    second = asyncio.create_task(turn(two, first.session_id, "two"))
    (await runner.wait_for_runs(2))[1].end(failed(FailureKind.NOT_STARTED))
    await asked.wait()
    third = await two.client.start(ask("three", session_id=first.session_id))
    may_answer.set()

    (await runner.wait_for_runs(3))[2].end()
    (await runner.wait_for_runs(4))[3].end()
    await asyncio.gather(second, two.client.ended(third))

    assert [each.launch.prompt for each in runner.runs] == ["one", "two", "two", "three"]
    assert history(two, "sub2", first.session_id) == ["one", "two", "three"]


async def test_two_turns_at_once_while_a_session_moves_run_one_after_the_other(
    local_pool: LocalPool, runner: FakeRunner
) -> None:
    first = await runs_at(local_pool, "sub1", "one")
    await stop_for(local_pool, "sub1")
    runner.hold = True

    turns = [asyncio.create_task(turn(local_pool, first.session_id, str(n))) for n in range(4)]
    for n in range(4):
        (await runner.wait_for_runs(n + 3))[n + 2].end()
        await asyncio.sleep(0.01)
    ended = await asyncio.gather(*turns)

    (home,) = {each.subscription_id for each in ended}
    assert [each.status for each in ended] == [ExecutionStatus.SUCCEEDED] * 4
    assert sorted(
        history(local_pool, home, first.session_id), key=lambda each: (each != "one", each)
    ) == ["one", "0", "1", "2", "3"]
    session = await local_pool.client.session(first.session_id)
    assert [("sub1", home)] == [
        (each.from_subscription_id, each.to_subscription_id) for each in session.moves
    ]


async def test_a_turn_waits_for_the_one_that_runs_though_its_home_takes_nothing_new(
    two: LocalPool, runner: FakeRunner
) -> None:
    first = await runs_at(two, "sub1", "one")
    runner.hold = True
    second = asyncio.create_task(turn(two, first.session_id, "two"))
    await runner.wait_for_runs(2)
    await two.client.pause("sub1")
    third = asyncio.create_task(turn(two, first.session_id, "three"))
    await until(lambda: _queued(two, "sub1", 1))

    runner.runs[1].end()
    (await runner.wait_for_runs(3))[2].end()
    ended = await asyncio.gather(second, third)

    assert [each.subscription_id for each in ended] == ["sub1", "sub1"]
    assert history(two, "sub1", first.session_id) == ["one", "two", "three"]


async def test_a_second_turn_waits_for_the_first_or_is_refused_if_asked_so(
    two: LocalPool, runner: FakeRunner
) -> None:
    first = await runs_at(two, "sub1", "one")
    runner.hold = True
    second = asyncio.create_task(turn(two, first.session_id, "two"))
    await runner.wait_for_runs(2)

    with pytest.raises(Conflict, match="another turn of this session is running"):
        await turn(two, first.session_id, "impatient", session_busy="refuse")
    third = asyncio.create_task(turn(two, first.session_id, "three"))
    await until(lambda: _queued(two, "sub1", 1))
    assert len(runner.runs) == 2
    runner.runs[1].end()
    (await runner.wait_for_runs(3))[2].end()
    await asyncio.gather(second, third)

    assert history(two, "sub1", first.session_id) == ["one", "two", "three"]


async def test_what_was_spent_before_a_move_is_not_charged_again_after_it(
    two: LocalPool, runner: FakeRunner
) -> None:
    total = completed().model_copy(update={"session_total_nano_usd": 500})
    runner.scripts["sub1"] = [total]
    first = await runs_at(two, "sub1")
    await stop_for(two, "sub1")
    runner.scripts["sub2"] = [failed(FailureKind.INVALID_REQUEST)]

    await turn(two, first.session_id, "two")
    await turn(two, first.session_id, "three")

    bases = [(each.subscription, each.launch.session_total_nano_usd) for each in runner.runs[-2:]]
    assert bases == [("sub2", 500), ("sub2", 500)]


async def test_a_move_back_brings_the_newer_history_and_its_total(
    two: LocalPool, runner: FakeRunner
) -> None:
    def total(nano_usd: int) -> Completed:
        return completed().model_copy(update={"session_total_nano_usd": nano_usd})

    runner.scripts = {"sub1": [total(100)], "sub2": [total(900)]}
    first = await runs_at(two, "sub1", "one")
    await stop_for(two, "sub1")
    await turn(two, first.session_id, "two")
    await later(two, timedelta(hours=2))
    await runs_at(two, "sub1", "proves it")
    await stop_for(two, "sub2", limit(two.clock() + timedelta(hours=1)))

    third = await turn(two, first.session_id, "three")

    assert third.subscription_id == "sub1"
    assert history(two, "sub1", first.session_id) == ["one", "two", "three"]
    assert runner.runs[-1].launch.session_total_nano_usd == 900


# -- what cannot be moved ----------------------------------------------------------------------


async def test_a_session_is_not_copied_while_a_turn_of_it_runs(
    two: LocalPool, runner: FakeRunner
) -> None:
    first = await runs_at(two, "sub1", "one")
    runner.hold = True
    running = asyncio.create_task(turn(two, first.session_id, "two"))
    await runner.wait_for_runs(2)
    await two.router._directory.move_session(
        first.session_id, instead_of="sub1", subscription_id="sub2", with_history=True
    )

    third = await turn(two, first.session_id, "three")
    runner.runs[1].end()
    await running

    assert third.error is not None
    assert "a turn of it is running there" in third.error.message
    assert await lives_at(two, first.session_id) == "sub1"
    assert history(two, "sub1", first.session_id) == ["one", "two"]


async def test_a_session_whose_transcript_is_gone_is_forgotten_where_it_was_to_be_fetched(
    two: LocalPool, runner: FakeRunner
) -> None:
    first = await runs_at(two, "sub1")
    await stop_for(two, "sub1")
    runner.sessions.pop(("sub1", first.session_id))

    execution = await turn(two, first.session_id, "two")

    assert execution.error is not None
    assert execution.error.type == "session_not_found"
    assert execution.error.message == "its transcript is not there any more"
    assert first.session_id not in {each.id for each in (await two.client.sessions()).items}
    assert [each for each in runner.runs if each.subscription == "sub2"] == []


async def test_a_session_whose_transcript_is_gone_is_forgotten_where_it_lives(
    two: LocalPool, runner: FakeRunner
) -> None:
    first, kept = await runs_at(two, "sub1"), await runs_at(two, "sub1")
    runner.scripts["sub1"] = [failed(FailureKind.SESSION_NOT_FOUND)]

    execution = await turn(two, first.session_id, "gone")

    assert execution.error is not None
    assert execution.error.type == "session_not_found"
    assert [each.id for each in (await two.client.sessions()).items] == [kept.session_id]
    with pytest.raises(NotFound):
        await turn(two, first.session_id, "again")


async def test_a_session_that_lives_elsewhere_by_now_is_not_forgotten(
    two: LocalPool, runner: FakeRunner
) -> None:
    first = await runs_at(two, "sub1")

    await two.router.session_gone(first.session_id, "sub2")

    assert await lives_at(two, first.session_id) == "sub1"


async def test_a_session_whose_home_cannot_be_asked_is_refused_and_stays(
    two: LocalPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await runs_at(two, "sub1")
    await stop_for(two, "sub1")

    async def away(*_: object) -> SessionCopy:
        raise ActorLost("sub1", "it is not there")

    monkeypatch.setattr(two.actors.subscription("sub1"), "session_copy", away)
    execution = await turn(two, first.session_id, "two")

    assert execution.error is not None
    assert execution.error.type == "session_not_moved"
    assert await lives_at(two, first.session_id) == "sub1"
    monkeypatch.undo()
    again = await turn(two, first.session_id, "three")
    assert again.subscription_id == "sub2"


async def test_a_session_whose_home_was_never_heard_of_is_refused_and_stays(
    two: LocalPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.router.presence.first_reports.FIRST_REPORT_SECONDS", 0.05)
    first = await runs_at(two, "sub1")
    followers = two.router._followers
    await end([followers._tasks["sub1"]])
    followers._latest.forget("sub1")

    with pytest.raises((Unavailable, Exhausted)):
        await turn(two, first.session_id, "two")

    assert await lives_at(two, first.session_id) == "sub1"
    assert len(runner.runs) == 1


async def test_a_copy_that_the_disk_refuses_leaves_the_session_where_it_was(
    two: LocalPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await runs_at(two, "sub1")
    await stop_for(two, "sub1")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runner, "install_session", full)
    execution = await turn(two, first.session_id, "two")

    assert execution.error is not None
    assert execution.error.message.endswith("from sub1: No space left on device")
    assert await lives_at(two, first.session_id) == "sub1"


async def test_a_move_that_failed_is_tried_again_by_the_next_turn(
    two: LocalPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await runs_at(two, "sub1", "one")
    await stop_for(two, "sub1")

    def damaged(*_: object) -> None:
        raise CopyRefused("it was damaged on its way")

    monkeypatch.setattr(runner, "install_session", damaged)
    await turn(two, first.session_id, "two")
    monkeypatch.undo()
    await turn(two, first.session_id, "three")

    assert history(two, "sub2", first.session_id) == ["one", "three"]


async def test_a_router_that_is_away_for_a_moment_fails_no_turn_that_moves(
    two: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.subscription.sessions.session_transfer.ROUTER_AWAY_SECONDS", 0.01)
    first = await runs_at(two, "sub1", "one")
    await stop_for(two, "sub1")

    started = await two.client.start(ask("two", session_id=first.session_id))
    two.actors.the_router = None
    await asyncio.sleep(0.05)
    two.actors.the_router = two.router
    ended = await two.client.ended(started)

    assert (ended.status, ended.subscription_id) == (ExecutionStatus.SUCCEEDED, "sub2")
    assert history(two, "sub2", first.session_id) == ["one", "two"]


# -- forks -------------------------------------------------------------------------------------


async def test_a_fork_has_a_new_id_and_leaves_its_parent_alone(two: LocalPool) -> None:
    parent = await runs_at(two, "sub1", "one")

    fork = await turn(two, parent.session_id, "fork", fork_session=True)
    child = await turn(two, fork.session_id, "child")

    assert fork.session_id != parent.session_id
    assert {"sub1"} == {fork.subscription_id, child.subscription_id}
    assert history(two, "sub1", parent.session_id) == ["one"]
    assert history(two, "sub1", fork.session_id) == ["one", "fork", "child"]


async def test_a_fork_that_runs_elsewhere_leaves_its_parent_at_home(two: LocalPool) -> None:
    parent = await runs_at(two, "sub1", "one")
    await stop_for(two, "sub1")

    fork = await turn(two, parent.session_id, "fork", fork_session=True)
    child = await turn(two, fork.session_id, "child")

    assert {"sub2"} == {fork.subscription_id, child.subscription_id}
    assert (
        await lives_at(two, parent.session_id),
        await lives_at(two, fork.session_id),
    ) == ("sub1", "sub2")
    assert history(two, "sub1", parent.session_id) == ["one"]
    assert history(two, "sub2", fork.session_id) == ["one", "fork", "child"]
    assert (await two.client.session(parent.session_id)).moves == ()


async def test_a_fork_whose_first_subscription_fails_is_run_by_the_next_and_lives_there(
    two: LocalPool, runner: FakeRunner
) -> None:
    parent = await runs_at(two, "sub1", "one")
    runner.scripts["sub1"] = [failed(FailureKind.OVERLOADED)]

    fork = await turn(two, parent.session_id, "fork", fork_session=True)
    child = await turn(two, fork.session_id, "child")

    assert (fork.subscription_id, child.subscription_id) == ("sub2", "sub2")
    assert history(two, "sub2", fork.session_id) == ["one", "fork", "child"]
    assert await lives_at(two, parent.session_id) == "sub1"


async def test_a_fork_that_nobody_else_took_lives_where_it_ran(
    two: LocalPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = await runs_at(two, "sub1", "one")
    second = two.actors.subscription("sub2")
    runner.hold = True
    running = asyncio.create_task(turn(two, parent.session_id, "two"))
    await runner.wait_for_runs(2)
    fork = await two.client.start(ask("fork", session_id=parent.session_id, fork_session=True))
    asked: list[str] = []
    monkeypatch.setattr(second, "start", _refusing(second, asked))
    limited = after(Standing(), limit(), two.clock())

    await two.actors.subscription("sub1")._context.stand(limited)
    runner.runs[1].end()
    await running
    await until(lambda: asked == [fork.id])
    monkeypatch.undo()
    await two.client.pause("sub2")
    await two.client.resume("sub1")
    (await runner.wait_for_runs(3))[2].end()
    ended = await two.client.result(fork.id, wait_seconds=10)

    assert "sub1" == ended.subscription_id == await lives_at(two, fork.session_id)


def _refusing(subscription: Subscription, asked: list[str]) -> Callable[..., Awaitable[object]]:
    async def start(intent: Intent, *, may_wait: bool = True) -> NotAdmitted:
        asked.append(intent.execution_id)
        refusal = Refusal(cause=RefusalCause.QUEUE_FULL, detail=f"full, may_wait={may_wait}")
        return NotAdmitted(refusal=refusal, report=await subscription.next_report(-1, -1, 0))

    return start


# -- resting, spreading, forgetting ------------------------------------------------------------


async def test_sessions_age_and_are_listed_those_used_last_first(two: LocalPool) -> None:
    used = []
    for _ in range(3):
        used.append((await runs_at(two, "sub1")).session_id)
        await later(two, timedelta(minutes=30))

    page = await two.client.sessions(limit=2)
    rest = await two.client.sessions(limit=2, cursor=page.next_cursor)

    assert [
        (used[2], SessionAge.IDLE),
        (used[1], SessionAge.STALE),
        (used[0], SessionAge.STALE),
    ] == [(each.id, each.state) for each in (*page.items, *rest.items)]
    await turn(two, used[0], "again")
    assert (await two.client.session(used[0])).state == SessionAge.ACTIVE
    assert (await two.client.sessions(subscription_id="sub2")).items == ()


GAP = Rebalancing(interval_seconds=60, cost_gap_usd=Decimal(1), most_per_cycle=2)


async def _costly_sessions(pool: LocalPool, count: int) -> list[str]:
    pool.runner.scripts["sub1"] = [completed(cost_usd="2") for _ in range(count)]
    made = [(await runs_at(pool, "sub1", f"s{n}")).session_id for n in range(count)]
    await until(lambda: _knows_the_cost(pool))
    return made


async def _knows_the_cost(pool: LocalPool) -> bool:
    return (await pool.client.subscription("sub1")).current_block.cost_usd > 0


async def test_idle_sessions_are_spread_a_few_at_a_time_and_only_by_name_until_they_are_used(
    two: LocalPool,
) -> None:
    made = await _costly_sessions(two, 3)
    await later(two, timedelta(minutes=10))

    await two.router._sessions.spread(GAP)

    homes = [await two.client.session(each) for each in made]
    moved = [each for each in homes if each.subscription_id == "sub2"]
    assert len(moved) == 2
    assert {("sub1", ())} == {(each.fetch_from, each.moves) for each in moved}
    assert not any(subscription == "sub2" for subscription, _ in two.runner.sessions)
    again = await turn(two, moved[0].id, "again")
    assert again.subscription_id == "sub2"
    assert len(history(two, "sub2", moved[0].id)) == 2
    assert len((await two.client.session(moved[0].id)).moves) == 1


async def test_sessions_in_use_are_not_spread(two: LocalPool) -> None:
    made = await _costly_sessions(two, 2)

    await two.router._sessions.spread(GAP)

    assert [await lives_at(two, each) for each in made] == ["sub1", "sub1"]


async def test_a_session_whose_turn_runs_for_long_is_not_spread(
    two: LocalPool, runner: FakeRunner
) -> None:
    (session_id,) = await _costly_sessions(two, 1)
    runner.hold = True
    running = asyncio.create_task(turn(two, session_id, "long"))
    await runner.wait_for_runs(2)
    await later(two, timedelta(minutes=10))

    await two.router._sessions.spread(GAP)
    runner.runs[1].end()
    await running

    assert await lives_at(two, session_id) == "sub1"


async def test_a_session_is_forgotten_everywhere(two: LocalPool, runner: FakeRunner) -> None:
    first = await runs_at(two, "sub1")
    other = await runs_at(two, "sub1")
    await stop_for(two, "sub1")
    await turn(two, first.session_id, "two")
    assert {"sub1", "sub2"} == {
        subscription for subscription, id_ in runner.sessions if id_ == first.session_id
    }

    await two.client.forget_session(first.session_id)

    assert not any(id_ == first.session_id for _, id_ in runner.sessions)
    assert ("sub1", other.session_id) in runner.sessions
    with pytest.raises(NotFound):
        await turn(two, first.session_id, "three")
    with pytest.raises(NotFound):
        await two.client.forget_session(first.session_id)


async def test_a_session_at_work_is_not_forgotten(two: LocalPool, runner: FakeRunner) -> None:
    first = await runs_at(two, "sub1")
    runner.hold = True
    running = asyncio.create_task(turn(two, first.session_id, "two"))
    await runner.wait_for_runs(2)

    with pytest.raises(Conflict, match="at work"):
        await two.client.forget_session(first.session_id)
    runner.runs[1].end()
    await running

    assert ("sub1", first.session_id) in runner.sessions


async def test_what_a_session_cost_is_counted_where_each_turn_ran(
    two: LocalPool, runner: FakeRunner
) -> None:
    runner.scripts["sub1"] = [completed(cost_usd="0.1"), failed(FailureKind.OVERLOADED, usage_of())]
    first = await runs_at(two, "sub1")

    await turn(two, first.session_id, "two")

    costs = [
        (id_, str((await two.client.usage(id_)).items[0].usage.cost_usd))
        for id_ in ("sub1", "sub2")
    ]
    assert costs == [("sub1", "0.0006"), ("sub2", "0.0006")]
