"""What every directory does, whatever it is kept in."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from pool.errors import InvalidRequest, NotFound, StoreBusy, StoreError
from pool.executions.session import SessionHome, SessionMove
from pool.storage.protocol import (
    Claim,
    Directory,
    DirectoryPortion,
    KeptClaim,
    Registration,
    Stores,
)
from pool.subscriptions.spec import Credential, SubscriptionSpec

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


def home(
    name: str = "s1", *, at: str = "sub1", fetch_from: str | None = None, used_at: datetime = NOW
) -> SessionHome:
    return SessionHome(session_id=name, subscription_id=at, used_at=used_at, fetch_from=fetch_from)


def came(from_: str, to: str, at: datetime = NOW, name: str = "s1") -> SessionMove:
    return SessionMove(
        session_id=name, from_subscription_id=from_, to_subscription_id=to, moved_at=at
    )


async def begin_session(
    directory: Directory, name: str = "s1", *, at: str = "sub1", used_at: datetime = NOW
) -> None:
    await directory.claim(execution_id=f"e-{name}", digest="d", now=used_at)
    await directory.place(f"e-{name}", at, name, instead_of=None)


async def move(
    directory: Directory, from_: str, to: str, *, with_history: bool = True
) -> SessionHome | None:
    return await directory.move_session(
        "s1", instead_of=from_, subscription_id=to, with_history=with_history
    )


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
    assert await directory.session_home("s1") == home()


async def test_an_execution_moves_only_from_where_it_stands(directory: Directory) -> None:
    await directory.claim(execution_id="e1", digest="d", now=NOW)
    await directory.place("e1", "sub1", "s1", instead_of=None)

    late = await directory.place("e1", "sub2", "s1", instead_of=None)
    moved = await directory.place("e1", "sub3", "s1", instead_of="sub1")

    assert (late.subscription_id, moved.subscription_id) == ("sub1", "sub3")
    assert await directory.session_home("s1") == home()


async def test_of_many_routers_that_place_at_the_same_time_one_decides(
    directory: Directory,
) -> None:
    await directory.claim(execution_id="e1", digest="d", now=NOW)

    claims = await asyncio.gather(
        *(directory.place("e1", f"sub{number}", "s1", instead_of=None) for number in range(16))
    )

    kept = await directory.session_home("s1")
    assert kept is not None
    assert {each.subscription_id for each in claims} == {kept.subscription_id}


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
    assert await directory.session_home("s-edge") == home("s-edge")
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
    kept = await second.session_home("s1")
    registrations = tuple(await second.registrations())
    await second.close()

    assert located == claim("e1", claimed_now=False, at="sub1")
    assert kept == home()
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
    assert portions == [
        DirectoryPortion(registrations=(registration("sub1"),)),
        DirectoryPortion(claims=(kept,)),
        DirectoryPortion(homes=(home(used_at=NOW + TICK),)),
    ]
    fresh = kept.model_copy(update={"execution_id": "e2", "key": None})
    with pytest.raises(StoreError):
        await directory.load(DirectoryPortion(claims=(fresh, kept)))
    assert await directory.locate("e2") is None
    await directory.load(DirectoryPortion(claims=(fresh,)))
    assert await directory.locate("e2") == claim("e2", claimed_now=False, at="sub1")


async def test_a_session_that_moves_with_its_history_is_to_be_fetched_from_its_old_home(
    directory: Directory,
) -> None:
    await begin_session(directory)

    moved = await move(directory, "sub1", "sub2")

    assert moved == home(at="sub2", fetch_from="sub1") == await directory.session_home("s1")
    assert tuple(await directory.session_moves("s1")) == ()


async def test_a_session_without_history_moves_and_leaves_nothing_to_fetch(
    directory: Directory,
) -> None:
    await begin_session(directory)

    assert await move(directory, "sub1", "sub2", with_history=False) == home(at="sub2")


async def test_a_session_that_goes_back_unfetched_has_nothing_to_fetch(
    directory: Directory,
) -> None:
    await begin_session(directory)
    await move(directory, "sub1", "sub2")

    assert await move(directory, "sub2", "sub1") == home()


async def test_a_session_that_goes_on_unfetched_keeps_its_source(directory: Directory) -> None:
    await begin_session(directory)
    await move(directory, "sub1", "sub2")

    assert await move(directory, "sub2", "sub3") == home(at="sub3", fetch_from="sub1")


async def test_a_session_that_goes_back_fetched_is_fetched_from_where_it_was(
    directory: Directory,
) -> None:
    await begin_session(directory)
    await move(directory, "sub1", "sub2")
    await directory.session_arrived("s1", "sub2", NOW)

    assert await move(directory, "sub2", "sub1") == home(at="sub1", fetch_from="sub2")


async def test_a_session_moves_only_from_where_it_lives(directory: Directory) -> None:
    await begin_session(directory)
    await move(directory, "sub1", "sub2")

    late = await move(directory, "sub1", "sub3")

    assert late == home(at="sub2", fetch_from="sub1")
    assert await directory.move_session(
        "unknown", instead_of="sub1", subscription_id="sub2", with_history=True
    ) is None  # fmt: skip


async def test_of_many_who_move_a_session_at_the_same_time_one_decides(
    directory: Directory,
) -> None:
    await begin_session(directory)

    seen = await asyncio.gather(*(move(directory, "sub1", f"sub{n}") for n in range(2, 12)))

    assert set(seen) == {await directory.session_home("s1")}


async def test_an_arrival_is_a_move_with_both_ends_and_noted_once(directory: Directory) -> None:
    await begin_session(directory)
    await move(directory, "sub1", "sub2")

    elsewhere = await directory.session_arrived("s1", "sub3", NOW)
    arrived = [await directory.session_arrived("s1", "sub2", NOW + n * TICK) for n in range(2)]

    assert (elsewhere, arrived) == (False, [True, False])
    assert await directory.session_home("s1") == home(at="sub2")
    assert tuple(await directory.session_moves("s1")) == (came("sub1", "sub2"),)


async def test_nothing_arrives_of_a_session_that_never_moved_or_is_not_known(
    directory: Directory,
) -> None:
    await begin_session(directory)

    assert not await directory.session_arrived("s1", "sub1", NOW)
    assert not await directory.session_arrived("unknown", "sub1", NOW)
    assert tuple(await directory.session_moves("s1")) == ()


async def test_moves_of_a_session_are_told_oldest_first(directory: Directory) -> None:
    await begin_session(directory)
    await begin_session(directory, "s2")
    for from_, to in (("sub1", "sub2"), ("sub2", "sub3"), ("sub3", "sub1")):
        await move(directory, from_, to)
        await directory.session_arrived("s1", to, NOW)

    assert tuple(await directory.session_moves("s1")) == (
        came("sub1", "sub2"),
        came("sub2", "sub3"),
        came("sub3", "sub1"),
    )
    assert tuple(await directory.session_moves("s2")) == ()


async def test_sessions_are_listed_those_used_last_first_page_by_page(
    directory: Directory,
) -> None:
    for n, at in enumerate(("sub1", "sub2", "sub1", "sub1")):
        used_at = NOW + min(n, 2) * TICK  # the last two at the same instant
        await begin_session(directory, f"s{n}", at=at, used_at=used_at)

    first = await directory.session_homes(limit=2)
    await begin_session(directory, "new", used_at=NOW + timedelta(hours=1))
    second = await directory.session_homes(limit=2, cursor=first.next_cursor)

    names = [each.session_id for page in (first, second) for each in page.items]
    assert (names, second.next_cursor) == (["s3", "s2", "s1", "s0"], None)
    assert second.items[0] == home("s1", at="sub2", used_at=NOW + TICK)


async def test_sessions_of_one_subscription_are_listed_by_where_they_live_now(
    directory: Directory,
) -> None:
    await begin_session(directory, "s1")
    await begin_session(directory, "s2")
    await move(directory, "sub1", "sub2")

    async def of(subscription_id: str) -> list[str]:
        page = await directory.session_homes(limit=9, subscription_id=subscription_id)
        return [each.session_id for each in page.items]

    assert (await of("sub1"), await of("sub2"), await of("sub3")) == (["s2"], ["s1"], [])


@pytest.mark.parametrize("limit", [0, 501])
async def test_a_page_of_sessions_is_bounded(directory: Directory, limit: int) -> None:
    with pytest.raises(InvalidRequest, match="ask for 1 to 500"):
        await directory.session_homes(limit=limit)


async def test_a_session_is_forgotten_with_its_moves_and_alone(directory: Directory) -> None:
    await begin_session(directory, "s1")
    await begin_session(directory, "s2")
    await move(directory, "sub1", "sub2")
    await directory.session_arrived("s1", "sub2", NOW)

    assert await directory.forget_session("s1")
    assert not await directory.forget_session("s1")

    assert await directory.session_home("s1") is None
    assert tuple(await directory.session_moves("s1")) == ()
    assert await directory.session_home("s2") == home("s2")


async def test_a_session_that_expires_takes_its_moves_with_it(directory: Directory) -> None:
    for name, used_at in (("s1", NOW - TICK), ("s2", NOW)):
        await begin_session(directory, name, used_at=used_at)
        await directory.move_session(
            name, instead_of="sub1", subscription_id="sub2", with_history=True
        )
        await directory.session_arrived(name, "sub2", NOW - TICK)

    await directory.expire(NOW)

    assert await directory.session_home("s1") is None
    assert tuple(await directory.session_moves("s1")) == ()
    assert tuple(await directory.session_moves("s2")) == (came("sub1", "sub2", NOW - TICK, "s2"),)


async def test_what_is_to_be_fetched_and_every_move_go_along_to_another_store(
    directory: Directory,
) -> None:
    await begin_session(directory)
    await move(directory, "sub1", "sub2")
    await directory.session_arrived("s1", "sub2", NOW + TICK)
    await move(directory, "sub2", "sub3")
    portions = [portion async for portion in directory.export()]
    moves = [each for portion in portions for each in portion.moves]
    homes = [each for portion in portions for each in portion.homes]

    await directory.forget_session("s1")
    await directory.load(DirectoryPortion(homes=tuple(homes), moves=tuple(moves)))

    assert await directory.session_home("s1") == home(at="sub3", fetch_from="sub2")
    assert tuple(await directory.session_moves("s1")) == (came("sub1", "sub2", NOW + TICK),)


async def test_a_closed_directory_takes_no_calls(stores: Stores) -> None:
    directory = await stores.open_directory()
    await directory.close()
    await directory.close()

    with pytest.raises(StoreError, match="is closed"):
        await directory.locate("e1")
