"""A router that another one has taken over from leaves."""

from __future__ import annotations

from typing import Any, cast

from localpool import LocalPool

from actors.router.term import Term
from pool.errors import StoreError


class SharedDirectory:
    """The terms of a directory that several routers have open, as in PostgreSQL."""

    def __init__(self) -> None:
        self.terms = 0

    async def begin_term(self) -> int:
        self.terms += 1
        return self.terms

    async def term(self) -> int:
        return self.terms


async def test_of_two_routers_the_one_that_began_first_leaves() -> None:
    left: list[tuple[str, StoreError]] = []
    directory = cast(Any, SharedDirectory())
    first = Term(directory, lambda why: left.append(("first", why)))
    second = Term(directory, lambda why: left.append(("second", why)))
    await first.begin()
    await first.look()
    await second.begin()

    await first.look()
    await second.look()

    assert [who for who, _ in left] == ["first"]
    assert "term 2 has taken over from that of 1" in str(left[0][1])


async def test_a_router_begins_a_term_as_it_begins(local_pool: LocalPool) -> None:
    assert local_pool.router._term._number == await local_pool.router._directory.term() > 0
