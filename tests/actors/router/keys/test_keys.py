"""Keys inside a whole local pool: what is reserved, given back and charged, whatever dies."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from actors.interfaces.messages import NotAdmitted, Started
from actors.router.keys.key_registry import KeyRegistry
from actors.router.keys.open_reservations import OpenReservations
from actors.router.router import Router
from pool.errors import (
    ActorLost,
    Conflict,
    InvalidRequest,
    KeyEnded,
    NotFound,
    NotPermitted,
    OverBudget,
    RateLimited,
    TooManyAtOnce,
    Unavailable,
)
from pool.executions.execution import Execution
from pool.executions.intent import Intent
from pool.executions.outcome import Completed, Failed, FailureKind
from pool.executions.progress import Ended
from pool.executions.request import ExecutionRequest
from pool.executions.status import ExecutionStatus
from pool.keys.account import Charge, Reservation
from pool.keys.api_keys import IssuedKey, KeySpec, KeyStanding, fingerprint, presented
from pool.money import nano_usd
from pool.storage.directory.claims import NewClaim
from pool.telemetry.events import EventFilter, PoolEventKind, gap
from pool.usage.expected_cost import ENOUGH_RUNS
from pool.usage.records import ModelUsage, Usage
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.localpool import LocalPool
from tests.support.suite.waiting import until
from tests.support.values.examples import SONNET, completed, spec, usage_of
from tests.support.values.manual_clock import ManualClock

OpenPool = Callable[..., Awaitable[LocalPool]]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def ask(prompt: str = "q", **of: object) -> ExecutionRequest:
    return ExecutionRequest.model_validate({"prompt": prompt} | of)


def key(name: str = "ci", **of: object) -> KeySpec:
    return KeySpec.model_validate({"name": name, "scopes": ("execute", "read", "admin")} | of)


async def make(pool: LocalPool, **of: object) -> IssuedKey:
    return await pool.client.create_key(key(**of))


async def start(pool: LocalPool, prompt: str = "q", **of: Any) -> Execution:
    return await pool.client.start(ask(prompt, **of), caller="ci")


async def used(pool: LocalPool, name: str = "ci") -> KeyStanding:
    found = next(each for each in await pool.client.keys() if each.name == name)
    assert found.used is not None
    return found.used


async def settled(pool: LocalPool) -> KeyStanding:
    """What the key has used, once nothing is reserved any more."""
    async with asyncio.timeout(10):
        while (now := await used(pool)).running:
            await asyncio.sleep(0.01)
    return now


async def hear(pool: LocalPool) -> None:
    """Have the router know what runs cost at ``sub1`` by now, as its next report will say."""
    report = await pool.actors.subscription("sub1").next_report(-1, -1, 0)
    pool.router._followers.remember(report)


# -- who may enter -------------------------------------------------------------------------------


async def test_a_pool_is_open_until_a_key_was_made_and_not_again(local_pool: LocalPool) -> None:
    before = await local_pool.client.is_open()
    issued = await make(local_pool)
    await make(local_pool, name="other")
    await local_pool.client.revoke_key(issued.key.id)

    assert (before, await local_pool.client.is_open()) == (True, False)


async def test_the_first_key_must_be_able_to_administer(local_pool: LocalPool) -> None:
    with pytest.raises(InvalidRequest, match="scopes: must hold admin in the first key"):
        await make(local_pool, scopes=("execute",))
    await make(local_pool)

    assert await make(local_pool, name="second", scopes=("execute",))


async def test_a_key_is_known_by_its_secret(local_pool: LocalPool) -> None:
    issued = await make(local_pool, scopes=("read", "admin"))

    holder = await local_pool.client.authenticate(secret_of(issued))
    other = await local_pool.client.authenticate(fingerprint(f"cp_{issued.key.id}_not-the-secret"))

    assert holder is not None
    assert (holder.name, holder.scopes) == ("ci", ("read", "admin"))
    assert other is None


def secret_of(issued: IssuedKey) -> Any:
    return presented(issued.secret.get_secret_value())


async def test_a_revoked_key_opens_nothing_and_a_rotated_one_opens_with_both_secrets(
    local_pool: LocalPool, clock: ManualClock
) -> None:
    old, _ = await make(local_pool), await make(local_pool, name="other")
    new = await local_pool.client.rotate_key(old.key.id, grace_seconds=60)

    async def opens(issued: IssuedKey) -> bool:
        return await local_pool.client.authenticate(secret_of(issued)) is not None

    within = (await opens(old), await opens(new))
    clock.advance(timedelta(seconds=60))
    after = (await opens(old), await opens(new))
    await local_pool.client.revoke_key(old.key.id)

    assert (within, after) == ((True, True), (False, True))
    assert not await opens(new)


async def test_with_a_key_that_is_revoked_the_processes_end_that_may_have_run_it(
    local_pool: LocalPool,
) -> None:
    issued, _ = await make(local_pool), await make(local_pool, name="other")
    before = local_pool.runner.let_goes

    await local_pool.client.revoke_key(issued.key.id)

    async def all_have_ended() -> bool:
        return local_pool.runner.let_goes == before + len(await local_pool.client.subscriptions())

    await until(all_have_ended)


async def test_the_last_administrator_is_not_revoked(
    local_pool: LocalPool, clock: ManualClock
) -> None:
    first = await make(local_pool)
    await make(local_pool, name="runner", scopes=("execute",))
    await make(local_pool, name="leaves", expires_at=clock.now + HOUR)
    clock.advance(HOUR)

    with pytest.raises(Conflict, match="'ci' is the last that may administer: make another one"):
        await local_pool.client.revoke_key(first.key.id)
    second = await make(local_pool, name="second")
    revoked = await asyncio.gather(
        *(local_pool.client.revoke_key(each.key.id) for each in (first, second)),
        return_exceptions=True,
    )

    assert sorted(isinstance(each, Conflict) for each in revoked) == [False, True]


async def test_what_makes_no_sense_is_refused_by_name(
    local_pool: LocalPool, clock: ManualClock
) -> None:
    await make(local_pool)

    with pytest.raises(Conflict, match="'ci'"):
        await make(local_pool)
    with pytest.raises(InvalidRequest, match="expires_at: has passed already"):
        await make(local_pool, name="late", expires_at=clock.now)
    with pytest.raises(NotFound):
        await local_pool.client.revoke_key("nobody")


async def test_a_key_of_the_file_is_shown_and_can_be_changed_there_alone(
    local_pool: LocalPool, clock: ManualClock
) -> None:
    keyring = KeyRegistry(
        local_pool.router._directory, local_pool.actors, [key(max_concurrent=1)], "m", clock
    )

    shown = await keyring.keys()

    assert [(each.id, each.declared) for each in shown] == [("config:ci", True)]
    assert not await keyring.is_open()
    with pytest.raises(Conflict, match=r"pool\.toml"):
        await keyring.revoke("config:ci")
    with pytest.raises(Conflict, match=r"pool\.toml"):
        await keyring.create(key(), fingerprint("cp_id_secret"))


async def test_a_key_of_the_file_shuts_out_a_made_one_of_the_same_name(
    local_pool: LocalPool, clock: ManualClock
) -> None:
    issued = await make(local_pool)
    keyring = KeyRegistry(local_pool.router._directory, local_pool.actors, [key()], "m", clock)

    assert await keyring.authenticate(secret_of(issued)) is None


# -- what is not permitted -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "request_", "field"),
    [
        ({"models": ["claude-haiku-*"]}, {"model": "claude-opus-4-1"}, "model"),
        ({"subscriptions": ["sub2"]}, {"subscription_id": "sub1"}, "subscription_id"),
        ({"max_request_usd": 1}, {"max_budget_usd": 2}, "max_budget_usd"),
    ],
)
async def test_what_a_key_does_not_cover_is_refused_by_field_and_holds_nothing(
    local_pool: LocalPool, limits: dict[str, Any], request_: dict[str, Any], field: str
) -> None:
    await make(local_pool, daily_budget_usd=10, **limits)

    with pytest.raises(NotPermitted) as refused:
        await start(local_pool, **request_)

    assert refused.value.field == field
    assert (await used(local_pool)).reserved_usd == 0


async def test_a_request_goes_to_the_subscriptions_of_its_key_alone(
    local_pool: LocalPool,
) -> None:
    await make(local_pool, subscriptions=["*3"])

    ran = [await start(local_pool, str(number)) for number in range(4)]

    assert {each.subscription_id for each in ran} == {"sub3"}


async def test_a_session_of_another_subscription_is_out_of_reach(local_pool: LocalPool) -> None:
    await make(local_pool, subscriptions=["sub2"])
    elsewhere = await local_pool.client.execute(ask(subscription_id="sub1"))

    with pytest.raises(NotPermitted) as refused:
        await start(local_pool, session_id=elsewhere.session_id)

    assert refused.value.field == "session_id"


async def test_a_key_that_ended_on_the_way_starts_nothing(
    local_pool: LocalPool, clock: ManualClock
) -> None:
    revoked, _ = await make(local_pool), await make(local_pool, name="other")
    await local_pool.client.revoke_key(revoked.key.id)
    await make(local_pool, name="late", expires_at=clock.now + HOUR)
    clock.advance(HOUR)

    with pytest.raises(KeyEnded, match="was revoked"):
        await start(local_pool)
    with pytest.raises(KeyEnded, match="has expired"):
        await local_pool.client.start(ask(), caller="late")


async def test_the_price_limit_of_a_key_goes_with_runs_that_it_can_end_early(
    local_pool: LocalPool, runner: FakeRunner
) -> None:
    await make(local_pool, max_request_usd="0.5", tools=["Read"])

    await start(local_pool, tools=["Read"])
    await start(local_pool, "one call")
    await start(local_pool, "mine", max_budget_usd="0.1")

    runs = await runner.wait_for_runs(3)
    assert [each.launch.max_budget_usd for each in runs] == ["0.5", None, "0.1"]


async def test_an_answer_that_costs_more_than_its_key_s_price_is_told_and_charged_in_full(
    local_pool: LocalPool, runner: FakeRunner
) -> None:
    await make(local_pool, max_request_usd="0.5", daily_budget_usd=5)
    runner.script.append(completed("paid for", cost_usd="0.7"))

    execution = await local_pool.client.execute(ask(), caller="ci")

    assert execution.result == "paid for"
    assert (await settled(local_pool)).today_usd == Decimal("0.7")


async def test_a_caller_that_is_no_key_is_not_limited(local_pool: LocalPool) -> None:
    await make(local_pool, max_concurrent=1)

    assert await local_pool.client.execute(ask(), caller="a program in the cluster")


# -- what is used up -----------------------------------------------------------------------------


async def test_a_run_holds_its_price_and_is_charged_its_cost(
    local_pool: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    await make(local_pool, daily_budget_usd=10)
    await start(local_pool, max_budget_usd=6)

    held = await used(local_pool)
    (await runner.wait_for_runs(1))[0].end(completed(cost_usd="1.25"))
    charged = await settled(local_pool)

    assert (held.running, held.reserved_usd, held.today_usd) == (1, 6, 0)
    assert (charged.reserved_usd, charged.today_usd) == (0, Decimal("1.25"))
    assert charged.week_usd == Decimal("1.25")


@pytest.mark.parametrize(
    ("limits", "error", "reason"),
    [
        ({"daily_budget_usd": 10}, OverBudget, "daily_budget"),
        ({"weekly_budget_usd": 10}, OverBudget, "weekly_budget"),
        ({"max_concurrent": 1}, TooManyAtOnce, "concurrency"),
        ({"requests_per_minute": 6, "burst": 1}, RateLimited, "rate"),
    ],
)
async def test_what_is_used_up_is_refused_with_its_reason_and_holds_nothing_more(
    local_pool: LocalPool,
    runner: FakeRunner,
    limits: dict[str, Any],
    error: type[OverBudget],
    reason: str,
) -> None:
    runner.hold = True
    await make(local_pool, **limits)
    await start(local_pool, max_budget_usd=6)

    with pytest.raises(error) as refused:
        await start(local_pool, "again", max_budget_usd=6)

    assert refused.value.reason == reason
    assert (await used(local_pool)).running == 1
    assert len(runner.runs) == 1


async def test_of_many_requests_at_once_no_more_run_than_the_budget_pays_for(
    local_pool: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    await make(local_pool, daily_budget_usd=2, max_request_usd="0.5")

    answers = await asyncio.gather(
        *(start(local_pool, str(number)) for number in range(20)), return_exceptions=True
    )

    assert [type(each) for each in answers].count(OverBudget) == 16
    assert (await used(local_pool)).reserved_usd == 2


async def test_a_request_that_is_repeated_reserves_once(
    local_pool: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    await make(local_pool, max_concurrent=1, requests_per_minute=1, burst=1)

    first, again = [
        await local_pool.client.start(ask(), caller="ci", idempotency_key="k") for _ in range(2)
    ]

    assert first.id == again.id
    assert (await used(local_pool)).running == 1


async def test_a_request_that_has_ended_is_answered_again_and_charged_once(
    local_pool: LocalPool,
) -> None:
    await make(local_pool, daily_budget_usd="0.3")
    asking = {"caller": "ci", "idempotency_key": "k"}
    first = await local_pool.client.execute(ask(), **asking)
    await settled(local_pool)

    again = await local_pool.client.execute(ask(), **asking)

    assert again == first
    assert (await settled(local_pool)).today_usd == Decimal("0.0006")


async def test_a_request_that_nobody_takes_gives_back_what_it_held(
    local_pool: LocalPool,
) -> None:
    await make(local_pool, daily_budget_usd=1, max_request_usd=1)
    for each in ("sub1", "sub2", "sub3"):
        await local_pool.client.pause(each)

    with pytest.raises(Unavailable):
        await start(local_pool)

    assert (await used(local_pool)).reserved_usd == 0


async def test_a_budget_is_whole_again_on_the_next_day(
    local_pool: LocalPool, runner: FakeRunner, clock: ManualClock
) -> None:
    await make(local_pool, daily_budget_usd="0.001", weekly_budget_usd=5)
    await start(local_pool)
    await settled(local_pool)
    await hear(local_pool)

    with pytest.raises(OverBudget) as refused:
        await start(local_pool, "again")
    clock.now = refused.value.retry_at or clock.now
    await hear(local_pool)

    runner.hold = True
    await start(local_pool, "tomorrow")
    assert (await used(local_pool)).running == 1


async def test_what_is_in_doubt_is_held_until_its_block_is_over(
    local_pool: LocalPool, runner: FakeRunner, clock: ManualClock
) -> None:
    await make(local_pool, weekly_budget_usd=10)
    lost = Failed(kind=FailureKind.KILLED, message="gone", usage=usage_of("0.5"), evidence=False)
    runner.script.append(lost)

    await start(local_pool, max_budget_usd=6)
    in_doubt = await settled(local_pool)
    clock.advance(5 * HOUR)
    later = await used(local_pool)

    assert (in_doubt.week_usd, in_doubt.reserved_usd) == (Decimal("0.5"), Decimal("5.5"))
    assert (later.week_usd, later.reserved_usd) == (Decimal("0.5"), 0)


async def test_what_was_cancelled_in_doubt_is_held_as_well(
    local_pool: LocalPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make(local_pool, weekly_budget_usd=10)
    lost = Failed(kind=FailureKind.KILLED, message="gone", usage=usage_of("0.5"), evidence=False)
    runner.hold = True
    started = await start(local_pool, max_budget_usd=6)
    (run,) = await runner.wait_for_runs(1)
    monkeypatch.setattr(run, "stop", lambda: asyncio.sleep(0, run.end(lost)))

    await local_pool.client.cancel(started.id)
    in_doubt = await settled(local_pool)

    assert (in_doubt.week_usd, in_doubt.reserved_usd) == (Decimal("0.5"), Decimal("5.5"))


async def test_a_run_that_cost_nothing_gives_everything_back(
    local_pool: LocalPool, runner: FakeRunner
) -> None:
    await make(local_pool, weekly_budget_usd=10)
    runner.script.append(Failed(kind=FailureKind.MAX_TURNS, message="no", usage=Usage()))

    await start(local_pool, max_budget_usd=6)
    now = await settled(local_pool)

    assert (now.week_usd, now.reserved_usd) == (0, 0)


async def test_a_run_that_goes_on_at_another_subscription_is_followed_there_and_charged_once(
    local_pool: LocalPool, runner: FakeRunner
) -> None:
    await make(local_pool, weekly_budget_usd=10, subscriptions=["sub1", "sub2"])
    runner.script.append(Failed(kind=FailureKind.OVERLOADED, message="busy", usage=usage_of("0.5")))
    runner.script.append(completed(cost_usd="2"))

    execution = await local_pool.client.execute(ask(max_budget_usd=6), caller="ci")
    now = await settled(local_pool)

    assert {each.subscription_id for each in execution.attempts} == {"sub1", "sub2"}
    assert (now.week_usd, now.reserved_usd) == (Decimal("2.5"), 0)


# -- whatever its caller claims ------------------------------------------------------------------

CLAIM, USD_CENT = "0.000001", Decimal("0.01")


async def learn(pool: LocalPool, runner: FakeRunner, *costs: str, **of: Any) -> None:
    """Have the pool run requests of somebody else, so that it knows what they cost."""
    runner.script.extend(completed(cost_usd=cost) for cost in costs)
    for number in range(len(costs)):
        await pool.client.execute(ask(f"earlier {number}", **of))
    async with asyncio.timeout(10):
        while await heard_of(pool) < len(costs):
            await asyncio.sleep(0.01)


async def heard_of(pool: LocalPool) -> int:
    """How many runs the router has heard of."""
    reports = await pool.client.subscriptions()
    return sum(each.runs for report in reports for each in report.expected_costs)


async def run_to_the_end(pool: LocalPool, how: str, prompt: str) -> Execution:
    """A request with a claim, by one of the ways in which a caller may wait for its answer."""
    request = ask(prompt, max_budget_usd=CLAIM, **{how: True} if how != "waiting" else {})
    if how == "waiting":
        return await pool.client.execute(request, caller="ci")
    execution = await pool.client.start(request, caller="ci")
    if how == "stream":
        async for event in pool.client.events(execution.id):
            if isinstance(event.progress, Ended):
                return event.progress.execution
    return await pool.client.ended(execution)


@pytest.mark.parametrize("how", ["waiting", "stream", "background"])
async def test_of_a_dozen_requests_that_claim_to_cost_nothing_a_new_pool_runs_one_at_a_time(
    local_pool: LocalPool, runner: FakeRunner, how: str
) -> None:
    await make(local_pool, daily_budget_usd="0.02")
    runner.script.extend([completed(cost_usd="0.03")] * 12)

    answers = await asyncio.gather(
        *(run_to_the_end(local_pool, how, str(number)) for number in range(12)),
        return_exceptions=True,
    )

    assert [type(each) for each in answers].count(OverBudget) == 11
    assert (await settled(local_pool)).today_usd == Decimal("0.03")


@pytest.mark.parametrize("how", ["waiting", "stream", "background"])
async def test_of_a_dozen_requests_that_claim_to_cost_nothing_so_many_run_as_the_budget_pays_for(
    local_pool: LocalPool, runner: FakeRunner, how: str
) -> None:
    await make(local_pool, daily_budget_usd="0.1")
    await learn(local_pool, runner, *["0.03"] * ENOUGH_RUNS)
    runner.script.extend([completed(cost_usd="0.03")] * 12)

    answers = await asyncio.gather(
        *(run_to_the_end(local_pool, how, str(number)) for number in range(12)),
        return_exceptions=True,
    )

    assert [type(each) for each in answers].count(OverBudget) == 9
    assert (await settled(local_pool)).today_usd == Decimal("0.09")


async def test_a_budget_is_overdrawn_by_what_ran_at_once_beyond_what_it_held_and_no_more(
    local_pool: LocalPool, runner: FakeRunner
) -> None:
    await make(local_pool, daily_budget_usd="0.1", max_concurrent=2)
    await learn(local_pool, runner, *["0.01"] * ENOUGH_RUNS)
    runner.script.extend([completed(cost_usd="0.09")] * 12)

    answers = await asyncio.gather(
        *(run_to_the_end(local_pool, "waiting", str(number)) for number in range(12)),
        return_exceptions=True,
    )
    later = await asyncio.gather(start(local_pool, "later"), return_exceptions=True)

    refused = [type(each) for each in (*answers, *later) if isinstance(each, Exception)]
    assert refused.count(TooManyAtOnce) + refused.count(OverBudget) == 11
    assert (await settled(local_pool)).today_usd == Decimal("0.18")  # 0.1, and 2 x 0.08 at most


async def test_with_failover_the_bound_is_what_all_attempts_cost_beyond_what_was_held(
    local_pool: LocalPool, runner: FakeRunner
) -> None:
    """Of deploy/security.md: budget + sum over R of max(0, cost - held), and R has two at most."""
    budget, learned, lost, last = (Decimal(each) for each in ("0.1", "0.01", "0.03", "0.09"))
    await make(local_pool, daily_budget_usd=budget, max_concurrent=2)
    await learn(local_pool, runner, *[str(learned)] * ENOUGH_RUNS)
    busy = Failed(kind=FailureKind.OVERLOADED, message="busy", usage=usage_of(str(lost)))
    for _ in range(12):
        runner.script.extend([busy, completed(cost_usd=str(last))])

    ways = ("waiting", "background", "waiting")
    for _ in range(4):
        await asyncio.gather(
            *(run_to_the_end(local_pool, how, f"{number}") for number, how in enumerate(ways)),
            return_exceptions=True,
        )

    spent = (await settled(local_pool)).today_usd
    held, cost = lost + learned, lost + last
    assert budget <= spent <= budget + 2 * (cost - held)


async def test_what_is_charged_after_its_end_counts_at_the_subscription_and_not_at_the_key(
    open_pool: OpenPool, runner: FakeRunner
) -> None:
    """The part of an overdraft that a key never sees: one correction an execution at most."""
    pool = await open_pool(spec("sub1"))
    runner.lingers = True
    await make(pool, daily_budget_usd=1)
    execution = await pool.client.execute(ask(max_budget_usd=CLAIM), caller="ci")
    at_its_end = await settled(pool)
    (run,) = runner.runs
    run.later = usage_of("0.4")
    run.exits.set()
    async with asyncio.timeout(10):
        while not run.discarded:
            await asyncio.sleep(0.01)

    report = await pool.actors.subscription("sub1").next_report(-1, -1, 0)
    shown = await pool.client.result(execution.id)
    assert report.weekly.used_usd == shown.usage.cost_usd == at_its_end.today_usd + Decimal("0.4")
    assert (await used(pool)).today_usd == at_its_end.today_usd


async def test_a_long_prompt_holds_more_than_a_short_one(
    local_pool: LocalPool, runner: FakeRunner
) -> None:
    await make(local_pool, daily_budget_usd=1)
    await learn(local_pool, runner, *["0.0006"] * ENOUGH_RUNS)
    runner.hold = True

    await start(local_pool, "short", max_budget_usd=CLAIM)
    short = (await used(local_pool)).reserved_usd
    await start(local_pool, "word " * 60_000, max_budget_usd=CLAIM)
    both = (await used(local_pool)).reserved_usd

    assert short < Decimal("0.001")
    assert both - short > Decimal("0.3")  # 100,000 tokens at 3.75 USD a million


def after_a_long_talk() -> Completed:
    read = ModelUsage(input_tokens=100_000, output_tokens=20, cost_nano_usd=nano_usd("0.3003"))
    return completed().model_copy(update={"usage": Usage(models={SONNET: read})})


@pytest.mark.parametrize("of", [{}, {"fork_session": True}])
async def test_a_turn_of_a_long_session_holds_what_its_history_costs(
    local_pool: LocalPool, runner: FakeRunner, of: dict[str, Any]
) -> None:
    await make(local_pool, daily_budget_usd=1)
    await learn(local_pool, runner, *["0.0006"] * ENOUGH_RUNS)
    runner.script.append(after_a_long_talk())
    talk = await local_pool.client.execute(ask("a talk"), caller="ci")
    await settled(local_pool)
    await local_pool.restart(talk.subscription_id)
    runner.hold = True

    turn = await start(local_pool, session_id=talk.session_id, max_budget_usd=CLAIM, **of)
    there = await local_pool.client.subscription(turn.subscription_id)

    assert (await used(local_pool)).reserved_usd > Decimal("0.3")
    assert there.weekly.reserved_usd > Decimal("0.3")


async def test_a_session_that_moves_is_known_by_its_size_where_it_comes_to(
    local_pool: LocalPool, runner: FakeRunner
) -> None:
    await learn(local_pool, runner, *["0.0006"] * ENOUGH_RUNS)
    runner.script.append(after_a_long_talk())
    talk = await local_pool.client.execute(ask("a talk"))
    await local_pool.client.pause(talk.subscription_id)
    runner.hold = True

    turn = await local_pool.client.start(ask(session_id=talk.session_id))

    there = await local_pool.client.subscription(turn.subscription_id)
    assert turn.subscription_id != talk.subscription_id
    assert there.weekly.reserved_usd > Decimal("0.3")


async def test_the_attempts_of_an_execution_add_up_in_what_it_holds(
    local_pool: LocalPool, runner: FakeRunner
) -> None:
    await make(local_pool, daily_budget_usd=1)
    await learn(local_pool, runner, *["0.03"] * ENOUGH_RUNS)
    failed = Failed(kind=FailureKind.OVERLOADED, message="busy", usage=usage_of("0.05"))
    runner.script.append(failed)
    runner.hold = True

    await start(local_pool)
    await runner.wait_for_runs(ENOUGH_RUNS + 2)

    # 0.05 are spent, and the next attempt may cost what this one did.
    assert (await used(local_pool)).reserved_usd == pytest.approx(Decimal("0.1"), abs=USD_CENT)


async def test_an_execution_that_its_key_cannot_pay_another_attempt_of_goes_nowhere_else(
    local_pool: LocalPool, runner: FakeRunner
) -> None:
    await make(local_pool, daily_budget_usd="0.07")
    await learn(local_pool, runner, *["0.03"] * ENOUGH_RUNS)
    runner.script.append(
        Failed(kind=FailureKind.OVERLOADED, message="busy", usage=usage_of("0.05"))
    )

    execution = await local_pool.client.execute(ask(), caller="ci")

    assert (execution.status, len(execution.attempts)) == (ExecutionStatus.FAILED, 1)
    assert (await settled(local_pool)).today_usd == Decimal("0.05")


async def test_another_attempt_is_given_what_the_earlier_ones_have_left_of_its_budget(
    local_pool: LocalPool, runner: FakeRunner
) -> None:
    for cost in ("0.4", "0.1"):
        runner.script.append(
            Failed(kind=FailureKind.OVERLOADED, message="busy", usage=usage_of(cost))
        )

    execution = await local_pool.client.execute(ask(max_budget_usd="0.5"))

    budgets = [each.launch.max_budget_usd for each in runner.runs]
    assert (execution.status, budgets) == (ExecutionStatus.FAILED, ["0.5", "0.1"])


# -- whatever dies -------------------------------------------------------------------------------


async def new_router(pool: LocalPool, clock: ManualClock) -> None:
    """End the router's activation and begin the next one on the same directory."""
    old = pool.router
    await old.close()
    directory = await pool.stores.open_directory()
    pool.router = pool.actors.the_router = await Router.activate(
        directory, pool.actors, old._settings, clock, pool.stores, lambda _: pool.runner
    )
    await pool.router.subscriptions()


async def test_a_new_router_charges_what_the_old_one_had_placed(
    local_pool: LocalPool, runner: FakeRunner, clock: ManualClock
) -> None:
    runner.hold = True
    await make(local_pool, daily_budget_usd=10)
    await start(local_pool, max_budget_usd=6)
    run = (await runner.wait_for_runs(1))[0]

    await new_router(local_pool, clock)
    held = await used(local_pool)
    run.end(completed(cost_usd="2"))

    assert held.reserved_usd == 6
    assert (await settled(local_pool)).today_usd == 2


async def test_a_run_that_ended_while_there_was_no_router_is_charged(
    local_pool: LocalPool, runner: FakeRunner, clock: ManualClock
) -> None:
    runner.hold = True
    await make(local_pool, daily_budget_usd=10)
    execution = await start(local_pool, max_budget_usd=6)
    run = (await runner.wait_for_runs(1))[0]
    await local_pool.router._keys.close()  # the task that would settle it is gone
    run.end(completed(cost_usd="2"))
    await local_pool.client.result(execution.id, wait_seconds=10)
    unsettled = await used(local_pool)

    await new_router(local_pool, clock)

    assert unsettled.reserved_usd == 6
    assert (await settled(local_pool)).today_usd == 2


async def test_keys_and_limits_outlive_the_router(
    local_pool: LocalPool, runner: FakeRunner, clock: ManualClock
) -> None:
    runner.hold = True
    issued = await make(local_pool, max_concurrent=1)
    await start(local_pool)

    await new_router(local_pool, clock)

    assert await local_pool.client.authenticate(secret_of(issued)) is not None
    with pytest.raises(TooManyAtOnce):
        await start(local_pool, "another")


async def test_a_run_whose_subscription_restarts_in_the_middle_is_charged(
    open_pool: OpenPool, runner: FakeRunner
) -> None:
    pool = await open_pool(spec("sub1"))
    runner.hold = True
    await make(pool, daily_budget_usd=10)
    await start(pool, max_budget_usd=6)
    run = (await runner.wait_for_runs(1))[0]

    await pool.restart("sub1")
    run.end(completed(cost_usd="2"))

    assert (await settled(pool)).today_usd == 2


async def test_a_run_that_ends_before_its_subscription_has_answered_is_charged(
    open_pool: OpenPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The news of its end comes first, and is not told again."""
    pool = await open_pool(spec("sub1"))
    owner, ends = (
        pool.actors.subscription("sub1"),
        EventFilter(kinds=(PoolEventKind.EXECUTION_ENDED,)),
    )
    now, begin = (await pool.router.happenings(wanted=ends)).cursor, owner.start

    async def late(intent: Intent, *, may_wait: bool = True) -> Started | NotAdmitted:
        answer = await begin(intent, may_wait=may_wait)
        assert (await pool.router.happenings(after=now, wanted=ends, wait_seconds=10)).items
        return answer

    monkeypatch.setattr(owner, "start", late)
    await make(pool, daily_budget_usd=10)

    started = await start(pool, max_budget_usd=6)

    assert started.status is ExecutionStatus.RUNNING
    assert (await settled(pool)).today_usd == Decimal("0.0006")


async def silent(pool: LocalPool, **of: float) -> OpenReservations:
    """The open reservations in the hands of a router that no owner tells anything."""
    await pool.router._keys.close()
    reservations = OpenReservations(pool.router._directory, pool.actors, pool.clock, **of)
    await reservations.recover()
    return reservations


async def test_an_end_of_which_nothing_is_told_is_found_by_looking(
    local_pool: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    await make(local_pool, daily_budget_usd=10)
    await start(local_pool, max_budget_usd=6)
    run = (await runner.wait_for_runs(1))[0]

    reservations = await silent(local_pool, look_seconds=0.05)
    run.end(completed(cost_usd="2"))

    assert (await settled(local_pool)).today_usd == 2
    await reservations.close()


async def test_where_news_was_lost_everything_is_looked_at(
    local_pool: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    await make(local_pool, daily_budget_usd=10)
    execution = await start(local_pool, max_budget_usd=6)
    run = (await runner.wait_for_runs(1))[0]
    reservations = await silent(local_pool)
    await asyncio.sleep(0.3)  # for its first look, of which nothing tells
    run.end(completed(cost_usd="2"))
    await local_pool.client.result(execution.id, wait_seconds=10)
    untold = await used(local_pool)

    reservations.received(gap("more happened since than is kept", local_pool.clock()))

    assert untold.reserved_usd == 6
    assert (await settled(local_pool)).today_usd == 2
    await reservations.close()


async def test_what_others_have_ended_settles_nothing(
    local_pool: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    await make(local_pool, daily_budget_usd=10)
    await start(local_pool, max_budget_usd=6)
    await runner.wait_for_runs(1)
    runner.hold = False

    await local_pool.client.execute(ask("another"))
    await local_pool.client.execute(ask("a third"), caller="ci")

    assert (await used(local_pool)).reserved_usd >= 6


async def claimed(pool: LocalPool, amount: int) -> None:
    """Have an execution claimed and reserved for, by a router that died before it sent it."""
    directory = pool.router._directory
    (made,) = await directory.keys.keys()
    charge = Charge(execution_id="e1", key_id=made.id, amount_nano_usd=amount, at=pool.clock.now)
    wanted = NewClaim(
        execution_id="e1",
        digest="d",
        at=pool.clock.now,
        session_id="s1",
        reservation=Reservation(charge=charge, key=made),
    )
    await directory.claim(wanted, "sub1")


async def test_a_reservation_whose_execution_is_nowhere_is_given_back_after_a_while(
    local_pool: LocalPool,
) -> None:
    await make(local_pool, daily_budget_usd=10)
    await claimed(local_pool, 1)

    reservations = await silent(local_pool, look_seconds=0.05, nowhere_seconds=0.05)
    await settled(local_pool)
    await reservations.close()

    assert (await used(local_pool)).today_usd == 0


async def test_a_reservation_that_nobody_can_tell_about_ends_after_two_days_as_spent(
    local_pool: LocalPool, clock: ManualClock
) -> None:
    await make(local_pool, weekly_budget_usd=10)
    await claimed(local_pool, 3 * 10**9)
    clock.advance(2 * DAY + HOUR)

    reservations = await silent(local_pool)
    ended = await settled(local_pool)
    await reservations.close()

    assert ended.week_usd == 3


async def test_where_it_is_not_known_whether_it_runs_the_reservation_is_kept(
    open_pool: OpenPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = await open_pool(spec("sub1"))
    owner = pool.actors.subscription("sub1")
    begin = owner.start

    async def lost(intent: Intent, *, may_wait: bool = True) -> Started | NotAdmitted:
        await begin(intent, may_wait=may_wait)
        raise ActorLost("sub1", "TimeoutError")

    monkeypatch.setattr(owner, "start", lost)
    monkeypatch.setattr("actors.client.patience.LOST_SECONDS", -1)
    runner.hold = True
    await make(pool, daily_budget_usd=10)

    with pytest.raises(ActorLost):
        await start(pool, max_budget_usd=6)
    held = await used(pool)
    (await runner.wait_for_runs(1))[0].end(completed(cost_usd="2"))

    assert held.reserved_usd == 6
    assert (await settled(pool)).today_usd == 2


# -- secrets -------------------------------------------------------------------------------------


def everything_below(folder: Path) -> bytes:
    return b"".join(each.read_bytes() for each in folder.rglob("*") if each.is_file())


async def test_no_secret_is_in_the_database(
    local_pool: LocalPool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    issued = await make(local_pool, max_concurrent=2)
    turned = await local_pool.client.rotate_key(issued.key.id)
    await start(local_pool)
    await settled(local_pool)
    await local_pool.router.close()

    kept = await asyncio.to_thread(everything_below, tmp_path)
    secrets = [each.secret.get_secret_value() for each in (issued, turned)]
    for secret in secrets:
        assert secret.split("_", 2)[2].encode() not in kept
        assert secret.split("_", 2)[2] not in caplog.text
    assert issued.key.id.encode() in kept
