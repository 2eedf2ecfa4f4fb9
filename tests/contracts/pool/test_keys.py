"""What every store of keys does, whatever it is kept in."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from pool.errors import Conflict, KeyLimited, NotFound, StoreBusy
from pool.keys.account import Account, Charge, HourSpent, Reservation, Settled, spent_today
from pool.keys.api_keys import MAX_KEYS, ApiKey, KeyLimits, KeySpec, revoked
from pool.keys.quotas import LimitCause
from pool.money import NANO_PER_USD
from pool.storage.directory.claims import NewClaim
from pool.storage.directory.directory import Directory
from pool.storage.directory.key_store import KeyStore
from pool.storage.sqlite import SqliteStores
from pool.storage.stores import Stores

NOON = datetime(2026, 1, 28, 12, 0, 0, 123457, tzinfo=UTC)
TICK = timedelta(microseconds=1)
TEN_USD = KeyLimits(daily_budget_usd=Decimal(10))


@pytest.fixture
def keys(directory: Directory) -> KeyStore:
    return directory.keys


def key(name: str = "ci", *, created_at: datetime = NOON, **of: object) -> ApiKey:
    return ApiKey.model_validate(
        {"name": name, "id": f"id-{name}", "digest": "d", "created_at": created_at} | of
    )


def charge(name: str, usd: int = 1, *, of: str = "k", at: datetime = NOON) -> Charge:
    return Charge(execution_id=name, key_id=of, amount_nano_usd=usd * NANO_PER_USD, at=at)


async def reserve(
    directory: Directory, wanted: Charge, limits: KeyLimits = TEN_USD, *, assumed: int = 0
) -> KeyLimited | None:
    """Claim an execution that holds so much of its key; the refusal, where there is one."""
    key = KeySpec(name="ci", **limits.model_dump())
    claim = NewClaim(
        execution_id=wanted.execution_id,
        digest="d",
        at=wanted.at,
        session_id=f"s-{wanted.execution_id}",
        reservation=Reservation(charge=wanted, key=key, assumed_nano_usd=assumed),
    )
    try:
        await directory.claim(claim, "sub1")
    except KeyLimited as refusal:
        return refusal
    return None


def cost(usd: int, *, at: datetime = NOON, held_until: datetime | None = None) -> Settled:
    return Settled(cost_nano_usd=usd * NANO_PER_USD, at=at, held_until=held_until)


# -- keys ----------------------------------------------------------------------------------------


async def test_a_key_comes_back_as_it_was_kept(keys: KeyStore) -> None:
    made = key(
        daily_budget_usd=Decimal("0.123456789"),
        working_directories=(Path("/srv/work"),),
        tools=("Bash(git log:*)",),
        expires_at=NOON + TICK,
    )

    await keys.add(made)

    assert made == await keys.key("id-ci") == await keys.named("ci")
    assert (await keys.key("ci"), await keys.named("id-ci")) == (None, None)


async def test_keys_are_listed_oldest_first(keys: KeyStore) -> None:
    for made in (key("young", created_at=NOON + TICK), key("old")):
        await keys.add(made)

    assert [each.name for each in await keys.keys()] == ["old", "young"]


async def test_a_key_that_is_added_again_is_the_one_that_is_there(keys: KeyStore) -> None:
    await keys.add(key())

    assert await keys.add(key(created_at=NOON + TICK)) == key()


async def test_a_name_is_given_once_and_not_again_after_a_revocation(keys: KeyStore) -> None:
    await keys.add(key())
    await keys.change("id-ci", lambda known: revoked(known, NOON))

    with pytest.raises(Conflict, match="'ci'"):
        await keys.add(key(id="another"))

    assert [each.id for each in await keys.keys()] == ["id-ci"]


async def test_of_many_that_take_a_name_at_once_one_gets_it(keys: KeyStore) -> None:
    answers = await asyncio.gather(
        *(keys.add(key(id=f"k{number}")) for number in range(12)), return_exceptions=True
    )

    assert [type(each) for each in answers].count(Conflict) == 11
    assert len(await keys.keys()) == 1


async def test_a_change_is_kept_and_one_that_raises_is_not(keys: KeyStore) -> None:
    await keys.add(key())

    def fails(_: ApiKey) -> ApiKey:
        raise Conflict("no")

    changed = await keys.change("id-ci", lambda known: revoked(known, NOON))
    with pytest.raises(Conflict):
        await keys.change("id-ci", fails)

    assert changed == await keys.key("id-ci")
    assert changed.revoked_at == NOON
    with pytest.raises(NotFound):
        await keys.change("nobody", lambda known: known)


async def test_there_is_room_for_so_many_keys(keys: KeyStore) -> None:
    for first in range(0, MAX_KEYS, 50):  # so many at once would wait longer than a store lets them
        await asyncio.gather(*(keys.add(key(f"n{first + each}")) for each in range(50)))

    with pytest.raises(Conflict, match="revoke some"):
        await keys.add(key("one-more"))


async def test_a_revoked_key_is_forgotten_while_another_is_in_use(keys: KeyStore) -> None:
    await keys.add(key("last"))
    await keys.change("id-last", lambda known: revoked(known, NOON))

    await keys.expire(NOON + TICK)
    alone = [each.name for each in await keys.keys()]
    await keys.add(key("new"))
    await keys.expire(NOON + TICK)

    assert (alone, [each.name for each in await keys.keys()]) == (["last"], ["new"])


# -- reservations --------------------------------------------------------------------------------


async def test_a_reservation_is_held_and_released(directory: Directory, keys: KeyStore) -> None:
    assert await reserve(directory, charge("e1", 4)) is None
    held = await keys.account("k", NOON)
    open_charges = await keys.open_charges()
    await keys.release("e1")

    assert held == Account(running=1, reserved_nano_usd=4 * NANO_PER_USD)
    assert tuple(open_charges) == (charge("e1", 4),)
    assert await keys.account("k", NOON) == Account()


async def test_an_execution_is_reserved_for_once(directory: Directory, keys: KeyStore) -> None:
    await reserve(directory, charge("e1", 6))

    again = await reserve(directory, charge("e1", 6))

    assert again is None
    assert (await keys.account("k", NOON)).reserved_nano_usd == 6 * NANO_PER_USD


async def test_a_refusal_writes_nothing_and_says_why(directory: Directory, keys: KeyStore) -> None:
    await reserve(directory, charge("e1", 6))

    refusal = await reserve(directory, charge("e2", 5))

    assert refusal is not None
    assert refusal.reason == LimitCause.DAILY_BUDGET
    assert refusal.detail == (
        "used 0 + reserved 6 + asked 5 USD is more than the key's daily budget of 10 USD"
    )
    assert [each.execution_id for each in await keys.open_charges()] == ["e1"]


async def test_keys_do_not_share_a_budget(directory: Directory, keys: KeyStore) -> None:
    await reserve(directory, charge("e1", 10))

    assert await reserve(directory, charge("e2", 10, of="other")) is None


@pytest.mark.parametrize(
    ("limits", "admitted"),
    [
        (TEN_USD, 10),
        (KeyLimits(weekly_budget_usd=Decimal(7)), 7),
        (KeyLimits(max_concurrent=5), 5),
        (KeyLimits(requests_per_minute=60, burst=3), 3),
    ],
)
async def test_of_many_at_once_no_more_are_admitted_than_the_limits_leave_room_for(
    directory: Directory, keys: KeyStore, limits: KeyLimits, admitted: int
) -> None:
    answers = await asyncio.gather(
        *(reserve(directory, charge(f"e{number}"), limits) for number in range(40))
    )

    assert answers.count(None) == admitted == len(await keys.open_charges())


async def test_reserving_and_settling_at_once_never_leaves_a_cost_out(
    directory: Directory, keys: KeyStore
) -> None:
    """A settlement moves an amount from the reservations to the costs: whoever judges in between
    sees it in one of the two places.
    """
    budget = KeyLimits(daily_budget_usd=Decimal(20))

    async def request(number: int) -> bool:
        wanted = charge(f"e{number}", 2)
        if await reserve(directory, wanted, budget) is not None:
            return False
        await keys.settle(wanted, cost(2))
        return True

    admitted = await asyncio.gather(*(request(number) for number in range(40)))

    account = await keys.account("k", NOON)
    assert admitted.count(True) == 10
    assert (spent_today(account, NOON), account.reserved_nano_usd) == (20 * NANO_PER_USD, 0)


async def test_a_second_router_is_refused_or_keeps_to_the_same_budget(
    stores: Stores, directory: Directory
) -> None:
    try:
        second = await stores.open_directory(wait_seconds=0.1)
    except StoreBusy as busy:
        assert "is held by" in str(busy)  # noqa: PT017 - one of two good answers
        return
    answers = await asyncio.gather(
        *(
            reserve(each, charge(f"e{number}"))
            for number, each in enumerate((directory, second) * 15)
        )
    )
    await second.close()

    assert answers.count(None) == 10


async def test_what_is_assumed_lets_one_run_alone_and_no_other_beside_it(
    directory: Directory, keys: KeyStore
) -> None:
    assumed = 30 * NANO_PER_USD

    answers = await asyncio.gather(
        *(reserve(directory, charge(f"e{number}", 0), assumed=assumed) for number in range(8))
    )

    account = await keys.account("k", NOON)
    assert answers.count(None) == 1
    assert (account.running, account.reserved_nano_usd) == (1, 10 * NANO_PER_USD)
    assert [each.amount_nano_usd for each in await keys.open_charges()] == [10 * NANO_PER_USD]


# -- another attempt -----------------------------------------------------------------------------


def topped_up(name: str, usd: int) -> Reservation:
    return Reservation(charge=charge(name, usd), key=KeySpec(name="ci", **TEN_USD.model_dump()))


async def test_an_execution_that_goes_on_holds_more_once_however_often_it_is_told(
    directory: Directory, keys: KeyStore
) -> None:
    await reserve(directory, charge("e1", 3))
    await reserve(directory, charge("e2", 2))

    await asyncio.gather(*(keys.top_up(topped_up("e1", 5)) for _ in range(4)))
    await keys.top_up(topped_up("e1", 4))

    account = await keys.account("k", NOON)
    assert (account.running, account.reserved_nano_usd) == (2, 7 * NANO_PER_USD)


async def test_where_the_budget_has_no_room_an_execution_holds_what_it_held(
    directory: Directory, keys: KeyStore
) -> None:
    await reserve(directory, charge("e1", 3))
    await reserve(directory, charge("e2", 2))

    with pytest.raises(KeyLimited) as refused:
        await keys.top_up(topped_up("e1", 9))

    assert refused.value.reason == LimitCause.DAILY_BUDGET
    assert (await keys.account("k", NOON)).reserved_nano_usd == 5 * NANO_PER_USD


async def test_what_holds_nothing_or_was_settled_is_not_topped_up(
    directory: Directory, keys: KeyStore
) -> None:
    await reserve(directory, charge("e1", 3))
    await keys.settle(charge("e1", 3), cost(1))

    await keys.top_up(topped_up("e1", 5))
    await keys.top_up(topped_up("unknown", 5))

    account = await keys.account("k", NOON)
    assert (account.running, account.reserved_nano_usd) == (0, 0)


# -- settlements ---------------------------------------------------------------------------------


async def test_a_settlement_puts_the_cost_in_the_place_of_the_reservation(
    directory: Directory, keys: KeyStore
) -> None:
    await reserve(directory, charge("e1", 6))

    await keys.settle(charge("e1", 6), cost(2))

    hour = NOON.replace(minute=0, second=0, microsecond=0)
    spent = HourSpent(starts_at=hour, cost_nano_usd=2 * NANO_PER_USD)
    assert await keys.account("k", NOON) == Account(hours=(spent,))
    assert not await keys.open_charges()


async def test_a_cost_is_counted_once_however_often_it_is_settled(
    directory: Directory, keys: KeyStore
) -> None:
    await reserve(directory, charge("e1", 6))

    await asyncio.gather(*(keys.settle(charge("e1", 6), cost(2)) for _ in range(8)))
    await keys.settle(charge("e1", 6), cost(5))
    await keys.release("e1")

    assert spent_today(await keys.account("k", NOON), NOON) == 2 * NANO_PER_USD


async def test_an_execution_that_was_settled_takes_no_new_reservation(
    directory: Directory, keys: KeyStore
) -> None:
    await keys.settle(charge("e1", 6), cost(10))

    assert await reserve(directory, charge("e1", 6)) is None
    assert (await keys.account("k", NOON)).reserved_nano_usd == 0


async def test_what_is_in_doubt_holds_the_rest_of_its_reservation_for_a_while(
    directory: Directory, keys: KeyStore
) -> None:
    await reserve(directory, charge("e1", 6))
    await keys.settle(charge("e1", 6), cost(1, held_until=NOON + TICK))

    in_doubt = await keys.account("k", NOON)
    later = await keys.account("k", NOON + TICK)

    assert (in_doubt.running, in_doubt.reserved_nano_usd) == (0, 5 * NANO_PER_USD)
    assert later.reserved_nano_usd == 0
    assert spent_today(later, NOON) == NANO_PER_USD


async def test_a_cost_above_its_reservation_counts_in_full_and_holds_nothing(
    keys: KeyStore,
) -> None:
    await keys.settle(charge("e1", 1), cost(3, held_until=NOON + TICK))

    account = await keys.account("k", NOON)

    assert (spent_today(account, NOON), account.reserved_nano_usd) == (3 * NANO_PER_USD, 0)


async def test_an_account_holds_the_hours_of_seven_days(keys: KeyStore) -> None:
    edge = NOON - timedelta(days=7)
    for name, at in (("in", edge), ("out", edge - timedelta(hours=1)), ("now", NOON)):
        await keys.settle(charge(name), cost(1, at=at))

    account = await keys.account("k", NOON)

    hours = [at.replace(minute=0, second=0, microsecond=0) for at in (edge, NOON)]
    assert [each.starts_at for each in account.hours] == hours


async def test_what_was_settled_long_ago_is_forgotten_and_what_is_open_is_not(
    directory: Directory, keys: KeyStore
) -> None:
    rate = KeyLimits(requests_per_minute=60)
    await reserve(directory, charge("open"), rate)
    await reserve(directory, charge("old"), rate)
    await keys.settle(charge("old"), cost(1, at=NOON - timedelta(hours=3)))

    await keys.expire(NOON + timedelta(minutes=5))

    account = await keys.account("k", NOON - timedelta(days=1))
    assert (account.running, account.hours, account.next_at) == (1, (), None)
    assert await reserve(directory, charge("old"), rate) is None


async def test_everything_is_there_after_reopening(stores: Stores) -> None:
    first = await stores.open_directory()
    await first.keys.add(key())
    await reserve(first, charge("e1", 6), KeyLimits(requests_per_minute=1))
    await first.keys.settle(charge("e2"), cost(2))
    before = await first.keys.account("k", NOON)
    await first.close()

    second = await stores.open_directory()
    found = await second.keys.named("ci")
    account = await second.keys.account("k", NOON)
    await second.close()

    assert (found, account) == (key(), before)
    assert account.next_at == NOON + timedelta(minutes=1)


async def test_everything_is_exported_and_comes_back_from_what_was_loaded(
    stores: Stores, tmp_path: Path
) -> None:
    """A pool that is moved keeps its keys: without them its door would stand open."""
    directory = await stores.open_directory()
    await directory.keys.add(key())
    await reserve(directory, charge("open", 6))
    await directory.keys.settle(charge("e2"), cost(2, held_until=NOON + TICK))
    await directory.keys.settle(charge("e3"), cost(1, at=NOON - timedelta(hours=3)))
    portions = [portion async for portion in directory.export()]
    before = await directory.keys.account("k", NOON)
    await directory.close()

    other = await SqliteStores(tmp_path / "other").open_directory()
    for portion in portions:
        await other.load(portion)
    again = [portion async for portion in other.export()]
    account = await other.keys.account("k", NOON)
    found = await other.keys.named("ci")
    open_charges = tuple(await other.keys.open_charges())
    await other.close()

    assert portions == again
    assert (found, account.model_copy(update={"next_at": before.next_at})) == (key(), before)
    assert open_charges == (charge("open", 6),)
