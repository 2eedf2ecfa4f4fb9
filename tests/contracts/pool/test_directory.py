"""What every directory does, whatever it is kept in."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pool.errors import Conflict, InvalidRequest, NotFound, OverBudget, StoreBusy, StoreError
from pool.executions.session import SessionHome, SessionMove
from pool.keys.account import Charge, Reservation
from pool.keys.api_keys import KeySpec
from pool.money import NANO_PER_USD
from pool.storage.directory.claims import Claim, NewClaim, Registration
from pool.storage.directory.directory import Directory
from pool.storage.directory.portion import DirectoryPortion, KeptClaim, KeptHome
from pool.storage.stores import Stores
from pool.subscriptions.spec import Credential, SubscriptionSpec
from tests.support.stores.engines import Engine

NOW = datetime(2026, 1, 28, 16, 30, 0, 123457, tzinfo=UTC)
TICK = timedelta(microseconds=1)


def claim(name: str, at: str | None = "sub1", placement: int = 1, epoch: int = 0) -> Claim:
    return Claim(
        execution_id=name,
        digest="d",
        created_at=NOW,
        subscription_id=at,
        placement=placement,
        epoch=epoch,
    )


def wanted(name: str = "e1", session: str = "s1", *, at: datetime = NOW, **of: Any) -> NewClaim:
    return NewClaim.model_validate(
        {"execution_id": name, "digest": "d", "at": at, "session_id": session} | of
    )


def reservation(name: str, usd: int) -> Reservation:
    """Against a budget of ten."""
    charge = Charge(execution_id=name, key_id="k", amount_nano_usd=usd * NANO_PER_USD, at=NOW)
    return Reservation(charge=charge, key=KeySpec(name="ci", daily_budget_usd=Decimal(10)))


def registration(name: str, *, created_at: datetime = NOW, budget: str = "456") -> Registration:
    spec = SubscriptionSpec(
        id=name,
        weekly_budget_usd=Decimal(budget),
        config_dir=Path("subscriptions") / name,
        credential=Credential(oauth_token_env="SUB1_TOKEN"),
    )
    return Registration(spec=spec, declared=True, created_at=created_at)


def home(
    name: str = "s1", *, at: str = "sub1", fetch_from: str | None = None, used_at: datetime = NOW
) -> SessionHome:
    return SessionHome(session_id=name, subscription_id=at, used_at=used_at, fetch_from=fetch_from)


def kept_home(conversation: str | None = None) -> KeptHome:
    known = {"conversation": conversation, "last_execution_id": "e1"}
    return KeptHome.model_validate(home().model_dump() | known)


def came(from_: str, to: str, at: datetime = NOW, name: str = "s1") -> SessionMove:
    return SessionMove(
        session_id=name, from_subscription_id=from_, to_subscription_id=to, moved_at=at
    )


async def begin_session(
    directory: Directory, name: str = "s1", *, at: str = "sub1", used_at: datetime = NOW
) -> None:
    await directory.claim(wanted(f"e-{name}", name, at=used_at), at)


async def move(
    directory: Directory, from_: str, to: str, *, with_history: bool = True
) -> SessionHome | None:
    return await directory.move_session(
        "s1", instead_of=from_, subscription_id=to, with_history=with_history
    )


async def test_an_id_is_claimed_once_and_stands_where_it_was_placed_first(
    directory: Directory,
) -> None:
    first = await directory.claim(wanted(), "sub1")
    again = await directory.claim(wanted(at=NOW + TICK), "sub2")

    assert claim("e1") == first == again == await directory.locate("e1")
    assert await directory.session_home("s1") == home()


async def test_an_id_with_another_digest_answers_with_its_claim_and_changes_nothing(
    directory: Directory,
) -> None:
    await directory.claim(wanted(), "sub1")

    other = await directory.claim(wanted(session="s2", digest="other"), "sub2")

    assert other == claim("e1")
    assert await directory.session_home("s2") is None


async def test_a_key_that_was_used_before_answers_with_its_execution_and_nothing_is_kept(
    directory: Directory,
) -> None:
    await directory.claim(wanted("e1", "s1", key="ci/k"), "sub1")

    again = await directory.claim(wanted("e2", "s2", key="ci/k"), "sub2")

    assert again == claim("e1") == await directory.locate("e2", "ci/k")
    assert await directory.locate("e2") is None
    assert await directory.session_home("s2") is None


async def test_a_key_counts_before_an_id(directory: Directory) -> None:
    await directory.claim(wanted("e1"), "sub1")
    await directory.claim(wanted("e2", key="ci/k"), "sub2")

    again = await directory.claim(wanted("e1", key="ci/k"), "sub3")

    assert again == claim("e2", "sub2") == await directory.locate("e1", "ci/k")


async def test_claims_without_a_key_do_not_stand_in_each_others_way(directory: Directory) -> None:
    first = await directory.claim(wanted("e1"), "sub1")
    second = await directory.claim(wanted("e2"), "sub2")

    assert (first, second) == (claim("e1"), claim("e2", "sub2"))
    assert await directory.locate("e3", "ci/k") is None


async def test_of_many_at_the_same_time_one_gets_the_key_and_all_are_told_where_it_stands(
    directory: Directory,
) -> None:
    claims = await asyncio.gather(
        *(directory.claim(wanted(f"e{n}", f"s{n}", key="ci/k"), f"sub{n}") for n in range(32))
    )

    assert len(set(claims)) == 1
    number = claims[0].execution_id.removeprefix("e")
    assert claims[0] == claim(f"e{number}", f"sub{number}")
    homes = (await directory.session_homes(limit=50)).items
    assert [(each.session_id, each.subscription_id) for each in homes] == [
        (f"s{number}", f"sub{number}")
    ]


async def test_of_many_routers_that_claim_one_id_at_the_same_time_one_decides_where_it_goes(
    directory: Directory,
) -> None:
    claims = await asyncio.gather(*(directory.claim(wanted(), f"sub{n}") for n in range(16)))

    kept = await directory.session_home("s1")
    assert kept is not None
    assert {each.subscription_id for each in claims} == {kept.subscription_id}


async def test_a_turn_of_a_session_leaves_its_home_as_it_is_and_counts_as_its_use(
    directory: Directory,
) -> None:
    await begin_session(directory)
    await move(directory, "sub1", "sub2")

    await directory.claim(wanted("e2", at=NOW + TICK), "sub2")

    kept = home(at="sub2", fetch_from="sub1", used_at=NOW + TICK)
    assert await directory.session_home("s1") == kept


async def test_a_claim_of_an_earlier_version_that_stands_nowhere_is_placed(
    directory: Directory,
) -> None:
    kept = KeptClaim(
        execution_id="e1", key="ci/k", digest="d", created_at=NOW, used_at=NOW, subscription_id=None
    )
    await directory.load(DirectoryPortion(claims=(kept,)))

    claims = await asyncio.gather(
        *(directory.claim(wanted(key="ci/k"), f"sub{n}") for n in range(8))
    )

    assert len({each.subscription_id for each in claims}) == 1
    assert claims[0] == await directory.locate("e1")


async def test_a_request_is_claimed_and_reserved_for_and_placed_or_nothing_of_it_is_kept(
    directory: Directory,
) -> None:
    await directory.claim(wanted("e1", key="ci/1", reservation=reservation("e1", 6)), "sub1")

    with pytest.raises(OverBudget) as refused:
        await directory.claim(
            wanted("e2", "s2", key="ci/2", reservation=reservation("e2", 5)), "sub2"
        )

    assert (refused.value.key, refused.value.execution_id) == ("ci", "e2")
    assert await directory.locate("e2", "ci/2") is None
    assert await directory.session_home("s2") is None
    assert [each.execution_id for each in await directory.keys.open_charges()] == ["e1"]
    free = await directory.claim(wanted("e3", key="ci/2", digest="other"), "sub1")
    assert free.execution_id == "e3"


async def test_what_was_reserved_for_is_claimed_again_however_little_room_there_is(
    directory: Directory,
) -> None:
    first = wanted(key="ci/k", reservation=reservation("e1", 10))

    claims = await asyncio.gather(*(directory.claim(first, f"sub{n}") for n in range(8)))

    assert len(set(claims)) == 1
    assert [each.execution_id for each in await directory.keys.open_charges()] == ["e1"]


async def test_who_comes_second_to_a_key_reserves_nothing(directory: Directory) -> None:
    answers = await asyncio.gather(
        *(
            directory.claim(
                wanted(f"e{n}", key="ci/k", reservation=reservation(f"e{n}", 10)), "sub1"
            )
            for n in range(16)
        )
    )

    (charge,) = await directory.keys.open_charges()
    assert {each.execution_id for each in answers} == {charge.execution_id}


async def test_of_many_at_once_what_the_budget_pays_for_is_claimed_and_the_rest_leaves_nothing(
    directory: Directory,
) -> None:
    answers = await asyncio.gather(
        *(
            directory.claim(
                wanted(f"e{n:02}", f"s{n}", key=f"ci/{n}", reservation=reservation(f"e{n:02}", 2)),
                f"sub{n % 3}",
            )
            for n in range(40)
        ),
        return_exceptions=True,
    )

    claimed = sorted(each.execution_id for each in answers if isinstance(each, Claim))
    assert [type(each) for each in answers].count(OverBudget) == 35
    assert sorted(each.execution_id for each in await directory.keys.open_charges()) == claimed
    kept = [portion async for portion in directory.export()]
    assert sorted(each.execution_id for portion in kept for each in portion.claims) == claimed
    assert len([each for portion in kept for each in portion.homes]) == 5


async def test_every_placement_has_a_number_and_an_outdated_one_moves_nothing(
    directory: Directory,
) -> None:
    first = await directory.claim(wanted(), "sub1", 4)

    placing = {"instead_of": "sub1", "placement": first.placement, "epoch": 5}
    anew = await directory.place("e1", "sub1", "s1", **placing)
    late = await directory.place("e1", "sub2", "s1", instead_of="sub1", placement=first.placement)
    moved = await directory.place("e1", "sub2", "s1", instead_of="sub1", placement=anew.placement)

    assert (first, anew, late, moved) == (
        claim("e1", "sub1", 1, epoch=4),
        claim("e1", "sub1", 2, epoch=5),
        claim("e1", "sub1", 2, epoch=5),
        claim("e1", "sub2", 3),
    )


async def test_of_many_that_place_anew_by_one_number_one_does(directory: Directory) -> None:
    await directory.claim(wanted(), "sub1")

    placed = await asyncio.gather(
        *(
            directory.place("e1", f"sub{n % 2 + 1}", "s1", instead_of="sub1", placement=1)
            for n in range(16)
        )
    )

    assert len(set(placed)) == 1
    assert placed[0].placement == 2


async def test_claims_of_an_earlier_release_have_no_number_until_they_are_placed_again(
    engine: Engine,
) -> None:
    await engine.make_earlier_directory("e1", "sub1")
    directory = await engine.stores.open_directory(wait_seconds=5)

    kept = await directory.locate("e1")
    placed = await directory.place("e1", "sub2", "s1", instead_of="sub1", placement=0)
    await directory.close()

    assert kept is not None
    assert (kept.subscription_id, kept.placement) == ("sub1", 0)
    assert (placed.subscription_id, placed.placement) == ("sub2", 1)


async def test_an_execution_moves_only_from_where_it_stands(directory: Directory) -> None:
    await directory.claim(wanted(), "sub1")

    late = await directory.place("e1", "sub2", "s1", instead_of="sub3")
    moved = await directory.place("e1", "sub3", "s1", instead_of="sub1")

    assert (late, moved) == (claim("e1"), claim("e1", "sub3", 2))
    assert await directory.session_home("s1") == home()


async def test_of_many_routers_that_place_at_the_same_time_one_decides(
    directory: Directory,
) -> None:
    await directory.claim(wanted(), "sub1")

    claims = await asyncio.gather(
        *(directory.place("e1", f"sub{n}", "s2", instead_of="sub1") for n in range(2, 18))
    )

    kept = await directory.session_home("s2")
    assert kept is not None
    assert {each.subscription_id for each in claims} == {kept.subscription_id}


async def test_what_nobody_claimed_cannot_be_placed(directory: Directory) -> None:
    with pytest.raises(NotFound):
        await directory.place("e1", "sub1", "s1", instead_of="sub2")

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
        await directory.claim(wanted(name, f"s-{name}", at=at, key=f"ci/{name}"), "sub1")
    await directory.claim(wanted("used", "s-used"), "sub1")

    assert await directory.expire(NOW) == 1

    assert await directory.locate("old") is None
    assert await directory.session_home("s-old") is None
    assert await directory.locate("used") is not None
    assert await directory.session_home("s-edge") == home("s-edge")
    assert await directory.claim(wanted("new", key="ci/old"), "sub1") == claim("new")


async def test_everything_is_there_after_reopening(stores: Stores) -> None:
    first = await stores.open_directory()
    await first.claim(wanted(key="ci/k"), "sub1")
    await first.register(registration("sub1"))
    await first.close()

    second = await stores.open_directory()
    located = await second.locate("e1")
    kept = await second.session_home("s1")
    registrations = tuple(await second.registrations())
    await second.close()

    assert located == claim("e1")
    assert kept == home()
    assert registrations == (registration("sub1"),)


async def test_a_second_directory_is_refused_or_agrees_on_where_things_go(
    stores: Stores, directory: Directory
) -> None:
    try:
        second = await stores.open_directory(wait_seconds=0.1)
    except StoreBusy as busy:
        assert "is held by" in str(busy)  # noqa: PT017 - one of two good answers
        return
    claims = await asyncio.gather(
        *(
            each.claim(wanted(f"e{number // 2}", f"s{number // 2}"), f"sub{number}")
            for number, each in enumerate((directory, second) * 8)
        )
    )
    homes = (await second.session_homes(limit=50)).items
    await second.close()

    placed = {each.execution_id: each.subscription_id for each in claims}
    assert claims == [claim(f"e{n // 2}", placed[f"e{n // 2}"]) for n in range(16)]
    assert {f"s{n}": placed[f"e{n}"] for n in range(8)} == {
        each.session_id: each.subscription_id for each in homes
    }


async def test_what_is_exported_is_all_there_is_and_loads_once(directory: Directory) -> None:
    await directory.register(registration("sub1"))
    await directory.claim(wanted(key="ci/k"), "sub1", 7)
    await directory.claim(wanted(at=NOW + TICK), "sub1")

    portions = [portion async for portion in directory.export()]

    kept = KeptClaim(
        execution_id="e1",
        key="ci/k",
        digest="d",
        created_at=NOW,
        used_at=NOW + TICK,
        subscription_id="sub1",
        placement=1,
        epoch=7,
    )
    assert portions == [
        DirectoryPortion(registrations=(registration("sub1"),)),
        DirectoryPortion(claims=(kept,)),
        DirectoryPortion(homes=(kept_home(),)),
    ]
    fresh = kept.model_copy(update={"execution_id": "e2", "key": None})
    with pytest.raises(StoreError):
        await directory.load(DirectoryPortion(claims=(fresh, kept)))
    assert await directory.locate("e2") is None
    await directory.load(DirectoryPortion(claims=(fresh,)))
    assert await directory.locate("e2") == claim("e2", epoch=7)


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


async def test_a_session_that_was_begun_under_another_id_lives_by_that(
    directory: Directory,
) -> None:
    await directory.claim(wanted("e1", "s1"), "sub1")

    for _ in range(2):
        await directory.name_session("s1", "s2", "sub1")
    await directory.name_session("s2", "s3", "sub2")

    found = await directory.session_home("s2")
    assert found is not None
    assert (found.subscription_id, found.used_at) == ("sub1", NOW)
    assert await directory.session_home("s1") is None
    assert await directory.session_home("s3") is None


async def test_a_session_never_takes_the_id_of_another(directory: Directory) -> None:
    await directory.claim(wanted("e1", "s1"), "sub1")
    await directory.claim(wanted("e2", "s2"), "sub2")

    await directory.name_session("s1", "s2", "sub1")

    found = await directory.session_home("s2")
    assert found is not None
    assert found.subscription_id == "sub2"


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


async def test_each_router_that_begins_has_a_later_term(engine: Engine) -> None:
    """In SQLite whoever opens the directory next takes it over; PostgreSQL shares it."""
    first = await engine.stores.open_directory(wait_seconds=5)
    earlier = await first.terms.begin("a pool")
    seen = await first.terms.latest()
    await first.close()
    second = await engine.stores.open_directory(wait_seconds=5)
    later = await second.terms.begin("a pool")
    latest = await second.terms.beat(later)
    await second.close()

    assert isinstance(earlier, int)
    assert isinstance(later, int)
    assert earlier == seen < later == latest


async def test_a_session_is_found_by_the_conversation_that_it_holds(directory: Directory) -> None:
    await directory.claim(wanted("e1", "s1"), "sub1")

    assert await directory.conversations.session("c1") is None
    assert await directory.conversations.note("c1", "s1", "e1")
    assert await directory.conversations.session("c1") == "s1"
    assert await directory.conversations.session("c2") is None
    await move(directory, "sub1", "sub2")
    assert await directory.conversations.session("c1") == "s1"
    await directory.forget_session("s1")
    assert await directory.conversations.session("c1") is None


async def test_a_conversation_is_over_with_the_next_turn_of_its_session(
    directory: Directory,
) -> None:
    """Whoever asks for that, and though it is refused; and what is known late is not noted."""
    await directory.claim(wanted("e1", "s1"), "sub1")
    await directory.conversations.note("c1", "s1", "e1")

    await directory.claim(wanted("e2", "s1"), "sub1")

    assert await directory.conversations.session("c1") is None
    assert not await directory.conversations.note("c1", "s1", "e1")
    assert await directory.conversations.session("c1") is None


async def test_of_many_who_go_on_from_one_history_one_has_the_session_and_again_when_repeated(
    directory: Directory,
) -> None:
    await directory.claim(wanted("e0", "s1"), "sub1")
    await directory.conversations.note("c1", "s1", "e0")

    made = await asyncio.gather(
        *(directory.claim(wanted(f"e{n}", "s1", conversation="c1"), "sub1") for n in range(1, 9)),
        return_exceptions=True,
    )

    won = [each for each in made if isinstance(each, Claim)]
    lost = [each for each in made if isinstance(each, Conflict)]
    assert (len(won), len(lost)) == (1, 7)
    again = wanted(won[0].execution_id, "s1", conversation="c1")
    assert await directory.claim(again, "sub1") == won[0]
    left = {f"e{n}": await directory.locate(f"e{n}") for n in range(1, 9)}
    assert [name for name, each in left.items() if each] == [won[0].execution_id]


async def test_of_two_sessions_that_hold_the_same_each_is_gone_on_with_once(
    directory: Directory,
) -> None:
    for name, session, at in (("e1", "s1", NOW), ("e2", "s2", NOW + TICK)):
        await directory.claim(wanted(name, session, at=at), "sub1")
        await directory.conversations.note("c1", session, name)
    found = []

    for number in (3, 4):
        session = await directory.conversations.session("c1")
        assert session is not None
        await directory.claim(wanted(f"e{number}", session, conversation="c1"), "sub1")
        found.append(session)

    assert found == ["s2", "s1"]
    assert await directory.conversations.session("c1") is None


async def test_a_conversation_goes_with_its_session_to_another_store_and_with_it_in_time(
    directory: Directory,
) -> None:
    await directory.claim(wanted("e1", "s1"), "sub1")
    await directory.conversations.note("c1", "s1", "e1")

    homes = [each async for portion in directory.export() for each in portion.homes]
    await directory.forget_session("s1")
    await directory.load(DirectoryPortion(homes=tuple(homes)))

    assert homes == [kept_home("c1")]
    assert await directory.conversations.session("c1") == "s1"
    await directory.expire(NOW + TICK)
    assert await directory.conversations.session("c1") is None
