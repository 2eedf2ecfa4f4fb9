"""The way of a request, counted: real router, subscriptions and SQLite in one process, with what
they call wrapped. And what becomes of requests that meet on that way.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest

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
from actors.router.keys.key_registry import KeyRegistry
from actors.router.router import Router
from pool.errors import Exhausted, KeyReused, TooManyAtOnce, Unavailable
from pool.executions.execution import Execution
from pool.executions.intent import Intent
from pool.executions.request import ExecutionRequest
from pool.keys.api_keys import KeySpec
from pool.storage.directory.claims import Claim, NewClaim
from pool.storage.directory.directory import Directory
from pool.subscriptions.admission import Refusal, RefusalCause
from pool.telemetry.events import EventFilter, PoolEventKind
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import NOON, SONNET, spec

OpenPool = Callable[..., Awaitable[LocalPool]]


def ask(prompt: str = "q", **of: object) -> ExecutionRequest:
    return ExecutionRequest.model_validate({"prompt": prompt} | of)


async def make_key(pool: LocalPool, **limits: Any) -> None:
    scopes = ("execute", "read", "admin")
    await pool.client.create_key(KeySpec(name="ci", scopes=scopes, **limits))


# -- counted -------------------------------------------------------------------------------------


@pytest.fixture
def commits() -> Iterator[Counter[str]]:
    """Transactions that changed something, by the store they were in, as SQLite tells of them."""
    counted: Counter[str] = Counter()

    def watch(db: apsw.Connection) -> None:
        changed = 0

        def commit() -> bool:
            nonlocal changed
            counted[Path(db.filename).stem] += db.total_changes() != changed
            changed = db.total_changes()
            return False

        db.set_commit_hook(commit)

    apsw.connection_hooks.append(watch)
    yield counted
    apsw.connection_hooks.remove(watch)


class Counted:
    """An actor or a store, with the calls that it gets."""

    def __init__(self, name: str, whole: object, calls: list[str]) -> None:
        self._name = name
        self._whole = whole
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        if name not in {"next_report", "activity"}:  # the router's followers, whoever asks for what
            self._calls.append(f"{self._name}.{name}")
        return getattr(self._whole, name)


@pytest.fixture
async def counted_pool(commits: Counter[str], open_pool: OpenPool) -> LocalPool:
    return await open_pool(spec("sub1"))


@pytest.fixture
def calls(counted_pool: LocalPool) -> list[str]:
    """Every call from one actor to another."""
    calls: list[str] = []
    peers: Any = counted_pool.actors
    peers.the_router = Counted("router", counted_pool.router, calls)
    peers.subscriptions["sub1"] = Counted("sub1", peers.subscriptions["sub1"], calls)
    return calls


async def next_end(router: Router) -> Callable[[], Awaitable[None]]:
    """Waits for the end of the next execution, as the router hears of it, without a call."""
    ends = EventFilter(kinds=(PoolEventKind.EXECUTION_ENDED,))
    now = (await router.happenings(wanted=ends)).cursor

    async def wait() -> None:
        assert (await router.happenings(after=now, wanted=ends, wait_seconds=10)).items

    return wait


async def settled(pool: LocalPool) -> None:
    """Wait until nothing is reserved any more, without a call to anybody."""
    async with asyncio.timeout(10):
        while (await pool.router.keys())[0].used.running:  # type: ignore[union-attr]
            await asyncio.sleep(0.01)


async def test_a_request_takes_two_calls_until_it_runs_and_three_commits_until_it_has_ended(
    counted_pool: LocalPool, calls: list[str], commits: Counter[str]
) -> None:
    """Its claim with its place; its intent; its outcome."""
    has_ended = await next_end(counted_pool.router)
    commits.clear()

    await counted_pool.client.start(ask())
    await has_ended()

    assert calls == ["router.dispatch", "sub1.start"]
    assert commits == {"directory": 1, "ledger": 2}


async def test_a_caller_that_waits_takes_a_third_call(
    counted_pool: LocalPool, calls: list[str], commits: Counter[str]
) -> None:
    """It is kept on purpose, though the router could hold its call until the run has ended: the
    router has to learn of the admission before it lets the next turn of a session go on, and a call
    that is held as long as a run would be lost with the router.
    """
    commits.clear()

    await counted_pool.client.execute(ask())

    assert calls == ["router.dispatch", "sub1.start", "sub1.result"]
    assert commits == {"directory": 1, "ledger": 2}


async def test_a_request_of_a_metered_key_takes_one_commit_more_to_settle_and_one_call_at_its_end(
    counted_pool: LocalPool, calls: list[str], commits: Counter[str], runner: FakeRunner
) -> None:
    runner.hold = True
    await make_key(counted_pool, daily_budget_usd=10, max_concurrent=1, requests_per_minute=60)
    calls.clear()
    commits.clear()

    await counted_pool.client.start(ask(), caller="ci")
    (run,) = await runner.wait_for_runs(1)
    while_it_runs = (list(calls), dict(commits))
    run.end()
    await settled(counted_pool)

    assert while_it_runs == (["router.dispatch", "sub1.start"], {"directory": 1, "ledger": 1})
    assert calls == ["router.dispatch", "sub1.start", "sub1.result"]
    assert commits == {"directory": 2, "ledger": 2}


async def test_a_turn_finds_the_session_that_holds_its_history_by_one_call_and_no_commit_more(
    counted_pool: LocalPool, calls: list[str], commits: Counter[str]
) -> None:
    """To note what it holds after the answer takes one of each."""
    client = counted_pool.client
    has_ended = await next_end(counted_pool.router)
    first = await client.execute(ask())
    await has_ended()
    calls.clear()
    commits.clear()
    await client.conversation_answered("c1", first.session_id, first.id)
    noted = (list(calls), dict(commits))
    has_ended = await next_end(counted_pool.router)
    calls.clear()
    commits.clear()

    further = await client.go_on(ask(), "c1")
    await has_ended()

    assert further is not None
    assert further.session_id == first.session_id
    assert noted == (["router.conversation_answered"], {"directory": 1})
    assert calls == ["router.session_of_conversation", "router.dispatch", "sub1.start"]
    assert commits == {"directory": 1, "ledger": 2}


async def test_a_request_that_is_refused_takes_no_commit(
    counted_pool: LocalPool, calls: list[str], commits: Counter[str], runner: FakeRunner
) -> None:
    runner.hold = True
    await make_key(counted_pool, max_concurrent=1)
    await counted_pool.client.start(ask(), caller="ci")
    await runner.wait_for_runs(1)
    commits.clear()

    with pytest.raises(TooManyAtOnce):
        await counted_pool.client.start(ask(), caller="ci", idempotency_key="k")
    await counted_pool.client.pause("sub1")
    commits.clear()  # the pause is one
    with pytest.raises(Unavailable):
        await counted_pool.client.start(ask(), idempotency_key="k")

    assert not +commits


async def test_the_directory_is_read_once_for_a_request_and_once_for_its_session(
    local_pool: LocalPool,
) -> None:
    first = await local_pool.client.execute(ask())
    calls: list[str] = []
    counted = Counted("directory", local_pool.router._directory, calls)
    router = another_router(local_pool, counted)

    for each in (dispatch("e1"), dispatch("e1"), dispatch("e2", session_id=first.session_id)):
        await dispatched(router, each)

    new = again = ["directory.locate", "directory.claim"]
    turn = ["directory.locate", "directory.session_home", "directory.claim"]
    assert calls == [*new, *again, *turn]


# -- requests that meet --------------------------------------------------------------------------


def another_router(pool: LocalPool, directory: Any, keys: KeyRegistry | None = None) -> Dispatcher:
    """As a second router would dispatch, over the same directory."""
    settings = DispatchSettings(default_model=SONNET, timeout_seconds=600)
    keys = keys or pool.router._keys
    archive, resting = pool.router._archive, pool.router._resting
    return Dispatcher(
        *(directory, pool.actors, pool.router._followers, keys, archive, resting),
        settings=settings,
        clock=pool.clock,
    )


async def dispatched(router: Dispatcher, asked: Dispatch) -> Execution:
    """As a router has it dispatched: its caller is known first."""
    return await router.dispatch(asked, await router._keys.caller(asked.caller))


def dispatch(
    name: str, prompt: str = "q", *, key: str | None = None, caller: str = "", **of: object
) -> Dispatch:
    return Dispatch(
        execution_id=name,
        request=ask(prompt, **of),
        caller=caller,
        idempotency_key=key,
        created_at=NOON,
    )


class Meeting:
    """A directory in which the first two claims are made at the same time."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._barrier = asyncio.Barrier(2)
        self._coming = 2

    def __getattr__(self, name: str) -> Any:
        return getattr(self._directory, name)

    async def claim(self, wanted: NewClaim, subscription_id: str, epoch: int) -> Claim:
        if self._coming:
            self._coming -= 1
            await self._barrier.wait()
        return await self._directory.claim(wanted, subscription_id, epoch)


@pytest.fixture
async def two_routers(local_pool: LocalPool) -> AsyncIterator[tuple[Dispatcher, Dispatcher]]:
    directory = local_pool.router._directory
    keys = [
        KeyRegistry(directory, local_pool.actors, [], SONNET, local_pool.clock) for _ in range(2)
    ]
    meeting = Meeting(directory)
    first, second = (another_router(local_pool, meeting, each) for each in keys)
    yield first, second
    for each in keys:
        await each.close()


@pytest.mark.parametrize("names", [("e1", "e1"), ("e1", "e2")])
@pytest.mark.parametrize("caller", ["", "ci"])
async def test_of_two_routers_with_the_same_request_one_places_it_and_both_have_it(
    local_pool: LocalPool,
    two_routers: tuple[Dispatcher, Dispatcher],
    runner: FakeRunner,
    names: tuple[str, str],
    caller: str,
) -> None:
    runner.hold = True
    await make_key(local_pool, max_concurrent=1)

    first, second = await asyncio.gather(
        *(
            dispatched(router, dispatch(name, key="k", caller=caller))
            for router, name in zip(two_routers, names, strict=True)
        )
    )

    assert (first.id, first.subscription_id) == (second.id, second.subscription_id)
    assert len(await runner.wait_for_runs(1)) == 1
    charges = await local_pool.router._directory.keys.open_charges()
    assert [each.execution_id for each in charges] == ([first.id] if caller else [])


async def test_of_two_routers_with_two_requests_under_one_key_one_is_told_so(
    local_pool: LocalPool, two_routers: tuple[Dispatcher, Dispatcher]
) -> None:
    answers = await asyncio.gather(
        *(
            dispatched(router, dispatch(f"e{number}", f"q{number}", key="k"))
            for number, router in enumerate(two_routers)
        ),
        return_exceptions=True,
    )

    assert sorted(type(each).__name__ for each in answers) == ["Execution", "KeyReused"]
    assert len(await local_pool.runner.wait_for_runs(1)) == 1


class Late:
    """A subscription that one router asks late: after it has read the claim, and others went on."""

    def __init__(self, pool: LocalPool, subscription_id: str) -> None:
        self._pool = pool
        self._id = subscription_id
        self.is_asked = asyncio.Event()
        self.goes_on = asyncio.Event()

    async def start(self, intent: Intent, *, may_wait: bool = True) -> Started | NotAdmitted:
        self.is_asked.set()
        await self.goes_on.wait()
        owner = self._pool.actors.subscription(self._id)  # as it is by then
        return await owner.start(intent, may_wait=may_wait)


@pytest.mark.parametrize("begins_anew", [False, True])
async def test_whoever_asks_late_where_it_was_refused_does_not_run_it_twice(
    open_pool: OpenPool, runner: FakeRunner, *, begins_anew: bool
) -> None:
    """One router is refused and goes on elsewhere; the other one asks by what it had read before,
    when the one that refused could take it: the same activation, or the next one, which knows
    nothing of it.
    """
    pool = await open_pool(spec("sub1", weight=9), spec("sub2"))
    runner.hold = True
    late = Late(pool, "sub1")
    peers = replace(pool.actors, subscriptions={**pool.actors.subscriptions, "sub1": late})
    followers, keys, archive = pool.router._followers, pool.router._keys, pool.router._archive
    settings = DispatchSettings(default_model=SONNET, timeout_seconds=600)
    directory, resting = pool.router._directory, pool.router._resting
    second = Dispatcher(
        *(directory, peers, followers, keys, archive, resting), settings=settings, clock=pool.clock
    )
    asked = dispatch("e1", key="k")

    slow = asyncio.create_task(dispatched(second, asked))
    await late.is_asked.wait()
    followers.remember(await pool.actors.subscription("sub1").next_report(-1, -1, 0))
    await pool.actors.subscription("sub1").pause()
    first = await dispatched(another_router(pool, directory), asked)
    await pool.actors.subscription("sub1").resume()
    if begins_anew:
        await pool.restart("sub1")
    late.goes_on.set()
    told = await slow

    assert (first.subscription_id, told.subscription_id) == ("sub2", "sub2")
    assert len(await runner.wait_for_runs(1)) == 1


async def test_what_was_refused_is_asked_anew_by_whoever_repeats_it(
    open_pool: OpenPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = await open_pool(spec("sub1"))
    full = Refusal(cause=RefusalCause.QUEUE_FULL, detail="full for a moment")
    with monkeypatch.context() as meanwhile:
        owner = pool.actors.subscription("sub1")
        meanwhile.setattr(owner._admissions, "_admission", lambda *_, **__: full)
        with pytest.raises(Exhausted):
            await pool.client.start(ask(), idempotency_key="k")
    refused = await pool.router._directory.locate("", "/k")

    started = await pool.client.start(ask(), idempotency_key="k")

    placed = await pool.router._directory.locate("", "/k")
    assert refused is not None
    assert placed is not None
    assert started.subscription_id == "sub1"
    assert placed.placement > refused.placement


# -- requests that come again --------------------------------------------------------------------


async def test_a_request_that_nobody_takes_leaves_its_key_to_any_other(
    local_pool: LocalPool,
) -> None:
    for id_ in ("sub1", "sub2", "sub3"):
        await local_pool.client.pause(id_)
    with pytest.raises(Unavailable):
        await local_pool.client.start(ask("one"), idempotency_key="k", execution_id="e1")
    kept = await local_pool.router._directory.locate("e1", "/k")
    await local_pool.client.resume("sub2")

    other = await local_pool.client.start(ask("two"), idempotency_key="k")
    again = await local_pool.client.start(ask("two"), idempotency_key="k")

    assert kept is None
    assert (again.id, again.subscription_id) == (other.id, "sub2")
    with pytest.raises(KeyReused):
        await local_pool.client.start(ask("one"), idempotency_key="k")


async def test_a_request_that_runs_is_found_again_when_nobody_would_take_it_any_more(
    local_pool: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    await make_key(local_pool, max_concurrent=1)
    asking: dict[str, Any] = {"idempotency_key": "k", "caller": "ci"}
    first = await local_pool.client.start(ask(), **asking)
    for id_ in ("sub1", "sub2", "sub3"):
        await local_pool.client.pause(id_)

    again = await local_pool.client.start(ask(), **asking)

    assert (again.id, again.subscription_id) == (first.id, first.subscription_id)


async def test_a_request_that_all_have_refused_reserves_anew_when_it_is_repeated(
    open_pool: OpenPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands where it was refused last, and its reservation was given back."""
    pool = await open_pool(spec("sub1"))
    owner = pool.actors.subscription("sub1")
    admit, asking = owner.start, {"idempotency_key": "k", "caller": "ci"}

    async def refuses(_: Intent, *, may_wait: bool = True) -> Started | NotAdmitted:
        refusal = Refusal(cause=RefusalCause.QUEUE_FULL, detail="full for a moment")
        return NotAdmitted(refusal=refusal, report=await owner.next_report(-1, -1, 0))

    await make_key(pool, weekly_budget_usd=10)
    monkeypatch.setattr(owner, "start", refuses)
    with pytest.raises(Exhausted) as refused:
        await pool.client.start(ask(max_budget_usd=6), **asking)
    open_charges = tuple(await pool.router._directory.keys.open_charges())
    monkeypatch.setattr(owner, "start", admit)
    pool.runner.hold = True
    started = await pool.client.start(ask(max_budget_usd=6), **asking)

    assert (open_charges, started.id) == ((), refused.value.execution_id)
    (charge,) = await pool.router._directory.keys.open_charges()
    assert (charge.execution_id, charge.amount_nano_usd) == (started.id, 6 * 10**9)


async def test_what_was_given_back_goes_nowhere_else_by_the_same_handoff(
    open_pool: OpenPool, runner: FakeRunner
) -> None:
    """Nobody took it, so its subscription goes on with it; a second router that has the same
    handoff, and is late, must not start it where there is room by now.
    """
    pool = await open_pool(spec("sub1", weight=9), spec("sub2"))
    runner.hold = True
    await dispatched(pool.router._dispatcher, dispatch("e1"))
    subscription = pool.actors.subscription("sub1")
    row = await subscription._context.ledger.execution("e1")
    assert row is not None
    handoff = HandoffRequest(
        subscription_id="sub1",
        intent=row.intent,
        attempts=(),
        why=Refusal(cause=RefusalCause.PAUSED, detail="it is paused"),
        report=await subscription.next_report(-1, -1, 0),
        may_wait=True,
    )
    await pool.client.pause("sub2")
    first = await pool.router.hand_off(handoff)
    await pool.client.resume("sub2")

    late = await pool.router.hand_off(handoff)

    assert isinstance(first, NotTaken)
    assert isinstance(late, NotTaken)
    assert len(runner.runs) == 1
    later = row.intent.model_copy(update={"placement": first.placement})
    anew = await pool.router.hand_off(handoff.model_copy(update={"intent": later}))
    assert anew == HandedOff(subscription_id="sub2")
