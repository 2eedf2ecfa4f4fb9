"""Routers that share a directory: of two that want the same, one has it."""

from __future__ import annotations

import asyncio

from pool.errors import TooManyAtOnce
from pool.keys.account import Charge, Reservation
from pool.keys.api_keys import KeySpec
from pool.storage.directory.claims import Claim
from pool.storage.directory.directory import Directory
from pool.storage.postgresql import PostgresqlStores
from tests.support.stores.stored import NOW, new_claim


def of_another_process(url: str) -> PostgresqlStores:
    """Stores that share no connection with those of the plain URL."""
    return PostgresqlStores(f"{url}&extra_float_digits=1")


async def test_of_two_routers_exactly_one_takes_an_id_or_a_key(
    stores: PostgresqlStores, url: str
) -> None:
    first, second = (
        await stores.open_directory(),
        await of_another_process(url).open_directory(),
    )

    async def claims(directory: Directory, router: str) -> list[Claim]:
        return await asyncio.gather(
            *(directory.claim(new_claim(f"{router}{n}", key=f"k{n}"), router) for n in range(30)),
            *(directory.claim(new_claim(f"e{n}", key=f"{router}{n}"), router) for n in range(30)),
        )

    mine, theirs = await asyncio.gather(claims(first, "a"), claims(second, "b"))

    assert mine[:30] == theirs[:30]
    assert mine[30:] == theirs[30:]
    assert {each.subscription_id for each in mine[:30] if each.execution_id[0] == "a"} <= {"a"}
    await first.close()
    await second.close()


async def test_of_two_routers_that_place_an_execution_one_decides(
    stores: PostgresqlStores, url: str
) -> None:
    first, second = (
        await stores.open_directory(),
        await of_another_process(url).open_directory(),
    )
    for number in range(20):
        await first.claim(new_claim(f"e{number}"), "sub0")

    async def places(directory: Directory, where: str) -> list[str | None]:
        placed = await asyncio.gather(
            *(directory.place(f"e{n}", where, f"t{n}", instead_of="sub0") for n in range(20))
        )
        return [claim.subscription_id for claim in placed]

    mine, theirs = await asyncio.gather(places(first, "sub1"), places(second, "sub2"))
    homes = [await first.session_home(f"t{number}") for number in range(20)]

    assert mine == theirs == [home and home.subscription_id for home in homes]
    await first.close()
    await second.close()


async def test_of_two_routers_no_more_is_claimed_under_a_key_than_its_limits_leave_room_for(
    stores: PostgresqlStores, url: str
) -> None:
    first, second = (
        await stores.open_directory(),
        await of_another_process(url).open_directory(),
    )
    key = KeySpec(name="ci", max_concurrent=7)

    async def claims(directory: Directory, router: str) -> list[Claim | BaseException]:
        charges = [
            Charge(execution_id=f"{router}{n}", key_id="k", amount_nano_usd=1, at=NOW)
            for n in range(20)
        ]
        return await asyncio.gather(
            *(
                directory.claim(
                    new_claim(
                        each.execution_id,
                        key=f"k{n}",
                        reservation=Reservation(charge=each, key=key),
                    ),
                    router,
                )
                for n, each in enumerate(charges)
            ),
            return_exceptions=True,
        )

    answers = [*await asyncio.gather(claims(first, "a"), claims(second, "b"))]
    taken = {each.execution_id for many in answers for each in many if isinstance(each, Claim)}
    refused = {type(each) for many in answers for each in many if not isinstance(each, Claim)}

    assert (len(taken), refused) == (7, {TooManyAtOnce})
    assert {each.execution_id for each in await first.keys.open_charges()} == taken
    await first.close()
    await second.close()
