"""A page of many ledgers, which reads little more than it shows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from random import Random

import pytest

from actors.client.merged_pages import Source, merged_page
from actors.interfaces.messages import Listed
from pool.executions.attempt import Attempt
from pool.executions.execution import Execution, ExecutionUsage
from pool.executions.routing_record import Routing
from pool.executions.status import ExecutionStatus
from pool.money import usd
from pool.storage.paging import Page, cursor_of, newest_first
from tests.support.values.examples import NOON, completed

NOTHING = ExecutionUsage(
    cost_usd=usd(0),
    input_tokens=0,
    output_tokens=0,
    cache_creation_input_tokens=0,
    cache_read_input_tokens=0,
    models={},
)


def execution(id_: str, seconds_ago: float, attempts: int = 1) -> Execution:
    attempt = Attempt(subscription_id="sub1", outcome="completed", cost_usd=usd(0))
    return Execution(
        id=id_,
        status=ExecutionStatus.SUCCEEDED,
        subscription_id="sub1",
        session_id="s",
        model=completed().model or "",
        result=None,
        error=None,
        usage=NOTHING,
        attempts=(attempt,) * attempts,
        routing=Routing(score=1, reason="it is there", candidates=()),
        created_at=NOON - timedelta(seconds=seconds_ago),
        started_at=None,
        finished_at=None,
        duration_ms=None,
        metadata={},
    )


class Kept:
    """A ledger, and what was read of it."""

    def __init__(self, executions: Sequence[Execution]) -> None:
        self._kept = sorted(executions, key=lambda each: (each.created_at, each.id), reverse=True)
        self.read = 0
        self.calls = 0

    async def page(self, wanted: Listed) -> Page[Execution]:
        at = 0
        if wanted.cursor is not None:
            at = 1 + [cursor_of(each) for each in self._kept].index(wanted.cursor)
        items = tuple(self._kept[at : at + wanted.limit])
        self.read += len(items)
        self.calls += 1
        more = len(self._kept) > at + len(items)
        return Page[Execution](items=items, next_cursor=cursor_of(items[-1]) if more else None)


async def merged(ledgers: Sequence[Kept], limit: int) -> Page[Execution]:
    return await merged_page([Source(each.page) for each in ledgers], Listed(limit=limit))


@pytest.mark.parametrize("seed", range(20))
async def test_a_page_has_the_newest_of_all_however_they_are_spread(seed: int) -> None:
    random = Random(seed)
    spread: list[list[Execution]] = [[] for _ in range(random.randint(1, 12))]
    for number in range(random.randint(0, 120)):
        where = spread[min(int(random.expovariate(0.7)), len(spread) - 1)]
        where.append(execution(f"e{number:03}", random.randint(0, 60)))
    limit = random.randint(1, 30)
    every = newest_first([Page[Execution](items=tuple(each)) for each in spread], limit)

    found = await merged([Kept(each) for each in spread], limit)

    assert found.items == every.items
    assert found.next_cursor == every.next_cursor


async def test_a_page_of_sixty_ledgers_reads_a_few_rows_of_each() -> None:
    ledgers = [
        Kept([execution(f"{at:02}-{n:03}", 60 * n + at) for n in range(100)]) for at in range(60)
    ]

    found = await merged(ledgers, 20)

    assert len(found.items) == 20
    assert all(one.created_at >= other.created_at for one, other in pairwise(found.items))
    assert sum(each.read for each in ledgers) == 180
    assert {each.calls for each in ledgers} == {1}


async def test_one_that_has_all_of_the_newest_is_asked_for_the_rest() -> None:
    busy = Kept([execution(f"busy-{n:03}", n) for n in range(100)])
    idle = [Kept([execution(f"idle-{at}-{n}", 9_000 + n) for n in range(100)]) for at in range(59)]

    found = await merged([busy, *idle], 20)

    assert [each.id for each in found.items] == [f"busy-{n:03}" for n in range(20)]
    assert busy.read == 20
    assert sum(each.read for each in idle) == 3 * 59


async def test_what_two_ledgers_have_is_shown_where_it_has_come_furthest() -> None:
    left = [execution("moved", 5), *(execution(f"left-{n}", n) for n in range(4))]
    right = [execution("moved", 5, attempts=2), *(execution(f"right-{n}", n) for n in range(4))]

    found = await merged([Kept(left), Kept(right)], 9)

    (moved,) = [each for each in found.items if each.id == "moved"]
    assert len(moved.attempts) == 2
    assert len(found.items) == 9


async def test_a_source_of_many_ledgers_is_asked_for_as_much_as_these_would_be() -> None:
    resting = Kept([execution(f"resting-{n:03}", n) for n in range(100)])
    awake = Kept([execution(f"awake-{n:03}", 900 + n) for n in range(100)])

    sources = [Source(resting.page, ledgers=19), Source(awake.page)]
    found = await merged_page(sources, Listed(limit=20))

    assert (resting.read, resting.calls) == (20, 1)
    assert awake.read == 3
    assert {each.id.split("-")[0] for each in found.items} == {"resting"}


async def test_without_anybody_to_ask_a_page_is_empty() -> None:
    assert await merged([], 5) == Page[Execution](items=())
