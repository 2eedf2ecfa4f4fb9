from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.telemetry.event_log import EventLog
from pool.errors import InvalidRequest
from pool.telemetry.events import EventFilter, PoolEvent, PoolEventKind
from tests.support.values.examples import NOON
from tests.support.values.manual_clock import ManualClock


def happened(number: int) -> PoolEvent:
    subscription = "odd" if number % 2 else "even"
    return PoolEvent(
        kind=PoolEventKind.USAGE_RECORDED,
        at=NOON,
        subscription_id=subscription,
        data={"number": number},
    )


def ring(count: int, most_kept: int = 1000, activation: str = "a1") -> EventLog:
    happenings = EventLog(activation, ManualClock(), most_kept)
    for number in range(1, count + 1):
        happenings.add(happened(number))
    return happenings


def read(
    happenings: EventLog, after: str, limit: int = 1000, wanted: EventFilter | None = None
) -> tuple[list[object], str]:
    """Everything after an id, page by page: the numbers, and ``gap`` for a gap."""
    found: list[object] = []
    while page := happenings.page(after, wanted, limit):
        if not page.items:
            return found, page.cursor
        found += [each.happening.data.get("number", "gap") for each in page.items]
        after = page.items[-1].id
    raise AssertionError


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 7))
def test_from_every_id_exactly_the_rest_comes(count: int, seen: int, limit: int) -> None:
    seen = min(seen, count)

    found, end = read(ring(count), f"a1-{seen}", limit)

    assert found == list(range(seen + 1, count + 1))
    assert end == f"a1-{count}"


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 20), st.integers(1, 7))
def test_a_gap_comes_first_if_and_only_if_something_is_missing(
    count: int, seen: int, most_kept: int, limit: int
) -> None:
    seen = min(seen, count)

    found, _ = read(ring(count, most_kept), f"a1-{seen}", limit)

    rest = list(range(seen + 1, count + 1))
    kept = rest[-most_kept:]
    assert found == (kept if kept == rest else ["gap", *kept])


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 7))
def test_what_is_not_wanted_is_left_out_and_nothing_else(count: int, seen: int, limit: int) -> None:
    seen, wanted = min(seen, count), EventFilter(subscription_id="odd")

    found, _ = read(ring(count), f"a1-{seen}", limit, wanted)

    assert found == [each for each in range(seen + 1, count + 1) if each % 2]


def test_an_id_of_an_earlier_activation_is_answered_with_a_gap() -> None:
    found, end = read(ring(3, activation="b2"), "a1-2")

    assert (found, end) == (["gap", 1, 2, 3], "b2-3")


def test_an_id_that_was_never_given_is_answered_with_a_gap() -> None:
    assert read(ring(3), "a1-9")[0] == ["gap", 1, 2, 3]


def test_the_id_of_a_gap_can_be_come_back_to() -> None:
    happenings = ring(9, most_kept=4)
    (first, *_) = happenings.page("a1-1").items

    assert first.happening.kind is PoolEventKind.GAP
    assert read(happenings, first.id)[0] == [6, 7, 8, 9]


def test_ids_are_unique_and_in_order() -> None:
    ids = [int(each.id.partition("-")[2]) for each in ring(20).page("a1-0").items]

    assert all(before < after for before, after in pairwise(ids))


def test_without_an_id_nothing_has_happened_yet() -> None:
    page = ring(3).page(None)

    assert (page.items, page.cursor) == ((), "a1-3")


@pytest.mark.parametrize("id_", ["", "a1", "a1-", "-1", "A1-1", "a1-1.5", "a1-\u0661", "a1-1\n"])
def test_what_is_no_id_is_refused(id_: str) -> None:
    with pytest.raises(InvalidRequest, match="after"):
        ring(3).page(id_)


async def test_who_waits_is_told_as_soon_as_something_happens() -> None:
    happenings = ring(3)
    waiting = asyncio.create_task(
        happenings.next_page("a1-3", EventFilter(subscription_id="odd"), 10)
    )
    await asyncio.sleep(0)
    happenings.add(happened(4))
    await asyncio.sleep(0)
    happenings.add(happened(5))

    page = await asyncio.wait_for(waiting, 5)

    assert [each.happening.data["number"] for each in page.items] == [5]


async def test_who_waits_in_vain_is_told_where_to_go_on() -> None:
    page = await ring(3).next_page("a1-1", EventFilter(subscription_id="nobody"), 0.01)

    assert (page.items, page.cursor) == ((), "a1-3")
