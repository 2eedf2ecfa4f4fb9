"""Two routers on one directory, in every order that a seed draws: the real cores of the routers and
the real directory, with subscriptions of the bare rules (a ledger that knows its owner, lives, and
the real ``Refusals``).

Every call between them waits for its turn, twice: on its way there and on its way back. A schedule
lets one go at a time, when nothing else moves. So calls arrive late, answers are lost with a life,
and a life that was overtaken may still answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

from actors.interfaces.messages import (
    Dispatch,
    HandedOff,
    HandoffRequest,
    NotAdmitted,
    NotTaken,
    Started,
)
from actors.router.dispatching.dispatcher import Dispatcher
from actors.router.dispatching.settings import DispatchSettings
from actors.router.keys.callers import NOBODY
from actors.router.keys.key_registry import KeyRegistry
from actors.subscription.refusals import Refusals
from pool.errors import NotFound, PoolError
from pool.executions.execution import Execution, shown
from pool.executions.intent import Intent
from pool.executions.request import ExecutionRequest
from pool.executions.row import ExecutionRow
from pool.executions.status import ExecutionStatus
from pool.storage.directory.directory import Directory
from pool.subscriptions.admission import Refusal, RefusalCause
from pool.subscriptions.consequences.standing import Standing
from pool.subscriptions.report import Report
from tests.support.values.examples import NOON, SONNET
from tests.support.values.manual_clock import ManualClock
from tests.support.values.reports import report_at, state

STEPPED = {"locate", "claim", "place", "session_home", "move_session"}
TURNS = 12
"""Of the loop, after which everything that is not waiting has come to wait."""
CLOSED = Refusal(cause=RefusalCause.PAUSED, detail="closed")
ANEW = Refusal(cause=RefusalCause.BUSY, detail="place it anew")
SETTINGS = DispatchSettings(default_model=SONNET, timeout_seconds=60)


class Overtaken(Exception):
    """A life ends as it finds that another one has its ledger."""


class Schedule:
    """Calls that wait for their turn."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.waiting: list[asyncio.Future[None]] = []
        self.busy = 0
        """Calls of the store that are under way."""

    async def turn(self) -> None:
        waiting = asyncio.get_running_loop().create_future()
        self.waiting.append(waiting)
        await waiting

    async def settled(self) -> None:
        """Until nothing moves by itself any more."""
        for _ in range(TURNS):
            await asyncio.sleep(0)
            while self.busy:
                await asyncio.sleep(0.0002)

    async def step(self) -> None:
        """Let one go on."""
        chosen = self.waiting.pop(self.random.randrange(len(self.waiting)))
        if not chosen.done():
            chosen.set_result(None)
        await self.settled()


class SteppedDirectory:
    def __init__(self, directory: Directory, schedule: Schedule) -> None:
        self._directory = directory
        self._schedule = schedule

    def __getattr__(self, name: str) -> Any:
        whole = getattr(self._directory, name)
        if name not in STEPPED:
            return whole

        async def call(*args: Any, **named: Any) -> Any:
            await self._schedule.turn()
            self._schedule.busy += 1
            try:
                answer = await whole(*args, **named)
            finally:
                self._schedule.busy -= 1
            await self._schedule.turn()
            return answer

        return call


@dataclass
class Owner:
    """A subscription, through all its lives."""

    id: str
    schedule: Schedule
    is_open: bool = True
    rows: dict[str, ExecutionRow] = field(default_factory=dict)
    """Its ledger."""
    lives: list[Life] = field(default_factory=list)

    @property
    def life(self) -> Life:
        return self.lives[-1]

    def begins_anew(self, *, as_zombie: bool) -> None:
        """Its next life; the one before dies, or goes on without knowing better."""
        if self.lives:
            self.life.is_dead = not as_zombie
        self.lives.append(Life(self, len(self.lives) + 1))

    def held(self) -> list[str]:
        """What it runs, or would run."""
        moves = {ExecutionStatus.MOVING, ExecutionStatus.MOVED}
        return [id_ for id_, row in self.rows.items() if row.status not in moves]

    def becomes(self, id_: str, status: ExecutionStatus, placement: int | None = None) -> None:
        row = self.rows[id_]
        intent = row.intent
        if placement is not None:
            intent = intent.model_copy(update={"placement": placement})
        self.rows[id_] = row.model_copy(update={"status": status, "intent": intent})


class Life:
    """One activation of an owner."""

    def __init__(self, owner: Owner, epoch: int) -> None:
        self.owner = owner
        self.epoch = epoch
        self.is_dead = False
        self._refusals = Refusals(epoch)

    def report(self) -> Report:
        standing = Standing(paused=not self.owner.is_open)
        shown = report_at(state(self.owner.id, standing=standing, max_concurrent=9))
        return shown.model_copy(update={"epoch": self.epoch})

    def start(self, intent: Intent) -> Started | NotAdmitted:
        known = self.owner.rows.get(intent.execution_id)
        if known is not None:
            return self._started(known)
        if self._refusals.is_for_a_later_activation(intent):
            self._check_is_owner()
        if self._refusals.has_refused(intent):
            return self._refused(intent, ANEW)
        if not self.owner.is_open:
            return self._refused(intent, CLOSED)
        self._check_is_owner()
        row = ExecutionRow(intent=intent, status=ExecutionStatus.RUNNING)
        self.owner.rows[intent.execution_id] = row
        return self._started(row)

    def _check_is_owner(self) -> None:
        if self.owner.life is not self:
            self.is_dead = True
            raise Overtaken

    def _started(self, row: ExecutionRow) -> Started:
        return Started(execution=shown(self.owner.id, row), report=self.report())

    def _refused(self, intent: Intent, why: Refusal) -> NotAdmitted:
        self._refusals.note(intent)
        return NotAdmitted(refusal=why, report=self.report())


class Proxy:
    """An owner as one router reaches it: it asks the life that it knows until that is gone."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._life = owner.life

    async def start(self, intent: Intent, *, may_wait: bool = True) -> Started | NotAdmitted:
        del may_wait
        while True:
            await self._owner.schedule.turn()
            life = self._life
            try:
                if not life.is_dead:
                    answer = life.start(intent)
                    await self._owner.schedule.turn()
                    if not life.is_dead:
                        return answer
            except Overtaken:
                pass
            self._life = self._owner.life

    async def result(self, id_: str, wait_seconds: float = 0) -> Execution:
        del wait_seconds
        await self._owner.schedule.turn()
        row = self._owner.rows.get(id_)
        if row is None:
            raise NotFound("execution", id_)
        return shown(self._owner.id, row)


class Heard:
    """The reports that a router has, and takes from answers alone."""

    def __init__(self, owners: Iterable[Owner]) -> None:
        self._reports = {each.id: each.life.report() for each in owners}
        self.known = self.followed = frozenset(self._reports)
        self.resting: frozenset[str] = frozenset()
        self.unusable: frozenset[str] = frozenset()
        self._readers: list[Any] = []

    def add_reader(self, reader: Any) -> None:
        self._readers.append(reader)
        for report in self._reports.values():
            reader.heard(report)

    def known_report(self, id_: str) -> Report | None:
        return self._reports.get(id_)

    def remember(self, report: Report) -> None:
        if report.epoch >= self._reports[report.id].epoch:
            self._reports[report.id] = report
            for reader in self._readers:
                reader.heard(report)

    def sent(self, id_: str, more: int) -> None: ...

    async def await_any(self) -> None: ...
    async def await_all(self) -> None: ...
    async def await_one(self, ids: object) -> None: ...
    async def await_enough(self, is_enough: object) -> None: ...


class RouterCore:
    """A router's dispatcher, with what it alone knows."""

    def __init__(self, directory: Directory, owners: dict[str, Owner], schedule: Schedule) -> None:
        proxies = {id_: Proxy(owner) for id_, owner in owners.items()}
        peers = cast(Any, type("Peers", (), {"subscription": lambda _, id_: proxies[id_]})())
        clock = ManualClock()
        stepped = cast(Any, SteppedDirectory(directory, schedule))
        keys = KeyRegistry(stepped, peers, [], SONNET, clock)
        self.heard = Heard(owners.values())
        heard, unused = cast(Any, self.heard), cast(Any, None)
        self._dispatcher = Dispatcher(
            *(stepped, peers, heard, keys, unused, unused), settings=SETTINGS, clock=clock
        )

    async def dispatch(self, id_: str) -> None:
        """As a caller has it dispatched; what is refused is no matter here."""
        request = ExecutionRequest(prompt="q")
        asked = Dispatch(execution_id=id_, request=request, idempotency_key=id_, created_at=NOON)
        try:
            await self._dispatcher.dispatch(asked, NOBODY)
        except PoolError:
            return

    async def hand_off(self, owner: Owner, id_: str, tries: dict[str, int]) -> None:
        """As the life of an owner hands an execution on. Only its last try counts: an answer to an
        earlier one goes nowhere.
        """
        tries[id_] = mine = tries.get(id_, 0) + 1
        row = owner.rows[id_]
        handoff = HandoffRequest(
            subscription_id=owner.id,
            intent=row.intent,
            attempts=(),
            why=CLOSED,
            report=owner.life.report(),
            may_wait=True,
        )
        answer = await self._dispatcher.hand_off(handoff)
        await owner.schedule.turn()
        if tries[id_] != mine or owner.rows[id_].status is not ExecutionStatus.MOVING:
            return
        match answer:
            case HandedOff():
                owner.becomes(id_, ExecutionStatus.MOVED)
            case NotTaken(placement=placement):
                owner.becomes(id_, ExecutionStatus.QUEUED, placement)


@dataclass
class TwoRouters:
    """Two routers, three subscriptions, one execution, and what befalls them."""

    directory: Directory
    seed: int
    most_events: int = 14
    told: list[str] = field(default_factory=list)
    """What happened, for whoever looks at a seed that failed."""

    async def run(self) -> list[list[str]]:
        """Who had the execution at once, at each moment at which anybody had it."""
        random = Random(self.seed)
        schedule, id_ = Schedule(random), f"e{self.seed}"
        owners = {f"sub{n}": Owner(f"sub{n}", schedule) for n in (1, 2, 3)}
        for owner in owners.values():
            owner.begins_anew(as_zombie=False)
        routers = [RouterCore(self.directory, owners, schedule) for _ in range(2)]
        tasks: list[asyncio.Task[None]] = []
        tries: dict[str, int] = {}
        seen = []
        left = self.most_events
        while left or schedule.waiting:
            if left and (not schedule.waiting or random.random() < 0.3):
                left -= 1
                event = self._event(random, owners, routers, id_, tries)
                if event is not None:
                    tasks.append(asyncio.create_task(event))
                await schedule.settled()
            else:
                await schedule.step()
            seen.append([each.id for each in owners.values() if each.held()])
        await asyncio.gather(*tasks)
        return [each for each in seen if each]

    def _event(
        self,
        random: Random,
        owners: dict[str, Owner],
        routers: list[RouterCore],
        id_: str,
        tries: dict[str, int],
    ) -> Any:
        router, owner = random.choice(routers), random.choice(list(owners.values()))
        which, row = random.randrange(9), owner.rows.get(id_)
        self.told.append(f"{which} router {routers.index(router)} {owner.id}")
        if which < 3:
            return router.dispatch(id_)
        if which < 5:
            owner.is_open = not owner.is_open
        elif which == 5:
            owner.begins_anew(as_zombie=random.random() < 0.5)
        elif which == 6:
            router.heard.remember(owner.life.report())
        elif row is not None and row.status is not ExecutionStatus.MOVED:
            owner.becomes(id_, ExecutionStatus.MOVING)
            return router.hand_off(owner, id_, tries)
        return None
