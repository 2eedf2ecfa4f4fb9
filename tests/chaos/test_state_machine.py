"""The subscription against a model, over all orders of events that hypothesis thinks of.

The real Subscription and the real SQLite, with runs that the machine ends when it likes and a clock
that jumps. An activation may die at any of its calls to ledger and runner, before the call or
after it, when nobody hears the answer any more; then the next one takes up what is on the disk.
After every step the ledger agrees with itself, with the model, and with what is shown. Nothing
happens by the time of the world, so that the same steps are the same case again.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.aiokit import end
from actors.interfaces.messages import NotAdmitted, Started
from actors.subscription.context import Dependencies
from actors.subscription.subscription import Subscription
from pool.claude.launch.launch_spec import Launch
from pool.errors import StoreError
from pool.executions.outcome import Failed, FailureKind, Outcome
from pool.executions.row import ExecutionRow
from pool.executions.status import ExecutionStatus
from pool.limits.windows import RateLimitEvent
from pool.storage.sqlite import SqliteStores
from pool.storage.sqlite.connection import abandon
from pool.subscriptions.reporting import SubscriptionPolicy
from pool.subscriptions.spec import SubscriptionSpec
from pool.subscriptions.state import REMEMBERED
from pool.usage.records import UsageRecord
from pool.usage.spending import WEEK
from tests.support.chaos.invariants import check_caches, check_slots, checked_ledger
from tests.support.chaos.one_subscription import execution_id, full, intent, session_id
from tests.support.chaos.tally import tally
from tests.support.clis.fake_runner import FakeRun, FakeRunner
from tests.support.pools.local_peers import LonelyPeers
from tests.support.values.examples import completed, spec, usage_of
from tests.support.values.manual_clock import ManualClock

SPEC: SubscriptionSpec = spec("sub1", max_concurrent=2, max_queued=3, weekly_budget_usd=5)
POLICY = SubscriptionPolicy()
STEPS = ("begin", "update", "settle", "record", "start")
"""What an activation may die at: calls of the ledger, and the start of a run."""
BACK_AT_MOST = REMEMBERED - WEEK
"""How far a clock may be set back while a subscription lives, and nothing is forgotten."""

ENDS_WITHOUT_A_RUN = {FailureKind.CANCELLED, FailureKind.QUEUE_TIMEOUT}


class _Death:
    """The end of an activation, which is to come at one of its calls."""

    def __init__(self) -> None:
        self.at: tuple[str, str] | None = None
        self.came = asyncio.Event()
        self.calls = 0
        """Calls that are under way."""

    async def passes(self, step: str, when: str) -> None:
        if self.at == (step, when) or self.came.is_set():
            self.came.set()
            self.calls -= 1
            await asyncio.Event().wait()


class _AtOnce(ThreadPoolExecutor):
    """Does in the caller's thread what is given to a thread: nothing is under way unseen."""

    def submit(self, work: Any, /, *args: Any, **named: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(work(*args, **named))
        except Exception as error:  # noqa: BLE001 - whoever awaits it is told
            done.set_exception(error)
        return done


_WAITS = {"until_lost"}
"""What is called to wait for something that may never come: nothing is under way meanwhile."""


class _Mortal:
    """Something whose caller may die at a call of it."""

    def __init__(self, real: Any, death: _Death) -> None:
        self._real = real
        self._death = death

    def __getattr__(self, name: str) -> Any:
        known = getattr(self._real, name)
        if name in _WAITS or not asyncio.iscoroutinefunction(known):
            return known

        async def call(*args: Any, **named: Any) -> Any:
            self._death.calls += 1
            await self._death.passes(name, "before")
            try:
                answer = await known(*args, **named)
            except BaseException:
                self._death.calls -= 1
                raise
            await self._death.passes(name, "after")
            self._death.calls -= 1
            return answer

        return call


@dataclass
class LiveExecutions(FakeRunner):
    """Runs that outlive activations. It counts starts; and, as the real one, starts no id twice."""

    starts: Counter[str] = field(default_factory=Counter)

    async def start(self, launch: Launch, environment: Mapping[str, str]) -> FakeRun:
        known = self.find(launch)
        if known is not None:
            return known
        self.starts[launch.run_id] += 1
        return await super().start(launch, environment)


@dataclass
class DialectRequest:
    """What the model knows of an execution."""

    number: int
    cancelled: bool = False
    outcome: Outcome | None = None


class Machine(RuleBasedStateMachine):
    figures: ClassVar[Counter[str]] = Counter()
    """Deaths, and those after which everything agreed."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = pytest.MonkeyPatch()
        self.patches.setattr(
            "actors.subscription.executions.queue.TEND_SECONDS", 86400
        )  # the machine tends
        self.patches.setattr("actors.subscription.executions.handoff.ASK_AGAIN_SECONDS", 0)
        self.loop = asyncio.new_event_loop()
        self.loop.set_default_executor(_AtOnce(max_workers=1))
        self.folder = Path(tempfile.mkdtemp(prefix="chaos-"))
        self.clock = ManualClock()
        self.latest = self.clock.now
        self.asked: dict[int, DialectRequest] = {}
        self.spent: list[tuple[datetime, int]] = []
        self.outside: set[int] = set()
        self.left: list[StoreError] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.epochs = 0
        self.held: dict[str, int] = {}
        """What each execution had reserved after the last step, and what was spent by then."""
        self.used_usd = Decimal(0)

    # -- life and death --------------------------------------------------------------------------

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, 30))

    @initialize()
    def first_activation(self) -> None:
        self.do(self._begin())

    async def _begin(self) -> None:
        if not hasattr(self, "runs"):
            self.runs = LiveExecutions(hold=True)
        self.death = _Death()
        self.ledger = await SqliteStores(self.folder).open_ledger("sub1")
        self.epochs += 1
        assert self.ledger.epoch > self.epochs - 1
        around = Dependencies(
            runner=_Mortal(self.runs, self.death),
            environment=lambda _: {},
            clock=self.clock,
            actors=LonelyPeers(),
            leave=self.left.append,
            policy=POLICY,
            system_prompt="You are terse.",
            retention=timedelta(days=3650),
        )
        mortal = _Mortal(self.ledger, self.death)
        self.subscription = await Subscription.activate(SPEC, mortal, around)
        self.latest = self.clock.now
        await self._quiet()

    async def _quiet(self) -> None:
        """Wait until nothing is under way but runs, and what waits for the clock of the world."""
        still = 0
        while still < 5:
            await asyncio.sleep(0)
            still = 0 if self.death.calls else still + 1

    async def _die(self) -> None:
        """Everything in memory is gone; the store is left as kill -9 leaves it."""
        self.figures["faults"] += 1
        await self.subscription._context._tasks.close()
        await end(self.tasks)
        self.tasks.clear()
        commits: Any = self.ledger._database._commits
        if not self.ledger.is_lost:
            await commits.read(abandon)
        await self.ledger.close()

    async def _until_death(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do something; where the activation dies meanwhile, begin the next one, and None."""
        task = asyncio.create_task(work)
        self.tasks.append(task)
        dying = asyncio.create_task(self.death.came.wait())
        await asyncio.wait({task, dying}, return_when=asyncio.FIRST_COMPLETED)
        if not self.death.came.is_set():
            await self._quiet()
        dying.cancel()
        if self.death.came.is_set():
            await self._die()
            await self._begin()
            return None
        self.death.at = None
        return task.result()

    def attempt(self, work: Coroutine[Any, Any, Any], at: tuple[str, str] | None) -> Any:
        self.death.at = at
        return self.do(self._until_death(work))

    deaths = st.none() | st.tuples(st.sampled_from(STEPS), st.sampled_from(("before", "after")))

    # -- what happens ----------------------------------------------------------------------------

    @rule(
        number=st.integers(1, 12),
        turn_of=st.none() | st.integers(1, 3),
        budget=st.none() | st.sampled_from(("0.5", "2")),
        at=deaths,
    )
    def submit(
        self, number: int, turn_of: int | None, budget: str | None, at: tuple[str, str] | None
    ) -> None:
        """A new execution, or one that was asked for before."""
        session = session_id(turn_of or number)
        request = {"prompt": "q"} | ({"max_budget_usd": budget} if budget else {})
        wanted = intent(number, session_id=session, request=request)

        answer = self.attempt(self.subscription.start(wanted), at)

        if isinstance(answer, Started):
            self.asked.setdefault(number, DialectRequest(number))
        elif isinstance(answer, NotAdmitted):
            assert number not in self.asked, f"{number} was taken, and is refused"
        elif number not in self.asked and self._kept(number) is not None:
            self.asked[number] = DialectRequest(number)  # nobody was told, and it is there

    def _report(self) -> Any:
        return self.subscription._context.report()

    def _kept(self, number: int) -> ExecutionRow | None:
        return self.do(self.ledger.execution(execution_id(number)))

    @property
    def open_runs(self) -> list[FakeRun]:
        return [run for run in self.runs.runs if not run.ending.done()]

    @precondition(lambda self: self.open_runs)
    @rule(
        which=st.integers(0, 10),
        how=st.sampled_from(("answers", "fails", "limit", "unknown")),
        at=deaths,
    )
    def run_ends(self, which: int, how: str, at: tuple[str, str] | None) -> None:
        run = self.open_runs[which % len(self.open_runs)]
        outcome = self._outcome(how)
        self.asked[int(run.run_id[-6:])].outcome = outcome
        self.attempt(self._end(run, outcome), at)

    async def _end(self, run: FakeRun, outcome: Outcome) -> None:
        run.end(outcome)
        await self.subscription.result(run.run_id, 5)

    def _outcome(self, how: str) -> Outcome:
        match how:
            case "answers":
                return completed(cost_usd="0.7")
            case "fails":
                message = "too many"
                return Failed(kind=FailureKind.MAX_TURNS, message=message, usage=usage_of("0.3"))
            case "unknown":
                return Failed(kind=FailureKind.KILLED, message="killed", evidence=False)
            case _:
                resets_at = self.clock.now + timedelta(hours=2)
                event = RateLimitEvent(
                    observed_at=self.clock.now,
                    status="rejected",
                    type="five_hour",
                    resets_at=resets_at,
                )
                return Failed(kind=FailureKind.USAGE_LIMIT, message="limit", limits=(event,))

    @precondition(lambda self: self.asked)
    @rule(which=st.integers(0, 20), at=deaths)
    def cancel(self, which: int, at: tuple[str, str] | None) -> None:
        asked = sorted(self.asked)
        number = asked[which % len(asked)]
        self.attempt(self.subscription.cancel(execution_id(number)), at)

    @rule(number=st.integers(1, 4), at=deaths)
    def usage_from_outside(self, number: int, at: tuple[str, str] | None) -> None:
        record = UsageRecord(
            id=f"outside-{number}",
            subscription_id="sub1",
            timestamp=self.clock.now,
            usage=usage_of("0.2"),
        )
        self.attempt(self.subscription.record(record), at)

    @rule(hours=st.integers(-12, 40), at=deaths)
    def clock_jumps(self, hours: int, at: tuple[str, str] | None) -> None:
        """And what waits is looked after, as it is all the time."""
        to = self.clock.now + timedelta(hours=hours)
        self.clock.now = max(to, self.latest - BACK_AT_MOST + timedelta(hours=1))
        self.latest = max(self.latest, self.clock.now)
        self.attempt(self._tend(), at)

    async def _tend(self) -> None:
        self.subscription._executions.start_waiting()

    @rule()
    def crash(self) -> None:
        async def crash() -> None:
            await self._die()
            await self._begin()

        self.do(crash())

    @rule(which=st.sampled_from(("record", "start")))
    def takeover(self, which: str) -> None:
        """Somebody raises the epoch behind its back: the next write is refused, and it leaves."""

        async def overtaken() -> None:
            commits: Any = self.ledger._database._commits
            raise_epoch = "UPDATE owner SET epoch = epoch + 1"
            await commits.read(lambda db: db.execute(raise_epoch).fetchall())
            stale = UsageRecord(
                id="stale", subscription_id="sub1", timestamp=self.clock.now, usage=usage_of("9")
            )
            with pytest.raises(StoreError):
                await (
                    self.ledger.record(stale)
                    if which == "record"
                    else self.ledger.stand(self.subscription._context.state.standing)
                )
            await self._die()
            await self._begin()

        self.do(overtaken())

    # -- what must be so -------------------------------------------------------------------------

    @invariant()
    def everything_agrees(self) -> None:
        if not hasattr(self, "subscription"):
            return
        self.do(self._quiet())
        found = self.do(checked_ledger(self.ledger, self.clock.now - REMEMBERED))

        assert max(self.runs.starts.values(), default=0) <= 1, self.runs.starts
        for number, asked in self.asked.items():
            row = found.execution(number)
            assert row is not None, f"{number} was acknowledged, and nobody knows it"
            self._agrees(row, asked)
        known = {int(row.intent.execution_id[-6:]) for row in found.executions}
        assert known == set(self.asked), "there is an execution that nobody asked for"
        check_slots(self.subscription, found)
        self._reserves_what_is_there()
        check_caches(self.subscription, found.recovery, self.clock.now, POLICY)
        for run in self.runs.runs:
            if run.discarded:
                row = found.execution(int(run.run_id[-6:]))
                assert row is not None
                assert row.status.is_final, f"{run.run_id} was thrown away before it was settled"
        self.figures["survived"] = self.figures["faults"]

    def _reserves_what_is_there(self) -> None:
        """G6: whoever reserves, when it is admitted or when it starts, finds room for it; beside
        what was spent by then, for what a run costs may come later in the same step.
        """
        slots, weekly = self.subscription._context.state.slots, self._report().weekly
        holds = {**slots.running, **slots.waiting}
        held = {id_: hold.reserved_nano_usd for id_, hold in holds.items()}
        more = [id_ for id_, amount in held.items() if amount > self.held.get(id_, 0)]
        used_usd = min(self.used_usd, weekly.used_usd)
        assert not more or used_usd + weekly.reserved_usd <= weekly.budget_usd, (
            f"{more} reserved beyond the budget: used {used_usd} + reserved {weekly.reserved_usd} "
            f"of {weekly.budget_usd} USD"
        )
        self.held, self.used_usd = held, weekly.used_usd

    def _agrees(self, row: ExecutionRow, asked: DialectRequest) -> None:
        run = next((r for r in self.runs.runs if r.run_id == row.intent.execution_id), None)
        if run is None:
            why = row.outcome.kind if isinstance(row.outcome, Failed) else None
            assert not row.status.is_final or why in ENDS_WITHOUT_A_RUN, "it ended and never ran"
            return
        if not run.ending.done():
            assert row.status is ExecutionStatus.RUNNING, f"it runs, and stands as {row.status}"
            return
        outcome = run.ending.result()
        assert row.status.is_final, "it has ended, and nobody knows it"
        assert row.outcome is not None
        assert row.outcome.usage == outcome.usage, "its cost is another"

    def teardown(self) -> None:
        if hasattr(self, "subscription"):
            self.do(self._die())
            self.figures["faults"] -= 1  # the end of the test is no fault
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()
        self.patches.undo()
        shutil.rmtree(self.folder, ignore_errors=True)


Machine.TestCase.settings = settings(
    max_examples=full(30, 500),
    stateful_step_count=full(25, 50),
    deadline=None,
    derandomize=full(1, 0) == 1,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)


@pytest.mark.timeout(full(120, 1800))
class TestASubscriptionAgainstItsModel(Machine.TestCase):
    """See ``Machine``."""

    @classmethod
    def tearDownClass(cls) -> None:
        tally(Machine.figures)


def test_a_turn_behind_its_session_reserves_no_more_than_the_budget_has_room_for() -> None:
    """The smallest case that was found: 6 USD were held against a budget of 5."""
    machine = Machine()
    try:
        machine.first_activation()
        machine.takeover("record")
        machine.submit(1, turn_of=1, budget=None, at=("begin", "before"))
        machine.submit(11, turn_of=None, budget="2", at=None)
        for _ in range(3):
            machine.takeover("record")
        machine.submit(12, turn_of=1, budget="2", at=None)
        machine.everything_agrees()
        machine.submit(1, turn_of=None, budget="2", at=None)
        machine.everything_agrees()

        assert machine._report().weekly.reserved_usd == 4
        assert sorted(machine.asked) == [1, 11, 12]
    finally:
        machine.teardown()
