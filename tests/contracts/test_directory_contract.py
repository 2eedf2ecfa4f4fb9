"""What every directory does, whatever it is kept in."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from pool.errors import NotFound, StoreBusy, StoreError
from pool.store.protocol import (
    Claim,
    Directory,
    DirectoryPortion,
    KeptClaim,
    Registration,
    SessionHome,
    Stores,
)
from pool.subscription import Credential, SubscriptionSpec

NOW = datetime(2026, 1, 28, 16, 30, 0, 123457, tzinfo=UTC)
TICK = timedelta(microseconds=1)


def claim(name: str, *, claimed_now: bool, at: str | None = None, digest: str = "d") -> Claim:
    return Claim(
        execution_id=name,
        digest=digest,
        created_at=NOW,
        subscription_id=at,
        claimed_now=claimed_now,
    )


def registration(name: str, *, created_at: datetime = NOW, budget: str = "456") -> Registration:
    spec = SubscriptionSpec(
        id=name,
        weekly_budget_usd=Decimal(budget),
        config_dir=Path("seats") / name,
        credential=Credential(oauth_token_env="SUB1_TOKEN"),
    )
    return Registration(spec=spec, declared=True, created_at=created_at)


async def test_an_id_is_claimed_once(directory: Directory) -> None:
    first = await directory.claim(execution_id="e1", digest="d", now=NOW)
    again = await directory.claim(execution_id="e1", digest="other", now=NOW + TICK)

    assert first == claim("e1", claimed_now=True)
    assert again == claim("e1", claimed_now=False)


async def test_a_key_that_was_used_before_answers_with_its_execution(directory: Directory) -> None:
    await directory.claim(execution_id="e1", digest="d", now=NOW, key="ci:k")

    again = await directory.claim(execution_id="e2", digest="other", now=NOW + TICK, key="ci:k")

    assert again == claim("e1", claimed_now=False)
    assert await directory.locate("e2") is None


async def test_a_key_counts_before_an_id(directory: Directory) -> None:
    await directory.claim(execution_id="e1", digest="d", now=NOW)
    await directory.claim(execution_id="e2", digest="d", now=NOW, key="ci:k")

    again = await directory.claim(execution_id="e1", digest="d", now=NOW, key="ci:k")

    assert again == claim("e2", claimed_now=False)


async def test_claims_without_a_key_do_not_stand_in_each_others_way(directory: Directory) -> None:
    first = await directory.claim(execution_id="e1", digest="d", now=NOW)
    second = await directory.claim(execution_id="e2", digest="d", now=NOW)

    assert (first.claimed_now, second.claimed_now) == (True, True)


async def test_of_many_at_the_same_time_one_gets_the_key(directory: Directory) -> None:
    claims = await asyncio.gather(
        *(
            directory.claim(execution_id=f"e{number}", digest="d", now=NOW, key="ci:k")
            for number in range(32)
        )
    )

    assert [each.claimed_now for each in claims].count(True) == 1
    assert len({each.execution_id for each in claims}) == 1


async def test_an_execution_is_located_where_it_was_placed(directory: Directory) -> None:
    await directory.claim(execution_id="e1", digest="d", now=NOW)

    placed = await directory.place("e1", "sub1", "s1", instead_of=None)

    assert placed == claim("e1", claimed_now=False, at="sub1") == await directory.locate("e1")
    assert await directory.session_home("s1") == "sub1"


async def test_an_execution_moves_only_from_where_it_stands(directory: Directory) -> None:
    await directory.claim(execution_id="e1", digest="d", now=NOW)
    await directory.place("e1", "sub1", "s1", instead_of=None)

    late = await directory.place("e1", "sub2", "s1", instead_of=None)
    home = await directory.session_home("s1")
    moved = await directory.place("e1", "sub3", "s1", instead_of="sub1")

    assert (late.subscription_id, home) == ("sub1", "sub1")
    assert moved.subscription_id == "sub3" == await directory.session_home("s1")


async def test_of_many_routers_that_place_at_the_same_time_one_decides(
    directory: Directory,
) -> None:
    await directory.claim(execution_id="e1", digest="d", now=NOW)

    claims = await asyncio.gather(
        *(directory.place("e1", f"sub{number}", "s1", instead_of=None) for number in range(16))
    )

    assert {each.subscription_id for each in claims} == {await directory.session_home("s1")}


async def test_what_nobody_claimed_cannot_be_placed(directory: Directory) -> None:
    with pytest.raises(NotFound):
        await directory.place("e1", "sub1", "s1", instead_of=None)

    assert await directory.session_home("s1") is None
    assert await directory.locate("e1") is None


async def test_a_registration_comes_back_as_it_was_given_oldest_first(directory: Directory) -> None:
    young = registration("a", created_at=NOW + TICK, budget="0.123456789")
    await directory.register(young)
    await directory.register(registration("b"))

    assert (registration("b"), young) == tuple(await directory.registrations())


async def test_a_registration_is_replaced_and_removed(directory: Directory) -> None:
    await directory.register(registration("a"))
    await directory.register(registration("a", budget="10"))

    assert tuple(await directory.registrations()) == (registration("a", budget="10"),)
    assert await directory.unregister("a")
    assert not await directory.unregister("a")
    assert tuple(await directory.registrations()) == ()


async def test_what_was_not_used_since_is_forgotten(directory: Directory) -> None:
    for name, at in (("old", NOW - TICK), ("used", NOW - TICK), ("edge", NOW)):
        await directory.claim(execution_id=name, digest="d", now=at, key=f"ci:{name}")
        await directory.place(name, "sub1", f"s-{name}", instead_of=None)
    await directory.claim(execution_id="used", digest="d", now=NOW)

    assert await directory.expire(NOW) == 1

    assert await directory.locate("old") is None
    assert await directory.session_home("s-old") is None
    assert await directory.locate("used") is not None
    assert await directory.session_home("s-edge") == "sub1"
    anew = await directory.claim(execution_id="new", digest="d", now=NOW, key="ci:old")
    assert anew.claimed_now


async def test_everything_is_there_after_reopening(stores: Stores) -> None:
    first = await stores.open_directory()
    await first.claim(execution_id="e1", digest="d", now=NOW, key="ci:k")
    await first.place("e1", "sub1", "s1", instead_of=None)
    await first.register(registration("sub1"))
    await first.close()

    second = await stores.open_directory()
    located = await second.locate("e1")
    home = await second.session_home("s1")
    registrations = tuple(await second.registrations())
    await second.close()

    assert located == claim("e1", claimed_now=False, at="sub1")
    assert home == "sub1"
    assert registrations == (registration("sub1"),)


async def test_a_second_directory_is_refused_or_agrees_on_who_took_what(
    stores: Stores, directory: Directory
) -> None:
    try:
        second = await stores.open_directory(patience=0.1)
    except StoreBusy as busy:
        assert "is held by" in str(busy)  # noqa: PT017 - one of two good answers
        return
    claims = await asyncio.gather(
        *(
            each.claim(execution_id=f"e{number // 2}", digest="d", now=NOW)
            for number, each in enumerate((directory, second) * 8)
        )
    )
    await second.close()

    taken = [each.execution_id for each in claims if each.claimed_now]
    assert sorted(taken) == sorted({f"e{number}" for number in range(8)})


async def test_what_is_exported_is_all_there_is_and_loads_once(directory: Directory) -> None:
    await directory.register(registration("sub1"))
    await directory.claim(execution_id="e1", digest="d", now=NOW, key="ci:k")
    await directory.claim(execution_id="e1", digest="d", now=NOW + TICK)
    await directory.place("e1", "sub1", "s1", instead_of=None)

    portions = [portion async for portion in directory.export()]

    kept = KeptClaim(
        execution_id="e1",
        key="ci:k",
        digest="d",
        created_at=NOW,
        used_at=NOW + TICK,
        subscription_id="sub1",
    )
    home = SessionHome(session_id="s1", subscription_id="sub1", used_at=NOW + TICK)
    assert portions == [
        DirectoryPortion(registrations=(registration("sub1"),)),
        DirectoryPortion(claims=(kept,)),
        DirectoryPortion(homes=(home,)),
    ]
    fresh = kept.model_copy(update={"execution_id": "e2", "key": None})
    with pytest.raises(StoreError):
        await directory.load(DirectoryPortion(claims=(fresh, kept)))
    assert await directory.locate("e2") is None
    await directory.load(DirectoryPortion(claims=(fresh,)))
    assert await directory.locate("e2") == claim("e2", claimed_now=False, at="sub1")


async def test_a_closed_directory_takes_no_calls(stores: Stores) -> None:
    directory = await stores.open_directory()
    await directory.close()
    await directory.close()

    with pytest.raises(StoreError, match="is closed"):
        await directory.locate("e1")
