"""A run whose subscription came up on another node than the one that it was started on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from actors.interfaces.other_nodes import RunElsewhere, RunState
from actors.interfaces.protocols import Actors
from actors.router.router import Router
from actors.subscription.context import Dependencies
from actors.subscription.executions import run_elsewhere
from actors.subscription.subscription import Subscription
from pool.claude.launch.launch_spec import Launch
from pool.claude.transcripts.copy import SessionCopy, SessionFile
from pool.errors import ActorLost
from pool.executions.outcome import Failed, FailureKind
from pool.executions.process_way import ProcessWay
from pool.executions.status import ExecutionStatus
from pool.storage.sqlite import SqliteStores
from pool.usage.records import Usage
from tests.support.chaos.one_subscription import execution_id, intent
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.local_peers import LonelyPeers
from tests.support.pools.pool_requests import failed
from tests.support.suite.waiting import until
from tests.support.values.examples import POLICY, completed, spec, usage_of
from tests.support.values.manual_clock import ManualClock

pytestmark = pytest.mark.timeout(20)

ONE = execution_id(1)


class OldNode:
    """Answers what it is told to; out of reach until then."""

    def __init__(self) -> None:
        self.answer: RunElsewhere | None = None
        self.asked = asyncio.Event()
        self.stopped = False
        self.discarded: list[str] = []
        self.transcript: bytes | None = None

    async def ask(self, node: str, place: str, launch: Launch, *, stops: bool) -> RunElsewhere:
        assert (node, bool(place)) == ("node-1", True)
        self.stopped = self.stopped or stops
        self.asked.set()
        await asyncio.sleep(0)
        if self.answer is None:
            raise ActorLost(node, "it is off")
        return self.answer

    async def discard(self, _: str, launch: Launch) -> None:
        self.discarded.append(launch.run_id)

    async def session_copy(self, node: str, config_dir: str, session_id: str) -> SessionCopy:
        if self.transcript is None:
            raise ActorLost(node, "it is off")
        file = SessionFile(path=f"p/{session_id}.jsonl", data=self.transcript, sha256="0" * 64)
        return SessionCopy(session_id=session_id, files=(file,))

    def says(self, state: RunState, outcome: Any = None, later: Usage | None = None) -> None:
        self.answer = RunElsewhere(state=state, way=ProcessWay.COLD, outcome=outcome, later=later)


class NoRouter(LonelyPeers):
    """For a subscription alone, while there is no router either."""

    def router(self) -> Router:
        raise ActorLost("router", "it was killed")


class Moving:
    """A subscription that runs something on one node, and then is on another one."""

    def __init__(self, folder: Path) -> None:
        self.stores = SqliteStores(folder)
        self.clock = ManualClock()
        self.old = OldNode()
        self.actors: Actors = LonelyPeers()
        self.runners: list[FakeRunner] = []

    async def activate(self, node: str, *nodes_here: str) -> Subscription:
        runner = FakeRunner(hold=True)
        self.runners.append(runner)
        around = Dependencies(
            runner=runner,
            environment=lambda _: {"CLAUDE_CONFIG_DIR": "/home/pool/.claude"},
            clock=self.clock,
            actors=self.actors,
            leave=lambda _: None,
            policy=POLICY,
            system_prompt="You are terse.",
            retention=timedelta(days=35),
            node=node,
            nodes_here=frozenset(nodes_here),
            other_nodes=self.old,
        )
        ledger = await self.stores.open_ledger("sub1")
        return await Subscription.activate(spec(max_concurrent=1), ledger, around)


@pytest.fixture
async def moving(tmp_path: Path) -> Moving:
    return Moving(tmp_path)


@pytest.fixture
async def moved(moving: Moving, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Subscription]:
    """It is on node 2, and its run is on node 1."""
    monkeypatch.setattr(run_elsewhere, "RETRY_SECONDS", 0.01)
    before = await moving.activate("node-1")
    await before.start(intent(1))
    await before.close()
    after = await moving.activate("node-2")
    yield after
    await after.close()


async def report_of(subscription: Subscription) -> Any:
    return await subscription.next_report(-1, -1, 0)


async def ended(subscription: Subscription, id_: str = ONE) -> Any:
    return await subscription.result(id_, 10)


async def test_while_its_node_is_away_it_holds_its_slot(
    moving: Moving, moved: Subscription
) -> None:
    await moving.old.asked.wait()

    held = await report_of(moved)
    second = await moved.start(intent(2))

    assert (held.running, held.node) == (1, "node-2")
    assert second.execution.status is ExecutionStatus.QUEUED  # type: ignore[union-attr]
    assert moving.runners[1].runs == []


async def test_when_its_node_is_back_it_ends_as_it_did_there(
    moving: Moving, moved: Subscription
) -> None:
    await moving.old.asked.wait()
    moving.old.says(RunState.RUNS)
    await asyncio.sleep(0.05)
    assert (await report_of(moved)).running == 1

    moving.old.says(RunState.ENDED, completed("from afar"))
    execution = await ended(moved)

    assert (execution.status, execution.result) == (ExecutionStatus.SUCCEEDED, "from afar")
    assert [each.node for each in execution.attempts] == ["node-1"]
    assert (await report_of(moved)).running == 0
    await until(lambda: moving.old.discarded == [ONE])


async def test_its_slot_is_free_at_its_deadline_and_not_before(
    moving: Moving, moved: Subscription
) -> None:
    await moving.old.asked.wait()
    moving.clock.advance(timedelta(seconds=intent(1).timeout_seconds))
    await asyncio.sleep(0.05)
    assert (await report_of(moved)).running == 1

    moving.clock.advance(run_elsewhere.GRACE)
    execution = await ended(moved)

    assert execution.status is ExecutionStatus.UNCERTAIN
    assert "node-1 could not be reached until its deadline" in execution.error.message


async def test_one_that_its_node_has_never_run_is_started_here(
    moving: Moving, moved: Subscription
) -> None:
    moving.old.says(RunState.NEVER_RAN)
    await until(lambda: bool(moving.runners[1].runs))

    moving.runners[1].runs[0].end()
    execution = await ended(moved)

    assert execution.status is ExecutionStatus.SUCCEEDED
    assert [each.node for each in execution.attempts] == ["node-2"]


async def test_one_that_went_with_its_machine_is_uncertain(
    moving: Moving, moved: Subscription
) -> None:
    moving.old.says(RunState.LOST)

    execution = await ended(moved)

    assert execution.status is ExecutionStatus.UNCERTAIN
    assert "was started anew" in execution.error.message


async def test_a_cancellation_reaches_its_node(moving: Moving, moved: Subscription) -> None:
    await moving.old.asked.wait()
    cancelling = asyncio.create_task(moved.cancel(ONE))
    while not moving.old.stopped:
        await asyncio.sleep(0.01)
    interrupted = Failed(kind=FailureKind.INTERRUPTED, message="stopped")
    moving.old.says(RunState.ENDED, interrupted)

    assert (await cancelling).status is ExecutionStatus.CANCELLED


@pytest.mark.usefixtures("impatient")
async def test_what_one_that_was_being_handed_on_was_charged_last_is_counted_and_its_files_go(
    moving: Moving,
) -> None:
    moving.actors = NoRouter()
    before = await moving.activate("node-1")
    await before.start(intent(1))
    moving.runners[0].runs[0].end(failed(FailureKind.OVERLOADED, usage_of("0.0002")))
    await until(lambda: before._executions.get(ONE).row.status is ExecutionStatus.MOVING)
    await before.close()
    moving.old.says(RunState.RUNS)
    moving.actors = LonelyPeers()
    after = await moving.activate("node-2")
    assert (await ended(after)).status is ExecutionStatus.FAILED
    assert moving.old.discarded == []

    both, later = usage_of("0.0002") + usage_of("0.0004"), usage_of("0.0004")
    moving.old.says(RunState.ENDED, failed(FailureKind.OVERLOADED, both), later)
    await until(lambda: moving.old.discarded == [ONE])

    found = (await after.usage(limit=50)).items
    await after.close()
    assert sorted(each.usage.cost_nano_usd for each in found) == [200_000, 400_000]


TURN = intent(2, session_id=intent(1).session_id, resumes=True)


async def test_the_next_turn_of_a_session_brings_its_transcript_from_that_node(
    moving: Moving, moved: Subscription
) -> None:
    moving.old.says(RunState.ENDED, completed())
    await ended(moved)
    moving.old.transcript = b"what was said\n"

    await moved.start(TURN)
    await until(lambda: bool(moving.runners[1].runs))
    moving.runners[1].runs[0].end()
    execution = await ended(moved, TURN.execution_id)

    (copy,) = (each for each in moving.runners[1].sessions.values())
    assert execution.status is ExecutionStatus.SUCCEEDED
    assert copy.files[0].data == b"what was said\nquestion 2\n"

    moving.old.transcript = None  # nobody asks it any more
    third = intent(3, session_id=TURN.session_id, resumes=True)
    await moved.start(third)
    await until(lambda: len(moving.runners[1].runs) == 2)
    moving.runners[1].runs[1].end()
    assert (await ended(moved, third.execution_id)).status is ExecutionStatus.SUCCEEDED


async def test_a_turn_whose_transcript_is_out_of_reach_says_so_and_the_session_stays(
    moving: Moving, moved: Subscription
) -> None:
    moving.old.says(RunState.ENDED, completed())
    await ended(moved)

    await moved.start(TURN)
    execution = await ended(moved, TURN.execution_id)

    assert execution.error.type == FailureKind.SESSION_NOT_MOVED.value
    assert "node-1 does not answer" in execution.error.message


async def test_a_machine_that_was_exchanged_and_kept_its_disk_asks_nobody(moving: Moving) -> None:
    before = await moving.activate("node-1")
    await before.start(intent(1))
    await before.close()
    after = await moving.activate("node-2", "node-1")

    # As of one node: nothing of the run is found here, so it was never started.
    await until(lambda: bool(moving.runners[1].runs))
    moving.runners[1].runs[0].end()
    execution = await ended(after)
    await after.close()

    assert execution.status is ExecutionStatus.SUCCEEDED
    assert not moving.old.asked.is_set()
